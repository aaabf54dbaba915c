import { join } from 'node:path';
import { type Bench, type Measurement, overRounds, type Result, sleep } from './measurement.js';
import { Child, isRecord, Load, residentBytes, startProxy, startRelay, stopAll } from './processes.js';
import { quantile } from './statistics.js';

const CONTACTS = 10_000;
const SESSIONS = 1_000;
const EACH = 20;
const OTHERS = 100;
const PER_SECOND = 1_000;
/** As set by default. */
const PACE = 400;
const WINDOW_MS = 2_000;

/** A server with ten thousand contacts cannot be reached any more: what that does to everybody else. */
export const ANNOTATIONS: Measurement = {
  name: 'annotations',
  about: `p99 of others while ${SESSIONS} sessions are told of ${EACH} contacts each on a failing domain`,
  async run(bench) {
    try {
      return await measure(bench);
    } finally {
      await stopAll();
    }
  },
};

interface Window {
  readonly proxy: readonly number[];
  readonly relay: readonly number[];
}

interface Counted {
  readonly unavailable: number;
  readonly restored: number;
  readonly presences: number;
  readonly most: number;
}

async function measure(bench: Bench): Promise<Result[]> {
  const { place, quick } = bench;
  const script = (name: string, ...args: readonly (number | string)[]) =>
    new Child(
      name,
      ['--import', 'tsx', join(import.meta.dirname, `${name}.ts`), ...args.map(String)],
      place.ends,
      true,
    );
  const sessions = quick ? SESSIONS / 4 : SESSIONS;
  const expected = sessions * EACH;
  const server = script('annotations-server', CONTACTS, EACH);
  const upstream = Number((await server.announcement('port')).port);
  const relay = await startRelay(place, upstream);
  const proxy = await startProxy(place, upstream);
  const load = new Load(place);
  for (const { name, port } of [relay, proxy])
    await load.ask({ do: 'connect', path: name, port, tls: 'off', count: OTHERS }, 'connected');
  const clients = script('annotations-clients', proxy.port, sessions);
  let counted: Counted = { unavailable: 0, restored: 0, presences: 0, most: 0 };
  clients.process.on('message', (message) => {
    if (isRecord(message)) counted = message as unknown as Counted;
  });
  await clients.announcement('ready');
  await until('all presences', () => counted.presences >= expected);
  const pace = async (path: 'relay' | 'proxy') => {
    const request = { do: 'pace', path, perSecond: PER_SECOND, milliseconds: WINDOW_MS } as const;
    return (await load.ask(request, 'paced')).roundTripsMs;
  };
  /** What the machine does to both is taken out by the relay beside the proxy. */
  const window = async (): Promise<Window> => ({ proxy: await pace('proxy'), relay: await pace('relay') });
  // The first is for the compilers.
  await window();
  const rounds = quick ? 2 : 4;
  const [quiet, stormy]: [Window[], Window[]] = [[], []];
  for (let round = 1; round <= rounds; round++) {
    quiet.push(await window());
    bench.progress(`annotations: quiet ${round} of ${rounds}`);
  }
  const before = residentBytes(proxy.child.pid);
  const began = performance.now();
  server.process.send('down');
  await until('the first annotation', () => counted.unavailable > 0);
  let most = before;
  for (let round = 1; round <= rounds; round++) {
    stormy.push(await window());
    most = Math.max(most, residentBytes(proxy.child.pid));
    bench.progress(`annotations: storm ${round} of ${rounds}, ${counted.unavailable} told`);
  }
  const inStorm = counted.unavailable < expected;
  await until('everybody to be told', () => counted.unavailable >= expected);
  const seconds = (performance.now() - began) / 1000;
  most = Math.max(most, residentBytes(proxy.child.pid));
  server.process.send('up');
  await until('everybody to be told again', () => counted.restored >= expected);
  most = Math.max(most, residentBytes(proxy.child.pid));
  // Whoever is told twice, or of something that is not so, shows here.
  await sleep(2_000);
  if (counted.unavailable !== expected || counted.restored !== expected || !inStorm)
    throw new Error(`told ${counted.unavailable} and ${counted.restored} instead of ${expected}`);
  const p99 = (times: readonly number[]) => quantile(times, 0.99);
  const overRelay = (of: Window) => p99(of.proxy) / p99(of.relay);
  const ratios = stormy.map((of, round) => overRelay(of) / overRelay(quiet[round] ?? of));
  const pooled = (windows: readonly Window[]) => p99(windows.flatMap(({ proxy: times }) => [...times]));
  const [all, none] = [pooled(stormy), pooled(quiet)];
  return [
    overRounds(
      {
        name: 'annotations-p99',
        title: 'p99 of others in the storm',
        unit: '×',
        better: 'less',
        target: 2,
        detail: `${all.toFixed(2)} ms, quiet ${none.toFixed(2)} ms, over a relay at the same time; ${sessions} sessions, ${expected} presences, all told in ${seconds.toFixed(0)} s`,
      },
      ratios,
    ),
    overRounds(
      {
        name: 'annotations-pace',
        title: 'annotations a second, of those allowed',
        unit: '×',
        better: 'less',
        target: 1,
        detail: `${(expected / seconds).toFixed(0)}/s of ${PACE}/s, at most ${counted.most} in a quarter of a second`,
      },
      [expected / seconds / PACE],
    ),
    overRounds(
      {
        name: 'annotations-memory',
        title: 'memory of the storm, per session',
        unit: 'KB',
        better: 'less',
        detail: `${((most - before) / 1024 / 1024).toFixed(1)} MB in all, at the most`,
      },
      [(most - before) / sessions / 1024],
    ),
  ];
}

async function until(what: string, check: () => boolean): Promise<void> {
  const end = Date.now() + 180_000;
  while (!check()) {
    if (Date.now() > end) throw new Error(`not in three minutes: ${what}`);
    await sleep(100);
  }
}
