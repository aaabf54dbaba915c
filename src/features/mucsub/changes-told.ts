import type { Change } from './occupants.js';

/** So long what one source has told may still come from another; ms. */
const STREAMS_APART = 10_000;
/** Changes that are remembered for that. */
const MOST = 64;

interface Told extends Change {
  /** Of the key that it is known by, whoever hears it. */
  readonly hash: number;
  readonly at: number;
}

/**
 * What an account was told last of who is in a room, and of what they are there. It has no ids, and the same may happen again; but every source hears it in the same
 * order. So what one brings has been told if another has brought the like behind the last that this one did. Where a source begins is known by
 * what it takes the occupant for that it brings first.
 */
export class ChangesTold {
  /** Oldest first. */
  readonly #told: Told[] = [];
  /** How many there were before. */
  #forgotten = 0;
  /** By source, how many there were with the last that it has brought. */
  readonly #counts = new Map<string, number>();

  /**
   * A source brings a change.
   * @param source full JID of a session
   * @param sources all that there are
   * @param hash of its key
   * @returns false when another one has brought it
   */
  isNew(source: string, sources: Iterable<string>, change: Change, hash: number, now: number): boolean {
    this.#forget(now);
    // Who has been one since before it has all of what is told from here on still to bring.
    if (this.#told.length === 0) for (const each of sources) this.#counts.set(each, this.#forgotten);
    const count = this.#counts.get(source);
    const from = count === undefined ? this.#begins(change, hash) : Math.max(0, count - this.#forgotten);
    const known = this.#told.findIndex((told, at) => at >= from && told.hash === hash);
    const isNew = known < 0;
    const at = isNew ? this.#told.push({ ...change, hash, at: now }) - 1 : known;
    this.#counts.set(source, this.#forgotten + at + 1);
    return isNew;
  }

  /** Behind the last that has made the occupant what it was to the source before this, unless that is this itself. */
  #begins({ nick, before }: Change, hash: number): number {
    let last = this.#told.length - 1;
    while (last >= 0 && (this.#told[last]!.nick !== nick || this.#told[last]!.after !== before)) last -= 1;
    return last >= 0 && this.#told[last]!.hash === hash ? last : last + 1;
  }

  #forget(now: number): void {
    const young = this.#told.findIndex(({ at }) => now - at < STREAMS_APART);
    const count = Math.max(young < 0 ? this.#told.length : young, this.#told.length - MOST + 1);
    this.#told.splice(0, count);
    this.#forgotten += count;
  }

  /** A source brings nothing any more. @param isLast there is no other: whoever is one next begins behind all that was told */
  leaves(source: string, isLast: boolean): void {
    this.#counts.delete(source);
    if (isLast) this.#forget(Number.POSITIVE_INFINITY);
  }
}
