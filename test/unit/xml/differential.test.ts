import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { SaxesParser } from 'saxes';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AFTER_AUTH } from '../../../src/xml/limits.js';
import { Tokenizer } from '../../../src/xml/tokenizer.js';
import { corpus, legalStream, mutatedStream } from './documents.js';
import { HEADER, pieces, type Reading, read, sorted, type Tree, table } from './stream-reading.js';

/*
 * What is accepted, any conforming namespace-aware parser reads in the same way. Here saxes and Expat stand for
 * them all: we accept only what they accept, and see the same trees.
 */

interface Verdict {
  readonly error: string | null;
  readonly stanzas: Tree[];
}

function show(document: Buffer): string {
  return document.toString('latin1');
}

/** Of what we have accepted: every complete stanza, and that nothing was wrong up to there. */
function compare(document: Buffer, ours: Reading, theirs: Verdict): void {
  const trees = ours.stanzas.map((stanza) => stanza.tree);
  expect(theirs.stanzas.slice(0, trees.length), show(document)).toEqual(trees);
  for (const [i, stanza] of ours.stanzas.entries()) {
    const tree = theirs.stanzas[i]!;
    expect(stanza.name).toBe(`{${tree[0]}}${tree[1]}`);
    const attribute = (name: string): string | undefined =>
      tree[2].find(([ns, local]) => ns === '' && local === name)?.[2];
    expect(stanza.attributes.slice(0, 4)).toEqual(['to', 'from', 'type', 'id'].map(attribute));
    const children = tree[3].filter((child) => typeof child !== 'string');
    expect(stanza.children.map((child) => child.name)).toEqual(
      children.map(([ns, local]) => `{${ns}}${local}`),
    );
  }
  if (ours.error !== undefined) return;
  expect(theirs.stanzas, show(document)).toHaveLength(trees.length);
  // A mistake in a tag may be noticed when the tag is over, nothing of it having been handed on.
  if (ours.pending > 0) return;
  expect(theirs.error, show(document)).toBeNull();
}

function bySaxes(document: Buffer, final: boolean): Verdict {
  const parser = new SaxesParser({ xmlns: true });
  const stack: Tree[] = [];
  const stanzas: Tree[] = [];
  let error: string | null = null;
  const text = (value: string): void => {
    const children = stack.length > 1 ? stack[stack.length - 1]![3] : undefined;
    if (children === undefined || value === '') return;
    const last = children.length - 1;
    if (typeof children[last] === 'string') children[last] += value;
    else children.push(value);
  };
  parser.on('error', (e) => {
    error ??= e.message;
  });
  for (const event of ['comment', 'doctype', 'processinginstruction'] as const) {
    parser.on(event, () => {
      error ??= event;
    });
  }
  parser.on('text', text);
  parser.on('cdata', text);
  parser.on('opentag', (tag) => {
    const attributes = Object.values(tag.attributes)
      .filter(({ prefix, name }) => prefix !== 'xmlns' && name !== 'xmlns')
      .map(({ uri, local, value }): [string, string, string] => [uri, local, value]);
    stack.push([tag.uri, tag.local, sorted(attributes), []]);
  });
  parser.on('closetag', () => {
    const element = stack.pop()!;
    if (stack.length === 1) stanzas.push(element);
    else stack[stack.length - 1]?.[3].push(element);
  });
  parser.write(document.toString('utf8'));
  if (final) parser.close();
  return { error, stanzas };
}

/** One Expat for all: a line in, a line out, in order. */
class Expat {
  private readonly child = spawn('python3', [fileURLToPath(new URL('expat-reader.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  private readonly waiting: ((verdict: Verdict) => void)[] = [];

  constructor() {
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const verdict = JSON.parse(line) as Verdict;
      const inOrder = (tree: Tree): Tree => [
        tree[0],
        tree[1],
        sorted(tree[2]),
        tree[3].map((child) => (typeof child === 'string' ? child : inOrder(child))),
      ];
      this.waiting.shift()?.({ error: verdict.error, stanzas: verdict.stanzas.map(inOrder) });
    });
  }

  read(document: Buffer, final: boolean): Promise<Verdict> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.child.stdin.write(`${document.toString('base64')} ${final ? 'final' : 'open'}\n`);
    });
  }

  close(): void {
    this.child.stdin.end();
  }
}

/**
 * Expat goes by the fourth edition of XML 1.0, whose names have fewer characters than those of the fifth, which it is
 * for us to accept. A mutation may put any character in a name, so for Expat each beyond ASCII becomes one that both
 * allow. What is no UTF-8, or no character, stays.
 */
function inFourthEdition(document: Buffer): Buffer {
  const sequence = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}/g;
  const allowed = Buffer.from('é').toString('latin1');
  const text = document.toString('latin1').replace(sequence, (bytes) => {
    const character = Buffer.from(bytes, 'latin1').toString('utf8');
    const valid = Buffer.from(character, 'utf8').toString('latin1') === bytes;
    return valid && !/[\ufffe\uffff]/.test(character) ? allowed : bytes;
  });
  return Buffer.from(text, 'latin1');
}

let expat: Expat;
beforeAll(() => {
  expat = new Expat();
});
afterAll(() => expat.close());

async function compareAll(
  documents: readonly Buffer[],
  forExpat = (document: Buffer): Buffer => document,
): Promise<{ accepted: number; refused: number }> {
  const count = { accepted: 0, refused: 0 };
  const work = documents.map(async (document) => {
    const ours = read([document], { limits: AFTER_AUTH });
    if (ours.error === undefined) count.accepted++;
    else count.refused++;
    if (ours.error === undefined || ours.stanzas.length > 0)
      compare(document, ours, bySaxes(document, ours.closed));
    const plain = forExpat(document);
    const again = plain === document ? ours : read([plain]);
    compare(plain, again, await expat.read(plain, again.closed));
  });
  await Promise.all(work);
  return count;
}

describe('corpus', () => {
  test.each(corpus('accepted'))('accepted: %s', async (_, document) => {
    expect(read([document]).error).toBeUndefined();
    await compareAll([document]);
  });

  test.each(corpus('refused'))('refused: %s', async (_, document) => {
    expect(read([document]).error).toBeDefined();
    await compareAll([document]);
  });
});

describe('generated', () => {
  test('legal streams are accepted and read alike', async () => {
    const documents = fc.sample(legalStream, 1000).map((xml) => Buffer.from(xml));
    expect(await compareAll(documents)).toEqual({ accepted: documents.length, refused: 0 });
  });

  test('mutated streams: accepted only if they accept them', async () => {
    const documents = fc.sample(mutatedStream, 4000);
    const { accepted, refused } = await compareAll(documents, inFourthEdition);
    // Else the mutations would prove nothing.
    expect(accepted).toBeGreaterThan(200);
    expect(refused).toBeGreaterThan(1000);
  }, 120_000);

  test('every mutated document of the corpus', async () => {
    const documents = corpus('accepted').flatMap(([, bytes]) =>
      Array.from({ length: bytes.length }, (_, i) => {
        const inserted = '<>&\'"]:= '.charAt(i % 10);
        return i % 2 === 0
          ? Buffer.concat([bytes.subarray(0, i), bytes.subarray(i + 1)])
          : Buffer.concat([bytes.subarray(0, i), Buffer.from(inserted), bytes.subarray(i)]);
      }),
    );
    await compareAll(documents, inFourthEdition);
  }, 120_000);
});

test('chunking does not matter', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        legalStream.map((xml) => Buffer.from(xml)),
        mutatedStream,
      ),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 10 }),
      fc.constantFrom('client', 'server' as const),
      (document, sizes, origin) => {
        const whole = read([document], { origin });
        const chunks = function* (): Generator<Buffer> {
          for (let at = 0, i = 0; at < document.length; i++) {
            const size = sizes[i % sizes.length]!;
            yield document.subarray(at, at + size);
            at += size;
          }
        };
        expect(read(chunks(), { origin })).toEqual(whole);
        expect(read(pieces(document, 1), { origin })).toEqual(whole);
      },
    ),
    { numRuns: 800 },
  );
});

test('every short tag: whole, byte by byte and as saxes reads it', () => {
  const alphabet = ["'", ' ', '/', '<', '=', '>', 'a', ':', '&'];
  const header = HEADER.replace("xmlns='", "xmlns:a='urn:a' xmlns='");
  const opening = Buffer.from(header);
  let accepted = 0;
  for (let n = 0; n < alphabet.length ** 5; n++) {
    let tag = '<a';
    for (let i = 0, rest = n; i < 5; i++, rest = Math.floor(rest / alphabet.length))
      tag += alphabet[rest % alphabet.length];
    const bytes = Buffer.from(tag);
    const outcomes = [[bytes], [...pieces(bytes, 1)]].map((chunks) => {
      let stanzas = 0;
      const tokenizer = new Tokenizer(
        { onHeader() {}, onStanza: () => void stanzas++, onClose() {} },
        { limits: AFTER_AUTH, origin: 'client', namespaces: table },
      );
      tokenizer.push(opening);
      let error: string | undefined;
      for (const chunk of chunks) error ??= tokenizer.push(chunk)?.reason;
      return `${stanzas} ${error} ${tokenizer.pendingBytes}`;
    });
    if (outcomes[0] !== outcomes[1]) expect(outcomes[0], tag).toBe(outcomes[1]);
    if (!outcomes[0]?.includes('undefined')) continue;
    accepted++;
    const open = outcomes[0].endsWith(' 0') ? '' : '</a>';
    // An element whose start tag is over can be ended: then saxes has to agree with the tag.
    const { error, stanzas, pending } = read([Buffer.from(header + tag + open)]);
    if (error !== undefined || pending > 0) continue;
    const theirs = bySaxes(Buffer.from(header + tag + open), false);
    if (theirs.error !== null || theirs.stanzas.length !== stanzas.length)
      expect(theirs.error, tag).toBeNull();
  }
  expect(accepted).toBeGreaterThan(500);
}, 120_000);
