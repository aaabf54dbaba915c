import { chmodSync, cpSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from 'lmdb';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../../src/store/lmdb-failure.js';
import { openStore } from '../../../src/store/open.js';
import { isAlive, readOwner, thisProcess, writeOwner } from '../../../src/store/owner.js';
import { Writer } from './processes.js';
import { storeIn, temporaryFolder } from './stores.js';

const BINARY = { encoding: 'binary', keyEncoding: 'binary' } as const;
const value = Buffer.from('v');

describe('opening a store', () => {
  it('makes a folder and files that nobody else can read, and finds in it what was there', async () => {
    const dataDir = join(temporaryFolder(), 'not', 'there', 'yet');
    const store = await storeIn(dataDir);
    expect(statSync(join(dataDir, 'store')).mode & 0o777).toBe(0o700);
    expect(statSync(join(dataDir, 'store', 'data.mdb')).mode & 0o777).toBe(0o600);
    await store.write([{ key: 'a', value }]);
    await store.close();
    const again = await storeIn(dataDir);
    expect(await again.get('a')).toEqual(value);
  });

  it('is refused while another process has it, and possible when that one has been killed', async () => {
    const folder = temporaryFolder();
    const writer = new Writer(folder, '100');
    await writer.hasSaid(1);
    await expect(openStore(folder)).rejects.toMatchObject({ name: 'StoreError', reason: 'in-use' });
    await expect(openStore(folder)).rejects.toThrow(
      /^the store in \S+ is in use by another Interstanza \(process \d+\): /,
    );
    await writer.kill();
    await storeIn(folder);
    const second = new Writer(folder, '100');
    await second.ended;
    expect(second.said).toEqual([expect.stringMatching(/^in-use: .*is in use by another Interstanza/)]);
  });

  it('lets one of several that come at once have it', async () => {
    const folder = temporaryFolder();
    const writers = Array.from({ length: 4 }, () => new Writer(folder, '100'));
    await Promise.all(writers.map((writer) => writer.hasSaid(1)));
    expect(writers.map(({ said }) => said[0]?.split(':')[0]).sort()).toEqual([
      'in-use',
      'in-use',
      'in-use',
      'open',
    ]);
  });

  it('waits for a file that another process is just making', async () => {
    const [folder, whole] = [temporaryFolder(), temporaryFolder()];
    await (await storeIn(whole)).close();
    const bytes = readFileSync(join(whole, 'store', 'data.mdb'));
    mkdirSync(join(folder, 'store'));
    const file = join(folder, 'store', 'data.mdb');
    // Its first page is there, and the second is not.
    writeFileSync(file, bytes.subarray(0, 4_096));
    const opening = storeIn(folder);
    setTimeout(() => writeFileSync(file, bytes), 150);
    await (await opening).close();
  });

  it('of a copy is possible while the original is in use', async () => {
    const folder = temporaryFolder();
    const copy = temporaryFolder();
    const store = await storeIn(folder);
    await store.write([{ key: 'a', value }]);
    cpSync(join(folder, 'store', 'data.mdb'), join(copy, 'store', 'data.mdb'), { recursive: true });
    expect(await (await storeIn(copy)).get('a')).toEqual(value);
  });

  it.each([
    ['2', 'newer-format', /was written by a newer version of Interstanza \(format 2, this version knows 1\)/],
    ['?', 'damaged', /has no format that Interstanza knows/],
  ])('whose format is %s is refused, and nothing in it is touched', async (format, reason, sentence) => {
    const folder = temporaryFolder();
    await (await storeIn(folder)).close();
    const path = join(folder, 'store');
    const root = open<Buffer, Buffer>({ path, noSubdir: false, overlappingSync: false, ...BINARY });
    const meta = root.openDB<Buffer, Buffer>({ name: 'meta', ...BINARY });
    await meta.put(Buffer.from('format'), Buffer.from(format));
    await expect(openStore(folder)).rejects.toMatchObject({
      reason,
      message: expect.stringMatching(sentence),
    });
    expect(meta.get(Buffer.from('format'))?.toString()).toBe(format);
    expect(meta.get(Buffer.from('owner'))).toBeUndefined();
    await root.close();
  });

  it('says in one sentence that the folder cannot be one', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    await expect(openStore(join(folder, 'file'))).rejects.toThrow(/^cannot open the store in \S+: /);
  });

  it.each([
    ['something else', 20_000, /its file is not a store/],
    ['a few bytes', 100, /its file is not a store/],
    ['a store of which half a page is left', 5_000, /has lost its end/],
    ['a store of which two pages are left', 8_192, /has lost its end/],
  ])('does not end the process when its file is %s', async (what, size, sentence) => {
    const folder = temporaryFolder();
    const file = join(folder, 'store', 'data.mdb');
    if (what.startsWith('a store')) {
      const store = await storeIn(folder);
      await store.write([{ key: 'a', value }]);
      await store.close();
      truncateSync(file, size);
    } else {
      mkdirSync(join(folder, 'store'));
      writeFileSync(file, Buffer.alloc(size, 'no'));
    }
    await expect(openStore(folder)).rejects.toMatchObject({
      reason: 'damaged',
      message: expect.stringMatching(sentence),
    });
  });

  it('begins anew in a file that was made and never written', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'store'));
    writeFileSync(join(folder, 'store', 'data.mdb'), '');
    await (await storeIn(folder)).write([{ key: 'a', value }]);
  });

  it.each(['.', 'store', 'store/data.mdb', 'store/lock.mdb'])(
    'says that it may not write to %s',
    async (path) => {
      const folder = temporaryFolder();
      if (path !== '.') await (await storeIn(folder)).close();
      // What is inside belongs to everybody, so that it is this path alone that stands in the way.
      for (const open of ['store', 'store/data.mdb', 'store/lock.mdb']) {
        if (path !== '.') chmodSync(join(folder, open), 0o777);
      }
      chmodSync(join(folder, path), 0o555);
      if (path !== '.') chmodSync(folder, 0o777);
      const writer = new Writer(folder, 'unprivileged');
      await writer.ended;
      expect(writer.said).toEqual([
        expect.stringMatching(/^not-permitted: cannot open the store in \S+: this user may not write there$/),
      ]);
    },
  );
});

describe('writes', () => {
  it('of one turn share a transaction', async () => {
    const folder = temporaryFolder();
    const store = await storeIn(folder);
    const root = open({ path: join(folder, 'store'), noSubdir: false, overlappingSync: false });
    const transactions = () => Object.getOwnPropertyDescriptor(root.getStats(), 'lastTxnId')?.value;
    const before = transactions();
    expect(before).toBeGreaterThan(0);
    await Promise.all(Array.from({ length: 500 }, (_, index) => store.write([{ key: `k${index}`, value }])));
    expect(transactions()).toBe(before + 1);
    await root.close();
  });
});

describe('a store that cannot grow', () => {
  it('says so, keeps what it has, and ends in order', async () => {
    const folder = temporaryFolder();
    const writer = new Writer(folder, 'fail', 1_024);
    await writer.ended;
    expect(writer.said[1]).toMatch(/^(failed|disk-full): cannot write to the store in \S+: /);
    const kept = writer.said.find((line) => line.startsWith('kept '));
    const store = await storeIn(folder);
    expect(`kept ${(await store.list('n')).length}`).toBe(kept);
    expect(Number(kept?.slice(5))).toBeGreaterThan(3);
    await store.write([{ key: 'n', value }]);
  });

  it.each([
    ['ENOSPC', 'disk-full', 'cannot write: the disk is full'],
    ['EROFS', 'not-permitted', 'cannot write: the file system is read-only'],
    ['EACCES', 'not-permitted', 'cannot write: this user may not write there'],
    ['EIO', 'disk-full', 'cannot write: the disk is full'],
    ['ENOMEM', 'failed', 'cannot write: said the library'],
  ])('names %s', (code, reason, message) => {
    const error = Object.assign(new Error('said the library'), { code });
    expect(failureOf(error, 'cannot write', () => 100)).toMatchObject({ reason, message });
  });

  it('does not call a broken disk full', () => {
    const error = Object.assign(new Error('Input/output error'), { code: 'EIO' });
    expect(failureOf(error, 'cannot write', () => 1e9).reason).toBe('failed');
  });
});

describe('an owner', () => {
  const self = thisProcess(import.meta.filename);

  it('is what was written', () => {
    expect(readOwner(writeOwner(self))).toEqual(self);
    expect(readOwner(Buffer.from('nonsense'))).toBeUndefined();
    expect(readOwner(undefined)).toBeUndefined();
  });

  it('lives while it is the same process, on the same machine since its start, with the same file', () => {
    expect(isAlive(self, self)).toBe(true);
    expect(isAlive({ ...self, file: '1:1' }, self)).toBe(false);
    expect(isAlive({ ...self, boot: 'before' }, self)).toBe(false);
    expect(isAlive({ ...self, pid: 2 ** 30 }, self)).toBe(false);
    expect(isAlive({ ...self, pid: Number.NaN }, self)).toBe(false);
  });

  it.skipIf(process.platform !== 'linux')('is another one when its number has been given again', () => {
    expect(isAlive({ ...self, started: '1' }, self)).toBe(false);
  });
});
