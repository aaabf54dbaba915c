import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type BoshClient, connectBosh, HTTP_BIND, logInOverBosh, post } from './clients/bosh.js';
import type { RawClient } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import { connectWebSocket, logInOverWebSocket } from './clients/web-socket.js';
import { RunningProxy } from './proxy.js';
import {
  cutAfterwards,
  describeRoutes,
  newAccount,
  newConnection,
  newSession,
  type Route,
  THROUGH_THE_PROXY,
} from './routes.js';
import {
  authenticated,
  bodiesOf,
  chat,
  goOnCounting,
  muchIsSaid,
  resumable,
  resume,
  sawNobodyLeave,
} from './web-scenes.js';

describeRoutes(
  'BOSH',
  (route) => {
    const { server } = route;
    let proxy: RunningProxy;
    let url: string;
    let tcp: Route;
    const faults: string[][] = [];
    beforeAll(async () => {
      proxy = await RunningProxy.inFrontOf(server, {
        listen: [
          'http://127.0.0.1:0/http-bind',
          'xmpp://127.0.0.1:0?tls=optional',
          'https://127.0.0.1:0/http-bind',
          'ws://127.0.0.1:0/ws',
        ],
      });
      url = proxy.urls[0]!;
      tcp = { ...route, plain: { ...proxy.address(1), domain: server.domain } };
    });
    afterAll(() => proxy?.dispose());
    afterEach(() => expect(faults.splice(0).flat()).toEqual([]));

    const watched = (web: BoshClient): RawClient => {
      faults.push(web.carrier.faults);
      return cutAfterwards(web.client);
    };

    test('a session like any other: login, chat, the end', async () => {
      const web = await logInOverBosh(url, await newAccount(server, 'alice'), { resource: 'web' });
      const alice = watched(web);
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      alice.send(chat(bob.jid, 'from the web'));
      await bob.body('from the web');
      bob.send(chat(alice.jid, 'to the web &lt;&amp;&gt; 🦄'));
      await alice.body('to the web <&> 🦄');
      await alice.close();
      expect(web.carrier.condition).toBe('none');
      // XEP-0124 §7.2, XEP-0206 §4.
      const { created } = web.carrier;
      expect(created?.attrs).toMatchObject({
        ...{ wait: '60', hold: '1', requests: '2', polling: '5', inactivity: '30', maxpause: '120' },
        ...{ ver: '1.11', from: server.domain, 'xmpp:version': '1.0', 'xmpp:restartlogic': 'true' },
      });
      expect(String(created?.attrs.sid)).toMatch(/^[\w-]{32}$/);
      expect(created?.getChild('features', NS.streams)?.getChild('starttls', NS.tls)).toBeUndefined();
    });

    test('over https, with key sequencing', async () => {
      const web = await logInOverBosh(proxy.urls[2]!, await newAccount(server, 'alice'), {}, { keys: true });
      const alice = watched(web);
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      bob.send(chat(alice.jid, 'hello'));
      await alice.body('hello');
      await alice.close();
    });

    test('many stanzas, both ways, in order', async () => {
      const alice = watched(await logInOverBosh(url, await newAccount(server, 'alice')));
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      await muchIsSaid(alice, bob, 100);
    });

    test('answers are compressed for those who take that', async () => {
      const headers = { 'Accept-Encoding': 'gzip, deflate' };
      const web = await logInOverBosh(url, await newAccount(server, 'alice'), {}, { headers });
      const alice = watched(web);
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      bob.send(chat(alice.jid, 'x'.repeat(40_000)));
      await alice.body('x'.repeat(40_000));
      const answer = web.carrier.answers.at(-1);
      expect(answer?.headers['content-encoding']).toBe('gzip');
      expect(Number(answer?.headers['content-length'])).toBeLessThan(1_000);
      expect(web.carrier.answers[0]?.headers.vary).toContain('Accept-Encoding');
    });

    test('polling: nothing is held', async () => {
      const polled = await post(
        url,
        `<body xmlns='${HTTP_BIND}' rid='7' to='${server.domain}' wait='0' hold='1' ver='1.6'/>`,
      );
      expect(polled.body).toContain("wait='0' requests='2' hold='0'");
      expect(polled.body).toContain("inactivity='75'");
    });

    test('a host that is not served here: BOSH has a word for it, which is all that is said', async () => {
      const web = connectBosh(url, 'nobody.example');
      await expect(watched(web).openStream()).rejects.toThrow();
      expect(web.carrier.condition).toBe('host-unknown');
      expect(web.carrier.answers.at(-1)?.body).not.toContain('stream:error');
    });

    test('left on BOSH, resumed on WebSocket and then on TCP, and back: nothing is missing, nothing comes twice', async () => {
      const account = await newAccount(server, 'alice');
      const first = watched(await logInOverBosh(url, account, { resource: 'web' }));
      const id = await resumable(first);
      const bob = await newSession(tcp, 'bob');
      bob.send(chat(first.jid, 'one'));
      await first.body('one');
      first.stream.cut();
      bob.send(chat(first.jid, 'two'));
      const { client: second } = await connectWebSocket(proxy.urls[3]!, server.domain);
      await resume(await authenticated(cutAfterwards(second), account), first, id);
      await second.body('two');
      goOnCounting(second, first, 1);
      second.stream.cut();
      bob.send(chat(first.jid, 'three'));
      const third = await resume(await authenticated(await newConnection(tcp), account), second, id);
      await third.body('three');
      goOnCounting(third, second, 1);
      third.stream.cut();
      bob.send(chat(first.jid, 'four'));
      const web = connectBosh(url, server.domain);
      const fourth = await resume(await authenticated(watched(web), account), third, id);
      await fourth.body('four');
      expect(bodiesOf(fourth)).toEqual([]);
      fourth.send(chat(bob.jid, 'still here'));
      await bob.body('still here');
      sawNobodyLeave(bob);
    });

    test('a pause: what comes meanwhile waits', async () => {
      const web = await logInOverBosh(url, await newAccount(server, 'alice'));
      const alice = watched(web);
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      await web.carrier.rest(60);
      bob.send(chat(alice.jid, 'during the pause'));
      await bob.settle();
      expect(bodiesOf(alice)).toEqual([]);
      web.carrier.wakeUp();
      await alice.body('during the pause');
    });
  },
  THROUGH_THE_PROXY,
);

describeRoutes(
  'BOSH: the process',
  (route) => {
    test('XEP-0206 §2: what the server ends a stream for is a remote-stream-error, and goes along', async () => {
      const proxy = await RunningProxy.inFrontOf(route.server, {
        listen: ['http://127.0.0.1:0/bosh', 'xmpp://127.0.0.1:0?tls=optional'],
      });
      try {
        const account = await newAccount(route.server, 'alice');
        const web = await logInOverBosh(proxy.urls[0]!, account, { resource: 'one' });
        const alice = cutAfterwards(web.client);
        await alice.becomeAvailable();
        const tcp = { ...route, plain: { ...proxy.address(1), domain: route.server.domain } };
        const other = await authenticated(await newConnection(tcp), account);
        await other.bind('one');
        expect(await alice.streamError()).toBe('conflict');
        await alice.stream.when('the end', () => web.carrier.condition !== undefined);
        expect(web.carrier.condition).toBe('remote-stream-error');
      } finally {
        await proxy.dispose();
      }
    });

    test('SIGTERM: a client is told system-shutdown, and nothing else', async () => {
      const proxy = await RunningProxy.inFrontOf(route.server, { listen: ['http://127.0.0.1:0/bosh'] });
      try {
        const web = await logInOverBosh(proxy.urls[0]!, await newAccount(route.server, 'alice'));
        const alice = cutAfterwards(web.client);
        await alice.becomeAvailable();
        const stopped = proxy.stop();
        await alice.stream.when('the end', () => web.carrier.condition !== undefined);
        expect(web.carrier.condition).toBe('system-shutdown');
        expect(web.carrier.answers.at(-1)?.body).not.toContain('stream:error');
        await stopped;
      } finally {
        await proxy.dispose();
      }
    });

    test('one port for BOSH and WebSocket, on one path too', async () => {
      const proxy = await RunningProxy.inFrontOf(route.server, {
        listen: ['http://127.0.0.1:0/xmpp', 'ws://127.0.0.1:0/xmpp'],
      });
      try {
        const account = await newAccount(route.server, 'alice');
        const bosh = await logInOverBosh(proxy.urls[0]!, account);
        const web = await logInOverWebSocket(proxy.urls[1]!, account);
        for (const { client } of [bosh, web]) await cutAfterwards(client).becomeAvailable();
        bosh.client.send(chat(web.client.jid, 'hello'));
        await web.client.body('hello');
      } finally {
        await proxy.dispose();
      }
    });
  },
  { via: ['proxy'], kinds: ['prosody'] },
);
