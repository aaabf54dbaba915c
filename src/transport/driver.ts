import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Bus, Unsubscribe } from '../bus/bus.js';
import type { Metrics } from '../ops/metrics.js';
import type {
  ConnectFailure,
  Leg,
  LegLoss,
  SessionEvents,
  SessionMetric,
  SessionPort,
  SessionSummary,
  TlsFacts,
  UpstreamFacts,
} from '../session/port.js';
import type { Store, StoreChange } from '../store/store.js';
import type { StreamErrorCondition } from '../stream/errors.js';
import { type Clock, Sleeper } from './clock.js';
import type { ConnectRequest, Dial, UpstreamConnector } from './connector.js';
import { type LegOwner, SocketLeg, type TransportLeg } from './leg.js';
import type { ProxiedEndpoints } from './proxy-protocol.js';
import type { ServerTls } from './server-tls.js';
import type { UpstreamTlsDialer } from './upstream-tls.js';

/** What all drivers of a process share. */
export interface DriverEnvironment {
  readonly clock: Clock;
  readonly connector: UpstreamConnector;
  readonly serverTls: ServerTls;
  readonly upstreamTls: UpstreamTlsDialer;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly store: Store;
  readonly bus: Bus;
  /** Told once per session, when its client has proved who it is. */
  admitted(address: string): void;
  finished(driver: SessionDriver, summary: SessionSummary): void;
}

/** A stream that has been ended in order may take this long to send its last bytes. */
const LINGER_MS = 5_000;

/** 144 bits, above the 128 that the contract asks for and without padding in base64. */
const ID_BYTES = 18;

/**
 * Owns the sockets of one session and is its only way to the world: carries out its commands, and calls its events one at a time.
 * Commands take effect when the event returns, so that no event is ever called from inside a command.
 *
 * One file for commands and events, because that rule holds between them.
 */
export class SessionDriver extends Sleeper implements SessionPort, LegOwner, ConnectRequest {
  #environment: DriverEnvironment;
  #session: SessionEvents | undefined = undefined;
  /** Undefined once it is another session's. */
  #client: TransportLeg | undefined;
  #server: TransportLeg | undefined = undefined;
  /** The connection being made, and for a moment after that its place in the upstream's queue. */
  #dial: Dial | undefined = undefined;
  #upstream: UpstreamFacts | undefined = undefined;
  #domain = '';
  /** Address that counts as not yet authenticated; undefined once it does not. */
  #admission: string | undefined;
  readonly #proxied: ProxiedEndpoints | undefined;
  readonly #queueBytes: number;
  /** An event call is running: what commands leave behind is settled at its end. */
  #inEvent = false;
  /** A leg was lost while commands were being carried out: the session may have given new ones. */
  #settleAgain = false;
  #settleScheduled = false;
  #finished = false;
  #unsubscribe: Unsubscribe | undefined;

  /**
   * @param client makes the leg towards the client, which belongs to this driver
   * @param proxied the client's addresses when another proxy has told them; else the leg's socket knows them.
   */
  constructor(
    environment: DriverEnvironment,
    client: (owner: LegOwner) => TransportLeg,
    address: string,
    proxied: ProxiedEndpoints | undefined,
    queueBytes: number,
  ) {
    super();
    this.#environment = environment;
    this.#admission = address;
    this.#proxied = proxied;
    this.#queueBytes = queueBytes;
    this.#client = client(this);
  }

  /** Hands over the session; called once, before any event. */
  drive(session: SessionEvents): void {
    this.#session = session;
  }

  /** Tells the session that the process is going down. */
  shutDown(): void {
    this.#event((session, now) => session.onShutdown(now));
  }

  /** Gives up both legs without a word: the process does not wait any longer. */
  abandon(): void {
    this.#client?.destroy();
    this.#dropServer();
    this.#environment.clock.wakeAt(this, Number.POSITIVE_INFINITY);
  }

  // Commands.

  write(leg: Leg, bytes: Buffer): boolean {
    const target = leg === 'client' ? this.#client : this.#server;
    if (target === undefined) return true;
    if (!this.#inEvent) this.#settleSoon();
    return target.write(bytes);
  }

  unsent(leg: Leg): number {
    return this.#leg(leg)?.unsent() ?? 0;
  }

  whenFlushed(leg: Leg): void {
    this.#leg(leg)?.whenFlushed();
    this.#settleSoon();
  }

  startTls(leg: Leg): void {
    const { serverTls, upstreamTls } = this.#environment;
    if (leg === 'client') this.#client?.startTls(serverTls.wrapping(false, this.#domain));
    else if (this.#upstream !== undefined) {
      this.#server?.startTls(upstreamTls.wrapping(this.#upstream.upstream, this.#domain));
    }
    this.#settleSoon();
  }

  connect(domain: string): void {
    this.#domain = domain;
    this.#dropServer();
    this.#dial = this.#environment.connector.connect(domain, this);
  }

  end(leg: Leg, own?: StreamErrorCondition): void {
    this.#leg(leg)?.end(own);
    this.#settleSoon();
  }

  destroy(leg: Leg): void {
    if (leg === 'client') this.#client?.destroy();
    else this.#dropServer();
  }

  pauseReading(leg: Leg): void {
    this.#leg(leg)?.pauseReading();
  }

  resumeReading(leg: Leg): void {
    this.#leg(leg)?.resumeReading();
    // A leg that is no socket may have something that has waited for this.
    if (leg === 'client') this.#settleSoon();
  }

  wakeAt(time: number): void {
    if (!this.#finished) this.#environment.clock.wakeAt(this, time);
  }

  randomId(): string {
    return randomBytes(ID_BYTES).toString('base64url');
  }

  count(metric: SessionMetric, reason: string): void {
    this.#environment.metrics.count(metric, reason);
  }

  log(
    level: 'debug' | 'info' | 'warn',
    event: string,
    fields?: Readonly<Record<string, string | number | boolean>>,
  ): void {
    this.#environment.log[level](fields ?? {}, event);
  }

  /** The client is no longer a stranger: it stops counting against the limits on those. */
  authenticated(): void {
    if (this.#admission === undefined) return;
    this.#client?.trust();
    this.#environment.admitted(this.#admission);
    this.#admission = undefined;
  }

  finished(summary: SessionSummary): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#unsubscribe?.();
    this.authenticated();
    this.#environment.finished(this, summary);
    if (this.#client?.ending !== true) this.#client?.destroy();
    if (this.#server?.ending !== true) this.#dropServer();
    // What a leg that was ended in order has left to send goes on, for a while.
    const done = this.#client?.dead !== false && this.#server?.dead !== false;
    const { clock } = this.#environment;
    clock.wakeAt(this, done ? Number.POSITIVE_INFINITY : clock.now + LINGER_MS);
    this.#settleSoon();
  }

  subscribe(topic: string): void {
    this.#unsubscribe?.();
    this.#unsubscribe = this.#environment.bus.subscribe(topic, (message) =>
      this.#event((session, now) => session.onPublished(message, now)),
    );
  }

  publish(topic: string, message: string): void {
    this.#environment.bus.publish(topic, message);
  }

  wallClock(): number {
    return Date.now();
  }

  handOver(leg: Leg, to: SessionPort): void {
    if (!(to instanceof SessionDriver)) throw new Error('a leg goes from driver to driver');
    const given = this.#leg(leg);
    if (given === undefined) return;
    given.moveTo(to);
    if (leg === 'client') {
      this.#client = undefined;
      to.#former(to.#client);
      to.#client = given;
    } else {
      to.#dropServer();
      to.#server = given;
      to.#upstream = this.#upstream;
      to.#domain = this.#domain;
      this.#settleDial();
      this.#server = undefined;
      this.#upstream = undefined;
    }
    to.#settleSoon();
  }

  store(changes: readonly StoreChange[], token: string): void {
    this.#environment.store.write(changes).then(
      () => this.#event((session, now) => session.onStored(token, true, now)),
      (error: unknown) => {
        this.#environment.log.error({ err: error }, 'store-write-failed');
        this.#event((session, now) => session.onStored(token, false, now));
      },
    );
  }

  load(prefix: string, token: string): void {
    this.#environment.store.list(prefix).then(
      (entries) => this.#event((session, now) => session.onLoaded(token, entries, now)),
      (error: unknown) => {
        this.#environment.log.error({ err: error }, 'store-read-failed');
        this.#event((session, now) => session.onLoaded(token, [], now));
      },
    );
  }

  /** A leg that another one takes the place of: what it still has to send goes on without a session. */
  #former(leg: TransportLeg | undefined): void {
    if (leg === undefined || leg.dead) return;
    if (leg.ending) {
      leg.settle();
      leg.moveTo(ORPHANS);
      setTimeout(() => leg.destroy(), LINGER_MS).unref();
    } else leg.destroy();
  }

  // Connecting.

  /** The client's addresses, for a PROXY header; undefined when its socket is gone. */
  endpoints(): ProxiedEndpoints | undefined {
    if (this.#proxied !== undefined) return this.#proxied;
    const socket = this.#client?.socket;
    if (socket === undefined) return undefined;
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) return undefined;
    if (localAddress === undefined || localPort === undefined) return undefined;
    return {
      sourceAddress: remoteAddress,
      sourcePort: remotePort,
      targetAddress: localAddress,
      targetPort: localPort,
    };
  }

  connected(facts: UpstreamFacts, socket: Socket): void {
    if (this.#finished) {
      socket.destroy();
      return;
    }
    this.#server = new SocketLeg('server', socket, this, this.#queueBytes);
    this.#upstream = facts;
    this.#event((session, now) => session.onConnected(facts, now));
  }

  connectFailed(failure: ConnectFailure): void {
    this.#dial = undefined;
    this.#event((session, now) => session.onConnectFailed(failure, now));
  }

  // Events. `legData` is the hot path: what it does is written out, where the others share `#event`.

  legData(leg: TransportLeg, chunk: Buffer): void {
    if (leg === this.#client) this.#environment.metrics.bytesFromClients += chunk.length;
    else {
      this.#environment.metrics.bytesFromServers += chunk.length;
      if (this.#dial !== undefined) this.#settleDial();
    }
    if (this.#finished) return;
    this.#inEvent = true;
    try {
      this.#session?.onData(leg.name, chunk, this.#environment.clock.now);
    } catch (error) {
      this.#fault(error);
    }
    this.#leaveEvent();
  }

  legEnded(leg: TransportLeg): void {
    this.#event((session, now) => session.onEnd(leg.name, now));
  }

  legLost(leg: TransportLeg, cause: LegLoss, detail: string): void {
    if (leg !== this.#client) this.#settleDial();
    if (cause !== 'ended') this.#environment.log.debug({ leg: leg.name, cause, detail }, 'leg-lost');
    if (this.#finished) this.#stopLingering();
    this.#event((session, now) => session.onLost(leg.name, cause, now));
  }

  legDrained(leg: TransportLeg): void {
    this.#event((session, now) => session.onDrained(leg.name, now));
  }

  legSecured(leg: TransportLeg, facts: TlsFacts): void {
    this.#event((session, now) => session.onSecured(leg.name, facts, now));
  }

  legMisframed(_leg: TransportLeg, condition: StreamErrorCondition, text: string): void {
    this.#event((session, now) => session.onMisframed(condition, text, now));
  }

  legPaused(_leg: TransportLeg, paused: boolean): void {
    this.#event((session, now) => session.onPaused(paused, now));
  }

  legMoved(): void {
    if (this.#inEvent) return;
    this.#inEvent = true;
    this.#leaveEvent();
  }

  override wake(now: number): void {
    if (this.#finished) this.abandon();
    else this.#event((session) => session.onWake(now));
  }

  /** One call of the session, and all that follows from it. */
  #event(call: (session: SessionEvents, now: number) => void): void {
    const session = this.#session;
    if (this.#finished || session === undefined) return;
    // A leg can be lost while the commands of another event are carried out; the end of that one then settles both.
    const nested = this.#inEvent;
    this.#inEvent = true;
    try {
      call(session, this.#environment.clock.now);
    } catch (error) {
      this.#fault(error);
    }
    if (nested) this.#settleAgain = true;
    else this.#leaveEvent();
  }

  /** Carries out what is left of the commands; that may bring about further events, until all is quiet. */
  #leaveEvent(): void {
    try {
      for (;;) {
        // What happens here may have given this session the leg of another one, or that one its own.
        const client = this.#client;
        client?.settle();
        const isFlushed = client?.takeFlushed() === true;
        // What the server is told for this goes out in one write with what there is for it.
        if (isFlushed) this.#flushed('client');
        this.#server?.settle();
        if (isFlushed) continue;
        if (this.#server?.takeFlushed()) this.#flushed('server');
        else if (this.#settleAgain) this.#settleAgain = false;
        else break;
      }
    } finally {
      this.#inEvent = false;
    }
  }

  #flushed(leg: Leg): void {
    if (this.#finished) return;
    try {
      this.#session?.onFlushed(leg, this.#environment.clock.now);
    } catch (error) {
      this.#fault(error);
    }
  }

  /** For commands that are given outside of an event of this session, as when one session writes to another. */
  #settleSoon(): void {
    if (this.#inEvent || this.#settleScheduled) return;
    this.#settleScheduled = true;
    process.nextTick(settleNow, this);
  }

  settleScheduled(): void {
    this.#settleScheduled = false;
    this.legMoved();
  }

  #leg(leg: Leg): TransportLeg | undefined {
    return leg === 'client' ? this.#client : this.#server;
  }

  #settleDial(): void {
    this.#dial?.settled();
    this.#dial = undefined;
  }

  #dropServer(): void {
    this.#dial?.cancel();
    this.#dial = undefined;
    this.#server?.destroy();
    this.#server = undefined;
    this.#upstream = undefined;
  }

  #stopLingering(): void {
    if (this.#client?.dead !== false && this.#server?.dead !== false) {
      this.#environment.clock.wakeAt(this, Number.POSITIVE_INFINITY);
    }
  }

  /** A session that throws is in no state to go on, and no reason for the others to end. */
  #fault(error: unknown): void {
    this.#environment.log.error({ err: error }, 'session-fault');
    this.#environment.metrics.count('stream_error', 'internal-fault');
    this.finished({
      jid: undefined,
      domain: this.#domain === '' ? undefined : this.#domain,
      reason: 'internal-fault',
      stanzasFromClient: 0,
      stanzasFromServer: 0,
      bytesFromClient: 0,
      bytesFromServer: 0,
    });
    this.#session?.onFault();
    this.abandon();
  }
}

/** What becomes of legs that are on their last bytes is nobody's business, but for how long they take. */
const ORPHANS: LegOwner = {
  legData() {},
  legEnded: (leg) => leg.destroy(),
  legLost() {},
  legDrained() {},
  legSecured() {},
  legMisframed() {},
  legPaused() {},
  legMoved: (leg) => leg.settle(),
};

function settleNow(driver: SessionDriver): void {
  driver.settleScheduled();
}
