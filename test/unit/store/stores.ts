import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { MemoryStore } from '../../../src/store/memory.js';
import { openStore } from '../../../src/store/open.js';
import type { Store } from '../../../src/store/store.js';

/** A folder of the test's own; it goes when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'interstanza-store-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store in the folder that is closed when the test is over. */
export async function storeIn(folder: string): Promise<Store> {
  const store = await openStore(folder);
  onTestFinished(() => store.close());
  return store;
}

export const IMPLEMENTATIONS: readonly { readonly name: string; readonly make: () => Promise<Store> }[] = [
  { name: 'memory', make: async () => new MemoryStore() },
  { name: 'LMDB', make: () => storeIn(temporaryFolder()) },
];
