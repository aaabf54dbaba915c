import type { StoreEntry } from '../store/store.js';
import { LateMap } from './late.js';

/** Questions that a session's features have put to the store, and whom their answers are for. */
export class FeatureQuestions {
  readonly #writing = new LateMap<string, (ok: boolean) => void>();
  readonly #loading = new LateMap<string, (entries: readonly StoreEntry[]) => void>();
  #count = 0;

  /** @returns the token of the question */
  write(done: ((ok: boolean) => void) | undefined): string {
    const token = this.#token();
    if (done !== undefined) this.#writing.set(token, done);
    return token;
  }

  load(done: (entries: readonly StoreEntry[]) => void): string {
    const token = this.#token();
    this.#loading.set(token, done);
    return token;
  }

  stored(token: string, ok: boolean): void {
    const done = this.#writing.get(token);
    this.#writing.delete(token);
    done?.(ok);
  }

  loaded(token: string, entries: readonly StoreEntry[]): void {
    const done = this.#loading.get(token);
    this.#loading.delete(token);
    done?.(entries);
  }

  #token(): string {
    this.#count += 1;
    return `feature ${this.#count}`;
  }
}
