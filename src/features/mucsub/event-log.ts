import { Buffer } from 'node:buffer';
import { keyParts, type StoreChange, type StoreEntry, storeKey } from '../../store/store.js';
import type { Cursor } from './cursor.js';
import type { EventName } from './nodes.js';
import type { Surroundings } from './surroundings.js';

/** What the room itself says to all is an event of `messages` to some and of `system` to others; a gap is a mark for what nobody has heard. */
export type LoggedKind = EventName | 'announcement' | 'gap';

/** How something that a room has told is told from the rest. */
export interface Known {
  /** What every ghost of the room knows it by. */
  readonly key: string;
  /** Nobody else in the room has the same key, ever: it is that of the room's archive. */
  readonly isUnique: boolean;
}

/** Something that a room has told its subscribers, as it stands in an event. */
export interface Said extends Known {
  readonly kind: LoggedKind;
  /** Of the item. */
  readonly id: string;
  /** When it was said; ms since 1970. */
  readonly at: number;
  /** Said to whom does not matter: it is addressed again for whoever gets it. */
  readonly inner: Buffer;
}

/** One place in a log. */
export interface Logged extends Known {
  /** Greater than all before it, and no less than the time at which it was written, in ms since 1970. */
  readonly seq: number;
  readonly kind: LoggedKind;
  readonly id: string;
  readonly at: number;
  /** Bytes of its value in the store. */
  readonly size: number;
}

/** The same with what was said. */
export interface Told extends Logged {
  readonly inner: Buffer;
}

export const LOG = 'log';
const FEATURE = 'mucsub';
const DIGITS = 16;
/** How long one session may take to read a log; ms. */
const READING_TIME = 10_000;
/** How far apart the streams of two sessions may be for what has no id of the room's to count as the same; ms. */
const STREAMS_APART = 60_000;

/**
 * What one room has told its subscribers and somebody has still to get, once for all of them: in the store, oldest first, with a cursor for
 * each subscriber that is behind. Of the events themselves memory has only what tells them apart.
 */
export class RoomLog {
  /** By account: only of those who have something to get. */
  readonly cursors = new Map<string, Cursor>();
  #entries: Logged[] = [];
  #bytes = 0;
  /** By key, of those whose key is unique. */
  readonly #known = new Map<string, number>();
  /** What is not known to be on disk yet. */
  readonly #unwritten = new Map<number, Buffer>();
  #last = 0;
  /** Place of the last that has been dropped beyond the limits, at most. */
  #dropped = 0;
  #state: 'unread' | 'reading' | 'read' = 'unread';
  #readingSince = 0;

  /** Kept for who asks for it, whether or not somebody has still to get it. */
  isArchive = false;

  constructor(
    readonly domain: string,
    readonly room: string,
  ) {}

  get bytes(): number {
    return this.#bytes;
  }

  get entries(): readonly Logged[] {
    return this.#entries;
  }

  /** Place of the last that was ever in it, as far as that is known. */
  get last(): number {
    return this.#last;
  }

  /** What was behind this place has been dropped, or may have been by a process before. @returns what is left behind that; undefined: nothing has been */
  droppedBehind(seq: number): Logged | undefined {
    const [first] = this.#entries;
    return first === undefined || first.seq <= seq || this.#dropped <= seq ? undefined : first;
  }

  get isUseless(): boolean {
    return this.#entries.length === 0 && this.cursors.size === 0 && this.#state !== 'reading';
  }

  /**
   * Takes in what a ghost has heard, unless another one has been before it.
   * @param made what it is to all, asked for when it is new
   * @param after what this ghost has heard last: what it hears now comes behind that
   * @param at when it was said, as far as that is known; ms since 1970
   * @param changes gets what is to be written
   */
  hear(
    around: Surroundings,
    known: Known,
    made: () => Said,
    { after, at }: { readonly after: number | undefined; readonly at: number },
    changes: StoreChange[],
  ): Logged {
    return this.find(known, after, at) ?? this.#append(around, made(), changes);
  }

  /** What has the same key, unless this account's ghost is behind it already. @param now or when it was said; ms since 1970 */
  find({ key, isUnique }: Known, after: number | undefined, now: number): Logged | undefined {
    if (isUnique) {
      const seq = this.#known.get(key);
      return seq === undefined ? undefined : this.#entries[this.#at(seq)];
    }
    const from = after === undefined ? now - STREAMS_APART : after + 1;
    for (let at = this.#at(from); at < this.#entries.length; at++)
      if (this.#entries[at]!.key === key) return this.#entries[at];
    return undefined;
  }

  /** Index of the first entry that is no older. */
  #at(seq: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle]!.seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #append({ context }: Surroundings, said: Said, changes: StoreChange[]): Logged {
    const now = context.wallClock();
    const seq = Math.max(this.#last + 1, now);
    this.#last = seq;
    const { kind, id, key, isUnique, at, inner } = said;
    const value = Buffer.from(JSON.stringify({ kind, id, key, isUnique, at, inner: inner.toString() }));
    const entry: Logged = { seq, kind, id, key, isUnique, at, size: value.length };
    this.#take(entry, this.#entries.length);
    this.#unwritten.set(seq, value);
    changes.push({ key: this.#keyOf(seq), value });
    return entry;
  }

  #take(entry: Logged, at: number): void {
    if (at === this.#entries.length) this.#entries.push(entry);
    else this.#entries.splice(at, 0, entry);
    this.#bytes += entry.size;
    if (entry.isUnique) this.#known.set(entry.key, entry.seq);
  }

  /** Drops the oldest beyond what is kept, but not the last. Who had still to get it will be told. */
  limit(now: number, bytes: number, seconds: number, changes: StoreChange[]): void {
    let dropped = 0;
    const oldest = now - seconds * 1_000;
    let left = this.#bytes;
    for (const { seq, size } of this.#entries) {
      if ((left <= bytes && seq >= oldest) || seq === this.#last) break;
      left -= size;
      dropped = seq;
    }
    if (dropped === 0) return;
    this.#dropped = dropped;
    const lost = this.#cut(this.#at(dropped + 1), changes);
    for (const [account, cursor] of this.cursors)
      if (cursor.loses(lost)) changes.push(this.change(account, cursor));
  }

  /** @returns what is out of the log, oldest first */
  #cut(count: number, changes: StoreChange[]): readonly Logged[] {
    const gone = this.#entries.splice(0, count);
    for (const { seq, key, isUnique } of gone) {
      if (isUnique) this.#known.delete(key);
      this.#unwritten.delete(seq);
      changes.push({ key: this.#keyOf(seq), value: undefined });
    }
    this.#bytes = this.#entries.reduce((sum, { size }) => sum + size, 0);
    return gone;
  }

  /** Takes out what everybody has. */
  tidy(changes: StoreChange[]): void {
    if (this.isArchive || this.#state !== 'read') return;
    let first = Number.POSITIVE_INFINITY;
    for (const { first: from } of this.cursors.values()) first = Math.min(first, from);
    const count = this.#at(first);
    if (count > 0) this.#cut(count, changes);
  }

  /** What is to be written of a cursor. */
  change(account: string, cursor: Cursor): StoreChange {
    if (cursor.isDone) this.cursors.delete(account);
    return {
      key: cursorKey(this.domain, this.room, account),
      value: cursor.isDone ? undefined : cursor.toBuffer(),
    };
  }

  /**
   * Knows all that is in the store.
   * @param done not called when the session is over before
   * @returns false when another session is reading it: it has to be asked again
   */
  load({ context }: Surroundings, done: () => void): boolean {
    if (this.#state === 'read') {
      done();
      return true;
    }
    // Whoever was reading may have ended without a word.
    if (this.#state === 'reading' && context.now - this.#readingSince < READING_TIME) return false;
    this.#state = 'reading';
    this.#readingSince = context.now;
    context.store.load(this.#prefix, (entries) => {
      this.#learn(entries);
      done();
    });
    return true;
  }

  get isRead(): boolean {
    return this.#state === 'read';
  }

  #learn(entries: readonly StoreEntry[]): void {
    if (this.#state === 'read') return;
    this.#state = 'read';
    const mine = this.#at(0) < this.#entries.length ? this.#entries[0]!.seq : Number.POSITIVE_INFINITY;
    let before = 0;
    let last = 0;
    for (const entry of entries) {
      const told = readTold(entry);
      // What this process has written it knows.
      if (told === undefined || told.seq >= mine) continue;
      const { inner, ...logged } = told;
      this.#take(logged, before++);
      last = told.seq;
    }
    this.#last = Math.max(this.#last, last);
    this.#dropped = Math.max(this.#dropped, (this.#entries[0]?.seq ?? 0) - 1);
    // Who was being told things by the process before has been told so many.
    for (const cursor of this.cursors.values()) cursor.closeFormer(last);
  }

  /** Reads what was said. @param done gets all of the log */
  tell({ context }: Surroundings, done: (told: readonly Told[]) => void): void {
    context.store.load(this.#prefix, (entries) => {
      const told = new Map<number, Told>();
      const add = (entry: StoreEntry) => {
        const each = readTold(entry);
        if (each !== undefined) told.set(each.seq, each);
      };
      for (const entry of entries) add(entry);
      for (const [seq, value] of this.#unwritten) {
        if (told.has(seq)) this.#unwritten.delete(seq);
        else add({ key: this.#keyOf(seq), value });
      }
      done(this.#entries.flatMap(({ seq }) => told.get(seq) ?? []));
    });
  }

  /** It is on disk. */
  written(seq: number): void {
    this.#unwritten.delete(seq);
  }

  get #prefix(): string {
    return storeKey(FEATURE, this.domain, LOG, this.room, '');
  }

  #keyOf(seq: number): string {
    return storeKey(FEATURE, this.domain, LOG, this.room, String(seq).padStart(DIGITS, '0'));
  }
}

export function cursorKey(domain: string, room: string, account: string): string {
  return storeKey(FEATURE, domain, 'book', 'cursor', room, account);
}

/** @returns undefined for an entry that is none */
export function readTold({ key, value }: StoreEntry): Told | undefined {
  const seq = Number(keyParts(key)[4]);
  try {
    const told = JSON.parse(value.toString()) as Omit<Told, 'inner'> & { inner: string };
    if (!Number.isSafeInteger(seq) || typeof told.inner !== 'string') return undefined;
    return { ...told, seq, size: value.length, inner: Buffer.from(told.inner) };
  } catch {
    return undefined;
  }
}
