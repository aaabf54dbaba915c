import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ABORT, type Database, open, type RootDatabase } from 'lmdb';
import { checkFiles, DATA_FILE } from './file-check.js';
import { failureOf } from './lmdb-failure.js';
import { isAlive, readOwner, thisProcess, writeOwner } from './owner.js';
import {
  checkKey,
  MAX_KEY_BYTES,
  type Store,
  type StoreChange,
  type StoreEntry,
  StoreError,
} from './store.js';

/** How entries lie in the file. A store with a higher number is left alone. */
const FORMAT = 1;
const FORMAT_KEY = Buffer.from('format');
const OWNER_KEY = Buffer.from('owner');

/** Bytes of values that share a transaction: LMDB keeps all pages of a transaction in memory until its end. */
const MAX_GROUP_BYTES = 16 * 1024 * 1024;

const BINARY = { encoding: 'binary', keyEncoding: 'binary' } as const;

/** How the library is to work; `permissionsMode` it reads without declaring it. */
const OPTIONS = {
  ...BINARY,
  maxDbs: 4,
  noSubdir: false,
  permissionsMode: 0o600,
  // A transaction is over when it is on the disk, LMDB's own way: no later flush that a promise could forget.
  overlappingSync: false,
  // Writes are grouped here. The library's own grouping makes a promise that nobody can catch, and a full disk would end the process.
  eventTurnBatching: false,
};

interface Waiting {
  readonly changes: readonly { readonly key: Buffer; readonly value: Buffer | undefined }[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: StoreError) => void;
}

/** A store in one LMDB environment. Writes of one turn of the event loop share a transaction, and so do those that come while one is under way. */
export class LmdbStore implements Store {
  readonly #folder: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  /** About the store itself, apart from the entries: `format`, `owner`. */
  readonly #meta: Database<Buffer, Buffer>;
  readonly #entries: Database<Buffer, Buffer>;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  /** Set when LMDB can no longer write, until the process is started again. */
  #broken: StoreError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    folder: string,
    root: RootDatabase<Buffer, Buffer>,
    meta: Database<Buffer, Buffer>,
    entries: Database<Buffer, Buffer>,
  ) {
    this.#folder = folder;
    this.#root = root;
    this.#meta = meta;
    this.#entries = entries;
  }

  /**
   * Opens the store in a folder that exists, or makes it there, for this process alone.
   * @throws StoreError `in-use`, `newer-format`, `not-permitted`, `disk-full`, `damaged` or `failed`
   */
  static async open(folder: string): Promise<LmdbStore> {
    let root: RootDatabase<Buffer, Buffer> | undefined;
    try {
      await checkFiles(folder);
      root = open<Buffer, Buffer>({ path: folder, ...OPTIONS });
      const meta = root.openDB<Buffer, Buffer>({ name: 'meta', ...BINARY });
      const refusal = claim(folder, root, meta);
      if (refusal) throw refusal;
      return new LmdbStore(folder, root, meta, root.openDB<Buffer, Buffer>({ name: 'entries', ...BINARY }));
    } catch (error) {
      await root?.close();
      throw error instanceof StoreError ? error : failureOf(error, `cannot open the store in ${folder}`);
    }
  }

  async get(key: string): Promise<Buffer | undefined> {
    this.#checkOpen();
    checkKey(key);
    return this.#read(() => this.#entries.get(Buffer.from(key)));
  }

  async list(prefix: string, limit = Number.POSITIVE_INFINITY): Promise<readonly StoreEntry[]> {
    this.#checkOpen();
    const start = Buffer.from(prefix);
    if (limit <= 0 || start.length > MAX_KEY_BYTES) return [];
    const entries: StoreEntry[] = [];
    return this.#read(() => {
      // The least key there is; without one the library would leave out what begins with its own marks.
      for (const { key, value } of this.#entries.getRange({ start: prefix === '' ? Buffer.of(0) : start })) {
        const text = Buffer.from(key).toString();
        if (!text.startsWith(prefix)) break;
        entries.push({ key: text, value });
        if (entries.length >= limit) break;
      }
      return entries;
    });
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    this.#checkOpen();
    let bytes = 0;
    const copied = changes.map(({ key, value }) => {
      checkKey(key);
      bytes += value?.length ?? 0;
      // A copy, because the transaction reads it in another thread.
      return { key: Buffer.from(key), value: value && Buffer.from(value) };
    });
    const written = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ changes: copied, bytes, resolve, reject });
    });
    this.#writing ??= this.#writeAll();
    return written;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writing;
    // Not being able to say that we are gone harms nobody: a process that does not live owns nothing.
    if (!this.#broken) await this.#meta.remove(OWNER_KEY).catch(causeOf);
    await this.#root.close();
  }

  #checkOpen(): void {
    if (this.#closing) throw new StoreError('closed', `the store in ${this.#folder} has been closed`);
  }

  #read<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw failureOf(error, `cannot read the store in ${this.#folder}`);
    }
  }

  /** One transaction after the other, until nothing waits. Never rejects. */
  async #writeAll(): Promise<void> {
    await nextTurn();
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      const failure = this.#broken ?? (await this.#commit(group));
      for (const { resolve, reject } of group) {
        if (failure) reject(failure);
        else resolve();
      }
    }
    this.#writing = undefined;
  }

  /** As many of those that wait, in order, as may share a transaction; at least one. */
  #nextGroup(): Waiting[] {
    let bytes = 0;
    const end = this.#waiting.findIndex((waiting, index) => {
      bytes += waiting.bytes;
      return index > 0 && bytes > MAX_GROUP_BYTES;
    });
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  async #commit(group: readonly Waiting[]): Promise<StoreError | undefined> {
    const changes = group.flatMap((waiting) => waiting.changes);
    if (changes.length === 0) return undefined;
    try {
      await this.#entries.batch(() => {
        for (const { key, value } of changes) {
          if (value === undefined) this.#entries.remove(key);
          else this.#entries.put(key, value);
        }
      });
      return undefined;
    } catch (error) {
      const failure = failureOf(await causeOf(error), `cannot write to the store in ${this.#folder}`, () =>
        freeBytes(this.#folder),
      );
      this.#checkWritable();
      return failure;
    }
  }

  /** Behind a failure: whether LMDB takes another transaction at all. When it does not, the library would wait for ever for the next one. */
  #checkWritable(): void {
    try {
      this.#root.transactionSync(() => ABORT);
    } catch (error) {
      this.#broken = failureOf(error, `the store in ${this.#folder} takes no writes until the next start`);
    }
  }
}

/**
 * Makes this process the owner of the store, and the store one of our format, in one transaction: of two processes that start at once one is refused.
 * @returns why it is refused
 */
function claim(
  folder: string,
  root: RootDatabase<Buffer, Buffer>,
  meta: Database<Buffer, Buffer>,
): StoreError | undefined {
  const self = thisProcess(join(folder, DATA_FILE));
  let refusal: StoreError | undefined;
  root.transactionSync(() => {
    const format = meta.get(FORMAT_KEY)?.toString();
    const owner = readOwner(meta.get(OWNER_KEY));
    if (format !== undefined && !/^\d+$/.test(format)) {
      refusal = new StoreError('damaged', `the store in ${folder} has no format that Interstanza knows`);
    } else if (Number(format ?? FORMAT) > FORMAT) {
      refusal = new StoreError(
        'newer-format',
        `the store in ${folder} was written by a newer version of Interstanza (format ${format}, this version knows ${FORMAT}): start that version, or choose another data folder`,
      );
    } else if (owner && isAlive(owner, self)) {
      refusal = new StoreError(
        'in-use',
        `the store in ${folder} is in use by another Interstanza (process ${owner.pid}): stop it, or choose another data folder`,
      );
    } else {
      meta.put(FORMAT_KEY, Buffer.from(String(FORMAT)));
      meta.put(OWNER_KEY, writeOwner(self));
    }
    return refusal ? ABORT : undefined;
  });
  return refusal;
}

/** What the library hides behind 'Commit failed'. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error;
  return Promise.resolve(error.commitError).catch((cause: unknown) => cause);
}

/** Bytes that this user may still write where the folder is; undefined when that cannot be found out. */
function freeBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
