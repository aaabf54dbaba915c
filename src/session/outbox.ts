import { Buffer } from 'node:buffer';
import type { Leg, SessionPort } from './port.js';

/** Below this many bytes several pieces are copied into one, which costs less than a gathering write. */
const COPY_LIMIT = 16_384;
/** So do pieces that are small on the whole, up to what a kernel takes at once. */
const SMALL_PIECE = 2_048;
const COPY_LIMIT_OF_SMALL = 131_072;

/**
 * What one event has made for a leg, in order. Ranges of one received buffer that lie side by side stay one range, so that a chunk that
 * nobody touched is written as it came.
 */
export class Outbox {
  #buffer: Buffer | undefined;
  #start = 0;
  #end = 0;
  #pieces: Buffer[] | undefined;
  #withinLimit = true;
  #sealed = false;

  constructor(
    private port: SessionPort,
    private readonly leg: Leg,
  ) {}

  /** The leg has become another session's. */
  moveTo(port: SessionPort): void {
    this.port = port;
  }

  /** Bytes of a received buffer; nobody may write to it any more. */
  range(buffer: Buffer, start: number, end: number): void {
    if (this.#sealed) return;
    if (this.#buffer === buffer && this.#end === start) {
      this.#end = end;
      return;
    }
    this.#setAside();
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  /** Our stream has been ended on this leg: nothing goes behind the end (RFC 6120 §4.4). */
  seal(): void {
    this.#sealed = true;
  }

  bytes(bytes: Buffer): void {
    this.range(bytes, 0, bytes.length);
  }

  text(text: string): void {
    this.bytes(Buffer.from(text, 'utf8'));
  }

  get empty(): boolean {
    return this.#buffer === undefined;
  }

  /** Whether no flush since the last question has found the leg's queue over its limit. */
  withinLimit(): boolean {
    const within = this.#withinLimit;
    this.#withinLimit = true;
    return within;
  }

  flush(): void {
    if (!this.#write()) this.#withinLimit = false;
  }

  /** @returns false when the leg's queue is over its limit */
  #write(): boolean {
    const buffer = this.#buffer;
    if (buffer === undefined) return true;
    const pieces = this.#pieces;
    const last = this.#current(buffer);
    this.#buffer = undefined;
    if (pieces === undefined) return this.port.write(this.leg, last);
    this.#pieces = undefined;
    pieces.push(last);
    let total = 0;
    for (const piece of pieces) total += piece.length;
    const areSmall = total <= COPY_LIMIT_OF_SMALL && total <= SMALL_PIECE * pieces.length;
    if (total <= COPY_LIMIT || areSmall) return this.port.write(this.leg, Buffer.concat(pieces, total));
    let open = true;
    for (const piece of pieces) open = this.port.write(this.leg, piece);
    return open;
  }

  /** Forgets what has not been written: there is nobody to write it to. */
  discard(): void {
    this.#buffer = undefined;
    this.#pieces = undefined;
    this.#withinLimit = true;
  }

  #setAside(): void {
    if (this.#buffer === undefined) return;
    this.#pieces ??= [];
    this.#pieces.push(this.#current(this.#buffer));
  }

  #current(buffer: Buffer): Buffer {
    if (this.#start === 0 && this.#end === buffer.length) return buffer;
    return buffer.subarray(this.#start, this.#end);
  }
}
