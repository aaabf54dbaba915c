import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_KEY_BYTES, type Store, type StoreChange, storeKey } from '../../../src/store/store.js';
import { IMPLEMENTATIONS } from './stores.js';

const put = (key: string, value: string): StoreChange => ({ key, value: Buffer.from(value) });
const remove = (key: string): StoreChange => ({ key, value: undefined });
const shown = async (store: Store, prefix = '', limit?: number) =>
  (await store.list(prefix, limit)).map(({ key, value }) => [key, value.toString()]);

describe.each(IMPLEMENTATIONS)('a store: $name', ({ make }) => {
  let store: Store;
  beforeEach(async () => {
    store = await make();
  });

  it('has what has been written, until it is removed', async () => {
    expect(await store.get('a')).toBeUndefined();
    await store.write([put('a', '1'), put('b', '')]);
    expect(await store.get('a')).toEqual(Buffer.from('1'));
    expect(await store.get('b')).toEqual(Buffer.alloc(0));
    await store.write([remove('a'), remove('never there'), put('b', '2')]);
    expect(await store.get('a')).toBeUndefined();
    expect(await shown(store)).toEqual([['b', '2']]);
    await store.write([]);
  });

  it('lists by prefix, in the order of bytes, up to a limit', async () => {
    const paths = [
      ['r'],
      ['r', 'b'],
      ['r', 'a', 'x'],
      ['r', ''],
      ['ra'],
      ['q', '\uffff'],
      ['q', '\u{10000}'],
      ['', 'e'],
    ];
    const keys = paths.map((path) => storeKey(...path));
    await store.write(keys.map((key) => put(key, 'v')));
    const listed = async (prefix: string, limit?: number) =>
      (await store.list(prefix, limit)).map(({ key }) => key);
    expect(await listed(storeKey('r', ''))).toEqual(
      [
        ['r', ''],
        ['r', 'a', 'x'],
        ['r', 'b'],
      ].map((path) => storeKey(...path)),
    );
    expect(await listed(storeKey('q', ''))).toEqual([storeKey('q', '\uffff'), storeKey('q', '\u{10000}')]);
    expect(await listed('r')).toHaveLength(5);
    expect(await listed('r', 2)).toEqual([storeKey('r'), storeKey('r', '')]);
    expect(await listed('', 0)).toEqual([]);
    expect(await listed('')).toHaveLength(keys.length);
    expect(await listed('', 1)).toEqual([storeKey('', 'e')]);
    expect(await listed('nobody')).toEqual([]);
    expect(await listed('x'.repeat(5_000))).toEqual([]);
  });

  it('applies writes in the order of the calls, awaited or not', async () => {
    const done: number[] = [];
    const writes = Array.from({ length: 100 }, (_, index) =>
      store.write([put('last', String(index)), put(`n${index}`, '')]).then(() => done.push(index)),
    );
    await Promise.all(writes);
    expect(done).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect((await store.get('last'))?.toString()).toBe('99');
    expect(await store.list('n')).toHaveLength(100);
  });

  it('takes the later of two changes to one key', async () => {
    await store.write([put('a', '1'), remove('a'), put('b', '1'), put('b', '2')]);
    expect(await shown(store)).toEqual([['b', '2']]);
  });

  it('shares no bytes with its callers', async () => {
    const value = Buffer.from('mine');
    const written = store.write([{ key: 'a', value }]);
    value.fill('x');
    await written;
    const got = await store.get('a');
    expect(got?.toString()).toBe('mine');
    got?.fill('y');
    const [listed] = await store.list('a');
    expect(listed?.value.toString()).toBe('mine');
    await store.write([put('a', 'other')]);
    await store.get('a');
    expect(listed?.value.toString()).toBe('mine');
  });

  it('takes the longest keys, and values of megabytes', async () => {
    const key = 'k'.repeat(MAX_KEY_BYTES);
    const value = Buffer.alloc(5_000_000, 7);
    await store.write([{ key, value }, put('z', '')]);
    expect((await store.get(key))?.equals(value)).toBe(true);
    expect((await store.list('k'))[0]?.value.equals(value)).toBe(true);
  });

  it.each([
    ['empty', ''],
    ['too long', 'k'.repeat(MAX_KEY_BYTES + 1)],
    ['half a character', 'a\ud800'],
  ])('refuses a key that is %s, and the whole write with it', async (_, key) => {
    await expect(store.write([put('a', '1'), put(key, '1')])).rejects.toThrow(RangeError);
    await expect(store.get(key)).rejects.toThrow(RangeError);
    expect(await store.get('a')).toBeUndefined();
  });

  it('finishes its writes when it is closed, and refuses from then on', async () => {
    const written = store.write([put('a', '1')]);
    await Promise.all([store.close(), store.close(), written]);
    const refusal = { name: 'StoreError', reason: 'closed' };
    await expect(store.get('a')).rejects.toMatchObject(refusal);
    await expect(store.list('a')).rejects.toMatchObject(refusal);
    await expect(store.write([put('a', '2')])).rejects.toMatchObject(refusal);
  });

  it('is like a map, whatever is done to it', async () => {
    const name = fc.constantFrom('a', 'b', 'ab', '\u0000', '\u0001', '\uffff', '\u{1f600}');
    const key = fc.array(name, { minLength: 1, maxLength: 3 }).map((path) => storeKey(...path));
    const change = fc.record({
      key,
      value: fc.option(
        fc.uint8Array({ maxLength: 5_000 }).map((bytes) => Buffer.from(bytes)),
        { nil: undefined },
      ),
    });
    const write = fc.array(change, { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.array(write, { maxLength: 4 }), key), { maxLength: 8 }),
        async (steps) => {
          const before = await store.list('');
          await store.write(before.map((entry) => remove(entry.key)));
          const model = new Map<string, Buffer>();
          for (const [writes, asked] of steps) {
            await Promise.all(writes.map((changes) => store.write(changes)));
            for (const { key: changed, value } of writes.flat()) {
              if (value === undefined) model.delete(changed);
              else model.set(changed, value);
            }
            expect(await store.get(asked)).toEqual(model.get(asked));
            const expected = [...model]
              .filter(([known]) => known.startsWith(asked))
              .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
              .map(([known, value]) => ({ key: known, value }));
            expect(await store.list(asked)).toEqual(expected);
          }
          expect(await store.list('')).toHaveLength(model.size);
        },
      ),
      { numRuns: 60 },
    );
  });
});
