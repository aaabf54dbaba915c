import type { Surroundings } from './surroundings.js';
import type { Position } from './whereabouts.js';

/** Begins all tokens of these. */
export const ARRIVED = 'arrived ';
/** Wakes the feature to note what has arrived. */
export const NOTE = 'note';
/** So many that wait for the client's word are known of one session. */
const MOST_SENT = 2_000;

/** Something of a room's that was sent to this session's client. */
interface Sent {
  readonly room: string;
  /** As `Whereabouts.goesOut` gave it. */
  readonly place: number;
  readonly by: SentBy;
}

/** A server that is resumed sends its own again; what was made here is in the store by then. */
type SentBy = 'from-server' | 'made-here';

/** What a token tells the next process: by room, how far the account has heard it when its client has said so. */
export type Expected = Readonly<Record<string, Readonly<Record<string, Position>>>>;

/** What the client of one session has acknowledged of what it was sent of rooms. One question at a time: what has been sent since is the next one's. */
export class Arrivals {
  #sent: Sent[] = [];
  /** How many have been sent and acknowledged. */
  #acknowledged = 0;
  /** Begins this session's tokens: what one before it was waiting for means nothing here. */
  readonly #mark: string;
  #isAsked = false;
  /** The token of the latest question. */
  #asked = '';

  constructor(private readonly around: Surroundings) {
    this.#mark = `${ARRIVED}${around.context.wallClock()} `;
  }

  /** To be called where it is sent, in that place. */
  expects(room: string, place: number, by: SentBy): void {
    // Of a client that acknowledges nothing the oldest is given up, as by `Whereabouts`.
    if (this.#sent.length >= MOST_SENT) this.#acknowledged += this.#sent.splice(0, 1).length;
    this.#sent.push({ room, place, by });
    if (!this.#isAsked) this.#ask();
  }

  #ask(): void {
    this.#isAsked = true;
    this.#asked = `${this.#mark}${this.#acknowledged + this.#sent.length}`;
    this.around.context.whenReceived(this.#asked, true);
  }

  /** How many of what waits it stands for. */
  #countOf(token: string): number {
    return Number(token.slice(this.#mark.length)) - this.#acknowledged;
  }

  /** Asks for all that the client has been sent. @returns what its answers mean to the next process */
  handsOn(): Expected {
    const open = new Set<string>();
    if (this.#isAsked) open.add(this.#asked);
    if (this.#sent.length > 0) {
      this.#ask();
      open.add(this.#asked);
    }
    return Object.fromEntries([...open].map((token) => [token, this.#safeBy(token)]));
  }

  #safeBy(token: string): Record<string, Position> {
    const { book, account } = this.around;
    const places = new Map<string, Set<number>>();
    for (const { room, place } of this.#sent.slice(0, this.#countOf(token)))
      places.set(room, (places.get(room) ?? new Set()).add(place));
    return Object.fromEntries(
      [...places].flatMap(([room, its]) => {
        const safe = book.knownWhereabouts(room, account)?.safeWith(its);
        return safe === undefined ? [] : [[room, safe]];
      }),
    );
  }

  /** The client has what some of the tokens stand for. How far that is is noted, at once but not all the time. */
  received(tokens: readonly string[]): void {
    const { book, account, context } = this.around;
    let noteAt: number | undefined;
    for (const room of new Set(tokens.flatMap((token) => this.#arrived(token))))
      noteAt = book.progress.made({ room, account }, this, context.now);
    if (noteAt === undefined) return;
    if (context.now < noteAt) context.wakeAt(NOTE, noteAt);
    else this.note();
  }

  /** @returns the rooms of which it is known better now how far the account has heard them */
  #arrived(token: string): string[] {
    const { book, account } = this.around;
    if (!token.startsWith(this.#mark)) return [];
    const arrived = this.#sent.splice(0, this.#countOf(token));
    this.#acknowledged += arrived.length;
    this.#isAsked = false;
    if (this.#sent.length > 0) this.#ask();
    return arrived.flatMap(({ room, place }) =>
      book.knownWhereabouts(room, account)?.hasArrived(place) === true ? room : [],
    );
  }

  /** Notes in the store what has arrived at clients of the domain. */
  note(): void {
    const { book, context } = this.around;
    const changes = book.progress
      .take(context.now)
      .flatMap(({ room, account }) => book.heard(context.domain.name, room, account) ?? []);
    if (changes.length > 0) context.store.write(changes);
  }

  /**
   * The session is over, or goes on without what it has sent so far: what its client has not acknowledged is in the store.
   * @param isGoneOn the next process goes on with it: only what was made here is
   */
  close(isGoneOn: boolean): void {
    const { book, account } = this.around;
    if (book.progress.isKeptBy(this)) this.note();
    const sent = this.#sent.splice(0);
    this.#acknowledged += sent.length;
    for (const { room, place, by } of sent)
      if (!isGoneOn || by === 'made-here') book.knownWhereabouts(room, account)?.hasArrived(place);
  }
}
