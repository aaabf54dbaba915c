import { expect, test } from 'vitest';
import { describeRoutes, type Route } from './routes.js';
import { MIXTURES, type Mixture, Scene } from './routing/scene.js';
import { column, expected, learn } from './routing/table.js';

/** The table is written anew from what is observed, to be read before it is believed. */
const LEARNING = process.env.INTERSTANZA_LEARN === 'routing';

describeRoutes('who gets what', (route) => {
  const { server, via } = route;
  const mixtures = Object.keys(MIXTURES) as Mixture[];
  const { host, port } = server;
  const straight: Route = { ...route, via: 'direct', plain: { host, port, domain: server.domain } };
  const ways = via === 'direct' ? { direct: route } : { proxy: route, outside: straight };

  for (const [way, writing] of Object.entries(ways)) {
    test.each(mixtures)(`${way}, carbons: %s`, async (mixture) => {
      const scene = await Scene.open(route, writing, mixture);
      const outcome = await scene.play();
      const name = column(server.kind, way, mixture);
      if (LEARNING) learn(name, outcome);
      else expect(outcome).toEqual(expected()[name]);
    });
  }
});
