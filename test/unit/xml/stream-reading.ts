import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { expect } from 'vitest';
import type { XmlError } from '../../../src/xml/errors.js';
import type { Frame } from '../../../src/xml/frame.js';
import type { StreamHeader } from '../../../src/xml/header.js';
import { AFTER_AUTH, type XmlLimits } from '../../../src/xml/limits.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { Tokenizer } from '../../../src/xml/tokenizer.js';
import { frameToElement } from '../../../src/xml/tree.js';

export const table = new NamespaceTable(Object.values(NS));

export const HEADER =
  "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/** [namespace, local name, attributes as [namespace, local name, value] in order of name, children] */
export type Tree = [string, string, [string, string, string][], (Tree | string)[]];

export interface Reading {
  readonly headers: StreamHeader[];
  /** What each stanza was, all that a frame tells. */
  readonly stanzas: Stanza[];
  closed: boolean;
  error: XmlError | undefined;
  /** Bytes of an element that is not complete. */
  pending: number;
}

export interface Stanza {
  readonly xml: string;
  readonly kind: number;
  readonly flaw: string;
  readonly portable: boolean;
  readonly name: string;
  readonly attributes: (string | undefined)[];
  readonly children: { readonly name: string; readonly known: boolean; readonly xml: string }[];
  /** Only of stanzas without flaw. */
  readonly tree: Tree | undefined;
}

export interface ReadingOptions {
  readonly origin?: 'client' | 'server';
  readonly limits?: XmlLimits;
}

export function describeFrame(frame: Frame): Stanza {
  const children: Stanza['children'] = [];
  for (let i = 0; i < frame.childCount; i++) {
    const xml = frame.buffer.toString('utf8', frame.childStart(i), frame.childEnd(i));
    const name = `{${frame.childNamespace(i)}}${frame.childName(i)}`;
    children.push({ name, known: frame.childNamespaceId(i) !== 0, xml });
  }
  return {
    xml: frame.toString(),
    kind: frame.kind,
    flaw: frame.flaw,
    portable: frame.portable,
    name: `{${frame.namespace()}}${frame.localName()}`,
    attributes: [frame.to, frame.from, frame.type, frame.id, frame.lang],
    children,
    tree: frame.flaw === 'none' ? treeOf(frameToElement(frame)) : undefined,
  };
}

/** Reads the chunks as one stream, up to the first error. */
export function read(chunks: Iterable<Buffer>, options: ReadingOptions = {}): Reading {
  const reading: Reading = { headers: [], stanzas: [], closed: false, error: undefined, pending: 0 };
  const tokenizer = new Tokenizer(
    {
      onHeader: (header) => void reading.headers.push(header),
      onStanza: (frame) => void reading.stanzas.push(describeFrame(frame)),
      onClose: () => {
        reading.closed = true;
      },
    },
    { limits: options.limits ?? AFTER_AUTH, origin: options.origin ?? 'client', namespaces: table },
  );
  for (const chunk of chunks) {
    reading.error = tokenizer.push(chunk);
    reading.pending = tokenizer.pendingBytes;
    if (reading.error === undefined) continue;
    expect(tokenizer.push(Buffer.from(' ')), 'the first error is final').toBe(reading.error);
    expect(tokenizer.pendingBytes).toBe(0);
    break;
  }
  return reading;
}

export function* pieces(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/**
 * Reads the input whole, byte by byte, and split in two at every offset, which includes the inside of every
 * multi-byte character, and requires the same result each time.
 */
export function readFourWays(input: string | Buffer, options: ReadingOptions = {}): Reading {
  const bytes = typeof input === 'string' ? Buffer.from(input, 'utf8') : input;
  const whole = read([bytes], options);
  expect(read(pieces(bytes, 1), options), 'byte by byte').toEqual(whole);
  for (let at = 1; at < bytes.length; at++) {
    const split = read([bytes.subarray(0, at), bytes.subarray(at)], options);
    expect(split, `split at ${at}`).toEqual(whole);
  }
  return whole;
}

/** The reason for which a client's stream with this content is refused; undefined if it is accepted. */
export function refusal(content: string | Buffer, options: ReadingOptions = {}): string | undefined {
  const { error } = readFourWays(Buffer.concat([Buffer.from(HEADER), Buffer.from(content)]), options);
  return error === undefined ? undefined : `${error.condition} ${error.reason}`;
}

/** The only stanza of a stream with this content. */
export function onlyStanza(content: string | Buffer, options: ReadingOptions = {}): Stanza {
  const reading = readFourWays(Buffer.concat([Buffer.from(HEADER), Buffer.from(content)]), options);
  expect(reading.error).toBeUndefined();
  expect(reading.stanzas).toHaveLength(1);
  return reading.stanzas[0]!;
}

/** Hands the only stanza of a stream to `use` as a frame. */
export function withFrame<T>(
  content: string,
  use: (frame: Frame) => T,
  origin: 'client' | 'server' = 'client',
  header = HEADER,
): T {
  const results: T[] = [];
  const tokenizer = new Tokenizer(
    { onHeader() {}, onStanza: (frame) => void results.push(use(frame)), onClose() {} },
    { limits: AFTER_AUTH, origin, namespaces: table },
  );
  expect(tokenizer.push(Buffer.from(header + content))).toBeUndefined();
  expect(results).toHaveLength(1);
  return results[0]!;
}

export function treeOf(element: Element): Tree {
  const attributes: [string, string, string][] = [];
  for (const [name, value] of Object.entries(element.attrs as Record<string, string>)) {
    if (name === 'xmlns' || name.startsWith('xmlns:')) continue;
    const colon = name.indexOf(':');
    const namespace = colon === -1 ? '' : (element.findNS(name.slice(0, colon)) ?? '?');
    attributes.push([namespace, name.slice(colon + 1), value]);
  }
  return [
    element.getNS() ?? '',
    element.getName(),
    sorted(attributes),
    element.children.map((child) => (typeof child === 'string' ? child : treeOf(child))),
  ];
}

export function sorted(attributes: [string, string, string][]): [string, string, string][] {
  return attributes.sort((a, b) => (`${a[0]} ${a[1]}` < `${b[0]} ${b[1]}` ? -1 : 1));
}
