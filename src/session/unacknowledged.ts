import { Buffer } from 'node:buffer';
import { fromWireCount, wireCount } from '../stream/ledger.js';

/** A stanza on its way to the client that the client has not acknowledged. */
export interface WaitingStanza {
  /** Its place among all that was ever meant for the client; see `Ledger.sent`. */
  readonly ordinal: number;
  readonly bytes: Buffer;
  /** When it came; ms on the session's clock. */
  readonly since: number;
  /** Where in the store a copy of it is. */
  stored: string | undefined;
  /** That copy was made while this session was held; else it had come out of the store. */
  secured?: true;
  /** It was made here: the server does not send it again. */
  readonly isOurs?: boolean;
}

/** What is left of a queue when its stanzas are not kept. */
export interface WaitingState {
  readonly answered: number;
  /** Ordinals of what the client was sent and had not acknowledged. */
  readonly inFlight: readonly number[];
  /** Ordinal of the oldest that it was never sent; absent when there is none. */
  readonly unsent?: number;
  /** Where in the store copies of what waits are, by ordinal; absent when there are none. */
  readonly copies?: Readonly<Record<number, string>>;
}

const GONE = Buffer.alloc(0);

/**
 * What a client with resumption has not acknowledged, oldest first (XEP-0198 §5). It knows how the client counts: a stanza that is taken
 * out before it was ever sent has an ordinal, but no place in the client's count.
 */
export class Unacknowledged {
  #entries: WaitingStanza[] = [];
  #head = 0;
  /** How many of the entries have been sent on the present connection. */
  #inFlight = 0;
  /** How many stanzas the client has acknowledged. */
  #answered = 0;
  #bytes = 0;

  /** Of all stanzas that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.length - this.#head;
  }

  /** How many the client has been sent and has not acknowledged. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** The ordinal of the oldest; undefined when nothing waits. */
  get oldest(): number | undefined {
    return this.#entries[this.#head]?.ordinal;
  }

  /** As it stands in `h`: what the client has acknowledged, and what it has been sent in all. */
  get acknowledgedOnWire(): number {
    return wireCount(this.#answered);
  }

  get sentOnWire(): number {
    return wireCount(this.#answered + this.#inFlight);
  }

  /** @param sent false when there is no connection: it waits for the next one */
  add(stanza: WaitingStanza, sent: boolean): void {
    this.#entries.push(stanza);
    this.#bytes += stanza.bytes.length;
    if (sent) this.#inFlight += 1;
  }

  /**
   * The client has handled what `h` says.
   * @returns the stanzas this settles, oldest first; undefined, with nothing changed, when it was not sent that many
   */
  acknowledge(h: number): readonly WaitingStanza[] | undefined {
    const count = fromWireCount(h, this.#answered) - this.#answered;
    if (count > this.#inFlight) return undefined;
    const settled = this.#entries.slice(this.#head, this.#head + count);
    this.#head += count;
    this.#answered += count;
    this.#inFlight -= count;
    for (const { bytes } of settled) this.#bytes -= bytes.length;
    // Linear in all: what is copied has at least as many before it that are gone for good.
    if (this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return settled;
  }

  /** A new connection: all that waits is to be sent, in this order, and counts as sent. */
  resend(): readonly WaitingStanza[] {
    this.#inFlight = this.size;
    return this.#entries.slice(this.#head);
  }

  /** Where the client stands, without the stanzas themselves. */
  get state(): WaitingState {
    const inFlight = this.#entries.slice(this.#head, this.#head + this.#inFlight);
    const unsent = this.#entries[this.#head + this.#inFlight]?.ordinal;
    const copies = this.waiting().flatMap(({ ordinal, stored }) =>
      stored === undefined ? [] : [[ordinal, stored]],
    );
    return {
      ...{ answered: this.#answered, inFlight: inFlight.map(({ ordinal }) => ordinal) },
      ...(unsent === undefined ? {} : { unsent }),
      ...(copies.length === 0 ? {} : { copies: Object.fromEntries(copies) }),
    };
  }

  /** As it was, but for the stanzas: they are gone, and only what the client says to have handled of them can be settled. */
  static restore(state: WaitingState): Unacknowledged {
    const waiting = new Unacknowledged();
    waiting.#answered = state.answered;
    for (const ordinal of state.inFlight)
      waiting.add({ ordinal, bytes: GONE, since: 0, stored: state.copies?.[ordinal] }, true);
    // Nothing behind it is settled by what the client says.
    if (state.unsent !== undefined)
      waiting.add({ ordinal: state.unsent, bytes: GONE, since: 0, stored: undefined }, false);
    return waiting;
  }

  /** All that waits, oldest first. */
  waiting(): readonly WaitingStanza[] {
    return this.#entries.slice(this.#head);
  }

  /** What waits behind that with this ordinal, oldest first. */
  behind(ordinal: number): readonly WaitingStanza[] {
    let at = this.#entries.length;
    while (at > this.#head && (this.#entries[at - 1]?.ordinal ?? 0) > ordinal) at -= 1;
    return this.#entries.slice(at);
  }

  /** Takes out what the client has never been sent and `wanted` does not want. @returns how many are left out */
  discard(wanted: (stanza: WaitingStanza) => boolean): number {
    const before = this.size;
    const kept = this.#entries
      .slice(this.#head)
      .filter((stanza, index) => index < this.#inFlight || wanted(stanza));
    this.#entries = kept;
    this.#head = 0;
    this.#bytes = 0;
    for (const { bytes } of kept) this.#bytes += bytes.length;
    return before - kept.length;
  }

  /** The client will never acknowledge, but what has these ordinals, and all before it, is where it is safe. */
  letGo(ordinal: number): void {
    this.#entries = this.#entries.slice(this.#head).filter((stanza) => stanza.ordinal > ordinal);
    this.#head = 0;
    this.#inFlight = 0;
    this.#bytes = 0;
    for (const { bytes } of this.#entries) this.#bytes += bytes.length;
  }
}
