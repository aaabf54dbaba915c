import { LateSet } from '../../session/late.js';
/** A session that could find something out, or waits for another that does. */
export interface Asker {
  /** Something has changed about what it waits for. Only notes it: what follows happens in the session's own turn. */
  look(now: number): void;
}

/** How long in ms what was found out is not asked again. A server that is upgraded meanwhile is taken for the old one. */
export const FRESH_FOR = 10 * 60_000;
/** How long in ms one session may take; then another may. */
export const ASKING_TIME = 2 * 60_000;
/** Short: clients wait for what is found out. */
const FIRST_RETRY = 2_000;
const LAST_RETRY = 30 * 60_000;

/** Something that sessions want to know and one of them asks for all: its value, how old it is, and how asking stands. */
export class Subject<T> {
  #value: T | undefined;
  #learntAt = 0;
  #failures = 0;
  #notBefore = 0;
  #asker: Asker | undefined;
  #deadline = 0;
  readonly #waiting = new LateSet<Asker>();

  /** What was found out last; it stays while it is being asked again. */
  get value(): T | undefined {
    return this.#value;
  }

  /**
   * A session offers to ask.
   * @returns `fresh`: there is no need; `ask`: it should, and must say `learn` or `fail`; else when to look again at the latest
   */
  claim(asker: Asker, now: number): 'fresh' | 'ask' | number {
    if (this.#value !== undefined && now - this.#learntAt < FRESH_FOR) return 'fresh';
    if (this.#asker !== undefined && now < this.#deadline) {
      this.#waiting.add(asker);
      return this.#deadline;
    }
    if (now < this.#notBefore) {
      this.#waiting.add(asker);
      return this.#notBefore;
    }
    this.#asker = asker;
    this.#deadline = now + ASKING_TIME;
    return 'ask';
  }

  /** @param isAll false: something did not answer, and is to be asked again soon */
  learn(value: T, now: number, isAll = true): void {
    this.#value = value;
    this.#learntAt = isAll ? now : Number.NEGATIVE_INFINITY;
    if (isAll) this.#failures = 0;
    else this.#putOff(now);
    this.#settle(now);
  }

  #putOff(now: number): void {
    this.#notBefore = now + Math.min(FIRST_RETRY * 2 ** this.#failures, LAST_RETRY);
    this.#failures++;
  }

  /**
   * Nothing was found out.
   * @param asker what a session that took too long reports says nothing about the one that asks now
   * @param cause `leg-lost`: the session has ended, and the next may ask at once
   */
  fail(asker: Asker, cause: 'leg-lost' | 'no-answer', now: number): void {
    if (this.#asker !== asker) return;
    if (cause === 'no-answer') this.#putOff(now);
    this.#settle(now);
  }

  #settle(now: number): void {
    this.#asker = undefined;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const asker of waiting) asker.look(now);
  }
}
