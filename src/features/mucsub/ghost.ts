import { LateSet } from '../../session/late.js';
import type { Refusal } from './answers.js';
import type { ArchiveFill } from './archive-fill.js';
import type { Subscription } from './book.js';
import type { HistoryFill } from './history-fill.js';
import type { Occupants } from './occupants.js';

/** On whose behalf a presence was sent to the room, of which the answer is still to come; `gone`: who has left since. */
export type Asker = 'ghost' | 'client' | 'gone';

/**
 * One session's being in a room that its account has subscribed to: as a ghost, of which the client knows nothing, or with its client in
 * the room, or about to be.
 */
export class Ghost {
  /** Under which it is in the room, or asks to be; prepared. */
  nick: string;
  /** The room has confirmed it. */
  isIn = false;
  client: 'out' | 'joining' | 'in' | 'leaving' = 'out';
  /** Requests to enter that the room has not answered, oldest first: it answers in order. */
  readonly due: Asker[] = [];
  /** Leaves of the ghost's own that the room has not confirmed. */
  leaves = 0;
  /** The server has taken the session out of the room, which is still to say so; the ghost is entering again meanwhile. */
  isThrownOut = false;
  /** Subjects that close what is sent to an entering ghost. */
  subjects = 0;
  /** The room may still be telling what was said before. */
  isBeingTold = false;
  /** While that is so of a room that has no archive. */
  history: HistoryFill | undefined;
  /** From when on the room's archive is to be asked, once the ghost is in; ms since 1970. */
  missedSince: number | undefined;
  /** While the room's archive is being asked what was missed. */
  fill: ArchiveFill | undefined;
  /** What push services have been told of, of what is left for later. */
  readonly announced = new LateSet<string>();
  /** All that came meanwhile has been kept. */
  fillIsComplete = true;
  affiliation = 'none';
  nonAnonymous = false;
  /** What is said in the room is logged, as far as the room has said so. */
  isLogged = false;
  /** The room did not exist before. */
  created = false;
  /** Kept while it matters who is there. */
  occupants: Occupants | undefined;
  /** While another nick is being asked for. */
  renaming: { readonly nick: string; readonly done: (refusal: Refusal | undefined) => void } | undefined;
  /** Told once whether the room lets the ghost in. */
  entered: ((refusal: Refusal | undefined) => void) | undefined;
  /** When the client last spoke through it; ms. */
  usedAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly room: string,
    nick: string,
    /** As it was last; undefined while it is being asked for. */
    public subscription: Subscription | undefined,
  ) {
    this.nick = nick;
  }

  /** The room has still to answer whether it lets the ghost in, or to tell it again who is there. */
  get isEntering(): boolean {
    return this.due.includes('ghost');
  }

  /** What the room says now it will be told of again: by the archive, which is still to be asked, or since it says it to somebody who was in it before. */
  get willBeTold(): boolean {
    return this.missedSince !== undefined || (!this.isIn && this.isEntering && this.isBeingTold);
  }

  /** What the room sends is for the client. */
  get isForClient(): boolean {
    if (this.client === 'in' || this.client === 'leaving') return true;
    // Answers to the ghost's own request come first.
    return this.client === 'joining' && this.due[0] === 'client';
  }
}
