import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, TLSSocket } from 'node:tls';
import pino from 'pino';
import { type ConfigFlags, loadConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/config/model.js';
import { Metrics } from '../../../src/ops/metrics.js';
import type { SessionEvents, SessionPort } from '../../../src/session/port.js';
import { MemoryStore } from '../../../src/store/memory.js';
import type { KeyPair } from '../../../src/transport/certificate-files.js';
import { CertificateStore } from '../../../src/transport/certificates.js';
import { Clock } from '../../../src/transport/clock.js';
import { Middlebox, type SessionStart } from '../../../src/transport/middlebox.js';

const closers: (() => void)[] = [];

/** Call after each test: closes all that the helpers below have opened. */
export function closeAll(): void {
  for (const close of closers.splice(0)) close();
}

export function onClose(close: () => void): void {
  closers.push(close);
}

/** One folder for the whole file: making RSA keys takes time. */
export const dataDir = mkdtempSync(join(tmpdir(), 'interstanza-transport-'));
process.on('exit', () => rmSync(dataDir, { recursive: true, force: true }));

export interface Running {
  readonly middlebox: Middlebox;
  readonly metrics: Metrics;
  readonly certificates: CertificateStore;
  readonly clock: Clock;
  readonly config: Config;
  readonly ports: readonly number[];
  readonly logged: string[];
  /** Moves the shared clock. */
  advance(milliseconds: number): void;
}

export interface Wanted {
  readonly flags?: Partial<ConfigFlags>;
  readonly change?: (config: Config) => Config;
  readonly session: (port: SessionPort, start: SessionStart) => SessionEvents;
}

/** A middlebox for the domain a.test with a fake session, on a clock that only `advance` moves. */
export async function openMiddlebox({ flags, change, session }: Wanted): Promise<Running> {
  const loaded = await loadConfig({
    domains: ['a.test'],
    upstreams: ['xmpp://127.0.0.1:1'],
    listeners: ['xmpp://127.0.0.1:0?tls=off'],
    data: dataDir,
    ...flags,
  });
  const config = change === undefined ? loaded.config : change(loaded.config);
  const logged: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => logged.push(line) });
  const certificates = new CertificateStore(log, 20);
  await certificates.load(config.domains.values(), config.dataDir);
  let time = 1_000;
  const clock = new Clock(() => time);
  clock.start = () => undefined;
  const metrics = new Metrics();
  const middlebox = new Middlebox(config, certificates, session, metrics, log, clock);
  await middlebox.open(new MemoryStore());
  onClose(() => {
    certificates.unwatch();
    middlebox.close();
  });
  const ports = middlebox.urls.map((url) => Number(url.slice(url.lastIndexOf(':') + 1)));
  const advance = (milliseconds: number) => {
    time += milliseconds;
    clock.advance();
  };
  return { middlebox, metrics, certificates, clock, config, ports, logged, advance };
}

/** A TCP server that hands its connections to a function. */
export async function openServer(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onClose(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return portOf(server);
}

export function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not listening');
  return address.port;
}

export function openEcho(): Promise<number> {
  return openServer((socket) => {
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end());
  });
}

/** A port on which nobody listens: it was free a moment ago. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = portOf(server);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

const dialled = new WeakSet<Socket>();

/** Leaves a socket to the TLS socket around it: Node 20 crashes when both are destroyed in one turn. */
export function wrapped(socket: Socket): void {
  dialled.delete(socket);
}

export async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  dialled.add(socket);
  onClose(() => {
    if (dialled.has(socket)) socket.destroy();
  });
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** Reads until the text is there; the rest of what came is dropped. */
export function readUntil(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = '';
    const onData = (chunk: Buffer) => {
      all += chunk.toString('latin1');
      if (!all.includes(text)) return;
      finish();
      resolve(all);
    };
    const onEnd = () => {
      finish();
      reject(new Error(`ended after ${JSON.stringify(all.slice(0, 200))} while waiting for ${text}`));
    };
    const finish = () => {
      socket.removeListener('data', onData);
      socket.removeListener('close', onEnd);
    };
    socket.on('data', onData);
    socket.on('close', onEnd);
  });
}

/** Resolves when the peer has given the connection up, whether by FIN or by RST. */
export function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    socket.once('end', () => socket.destroy());
  });
}

/** Resolves when the peer takes no more bytes: after a FIN only writing tells a half-closed connection from one that is gone. */
export async function cutOff(socket: Socket): Promise<void> {
  while (!socket.destroyed) {
    socket.write('x');
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Resolves when a new connection has been closed by the listener. */
export function turnedAway(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  return closed(socket);
}

export function ended(socket: Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => socket.once('end', () => resolve()));
}

/** Resolves when a condition holds; looked at once per turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never came true: ${condition.toString()}`);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** The server's side of TLS on a socket. The pair is made before, so that no byte gets lost meanwhile. */
export function secureAsServer(socket: Socket, pair: KeyPair, alpn?: string[]): TLSSocket {
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext: createSecureContext({ cert: pair.certificate, key: pair.key }),
    ...(alpn !== undefined && { ALPNProtocols: alpn }),
  });
  secure.on('error', () => undefined);
  return secure;
}

/** Fields with which a session ends. */
export function summaryOf(reason: string) {
  return {
    jid: undefined,
    domain: 'a.test',
    reason,
    stanzasFromClient: 1,
    stanzasFromServer: 2,
    bytesFromClient: 3,
    bytesFromServer: 4,
  };
}

/** A session that does nothing but what a test gives it to do. */
export class ScriptedSession implements SessionEvents {
  onData: SessionEvents['onData'] = () => undefined;
  onEnd: SessionEvents['onEnd'] = () => undefined;
  onLost: SessionEvents['onLost'] = () => undefined;
  onDrained: SessionEvents['onDrained'] = () => undefined;
  onFlushed: SessionEvents['onFlushed'] = () => undefined;
  onSecured: SessionEvents['onSecured'] = () => undefined;
  onConnected: SessionEvents['onConnected'] = () => undefined;
  onConnectFailed: SessionEvents['onConnectFailed'] = () => undefined;
  onStored: SessionEvents['onStored'] = () => undefined;
  onLoaded: SessionEvents['onLoaded'] = () => undefined;
  onPublished: SessionEvents['onPublished'] = () => undefined;
  onWake: SessionEvents['onWake'] = () => undefined;
  onMisframed: SessionEvents['onMisframed'] = () => undefined;
  onPaused: SessionEvents['onPaused'] = () => undefined;
  onShutdown: SessionEvents['onShutdown'] = () => undefined;
  onFault: SessionEvents['onFault'] = () => undefined;

  constructor(readonly port: SessionPort) {}
}
