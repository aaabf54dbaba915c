import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { type RawClient, stanzaError, uniqueId } from './clients/raw.js';
import { describeRoutes, logIn, newAccount, newSession, type Route } from './routes.js';

const MUCSUB = 'urn:xmpp:mucsub:0';
const NODES = 'urn:xmpp:mucsub:nodes:';
const MUC = 'http://jabber.org/protocol/muc';
const EVENT = 'http://jabber.org/protocol/pubsub#event';
const DATA = 'jabber:x:data';

const codes = (presence: Element) =>
  (presence.getChild('x', `${MUC}#user`)?.getChildren('status') ?? []).map(({ attrs }) => attrs.code);
const isGroupchat = (stanza: Element) => stanza.is('message') && stanza.attrs.type === 'groupchat';

async function join(client: RawClient, room: string, nick: string): Promise<void> {
  client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`);
  await client.presence(
    (presence) => presence.attrs.from === `${room}/${nick}` && codes(presence).includes('110'),
    `own presence in ${room}`,
  );
  await client.message(
    (message) => message.attrs.from === room && !!message.getChild('subject'),
    'the subject',
  );
}

async function leave(client: RawClient, room: string, nick: string): Promise<void> {
  client.send(`<presence to='${room}/${nick}' type='unavailable'/>`);
  await client.presence(
    ({ attrs }) => attrs.from === `${room}/${nick}` && attrs.type === 'unavailable',
    'own leaving',
  );
}

async function configure(owner: RawClient, room: string, options: Record<string, string>): Promise<Element> {
  const fields = Object.entries(options).map(
    ([name, value]) => `<field var='${name}'><value>${value}</value></field>`,
  );
  const form = `<field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field>${fields.join('')}`;
  return owner.iq(
    'set',
    `<query xmlns='${MUC}#owner'><x xmlns='${DATA}' type='submit'>${form}</x></query>`,
    `to='${room}'`,
  );
}

/** A new room in which subscriptions are allowed, with `owner` in it as olga. */
async function newRoom(
  route: Route,
  owner: RawClient,
  options: Record<string, string> = {},
): Promise<string> {
  const room = `sub-${uniqueId()}@${route.server.muc}`;
  await join(owner, room, 'olga');
  const answer = await configure(owner, room, {
    'muc#roomconfig_persistentroom': '1',
    'muc#roomconfig_enablearchiving': '1',
    allow_subscription: '1',
    ...options,
  });
  expect(answer.attrs.type).toBe('result');
  return room;
}

function subscribe(client: RawClient, room: string, nick: string, nodes = ['messages']): Promise<Element> {
  const events = nodes.map((node) => `<event node='${NODES}${node}'/>`).join('');
  return client.iq(
    'set',
    `<subscribe xmlns='${MUCSUB}' nick='${nick}'>${events}</subscribe>`,
    `to='${room}'`,
  );
}

function say(client: RawClient, room: string, body: string): void {
  client.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`);
}

function itemOf(message: Element, node: string): Element | undefined {
  const items = message.getChild('event', EVENT)?.getChild('items');
  return items?.attrs.node === NODES + node ? items.getChild('item') : undefined;
}

/** The next event of a node, as what is in it. */
async function event(
  client: RawClient,
  room: string,
  node: string,
  has: (inner: Element) => boolean = () => true,
) {
  const wrapper = await client.message((message) => {
    const inner = itemOf(message, node)?.getChildElements()[0];
    return message.attrs.from === room && inner !== undefined && has(inner);
  }, `an event of ${node}`);
  const item = itemOf(wrapper, node)!;
  return { wrapper, item, inner: item.getChildElements()[0]! };
}

const withBody = (body: string) => (inner: Element) => inner.getChildText('body') === body;

async function listed(client: RawClient, to: string): Promise<[string, string, string[]][]> {
  const answer = await client.iq('get', `<subscriptions xmlns='${MUCSUB}'/>`, `to='${to}'`);
  return (answer.getChild('subscriptions', MUCSUB)?.getChildren('subscription') ?? []).map((each) => [
    String(each.attrs.jid),
    String(each.attrs.nick),
    each.getChildren('event').map(({ attrs }) => String(attrs.node).slice(NODES.length)),
  ]);
}

const features = async (client: RawClient, to: string) =>
  (await client.iq('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, `to='${to}'`))
    .getChild('query')
    ?.getChildren('feature')
    .map(({ attrs }) => attrs.var) ?? [];

describeRoutes(
  'MUC/Sub',
  (route) => {
    const { server } = route;

    test('discovery and the room option', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      expect(await features(owner, server.muc)).toContain(MUCSUB);
      expect(await features(owner, room)).toContain(MUCSUB);
      const form = (await owner.iq('get', `<query xmlns='${MUC}#owner'/>`, `to='${room}'`))
        .getChild('query')
        ?.getChild('x', DATA);
      const option = form?.getChildren('field').find(({ attrs }) => attrs.var === 'allow_subscription');
      expect([option?.attrs.type, option?.getChildText('value')]).toEqual(['boolean', '1']);
      await configure(owner, room, { allow_subscription: '0' });
      expect(await features(owner, room)).not.toContain(MUCSUB);
    });

    test('a message reaches a subscriber who is not in the room, with the id of the archive', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      const answer = await subscribe(sam, room, 'sammy');
      expect(answer.getChild('subscribe', MUCSUB)?.attrs.nick).toBe('sammy');
      say(owner, room, 'hello');
      const { item, inner, wrapper } = await event(sam, room, 'messages');
      expect(inner.attrs).toMatchObject({ from: `${room}/olga`, to: sam.bareJid, type: 'groupchat' });
      const id = inner.getChildren('stanza-id').find(({ attrs }) => attrs.by === room)?.attrs.id;
      expect([item.attrs.id, wrapper.attrs.id]).toEqual([id, id]);
      expect(await listed(sam, server.muc)).toEqual([[room, 'sammy', ['messages']]]);
      expect(await listed(owner, room)).toEqual([[sam.bareJid, 'sammy', ['messages']]]);
    });

    test('a subscriber speaks without having joined, from any resource', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const account = await newAccount(server, 'sam');
      const one = await logIn(route, account, { resource: 'one' });
      const two = await logIn(route, account, { resource: 'two' });
      for (const client of [one, two]) await client.becomeAvailable();
      await subscribe(one, room, 'sammy');
      for (const [at, client] of [one, two].entries()) {
        say(client, room, `from ${at}`);
        const heard = await owner.body(`from ${at}`);
        expect(heard.attrs.from).toBe(`${room}/sammy`);
        for (const each of [one, two]) await event(each, room, 'messages', withBody(`from ${at}`));
      }
    });

    test('occupants do not see subscribers, and see them when they join and leave', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      await subscribe(sam, room, 'sammy');
      const bob = await newSession(route, 'bob');
      const shown: string[] = [];
      await join(bob, room, 'bobby');
      await join(sam, room, 'sammy');
      await owner.presence(
        ({ attrs }) => attrs.from === `${room}/sammy` && attrs.type === undefined,
        'sam joining',
      );
      await leave(sam, room, 'sammy');
      for (const client of [owner, bob]) {
        const left = await client.presence(
          ({ attrs }) => attrs.from === `${room}/sammy` && attrs.type === 'unavailable',
          'sam leaving',
        );
        shown.push(String(left.attrs.from));
      }
      say(owner, room, 'gone?');
      await event(sam, room, 'messages', withBody('gone?'));
      expect(shown).toHaveLength(2);
    });

    test('while joined there is plain groupchat and no history', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      await subscribe(sam, room, 'sammy');
      say(owner, room, 'before');
      await event(sam, room, 'messages', withBody('before'));
      await join(sam, room, 'sammy');
      say(owner, room, 'plain');
      const first = await sam.message(isGroupchat, 'groupchat');
      expect(first.getChildText('body')).toBe('plain');
    });

    test.each([
      ['conflict', {}, 'olga'],
      ['registration-required', { 'muc#roomconfig_membersonly': '1' }, 'sammy'],
      ['not-authorized', { 'muc#roomconfig_roomsecret': 'sesame' }, 'sammy'],
      ['not-allowed', { allow_subscription: '0' }, 'sammy'],
    ] as const)('subscribing is refused with %s', async (condition, options, nick) => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner, options);
      const sam = await newSession(route, 'sam');
      expect(stanzaError(await subscribe(sam, room, nick))).toBe(condition);
      expect(await listed(sam, server.muc)).toEqual([]);
    });

    test('a ban ends a subscription, a kick does not', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      await subscribe(sam, room, 'sammy');
      const admin = (item: string) =>
        owner.iq('set', `<query xmlns='${MUC}#admin'><item ${item}/></query>`, `to='${room}'`);
      await admin("nick='sammy' role='none'");
      say(owner, room, 'anyway');
      await event(sam, room, 'messages', withBody('anyway'));
      await admin(`jid='${sam.bareJid}' affiliation='outcast'`);
      await sam.settle();
      expect(await listed(sam, server.muc)).toEqual([]);
    });

    test('what is said while nobody is there waits, in order, and comes once', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const account = await newAccount(server, 'sam');
      const sam = await logIn(route, account);
      await sam.becomeAvailable();
      await subscribe(sam, room, 'sammy');
      await sam.close();
      const said = Array.from({ length: 30 }, (_, n) => `while away ${n}`);
      for (const body of said) say(owner, room, body);
      await owner.body('while away 29');
      const again = await logIn(route, account);
      await again.becomeAvailable();
      const heard: string[] = [];
      while (heard.at(-1) !== 'now') {
        if (heard.length === said.length) say(owner, room, 'now');
        const { inner, wrapper } = await event(again, room, 'messages');
        heard.push(inner.getChildText('body') ?? '');
        if (heard.at(-1) !== 'now') expect(wrapper.getChild('delay', 'urn:xmpp:delay')).toBeDefined();
      }
      expect(heard).toEqual([...said, 'now']);
    });
  },
  { via: ['proxy'], kinds: ['prosody'] },
);

const MAM = 'urn:xmpp:mam:2';

describeRoutes(
  'MUC/Sub',
  (route) => {
    test('a message reaches a subscriber who is not in the room, and is in the archive that the proxy keeps for it', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      const answer = await subscribe(sam, room, 'sammy');
      expect(answer.getChild('subscribe', MUCSUB)?.attrs.nick).toBe('sammy');
      for (const body of ['one', 'two']) {
        say(owner, room, body);
        await event(sam, room, 'messages', withBody(body));
      }
      expect(await features(sam, room)).toContain(MAM);
      expect(await features(owner, room)).not.toContain(MAM);
      const query = `<query xmlns='${MAM}'><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set></query>`;
      const fin = (await sam.iq('set', query, `to='${room}'`)).getChild('fin', MAM);
      expect(fin?.getChild('set')?.getChildText('count')).toBe('2');
      const result = (await sam.message((each) => each.getChild('result', MAM) !== undefined)).getChild(
        'result',
        MAM,
      );
      const inner = result?.getChild('forwarded')?.getChild('message');
      expect([inner?.attrs.from, inner?.getChildText('body')]).toEqual([`${room}/olga`, 'two']);
    });

    test('a second resource speaks through the one that carries the ghost, and joins in its place', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const account = await newAccount(route.server, 'sam');
      const one = await logIn(route, account, { resource: 'one' });
      const two = await logIn(route, account, { resource: 'two' });
      for (const client of [one, two]) await client.becomeAvailable();
      await subscribe(one, room, 'sammy');
      say(two, room, 'from two');
      expect((await owner.body('from two')).attrs.from).toBe(`${room}/sammy`);
      for (const each of [one, two]) await event(each, room, 'messages', withBody('from two'));
      await join(two, room, 'sammy');
      say(owner, room, 'plain');
      await two.message((each) => isGroupchat(each) && each.getChildText('body') === 'plain', 'groupchat');
      await leave(two, room, 'sammy');
      say(owner, room, 'event');
      for (const each of [one, two]) await event(each, room, 'messages', withBody('event'));
    });
  },
  { via: ['proxy'], kinds: ['jabberd2'] },
);
