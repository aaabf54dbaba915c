/** After so long another message with the same words is another message; ms. */
const WINDOW = 30_000;

interface Entry {
  readonly since: number;
  /** How often it has been taken. */
  taken: number;
  /** How often each source has brought it. */
  readonly by: Map<string, number>;
}

/**
 * Tells a message that comes from several sources from one that comes several times: of each source's copies the n-th is the same message
 * as every other source's n-th. So a message is taken once, whichever way comes first, and who says the same twice is heard twice.
 */
export class Counts {
  readonly #entries = new Map<string, Entry>();

  /** @param most entries are remembered, the oldest goes */
  constructor(private readonly most: number) {}

  /**
   * A source brings a message.
   * @param key what it is known by; equal words under one key are told apart by their number
   * @returns whether nobody has brought it before
   */
  isNew(key: string, source: string, now: number): boolean {
    let entry = this.#entries.get(key);
    if (entry === undefined || now - entry.since > WINDOW) {
      this.#entries.delete(key);
      if (this.#entries.size >= this.most) this.#entries.delete(this.#entries.keys().next().value!);
      entry = { since: now, taken: 0, by: new Map() };
      this.#entries.set(key, entry);
    }
    const times = (entry.by.get(source) ?? 0) + 1;
    entry.by.set(source, times);
    if (times <= entry.taken) return false;
    entry.taken = times;
    return true;
  }
}
