import type { Buffer } from 'node:buffer';
import { INHERITED, type NamespaceContext, UNBOUND, XML_PREFIX } from './context.js';
import { doubled } from './frame-records.js';
import { XML_ID } from './namespaces.js';
import { attributeValue, equalsAscii, equalsBytes, NEEDS_DECODING, NON_ASCII } from './values.js';

/** Declarations in scope. `KEY` is length and first byte of the prefix: most prefixes differ there. */
const KEY = 0;
const PREFIX = 1;
const URI = 2;
/** Negative if the URI needs decoding. */
const URI_END = 3;
const ID = 4;
/** A number per URI that is not in the table, given when first needed; 0 = not yet. */
const CANONICAL = 5;
const SIZE = 6;

/**
 * The namespace declarations inside a stanza that are in scope, the innermost last. A declaration is known by its
 * index, or by one of the negative numbers of context.ts. Positions count from the `<` of the stanza.
 */
export class Bindings {
  /** How many are in scope; set back when an element is over. */
  count = 0;
  private records: Int32Array;
  private readonly uriNumbers = new Map<string, number>();

  constructor(room: number) {
    this.records = new Int32Array(room * SIZE);
  }

  /** How many there is room for. */
  get room(): number {
    return this.records.length / SIZE;
  }

  clear(): void {
    this.count = 0;
    if (this.uriNumbers.size !== 0) this.uriNumbers.clear();
  }

  /** @param uriEnd negative if the URI needs decoding */
  declare(
    buf: Buffer,
    base: number,
    prefix: number,
    prefixEnd: number,
    uri: number,
    uriEnd: number,
    id: number,
  ): void {
    const at = this.count++ * SIZE;
    if (at === this.records.length) this.records = doubled(this.records);
    const r = this.records;
    r[at + KEY] = prefixKey(buf, base + prefix, base + prefixEnd);
    r[at + PREFIX] = prefix;
    r[at + URI] = uri;
    r[at + URI_END] = uriEnd;
    r[at + ID] = id;
    r[at + CANONICAL] = 0;
  }

  /** What the prefix `buf[base + prefix .. base + prefixEnd)` stands for. */
  lookup(buf: Buffer, base: number, prefix: number, prefixEnd: number, context: NamespaceContext): number {
    const start = base + prefix;
    const end = base + prefixEnd;
    const key = prefixKey(buf, start, end);
    const r = this.records;
    for (let i = this.count - 1, at = i * SIZE; i >= 0; i--, at -= SIZE) {
      if (r[at] === key && equalsBytes(buf, start, end, buf, base + r[at + PREFIX]!)) return i;
    }
    const inherited = context.prefixes;
    for (let i = 0; i < inherited.length; i++) {
      const candidate = inherited[i]!;
      if (candidate.length === end - start && equalsBytes(buf, start, end, candidate, 0))
        return INHERITED - i;
    }
    return equalsAscii(buf, start, end, 'xml') ? XML_PREFIX : UNBOUND;
  }

  /** The namespace in the table; 0 if it is not there. */
  id(namespace: number, context: NamespaceContext): number {
    if (namespace >= 0) return this.records[namespace * SIZE + ID]!;
    if (namespace <= INHERITED) return context.ids[INHERITED - namespace]!;
    return namespace === XML_PREFIX ? XML_ID : 0;
  }

  /** Where the URI is; the number itself if that is negative. */
  uri(namespace: number): number {
    return namespace < 0 ? namespace : this.records[namespace * SIZE + URI]!;
  }

  /** Where the URI is over; negative if it needs decoding. */
  uriEnd(namespace: number): number {
    return namespace < 0 ? 0 : this.records[namespace * SIZE + URI_END]!;
  }

  /** One number for all declarations of one URI. Reads the URI of a declaration once, however often it is used. */
  canonical(buf: Buffer, base: number, namespace: number, context: NamespaceContext): number {
    const id = this.id(namespace, context);
    if (id !== 0) return -id;
    if (namespace < 0) return this.uriNumber(context.uris[INHERITED - namespace]!);
    const at = namespace * SIZE;
    const r = this.records;
    if (r[at + CANONICAL] === 0) {
      const end = r[at + URI_END]!;
      const flags = end < 0 ? NEEDS_DECODING : NON_ASCII;
      r[at + CANONICAL] = this.uriNumber(
        attributeValue(buf, base + r[at + URI]!, base + Math.abs(end), flags),
      );
    }
    return r[at + CANONICAL]!;
  }

  private uriNumber(uri: string): number {
    let number = this.uriNumbers.get(uri);
    if (number === undefined) {
      number = this.uriNumbers.size + 1;
      this.uriNumbers.set(uri, number);
    }
    return number;
  }
}

function prefixKey(buf: Uint8Array, start: number, end: number): number {
  return end === start ? 0 : ((end - start) << 8) | buf[start]!;
}
