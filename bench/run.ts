import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ANNOTATIONS } from './annotations.js';
import { type Chart, svgOf } from './chart.js';
import { FAST_RECONNECT, FAST_RECONNECT_THIN } from './fast-reconnect.js';
import { FAST_RECONNECT_COST } from './fast-reconnect-cost.js';
import { HELD_MEMORY } from './held-memory.js';
import { HOSTILE } from './hostile.js';
import { IDLE_MEMORY } from './idle-memory.js';
import { LATENCY } from './latency.js';
import { type Bench, type Measurement, type Result, TOLERANCE, verdict } from './measurement.js';
import { MUCSUB_FANOUT } from './mucsub-fanout.js';
import { MUCSUB_OBSERVER } from './mucsub-observer.js';
import { MUCSUB_SUBSCRIPTIONS } from './mucsub-subscriptions.js';
import { type Placement, stopAll } from './processes.js';
import { RELAYING } from './relaying.js';
import { reportOf, tableOf } from './report.js';
import { ROUTING } from './routing.js';
import { SESSION_START } from './session-start.js';
import { TOKENIZER } from './tokenizer-ratio.js';
import { WEB } from './web.js';

const MEASUREMENTS: readonly Measurement[] = [
  RELAYING,
  TOKENIZER,
  IDLE_MEMORY,
  MUCSUB_SUBSCRIPTIONS,
  MUCSUB_FANOUT,
  MUCSUB_OBSERVER,
  HELD_MEMORY,
  LATENCY,
  HOSTILE,
  SESSION_START,
  WEB,
  ROUTING,
  ANNOTATIONS,
  FAST_RECONNECT,
  FAST_RECONNECT_THIN,
  FAST_RECONNECT_COST,
];

interface ChartOf extends Omit<Chart, 'results'> {
  readonly of: string;
  readonly file: string;
  /** Where a measurement has results of several. */
  readonly unit?: Result['unit'];
}

const CHARTS: readonly ChartOf[] = [
  { of: 'relaying', file: 'relaying', title: 'CPU per stanza, as a multiple of a raw relay', one: 'relay' },
  { of: 'tokenizer', file: 'tokenizer', title: 'Tokenizer, as a multiple of saxes', one: 'saxes' },
  { of: 'idle-memory', file: 'idle-memory', title: 'Memory of an idle session, KB' },
  { of: 'held-memory', file: 'held-memory', title: 'Memory of a held session, KB' },
  { of: 'latency', file: 'latency', title: 'Round trip, as a multiple of a raw relay', one: 'relay' },
  {
    of: 'hostile',
    file: 'hostile',
    title: 'CPU for hostile input, as a multiple of a raw relay',
    one: 'relay',
  },
  {
    of: 'session-start',
    file: 'session-start',
    title: 'Time from TLS to a whole session, 300 ms of latency, as a multiple of the classic way',
    unit: '×',
    one: 'classic',
  },
  {
    of: 'session-start',
    file: 'session-start-round-trips',
    title: 'Round trips from TLS to a whole session',
    unit: 'trips',
  },
  {
    of: 'web',
    file: 'web',
    title: 'Web clients: work done in a CPU second, as a multiple of the better server',
    unit: '×',
    one: 'better server',
  },
  { of: 'web', file: 'web-memory', title: 'Memory of an idle web session, KB', unit: 'KB' },
  { of: 'routing', file: 'routing', title: 'CPU of XMPP 2.0 routing, µs a message more than passing it' },
  {
    of: 'fast-reconnect',
    file: 'fast-reconnect',
    title: "Bytes of a rejoin on the client's link, as a multiple of a full join",
    unit: '×',
    one: 'full join',
  },
  {
    of: 'fast-reconnect-thin',
    file: 'fast-reconnect-thin',
    title: 'Bytes of a rejoin on the thin link, legacy client, as a multiple of a full join',
    unit: '×',
    one: 'full join',
  },
];

const HELP = `Usage: npm run bench -- [flags]

Measures Interstanza against a raw relay and its targets, as ratios in one run. Needs Linux and the build
(npm run build), session-start also a prosody, web an ejabberd too. Takes about a quarter of an hour; --quick five minutes.

${MEASUREMENTS.map(({ name, about }) => `  ${name.padEnd(13)} ${about}`).join('\n')}

  --only NAME      one of these (repeatable)
  --quick          fewer and shorter rounds, 1,000 idle and held sessions only
  --check          exit 1 when a target is missed by more than ${TOLERANCE * 100} %
  --json FILE      where the results go (default: results/report.json beside this program)
  --svg FOLDER     where the charts go (default: results/ beside this program)
  --pin            keep what is measured on one processor and both ends on another
  --proxy FILE     the proxy to measure (default: dist/main.js)
  --help           this text

Examples:
  npm run bench
  npm run bench -- --quick --only relaying --only latency
  npm run bench -- --check --json bench.json
`;

const FLAGS = {
  only: { type: 'string', multiple: true },
  quick: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  json: { type: 'string' },
  svg: { type: 'string' },
  pin: { type: 'boolean', default: false },
  proxy: { type: 'string', default: join(import.meta.dirname, '../dist/main.js') },
  help: { type: 'boolean', default: false },
} as const;

class UsageError extends Error {}

function flags() {
  try {
    return parseArgs({ options: FLAGS }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function chosen(names: readonly string[] | undefined): readonly Measurement[] {
  if (names === undefined) return MEASUREMENTS;
  return names.map((name) => {
    const found = MEASUREMENTS.find((measurement) => measurement.name === name);
    if (found !== undefined) return found;
    throw new UsageError(`there is no ${name}; there are ${MEASUREMENTS.map((one) => one.name).join(', ')}`);
  });
}

function placement(pin: boolean, program: string): Placement {
  if (!pin) return { measured: undefined, ends: undefined, program };
  if (cpus().length < 2) throw new UsageError('--pin needs two processors');
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' });
  } catch {
    throw new UsageError('--pin needs taskset, which comes with util-linux');
  }
  return { measured: 0, ends: 1, program };
}

/** One line that is written over where somebody watches, and only its changes of subject where nobody does. */
function progressTo(stream: NodeJS.WriteStream): (text: string) => void {
  let subject = '';
  return (text) => {
    if (stream.isTTY) {
      stream.write(`\r\x1b[K${text.slice(0, stream.columns - 1)}`);
      return;
    }
    const [now = ''] = text.split(': ');
    if (now !== subject) stream.write(`${text}\n`);
    subject = now;
  };
}

async function run(): Promise<number> {
  const { only, quick, check, json, svg, pin, proxy, help } = flags();
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  const measurements = chosen(only);
  const progress = progressTo(process.stderr);
  const bench: Bench = { place: placement(pin, proxy), quick, progress };
  const folder = svg ?? join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const results: Result[] = [];
  for (const measurement of measurements) {
    const found = await measurement.run(bench);
    results.push(...found);
    for (const chart of CHARTS.filter(({ of }) => of === measurement.name)) {
      const drawn = found.filter(({ unit }) => chart.unit === undefined || unit === chart.unit);
      if (drawn.length > 0)
        writeFileSync(join(folder, `${chart.file}.svg`), svgOf({ ...chart, results: drawn }));
    }
    // After each: whoever breaks a run off has what it has come to.
    const report = reportOf(results, new Date());
    writeFileSync(json ?? join(folder, 'report.json'), `${JSON.stringify(report, undefined, 2)}\n`);
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  console.log(tableOf(results));
  const missed = results.filter((result) => verdict(result) === 'missed');
  if (check && missed.length > 0) {
    console.error(`missed: ${missed.map(({ title }) => title).join('; ')}`);
    return 1;
  }
  return 0;
}

let status: number;
try {
  status = await run();
} catch (error) {
  status = error instanceof UsageError ? 2 : 1;
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
} finally {
  await stopAll();
}
process.exit(status);
