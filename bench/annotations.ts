import { join } from 'node:path';
import { type Bench, type Measurement, overRounds, type Result, sleep } from './measurement.js';
import { Child, isRecord, Load, residentBytes, startProxy, stopAll } from './processes.js';
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
  const proxy = await startProxy(place, upstream);
  const load = new Load(place);
  await load.ask({ do: 'connect', path: 'proxy', port: proxy.port, tls: 'off', count: OTHERS }, 'connected');
  const clients = script('annotations-clients', proxy.port, sessions);
  let counted: Counted = { unavailable: 0, restored: 0, presences: 0, most: 0 };
  clients.process.on('message', (message) => {
    if (isRecord(message)) counted = message as unknown as Counted;
  });
  await clients.announcement('ready');
  await until('all presences', () => counted.presences >= expected);
  const p99 = async (): Promise<number> => {
    const request = { do: 'pace', path: 'proxy', perSecond: PER_SECOND, milliseconds: WINDOW_MS } as const;
    return quantile((await load.ask(request, 'paced')).roundTripsMs, 0.99);
  };
  // The first is for the compilers.
  await p99();
  const windows = quick ? 3 : 8;
  const [quiet, stormy]: [number[], number[]] = [[], []];
  const before = residentBytes(proxy.child.pid);
  let most = before;
  const measureWindows = async (what: string, into: number[]): Promise<void> => {
    for (let n = 1; n <= windows; n++) {
      into.push(await p99());
      most = Math.max(most, residentBytes(proxy.child.pid));
      bench.progress(`annotations: ${what} ${n} of ${windows}, ${into.at(-1)?.toFixed(1)} ms`);
    }
  };
  /** @returns seconds until everybody was told */
  const storm = async (what: 'down' | 'up', told: () => number): Promise<number> => {
    const began = performance.now();
    server.process.send(what);
    await until('the first annotation', () => told() > 0);
    await measureWindows(`storm, ${what}`, stormy);
    if (told() >= expected) throw new Error('the storm was over before it was measured');
    await until('everybody to be told', () => told() >= expected);
    return (performance.now() - began) / 1000;
  };
  // In turns, so that a machine that slows down favours neither.
  await measureWindows('quiet', quiet);
  const seconds = await storm('down', () => counted.unavailable);
  await measureWindows('quiet', quiet);
  await storm('up', () => counted.restored);
  // Whoever is told twice, or of something that is not so, shows here.
  await sleep(2_000);
  if (counted.unavailable !== expected || counted.restored !== expected)
    throw new Error(`told ${counted.unavailable} and ${counted.restored} instead of ${expected}`);
  const [inStorm, inQuiet] = [quantile(stormy, 0.5), quantile(quiet, 0.5)];
  return [
    overRounds(
      {
        name: 'annotations-p99',
        title: 'p99 of others in the storm',
        unit: '×',
        better: 'less',
        target: 2,
        detail: `${inStorm.toFixed(2)} ms, quiet ${inQuiet.toFixed(2)} ms; ${sessions} sessions, ${CONTACTS} contacts, ${expected} presences, all told in ${seconds.toFixed(0)} s`,
      },
      stormy.map((of) => of / inQuiet),
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
