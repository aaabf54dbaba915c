import type { Buffer } from 'node:buffer';
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
import { gap, wrap } from './events.js';
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
    return cursor?.reader !== context.identity.full || cursor.sent === 0 || cursor.isDone;
  }

  /** Nothing more is taken in: the room's archive will be asked. */
  isFull(room: string): boolean {
    const { book, settings } = this.around;
    return (book.logs.known(room)?.bytes ?? 0) >= settings.storeBytes;
  }

  /**
   * Takes in what the session hears of a room.
   * @param made what it is to all, asked for where the log does not have it yet, or it has to wait
   * @param events all that the account has subscribed to, when it is to get this later; undefined: nobody is to get it for that
   */
  take(room: string, known: Known, made: () => Said, events?: readonly EventName[]): Logged {
    const { book, account, context, settings } = this.around;
    const log = this.#log(room);
    const where = book.whereabouts(room, account);
    const changes: StoreChange[] = [];
    let said: Said | undefined;
    const once = () => {
      said ??= made();
      return said;
    };
    const logged = log.hear(this.around, known, once, where.place, changes);
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

  #whole(log: RoomLog, done: (told: readonly Told[]) => void): void {
    const { context } = this.around;
    if (log.load(this.around, () => log.tell(this.around, done))) return;
    this.#later.push(() => this.#whole(log, done));
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
      where.retells(told.at, told.isUnique ? told.key : undefined);
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

  #event(room: string, event: EventName, { id, at, inner }: Told): Buffer | undefined {
    const { account, context } = this.around;
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

/** @returns undefined when the account has not subscribed to it */
export function eventOf(kind: LoggedKind, events: readonly EventName[]): EventName | undefined {
  const event = kind === 'announcement' ? (events.includes('messages') ? 'messages' : 'system') : kind;
  return events.includes(event) ? event : undefined;
}
