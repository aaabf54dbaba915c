import type { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { ChangeLog } from './change-log.js';
import { Digest, isModerator } from './digest.js';
import { MessageTrail } from './message-trail.js';
import { Occupants } from './occupants.js';
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

/** So many departures are kept at least; in big rooms an eighth of the occupants. */
const DEPARTURES = 128;

/** What a view is made from when it does not begin empty. */
export interface ViewParts {
  readonly session: string;
  readonly last: number;
  readonly floor: number;
  readonly moderator: boolean;
  /** The view that this one goes on from. */
  readonly former?: string | undefined;
  readonly occupants: Occupants;
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
  readonly digest: Digest;
  readonly occupants: Occupants;
  readonly trail: MessageTrail;
  readonly times: TimeMarks;
  /** Presences of those that have changed while the session was in the room. Not kept with the view. */
  readonly log = new ChangeLog();
  #departures: Departure[];
  #last: number;
  #floor: number;
  #moderator: boolean;
  #outdated = false;

  private constructor(parts: ViewParts) {
    this.session = parts.session;
    this.former = parts.former;
    this.digest = new Digest(View.keyOf(parts.session));
    this.occupants = parts.occupants;
    this.trail = parts.trail;
    this.times = parts.times;
    this.#departures = [...parts.departures];
    this.#last = parts.last;
    this.#floor = parts.floor;
    this.#moderator = parts.moderator;
  }

  /** A view of a room that nothing is known of. @param session by `sessionName`, unguessable */
  static empty(session: string): View {
    return View.after(undefined, session, new MessageTrail());
  }

  /** The same for a client that has been shown the room before. @param trail the messages it knows */
  static after(former: View | undefined, session: string, trail: MessageTrail): View {
    return new View({
      session,
      former: former?.session,
      last: 0,
      floor: 0,
      moderator: false,
      occupants: new Occupants(),
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

  parts(): ViewParts {
    const { session, former, occupants, trail, times } = this;
    return {
      session,
      former,
      last: this.#last,
      floor: this.#floor,
      moderator: this.#moderator,
      occupants,
      departures: this.#departures,
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

  get departures(): readonly Departure[] {
    return this.#departures;
  }

  /** Bytes of memory, of what grows with the room. */
  get bytes(): number {
    return this.occupants.bytes + this.#departures.length * 100 + this.log.bytes + this.trail.bytes;
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
    const { lo, hi, flags } = this.digest.presence(presence);
    if (!this.occupants.set(nick, lo, hi, flags, id) || xml === undefined) return;
    this.log.add({ id, xml, at: 0, isMessage: false }, this.#logBytes);
  }

  /** A message is shown as the stanza `id`. @param at ms since 1970 */
  said(id: number, xml: Buffer, at: number): void {
    this.log.add({ id, xml, at, isMessage: true }, this.#logBytes);
  }

  /** Knows the occupants that another view with the same digest knows, from the beginning. */
  adopt({ occupants }: View): void {
    for (let row = 0; row < occupants.size; row++) {
      this.occupants.add(
        occupants.nick(row),
        occupants.lo(row),
        occupants.hi(row),
        occupants.flags(row),
        0,
        0,
      );
    }
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

  depart(departure: Departure): void {
    this.#departures.push(departure);
    const most = Math.max(DEPARTURES, this.occupants.size >> 3);
    if (this.#departures.length <= most) return;
    const dropped = this.#departures.splice(0, this.#departures.length - (most >> 1));
    this.#raiseFloor(dropped.at(-1)!.id);
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
    return Math.max(2_048, this.occupants.size * 40);
  }
}
