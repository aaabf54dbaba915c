import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { type Account, type RawClient, stanzaError, uniqueId } from './clients/raw.js';
import { describeRoutes, logIn, newAccount, newSession, type Route } from './routes.js';

const PUSH = 'urn:xmpp:push:0';
const PUBSUB = 'http://jabber.org/protocol/pubsub';
const DATA = 'jabber:x:data';
const MUC = 'http://jabber.org/protocol/muc';
const MUCSUB = 'urn:xmpp:mucsub:0';

const enable = (client: RawClient, service: string, node: string, inner = '') =>
  client.iq('set', `<enable xmlns='${PUSH}' jid='${service}' node='${node}'>${inner}</enable>`);

const SECRET =
  `<x xmlns='${DATA}' type='submit'><field var='FORM_TYPE'><value>${PUBSUB}#publish-options</value></field>` +
  `<field var='secret'><value>sesame</value></field></x>`;

const fields = (form: Element | undefined) =>
  Object.fromEntries(
    (form?.getChildren('field') ?? []).map((field) => [field.attrs.var, field.getChildText('value')]),
  );

interface Notification {
  readonly from: string;
  readonly node: string;
  readonly summary: Record<string, string | null>;
  readonly options: Record<string, string | null>;
}

/** What a push service is sent next; it answers as it is told to. */
async function notified(service: RawClient, error?: string): Promise<Notification> {
  const iq = await service.expect(
    'a notification',
    (each) => each.is('iq') && each.getChild('pubsub', PUBSUB) !== undefined,
  );
  const { from, id } = iq.attrs as { from: string; id: string };
  const refusal = `<error type='cancel'><${error} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;
  service.send(
    `<iq type='${error === undefined ? 'result' : 'error'}' id='${id}' to='${from}'>${error === undefined ? '' : refusal}</iq>`,
  );
  const pubsub = iq.getChild('pubsub', PUBSUB);
  const publish = pubsub?.getChild('publish');
  const notification = publish?.getChild('item')?.getChild('notification', PUSH);
  return {
    from: from.split('/')[0] ?? '',
    node: String(publish?.attrs.node),
    summary: fields(notification?.getChild('x', DATA)),
    options: fields(pubsub?.getChild('publish-options')?.getChild('x', DATA)),
  };
}

/** A client that plays a push service, and an account that has enabled a node of it and is not there any more. */
async function pushed(route: Route, account: Account, prepare: (client: RawClient) => Promise<void>) {
  const service = await newSession(route, 'push');
  const node = uniqueId();
  const client = await logIn(route, account, { resource: 'phone' });
  await client.becomeAvailable();
  expect((await enable(client, service.jid, node, SECRET)).attrs.type).toBe('result');
  await prepare(client);
  return { service, node, client };
}

describeRoutes(
  'push notifications',
  (route) => {
    const { server } = route;

    test('discovery, and what is refused', async () => {
      const client = await newSession(route, 'sam');
      const features = async (to: string) =>
        (await client.iq('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, `to='${to}'`))
          .getChild('query')
          ?.getChildren('feature')
          .map(({ attrs }) => attrs.var);
      expect(await features(client.bareJid)).toContain(PUSH);
      expect(await features(server.domain)).toContain(PUSH);
      expect(stanzaError(await client.iq('set', `<enable xmlns='${PUSH}' node='n'/>`))).toBe('bad-request');
      expect((await client.iq('set', `<disable xmlns='${PUSH}' jid='push.example'/>`)).attrs.type).toBe(
        'result',
      );
    });

    test('a message for a client whose connection is lost', async () => {
      const account = await newAccount(server, 'sam');
      const { service, node, client } = await pushed(route, account, async (phone) => {
        await phone.enableSm("resume='true'");
      });
      client.stream.cut();
      const friend = await newSession(route, 'friend');
      friend.send(`<message type='chat' to='${account.jid}'><body>where are you?</body></message>`);
      expect(await notified(service)).toEqual({
        from: account.jid,
        node,
        summary: { FORM_TYPE: 'urn:xmpp:push:summary', 'message-count': '1' },
        options: { FORM_TYPE: `${PUBSUB}#publish-options`, secret: 'sesame' },
      });
    });
  },
  { via: ['proxy'], kinds: ['prosody', 'jabberd2'] },
);

describeRoutes(
  'push notifications of MUC/Sub events',
  (route) => {
    const { server } = route;

    async function newRoom(owner: RawClient): Promise<string> {
      const room = `push-${uniqueId()}@${server.muc}`;
      owner.send(`<presence to='${room}/olga'><x xmlns='${MUC}'/></presence>`);
      await owner.message(({ attrs }) => attrs.from === room, 'the subject');
      const option = `<field var='allow_subscription'><value>1</value></field>`;
      const form = `<field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field>${option}`;
      await owner.iq(
        'set',
        `<query xmlns='${MUC}#owner'><x xmlns='${DATA}' type='submit'>${form}</x></query>`,
        `to='${room}'`,
      );
      return room;
    }
    const subscribe = async (client: RawClient, room: string) => {
      const node = "<event node='urn:xmpp:mucsub:nodes:messages'/>";
      await client.iq('set', `<subscribe xmlns='${MUCSUB}' nick='sammy'>${node}</subscribe>`, `to='${room}'`);
    };
    const say = async (client: RawClient, room: string, body: string) => {
      client.send(`<message to='${room}' type='groupchat'><body>${body}</body></message>`);
      await client.body(body);
    };
    const isEvent = (body: string) => (message: Element) =>
      message
        .getChild('event')
        ?.getChild('items')
        ?.getChild('item')
        ?.getChild('message')
        ?.getChildText('body') === body;

    test('an event that is stored for an account without a client', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(owner);
      const account = await newAccount(server, 'sam');
      const { service, node, client } = await pushed(route, account, (phone) => subscribe(phone, room));
      await client.close();
      await say(owner, room, 'one');
      const { summary, ...rest } = await notified(service);
      expect(rest).toMatchObject({ from: account.jid, node });
      // Neither who has said it nor what.
      expect(summary).toEqual({ FORM_TYPE: 'urn:xmpp:push:summary', 'message-count': '1' });
      const back = await logIn(route, account, { resource: 'phone' });
      await back.becomeAvailable();
      await back.message(isEvent('one'), 'the event');
    });

    test('a node that is gone is told nothing more', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(owner);
      const account = await newAccount(server, 'sam');
      const { service, node, client } = await pushed(route, account, (phone) => subscribe(phone, room));
      const other = `${node}-other`;
      await enable(client, service.jid, other);
      await client.close();
      await say(owner, room, 'one');
      const first = await notified(service, 'item-not-found');
      const second = await notified(service, 'item-not-found');
      expect([first.node, second.node].sort()).toEqual([node, other].sort());
      // Enabled anew it is another one, and told at once; the other is not.
      const back = await logIn(route, account, { resource: 'phone' });
      await back.becomeAvailable();
      await back.message(isEvent('one'), 'the event');
      expect((await enable(back, service.jid, node)).attrs.type).toBe('result');
      await back.close();
      await say(owner, room, 'two');
      expect((await notified(service)).node).toBe(node);
      const marker = uniqueId();
      owner.send(`<message to='${service.jid}'><body>${marker}</body></message>`);
      const next = await service.expect('what comes next', (each) => !each.is('presence'));
      expect(next.getChildText('body')).toBe(marker);
    });
  },
  { via: ['proxy'], kinds: ['prosody'] },
);
