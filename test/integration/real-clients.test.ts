import { afterEach, describe, expect, test } from 'vitest';
import type { LibraryClient, LibraryLogin } from './clients/library.js';
import { uniqueId } from './clients/raw.js';
import { slixmppMissing, startSlixmpp } from './clients/slixmpp.js';
import { startXmppJs } from './clients/xmppjs.js';
import { describeRoutes, newAccount, type Route } from './routes.js';
import { until } from './waiting.js';

const lacking = slixmppMissing();
if (lacking && (process.env.CI || process.env.INTERSTANZA_REQUIRE_SERVERS)) throw new Error(lacking);

const LIBRARIES = [
  { library: '@xmpp/client', start: startXmppJs, missing: undefined },
  { library: 'slixmpp', start: startSlixmpp, missing: lacking },
];

const running: LibraryClient[] = [];
afterEach(async () => {
  await Promise.allSettled(running.splice(0).map((client) => client.stop()));
});

async function logIn(
  route: Route,
  start: (login: LibraryLogin) => Promise<LibraryClient>,
  hint: string,
  tls: LibraryLogin['tls'] = 'starttls',
): Promise<LibraryClient> {
  const { name, password, domain } = await newAccount(route.server, hint);
  const { host, port } = tls === 'direct' ? route.tls : route.plain;
  const client = await start({ host, port, domain, name, password, resource: 'real', tls });
  running.push(client);
  return client;
}

describeRoutes('real clients', (route) => {
  const { server, via } = route;
  const managed = server.has.sm || via === 'proxy';

  describe.each(LIBRARIES)('$library', ({ start, missing }) => {
    test.skipIf(missing).each(['starttls', 'direct'] as const)('logs in with %s TLS', async (tls) => {
      const client = await logIn(route, start, 'alice', tls);
      // A client that binds by XEP-0386 gives a tag, and gets a resource that begins with it.
      expect(client.jid).toMatch(/\/real(\/[A-Za-z0-9]{10})?$/);
      await until(`stream management to be ${managed ? 'on' : 'off'}`, () => client.sm === managed);
      // Before the end: jabberd2 answers a goodbye over TLS with a reset.
      expect(client.errors).toEqual([]);
      await client.stop();
    });

    test.skipIf(missing)('roster and ping', async () => {
      const client = await logIn(route, start, 'alice');
      const friend = `friend@${server.domain}`;
      await client.addContact(friend);
      expect(await client.roster()).toEqual([friend]);
      await client.ping(server.domain);
      expect(client.errors).toEqual([]);
    });

    test.skipIf(missing)('a hundred messages each way, all acknowledged', async () => {
      const alice = await logIn(route, start, 'alice');
      const bob = await logIn(route, start, 'bob');
      for (let n = 0; n < 100; n += 1) {
        await alice.message(bob.jid, `to bob ${n}`);
        await bob.message(alice.jid, `to alice ${n}`);
      }
      for (let n = 0; n < 100; n += 1) {
        expect((await bob.received(`to bob ${n}`)).from).toBe(alice.jid);
        expect((await alice.received(`to alice ${n}`)).from).toBe(bob.jid);
      }
      if (managed) expect([await alice.unacknowledged(), await bob.unacknowledged()]).toEqual([0, 0]);
      expect([...alice.errors, ...bob.errors]).toEqual([]);
    });

    test.skipIf(missing)('a long message', async () => {
      const alice = await logIn(route, start, 'alice');
      const bob = await logIn(route, start, 'bob');
      const body = `${'långt & <brett> '.repeat(2_000)}end`;
      await alice.message(bob.jid, body);
      await bob.received(body);
    });

    test.skipIf(missing)('a room', async () => {
      const alice = await logIn(route, start, 'alice');
      const bob = await logIn(route, start, 'bob');
      const room = `room-${uniqueId()}@${server.muc}`;
      await alice.join(room, 'Alice');
      // mu-conference and Prosody hold a new room back until its maker has configured it.
      if (server.kind !== 'jabberd2') {
        await bob.join(room, 'Bob');
        await bob.message(room, 'hello, room', 'groupchat');
        for (const client of [alice, bob]) {
          expect(await client.received('hello, room')).toMatchObject({
            from: `${room}/Bob`,
            type: 'groupchat',
          });
        }
      } else {
        await alice.message(room, 'hello, echo', 'groupchat');
        expect((await alice.received('hello, echo')).from).toBe(`${room}/Alice`);
      }
    });
  });

  test.skipIf(lacking)('one library talks with the other', async () => {
    const alice = await logIn(route, startXmppJs, 'alice');
    const bob = await logIn(route, startSlixmpp, 'bob');
    await alice.message(bob.jid, 'from one');
    await bob.received('from one');
    await bob.message(alice.jid, 'from the other');
    await alice.received('from the other');
  });
});
