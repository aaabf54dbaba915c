import type { Buffer } from 'node:buffer';
import type { Availability } from '../../knowledge/account/account.js';
import type { Verdict } from '../../session/feature.js';
import type { Arrivals } from './arrivals.js';
import { type Notice, tellClaim } from './notices.js';
import type { Surroundings } from './surroundings.js';

/** What becomes of a stanza of the room's that the ghost got, when it is nothing for the client of this session. */
export const SWALLOWED: Verdict = { action: 'handled', reason: 'mucsub-ghost' };

/** Takes what a subscriber is to have to the clients of its account: all that want messages, or else the store. */
export class Delivery {
  constructor(
    private readonly around: Surroundings,
    private readonly arrivals: Arrivals,
  ) {}

  /** Whether this session's client wants what is addressed to the account (RFC 6121 §8.5.2). */
  get wanted(): boolean {
    return wants(this.around.availability.availability);
  }

  /** Whether any client of the account that comes by here does. */
  get anybody(): boolean {
    return this.wanted || this.#others();
  }

  /**
   * Whether what this session hears goes to clients without being stored. That of one without a client of its own does not: nobody would know whether
   * the one that it went to had it before it was gone.
   */
  get isDirect(): boolean {
    return this.wanted || (!this.#isKept && this.#others());
  }

  get #isKept(): boolean {
    const { book, context } = this.around;
    return book.kept.has(context.identity.full);
  }

  /** Something has been stored: who is there gets it from there. */
  waits(): void {
    if (this.#isKept && this.#others()) tellClaim(this.around);
  }

  /**
   * Delivers one message.
   * @param kept whether it is of use later
   * @param isSaid the account has heard the room up to this, when it has it
   * @returns what becomes of the stanza that it was made of
   */
  deliver(room: string, bytes: Buffer, kept: boolean, isSaid = false): Verdict {
    const place = this.#toOthers(room, bytes, kept, isSaid);
    if (!this.#isForClient(room)) return SWALLOWED;
    if (place !== undefined) this.arrivals.expects(room, place, 'from-server');
    return { action: 'replace', bytes, reason: 'mucsub-event', isFinal: true };
  }

  /** The same for what is made of no stanza of this session's server. */
  give(room: string, bytes: Buffer, kept: boolean, isSaid = false): void {
    const place = this.#toOthers(room, bytes, kept, isSaid);
    if (this.#isForClient(room)) this.#send(room, bytes, place);
  }

  /** The same for what is in the store for this session's client. @param send sends it from there */
  giveStored(room: string, bytes: Buffer, send: () => void): void {
    this.#toOthers(room, bytes, true, false);
    if (this.#isForClient(room)) send();
  }

  /** Another session of the account has it from the room. */
  told(room: string, xml: string, place: number | undefined): void {
    if (this.#isForClient(room)) this.#send(room, xml, place);
  }

  /** What the room has said goes to the client as it is. */
  passes(room: string): void {
    const { book, account } = this.around;
    const place = book.knownWhereabouts(room, account)?.goesOut();
    if (place !== undefined) this.arrivals.expects(room, place, 'from-server');
  }

  #send(room: string, xml: string | Buffer, place: number | undefined): void {
    this.around.context.send('client', xml, 'mucsub-event');
    if (place !== undefined) this.arrivals.expects(room, place, 'made-here');
  }

  /** @returns the place of what has been said, when it goes to any client */
  #toOthers(room: string, bytes: Buffer, kept: boolean, isSaid: boolean): number | undefined {
    const { book, context, account } = this.around;
    const others = this.#others() && !(kept && this.#isKept);
    if (!others && !this.wanted) {
      if (kept) context.keepForAccount(account, bytes);
      return undefined;
    }
    const place = isSaid ? book.knownWhereabouts(room, account)?.goesOut() : undefined;
    if (others) {
      const notice: Notice = {
        op: 'event',
        room,
        xml: bytes.toString(),
        ...(place !== undefined && { place }),
      };
      context.tell(account, JSON.stringify(notice));
    }
    return place;
  }

  #isForClient(room: string): boolean {
    const { book, account, context } = this.around;
    return this.wanted && !book.isJoined(room, account, context.identity.full);
  }

  #others(): boolean {
    const { context, account, availability } = this.around;
    if (context.domain.sessionsOf(account).length < 2) return false;
    return availability
      .sessions()
      .some((session) => session.identity !== context.identity && wants(session.availability));
  }
}

function wants(availability: Availability): boolean {
  return availability.available && availability.priority >= 0;
}
