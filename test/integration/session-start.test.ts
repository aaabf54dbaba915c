import { randomUUID } from 'node:crypto';
import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { BIND2, CARBONS, FAST, find, OneStepClient, SASL2, START } from './clients/one-step.js';
import { type Account, uniqueId } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import type { Mechanism } from './clients/sasl.js';
import {
  cutAfterwards,
  describeRoutes,
  newAccount,
  newSession,
  type Route,
  THROUGH_THE_PROXY,
} from './routes.js';

const connect = async (route: Route) => {
  const client = await OneStepClient.connect(route.tls);
  cutAfterwards(client.raw);
  return client;
};

const agent = (id: string) => `<user-agent id='${id}'><software>test</software></user-agent>`;
const synced = (client: OneStepClient) =>
  client
    .hear('the end of the catch-up', (element) => element.getChild('synced', START) !== undefined, 30_000)
    .then((element) => element.getChild('synced', START)!);
const bind = (inside: string) => `<bind xmlns='${BIND2}'><tag>Test</tag>${inside}</bind>`;
const ENABLE = `<enable xmlns='${NS.sm}' resume='true'/>`;
const COPIES = `<enable xmlns='${CARBONS}'/>`;
const leave = (inside: string) => `<session-start xmlns='${START}'>${inside}</session-start>`;

describeRoutes(
  'session start',
  (route) => {
    const { server } = route;
    const mechanisms: Mechanism[] =
      server.kind === 'jabberd2' ? ['PLAIN', 'DIGEST-MD5'] : ['PLAIN', 'SCRAM-SHA-1'];

    test('SASL2 is offered with the mechanisms of the old list', async () => {
      const client = await connect(route);
      client.say(client.header());
      const features = await client.hear('features', (element) => element.is('features', NS.streams));
      const names = (list: Element | undefined) =>
        list?.getChildren('mechanism').map((each) => each.getText());
      const authentication = features.getChild('authentication', SASL2);
      expect(names(authentication)).toEqual(names(features.getChild('mechanisms', NS.sasl)));
      expect(names(authentication)).toEqual(expect.arrayContaining(mechanisms));
    });

    for (const mechanism of mechanisms) {
      test(`${mechanism}: everything in one request, and then a session like any other`, async () => {
        const account = await newAccount(server, 'alice');
        const bob = await newSession(route, 'bob');
        const id = randomUUID();
        const alice = await connect(route);
        const success = await alice.start(
          account,
          mechanism,
          agent(id) + bind(`${COPIES}${ENABLE}<inactive xmlns='urn:xmpp:csi:0'/>`),
          account.jid,
        );
        expect(alice.raw.jid).toMatch(new RegExp(`^${account.jid}/Test/[A-Za-z0-9]{10}$`));
        expect(find(success, 'enabled')?.attrs.resume).toBe('true');
        expect(find(success, 'metadata') !== undefined).toBe(server.has.mam);
        await alice.hear(
          'features behind success',
          (element) => element.is('features', NS.streams) && element.getChild('mechanisms') === undefined,
        );
        expect(alice.roundTrips).toBe(mechanism === 'PLAIN' ? 1 : 2);
        alice.say('<presence/>');
        bob.send(`<message to='${alice.raw.jid}' type='chat'><body>hello</body></message>`);
        await alice.raw.body('hello');
        alice.say(`<message to='${bob.jid}' type='chat'><body>hi</body></message>`);
        await bob.body('hi');
        await alice.raw.acknowledged();
        // The same installation has the same resource.
        alice.raw.stream.cut();
        const again = await connect(route);
        await again.start(account, mechanism, agent(id) + bind(''), account.jid);
        expect(again.raw.jid).toBe(alice.raw.jid);
      });
    }

    test('a wrong password is refused, and the right one taken on the same stream', async () => {
      const account = await newAccount(server, 'alice');
      const client = await connect(route);
      await expect(client.start({ ...account, password: 'wrong' }, 'PLAIN', bind(''))).rejects.toThrow(
        /not-authorized/,
      );
      const initial = Buffer.from(`\0${account.name}\0${account.password}`).toString('base64');
      client.say(
        `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>${initial}</initial-response>${bind('')}</authenticate>`,
      );
      const success = await client.hear('success', (element) => element.is('success', SASL2));
      expect(success.getChildText('authorization-identifier')).toContain(`${account.jid}/Test/`);
    });

    test('a session that is held is resumed in the request', async () => {
      const account = await newAccount(server, 'alice');
      const bob = await newSession(route, 'bob');
      const id = randomUUID();
      const first = await connect(route);
      const success = await first.start(account, 'PLAIN', agent(id) + bind(ENABLE));
      const previd = String(find(success, 'enabled')?.attrs.id);
      first.say('<presence/>');
      await first.raw.settle();
      const { received } = first.raw.sm!;
      first.raw.stream.cut();
      bob.send(`<message to='${first.raw.jid}' type='chat'><body>missed</body></message>`);
      const back = await connect(route);
      const resumed = await back.start(
        account,
        'PLAIN',
        `${agent(id)}<resume xmlns='${NS.sm}' previd='${previd}' h='${received}'/>${bind(ENABLE)}`,
      );
      expect(resumed.getChild('resumed', NS.sm)?.attrs.previd).toBe(previd);
      expect(back.raw.jid).toBe(first.raw.jid);
      expect(resumed.getChild('bound', BIND2)).toBeUndefined();
      await back.raw.body('missed');
      expect(back.roundTrips).toBe(1);
      // XEP-0198 §9.2: no features behind it.
      await back.raw.settle();
      expect(back.received.filter((element) => element.is('features', NS.streams)).length).toBe(1);
    });

    test('one that is not: the same request binds', async () => {
      const account = await newAccount(server, 'alice');
      const client = await connect(route);
      const success = await client.start(
        account,
        'PLAIN',
        `${agent(randomUUID())}<resume xmlns='${NS.sm}' previd='unknown' h='0'/>${bind(ENABLE)}`,
      );
      expect(success.getChild('failed', NS.sm)?.getChildElements()[0]?.name).toBe('item-not-found');
      expect(find(success, 'enabled')?.attrs.resume).toBe('true');
    });

    const rooms = () => {
      const run = uniqueId();
      const jids = Array.from({ length: 5 }, (_, n) => `room-${run}-${n}@${server.muc}`);
      return {
        jids,
        xml: jids
          .map(
            (jid) =>
              `<room jid='${jid}' nick='alice'><history xmlns='http://jabber.org/protocol/muc' maxstanzas='0'/></room>`,
          )
          .join(''),
      };
    };
    const entered = (client: OneStepClient, jid: string) =>
      client.hear(
        `presence in ${jid}`,
        (element) =>
          element.is('presence') && element.attrs.from === `${jid}/alice` && element.attrs.type !== 'error',
        20_000,
      );

    if (server.has.mam)
      for (const mechanism of mechanisms)
        test(`${mechanism}: archive, offline and live messages exactly once, presence and five rooms, in at most 2 round trips`, async () => {
          const account = await newAccount(server, 'alice');
          const bob = await newSession(route, 'bob');
          const inbox = async (client: OneStepClient, inline: string) =>
            client.start(
              account,
              mechanism,
              agent(randomUUID()) + bind(COPIES + ENABLE + leave(inline)),
              account.jid,
            );
          // What the client knows already.
          bob.send(`<message to='${account.jid}' type='chat' id='known'><body>known</body></message>`);
          const before = await connect(route);
          const dropped = async () => {
            const metrics = await (await fetch(new URL('/metrics', route.proxy?.admin))).text();
            return Number(
              /stanza_dropped_total\{[^}]*archive-duplicate-dropped[^}]*\} (\d+)/.exec(metrics)?.[1] ?? 0,
            );
          };
          const offline = await dropped();
          const known = await inbox(before, "<archive seconds='3600'/><presence xmlns='jabber:client'/>");
          expect(find(known, 'end')?.attrs.id).toBeDefined();
          const mark = await synced(before);
          expect(mark.attrs.gap).toBeUndefined();
          await before.raw.settle();
          expect(before.given()).toEqual([{ how: 'archive', body: 'known' }]);
          await before.raw.close();
          // Missed: more than one page, all of it stored for delivery too.
          const said: string[] = [];
          const say = (body: string) => {
            said.push(body);
            bob.send(`<message to='${account.jid}' type='chat' id='${body}'><body>${body}</body></message>`);
          };
          for (let n = 0; n < 130; n += 1) say(`missed ${n}`);
          await bob.settle();
          const chatter = setInterval(() => say(`meanwhile ${said.length}`), 3);
          const { jids, xml } = rooms();
          const alice = await connect(route);
          await inbox(
            alice,
            `<archive after='${mark.attrs.last}' queryid='mine'/><presence xmlns='jabber:client'><show>away</show></presence>${xml}`,
          );
          const end = await synced(alice);
          for (const jid of jids) await entered(alice, jid);
          clearInterval(chatter);
          expect(end.attrs.gap).toBeUndefined();
          expect(alice.roundTrips).toBeLessThanOrEqual(2);
          say('the last');
          await alice.raw.expect(
            'the last',
            (element) => element.getChildText('body') === 'the last',
            20_000,
          );
          await alice.raw.settle();
          // The order of the live ones is the server's own: ejabberd sends what it had kept behind what came later.
          const bodies = alice.given().map(({ body }) => body);
          expect(bodies.length - new Set(bodies).size, 'given twice').toBe(0);
          expect(
            said.filter((body) => !bodies.includes(body)),
            'not given at all',
          ).toEqual([]);
          const archived = alice.given().filter(({ how }) => how === 'archive').length;
          expect(archived).toBeGreaterThanOrEqual(130);
          const queryIds = new Set(
            alice.received.flatMap((element) => element.getChild('result')?.attrs.queryid ?? []),
          );
          expect([...queryIds]).toEqual(['mine']);
          // ejabberd sends the offline messages too, and Prosody does not to who has asked the archive.
          if (server.kind === 'ejabberd') expect(await dropped()).toBeGreaterThanOrEqual(offline + 50);
          // Counts are exact all the while.
          await alice.raw.acknowledged();
        }, 120_000);
    else
      test('without an archive: offline messages, and the client is told that there may be a gap', async () => {
        const account = await newAccount(server, 'alice');
        const bob = await newSession(route, 'bob');
        for (let n = 0; n < 3; n += 1)
          bob.send(`<message to='${account.jid}' type='chat'><body>missed ${n}</body></message>`);
        await bob.settle();
        const { jids, xml } = rooms();
        const alice = await connect(route);
        const success = await alice.start(
          account,
          'PLAIN',
          agent(randomUUID()) +
            bind(ENABLE + leave(`<archive seconds='3600'/><presence xmlns='jabber:client'/>${xml}`)),
        );
        expect(find(success, 'session-start')?.attrs.archive).toBe('false');
        expect((await synced(alice)).attrs.gap).toBe('true');
        await alice.raw.body('missed 2');
        for (const jid of jids) await entered(alice, jid);
        expect(alice.roundTrips).toBe(1);
        expect(
          alice
            .given()
            .filter(({ body }) => body.startsWith('missed'))
            .map(({ body }) => body),
        ).toEqual(['missed 0', 'missed 1', 'missed 2']);
      });

    describeTokens(route);
  },
  THROUGH_THE_PROXY,
);

function describeTokens(route: Route) {
  const { server } = route;
  const held = async (mechanism = 'HT-SHA-256-NONE') => {
    const account: Account = await newAccount(server, 'alice');
    const id = randomUUID();
    const client = await connect(route);
    const success = await client.start(
      account,
      'PLAIN',
      `${agent(id)}<request-token xmlns='${FAST}' mechanism='${mechanism}'/>${bind(ENABLE)}`,
      account.jid,
    );
    const token = success.getChild('token', FAST);
    expect(token?.attrs.expiry).toMatch(/^\d{4}-.*Z$/);
    client.say('<presence/>');
    await client.raw.settle();
    const previd = String(find(success, 'enabled')?.attrs.id);
    const handled = client.raw.sm!.received;
    const resume = (h = handled) => `${agent(id)}<resume xmlns='${NS.sm}' previd='${previd}' h='${h}'/>`;
    return { account, id, client, token: String(token?.attrs.token), resume };
  };

  test('a token that is bound to the certificate resumes too, and only with the binding', async () => {
    const { account, client, token, resume } = await held('HT-SHA-256-ENDP');
    client.raw.stream.cut();
    const without = await connect(route);
    expect((await without.resume(account, token, resume())).name).toBe('failure');
    const back = await connect(route);
    const success = await back.resume(account, token, resume(), undefined, back.raw.stream.certificate);
    expect(success.name).toBe('success');
    expect(back.roundTrips).toBe(1);
  });

  test('a token resumes a session in one round trip, without SASL; it stays good until the next one is used', async () => {
    const { account, client, token, resume } = await held();
    const bob = await newSession(route, 'bob');
    client.raw.stream.cut();
    bob.send(`<message to='${client.raw.jid}' type='chat'><body>missed</body></message>`);
    const back = await connect(route);
    const success = await back.resume(account, token, resume());
    expect(success.name).toBe('success');
    expect(success.getChild('resumed', NS.sm)).toBeDefined();
    expect(success.getChildText('authorization-identifier')).toBe(client.raw.jid);
    await back.raw.body('missed');
    expect(back.roundTrips).toBe(1);
    // It works like any other, and the next one is new.
    bob.send(`<message to='${client.raw.jid}' type='chat'><body>more</body></message>`);
    await back.raw.body('more');
    const next = String(success.getChild('token', FAST)?.attrs.token);
    expect(next).not.toBe(token);
    back.raw.stream.cut();
    const again = await connect(route);
    const second = await again.resume(account, next, resume(back.raw.sm?.received), 1);
    expect(second.name).toBe('success');
    expect(again.roundTrips).toBe(1);
    again.raw.stream.cut();
    const thief = await connect(route);
    const refused = await thief.resume(account, token, resume());
    expect(refused.name).toBe('failure');
    expect(refused.getChild('not-authorized', NS.sasl)).toBeDefined();
  });

  test('a wrong token, another installation, another account: refused, and the password still works', async () => {
    const { account, client, token, resume } = await held();
    client.raw.stream.cut();
    const other = await newAccount(server, 'mallory');
    const wrong: [Account, string, string][] = [
      [account, `${token}x`, resume()],
      [account, token, resume().replace(/id='[^']*'/, `id='${randomUUID()}'`)],
      [other, token, resume()],
      [account, token, ''],
    ];
    for (const [who, what, inline] of wrong) {
      const stranger = await connect(route);
      const refused = await stranger.resume(who, what, inline);
      expect(refused.name).toBe('failure');
      stranger.raw.stream.cut();
    }
    const back = await connect(route);
    expect((await back.resume(account, `${token}x`, resume())).name).toBe('failure');
    const initial = Buffer.from(`\0${account.name}\0${account.password}`).toString('base64');
    back.say(
      `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>${initial}</initial-response>${resume()}${bind(ENABLE)}</authenticate>`,
    );
    const success = await back.hear('success', (element) => element.is('success', SASL2));
    expect(success.getChild('resumed', NS.sm)).toBeDefined();
    expect(back.roundTrips).toBe(2);
  });

  test('a token for a session that is over opens none', async () => {
    const { account, client, token, resume } = await held();
    await client.raw.close();
    const back = await connect(route);
    const refused = await back.resume(account, token, resume() + bind(ENABLE));
    expect(refused.name).toBe('failure');
    expect(refused.getChild('credentials-expired', NS.sasl)).toBeDefined();
  });
}
