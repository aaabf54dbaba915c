import { createHash } from 'node:crypto';

/** One entry; keys are paths of parts joined by U+0000, see `storeKey`. */
export interface StoreEntry {
  readonly key: string;
  readonly value: Buffer;
}

export interface StoreChange {
  readonly key: string;
  /** undefined removes. */
  readonly value: Buffer | undefined;
}

/**
 * What outlives the process: bytes by key, ordered by the UTF-8 bytes of the key.
 *
 * Reads see every write that has resolved, and perhaps one that is about to. What is handed out and what has been handed in
 * belongs to the caller: both are copied.
 *
 * Every method rejects with a StoreError when the store cannot do it (`closed` after `close()`), and with a RangeError when
 * a key is empty, longer than MAX_KEY_BYTES or not well-formed Unicode; `storeKey` makes none of these from one to six parts
 * of which one is not ''.
 */
export interface Store {
  get(key: string): Promise<Buffer | undefined>;
  /** Entries whose key begins with `prefix`, in key order, at most `limit`. Without a limit all of them, in memory at once. */
  list(prefix: string, limit?: number): Promise<readonly StoreEntry[]>;
  /**
   * All or nothing; durable (on disk, survives kill -9 of the process and power loss as far as fsync goes) when it resolves.
   * Writes of one process are applied in the order of the calls. One that rejects has changed nothing, and those behind it
   * are tried all the same. Of two changes to one key in one write the later counts.
   */
  write(changes: readonly StoreChange[]): Promise<void>;
  /** Waits for the writes that are under way. A second call waits for the first. */
  close(): Promise<void>;
}

/** Why a store cannot do what was asked. A closed set: for labels and for tests. */
export type StoreFailure =
  | 'disk-full'
  | 'not-permitted'
  | 'in-use'
  | 'newer-format'
  | 'damaged'
  | 'closed'
  | 'failed';

/** The store cannot do what was asked; the message is one sentence for the operator. */
export class StoreError extends Error {
  override readonly name = 'StoreError';

  constructor(
    readonly reason: StoreFailure,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** UTF-8 bytes of a key: what LMDB takes with pages of 4 KiB. */
export const MAX_KEY_BYTES = 1_978;

/**
 * UTF-8 bytes of one part of a key, above which its hash stands for it: six parts always fit into a key, and a JID has to be
 * made to be longer than this. Whether a part is hashed must not depend on its neighbours, else prefixes would not match.
 */
const MAX_PART_BYTES = 320;

const SEPARATOR = '\u0000';
/** What follows says what is meant: 1 is U+0000, 2 is U+0001, 3 is a hash. In this order, so that escaped parts sort as parts do. */
const ESCAPE = '\u0001';
const ESCAPED_NUL = `${ESCAPE}\u0001`;
const ESCAPED_ESCAPE = `${ESCAPE}\u0002`;
const HASHED = `${ESCAPE}\u0003`;

/**
 * The key of a path. Different paths have different keys, and keys sort as paths do, part by part in the order of code points:
 * a path comes before what lies below it. `storeKey(...path, '')` as a prefix selects exactly what lies below `path`.
 * A part of more than 320 bytes, or one that is not well-formed Unicode, is replaced by its SHA-256: it can be
 * looked up and listed below like any other, but sorts by its hash and cannot be read back from the key.
 * @throws RangeError when there are so many long parts that the key exceeds MAX_KEY_BYTES; six parts never do
 */
export function storeKey(...parts: string[]): string {
  const key = parts.map(escapePart).join(SEPARATOR);
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new RangeError(`a key of ${parts.length} parts is longer than ${MAX_KEY_BYTES} bytes`);
  }
  return key;
}

/** The path of a key that `storeKey` has made; undefined for each part of which the key has only the hash. */
export function keyParts(key: string): readonly (string | undefined)[] {
  return key.split(SEPARATOR).map((part) => {
    if (part.startsWith(HASHED)) return undefined;
    return part.replaceAll(ESCAPED_NUL, SEPARATOR).replaceAll(ESCAPED_ESCAPE, ESCAPE);
  });
}

function escapePart(part: string): string {
  const escaped = part.replaceAll(ESCAPE, ESCAPED_ESCAPE).replaceAll(SEPARATOR, ESCAPED_NUL);
  if (isWellFormed(part) && Buffer.byteLength(escaped) <= MAX_PART_BYTES) return escaped;
  // Over UTF-16, because UTF-8 makes one and the same character of every lone surrogate.
  return HASHED + createHash('sha256').update(part, 'utf16le').digest('base64url');
}

/** @throws RangeError when no entry can have this key */
export function checkKey(key: string): void {
  if (key === '') throw new RangeError('a key must not be empty');
  if (!isWellFormed(key)) throw new RangeError('a key must be well-formed Unicode');
  const bytes = Buffer.byteLength(key);
  if (bytes > MAX_KEY_BYTES) {
    throw new RangeError(`a key of ${bytes} bytes is longer than ${MAX_KEY_BYTES}`);
  }
}

/** Whether there is no surrogate without its other half. */
function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
