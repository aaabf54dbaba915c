import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Element } from 'ltx';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { logInOverBosh } from './clients/bosh.js';
import { type Account, RawClient, uniqueId } from './clients/raw.js';
import { slixmppMissing, startSlixmpp } from './clients/slixmpp.js';
import { startStanza } from './clients/stanza.js';
import { RunningProxy } from './proxy.js';
import { cutAfterwards, newAccount } from './routes.js';
import { type Federation, startFederation } from './servers/federation.js';
import { prosodyMissing } from './servers/prosody.js';
import type { RealServer } from './servers/server.js';
import { until } from './waiting.js';

const PSA = 'urn:xmpp:psa';
const DISCO = 'http://jabber.org/protocol/disco#info';
const MUC = 'http://jabber.org/protocol/muc';
const SM = 'urn:xmpp:sm:3';
/** Of a client that is asked itself. */
const CAPS = `<c xmlns='http://jabber.org/protocol/caps' node='urn:example:scripted' ver='1'/>`;
/** How soon after the proxy has been able to know something its clients have to. */
const SOON_MS = 2_000;
const PROBE_EVERY_S = 3;
const PROBE_TIMEOUT_S = 1;
const HOLD_S = 6;

const strict = Boolean(process.env.CI || process.env.INTERSTANZA_REQUIRE_SERVERS);
const missing = prosodyMissing() ?? RunningProxy.missing();

let federation: Federation;
let proxy: RunningProxy;
let folder: string;

beforeAll(async () => {
  if (missing !== undefined) {
    if (strict) throw new Error(missing);
    return;
  }
  folder = mkdtempSync(join(tmpdir(), 'interstanza-psa-'));
  federation = await startFederation();
  const { near } = federation;
  const config = join(folder, 'interstanza.yaml');
  const lines = [
    'domains:',
    `  ${near.domain}:`,
    `    upstreams: ['xmpp://${near.host}:${near.port}']`,
    `    hold: { seconds: ${HOLD_S} }`,
    '    features:',
    `      presence-annotations: { probes: { every: ${PROBE_EVERY_S}, timeout: ${PROBE_TIMEOUT_S} } }`,
  ];
  writeFileSync(config, lines.join('\n'));
  proxy = await RunningProxy.inFrontOf(near, {
    listen: ['xmpp://127.0.0.1:0?tls=optional', 'http://127.0.0.1:0/http-bind'],
    args: ['--config', config],
  });
});

afterAll(async () => {
  await proxy?.dispose();
  await federation?.dispose();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

type Side = 'near' | 'far';

/** Through the proxy on the near side, straight on the far one. */
const endpoint = (side: Side) => {
  const { domain, host, port } = federation[side];
  return side === 'far' ? { domain, host, port } : { domain, ...proxy.address(0) };
};

const account = (side: Side, name: string): Promise<Account> =>
  newAccount(federation[side] as RealServer, name);

async function session(side: Side, of: Account, resource?: string): Promise<RawClient> {
  return cutAfterwards(await RawClient.login(endpoint(side), of, resource === undefined ? {} : { resource }));
}

/** Answers what it is asked about its capabilities from now on. */
function answersDisco(client: RawClient, ...features: readonly string[]): void {
  const before = client.stream.onElement;
  client.stream.onElement = (element) => {
    before?.(element);
    const query = element.getChild('query', DISCO);
    if (!element.is('iq') || element.attrs.type !== 'get' || query === undefined) return;
    const { id, from } = element.attrs;
    const node = query.attrs.node === undefined ? '' : ` node='${query.attrs.node}'`;
    const list = features.map((feature) => `<feature var='${feature}'/>`).join('');
    client.send(
      `<iq type='result' id='${id}' to='${from}'><query xmlns='${DISCO}'${node}>${list}</query></iq>`,
    );
  };
}

/** A client that understands annotations, and is known to. */
async function aware(side: Side, of: Account, status = ''): Promise<RawClient> {
  const client = await session(side, of);
  answersDisco(client, PSA);
  await client.becomeAvailable(
    `<presence>${status === '' ? '' : `<status>${status}</status>`}${CAPS}</presence>`,
  );
  await client.settle();
  return client;
}

async function subscribe(a: RawClient, b: RawClient): Promise<void> {
  a.send(`<presence to='${b.bareJid}' type='subscribe'/>`);
  await b.presence((p) => p.attrs.type === 'subscribe' && p.attrs.from === a.bareJid);
  b.send(`<presence to='${a.bareJid}' type='subscribed'/>`);
  b.send(`<presence to='${a.bareJid}' type='subscribe'/>`);
  await a.presence((p) => p.attrs.type === 'subscribe' && p.attrs.from === b.bareJid);
  a.send(`<presence to='${b.bareJid}' type='subscribed'/>`);
  await a.presence((p) => p.attrs.from === b.jid && p.attrs.type === undefined, 'presence of the contact');
  await b.presence((p) => p.attrs.from === a.jid && p.attrs.type === undefined, 'presence of the contact');
}

const annotationOf = (presence: Element) => presence.getChild('state-annotation', PSA);
const says = (state: string | undefined) => (presence: Element) => {
  const annotation = annotationOf(presence);
  if (annotation === undefined) return false;
  return state === undefined
    ? annotation.getChildElements().length === 0
    : annotation.getChild(state) !== undefined;
};

/**
 * The annotation arrives, and how long that took is printed and is not too long.
 * @param since when it could be known; a promise where that is only found out while it is waited for
 */
async function soon(
  client: RawClient,
  from: string,
  state: string | undefined,
  since: number | Promise<number>,
) {
  const what = `${state ?? 'restored'} of ${from}`;
  const fits = (p: Element) => p.attrs.from === from && says(state)(p);
  const arrives = client.presence(fits, what, 30_000).then((presence) => ({ presence, at: Date.now() }));
  const [{ presence, at }, knowable] = await Promise.all([arrives, since]);
  const took = at - knowable;
  console.log(`presence-annotations: ${state ?? 'restored'} shown ${took} ms after it could be known`);
  expect(took).toBeLessThan(SOON_MS);
  return presence;
}

/** Breaks a link that works: the other server is gone, and the first stanza that is returned says so. */
async function failsFor(client: RawClient, to: string): Promise<number> {
  // COMPAT: what Prosody writes before it has heard that the connection is gone is lost without a word.
  let isTold = false;
  const error = client
    .message((m) => m.attrs.type === 'error', 'the error', 20_000)
    .then(() => {
      isTold = true;
      return Date.now();
    });
  const ask = () =>
    client.send(`<message to='${to}' id='${uniqueId()}' type='chat'><body>are you there</body></message>`);
  ask();
  const again = setInterval(() => {
    if (!isTold) ask();
  }, 2_000);
  try {
    return await error;
  } finally {
    clearInterval(again);
  }
}

/** Asks there until there is an answer. @returns when the first came through the proxy, by which it can know that the link is back */
async function answersAgain(client: RawClient, domain: string): Promise<number> {
  return until(
    `an answer of ${domain}`,
    async () => {
      const answer = await client.iq('get', `<query xmlns='${DISCO}'/>`, `to='${domain}'`);
      return answer.attrs.type === 'result' ? Date.now() : undefined;
    },
    30_000,
  );
}

describe.skipIf(missing !== undefined)('two servers and the link between them', () => {
  test('is cut and restored: each client that asks for it sees what cannot be trusted, others nothing', async () => {
    const [romeo, juliet] = [await account('near', 'romeo'), await account('far', 'juliet')];
    const asks = await aware('near', romeo);
    const doesNot = await session('near', romeo);
    await doesNot.becomeAvailable();
    const library = await startStanza({ ...endpoint('near'), ...romeo, resource: 'stanza' });
    const contact = await session('far', juliet, 'orchard');
    await contact.becomeAvailable('<presence><status>Available</status></presence>');
    await subscribe(asks, contact);
    const stranger = await aware('near', await account('near', 'tybalt'));

    await federation.far.kill();
    const known = await failsFor(doesNot, juliet.jid);
    const annotated = await soon(asks, contact.jid, 'server-unavailable', known);
    expect(annotated.getChildText('status')).toBe('Available');
    expect(annotationOf(annotated)?.attrs.from).toBe(federation.near.domain);
    const toLibrary = await until('the annotation for stanza', () =>
      library.received.find((p) => p.attrs.from === contact.jid && says('server-unavailable')(p)),
    );
    expect(toLibrary.getChildText('status')).toBe('Available');

    await federation.far.restart();
    // Nothing says that it is back before somebody asks there.
    await soon(asks, contact.jid, undefined, answersAgain(doesNot, federation.far.domain));
    // Juliet has not come back: what the proxy asks for says so.
    await asks.presence(
      (p) => p.attrs.from === juliet.jid && p.attrs.type === 'unavailable',
      'unavailable of Juliet',
    );
    await doesNot.settle();
    await stranger.settle();
    expect(doesNot.stream.inbox.filter((p) => annotationOf(p) !== undefined)).toEqual([]);
    expect(stranger.stream.inbox.filter((p) => String(p.attrs.from).startsWith(juliet.jid))).toEqual([]);
    library.stop();
  });

  test('freezes without a word, and thaws', async () => {
    const romeo = await aware('near', await account('near', 'romeo'));
    const contact = await session('far', await account('far', 'juliet'), 'orchard');
    await contact.becomeAvailable();
    await subscribe(romeo, contact);
    federation.far.freeze?.(true);
    try {
      // Two probes in a row have to go unanswered.
      const latest = Date.now() + (PROBE_EVERY_S + 2 * PROBE_TIMEOUT_S) * 1000;
      await soon(romeo, contact.jid, 'server-unavailable', latest);
    } finally {
      federation.far.freeze?.(false);
    }
    await soon(romeo, contact.jid, undefined, Date.now());
  });

  test('a paused session is shown to contacts here and elsewhere who ask for it, and to nobody else', async () => {
    const benvolioAccount = await account('near', 'benvolio');
    let benvolio = await session('near', benvolioAccount, 'lane');
    const enabled = await benvolio.enableSm("resume='true'");
    await benvolio.becomeAvailable('<presence><status>He ran this way</status></presence>');
    const romeo = await aware('near', await account('near', 'romeo'));
    const juliet = await aware('far', await account('far', 'juliet'));
    const nurse = await session('far', await account('far', 'nurse'));
    await nurse.becomeAvailable();
    const tybalt = await aware('near', await account('near', 'tybalt'));
    const paris = await aware('far', await account('far', 'paris'));
    for (const contact of [romeo, juliet, nurse]) await subscribe(benvolio, contact);
    // Tybalt is a contact only of Juliet's, and Benvolio has taken back what he let Paris see.
    await subscribe(benvolio, paris);
    benvolio.send(`<presence to='${paris.jid}' type='unavailable'/>`);
    await paris.presence((p) => p.attrs.from === benvolio.jid && p.attrs.type === 'unavailable');
    await benvolio.settle();

    const handled = benvolio.sm?.received ?? 0;
    const from = benvolio.jid;
    benvolio.stream.cut();
    const cut = Date.now();
    const local = await soon(romeo, from, 'connection-paused', cut);
    expect(annotationOf(local)?.attrs.from).toBe(federation.near.domain);
    expect(local.getChildText('status')).toBe('He ran this way');
    const remote = await soon(juliet, from, 'connection-paused', cut);
    expect(remote.getChildText('status')).toBe('He ran this way');

    benvolio = cutAfterwards(await RawClient.connect(endpoint('near')));
    await benvolio.secureAndOpen();
    await benvolio.authenticate(benvolioAccount);
    benvolio.send(`<resume xmlns='${SM}' previd='${enabled.attrs.id}' h='${handled}'/>`);
    await benvolio.expect('resumed', (element) => element.is('resumed', SM));
    const back = Date.now();
    await soon(romeo, from, undefined, back);
    await soon(juliet, from, undefined, back);

    benvolio.stream.cut();
    await soon(romeo, from, 'connection-paused', Date.now());
    for (const contact of [romeo, juliet]) {
      const gone = (p: Element) => p.attrs.from === from && p.attrs.type === 'unavailable';
      const unavailable = await contact.presence(gone, 'unavailable', (HOLD_S + 10) * 1000);
      expect(annotationOf(unavailable)).toBeUndefined();
    }
    for (const other of [nurse, tybalt, paris]) {
      await other.settle();
      expect(other.stream.inbox.filter((p) => p.is('presence') && annotationOf(p))).toEqual([]);
    }
    expect(tybalt.stream.inbox.filter((p) => String(p.attrs.from).startsWith(benvolioAccount.jid))).toEqual(
      [],
    );
  });

  test('a session that is paused by BOSH is shown to be, until it is heard of again', async () => {
    const romeo = await aware('near', await account('near', 'romeo'));
    const web = await logInOverBosh(proxy.urls[1] ?? '', await account('near', 'benvolio'));
    const benvolio = cutAfterwards(web.client);
    await benvolio.becomeAvailable();
    await subscribe(benvolio, romeo);
    await web.carrier.rest(60);
    await soon(romeo, benvolio.jid, 'connection-paused', Date.now());
    web.carrier.wakeUp();
    await soon(romeo, benvolio.jid, undefined, Date.now());
  });

  test.skipIf(slixmppMissing() !== undefined && !strict)(
    'an annotation from elsewhere is shown to a client that knows nothing of them, and taken back',
    async () => {
      const benvolio = await account('near', 'benvolio');
      const login = {
        ...endpoint('near'),
        ...benvolio,
        resource: 'slixmpp',
        tls: 'none',
        presences: true,
      } as const;
      const library = await startSlixmpp(login);
      const juliet = await session('far', await account('far', 'juliet'), 'orchard');
      await juliet.becomeAvailable();
      const paused = `<state-annotation xmlns='${PSA}' from='${federation.far.domain}'><connection-paused/><description>is under way</description></state-annotation>`;
      const forged = `<state-annotation xmlns='${PSA}' from='verona.lit'><server-unavailable/></state-annotation>`;
      const seen = (type: string, status: string) =>
        until(`${type} "${status}"`, () =>
          library.presences.find((p) => p.from === juliet.jid && p.type === type && p.status === status),
        );
      juliet.send(`<presence to='${library.jid}'><status>Ay me</status>${forged}</presence>`);
      await seen('available', 'Ay me');
      juliet.send(`<presence to='${library.jid}'><status>Ay me</status>${paused}</presence>`);
      await seen('away', 'is under way');
      juliet.send(
        `<presence to='${library.jid}'><status>Wherefore</status><state-annotation xmlns='${PSA}' from='${federation.far.domain}'/></presence>`,
      );
      await seen('available', 'Wherefore');
      const metrics = await proxy.metrics();
      expect(metrics.sum('interstanza_feature_decision_total', 'annotation-not-believed')).toBeGreaterThan(0);
      await library.stop();
    },
  );

  test('a room on the other server is entered again for a client that knows nothing, which sees the difference alone', async () => {
    const room = `orchard-${uniqueId()}@${federation.far.muc}`;
    const enter = (nick: string) => `<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`;
    const is = (nick: string, type?: string) => (p: Element) =>
      p.attrs.from === `${room}/${nick}` && p.attrs.type === type;
    const [owner, tybaltAccount] = [await account('far', 'owner'), await account('far', 'tybalt')];
    let host = await session('far', owner, 'host');
    host.send(enter('Host'));
    await host.presence(is('Host'));
    const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field><field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query>`;
    expect((await host.iq('set', form, `to='${room}'`)).attrs.type).toBe('result');
    const tybalt = await session('far', tybaltAccount);
    tybalt.send(enter('Tybalt'));
    await tybalt.presence(is('Tybalt'));

    const romeo = await session('near', await account('near', 'romeo'));
    await romeo.becomeAvailable();
    // Somebody here asks for annotations, so that the other server is asked for a sign of life.
    const watcher = await aware('near', await account('near', 'watcher'));
    for (const [client, nick] of [
      [romeo, 'Romeo'],
      [watcher, 'Watcher'],
    ] as const) {
      client.send(enter(nick));
      await client.presence(is(nick));
      await client.message((m) => m.getChild('subject') !== undefined, 'the subject');
    }
    const say = (client: RawClient, text: string) =>
      client.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${text}</body></message>`);
    say(host, 'before');
    await romeo.body('before');
    await romeo.presence(is('Watcher'));
    romeo.stream.inbox.length = 0;

    await federation.far.kill();
    await failsFor(watcher, `somebody@${federation.far.domain}`);
    await watcher.presence((p) => is('Romeo')(p) && says('server-unavailable')(p), 'the annotation', 15_000);
    await federation.far.restart();
    host = await session('far', owner, 'host');
    host.send(enter('Host'));
    await host.presence(is('Host'));
    say(host, 'while you were away');

    await romeo.body('while you were away', 30_000);
    // Who is not there any more is told to be gone, who still is is not told again, nor what was said before.
    await romeo.presence(is('Tybalt', 'unavailable'), 'the end of Tybalt');
    say(host, 'after');
    await romeo.body('after');
    expect(romeo.stream.inbox.filter((e) => e.is('presence') && is('Romeo')(e))).toEqual([]);
    expect(romeo.stream.inbox.filter((e) => e.getChildText('body') === 'before')).toEqual([]);
    expect(romeo.stream.inbox.filter((e) => annotationOf(e) !== undefined)).toEqual([]);
    await host.presence(is('Romeo'), 'Romeo in the room');
  });
});
