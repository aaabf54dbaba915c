import { Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { SessionPort } from '../../../src/session/port.js';
import {
  closeAll,
  closedPort,
  dial,
  onClose,
  openMiddlebox,
  openServer,
  ScriptedSession,
  until,
} from './middlebox-harness.js';

afterEach(closeAll);

/** Clients that make their sessions connect; what comes of it is told in words. */
async function openConnecting(upstreams: string[], parallelConnects?: number) {
  const told: string[] = [];
  const sessions: SessionPort[] = [];
  const running = await openMiddlebox({
    flags: { upstreams },
    change: (config) => ({
      ...config,
      domains: new Map(
        [...config.domains].map(([name, domain]) => [
          name,
          {
            ...domain,
            upstreams: domain.upstreams.map((upstream) => ({
              ...upstream,
              parallelConnects: parallelConnects ?? upstream.parallelConnects,
            })),
          },
        ]),
      ),
    }),
    session: (port) => {
      sessions.push(port);
      const session = new ScriptedSession(port);
      session.onData = (leg) => {
        if (leg === 'client') port.connect('a.test');
      };
      session.onConnected = ({ upstream }) => told.push(`connected ${upstream.port}`);
      session.onConnectFailed = (failure) => told.push(`failed ${failure}`);
      return session;
    },
  });
  const connect = async () => {
    const client = await dial(running.ports[0]!);
    client.write('go');
    return client;
  };
  return { ...running, told, sessions, connect };
}

describe('connecting to the servers of a domain', () => {
  it('says why it failed', async () => {
    const refused = await openConnecting([`xmpp://127.0.0.1:${await closedPort()}`]);
    await refused.connect();
    await until(() => refused.told.length === 1);
    expect(refused.told).toEqual(['failed refused']);
    const unresolvable = await openConnecting(['xmpp://no..host:5222?tls=off']);
    await unresolvable.connect();
    await until(() => unresolvable.told.length === 1);
    expect(unresolvable.told).toEqual(['failed unresolvable']);
  });

  it('takes a connection to itself for what it is: nobody listens', async () => {
    const port = await closedPort();
    const original = Socket.prototype.connect as (...given: unknown[]) => unknown;
    // The port that it goes out from is the system's choice otherwise, and hardly ever this one.
    const fromThere = vi.spyOn(Socket.prototype, 'connect').mockImplementation(function (
      this: Socket,
      ...given
    ) {
      const [[options]] = given as unknown as [[{ port: number; localAddress: string; localPort: number }]];
      if (options.port === port) Object.assign(options, { localAddress: '127.0.0.1', localPort: port });
      return original.apply(this, given) as Socket;
    });
    onClose(() => fromThere.mockRestore());
    const { told, connect, logged } = await openConnecting([`xmpp://127.0.0.1:${port}`]);
    await connect();
    await until(() => told.length === 1);
    expect(told).toEqual(['failed refused']);
    expect(logged.join('')).toContain('to itself');
  });

  it('tries them in order, and the one that failed last for a while', async () => {
    const dead = await closedPort();
    const attempts: number[] = [];
    const alive = await openServer(() => attempts.push(1));
    const { told, connect, advance, logged } = await openConnecting([
      `xmpp://127.0.0.1:${dead}`,
      `xmpp://127.0.0.1:${alive}`,
    ]);
    await connect();
    await until(() => told.length === 1);
    await connect();
    await until(() => told.length === 2);
    expect(told).toEqual([`connected ${alive}`, `connected ${alive}`]);
    const warnings = () => logged.filter((line) => line.includes('cannot be reached')).length;
    expect(warnings()).toBe(1);
    // After the pause it is tried first again; that it is still gone is no news.
    advance(6_000);
    await connect();
    await until(() => told.length === 3);
    expect(warnings()).toBe(1);
  });

  it('goes back to the first when it answers again, and says so once', async () => {
    const dead = await closedPort();
    const alive = await openServer(() => undefined);
    const { told, connect, advance, logged, middlebox, config } = await openConnecting([
      `xmpp://127.0.0.1:${dead}`,
      `xmpp://127.0.0.1:${alive}`,
    ]);
    await connect();
    await until(() => told.length === 1);
    const upstream = config.domains.get('a.test')?.upstreams[0];
    advance(6_000);
    if (upstream !== undefined) middlebox.connector.succeeded(upstream);
    if (upstream !== undefined) middlebox.connector.succeeded(upstream);
    expect(logged.filter((line) => line.includes('can be reached again'))).toHaveLength(1);
  });

  it('gives up after ten seconds on a server that does not finish the handshake', async () => {
    const silent = await openServer(() => undefined);
    const { told, connect, advance } = await openConnecting([`xmpps://127.0.0.1:${silent}?verify=off`]);
    await connect();
    await until(() => {
      advance(0);
      return told.length === 0;
    });
    await new Promise<void>((resolve) => setImmediate(resolve));
    await until(() => {
      advance(1_000);
      return told.length === 1;
    });
    expect(told).toEqual(['failed timeout']);
  });

  it('names a server that does not speak TLS', async () => {
    const plain = await openServer((socket) => socket.write("<?xml version='1.0'?>"));
    const { told, connect } = await openConnecting([`xmpps://127.0.0.1:${plain}?verify=off`]);
    await connect();
    await until(() => told.length === 1);
    expect(told).toEqual(['failed tls-failed']);
  });

  it('never has more connections waiting to be accepted than it may, and serves all in the end', async () => {
    const accepted: Socket[] = [];
    const server = await openServer((socket) => accepted.push(socket));
    const { told, connect } = await openConnecting([`xmpp://127.0.0.1:${server}`], 2);
    for (let count = 0; count < 6; count += 1) await connect();
    await until(() => accepted.length === 2);
    for (let turn = 0; turn < 50; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(told).toHaveLength(2);
    // The first word of the server is the sign that it has accepted.
    for (let at = 0; at < 6; at += 1) {
      await until(() => accepted.length > at);
      accepted[at]?.write('<stream>');
    }
    await until(() => told.length === 6);
  });

  it('does not let a silent server hold up the others for more than a moment', async () => {
    const server = await openServer(() => undefined);
    const { told, connect, advance } = await openConnecting([`xmpp://127.0.0.1:${server}`], 1);
    await connect();
    await connect();
    await until(() => told.length === 1);
    advance(1_500);
    await until(() => told.length === 2);
  });

  it('forgets a session that goes away while it waits', async () => {
    const server = await openServer(() => undefined);
    const { told, connect, sessions, advance } = await openConnecting([`xmpp://127.0.0.1:${server}`], 1);
    await connect();
    await until(() => told.length === 1);
    await connect();
    await connect();
    await until(() => sessions.length === 3);
    sessions[1]?.destroy('server');
    sessions[0]?.destroy('server');
    await until(() => {
      advance(500);
      return told.length === 2;
    });
    expect(told).toHaveLength(2);
  });
});
