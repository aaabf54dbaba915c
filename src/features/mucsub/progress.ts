/** How often at most it is noted, for when the process is killed; ms. */
const NOTE_EVERY = 100;
/** A session that has promised to note it and has not by then may have ended without a word; ms. */
const OVERDUE = 1_000;

/** One account's hearing of one room. */
export interface Hearing {
  readonly room: string;
  readonly account: string;
}

/**
 * Of whom it is to be noted in the store how far they have heard which rooms, by what their clients have acknowledged. What a room says reaches all its subscribers
 * at about the same time: it is noted for all of a domain together.
 */
export class Progress {
  /** Accounts by room. */
  readonly #due = new Map<string, Set<string>>();
  #dueAt = Number.NEGATIVE_INFINITY;
  #notedAt = Number.NEGATIVE_INFINITY;
  /** The session that notes it when it is time. */
  #keeper: object | undefined;

  /**
   * Somebody has heard more.
   * @param session that could note it
   * @returns when it has to call `take`; undefined: another session does
   */
  made({ room, account }: Hearing, session: object, now: number): number | undefined {
    const accounts = this.#due.get(room);
    if (accounts === undefined) this.#due.set(room, new Set([account]));
    else accounts.add(account);
    if (this.#keeper !== undefined && this.#keeper !== session && now < this.#dueAt + OVERDUE)
      return undefined;
    if (this.#keeper === undefined) this.#dueAt = Math.max(now, this.#notedAt + NOTE_EVERY);
    this.#keeper = session;
    return this.#dueAt;
  }

  /** All that is to be noted now, for the last time. */
  take(now: number): Hearing[] {
    const taken = [...this.#due].flatMap(([room, accounts]) =>
      [...accounts].map((account) => ({ room, account })),
    );
    this.#due.clear();
    this.#keeper = undefined;
    this.#notedAt = now;
    return taken;
  }

  /** A session is over. @returns whether it has to call `take` now */
  isKeptBy(session: object): boolean {
    return this.#keeper === session;
  }
}
