import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Why a file could not be read or written, as the end of a sentence for the operator. */
export function whyNot(error: unknown): string {
  const known = TROUBLES.get(codeOf(error));
  if (known !== undefined) return known;
  return error instanceof Error ? error.message : String(error);
}

const TROUBLES: ReadonlyMap<unknown, string> = new Map([
  ['ENOENT', 'there is no such file'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'this is not permitted'],
  ['EISDIR', 'it is a directory'],
  ['EEXIST', 'it is a file'],
  ['ENOTDIR', 'a part of its path is a file'],
  ['ENOSPC', 'the disk is full'],
  ['EROFS', 'the file system is read-only'],
]);

/**
 * Makes a folder, and those that it is in where they are missing.
 *
 * By hand, because Node's own way never ends where the system lets nobody make a folder and says that there is no such file, as in /proc.
 * @returns whether it was missing
 */
export async function makeFolder(path: string, mode = 0o777): Promise<boolean> {
  try {
    await mkdir(path, mode);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return false;
    if (codeOf(error) !== 'ENOENT') throw error;
    const parent = dirname(path);
    if (parent === path || !(await makeFolder(parent)))
      throw new Error(`no folder can be made in ${parent}`, { cause: error });
    return makeFolder(path, mode);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
