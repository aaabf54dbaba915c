import { Buffer } from 'node:buffer';
import { type Hash64, keyedHash } from './keyed-hash.js';

const FIRST_ROOM = 8;
/** By so much more room is made than is needed: little, since views are many and rooms grow slowly once they have been told. */
const GROWTH = 1.125;
/** Of the places of the index, so many of 256 may be taken. */
const LOAD = 208;

/** What is in a row, in words. The last has the length of the nick above the flags. */
const LO = 0;
const HI = 1;
const SPELLED_LO = 2;
const SPELLED_HI = 3;
const APPEARED = 4;
const CHANGED = 5;
const NICK_AT = 6;
const LENGTH_AND_FLAGS = 7;
const WIDTH = 8;

/** What a stanza says of an occupant, by the digest of a view. */
export interface Said {
  readonly lo: number;
  readonly hi: number;
  readonly spelledLo: number;
  readonly spelledHi: number;
  readonly flags: number;
}

/**
 * Who is in a room, by nick: what their last presence said, as a digest, and since which stanza. In rows of numbers, because there may be ten
 * thousand of them: some 50 bytes each, nick included. The nick `''` stands for the room itself, which may have presence too.
 */
export class Occupants {
  #count = 0;
  #rows: Int32Array<ArrayBuffer>;
  #nicks: Buffer = NONE;
  #nicksEnd = 0;
  /** Bytes of nicks that are gone. */
  #waste = 0;
  /** Row + 1 by the hash of the nick, open addressing; 0 is free. */
  #index: Index;

  /** @param key0 of a hash: whoever chooses nicks must not know where they are put @param key1 of the same */
  constructor(
    private readonly key0: number,
    private readonly key1: number,
    expected = FIRST_ROOM,
  ) {
    this.#rows = new Int32Array(expected * WIDTH);
    this.#index = indexOf(placesFor(expected));
  }

  get size(): number {
    return this.#count;
  }

  /** Bytes of memory, buffers only. */
  get bytes(): number {
    return this.#rows.byteLength + this.#nicks.length + this.#index.byteLength;
  }

  /** The same occupants, as if all that is known had been so from the beginning. */
  rebased(): Occupants {
    const copy = new Occupants(this.key0, this.key1, 0);
    copy.#count = this.#count;
    copy.#rows = this.#rows.slice(0, Math.max(FIRST_ROOM, this.#count) * WIDTH);
    copy.#nicks = owned(this.#nicks.subarray(0, this.#nicksEnd));
    copy.#nicksEnd = this.#nicksEnd;
    copy.#waste = this.#waste;
    copy.#index = this.#index.slice();
    for (let at = 0; at < copy.#count * WIDTH; at += WIDTH) {
      copy.#rows[at + APPEARED] = 0;
      copy.#rows[at + CHANGED] = 0;
    }
    return copy;
  }

  /** The row of a nick; -1 if it is not there. Rows are valid until the next removal. */
  find(nick: string): number {
    return this.#index[this.#place(TEXT, textOf(nick))]! - 1;
  }

  nick(row: number): string {
    const at = this.#rows[row * WIDTH + NICK_AT]!;
    return this.#nicks.toString('utf8', at, at + this.#length(row));
  }

  /** Of all nicks. */
  get nickBytes(): number {
    return this.#nicksEnd - this.#waste;
  }

  /** In bytes. */
  nickLength(row: number): number {
    return this.#length(row);
  }

  /** Writes the nick to `out`. @returns where it is over */
  copyNick(row: number, out: Buffer, at: number): number {
    const from = this.#rows[row * WIDTH + NICK_AT]!;
    return at + this.#nicks.copy(out, at, from, from + this.#length(row));
  }

  lo(row: number): number {
    return this.#rows[row * WIDTH + LO]!;
  }

  hi(row: number): number {
    return this.#rows[row * WIDTH + HI]!;
  }

  spelledLo(row: number): number {
    return this.#rows[row * WIDTH + SPELLED_LO]!;
  }

  spelledHi(row: number): number {
    return this.#rows[row * WIDTH + SPELLED_HI]!;
  }

  /** The stanza by which the occupant came, or came again. */
  appeared(row: number): number {
    return this.#rows[row * WIDTH + APPEARED]!;
  }

  /** The stanza that said something new about it last. */
  changed(row: number): number {
    return this.#rows[row * WIDTH + CHANGED]!;
  }

  flags(row: number): number {
    return this.#rows[row * WIDTH + LENGTH_AND_FLAGS]! & 0xff;
  }

  /** Whether the last presence was spelled in this way, and so said the same. */
  isSpelled(row: number, lo: number, hi: number): boolean {
    return this.spelledLo(row) === lo && this.spelledHi(row) === hi;
  }

  says(row: number, lo: number, hi: number, flags: number): boolean {
    return this.lo(row) === lo && this.hi(row) === hi && this.flags(row) === flags;
  }

  /** Takes in what a stanza says. @returns whether it is new */
  set(nick: string, said: Said, id: number): boolean {
    const row = this.find(nick);
    if (row < 0) {
      this.add(nick, said, id, id);
      return true;
    }
    const isNew = !this.says(row, said.lo, said.hi, said.flags);
    this.#put(row, said);
    if (isNew) this.#rows[row * WIDTH + CHANGED] = id;
    return isNew;
  }

  /** A nick that is not there yet. */
  add(nick: string, said: Said, appeared: number, changed: number): void {
    const row = this.#count;
    const at = row * WIDTH;
    if (at === this.#rows.length) this.#resize(Math.ceil(row * GROWTH));
    const length = textOf(nick);
    if (this.#nicksEnd + length > this.#nicks.length) this.#growNicks(length);
    // Growing does not read nicks from outside.
    this.#nicks.set(TEXT.bytes.subarray(0, length), this.#nicksEnd);
    this.#rows[at + NICK_AT] = this.#nicksEnd;
    this.#rows[at + LENGTH_AND_FLAGS] = length << 8;
    this.#rows[at + APPEARED] = appeared;
    this.#rows[at + CHANGED] = changed;
    this.#nicksEnd += length;
    this.#put(row, said);
    this.#count++;
    if (this.#count * 256 > this.#index.length * LOAD) this.#reindex(this.#index.length * 2);
    else this.#index[this.#place(TEXT, length)] = row + 1;
  }

  /** The last row takes its place. @returns whether it was there */
  remove(nick: string): boolean {
    const place = this.#place(TEXT, textOf(nick));
    const row = this.#index[place]! - 1;
    if (row < 0) return false;
    this.#unindex(place);
    this.#waste += this.#length(row);
    const last = --this.#count;
    if (row !== last) {
      const lastPlace = this.#placeOf(last);
      this.#rows.copyWithin(row * WIDTH, last * WIDTH, last * WIDTH + WIDTH);
      this.#index[lastPlace] = row + 1;
    }
    if (this.#waste > 256 && this.#waste * 4 > this.#nicksEnd) this.#compact(this.#nicksEnd - this.#waste);
    if (this.#count > FIRST_ROOM && this.#count * 4 * WIDTH < this.#rows.length * 3) this.trim();
    return true;
  }

  /** What a stanza says of somebody who counts as known from the beginning, as news. */
  put(nick: string, said: Said, id: number): void {
    const row = this.find(nick);
    if (row < 0) {
      this.add(nick, said, 0, id);
      return;
    }
    this.#put(row, said);
    this.#rows[row * WIDTH + APPEARED] = 0;
    this.#rows[row * WIDTH + CHANGED] = id;
  }

  /** It is told of again, as stanza `id`. */
  touch(nick: string, id: number): void {
    const row = this.find(nick);
    if (row >= 0) this.#rows[row * WIDTH + CHANGED] = id;
  }

  /** It says the same in another way. */
  respell(row: number, spelledLo: number, spelledHi: number): void {
    this.#rows[row * WIDTH + SPELLED_LO] = spelledLo;
    this.#rows[row * WIDTH + SPELLED_HI] = spelledHi;
  }

  /** Gives back what is reserved for more: the room is told, and who comes now comes one by one. */
  trim(): void {
    this.#resize(this.#count + (this.#count >> 5));
    this.#compact(this.#nicksEnd - this.#waste);
    const places = placesFor(this.#count);
    if (places < this.#index.length) this.#reindex(places);
  }

  #put(row: number, { lo, hi, spelledLo, spelledHi, flags }: Said): void {
    const at = row * WIDTH;
    const rows = this.#rows;
    rows[at + LO] = lo;
    rows[at + HI] = hi;
    rows[at + SPELLED_LO] = spelledLo;
    rows[at + SPELLED_HI] = spelledHi;
    rows[at + LENGTH_AND_FLAGS] = (rows[at + LENGTH_AND_FLAGS]! & ~0xff) | flags;
  }

  #length(row: number): number {
    return this.#rows[row * WIDTH + LENGTH_AND_FLAGS]! >>> 8;
  }

  /** Where in the index the nick is, or would be, that is in the front of `text`. */
  #place(text: Text, length: number): number {
    const { bytes } = text;
    keyedHash(text.words, 0, length, this.key0, this.key1, HASH);
    const mask = this.#index.length - 1;
    for (let place = HASH.lo & mask; ; place = (place + 1) & mask) {
      const row = this.#index[place]! - 1;
      if (row < 0) return place;
      if (this.#length(row) !== length) continue;
      const at = this.#rows[row * WIDTH + NICK_AT]!;
      let i = 0;
      while (i < length && this.#nicks[at + i] === bytes[i]) i++;
      if (i === length) return place;
    }
  }

  #placeOf(row: number): number {
    const mask = this.#index.length - 1;
    let place = this.#home(row) & mask;
    while (this.#index[place] !== row + 1) place = (place + 1) & mask;
    return place;
  }

  /** The hash of a nick that is there. */
  #home(row: number): number {
    const at = this.#rows[row * WIDTH + NICK_AT]!;
    const nicks = this.#nicks;
    const words = new DataView(nicks.buffer, nicks.byteOffset, nicks.byteLength);
    keyedHash(words, at, at + this.#length(row), this.key0, this.key1, HASH);
    return HASH.lo;
  }

  /** Frees a place and moves up those behind it that would not be found any more. */
  #unindex(freed: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    let hole = freed;
    for (let at = (hole + 1) & mask; index[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home(index[at]! - 1) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      index[hole] = index[at]!;
      hole = at;
    }
    index[hole] = 0;
  }

  #reindex(size: number): void {
    const index = indexOf(size);
    const mask = size - 1;
    for (let row = 0; row < this.#count; row++) {
      let place = this.#home(row) & mask;
      while (index[place] !== 0) place = (place + 1) & mask;
      index[place] = row + 1;
    }
    this.#index = index;
  }

  #resize(capacity: number): void {
    const rows = new Int32Array(Math.max(FIRST_ROOM, capacity) * WIDTH);
    rows.set(this.#rows.subarray(0, this.#count * WIDTH));
    this.#rows = rows;
  }

  #growNicks(more: number): void {
    this.#compact(Math.ceil((this.#nicksEnd - this.#waste + more) * GROWTH));
  }

  /** Moves the nicks that are there into a buffer of their own. */
  #compact(capacity: number): void {
    const packed = Buffer.allocUnsafeSlow(capacity);
    if (this.#waste === 0) {
      this.#nicks.copy(packed, 0, 0, this.#nicksEnd);
      this.#nicks = packed;
      return;
    }
    let end = 0;
    for (let row = 0; row < this.#count; row++) {
      const at = this.#rows[row * WIDTH + NICK_AT]!;
      const length = this.#length(row);
      this.#nicks.copy(packed, end, at, at + length);
      this.#rows[row * WIDTH + NICK_AT] = end;
      end += length;
    }
    this.#nicks = packed;
    this.#nicksEnd = end;
    this.#waste = 0;
  }
}

/** Bytes of a nick that is being looked for. */
interface Text {
  bytes: Uint8Array;
  words: DataView;
}

const TEXT: Text = textFor(1_024);
const HASH: Hash64 = { lo: 0, hi: 0 };
const NONE = Buffer.allocUnsafeSlow(0);

function textFor(length: number): Text {
  const buffer = new ArrayBuffer(length);
  return { bytes: new Uint8Array(buffer), words: new DataView(buffer) };
}

/** Writes a nick to where the next `#place` finds it. @returns its length in UTF-8 */
function textOf(nick: string): number {
  const { length } = nick;
  if (length * 3 > TEXT.bytes.length) Object.assign(TEXT, textFor(length * 3));
  const { bytes } = TEXT;
  for (let i = 0; i < length; i++) {
    const c = nick.charCodeAt(i);
    if (c > 0x7f) return ENCODER.encodeInto(nick, bytes).written;
    bytes[i] = c;
  }
  return length;
}

const ENCODER = new TextEncoder();

/** As wide as the numbers of its rows need: a place costs as much as it may hold. */
type Index = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

function indexOf(places: number): Index {
  if (places <= 0x100) return new Uint8Array(places);
  return places <= 0x10000 ? new Uint16Array(places) : new Uint32Array(places);
}

function placesFor(occupants: number): number {
  let places = 16;
  while (occupants * 256 > places * LOAD) places *= 2;
  return places;
}

function owned(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
