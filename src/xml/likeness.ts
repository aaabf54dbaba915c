import { Buffer } from 'node:buffer';
import type { Frame } from './frame.js';
import { A_VALUE, A_VALUE_END } from './frame-records.js';

/** Bytes of an id, and of the end of a stanza, that go into a hash. */
const SAMPLED = 96;

/**
 * A stanza as it was sent to one address, to be told from what others are sent: copies of one stanza differ only in the value of `to`. Holds a copy of its
 * bytes.
 */
export class Likeness {
  readonly #before: Buffer;
  readonly #after: Buffer;

  /** @param frame portable, and with a `to` */
  constructor(frame: Frame) {
    const { buffer, start, end } = frame;
    const a = frame.records.rootAttributes;
    const at = frame.attributeAt('to');
    if (at < 0) throw new Error('a stanza without an address has no copies');
    this.#before = Buffer.from(buffer.subarray(start, start + a[at + A_VALUE]!));
    this.#after = Buffer.from(buffer.subarray(start + a[at + A_VALUE_END]!, end));
  }

  /** Of what is kept. */
  get bytes(): number {
    return this.#before.length + this.#after.length;
  }

  /** Whether another stanza is the same, byte for byte, but for whom it is addressed to. */
  isOf(frame: Frame): boolean {
    const at = frame.attributeAt('to');
    if (at < 0) return false;
    const { buffer, start, end } = frame;
    const a = frame.records.rootAttributes;
    const value = start + a[at + A_VALUE]!;
    const valueEnd = start + a[at + A_VALUE_END]!;
    return (
      value - start === this.#before.length &&
      end - valueEnd === this.#after.length &&
      this.#after.compare(buffer, valueEnd, end) === 0 &&
      this.#before.compare(buffer, start, value) === 0
    );
  }
}

/** The same for all copies of a stanza, and mostly different for different ones: of its length, its id and its end. Undefined: it has no `to`. */
export function likenessHash(frame: Frame): number | undefined {
  const at = frame.attributeAt('to');
  if (at < 0) return undefined;
  const { buffer, start, end } = frame;
  const a = frame.records.rootAttributes;
  const valueEnd = start + a[at + A_VALUE_END]!;
  let hash = 0x811c9dc5 ^ (end - valueEnd);
  for (let i = Math.max(valueEnd, end - SAMPLED); i < end; i++)
    hash = Math.imul(hash ^ buffer[i]!, 0x01000193);
  const id = frame.attributeAt('id');
  if (id < 0) return hash;
  const idStart = start + a[id + A_VALUE]!;
  const idEnd = Math.min(start + a[id + A_VALUE_END]!, idStart + SAMPLED);
  for (let i = idStart; i < idEnd; i++) hash = Math.imul(hash ^ buffer[i]!, 0x01000193);
  return hash;
}
