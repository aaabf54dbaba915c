import type { Element } from 'ltx';
import { afterEach, expect, test } from 'vitest';
import { Tap } from '../../src/commands/demo/tap.js';
import { type Passage, Traffic } from '../../src/commands/demo/traffic.js';
import { RawClient, uniqueId } from './clients/raw.js';
import { RunningProxy } from './proxy.js';
import { describeRoutes, logIn, newAccount, type Route, THROUGH_THE_PROXY } from './routes.js';

const MUC = 'http://jabber.org/protocol/muc';
const MUC_USER = `${MUC}#user`;
const SESSION = 'urn:xmpp:presence-session:0';
const CROWD = 25;

const codesOf = (presence: Element) =>
  presence
    .getChildren('x', MUC_USER)
    .flatMap((x) => x.getChildren('status'))
    .map(({ attrs }) => attrs.code);

/** A presence or message from a room or somebody in it. */
function isOf(room: string, stanza: Element | undefined): boolean {
  return (
    ['presence', 'message'].includes(stanza?.getName() ?? '') && String(stanza?.attrs.from).startsWith(room)
  );
}

async function enter(client: RawClient, room: string, nick: string): Promise<void> {
  client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`);
  await client.presence(
    (presence) => presence.attrs.from === `${room}/${nick}` && codesOf(presence).includes('110'),
    `own presence in ${room}`,
    20_000,
  );
}

describeRoutes(
  'edge and core',
  (route) => {
    const { server } = route;
    const proxies: RunningProxy[] = [];

    const taps: Tap[] = [];

    afterEach(async () => {
      for (const tap of taps.splice(0)) tap.close();
      for (const proxy of proxies.splice(0)) await proxy.dispose();
    });

    test('a legacy client gets every join in full, and only changes cross the thin link', async () => {
      const core = await RunningProxy.inFrontOf(server);
      proxies.push(core);
      const traffic = new Traffic();
      const link = await Tap.open(core.address(0).port, traffic);
      taps.push(link);
      const upstream = `xmpp://127.0.0.1:${link.port}`;
      const edge = await RunningProxy.start({ domain: server.domain, upstream });
      proxies.push(edge);
      const { host, port } = edge.address(0);
      const far: Route = { ...route, plain: { host, port, domain: server.domain } };

      const crowd = await newAccount(server, 'crowd');
      const room = `room-${uniqueId()}@${server.muc}`;
      const people: RawClient[] = [];
      for (let n = 0; n < CROWD; n += 1) {
        const person = await RawClient.login(server, crowd, { resource: `r${n}` });
        people.push(person);
        await person.becomeAvailable();
        await enter(person, room, `Person${n}`);
        const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
        if (n === 0) await person.iq('set', form, `to='${room}'`);
      }

      const account = await newAccount(server, 'juliet');
      const visit = async () => {
        const client = await logIn(far, account);
        await client.becomeAvailable();
        const info = await client.iq(
          'get',
          "<query xmlns='http://jabber.org/protocol/disco#info'/>",
          `to='${room}'`,
        );
        const features = info
          .getChild('query')
          ?.getChildren('feature')
          .map(({ attrs }) => attrs.var);
        expect(features).toContain(SESSION);
        // The edge's own questions about the server go over the same link, once for all sessions and whenever it gets to them: they are no
        // part of a join.
        const thin: Passage[] = [];
        traffic.onPassage = (passage) => {
          if (passage.direction === 'to-client' && isOf(room, passage.element)) thin.push(passage);
        };
        const heard: Element[] = [];
        const counts = client.stream.onElement;
        client.stream.onElement = (element) => {
          counts?.(element);
          if (isOf(room, element)) heard.push(element);
        };
        await enter(client, room, 'Juliet');
        // Behind all that the join brings, as far as the edge is concerned.
        await client.iq(
          'get',
          "<query xmlns='http://jabber.org/protocol/disco#info' node='end'/>",
          `to='${room}'`,
        );
        traffic.onPassage = () => {};
        expect(heard.filter((each) => each.toString().includes(SESSION)).map(String)).toEqual([]);
        const shows = new Map(
          heard
            .filter((each) => each.name === 'presence' && each.attrs.from !== room)
            .map((each) => [each.attrs.from.split('/')[1], each.getChildText('show')] as const),
        );
        for (const each of heard) expect(each.attrs.to).toBe(client.jid);
        client.stream.cut();
        const crossed = thin
          .filter(({ element }) => element?.getName() === 'presence')
          .map(({ element }) => element?.attrs.from.split('/')[1]);
        return { crossed, bytes: thin.reduce((sum, { xml }) => sum + Buffer.byteLength(xml), 0), shows };
      };

      const first = await visit();
      expect(first.shows.size).toBe(CROWD + 1);
      const leaving = (each: Element) =>
        each.attrs.from === `${room}/Juliet` && each.attrs.type === 'unavailable';
      await people[0]!.presence(leaving, 'her leaving');
      people[3]!.send(`<presence to='${room}/Person3'><show>dnd</show></presence>`);
      await people[0]!.presence(
        (each) => each.attrs.from === `${room}/Person3` && each.getChildText('show') === 'dnd',
        'the new presence',
      );
      const second = await visit();
      expect(second.shows.size).toBe(CROWD + 1);
      expect(second.shows.get('Person3')).toBe('dnd');
      expect(first.crossed).toEqual(expect.arrayContaining([...first.shows.keys()]));
      expect(second.crossed).toEqual(['Person3', 'Juliet']);
      expect(second.bytes).toBeLessThan(first.bytes / 4);
      for (const person of people) person.stream.cut();
    }, 60_000);
  },
  THROUGH_THE_PROXY,
);
