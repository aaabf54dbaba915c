import { expect, test } from 'vitest';
import { YoungGeneration } from '../../../src/ops/young-generation.js';

const MEBIBYTE = 1024 * 1024;

test('the young generation grows only while there is traffic', () => {
  let received = 0;
  const flags: string[] = [];
  const young = new YoungGeneration(
    () => received,
    (flag) => flags.push(flag),
  );
  young.start();
  young.stop();
  expect(flags).toEqual(['--semi-space-growth-factor=1']);
  const quarter = (mebibytes: number) => {
    received += mebibytes * MEBIBYTE;
    young.look();
    return flags.splice(0);
  };
  flags.splice(0);
  expect(quarter(1)).toEqual([]);
  expect(quarter(8)).toEqual(['--semi-space-growth-factor=16']);
  expect(quarter(8)).toEqual([]);
  expect(quarter(0)).toEqual(['--semi-space-growth-factor=1']);
  expect(quarter(1)).toEqual([]);
});
