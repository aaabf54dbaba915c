import { Agent } from 'node:http';
import { ejabberdMissing } from '../test/integration/servers/ejabberd.js';
import { prosodyMissing } from '../test/integration/servers/prosody.js';
import type { Bench, Measurement, Result } from './measurement.js';
import { overRounds, sleep } from './measurement.js';
import { cpuMicroseconds, residentBytes, startBackend, startWebProxy, stopAll } from './processes.js';
import { quantile } from './statistics.js';
import { BoshSession, relayBosh, relayWebSocket, WebSocketSession } from './web-clients.js';
import { startWebEjabberd, startWebProsody, type WebEndpoint } from './web-servers.js';

const SESSIONS = 20;
const WARM_UP_ROUNDS = 5;
/**
 * Of memory: what all sessions share is there by then. Not more, for what their logins leave behind as garbage would be room for others, and these would seem to need
 * nothing.
 */
const WARM_UP_SESSIONS = 20;
const REST_MS = 30_000;
const LOGINS_AT_A_TIME = 8;
/** Whoever does not let a client in, be it of ours or of others, is asked again so often: COMPAT ejabberd, which now and then says nothing to one of a thousand. */
const LOGIN_ATTEMPTS = 3;

/**
 * Web clients at the proxy, and at the endpoints that Prosody and ejabberd have of their own, in turns: how much each does with a second of processor
 * time. Each client sends messages to itself; the proxy has the scripted backend behind it, the servers route by themselves.
 */
export const WEB: Measurement = {
  name: 'web',
  about: 'WebSocket and BOSH, beside the own endpoints of Prosody and ejabberd',
  async run(bench) {
    const missing = prosodyMissing() ?? ejabberdMissing();
    if (missing !== undefined) throw new Error(`web needs ${missing}: run scripts/install-servers.sh`);
    const results: Result[] = [];
    for (const inFlight of [1, 10]) results.push(await webSocketWork(bench, inFlight));
    results.push(await boshWork(bench));
    for (const transport of ['websocket', 'bosh'] as const) results.push(await memory(bench, transport));
    return results;
  },
};

async function withEndpoints<T>(
  bench: Bench,
  use: (endpoints: readonly WebEndpoint[]) => Promise<T>,
): Promise<T> {
  const started: WebEndpoint[] = [];
  try {
    const upstream = await startBackend(bench.place);
    started.push(
      await startWebProxy(bench.place, upstream),
      await startWebProsody(),
      await startWebEjabberd(),
    );
    return await use(started);
  } finally {
    for (const endpoint of started) await endpoint.stop();
    await stopAll();
  }
}

async function openAll<S>(bench: Bench, count: number, open: (account: string) => Promise<S>): Promise<S[]> {
  const opened: S[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const account = `user${next++}`;
      opened.push(await persistently(bench, () => open(account)));
    }
  };
  await Promise.all(Array.from({ length: LOGINS_AT_A_TIME }, worker));
  return opened;
}

async function persistently<S>(bench: Bench, open: () => Promise<S>): Promise<S> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await open();
    } catch (error) {
      if (attempt === LOGIN_ATTEMPTS) throw error;
      bench.progress(`${error instanceof Error ? error.message : String(error)}: one more attempt to log in`);
    }
  }
}

/** @param work does some, and tells how much */
async function perCpuSecond(
  bench: Bench,
  endpoints: readonly WebEndpoint[],
  what: string,
  work: (endpoint: WebEndpoint) => Promise<number>,
): Promise<{ readonly ratios: number[]; readonly detail: string }> {
  const rate = async (endpoint: WebEndpoint): Promise<number> => {
    const before = cpuMicroseconds(endpoint.pid);
    const done = await work(endpoint);
    return (done / (cpuMicroseconds(endpoint.pid) - before)) * 1e6;
  };
  for (let round = 0; round < WARM_UP_ROUNDS; round += 1)
    for (const endpoint of endpoints) await rate(endpoint);
  const rates = new Map<string, number[]>(endpoints.map(({ name }) => [name, []]));
  const ratios: number[] = [];
  const rounds = bench.quick ? 4 : 8;
  for (let round = 1; round <= rounds; round += 1) {
    const now = new Map<string, number>();
    // Which one comes first changes, so that a machine that slows down favours nobody.
    for (let at = 0; at < endpoints.length; at += 1) {
      const endpoint = endpoints[(at + round) % endpoints.length]!;
      now.set(endpoint.name, await rate(endpoint));
    }
    for (const [name, value] of now) rates.get(name)?.push(value);
    const better = Math.max(now.get('prosody') ?? 0, now.get('ejabberd') ?? 0);
    ratios.push((now.get('proxy') ?? 0) / better);
    bench.progress(`${what}: round ${round} of ${rounds}, ${ratios.at(-1)?.toFixed(2)} ×`);
  }
  const median = (name: string) => Math.round(quantile(rates.get(name) ?? [], 0.5));
  return {
    ratios,
    detail: `a CPU second: proxy ${median('proxy')}, prosody ${median('prosody')}, ejabberd ${median('ejabberd')}`,
  };
}

function webSocketWork(bench: Bench, inFlight: number): Promise<Result> {
  return withEndpoints(bench, async (endpoints) => {
    const sessions = new Map<string, WebSocketSession[]>();
    for (const endpoint of endpoints)
      sessions.set(
        endpoint.name,
        await openAll(bench, SESSIONS, (account) => WebSocketSession.open(endpoint, account)),
      );
    const title = `WebSocket, ${inFlight} on their way`;
    const milliseconds = bench.quick ? 500 : 800;
    const { ratios, detail } = await perCpuSecond(bench, endpoints, title, (endpoint) =>
      relayWebSocket(sessions.get(endpoint.name) ?? [], inFlight, milliseconds),
    );
    for (const opened of sessions.values()) for (const session of opened) session.close();
    const name = `web-socket-${inFlight}`;
    return overRounds(
      { name, title: `${title}, stanzas`, unit: '×', target: 1, better: 'more', detail },
      ratios,
    );
  });
}

function boshWork(bench: Bench): Promise<Result> {
  return withEndpoints(bench, async (endpoints) => {
    const agent = new Agent({ keepAlive: true });
    const sessions = new Map<string, BoshSession[]>();
    for (const endpoint of endpoints)
      sessions.set(
        endpoint.name,
        await openAll(bench, SESSIONS, (account) => BoshSession.open(endpoint, account, agent)),
      );
    const title = 'BOSH';
    const amount = SESSIONS * (bench.quick ? 40 : 80);
    const { ratios, detail } = await perCpuSecond(bench, endpoints, title, (endpoint) =>
      relayBosh(endpoint, sessions.get(endpoint.name) ?? [], amount),
    );
    agent.destroy();
    return overRounds(
      { name: 'web-bosh', title: 'BOSH, requests', unit: '×', target: 1, better: 'more', detail },
      ratios,
    );
  });
}

/** A session that does nothing, but can be asked whether it is still there. */
interface IdleSession {
  answers(): Promise<void>;
  close(): void;
}

/** What one idle session takes; a BOSH client always has a request that is held. All sessions must have been there to the end. */
function memory(bench: Bench, transport: 'websocket' | 'bosh'): Promise<Result> {
  const count = bench.quick ? 500 : 1_000;
  return withEndpoints(bench, async (endpoints) => {
    const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
    const open = async (endpoint: WebEndpoint, account: string): Promise<IdleSession> => {
      if (transport === 'websocket') return WebSocketSession.open(endpoint, account);
      const session = await BoshSession.open(endpoint, account, agent);
      session.hold();
      return session;
    };
    const rest = async (what: string) => {
      bench.progress(`memory, ${transport}: ${what}`);
      await sleep(REST_MS);
      return new Map(endpoints.map(({ name, pid }) => [name, residentBytes(pid)]));
    };
    const sessions = new Map<string, IdleSession[]>(endpoints.map(({ name }) => [name, []]));
    const openMore = async (endpoint: WebEndpoint, more: number, prefix: string) =>
      sessions
        .get(endpoint.name)
        ?.push(...(await openAll(bench, more, (account) => open(endpoint, prefix + account))));
    for (const endpoint of endpoints) await openMore(endpoint, WARM_UP_SESSIONS, 'warm-');
    const before = await rest('before');
    for (const endpoint of endpoints) await openMore(endpoint, count, '');
    const after = await rest(`${count} sessions each`);
    for (const [name, opened] of sessions) {
      const lost = await countLost(opened);
      // What was ended meanwhile, by whomever, would make the others seem small.
      if (lost > 0)
        throw new Error(`${name}: ${lost} of ${opened.length} sessions were not there to the end`);
    }
    agent.destroy();
    const of = (name: WebEndpoint['name']) =>
      ((after.get(name) ?? Number.NaN) - (before.get(name) ?? 0)) / count / 1024;
    const value = of('proxy');
    return {
      name: `web-memory-${transport}`,
      title: `idle session, ${transport === 'websocket' ? 'WebSocket' : 'BOSH'}, ${count}`,
      unit: 'KB',
      value,
      least: value,
      most: value,
      target: Math.min(of('prosody'), of('ejabberd')),
      better: 'less',
      detail: `prosody ${of('prosody').toFixed(1)}, ejabberd ${of('ejabberd').toFixed(1)}; all ${count} were there to the end`,
    };
  });
}

async function countLost(sessions: readonly IdleSession[]): Promise<number> {
  let lost = 0;
  for (let at = 0; at < sessions.length; at += LOGINS_AT_A_TIME) {
    const asked = sessions.slice(at, at + LOGINS_AT_A_TIME).map((session) => session.answers());
    for (const { status } of await Promise.allSettled(asked)) if (status === 'rejected') lost += 1;
    // So many are enough to know.
    if (lost >= LOGINS_AT_A_TIME) break;
  }
  for (const session of sessions) session.close();
  return lost;
}
