import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LateMap, LateSet } from '../../../src/session/late.js';

const keys = fc.constantFrom('a', 'b', 'c');
const deeds = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('put' as const), key: keys, value: fc.nat(9) }),
    fc.record({ do: fc.constantFrom('delete' as const, 'look' as const), key: keys }),
    fc.constant({ do: 'clear' } as const),
  ),
);

test('property: a late map is a map', () => {
  fc.assert(
    fc.property(deeds, (all) => {
      const play = (map: Map<string, number>): unknown[] =>
        all.map((deed) => {
          const visited: unknown[] = [];
          if (deed.do === 'put') map.set(deed.key, deed.value);
          map.forEach((value, key) => {
            visited.push([value, key]);
          });
          const seen = [map.size, [...map], [...map.keys()], [...map.values()], [...map.entries()], visited];
          if (deed.do === 'delete') return [...seen, map.delete(deed.key)];
          if (deed.do === 'look') return [...seen, map.get(deed.key), map.has(deed.key)];
          if (deed.do === 'clear') map.clear();
          return seen;
        });
      expect(play(new LateMap())).toEqual(play(new Map()));
    }),
  );
});

test('property: a late set is a set', () => {
  fc.assert(
    fc.property(deeds, (all) => {
      const play = (set: Set<string>): unknown[] =>
        all.map((deed) => {
          const visited: unknown[] = [];
          if (deed.do === 'put') set.add(deed.key);
          set.forEach((value) => {
            visited.push(value);
          });
          const seen = [set.size, [...set], [...set.keys()], [...set.values()], [...set.entries()], visited];
          if (deed.do === 'delete') return [...seen, set.delete(deed.key)];
          if (deed.do === 'look') return [...seen, set.has(deed.key)];
          if (deed.do === 'clear') set.clear();
          return seen;
        });
      expect(play(new LateSet())).toEqual(play(new Set()));
    }),
  );
});

test('whoever goes through a late map may delete from it', () => {
  const map = new LateMap<number, string>().set(1, 'a').set(2, 'b').set(3, 'c');
  const seen: number[] = [];
  for (const [key] of map) {
    map.delete(key);
    seen.push(key);
  }
  expect(seen).toEqual([1, 2, 3]);
  expect(map.size).toBe(0);
});
