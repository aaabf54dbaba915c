import { Buffer } from 'node:buffer';
import type { FeatureContext } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { Splice } from '../../xml/splice.js';
import { writeTime } from '../../xml/times.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { AccountBook, type Seen } from './book.js';
import { isSame, type Mark } from './marks.js';
import type { Settings } from './settings.js';

/** Something that a client has been sent and has not acknowledged. */
export interface Handed {
  readonly place: number;
  readonly room: string;
  /** Undefined: only up to where it has had what is kept. */
  readonly mark: Mark | undefined;
  seq: number | undefined;
  /** See `Showing`. */
  readonly upTo: number | undefined;
  /** For when it is never acknowledged and not kept anywhere. */
  xml: Buffer | undefined;
  /** It comes from us: the server would not send it again. */
  readonly isOurs: boolean;
}

/** A message on its way to the client. */
export interface Showing {
  /** Undefined: only that it has had what is kept. */
  readonly mark?: Mark | undefined;
  /** Its place among what is kept. */
  readonly seq?: number | undefined;
  /** Up to where it has had all that is kept, when it has this; that of the message itself when it does not say. */
  readonly upTo?: number | undefined;
  /** Where it is not kept. */
  readonly xml?: Buffer | undefined;
  /** It comes from us, and not as the server sends it. */
  readonly isOurs?: boolean;
  /** The client is to be asked for an acknowledgement. */
  readonly asks?: boolean;
}

/** Bytes of what is on its way that one session holds on to; for what is beyond, the room has to be asked. */
const MOST_BYTES = 524_288;

/** What is on its way to the client of one session, and what it has had: the latter moves only when the client acknowledges. */
export class Handing {
  #handed: Handed[] = [];
  #places = 0;
  #bytes = 0;
  readonly #unsaved = new Set<string>();
  #saving = false;

  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly settings: Settings,
    /** Under which it is remembered what the client has had; undefined: it is not. */
    private readonly name: string | undefined,
  ) {}

  /** Messages of which it is told when they have been had, later than from here on. */
  get isEmpty(): boolean {
    return this.#handed.length === 0;
  }

  /** To be called when a message is being sent to the client, or has just been. */
  shows(room: string, { mark, seq, upTo, xml, isOurs = false, asks = false }: Showing): void {
    if (this.name === undefined) return;
    const isHeld = xml !== undefined && this.#bytes + xml.length <= MOST_BYTES;
    this.#places += 1;
    const place = this.#places;
    this.#handed.push({ place, room, mark, seq, upTo, xml: isHeld ? xml : undefined, isOurs });
    if (isHeld) this.#bytes += xml.length;
    this.context.whenReceived(String(place), asks);
  }

  /** Whether the client has had a message, or it is on its way to it. */
  has(room: string, mark: Mark): boolean {
    const had = this.name === undefined ? undefined : this.book.room(room)?.seen.get(this.name);
    if (had?.trail.some((each) => isSame(each, mark)) === true) return true;
    return this.#handed.some(
      (each) => each.room === room && each.mark !== undefined && isSame(each.mark, mark),
    );
  }

  /** What the client will have had of a room when it has read all that is on its way; undefined: nothing is known of it. */
  standing(room: string): Seen | undefined {
    const had = this.name === undefined ? undefined : this.book.room(room)?.seen.get(this.name);
    const coming = this.#handed.filter((each) => each.room === room);
    if (coming.length === 0) return had;
    return {
      seq: Math.max(had?.seq ?? 0, ...coming.map(({ seq, upTo }) => upTo ?? seq ?? 0)),
      at: had?.at ?? this.context.wallClock(),
      trail: [...(had?.trail ?? []), ...coming.flatMap(({ mark }) => mark ?? [])],
    };
  }

  /** The client is in the room: what is said is kept for it from now on. */
  enters(room: string): void {
    if (this.name === undefined) return;
    this.book.seenBy(room, this.name, this.context.wallClock());
    this.save(room);
  }

  /** The client is not in the room any more: what is kept from here on it has not had. */
  leaves(room: string): void {
    // Before anything is kept that is said from now on.
    this.park(room);
    const lastSeq = this.book.room(room)?.lastSeq ?? 0;
    if (this.#handed.some((each) => each.room === room)) this.shows(room, { seq: lastSeq });
    else this.had({ room, mark: undefined, seq: lastSeq, upTo: undefined });
  }

  /**
   * The client has had all that was on its way up to some place.
   * @param token as it was given to `whenReceived`
   * @returns what that is: `had` is to be called for each when the book has been read
   */
  received(token: string): readonly Handed[] {
    const place = Number(token);
    const behind = this.#handed.findIndex((handed) => handed.place > place);
    const had = this.#handed.splice(0, behind === -1 ? this.#handed.length : behind);
    for (const { xml } of had) this.#bytes -= xml?.length ?? 0;
    return had;
  }

  /** Notes in the book what the client has had. */
  had({ room, mark, seq, upTo }: Pick<Handed, 'room' | 'mark' | 'seq' | 'upTo'>): void {
    const { book, name, context } = this;
    if (name === undefined) return;
    const now = context.wallClock();
    AccountBook.noteSeen(book.seenBy(room, name, now), mark, upTo ?? seq, now);
    this.save(room);
  }

  /** Writes down what the client has had of a room, soon. */
  save(room: string): void {
    this.#unsaved.add(room);
    if (!this.#saving) this.#write(true);
  }

  #write(again: boolean): void {
    const { book, name, context } = this;
    if (name === undefined) return;
    const since = context.wallClock() - this.settings.absenceSeconds * 1_000;
    const rooms = [...this.#unsaved].filter((room) => book.isOurs(room) || book.hasKept(room));
    this.#unsaved.clear();
    const changes = rooms.flatMap((room) => book.saveSeen(room, name, since));
    if (changes.length === 0) return;
    this.#saving = again;
    context.store.write(changes, () => {
      this.#saving = false;
      if (this.#unsaved.size > 0) this.#write(true);
    });
  }

  /** Nobody may ever acknowledge what is on its way: it is kept like what is said to nobody. @param only of one room */
  park(only?: string): void {
    for (const handed of this.#handed) {
      const { room, mark, xml } = handed;
      if (xml === undefined || mark === undefined || handed.seq !== undefined) continue;
      if (only !== undefined && room !== only) continue;
      handed.seq = this.keep(room, mark, xml, this.name);
      this.#bytes -= xml.length;
      handed.xml = undefined;
    }
  }

  /**
   * Keeps a message for who has not had it.
   * @param only the one resource for which it is
   * @returns its place; undefined when nothing is kept of the room
   */
  keep(room: string, mark: Mark, bytes: Buffer, only?: string): number | undefined {
    const { book, context, settings } = this;
    if (!book.isOurs(room)) return undefined;
    const xml = delayed(bytes, room, mark.at, context).toString();
    const limits = {
      bytes: settings.storeBytes,
      oldest: context.wallClock() - settings.keepSeconds * 1_000,
    };
    const { message, changes } = book.keep(room, { mark, xml, only }, limits);
    if (changes.length > 0) {
      context.count('mucsub-client-kept');
      // Nobody else has it any more once the server takes it for delivered.
      const isSafe = context.holdAcknowledgement();
      context.store.write(changes, (ok) => {
        if (ok) message.xml = undefined;
        isSafe();
      });
    }
    return message.seq;
  }

  /** The session is over. @param inside rooms that the client is in */
  close(inside: readonly string[]): void {
    this.park();
    for (const room of inside) this.leaves(room);
    const blocked = new Set<string>();
    for (const handed of this.#handed) {
      if (handed.mark !== undefined) blocked.add(handed.room);
      else if (!blocked.has(handed.room)) this.had(handed);
    }
    this.#handed = [];
    this.#write(false);
  }

  // From one process to the next.

  /** What was on its way in the process before. Until `lost` is asked it may be heard that the client has it. */
  restore(records: readonly HandedRecord[]): void {
    for (const handed of handedOf(records)) {
      this.#handed.push(handed);
      this.#bytes += handed.xml?.length ?? 0;
      this.#places = Math.max(this.#places, handed.place);
    }
  }

  /** What is on its way. */
  get handed(): readonly Handed[] {
    return this.#handed;
  }

  /** Takes out what the client has not had when the process before ended. */
  lost(): readonly Handed[] {
    this.#bytes = 0;
    return this.#handed.splice(0);
  }
}

/** What was on its way when a process ended, for the next one. */
export function recordsOf(handed: readonly Handed[]): HandedRecord[] {
  return handed.map(({ place, room, mark, seq, upTo, xml, isOurs }) => ({
    ...{ place, room, mark, seq, upTo, isOurs },
    ...(isOurs && xml !== undefined && { xml: xml.toString() }),
  }));
}

export function handedOf(records: readonly HandedRecord[]): Handed[] {
  return records.map(({ place, room, mark, seq, upTo, xml, isOurs }) => {
    return { place, room, mark, seq, upTo, xml: xml === undefined ? undefined : Buffer.from(xml), isOurs };
  });
}

/** `Handed` as the next process gets it. */
export interface HandedRecord {
  readonly place: number;
  readonly room: string;
  readonly mark?: Mark | undefined;
  readonly seq?: number | undefined;
  readonly upTo?: number | undefined;
  readonly xml?: string;
  readonly isOurs: boolean;
}

/** A message as it will be given later, also to another resource. @param at ms since 1970 */
function delayed(bytes: Buffer, room: string, at: number, context: FeatureContext): Buffer {
  const frame = parseStanza(bytes, context.namespaces);
  if ('condition' in frame) return bytes;
  const splice = new Splice(frame);
  // What marks it for one session (XEP-0311).
  for (let i = 0; i < frame.childCount; i++)
    if (frame.childNamespace(i) === NS.presenceSession) splice.removeChild(i);
  if (frame.findChild('delay', NS.delay) < 0)
    splice.appendChild(
      `<delay xmlns='${NS.delay}' from='${escapeAttribute(room)}' stamp='${writeTime(at)}'/>`,
    );
  return splice.toBuffer();
}
