/** Between two marks at least so many ms. */
const SPACING = 20_000;
const MOST = 64;

/** When stanzas were shown, roughly: what is needed to ask a room what has been said since. */
export class TimeMarks {
  #ids: number[];
  #times: number[];

  constructor(ids: readonly number[] = [], times: readonly number[] = []) {
    this.#ids = [...ids];
    this.#times = [...times];
  }

  /** Pairs of a number and a time, both rising. */
  get marks(): { readonly ids: readonly number[]; readonly times: readonly number[] } {
    return { ids: this.#ids, times: this.#times };
  }

  /** @param wall ms since 1970 */
  note(id: number, wall: number): void {
    const last = this.#times.at(-1);
    if (last !== undefined && wall - last < SPACING) return;
    if (this.#ids.length >= MOST) {
      const kept = (_: number, at: number): boolean => at % 2 === 0;
      this.#ids = this.#ids.filter(kept);
      this.#times = this.#times.filter(kept);
    }
    this.#ids.push(id);
    this.#times.push(wall);
  }

  /** A time at or before which the stanza was shown, and not long before it; undefined when nothing is known. */
  atOrBefore(id: number): number | undefined {
    let at = this.#ids.length - 1;
    while (at > 0 && this.#ids[at]! > id) at--;
    return this.#times[at];
  }
}
