import { Buffer } from 'node:buffer';
import { ChangesTold } from './changes-told.js';
import type { Change } from './occupants.js';

/** Events of which it is known that an account has had them, so that what comes twice is told apart. */
const REMEMBERED = 128;
const HANDED_ON = 24;
/** So long what one source has brought may still come from another; ms. */
const STREAMS_APART = 10_000;
/** So much earlier than it was last heard a room is asked for what was said: its clock need not be ours; ms. */
export const CLOCKS_DIFFER = 5_000;

/** Stanzas on their way to an account's clients that are told apart. */
const MOST_OUT = 2_000;

/** How far a room has been heard. */
export interface Position {
  /** ms since 1970 */
  readonly at: number | undefined;
  /** In the room's archive, of the last message. */
  readonly id: string | undefined;
  /** Place in our log of a room that has no archive: all up to there. */
  readonly seq?: number | undefined;
}

/** What the store has of it. */
export interface Remembered {
  /** When the room was last heard; ms since 1970. */
  heardAt?: number | undefined;
  /** In the room's archive, of the last message that was heard. */
  lastId?: string | undefined;
  /** Hashes of what was heard, where that does not say it exactly; four bytes each, in base64. */
  recent?: string | undefined;
  /** Place in our log of a room that has no archive, up to which all was heard. */
  seq?: number | undefined;
  /** When the account began to hear the room, where that is not long before it was last heard; ms since 1970. */
  began?: number | undefined;
}

const NOWHERE: Position = { at: undefined, id: undefined };

interface Out {
  readonly place: number;
  /** When it has arrived all up to here is safe, but for what is before it. */
  upTo: Position;
  readonly hash: number;
  hasArrived: boolean;
}

/**
 * Where an account stands in a room, over all its sessions here. What its ghost gets upstream becomes events; the session that carries
 * it is a *source*. There are two of them only while one takes over from the other.
 */
export class Whereabouts {
  /** Full JIDs of the sessions whose server leg brings the room's traffic for events. */
  readonly sources = new Set<string>();
  /** Full JID of that of them which has still to bring what was missed before it. */
  behind: string | undefined;
  /** Full JIDs of the sessions whose client is in the room, or about to be: to others it is no ghost. */
  readonly joined = new Set<string>();
  /** Those to whom the room has confirmed it: they get groupchat. */
  readonly inside = new Set<string>();
  /** How far the room has been heard by this process. */
  #heard: Position = NOWHERE;
  /** How far in that all has reached the account: where the next process has to go on. */
  #safe: Position = NOWHERE;
  /** What was safe, or as good as that, before what was heard last. */
  #before: Position = NOWHERE;
  /** What is behind that and was sent to clients, oldest first. */
  readonly #out: Out[] = [];
  #places = 0;
  /** Place in the room's log of the last that a source has brought; undefined: of none since it has begun. */
  place: number | undefined;
  /** Nothing more is stored for the account: what comes from here on, the room is asked for later. */
  isFrozen = false;
  /** Hashes of what has come: half a kilobyte, where the keys themselves would be many. */
  #hashes: Int32Array | undefined;
  #next = 0;

  /** When the room was last heard; ms since 1970. */
  get heardAt(): number | undefined {
    return this.#heard.at;
  }

  /** In the room's archive, of the last message that was heard. */
  get lastId(): string | undefined {
    return this.#heard.id;
  }

  /** In our log of a room that has no archive: up to there the account has been told all, or has it in the store. */
  get seq(): number | undefined {
    return this.#heard.seq;
  }

  /** How far all that was heard has reached the account. */
  get safe(): Position {
    return this.#safe;
  }

  /**
   * What the next process has to know, so that nothing comes twice: the latest hashes of what has reached the account. Undefined where
   * an id or a place in the log says it exactly.
   */
  get recent(): string | undefined {
    const isExact = this.#safe.id !== undefined && !this.#out.some(({ hasArrived }) => hasArrived);
    if (this.#hashes === undefined || isExact || this.#safe.seq !== undefined) return undefined;
    const out = new Set(this.#out.flatMap(({ hash, hasArrived }) => (hasArrived ? [] : hash)));
    const handed: number[] = [];
    for (let back = 1; back <= REMEMBERED && handed.length < HANDED_ON; back++) {
      const hash = this.#hashes[(this.#next + REMEMBERED - back) % REMEMBERED]!;
      if (hash !== 0 && !out.has(hash)) handed.push(hash);
    }
    const bytes = Buffer.alloc(4 * handed.length);
    for (const [index, hash] of handed.reverse().entries()) bytes.writeInt32LE(hash, 4 * index);
    return bytes.toString('base64');
  }

  /**
   * Something of the room's has been heard. It is safe, unless it goes out.
   * @param at when; ms since 1970. Undefined: at some time before
   * @param id in the room's archive, if it is known
   * @param seq in our log, where the room has no archive
   */
  hears(at: number | undefined, id: string | undefined, seq?: number): void {
    const heard = this.#heard;
    this.#heard = {
      at: at === undefined ? heard.at : Math.max(at, heard.at ?? 0),
      id: id ?? heard.id,
      seq: seq === undefined ? heard.seq : Math.max(seq, heard.seq ?? 0),
    };
    const last = this.#out.at(-1);
    this.#before = last?.upTo ?? this.#safe;
    if (last === undefined) this.#safe = this.#heard;
    else last.upTo = this.#heard;
  }

  /** The account has, or is being told, something of which this may not know yet that it has been heard. @param at as `hears` */
  retells(at: number, id: string | undefined, seq?: number): void {
    const isBehind = seq === undefined ? at < (this.#heard.at ?? 0) : seq < (this.#heard.seq ?? 0);
    if (!isBehind) this.hears(at, id, seq);
  }

  /**
   * What was heard last is being sent to clients, and has not reached the account before one of them has it.
   * @returns what to call `hasArrived` with
   */
  goesOut(): number {
    const place = ++this.#places;
    const hash = this.#hashes?.[(this.#next + REMEMBERED - 1) % REMEMBERED] ?? 0;
    const last = this.#out.at(-1);
    if (last === undefined) this.#safe = this.#before;
    else last.upTo = this.#before;
    if (this.#out.length >= MOST_OUT) this.#arrived(this.#out[0]!);
    this.#out.push({ place, upTo: this.#heard, hash, hasArrived: false });
    return place;
  }

  /** The session of a process before is gone on with, which had heard the room so far: what was not safe then comes again. */
  goesOn({ at, id }: Position): void {
    const safe = this.#safe;
    this.hears(at, id);
    if (this.#out.length === 0) this.#safe = safe;
  }

  /** @returns how far all would be safe if these had arrived; undefined: no further than it is */
  safeWith(places: ReadonlySet<number>): Position | undefined {
    const open = this.#out.findIndex(({ place, hasArrived }) => !hasArrived && !places.has(place));
    return this.#out[(open < 0 ? this.#out.length : open) - 1]?.upTo;
  }

  /** @returns whether more is safe than before */
  hasArrived(place: number): boolean {
    const out = this.#out.find((each) => each.place === place);
    if (out === undefined) return false;
    return this.#arrived(out);
  }

  #arrived(out: Out): boolean {
    out.hasArrived = true;
    let count = 0;
    while (this.#out[count]?.hasArrived === true) count += 1;
    if (count === 0) return false;
    this.#safe = this.#out[count - 1]!.upTo;
    this.#out.splice(0, count);
    return true;
  }

  /** Goes on where a process before has ended. */
  restore({ heardAt, lastId, seq, recent, began = 0 }: Remembered): void {
    this.#heard = { at: heardAt, id: lastId, seq };
    this.#safe = this.#heard;
    this.#began = began;
    if (recent === undefined || recent === '') return;
    const bytes = Buffer.from(recent, 'base64');
    const count = Math.min(bytes.length >> 2, HANDED_ON);
    this.#hashes = new Int32Array(REMEMBERED);
    for (let i = 0; i < count; i++) this.#hashes[i] = bytes.readInt32LE(4 * i);
    this.#next = count;
  }

  /** When the account began to hear the room: what was said before is not missed. */
  #began = 0;

  /** The room has let a ghost in. @param now ms since 1970 @param seq where our log ends, of a room that has no archive */
  begins(now: number, seq: number | undefined): void {
    if (this.heardAt !== undefined) return;
    this.hears(now, undefined, seq);
    this.#began = now;
  }

  /** The same, as long as it makes a difference to what was missed; ms since 1970. */
  get began(): number | undefined {
    const { at, id } = this.#safe;
    return id === undefined && at !== undefined && at - this.#began < CLOCKS_DIFFER ? this.#began : undefined;
  }

  /** From when on a room is to be asked what was missed; undefined: nothing was. */
  get missedSince(): number | undefined {
    return this.heardAt === undefined ? undefined : Math.max(this.heardAt - CLOCKS_DIFFER, this.#began);
  }

  #mayComeTwiceUntil = Number.NEGATIVE_INFINITY;

  /** A source brings nothing any more; what it has brought the others may still be about to. @returns whether it was one */
  leaves(full: string, now: number): boolean {
    const was = this.sources.delete(full);
    this.#changes?.leaves(full, this.sources.size === 0);
    if (this.behind === full) {
      this.behind = undefined;
      // What it has not brought is still to be asked for.
      this.isFrozen ||= this.sources.size > 0;
    }
    if (was && this.sources.size > 0) this.#mayComeTwiceUntil = now + STREAMS_APART;
    return was;
  }

  /** Made when somebody is told of the first. */
  #changes: ChangesTold | undefined;

  /** A source brings that somebody is there, is gone, or has become something else. @param key it is known by @returns false when another one has brought it */
  isNewChange(source: string, change: Change, key: string, now: number): boolean {
    this.#changes ??= new ChangesTold();
    return this.#changes.isNew(source, this.sources, change, keyHash(key), now);
  }

  /** Whether something that has come may come again from another source. */
  mayComeTwice(now: number): boolean {
    return this.sources.size > 1 || now < this.#mayComeTwiceUntil;
  }

  /** A session's client is not in the room any more. @returns whether it was, or was about to be */
  clientIsOut(full: string): boolean {
    this.inside.delete(full);
    return this.joined.delete(full);
  }

  /**
   * Something of the room's has come.
   * @param hash of the key that it is known by
   * @returns false when it has come before
   */
  isNew(hash: number): boolean {
    this.#hashes ??= new Int32Array(REMEMBERED);
    if (this.#hashes.includes(hash)) return false;
    this.#hashes[this.#next] = hash;
    this.#next = (this.#next + 1) % REMEMBERED;
    return true;
  }
}

/** What is remembered of a key. FNV-1a as a signed number; 0 stands for an empty place. */
export function keyHash(key: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash === 0 ? 1 : hash;
}
