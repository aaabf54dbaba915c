import { MAM, OneStepClient } from '../test/integration/clients/one-step.js';
import { type Account, type Endpoint, RawClient, uniqueId } from '../test/integration/clients/raw.js';
import { prosodyMissing, startProsody } from '../test/integration/servers/prosody.js';
import type { ServerHandle } from '../test/integration/servers/server.js';
import { Link } from './link.js';
import type { Measurement, Result } from './measurement.js';
import { overRounds, sleep } from './measurement.js';
import { startProxy, stopAll } from './processes.js';
import {
  type Goal,
  MUC,
  RSM,
  resumeWithToken,
  startClassically,
  startInOneStep,
  type Taken,
} from './session-ways.js';
import { quantile } from './statistics.js';
import { DOMAIN, LOOPBACK } from './streams.js';

const LATENCY_MS = 300;
const ROOMS = 5;
const MISSED = 130;
/** For a connection without an end to be noticed at the other side of the link. */
const NOTICED_MS = 2 * LATENCY_MS;

const WAYS = ['classic', 'at-once', 'one-step', 'token'] as const;
type Way = (typeof WAYS)[number];

/** From an established TLS connection to a whole session, on a client's link with latency. */
export const SESSION_START: Measurement = {
  name: 'session-start',
  about: `from TLS to a whole session with ${LATENCY_MS} ms of latency, classically, in one step, with a token`,
  async run(bench) {
    const lacking = prosodyMissing();
    if (lacking !== undefined) {
      bench.progress(`session start: not measured, ${lacking} is not installed`);
      return [];
    }
    const prosody = await startProsody({ domain: DOMAIN });
    const links: Link[] = [];
    try {
      const proxy = await startProxy(bench.place, prosody.port, `xmpps://${LOOPBACK}:0`);
      const far = async (port: number): Promise<Endpoint> => {
        const link = await Link.to(port, LATENCY_MS);
        links.push(link);
        return { host: LOOPBACK, port: link.port, domain: DOMAIN };
      };
      const [direct, proxied] = [await far(prosody.tlsPort ?? 0), await far(proxy.port)];
      const all: Record<Way, Taken[]> = { classic: [], 'at-once': [], 'one-step': [], token: [] };
      const rounds = bench.quick ? 3 : 7;
      // The first round is for the compilers.
      for (let round = 0; round <= rounds; round++) {
        const measured = await measure(prosody, direct, proxied, round % 2 === 0);
        if (round === 0) continue;
        for (const way of WAYS) all[way].push(measured[way]);
        bench.progress(
          `session start: round ${round} of ${rounds}, ${WAYS.map((way) => `${way} ${measured[way].milliseconds.toFixed(0)} ms`).join(', ')}`,
        );
      }
      return resultsOf(all);
    } finally {
      for (const link of links) await link.close();
      await stopAll();
      await prosody.dispose();
    }
  },
};

/** Each way with an account of its own that has missed as much; which one comes first changes, for the sake of a machine that slows down. */
async function measure(
  server: ServerHandle,
  direct: Endpoint,
  proxied: Endpoint,
  classicFirst: boolean,
): Promise<Record<Way, Taken>> {
  const classically = async (patient: boolean): Promise<Taken> => {
    const goal = await goalAt(server);
    const client = await OneStepClient.connect(direct);
    const taken = await startClassically(client, goal, patient);
    client.raw.stream.cut();
    return taken;
  };
  const both = async () => ({ classic: await classically(true), 'at-once': await classically(false) });
  if (classicFirst) return { ...(await both()), ...(await throughTheProxy(server, proxied)) };
  return { ...(await throughTheProxy(server, proxied)), ...(await both()) };
}

async function throughTheProxy(
  server: ServerHandle,
  proxied: Endpoint,
): Promise<Record<'one-step' | 'token', Taken>> {
  const goal = await goalAt(server);
  const first = await OneStepClient.connect(proxied);
  const oneStep = await startInOneStep(first, goal);
  await first.raw.settle();
  const handled = first.raw.sm?.received ?? 0;
  first.raw.stream.cut();
  await sleep(NOTICED_MS);
  const missed = await say(server, goal.account, MISSED);
  const back = await OneStepClient.connect(proxied);
  const token = await resumeWithToken(back, { ...goal, missed }, oneStep, handled);
  back.raw.stream.cut();
  return { 'one-step': oneStep, token };
}

/** An account that knows one message and has missed some, and rooms that somebody is in. */
async function goalAt(server: ServerHandle): Promise<Goal> {
  const account = await register(server, 'alice');
  await say(server, account, 1);
  const reader = await RawClient.login(server, account);
  const last = `<query xmlns='${MAM}'><set xmlns='${RSM}'><max>1</max><before/></set></query>`;
  const known = (await reader.iq('set', last)).getChild('fin', MAM)?.getChild('set')?.getChildText('last');
  if (!known) throw new Error('the archive does not have what has been said');
  await reader.close();
  const missed = await say(server, account, MISSED);
  const host = await RawClient.login(server, await register(server, 'host'));
  const run = uniqueId();
  const rooms = Array.from({ length: ROOMS }, (_, n) => `room-${run}-${n}@${server.muc}`);
  for (const room of rooms) {
    host.send(`<presence to='${room}/host'><x xmlns='${MUC}'/></presence>`);
    await host.presence(({ attrs }) => attrs.from === `${room}/host`);
  }
  return { account, rooms, known, missed };
}

async function say(server: ServerHandle, to: Account, count: number): Promise<string[]> {
  const friend = await RawClient.login(server, await register(server, 'friend'));
  const bodies = Array.from({ length: count }, (_, n) => `${n} ${uniqueId()}`);
  for (const body of bodies) {
    friend.send(`<message to='${to.jid}' type='chat' id='${uniqueId()}'><body>${body}</body></message>`);
  }
  await friend.settle();
  await friend.close();
  return bodies;
}

async function register(server: ServerHandle, hint: string): Promise<Account> {
  const name = `${hint}-${uniqueId()}`;
  const { domain } = server;
  const account = { name, password: uniqueId(), domain, jid: `${name}@${domain}` };
  const client = await RawClient.connect(server);
  await client.openStream();
  const answer = await client.register(account);
  client.stream.cut();
  if (answer.attrs.type !== 'result') throw new Error(`registration refused: ${answer}`);
  return account;
}

const TITLES: Record<Way, string> = {
  classic: 'classic',
  'at-once': 'classic, all at once that may be',
  'one-step': 'in one step',
  token: 'with a token',
};
const MOST_ROUND_TRIPS: Partial<Record<Way, number>> = { 'one-step': 2, token: 1 };

function resultsOf(all: Record<Way, readonly Taken[]>): Result[] {
  const milliseconds = (way: Way): number =>
    quantile(
      all[way].map((taken) => taken.milliseconds),
      0.5,
    );
  const times = WAYS.map((way) =>
    overRounds(
      {
        name: `session-start-${way}`,
        title: `session start, ${TITLES[way]}`,
        unit: '×',
        better: 'less',
        detail: `${milliseconds(way).toFixed(0)} ms; ${LATENCY_MS} ms of latency, ${MISSED} messages missed, ${ROOMS} rooms`,
      },
      all[way].map((taken, round) => taken.milliseconds / (all.classic[round]?.milliseconds ?? Number.NaN)),
    ),
  );
  const roundTrips = WAYS.map((way) => {
    const target = MOST_ROUND_TRIPS[way];
    return overRounds(
      {
        name: `round-trips-${way}`,
        title: `round trips, ${TITLES[way]}`,
        unit: 'trips',
        better: 'less',
        detail: `behind TLS, ${way === 'classic' || way === 'at-once' ? 'at the server' : 'through the proxy'}${way === 'token' ? '' : ', SCRAM-SHA-1'}`,
        ...(target === undefined ? {} : { target }),
      },
      all[way].map((taken) => taken.roundTrips),
    );
  });
  return [...times, ...roundTrips];
}
