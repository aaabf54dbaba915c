import { afterAll, beforeAll, test } from 'vitest';
import { describeRoutes } from '../integration/routes.js';
import { play, ROUNDS, seeds } from './mucsub/play.js';
import { World } from './mucsub/world.js';

/*
 * One speaks in a room to which others have subscribed, while they come and go with one device and another, lose their connections in the midst of what
 * comes, take their sessions up again or do not, and while the proxy is stopped and killed and the server restarted, all at random. In the end each has had all
 * that the room has said, once and in order. It may have come again only where nobody can know that it had come: the client had not been able to say so.
 * What it has said so shortly before the proxy was killed may come again too.
 *
 * On Prosody, whose rooms have archives, and on jabberd2, whose have none: mu-conference forgets what was said when it is stopped. There a subscriber may lack
 * what had been said before that and no subscriber's session had heard, and has a mark in its place. A real occupant that enters then is told nothing.
 *
 * To repeat a run, or for others: INTERSTANZA_SEED=… INTERSTANZA_SEEDS=… INTERSTANZA_ROUNDS=… npx vitest run test/faults/mucsub. INTERSTANZA_STORY=1 tells
 * every round.
 */
const ALWAYS = { prosody: [1, 2, 3, 4], jabberd2: [3, 10] };

describeRoutes(
  'MUC/Sub under fire',
  ({ server }) => {
    const kind = server.kind as keyof typeof ALWAYS;
    const world = new World(kind);
    beforeAll(() => world.start());
    afterAll(() => world.dispose());

    test.each(seeds(ALWAYS[kind]))(
      `${ROUNDS} rounds: nothing lost, nothing twice, nothing out of order (seed %i)`,
      {
        timeout: 60_000 + ROUNDS * 3_000,
      },
      (seed) => play(world, seed, ROUNDS, 'subscribes'),
    );
  },
  { via: ['proxy'], kinds: ['prosody', 'jabberd2'] },
);
