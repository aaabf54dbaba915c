import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FlagSpec, parseFlags, UsageError } from './arguments.js';
import type { Account, Actor } from './demo/actor.js';
import type { Child } from './demo/child.js';
import { DemoFailure } from './demo/failure.js';
import { perform, type Shown } from './demo/play.js';
import { findProsody, installProsody, Prosody } from './demo/prosody.js';
import { ServingProxy } from './demo/proxy.js';
import { playRejoins } from './demo/rejoin.js';
import { Tap } from './demo/tap.js';
import { Timeline } from './demo/timeline.js';
import { isAcknowledgement, Traffic } from './demo/traffic.js';
import { StreamProblem } from './initiating-stream.js';
import { SignInRefused } from './sign-in.js';

export const DEMO_HELP = `Usage: interstanza demo [--keep] [--port N]

Brings up a Prosody of its own, Interstanza in front of it and two scripted clients, all on
loopback and in a temporary folder, and shows what goes through. Ends by itself in a few
seconds and leaves nothing behind. Installs Debian's package "prosody" when it is missing.

  --keep         leave server and proxy running for a client of your own, until Ctrl-C
  --port N       where the proxy listens (default: the system chooses)
  --no-install   end with a message when Prosody is missing
  --help         this text

Exit status: 0 when everything went through, 1 when something did not, 2 for a bad flag.

Examples:
  interstanza demo
  interstanza demo --keep --port 5222
`;

const FLAGS: Readonly<Record<string, FlagSpec>> = {
  keep: { type: 'boolean' },
  port: { type: 'string' },
  'no-install': { type: 'boolean' },
};

/** Most clients take a JID of localhost to 127.0.0.1 by themselves. */
const DOMAIN = 'localhost';

/** Between scenes, for the eye of somebody who watches. */
const PAUSE_MS = 300;

/** Where the reader is no terminal. */
const WIDTH = 120;

interface DemoOptions {
  readonly keep: boolean;
  readonly port: number;
  readonly mayInstall: boolean;
}

/**
 * The command `demo`.
 * @returns the exit status
 * @throws UsageError
 */
export async function runDemo(args: readonly string[]): Promise<number> {
  const values = parseFlags(args, FLAGS);
  if (values.has('help')) {
    process.stdout.write(DEMO_HELP);
    return 0;
  }
  const port = values.get('port')?.[0] ?? '0';
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new UsageError(`--port ${port} is no port`);
  const options = { keep: values.has('keep'), port: Number(port), mayInstall: !values.has('no-install') };
  const demo = new Demo(options);
  // Ctrl-C in the middle must not leave a server behind.
  const interrupted = new Promise<number>((resolve) => {
    for (const [signal, status] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      process.once(signal, () => resolve(status));
    }
  });
  process.once('exit', () => demo.abandon());
  try {
    return await Promise.race([
      demo.run(interrupted),
      interrupted.then((status) => (demo.played ? 0 : status)),
    ]);
  } catch (error) {
    return explain(error);
  } finally {
    await demo.end();
  }
}

/** Says what to do next about a failure that has a name; others are mistakes of this program. */
function explain(error: unknown): number {
  const { stderr } = process;
  if (error instanceof DemoFailure) {
    if (error.detail !== '') stderr.write(`\n${error.detail}\n`);
    stderr.write(`\ninterstanza demo: ${error.message}: ${error.advice}.\n`);
  } else if (error instanceof StreamProblem || error instanceof SignInRefused) {
    stderr.write(`\ninterstanza demo: a client did not get through: ${error.message}.\n`);
    stderr.write(
      'The lines above show how far it came; start the demo again, and report it when it stays so.\n',
    );
  } else throw error;
  return 1;
}

/** Server, proxy and clients of one run. */
class Demo {
  readonly #folder = mkdtempSync(join(tmpdir(), 'interstanza-demo-'));
  readonly #children: Child[] = [];
  readonly #actors: Actor[] = [];
  readonly #timeline: Timeline;
  readonly #traffic = new Traffic();
  #tap: Tap | undefined;
  /** Between edge and core. */
  #link: Tap | undefined;
  /** The play is over: to be interrupted is what is waited for. */
  played = false;

  constructor(private readonly options: DemoOptions) {
    const { isTTY, columns } = process.stdout;
    this.#timeline = new Timeline(isTTY === true && process.env.NO_COLOR === undefined, columns ?? WIDTH);
  }

  async run(interrupted: Promise<number>): Promise<number> {
    const onChild = (child: Child) => this.#children.push(child);
    const prosody = await Prosody.start(this.#findProsody(), this.#folder, DOMAIN, onChild);
    const accounts = { romeo: newAccount('romeo'), juliet: newAccount('juliet') };
    await prosody.register(accounts.romeo);
    await prosody.register(accounts.juliet);
    this.#tap = await Tap.open(prosody.port, this.#traffic);
    const proxy = await ServingProxy.start({
      domain: DOMAIN,
      upstreamPort: this.#tap.port,
      port: this.options.port,
      folder: this.#folder,
      onChild,
    });
    say(`Prosody is up on 127.0.0.1:${prosody.port}, and in front of it, on 127.0.0.1:${proxy.port}:`);
    say(`  ${proxy.command}`);
    say('(Its upstream is a listening post, which notes what goes over the leg to the server.)');
    say(`\n${this.#timeline.legend()}`);
    await perform(
      {
        domain: DOMAIN,
        port: proxy.port,
        tap: this.#tap,
        traffic: this.#traffic,
        accounts,
        scene: (title, shown) => this.#show(title, shown),
      },
      this.#actors,
    );
    await this.#rejoins(prosody.port, proxy, accounts);
    await this.#sum(proxy);
    this.played = true;
    if (!this.options.keep) return 0;
    say(this.#timeline.title('Server and proxy stay up for a client of your own, until Ctrl-C'));
    say(
      `  server    127.0.0.1, port ${proxy.port}, STARTTLS, with a certificate that the proxy has just made`,
    );
    for (const { name, password } of Object.values(accounts)) {
      say(`  account   ${name}@${DOMAIN}, password ${password}`);
    }
    say(`  room      orchard@rooms.${DOMAIN}`);
    say(`  metrics   ${new URL('/metrics', proxy.admin).href}`);
    say('\n  What goes over the leg to the server:');
    this.#traffic.onPassage = (passage) =>
      say(this.#timeline.line({ passage, through: false, note: undefined }));
    await interrupted;
    return 0;
  }

  /** Ends everything in order and removes the folder. */
  async end(): Promise<void> {
    for (const actor of this.#actors) actor.cut();
    this.#tap?.close();
    this.#link?.close();
    await Promise.all(this.#children.map((child) => child.stop()));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The same for the last moment of the process, without waiting. */
  abandon(): void {
    for (const child of this.#children) child.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #findProsody(): string {
    const found = findProsody();
    if (found !== undefined) return found;
    if (!this.options.mayInstall) {
      throw new DemoFailure('Prosody is not installed', 'install it, or leave --no-install away');
    }
    say('Prosody is not here: installing the package "prosody" of this system (Ctrl-C to stop that).');
    return installProsody();
  }

  async #show(title: string, shown: Shown): Promise<void> {
    // Acknowledgements that nobody waits for belong to the scene that caused them.
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const crossings = this.#traffic.take();
    say(this.#timeline.title(title));
    if (shown === 'counted') {
      const through = crossings.filter((crossing) => crossing.through).length;
      say(`  (${crossings.length} lines, ${through} of them byte by byte, left out here)`);
      return;
    }
    const listed = crossings.filter(({ passage }) => shown === 'all' || !isAcknowledgement(passage));
    for (const crossing of listed) say(this.#timeline.line(crossing));
    const acknowledgements = crossings.length - listed.length;
    if (acknowledgements > 0) say(`  (and ${acknowledgements} lines of stream management, left out here)`);
  }

  /** What it costs to come back to a room, without fast reconnect, with it, and with it on one link only. */
  async #rejoins(
    serverPort: number,
    core: ServingProxy,
    accounts: { readonly romeo: Account; readonly juliet: Account },
  ): Promise<void> {
    const startEdge = async () => {
      const thin = new Traffic();
      this.#link = await Tap.open(core.linkPort, thin);
      const edge = await ServingProxy.start({
        domain: DOMAIN,
        upstreamPort: this.#link.port,
        port: 0,
        folder: this.#folder,
        data: 'data-edge',
        onChild: (child) => this.#children.push(child),
      });
      return { port: edge.port, thin };
    };
    const stage = { domain: DOMAIN, accounts, serverPort, corePort: core.port, startEdge };
    const { guests, plain, resumed, legacy } = await playRejoins(stage);
    // What went over the legs meanwhile is told here in sum.
    this.#traffic.take();
    const bytes = (count: number) => `${count.toLocaleString('en').padStart(6)} bytes`;
    say(this.#timeline.title(`Juliet comes back to a room of ${guests}: one has changed, one has spoken`));
    say(`  any client                                  ${bytes(plain)}`);
    say(`  one that asks for fast reconnect            ${bytes(resumed)}`);
    say(`  any client behind an edge and a core        ${bytes(legacy.client)}`);
    say(`    and over the link between those two       ${bytes(legacy.thin)}`);
  }

  async #sum(proxy: ServingProxy): Promise<void> {
    const count = (name: string, label?: string) => proxy.count(`interstanza_${name}`, label);
    const number = (value: number) => value.toLocaleString('en');
    say(this.#timeline.title('What the proxy has counted (its /metrics)'));
    say(`  sessions   ${await count('sessions_opened_total')}`);
    for (const from of ['client', 'server'] as const) {
      const label = `from="${from}"`;
      const stanzas = number(await count('stanzas_total', label));
      const bytes = number(await count('received_bytes_total', label));
      say(`  from ${from}s  ${stanzas.padStart(5)} stanzas ${bytes.padStart(8)} bytes`);
    }
    const touched = await Promise.all(
      ['changed', 'dropped', 'injected'].map((what) => count(`stanza_${what}_total`)),
    );
    say(`  stanzas changed ${touched[0]}, dropped ${touched[1]}, injected ${touched[2]}`);
  }
}

function newAccount(name: string) {
  return { name, password: randomBytes(6).toString('hex') };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
