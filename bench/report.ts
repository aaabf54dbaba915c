import { cpus, totalmem } from 'node:os';
import { type Result, TOLERANCE, verdict } from './measurement.js';

/** What one run of the bench has found, as it is kept. */
export interface Report {
  readonly when: string;
  readonly node: string;
  readonly machine: { readonly processor: string; readonly cores: number; readonly memoryMB: number };
  readonly tolerance: number;
  readonly results: readonly (Result & { readonly verdict: ReturnType<typeof verdict> })[];
}

export function reportOf(results: readonly Result[], when: Date): Report {
  return {
    when: when.toISOString(),
    node: process.version,
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryMB: Math.round(totalmem() / 1024 / 1024),
    },
    tolerance: TOLERANCE,
    results: results.map((result) => ({ ...result, verdict: verdict(result) })),
  };
}

const COLUMNS = ['what', 'result', 'range', 'target', '', 'made of'] as const;

/** The results as a table for the terminal. */
export function tableOf(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const { title, unit, value, least, most, target, better, detail } = result;
    const range = least === most ? '' : `${number(least)}–${number(most)}`;
    const aim = target === undefined ? '' : `${better === 'less' ? '≤' : '≥'} ${target} ${unit}`;
    return [title, `${number(value)} ${unit}`, range, aim, verdict(result) ?? '', detail];
  });
  const widths = COLUMNS.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) =>
        at === 1 || at === 2 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return [line(COLUMNS), line(widths.map((width) => '─'.repeat(width))), ...rows.map(line)].join('\n');
}

/** Two digits behind the point where they say something. */
export function number(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1);
}
