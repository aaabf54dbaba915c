import type { BoshRequest } from './body.js';

/** How often a client may ask for nothing in particular (XEP-0124 §11 and, for clients that poll, §12). */
export class RequestRate {
  /** The request before. */
  #at = Number.NEGATIVE_INFINITY;
  #wasEmpty = false;
  #rid: number;
  /** The last request that was answered without a payload. */
  #answeredEmpty = -1;

  /**
   * @param intervalMs between two empty requests
   * @param rid of the first request
   */
  constructor(
    private readonly polls: boolean,
    private readonly intervalMs: number,
    rid: number,
  ) {
    this.#rid = rid;
  }

  /**
   * Whether the next request comes too soon.
   * @param at when it came, which may be before the one before it
   * @param fills with it there would be as many open ones as may be
   */
  isTooHigh(request: BoshRequest, at: number, fills: boolean): boolean {
    if (!isEmpty(request) || isUrgent(request) || Math.abs(at - this.#at) >= this.intervalMs) return false;
    return this.polls ? this.#wasEmpty && this.#answeredEmpty === this.#rid : fills;
  }

  taken(request: BoshRequest, rid: number, at: number): void {
    this.#at = at;
    this.#wasEmpty = isEmpty(request);
    this.#rid = rid;
  }

  answeredEmpty(rid: number): void {
    this.#answeredEmpty = rid;
  }
}

function isEmpty({ payload, restart }: BoshRequest): boolean {
  return payload.length === 0 && !restart;
}

/** What may be sent besides the requests that are allowed (XEP-0124 §11). */
export function isUrgent({ pause, terminate }: BoshRequest): boolean {
  return pause !== undefined || terminate;
}
