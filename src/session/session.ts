import type { Buffer } from 'node:buffer';
import type { Config, ListenerConfig, UpstreamLimits } from '../config/model.js';
import type { StoreEntry } from '../store/store.js';
import type { StreamErrorCondition } from '../stream/errors.js';
import { upstreamLimits } from '../stream/server-kind.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import type { BoundSession, BoundSurroundings } from './bound.js';
import { ClientSide } from './client-side.js';
import type { DomainRuntime } from './domain.js';
import type { ServerKind, SessionIdentity } from './feature.js';
import type { Hold } from './hold.js';
import { Keep } from './keep.js';
import { type LegSide, OTHER_LEG_FULL, STORE_ASKED } from './leg.js';
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
import { ResourceBinding } from './resource-binding.js';
import { ResumeAttempt } from './resume-attempt.js';
import { ServerSide } from './server-side.js';
import { type DeadlineName, SessionDeadlines } from './session-deadlines.js';

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

/**
 * A leg whose queue is over its limit has its source paused, so that only one stanza of the source's and what features inject can still come on
 * top: beyond the largest stanza and this many times the limit the leg is given up.
 */
const OVERFLOW = 8;

/**
 * One client connection and its server leg: the two streams of RFC 6120, tied together. Pure: bytes, events and the time come in, commands go
 * out through the port. It is the list of what can happen to a session, and of what its parts reach of each other; what is done about it, the parts do.
 */
export class Session implements SessionEvents, BoundSurroundings {
  now: number;
  client: ClientSide;
  server: ServerSide;
  readonly namespaces: NamespaceTable;
  /** The server has accepted who the client says it is. */
  authenticated = false;
  bound: BoundSession | undefined;
  serverLimits: UpstreamLimits = upstreamLimits('unknown', {});
  readonly #deadlines: SessionDeadlines;
  #domain: DomainRuntime | undefined;
  /** Set while the client may resume this session. */
  hold: Hold | undefined;
  /** Of the server leg, when its client is gone for good. */
  readonly keep = new Keep(this);
  /** The proxy is being stopped. */
  goingDown = false;
  readonly binding = new ResourceBinding(this);
  /** Made when needed: most sessions never do. */
  #resuming: ResumeAttempt | undefined;
  /** The leg had to be bound to learn whose it is: what the client gets when it binds after all. */
  boundAs: SessionIdentity | undefined;
  #ending: string | undefined;
  #finished = false;

  constructor(
    readonly port: SessionPort,
    readonly settings: SessionSettings,
  ) {
    const { now, config, domains } = settings;
    this.now = now;
    const { value: anyDomain } = domains.values().next();
    if (anyDomain === undefined) throw new Error('a session needs at least one domain');
    this.namespaces = anyDomain.namespaces;
    this.client = new ClientSide(this, port, settings);
    this.server = new ServerSide(this, port, settings);
    this.#deadlines = new SessionDeadlines(this, config.keepalive);
    this.#deadlines.set('authentication', now + config.limits.unauthenticatedTime * 1000);
    this.wakeTimesChanged();
  }

  // What happens.

  onData(leg: Leg, chunk: Buffer, now: number): void {
    this.now = now;
    if (this.hold?.suspension.active === true) return;
    const side = this.#side(leg);
    side.received(chunk, now);
    side.data(chunk);
    // A leg may have become another session's meanwhile.
    if (side.session !== this) side.session.flush();
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
    this.hold?.comingBack.settle();
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

  onStored(token: string, ok: boolean, now: number): void {
    this.now = now;
    if (token === 'hold') this.hold?.stored(ok);
    else if (token === 'suspend') this.hold?.suspension.stored(ok);
    else if (token === 'token') this.client.start?.stored(ok);
    else if (token === 'delivered') {
      (this.bound ?? this.#resuming?.restoring)?.missed.forgotten();
      this.hold?.comingBack.settle();
    } else this.bound?.features.stored(token, ok);
    this.#settle();
  }

  onLoaded(token: string, entries: readonly StoreEntry[], now: number): void {
    this.now = now;
    if (token === 'undelivered') this.bound?.missed.deliver(entries);
    else if (token === 'backlog') this.bound?.backlogLoaded(entries);
    else if (token === 'resume') this.resuming.found(entries);
    else if (token === 'resume-undelivered') this.resuming.askToRestore(entries);
    else if (token === 'token') this.client.start?.loaded(entries);
    else this.bound?.features.loaded(token, entries);
    this.#settle();
  }

  onPublished(message: string, now: number): void {
    this.now = now;
    this.bound?.features.told(message);
    this.#settle();
  }

  onWake(now: number): void {
    this.now = now;
    this.#deadlines.wake(now);
    this.bound?.wake(now);
    this.wakeTimesChanged();
    this.#settle();
  }

  onMisframed(condition: StreamErrorCondition, text: string, now: number): void {
    this.now = now;
    this.port.count('stream_error', 'misframed');
    this.client.fail(condition, text);
    this.#settle();
  }

  onPaused(paused: boolean, now: number): void {
    this.now = now;
    this.bound?.features.paused(paused);
    this.#settle();
  }

  onShutdown(now: number): void {
    this.now = now;
    this.goingDown = true;
    if (this.keep.active) this.keep.end();
    else if (this.hold?.suspension.begin() === true) this.server.write();
    else if (this.hold?.held === true) this.hold.end('hold-shutdown');
    else if (this.hold?.collect('hold-shutdown') !== true)
      this.client.fail('system-shutdown', 'The proxy is being restarted.');
    this.#settle();
  }

  onFault(): void {
    if (this.#finished) return;
    this.#finished = true;
    const { bound } = this;
    // One by one: any of them may be where the fault is.
    for (const step of [
      () => this.client.start?.abandon(),
      () => this.hold?.release(),
      () => bound !== undefined && this.domain.leave(bound.identity),
      () => bound?.close(),
      () => this.hold?.finished(),
    ]) {
      try {
        step();
      } catch {
        // The first fault is in the log; this may be no more than what follows from it.
      }
    }
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

  get upstream(): string {
    return this.server.upstream;
  }

  waitForStore(waiting: boolean): void {
    if (waiting) this.server.stopReading(STORE_ASKED);
    else this.server.readAgain(STORE_ASKED);
  }

  moreWaits(): void {
    this.hold?.moreWaits();
  }

  get clientIsGone(): boolean {
    return this.keep.active;
  }

  endKept(): void {
    this.keep.end();
  }

  get clientIsHeld(): boolean {
    return this.client.state === 'held' || this.hold?.held === true;
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

  /** The session exists from now on. */
  enter(bound: BoundSession): void {
    this.bound = bound;
    this.serverLimits = this.server.limits;
    this.client.bound(this.serverLimits.depth);
    this.port.authenticated();
    this.#deadlines.set('authentication', Number.POSITIVE_INFINITY);
    this.domain.enter(bound.identity);
    this.#deadlines.keepAlive();
    this.wakeTimesChanged();
  }

  /** For how long a session of this domain is held; 0: not at all. */
  get holdTime(): number {
    return this.domain.config.hold.seconds;
  }

  /** What the client of this session has asked to go on with, seen from its new connection. */
  get resuming(): ResumeAttempt {
    this.#resuming ??= new ResumeAttempt(this, this.port);
    return this.#resuming;
  }

  /** The same, if it has. */
  get attempt(): ResumeAttempt | undefined {
    return this.#resuming;
  }

  /** Takes the client's leg from another session, which ends without it. */
  takeClient(from: Session): void {
    const client = from.client;
    this.port.count('hold', 'client-taken');
    from.client = ClientSide.absent(from, from.port, from.settings);
    from.port.authenticated();
    from.port.handOver('client', this.port);
    const { bytes, stanzas } = this.client;
    client.moveTo(this, this.port, this.serverLimits.depth);
    client.bytes += bytes;
    client.stanzas += stanzas;
    this.client = client;
    // What the former one had not read is no news of this one's queue.
    this.server.readAgain(OTHER_LEG_FULL);
    from.endsFor('resumed');
    from.server.close();
    from.flush();
    this.#deadlines.keepAlive();
    this.wakeTimesChanged();
  }

  /** Takes the server's leg from another session. */
  takeServer(from: Session): void {
    const { server } = from;
    from.server = ServerSide.absent(from, from.port, from.settings);
    from.port.handOver('server', this.port);
    const { bytes, stanzas } = this.server;
    server.moveTo(this, this.port);
    server.bytes += bytes;
    server.stanzas += stanzas;
    this.server = server;
  }

  setDeadline(name: DeadlineName, time: number): void {
    this.#deadlines.set(name, time);
    this.wakeTimesChanged();
  }

  /** The server has been told something that its features answer. */
  expectsFeatures(): void {
    this.#deadlines.expectFeatures();
    this.wakeTimesChanged();
  }

  inOthersTurn(now: number): void {
    this.now = now;
    this.domain.settlesLater(this);
  }

  /** For commands outside of an event of this session: what they have made goes out. */
  flush(): void {
    this.#settle();
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
    if (this.hold?.held === false) this.hold.release();
    this.#deadlines.close();
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

  /** Writes what a leg's outbox holds; a full queue stops the other leg from being read, until it is empty or nobody's any more. */
  #write(side: LegSide, source: LegSide): void {
    if (side.write()) {
      if (side.gone || side.ended) source.readAgain(OTHER_LEG_FULL);
      return;
    }
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
    this.#domain?.settleOthers();
    this.#write(this.client, this.server);
    this.#write(this.server, this.client);
    if (this.#finished || !this.client.done || !this.server.done || this.hold?.busy === true) return;
    this.#finished = true;
    this.client.start?.abandon();
    this.hold?.release();
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
    this.hold?.finished();
  }
}
