import { describe, expect, it } from 'vitest';
import { quantile, spread } from '../../../bench/statistics.js';

describe('quantile', () => {
  it('is the middle of an odd number of values, whatever their order', () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
  });

  it('lies between the two values it falls between', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([0, 10], 0.99)).toBeCloseTo(9.9);
  });

  it('leaves what it is given as it was', () => {
    const values = [3, 1, 2];
    quantile(values, 0.5);
    expect(values).toEqual([3, 1, 2]);
  });

  it('refuses to sum up nothing', () => {
    expect(() => quantile([], 0.5)).toThrow('nothing was measured');
    expect(() => spread([])).toThrow('nothing was measured');
  });
});

describe('spread', () => {
  it('tells the median and both ends', () => {
    expect(spread([1.2, 1.0, 1.1])).toEqual({ median: 1.1, least: 1.0, most: 1.2 });
  });
});
