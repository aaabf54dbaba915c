import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Digest } from '../../../src/features/presence-session/digest.js';
import { keyedHash } from '../../../src/features/presence-session/keyed-hash.js';
import { Occupants } from '../../../src/features/presence-session/occupants.js';
import { PackedLog } from '../../../src/features/presence-session/packed-log.js';
import { TimeMarks } from '../../../src/features/presence-session/time-marks.js';
import { View } from '../../../src/features/presence-session/view.js';
import { decodeView, encodeView } from '../../../src/features/presence-session/view-codec.js';
import { Frame } from '../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';

const NAMESPACES = new NamespaceTable(Object.values(NS));
const presence = (content: string): Frame => {
  const frame = parseStanza(
    Buffer.from(`<presence from='r@m/n' to='a@b/c'>${content}</presence>`),
    NAMESPACES,
  );
  if (!(frame instanceof Frame)) throw new Error(`no stanza: ${content}`);
  return frame;
};
const digestOf = (content: string, key = 'a key') => {
  const { lo, hi, flags } = new Digest(key).presence(presence(content));
  return `${lo} ${hi} ${flags}`;
};
const spellingOf = (content: string) => {
  const { spelledLo, spelledHi } = new Digest('a key').spelling(presence(content));
  return `${spelledLo} ${spelledHi}`;
};
const ITEM = `<x xmlns='${NS.mucUser}'><item affiliation='member' role='participant'/></x>`;

describe('the digest of a presence', () => {
  it.each([
    [
      'the order of attributes',
      `<x xmlns='${NS.mucUser}'><item role='participant' affiliation='member'/></x>`,
    ],
    ['quotes', `<x xmlns="${NS.mucUser}"><item affiliation="member" role="participant"/></x>`],
    [
      'white space in tags',
      `<x  xmlns='${NS.mucUser}' ><item affiliation = 'member' role='participant' /></x >`,
    ],
    [
      'how an element ends',
      `<x xmlns='${NS.mucUser}'><item affiliation='member' role='participant'></item></x>`,
    ],
    ['a mark', `${ITEM}<presence-session xmlns='${NS.presenceSession}' session='s' id='1'/>`],
    ['a delay', `<delay xmlns='${NS.delay}' stamp='2026-11-20T12:00:00Z'/>${ITEM}`],
  ])('does not mind %s', (_, other) => {
    expect(digestOf(other)).toBe(digestOf(ITEM));
  });

  it('does not mind the order of what stands in it', () => {
    expect(digestOf(`<show>away</show>${ITEM}`)).toBe(digestOf(`${ITEM}<show>away</show>`));
  });

  it.each([
    ['show', `<show>away</show>${ITEM}`, `<show>xa</show>${ITEM}`],
    ['status', `<status>a</status>${ITEM}`, `<status>b</status>${ITEM}`],
    ['a value', `<c xmlns='${NS.caps}' ver='1'/>`, `<c xmlns='${NS.caps}' ver='2'/>`],
    ['which attribute has a value', `<c a='1' b='2'/>`, `<c a='2' b='1'/>`],
    ['where an element stands', '<a><b/></a>', '<a/><b/>'],
    ['where another one does', '<a><b/><c/></a>', '<a><b><c/></b></a>'],
    ['text and what is none', '<a>b</a>', '<a><b/></a>'],
    ['text and a reference in CDATA', '<a>&lt;</a>', '<a><![CDATA[&lt;]]></a>'],
    ['once and twice', '<a/>', '<a/><a/>'],
  ])('tells apart: %s', (_, one, other) => {
    expect(digestOf(one)).not.toBe(digestOf(other));
    expect(spellingOf(one)).not.toBe(spellingOf(other));
  });

  it('is of no use to who does not know the key', () => {
    expect(digestOf(ITEM, 'one key')).not.toBe(digestOf(ITEM, 'another'));
  });

  it('who is spelled as before says the same as before', () => {
    const content = fc.array(fc.constantFrom('<a/>', "<a b='1'/>", '<show>xa</show>', ITEM), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(content, content, (one, other) => {
        if (spellingOf(one.join('')) !== spellingOf(other.join(''))) return;
        expect(digestOf(one.join(''))).toBe(digestOf(other.join('')));
      }),
    );
  });

  it('the hash is the one of its paper, with one round a word and three at the end', () => {
    for (let length = 0; length < 20; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => i);
      const out = { lo: 0, hi: 0 };
      keyedHash(new DataView(bytes.buffer), 0, length, 0x03020100, 0x07060504, out);
      expect(out).toEqual(halfSipHash(bytes, 0x03020100, 0x07060504));
    }
  });
});

/** HalfSipHash-1-3-64, word for word as its specification has it. */
function halfSipHash(bytes: Uint8Array, k0: number, k1: number) {
  const v = [k0, k1 ^ 0xee, k0 ^ 0x6c796765, k1 ^ 0x74656462];
  const rotated = (x: number, by: number) => (x << by) | (x >>> (32 - by));
  const step = (a: number, b: number, by: number, half: boolean) => {
    v[a] = (v[a]! + v[b]!) | 0;
    v[b] = rotated(v[b]!, by) ^ v[a]!;
    if (half) v[a] = rotated(v[a]!, 16);
  };
  const round = () => {
    step(0, 1, 5, true);
    step(2, 3, 8, false);
    step(0, 3, 7, false);
    step(2, 1, 13, true);
  };
  const padded = [...bytes, ...new Array<number>(3 - (bytes.length % 4)).fill(0), bytes.length];
  for (let at = 0; at < padded.length; at += 4) {
    const word = padded[at]! | (padded[at + 1]! << 8) | (padded[at + 2]! << 16) | (padded[at + 3]! << 24);
    v[3]! ^= word;
    round();
    v[0]! ^= word;
  }
  v[2]! ^= 0xee;
  for (let n = 0; n < 3; n++) round();
  const lo = v[1]! ^ v[3]!;
  v[1]! ^= 0xdd;
  for (let n = 0; n < 3; n++) round();
  return { lo, hi: v[1]! ^ v[3]! };
}

describe('who is in a room', () => {
  const said = (n: number) => ({ lo: n, hi: -n, spelledLo: n * 3, spelledHi: -n * 5, flags: n & 31 });

  it('is what was put in and not taken out, whatever the nicks', () => {
    const nick = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('a', 'b', ''));
    const step = fc.record({ nick, n: fc.nat(1_000), gone: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const occupants = new Occupants(1, 2);
        const model = new Map<string, { n: number; changed: number }>();
        steps.forEach((each, id) => {
          const known = Buffer.from(each.nick).toString();
          if (each.gone) {
            expect(occupants.remove(each.nick)).toBe(model.delete(known));
            return;
          }
          const before = model.get(known);
          const isNew = before?.n !== each.n;
          expect(occupants.set(each.nick, said(each.n), id)).toBe(isNew);
          model.set(known, { n: each.n, changed: isNew ? id : before!.changed });
        });
        occupants.trim();
        for (const all of [occupants, occupants.rebased()]) {
          expect(all.size).toBe(model.size);
          for (const [name, { n, changed }] of model) {
            const row = all.find(name);
            expect(all.nick(row)).toBe(name);
            expect(all.says(row, n, -n, n & 31)).toBe(true);
            expect(all.isSpelled(row, n * 3, -n * 5)).toBe(true);
            expect(all.changed(row)).toBe(all === occupants ? changed : 0);
          }
        }
      }),
    );
  });
});

describe('what is kept of a view', () => {
  it('is written and read again', () => {
    const view = View.empty('abcdefgh1234');
    view.here('Romeo', presence(ITEM), view.next(1_000));
    view.here('Juliet', presence(ITEM), view.next(2_000));
    view.begin(0);
    view.here('Nurse', presence(`<show>away</show>${ITEM}`), view.next(30_000));
    view.gone('Romeo', view.next(60_000));
    view.trail.add(view.next(61_000), { stanzaIdLo: 1, stanzaIdHi: -2, contentLo: 3, contentHi: -4 }, 60_500);
    const copy = decodeView(view.session, encodeView(view, 5_000))!;
    const { occupants, trail, ...parts } = view.parts();
    const { occupants: others, trail: otherTrail, ...otherParts } = copy.parts();
    expect(otherParts).toEqual(parts);
    expect([...otherTrail.records]).toEqual([...trail.records]);
    for (const nick of ['Juliet', 'Nurse']) {
      const [row, other] = [occupants.find(nick), others.find(nick)];
      expect(others.says(other, occupants.lo(row), occupants.hi(row), occupants.flags(row))).toBe(true);
      expect(others.changed(other)).toBe(occupants.changed(row));
    }
    expect(others.find('Romeo')).toBe(-1);
  });

  it('what is not what this version writes is no view', () => {
    const value = encodeView(View.empty('abcdefgh1234'), 5_000);
    for (let length = 0; length < value.length; length++) {
      expect(decodeView('abcdefgh1234', value.subarray(0, length))).toBeUndefined();
    }
  });

  it('the newest records, in no more than their budget', () => {
    const number = fc.integer({ min: -1, max: 2 ** 49 });
    const record = fc.record({ length: fc.nat(200), number, flags: fc.nat(255) });
    fc.assert(
      fc.property(
        fc.array(record, { maxLength: 60 }),
        fc.integer({ min: 64, max: 600 }),
        (records, budget) => {
          const log = new PackedLog();
          records.forEach(({ length, number, flags }, at) => {
            log.add(at + 1, number, flags, Buffer.alloc(length, at), budget);
            expect(log.bytes).toBeLessThanOrEqual(Math.max(budget, 256));
          });
          const kept = [...log.after(0)];
          // All behind the last that was dropped.
          expect(kept.map(({ id }) => id)).toEqual(records.map((_, at) => at + 1).slice(log.dropped));
          for (const { id, number, flags, bytes } of kept) {
            expect({ number, flags, bytes }).toEqual({
              number: Math.max(0, Math.min(records[id - 1]!.number, 2 ** 48 - 1)),
              flags: records[id - 1]!.flags,
              bytes: Buffer.alloc(records[id - 1]!.length, id - 1),
            });
          }
        },
      ),
    );
  });

  it('a time at or before which a stanza was shown, however many there have been', () => {
    const marks = new TimeMarks();
    for (let id = 1; id <= 1_000; id++) marks.note(id, id * 30_000);
    for (const id of [1, 2, 500, 999, 1_000]) {
      expect(marks.atOrBefore(id)).toBeLessThanOrEqual(id * 30_000);
    }
    // The longer ago the more roughly.
    for (let id = 1; id <= 1_000; id++) {
      const age = 1_000 - id;
      expect(marks.atOrBefore(id)).toBeGreaterThanOrEqual((id - 2 - age * 1.5) * 30_000);
    }
    expect(marks.atOrBefore(1)).toBe(30_000);
    expect(new TimeMarks(marks.marks.ids, marks.marks.times).marks).toEqual(marks.marks);
    expect(marks.marks.ids.length).toBeLessThanOrEqual(16);
  });
});
