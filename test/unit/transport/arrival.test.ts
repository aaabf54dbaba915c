import { connect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { SessionPort } from '../../../src/session/port.js';
import type { SessionStart } from '../../../src/transport/middlebox.js';
import { buildProxyHeader } from '../../../src/transport/proxy-protocol.js';
import {
  closeAll,
  closed,
  dial,
  onClose,
  openMiddlebox,
  openServer,
  readUntil,
  ScriptedSession,
  turnedAway,
  until,
} from './middlebox-harness.js';

afterEach(closeAll);

const ENDPOINTS = {
  sourceAddress: '192.0.2.7',
  sourcePort: 54_321,
  targetAddress: '198.51.100.1',
  targetPort: 5222,
};

async function openBehindProxy(networks: string, query = '', perAddress = 10) {
  const starts: SessionStart[] = [];
  const ports: SessionPort[] = [];
  const running = await openMiddlebox({
    flags: { listeners: [`xmpp://127.0.0.1:0?tls=off&accept-proxy=${networks}${query}`] },
    change: (config) => ({
      ...config,
      limits: { ...config.limits, unauthenticatedPerAddress: perAddress },
    }),
    session: (port, start) => {
      starts.push(start);
      ports.push(port);
      const session = new ScriptedSession(port);
      session.onData = (leg, chunk) => port.write(leg, chunk);
      return session;
    },
  });
  return { ...running, starts, sessions: ports };
}

const refusals = async (running: Awaited<ReturnType<typeof openBehindProxy>>, reason: string) => {
  const text = await running.metrics.registry(() => 0).metrics();
  return text.includes(`interstanza_connections_refused_total{reason="${reason}"} 1`);
};

describe('a PROXY header from a network that must send one', () => {
  for (const version of ['v1', 'v2'] as const) {
    it(`tells the address of the client (${version}); what follows in the same segment is the stream`, async () => {
      const { ports, starts } = await openBehindProxy('10.0.0.0/8,127.0.0.0/8');
      const socket = await dial(ports[0]!);
      socket.write(Buffer.concat([buildProxyHeader(version, ENDPOINTS), Buffer.from('<stream>')]));
      await readUntil(socket, '<stream>');
      expect(starts[0]?.peer).toBe('192.0.2.7');
    });

    it(`is read however it is cut (${version})`, async () => {
      const { ports, starts } = await openBehindProxy('127.0.0.1');
      const socket = await dial(ports[0]!);
      socket.setNoDelay();
      for (const byte of buildProxyHeader(version, ENDPOINTS)) {
        socket.write(Buffer.of(byte));
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      socket.write('<stream>');
      await readUntil(socket, '<stream>');
      expect(starts[0]?.peer).toBe('192.0.2.7');
    });

    it(`may say that there is no client, as health checks do (${version})`, async () => {
      const { ports, starts } = await openBehindProxy('127.0.0.1');
      const socket = await dial(ports[0]!);
      socket.write(buildProxyHeader(version, undefined));
      socket.write('<stream>');
      await readUntil(socket, '<stream>');
      expect(starts[0]?.peer).toBe('127.0.0.1');
    });
  }

  it('goes ahead of direct TLS, with the ClientHello in the same segment', async () => {
    const starts: SessionStart[] = [];
    const { ports } = await openMiddlebox({
      flags: { listeners: ['xmpps://127.0.0.1:0?accept-proxy=127.0.0.1'] },
      session: (port, start) => {
        starts.push(start);
        const session = new ScriptedSession(port);
        session.onData = (leg, chunk) => port.write(leg, chunk);
        return session;
      },
    });
    // A front end that glues its header to what the client says first.
    const front = await openServer((socket) => {
      socket.once('data', (hello) => {
        void dial(ports[0]!).then((on) => {
          on.write(Buffer.concat([buildProxyHeader('v2', ENDPOINTS), hello]));
          on.on('data', (chunk) => socket.write(chunk));
          socket.on('data', (chunk) => on.write(chunk));
        });
      });
    });
    const client = connect({ port: front, host: '127.0.0.1', rejectUnauthorized: false });
    onClose(() => client.destroy());
    client.write('under TLS');
    await readUntil(client, 'under TLS');
    expect(starts[0]).toMatchObject({ peer: '192.0.2.7', directTls: { protocol: 'TLSv1.3' } });
  });

  it('is required: without it there is no session', async () => {
    const running = await openBehindProxy('127.0.0.1');
    const socket = await dial(running.ports[0]!);
    socket.write("<?xml version='1.0'?>");
    await closed(socket);
    expect(running.starts).toHaveLength(0);
    expect(running.middlebox.admission.strangers).toBe(0);
    expect(await refusals(running, 'proxy-header-invalid')).toBe(true);
  });

  it('is waited for only so long, and nobody waits with it', async () => {
    const running = await openBehindProxy('127.0.0.1');
    const silent = await dial(running.ports[0]!);
    const halfway = await dial(running.ports[0]!);
    halfway.write('PROXY TCP4 ');
    const good = await dial(running.ports[0]!);
    good.write(Buffer.concat([buildProxyHeader('v1', ENDPOINTS), Buffer.from('<stream>')]));
    await readUntil(good, '<stream>');
    await until(() => running.middlebox.admission.strangers === 3);
    running.advance(5_500);
    await Promise.all([closed(silent), closed(halfway)]);
    expect(running.middlebox.admission.strangers).toBe(1);
  });

  it('makes the limit per address count the clients, not the proxy', async () => {
    const { ports, sessions } = await openBehindProxy('127.0.0.1', '', 1);
    const open = async (sourceAddress: string) => {
      const socket = await dial(ports[0]!);
      socket.write(
        Buffer.concat([buildProxyHeader('v2', { ...ENDPOINTS, sourceAddress }), Buffer.from('hi')]),
      );
      return socket;
    };
    await readUntil(await open('192.0.2.1'), 'hi');
    await readUntil(await open('192.0.2.2'), 'hi');
    await closed(await open('192.0.2.1'));
    sessions[0]?.authenticated();
    await readUntil(await open('192.0.2.1'), 'hi');
  });
});

describe('a PROXY header from any other network', () => {
  it('is not read: it is what the stream begins with', async () => {
    const { ports, starts } = await openBehindProxy('192.0.2.0/24');
    const socket = await dial(ports[0]!);
    socket.write('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n');
    await readUntil(socket, 'PROXY TCP4 1.2.3.4');
    expect(starts[0]?.peer).toBe('127.0.0.1');
  });
});

describe('many connections at one time', () => {
  it('beyond the limit are reset without a word', async () => {
    const { ports, middlebox } = await openMiddlebox({
      change: (config) => ({ ...config, limits: { ...config.limits, unauthenticatedConnections: 5 } }),
      session: (port) => new ScriptedSession(port),
    });
    for (let count = 0; count < 5; count += 1) await dial(ports[0]!);
    await until(() => middlebox.admission.strangers === 5);
    await Promise.all(Array.from({ length: 20 }, () => turnedAway(ports[0]!)));
    expect(middlebox.sessionCount).toBe(5);
  });
});

describe('a PROXY header to the server', () => {
  const session = (port: SessionPort) => {
    const script = new ScriptedSession(port);
    script.onData = (leg) => {
      if (leg === 'client') port.connect('a.test');
    };
    script.onConnected = () => port.write('server', Buffer.from('<stream>'));
    return script;
  };

  for (const version of ['v1', 'v2'] as const) {
    it(`goes ahead of everything else and names the client (${version})`, async () => {
      const received: Buffer[] = [];
      const server = await openServer((socket) => socket.on('data', (chunk) => received.push(chunk)));
      const { ports } = await openMiddlebox({
        flags: { upstreams: [`xmpp://127.0.0.1:${server}?proxy=${version}`] },
        session,
      });
      const client = await dial(ports[0]!);
      client.write('go');
      await until(() => Buffer.concat(received).includes('<stream>'));
      const expected = buildProxyHeader(version, {
        sourceAddress: '127.0.0.1',
        sourcePort: client.localPort ?? 0,
        targetAddress: '127.0.0.1',
        targetPort: ports[0]!,
      });
      expect(Buffer.concat(received).equals(Buffer.concat([expected, Buffer.from('<stream>')]))).toBe(true);
    });
  }

  it('hands on what a proxy in front has told', async () => {
    const received: Buffer[] = [];
    const server = await openServer((socket) => socket.on('data', (chunk) => received.push(chunk)));
    const { ports } = await openMiddlebox({
      flags: {
        upstreams: [`xmpp://127.0.0.1:${server}?proxy=v1`],
        listeners: ['xmpp://127.0.0.1:0?tls=off&accept-proxy=127.0.0.1'],
      },
      session,
    });
    const client = await dial(ports[0]!);
    client.write(Buffer.concat([buildProxyHeader('v2', ENDPOINTS), Buffer.from('go')]));
    await until(() => Buffer.concat(received).includes('<stream>'));
    expect(Buffer.concat(received).toString()).toBe(
      `${buildProxyHeader('v1', ENDPOINTS).toString()}<stream>`,
    );
  });
});
