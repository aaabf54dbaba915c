import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { type Account, type RawClient, uniqueId } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import { RunningProxy } from './proxy.js';
import {
  describeRoutes,
  logIn,
  newAccount,
  newConnection,
  newSession,
  type Route,
  THROUGH_THE_PROXY,
} from './routes.js';
import { freePort } from './servers/ports.js';
import { until } from './waiting.js';

const MUC = 'http://jabber.org/protocol/muc';

/** A new connection that asks for a session instead of a resource. */
async function resume(route: Route, account: Account, former: RawClient, id: string): Promise<RawClient> {
  const client = await newConnection(route);
  await client.openStream();
  await client.authenticate(account);
  client.jid = former.jid;
  client.send(`<resume xmlns='${NS.sm}' previd='${id}' h='${former.sm?.received ?? 0}'/>`);
  return client;
}

const resumed = (client: RawClient) => client.expect('resumed', (element) => element.is('resumed', NS.sm));

async function resumable(route: Route, account: Account, resource: string) {
  const client = await logIn(route, account, { resource });
  const enabled = await client.enableSm("resume='true'");
  expect(enabled.attrs.resume).toBe('true');
  client.send('<presence/>');
  await client.settle();
  return { client, id: String(enabled.attrs.id) };
}

/** All that comes to a client from now on. */
function listen(client: RawClient): Element[] {
  const heard: Element[] = [];
  client.stream.onElement = (element) => heard.push(element);
  return heard;
}

const bodies = (elements: readonly Element[]) =>
  elements.flatMap((element) => (element.is('message') ? (element.getChildText('body') ?? []) : []));

describeRoutes(
  'resumption',
  (route) => {
    const { server } = route;
    const chat = (to: string, body: string) =>
      `<message to='${to}' type='chat'><body>${body}</body></message>`;

    test('a broken connection is resumed: nothing is missing, nothing comes twice, nobody notices', async () => {
      const account = await newAccount(server, 'alice');
      const { client: alice, id } = await resumable(route, account, 'phone');
      const bob = await newSession(route, 'bob');
      bob.send(`<presence to='${alice.jid}'/>`);
      bob.send(chat(alice.jid, 'before'));
      await alice.body('before');
      alice.stream.cut();
      for (const text of ['one', 'two', 'three']) bob.send(chat(alice.jid, text));
      bob.send(`<iq type='get' id='ping' to='${alice.jid}'><ping xmlns='urn:xmpp:ping'/></iq>`);
      // The proxy answers for a client that is away for a moment: so bob knows that all has arrived.
      await bob.expect(
        'the answer to a ping',
        (element) => element.attrs.id === 'ping' && element.attrs.type === 'result',
      );
      const back = await resume(route, account, alice, id);
      const answer = await resumed(back);
      expect(answer.attrs).toMatchObject({ previd: id });
      await back.settle();
      const said = () => bodies(back.stream.inbox);
      expect(said()).toEqual(['one', 'two', 'three']);
      // And it is a session like any other.
      back.send(chat(bob.jid, 'still here'));
      await bob.body('still here');
      bob.send(chat(alice.jid, 'four'));
      await back.body('four');
      expect(said()).toEqual(['one', 'two', 'three']);
      expect(bob.stream.inbox.filter((element) => element.attrs.type === 'unavailable')).toEqual([]);
    });

    test('what the client had sent is told with the count, and is not wanted again', async () => {
      const account = await newAccount(server, 'alice');
      const { client: alice, id } = await resumable(route, account, 'phone');
      const bob = await newSession(route, 'bob');
      for (const text of ['1', '2', '3']) alice.send(chat(bob.jid, text));
      await bob.body('3');
      const sent = alice.sm!.sent;
      alice.stream.cut();
      const back = await resume(route, account, alice, id);
      const answer = await resumed(back);
      expect(answer.attrs.h).toBe(String(sent));
    });

    test('somebody else does not get it, nor learns that it is there', async () => {
      const { client: alice, id } = await resumable(route, await newAccount(server, 'alice'), 'phone');
      alice.stream.cut();
      const thief = await resume(route, await newAccount(server, 'mallory'), alice, id);
      const refusal = await thief.expect('a refusal', (element) => element.is('failed', NS.sm));
      expect(refusal.attrs.h).toBeUndefined();
      expect(refusal.getChildElements()[0]?.name).toBe('item-not-found');
      expect(await thief.bind('mine')).toContain('mallory');
    });

    test('nobody comes back: contacts and rooms see one unavailable, requests fail, what was missed comes once and in order, and nothing is bounced', async () => {
      const account = await newAccount(server, 'alice');
      const alice = await logIn(route, account, { resource: 'phone' });
      await alice.enableSm("resume='true' max='1'");
      await alice.becomeAvailable();
      // COMPAT: Prosody by itself bounces what a session leaves while another one is there.
      const tablet = await logIn(route, account, { resource: 'tablet' });
      await tablet.becomeAvailable();
      const bob = await newSession(route, 'bob');
      bob.send(`<presence type='subscribe' to='${account.jid}'/>`);
      await alice.presence((presence) => presence.attrs.type === 'subscribe');
      alice.send(`<presence type='subscribed' to='${bob.bareJid}'/>`);
      await bob.presence((presence) => presence.attrs.from === alice.jid, 'presence of alice');
      const room = `hold-${uniqueId()}@${server.muc}`;
      const enter = (client: RawClient, nick: string) =>
        client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`);
      enter(bob, 'bob');
      await bob.presence((presence) => presence.attrs.from === `${room}/bob`, 'bob in the room');
      const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
      await bob.iq('set', form, `to='${room}'`);
      enter(alice, 'alice');
      await bob.presence((presence) => presence.attrs.from === `${room}/alice`, 'alice in the room');
      await alice.settle();

      const [told, seenOnTablet] = [listen(bob), listen(tablet)];
      alice.stream.cut();
      const missed = ['one', 'two', 'three'];
      for (const [n, text] of missed.entries()) bob.send(chat(n === 1 ? account.jid : alice.jid, text));
      bob.send(`<iq type='get' id='late' to='${alice.jid}'><query xmlns='jabber:iq:version'/></iq>`);
      const answer = await bob.expect('an answer', (element) => element.attrs.id === 'late');
      expect(answer.attrs.type).toBe('error');
      expect(answer.getChild('error')?.getChild('service-unavailable', NS.stanzas)).toBeDefined();
      const farewells = (from: string) =>
        told.filter(({ attrs }) => attrs.from === from && attrs.type === 'unavailable');
      const everywhere = [alice.jid, `${room}/alice`];
      await until('the end of the session', () => everywhere.every((from) => farewells(from).length > 0));

      const next = await logIn(route, account, { resource: 'phone' });
      const heard = listen(next);
      await next.becomeAvailable();
      await until('what was missed', () => bodies(heard).length >= missed.length);
      for (const client of [next, tablet, bob]) await client.settle();
      expect(bodies(heard)).toEqual(missed);
      const messages = heard.filter((element) => element.getChild('body') !== undefined);
      expect(messages.every((element) => element.getChild('delay', 'urn:xmpp:delay'))).toBe(true);
      expect(bodies(seenOnTablet)).toEqual(missed);
      expect(everywhere.map((from) => farewells(from).length)).toEqual([1, 1]);
      expect(told.filter(({ name, attrs }) => name === 'message' && attrs.type === 'error')).toEqual([]);
    });

    test('the same resource is bound anew: what was missed comes there, once', async () => {
      const account = await newAccount(server, 'alice');
      const { client: alice } = await resumable(route, account, 'phone');
      const bob = await newSession(route, 'bob');
      alice.stream.cut();
      bob.send(chat(account.jid, 'missed'));
      bob.send(`<iq type='get' id='ping' to='${alice.jid}'><ping xmlns='urn:xmpp:ping'/></iq>`);
      await bob.expect('the answer to a ping', (element) => element.attrs.id === 'ping');
      const again = await logIn(route, account, { resource: 'phone', sm: true });
      again.send('<presence/>');
      await again.body('missed');
      await again.settle();
      // The one that was waited for has been taken out.
      const more = again.stream.inbox.filter((element) => element.getChildText('body') === 'missed');
      expect(more).toEqual([]);
    });
  },
  THROUGH_THE_PROXY,
);

describeRoutes(
  'resumption across a restart of the proxy',
  (route) => {
    const { server } = route;

    test('SIGTERM: the next process resumes the session on the server, and the client in it', async () => {
      const data = mkdtempSync(join(tmpdir(), 'interstanza-data-'));
      const port = await freePort();
      const listen = [`xmpp://127.0.0.1:${port}?tls=off`];
      const start = () => RunningProxy.inFrontOf(server, { listen, data, logLevel: 'warn' });
      const first = await start();
      let second: RunningProxy | undefined;
      try {
        const through: Route = { ...route, plain: { ...route.plain, port } };
        const account = await newAccount(server, 'alice');
        const { client: alice, id } = await resumable(through, account, 'phone');
        const bob = await newSession(
          { ...route, plain: { host: server.host, port: server.port, domain: server.domain } },
          'bob',
        );
        bob.send(`<message to='${alice.jid}' type='chat'><body>before</body></message>`);
        await alice.body('before');
        await first.stop();
        await alice.stream.when('the connection to be cut', () => alice.stream.closed);
        bob.send(`<message to='${alice.jid}' type='chat'><body>between</body></message>`);
        await bob.settle();
        second = await start();
        const back = await resume(through, account, alice, id);
        await resumed(back);
        await back.body('between');
        back.send(`<message to='${bob.jid}' type='chat'><body>after</body></message>`);
        await bob.body('after');
        expect(bob.stream.inbox.filter((element) => element.attrs.type === 'error')).toEqual([]);
        await back.settle();
        expect(back.stream.inbox.filter((element) => element.getChildText('body') === 'before')).toEqual([]);
      } finally {
        await first.dispose();
        await second?.dispose();
        rmSync(data, { recursive: true, force: true });
      }
    });
  },
  // jabberd2 keeps no session whose connection is gone.
  { ...THROUGH_THE_PROXY, kinds: ['prosody', 'ejabberd'] },
);
