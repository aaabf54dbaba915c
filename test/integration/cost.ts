import { readFileSync } from 'node:fs';

/** Resident memory of a process in kB. */
export function resident(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** Processor time of a process so far, in clock ticks: other programs may make it wait, but not pay. */
export function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** A tick is coarse, and a collection of garbage falls on one round or another: the middle one of several counts. */
const ROUNDS = 3;

/**
 * How many times as much one thing costs as another, measured in turns.
 * @param least ticks below which the yardstick is too short to be read
 */
export async function costRatio(
  cost: (what: 'yardstick' | 'hostile') => Promise<number>,
  least: number,
): Promise<number> {
  await cost('yardstick'); // warms up
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const yardstick = await cost('yardstick');
    ratios.push((await cost('hostile')) / Math.max(yardstick, least));
  }
  return ratios.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? Number.NaN;
}
