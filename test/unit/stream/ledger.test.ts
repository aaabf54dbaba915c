import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromWireCount, Ledger, parseWireCount, wireCount } from '../../../src/stream/ledger.js';

describe('XEP-0198 §4: nothing is acknowledged that the other side has not acknowledged', () => {
  test('a stanza that was passed on is settled when the target says so', () => {
    const ledger = new Ledger();
    ledger.pass();
    ledger.pass();
    expect(ledger.settled).toBe(0);
    expect(ledger.acknowledge(1)).toBe(true);
    expect(ledger.settled).toBe(1);
    expect(ledger.acknowledge(2)).toBe(true);
    expect(ledger.settled).toBe(2);
  });

  test('a dropped stanza counts at its place in the order', () => {
    const ledger = new Ledger();
    ledger.pass();
    ledger.consume();
    ledger.pass();
    expect(ledger.settled).toBe(0);
    ledger.acknowledge(1);
    expect(ledger.settled).toBe(2);
    ledger.acknowledge(2);
    expect(ledger.settled).toBe(3);
  });

  test('an injected stanza is not counted for the source', () => {
    const ledger = new Ledger();
    ledger.inject();
    ledger.pass();
    ledger.inject();
    ledger.acknowledge(1);
    expect(ledger.settled).toBe(0);
    ledger.acknowledge(2);
    expect(ledger.settled).toBe(1);
  });

  test('a target that claims more than was sent, or takes back, is refused', () => {
    const ledger = new Ledger();
    ledger.pass();
    expect(ledger.acknowledge(2)).toBe(false);
    ledger.acknowledge(1);
    expect(ledger.acknowledge(0)).toBe(false);
    expect(ledger.settled).toBe(1);
  });

  test('property: whatever is injected and dropped, the account equals the plain list of all stanzas', () => {
    const step = fc.oneof(
      fc.constant('pass' as const),
      fc.constant('consume' as const),
      fc.constant('inject' as const),
      fc.record({ acknowledge: fc.integer({ min: 0, max: 4 }) }),
      fc.constant('look' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const ledger = new Ledger();
        const sentAfter: number[] = [];
        let sent = 0;
        let acknowledged = 0;
        const settled = () => {
          let n = 0;
          while (n < sentAfter.length && sentAfter[n]! <= acknowledged) n += 1;
          return n;
        };
        for (const s of steps) {
          if (s === 'pass') {
            ledger.pass();
            sent += 1;
            sentAfter.push(sent);
          } else if (s === 'consume') {
            ledger.consume();
            sentAfter.push(sent);
          } else if (s === 'inject') {
            ledger.inject();
            sent += 1;
          } else if (s === 'look') {
            expect(ledger.settled).toBe(settled());
          } else {
            acknowledged = Math.min(sent, acknowledged + s.acknowledge);
            expect(ledger.acknowledge(acknowledged)).toBe(true);
          }
        }
        expect(ledger.settled).toBe(settled());
        expect(ledger.received).toBe(sentAfter.length);
        expect(ledger.sent).toBe(sent);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('XEP-0198 §4: h is a 32-bit number that wraps to zero', () => {
  test('counts wrap on the wire and not inside', () => {
    expect(wireCount(2 ** 32)).toBe(0);
    expect(wireCount(2 ** 32 + 5)).toBe(5);
    expect(fromWireCount(3, 2 ** 32 - 2)).toBe(2 ** 32 + 3);
    expect(fromWireCount(7, 5)).toBe(7);
    expect(fromWireCount(4294967295, 0)).toBe(4294967295);
  });

  test('only decimal numbers below 2^32 are counts', () => {
    expect(parseWireCount('0')).toBe(0);
    expect(parseWireCount('4294967295')).toBe(4294967295);
    for (const bad of ['4294967296', '-1', '1e3', '', ' 1', '0x1', undefined])
      expect(parseWireCount(bad)).toBeUndefined();
  });
});
