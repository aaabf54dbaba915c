import { Buffer } from 'node:buffer';
import type { StoreChange } from '../../store/store.js';
import { Frame } from '../../xml/frame.js';
import { Splice } from '../../xml/splice.js';
import { writeTime } from '../../xml/times.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { ARRIVED } from './arrivals.js';
import { Cursor } from './cursor.js';
import {
  cursorKey,
  type Known,
  type Logged,
  type LoggedKind,
  type RoomLog,
  type Said,
  type Told,
} from './event-log.js';
import { gap, gapElement, wrap } from './events.js';
import type { EventName } from './nodes.js';
import { hasArchive, lacksArchive } from './services.js';
import type { Surroundings } from './surroundings.js';
import { keyHash } from './whereabouts.js';

/** Wakes the feature when a log is to be read that another session was reading. */
export const READ = 'read';
const AGAIN_AFTER = 20;
/** Has the client asked what it has, of which each part has a token of its own. */
const ASKED = `${ARRIVED}asked`;

/** Events for who is away: into the room's log, and out of it when a client of the account is there. */
export class Storing {
  readonly #later: (() => void)[] = [];
  /** Told of each room of which all that is stored has been sent to this session's client. */
  whenSent: ((room: string) => void) | undefined;
  /** Told of each room of which it has acknowledged that. */
  whenAcknowledged: ((room: string) => void) | undefined;

  constructor(private readonly around: Surroundings) {}

  /** The room has something in its log that the account has to be sent first. */
  isBehind(room: string): boolean {
    const { book, account } = this.around;
    return book.logs.known(room)?.cursors.get(account)?.isBehind === true;
  }

  /** The client has all that it was told out of the room's log. */
  isAcknowledged(room: string): boolean {
    const { book, account, context } = this.around;
    const cursor = book.logs.known(room)?.cursors.get(account);
    return cursor?.reader !== context.identity.full || !cursor.isOut;
  }

  /** What goes to the client without being stored will not come before what it was told out of the room's log, if it has to be told that again. */
  keepsOrder(room: string): boolean {
    return this.isAcknowledged(room) || this.isFull(room);
  }

  /** Nothing more is taken in: the room's archive will be asked. */
  isFull(room: string): boolean {
    const { book, settings } = this.around;
    return hasArchive(this.around, room) && (book.logs.known(room)?.bytes ?? 0) >= settings.storeBytes;
  }

  /**
   * Takes in what the session hears of a room.
   * @param made what it is to all, asked for where the log does not have it yet, or it has to wait
   * @param events all that the account has subscribed to, when it is to get this later; undefined: nobody is to get it for that
   * @param at when it was said, where that was not now; ms since 1970
   */
  take(
    room: string,
    known: Known,
    made: () => Said,
    events?: readonly EventName[],
    at = this.around.context.wallClock(),
  ): Logged {
    const { book, account, context, settings } = this.around;
    const log = this.#log(room);
    const where = book.whereabouts(room, account);
    const changes: StoreChange[] = [];
    let said: Said | undefined;
    const once = () => {
      said ??= made();
      return said;
    };
    const logged = log.hear(this.around, known, once, { after: where.place, at }, changes);
    where.place = Math.max(where.place ?? 0, logged.seq);
    if (changes.length > 0) {
      log.isArchive = lacksArchive(this.around, room);
      // What a room with an archive says beyond the limit it has itself.
      const bytes = hasArchive(this.around, room) ? Number.POSITIVE_INFINITY : settings.storeBytes;
      log.limit(context.wallClock(), bytes, settings.storeSeconds, changes);
    }
    if (events !== undefined) {
      const cursor = log.cursors.get(account) ?? new Cursor(events);
      log.cursors.set(account, cursor);
      if (cursor.add(logged.seq)) changes.push(log.change(account, cursor));
      const event = eventOf(logged.kind, events);
      if (event !== undefined)
        context.waits(account, wrap({ room, account, event, id: logged.id }, once().inner));
    }
    if (changes.length > 0)
      context.store.write(changes, (ok) => {
        if (ok) log.written(logged.seq);
      });
    return logged;
  }

  /**
   * The same, as long as it has been heard before by anybody.
   * @param at when it was said; ms since 1970
   */
  find(room: string, known: Known, at: number): Logged | undefined {
    const { book, account } = this.around;
    return book.logs.known(room)?.find(known, book.knownWhereabouts(room, account)?.place, at);
  }

  /** All that is in the log behind what the account has had is to be told, and what comes from here on. */
  open(room: string): void {
    const { book, account, context } = this.around;
    const subscription = book.subscription(room, account);
    if (subscription === undefined) return;
    const log = this.#log(room);
    const { seq, heardAt = 0, began } = book.whereabouts(room, account);
    // Former versions have not noted where that is.
    const from = (seq ?? heardAt) + 1;
    const dropped = began === undefined ? log.droppedBehind(from - 1) : undefined;
    const lost = dropped && { since: heardAt, until: dropped.at, seq: dropped.seq - 1 };
    const cursor = log.cursors.get(account) ?? new Cursor(subscription.events);
    log.cursors.set(account, cursor);
    if (cursor.open(from, log.last, lost)) context.store.write([log.change(account, cursor)]);
  }

  /** Something goes to this session's client that it is to have behind what it was sent out of the log and has not acknowledged. */
  pass(room: string, { seq }: Logged, event: Buffer): void {
    const { account, context } = this.around;
    const log = this.#log(room);
    const cursor = log.cursors.get(account);
    if (cursor === undefined) return;
    cursor.add(seq);
    cursor.isRead(seq);
    context.store.write([log.change(account, cursor)]);
    context.sendStored(event, 'mucsub-event', JSON.stringify([room, seq]));
    context.whenReceived(ASKED, true);
  }

  /** What was said behind this, until now, nobody has heard who could tell. @param since ms since 1970 */
  mark(room: string, since: number): void {
    const { context } = this.around;
    const id = context.randomId();
    const at = context.wallClock();
    const inner = Buffer.from(gapElement(writeTime(since), writeTime(at)));
    const said: Said = { kind: 'gap', id, key: id, isUnique: true, at, inner };
    this.take(room, said, () => said);
  }

  #log(room: string): RoomLog {
    const { book, context } = this.around;
    const log = book.logs.of(context.domain.name, room);
    // What is there from before counts among what is kept, and has to go in time.
    if (!log.isRead) log.load(this.around, () => {});
    return log;
  }

  /** The account does not hear the room any more: what others hear is nothing for it. */
  close(room: string): void {
    const { book, account, context } = this.around;
    const log = book.logs.known(room);
    const cursor = log?.cursors.get(account);
    if (log === undefined || cursor?.close() !== true) return;
    context.store.write([log.change(account, cursor)]);
  }

  /** A client of the account is there, and gets all that is stored. */
  read(): void {
    const { book, account, context } = this.around;
    for (const log of book.logs.ofAccount(account)) {
      const cursor = log.cursors.get(account);
      if (cursor === undefined || (cursor.reader !== undefined && cursor.reader !== context.identity.full))
        continue;
      if (cursor.reader !== undefined && !cursor.isBehind) continue;
      cursor.reader = context.identity.full;
      // In a turn of its own: what was put away of a former session's is older, and being looked for in this one.
      context.store.load(cursorKey(log.domain, log.room, account), () =>
        this.#whole(log, (told) => this.#send(log, cursor, told)),
      );
    }
  }

  /** Reads all that the log of a room has. */
  whole(room: string, done: (told: readonly Told[]) => void): void {
    this.#whole(this.around.book.logs.of(this.around.context.domain.name, room), done);
  }

  /** Calls `done` when it is known what the log of a room has. */
  whenRead(room: string, done: (log: RoomLog) => void): void {
    const log = this.around.book.logs.of(this.around.context.domain.name, room);
    this.#whenRead(log, () => done(log));
  }

  /** Calls `done` when that is known of all rooms of the account's that have no archive. */
  whenArchivesRead(done: () => void): void {
    const { book, account } = this.around;
    let open = 1;
    const known = () => {
      open -= 1;
      if (open === 0) done();
    };
    for (const { room } of book.subscriptionsOf(account)) {
      if (!lacksArchive(this.around, room)) continue;
      open += 1;
      this.whenRead(room, known);
    }
    known();
  }

  #whole(log: RoomLog, done: (told: readonly Told[]) => void): void {
    this.#whenRead(log, () => log.tell(this.around, done));
  }

  #whenRead(log: RoomLog, done: () => void): void {
    const { context } = this.around;
    if (log.load(this.around, done)) return;
    this.#later.push(() => this.#whenRead(log, done));
    context.wakeAt(READ, context.now + AGAIN_AFTER);
  }

  /** Another session was reading a log. */
  readAgain(): void {
    for (const read of this.#later.splice(0)) read();
  }

  #send(log: RoomLog, cursor: Cursor, all: readonly Told[]): void {
    const { book, account, context } = this.around;
    if (log.cursors.get(account) !== cursor || cursor.reader !== context.identity.full) return;
    const { room } = log;
    const where = book.whereabouts(room, account);
    const isOurs = lacksArchive(this.around, room);
    let sent = false;
    const send = (bytes: Buffer, seq: number) => {
      context.sendStored(bytes, 'mucsub-event', JSON.stringify([room, seq]));
      sent = true;
    };
    let last = cursor.sent;
    const { lost } = cursor;
    if (lost !== undefined && lost.seq > cursor.sent) {
      send(gap(room, account, context.randomId(), writeTime(lost.since), writeTime(lost.until)), lost.seq);
      last = lost.seq;
    }
    for (const told of all) {
      if (told.seq <= cursor.sent || !cursor.has(told.seq)) continue;
      // What comes out of the room's archive later is known by this to have been heard.
      where.isNew(keyHash(told.key));
      where.retells(told.at, told.isUnique ? told.key : undefined, isOurs ? told.seq : undefined);
      const event = eventOf(told.kind, cursor.events);
      const bytes = event === undefined ? undefined : this.#event(room, event, told);
      if (bytes === undefined) continue;
      send(bytes, told.seq);
      last = told.seq;
    }
    cursor.isRead(last);
    if (sent) context.whenReceived(ASKED, true);
    else this.#acknowledged(log, last);
    this.whenSent?.(room);
  }

  #event(room: string, event: EventName, { kind, id, at, inner }: Told): Buffer | undefined {
    const { account, context } = this.around;
    if (kind === 'gap') return wrap({ room, account, event, id }, inner);
    const frame = parseStanza(inner, context.namespaces);
    if (!(frame instanceof Frame)) return undefined;
    const readdressed = new Splice(frame).setAttribute('to', account).toBuffer();
    return wrap({ room, account, event, id, stamp: writeTime(at) }, readdressed);
  }

  /** The client has some of what it was sent. @param tokens as they were given to `sendStored` */
  received(tokens: readonly string[]): void {
    const upTo = new Map<string, number>();
    for (const token of tokens) {
      const [room, seq] = JSON.parse(token) as [string, number];
      upTo.set(room, seq);
    }
    for (const [room, seq] of upTo) {
      const log = this.around.book.logs.known(room);
      if (log !== undefined) this.#acknowledged(log, seq);
    }
  }

  #acknowledged(log: RoomLog, seq: number): void {
    const { book, account, context } = this.around;
    const cursor = log.cursors.get(account);
    if (cursor === undefined) return;
    const changes: StoreChange[] = [];
    if (cursor.acknowledge(seq) || cursor.isDone) changes.push(log.change(account, cursor));
    // What is out of the log is known by this to have been heard.
    const heard = book.heard(log.domain, log.room, account);
    if (heard !== undefined) changes.push(heard);
    log.isArchive ||= lacksArchive(this.around, log.room);
    log.tidy(changes);
    if (changes.length > 0) context.store.write(changes);
    book.logs.forget(log);
    if (this.isAcknowledged(log.room)) this.whenAcknowledged?.(log.room);
  }

  /** The client of this session is gone: what it has not acknowledged is for another one. @returns whether there is any */
  release(): boolean {
    const { book, account, context } = this.around;
    let any = false;
    for (const log of book.logs.ofAccount(account)) {
      const cursor = log.cursors.get(account);
      if (cursor?.reader !== context.identity.full) continue;
      cursor.release();
      any = true;
    }
    return any;
  }
}

/** Where the log of a room that has no archive ends: what is said from now on comes behind that. @returns undefined: it has one */
export function endOfLog(around: Surroundings, room: string): number | undefined {
  if (!lacksArchive(around, room)) return undefined;
  return Math.max(around.context.wallClock() - 1, around.book.logs.known(room)?.last ?? 0);
}

/** @returns undefined when the account has not subscribed to it */
export function eventOf(kind: LoggedKind, events: readonly EventName[]): EventName | undefined {
  if (kind === 'gap') return 'system';
  const event = kind === 'announcement' ? (events.includes('messages') ? 'messages' : 'system') : kind;
  return events.includes(event) ? event : undefined;
}
