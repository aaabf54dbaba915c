import type { SessionIdentity } from '../../session/feature.js';
import { keyParts, type StoreChange, type StoreEntry, storeKey } from '../../store/store.js';
import { type Keeping, type KeepLimits, type KeptMessage, KeptMessages } from './kept.js';
import type { Mark } from './marks.js';
import {
  FEATURE_NAME,
  fresh,
  json,
  KEPT,
  ROOM,
  readKept,
  readRecord,
  readTrail,
  SEEN,
  SPEAKS,
} from './records.js';

/** Resources of which it is known what they have had of a room. */
const MOST_RESOURCES = 16;
/** Messages by which it is told where a client has stopped reading: more than a room's history has by default. */
export const TRAIL = 32;
/** Rooms of one account. */
const MOST_ROOMS = 500;

/** A subscription that the proxy has made for an account. */
export interface Subscription {
  readonly nick: string;
  /** When a client of the account was last in the room; ms since 1970. */
  readonly joinedAt: number;
  /** It has been asked for, and the room has not answered. */
  readonly asked: boolean;
}

/** What one resource has had of a room. */
export interface Seen {
  /** Of what is kept, everything up to here. */
  seq: number;
  /** When it last had something, or left; ms since 1970. */
  at: number;
  /** The last messages, oldest first. */
  trail: Mark[];
  /** It is in the room for the first time, and has had nothing. */
  isNew?: boolean;
}

/** What is known of an account and a room. */
export interface Room {
  readonly jid: string;
  subscription: Subscription | undefined;
  /** Since when it is a client's own affair; ms since 1970. */
  speaksSince: number | undefined;
  readonly seen: Map<string, Seen>;
  readonly kept: KeptMessage[];
  lastSeq: number;
  /** Sessions that are in it: their nick, and their name in `seen`. */
  readonly inside: Map<SessionIdentity, { readonly nick: string; readonly name: string | undefined }>;
}

/** Everything about one account: shared by its sessions, and the same as what is in the store or about to be. */
export class AccountBook {
  isRead = false;
  readonly #rooms = new Map<string, Room>();
  #speaksSince: number | undefined;
  readonly #readers = new Set<() => void>();
  /** Names in `seen` that sessions of now use. */
  readonly #names = new Map<SessionIdentity, string>();
  sessions = 0;
  readonly #kept: KeptMessages;

  constructor(
    private readonly domain: string,
    readonly account: string,
  ) {
    this.#kept = new KeptMessages(domain, account, this.#rooms);
  }

  /** Where in the store all of it is. */
  get prefix(): string {
    return storeKey(FEATURE_NAME, this.domain, this.account, '');
  }

  get size(): number {
    let size = 500;
    for (const room of this.#rooms.values()) size += 500 + room.kept.length * 150 + room.seen.size * 2_000;
    return size;
  }

  // Reading.

  /**
   * @param now ms since 1970
   * @param keepMs for how long a message is of use
   * @returns what takes those out of the store that are of no use any more
   */
  learn(entries: readonly StoreEntry[], now: number, keepMs: number): StoreChange[] {
    if (this.isRead) return [];
    this.isRead = true;
    const useless: StoreChange[] = [];
    for (const entry of entries)
      if (!this.#take(entry, now, keepMs)) useless.push({ key: entry.key, value: undefined });
    for (const room of this.#rooms.values()) room.kept.sort((a, b) => a.seq - b.seq);
    const readers = [...this.#readers];
    this.#readers.clear();
    for (const reader of readers) reader();
    return useless;
  }

  /** Told once when it has been read; only to note it. */
  whenRead(reader: () => void): void {
    this.#readers.add(reader);
  }

  forgetReader(reader: () => void): void {
    this.#readers.delete(reader);
  }

  #take({ key, value }: StoreEntry, now: number, keepMs: number): boolean {
    const kind = keyParts(key)[3];
    const record = readRecord(value);
    if (record === undefined) return false;
    if (kind === SPEAKS) {
      this.#speaksSince = fresh(record.at, now);
      return this.#speaksSince !== undefined;
    }
    const { room: jid } = record;
    if (typeof jid !== 'string' || (!this.#rooms.has(jid) && this.#rooms.size >= MOST_ROOMS)) return false;
    const room = this.#make(jid);
    if (kind === ROOM) {
      const { nick, joinedAt, asked } = record;
      room.speaksSince = fresh(record.speaks, now);
      if (typeof nick === 'string')
        room.subscription = { nick, joinedAt: Number(joinedAt ?? 0), asked: asked === true };
    } else if (kind === SEEN) {
      const { resource, seq, at, trail } = record;
      if (typeof resource !== 'string' || typeof seq !== 'number') return false;
      room.seen.set(resource, { seq, at: Number(at), trail: readTrail(trail) });
      room.lastSeq = Math.max(room.lastSeq, seq);
    } else if (kind === KEPT) {
      const message = readKept(value);
      if (message === undefined || now - message.mark.at > keepMs) return false;
      this.#kept.learn(room, message, value.length);
    }
    return true;
  }

  // What is known.

  room(jid: string): Room | undefined {
    return this.#rooms.get(jid);
  }

  /** Rooms to which the proxy has subscribed the account. */
  subscribed(): Room[] {
    return [...this.#rooms.values()].filter(({ subscription }) => subscription !== undefined);
  }

  isOurs(jid: string): boolean {
    return this.#rooms.get(jid)?.subscription !== undefined;
  }

  /** A client of the account deals with the room's subscriptions itself. */
  leavesAlone(jid: string): boolean {
    return this.#speaksSince !== undefined || this.#rooms.get(jid)?.speaksSince !== undefined;
  }

  /** Somebody comes back to something here. */
  hasAnything(jid: string): boolean {
    const room = this.#rooms.get(jid);
    return room !== undefined && (room.seen.size > 0 || room.kept.length > 0);
  }

  /** Whether some resource but the own that is not there has not had what is said now. @param since those of before have been given up; ms since 1970 */
  lags(jid: string, own: string | undefined, since: number): boolean {
    const room = this.#rooms.get(jid);
    if (room === undefined) return false;
    const there = new Set([...room.inside.values()].map(({ name }) => name));
    for (const [name, { at }] of room.seen) if (name !== own && !there.has(name) && at >= since) return true;
    return false;
  }

  // Who is here.

  /**
   * Under which name it is remembered what a resource has had.
   * @returns undefined when it cannot be
   */
  nameFor(session: SessionIdentity): string | undefined {
    // COMPAT: ejabberd gives a client that wants no certain resource a long number, a new one each time: that is no name. All such are one.
    const name = /^\d{15,}$/.test(session.resource) ? '' : session.resource;
    for (const [other, taken] of this.#names)
      if (taken === name && other.full !== session.full) return undefined;
    this.#names.set(session, name);
    return name;
  }

  left(session: SessionIdentity): void {
    this.#names.delete(session);
    for (const room of [...this.#rooms.values()]) {
      room.inside.delete(session);
      this.#forgetEmpty(room);
    }
  }

  enters(jid: string, session: SessionIdentity, nick: string): void {
    if (!this.#rooms.has(jid) && this.#rooms.size >= MOST_ROOMS) return;
    this.#make(jid).inside.set(session, { nick, name: this.#names.get(session) });
  }

  leaves(jid: string, session: SessionIdentity): void {
    this.#rooms.get(jid)?.inside.delete(session);
  }

  isInside(jid: string, session: SessionIdentity): boolean {
    return this.#rooms.get(jid)?.inside.has(session) === true;
  }

  hasKept(jid: string): boolean {
    return (this.#rooms.get(jid)?.kept.length ?? 0) > 0;
  }

  // Changes. What they return is to be written to the store.

  subscribes(jid: string, subscription: Subscription): StoreChange[] {
    const room = this.#make(jid);
    room.subscription = subscription;
    return [this.#roomChange(room)];
  }

  /** The subscription is not ours, or not there any more. What is kept stays for who comes back. */
  endSubscription(jid: string): StoreChange[] {
    const room = this.#rooms.get(jid);
    if (room?.subscription === undefined) return [];
    room.subscription = undefined;
    return [this.#roomChange(room)];
  }

  /** The room is not what it was: nothing of what is known of it is of use. */
  forget(jid: string): StoreChange[] {
    const room = this.#rooms.get(jid);
    if (room === undefined) return [];
    const changes = this.#kept.forget(room);
    for (const name of room.seen.keys()) changes.push({ key: this.#seenKey(jid, name), value: undefined });
    room.seen.clear();
    room.subscription = undefined;
    const change = this.#roomChange(room);
    this.#forgetEmpty(room);
    return [...changes, change];
  }

  /** A client speaks MUC/Sub itself. @param jid of the room it is about; undefined: all @param now ms since 1970 */
  clientSpeaks(jid: string | undefined, now: number): StoreChange[] {
    if (jid === undefined) {
      this.#speaksSince = now;
      const value = json({ at: now });
      const changes = this.subscribed().flatMap((room) => this.endSubscription(room.jid));
      return [...changes, { key: storeKey(FEATURE_NAME, this.domain, this.account, SPEAKS), value }];
    }
    if (!this.#rooms.has(jid) && this.#rooms.size >= MOST_ROOMS) return [];
    const room = this.#make(jid);
    room.speaksSince = now;
    room.subscription = undefined;
    return [this.#roomChange(room)];
  }

  /** What a resource has had of a room. Who is new has missed what everybody has missed. @param now ms since 1970 */
  seenBy(jid: string, name: string, now: number): Seen {
    const { seen } = this.#make(jid);
    let found = seen.get(name);
    if (found === undefined) {
      found = { seq: this.commonSeq(jid, name), at: now, trail: [], isNew: true };
      seen.set(name, found);
    }
    return found;
  }

  /** A resource has had a message. */
  static noteSeen(seen: Seen, mark: Mark | undefined, seq: number | undefined, now: number): void {
    if (mark !== undefined) {
      seen.trail.push(mark);
      if (seen.trail.length > TRAIL) seen.trail.shift();
    }
    if (seq !== undefined && seq > seen.seq) seen.seq = seq;
    seen.at = now;
    seen.isNew = false;
  }

  /** What a resource has had, for the store, and what nobody needs any more. @param since who was here last before that is not waited for; ms since 1970 */
  saveSeen(jid: string, name: string, since: number): StoreChange[] {
    const room = this.#rooms.get(jid);
    const seen = room?.seen.get(name);
    if (room === undefined || seen === undefined) return [];
    const changes: StoreChange[] = [];
    for (const [other, { at }] of room.seen) {
      const isTooMany = room.seen.size > MOST_RESOURCES && at === oldestOf(room.seen);
      if (other === name || (at >= since && !isTooMany)) continue;
      room.seen.delete(other);
      changes.push({ key: this.#seenKey(jid, other), value: undefined });
    }
    const { seq, at, trail } = seen;
    const written = trail.map((mark) => [mark.id ?? '', mark.content, mark.at]);
    const value = json({ room: jid, resource: name, seq, at, trail: written });
    changes.push({ key: this.#seenKey(jid, name), value });
    const had = Math.min(...[...room.seen.values()].map((each) => each.seq));
    while (room.kept.length > 0 && room.kept[0]!.seq <= had) changes.push(this.#kept.drop(room));
    return changes;
  }

  /** Keeps a message for clients that have not had it; see `KeptMessages.add`. */
  keep(jid: string, keeping: Keeping, limits: KeepLimits): ReturnType<KeptMessages['add']> {
    return this.#kept.add(this.#make(jid), keeping, limits);
  }

  /** Where what is kept of a room is. */
  keptPrefix(jid: string): string {
    return storeKey(FEATURE_NAME, this.domain, this.account, KEPT, jid, '');
  }

  /** Up to where somebody of the account has had what is kept, or is being told it. @param name of who is new */
  commonSeq(jid: string, name: string | undefined): number {
    const room = this.#rooms.get(jid);
    if (room === undefined) return 0;
    for (const { name: other } of room.inside.values()) if (other !== name) return room.lastSeq;
    return Math.max(0, ...[...room.seen.values()].map(({ seq }) => seq));
  }

  #roomChange({ jid, subscription, speaksSince }: Room): StoreChange {
    const key = storeKey(FEATURE_NAME, this.domain, this.account, ROOM, jid);
    if (subscription === undefined && speaksSince === undefined) return { key, value: undefined };
    return { key, value: json({ room: jid, ...subscription, speaks: speaksSince }) };
  }

  #seenKey(jid: string, name: string): string {
    return storeKey(FEATURE_NAME, this.domain, this.account, SEEN, jid, name);
  }

  #make(jid: string): Room {
    let room = this.#rooms.get(jid);
    if (room === undefined) {
      room = {
        ...{ jid, subscription: undefined, speaksSince: undefined, kept: [], lastSeq: 0 },
        ...{ seen: new Map(), inside: new Map() },
      };
      this.#rooms.set(jid, room);
    }
    return room;
  }

  #forgetEmpty(room: Room): void {
    const { jid, subscription, speaksSince, seen, kept, inside } = room;
    if (subscription !== undefined || speaksSince !== undefined || inside.size > 0 || kept.length > 0) return;
    // What was had of a room that was never subscribed to is of use while the session lasts.
    if (seen.size === 0 || this.#names.size === 0) this.#rooms.delete(jid);
  }
}

function oldestOf(seen: ReadonlyMap<string, Seen>): number {
  return Math.min(...[...seen.values()].map(({ at }) => at));
}
