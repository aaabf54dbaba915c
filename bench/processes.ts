import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { LoadAnswer, LoadRequest } from './load.js';
import { DOMAIN, LOOPBACK } from './streams.js';
import type { WebEndpoint } from './web-servers.js';

const HERE = import.meta.dirname;
const START_MS = 20_000;
const STOP_MS = 3_000;
const KEPT_OUTPUT = 4_000;

const running = new Set<Child>();

// However the bench ends, nothing of it stays.
process.on('exit', () => {
  for (const child of running) child.kill();
});

/** A process of the bench. */
export class Child {
  readonly process: ChildProcess;
  #errors = '';

  /** @param core the only processor it may use; undefined: any */
  constructor(
    readonly name: string,
    args: readonly string[],
    core: number | undefined,
    ipc: boolean,
  ) {
    const command =
      core === undefined
        ? [process.execPath, ...args]
        : ['taskset', '-c', `${core}`, process.execPath, ...args];
    const [file = '', ...rest] = command;
    this.process = spawn(file, rest, {
      stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
    });
    running.add(this);
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-KEPT_OUTPUT);
    });
    this.process.once('exit', () => running.delete(this));
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** What it has said last on standard error. */
  get errors(): string {
    return this.#errors;
  }

  /** The first line of standard output that is an object with such a field. */
  announcement(field: string): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => finish(new Error(`${this.name} did not start: ${this.#errors}`)),
        START_MS,
      );
      let text = '';
      const finish = (outcome: Error | Record<string, unknown>): void => {
        clearTimeout(timer);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      this.process.once('exit', () => finish(new Error(`${this.name} ended at once: ${this.#errors}`)));
      this.process.stdout?.setEncoding('utf8').on('data', (piece: string) => {
        const lines = (text + piece).split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) {
          const said: unknown = JSON.parse(line);
          if (isRecord(said) && field in said) finish(said);
        }
      });
    });
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    if (!running.has(this)) return;
    const timer = setTimeout(() => this.kill(), STOP_MS);
    const exited = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    await exited;
    clearTimeout(timer);
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Something that clients can connect to and that passes what they send to the backend. */
export interface Path {
  readonly name: 'relay' | 'proxy';
  readonly port: number;
  readonly child: Child;
  /** Where the proxy's metrics are. */
  readonly admin?: string;
}

/** Where the processes run. */
export interface Placement {
  /** Of what is measured. */
  readonly measured: number | undefined;
  /** Of the ends. */
  readonly ends: number | undefined;
  /** The proxy's program. */
  readonly program: string;
}

/** The proxy as web clients find it. */
export async function startWebProxy(place: Placement, upstreamPort: number): Promise<WebEndpoint> {
  const listeners = [`ws://${LOOPBACK}:0/ws`, `http://${LOOPBACK}:0/bosh`];
  const { child, port, admin } = await startProxy(place, upstreamPort, listeners);
  return {
    name: 'proxy',
    ...(admin !== undefined && { admin }),
    websocket: `ws://${LOOPBACK}:${port}/ws`,
    bosh: `http://${LOOPBACK}:${port}/bosh`,
    pid: child.pid,
    mechanism: 'PLAIN',
    stop: () => child.stop(),
  };
}

export async function startBackend(place: Placement, options: readonly string[] = []): Promise<number> {
  const args = ['--import', 'tsx', join(HERE, 'backend.ts'), ...options];
  const child = new Child('backend', args, place.ends, true);
  return Number((await child.announcement('port')).port);
}

export async function startRelay(place: Placement, upstreamPort: number): Promise<Path> {
  const child = new Child('relay', [join(HERE, 'relay.mjs'), `${upstreamPort}`], place.measured, false);
  return { name: 'relay', port: Number((await child.announcement('port')).port), child };
}

/** What is measured is what passes untouched, unless a measurement is about a feature that touches everything. */
const NOTHING_TOUCHED = { routing: false };

/**
 * @param listen the listeners' URLs; the path is the first one's
 * @param features as in the configuration
 */
export async function startProxy(
  place: Placement,
  upstreamPort: number,
  listen: string | readonly string[] = `xmpp://${LOOPBACK}:0?tls=off`,
  features: Readonly<Record<string, unknown>> = NOTHING_TOUCHED,
): Promise<Path> {
  const program = resolve(place.program);
  if (!existsSync(program)) throw new Error(`${place.program} is missing: run npm run build`);
  const data = mkdtempSync(join(tmpdir(), 'interstanza-bench-'));
  const file = join(data, 'interstanza.yaml');
  const upstreams = [`xmpp://${LOOPBACK}:${upstreamPort}`];
  writeFileSync(file, JSON.stringify({ domains: { [DOMAIN]: { upstreams, features } } }));
  const args = [
    program,
    'serve',
    ...['--config', file],
    ...[listen].flat().flatMap((url) => ['--listen', url]),
    ...['--data', data],
    ...['--admin', `${LOOPBACK}:0`],
    ...['--log-level', 'error'],
  ];
  const child = new Child('proxy', args, place.measured, false);
  child.process.once('exit', () => rmSync(data, { recursive: true, force: true }));
  const { listeners, admin } = await child.announcement('listeners');
  const [url] = Array.isArray(listeners) ? listeners : [];
  const { port } = new URL(String(url).replace(/^(xmpp|ws)s?:/, 'http:'));
  return { name: 'proxy', port: Number(port), child, admin: String(admin) };
}

/** The load generator and what it can be asked for. */
export class Load {
  readonly #child: Child;

  constructor(place: Placement) {
    this.#child = new Child('load', ['--import', 'tsx', join(HERE, 'load.ts')], place.ends, true);
  }

  /** One request at a time. */
  ask<Done extends LoadAnswer['done']>(
    request: LoadRequest,
    done: Done,
  ): Promise<Extract<LoadAnswer, { readonly done: Done }>> {
    const { process: child } = this.#child;
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error('the load generator has ended'));
      child.once('exit', onExit);
      child.once('message', (answer: LoadAnswer) => {
        child.off('exit', onExit);
        if (isDone(answer, done)) resolve(answer);
        else reject(new Error(answer.done === 'failed' ? answer.message : `not expected: ${answer.done}`));
      });
      child.send(request);
    });
  }
}

function isDone<Done extends LoadAnswer['done']>(
  answer: LoadAnswer,
  done: Done,
): answer is Extract<LoadAnswer, { readonly done: Done }> {
  return answer.done === done;
}

/** Ends all processes that are still there. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((child) => child.stop()));
}

/** User and system time of all threads of a process so far; µs. The scheduler's own count, as `stat` only knows ticks of 10 ms. */
export function cpuMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [ran = ''] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
    nanoseconds += Number(ran);
  }
  return nanoseconds / 1000;
}

/** Resident memory of a process; bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}
