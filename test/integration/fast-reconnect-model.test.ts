import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FastReconnectPlay, type HappensInRoom } from './fast-reconnect/play.js';
import { describeRoutes, THROUGH_THE_PROXY } from './routes.js';

const who = fc.nat(2);
/** As in the test with a room in memory, in a smaller form. */
const event: fc.Arbitrary<HappensInRoom> = fc.oneof(
  fc.record({ kind: fc.constant('shows'), who, show: fc.constantFrom('away', 'dnd', 'xa') }),
  fc.record({ kind: fc.constantFrom('renames', 'leaves', 'kicked', 'banned'), who }),
  { arbitrary: fc.record({ kind: fc.constant('says'), who }), weight: 3 },
  fc.record({ kind: fc.constant('role'), who, role: fc.constantFrom('visitor', 'participant', 'moderator') }),
  fc.record({
    kind: fc.constant('affiliation'),
    who,
    affiliation: fc.constantFrom('none', 'member', 'admin'),
  }),
  fc.record({ kind: fc.constant('herRole'), role: fc.constantFrom('participant', 'moderator') }),
  fc.record({ kind: fc.constantFrom('herSaying', 'herKick') }),
) as fc.Arbitrary<HappensInRoom>;

/** How she goes away: what she had is lost in part, or the proxy is stopped or killed. */
const visit = fc.record({
  present: fc.array(event, { minLength: 1, maxLength: 4 }),
  how: fc.constantFrom('cut', 'cut', 'leaves', 'stopped', 'killed'),
  lost: fc.nat(4),
  away: fc.array(event, { minLength: 1, maxLength: 5 }),
});

/** Visits in one play: each costs a login, and some of them a start of the proxy. */
const VISITS = 5;

describeRoutes(
  'fast reconnect, random histories',
  ({ server }) => {
    test('whatever happens meanwhile, who comes back knows who is there', async () => {
      const data = mkdtempSync(join(tmpdir(), 'interstanza-fast-reconnect-'));
      const play = await FastReconnectPlay.in(server, data);
      try {
        await fc.assert(
          fc.asyncProperty(fc.array(visit, { minLength: VISITS, maxLength: VISITS }), async (visits) => {
            for (const { present, how, lost, away } of visits) {
              for (const each of present) await play.happens(each);
              await play.goes(how, lost);
              for (const each of away) await play.happens(each);
              await play.comesBack();
              // The owner is told of her on a connection of his own.
              await expect.poll(() => play.truth, { timeout: 20_000 }).toEqual(play.hers);
              expect(play.heard).toEqual(play.said);
              expect(play.unmarked).toBe(0);
            }
            // Most of it was told as a difference.
            expect(play.resumed).toBeGreaterThan(0);
          }),
          {
            numRuns: Number(process.env.RUNS ?? 1),
            seed: Number(process.env.SEED ?? 311),
            // Servers take their time: what has failed is looked at as it is.
            endOnFailure: true,
          },
        );
      } finally {
        await play.ends();
        rmSync(data, { recursive: true, force: true });
      }
    }, 90_000);
  },
  THROUGH_THE_PROXY,
);
