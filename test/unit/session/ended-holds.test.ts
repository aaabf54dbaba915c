import { expect, test } from 'vitest';
import { EndedHolds } from '../../../src/session/ended-holds.js';

test('what is known last of a session counts, and only its own account is told', () => {
  const ended = new EndedHolds();
  ended.note('id', 'a@example.org', 3);
  ended.note('id', 'a@example.org', 4);
  expect(ended.handled('id', 'a@example.org')).toBe(4);
  expect(ended.handled('id', 'b@example.org')).toBeUndefined();
  expect(ended.handled('id', undefined)).toBeUndefined();
  expect(ended.handled('unknown', undefined)).toBeUndefined();
});

test('of very many what ended first is forgotten', () => {
  const ended = new EndedHolds();
  for (let n = 0; n <= 1_000; n++) ended.note(String(n), 'a@example.org', n);
  expect(ended.handled('0', 'a@example.org')).toBeUndefined();
  expect(ended.handled('1', 'a@example.org')).toBe(1);
  expect(ended.handled('1000', 'a@example.org')).toBe(1_000);
});
