import { checkKey, type Store, type StoreChange, type StoreEntry, StoreError } from './store.js';

/** A store that forgets with the process: for tests of what uses one. `list` looks at every entry. */
export class MemoryStore implements Store {
  readonly #entries = new Map<string, Buffer>();
  #written: Promise<void> = Promise.resolve();
  #closed = false;

  async get(key: string): Promise<Buffer | undefined> {
    this.#checkOpen();
    checkKey(key);
    const value = this.#entries.get(key);
    return value && Buffer.from(value);
  }

  async list(prefix: string, limit = Number.POSITIVE_INFINITY): Promise<readonly StoreEntry[]> {
    this.#checkOpen();
    return [...this.#entries]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => ({ key, value: Buffer.from(value), bytes: Buffer.from(key) }))
      .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
      .slice(0, limit)
      .map(({ key, value }) => ({ key, value }));
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    this.#checkOpen();
    for (const { key } of changes) checkKey(key);
    const copied = changes.map(({ key, value }) => ({ key, value: value && Buffer.from(value) }));
    // Later, as in a real store: who reads what he has not waited for shall find that out in his tests.
    this.#written = this.#written.then(() => {
      for (const { key, value } of copied) {
        if (value === undefined) this.#entries.delete(key);
        else this.#entries.set(key, value);
      }
    });
    return this.#written;
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#written;
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreError('closed', 'the store has been closed');
  }
}
