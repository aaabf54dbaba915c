import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import type { XmlError } from '../../../src/xml/errors.js';
import { AFTER_AUTH, FROM_SERVER, type XmlLimits } from '../../../src/xml/limits.js';
import { Tokenizer } from '../../../src/xml/tokenizer.js';
import { HEADER, table } from './stream-reading.js';

/*
 * Input made to cost more than its bytes. Ceilings are ratios to ordinary stanzas of the same size, chunked in the same
 * way, in the same run: a limit in milliseconds would fail on a busy machine and prove nothing on a fast one. The ordinary
 * ones have a prefix, so that they too are read by the state machine and not by the scanner, which is many times as fast.
 */

const SIZE = 262_144;
/** Only the limit on bytes, so that the others cannot hide what the reading itself costs. */
const BYTES_ONLY: XmlLimits = {
  stanzaBytes: 3 * SIZE,
  depth: 1e9,
  attributes: 1e9,
  children: 1e9,
  namespaces: 1e9,
};

const CHAT =
  "<message to='juliet@example.org/balcony' from='romeo@example.net/orchard' type='chat' id='ktx72v49'>" +
  "<body>Art thou not Romeo, and a Montague?</body><c:active xmlns:c='http://jabber.org/protocol/chatstates'/></message>";

const fill = (part: string): string => part.repeat(Math.ceil(SIZE / part.length));

interface Cost {
  /** Processor time of one reading. */
  readonly microseconds: number;
  /** The most bytes kept of the incomplete element, and the memory they and the records took. */
  readonly pending: number;
  readonly arrayBuffers: number;
  readonly error: XmlError | undefined;
}

/** Some of it is read in less than a millisecond: readings are repeated until there is something to be measured. */
const BLOCK_MICROSECONDS = 25_000;
/** A collection of garbage falls into one block or another: the middle one of several counts. */
const BLOCKS = 3;
/** For where processor time does not move at all: a guard against hanging, not a measure. */
const MOST_READINGS = 2_000;

function cost(
  xml: string | Buffer,
  chunk: number,
  limits: XmlLimits,
  origin: 'client' | 'server' = 'client',
): Cost {
  const bytes = Buffer.from(xml);
  let pending = 0;
  let error: XmlError | undefined;
  let arrayBuffers = 0;
  const read = () => {
    const tokenizer = new Tokenizer(
      { onHeader() {}, onStanza() {}, onClose() {} },
      { limits, origin, namespaces: table },
    );
    tokenizer.push(Buffer.from(HEADER));
    // Buffers of their own for each reading, as from a socket.
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += chunk) chunks.push(bytes.subarray(at, at + chunk));
    const memory = process.memoryUsage().arrayBuffers;
    const before = process.cpuUsage();
    for (const piece of chunks) {
      error = tokenizer.push(piece);
      if (tokenizer.pendingBytes > pending) pending = tokenizer.pendingBytes;
      if (error !== undefined) break;
    }
    const { user, system } = process.cpuUsage(before);
    arrayBuffers = Math.max(arrayBuffers, process.memoryUsage().arrayBuffers - memory);
    return user + system;
  };
  const blocks: number[] = [];
  for (let block = 0; block < BLOCKS; block++) {
    let spent = 0;
    let readings = 0;
    do {
      spent += read();
      readings += 1;
    } while (spent < BLOCK_MICROSECONDS && readings < MOST_READINGS);
    blocks.push(spent / readings);
  }
  const microseconds = blocks.sort((x, y) => x - y)[Math.floor(BLOCKS / 2)] ?? Number.NaN;
  return { microseconds, pending, arrayBuffers, error };
}

const CHUNKS = [1, 1460, SIZE * 2];
const ordinary = new Map<number, number>();
function ordinaryCost(chunk: number): number {
  let known = ordinary.get(chunk);
  if (known === undefined) {
    // Twice, for the first makes the machine code.
    cost(fill(CHAT), chunk, BYTES_ONLY);
    known = cost(fill(CHAT), chunk, BYTES_ONLY).microseconds;
    ordinary.set(chunk, known);
  }
  return known;
}

const declarations = (n: number): string =>
  Array.from({ length: n }, (_, i) => ` xmlns:p${i}='urn:u${i}'`).join('');
const longUri = 'u'.repeat(60_000);

const HOSTILE: [name: string, xml: string, ceiling: number][] = [
  ['one text', `<message><body>${fill('x')}`, 25],
  ['one text of multi-byte characters', `<message><body>${'😀'.repeat(SIZE / 4)}`, 20],
  ['one text of references', `<message><body>${fill('&#65;')}`, 20],
  ['one reference with leading zeros', `<message><body>&#${fill('0')}`, 20],
  ['a bare ampersand, then one name', `<message><body>&${fill('a')}`, 20],
  ['one text of ]', `<message><body>${fill(']')}`, 25],
  ['one CDATA section of ]', `<message><body><![CDATA[${fill(']')}`, 20],
  ['many CDATA sections', `<message><body>${fill('<![CDATA[]]>')}`, 20],
  ['one attribute', `<message to='${fill('x')}'/>`, 25],
  ['one attribute of line ends', `<message to='${fill('\n')}'/>`, 20],
  ['white space inside a tag', `<message ${fill(' ')}/>`, 20],
  ['white space inside an end tag', `<message></message${fill(' ')}>`, 20],
  ['white space around =', `<message to ${fill(' ')}=`, 20],
  ['one name', `<${fill('a')}></${fill('a')}>`, 20],
  ['one name of multi-byte characters', `<${fill('é')}/>`, 25],
  ['nested <a>', fill('<a>'), 25],
  ['nested <a>, closed', `${'<a>'.repeat(SIZE / 7)}${'</a>'.repeat(SIZE / 7)}`, 25],
  ['nested with a default namespace each', fill("<a xmlns='u'>"), 25],
  ['60,000 children', `<message>${'<a/>'.repeat(60_000)}</message>`, 25],
  ['60,000 grandchildren', `<iq><q>${'<a/>'.repeat(60_000)}</q></iq>`, 25],
  [
    '10,000 attributes',
    `<message ${Array.from({ length: 10_000 }, (_, i) => `a${i}='${'x'.repeat(15)}'`).join(' ')}/>`,
    40,
  ],
  ['half a million short attributes in many tags', `<message>${fill("<a b='' c='' d='' e=''/>")}`, 25],
  [
    'attributes whose names differ in the middle',
    `<message>${fill(`<a ${Array.from({ length: 16 }, (_, i) => `a${'x'.repeat(20)}${String.fromCharCode(97 + i)}y='1'`).join(' ')}/>`)}`,
    25,
  ],
  [
    'two long names of one URI, in many tags',
    `<message xmlns:p='${longUri}1' xmlns:q='${longUri}2'>${"<a p:x='' q:x=''/>".repeat(6000)}`,
    40,
  ],
];

describe.each(CHUNKS)('time, in chunks of %i bytes', (chunk) => {
  test.each(HOSTILE)('%s', (_, xml, ceiling) => {
    const { microseconds, error } = cost(xml, chunk, BYTES_ONLY);
    expect(error).toBeUndefined();
    const scale = Math.max(1, xml.length / SIZE);
    expect(microseconds / (ordinaryCost(chunk) * scale)).toBeLessThan(ceiling);
  });

  test('as many declarations as are allowed, and a prefixed name at every step', () => {
    const allowed = AFTER_AUTH.namespaces - 10;
    // Several tags, since the attributes of one are limited too.
    const open = `<message${declarations(60)}><x${Array.from({ length: allowed - 60 }, (_, i) => ` xmlns:q${i}='urn:v${i}'`).join('')}>`;
    const { microseconds, error } = cost(open + '<p0:a/>'.repeat(30_000), chunk, {
      ...AFTER_AUTH,
      children: 1e9,
    });
    expect(error).toBeUndefined();
    expect(microseconds / ordinaryCost(chunk)).toBeLessThan(60);
  });
});

test('four times the bytes take about four times the time, one byte at a time', () => {
  const quarter = cost(`<message><body>${'x'.repeat(SIZE / 4)}`, 1, BYTES_ONLY).microseconds;
  const whole = cost(`<message><body>${'x'.repeat(SIZE)}`, 1, BYTES_ONLY).microseconds;
  // Quadratic would be sixteen.
  expect(whole / quarter).toBeLessThan(10);
});

describe('memory', () => {
  test.each(HOSTILE)('%s: what is kept is bounded by the limit on bytes', (_, xml) => {
    const { error, pending, arrayBuffers } = cost(xml, 1460, AFTER_AUTH);
    expect(pending).toBeLessThanOrEqual(AFTER_AUTH.stanzaBytes);
    // The carried bytes twice over, while they are copied to a larger buffer, and the records.
    expect(arrayBuffers).toBeLessThan(8 * SIZE);
    if (xml.length > AFTER_AUTH.stanzaBytes) expect(error?.condition).toBe('policy-violation');
  });

  test('a bare ampersand, then megabytes', () => {
    const { error, pending } = cost(`<message>&${'a'.repeat(4 * SIZE)}`, 1460, AFTER_AUTH);
    expect(error?.reason).toBe('stanza-too-big');
    expect(pending).toBeLessThanOrEqual(AFTER_AUTH.stanzaBytes);
  });

  test('endless white space between stanzas costs nothing', () => {
    const { error, pending, microseconds } = cost(' '.repeat(16 * SIZE), 1460, AFTER_AUTH);
    expect(error).toBeUndefined();
    expect(pending).toBe(0);
    expect(microseconds / ordinaryCost(1460) / 16).toBeLessThan(5);
  });

  test('of a server, only bytes are bounded: the rest is read at the usual cost', () => {
    for (const [, xml] of HOSTILE) {
      const { error, microseconds } = cost(xml, 1460, FROM_SERVER, 'server');
      expect(error).toBeUndefined();
      expect(microseconds / ordinaryCost(1460)).toBeLessThan(60);
    }
  });

  test('an idle tokenizer holds no array', () => {
    const idle = Array.from({ length: 2000 }, () => {
      const tokenizer = new Tokenizer(
        { onHeader() {}, onStanza() {}, onClose() {} },
        { limits: AFTER_AUTH, origin: 'client', namespaces: table },
      );
      tokenizer.push(Buffer.from(`${HEADER}<presence/> `));
      return tokenizer;
    });
    const before = process.memoryUsage().arrayBuffers;
    for (const tokenizer of idle) tokenizer.push(Buffer.from(CHAT));
    // Buffer's own pool and the chunks themselves, no more.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2000 * (CHAT.length + 300));
    expect(idle.every((tokenizer) => tokenizer.pendingBytes === 0)).toBe(true);
  });
});
