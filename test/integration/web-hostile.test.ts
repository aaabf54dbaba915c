import { connect } from 'node:net';
import { constants, deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HTTP_BIND, logInOverBosh, post } from './clients/bosh.js';
import type { RawClient } from './clients/raw.js';
import { frame, RawWebSocket } from './clients/web-frames.js';
import { connectWebSocket, logInOverWebSocket } from './clients/web-socket.js';
import { costRatio, processorTime, resident } from './cost.js';
import { HOSTILE_INPUTS } from './hostile-inputs.js';
import { RunningProxy } from './proxy.js';
import { cutAfterwards, describeRoutes, newAccount, newSession, type Route } from './routes.js';
import { until } from './waiting.js';

const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';
/** No measure of anything: how long until a test is taken to hang. */
const PATIENCE_MS = 45_000;

describeRoutes(
  'hostile web clients',
  (route) => {
    const { server } = route;
    let proxy: RunningProxy;
    let tcp: Route;
    let urls: { readonly ws: string; readonly bosh: string; readonly compressed: string };
    let witness: RawClient;
    let neighbour: RawClient;
    beforeAll(async () => {
      proxy = await RunningProxy.inFrontOf(server, {
        listen: [
          'ws://127.0.0.1:0/ws',
          'http://127.0.0.1:0/bosh',
          'xmpp://127.0.0.1:0?tls=off',
          'ws://127.0.0.1:0/compressed?deflate=on',
        ],
      });
      const [ws = '', bosh = '', , compressed = ''] = proxy.urls;
      urls = { ws, bosh, compressed };
      tcp = { ...route, plain: { ...proxy.address(2), domain: server.domain } };
      // Not cut with the others when a test is over.
      const direct = { ...route, plain: { host: server.host, port: server.port, domain: server.domain } };
      const { RawClient: Raw } = await import('./clients/raw.js');
      witness = await Raw.login(direct.plain, await newAccount(server, 'witness'));
      await witness.becomeAvailable();
      neighbour = (await logInOverWebSocket(ws, await newAccount(server, 'neighbour'))).client;
      await neighbour.becomeAvailable();
    });
    afterAll(async () => {
      for (const client of [witness, neighbour]) client?.stream.cut();
      await proxy?.dispose();
    });

    const openSessions = async () => (await proxy.metrics()).sum('interstanza_sessions');
    const nobodyWaits = async () =>
      (await proxy.metrics()).sum('interstanza_unauthenticated_connections') === 0;

    const cases = HOSTILE_INPUTS.flatMap((input) =>
      input.phases.filter((phase) => phase !== 'first').map((phase) => ({ ...input, phase })),
    );
    test.each(cases)('over WebSocket: $name ($phase)', async ({ phase, bytes, errors }) => {
      const web = await (phase === 'bound'
        ? logInOverWebSocket(urls.ws, await newAccount(server, 'mallory'))
        : connectWebSocket(urls.ws, server.domain));
      const client = cutAfterwards(web.client);
      if (phase === 'unauthenticated') await client.openStream();
      web.carrier.socket.send(bytes({ to: witness.jid, domain: server.domain }), { binary: false });
      // What is no single element, or does not end, is found before what is wrong inside of it.
      expect([...errors, 'bad-format', 'not-well-formed']).toContain(await client.streamError());
      await client.stream.when('the end of the connection', () => client.stream.closed);
      expect(client.stream.ended).toBe(true);
    });

    const bodies = HOSTILE_INPUTS.filter(({ phases }) => phases.includes('bound'));
    test.each(bodies)('over BOSH: $name', async ({ bytes }) => {
      const web = await logInOverBosh(urls.bosh, await newAccount(server, 'mallory'));
      cutAfterwards(web.client);
      const { carrier } = web;
      const head = `<body xmlns='${HTTP_BIND}' rid='${carrier.rid + 1}' sid='${carrier.sid}'>`;
      const payload = Buffer.from(bytes({ to: witness.jid, domain: server.domain }) as string);
      const answer = await post(
        urls.bosh,
        Buffer.concat([Buffer.from(head), payload, Buffer.from('</body>')]),
      ).catch(() => ({ body: "type='terminate' condition='cut'" }));
      const heard = answer.body.includes('terminate')
        ? answer.body
        : await until(
            'the end',
            () => carrier.condition !== undefined && `terminate condition='${carrier.condition}'`,
          );
      expect(heard).toMatch(/condition='(bad-request|policy-violation|remote-stream-error|cut)'/);
    });

    test('none of it was delivered, and both the server and the other sessions live on', async () => {
      neighbour.send(`<message to='${witness.jid}' type='chat'><body>still here</body></message>`);
      await witness.body('still here');
      witness.send(`<message to='${neighbour.jid}' type='chat'><body>so am I</body></message>`);
      await neighbour.body('so am I');
      expect(witness.stream.inbox.filter((stanza) => stanza.is('message'))).toEqual([]);
      await newSession(tcp, 'after');
    });

    test('thousands of connections that are cut leave nothing behind', { timeout: 120_000 }, async () => {
      const port = proxy.address(0).port;
      const handshake = (path: string) =>
        `GET ${path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n';
      const open = frame(0x81, `<open xmlns='${FRAMING}' to='${server.domain}' version='1.0'/>`);
      const beginnings: readonly (string | Buffer)[] = [
        '',
        'GET / HT',
        handshake('/ws'),
        Buffer.concat([Buffer.from(handshake('/ws')), frame(0x01, '<a').subarray(0, 5)]),
        Buffer.concat([Buffer.from(handshake('/ws')), open]),
        'POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n<body ',
      ];
      const before = await openSessions();
      const burst = async (connections: number) => {
        for (let n = 0; n < connections; n += 50) {
          const sockets = await Promise.all(
            Array.from(
              { length: 50 },
              () =>
                new Promise<ReturnType<typeof connect>>((resolve) => {
                  const socket = connect({ port, host: '127.0.0.1' }, () => resolve(socket));
                  socket.on('error', () => {});
                }),
            ),
          );
          for (const [at, socket] of sockets.entries()) {
            socket.write(beginnings[at % beginnings.length] ?? '');
            if (at % 2 === 0) socket.resetAndDestroy();
            else socket.destroy();
          }
        }
        await until(
          'all of them to be gone',
          async () => (await openSessions()) <= before && (await nobodyWaits()),
          60_000,
          200,
        );
      };
      await burst(500);
      const once = resident(proxy.pid);
      await burst(2_500);
      expect(resident(proxy.pid)).toBeLessThan(once * 1.4);
      await newSession(tcp, 'after');
    });

    test('announced and not sent: what is kept is what has come', { timeout: 60_000 }, async () => {
      const port = proxy.address(0).port;
      const sessions = await openSessions();
      const before = resident(proxy.pid);
      const sockets: RawWebSocket[] = [];
      for (let n = 0; n < 300; n += 1) {
        const socket = await RawWebSocket.open(port, '/ws');
        // The most that a stranger may announce, and a part of it.
        socket.socket.write(frame(0x81, `<open ${'x'.repeat(9_900)}`).subarray(0, 1_000));
        sockets.push(socket);
      }
      await until('all to be there', async () => (await openSessions()) >= sessions + 250, 20_000);
      expect(resident(proxy.pid) - before).toBeLessThan(300 * 60);
      for (const socket of sockets) socket.socket.resetAndDestroy();
      await until('all of them to be gone', async () => (await openSessions()) <= sessions, 20_000);
    });

    test('a decompression bomb is a policy violation, and costs no more than a message that is too long', {
      timeout: 180_000,
    }, async () => {
      const { port } = proxy.address(3);
      const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
      const open = frame(0x81, `<open xmlns='${FRAMING}' to='${server.domain}' version='1.0'/>`);
      // 9 kB that are 9 MB, and as many bytes of a message that is announced to be longer.
      const bomb = deflateRawSync(Buffer.alloc(9_000_000, 'x'), { finishFlush: constants.Z_SYNC_FLUSH });
      const payloads = {
        hostile: frame(0xc1, bomb.subarray(0, -4)),
        yardstick: frame(0x81, Buffer.alloc(20_000, 'x')).subarray(0, bomb.length),
      };
      expect(bomb.length).toBeLessThan(10_000);
      const throwAll = async (what: keyof typeof payloads) => {
        const before = processorTime(proxy.pid);
        for (let n = 0; n < 300; n += 1) {
          const socket = await RawWebSocket.open(port, '/compressed', offer);
          socket.socket.write(Buffer.concat([open, payloads[what]]));
          await socket.until('the end', () => socket.closed);
          expect(socket.text).toContain('policy-violation');
        }
        return processorTime(proxy.pid) - before;
      };
      const before = resident(proxy.pid);
      expect(await costRatio(throwAll, 5)).toBeLessThan(3);
      expect(resident(proxy.pid) - before).toBeLessThan(60_000);
    });

    test('hundreds of large messages in one small chunk: the others are heard all the while', {
      timeout: 60_000,
    }, async () => {
      const account = await newAccount(server, 'mallory');
      const { client, carrier } = await logInOverWebSocket(urls.compressed, account);
      const mallory = cutAfterwards(client);
      const { _socket: socket } = carrier.socket as unknown as { _socket: ReturnType<typeof connect> };
      // To nobody: it is read, judged, and returned by no one.
      const text = `<message xmlns='jabber:client' to='${server.domain}' type='error'><body>${'x'.repeat(250_000)}</body></message>`;
      const message = frame(
        0xc1,
        deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4),
      );
      const before = resident(proxy.pid);
      socket.write(Buffer.concat(Array.from({ length: 40 }, () => message)));
      for (let n = 0; n < 8; n += 1) {
        neighbour.send(`<message to='${witness.jid}' type='chat'><body>heard ${n}</body></message>`);
        await witness.body(`heard ${n}`, PATIENCE_MS);
      }
      expect(resident(proxy.pid) - before).toBeLessThan(80_000);
      await mallory.iq('get', "<ping xmlns='urn:xmpp:ping'/>", `to='${server.domain}'`, PATIENCE_MS);
    });

    test('many tiny fragments cost no more than as many small messages', { timeout: 180_000 }, async () => {
      const port = proxy.address(0).port;
      const text = `<message xmlns='jabber:client' to='${server.domain}' type='error'><body>${'x'.repeat(400)}</body></message>`;
      const pieces = [...text].map((character, at) =>
        frame(at === 0 ? 0x01 : at === text.length - 1 ? 0x80 : 0x00, character),
      );
      const ping = frame(0x89, 'x');
      const payloads = {
        hostile: Buffer.concat(pieces),
        yardstick: Buffer.concat(Array.from({ length: pieces.length }, () => ping)),
      };
      const account = await newAccount(server, 'alice');
      const web = await logInOverWebSocket(urls.ws, account);
      const alice = cutAfterwards(web.client);
      // Below ws, on its own socket.
      const { _socket: socket } = web.carrier.socket as unknown as { _socket: ReturnType<typeof connect> };
      expect(port).toBeGreaterThan(0);
      const ratio = await costRatio(async (what) => {
        const before = processorTime(proxy.pid);
        for (let n = 0; n < 200; n += 1) socket.write(payloads[what]);
        await alice.iq('get', "<ping xmlns='urn:xmpp:ping'/>", `to='${server.domain}'`, PATIENCE_MS);
        return processorTime(proxy.pid) - before;
      }, 5);
      expect(ratio).toBeLessThan(8);
    });
  },
  { via: ['proxy'], kinds: ['prosody'] },
);
