/** A measured ratio over its rounds. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('nothing was measured');
  return { median: quantile(values, 0.5), least: Math.min(...values), most: Math.max(...values) };
}

/** The value below which a share of the values lies, between its neighbours where it falls between two. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = Math.floor(at);
  const low = sorted[below];
  const high = sorted[Math.ceil(at)];
  if (low === undefined || high === undefined) throw new Error('nothing was measured');
  return low + (high - low) * (at - below);
}
