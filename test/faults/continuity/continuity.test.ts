import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startEjabberd } from '../../integration/servers/ejabberd.js';
import { startJabberd2 } from '../../integration/servers/jabberd2.js';
import { startProsody } from '../../integration/servers/prosody.js';
import { SERVER_KINDS, type ServerHandle } from '../../integration/servers/server.js';
import { ATTEMPTS, attempt, type Demonstration } from './alone.js';
import { type Anomaly, type Verdict, WRONGS } from './ledger.js';
import { Dice, playRounds } from './rounds.js';
import { fits, SHORTFALLS, type Shortfall } from './shortfalls.js';
import { World } from './world.js';

/*
 * Two people with two devices each write numbered messages to each other and in a room, while connections
 * on both sides of the proxy are cut, resumed, bound anew and paused, and the proxy is stopped and killed,
 * all at random. At the end no message is missing, there twice or out of place for a client with stream
 * management. Before that the same is played with the server alone, in short, to see what it gives by itself.
 *
 * To repeat a run: INTERSTANZA_SEED=… INTERSTANZA_ROUNDS=… npx vitest run test/faults/continuity
 * With INTERSTANZA_ROUTING=off whom a message goes to is left to the server; INTERSTANZA_STORY=1 tells every round.
 */

type Via = 'direct' | 'proxy';
const VIA: readonly Via[] = ['direct', 'proxy'];
/** The same in each run, so that what a change breaks is told from what only another roll of the dice shows. */
const SEED = Number(process.env.INTERSTANZA_SEED ?? 5);
/** On each server through the proxy; with the server alone it is a third. */
const ROUNDS = Number(process.env.INTERSTANZA_ROUNDS ?? 350);
/** Short, so that a hold ends within the test. */
const HOLD_SECONDS = 4;
const LAST_WAIT_MS = (HOLD_SECONDS + 4) * 1_000;

const START = { prosody: startProsody, ejabberd: startEjabberd, jabberd2: startJabberd2 };
const table: string[] = [];

for (const kind of SERVER_KINDS) {
  const missing = inject('interstanza').missing.servers[kind];
  const about = missing ? describe.skip : describe;
  about(`continuity: ${kind}${missing ? ` (${missing})` : ''}`, () => {
    let server: ServerHandle;
    /** What went wrong with the server alone. */
    const alone: Anomaly[] = [];

    // Its own, because its sessions end sooner than others' tests could bear. There is no archive: what is
    // judged is what comes out of the streams, and a message that can only be looked up there is lost to them.
    beforeAll(async () => {
      const options = { directTls: false, mam: false, hibernation: HOLD_SECONDS, roomHistory: 1_000 };
      server = await START[kind](options);
    });
    afterAll(() => server?.dispose());

    for (const via of VIA) {
      const rounds = via === 'proxy' ? ROUNDS : Math.ceil(ROUNDS / 3);
      const limit = 120_000 + rounds * 1_000;
      const title = {
        direct: 'what the server alone gives',
        proxy:
          'nothing is lost, comes twice or out of order, but for what the server alone does not give either',
      }[via];
      test(`${rounds} rounds, ${via}: ${title} (seed ${SEED})`, { timeout: limit }, async () => {
        const { verdict, story } = await play(server, via, rounds, SEED);
        table.push(line(kind, via, rounds, verdict));
        expect(verdict.arrivals).toBeGreaterThan(0);
        if (via === 'direct') {
          alone.push(...verdict.anomalies);
          return;
        }
        const shortfalls = SHORTFALLS[kind];
        const excuse = (anomaly: Anomaly) => shortfalls.find((shortfall) => fits(anomaly, shortfall));
        const inexcusable = verdict.anomalies.filter((anomaly) => !excuse(anomaly));
        if (inexcusable.length > 0 || process.env.INTERSTANZA_STORY) {
          const anomalies = verdict.anomalies.map((anomaly) => tell(anomaly, excuse(anomaly)));
          console.log([`${kind}, seed ${SEED}`, ...story, ...anomalies].join('\n'));
        }
        expect(
          inexcusable.map((anomaly) => tell(anomaly)),
          `seed ${SEED}`,
        ).toEqual([]);
        // Whatever was excused with the server must happen with the server alone, before long.
        for (const shortfall of new Set(verdict.anomalies.map(excuse))) {
          if (!shortfall) continue;
          if (alone.some((anomaly) => fits(anomaly, shortfall))) continue;
          const isShown = await showsAlone(server, shortfall, shortfall.alone);
          expect(isShown, `${kind} alone: ${shortfall.what}`).toBe(true);
        }
      });
    }
  });
}

afterAll(() => {
  const head = row(['server', 'way', 'rounds', 'written', 'arrived', ...WRONGS, 'alarms', 'excused copies']);
  console.log([`\ncontinuity, seed ${SEED}`, head, ...table].join('\n'));
});

interface Played {
  verdict: Verdict;
  /** Every round, for whoever has to find out. */
  story: string[];
}

async function play(server: ServerHandle, via: Via, rounds: number, seed: number): Promise<Played> {
  const world = await World.create(server, via, HOLD_SECONDS);
  try {
    await playRounds(world, new Dice(seed), rounds, LAST_WAIT_MS);
    return { verdict: world.ledger.verdict(), story: world.story };
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${world.describe()}`);
  } finally {
    await world.dispose();
  }
}

/** Whether the server alone is seen to do it. */
async function showsAlone(
  server: ServerHandle,
  shortfall: Shortfall,
  demonstration: Demonstration,
): Promise<boolean> {
  const world = await World.create(server, 'direct', HOLD_SECONDS);
  try {
    for (let attempts = 1; attempts <= ATTEMPTS; attempts += 1) {
      await attempt(world, demonstration);
      if (world.ledger.verdict().anomalies.some((anomaly) => fits(anomaly, shortfall))) return true;
    }
    return false;
  } finally {
    await world.dispose();
  }
}

function tell(anomaly: Anomaly, excuse?: Shortfall): string {
  const { wrong, id, audience, detail, reader, sender, trail } = anomaly;
  const head = `${wrong}${excuse ? ` (${excuse.what})` : ''}: ${id} for ${audience}, ${detail}`;
  return `${head}; reader: ${reader.join(', ')}; sender: ${sender.join(', ')}\n    ${trail.join('\n    ')}`;
}

function line(kind: string, via: Via, rounds: number, verdict: Verdict): string {
  const { written, arrivals, anomalies, excused, falseAlarms } = verdict;
  const count = (wrong: Anomaly['wrong']) => anomalies.filter((anomaly) => anomaly.wrong === wrong).length;
  const copies = `${excused.sentAgain} sent again, ${excused.uncertain} uncertain, ${excused.history} history`;
  return row([kind, via, rounds, written, arrivals, ...WRONGS.map(count), falseAlarms, copies]);
}

function row(cells: readonly (string | number)[]): string {
  return cells.map((cell) => String(cell).padEnd(11)).join('');
}
