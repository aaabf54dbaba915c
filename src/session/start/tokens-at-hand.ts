import type { TokenRecord } from './token.js';

/** Writes to the store take milliseconds: behind so many others one is done. */
const MOST_RECENT = 1_000;

/** What a domain knows of tokens besides what is in the store. */
export class TokensAtHand {
  /** Keys of those that are being checked. */
  readonly inUse = new Set<string>();
  /** What has been written last, or undefined where it was removed: a client may come back before it is on disk. */
  readonly #recent = new Map<string, TokenRecord | undefined>();

  wrote(key: string, record: TokenRecord | undefined): void {
    this.#recent.delete(key);
    if (this.#recent.size >= MOST_RECENT) {
      const { value: oldest } = this.#recent.keys().next();
      if (oldest !== undefined) this.#recent.delete(oldest);
    }
    this.#recent.set(key, record);
  }

  /** The write has failed: what is in the store counts. */
  forget(key: string): void {
    this.#recent.delete(key);
  }

  /** @param stored what the store has */
  current(key: string, stored: TokenRecord | undefined): TokenRecord | undefined {
    return this.#recent.has(key) ? this.#recent.get(key) : stored;
  }
}
