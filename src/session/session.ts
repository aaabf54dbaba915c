import type { Buffer } from 'node:buffer';
import type { Config, ListenerConfig, UpstreamLimits } from '../config/model.js';
import { upstreamLimits } from '../stream/server-kind.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import { BoundSession, type BoundSurroundings } from './bound.js';
import { ClientSide } from './client-side.js';
import { Deadlines } from './deadlines.js';
import type { DomainRuntime } from './domain.js';
import type { ServerKind, SessionIdentity } from './feature.js';
import { Keepalive } from './keepalive.js';
import { type LegSide, OTHER_LEG_FULL } from './leg.js';
import type { Outbox } from './outbox.js';
import type {
  ConnectFailure,
  Leg,
  LegLoss,
  SessionEvents,
  SessionPort,
  TlsFacts,
  UpstreamFacts,
} from './port.js';
import { ServerSide } from './server-side.js';

export interface SessionSettings {
  readonly config: Config;
  readonly listener: ListenerConfig;
  /** Facts of the handshake on a direct-TLS listener, which is over before the session begins. */
  readonly directTls: TlsFacts | undefined;
  /** By name; every one reads with the same table of namespaces. */
  readonly domains: ReadonlyMap<string, DomainRuntime>;
  /** Address of the peer, for logs. */
  readonly peer: string;
  readonly now: number;
}

/** How long the other side may take to end its stream once ours has ended; ms (RFC 6120 §4.4). */
const CLOSE_TIME = 5_000;

/**
 * A leg whose queue is over its limit has its source paused, so that only one stanza of the source's and what features inject can still come on
 * top: beyond the largest stanza and this many times the limit the leg is given up.
 */
const OVERFLOW = 8;

/**
 * One client connection and its server leg: the two streams of RFC 6120, tied together. Pure: bytes, events and the time come in, commands go
 * out through the port.
 */
export class Session implements SessionEvents, BoundSurroundings {
  now: number;
  readonly client: ClientSide;
  readonly server: ServerSide;
  readonly namespaces: NamespaceTable;
  /** The server has accepted who the client says it is. */
  authenticated = false;
  bound: BoundSession | undefined;
  serverLimits: UpstreamLimits = upstreamLimits('unknown', {});
  readonly #deadlines = new Deadlines();
  readonly #keepalive: Keepalive;
  #domain: DomainRuntime | undefined;
  #ending: string | undefined;
  #finished = false;

  constructor(
    readonly port: SessionPort,
    private readonly settings: SessionSettings,
  ) {
    const { now, config, domains } = settings;
    this.now = now;
    const { value: anyDomain } = domains.values().next();
    if (anyDomain === undefined) throw new Error('a session needs at least one domain');
    this.namespaces = anyDomain.namespaces;
    this.client = new ClientSide(this, port, settings);
    this.server = new ServerSide(this, port, settings);
    this.#keepalive = new Keepalive(config.keepalive);
    this.#deadlines.set('authentication', now + config.limits.unauthenticatedTime * 1000);
    this.wakeTimesChanged();
  }

  // What happens.

  onData(leg: Leg, chunk: Buffer, now: number): void {
    this.now = now;
    const side = this.#side(leg);
    side.received(chunk, now);
    side.data(chunk);
    this.#settle();
  }

  onEnd(leg: Leg, now: number): void {
    this.onLost(leg, 'ended', now);
  }

  onLost(leg: Leg, cause: LegLoss, now: number): void {
    this.now = now;
    this.#side(leg).lost(cause);
    this.#settle();
  }

  onDrained(leg: Leg, now: number): void {
    this.now = now;
    this.#side(leg === 'client' ? 'server' : 'client').readAgain(OTHER_LEG_FULL);
    this.#settle();
  }

  onFlushed(leg: Leg, now: number): void {
    this.now = now;
    this.bound?.acknowledgement.written(leg);
    this.#settle();
  }

  onSecured(leg: Leg, facts: TlsFacts, now: number): void {
    this.now = now;
    this.#side(leg).secured(facts);
    this.#settle();
  }

  onConnected(facts: UpstreamFacts, now: number): void {
    this.now = now;
    this.server.connected(facts);
    this.#settle();
  }

  onConnectFailed(failure: ConnectFailure, now: number): void {
    this.now = now;
    this.server.connectFailed(failure);
    this.#settle();
  }

  onWake(now: number): void {
    this.now = now;
    for (const name of this.#deadlines.due(now)) this.#reached(name);
    this.bound?.wake(now);
    this.wakeTimesChanged();
    this.#settle();
  }

  onShutdown(now: number): void {
    this.now = now;
    this.client.fail('system-shutdown', 'The proxy is being restarted.');
    this.#settle();
  }

  // What the two sides and the bound session share.

  get toClient(): Outbox {
    return this.client.outbox;
  }

  get toServer(): Outbox {
    return this.server.outbox;
  }

  get serverKind(): ServerKind {
    return this.server.kind;
  }

  get domain(): DomainRuntime {
    if (this.#domain === undefined) throw new Error('a session has no domain before its first header');
    return this.#domain;
  }

  /**
   * The client has named its domain. The server leg opens, or stays when it is for this one.
   * @returns false when that cannot be any more
   */
  turnTo(domain: DomainRuntime): boolean {
    if (domain === this.#domain) return true;
    if (this.authenticated) return false;
    this.#domain = domain;
    this.server.connect(domain);
    return true;
  }

  /** A resource has been bound. */
  bind(identity: SessionIdentity): void {
    this.serverLimits = this.server.limits;
    this.client.bound(this.serverLimits.depth);
    this.port.authenticated();
    this.#deadlines.set('authentication', Number.POSITIVE_INFINITY);
    const bound = new BoundSession(identity, this);
    this.bound = bound;
    if (this.server.sm !== undefined) bound.acknowledgement.enableServer(this.server.sm);
    this.domain.enter(identity);
    bound.open();
    this.#deadlines.set('keepalive', this.#keepalive.next(this.now));
    this.wakeTimesChanged();
  }

  /** A keepalive means as much to the far end as to us; before a resource is bound it means nothing (RFC 6120 §4.6.1). */
  passWhitespace(to: Leg, buffer: Buffer, start: number, end: number): void {
    if (this.client.state === 'bound' && this.server.state === 'open')
      this.#side(to).outbox.range(buffer, start, end);
  }

  /** Notes why the session ends; the first reason stands. */
  endsFor(reason: string): void {
    this.#ending ??= reason;
  }

  /** From now on both sides have a while to end their streams. */
  startClosing(): void {
    this.#deadlines.set('close', this.now + CLOSE_TIME);
    this.wakeTimesChanged();
  }

  /** The server takes nothing any more although its stream is still open: the client is told to come again. */
  serverIsLost(): void {
    this.client.fail('system-shutdown', 'The server behind has lost this session. Connect again.');
  }

  /** To be called when a deadline of the bound session may have moved. */
  wakeTimesChanged(): void {
    this.port.wakeAt(Math.min(this.#deadlines.next, this.bound?.nextWake ?? Number.POSITIVE_INFINITY));
  }

  #side(leg: Leg): ClientSide | ServerSide {
    return leg === 'client' ? this.client : this.server;
  }

  #reached(deadline: string): void {
    switch (deadline) {
      case 'authentication':
        this.client.fail('connection-timeout', 'Log in sooner after connecting.');
        break;
      case 'keepalive':
        this.#keepAlive();
        break;
      case 'close':
        // Whoever has not ended by now does not get to.
        this.server.destroy();
        this.client.destroy();
        break;
    }
  }

  #keepAlive(): void {
    for (const side of [this.client, this.server]) {
      if (side.gone || this.client.state !== 'bound') continue;
      switch (this.#keepalive.due(side.leg, side.lastReceived, this.now)) {
        case 'space':
          side.outbox.text(' ');
          break;
        case 'ping':
          this.bound?.probe(side.leg);
          break;
        case 'dead':
          if (side === this.client) this.client.fail('connection-timeout', 'No answer to a ping.');
          else side.lost('reset');
          break;
      }
    }
    if (this.client.state === 'bound') this.#deadlines.set('keepalive', this.#keepalive.next(this.now));
  }

  /** Writes what a leg's outbox holds; a full queue stops the other leg from being read. */
  #write(side: LegSide, source: LegSide): void {
    if (side.write()) return;
    const { queueBytes, fromServer, afterAuth } = this.settings.config.limits;
    const { stanzaBytes } = side === this.client ? fromServer : afterAuth;
    if (this.port.unsent(side.leg) > OVERFLOW * queueBytes + stanzaBytes) {
      this.port.count('stream_error', 'queue-overflow');
      this.#side(side.leg).lost('reset');
    } else {
      source.stopReading(OTHER_LEG_FULL);
    }
  }

  /** At the end of each event what it has made goes out, and the session ends when there is nothing left of it. */
  #settle(): void {
    this.#write(this.client, this.server);
    this.#write(this.server, this.client);
    if (this.#finished || !this.client.done || !this.server.done) return;
    this.#finished = true;
    this.#deadlines.clear();
    this.port.wakeAt(Number.POSITIVE_INFINITY);
    const identity = this.bound?.identity;
    if (identity !== undefined) this.domain.leave(identity);
    this.bound?.close();
    this.port.finished({
      jid: identity?.full,
      domain: this.#domain?.name,
      reason: this.#ending ?? 'client-closed',
      stanzasFromClient: this.client.stanzas,
      stanzasFromServer: this.server.stanzas,
      bytesFromClient: this.client.bytes,
      bytesFromServer: this.server.bytes,
    });
  }
}
