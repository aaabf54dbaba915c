import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Element } from 'ltx';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Account, RawClient, uniqueId } from './clients/raw.js';
import { RunningProxy } from './proxy.js';
import { cutAfterwards, newAccount } from './routes.js';
import { prosodyMissing, startProsody } from './servers/prosody.js';
import type { ServerHandle } from './servers/server.js';
import { until } from './waiting.js';

const MUC = 'http://jabber.org/protocol/muc';
const MUCSUB = 'urn:xmpp:mucsub:0';
const NODES = 'urn:xmpp:mucsub:nodes:';
const EVENT = 'http://jabber.org/protocol/pubsub#event';
const DATA = 'jabber:x:data';
const DOMAIN = 'observed.example';
const OBSERVER = 'observer';
const NICK = 'interstanza';
const MISSING = prosodyMissing() ?? RunningProxy.missing();

const world: { server?: ServerHandle; proxy?: RunningProxy; folder?: string; password?: string } = {};

/** A configuration with an observer, whose password stands in a file. */
function configured(account: string, password: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'interstanza-observer-'));
  world.folder = folder;
  writeFileSync(join(folder, 'secret'), `${password}\n`, { mode: 0o600 });
  const file = join(folder, 'config.yaml');
  const { host, port } = world.server!;
  writeFileSync(
    file,
    `domains:
  ${DOMAIN}:
    upstreams: [xmpp://${host}:${port}]
    features:
      mucsub:
        allowSubscription: true
        observer: { account: ${account}, passwordFile: secret }
`,
  );
  return file;
}

async function start(account: string, password: string): Promise<RunningProxy> {
  const { host, port } = world.server!;
  const args = ['--config', configured(account, password)];
  return RunningProxy.start({ domain: DOMAIN, upstream: `xmpp://${host}:${port}`, args });
}

const isReady =
  (proxy: RunningProxy, times = 1) =>
  () =>
    proxy.logs.filter(({ msg }) => msg === 'observer-ready').length >= times;

async function session(account: Account, direct = false, resource?: string): Promise<RawClient> {
  const server = world.server!;
  const port = direct ? server.port : world.proxy!.address(0).port;
  const client = await RawClient.login(
    { host: '127.0.0.1', port, domain: DOMAIN },
    account,
    resource === undefined ? {} : { resource },
  );
  cutAfterwards(client);
  await client.becomeAvailable();
  return client;
}

const newSession = async (hint: string) => session(await newAccount(world.server!, hint));

const codes = (presence: Element) =>
  (presence.getChild('x', `${MUC}#user`)?.getChildren('status') ?? []).map(({ attrs }) => attrs.code);

async function join_(client: RawClient, room: string, nick: string): Promise<void> {
  client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`);
  await client.presence(
    (each) => each.attrs.from === `${room}/${nick}` && codes(each).includes('110'),
    `own presence in ${room}`,
  );
  await client.message(({ attrs }) => attrs.from === room, 'the subject');
}

const configure = (owner: RawClient, room: string, options: Record<string, string>) => {
  const fields = Object.entries({ FORM_TYPE: `${MUC}#roomconfig`, ...options }).map(
    ([name, value]) => `<field var='${name}'><value>${value}</value></field>`,
  );
  const form = `<x xmlns='${DATA}' type='submit'>${fields.join('')}</x>`;
  return owner.iq('set', `<query xmlns='${MUC}#owner'>${form}</query>`, `to='${room}'`);
};

/** A room with somebody in it who does not come by the proxy, and so sees all who are there. */
async function newRoom(options: Record<string, string> = {}) {
  const owner = await session(await newAccount(world.server!, 'olga'), true);
  const room = `observed-${uniqueId()}@${world.server!.muc}`;
  await join_(owner, room, 'olga');
  const answer = await configure(owner, room, { 'muc#roomconfig_persistentroom': '1', ...options });
  expect(answer.attrs.type).toBe('result');
  return { owner, room };
}

const isThere = (room: string, nick: string, type?: string) => (presence: Element) =>
  presence.attrs.from === `${room}/${nick}` && presence.attrs.type === type;

async function subscribe(client: RawClient, room: string, nick: string, nodes = ['messages']): Promise<void> {
  const events = nodes.map((node) => `<event node='${NODES}${node}'/>`).join('');
  const request = `<subscribe xmlns='${MUCSUB}' nick='${nick}'>${events}</subscribe>`;
  expect((await client.iq('set', request, `to='${room}'`)).attrs.type).toBe('result');
}

/** Its ghost has left, seen from the room: the observer hears for it. */
const handedOver = (owner: RawClient, room: string, nick: string) =>
  owner.presence(isThere(room, nick, 'unavailable'), `the ghost of ${nick} leaving`, 20_000);

const say = (client: RawClient, room: string, body: string) =>
  client.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`);

function inner(message: Element, node = 'messages'): Element | undefined {
  const items = message.getChild('event', EVENT)?.getChild('items');
  return items?.attrs.node === NODES + node ? items.getChild('item')?.getChildElements()[0] : undefined;
}

const bodyOf = (message: Element) => inner(message)?.getChildText('body') ?? undefined;
const event = (client: RawClient, body: string) =>
  client.message((message) => bodyOf(message) === body, `an event "${body}"`);

/** All events that have come, up to a message of another kind that is sent behind them. */
async function eventsUpTo(client: RawClient, from: RawClient): Promise<string[]> {
  const mark = uniqueId();
  from.send(`<message type='chat' to='${client.bareJid}'><body>${mark}</body></message>`);
  const bodies: string[] = [];
  for (;;) {
    const message = await client.message(
      (each) => bodyOf(each) !== undefined || each.getChildText('body') === mark,
    );
    const body = bodyOf(message);
    if (body === undefined) return bodies;
    bodies.push(body);
  }
}

describe.skipIf(MISSING !== undefined)('MUC/Sub with an observer', { timeout: 60_000 }, () => {
  beforeAll(async () => {
    world.server = await startProsody({ domain: DOMAIN, roomAdmin: `${OBSERVER}@${DOMAIN}` });
    const observer = { ...(await newAccount(world.server, 'x')), name: OBSERVER };
    world.password = observer.password;
    const client = await RawClient.connect({ host: '127.0.0.1', port: world.server.port, domain: DOMAIN });
    await client.openStream();
    await client.register(observer);
    client.stream.cut();
    world.proxy = await start(OBSERVER, observer.password);
    await until('the observer', isReady(world.proxy), 20_000);
  }, 60_000);

  afterAll(async () => {
    await world.proxy?.dispose();
    await world.server?.dispose();
    if (world.folder !== undefined) rmSync(world.folder, { recursive: true, force: true });
  });

  afterEach(() => {
    expect(world.proxy?.output).not.toContain('session-fault');
    expect(world.proxy?.output).not.toContain(world.password);
  });

  test('a room is heard once for all who have subscribed, and a ghost is there only while its subscriber speaks', async () => {
    const { owner, room } = await newRoom();
    const [sam, sue] = [await newSession('sam'), await newSession('sue')];
    await subscribe(sam, room, 'sammy');
    await subscribe(sue, room, 'susan');
    await owner.presence(isThere(room, NICK), 'the observer');
    await handedOver(owner, room, 'sammy');
    await handedOver(owner, room, 'susan');
    for (const body of ['one', 'two', 'three']) say(owner, room, body);
    for (const client of [sam, sue]) {
      const first = await event(client, 'one');
      expect(first.attrs).toMatchObject({ from: room, to: client.bareJid });
      expect(inner(first)?.attrs).toMatchObject({
        from: `${room}/olga`,
        to: client.bareJid,
        type: 'groupchat',
      });
      await event(client, 'two');
      await event(client, 'three');
    }
    say(sam, room, 'from me');
    expect((await owner.body('from me')).attrs.from).toBe(`${room}/sammy`);
    for (const client of [sam, sue]) await event(client, 'from me');
    for (const client of [sam, sue]) expect(await eventsUpTo(client, owner)).toEqual([]);
  });

  test('to who comes by the proxy the observer is not there', async () => {
    const { owner, room } = await newRoom();
    const sam = await newSession('sam');
    await subscribe(sam, room, 'sammy');
    await owner.presence(isThere(room, NICK), 'the observer');
    const bob = await newSession('bob');
    const seen: string[] = [];
    bob.send(`<presence to='${room}/bobby'><x xmlns='${MUC}'/></presence>`);
    while (seen.at(-1) !== 'bobby')
      seen.push(
        String((await bob.presence(({ attrs }) => String(attrs.from).startsWith(room))).attrs.from).split(
          '/',
        )[1]!,
      );
    expect(seen.sort()).toEqual(['bobby', 'olga']);
  });

  test('while a client is in the room it has plain groupchat, and events again when it has left', async () => {
    const { owner, room } = await newRoom();
    const sam = await newSession('sam');
    await subscribe(sam, room, 'sammy');
    await handedOver(owner, room, 'sammy');
    await join_(sam, room, 'sammy');
    say(owner, room, 'plain');
    expect(
      (await sam.message((each) => each.attrs.type === 'groupchat' || bodyOf(each) !== undefined)).attrs.type,
    ).toBe('groupchat');
    sam.send(`<presence to='${room}/sammy' type='unavailable'/>`);
    await sam.presence(isThere(room, 'sammy', 'unavailable'), 'own leaving');
    say(owner, room, 'away');
    await event(sam, 'away');
  });

  test('who is made an outcast hears nothing any more, nor is subscribed', async () => {
    const { owner, room } = await newRoom();
    const [sam, sue] = [await newSession('sam'), await newSession('sue')];
    await subscribe(sam, room, 'sammy');
    await subscribe(sue, room, 'susan');
    await handedOver(owner, room, 'sammy');
    await handedOver(owner, room, 'susan');
    const item = `<item jid='${sam.bareJid}' affiliation='outcast'/>`;
    await owner.iq('set', `<query xmlns='${MUC}#admin'>${item}</query>`, `to='${room}'`);
    say(owner, room, 'secret');
    await event(sue, 'secret');
    expect(await eventsUpTo(sam, owner)).toEqual([]);
    const list = await sam.iq('get', `<subscriptions xmlns='${MUCSUB}'/>`, `to='${world.server!.muc}'`);
    expect(list.getChild('subscriptions', MUCSUB)?.children).toEqual([]);
  });

  test('of a room that becomes members-only members hear what is said, and others do not', async () => {
    const { owner, room } = await newRoom();
    const [sam, sue] = [await newSession('sam'), await newSession('sue')];
    await subscribe(sam, room, 'sammy');
    await subscribe(sue, room, 'susan');
    await handedOver(owner, room, 'sammy');
    await handedOver(owner, room, 'susan');
    const affiliate = (affiliation: string) =>
      owner.iq(
        'set',
        `<query xmlns='${MUC}#admin'><item jid='${sue.bareJid}' affiliation='${affiliation}'/></query>`,
        `to='${room}'`,
      );
    await affiliate('member');
    await configure(owner, room, { 'muc#roomconfig_membersonly': '1' });
    say(owner, room, 'for members');
    await event(sue, 'for members');
    expect(await eventsUpTo(sam, owner)).toEqual([]);
    await affiliate('none');
    say(owner, room, 'for fewer');
    await owner.body('for fewer');
    expect(await eventsUpTo(sue, owner)).toEqual([]);
  });

  test('real JIDs are in events only where the room shows them to all', async () => {
    for (const [whois, isShown] of [
      ['moderators', false],
      ['anyone', true],
    ] as const) {
      const { owner, room } = await newRoom({ 'muc#roomconfig_whois': whois });
      const sam = await newSession('sam');
      await subscribe(sam, room, 'sammy', ['presence', 'messages']);
      await handedOver(owner, room, 'sammy');
      const bob = await newSession('bob');
      await join_(bob, room, 'bobby');
      const message = await sam.message(
        (each) => inner(each, 'presence')?.attrs.from === `${room}/bobby`,
        'an event of his joining',
      );
      const item = inner(message, 'presence')?.getChild('x', `${MUC}#user`)?.getChild('item');
      expect(item?.attrs.jid).toBe(isShown ? bob.jid : undefined);
      expect(item?.attrs.affiliation).toBe('none');
    }
  });

  test('who becomes a member without being there is an event where real JIDs are shown to all', async () => {
    for (const [whois, isShown] of [
      ['moderators', false],
      ['anyone', true],
    ] as const) {
      const { owner, room } = await newRoom({ 'muc#roomconfig_whois': whois });
      const sam = await newSession('sam');
      await subscribe(sam, room, 'sammy', ['affiliations', 'messages']);
      await handedOver(owner, room, 'sammy');
      const { bareJid } = await newSession('bob');
      const item = `<item jid='${bareJid}' affiliation='member'/>`;
      await owner.iq('set', `<query xmlns='${MUC}#admin'>${item}</query>`, `to='${room}'`);
      say(owner, room, 'then');
      const next = await sam.message((each) => each.getChild('event', EVENT) !== undefined, 'an event');
      const change = inner(next, 'affiliations')?.getChild('x', `${MUC}#user`)?.getChild('item');
      expect(change?.attrs).toEqual(
        isShown ? expect.objectContaining({ jid: bareJid, affiliation: 'member' }) : undefined,
      );
    }
  });

  test('what is said while nobody is there waits, in order, and comes once', async () => {
    const { owner, room } = await newRoom();
    const account = await newAccount(world.server!, 'sam');
    const sam = await session(account);
    await subscribe(sam, room, 'sammy');
    await handedOver(owner, room, 'sammy');
    await sam.close();
    const said = Array.from({ length: 20 }, (_, n) => `while away ${n}`);
    for (const body of said) say(owner, room, body);
    await owner.body('while away 19');
    const again = await session(account);
    await event(again, 'while away 0');
    say(owner, room, 'now');
    const heard = ['while away 0'];
    while (heard.at(-1) !== 'now')
      heard.push(bodyOf(await again.message((each) => bodyOf(each) !== undefined)) ?? '');
    expect(heard).toEqual([...said, 'now']);
  });

  test('when the observer is lost ghosts take over, and when it is back it does: nothing is lost or comes twice', async () => {
    const { owner, room } = await newRoom({ 'muc#roomconfig_enablearchiving': '1' });
    const sam = await newSession('sam');
    await subscribe(sam, room, 'sammy');
    await handedOver(owner, room, 'sammy');
    const proxy = world.proxy!;
    const before = proxy.logs.filter(({ msg }) => msg === 'observer-ready').length;
    const said: string[] = [];
    const speak = () => {
      said.push(`line ${said.length}`);
      say(owner, room, said.at(-1)!);
    };
    for (let i = 0; i < 10; i++) speak();
    // The server has one session for a resource: another one throws the observer out.
    const thief = await session(
      { name: OBSERVER, password: world.password!, domain: DOMAIN, jid: `${OBSERVER}@${DOMAIN}` },
      true,
      'interstanza-observer',
    );
    for (let i = 0; i < 10; i++) speak();
    await owner.presence(isThere(room, 'sammy'), 'the ghost', 20_000);
    for (let i = 0; i < 10; i++) speak();
    thief.stream.cut();
    await until('the observer', isReady(proxy, before + 1), 30_000);
    for (let i = 0; i < 10; i++) speak();
    await handedOver(owner, room, 'sammy');
    for (let i = 0; i < 10; i++) speak();
    const heard: string[] = [];
    while (heard.at(-1) !== said.at(-1))
      heard.push(bodyOf(await sam.message((each) => bodyOf(each) !== undefined)) ?? '');
    expect(heard).toEqual(said);
    expect(await eventsUpTo(sam, owner)).toEqual([]);
  });

  test('where it is no owner, and where it cannot log in, subscribers have their ghosts', async () => {
    const stranger = await newAccount(world.server!, 'stranger');
    const former = world.proxy!;
    for (const password of [stranger.password, 'wrong']) {
      const proxy = await start(stranger.name, password);
      world.proxy = proxy;
      try {
        await until(
          'word of the observer',
          () => proxy.logs.some(({ msg }) => /^observer-/.test(String(msg))),
          20_000,
        );
        const { owner, room } = await newRoom();
        const sam = await newSession('sam');
        await subscribe(sam, room, 'sammy');
        say(owner, room, 'hello');
        await event(sam, 'hello');
      } finally {
        await proxy.dispose();
        world.proxy = former;
      }
    }
  });
});
