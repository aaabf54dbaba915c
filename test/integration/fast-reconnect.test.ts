import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import type { Account, RawClient } from './clients/raw.js';
import {
  ASK,
  enter,
  peopled,
  RoomModel,
  resume,
  SESSION,
  says,
  shows,
  truth,
} from './fast-reconnect/room.js';
import { RunningProxy } from './proxy.js';
import { describeRoutes, logIn, newAccount, newSession, type Route, THROUGH_THE_PROXY } from './routes.js';
import { until } from './waiting.js';

describeRoutes(
  'fast reconnect',
  (route) => {
    const { server } = route;

    async function visit(
      account: Account,
      model: RoomModel,
      via: Route = route,
      named = model.last,
    ): Promise<RawClient> {
      const client = await logIn(via, account);
      model.listenTo(client);
      await client.becomeAvailable();
      const { room } = model;
      await enter(
        client,
        room,
        'Juliet',
        named === undefined ? ASK : resume(named),
        "<history maxstanzas='20'/>",
      );
      await client.settle();
      return client;
    }

    test('a client that comes back is told what has changed, and nothing else', async () => {
      const { room, people } = await peopled(server, 12);
      const account = await newAccount(server, 'juliet');
      const model = new RoomModel(room);
      const client = await visit(account, model);
      await says(people[0]!, room, 'heard');
      await client.body('heard');
      await client.settle();
      expect(model.unmarked).toBe(0);
      client.stream.cut();
      const gone = (each: Element) =>
        each.attrs.from === `${room}/Juliet` && each.attrs.type === 'unavailable';
      await people[0]!.presence(gone, 'her leaving');
      await says(people[0]!, room, 'missed 1');
      await shows(people[1]!, room, 'Person1', 'away');
      await people[2]!.close();
      await people[0]!.presence(
        (each) => each.attrs.from === `${room}/Person2` && each.attrs.type === 'unavailable',
      );
      await says(people[0]!, room, 'missed 2');
      model.presences = 0;
      const back = await visit(account, model);
      expect(model.resets).toBe(0);
      // Person2, Person1 and herself; ejabberd and Prosody also say something of the room itself.
      expect(model.presences).toBeLessThanOrEqual(4);
      expect(model.bodies.filter((body) => body !== '')).toEqual(
        expect.arrayContaining(['heard', 'missed 1', 'missed 2']),
      );
      expect(model.bodies.filter((body) => body.startsWith('missed'))).toHaveLength(2);
      expect(model.bodies.filter((body) => body === 'heard')).toHaveLength(1);
      expect(model.truncated).toBe(0);
      expect(model.unmarked).toBe(0);
      const real = await truth(server, room);
      model.occupants.delete('Witness');
      expect(Object.fromEntries(model.occupants)).toEqual(Object.fromEntries(real.occupants));
      await back.close();
      for (const person of people) person.stream.cut();
    }, 60_000);

    test('the room and its service say that they know it', async () => {
      const { room, people } = await peopled(server, 1);
      const client = await newSession(route, 'juliet');
      for (const to of [room, server.muc]) {
        const info = await client.iq(
          'get',
          `<query xmlns='http://jabber.org/protocol/disco#info'/>`,
          `to='${to}'`,
        );
        const features = info
          .getChild('query')
          ?.getChildren('feature')
          .map(({ attrs }) => attrs.var);
        expect(features).toContain(SESSION);
      }
      for (const person of people) person.stream.cut();
    });

    test('a view outlives the proxy: it is stopped, and another one takes up where it was', async () => {
      const { room, people } = await peopled(server, 8);
      const account = await newAccount(server, 'juliet');
      const { mkdtempSync, rmSync } = await import('node:fs');
      const { tmpdir } = await import('node:os');
      const data = mkdtempSync(`${tmpdir()}/interstanza-fast-reconnect-`);
      try {
        const through = async (proxy: RunningProxy): Promise<Route> => {
          const { host, port } = proxy.address(0);
          return { ...route, plain: { host, port, domain: server.domain } };
        };
        const first = await RunningProxy.inFrontOf(server, { data });
        const model = new RoomModel(room);
        await visit(account, model, await through(first));
        await first.stop();
        await shows(people[1]!, room, 'Person1', 'dnd');
        const second = await RunningProxy.inFrontOf(server, { data });
        try {
          model.presences = 0;
          const back = await visit(account, model, await through(second));
          expect(model.resets).toBe(0);
          expect(model.presences).toBeLessThanOrEqual(3);
          const real = await truth(server, room);
          model.occupants.delete('Witness');
          expect(Object.fromEntries(model.occupants)).toEqual(Object.fromEntries(real.occupants));
          // COMPAT: mu-conference lets nobody in twice under one nick.
          await back.close();
          // One that there never was is counted too.
          await visit(account, new RoomModel(room), await through(second), {
            session: 'abcdefgh1234',
            id: '1',
          });
          const metrics = await second.metrics();
          const counted = (reason: string) =>
            metrics.sum('interstanza_feature_decision_total', `"${reason}"`);
          expect(counted('presence-session-resumed')).toBe(1);
          expect(counted('presence-session-reset')).toBe(1);
          expect(counted('room-view-unknown')).toBe(1);
          await until('the view to be written', async () =>
            (await second.metrics()).sum('interstanza_feature_decision_total', '"room-view-written"'),
          );
        } finally {
          await second.dispose();
        }
      } finally {
        rmSync(data, { recursive: true, force: true });
        for (const person of people) person.stream.cut();
      }
    }, 60_000);
  },
  THROUGH_THE_PROXY,
);
