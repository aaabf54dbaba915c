/**
 * What a proxy in front of these three servers must take care of, one test for each point. They belong to the
 * server's habits, so each says which server has the habit. Those that a later feature brings with it have
 * their tests with that feature:
 *
 *  | point                                     | comes with                                            |
 *  | ----------------------------------------- | ----------------------------------------------------- |
 *  | 8  `<private/>` vanishes or stays         | routing: what leaves the realm                        |
 *  | 9  whom to trust with ids and delays      | routing, MUC/Sub: reading ids and delays              |
 *  | 10 sessions without presence              | held sessions, ghost occupants                        |
 *  | 11 the same nick by a second session      | fast reconnect, ghost occupants                       |
 *  | 12 when a join is complete                | fast reconnect; the room knowledge has unit tests     |
 *  | 13 self-ping comes back on jabberd2       | fast reconnect; the room knowledge has unit tests     |
 *  | 14 shutdown that looks like destruction   | fast reconnect, MUC/Sub                               |
 *  | 15 silence of other servers               | what waits for answers from other domains             |
 *  | 17 duplicates                             | routing, MUC/Sub: merging what comes twice            |
 */

import { expect, test } from 'vitest';
import { type Account, conditionOf, RawClient, stanzaError } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import { ASK, enter, peopled, RoomModel, resume, SESSION, says, shows } from './fast-reconnect/room.js';
import { type ProxyOptions, RunningProxy } from './proxy.js';
import {
  cutAfterwards,
  describeRoutes,
  logIn,
  newAccount,
  newConnection,
  newSession,
  type Route,
  THROUGH_THE_PROXY,
} from './routes.js';
import { startEjabberd } from './servers/ejabberd.js';
import { startJabberd2 } from './servers/jabberd2.js';
import { startProsody } from './servers/prosody.js';
import type { RealServer } from './servers/server.js';
import { until } from './waiting.js';

const CSI = 'urn:xmpp:csi:0';
const PSA = 'urn:xmpp:psa';

/** The same server, straight. */
const straight = (route: Route): Route => ({ ...route, plain: { ...route.plain, port: route.server.port } });

/** Runs `scenario` with a proxy of its own in front of the server. */
async function withProxy(
  route: Route,
  server: RealServer,
  options: Partial<ProxyOptions>,
  scenario: (here: Route, proxy: RunningProxy) => Promise<void>,
): Promise<void> {
  const proxy = await RunningProxy.inFrontOf(server, options);
  try {
    await scenario({ ...route, server, plain: { ...proxy.address(0), domain: server.domain } }, proxy);
  } finally {
    await proxy.dispose();
  }
}

describeRoutes(
  'care for the server',
  (route) => {
    const { server } = route;

    test('12.1 own the XML: what a stranger behind the server wrote breaks no stream', async () => {
      // ejabberd forwards a prefix of a sender's header undeclared, jabberd2 forwards c:message as it is.
      const mallory = await newSession(straight(route), 'mallory', { header: "xmlns:q='urn:example:q'" });
      const bob = await newSession(route, 'bob', { sm: true });
      mallory.send(`<message to='${bob.jid}' type='chat'><body>unbound</body><q:mark q:of='x'/></message>`);
      mallory.send(
        `<c:message xmlns:c='jabber:client' to='${bob.jid}'><c:body>prefixed</c:body></c:message>`,
      );
      mallory.send(`<message to='${bob.jid}' type='chat'><body>plain</body></message>`);
      await bob.body('plain');
      await bob.settle();
      expect(bob.stream.faults).toEqual([]);
      expect(bob.stream.closed).toBe(false);
    });

    test('12.2 limit before the server does: no stanza freezes or fells it', async () => {
      const alice = await newSession(route, 'alice');
      const bob = await newSession(route, 'bob');
      // Over jabberd2's 65,535 bytes, under the others' limits; there it is delivered, here it is refused.
      const body = 'x'.repeat(66_000);
      alice.send(`<message to='${bob.jid}' type='chat' id='big'><body>${body}</body></message>`);
      if (server.kind === 'jabberd2') {
        const refusal = await alice.expect(
          'a refusal',
          (element) => element.attrs.type === 'error' || element.is('error', NS.streams),
        );
        const told = refusal.is('error') ? conditionOf(refusal) : stanzaError(refusal);
        expect(['policy-violation', 'not-acceptable', 'resource-constraint']).toContain(told);
      } else {
        await bob.body(body, 20_000);
      }
      const deep = await newSession(route, 'deep');
      deep.send(`<message to='${bob.jid}'>${'<a>'.repeat(3_600)}${'</a>'.repeat(3_600)}</message>`);
      expect(await deep.streamError()).toBe('policy-violation');
      await bob.settle();
      await newSession(route, 'after');
    });

    test('12.3 SASL: login through TLS on both sides, whatever the client believes about binding', async () => {
      const upstream = `xmpp://${server.host}:${server.port}?tls=starttls&verify=pin:${server.fingerprint}`;
      await withProxy(route, server, { upstream }, async (here) => {
        const account = await newAccount(server);
        for (const tls of [false, true]) {
          const client = await newConnection(here);
          await client.openStream();
          if (tls) {
            await client.startTls();
            await client.openStream();
          }
          expect(client.mechanisms.filter((name) => name.endsWith('-PLUS') || name === 'EXTERNAL')).toEqual(
            [],
          );
          const mechanism = server.kind === 'jabberd2' ? 'PLAIN' : 'SCRAM-SHA-1';
          await client.authenticate(account, mechanism, '', tls ? 'y' : 'n');
          await client.bind(`tls-${tls}`);
        }
      });
    });

    test('12.3 SASL: a server with another certificate than the pinned one gets no password', async () => {
      const upstream = `xmpp://${server.host}:${server.port}?tls=starttls&verify=pin:${'0'.repeat(64)}`;
      await withProxy(route, server, { upstream }, async (here) => {
        const client = await newConnection(here);
        await expect(client.openStream()).rejects.toThrow('remote-connection-failed');
      });
    });

    test('12.4 one resource per stream: a second bind and an unbind are refused', async () => {
      const alice = await newSession(route, 'alice', { resource: 'one' });
      for (const request of ['bind', 'unbind']) {
        const payload = `<${request} xmlns='${NS.bind}'><resource>${request === 'bind' ? 'two' : 'one'}</resource></${request}>`;
        expect((await alice.iq('set', payload)).attrs.type).toBe('error');
      }
      alice.send(`<message to='${alice.jid}' type='chat'><body>still one</body></message>`);
      await alice.body('still one');
    });

    test('12.5 nonzas: answered by the proxy where the server would say nothing', async () => {
      const alice = await newSession(route, 'alice', { sm: true });
      alice.send(`<r xmlns='${NS.sm}'/>`);
      await alice.expect('an acknowledgement', (element) => element.is('a', NS.sm));
      alice.send(`<inactive xmlns='${CSI}'/>`);
      alice.send(`<active xmlns='${CSI}'/>`);
      await alice.settle();
      await alice.acknowledged();
    });

    test('12.6 do not rely on spelling: a domain in upper case is the same domain', async () => {
      // jabberd2 by itself answers host-unknown.
      const account: Account = await newAccount(server);
      const shouting = { ...route.plain, domain: server.domain.toUpperCase() };
      const client = cutAfterwards(await RawClient.connect(shouting));
      await client.openStream();
      await client.authenticate(account, 'PLAIN');
      expect(await client.bind('here')).toBe(`${account.jid}/here`);
    });

    test('12.7 custom children reach everybody in a room: nothing is put there that is between the proxy and its client', async () => {
      const { room, people } = await peopled(server, 1);
      const [bystander] = people as [RawClient];
      let heard = '';
      bystander.stream.onElement = (element) => {
        heard += element.toString();
      };
      const account = await newAccount(server, 'juliet');
      const model = new RoomModel(room);
      const secrets = new Set<string>();
      /** She enters, goes away with her connection, and comes back for the difference. */
      for (const visit of ['first', 'second']) {
        const client = await RawClient.login(route.plain, account);
        cutAfterwards(client);
        secrets.add(String((await client.enableSm("resume='true'")).attrs.id));
        secrets.add(String(client.stream.header?.id));
        model.listenTo(client);
        await client.becomeAvailable();
        await enter(client, room, 'Juliet', model.last === undefined ? ASK : resume(model.last));
        secrets.add(String(model.last?.session));
        await shows(client, room, 'Juliet', visit === 'first' ? 'away' : 'dnd');
        await says(client, room, `said in the ${visit} visit`);
        client.send(`<message to='${room}/Person0' type='chat'><body>whispered: ${visit}</body></message>`);
        await bystander.body(`whispered: ${visit}`);
        await client.acknowledged();
        if (visit === 'first') {
          await client.close();
          await bystander.presence(({ attrs }) => attrs.type === 'unavailable', 'her leaving');
        }
      }
      // With what shows that it is what she has said and shown that is looked at.
      for (const word of ['away', 'dnd', 'said in the second visit', 'whispered: first'])
        expect(heard).toContain(word);
      expect([...secrets].filter((secret) => secret.length < 6)).toEqual([]);
      expect([...secrets].filter((secret) => heard.includes(secret))).toEqual([]);
      for (const namespace of [SESSION, NS.sm, PSA, 'urn:xmpp:mucsub', 'urn:interstanza'])
        expect(heard).not.toContain(namespace);
      bystander.stream.cut();
    });

    test('12.16 stream management upstream: counted exactly for clients with and without', async () => {
      const alice = await newSession(route, 'alice', { sm: true });
      const bob = await newSession(route, 'bob');
      // Prosody asks for an acknowledgement after every stanza and ends a session that counts too far.
      for (let n = 0; n < 300; n += 1) {
        alice.send(`<message to='${bob.jid}' type='chat'><body>a${n}</body></message>`);
        bob.send(`<message to='${alice.jid}' type='chat'><body>b${n}</body></message>`);
        if (n % 50 === 49) await Promise.all([alice.settle(), bob.settle()]);
      }
      await Promise.all([bob.body('a299'), alice.body('b299'), alice.acknowledged()]);
      await Promise.all([alice.settle(), bob.settle()]);
    });

    test('12.16 stream management: a count beyond what was sent ends the stream of who sends it', async () => {
      const alice = await newSession(route, 'alice', { sm: true });
      alice.send(`<a xmlns='${NS.sm}' h='${(alice.sm?.received ?? 0) + 1_000}'/>`);
      expect(await alice.streamError()).toBe('undefined-condition');
      expect(alice.stream.text).toContain('handled-count-too-high');
    });
  },
  THROUGH_THE_PROXY,
);

describeRoutes(
  'care for ejabberd',
  (route) => {
    test('12.18 one source address: a crowd comes through a backlog of five, PROXY headers on or off', async () => {
      const server = await startEjabberd({ domain: route.server.domain, backlog: 5, proxyHeader: true });
      try {
        const withHeader = (version: string) =>
          `xmpp://127.0.0.1:${server.proxyPort}?tls=off&proxy=${version}`;
        for (const upstream of [`xmpp://127.0.0.1:${server.port}`, withHeader('v1'), withHeader('v2')]) {
          await withProxy(route, server, { upstream }, async (here) => {
            const account = await newAccount(server);
            const crowd = Array.from({ length: 40 }, (_, n) => logIn(here, account, { resource: `r${n}` }));
            for (const client of await Promise.all(crowd)) await client.settle();
          });
        }
      } finally {
        await server.dispose();
      }
    });
  },
  { via: ['proxy'], kinds: ['ejabberd'] },
);

describeRoutes(
  'care for Prosody',
  (route) => {
    test('12.19 rate: one user who is throttled holds back nobody else, nor his own other session', async () => {
      const server = await startProsody({ domain: route.server.domain, rateLimit: '10kb/s' });
      try {
        await withProxy(route, server, {}, async (here) => {
          const account = await newAccount(server, 'alice');
          const [desk, phone] = [
            await logIn(here, account, { resource: 'desk' }),
            await logIn(here, account, { resource: 'phone' }),
          ];
          const bob = await newSession(here, 'bob');
          const before = Date.now();
          for (let n = 0; n < 60; n += 1) {
            desk.send(
              `<message to='${bob.jid}' type='headline'><body>${n} ${'x'.repeat(1_000)}</body></message>`,
            );
          }
          const throttled = desk.settle().then(() => Date.now() - before);
          await Promise.all([phone.settle(), bob.settle()]);
          const others = Date.now() - before;
          const own = await throttled;
          expect(own).toBeGreaterThan(3_000);
          expect(others).toBeLessThan(own / 2);
        });
      } finally {
        await server.dispose();
      }
    });
  },
  { via: ['proxy'], kinds: ['prosody'] },
);

describeRoutes(
  'care for jabberd2',
  (route) => {
    test('12.18 leftovers: a client never sees the internal-server-error of an earlier connection', async () => {
      const account = await newAccount(route.server);
      for (let n = 0; n < 60; n += 1) {
        const client = await RawClient.connect(route.plain);
        await client.openStream();
        await client.authenticate(account);
        await client.bind(`r${n % 3}`);
        client.send('<presence/>');
        client.stream.cut();
      }
    });

    test("12.20 failed='1': one's own stanzas that come back are errors, and the session is given up", async () => {
      const server = await startJabberd2({ domain: route.server.domain });
      try {
        await withProxy(route, server, {}, async (here) => {
          const alice = await newSession(here, 'alice');
          await server.forgetSessions();
          const answer = await alice
            .iq('get', "<query xmlns='jabber:iq:version'/>", `to='${server.domain}'`)
            .then(
              (element) => element.attrs.type,
              () => 'closed',
            );
          expect(['error', 'closed']).toContain(answer);
          expect(['system-shutdown', 'remote-connection-failed']).toContain(await alice.streamError());
          await until('a new login', () => newSession(here, 'again').catch(() => undefined), 20_000, 200);
        });
      } finally {
        await server.dispose();
      }
    });
  },
  { via: ['proxy'], kinds: ['jabberd2'] },
);
