import { expect, test } from 'vitest';
import { Backlogs, type MessageTaker } from '../../../src/session/backlogs.js';
import { storeKey } from '../../../src/store/store.js';

const place = (session: string) => storeKey('undelivered', 'example.org', 'a@example.org', '1', '1', session);
const FULL = 'a@example.org/r';
const OTHER = 'a@example.org/other';

function taker(wantsSince: number): MessageTaker & { looks: number } {
  const session = { wantsSince, looks: 0, waitForOthers: () => {}, othersAreDone: () => {} };
  return Object.assign(session, {
    lookIntoStore: () => {
      session.looks += 1;
    },
  });
}

test('what a session leaves to its successor nobody else takes, for half a minute', () => {
  const backlogs = new Backlogs();
  backlogs.reserve('one', FULL, 0, 1_000);
  expect(backlogs.isReserved(place('one'), OTHER, 30_999)).toBe(true);
  expect(backlogs.isReserved(place('one'), FULL, 1_000)).toBe(false);
  expect(backlogs.isReserved(place('two'), OTHER, 1_000)).toBe(false);
  expect(backlogs.isReserved(place('one'), OTHER, 31_000)).toBe(false);
});

test('those that began while it was held are told when the successor wants no more', () => {
  const backlogs = new Backlogs();
  const [before, after, successor] = [taker(4), taker(6), taker(7)];
  for (const each of [before, after, successor]) backlogs.wants('a@example.org', each);
  backlogs.reserve('one', FULL, 5, 1_000);
  backlogs.release('a@example.org', OTHER, successor);
  expect(backlogs.isReserved(place('one'), OTHER, 1_000)).toBe(true);
  backlogs.release('a@example.org', FULL, successor);
  expect(backlogs.isReserved(place('one'), OTHER, 1_000)).toBe(false);
  expect([before, after, successor].map(({ looks }) => looks)).toEqual([0, 1, 0]);
});

test('of very many the oldest is free for everybody', () => {
  const backlogs = new Backlogs();
  for (let n = 0; n <= 1_000; n++) backlogs.reserve(`s${n}`, FULL, 0, n);
  expect(backlogs.isReserved(place('s0'), OTHER, 1_000)).toBe(false);
  expect(backlogs.isReserved(place('s1'), OTHER, 1_000)).toBe(true);
});
