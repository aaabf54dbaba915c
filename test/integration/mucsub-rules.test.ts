import type { Element } from 'ltx';
import { describe, expect, test } from 'vitest';
import { type RawClient, stanzaError, uniqueId } from './clients/raw.js';
import {
  affiliation,
  configure,
  event,
  eventsBefore,
  features,
  isGroupchat,
  itemOf,
  join,
  leave,
  listed,
  MUC,
  MUCSUB,
  newRoom,
  role,
  say,
  statusCodes,
  subscribe,
  withBody,
} from './mucsub-scene.js';
import { describeRoutes, logIn, newAccount, newSession } from './routes.js';
import { until } from './waiting.js';

const MAM = 'urn:xmpp:mam:2';
const DATA = 'jabber:x:data';

describeRoutes(
  'MUC/Sub, what the room itself decides',
  (route) => {
    const { server } = route;
    const setting = async (options: Record<string, string> = {}) => {
      const owner = await newSession(route, 'olga');
      return { owner, room: await newRoom(route, owner, options), sam: await newSession(route, 'sam') };
    };
    const subscribeOther = (client: RawClient, room: string, jid: string) =>
      client.iq(
        'set',
        `<subscribe xmlns='${MUCSUB}' nick='other' jid='${jid}'><event node='urn:xmpp:mucsub:nodes:messages'/></subscribe>`,
        `to='${room}'`,
      );

    test('a temporary room lives as long as it has a subscriber, and goes with the last', async () => {
      const { owner, room, sam } = await setting({ 'muc#roomconfig_persistentroom': '0' });
      await subscribe(sam, room, 'sammy');
      await leave(owner, room, 'olga');
      expect(await features(sam, room)).toContain(MUCSUB);
      await sam.iq('set', `<unsubscribe xmlns='${MUCSUB}'/>`, `to='${room}'`);
      const asked = await sam.iq(
        'get',
        `<query xmlns='http://jabber.org/protocol/disco#info'/>`,
        `to='${room}'`,
      );
      expect(stanzaError(asked)).toBe('item-not-found');
    });

    test('a room that is not there is made, and is the subscriber’s', async () => {
      const sam = await newSession(route, 'sam');
      const room = `sub-${uniqueId()}@${server.muc}`;
      await subscribe(sam, room, 'sammy');
      expect(await listed(sam, server.muc)).toEqual([[room, 'sammy', ['messages']]]);
      const form = await sam.iq('get', `<query xmlns='${MUC}#owner'/>`, `to='${room}'`);
      const option = form
        .getChild('query')
        ?.getChild('x', DATA)
        ?.getChildren('field')
        .find(({ attrs }) => attrs.var === 'allow_subscription');
      expect(option?.getChildText('value')).toBe('1');
    });

    describe('a moderator, for somebody else', () => {
      test.each([
        ['a participant does not', undefined, undefined, 'forbidden'],
        ['who has the role does', undefined, 'moderator', 'none'],
        ['an admin who is not there does', 'admin', undefined, 'none'],
      ] as const)('%s', async (_, rank, rolled, condition) => {
        const { owner, room, sam } = await setting();
        const bob = await newSession(route, 'bob');
        if (rank !== undefined) await affiliation(owner, room, bob.bareJid, rank);
        else await join(bob, room, 'bobby');
        if (rolled !== undefined) await role(owner, room, 'bobby', rolled);
        expect(stanzaError(await subscribeOther(bob, room, sam.bareJid))).toBe(condition);
        const names = condition === 'none' ? [[sam.bareJid, 'other', ['messages']]] : [];
        expect(await listed(owner, room)).toEqual(names);
        if (condition !== 'none') return;
        say(owner, room, 'welcome');
        await event(sam, room, 'messages', withBody('welcome'));
        await bob.iq('set', `<unsubscribe xmlns='${MUCSUB}' jid='${sam.bareJid}'/>`, `to='${room}'`);
        expect(await listed(sam, server.muc)).toEqual([]);
      });

      test('nobody who is no member of a members-only room', async () => {
        const { owner, room, sam } = await setting({ 'muc#roomconfig_membersonly': '1' });
        expect(stanzaError(await subscribeOther(owner, room, sam.bareJid))).toBe('registration-required');
      });

      test('an account that does not exist, and the subscription stays', async () => {
        const { owner, room } = await setting();
        const nobody = `nobody-${uniqueId()}@${server.domain}`;
        expect(stanzaError(await subscribeOther(owner, room, nobody))).toBe('none');
        say(owner, room, 'boo');
        await owner.body('boo');
        expect(await listed(owner, room)).toEqual([[nobody, 'other', ['messages']]]);
      });
    });

    test('the nick of a member is registered with the room; of who is nothing in it none is, nor is he a member then', async () => {
      const { owner, room, sam } = await setting();
      const tess = await newSession(route, 'tess');
      await affiliation(owner, room, sam.bareJid, 'member');
      await subscribe(sam, room, 'sammy');
      await subscribe(tess, room, 'tessa');
      const registered = async (client: RawClient) =>
        (await client.iq('get', `<query xmlns='jabber:iq:register'/>`, `to='${room}'`)).getChild('query');
      await until(
        'the registration',
        async () => (await registered(sam))?.getChild('registered') !== undefined,
      );
      expect((await registered(sam))?.getChildText('username')).toBe('sammy');
      await subscribe(sam, room, 'samuel');
      await until(
        'the other one',
        async () => (await registered(sam))?.getChildText('username') === 'samuel',
      );
      expect((await registered(tess))?.getChild('registered')).toBeUndefined();
      const members = await owner.iq(
        'get',
        `<query xmlns='${MUC}#admin'><item affiliation='member'/></query>`,
        `to='${room}'`,
      );
      const names = members
        .getChild('query')
        ?.getChildren('item')
        .map(({ attrs }) => attrs.jid);
      expect(names).toEqual([sam.bareJid]);
    });

    test('a banned account does not subscribe', async () => {
      const { owner, room, sam } = await setting();
      await affiliation(owner, room, sam.bareJid, 'outcast');
      expect(stanzaError(await subscribe(sam, room, 'sammy'))).toBe('forbidden');
    });

    test('a password gets in, and is not asked for again', async () => {
      const { owner, room, sam } = await setting({ 'muc#roomconfig_roomsecret': 'sesame' });
      const answer = await subscribe(sam, room, 'sammy', ['messages'], "password='sesame'");
      expect(answer.getChild('subscribe')?.attrs).toEqual({ xmlns: MUCSUB, nick: 'sammy' });
      say(owner, room, 'in');
      await event(sam, room, 'messages', withBody('in'));
      expect(stanzaError(await subscribe(sam, room, 'sammy', ['subject']))).toBe('none');
    });

    test('voice: who is a visitor when new to a room may not speak, a member may', async () => {
      const { owner, room, sam } = await setting({ 'muc#roomconfig_moderatedroom': '1' });
      await subscribe(sam, room, 'sammy');
      say(sam, room, 'voice?');
      const refused = await sam.message(({ attrs }) => attrs.type === 'error');
      expect(stanzaError(refused)).toBe('forbidden');
      await affiliation(owner, room, sam.bareJid, 'member');
      say(sam, room, 'voice');
      expect((await owner.body('voice')).attrs.from).toBe(`${room}/sammy`);
    });

    test('an owner who has only subscribed configures, and hears of it; of a form that changes nothing nobody does', async () => {
      const { owner, room, sam } = await setting();
      await affiliation(owner, room, sam.bareJid, 'owner');
      await subscribe(sam, room, 'sammy', ['config']);
      await configure(sam, room, { 'muc#roomconfig_roomname': 'By a subscriber' });
      const { inner } = await event(sam, room, 'config');
      expect([inner.attrs.type, inner.attrs.from, statusCodes(inner)]).toEqual(['groupchat', room, ['104']]);
      await configure(sam, room, { 'muc#roomconfig_roomname': 'By a subscriber' });
      expect(await eventsBefore(sam, owner)).toEqual([]);
    });

    test('an admin who has only subscribed puts somebody out, who is no admin does not', async () => {
      const { owner, room, sam } = await setting();
      const bob = await newSession(route, 'bob');
      await join(bob, room, 'bobby');
      await subscribe(sam, room, 'sammy');
      expect((await role(sam, room, 'bobby', 'none')).attrs.type).toBe('error');
      await affiliation(owner, room, sam.bareJid, 'admin');
      expect((await role(sam, room, 'bobby', 'none')).attrs.type).toBe('result');
      await bob.presence((each) => statusCodes(each).includes('307'), 'being kicked');
    });

    test('a subject, where participants may change it', async () => {
      const { owner, room, sam } = await setting({ 'muc#roomconfig_changesubject': '1' });
      await subscribe(sam, room, 'sammy', ['subject']);
      sam.send(`<message to='${room}' type='groupchat' id='s1'><subject>Mine</subject></message>`);
      const heard = await owner.message((each) => each.getChildText('subject') === 'Mine', 'the subject');
      expect(heard.attrs.from).toBe(`${room}/sammy`);
      expect((await event(sam, room, 'subject')).inner.getChildText('subject')).toBe('Mine');
    });

    test('private messages to a subscriber and of one, and to nobody', async () => {
      const { owner, room, sam } = await setting();
      await subscribe(sam, room, 'sammy');
      owner.send(`<message to='${room}/sammy' type='chat' id='p1'><body>psst</body></message>`);
      const heard = await sam.body('psst');
      expect(heard.attrs).toMatchObject({ type: 'chat', from: `${room}/olga`, id: 'p1' });
      expect(heard.getChild('x', `${MUC}#user`)).toBeDefined();
      sam.send(`<message to='${room}/olga' type='chat' id='p2'><body>hello</body></message>`);
      expect((await owner.body('hello')).attrs).toMatchObject({ type: 'chat', from: `${room}/sammy` });
      sam.send(`<message to='${room}/nobody' type='chat' id='p3'><body>x</body></message>`);
      expect(stanzaError(await sam.message(({ attrs }) => attrs.id === 'p3'))).toBe('item-not-found');
    });

    test('an invitation by a subscriber', async () => {
      const { room, sam } = await setting();
      const carl = await newSession(route, 'carl');
      await subscribe(sam, room, 'sammy');
      sam.send(`<message to='${room}'><x xmlns='${MUC}#user'><invite to='${carl.bareJid}'/></x></message>`);
      const invitation = await carl.message(({ attrs }) => attrs.from === room, 'the invitation');
      expect(invitation.getChild('x', `${MUC}#user`)?.getChild('invite')).toBeDefined();
    });

    test('a sender’s claim of an id in the archive counts for nothing', async () => {
      const { owner, room, sam } = await setting();
      await subscribe(sam, room, 'sammy');
      owner.send(
        `<message to='${room}' type='groupchat'><body>x</body><stanza-id xmlns='urn:xmpp:sid:0' by='${room}' id='forged'/></message>`,
      );
      const { item, inner } = await event(sam, room, 'messages', withBody('x'));
      const ids = inner.getChildren('stanza-id').map(({ attrs }) => attrs.id);
      expect(ids).toEqual([item.attrs.id]);
      expect(ids).not.toContain('forged');
    });

    test('who is kicked is an event of affiliations, and none of presence', async () => {
      const { owner, room, sam } = await setting();
      const [bob, tess] = [await newSession(route, 'bob'), await newSession(route, 'tess')];
      await join(bob, room, 'bobby');
      await subscribe(sam, room, 'sammy', ['affiliations', 'presence']);
      await subscribe(tess, room, 'tessa', ['presence']);
      await role(owner, room, 'bobby', 'none', 'shoo');
      const { inner } = await event(sam, room, 'affiliations');
      const item = inner.getChild('x', `${MUC}#user`)?.getChild('item');
      expect([inner.attrs.type, statusCodes(inner), item?.attrs.role, item?.getChildText('reason')]).toEqual([
        'unavailable',
        ['307'],
        'none',
        'shoo',
      ]);
      expect(await eventsBefore(sam, owner)).toEqual([]);
      expect(await eventsBefore(tess, owner)).toEqual([]);
    });

    test('joining: the others, then oneself, then the subject; others have seen nobody before', async () => {
      const { owner, room, sam } = await setting();
      await subscribe(sam, room, 'sammy');
      say(owner, room, 'before');
      await event(sam, room, 'messages', withBody('before'));
      const shown: string[] = [];
      sam.send(`<presence to='${room}/sammy'><x xmlns='${MUC}'/></presence>`);
      while (shown.at(-1) !== 'subject') {
        const next = await sam.expect(
          'what a room says to who enters',
          (each) => !each.is('iq') && String(each.attrs.from).startsWith(room),
        );
        shown.push(next.is('presence') ? String(next.attrs.from) : (next.getChildText('body') ?? 'subject'));
      }
      expect(shown).toEqual([`${room}/olga`, `${room}/sammy`, 'subject']);
      await owner.presence(({ attrs }) => attrs.from === `${room}/sammy`, 'sam joining');
    });

    test('one of two clients is in the room: the other hears nothing of it until it is gone', async () => {
      const { owner, room } = await setting();
      const account = await newAccount(server, 'sam');
      const one = await logIn(route, account, { resource: 'one' });
      const two = await logIn(route, account, { resource: 'two' });
      for (const client of [one, two]) await client.becomeAvailable();
      await subscribe(one, room, 'sammy');
      await join(one, room, 'sammy');
      say(owner, room, 'plain');
      await one.message((each) => isGroupchat(each) && withBody('plain')(each), 'groupchat');
      expect(await eventsBefore(two, owner)).toEqual([]);
      await one.close();
      await owner.presence(
        ({ attrs }) => attrs.from === `${room}/sammy` && attrs.type === 'unavailable',
        'sam leaving',
      );
      say(owner, room, 'event');
      await event(two, room, 'messages', withBody('event'));
    });

    test('joining and leaving under traffic: each message comes once', async () => {
      const { owner, room, sam } = await setting();
      await subscribe(sam, room, 'sammy');
      const said = Array.from({ length: 60 }, (_, n) => `n${n}`);
      const heard: string[] = [];
      const bodyOf = (each: Element) =>
        (isGroupchat(each) ? each : itemOf(each, 'messages')?.getChild('message'))?.getChildText('body') ??
        '';
      const hears = async (upTo: string) => {
        while (heard.at(-1) !== upTo)
          heard.push(bodyOf(await sam.message((each) => bodyOf(each) !== '', `what is said up to ${upTo}`)));
      };
      for (const [at, body] of said.entries()) {
        say(owner, room, body);
        if (at % 20 === 5) sam.send(`<presence to='${room}/sammy'><x xmlns='${MUC}'/></presence>`);
        if (at % 20 === 15) sam.send(`<presence to='${room}/sammy' type='unavailable'/>`);
        if (at % 5 === 0) await hears(body);
      }
      await hears('n59');
      expect(heard).toEqual(said);
    });

    test('the archive of the room is open to who has never joined, and the own one has the events', async () => {
      const { owner, room, sam } = await setting();
      await subscribe(sam, room, 'sammy');
      const ids: string[] = [];
      for (const body of ['one', 'two']) {
        say(owner, room, body);
        ids.push(String((await event(sam, room, 'messages', withBody(body))).item.attrs.id));
      }
      const read = async (to: string, fields: string) => {
        const form = `<x xmlns='${DATA}' type='submit'><field var='FORM_TYPE'><value>${MAM}</value></field>${fields}</x>`;
        const queryId = uniqueId();
        const found: [string, string | undefined][] = [];
        const done = sam.iq('set', `<query xmlns='${MAM}' queryid='${queryId}'>${form}</query>`, to);
        for (let n = 0; n < 2; n++) {
          const result = (
            await sam.message((each) => each.getChild('result', MAM)?.attrs.queryid === queryId)
          ).getChild('result', MAM)!;
          const message = result.getChild('forwarded')?.getChild('message');
          const item = message?.getChild('event')?.getChild('items')?.getChild('item');
          found.push([
            String(result.attrs.id),
            (item?.getChild('message') ?? message)?.getChildText('body') ?? undefined,
          ]);
        }
        expect((await done).getChild('fin', MAM)).toBeDefined();
        return found;
      };
      const both = [
        [ids[0], 'one'],
        [ids[1], 'two'],
      ];
      expect(await read(`to='${room}'`, '')).toEqual(both);
      expect(await read('', `<field var='with'><value>${room}</value></field>`)).toEqual(both);
      await affiliation(owner, room, sam.bareJid, 'outcast');
      const refused = await sam.iq('set', `<query xmlns='${MAM}'/>`, `to='${room}'`);
      expect(stanzaError(refused)).toBe('forbidden');
    });
  },
  { via: ['proxy'], kinds: ['prosody'] },
);

describeRoutes(
  'MUC/Sub, while nobody is there',
  (route) => {
    /** A private message gets through to a subscriber's ghost. */
    const isInTheRoom = (owner: RawClient, room: string, nick: string) =>
      until('the ghost to be in the room', async () => {
        const id = uniqueId();
        owner.send(
          `<message to='${room}/${nick}' type='chat' id='${id}'><body>are you there?</body></message>`,
        );
        await features(owner, room);
        return !owner.stream.inbox.some(({ attrs }) => attrs.id === id && attrs.type === 'error');
      });

    test('private messages and affiliations are kept, presences are not; contacts see nobody', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const bob = await newSession(route, 'bob');
      await join(bob, room, 'bobby');
      const account = await newAccount(route.server, 'sam');
      const sam = await logIn(route, account);
      await sam.becomeAvailable();
      for (const client of [sam, owner]) await client.iq('get', "<query xmlns='jabber:iq:roster'/>");
      owner.send(`<presence to='${sam.bareJid}' type='subscribe'/>`);
      await sam.presence(({ attrs }) => attrs.type === 'subscribe', 'a request');
      sam.send(`<presence to='${owner.bareJid}' type='subscribed'/>`);
      const full = sam.jid;
      await owner.presence(({ attrs }) => attrs.from === full, 'sam being there');
      await subscribe(sam, room, 'sammy', ['affiliations', 'presence']);
      await sam.close();
      await owner.presence(({ attrs }) => attrs.from === full && attrs.type === 'unavailable', 'sam going');
      await isInTheRoom(owner, room, 'sammy');
      bob.send(`<presence to='${room}/bobby'><show>away</show></presence>`);
      await owner.presence((each) => each.getChild('show') !== undefined, 'bob being away');
      await affiliation(owner, room, bob.bareJid, 'member');
      owner.send(`<message to='${room}/sammy' type='chat' id='p1'><body>later</body></message>`);
      await owner.settle();
      // Whoever comes now asks the server who is there.
      owner.send("<presence type='unavailable'/>");
      await owner.becomeAvailable();
      const ofSam = ({ attrs }: Element) =>
        attrs.type === undefined && String(attrs.from).startsWith(sam.bareJid);
      expect(owner.stream.inbox.filter(ofSam).map(String)).toEqual([]);
      await join(owner, room, 'olga');
      const again = await logIn(route, account);
      await again.becomeAvailable();
      expect((await again.body('later')).attrs).toMatchObject({ type: 'chat', from: `${room}/olga` });
      const { inner } = await event(again, room, 'affiliations');
      expect(inner.getChild('x', `${MUC}#user`)?.getChild('item')?.attrs.affiliation).toBe('member');
      expect(await eventsBefore(again, owner)).toEqual([]);
    });
  },
  { via: ['proxy'], kinds: ['prosody', 'jabberd2'] },
);

describeRoutes(
  'MUC/Sub, what the room itself decides',
  (route) => {
    test('where nicks cannot be registered with rooms a member subscribes all the same', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      await affiliation(owner, room, sam.bareJid, 'member');
      expect(await features(sam, room)).not.toContain('jabber:iq:register');
      expect(stanzaError(await subscribe(sam, room, 'sammy'))).toBe('none');
      say(owner, room, 'hello');
      await event(sam, room, 'messages', withBody('hello'));
      expect(await eventsBefore(sam, owner)).toEqual([]);
    });

    test('a subscriber who joins is told who is there', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      await subscribe(sam, room, 'sammy');
      sam.send(`<presence to='${room}/sammy'><x xmlns='${MUC}'/></presence>`);
      await sam.presence(({ attrs }) => attrs.from === `${room}/olga`, 'the owner');
      await sam.presence((each) => statusCodes(each).includes('110'), 'own presence');
      say(owner, room, 'plain');
      await sam.message((each) => isGroupchat(each) && withBody('plain')(each), 'groupchat');
    });

    test.each([
      ['an admin who is not in the room', 'admin'],
      ['somebody with the role of a moderator', undefined],
    ])('%s subscribes somebody else; a participant does not', async (_, rank) => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const bob = await newSession(route, 'bob');
      const sam = await newSession(route, 'sam');
      const other = () =>
        bob.iq(
          'set',
          `<subscribe xmlns='${MUCSUB}' nick='sammy' jid='${sam.bareJid}'><event node='urn:xmpp:mucsub:nodes:messages'/></subscribe>`,
          `to='${room}'`,
        );
      if (rank !== undefined) await affiliation(owner, room, bob.bareJid, rank);
      else {
        await join(bob, room, 'bobby');
        expect(stanzaError(await other())).toBe('forbidden');
        await role(owner, room, 'bobby', 'moderator');
        await bob.presence(
          (each) => each.getChild('x', `${MUC}#user`)?.getChild('item')?.attrs.role === 'moderator',
          'the role',
        );
      }
      expect(stanzaError(await other())).toBe('none');
      say(owner, room, 'hello');
      await event(sam, room, 'messages', withBody('hello'));
    });

    test('a private message says that it is one', async () => {
      const owner = await newSession(route, 'olga');
      const room = await newRoom(route, owner);
      const sam = await newSession(route, 'sam');
      await subscribe(sam, room, 'sammy');
      owner.send(`<message to='${room}/sammy' type='chat' id='p1'><body>psst</body></message>`);
      expect((await sam.body('psst')).getChild('x', `${MUC}#user`)).toBeDefined();
    });
  },
  { via: ['proxy'], kinds: ['jabberd2'] },
);
