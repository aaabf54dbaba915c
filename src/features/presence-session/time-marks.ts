/** Between two marks at least so many ms. */
const SPACING = 20_000;
const MOST = 16;
const FIRST = 4;

/**
 * When stanzas were shown, roughly: what is needed to ask a room what has been said since. The longer ago the more roughly: a client
 * has mostly had nearly everything.
 */
export class TimeMarks {
  /** A number and a time in ms behind the first one, both rising. */
  #marks: Uint32Array<ArrayBuffer>;
  #first: number;
  #count: number;

  constructor(ids: readonly number[] = [], times: readonly number[] = []) {
    this.#count = Math.min(MOST, ids.length, times.length);
    this.#marks = new Uint32Array(Math.max(FIRST, this.#count) * 2);
    this.#first = times[0] ?? 0;
    for (let i = 0; i < this.#count; i++) this.#marks.set([ids[i]!, times[i]! - this.#first], i * 2);
  }

  /** Numbers, and ms since 1970. */
  get marks(): { readonly ids: readonly number[]; readonly times: readonly number[] } {
    const length = this.#count;
    return {
      ids: Array.from({ length }, (_, i) => this.#marks[i * 2]!),
      times: Array.from({ length }, (_, i) => this.#time(i)),
    };
  }

  /** @param wall ms since 1970 */
  note(id: number, wall: number): void {
    if (this.#count === 0) this.#first = wall;
    else if (wall - this.#time(this.#count - 1) < SPACING) return;
    if (this.#count === MOST) {
      this.#thinOut(wall);
    } else if (this.#count * 2 === this.#marks.length) {
      const longer = new Uint32Array(Math.min(MOST, this.#count * 2) * 2);
      longer.set(this.#marks);
      this.#marks = longer;
    }
    // Seven weeks at the most: a view is not kept so long.
    this.#marks.set([id, Math.min(0xffffffff, wall - this.#first)], this.#count * 2);
    this.#count++;
  }

  /** A time at or before which the stanza was shown, and not long before it, ms since 1970; undefined when nothing is known. */
  atOrBefore(id: number): number | undefined {
    let at = this.#count - 1;
    while (at > 0 && this.#marks[at * 2]! > id) at--;
    return at < 0 ? undefined : this.#time(at);
  }

  /** Drops the mark that leaves the smallest gap for its age; never the first. */
  #thinOut(now: number): void {
    let least = 1;
    let smallest = Number.POSITIVE_INFINITY;
    for (let at = 1; at < this.#count; at++) {
      const before = this.#time(at - 1);
      const after = at + 1 < this.#count ? this.#time(at + 1) : now;
      const gap = (after - before) / (now - before);
      if (gap >= smallest) continue;
      smallest = gap;
      least = at;
    }
    this.#marks.copyWithin(least * 2, least * 2 + 2);
    this.#count--;
  }

  #time(at: number): number {
    return this.#first + this.#marks[at * 2 + 1]!;
  }
}
