import type { Bench, Measurement, Result } from './measurement.js';
import { sleep } from './measurement.js';
import { Load, type Path, startBackend, startProxy, stopAll } from './processes.js';
import { atRest, metricsOf, sample } from './rest.js';

const TARGET_KB = 30;
/** Logins before the first look, so that code and caches that all sessions share are there. */
const WARM_UP_SESSIONS = 20;
const HELD_MS = 20_000;

/** Memory of a session whose client's connection has broken, and which waits to be resumed. */
export const HELD_MEMORY: Measurement = {
  name: 'held-memory',
  about: 'resident memory of a held session, server with and without stream management',
  async run(bench) {
    const counts = bench.quick ? [1_000] : [1_000, 5_000];
    const results: Result[] = [];
    for (const serverManages of [true, false]) {
      for (const count of counts) {
        results.push(await measure(bench, serverManages, count));
        await stopAll();
      }
    }
    return results;
  },
};

async function measure(bench: Bench, serverManages: boolean, count: number): Promise<Result> {
  const { place } = bench;
  const title = `server ${serverManages ? 'with' : 'without'} XEP-0198`;
  const upstream = await startBackend(place, serverManages ? ['--sm'] : []);
  const load = new Load(place);
  const proxy = await startProxy(place, upstream, undefined, {});
  const connect = { do: 'connect', port: proxy.port, tls: 'off', resumable: true } as const;
  await load.ask({ ...connect, path: 'warm-up', count: WARM_UP_SESSIONS }, 'connected');
  const before = await atRest(bench, proxy, `held memory, ${title}: before`);
  await load.ask({ ...connect, path: 'held', count }, 'connected');
  await load.ask({ do: 'close', path: 'held' }, 'closed');
  await untilHeld(proxy, count);
  const after = await atRest(bench, proxy, `held memory, ${title}: ${count} sessions`);
  // What had ended meanwhile would make the others look small.
  await untilHeld(proxy, count);
  const each = (from: number, to: number): number => (to - from) / count / 1024;
  const resident = each(before.resident, after.resident);
  return {
    name: `held-${serverManages ? 'sm' : 'no-sm'}-${count}`,
    title: `held session, ${title}, ${count}`,
    unit: 'KB',
    value: resident,
    least: resident,
    most: resident,
    target: TARGET_KB,
    better: 'less',
    detail: `heap ${each(before.heap, after.heap).toFixed(1)} KB, external ${each(before.external, after.external).toFixed(1)} KB`,
  };
}

async function untilHeld(proxy: Path, count: number): Promise<void> {
  const end = performance.now() + HELD_MS;
  for (;;) {
    const metrics = await metricsOf(proxy);
    const held = sample(metrics, 'interstanza_hold_total{reason="held"}');
    const alive = sample(metrics, 'interstanza_sessions') - WARM_UP_SESSIONS;
    if (held === count && alive === count) return;
    if (performance.now() > end)
      throw new Error(`of ${count} sessions ${held} have been held, ${alive} are there`);
    await sleep(200);
  }
}
