import { expect, test, vi } from 'vitest';
import { IdleCollection, V8Heap } from '../../../src/ops/idle-collection.js';

const MEBIBYTE = 1024 * 1024;

function seconds() {
  let received = 0;
  let used = 0;
  let collected = 0;
  let spared = false;
  const heap = {
    used: () => used,
    collect: () => {
      collected += 1;
    },
    spares: (memory: boolean) => {
      spared = memory;
    },
  };
  const idle = new IdleCollection(() => received, heap);
  /** @returns how often the heap has been collected in this time; traffic and heap in MB */
  const pass = (count: number, traffic: number, heapOf: number): number => {
    const before = collected;
    used = heapOf * MEBIBYTE;
    for (let second = 0; second < count; second += 1) {
      received += traffic * MEBIBYTE;
      idle.look();
    }
    return collected - before;
  };
  return { pass, isSpared: () => spared };
}

test('the heap is collected when the start is over, and once when it becomes quiet after it has grown', () => {
  const { pass } = seconds();
  expect(pass(2, 0, 20)).toBe(0);
  expect(pass(30, 0, 20)).toBe(1);
  expect(pass(30, 5, 60)).toBe(0);
  expect(pass(2, 0, 60)).toBe(0);
  expect(pass(1, 0, 60)).toBe(1);
  expect(pass(1_000, 0, 45)).toBe(0);
});

test('it is not for little, not for a small part of a large heap, and not while there is traffic', () => {
  const { pass } = seconds();
  expect(pass(30, 0, 20)).toBe(1);
  expect(pass(500, 0, 27)).toBe(0);
  expect(pass(500, 1, 200)).toBe(0);
  const { pass: large } = seconds();
  expect(large(30, 0, 400)).toBe(1);
  expect(large(500, 0, 480)).toBe(0);
  expect(large(500, 0, 520)).toBe(1);
});

test('it is 20 seconds after the start’s at the earliest, and after twice the time from then on, up to ten minutes', () => {
  const { pass } = seconds();
  expect(pass(3, 0, 20)).toBe(1);
  for (const wait of [20, 40, 80, 160, 320, 640, 640]) {
    pass(1, 0, 20);
    expect(pass(wait - 2, 0, 60)).toBe(0);
    expect(pass(1, 0, 60)).toBe(1);
  }
});

test('memory matters more than speed from then on, for 12 seconds at most, and not when there is traffic', () => {
  const { pass, isSpared } = seconds();
  pass(2, 0, 20);
  expect(isSpared()).toBe(false);
  pass(1, 0, 20);
  expect(isSpared()).toBe(true);
  pass(11, 0, 20);
  expect(isSpared()).toBe(true);
  pass(1, 0, 20);
  expect(isSpared()).toBe(false);
  pass(8, 0, 60);
  expect(isSpared()).toBe(true);
  pass(1, 1, 60);
  expect(isSpared()).toBe(false);
});

test('V8 begins when it is told to', async () => {
  const heap = new V8Heap();
  const kept: unknown[] = [];
  const fill = (into: unknown[], objects: number) => {
    for (let index = 0; index < objects; index += 1) into.push({ index });
  };
  fill(kept, 400_000);
  // What comes behind moves them on into the old generation, where only a major collection finds them dead.
  for (let round = 0; round < 100; round += 1) fill([], 20_000);
  const before = heap.used();
  kept.length = 0;
  // Again, since a collection that had begun on its own before they were dead lets them live.
  await vi.waitFor(
    () => {
      heap.collect();
      expect(heap.used()).toBeLessThan(before - 8 * MEBIBYTE);
    },
    { timeout: 15_000 },
  );
}, 20_000);
