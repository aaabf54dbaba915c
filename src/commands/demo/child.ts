import { type ChildProcess, spawn } from 'node:child_process';

/** What is kept of a program's output, for the message when it fails. */
const KEPT = 16_384;

const STOP_MS = 5_000;

/** A program that the demo has started and ends. */
export class Child {
  readonly exited: Promise<void>;
  #process: ChildProcess;
  #output = '';
  #ended = false;

  /** @param onLine called for each whole line of its standard output */
  constructor(command: string, args: readonly string[], onLine?: (line: string) => void) {
    this.#process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let rest = '';
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#keep(text);
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(-KEPT);
      for (const line of lines) onLine?.(line);
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => this.#keep(text));
    this.exited = new Promise((resolve) => {
      const done = () => {
        this.#ended = true;
        resolve();
      };
      this.#process.once('exit', done);
      this.#process.once('error', (error) => {
        this.#keep(`${error.message}\n`);
        done();
      });
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The end of what it wrote, to standard output and error. */
  get output(): string {
    return this.#output.trim();
  }

  /** SIGTERM, and SIGKILL when that is not obeyed. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), STOP_MS);
    await this.exited;
    clearTimeout(timer);
  }

  /** For the very end of the process, when nothing can be waited for. */
  kill(): void {
    if (!this.#ended) this.#process.kill('SIGKILL');
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-KEPT);
  }
}
