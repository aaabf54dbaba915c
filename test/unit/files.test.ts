import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolder, whyNot } from '../../src/files.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interstanza-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

const reason = (making: Promise<unknown>) => making.then(() => 'made', whyNot);

describe('making a folder', () => {
  it('makes those it is in, with the mode that was asked for, and says whether it was missing', async () => {
    const path = join(folder, 'a', 'b');
    expect(await makeFolder(path, 0o700)).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(await makeFolder(path)).toBe(false);
  });

  it('ends where nobody can make one', async () => {
    expect(await reason(makeFolder('/proc/a/b'))).toBe('no folder can be made in /proc');
  });

  it('says that a file is in the way', async () => {
    await writeFile(join(folder, 'file'), '');
    expect(await reason(makeFolder(join(folder, 'file')))).toBe('it is a file');
    expect(await reason(makeFolder(join(folder, 'file', 'a')))).toBe('a part of its path is a file');
  });
});
