import { expect, it } from 'vitest';
import { Writer } from './processes.js';
import { storeIn, temporaryFolder } from './stores.js';

const ROUNDS = 8;

it('loses no write that has resolved, and tears none, when its process is killed', {
  timeout: 120_000,
}, async () => {
  const folder = temporaryFolder();
  const kept = new Set<number>();
  let first = 100;
  for (let round = 0; round < ROUNDS; round += 1) {
    const writer = new Writer(folder, String(first));
    // Killed at a random place: the lines come when transactions end, and the next ones are then under way.
    await writer.hasSaid(2 + Math.floor(Math.random() * 150));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
    await writer.kill();
    expect(writer.said[0]).toBe('open');
    const resolved = writer.said.flatMap((line) =>
      line.startsWith('resolved ') ? [Number(line.slice(9))] : [],
    );
    expect(resolved.length).toBeGreaterThan(0);

    const store = await storeIn(folder);
    const a = await store.list('a');
    const b = await store.list('b');
    // A write has both of a pair, and takes both of an older one away.
    expect(a.map(({ key }) => key.slice(1))).toEqual(b.map(({ key }) => key.slice(1)));
    for (const [index, { key, value }] of a.entries()) {
      const number = Number(key.slice(1));
      expect(value.equals(Buffer.alloc(1 + ((number * 7_919) % 30_000), number % 251))).toBe(true);
      expect(b[index]?.value.equals(value)).toBe(true);
    }
    // Numbers are written in their order and each takes away the one 50 before it: what is there is the last 50, whole, up to one place in the row.
    const there = a.map(({ key }) => Number(key.slice(1)));
    const latest = Math.max(...there);
    for (let number = Math.max(first, latest - 49); number <= latest; number += 1) kept.add(number);
    expect(new Set(there)).toEqual(kept);
    expect(latest).toBeGreaterThanOrEqual(Math.max(...resolved));
    first = latest + 1_000;
    await store.close();
  }
});
