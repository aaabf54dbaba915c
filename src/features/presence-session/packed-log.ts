import { Buffer } from 'node:buffer';

/** Numbers in front of the bytes of a record: id (4), length (4), number (6), flags (1). */
const HEAD = 15;
const LENGTH_AT = 4;
const NUMBER_AT = 8;
const FLAGS_AT = 14;
const MOST = 2 ** 48 - 1;
const FIRST_ROOM = 256;

/** One record of a log. */
export interface Packed {
  /** Rising from record to record. */
  readonly id: number;
  /** Whole: a number of a stanza, or ms since 1970; what is not between 0 and 2^48 is kept as the nearest that is. */
  readonly number: number;
  /** Below 256. */
  readonly flags: number;
  /** Part of the log: to be copied by whoever keeps it. */
  readonly bytes: Buffer;
}

/** The newest records that go into so many bytes, in one buffer. */
export class PackedLog {
  #buffer: Buffer = NONE;
  #start = 0;
  #end = 0;
  #dropped = 0;

  /** Bytes of memory. */
  get bytes(): number {
    return this.#buffer.length;
  }

  /** The id of the last record that has not been kept; 0 if all have been. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param budget bytes that may be kept, this one included; 64 at least */
  add(id: number, number: number, flags: number, bytes: Uint8Array, budget: number): void {
    const size = HEAD + bytes.length;
    if (this.#end - this.#start + size > budget) this.#dropUntil(budget - (budget >> 2) - size);
    if (size > budget) {
      this.#dropped = id;
      return;
    }
    if (this.#end + size > this.#buffer.length) this.#makeRoom(size, budget);
    const buffer = this.#buffer;
    let at = buffer.writeUInt32LE(id, this.#end);
    at = buffer.writeUInt32LE(bytes.length, at);
    at = buffer.writeUIntLE(Math.max(0, Math.min(number, MOST)), at, 6);
    at = buffer.writeUInt8(flags, at);
    buffer.set(bytes, at);
    this.#end += size;
  }

  /** The records behind `id`, oldest first. */
  *after(id: number): Generator<Packed> {
    const buffer = this.#buffer;
    for (let at = this.#start; at < this.#end; ) {
      const from = at + HEAD;
      const end = from + buffer.readUInt32LE(at + LENGTH_AT);
      const found = buffer.readUInt32LE(at);
      if (found > id) {
        const number = buffer.readUIntLE(at + NUMBER_AT, 6);
        yield {
          id: found,
          number,
          flags: buffer.readUInt8(at + FLAGS_AT),
          bytes: buffer.subarray(from, end),
        };
      }
      at = end;
    }
  }

  /** Forgets all; what was up to `id` counts as not kept. */
  clear(id: number): void {
    this.#buffer = NONE;
    this.#start = 0;
    this.#end = 0;
    this.#dropped = id;
  }

  #dropUntil(most: number): void {
    const buffer = this.#buffer;
    while (this.#start < this.#end && this.#end - this.#start > most) {
      this.#dropped = buffer.readUInt32LE(this.#start);
      this.#start += HEAD + buffer.readUInt32LE(this.#start + LENGTH_AT);
    }
  }

  #makeRoom(size: number, budget: number): void {
    const kept = this.#end - this.#start;
    const wanted = Math.max(FIRST_ROOM, Math.ceil((kept + size) * 1.25));
    const capacity = Math.max(kept + size, Math.min(budget, wanted));
    const buffer = capacity > this.#buffer.length ? Buffer.allocUnsafeSlow(capacity) : this.#buffer;
    this.#buffer.copy(buffer, 0, this.#start, this.#end);
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = kept;
  }
}

const NONE = Buffer.allocUnsafeSlow(0);
