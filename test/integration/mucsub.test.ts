import { expect, test } from 'vitest';
import { stanzaError } from './clients/raw.js';
import {
  configure,
  DATA,
  event,
  features,
  isGroupchat,
  join,
  leave,
  listed,
  MUC,
  MUCSUB,
  newRoom,
  say,
  subscribe,
  withBody,
} from './mucsub-scene.js';
import { describeRoutes, logIn, newAccount, newSession } from './routes.js';

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
      // Both: whoever is told late of somebody who has left meanwhile is told neither.
      for (const client of [owner, bob])
        await client.presence(
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
