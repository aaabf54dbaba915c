import { constants } from 'node:os';
import { StoreError, type StoreFailure } from './store.js';

const { errno } = constants;

/** Below this a disk counts as full: a transaction that does not fit leaves a little. */
const NEARLY_FULL_BYTES = 1024 * 1024;

/** Error numbers, the system's and LMDB's own negative ones (lmdb.h), and what they come to. */
const FAILURES = new Map<unknown, readonly [StoreFailure, string]>([
  [errno.ENOSPC, ['disk-full', 'the disk is full']],
  [errno.EDQUOT, ['disk-full', 'the quota of its user is used up']],
  [errno.EFBIG, ['disk-full', 'a limit on the size of files does not let it grow']],
  [errno.EACCES, ['not-permitted', 'this user may not write there']],
  [errno.EPERM, ['not-permitted', 'this user may not write there']],
  [errno.EROFS, ['not-permitted', 'the file system is read-only']],
  [-30_793, ['damaged', 'its file is not a store']],
  [-30_794, ['damaged', 'its file is of another version of LMDB']],
  [-30_796, ['damaged', 'its file is damaged']],
  [-30_797, ['damaged', 'its file is damaged: a page is missing']],
]);

/**
 * The typed form of what LMDB or the file system has thrown.
 * @param what could not be done, the beginning of the sentence
 * @param freeBytes asked when the error itself does not say that the disk is full
 */
export function failureOf(
  error: unknown,
  what: string,
  freeBytes: () => number | undefined = () => undefined,
): StoreError {
  const [reason, why] = FAILURES.get(numberOf(error)) ?? [];
  if (reason !== undefined) return new StoreError(reason, `${what}: ${why}`, { cause: error });
  // LMDB calls a write of which the disk took only a part an input/output error.
  if (numberOf(error) === errno.EIO && (freeBytes() ?? Number.POSITIVE_INFINITY) < NEARLY_FULL_BYTES) {
    return new StoreError('disk-full', `${what}: the disk is full`, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new StoreError('failed', `${what}: ${message}`, { cause: error });
}

/** The library gives numbers; Node gives names. */
function numberOf(error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error)) return undefined;
  return typeof error.code === 'string' ? errno[error.code as keyof typeof errno] : error.code;
}
