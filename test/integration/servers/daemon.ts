import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { within } from '../waiting.js';

const KEPT_OUTPUT = 2_000_000;
const running = new Set<Daemon>();

// A test run that ends in any way must not leave servers behind.
process.on('exit', () => {
  for (const daemon of running) daemon.signal('SIGKILL');
});

export interface DaemonOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Called for each whole line of standard output. */
  onLine?: (line: string) => void;
}

/** A program in the foreground that this process started and ends. */
export class Daemon {
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  #child: ChildProcess;
  #output = '';
  #gone = false;

  constructor(
    readonly name: string,
    command: string,
    args: readonly string[],
    options: DaemonOptions = {},
  ) {
    const [file, argv] = dyingWithUs(command, args);
    this.#child = spawn(file, argv, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this);
    const keep = (text: string) => {
      this.#output = (this.#output + text).slice(-KEPT_OUTPUT);
    };
    let line = '';
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      keep(text);
      if (!options.onLine) return;
      const lines = (line + text).split('\n');
      line = lines.pop() ?? '';
      for (const whole of lines) options.onLine(whole);
    });
    this.#child.stderr?.setEncoding('utf8').on('data', keep);
    this.exited = new Promise((resolve) => {
      const done = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#gone = true;
        running.delete(this);
        resolve({ code, signal });
      };
      this.#child.once('exit', done);
      this.#child.once('error', (error) => {
        keep(`${error.message}\n`);
        done(null, null);
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get alive(): boolean {
    return !this.#gone;
  }

  /** Everything it wrote to standard output and error (the last two megabytes). */
  get output(): string {
    return this.#output;
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.#gone) this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL for one that does not obey. */
  async stop(graceMs = 10_000): Promise<void> {
    this.signal('SIGTERM');
    try {
      await within(`${this.name} to end`, graceMs, this.exited);
    } catch {
      await this.kill();
    }
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }
}

/** Even a test run that is itself killed takes its servers with it, where the system can do that. */
function dyingWithUs(command: string, args: readonly string[]): [string, string[]] {
  const setpriv = '/usr/bin/setpriv';
  if (!existsSync(setpriv)) return [command, [...args]];
  return [setpriv, ['--pdeathsig', 'KILL', '--', command, ...args]];
}
