import { constants } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from '../files.js';
import { LmdbStore } from './lmdb.js';
import { failureOf } from './lmdb-failure.js';
import { type Store, StoreError } from './store.js';

/**
 * Opens what outlives the process, for this process alone: the folder `store` in the data folder, made with mode 0700 when it is not there.
 * @throws StoreError whose message is one sentence for the operator; `in-use` when another process has it
 */
export async function openStore(dataDir: string): Promise<Store> {
  const folder = join(dataDir, 'store');
  try {
    await makeFolder(dataDir);
    const made = await makeFolder(folder, 0o700);
    // Without this LMDB would say the same of a file and of the folder.
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    const store = await LmdbStore.open(folder);
    try {
      // LMDB flushes the files; that they are in their folders, nobody else does.
      await flushFolder(folder);
      if (made) await flushFolder(dirname(folder));
    } catch (error) {
      await store.close();
      throw error;
    }
    return store;
  } catch (error) {
    throw error instanceof StoreError ? error : failureOf(error, `cannot open the store in ${folder}`);
  }
}

async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
