import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Measurement, Result } from './measurement.js';
import { isRecord } from './processes.js';

const TARGET = 5;
const LONGEST_MS = 180_000;

/** The tokenizer alone against saxes; `tokenizer.ts` measures, in a process of its own. */
export const TOKENIZER: Measurement = {
  name: 'tokenizer',
  about: 'the tokenizer as a multiple of saxes with namespaces on',
  async run(bench) {
    bench.progress('tokenizer: against saxes, about half a minute');
    const folder = mkdtempSync(join(tmpdir(), 'interstanza-bench-'));
    const file = join(folder, 'tokenizer.json');
    try {
      await runToEnd(['--import', 'tsx', join(import.meta.dirname, 'tokenizer.ts'), '--json', file]);
      return resultsOf(JSON.parse(readFileSync(file, 'utf8')));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

function runToEnd(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: LONGEST_MS,
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`bench/tokenizer.ts ended with ${code}`));
    });
  });
}

function resultsOf(report: unknown): Result[] {
  if (!isRecord(report) || !Array.isArray(report.rows))
    throw new Error('bench/tokenizer.ts wrote something else');
  return report.rows.filter(isRecord).map((row) => {
    const ratio = Number(row.ratio);
    const perChunk = `${row.perChunk} at a time`;
    return {
      name: `tokenizer-${String(row.stanza).replaceAll(/[^a-z0-9]+/gi, '-')}-${row.perChunk}`,
      title: `tokenizer to saxes, ${row.stanza}, ${perChunk}`,
      unit: '×',
      value: ratio,
      least: ratio,
      most: ratio,
      target: TARGET,
      better: 'more',
      detail: `${Number(row.tokenizer).toFixed(0)} MB/s, saxes ${Number(row.saxes).toFixed(0)} MB/s; ${Number(row.perStanza).toFixed(0)} ns a stanza`,
    };
  });
}
