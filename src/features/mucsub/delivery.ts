import type { Buffer } from 'node:buffer';
import type { Availability } from '../../knowledge/account/account.js';
import type { Verdict } from '../../session/feature.js';
import type { Notice } from './notices.js';
import type { Surroundings } from './surroundings.js';

/** What becomes of a stanza of the room's that the ghost got, when it is nothing for the client of this session. */
export const SWALLOWED: Verdict = { action: 'handled', reason: 'mucsub-ghost' };

/** Takes what a subscriber is to have to the clients of its account: all that want messages, or else the store. */
export class Delivery {
  constructor(private readonly around: Surroundings) {}

  /** Whether this session's client wants what is addressed to the account (RFC 6121 §8.5.2). */
  get wanted(): boolean {
    return wants(this.around.availability.availability);
  }

  /** Whether any client of the account that comes by here does. */
  get anybody(): boolean {
    return this.wanted || this.#others();
  }

  /**
   * Delivers one message.
   * @param kept whether it is of use later
   * @returns what becomes of the stanza that it was made of
   */
  deliver(room: string, bytes: Buffer, kept: boolean): Verdict {
    const { context, account } = this.around;
    const others = this.#others();
    if (others) {
      const notice: Notice = { op: 'event', room, xml: bytes.toString() };
      context.tell(account, JSON.stringify(notice));
    }
    if (this.#isForClient(room)) return { action: 'replace', bytes, reason: 'mucsub-event', isFinal: true };
    if (!others && !this.wanted && kept) context.keepForAccount(account, bytes);
    return SWALLOWED;
  }

  /** The same for what is made of no stanza of this session's server. */
  give(room: string, bytes: Buffer, kept: boolean): void {
    if (this.deliver(room, bytes, kept).action === 'replace')
      this.around.context.send('client', bytes, 'mucsub-event');
  }

  /** Another session of the account has it from the room. */
  told(room: string, xml: string): void {
    if (this.#isForClient(room)) this.around.context.send('client', xml, 'mucsub-event');
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
