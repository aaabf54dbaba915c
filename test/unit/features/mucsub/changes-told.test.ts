import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChangesTold } from '../../../../src/features/mucsub/changes-told.js';
import type { Change } from '../../../../src/features/mucsub/occupants.js';

const [GONE, GUEST, ADMIN] = [undefined, 'guest', 'admin'] as const;
const STANDINGS = [GONE, GUEST, ADMIN] as const;

interface Happening {
  readonly change: Change;
  readonly hash: number;
}

/** What occupants do one after the other. */
function happenings(steps: readonly { readonly nick: string; readonly to: number }[]): Happening[] {
  const standing = new Map<string, string | undefined>();
  return steps.flatMap(({ nick, to }) => {
    const before = standing.get(nick);
    const after = STANDINGS[to];
    if (before === after) return [];
    standing.set(nick, after);
    return { change: { nick, before, after }, hash: 10 * nick.charCodeAt(0) + to };
  });
}

const steps = fc.array(
  fc.record({ nick: fc.constantFrom('bob', 'carl'), to: fc.integer({ min: 0, max: 2 }) }),
  { minLength: 5, maxLength: 40 },
);

describe('what occupants do', () => {
  it('property: is told once and in order, where one source takes over from another and both hear it in the same order', () => {
    fc.assert(
      fc.property(
        steps,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.boolean(),
        fc.array(fc.boolean(), { maxLength: 80 }),
        (drawn, part, isLate, turns) => {
          const all = happenings(drawn);
          const told: Happening[] = [];
          const changes = new ChangesTold();
          const sources = ['first'];
          const next = { first: 0, second: Math.floor(part * all.length) };
          const brings = (source: 'first' | 'second') => {
            const happening = all[next[source]++];
            if (happening === undefined) return;
            if (changes.isNew(source, sources, happening.change, happening.hash, 0)) told.push(happening);
          };
          // The first has told what was before, and perhaps what the second is still to bring.
          while (next.first < next.second + Number(isLate)) brings('first');
          sources.push('second');
          for (const turn of [false, ...turns]) brings(turn ? 'first' : 'second');
          // What the first has not heard when it leaves the second has, and the other way round.
          changes.leaves('first', false);
          while (next.second < all.length) brings('second');
          expect(told).toEqual(all);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is news when the source before is gone, though it is what was told shortly before', () => {
    const [joins, leaves] = happenings([
      { nick: 'bob', to: 1 },
      { nick: 'bob', to: 0 },
    ]);
    const changes = new ChangesTold();
    for (const { change, hash } of [joins!, leaves!]) changes.isNew('first', ['first'], change, hash, 0);
    changes.leaves('first', true);
    expect(changes.isNew('second', ['first', 'second'], joins!.change, joins!.hash, 1)).toBe(true);
  });

  it('and is news after ten seconds', () => {
    const [joins] = happenings([{ nick: 'bob', to: 1 }]);
    const changes = new ChangesTold();
    expect(changes.isNew('first', ['first'], joins!.change, joins!.hash, 0)).toBe(true);
    expect(changes.isNew('second', ['first', 'second'], joins!.change, joins!.hash, 9_999)).toBe(false);
    expect(changes.isNew('third', ['first', 'third'], joins!.change, joins!.hash, 10_000)).toBe(true);
  });
});
