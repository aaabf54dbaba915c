import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { SessionPort, TlsFacts } from '../../../src/session/port.js';
import { fingerprint, readKeyPair } from '../../../src/transport/certificate-files.js';
import { selfSignedFiles, selfSignedPair } from '../../../src/transport/self-signed.js';
import {
  closeAll,
  closed,
  dataDir,
  dial,
  onClose,
  openMiddlebox,
  openServer,
  readUntil,
  ScriptedSession,
  secureAsServer,
  until,
  wrapped,
} from './middlebox-harness.js';

afterEach(closeAll);

const STARTTLS = '<starttls/>';
const PROCEED = '<proceed/>';

/** A session that speaks STARTTLS in the fewest words, echoes after it, and keeps what it was told. */
class StartTlsSession extends ScriptedSession {
  readonly told: string[] = [];
  facts: TlsFacts | undefined;

  constructor(port: SessionPort, domain = '') {
    super(port);
    let secured = false;
    this.onData = (leg, chunk) => {
      const text = chunk.toString('latin1');
      this.told.push(`data ${text}`);
      if (secured) port.write(leg, chunk);
      else if (text === STARTTLS) {
        port.write(leg, Buffer.from(PROCEED));
        port.startTls(leg);
      } else if (text === 'header' && domain !== '') port.connect(domain);
    };
    this.onSecured = (leg, facts) => {
      secured = true;
      this.facts = facts;
      this.told.push(`secured ${leg}`);
    };
    this.onLost = (leg, cause) => {
      this.told.push(`lost ${leg} ${cause}`);
    };
    this.onConnectFailed = (failure) => {
      this.told.push(`failed ${failure}`);
    };
  }
}

async function openStartTls(flags: { listeners: string[] } = { listeners: ['xmpp://127.0.0.1:0'] }) {
  const sessions: StartTlsSession[] = [];
  const running = await openMiddlebox({
    flags: { ...flags, domains: ['a.test', 'b.test'] },
    session: (port, start) => {
      const session = new StartTlsSession(port);
      session.facts = start.directTls;
      if (start.directTls !== undefined) session.onData = (leg, chunk) => port.write(leg, chunk);
      sessions.push(session);
      return session;
    },
  });
  return { ...running, sessions };
}

function secure(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = tlsConnect({ rejectUnauthorized: false, ...options });
  if (options.socket instanceof Socket) wrapped(options.socket);
  onClose(() => socket.destroy());
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('secureConnect', () => resolve(socket));
  });
}

async function startTls(socket: Socket, options: ConnectionOptions = {}): Promise<TLSSocket> {
  socket.write(STARTTLS);
  await readUntil(socket, PROCEED);
  return secure({ socket, ...options });
}

describe('STARTTLS towards clients', () => {
  it('secures the leg behind what was written, and tells what was presented', async () => {
    const { ports, sessions } = await openStartTls();
    const tls = await startTls(await dial(ports[0]!), { servername: 'b.test' });
    tls.write('over TLS');
    await readUntil(tls, 'over TLS');
    const presented = tls.getPeerX509Certificate();
    expect(presented?.checkHost('b.test')).toBe('b.test');
    const sha256 = presented === undefined ? '' : fingerprint(presented);
    // Ours are signed with SHA-256, so that both are the same.
    expect(sessions[0]?.facts).toEqual({
      protocol: 'TLSv1.3',
      certificateSha256: sha256,
      endPoint: sha256,
    });
  });

  it('offers nothing below TLS 1.2', async () => {
    const { ports, sessions } = await openStartTls();
    const old = startTls(await dial(ports[0]!), {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL:@SECLEVEL=0',
    });
    await expect(old).rejects.toThrow();
    await until(() => sessions[0]?.told.includes('lost client tls-failed') === true);
    const twelve = await startTls(await dial(ports[0]!), { maxVersion: 'TLSv1.2' });
    expect(twelve.getProtocol()).toBe('TLSv1.2');
    expect(sessions[1]?.facts?.protocol).toBe('TLSv1.2');
  });

  it('takes a ClientHello that comes in one piece with nothing before it, however split', async () => {
    const { ports, sessions } = await openStartTls();
    // A relay that cuts what the client sends into single bytes.
    const relay = await openServer((socket) => {
      void dial(ports[0]!).then((on) => {
        socket.on('data', (chunk) => {
          for (const byte of chunk) on.write(Buffer.of(byte));
        });
        on.on('data', (chunk) => socket.write(chunk));
      });
    });
    const socket = await dial(relay);
    socket.write(STARTTLS);
    // The tag itself arrives in pieces: this session knows it only whole, so it is told so.
    await until(() => sessions.length === 1);
    const session = sessions[0];
    let heard = '';
    if (session !== undefined) {
      session.onData = (leg, chunk) => {
        heard += chunk.toString('latin1');
        if (heard !== STARTTLS) return;
        session.port.write(leg, Buffer.from(PROCEED));
        session.port.startTls(leg);
      };
    }
    await readUntil(socket, PROCEED).catch(() => undefined);
    const tls = await secure({ socket });
    expect(tls.getProtocol()).toBe('TLSv1.3');
  });

  it('never hands plaintext that follows the request to the session, nor goes on with it', async () => {
    const { ports, sessions } = await openStartTls();
    const socket = await dial(ports[0]!);
    socket.write(STARTTLS);
    await readUntil(socket, PROCEED);
    // The injected command and a ClientHello in one segment.
    socket.write(Buffer.concat([Buffer.from('<auth>injected</auth>'), Buffer.from('160301', 'hex')]));
    await closed(socket);
    await until(() => sessions[0]?.told.includes('lost client tls-failed') === true);
    expect(sessions[0]?.told.join()).not.toContain('injected');
    expect(sessions[0]?.facts).toBeUndefined();
  });

  it('reports plaintext that had been read before the handshake could start', async () => {
    const told: string[] = [];
    const { ports } = await openMiddlebox({
      flags: { listeners: ['xmpp://127.0.0.1:0'] },
      session: (port) => {
        const session = new ScriptedSession(port);
        session.onData = (_leg, chunk) => {
          told.push(`data ${chunk.length}`);
          // The answer waits behind more than the kernel takes: TLS cannot begin yet.
          port.write('client', Buffer.alloc(16 * 1024 * 1024));
          port.startTls('client');
        };
        session.onLost = (leg, cause) => told.push(`lost ${leg} ${cause}`);
        return session;
      },
    });
    const socket = await dial(ports[0]!);
    socket.pause();
    socket.write(STARTTLS);
    await until(() => told.length === 1);
    socket.write('<auth>injected</auth>', () => {
      // Loopback has delivered it before the reader below makes room.
      setImmediate(() => socket.resume());
    });
    await until(() => told.length === 2);
    expect(told).toEqual(['data 11', 'lost client starttls-leftover']);
  });

  it('reports a client that goes away in the middle of the handshake', async () => {
    const { ports, sessions } = await openStartTls();
    const socket = await dial(ports[0]!);
    socket.write(STARTTLS);
    await readUntil(socket, PROCEED);
    socket.end();
    await until(() => sessions[0]?.told.includes('lost client tls-failed') === true);
  });

  it('reports a record that was tampered with after the handshake', async () => {
    const { ports, sessions } = await openStartTls();
    const socket = await dial(ports[0]!);
    const tls = await startTls(socket);
    tls.write('fine');
    await readUntil(tls, 'fine');
    socket.write(Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32)]));
    await until(() => sessions[0]?.told.some((line) => line.startsWith('lost client')) === true);
    expect(sessions[0]?.told.at(-1)).toBe('lost client tls-failed');
  });

  it('knows a half-close under TLS', async () => {
    const { ports, sessions } = await openStartTls();
    const tls = await startTls(await dial(ports[0]!));
    const session = sessions[0];
    if (session !== undefined) {
      session.onEnd = (leg) => {
        session.port.write(leg, Buffer.from('last words'));
        session.port.end(leg);
      };
    }
    tls.end('bye');
    await readUntil(tls, 'last words');
  });
});

describe('direct TLS towards clients', () => {
  const listeners = ['xmpps://127.0.0.1:0'];

  it('takes clients with the ALPN xmpp-client and clients without ALPN', async () => {
    const { ports, sessions } = await openStartTls({ listeners });
    const with_ = await secure({ port: ports[0]!, host: '127.0.0.1', ALPNProtocols: ['xmpp-client'] });
    expect(with_.alpnProtocol).toBe('xmpp-client');
    const without = await secure({ port: ports[0]!, host: '127.0.0.1', servername: 'b.test' });
    without.write('hello');
    await readUntil(without, 'hello');
    expect(without.getPeerX509Certificate()?.checkHost('b.test')).toBe('b.test');
    expect(sessions[1]?.facts?.protocol).toBe('TLSv1.3');
  });

  it('refuses another ALPN, and makes no session of it', async () => {
    const { ports, sessions, metrics, middlebox } = await openStartTls({ listeners });
    await expect(secure({ port: ports[0]!, host: '127.0.0.1', ALPNProtocols: ['h2'] })).rejects.toThrow(
      /alert/i,
    );
    await until(() => middlebox.admission.strangers === 0);
    expect(sessions).toHaveLength(0);
    const text = await metrics.registry(() => 0).metrics();
    expect(text).toContain('interstanza_connections_refused_total{reason="tls-failed"} 1');
  });

  it('gives up on who does not finish the handshake, and keeps serving others meanwhile', async () => {
    const { ports, advance, middlebox } = await openStartTls({ listeners });
    const silent = await dial(ports[0]!);
    await until(() => middlebox.admission.strangers === 1);
    await secure({ port: ports[0]!, host: '127.0.0.1' });
    advance(11_000);
    await closed(silent);
  });

  it('lets a client resume its TLS session', async () => {
    const { ports } = await openStartTls({ listeners });
    const first = await secure({ port: ports[0]!, host: '127.0.0.1', servername: 'a.test' });
    const ticket = new Promise<Buffer>((resolve) => first.once('session', resolve));
    first.write('hello');
    await readUntil(first, 'hello');
    const again = await secure({
      port: ports[0]!,
      host: '127.0.0.1',
      servername: 'a.test',
      session: await ticket,
    });
    expect(again.isSessionReused()).toBe(true);
  });
});

describe('TLS towards servers', () => {
  async function openUpstream(query: string, domain = 'a.test', serverDomain = domain) {
    const { pair } = await selfSignedPair(dataDir, serverDomain);
    const server = await openServer((socket) => {
      socket.once('data', () => {
        socket.write(PROCEED);
        const tls = secureAsServer(socket, pair);
        tls.on('data', (chunk) => tls.write(chunk));
      });
    });
    const told: string[] = [];
    const running = await openMiddlebox({
      flags: { domains: [domain], upstreams: [`xmpp://127.0.0.1:${server}?tls=starttls${query}`] },
      change: (config) => withAuthority(config, serverDomain, query.includes('full')),
      session: (port) => {
        const session = new ScriptedSession(port);
        session.onConnected = () => port.write('server', Buffer.from(STARTTLS));
        session.onData = (leg, chunk) => {
          told.push(`${leg} ${chunk.toString('latin1')}`);
          if (leg === 'client') port.connect(domain);
          else if (chunk.toString() === PROCEED) port.startTls('server');
        };
        session.onSecured = (leg, facts) => {
          told.push(`secured ${leg} ${facts.protocol} ${facts.certificateSha256 ?? ''}`);
          port.write('server', Buffer.from('hello'));
        };
        session.onLost = (leg, cause) => told.push(`lost ${leg} ${cause}`);
        return session;
      },
    });
    const client = await dial(running.ports[0]!);
    client.write('header');
    return { ...running, told };
  }

  /** The self-signed certificate of a domain taken for an authority, as an operator would do by `caFile`. */
  function withAuthority<T extends import('../../../src/config/model.js').Config>(
    config: T,
    domain: string,
    wanted: boolean,
  ): T {
    if (!wanted) return config;
    const { certFile } = selfSignedFiles(dataDir, domain);
    const domains = [...config.domains.values()].map(
      (one) =>
        [
          one.name,
          { ...one, upstreams: one.upstreams.map((upstream) => ({ ...upstream, caFile: certFile })) },
        ] as const,
    );
    return { ...config, domains: new Map(domains) };
  }

  it('starts behind <proceed/> and tells the server certificate', async () => {
    const { pair } = await selfSignedPair(dataDir, 'a.test');
    const { told } = await openUpstream('&verify=off');
    await until(() => told.includes('server hello'));
    expect(told).toContain(`secured server TLSv1.3 ${pair.sha256}`);
  });

  it('checks a good certificate in full, by the domain and not by the host', async () => {
    const { told } = await openUpstream('&verify=full');
    await until(() => told.includes('server hello'));
  });

  it('refuses a certificate for another domain', async () => {
    const { told, logged } = await openUpstream('&verify=full', 'a.test', 'b.test');
    await until(() => told.includes('lost server tls-failed'));
    expect(logged.join('')).toContain('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('takes the pinned certificate and no other', async () => {
    const { pair } = await selfSignedPair(dataDir, 'a.test');
    const right = await openUpstream(`&verify=pin:${pair.sha256.toUpperCase()}`);
    await until(() => right.told.includes('server hello'));
    const wrong = await openUpstream(`&verify=pin:${'0'.repeat(64)}`);
    await until(() => wrong.told.includes('lost server tls-failed'));
    expect(wrong.told.join()).not.toContain('secured');
  });

  it('reports what a server sends between <proceed/> and the handshake', async () => {
    const told: string[] = [];
    const server = await openServer((socket) => {
      socket.once('data', () => {
        socket.write(PROCEED);
        socket.once('data', () => socket.write('<injected/>'));
      });
    });
    const { ports } = await openMiddlebox({
      flags: { upstreams: [`xmpp://127.0.0.1:${server}?tls=starttls&verify=off`] },
      session: (port) => {
        const session = new ScriptedSession(port);
        session.onConnected = () => port.write('server', Buffer.from(STARTTLS));
        session.onData = (leg, chunk) => {
          told.push(`${leg} ${chunk.toString('latin1')}`);
          if (leg === 'client') port.connect('a.test');
          else port.startTls('server');
        };
        session.onLost = (leg, cause) => told.push(`lost ${leg} ${cause}`);
        return session;
      },
    });
    (await dial(ports[0]!)).write('header');
    await until(() => told.includes('lost server tls-failed'));
    expect(told.join()).not.toContain('injected');
  });

  it('speaks direct TLS with ALPN, and names a certificate that it rejects', async () => {
    const seen: (string | false | null)[] = [];
    const { pair } = await selfSignedPair(dataDir, 'a.test');
    const server = await openServer((socket) => {
      const tls = secureAsServer(socket, pair, ['xmpp-client']);
      tls.once('secure', () => seen.push(tls.alpnProtocol));
      tls.on('data', (chunk) => tls.write(chunk));
    });
    for (const [verify, outcome] of [
      ['off', 'connected'],
      ['full', 'failed certificate-rejected'],
      [`pin:${'1'.repeat(64)}`, 'failed certificate-rejected'],
    ] as const) {
      const told: string[] = [];
      const { ports } = await openMiddlebox({
        flags: { upstreams: [`xmpps://127.0.0.1:${server}?verify=${verify}`] },
        session: (port) => {
          const session = new ScriptedSession(port);
          session.onData = (leg, chunk) => {
            if (leg === 'client') port.connect('a.test');
            else told.push(chunk.toString());
          };
          session.onConnected = (facts) => {
            told.push('connected');
            expect(facts.tls?.protocol).toBe('TLSv1.3');
            port.write('server', Buffer.from('hello'));
          };
          session.onConnectFailed = (failure) => told.push(`failed ${failure}`);
          return session;
        },
      });
      (await dial(ports[0]!)).write('header');
      await until(() => told.includes(outcome));
      if (verify === 'off') await until(() => told.includes('hello'));
    }
    expect(seen[0]).toBe('xmpp-client');
  });
});

describe('certificates', () => {
  it('are reloaded without touching a live session, whether asked for or when the file changes', async () => {
    for (const how of ['asked', 'watched'] as const) {
      const folder = join(dataDir, `live-${how}`);
      mkdirSync(folder);
      const old = await selfSignedPair(join(dataDir, 'old'), 'a.test');
      const fresh = await selfSignedPair(join(dataDir, `fresh-${how}`), 'a.test');
      const files = { certFile: join(folder, 'a.crt'), keyFile: join(folder, 'a.key') };
      const install = (from: string) => {
        const source = selfSignedFiles(join(dataDir, from), 'a.test');
        copyFileSync(source.keyFile, files.keyFile);
        copyFileSync(source.certFile, files.certFile);
      };
      install('old');
      const { ports, certificates } = await openMiddlebox({
        flags: { listeners: ['xmpps://127.0.0.1:0'] },
        change: (config) => ({
          ...config,
          domains: new Map([...config.domains].map(([name, one]) => [name, { ...one, certificate: files }])),
        }),
        session: (port) => {
          const session = new ScriptedSession(port);
          session.onData = (leg, chunk) => port.write(leg, chunk);
          return session;
        },
      });
      const presented = (socket: TLSSocket) => {
        const certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
        return certificate === undefined ? '' : fingerprint(certificate);
      };
      const live = await secure({ port: ports[0]!, host: '127.0.0.1' });
      expect(presented(live)).toBe(old.pair.sha256);
      if (how === 'watched') certificates.watch();
      install(`fresh-${how}`);
      if (how === 'asked') expect(await certificates.reload()).toBe(true);
      await until(() => certificates.fingerprintOf('a.test') === fresh.pair.sha256);
      const later = await secure({ port: ports[0]!, host: '127.0.0.1' });
      expect(presented(later)).toBe(fresh.pair.sha256);
      live.write('still here');
      await readUntil(live, 'still here');
    }
  });

  it('stay as they were when a reload fails, with one sentence in the log', async () => {
    const folder = join(dataDir, 'broken');
    await selfSignedPair(folder, 'a.test');
    const other = await selfSignedPair(join(dataDir, 'other'), 'a.test');
    const files = selfSignedFiles(folder, 'a.test');
    const { certificates, logged } = await openMiddlebox({
      flags: { listeners: ['xmpps://127.0.0.1:0'] },
      change: (config) => ({
        ...config,
        domains: new Map([...config.domains].map(([name, one]) => [name, { ...one, certificate: files }])),
      }),
      session: (port) => new ScriptedSession(port),
    });
    const before = certificates.fingerprintOf('a.test');
    logged.length = 0;
    copyFileSync(selfSignedFiles(join(dataDir, 'other'), 'a.test').certFile, files.certFile);
    expect(await certificates.reload()).toBe(false);
    expect(certificates.fingerprintOf('a.test')).toBe(before);
    expect(before).not.toBe(other.pair.sha256);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain(
      `the key in ${files.keyFile} does not belong to the certificate in ${files.certFile}`,
    );
  });

  it('are those of the configuration that was given last, though those of the one before are still being read', async () => {
    const folder = join(dataDir, 'many');
    const { certificates, config } = await openMiddlebox({
      flags: { listeners: ['xmpps://127.0.0.1:0'] },
      session: (port) => new ScriptedSession(port),
    });
    const [any] = config.domains.values();
    const { pair } = await selfSignedPair(folder, 'a.test');
    const { certFile, keyFile } = selfSignedFiles(folder, 'a.test');
    const named = (name: string) => ({ ...any!, name, certificate: { certFile, keyFile } });
    const many = Array.from({ length: 20 }, (_, n) => named(`a${n}.test`));
    await certificates.load(many, folder);
    const reloaded = certificates.reload();
    await certificates.load([named('b.test')], folder);
    await reloaded;
    expect(certificates.fingerprintOf('b.test')).toBe(pair.sha256);
    expect(certificates.fingerprintOf('a0.test')).toBeUndefined();
  });

  it('made by the proxy itself are RSA 2048, for the domain, kept private, and used again', async () => {
    const folder = join(dataDir, 'made');
    const first = await selfSignedPair(folder, 'münchen.test');
    const again = await selfSignedPair(folder, 'münchen.test');
    expect([first.made, again.made]).toEqual([true, false]);
    expect(again.pair.sha256).toBe(first.pair.sha256);
    expect([...first.pair.warnings, ...again.pair.warnings]).toEqual([]);
    const { statSync } = await import('node:fs');
    const { certFile, keyFile } = selfSignedFiles(folder, 'münchen.test');
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    const certificate = new X509Certificate(first.pair.certificate);
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(certificate.checkHost('xn--mnchen-3ya.test')).toBeDefined();
    expect(certificate.raw.includes(Buffer.from('münchen.test'))).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    // Near its end a new one is made.
    const year = 365 * 24 * 60 * 60 * 1000;
    const later = await selfSignedPair(folder, 'münchen.test', Date.now() + 3 * year);
    expect(later.made).toBe(true);
    const expired = await readKeyPair(certFile, keyFile, 'other.test', Date.now() + 9 * year);
    expect(expired.warnings.join()).toMatch(/expired on .* is not for other\.test/);
  });
});
