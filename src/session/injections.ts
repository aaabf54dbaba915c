import type { Buffer } from 'node:buffer';
import type { Leg } from './port.js';
import type { Reason } from './reasons.js';

/** What is done in the place of an injection. */
type InItsPlace = () => void;

interface Injection {
  readonly leg: Leg;
  readonly bytes: Buffer;
  readonly reason: Reason;
  /** What a copy of it in the store is known by. */
  readonly stored: string | undefined;
}

/** What the injections of a session need of it. */
export interface InjectionOutput {
  /** One complete stanza goes out now; see `Injections.send`. */
  sendNow(leg: Leg, bytes: Buffer, reason: Reason, stored?: string): void;
}

/**
 * The place of what the proxy itself sends in a session: behind the stanza that is being handled, in the order in which it was asked for, and at once
 * while there is none.
 */
export class Injections {
  /** A stanza is with the features: what they send waits for its own place. */
  #handling = false;
  #waiting: (Injection | InItsPlace)[] | undefined;

  constructor(private readonly output: InjectionOutput) {}

  /** A stanza is about to be handled. @returns what `end` is to be told */
  begin(): boolean {
    if (this.#handling) return false;
    this.#handling = true;
    return true;
  }

  /** It has been, and has gone out where it does. @param outermost as `begin` has returned it */
  end(outermost: boolean): void {
    if (!outermost) return;
    this.#handling = false;
    for (const each of this.#take() ?? []) {
      if (typeof each === 'function') each();
      else this.output.sendNow(each.leg, each.bytes, each.reason, each.stored);
    }
  }

  /**
   * Sends one complete stanza in its place.
   * @param bytes nobody else's
   * @param stored what a copy of it in the store is known by
   */
  send(leg: Leg, bytes: Buffer, reason: Reason, stored?: string): void {
    if (!this.#handling) {
      this.output.sendNow(leg, bytes, reason, stored);
      return;
    }
    this.#waiting ??= [];
    this.#waiting.push({ leg, bytes, reason, stored });
  }

  /** Does something else in its place among what is sent. */
  inItsPlace(what: InItsPlace): void {
    if (!this.#handling) {
      what();
      return;
    }
    this.#waiting ??= [];
    this.#waiting.push(what);
  }

  /**
   * Sends a stanza of ours that is handled itself, and behind it what is sent by those who handle it. It may be sent while another one is being handled.
   * @param handle returns what is to be sent; undefined: nothing
   */
  sendHandled(leg: Leg, reason: Reason, handle: () => Buffer | undefined): void {
    const before = this.#take();
    const outermost = this.begin();
    const bytes = handle();
    if (outermost) this.#handling = false;
    const caused = this.#take();
    this.#waiting = before;
    if (bytes !== undefined) this.send(leg, bytes, reason);
    for (const each of caused ?? []) {
      if (typeof each === 'function') this.inItsPlace(each);
      else this.send(each.leg, each.bytes, each.reason, each.stored);
    }
  }

  #take(): (Injection | InItsPlace)[] | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }
}
