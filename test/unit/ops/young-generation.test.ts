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
  const second = (mebibytes: number) => {
    received += mebibytes * MEBIBYTE;
    young.look();
    return flags.splice(0);
  };
  flags.splice(0);
  expect(second(1)).toEqual([]);
  expect(second(30)).toEqual(['--semi-space-growth-factor=2']);
  expect(second(30)).toEqual([]);
  expect(second(0)).toEqual(['--semi-space-growth-factor=1']);
  expect(second(1)).toEqual([]);
});
