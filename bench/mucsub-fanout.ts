import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ejabberdMissing, startEjabberd } from '../test/integration/servers/ejabberd.js';
import { prosodyMissing, startProsody } from '../test/integration/servers/prosody.js';
import { type Measurement, overRounds, type Result } from './measurement.js';
import type { FanoutAnswer, FanoutRequest } from './mucsub-load.js';
import { Child, cpuMicroseconds, type Placement, startProxy, stopAll } from './processes.js';
import { DOMAIN } from './streams.js';

/** How many have subscribed, and how much is said in one round. */
export const SIZES = [
  { subscribers: 100, messages: 150 },
  { subscribers: 500, messages: 30 },
] as const;
const WINDOW = 50;
export const ROUNDS = 4;
/** CPU of the proxy as a multiple of that of a server with MUC/Sub of its own. */
const TARGET = 0.5;

/** A server that clients connect to, by way of the proxy or not, and the processes that serve them. */
export interface Side {
  readonly load: Fanout;
  readonly port: number;
  readonly muc: string;
  /** What is compared, and the rest of what serves. */
  readonly pid: number;
  readonly rest: readonly number[];
}

/**
 * What an event costs that reaches a subscriber who is not in the room: the proxy in front of Prosody, in turns with ejabberd, which has MUC/Sub itself. No
 * archives, a window of 50 messages, 60 bytes each.
 */
export const MUCSUB_FANOUT: Measurement = {
  name: 'mucsub-fanout',
  about: 'CPU of a MUC/Sub event, 100 and 500 subscribers, beside ejabberd',
  async run(bench) {
    const lacking = ejabberdMissing() ?? prosodyMissing();
    if (lacking !== undefined) throw new Error(`${lacking} is not installed`);
    const { place, quick } = bench;
    const native = await startEjabberd({ domain: DOMAIN, mam: false, directTls: false });
    const behind = await startProsody({ domain: DOMAIN, mam: false, directTls: false });
    try {
      const proxy = await startProxy(place, behind.port, undefined, {});
      const sides: readonly [Side, Side] = [
        side(place, native.port, native.muc, pidOf(native.directory), []),
        side(place, proxy.port, behind.muc, proxy.child.pid, [pidOf(behind.directory)]),
      ];
      const results: Result[] = [];
      for (const { subscribers, messages } of SIZES) {
        for (const { load, port, muc } of sides) {
          bench.progress(`${subscribers} subscribers log in`);
          await load.ask({
            do: 'prepare',
            port,
            domain: DOMAIN,
            muc,
            room: `fan${subscribers}`,
            subscribers,
          });
        }
        const rounds: Figures[] = [];
        for (let round = 0; round <= (quick ? 1 : ROUNDS); round++) {
          bench.progress(`${subscribers} subscribers, round ${round}`);
          const [one, other] = [
            await speak(sides[0], messages, subscribers),
            await speak(sides[1], messages, subscribers),
          ];
          // The first is to warm up.
          if (round > 0) rounds.push({ native: one, proxy: other });
        }
        results.push(...resultsOf(subscribers, rounds));
        for (const { load } of sides) await load.ask({ do: 'leave' });
      }
      await stopAll();
      return results;
    } finally {
      await Promise.all([native.dispose(), behind.dispose()]);
    }
  },
};

export interface Cost {
  /** Milliseconds of CPU per 1,000 events. */
  readonly own: number;
  readonly all: number;
}

interface Figures {
  readonly native: Cost;
  readonly proxy: Cost;
}

function resultsOf(subscribers: number, rounds: readonly Figures[]): Result[] {
  const middle = (values: readonly number[]) =>
    [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(1);
  const native = middle(rounds.map((round) => round.native.own));
  const proxy = middle(rounds.map((round) => round.proxy.own));
  const detail = `per 1,000 events: ${proxy} ms, ejabberd ${native} ms`;
  return [
    overRounds(
      {
        name: `mucsub-fanout-${subscribers}`,
        title: `a MUC/Sub event, ${subscribers} subscribers`,
        unit: '×',
        target: TARGET,
        better: 'less',
        detail,
      },
      rounds.map((round) => round.proxy.own / round.native.own),
    ),
    overRounds(
      {
        name: `mucsub-fanout-${subscribers}-all`,
        title: `the same with the server behind`,
        unit: '×',
        better: 'less',
        detail: 'a ghost for each subscriber, so that the room sends to each',
      },
      rounds.map((round) => round.proxy.all / round.native.own),
    ),
  ];
}

export async function speak({ load, pid, rest }: Side, messages: number, subscribers: number): Promise<Cost> {
  const own = cpuMicroseconds(pid);
  const others = () => rest.reduce((sum, each) => sum + cpuMicroseconds(each), 0);
  const before = others();
  const { events } = (await load.ask({ do: 'speak', messages, window: WINDOW })) as { events: number };
  if (events !== messages * subscribers)
    throw new Error(
      `${events} events came of ${messages * subscribers} by way of ${rest.length === 0 ? 'ejabberd' : 'the proxy'}`,
    );
  const spent = cpuMicroseconds(pid) - own;
  return { own: spent / events, all: (spent + others() - before) / events };
}

export function side(
  place: Placement,
  port: number,
  muc: string,
  pid: number,
  rest: readonly number[],
): Side {
  return { load: new Fanout(place), port, muc, pid, rest };
}

export class Fanout {
  readonly #child: Child;

  constructor(place: Placement) {
    this.#child = new Child(
      'load',
      ['--import', 'tsx', join(import.meta.dirname, 'mucsub-load.ts')],
      place.ends,
      true,
    );
  }

  ask(request: FanoutRequest): Promise<FanoutAnswer> {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`the load has ended: ${this.#child.errors}`));
      this.#child.process.once('close', ended);
      this.#child.process.once('message', (answer) => {
        this.#child.process.off('close', ended);
        resolve(answer as FanoutAnswer);
      });
      this.#child.process.send(request);
    });
  }
}

/** The process that has been started with files of a folder. */
export function pidOf(directory: string): number {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(directory)) return Number(entry);
    } catch {
      // It has ended meanwhile.
    }
  }
  throw new Error(`nothing runs with ${directory}`);
}
