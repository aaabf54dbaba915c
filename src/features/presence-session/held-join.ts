import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { HistoryLimits } from '../../knowledge/rooms/history-limits.js';
import type { Frame } from '../../xml/frame.js';
import type { NamespaceTable } from '../../xml/namespaces.js';
import { Splice } from '../../xml/splice.js';
import { isMarked, strip, type Wish } from './annotation.js';
import type { Standing } from './difference.js';
import { Digest } from './digest.js';
import { type RoomMessage, readMessage } from './history.js';
import type { View } from './view.js';

/** An occupant's presence as the room gives it, without any mark. */
export interface Arrival extends Standing {
  readonly xml: Buffer;
}

/** What has to be known before a held join is answered. */
export type Awaited = 'view' | 'self' | 'end' | 'archive';

/**
 * A client comes back to a room that knows nothing of coming back: it is sent a whole room, and what it says is held until it is complete and can
 * be compared with what the client knows.
 */
export class HeldJoin {
  /** By nick; the session's own excluded. What comes while it is held is part of it. */
  readonly others = new Map<string, Arrival>();
  self: Arrival | undefined;
  /** The room did not exist before. */
  created = false;
  /** Messages of before, oldest first. */
  history: RoomMessage[] = [];
  subject: RoomMessage | undefined;
  /** What was said meanwhile. */
  readonly live: RoomMessage[] = [];
  /** Out of the room's archive. */
  archive: RoomMessage[] | undefined;
  /** The archive has given all since the time it was asked for. */
  archiveReachesBack = false;
  /** The room has an archive (XEP-0313). */
  hasArchive = false;
  /** Who has stopped being there by leaving, so that the room can be entered anew: the own unavailable presence is no end. */
  expectsOwnLeaving = false;
  #old: View | undefined;
  readonly digest: Digest;
  bytes = 0;
  namespaces: NamespaceTable | undefined;
  readonly #awaited = new Set<Awaited>(['view', 'self', 'end']);

  constructor(
    readonly room: string,
    readonly nick: string,
    readonly wish: Wish,
    readonly limits: HistoryLimits,
    /** Of the digest: that of the view which the client names. */
    readonly key: string,
  ) {
    this.digest = new Digest(key);
  }

  /** The view that the client names; undefined: there is none. */
  get old(): View | undefined {
    return this.#old;
  }

  set old(view: View | undefined) {
    this.#old = view;
    for (const [nick, arrival] of this.others) {
      this.others.set(nick, { ...arrival, row: view?.occupants.find(nick) ?? -1 });
    }
  }

  get complete(): boolean {
    return this.#awaited.size === 0;
  }

  awaits(what: Awaited): boolean {
    return this.#awaited.has(what);
  }

  await(what: Awaited): void {
    this.#awaited.add(what);
  }

  /** @returns whether it is complete now */
  has(what: Awaited): boolean {
    return this.#awaited.delete(what) && this.complete;
  }

  /** A presence from the room. @param nick '' for the room's own @param isSelf the room says that it is the session's own */
  presence(frame: Frame, nick: string, isSelf: boolean): void {
    if (frame.type === 'unavailable') {
      if (nick === '' || isSelf) return;
      this.#forget(nick);
      return;
    }
    const arrival = this.#arrival(frame, nick);
    this.bytes += arrival.xml.length;
    if (isSelf || (this.self !== undefined && nick === this.self.nick)) {
      this.self = arrival;
      this.#forget(nick);
    } else {
      // A presence anew stands where the first one stood.
      this.others.set(nick, arrival);
    }
  }

  /** A groupchat message from the room. */
  message(frame: Frame, tree: Element): void {
    const message = readMessage(tree, stripped(frame), this.digest, this.room);
    this.bytes += message.xml.length;
    if (message.isSubject) {
      if (this.subject !== undefined) this.history.push(this.subject);
      this.subject = message;
    } else if (Number.isNaN(message.stamp)) this.live.push(message);
    else this.history.push(message);
  }

  #arrival(frame: Frame, nick: string): Arrival {
    this.namespaces = frame.namespaces;
    const { spelledLo, spelledHi } = this.digest.spelling(frame);
    const known = this.old?.occupants;
    const row = known?.find(nick) ?? -1;
    // What is not the client's business for long is not copied: all that it came with is held.
    const xml = this.digest.hasMore ? withoutMarks(frame) : frame.bytes();
    if (known !== undefined && row >= 0 && known.isSpelled(row, spelledLo, spelledHi)) {
      const said = { lo: known.lo(row), hi: known.hi(row), flags: known.flags(row) };
      return { nick, row, xml, spelledLo, spelledHi, ...said };
    }
    const { lo, hi, flags } = this.digest.presence(frame);
    return { nick, row, xml, lo, hi, spelledLo, spelledHi, flags };
  }

  #forget(nick: string): void {
    const known = this.others.get(nick);
    if (known === undefined) return;
    this.bytes -= known.xml.length;
    this.others.delete(nick);
  }
}

/** A stanza without any mark, in bytes of its own. */
export function stripped(frame: Frame): Buffer {
  return isMarked(frame) ? withoutMarks(frame) : Buffer.from(frame.bytes());
}

function withoutMarks(frame: Frame): Buffer {
  const splice = new Splice(frame);
  strip(frame, splice);
  return splice.toBuffer();
}
