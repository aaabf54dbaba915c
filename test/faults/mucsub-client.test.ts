import { afterAll, beforeAll, test } from 'vitest';
import { describeRoutes } from '../integration/routes.js';
import { play, ROUNDS, seeds } from './mucsub/play.js';
import { World } from './mucsub/world.js';

/*
 * The same for clients that do not know MUC/Sub, in front of a server that has it: the proxy has subscribed their accounts. They are in the room, come and
 * go, lose their connections and join again, while the proxy and the server are stopped and killed. Each time they join they are told what they have missed,
 * and in the end each has had all that the room has said, once and in order. What a client has had and could not say so may come again, and what it has said
 * so shortly before the proxy was killed. COMPAT: ejabberd writes late: what a kill of it has taken from the room's archive a client may lack.
 *
 * To repeat a run, or for others, as it is with mucsub.test.ts.
 */
describeRoutes(
  'Subscribing for clients under fire',
  () => {
    const world = new World('ejabberd');
    beforeAll(() => world.start());
    afterAll(() => world.dispose());

    test.each(seeds([27, 28]))(
      `${ROUNDS} rounds: nothing lost, nothing twice, nothing out of order (seed %i)`,
      { timeout: 60_000 + ROUNDS * 3_000 },
      (seed) => play(world, seed, ROUNDS, 'joins'),
    );
  },
  { via: ['proxy'], kinds: ['ejabberd'] },
);
