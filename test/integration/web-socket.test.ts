import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Account, RawClient } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import { connectWebSocket, logInOverWebSocket, type WebClient } from './clients/web-socket.js';
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
import { freePort } from './servers/ports.js';
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
  'WebSocket',
  (route) => {
    const { server } = route;
    let proxy: RunningProxy;
    let url: string;
    let tcp: Route;
    const faults: string[][] = [];
    beforeAll(async () => {
      proxy = await RunningProxy.inFrontOf(server, {
        listen: [
          'ws://127.0.0.1:0/ws',
          'xmpp://127.0.0.1:0?tls=optional',
          'wss://127.0.0.1:0/secure',
          'ws://127.0.0.1:0/compressed?deflate=on',
        ],
      });
      url = proxy.urls[0]!;
      tcp = { ...route, plain: { ...proxy.address(1), domain: server.domain } };
    });
    afterAll(() => proxy?.dispose());
    // What every message to a client has to be, whatever the test is about.
    afterEach(() => expect(faults.splice(0).flat()).toEqual([]));

    const watched = (web: WebClient): RawClient => {
      faults.push(web.carrier.faults);
      return cutAfterwards(web.client);
    };
    const logIn = async (account: Account, resource: string) =>
      watched(await logInOverWebSocket(url, account, { resource }));

    test('a session like any other: login, chat, the end', async () => {
      const account = await newAccount(server, 'alice');
      const web = await logInOverWebSocket(url, account, { resource: 'web' });
      const alice = watched(web);
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      alice.send(chat(bob.jid, 'from the web'));
      await bob.body('from the web');
      bob.send(chat(alice.jid, 'to the web <![CDATA[<&>]]> &amp; 🦄'));
      await alice.body('to the web <&> & 🦄');
      await alice.close();
      expect(web.carrier.closeCode).toBe(1000);
      // RFC 7395 §3.3.3, §3.4, §3.6.
      const { messages } = web.carrier;
      expect(messages[0]).toMatch(
        /^<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='[^']+' id='[^']+'/,
      );
      expect(messages[1]).toMatch(
        /^<stream:features [^>]*xmlns:stream='http:\/\/etherx.jabber.org\/streams'/,
      );
      expect(messages.at(-1)).toBe("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
      for (const stanza of messages.filter((text) => /^<(message|presence|iq)/.test(text)))
        expect(stanza).toContain("xmlns='jabber:client'");
    });

    test('§3.9: STARTTLS is not offered, nor is it over wss', async () => {
      for (const at of [0, 2]) {
        const client = watched(await connectWebSocket(proxy.urls[at]!, server.domain));
        const features = await client.openStream();
        expect(features.getChild('starttls', NS.tls)).toBeUndefined();
        expect(client.mechanisms.length).toBeGreaterThan(0);
      }
    });

    test('over wss a session starts in one step where the server can, for there is TLS', async () => {
      const client = watched(await connectWebSocket(proxy.urls[2]!, server.domain));
      const features = await client.openStream();
      expect(features.getChild('authentication', 'urn:xmpp:sasl:2')).toBeDefined();
    });

    test('§3.5: an error comes as an element, behind <open/>, and then the end', async () => {
      const web = await connectWebSocket(url, 'nobody.example');
      const client = watched(web);
      await expect(client.openStream()).rejects.toThrow('host-unknown');
      await client.stream.when('the end', () => client.stream.closed);
      expect(web.carrier.messages.map((text) => /^<([^ />]+)/.exec(text)?.[1])).toEqual([
        'open',
        'stream:error',
        'close',
      ]);
    });

    test('many stanzas at once, both ways, and large ones', async () => {
      const alice = await logIn(await newAccount(server, 'alice'), 'web');
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      await muchIsSaid(alice, bob, 200);
    });

    test('compressed where the operator and the client want it: the same session, in less bytes', async () => {
      const web = await logInOverWebSocket(proxy.urls[3]!, await newAccount(server, 'alice'));
      const alice = watched(web);
      const { socket } = web.carrier;
      expect(socket.extensions).toContain('permessage-deflate');
      await alice.becomeAvailable();
      const bob = await newSession(tcp, 'bob');
      await muchIsSaid(alice, bob, 50);
      const { _socket: carried } = socket as unknown as { readonly _socket: Socket };
      const { bytesRead, bytesWritten } = carried;
      expect(bytesRead).toBeLessThan(45_000);
      expect(bytesWritten).toBeLessThan(45_000);
      await alice.close();
      expect(web.carrier.closeCode).toBe(1000);
      const other = await logInOverWebSocket(url, await newAccount(server, 'alice'));
      watched(other);
      expect(other.carrier.socket.extensions).toBe('');
    });

    test('left on WebSocket without a word, resumed on TCP: nothing is missing, nothing comes twice', async () => {
      const account = await newAccount(server, 'alice');
      const alice = await logIn(account, 'web');
      const id = await resumable(alice);
      const bob = await newSession(tcp, 'bob');
      bob.send(chat(alice.jid, 'before'));
      await alice.body('before');
      alice.stream.cut();
      for (const text of ['one', 'two', 'three']) bob.send(chat(alice.jid, text));
      const back = await resume(await authenticated(await newConnection(tcp), account), alice, id);
      await back.body('three');
      expect(bodiesOf(back)).toEqual(['one', 'two']);
      back.send(chat(bob.jid, 'still here'));
      await bob.body('still here');
      sawNobodyLeave(bob);
    });

    test('left on TCP, resumed on WebSocket, and there once more after a close frame without <close/>', async () => {
      const account = await newAccount(server, 'alice');
      const first = await authenticated(await newConnection(tcp), account);
      await first.bind('phone');
      const id = await resumable(first);
      const bob = await newSession(tcp, 'bob');
      first.stream.cut();
      bob.send(chat(first.jid, 'one'));
      const web = await connectWebSocket(url, server.domain);
      const second = await resume(await authenticated(watched(web), account), first, id);
      await second.body('one');
      goOnCounting(second, first, 1);
      web.carrier.socket.close(1001, 'going away');
      await second.stream.when('the connection to be closed', () => second.stream.closed);
      bob.send(chat(first.jid, 'two'));
      const third = watched(await connectWebSocket(url, server.domain));
      await resume(await authenticated(third, account), second, id);
      await third.body('two');
      expect(bodiesOf(third)).toEqual([]);
      sawNobodyLeave(bob);
    });

    test('§3.8: keepalives are pings, answered on both sides, and no stanzas', async () => {
      const web = await logInOverWebSocket(url, await newAccount(server, 'alice'));
      const alice = watched(web);
      const pong = new Promise<string>((resolve) =>
        web.carrier.socket.once('pong', (data) => resolve(data.toString())),
      );
      web.carrier.socket.ping('are you there?');
      expect(await pong).toBe('are you there?');
      await alice.settle();
    });
  },
  THROUGH_THE_PROXY,
);

describeRoutes(
  'WebSocket: the process',
  (route) => {
    const { server } = route;

    test('SIGTERM: a client that cannot come back is told, and the connection is closed in order', async () => {
      const proxy = await RunningProxy.inFrontOf(server, { listen: ['ws://127.0.0.1:0/ws'] });
      try {
        const account = await newAccount(server, 'alice');
        const web = await logInOverWebSocket(proxy.urls[0]!, account);
        const alice = cutAfterwards(web.client);
        await alice.becomeAvailable();
        const stopped = proxy.stop();
        expect(await alice.streamError()).toBe('system-shutdown');
        await alice.stream.when('the end', () => alice.stream.closed);
        expect(web.carrier.closeCode).toBe(1000);
        await stopped;
      } finally {
        await proxy.dispose();
      }
    });

    test('silence is broken by a ping of ours', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'interstanza-web-'));
      const port = await freePort();
      const config = join(directory, 'interstanza.yaml');
      writeFileSync(config, 'keepalive: { client: { whitespace: 1 } }\n');
      const proxy = await RunningProxy.inFrontOf(server, {
        listen: [`ws://127.0.0.1:${port}/ws`],
        args: ['--config', config],
      });
      try {
        const web = await logInOverWebSocket(proxy.urls[0]!, await newAccount(server, 'alice'));
        cutAfterwards(web.client);
        await new Promise((resolve) => web.carrier.socket.once('ping', resolve));
        await web.client.settle();
      } finally {
        await proxy.dispose();
        rmSync(directory, { recursive: true, force: true });
      }
    });
  },
  { via: ['proxy'], kinds: ['prosody'] },
);

describe('the ready line', () => {
  test('shows what is really bound, and two listeners on one port', async () => {
    const proxy = await RunningProxy.start({
      domain: 'nobody.example',
      upstream: 'xmpp://127.0.0.1:1',
      listen: ['ws://127.0.0.1:0/ws', 'http://127.0.0.1:0/bosh', 'wss://[::1]:0/ws'],
    });
    try {
      expect(proxy.urls).toEqual([
        expect.stringMatching(/^ws:\/\/127\.0\.0\.1:\d+\/ws$/),
        expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/bosh$/),
        expect.stringMatching(/^wss:\/\/\[::1\]:\d+\/ws$/),
      ]);
      expect(proxy.address(0).port).toBe(proxy.address(1).port);
    } finally {
      await proxy.dispose();
    }
  });
});
