/**
 * Spreads what many have to send: each reserves its turn, and gets the time at which it may take it. One number, however many wait; who
 * reserved first is first.
 */
export class Pacer {
  #next = 0;

  constructor(private readonly perSecond: number) {}

  /** @returns when so many may be sent */
  reserve(count: number, now: number): number {
    const at = Math.max(this.#next, now);
    this.#next = at + (count * 1000) / this.perSecond;
    return at;
  }

  /** So many of those reserved are not sent. */
  giveBack(count: number): void {
    this.#next -= (count * 1000) / this.perSecond;
  }
}
