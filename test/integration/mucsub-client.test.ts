import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Element } from 'ltx';
import { afterEach, expect, test } from 'vitest';
import { type Account, RawClient, uniqueId } from './clients/raw.js';
import { type SlixmppSession, slixmppMissing, startSlixmpp } from './clients/slixmpp.js';
import { RunningProxy } from './proxy.js';
import { cutAfterwards, describeRoutes, logIn, newAccount, type Route } from './routes.js';
import { until } from './waiting.js';

const MUCSUB = 'urn:xmpp:mucsub:0';
const NODES = 'urn:xmpp:mucsub:nodes:';
const MUC = 'http://jabber.org/protocol/muc';
const EVENT = 'http://jabber.org/protocol/pubsub#event';
const DELAY = 'urn:xmpp:delay';

const lacking = slixmppMissing();
if (lacking && (process.env.CI || process.env.INTERSTANZA_REQUIRE_SERVERS)) throw new Error(lacking);

const isGroupchat = (stanza: Element) => stanza.is('message') && stanza.attrs.type === 'groupchat';
const codes = (presence: Element) =>
  (presence.getChild('x', `${MUC}#user`)?.getChildren('status') ?? []).map(({ attrs }) => attrs.code);

/** A client that knows nothing of MUC/Sub, and what it has shown its user. */
class Legacy {
  readonly shown: string[] = [];
  readonly delayed = new Set<string>();
  raw = 0;

  constructor(readonly client: RawClient) {
    client.stream.onElement = ((before) => (element: Element) => {
      before?.(element);
      this.#reads(element);
    })(client.stream.onElement);
  }

  #reads(element: Element): void {
    if (!element.is('message')) return;
    if (String(element).includes(EVENT)) this.raw += 1;
    const body = element.getChildText('body');
    if (!isGroupchat(element) || body === null) return;
    this.shown.push(body);
    if (element.getChild('delay', DELAY) !== undefined) this.delayed.add(body);
  }

  async joins(room: string, nick: string, history = ''): Promise<void> {
    const { client } = this;
    client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'>${history}</x></presence>`);
    await client.presence(
      (presence) => presence.attrs.from === `${room}/${nick}` && codes(presence).includes('110'),
      `own presence in ${room}`,
    );
    await client.message(
      (message) => String(message.attrs.from).startsWith(room) && !!message.getChild('subject'),
      'the subject',
    );
  }

  async has(body: string): Promise<void> {
    await this.client.stream.when(`message ${body}`, () => this.shown.includes(body), 20_000);
  }
}

async function newRoom(owner: RawClient, muc: string, options: Record<string, string> = {}): Promise<string> {
  const room = `legacy-${uniqueId()}@${muc}`;
  owner.send(`<presence to='${room}/olga'><x xmlns='${MUC}'/></presence>`);
  await owner.message((message) => message.attrs.from === room && !!message.getChild('subject'), 'subject');
  const all = { 'muc#roomconfig_persistentroom': '1', mam: '1', allow_subscription: '1', ...options };
  const fields = Object.entries(all).map(
    ([name, value]) => `<field var='${name}'><value>${value}</value></field>`,
  );
  const form = `<field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field>${fields.join('')}`;
  const answer = await owner.iq(
    'set',
    `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'>${form}</x></query>`,
    `to='${room}'`,
  );
  expect(answer.attrs.type).toBe('result');
  return room;
}

/** The owner speaks, and has heard it from the room when this is over. */
async function say(owner: RawClient, room: string, body: string): Promise<void> {
  owner.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`);
  await owner.body(body);
}

async function subscriptions(client: RawClient, muc: string): Promise<[string, string, string[]][]> {
  const answer = await client.iq('get', `<subscriptions xmlns='${MUCSUB}'/>`, `to='${muc}'`);
  return (answer.getChild('subscriptions', MUCSUB)?.getChildren('subscription') ?? []).map((each) => [
    String(each.attrs.jid),
    String(each.attrs.nick),
    each.getChildren('event').map(({ attrs }) => String(attrs.node).slice(NODES.length)),
  ]);
}

const range = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix} ${i + 1}`);

describeRoutes(
  'MUC/Sub for clients that do not know it',
  (direct) => {
    const { server } = direct;
    const proxies: RunningProxy[] = [];
    const folders: string[] = [];
    const libraries: SlixmppSession[] = [];

    afterEach(async () => {
      await Promise.allSettled(libraries.splice(0).map((client) => client.stop()));
      for (const proxy of proxies.splice(0)) await proxy.dispose();
      for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
    });

    function folder(): string {
      const path = mkdtempSync(join(tmpdir(), 'interstanza-mucsub-client-'));
      folders.push(path);
      return path;
    }

    /** A proxy that subscribes for the rooms of the patterns. @param rooms false: it is switched off */
    async function proxied(
      rooms: readonly string[] | false,
      data = folder(),
    ): Promise<Route & { running: RunningProxy }> {
      const file = join(folder(), 'interstanza.yaml');
      const setting =
        rooms === false ? 'false' : `{ rooms: [${rooms.map((room) => `'${room}'`).join(', ')}] }`;
      const lines = [
        'domains:',
        `  ${server.domain}:`,
        `    upstreams: ['xmpp://${server.host}:${server.port}']`,
        `    features: { mucsub-client: ${setting} }`,
      ];
      writeFileSync(file, lines.join('\n'));
      const running = await RunningProxy.inFrontOf(server, { data, args: ['--config', file] });
      proxies.push(running);
      const { host, port } = running.address(0);
      return {
        ...direct,
        name: 'with subscriptions',
        via: 'proxy',
        running,
        plain: { host, port, domain: server.domain },
      };
    }

    async function legacy(route: Route, account: Account, options = {}): Promise<Legacy> {
      const client = await RawClient.login(route.plain, account, { resource: 'old', ...options });
      const seen = new Legacy(cutAfterwards(client));
      await client.becomeAvailable();
      return seen;
    }

    async function ownerOf(): Promise<RawClient> {
      const owner = await logIn(direct, await newAccount(server, 'olga'));
      await owner.becomeAvailable();
      return owner;
    }

    /** Seen from outside, which subscriptions the account has. */
    async function seenOutside(account: Account) {
      const client = await logIn(direct, account, { resource: `outside-${uniqueId()}` });
      const all = await subscriptions(client, server.muc);
      await client.close();
      return all;
    }

    const whenSubscribed = (account: Account, room: string) =>
      until('the subscription', async () => (await seenOutside(account)).some(([jid]) => jid === room));

    test('what is said while it is away is ordinary history when it is back, once and in order', async () => {
      const route = await proxied([`*@${server.muc}`]);
      const owner = await ownerOf();
      const room = await newRoom(owner, server.muc);
      await say(owner, room, 'long ago');
      const account = await newAccount(server, 'sam');
      const first = await legacy(route, account);
      await first.joins(room, 'sammy');
      await whenSubscribed(account, room);
      for (const body of range('live', 3)) await say(owner, room, body);
      await first.has('live 3');
      await first.client.close();
      for (const body of range('missed', 30)) await say(owner, room, body);
      const second = await legacy(route, account);
      await second.joins(room, 'sammy');
      await say(owner, room, 'last');
      await second.has('last');
      expect(first.shown).toEqual(['long ago', ...range('live', 3)]);
      expect(second.shown).toEqual([...range('missed', 30), 'last']);
      expect([...second.delayed]).toEqual(range('missed', 30));
      expect(first.raw + second.raw).toBe(0);
      expect(await seenOutside(account)).toEqual([[room, 'sammy', ['messages']]]);
    });

    test.skipIf(lacking)('slixmpp, which knows nothing of it, leaves, misses and returns', async () => {
      const route = await proxied([`*@${server.muc}`]);
      const owner = await ownerOf();
      const room = await newRoom(owner, server.muc);
      const account = await newAccount(server, 'sam');
      const { name, password, domain } = account;
      const start = async (): Promise<SlixmppSession> => {
        const { host, port } = route.plain;
        const login = { host, port, domain, name, password, resource: 'real', tls: 'none' } as const;
        const client = await startSlixmpp(login);
        libraries.push(client);
        return client;
      };
      const from = `${room}/olga`;
      const live = (body: string) => ({ from, body, delayed: false });
      const late = (body: string) => ({ from, body, delayed: true });
      const first = await start();
      await first.join(room, 'sammy', 100);
      await whenSubscribed(account, room);
      await say(owner, room, 'live 1');
      await first.received('live 1');
      // It stays online: what is said now comes to it as events.
      await first.leave(room, 'sammy');
      await owner.presence(
        ({ attrs }) => attrs.from === `${room}/sammy` && attrs.type === 'unavailable',
        'leaving',
      );
      for (const body of range('missed', 25)) await say(owner, room, body);
      await first.join(room, 'sammy', 100);
      await say(owner, room, 'live 2');
      await first.received('live 2');
      await first.stop();
      // And now it is offline.
      for (const body of range('offline', 25)) await say(owner, room, body);
      const second = await start();
      await second.join(room, 'sammy', 100);
      await say(owner, room, 'live 3');
      await second.received('live 3');
      expect(first.groupchat).toEqual([live('live 1'), ...range('missed', 25).map(late), live('live 2')]);
      expect(second.groupchat).toEqual([...range('offline', 25).map(late), live('live 3')]);
      for (const { hasEvents, errors } of [first, second]) expect([hasEvents, errors]).toEqual([false, []]);
    });

    test('offline, several devices and restarts of the proxy: nothing lost, nothing twice', async () => {
      const data = folder();
      let route = await proxied([`*@${server.muc}`], data);
      const owner = await ownerOf();
      // Without an archive: what is not in the history only the events have.
      const room = await newRoom(owner, server.muc, { mam: '0' });
      const account = await newAccount(server, 'sam');
      const phone = await legacy(route, account, { resource: 'phone', sm: true });
      await phone.joins(room, 'sammy');
      await whenSubscribed(account, room);
      await say(owner, room, 'live 1');
      await phone.has('live 1');
      // By then it has acknowledged that.
      await phone.client.settle();
      await phone.client.close();
      for (const body of range('missed', 25)) await say(owner, room, body);
      // Another device of the account gets the events, and shows none.
      const laptop = await legacy(route, account, { resource: 'laptop' });
      await laptop.client.settle();
      for (const body of range('event', 3)) await say(owner, room, body);
      await laptop.client.settle();
      expect(laptop.shown).toEqual([]);
      await route.running.stop();
      for (const body of range('offline', 25)) await say(owner, room, body);
      route = await proxied([`*@${server.muc}`], data);
      const again = await legacy(route, account, { resource: 'phone', sm: true });
      await again.joins(room, 'sammy');
      await again.has('offline 25');
      expect(again.shown).toEqual([...range('missed', 25), ...range('event', 3), ...range('offline', 25)]);
      await say(owner, room, 'live 2');
      await again.has('live 2');
      await again.client.settle();
      await again.client.close();
      const last = await legacy(route, account, { resource: 'phone' });
      await last.joins(room, 'sammy');
      await say(owner, room, 'live 3');
      await last.has('live 3');
      expect(last.shown).toEqual(['live 3']);
      for (const { raw } of [phone, laptop, again, last]) expect(raw).toBe(0);
    });

    test('a kill of the proxy loses nothing that the archive has', async () => {
      const data = folder();
      let route = await proxied([`*@${server.muc}`], data);
      const owner = await ownerOf();
      const room = await newRoom(owner, server.muc);
      const account = await newAccount(server, 'sam');
      const first = await legacy(route, account, { sm: true });
      await first.joins(room, 'sammy');
      await whenSubscribed(account, room);
      for (const body of range('before', 30)) await say(owner, room, body);
      await first.has('before 30');
      await first.client.settle();
      await route.running.kill();
      for (const body of range('meanwhile', 30)) await say(owner, room, body);
      route = await proxied([`*@${server.muc}`], data);
      const second = await legacy(route, account, { sm: true });
      await second.joins(room, 'sammy');
      await say(owner, room, 'after');
      await second.has('after');
      // What the first has had and not acknowledged by then may come again.
      const shown = [...first.shown, ...second.shown];
      expect([...new Set(shown)]).toEqual([...range('before', 30), ...range('meanwhile', 30), 'after']);
      expect(second.shown).toEqual([...new Set(second.shown)]);
      expect(second.shown.slice(-31)).toEqual([...range('meanwhile', 30), 'after']);
      expect(first.raw + second.raw).toBe(0);
    });

    test('the archive has what the events have not, while another device is in the room', async () => {
      const route = await proxied([`*@${server.muc}`]);
      const owner = await ownerOf();
      const room = await newRoom(owner, server.muc);
      const account = await newAccount(server, 'sam');
      const phone = await legacy(route, account, { resource: 'phone' });
      const laptop = await legacy(route, account, { resource: 'laptop' });
      await phone.joins(room, 'sammy');
      await laptop.joins(room, 'sammy2');
      await whenSubscribed(account, room);
      await say(owner, room, 'to both');
      await phone.has('to both');
      await phone.client.close();
      for (const body of range('to one', 30)) await say(owner, room, body);
      await laptop.has('to one 30');
      const again = await legacy(route, account, { resource: 'phone' });
      await again.joins(room, 'sammy');
      await say(owner, room, 'to both again');
      await again.has('to both again');
      await laptop.has('to both again');
      expect(again.shown).toEqual([...range('to one', 30), 'to both again']);
      expect(laptop.shown).toEqual(['to both', ...range('to one', 30), 'to both again']);
    });

    test('a client that knows MUC/Sub keeps its subscription, and gets its events', async () => {
      const route = await proxied([`*@${server.muc}`]);
      const owner = await ownerOf();
      const room = await newRoom(owner, server.muc);
      const account = await newAccount(server, 'sam');
      const modern = await legacy(route, account, { resource: 'modern' });
      const events = `<event node='${NODES}messages'/><event node='${NODES}presence'/>`;
      await modern.client.iq(
        'set',
        `<subscribe xmlns='${MUCSUB}' nick='sammy'>${events}</subscribe>`,
        `to='${room}'`,
      );
      await modern.joins(room, 'sammy');
      modern.client.send(`<presence to='${room}/sammy' type='unavailable'/>`);
      await modern.client.presence(({ attrs }) => attrs.type === 'unavailable', 'own leaving');
      await say(owner, room, 'as an event');
      await modern.client.message(
        (message) => message.attrs.from === room && String(message).includes('as an event'),
        'the event',
      );
      const listed = await subscriptions(modern.client, server.muc);
      expect(listed.map(([jid, nick, nodes]) => [jid, nick, nodes.sort()])).toEqual([
        [room, 'sammy', ['messages', 'presence']],
      ]);
    });

    test.each([
      ['its room is in no pattern any more', []],
      ['it is switched off', false],
    ] as const)('the subscription has the nick of the client, and ends when %s', async (_, rooms) => {
      const data = folder();
      let route = await proxied([`*@${server.muc}`], data);
      const owner = await ownerOf();
      const room = await newRoom(owner, server.muc);
      const account = await newAccount(server, 'sam');
      const first = await legacy(route, account);
      await first.joins(room, 'sammy');
      await whenSubscribed(account, room);
      // Under another nick it is subscribed to by that.
      first.client.send(`<presence to='${room}/samuel'/>`);
      await until('the other nick', async () => (await seenOutside(account))[0]?.[1] === 'samuel');
      await first.client.close();
      await route.running.stop();
      route = await proxied(rooms, data);
      const second = await legacy(route, account);
      await until('no subscription', async () => (await seenOutside(account)).length === 0);
      expect(second.raw).toBe(0);
    });
  },
  { via: ['direct'], kinds: ['ejabberd'] },
);
