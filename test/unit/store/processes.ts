import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

const WRITER = join(import.meta.dirname, 'writer.ts');

/** A writer in a process of its own, with what it has said so far; it is killed when the test is over. */
export class Writer {
  readonly said: string[] = [];
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #listeners = new Set<() => void>();

  /** @param largestFile in KiB; the system lets no file grow beyond */
  constructor(folder: string, what: string, largestFile?: number) {
    const command = [process.execPath, '--import', 'tsx', WRITER, folder, what];
    const limited = ['sh', '-c', `ulimit -f ${(largestFile ?? 0) * 2} && exec "$@"`, 'sh', ...command];
    const [program = '', ...words] = largestFile === undefined ? command : limited;
    this.#child = spawn(program, words, { stdio: ['ignore', 'pipe', 'ignore'] });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no output to read');
    const lines = createInterface({ input: stdout });
    lines.on('line', (line) => {
      this.said.push(line);
      for (const listener of this.#listeners) listener();
    });
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    const read = new Promise((resolve) => lines.once('close', resolve));
    this.ended = Promise.all([exited, read]).then(() => undefined);
    onTestFinished(() => this.kill());
  }

  /** Resolves when it has said so many lines, or has ended. */
  async hasSaid(lines: number): Promise<void> {
    const said = new Promise<void>((resolve) => {
      const check = () => {
        if (this.said.length >= lines) resolve();
      };
      this.#listeners.add(check);
      check();
    });
    await Promise.race([said, this.ended]);
  }

  /** With SIGKILL: nothing in it runs any more. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
