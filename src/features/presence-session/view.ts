import { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { ChangeLog } from './change-log.js';
import { Digest, isModerator } from './digest.js';
import { MessageTrail } from './message-trail.js';
import { Occupants } from './occupants.js';
import { PackedLog } from './packed-log.js';
import { TimeMarks } from './time-marks.js';

/** Somebody who is gone, for as long as a client may have to be told. */
export interface Departure {
  readonly nick: string;
  readonly flags: number;
  readonly appeared: number;
  /** The stanza that said so. */
  readonly id: number;
}

/** Characters of a session's name that are its own; those before it has from the view it goes on from. */
const OWN_PART = 4;

/** Bytes for those who are gone: for some 20 at least, in big rooms for an eighth or more of the occupants. */
const DEPARTURE_BYTES = 448;
const DEPARTURE_BYTES_EACH = 4;
/** Bytes for what was news, which is told again without asking the room; in small rooms what a view takes in any case counts too. */
const LOG_BYTES = 576;
const LOG_BYTES_EACH = 36;
const LOG_BYTES_LESS = 2_000;

/** What a view is made from when it does not begin empty. */
export interface ViewParts {
  readonly session: string;
  readonly last: number;
  readonly floor: number;
  readonly moderator: boolean;
  /** The view that this one goes on from. */
  readonly former?: string | undefined;
  /** When its client had left off; ms since 1970. Undefined: not known, or it had never been there. */
  readonly since?: number | undefined;
  /** With this stanza the client has had all that was said before. */
  readonly caughtUp?: number | undefined;
  /** None yet when it begins empty. */
  readonly occupants?: Occupants | undefined;
  readonly departures: readonly Departure[];
  readonly trail: MessageTrail;
  readonly times: TimeMarks;
}

/**
 * What one session has been shown of one room: every stanza from it has a number, and for each number it can be told what somebody who
 * has had the stanzas up to there does not know yet. Compact: digests instead of presences.
 */
export class View {
  readonly session: string;
  readonly former: string | undefined;
  readonly since: number | undefined;
  readonly digest: Digest;
  readonly occupants: Occupants;
  readonly trail: MessageTrail;
  readonly times: TimeMarks;
  /** Presences of those that have changed while the session was in the room. Not kept with the view. */
  readonly log = new ChangeLog();
  readonly #departures = new PackedLog();
  #last: number;
  #caughtUp: number;
  #floor: number;
  #moderator: boolean;
  #outdated = false;

  private constructor(parts: ViewParts) {
    this.session = parts.session;
    this.former = parts.former;
    this.since = parts.since;
    this.#caughtUp = parts.caughtUp ?? 0;
    this.digest = new Digest(View.keyOf(parts.session));
    this.occupants = parts.occupants ?? new Occupants(this.digest.key0, this.digest.key1);
    this.trail = parts.trail;
    this.times = parts.times;
    this.#last = parts.last;
    this.#floor = parts.floor;
    this.#moderator = parts.moderator;
    for (const departure of parts.departures) this.depart(departure);
  }

  /** A view of a room that nothing is known of. @param session by `sessionName`, unguessable */
  static empty(session: string): View {
    return View.after(undefined, session, new MessageTrail());
  }

  /**
   * The same for a client that has been shown the room before.
   * @param trail the messages it knows @param occupants those it knows; of a view with the same key
   * @param since when it left off, ms since 1970
   */
  static after(
    former: View | undefined,
    session: string,
    trail: MessageTrail,
    occupants?: Occupants,
    since?: number,
  ): View {
    return new View({
      session,
      former: former?.session,
      since,
      last: 0,
      floor: 0,
      moderator: false,
      occupants,
      departures: [],
      trail,
      times: new TimeMarks(),
    });
  }

  static from(parts: ViewParts): View {
    return new View(parts);
  }

  /** The digest of a session's view is keyed by the front of its name. */
  static keyOf(session: string): string {
    return session.slice(0, -OWN_PART);
  }

  /** A name for a view. @param key 8 characters @param random at least 4 */
  static sessionName(key: string, random: string): string {
    return key + random.slice(0, OWN_PART);
  }

  parts(): ViewParts & { readonly occupants: Occupants } {
    const { session, former, since, occupants, trail, times } = this;
    return {
      session,
      former,
      since,
      caughtUp: this.#caughtUp,
      last: this.#last,
      floor: this.#floor,
      moderator: this.#moderator,
      occupants,
      departures: this.departures,
      trail,
      times,
    };
  }

  /** The number of the last stanza. */
  get last(): number {
    return this.#last;
  }

  /** What was shown before this stanza cannot be told any more from what is known. */
  get floor(): number {
    return this.#floor;
  }

  /** The session sees the room as a moderator: in a semi-anonymous one with real addresses. */
  get moderator(): boolean {
    return this.#moderator;
  }

  /** The last of those who are gone, in the order in which they went. */
  get departures(): readonly Departure[] {
    return Array.from(this.#departures.after(-1), ({ id, number, flags, bytes }) => ({
      ...{ id, flags, appeared: number, nick: bytes.toString() },
    }));
  }

  /** Bytes of memory, of what grows with the room. */
  get bytes(): number {
    return this.occupants.bytes + this.#departures.bytes + this.log.bytes + this.trail.bytes;
  }

  /** What the client had missed is told with the stanza `id`; whoever has had less has missed as much as before. */
  catchesUp(id: number): void {
    this.#caughtUp = id;
  }

  /**
   * From when on something may have been said that a client has not had which has had the stanzas up to `id`; ms since 1970. Undefined: that
   * is not known.
   */
  missedSince(id: number): number | undefined {
    const { since, trail, times } = this;
    if (id < this.#caughtUp) return since;
    const nothingWasSaid = trail.isAll && !trail.has(id);
    return nothingWasSaid ? (since ?? times.atOrBefore(1)) : times.atOrBefore(id);
  }

  /** The next stanza is being shown. @param wall ms since 1970 */
  next(wall: number): number {
    this.#last++;
    this.times.note(this.#last, wall);
    return this.#last;
  }

  /**
   * An occupant's presence (or with `''` the room's) is shown as the stanza `id`.
   * @param xml the same without marks, when it may have to be shown again
   */
  here(nick: string, presence: Frame, id: number, xml?: Buffer): void {
    const said = this.digest.spelling(presence).presence(presence);
    if (!this.occupants.set(nick, said, id) || xml === undefined) return;
    this.log.add({ id, xml, at: 0, isMessage: false }, this.#logBytes);
  }

  /** A message is shown as the stanza `id`. @param at ms since 1970 */
  said(id: number, xml: Buffer, at: number): void {
    this.log.add({ id, xml, at, isMessage: true }, this.#logBytes);
  }

  /** An occupant that the view knows is shown anew. */
  again(nick: string, xml: Buffer, id: number): void {
    this.occupants.touch(nick, id);
    this.log.add({ id, xml, at: 0, isMessage: false }, this.#logBytes);
  }

  /** What another process had shown is gone on with. */
  continueAt(last: number): void {
    this.log.startAfter(this.#last);
    this.#last = Math.max(this.#last, last);
  }

  /** What was shown is not known: nobody can be told a difference. */
  giveUp(): void {
    this.#raiseFloor(Number.MAX_SAFE_INTEGER);
  }

  /** An occupant's going is shown. */
  gone(nick: string, id: number): void {
    const row = this.occupants.find(nick);
    if (row < 0) return;
    const departure = { nick, id, flags: this.occupants.flags(row), appeared: this.occupants.appeared(row) };
    this.occupants.remove(nick);
    this.depart(departure);
  }

  depart({ nick, id, flags, appeared }: Departure): void {
    const budget = Math.max(DEPARTURE_BYTES, this.occupants.size * DEPARTURE_BYTES_EACH);
    this.#departures.add(id, appeared, flags, Buffer.from(nick), budget);
    this.#raiseFloor(this.#departures.dropped);
  }

  /** The session's own presence is shown. A change of what it may see makes void what it was shown before. */
  self(flags: number, id: number): void {
    const moderator = isModerator(flags);
    if (moderator !== this.#moderator) this.#visibilityChanges(id);
    this.#moderator = moderator;
  }

  /** The room shows more or less of its occupants from now on. */
  visibilityChanged(): void {
    this.#visibilityChanges(this.#last);
  }

  /** Of occupants who have not changed since, something was shown that a newcomer would not be shown, or the other way round. */
  get isOutdated(): boolean {
    return this.#outdated;
  }

  /** The session is in the room, with this role: what comes now is news. */
  begin(flags: number): void {
    this.occupants.trim();
    this.log.startAfter(this.#last);
    this.#moderator = isModerator(flags);
  }

  #visibilityChanges(id: number): void {
    this.#outdated = true;
    this.#raiseFloor(id);
  }

  #raiseFloor(id: number): void {
    this.#floor = Math.max(this.#floor, id);
  }

  get #logBytes(): number {
    return Math.max(LOG_BYTES, this.occupants.size * LOG_BYTES_EACH - LOG_BYTES_LESS);
  }
}
