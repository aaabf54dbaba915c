import type { Surroundings } from './surroundings.js';

/** Begins all tokens of these. */
export const ARRIVED = 'arrived ';

/** Something of a room's that was sent to this session's client. */
interface Sent {
  readonly room: string;
  /** As `Whereabouts.goesOut` gave it. */
  readonly place: number;
  readonly by: SentBy;
}

/** A server that is resumed sends its own again; what was made here is in the store by then. */
type SentBy = 'from-server' | 'made-here';

/** What the client of one session has acknowledged of what it was sent of rooms. One question at a time: what has been sent since is the next one's. */
export class Arrivals {
  #sent: Sent[] = [];
  /** How many have been sent and acknowledged. */
  #acknowledged = 0;
  /** Begins this session's tokens: what one before it was waiting for means nothing here. */
  readonly #mark: string;
  #isAsked = false;

  constructor(private readonly around: Surroundings) {
    this.#mark = `${ARRIVED}${around.context.wallClock()} `;
  }

  /** To be called where it is sent, in that place. */
  expects(room: string, place: number, by: SentBy): void {
    this.#sent.push({ room, place, by });
    if (!this.#isAsked) this.#ask();
  }

  #ask(): void {
    this.#isAsked = true;
    this.around.context.whenReceived(`${this.#mark}${this.#acknowledged + this.#sent.length}`, true);
  }

  /** The client has all up to there. @returns of which rooms it is known better now how far the account has heard them */
  received(token: string): ReadonlySet<string> {
    const { book, account } = this.around;
    if (!token.startsWith(this.#mark)) return new Set();
    const arrived = this.#sent.splice(0, Number(token.slice(this.#mark.length)) - this.#acknowledged);
    this.#acknowledged += arrived.length;
    const rooms = new Set<string>();
    for (const { room, place } of arrived)
      if (book.knownWhereabouts(room, account)?.hasArrived(place) === true) rooms.add(room);
    this.#isAsked = false;
    if (this.#sent.length > 0) this.#ask();
    return rooms;
  }

  /**
   * The session is over: what its client has not acknowledged is in the store.
   * @param isGoneOn the next process goes on with it: only what was made here is
   */
  close(isGoneOn: boolean): void {
    const { book, account } = this.around;
    for (const { room, place, by } of this.#sent.splice(0))
      if (!isGoneOn || by === 'made-here') book.knownWhereabouts(room, account)?.hasArrived(place);
  }
}
