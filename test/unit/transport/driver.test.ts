import { afterEach, describe, expect, it } from 'vitest';
import type { SessionPort } from '../../../src/session/port.js';
import {
  closeAll,
  closed,
  cutOff,
  dial,
  ended,
  openEcho,
  openMiddlebox,
  openServer,
  readUntil,
  ScriptedSession,
  summaryOf,
  turnedAway,
  until,
} from './middlebox-harness.js';
import { RelaySession } from './relay-session.js';

afterEach(closeAll);

const relay = (port: SessionPort) => new RelaySession(port, 'a.test');

/** Opens a middlebox whose only session follows a script. */
async function scripted(script: (session: ScriptedSession, port: SessionPort) => void, upstream?: number) {
  const sessions: ScriptedSession[] = [];
  const running = await openMiddlebox({
    ...(upstream !== undefined && { flags: { upstreams: [`xmpp://127.0.0.1:${upstream}`] } }),
    session: (port) => {
      const session = new ScriptedSession(port);
      script(session, port);
      sessions.push(session);
      return session;
    },
  });
  return { ...running, sessions };
}

describe('a session between two plain sockets', () => {
  it('passes bytes both ways', async () => {
    const { ports } = await openMiddlebox({
      flags: { upstreams: [`xmpp://127.0.0.1:${await openEcho()}`] },
      session: relay,
    });
    const client = await dial(ports[0]!);
    client.write('one');
    await readUntil(client, 'one');
    client.write('two');
    await readUntil(client, 'two');
  });

  it('keeps large data from the server whole and in order', async () => {
    const pattern = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 251));
    const { ports } = await openMiddlebox({
      flags: { upstreams: [`xmpp://127.0.0.1:${await openEcho()}`] },
      session: relay,
    });
    const client = await dial(ports[0]!);
    const chunks: Buffer[] = [];
    let length = 0;
    client.on('data', (chunk) => {
      chunks.push(chunk);
      length += chunk.length;
    });
    client.write(pattern);
    await until(() => length >= pattern.length);
    expect(Buffer.concat(chunks).equals(pattern)).toBe(true);
  });

  it('treats a half-close as one, in both directions', async () => {
    for (const firstToEnd of ['client', 'server'] as const) {
      const { ports } = await openMiddlebox({
        flags: {
          upstreams: [
            `xmpp://127.0.0.1:${await openServer((socket) => {
              if (firstToEnd === 'server') socket.end('farewell');
              socket.on('data', () => undefined);
              socket.on('end', () => socket.end('late word'));
            })}`,
          ],
        },
        session: relay,
      });
      const client = await dial(ports[0]!);
      if (firstToEnd === 'client') {
        client.end('hello');
        await readUntil(client, 'late word');
      } else {
        client.write('hello');
        await readUntil(client, 'farewell');
        client.end();
      }
      await closed(client);
    }
  });

  it('stops reading from one client only when its server reads slowly, in bounded memory', async () => {
    const slow: import('node:net').Socket[] = [];
    const server = await openServer((socket) => {
      socket.once('data', (first) => {
        if (first.toString().startsWith('slow')) {
          socket.pause();
          slow.push(socket);
        } else {
          socket.write(first);
          socket.on('data', (chunk) => socket.write(chunk));
        }
      });
    });
    const { ports } = await openMiddlebox({
      flags: { upstreams: [`xmpp://127.0.0.1:${server}`] },
      session: relay,
    });
    const flood = await dial(ports[0]!);
    flood.write('slow');
    await until(() => slow.length === 1);
    const before = process.memoryUsage().rss;
    const block = Buffer.alloc(64 * 1024, 'x');
    let accepted = 0;
    // What the kernel buffers on both sides plus our queue: then the writer is stopped.
    for (let turns = 0; turns < 400 && flood.writableLength < 8 * 1024 * 1024; turns += 1) {
      flood.write(block);
      accepted += block.length;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const other = await dial(ports[0]!);
    other.write('ping');
    await readUntil(other, 'ping');
    const stuck = flood.writableLength;
    expect(stuck).toBeGreaterThan(0);
    other.write('pong');
    await readUntil(other, 'pong');
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    let arrived = 0;
    slow[0]?.on('data', (chunk) => {
      arrived += chunk.length;
    });
    slow[0]?.resume();
    await until(() => arrived === accepted);
  });

  it('reports a reset peer once, as lost', async () => {
    const lost: string[] = [];
    const { ports } = await scripted((session, port) => {
      session.onLost = (leg, cause) => {
        lost.push(`${leg} ${cause}`);
        port.finished(summaryOf('reset'));
      };
    });
    const client = await dial(ports[0]!);
    client.resetAndDestroy();
    await until(() => lost.length > 0);
    expect(lost).toEqual(['client reset']);
  });
});

describe('commands', () => {
  it('take effect when the event returns, several writes as one', async () => {
    const { ports } = await scripted((session, port) => {
      session.onData = () => {
        for (const part of ['a', 'b', 'c']) port.write('client', Buffer.from(part));
        expect(port.unsent('client')).toBe(3);
      };
    });
    const client = await dial(ports[0]!);
    client.write('go');
    const chunks: string[] = [];
    client.on('data', (chunk) => chunks.push(chunk.toString()));
    await until(() => chunks.length > 0);
    expect(chunks).toEqual(['abc']);
  });

  it('never call an event of their own session', async () => {
    let inside = false;
    const seen: string[] = [];
    const note = (what: string) => {
      expect(inside).toBe(false);
      seen.push(what);
    };
    const { ports } = await scripted((session, port) => {
      session.onConnectFailed = (failure) => note(failure);
      session.onFlushed = (leg) => note(`flushed ${leg}`);
      session.onLost = (leg) => note(`lost ${leg}`);
      session.onData = () => {
        inside = true;
        port.write('client', Buffer.from('x'));
        port.whenFlushed('client');
        port.connect('unknown.test');
        port.wakeAt(0);
        port.pauseReading('client');
        port.resumeReading('client');
        inside = false;
      };
    });
    const client = await dial(ports[0]!);
    client.write('go');
    await until(() => seen.length === 2);
    expect(seen.sort()).toEqual(['flushed client', 'unreachable']);
  });

  it('may be given outside of an event: one session writes to another', async () => {
    const open: SessionPort[] = [];
    const { ports } = await scripted((session, port) => {
      open.push(port);
      session.onData = (_leg, chunk) => {
        const other = open.find((one) => one !== port);
        other?.write('client', chunk);
        other?.write('client', Buffer.from('!'));
      };
    });
    const first = await dial(ports[0]!);
    const second = await dial(ports[0]!);
    await until(() => open.length === 2);
    first.write('to the other');
    await readUntil(second, 'to the other!');
  });

  it('go out on a leg that a session has got from another one while it was told what has been flushed', async () => {
    const upstream = await openServer((socket) => socket.on('data', () => undefined));
    const open: SessionPort[] = [];
    const { ports } = await scripted((session, port) => {
      open.push(port);
      session.onData = (leg) => {
        if (leg === 'client') port.connect('a.test');
      };
      session.onConnected = () => {
        port.write('server', Buffer.from('x'));
        port.whenFlushed('server');
      };
      session.onFlushed = () => {
        const other = open.find((one) => one !== port);
        other?.handOver('client', port);
        port.write('client', Buffer.from('resumed'));
        port.whenFlushed('client');
        session.onFlushed = (leg) => port.write(leg, Buffer.from(', and heard of'));
      };
    }, upstream);
    const newcomer = await dial(ports[0]!);
    await until(() => open.length === 1);
    const former = await dial(ports[0]!);
    await until(() => open.length === 2);
    former.write('go');
    await readUntil(newcomer, 'resumed, and heard of');
  });

  it('report what has been flushed, each mark by itself, and only when the kernel has it', async () => {
    const flushed: number[] = [];
    let port: SessionPort | undefined;
    const { ports } = await scripted((session, own) => {
      port = own;
      session.onData = () => {
        own.write('client', Buffer.from('small'));
        own.whenFlushed('client');
      };
      session.onFlushed = (leg) => {
        flushed.push(own.unsent(leg));
      };
    });
    const client = await dial(ports[0]!);
    client.pause();
    client.write('go');
    await until(() => flushed.length === 1);
    port?.write('client', Buffer.alloc(20 * 1024 * 1024));
    port?.whenFlushed('client');
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(port?.unsent('client')).toBeGreaterThan(0);
    expect(flushed).toEqual([0]);
    client.resume();
    await until(() => flushed.length === 2);
    expect(flushed).toEqual([0, 0]);
  });

  it('say when the queue is over its limit, and when it is empty again', async () => {
    const drained: string[] = [];
    const results: boolean[] = [];
    const { ports } = await scripted((session, port) => {
      session.onData = () => {
        results.push(port.write('client', Buffer.alloc(100)));
        results.push(port.write('client', Buffer.alloc(8 * 1024 * 1024)));
      };
      session.onDrained = (leg) => {
        drained.push(`${leg} ${port.unsent(leg)}`);
      };
    });
    const client = await dial(ports[0]!);
    client.pause();
    client.write('go');
    await until(() => results.length === 2);
    expect(results).toEqual([true, false]);
    expect(drained).toEqual([]);
    client.resume();
    await until(() => drained.length > 0);
    expect(drained).toEqual(['client 0']);
  });

  it('end a leg behind what is queued, and let the peer go on', async () => {
    const heard: string[] = [];
    const { ports } = await scripted((session, port) => {
      session.onData = (_leg, chunk) => {
        heard.push(chunk.toString());
        if (heard.length > 1) return;
        port.write('client', Buffer.from('</stream:stream>'));
        port.end('client');
      };
      session.onLost = (_leg, cause) => {
        heard.push(cause);
        port.finished(summaryOf('closed'));
      };
    });
    const client = await dial(ports[0]!);
    client.write('go');
    await Promise.all([readUntil(client, '</stream:stream>'), ended(client)]);
    client.write('still here');
    await until(() => heard.length === 2);
    client.end();
    await until(() => heard.length === 3);
    expect(heard).toEqual(['go', 'still here', 'ended']);
  });

  it('send what was queued before the end also when the session finishes at once', async () => {
    const { ports, middlebox } = await scripted((session, port) => {
      session.onData = () => {
        port.write('client', Buffer.alloc(5 * 1024 * 1024, 'x'));
        port.write('client', Buffer.from('<last/>'));
        port.end('client');
        port.finished(summaryOf('closed'));
      };
    });
    const client = await dial(ports[0]!);
    client.write('go');
    await readUntil(client, '<last/>');
    expect(middlebox.sessionCount).toBe(0);
  });

  it('cut off a peer that does not take the end', async () => {
    const { ports, advance } = await scripted((session, port) => {
      session.onData = () => {
        port.end('client');
        port.finished(summaryOf('closed'));
      };
    });
    const client = await dial(ports[0]!);
    client.write('go');
    await ended(client);
    advance(6_000);
    await cutOff(client);
  });

  it('wake the session at its time', async () => {
    const woken: number[] = [];
    const { ports, advance } = await scripted((session, port) => {
      session.onData = (_leg, _chunk, now) => port.wakeAt(now + 5_000);
      session.onWake = (now) => woken.push(now);
    });
    const client = await dial(ports[0]!);
    const heard = once();
    client.write('go');
    await heard;
    await until(() => {
      advance(1_000);
      return woken.length === 1;
    });

    function once(): Promise<void> {
      return new Promise((resolve) => setImmediate(resolve));
    }
  });

  it('make ids that differ, are long enough, and fit into an attribute', async () => {
    const ids: string[] = [];
    const { ports } = await scripted((session, port) => {
      session.onData = () => {
        ids.push(port.randomId(), port.randomId());
      };
    });
    (await dial(ports[0]!)).write('go');
    await until(() => ids.length === 2);
    expect(ids[0]).not.toBe(ids[1]);
    expect(ids[0]).toMatch(/^[A-Za-z0-9_-]{22,}$/);
  });
});

describe('a session that throws', () => {
  it('is ended and counted, and told so; the others go on', async () => {
    let told = 0;
    const { ports, metrics, middlebox, logged } = await scripted((session, port) => {
      session.onFault = () => {
        told += 1;
      };
      session.onData = (_leg, chunk) => {
        if (chunk.toString() === 'bad') throw new Error('a bug');
        port.write('client', chunk);
      };
    });
    const bad = await dial(ports[0]!);
    const good = await dial(ports[0]!);
    bad.write('bad');
    await closed(bad);
    good.write('good');
    await readUntil(good, 'good');
    expect(middlebox.sessionCount).toBe(1);
    expect(metrics.countOf('stream_error', 'internal-fault')).toBe(1);
    expect(told).toBe(1);
    expect(logged.join('')).toContain('session-fault');
  });
});

describe('limits on connections that have not authenticated', () => {
  it('turn away the one too many, and let in again when one has authenticated', async () => {
    const open: SessionPort[] = [];
    const { ports, middlebox } = await openMiddlebox({
      change: (config) => ({ ...config, limits: { ...config.limits, unauthenticatedConnections: 1 } }),
      session: (port) => {
        open.push(port);
        const session = new ScriptedSession(port);
        session.onData = (_leg, chunk) => port.write('client', chunk);
        return session;
      },
    });
    const first = await dial(ports[0]!);
    await until(() => open.length === 1);
    await turnedAway(ports[0]!);
    open[0]?.authenticated();
    open[0]?.authenticated();
    expect(middlebox.admission.strangers).toBe(0);
    const third = await dial(ports[0]!);
    third.write('welcome');
    await readUntil(third, 'welcome');
    expect(first.destroyed).toBe(false);
  });
});

describe('draining', () => {
  it('tells every session, takes no new ones, and waits until all have finished', async () => {
    const { ports, middlebox } = await scripted((session, port) => {
      session.onShutdown = () => {
        port.write('client', Buffer.from('<system-shutdown/>'));
        port.end('client');
      };
      session.onLost = () => port.finished(summaryOf('shutdown'));
      session.onEnd = () => undefined;
    });
    const client = await dial(ports[0]!);
    await until(() => middlebox.sessionCount === 1);
    let done = false;
    const drained = middlebox.drain().then(() => {
      done = true;
    });
    await readUntil(client, '<system-shutdown/>');
    expect(done).toBe(false);
    client.end();
    await drained;
    await expect(dial(ports[0]!)).rejects.toThrow('ECONNREFUSED');
  }, 5_000);

  it('cuts off what does not end', async () => {
    const { ports, middlebox } = await scripted(() => undefined);
    const client = await dial(ports[0]!);
    await until(() => middlebox.sessionCount === 1);
    await middlebox.drain(50);
    await closed(client);
  });
});
