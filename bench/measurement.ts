import type { Placement } from './processes.js';
import { spread } from './statistics.js';

/** One line of the table: something as a multiple of something else, or of one session. */
export interface Result {
  /** Stable, for scripts. */
  readonly name: string;
  readonly title: string;
  readonly unit: '×' | 'KB' | 'B' | 'ms' | 'µs' | 'trips';
  readonly value: number;
  readonly least: number;
  readonly most: number;
  /** What is aimed at; undefined: for information. */
  readonly target?: number;
  /** Which side of the target is good. */
  readonly better: 'less' | 'more';
  /** What the ratio is made of, as a phrase. */
  readonly detail: string;
}

/** What a measurement may use, and how much time it may take. */
export interface Bench {
  readonly place: Placement;
  readonly quick: boolean;
  /** Tells who is waiting what is going on. */
  progress(text: string): void;
}

export interface Measurement {
  readonly name: string;
  readonly about: string;
  run(bench: Bench): Promise<readonly Result[]>;
}

/** A result from the values of several rounds. */
export function overRounds(
  fixed: Omit<Result, 'value' | 'least' | 'most'>,
  values: readonly number[],
): Result {
  const { median, least, most } = spread(values);
  return { ...fixed, value: median, least, most };
}

/** How far a result may be off its target before it counts as missed: the noise of a shared machine. */
export const TOLERANCE = 0.1;

export function verdict(result: Result): 'met' | 'within tolerance' | 'missed' | undefined {
  const { target, value, better } = result;
  if (target === undefined) return undefined;
  const excess = better === 'less' ? value / target - 1 : target / value - 1;
  if (excess <= 0) return 'met';
  return excess <= TOLERANCE ? 'within tolerance' : 'missed';
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
