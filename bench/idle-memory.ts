import type { ClientTls } from './connection.js';
import type { Bench, Measurement, Result } from './measurement.js';
import { Load, residentBytes, startBackend, startProxy, stopAll } from './processes.js';
import { atRest } from './rest.js';
import { LOOPBACK } from './streams.js';

interface Kind {
  readonly tls: ClientTls;
  readonly title: string;
  readonly listen: string;
  readonly target: number;
}

const KINDS: readonly Kind[] = [
  { tls: 'off', title: 'plain TCP', listen: `xmpp://${LOOPBACK}:0?tls=off`, target: 25 },
  { tls: 'direct', title: 'direct TLS', listen: `xmpps://${LOOPBACK}:0`, target: 60 },
  { tls: 'starttls', title: 'STARTTLS', listen: `xmpp://${LOOPBACK}:0?tls=required`, target: 60 },
];

/** Logins before the first look, so that code and caches that all sessions share are there. */
const WARM_UP_SESSIONS = 20;

/** Memory of a session that has nothing to say. */
export const IDLE_MEMORY: Measurement = {
  name: 'idle-memory',
  about: 'resident memory of an idle session, plain, direct TLS, STARTTLS',
  async run(bench) {
    const results: Result[] = [];
    for (const kind of KINDS) {
      results.push(...(await measure(bench, kind, bench.quick ? [1_000] : [1_000, 5_000])));
      await stopAll();
    }
    return results;
  },
};

/** @param counts of sessions, rising: those before stay */
async function measure(bench: Bench, kind: Kind, counts: readonly number[]): Promise<Result[]> {
  const { place } = bench;
  const { tls, title, target } = kind;
  const upstream = await startBackend(place);
  const load = new Load(place);
  const proxy = await startProxy(place, upstream, kind.listen, {});
  const { port } = proxy;
  await load.ask({ do: 'connect', path: 'warm-up', port, tls, count: WARM_UP_SESSIONS }, 'connected');
  const before = await atRest(bench, proxy, `idle memory, ${title}: before`);
  const results: Result[] = [];
  let connected = 0;
  for (const count of counts) {
    const more = count - connected;
    connected = count;
    await load.ask({ do: 'connect', path: `idle-${count}`, port, tls, count: more }, 'connected');
    const justAfter = residentBytes(proxy.child.pid);
    const after = await atRest(bench, proxy, `idle memory, ${title}: ${count} sessions`);
    const each = (from: number, to: number): number => (to - from) / count / 1024;
    const resident = each(before.resident, after.resident);
    const heap = each(before.heap, after.heap).toFixed(1);
    const external = each(before.external, after.external).toFixed(1);
    const first = each(before.resident, justAfter).toFixed(1);
    results.push({
      name: `idle-${tls === 'off' ? 'plain' : tls}-${count}`,
      title: `idle session, ${title}, ${count}`,
      unit: 'KB',
      value: resident,
      least: resident,
      most: resident,
      target,
      better: 'less',
      detail: `heap ${heap} KB, external ${external} KB; resident before the pause ${first} KB`,
    });
  }
  return results;
}
