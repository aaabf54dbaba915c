import { constants } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { StoreError } from './store.js';

/** The file of an LMDB environment and the one for its locks. */
export const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';

const MAGIC = 0xbeef_c0de;
/** LMDB's data format 2 on a 64-bit machine (mdb.c, MDB_page and MDB_meta): where things lie in each of the first two pages. */
const AT = { magic: 24, version: 28, pageSize: 48, freeRoot: 88, mainRoot: 136, transaction: 152, end: 160 };
const VERSION = 2;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;

/** What looks damaged may be a file that another process is just making: it is looked at so often, with so many ms between. */
const LOOKS = 5;
const BETWEEN_MS = 100;

/**
 * Looks at the files before LMDB does: the library ends the process with a signal when LMDB refuses them, or when the file has
 * been cut off. This finds what is no store, or has lost its end; it does not look into the pages.
 * @throws StoreError `damaged`; the file system's error when this user may not read and write the files
 */
export async function checkFiles(folder: string): Promise<void> {
  await isThere(join(folder, LOCK_FILE));
  for (let look = 1; ; look++) {
    const flaw = await flawOf(join(folder, DATA_FILE));
    if (flaw === undefined) return;
    if (look === LOOKS) throw damaged(folder, flaw);
    await setTimeout(BETWEEN_MS);
  }
}

/** Why a file is no whole store; undefined for one that is, and for none. */
async function flawOf(path: string): Promise<string | undefined> {
  if (!(await isThere(path))) return undefined;
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    // Made, and never written: LMDB begins anew.
    if (size === 0) return undefined;
    const first = Buffer.alloc(AT.end);
    await file.read(first, 0, AT.end, 0);
    const pageSize = first.readUInt32LE(AT.pageSize);
    if (first.readUInt32LE(AT.magic) !== MAGIC) return 'its file is not a store';
    if (first.readUInt32LE(AT.version) !== VERSION) return 'its file is of another version of LMDB';
    const second = Buffer.alloc(AT.end);
    await file.read(second, 0, AT.end, pageSize);
    const newer =
      second.readBigUInt64LE(AT.transaction) > first.readBigUInt64LE(AT.transaction) ? second : first;
    const pages = BigInt(Math.floor(size / pageSize));
    const whole = [newer.readBigUInt64LE(AT.freeRoot), newer.readBigUInt64LE(AT.mainRoot)].every(
      (root) => root === NO_PAGE || root < pages,
    );
    return pages < 2n || !whole ? 'its file has lost its end' : undefined;
  } finally {
    await file.close();
  }
}

/** Whether the file is there, and this user may read and write it. */
async function isThere(file: string): Promise<boolean> {
  try {
    await access(file, constants.R_OK | constants.W_OK);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function damaged(folder: string, why: string): StoreError {
  return new StoreError(
    'damaged',
    `cannot open the store in ${folder}: ${why}; put a copy of it in its place, or remove the folder`,
  );
}
