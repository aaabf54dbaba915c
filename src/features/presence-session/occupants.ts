import { Buffer } from 'node:buffer';

const FIRST_ROOM = 8;
/** Of the places of the index, so many of 256 may be taken. */
const LOAD = 192;

/**
 * Who is in a room, by nick: what their last presence said, as a digest, and since which stanza. In columns, because there may be ten
 * thousand of them: some 40 to 60 bytes each, nick included. The nick `''` stands for the room itself, which may have presence too.
 */
export class Occupants {
  #count = 0;
  #lo = new Uint32Array(FIRST_ROOM);
  #hi = new Uint32Array(FIRST_ROOM);
  #appeared = new Uint32Array(FIRST_ROOM);
  #changed = new Uint32Array(FIRST_ROOM);
  #flags = new Uint8Array(FIRST_ROOM);
  #nickAt = new Uint32Array(FIRST_ROOM);
  #nickLength = new Uint16Array(FIRST_ROOM);
  #nicks: Buffer = Buffer.allocUnsafeSlow(64);
  #nicksEnd = 0;
  /** Bytes of nicks that are gone. */
  #waste = 0;
  /** Row + 1 by the hash of the nick, open addressing; 0 is free. */
  #index = new Uint32Array(16);

  get size(): number {
    return this.#count;
  }

  /** Bytes of memory, buffers only. */
  get bytes(): number {
    return this.#lo.length * 23 + this.#nicks.length + this.#index.length * 4;
  }

  /** The row of a nick; -1 if it is not there. Rows are valid until the next removal. */
  find(nick: string): number {
    const bytes = Buffer.from(nick);
    const at = this.#index[this.#place(bytes)]!;
    return at - 1;
  }

  nick(row: number): string {
    const at = this.#nickAt[row]!;
    return this.#nicks.toString('utf8', at, at + this.#nickLength[row]!);
  }

  lo(row: number): number {
    return this.#lo[row]!;
  }

  hi(row: number): number {
    return this.#hi[row]!;
  }

  /** The stanza by which the occupant came, or came again. */
  appeared(row: number): number {
    return this.#appeared[row]!;
  }

  /** The stanza that said something new about it last. */
  changed(row: number): number {
    return this.#changed[row]!;
  }

  flags(row: number): number {
    return this.#flags[row]!;
  }

  says(row: number, lo: number, hi: number, flags: number): boolean {
    return this.#lo[row] === lo && this.#hi[row] === hi && this.#flags[row] === flags;
  }

  /** Takes in what a stanza says. @returns whether it is new */
  set(nick: string, lo: number, hi: number, flags: number, id: number): boolean {
    const row = this.find(nick);
    if (row >= 0) {
      if (this.says(row, lo, hi, flags)) return false;
      this.#lo[row] = lo;
      this.#hi[row] = hi;
      this.#flags[row] = flags;
      this.#changed[row] = id;
      return true;
    }
    this.add(nick, lo, hi, flags, id, id);
    return true;
  }

  /** A nick that is not there yet. */
  add(nick: string, lo: number, hi: number, flags: number, appeared: number, changed: number): void {
    const row = this.#count;
    if (row === this.#lo.length) this.#grow();
    const bytes = Buffer.from(nick);
    if (this.#nicksEnd + bytes.length > this.#nicks.length) this.#growNicks(bytes.length);
    bytes.copy(this.#nicks, this.#nicksEnd);
    this.#nickAt[row] = this.#nicksEnd;
    this.#nickLength[row] = bytes.length;
    this.#nicksEnd += bytes.length;
    this.#lo[row] = lo;
    this.#hi[row] = hi;
    this.#flags[row] = flags;
    this.#appeared[row] = appeared;
    this.#changed[row] = changed;
    this.#count++;
    if (this.#count * 256 > this.#index.length * LOAD) this.#reindex(this.#index.length * 2);
    else this.#index[this.#place(bytes)] = row + 1;
  }

  /** The last row takes its place. @returns whether it was there */
  remove(nick: string): boolean {
    const row = this.find(nick);
    if (row < 0) return false;
    this.#unindex(this.#place(Buffer.from(nick)));
    this.#waste += this.#nickLength[row]!;
    const last = --this.#count;
    if (row !== last) {
      const lastBytes = this.#nickBytes(last);
      const place = this.#place(lastBytes);
      for (const column of [this.#lo, this.#hi, this.#appeared, this.#changed, this.#nickAt]) {
        column[row] = column[last]!;
      }
      this.#flags[row] = this.#flags[last]!;
      this.#nickLength[row] = this.#nickLength[last]!;
      this.#index[place] = row + 1;
    }
    if (this.#waste > 256 && this.#waste * 2 > this.#nicksEnd) this.#compact(this.#nicksEnd - this.#waste);
    return true;
  }

  /** It is told of again, as stanza `id`. */
  touch(nick: string, id: number): void {
    const row = this.find(nick);
    if (row >= 0) this.#changed[row] = id;
  }

  /** As if all that is known had been so from the beginning. */
  rebase(): void {
    this.#appeared.fill(0);
    this.#changed.fill(0);
  }

  /** Gives back what is reserved for more: nobody is expected to come. */
  trim(): void {
    const capacity = Math.max(FIRST_ROOM, this.#count);
    this.#resize(capacity);
    this.#compact(Math.max(64, this.#nicksEnd - this.#waste));
  }

  #nickBytes(row: number): Buffer {
    const at = this.#nickAt[row]!;
    return this.#nicks.subarray(at, at + this.#nickLength[row]!);
  }

  /** Where in the index the nick is, or would be. */
  #place(nick: Uint8Array): number {
    const mask = this.#index.length - 1;
    let place = hash(nick) & mask;
    for (;;) {
      const at = this.#index[place]!;
      if (at === 0 || this.#isNick(at - 1, nick)) return place;
      place = (place + 1) & mask;
    }
  }

  #isNick(row: number, nick: Uint8Array): boolean {
    if (this.#nickLength[row] !== nick.length) return false;
    const at = this.#nickAt[row]!;
    for (let i = 0; i < nick.length; i++) if (this.#nicks[at + i] !== nick[i]) return false;
    return true;
  }

  /** Frees a place and moves up those behind it that would not be found any more. */
  #unindex(freed: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    let hole = freed;
    for (let at = (hole + 1) & mask; index[at] !== 0; at = (at + 1) & mask) {
      const home = hash(this.#nickBytes(index[at]! - 1)) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      index[hole] = index[at]!;
      hole = at;
    }
    index[hole] = 0;
  }

  #reindex(size: number): void {
    this.#index = new Uint32Array(size);
    for (let row = 0; row < this.#count; row++) this.#index[this.#place(this.#nickBytes(row))] = row + 1;
  }

  #grow(): void {
    this.#resize(Math.ceil(this.#lo.length * 1.5));
  }

  #resize(capacity: number): void {
    const longer = (column: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
      const wider = new Uint32Array(capacity);
      wider.set(column.subarray(0, this.#count));
      return wider;
    };
    this.#lo = longer(this.#lo);
    this.#hi = longer(this.#hi);
    this.#appeared = longer(this.#appeared);
    this.#changed = longer(this.#changed);
    this.#nickAt = longer(this.#nickAt);
    const flags = new Uint8Array(capacity);
    flags.set(this.#flags.subarray(0, this.#count));
    this.#flags = flags;
    const lengths = new Uint16Array(capacity);
    lengths.set(this.#nickLength.subarray(0, this.#count));
    this.#nickLength = lengths;
  }

  #growNicks(more: number): void {
    this.#compact(Math.ceil((this.#nicksEnd - this.#waste + more) * 1.5));
  }

  /** Moves the nicks that are there into a buffer of their own. */
  #compact(capacity: number): void {
    const packed = Buffer.allocUnsafeSlow(capacity);
    let end = 0;
    for (let row = 0; row < this.#count; row++) {
      const bytes = this.#nickBytes(row);
      bytes.copy(packed, end);
      this.#nickAt[row] = end;
      end += bytes.length;
    }
    this.#nicks = packed;
    this.#nicksEnd = end;
    this.#waste = 0;
  }
}

function hash(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  h ^= h >>> 15;
  return Math.imul(h, 0x2c1b3c6d) >>> 0;
}
