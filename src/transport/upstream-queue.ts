/** Somebody who waits for a place. */
export interface Waiting {
  admitted(): void;
}

/**
 * Keeps the number of connections that a server has not accepted yet below its listen backlog: over that, the kernel drops the SYN
 * and the client waits a second. Unbounded by itself: whoever waits is one of the unauthenticated connections, which are capped.
 */
export class UpstreamQueue {
  /** Clock time until which the upstream counts as failed; 0: it does not. */
  failedUntil = 0;
  readonly #inside = new Set<Waiting>();
  /** In order of arrival; a Set, so that who gives up leaves at no cost. */
  readonly #waiting = new Set<Waiting>();

  constructor(public width: number) {}

  enter(who: Waiting): void {
    if (this.#inside.size < this.width) {
      this.#inside.add(who);
      who.admitted();
    } else this.#waiting.add(who);
  }

  /** Leaves the place or the queue; the next in order is admitted. */
  leave(who: Waiting): void {
    if (this.#waiting.delete(who)) return;
    if (!this.#inside.delete(who)) return;
    for (const next of this.#waiting) {
      if (this.#inside.size >= this.width) return;
      this.#waiting.delete(next);
      this.#inside.add(next);
      next.admitted();
    }
  }
}
