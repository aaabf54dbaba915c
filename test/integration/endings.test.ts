import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conditionOf, RawClient } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import { RunningProxy } from './proxy.js';
import {
  cutAfterwards,
  describeRoutes,
  logIn,
  newAccount,
  newSession,
  type Route,
  THROUGH_THE_PROXY,
} from './routes.js';
import { startEjabberd } from './servers/ejabberd.js';
import { startJabberd2 } from './servers/jabberd2.js';
import { freePort } from './servers/ports.js';
import { startProsody } from './servers/prosody.js';
import type { ServerHandle } from './servers/server.js';

/** Two clients of which the second watches the first. */
async function watched(route: Route, options = {}) {
  const alice = await newSession(route, 'alice', options);
  const bob = await newSession(route, 'bob');
  alice.send(`<presence to='${bob.jid}'/>`);
  await bob.presence((presence) => presence.attrs.from === alice.jid);
  const gone = () =>
    bob.presence((presence) => presence.attrs.from === alice.jid && presence.attrs.type === 'unavailable');
  return { alice, bob, gone };
}

describeRoutes('endings', (route) => {
  test('a goodbye is answered by a goodbye, and the contact is told', async () => {
    const { alice, gone } = await watched(route);
    alice.send('</stream:stream>');
    await alice.stream.when('the answer', () => alice.stream.ended);
    await gone();
    alice.stream.halfClose();
    await alice.stream.when('the end of the connection', () => alice.stream.closed);
    expect(alice.stream.faults).toEqual([]);
  });

  test('what was sent right before the goodbye and the FIN is delivered', async () => {
    const { alice, bob, gone } = await watched(route);
    alice.send(`<message to='${bob.jid}' type='chat'><body>last words</body></message></stream:stream>`);
    alice.stream.halfClose();
    await bob.body('last words');
    await gone();
    await alice.stream.when('the end of the connection', () => alice.stream.closed);
  });

  test('a FIN without a goodbye ends the session', async () => {
    const { alice, gone } = await watched(route);
    alice.stream.halfClose();
    await gone();
    await alice.stream.when('the end of the connection', () => alice.stream.closed);
  });

  test('a connection that is cut: the contact is told', async () => {
    const { alice, gone } = await watched(route);
    alice.stream.cut();
    await gone();
  });

  test('a connection that is cut inside a stanza: nothing of it is delivered', async () => {
    const { alice, bob, gone } = await watched(route);
    await alice.stream.writeInPieces(`<message to='${bob.jid}' type='chat'><body>half of`, 1_000);
    alice.stream.cut();
    await gone();
    expect(bob.stream.inbox.filter((each) => each.is('message'))).toEqual([]);
  });

  test('a connection cut during negotiation leaves nothing behind', async () => {
    const account = await newAccount(route.server);
    for (const until of ['connect', 'header', 'auth'] as const) {
      const client = await RawClient.connect(route.plain);
      if (until !== 'connect') await client.openStream();
      if (until === 'auth') await client.authenticate(account);
      client.stream.cut();
    }
    await (await logIn(route, account, { resource: 'r' })).settle();
  });

  test('a stream error of the client ends the stream', async () => {
    const { alice, gone } = await watched(route);
    alice.send(
      `<stream:error><undefined-condition xmlns='${NS.streamErrors}'/></stream:error></stream:stream>`,
    );
    await alice.stream.when('the end of the connection', () => alice.stream.closed);
    await gone();
  });
});

const STARTERS = { prosody: startProsody, ejabberd: startEjabberd, jabberd2: startJabberd2 };

describeRoutes(
  'the server goes away',
  (route) => {
    let server: ServerHandle;
    let proxy: RunningProxy;
    let here: Route;
    beforeAll(async () => {
      server = await STARTERS[route.server.kind]({ domain: route.server.domain });
      proxy = await RunningProxy.inFrontOf(server);
      here = { ...route, server, plain: { ...proxy.address(0), domain: server.domain } };
    });
    afterAll(async () => {
      await proxy?.dispose();
      await server?.dispose();
    });

    test.each(['stop', 'kill'] as const)('by %s: clients are told why, and can come back', async (way) => {
      const account = await newAccount(server, 'alice');
      const plain = await logIn(here, account, { resource: 'plain' });
      const careful = await logIn(here, account, { resource: 'careful', sm: true });
      await plain.becomeAvailable();
      await careful.becomeAvailable();
      try {
        await server[way]();
        for (const client of [plain, careful]) {
          await client.stream.when('the end of the connection', () => client.stream.closed);
          // jabberd2 that is stopped says goodbye without a reason; the others say system-shutdown.
          const silent = server.kind === 'jabberd2' && way === 'stop' && client.stream.ended;
          const reasons = ['system-shutdown', 'remote-connection-failed'];
          const told = client.stream.inbox.find((element) => element.is('error', NS.streams));
          if (told || !silent) expect(reasons).toContain(told && conditionOf(told));
        }
        const refused = cutAfterwards(await RawClient.connect(here.plain));
        await expect(refused.openStream()).rejects.toThrow('remote-connection-failed');
        expect(refused.stream.header?.from).toBe(server.domain);
        await refused.stream.when('the end of the connection', () => refused.stream.closed);
      } finally {
        await server.restart();
      }
      // A new account: a server that is killed may have forgotten what it had just been told.
      await newSession(here, 'alice');
    });
  },
  THROUGH_THE_PROXY,
);

describeRoutes(
  'the proxy goes away',
  (route) => {
    test('SIGTERM: clients are told system-shutdown, their contacts hear of it, and it ends', async () => {
      const proxy = await RunningProxy.inFrontOf(route.server);
      try {
        const here = { ...route, plain: { ...proxy.address(0), domain: route.server.domain } };
        const alice = await newSession(here, 'alice', { sm: true });
        const straight = { ...route, plain: { ...route.plain, port: route.server.port } };
        const bob = await newSession(straight, 'bob');
        alice.send(`<presence to='${bob.jid}'/>`);
        await bob.presence((presence) => presence.attrs.from === alice.jid);
        alice.send(`<message to='${bob.jid}' type='chat'><body>last words</body></message>`);
        await bob.body('last words');
        const before = Date.now();
        proxy.signal('SIGTERM');
        expect(await alice.streamError()).toBe('system-shutdown');
        await bob.presence((each) => each.attrs.from === alice.jid && each.attrs.type === 'unavailable');
        expect((await proxy.exited).code).toBe(0);
        expect(Date.now() - before).toBeLessThan(10_500);
      } finally {
        await proxy.dispose();
      }
    });
  },
  THROUGH_THE_PROXY,
);

describe('a server that is not there', () => {
  test.skipIf(RunningProxy.missing())('is answered remote-connection-failed', async () => {
    const upstream = `xmpp://127.0.0.1:${await freePort()}`;
    const proxy = await RunningProxy.start({ domain: 'nowhere.example', upstream });
    try {
      const client = await RawClient.connect({ ...proxy.address(0), domain: 'nowhere.example' });
      await expect(client.openStream()).rejects.toThrow('remote-connection-failed');
      await client.stream.when('the end of the connection', () => client.stream.closed);
    } finally {
      await proxy.dispose();
    }
  });
});
