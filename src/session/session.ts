import type { Buffer } from 'node:buffer';
import type { Config, ListenerConfig, UpstreamLimits } from '../config/model.js';
import { prepareJid } from '../jid.js';
import type { StoreEntry } from '../store/store.js';
import type { StreamErrorCondition } from '../stream/errors.js';
import { upstreamLimits } from '../stream/server-kind.js';
import type { Frame } from '../xml/frame.js';
import { type NamespaceTable, NS } from '../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../xml/serialize.js';
import type { Resumption } from './acknowledgement.js';
import { identityOf } from './binding.js';
import { BoundSession, type BoundSurroundings } from './bound.js';
import { ClientSide } from './client-side.js';
import { Deadlines } from './deadlines.js';
import type { DomainRuntime } from './domain.js';
import type { ServerKind, SessionIdentity } from './feature.js';
import { Hold } from './hold.js';
import { Keep } from './keep.js';
import { Keepalive } from './keepalive.js';
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
import { ServerSide } from './server-side.js';
import type { EnableRequest, ResumeRequest } from './start/authenticate.js';
import { readSuspended, type SuspendedSession, suspendedKey } from './suspended.js';
import { undeliveredPrefix } from './undelivered.js';

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

interface Restoring {
  readonly bound: BoundSession;
  readonly session: SuspendedSession;
  /** What the store has for the account, where the client had been sent some of it. */
  readonly undelivered: readonly StoreEntry[];
}

interface Resuming extends ResumeRequest {
  /** Of our own bind request that is open. */
  bindId: string | undefined;
}

type DeadlineName =
  | 'authentication'
  | 'start'
  | 'keepalive'
  | 'close'
  | 'hold'
  | 'settling'
  | 'answer'
  | 'kept';

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
  client: ClientSide;
  server: ServerSide;
  readonly namespaces: NamespaceTable;
  /** The server has accepted who the client says it is. */
  authenticated = false;
  bound: BoundSession | undefined;
  serverLimits: UpstreamLimits = upstreamLimits('unknown', {});
  readonly #deadlines = new Deadlines();
  readonly #keepalive: Keepalive;
  #domain: DomainRuntime | undefined;
  /** Set while the client may resume this session. */
  hold: Hold | undefined;
  /** Of the server leg, when its client is gone for good. */
  readonly keep = new Keep(this);
  /** The proxy is being stopped. */
  goingDown = false;
  /** Whose server stream is being resumed on this one's leg. */
  #resumingUpstream: Hold | undefined;
  /** A session of a process before this one, to be gone on with when the server has its half still. */
  #restoring: Restoring | undefined;
  /** What the client has asked to resume. */
  #resuming: Resuming | undefined;
  /** The server has stream management, and whether it is to hold the session is yet to be seen. */
  serverUndecided = false;
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
    this.#keepalive = new Keepalive(config.keepalive);
    this.#deadlines.set('authentication', now + config.limits.unauthenticatedTime * 1000);
    this.wakeTimesChanged();
  }

  // What happens.

  onData(leg: Leg, chunk: Buffer, now: number): void {
    this.now = now;
    if (this.hold?.suspending === true) return;
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
    else if (token === 'suspend') this.hold?.suspended(ok);
    else if (token === 'token') this.client.start?.stored(ok);
    else if (token === 'delivered') {
      (this.bound ?? this.#restoring?.bound)?.missed.forgotten();
      this.hold?.comingBack.settle();
    } else this.bound?.stored(token, ok);
    this.#settle();
  }

  onLoaded(token: string, entries: readonly StoreEntry[], now: number): void {
    this.now = now;
    if (token === 'undelivered') this.bound?.missed.deliver(entries);
    else if (token === 'backlog') this.bound?.backlogLoaded(entries);
    else if (token === 'resume') this.#found(entries);
    else if (token === 'resume-undelivered') this.#askToRestore(entries);
    else if (token === 'token') this.client.start?.loaded(entries);
    else this.bound?.loaded(token, entries);
    this.#settle();
  }

  onPublished(message: string, now: number): void {
    this.now = now;
    this.bound?.told(message);
    this.#settle();
  }

  onWake(now: number): void {
    this.now = now;
    for (const name of this.#deadlines.due(now)) this.#reached(name);
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
    this.bound?.paused(paused);
    this.#settle();
  }

  onShutdown(now: number): void {
    this.now = now;
    this.goingDown = true;
    if (this.keep.active) this.keep.end();
    else if (this.hold?.suspend() === true) this.server.write();
    else if (this.hold?.held === true) this.hold.end('hold-shutdown');
    else if (this.hold?.collect('hold-shutdown') !== true)
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

  /**
   * A resource has been bound.
   * @param welcome tells the client, where that is not done yet, before anything else goes to it
   * @param enabled namespaces of what was switched on along with it
   * @param readsArchive before anything else goes to the client
   */
  bind(
    identity: SessionIdentity,
    welcome?: () => void,
    enabled?: ReadonlySet<string>,
    readsArchive = false,
  ): void {
    const bound = new BoundSession(identity, this);
    this.boundAs = undefined;
    this.#enter(bound);
    // What the archive has comes first, and is in order.
    if (!readsArchive) bound.bringBack();
    // Whether the server may hold a session of its own accord depends on whether the client can come back to it: without stream management
    // of its own it could not, and would leave a ghost behind.
    if (this.holdTime === 0) this.enableServer(false);
    else this.serverUndecided = this.server.sm !== undefined;
    welcome?.();
    bound.open({}, enabled);
  }

  #enter(bound: BoundSession): void {
    this.bound = bound;
    this.serverLimits = this.server.limits;
    this.client.bound(this.serverLimits.depth);
    this.port.authenticated();
    this.#deadlines.set('authentication', Number.POSITIVE_INFINITY);
    this.domain.enter(bound.identity);
    this.#deadlines.set('keepalive', this.#keepalive.next(this.now));
    this.wakeTimesChanged();
  }

  /** For how long a session of this domain is held; 0: not at all. */
  get holdTime(): number {
    return this.domain.config.hold.seconds;
  }

  /** Turns stream management on towards the server, if it has it and has not been asked yet. */
  enableServer(resume: boolean): void {
    const { sm } = this.server;
    const acknowledgement = this.bound?.acknowledgement;
    this.serverUndecided = false;
    if (sm !== undefined && acknowledgement?.serverWanted === false) acknowledgement.enableServer(sm, resume);
  }

  /** `<enable/>` from the client (XEP-0198 §3). @returns false when it had been enabled before */
  enableClient(frame: Frame): boolean {
    const resume = frame.attributeEquals('resume', 'true') || frame.attributeEquals('resume', '1');
    return this.enableWith({
      namespace: frame.namespace(),
      resume,
      max: Number(frame.attribute('max') ?? 0),
    });
  }

  /** The same from wherever it was asked for. `<enabled/>` goes out at once. */
  enableWith({ namespace, resume, max: asked }: EnableRequest): boolean {
    const { bound } = this;
    if (bound === undefined || bound.acknowledgement.clientEnabled) return false;
    this.enableServer(resume && this.holdTime > 0);
    let resumption: Resumption | undefined;
    if (resume && this.holdTime > 0) resumption = this.#mayResume(bound, asked);
    bound.acknowledgement.enableClient(namespace, resumption);
    bound.clientHasEnabled();
    return true;
  }

  #mayResume(bound: BoundSession, asked: number): Resumption {
    const max = asked > 0 ? Math.min(Math.ceil(asked), this.holdTime) : this.holdTime;
    const resumption = { id: this.port.randomId(), max };
    this.hold = new Hold(this, resumption, prepareJid(bound.identity.bare) ?? bound.identity.bare);
    return resumption;
  }

  // Resuming, seen from the new connection.

  /** `<resume/>` from the client of a session that has no resource yet (XEP-0198 §5). */
  resume(frame: Frame): void {
    const id = frame.attribute('previd') ?? '';
    this.resumeAs({ namespace: frame.namespace(), id, h: frame.attribute('h') });
  }

  /** The same from wherever it was asked for. @param account who the client is, prepared, where it has proved that to us */
  resumeAs(asked: ResumeRequest, account?: string): void {
    const { id } = asked;
    this.#resuming = { ...asked, bindId: undefined };
    const hold = this.domain.holds.get(id);
    if (account !== undefined) {
      this.#provedToBe(account);
      return;
    }
    // It may be one that was suspended when the proxy was stopped.
    if (hold === undefined && this.holdTime === 0) this.resumeFailed(undefined);
    else if (hold === undefined) this.port.load(suspendedKey(this.domain.name, id), 'resume');
    else if (!hold.serverIsThere) this.resumeUpstream(hold);
    else if (this.boundAs !== undefined) this.#provedToBe(this.boundAs.bare);
    else {
      // SASL has passed through unread: whose session it is, the server says in its answer to this.
      const bindId = this.port.randomId();
      this.#resuming.bindId = bindId;
      this.server.outbox.text(`<iq type='set' id='${bindId}'><bind xmlns='${NS.bind}'/></iq>`);
    }
  }

  /** What the store has of the session to be resumed. */
  #found(entries: readonly StoreEntry[]): void {
    const resuming = this.#resuming;
    if (resuming === undefined) return;
    const key = suspendedKey(this.domain.name, resuming.id);
    const session = readSuspended(entries, key, this.port.wallClock());
    if (entries.some((entry) => entry.key === key))
      this.port.store([{ key, value: undefined }], 'suspended-taken');
    const identity = session === undefined ? undefined : identityOf(session.full);
    const { sm } = this.server;
    if (session === undefined || identity === undefined || sm === undefined || this.boundAs !== undefined) {
      this.resumeFailed(undefined);
      return;
    }
    const bound = new BoundSession(identity, this);
    bound.acknowledgement.restore(session.counts);
    const wrong = bound.acknowledgement.clientAnswers(resuming.h);
    if (wrong !== undefined) {
      this.client.countIsWrong(wrong, resuming.namespace);
      return;
    }
    // What the client has not handled the server sends again, but for what had come out of the store.
    const fromStore = bound.acknowledgement.waiting?.waiting().some(({ stored }) => stored !== undefined);
    bound.acknowledgement.sentIsGone();
    this.#restoring = { bound, session, undelivered: [] };
    if (fromStore === true)
      this.port.load(undeliveredPrefix(this.domain.name, session.account), 'resume-undelivered');
    else this.#askToRestore([]);
  }

  #askToRestore(undelivered: readonly StoreEntry[]): void {
    if (this.#restoring === undefined) return;
    this.#restoring = { ...this.#restoring, undelivered };
    const { bound, session } = this.#restoring;
    this.server.askToResume(session.counts.serverResumption.id, bound.acknowledgement.serverHandled);
  }

  /** The server has its half still, and says by it who this is. */
  #restored(h: string | undefined): void {
    const restoring = this.#restoring;
    const resuming = this.#resuming;
    this.#restoring = undefined;
    if (restoring === undefined || resuming === undefined) return;
    const { bound, session, undelivered } = restoring;
    if (bound.acknowledgement.serverResumes(h) === undefined) {
      this.client.fail('internal-server-error', 'The server behind does not follow the protocol.');
      return;
    }
    this.#enter(bound);
    // Before the features begin: what they are told first is what the client has.
    bound.restoreReceipts(session.receipts ?? []);
    bound.open(session.features);
    this.hold = new Hold(this, { id: resuming.id, max: session.max }, session.account);
    this.port.count('hold', 'restored');
    this.client.saysResumed(bound.identity.full, () =>
      bound.acknowledgement.resumeClient(resuming.namespace, resuming.id),
    );
    bound.missed.deliverFirst(undelivered);
    this.client.goOn();
  }

  get handledByClient(): string | undefined {
    return this.#resuming?.h;
  }

  get resumingWith(): string {
    return this.#resuming?.namespace ?? NS.sm3;
  }

  /** The server's answer to a bind request. @returns whether it was ours */
  takeBindResult(id: string | undefined, identity: SessionIdentity | undefined): boolean {
    const resuming = this.#resuming;
    if (resuming === undefined || resuming.bindId === undefined || resuming.bindId !== id) return false;
    resuming.bindId = undefined;
    this.boundAs = identity;
    if (identity === undefined) this.resumeFailed(undefined);
    else this.#provedToBe(identity.bare);
    return true;
  }

  /** The held session's own server leg is lost: the server is asked to go on with its stream on this one. */
  resumeUpstream(hold: Hold): void {
    const { serverResumption, serverHandled } = hold.acknowledgement;
    const { sm } = this.server;
    // A leg that is bound already cannot resume any more.
    if (serverResumption === undefined || sm === undefined || this.boundAs !== undefined)
      this.resumeFailed(undefined);
    else {
      this.#resumingUpstream = hold;
      this.server.askToResume(serverResumption.id, serverHandled);
    }
  }

  /** `<resumed/>` or `<failed/>` from the server. @param h of `<resumed/>` */
  serverHasResumed(h: string | undefined, failed: boolean): void {
    if (this.#restoring !== undefined) {
      if (!failed) this.#restored(h);
      else {
        const { clientHandled } = this.#restoring.bound.acknowledgement;
        this.#restoring = undefined;
        this.resumeFailed(clientHandled);
      }
      return;
    }
    const hold = this.#resumingUpstream;
    this.#resumingUpstream = undefined;
    if (hold === undefined) return;
    // That the server knows the id for this user's is the proof of who it is.
    if (failed) {
      hold.serverHasForgotten();
      this.resumeFailed(hold.acknowledgement.clientHandled);
    } else hold.comingBack.goOnUpstream(this, h);
    this.flush();
  }

  /** @param handled how many of the client's stanzas the former session had handled, where that is known and may be said */
  resumeFailed(handled: number | undefined): void {
    const { namespace } = this.#resuming ?? { namespace: NS.sm3 };
    this.#resuming = undefined;
    this.client.refuseToResume(namespace, handled);
    this.flush();
  }

  /** @param account its bare JID */
  #provedToBe(account: string): void {
    const resuming = this.#resuming;
    if (resuming === undefined) return;
    const hold = this.domain.holds.get(resuming.id);
    // To a stranger a session of somebody else's is as unknown as one that never was.
    if (hold?.account !== (prepareJid(account) ?? account) || !hold.comingBack.comeBack(this, resuming.h))
      this.resumeFailed(undefined);
  }

  /**
   * A resource is about to be asked for. A session of the same account that has it and may be resumed ends first, in order, so that what it
   * has for its client is put away: of a server that throws it out nobody knows what becomes of that.
   * @returns true when `go` has been called, false when it will be
   */
  whenFree(resource: string | undefined, go: () => void): boolean {
    const name = this.client.claimedName;
    const full = resource === undefined ? undefined : prepareJid(`${name}@${this.domain.name}/${resource}`);
    const hold = name === undefined || full === undefined ? undefined : this.domain.holdOf(full);
    if (hold === undefined) {
      go();
      return true;
    }
    hold.makeRoom(() => {
      go();
      this.flush();
    });
    return false;
  }

  /** The client binds a resource. @returns true when the leg has one already and the answer is given here */
  bindsAgain(frame: Frame): boolean {
    const identity = this.boundAs;
    if (identity === undefined) return false;
    const id = frame.id === undefined ? '' : ` id='${escapeAttribute(frame.id)}'`;
    const jid = `<bind xmlns='${NS.bind}'><jid>${escapeText(identity.full)}</jid></bind>`;
    this.client.outbox.text(`<iq type='result'${id}>${jid}</iq>`);
    this.bind(identity);
    return true;
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
    from.endsFor('resumed');
    from.server.close();
    from.flush();
    this.#deadlines.set('keepalive', this.#keepalive.next(this.now));
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
      case 'start':
        this.client.start?.timeUp();
        break;
      case 'keepalive':
        this.#keepAlive();
        break;
      case 'hold':
        this.hold?.end('hold-expired');
        break;
      case 'answer':
        this.hold?.notAnswered();
        break;
      case 'kept':
        this.keep.end();
        break;
      case 'settling':
        this.hold?.comingBack.notSettled();
        break;
      case 'close':
        // Whoever has not ended by now does not get to.
        this.server.destroy();
        this.client.destroy();
        this.hold?.serverClosed();
        break;
    }
  }

  #keepAlive(): void {
    for (const side of [this.client, this.server]) {
      if (side.gone || side.ended || !this.#lives) continue;
      switch (this.#keepalive.due(side.leg, side.lastReceived, this.now)) {
        case 'space':
          side.outbox.text(' ');
          break;
        case 'ping':
          this.bound?.probe(side.leg);
          break;
        case 'dead':
          if (side === this.client && this.hold === undefined)
            this.client.fail('connection-timeout', 'No answer to a ping.');
          else side.lost('reset');
          break;
      }
    }
    if (this.#lives) this.#deadlines.set('keepalive', this.#keepalive.next(this.now));
  }

  get #lives(): boolean {
    return this.client.state === 'bound' || this.client.state === 'held' || this.keep.active;
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
