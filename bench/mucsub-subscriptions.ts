import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Book, subscriptionOf } from '../src/features/mucsub/book.js';
import type { FeatureContext } from '../src/session/feature.js';
import { openStore } from '../src/store/open.js';
import type { StoreChange } from '../src/store/store.js';
import { type Measurement, overRounds, type Result } from './measurement.js';

const COUNT = 100_000;
const ROOMS = 2_000;
const PER_ACCOUNT = 20;
const BATCH = 5_000;
const DOMAIN = 'example.org';
const ROUNDS = 3;

/** How long it takes to have all subscriptions of a domain in memory, and what one costs there. */
export const MUCSUB_SUBSCRIPTIONS: Measurement = {
  name: 'mucsub-subscriptions',
  about: 'reading 100,000 MUC/Sub subscriptions from the store, and memory of one at rest',
  async run(bench) {
    const dir = mkdtempSync(join(tmpdir(), 'interstanza-bench-'));
    try {
      bench.progress('writing subscriptions');
      await fill(dir);
      const times: number[] = [];
      const bytes: number[] = [];
      for (let round = 0; round < (bench.quick ? 1 : ROUNDS); round++) {
        bench.progress(`reading them, round ${round + 1}`);
        const { ms, each } = await read(dir);
        times.push(ms);
        bytes.push(each / 1_000);
      }
      return results(times, bytes);
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
};

function results(times: readonly number[], bytes: readonly number[]): Result[] {
  const better = 'less' as const;
  return [
    overRounds(
      {
        name: 'mucsub-open',
        title: '100,000 subscriptions read from the store',
        unit: 'ms',
        target: 2_000,
        better,
        detail: `${ROOMS} rooms, ${PER_ACCOUNT} rooms an account; opening the store included`,
      },
      times,
    ),
    overRounds(
      {
        name: 'mucsub-memory',
        title: 'a subscription at rest',
        unit: 'KB',
        target: 1,
        better,
        detail: 'heap and buffers after garbage collection',
      },
      bytes,
    ),
  ];
}

async function fill(dir: string): Promise<void> {
  const store = await openStore(dir);
  const book = new Book();
  let batch: StoreChange[] = [];
  for (let i = 0; i < COUNT; i++) {
    const account = `user${Math.floor(i / PER_ACCOUNT)}@${DOMAIN}`;
    const room = `room${i % ROOMS}@conference.${DOMAIN}`;
    const subscription = subscriptionOf(room, account, `nick${i}`, ['messages', 'subject'], undefined);
    if (subscription === undefined) throw new Error('this is no subscription');
    subscription.heardAt = 1_790_000_000_000 + i;
    batch.push(book.subscribe(DOMAIN, subscription));
    if (batch.length < BATCH) continue;
    await store.write(batch);
    batch = [];
  }
  await store.close();
}

async function read(dir: string): Promise<{ ms: number; each: number }> {
  const before = used();
  const start = performance.now();
  const store = await openStore(dir);
  const book = new Book();
  await new Promise<void>((bookIsRead) => {
    const load = (prefix: string, done: Parameters<FeatureContext['store']['load']>[1]) =>
      void store.list(prefix).then(done);
    const context = { now: 0, domain: { name: DOMAIN }, store: { load } } as unknown as FeatureContext;
    book.read(context, { bookIsRead });
  });
  const ms = performance.now() - start;
  const each = (used() - before) / COUNT;
  if (book.subscriptionsOf(`user1@${DOMAIN}`).length !== PER_ACCOUNT)
    throw new Error('they are not all there');
  await store.close();
  return { ms, each };
}

function used(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
