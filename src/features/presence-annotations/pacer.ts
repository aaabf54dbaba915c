/** Somebody who has something to send and waits for a turn. */
export interface Paced {
  /** It is to ask for its turn at this time, or later. Only has itself woken. */
  turnComes(time: number): void;
}

/** For so long what has not been sent may be sent later; ms. A tick of the clock: what it lets go at once is no more than that. */
const SAVED_FOR = 250;

/**
 * Spreads what many have to send: so many stanzas a second, however many wait, and never more at once than a quarter of that. Who has
 * nothing to send after all takes nothing from the others.
 *
 * Those that wait are woken in groups of as many as can send something in one tick, so that nothing is lost where each has little. While there
 * is enough for all, whoever comes belongs to the group; once there is not, each of it has its turn before the next is woken, first come first.
 */
export class Pacer {
  readonly #most: number;
  #left: number;
  #countedAt = Number.NEGATIVE_INFINITY;
  readonly #waiting = new Set<Paced>();
  /** The group that has been woken. */
  readonly #woken = new Set<Paced>();
  /** There was not enough for all of it. */
  #closed = false;

  constructor(private readonly perSecond: number) {
    this.#most = Math.max(1, (perSecond * SAVED_FOR) / 1000);
    this.#left = this.#most;
  }

  /** Somebody has something to send, or may have. */
  wait(who: Paced, now: number): void {
    if (this.#woken.has(who) || this.#waiting.has(who)) return;
    this.#waiting.add(who);
    if (!this.#closed) this.#wakeSome(now);
  }

  /** It has nothing any more. */
  leave(who: Paced, now: number): void {
    this.#waiting.delete(who);
    if (!this.#woken.delete(who) || this.#woken.size > 0) return;
    this.#closed = false;
    this.#wakeSome(now);
  }

  /**
   * Asks for a turn, as it was told to.
   * @param most stanzas that it could send in one
   * @returns how many it may; 0: it is not its turn, and it will be woken again if it still waits
   */
  turn(who: Paced, most: number, now: number): number {
    if (!this.#woken.has(who)) return 0;
    this.#count(now);
    const may = Math.min(most, Math.floor(this.#left));
    if (may > 0) return may;
    this.#closed = true;
    who.turnComes(now + 1);
    return 0;
  }

  /** Its turn is over. @param sent stanzas */
  over(who: Paced, sent: number, now: number): void {
    this.#left -= sent;
    this.leave(who, now);
  }

  #count(now: number): void {
    if (now <= this.#countedAt) return;
    this.#left = Math.min(this.#most, this.#left + ((now - this.#countedAt) * this.perSecond) / 1000);
    this.#countedAt = now;
  }

  #wakeSome(now: number): void {
    for (const who of this.#waiting) {
      if (this.#woken.size >= this.#most) return;
      this.#waiting.delete(who);
      this.#woken.add(who);
      who.turnComes(now);
    }
  }
}
