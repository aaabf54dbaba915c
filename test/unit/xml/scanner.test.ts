import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { compiledScanner, SCANNER_CODE } from '../../../scripts/build-scanner.js';
import type { Frame } from '../../../src/xml/frame.js';
import { AFTER_AUTH, BEFORE_AUTH, type XmlLimits } from '../../../src/xml/limits.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { READ_AREA, scanned, takeReceived } from '../../../src/xml/scanner/scanner.js';
import { Tokenizer } from '../../../src/xml/tokenizer.js';
import { corpus, legalStream, mutatedStream } from './documents.js';
import { describeFrame, HEADER, read, type Stanza, table } from './stream-reading.js';

/** All that a frame knows, the positions inside its bytes included. */
function everything(frame: Frame) {
  const kept = frame.detach();
  const { context: _, namespaces: __, rootAttributes, children, ...records } = kept.records;
  return {
    stanza: describeFrame(frame),
    records,
    attributes: [...rootAttributes],
    children: [...children],
    childIds: Array.from({ length: frame.childCount }, (_, i) => frame.childNamespaceId(i)),
    namespaceId: frame.namespaceId,
  };
}

interface Outcome {
  readonly frames: ReturnType<typeof everything>[];
  readonly reason: string | undefined;
  quick: number;
}

/** @param chunked how the bytes come: split behind the first byte of a stanza, no stanza is ever scanned */
function outcome(chunks: readonly Buffer[], origin: 'client' | 'server', limits: XmlLimits): Outcome {
  const frames: Outcome['frames'] = [];
  let quick = 0;
  const tokenizer = new Tokenizer(
    {
      onHeader() {},
      onStanza(frame) {
        if (frame === scanned) quick++;
        frames.push(everything(frame));
      },
      onClose() {},
    },
    { limits, origin, namespaces: table },
  );
  tokenizer.push(Buffer.from(HEADER));
  let reason: string | undefined;
  for (const chunk of chunks) reason ??= tokenizer.push(chunk)?.reason;
  return { frames, reason, quick };
}

/** The same bytes one by one: all of it the work of the state machine. */
function oneByOne(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
}

function expectSame(bytes: Buffer, origin: 'client' | 'server', limits: XmlLimits): number {
  const scanner = outcome([bytes], origin, limits);
  const machine = outcome(oneByOne(bytes), origin, limits);
  expect(machine.quick).toBe(0);
  expect({ ...scanner, quick: 0 }).toEqual(machine);
  return scanner.quick;
}

/** Mostly what everybody writes, now and then what hardly anybody does. */
const mostly = (usual: readonly string[], odd: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 25, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constantFrom(...odd) },
  );
const joined = (parts: fc.Arbitrary<string>, maxLength: number) =>
  fc.array(parts, { maxLength }).map((all) => all.join(''));

const LONG = 'more than the sixteen bytes that are looked at together';
const name = mostly(
  ['message', 'presence', 'iq', 'a', 'messages', 'body', 'x-1', '_y.z', 'Message'],
  ['stream', 'é'],
);
const quote = fc.constantFrom("'", '"');
const value = joined(
  mostly(
    ['x', 'a@b/c', ' ', '', 'é', '€', '😀', '&amp;', '&lt;', '&gt;', '&quot;', '&apos;', '>', '/', LONG],
    ['&#65;', '&am;', '\n', '\u0000', '<', "'", '"', '&', '&lt', '\ufffe'],
  ),
  4,
);
const namespace = mostly(
  [NS.client, NS.muc, NS.delay, 'jabber:server', 'u'],
  [NS.stream, NS.xml, NS.xmlns, '', ' u', 'u ', 'é', 'a&amp;b'],
);
const attribute = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(mostly(['to', 'from', 'type', 'id', 'xml:lang'], ['xml:', 'p:q', 'é']), value),
  },
  { weight: 2, arbitrary: fc.tuple(mostly(['xmlns', 'xmlnsx'], ['xmlns:p']), namespace) },
);
const blank = mostly([' ', ' ', ' ', '  '], ['\n', '']);
const attributes = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.uniqueArray(fc.tuple(blank, attribute, quote), {
      maxLength: 5,
      selector: ([, [attributeName]]) => attributeName,
    }),
  },
  { weight: 1, arbitrary: fc.array(fc.tuple(blank, attribute, quote), { maxLength: 3 }) },
);
const tag = fc.tuple(name, attributes, mostly(['', '', ' '], ['\t'])).map(([name, attributes, end]) => ({
  name,
  open: `<${name}${attributes.map(([b, [n, v], q]) => `${b}${n}=${q}${v.replaceAll(q, '')}${q}`).join('')}${end}`,
}));
const text = joined(
  mostly(
    ['x', LONG, ' ', '\n', '\t\r\n', 'é', '€uro', '日本語', '😀', '&amp;', '&apos;', ']]', '>', '\ufffd', ''],
    [']]>', '&#x41;', '&nbsp;', '\u0007', '\uffff', '<![CDATA[x]]>', '<!-- -->'],
  ),
  3,
);
const { element } = fc.letrec<{ element: string }>((tie) => ({
  element: fc
    .tuple(
      tag,
      fc.option(fc.array(fc.tuple(text, tie('element')), { maxLength: 3 })),
      text,
      mostly([''], [' ', 'x']),
    )
    .map(([{ name, open }, content, last, end]) =>
      content === null ? `${open}/>` : `${open}>${content.flat().join('')}${last}</${name}${end}>`,
    ),
}));
const stream = fc.array(element, { minLength: 1, maxLength: 4 }).map((all) => Buffer.from(all.join('')));

/** As an ordinary client writes. */
const CHAT = Buffer.from(
  `<message to='juliet@example.com/balcony' from="romeo@example.net" type='chat' id='a1' xml:lang='en'>` +
    `<body>Art thou not Romeo &amp; a Montague? 😀 ]] &gt; é</body><active xmlns='${NS.chatStates}'/>` +
    `<x xmlns='urn:example:unknown'><y/><z xmlns='${NS.delay}' stamp='2026'>t</z></x></message>`,
);

describe('the scanner reads what the state machine reads', () => {
  const limits: [string, XmlLimits][] = [
    ['after authentication', AFTER_AUTH],
    ['before authentication', BEFORE_AUTH],
    ['tiny stanzas', { ...AFTER_AUTH, stanzaBytes: 60 }],
    ['as narrow as the scanner', { ...AFTER_AUTH, depth: 16, attributes: 16, children: 64, namespaces: 16 }],
    ['narrower than the scanner', { ...AFTER_AUTH, depth: 3, attributes: 2, children: 1, namespaces: 1 }],
  ];
  for (const [what, limit] of limits) {
    for (const origin of ['client', 'server'] as const) {
      test(`random stanzas of a ${origin}, ${what}`, () => {
        fc.assert(
          fc.property(stream, (bytes) => void expectSame(bytes, origin, limit)),
          { numRuns: 1_500 },
        );
      });
    }
  }

  test('streams of the corpus, legal and mutated', () => {
    for (const [, bytes] of [...corpus('accepted'), ...corpus('refused')])
      expectSame(bytes, 'client', AFTER_AUTH);
    const strip = (bytes: Buffer) => bytes.subarray(bytes.indexOf('<', bytes.indexOf('stream:stream') + 1));
    fc.assert(
      fc.property(legalStream, (text) => void expectSame(strip(Buffer.from(text)), 'client', AFTER_AUTH)),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(mutatedStream, (bytes) => void expectSame(strip(bytes), 'server', AFTER_AUTH)),
      { numRuns: 500 },
    );
  });

  test('one byte of an ordinary stanza replaced, at every place', () => {
    for (let at = 0; at < CHAT.length; at++) {
      for (const byte of [
        0, 9, 0x20, 0x22, 0x26, 0x27, 0x2f, 0x3a, 0x3c, 0x3d, 0x3e, 0x5d, 0x61, 0x80, 0xc3, 0xe0, 0xf4,
      ]) {
        const bytes = Buffer.from(CHAT);
        bytes[at] = byte;
        expectSame(bytes, 'client', AFTER_AUTH);
      }
    }
  });

  test('two bytes of every kind of character, and three, in text and in a value', () => {
    for (const lead of [0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf3, 0xf4, 0xf5, 0xff]) {
      for (const second of [0x20, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0]) {
        for (const rest of [[], [0x80], [0xbd], [0xbe], [0xbf, 0xbf], [0x80, 0x20]]) {
          const character = Buffer.from([lead, second, ...rest]);
          for (const [before, after] of [
            ["<iq id='", "'/>"],
            ['<iq>', '</iq>'],
          ] as const) {
            expectSame(
              Buffer.concat([Buffer.from(before), character, Buffer.from(after)]),
              'client',
              AFTER_AUTH,
            );
          }
        }
      }
    }
  });
});

describe('the scanner', () => {
  it('is what its source compiles to: npm run build:scanner', async () => {
    expect(readFileSync(SCANNER_CODE, 'utf8')).toBe(await compiledScanner());
  });

  it('takes ordinary stanzas of clients and servers, so that the tests above are about it', () => {
    for (const origin of ['client', 'server'] as const)
      expect(expectSame(Buffer.concat([CHAT, Buffer.from(' \n'), CHAT]), origin, AFTER_AUTH)).toBe(2);
    const random = fc.sample(stream, 500).filter((bytes) => expectSame(bytes, 'client', AFTER_AUTH) > 0);
    expect(random.length).toBeGreaterThan(100);
  });

  it('reads behind a stanza that came in two chunks, and behind one that it leaves alone', () => {
    const rare = Buffer.from('<p:iq xmlns:p="u"/>');
    const bytes = Buffer.concat([CHAT, rare, CHAT]);
    expect(outcome([bytes.subarray(0, 50), bytes.subarray(50)], 'client', AFTER_AUTH).quick).toBe(1);
    expect(outcome([bytes], 'client', AFTER_AUTH).quick).toBe(2);
  });

  it('reads chunks larger than its memory', () => {
    const bytes = Buffer.concat(Array.from({ length: 700 }, () => CHAT));
    expect(bytes.length).toBeGreaterThan(3 * 65_536);
    const { frames, quick } = outcome([bytes], 'server', AFTER_AUTH);
    expect(frames.map(({ stanza }) => stanza.xml)).toEqual(
      Array.from({ length: 700 }, () => CHAT.toString()),
    );
    expect(quick).toBe(700);
  });

  it('reads a chunk where it was received, and another one when it has been received since', () => {
    const stanza = (id: string) => Buffer.from(`<iq id='${id}'/>`);
    const received = (id: string) => takeReceived(stanza(id).copy(READ_AREA));
    const [first, second] = [received('first'), received('second')];
    const ids = (chunk: Buffer) =>
      outcome([chunk], 'client', AFTER_AUTH).frames.map(({ stanza }) => stanza.attributes[3]);
    expect(ids(second)).toEqual(['second']);
    expect(ids(first)).toEqual(['first']);
  });

  it('leaves a stanza to the state machine that comes while another one is being looked at', () => {
    const inner: Stanza[] = [];
    let outer: Stanza | undefined;
    const tokenizer = new Tokenizer(
      {
        onHeader() {},
        onStanza(frame) {
          inner.push(...read([Buffer.from(`${HEADER}<presence id='inner'/>`)]).stanzas);
          outer = describeFrame(frame);
        },
        onClose() {},
      },
      { limits: AFTER_AUTH, origin: 'client', namespaces: table },
    );
    tokenizer.push(Buffer.from(HEADER));
    tokenizer.push(CHAT);
    expect(inner.map(({ attributes }) => attributes[3])).toEqual(['inner']);
    expect(outer?.xml).toBe(CHAT.toString());
    expect(outer?.attributes[3]).toBe('a1');
  });

  it('is ready for the next stanza after somebody has thrown', () => {
    let quick = 0;
    const tokenizer = new Tokenizer(
      {
        onHeader() {},
        onStanza(frame) {
          if (frame === scanned) quick++;
          throw new Error('a broken feature');
        },
        onClose() {},
      },
      { limits: AFTER_AUTH, origin: 'client', namespaces: table },
    );
    tokenizer.push(Buffer.from(HEADER));
    for (let i = 0; i < 2; i++) expect(() => tokenizer.push(Buffer.from(CHAT))).toThrow('a broken feature');
    expect(quick).toBe(2);
  });

  it('numbers namespaces as the table does that the stream is read with', () => {
    const others = [new NamespaceTable(['urn:example:unknown']), new NamespaceTable([NS.delay]), table];
    for (const namespaces of [...others, ...others]) {
      let ids: number[] = [];
      const tokenizer = new Tokenizer(
        {
          onHeader() {},
          onStanza(frame) {
            ids = [0, 1, 2].map((i) => frame.childNamespaceId(i));
          },
          onClose() {},
        },
        { limits: AFTER_AUTH, origin: 'client', namespaces },
      );
      tokenizer.push(Buffer.from(HEADER));
      tokenizer.push(CHAT);
      expect(ids).toEqual([NS.client, NS.chatStates, 'urn:example:unknown'].map((uri) => namespaces.id(uri)));
    }
  });

  it('does without when there are more namespaces than it has room for', () => {
    const many = new NamespaceTable(Array.from({ length: 300 }, (_, i) => `urn:example:${i}`));
    let frames = 0;
    const sink = {
      onHeader() {},
      onStanza: (frame: Frame) => void (frame !== scanned && frames++),
      onClose() {},
    };
    const tokenizer = new Tokenizer(sink, { limits: AFTER_AUTH, origin: 'client', namespaces: many });
    tokenizer.push(Buffer.from(HEADER));
    tokenizer.push(CHAT);
    expect(frames).toBe(1);
  });
});
