import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { indiscreet } from './confidential.js';
import { Daemon } from './servers/daemon.js';
import type { RealServer } from './servers/server.js';
import { until } from './waiting.js';

const COMMAND = process.env.INTERSTANZA_MAIN ?? resolve(import.meta.dirname, '../../dist/main.js');

export interface ProxyOptions {
  domain: string;
  /** URL of the server behind. */
  upstream: string;
  /** Listener URLs; by default one with optional STARTTLS and one with direct TLS, on free ports. */
  listen?: string[];
  /** More arguments, such as a configuration file. */
  args?: string[];
  /** The data folder, kept when the proxy goes; by default an own one, removed with it. */
  data?: string;
  logLevel?: string;
}

/** An address as in `xmpp://127.0.0.1:5222`. */
export interface Address {
  host: string;
  port: number;
}

/** The command line of Interstanza as a child process, as an operator would start it. */
export class RunningProxy {
  readonly logs: Record<string, unknown>[] = [];
  readonly #lines: string[] = [];
  listeners: Address[] = [];
  /** The same as the proxy says them. */
  urls: string[] = [];
  admin = '';
  readonly #daemon: Daemon;
  readonly #data: string;
  readonly #ownsData: boolean;

  private constructor(options: ProxyOptions) {
    this.#ownsData = options.data === undefined;
    this.#data = options.data ?? mkdtempSync(join(tmpdir(), 'interstanza-data-'));
    const listen = options.listen ?? ['xmpp://127.0.0.1:0?tls=optional', 'xmpps://127.0.0.1:0'];
    const args = [
      COMMAND,
      'serve',
      ...['--domain', options.domain],
      ...['--upstream', options.upstream],
      ...listen.flatMap((url) => ['--listen', url]),
      ...['--data', this.#data],
      ...['--admin', '127.0.0.1:0'],
      ...['--log-level', options.logLevel ?? 'debug'],
      ...(options.args ?? []),
    ];
    this.#daemon = new Daemon('interstanza', process.execPath, args, {
      onLine: (line) => this.#logged(line),
    });
  }

  /** Why there is no proxy to start, if so. */
  static missing(): string | undefined {
    return existsSync(COMMAND) ? undefined : 'dist/main.js is missing: run npm run build';
  }

  static async start(options: ProxyOptions): Promise<RunningProxy> {
    const proxy = new RunningProxy(options);
    try {
      await until(
        'the ready line of the proxy',
        () => {
          if (!proxy.alive) throw new Error(`the proxy ended at once:\n${proxy.output}`);
          return proxy.listeners.length > 0;
        },
        30_000,
      );
    } catch (error) {
      await proxy.dispose();
      throw error;
    }
    return proxy;
  }

  static inFrontOf(server: RealServer, options: Partial<ProxyOptions> = {}): Promise<RunningProxy> {
    const upstream = `xmpp://${server.host}:${server.port}`;
    return RunningProxy.start({ domain: server.domain, upstream, ...options });
  }

  get alive(): boolean {
    return this.#daemon.alive;
  }

  get pid(): number {
    return this.#daemon.pid ?? 0;
  }

  get output(): string {
    return this.#daemon.output;
  }

  get exited(): Daemon['exited'] {
    return this.#daemon.exited;
  }

  /** Where the n-th `listen` URL really listens. */
  address(index = 0): Address {
    const address = this.listeners[index];
    if (!address) throw new Error(`no listener ${index}`);
    return address;
  }

  signal(signal: NodeJS.Signals): void {
    this.#daemon.signal(signal);
  }

  async stop(graceMs = 15_000): Promise<void> {
    await this.#daemon.stop(graceMs);
    this.#forget();
  }

  async kill(): Promise<void> {
    await this.#daemon.kill();
    this.#forget();
  }

  dispose(): Promise<void> {
    return this.kill();
  }

  async get(path: string): Promise<{ status: number; text: string }> {
    const answer = await fetch(new URL(path, this.admin));
    return { status: answer.status, text: await answer.text() };
  }

  /** The samples of `/metrics`, by name with labels as written there. */
  async metrics(): Promise<Metrics> {
    return new Metrics((await this.get('/metrics')).text);
  }

  #logged(line: string): void {
    this.#lines.push(line);
    if (!line.startsWith('{')) return;
    let entry: Record<string, unknown>;
    try {
      entry = JSON.parse(line);
    } catch {
      return;
    }
    this.logs.push(entry);
    if (entry.msg !== 'ready') return;
    this.admin = String(entry.admin ?? '');
    this.urls = entry.listeners as string[];
    this.listeners = this.urls.map((url) => {
      const { hostname, port } = new URL(url.replace(/^(xmpp|ws|http)s?:/, 'http:'));
      return { host: hostname, port: Number(port || 80) };
    });
  }

  #forget(): void {
    if (this.#ownsData) rmSync(this.#data, { recursive: true, force: true });
    const said = indiscreet(this.#lines);
    if (said.length > 0) throw new Error(`the log of the proxy says what it must not:\n${said[0]}`);
  }
}

export class Metrics {
  readonly samples = new Map<string, number>();

  constructor(readonly text: string) {
    for (const line of text.split('\n')) {
      const at = line.lastIndexOf(' ');
      if (line && !line.startsWith('#') && at > 0)
        this.samples.set(line.slice(0, at), Number(line.slice(at + 1)));
    }
  }

  /** The sum over all samples of `name` whose labels contain each of `labels`, as `key="value"`. */
  sum(name: string, ...labels: string[]): number {
    let total = 0;
    for (const [key, value] of this.samples) {
      if (key !== name && !key.startsWith(`${name}{`)) continue;
      if (labels.every((label) => key.includes(label))) total += value;
    }
    return total;
  }
}
