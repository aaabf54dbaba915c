import type { Buffer } from 'node:buffer';
import type { StreamErrorCondition } from '../stream/errors.js';
import { isWhitespace } from '../xml/characters.js';
import type { XmlError } from '../xml/errors.js';
import type { Tokenizer } from '../xml/tokenizer.js';
import { Outbox } from './outbox.js';
import type { Leg, SessionPort, TlsFacts } from './port.js';

/** Reasons for which a leg is not read; bits. */
export const WAITING_FOR_SERVER = 1;
export const OTHER_LEG_FULL = 2;
export const CLIENT_BEHIND = 4;
export const STORE_ASKED = 8;

/** What both legs of a session keep, whatever they speak. */
export abstract class LegSide {
  readonly outbox: Outbox;
  tls: TlsFacts | undefined;
  bytes = 0;
  stanzas = 0;
  lastReceived: number;
  /** The transport is lost or given up. */
  gone = false;
  /** Our sending direction has been ended. */
  ended = false;
  #notReading = 0;
  protected abstract readonly tokenizer: Tokenizer;
  /** What is being read. */
  #chunk: Buffer | undefined;

  constructor(
    protected port: SessionPort,
    readonly leg: Leg,
    now: number,
  ) {
    this.outbox = new Outbox(port, leg);
    this.lastReceived = now;
  }

  /** Nothing more is to come from this leg or to go to it. */
  abstract get done(): boolean;

  /** Notes that bytes have come. */
  received(chunk: Buffer, now: number): void {
    this.bytes += chunk.length;
    this.lastReceived = now;
  }

  protected push(chunk: Buffer): XmlError | undefined {
    this.#chunk = chunk;
    const error = this.tokenizer.push(chunk);
    this.#chunk = undefined;
    return error;
  }

  /**
   * From inside a call of the tokenizer: reads nothing more.
   * @returns true when something has come behind the present element that means anything. COMPAT: go-xmpp ends `<starttls/>` with a line feed.
   */
  protected stopAndLook(): boolean {
    this.tokenizer.stop();
    const { leftover } = this.tokenizer;
    const chunk = this.#chunk;
    return (
      leftover > 0 && (chunk === undefined || !isWhitespace(chunk, chunk.length - leftover, chunk.length))
    );
  }

  stopReading(reason: number): void {
    if (this.#notReading === 0) this.port.pauseReading(this.leg);
    this.#notReading |= reason;
  }

  readAgain(reason: number): void {
    if ((this.#notReading & reason) === 0) return;
    this.#notReading &= ~reason;
    if (this.#notReading === 0) this.port.resumeReading(this.leg);
  }

  /** The leg has become another session's: it goes on as it is. */
  protected movedTo(port: SessionPort): void {
    this.port = port;
    this.outbox.moveTo(port);
  }

  /** A new connection takes the place of the former. */
  protected renewed(): void {
    this.gone = false;
    this.ended = false;
    this.tls = undefined;
    this.#notReading = 0;
  }

  /** Writes what the outbox holds. @returns false when the leg's queue is over its limit */
  write(): boolean {
    if (this.gone || this.ended) {
      this.outbox.discard();
      return true;
    }
    this.outbox.flush();
    // What was written earlier in this event counts too: acknowledgement looks at the queue in between.
    return this.outbox.withinLimit();
  }

  /**
   * Writes what is left and ends our direction.
   * @param own the error that has been written, when it is none of the server's
   */
  end(own?: StreamErrorCondition): void {
    if (this.ended || this.gone) return;
    this.write();
    this.ended = true;
    this.port.end(this.leg, own);
  }

  /** Gives the transport up. */
  destroy(): void {
    if (!this.gone) this.port.destroy(this.leg);
    this.gone = true;
  }
}
