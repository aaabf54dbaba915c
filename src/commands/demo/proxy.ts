import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './child.js';
import { DemoFailure } from './failure.js';

const START_MS = 15_000;

/** This program, as it was started: compiled, or from its sources by a loader. */
const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../main.ts' : '../../main.js', import.meta.url),
);

/** `interstanza serve`, as an operator would start it. */
export class ServingProxy {
  private constructor(
    /** Where clients connect. */
    readonly port: number,
    /** The same for a proxy in front of this one, in the clear. */
    readonly linkPort: number,
    readonly admin: string,
    /** The command that started it, for the terminal. */
    readonly command: string,
  ) {}

  /** @throws DemoFailure */
  static async start(options: {
    readonly domain: string;
    readonly upstreamPort: number;
    readonly port: number;
    readonly folder: string;
    readonly onChild: (child: Child) => void;
    /** Where it keeps its things in the folder. */
    readonly data?: string;
  }): Promise<ServingProxy> {
    const args = [
      ...['serve', '--domain', options.domain],
      ...['--upstream', `xmpp://127.0.0.1:${options.upstreamPort}`],
      ...['--listen', `xmpp://127.0.0.1:${options.port}`],
      ...['--listen', 'xmpp://127.0.0.1:0?tls=off'],
      ...['--admin', '127.0.0.1:0'],
      ...['--data', join(options.folder, options.data ?? 'data')],
      ...['--log-level', 'warn'],
    ];
    let ready: (line: { listeners: string[]; admin: string }) => void;
    const isReady = new Promise<{ listeners: string[]; admin: string }>((resolve) => {
      ready = resolve;
    });
    const child = new Child(process.execPath, [...process.execArgv, PROGRAM, ...args], (line) => {
      const entry = readEntry(line);
      if (entry?.msg !== 'ready' || !Array.isArray(entry.listeners)) return;
      ready({ listeners: entry.listeners.map(String), admin: String(entry.admin) });
    });
    options.onChild(child);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, START_MS, undefined);
    });
    const up = await Promise.race([isReady, late, child.exited.then(() => undefined)]);
    clearTimeout(timer);
    if (up === undefined) {
      throw new DemoFailure(
        'the proxy did not start',
        'what it said is above; mend that and start the demo again',
        child.output,
      );
    }
    const portOf = (url = ''): number => Number(new URL(url.replace(/^xmpps?:/, 'http:')).port);
    const port = portOf(up.listeners[0]);
    return new ServingProxy(
      port,
      portOf(up.listeners[1]),
      up.admin,
      `interstanza ${args.slice(0, 5).join(' ')} --listen xmpp://127.0.0.1:${port}`,
    );
  }

  /** A counter of `/metrics`, all its labels together unless one is given as it stands there. */
  async count(name: string, label = ''): Promise<number> {
    const text = await (await fetch(new URL('/metrics', this.admin))).text();
    let sum = 0;
    for (const line of text.split('\n')) {
      if ((line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(label)) {
        sum += Number(line.slice(line.lastIndexOf(' ') + 1));
      }
    }
    return sum;
  }
}

function readEntry(line: string): { msg?: unknown; listeners?: unknown; admin?: unknown } | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' && entry !== null ? entry : undefined;
  } catch {
    return undefined;
  }
}
