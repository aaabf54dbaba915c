import type { Bench } from './measurement.js';
import { sleep } from './measurement.js';
import { type Path, residentBytes } from './processes.js';

export interface Memory {
  readonly resident: number;
  readonly heap: number;
  readonly external: number;
}

/** When it has been quiet for three seconds the proxy has V8 look through its heap, and eight or sixteen later V8 gives back what it does not need. */
const REST_MS = 30_000;
const SHORT_REST_MS = 20_000;

/** What the proxy needs after a rest. */
export async function atRest(bench: Bench, proxy: Path, what: string): Promise<Memory> {
  const end = performance.now() + (bench.quick ? SHORT_REST_MS : REST_MS);
  while (performance.now() < end) {
    const megabytes = (residentBytes(proxy.child.pid) / 1024 / 1024).toFixed(1);
    const left = Math.ceil((end - performance.now()) / 1000);
    bench.progress(`${what}: ${megabytes} MB, ${left} s of rest left`);
    await sleep(1_000);
  }
  const resident = residentBytes(proxy.child.pid);
  const metrics = await metricsOf(proxy);
  return {
    resident,
    heap: sample(metrics, 'nodejs_heap_size_used_bytes'),
    external: sample(metrics, 'nodejs_external_memory_bytes'),
  };
}

export async function metricsOf(proxy: Path): Promise<string> {
  return (await fetch(new URL('/metrics', proxy.admin))).text();
}

/** @param name with its labels as they are written */
export function sample(metrics: string, name: string): number {
  const line = metrics.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? Number.NaN);
}
