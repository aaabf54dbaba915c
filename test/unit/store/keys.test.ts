import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkKey, keyParts, MAX_KEY_BYTES, storeKey } from '../../../src/store/store.js';

/** Among them what keys are made of, and characters whose order differs between UTF-16 and code points. */
const part = fc.string({
  unit: fc.oneof(
    fc.constantFrom('\u0000', '\u0001', '\u0002', '\u0003', 'a', '/', '@', '\ud7ff', '\uffff', '\u{10000}'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 8,
});
const path = fc.array(part, { minLength: 1, maxLength: 5 });
const anyPart = fc.oneof(part, fc.string({ unit: 'binary', minLength: 300, maxLength: 1_100 }));

const bytes = (text: string) => Buffer.from(text);
const sign = (difference: number) => Math.sign(difference);

function comparePaths(a: readonly string[], b: readonly string[]): number {
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right === undefined) return 1;
    const order = Buffer.compare(bytes(left), bytes(right));
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

describe('keys', () => {
  it('can be read back', () => {
    fc.assert(
      fc.property(path, (parts) => {
        expect(keyParts(storeKey(...parts))).toEqual(parts);
      }),
    );
  });

  it('sort as paths do', () => {
    fc.assert(
      fc.property(path, path, (a, b) => {
        const order = Buffer.compare(bytes(storeKey(...a)), bytes(storeKey(...b)));
        expect(sign(order)).toBe(sign(comparePaths(a, b)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('with an empty last part select exactly what lies below, long parts included', () => {
    const long = fc.array(anyPart, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(long, long, (parent, other) => {
        const prefix = storeKey(...parent, '');
        expect(storeKey(...parent, ...other).startsWith(prefix)).toBe(true);
        const below = other.length > parent.length && parent.every((name, index) => name === other[index]);
        expect(storeKey(...other).startsWith(prefix)).toBe(below);
      }),
    );
  });

  it('of up to six parts fit, however long the parts are', () => {
    fc.assert(
      fc.property(fc.array(anyPart, { minLength: 1, maxLength: 6 }), (parts) => {
        if (parts.some((name) => name !== '') || parts.length > 1) checkKey(storeKey(...parts));
      }),
    );
    const longest = Array.from({ length: 6 }, (_, index) => String(index).repeat(320));
    expect(Buffer.byteLength(storeKey(...longest))).toBeLessThanOrEqual(MAX_KEY_BYTES);
    expect(keyParts(storeKey(...longest))).toEqual(longest);
    expect(() => storeKey(...longest, ...longest)).toThrow(RangeError);
  });

  it('have a hash in the place of a part that is too long, and nothing else looks like one', () => {
    const jid = `${'l'.repeat(1_023)}@${'d'.repeat(1_023)}/${'r'.repeat(1_023)}`;
    const key = storeKey('member', jid, 'x');
    expect(keyParts(key)).toEqual(['member', undefined, 'x']);
    expect(storeKey('member', `${jid}s`, 'x')).not.toBe(key);
    const hashed = key.split('\u0000')[1] ?? '';
    expect(storeKey('member', hashed, 'x')).not.toBe(key);
    expect(keyParts(storeKey('member', hashed, 'x'))).toEqual(['member', hashed, 'x']);
    expect(keyParts(storeKey('é'.repeat(160)))).toEqual(['é'.repeat(160)]);
    expect(keyParts(storeKey('é'.repeat(161)))).toEqual([undefined]);
  });

  it('tell halves of characters apart, which UTF-8 does not', () => {
    expect(storeKey('\ud800')).not.toBe(storeKey('\ud801'));
    expect(storeKey('\ud800')).not.toBe(storeKey('\ufffd'));
    expect(() => checkKey(storeKey('\ud800'))).not.toThrow();
    expect(() => checkKey('\ud800')).toThrow(RangeError);
  });
});
