import { connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { DomainConfig, UpstreamConfig } from '../config/model.js';
import type { ConnectFailure, UpstreamFacts } from '../session/port.js';
import { type Clock, Sleeper } from './clock.js';
import { READING } from './leg.js';
import { buildProxyHeader, type ProxiedEndpoints } from './proxy-protocol.js';
import { UpstreamQueue } from './upstream-queue.js';
import { factsTowardsServer, type UpstreamTlsDialer } from './upstream-tls.js';

/** From the first SYN to a finished handshake, per upstream. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** How long an upstream that has failed is tried behind the others. */
const REMEMBER_FAILURE_MS = 5_000;

/** A connected server has accepted when it says something; a silent one does not hold up the others for longer. */
const ACCEPTED_AFTER_MS = 1_000;

/** Two families of a name are tried in turn; Node's 250 ms is too little for a slow link. */
const ATTEMPT_MS = 1_500;

/** Who wants a connection. Never called from inside `connect`. */
export interface ConnectRequest {
  endpoints(): ProxiedEndpoints | undefined;
  connected(facts: UpstreamFacts, socket: Socket): void;
  connectFailed(failure: ConnectFailure): void;
}

/** A connection being made, and for a moment its place among those that the server has yet to accept. */
export interface Dial {
  cancel(): void;
  /** The server has shown that it accepted the connection, or the connection is gone. */
  settled(): void;
}

/** Makes the connections to the servers, a domain's upstreams in order and no server swamped. */
export class UpstreamConnector {
  #domains: ReadonlyMap<string, DomainConfig> = new Map();
  readonly #queues = new Map<string, UpstreamQueue>();

  constructor(
    readonly clock: Clock,
    readonly tls: UpstreamTlsDialer,
    readonly log: Logger,
  ) {}

  /** Takes effect for connections to come. */
  configure(domains: ReadonlyMap<string, DomainConfig>): void {
    this.#domains = domains;
    this.tls.forgetAuthorities();
  }

  connect(domain: string, request: ConnectRequest): Dial {
    const upstreams = this.#domains.get(domain)?.upstreams ?? [];
    const { now } = this.clock;
    const healthy = upstreams.filter((upstream) => this.queueOf(upstream).failedUntil <= now);
    const failed = upstreams.filter((upstream) => this.queueOf(upstream).failedUntil > now);
    const attempt = new Attempt(this, domain, [...healthy, ...failed], request);
    attempt.start();
    return attempt;
  }

  queueOf(upstream: UpstreamConfig): UpstreamQueue {
    const key = `${upstream.host} ${upstream.port}`;
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = new UpstreamQueue(upstream.parallelConnects);
      this.#queues.set(key, queue);
    }
    queue.width = upstream.parallelConnects;
    return queue;
  }

  succeeded(upstream: UpstreamConfig): void {
    const queue = this.queueOf(upstream);
    if (queue.failedUntil > 0) this.log.info(`the server at ${upstream.url} can be reached again`);
    queue.failedUntil = 0;
  }

  failed(upstream: UpstreamConfig, failure: ConnectFailure, detail: string): void {
    const queue = this.queueOf(upstream);
    // One line when a server goes away, not one per client that asks for it.
    if (queue.failedUntil === 0) {
      this.log.warn(
        { upstream: upstream.url, failure, detail },
        `the server at ${upstream.url} cannot be reached`,
      );
    }
    queue.failedUntil = this.clock.now + REMEMBER_FAILURE_MS;
  }
}

/** One request on its way through the upstreams of its domain. */
class Attempt extends Sleeper implements Dial {
  #at = -1;
  #socket: Socket | undefined;
  #queue: UpstreamQueue | undefined;
  #over = false;
  #handedOver = false;

  constructor(
    readonly connector: UpstreamConnector,
    readonly domain: string,
    readonly upstreams: readonly UpstreamConfig[],
    readonly request: ConnectRequest,
  ) {
    super();
  }

  start(): void {
    process.nextTick(() => this.#next('unreachable'));
  }

  cancel(): void {
    if (!this.#over) this.#giveUp();
    this.#over = true;
    this.settled();
  }

  settled(): void {
    if (this.#handedOver) this.connector.clock.wakeAt(this, Number.POSITIVE_INFINITY);
    this.#queue?.leave(this);
    this.#queue = undefined;
  }

  override wake(): void {
    if (this.#handedOver) this.settled();
    else if (!this.#over) this.#failed('timeout', '');
  }

  /** Its turn in the queue has come. */
  admitted(): void {
    const upstream = this.upstreams[this.#at];
    if (this.#over || upstream === undefined) return;
    this.connector.clock.wakeAt(this, this.connector.clock.now + CONNECT_TIMEOUT_MS);
    const plain = upstream.tls === 'off';
    const socket = connect({
      host: upstream.host,
      port: upstream.port,
      allowHalfOpen: true,
      noDelay: true,
      autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
      ...(plain && { onread: READING }),
    });
    this.#socket = socket;
    socket.on('error', this.#onError);
    socket.once('connect', () => this.#connected(upstream, socket));
  }

  #connected(upstream: UpstreamConfig, socket: Socket): void {
    if (this.#socket !== socket) return;
    if (isItsOwnPeer(socket)) {
      this.#failed('refused', 'nobody listens: the connection was one to itself');
      return;
    }
    if (upstream.sendProxy !== 'off')
      socket.write(buildProxyHeader(upstream.sendProxy, this.request.endpoints()));
    if (upstream.tls !== 'direct') {
      socket.removeListener('error', this.#onError);
      this.#handOver({ upstream, tls: undefined }, socket);
      return;
    }
    try {
      this.#secure(upstream, socket);
    } catch (error) {
      this.#failed('tls-failed', error instanceof Error ? error.message : String(error));
    }
  }

  #secure(upstream: UpstreamConfig, socket: Socket): void {
    const secure = this.connector.tls.wrap(socket, upstream, this.domain);
    this.#socket = secure;
    secure.on('error', this.#onError);
    secure.on('close', this.#onClose);
    secure.once('secureConnect', () => {
      if (this.#socket !== secure) return;
      const facts = factsTowardsServer(secure, upstream);
      if (facts === undefined) {
        this.#failed('certificate-rejected', 'not the pinned certificate');
        return;
      }
      secure.removeListener('error', this.#onError);
      secure.removeListener('close', this.#onClose);
      this.#handOver({ upstream, tls: facts }, secure);
    });
  }

  #handOver(facts: UpstreamFacts, socket: Socket): void {
    this.connector.succeeded(facts.upstream);
    this.#socket = undefined;
    this.#over = true;
    this.#handedOver = true;
    this.connector.clock.wakeAt(this, this.connector.clock.now + ACCEPTED_AFTER_MS);
    this.request.connected(facts, socket);
  }

  /** Stays on a socket that is given up: its error is nobody's any more, but must not end the process. */
  readonly #onError = (error: NodeJS.ErrnoException): void => {
    const socket = this.#socket;
    if (socket === undefined) return;
    const code = error.code ?? error.message;
    if (isCertificateFault(code)) this.#failed('certificate-rejected', code);
    else this.#failed(socket instanceof TLSSocket ? 'tls-failed' : failureOf(error), code);
  };

  readonly #onClose = (): void => {
    if (this.#socket !== undefined) this.#failed('tls-failed', 'closed during the handshake');
  };

  #failed(failure: ConnectFailure, detail: string): void {
    const upstream = this.upstreams[this.#at];
    // Without a socket it was still waiting for its turn, which says nothing about the server.
    if (upstream !== undefined && this.#socket !== undefined)
      this.connector.failed(upstream, failure, detail);
    this.#giveUp();
    this.settled();
    this.#next(failure);
  }

  #giveUp(): void {
    this.connector.clock.wakeAt(this, Number.POSITIVE_INFINITY);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  #next(failure: ConnectFailure): void {
    if (this.#over) return;
    this.#at += 1;
    const upstream = this.upstreams[this.#at];
    if (upstream === undefined) {
      this.#over = true;
      this.request.connectFailed(failure);
      return;
    }
    this.connector.clock.wakeAt(this, this.connector.clock.now + CONNECT_TIMEOUT_MS);
    this.#queue = this.connector.queueOf(upstream);
    this.#queue.enter(this);
  }
}

/**
 * A port of this machine that the system gives to outgoing connections, and on which nobody listens: one in some ten thousand connections to it
 * goes out from that very port, and TCP connects it to itself (RFC 9293 §3.5). Kept, it would keep the server from its port as well.
 */
function isItsOwnPeer({ localAddress, localPort, remoteAddress, remotePort }: Socket): boolean {
  return localPort !== undefined && localPort === remotePort && localAddress === remoteAddress;
}

function failureOf(error: NodeJS.ErrnoException): ConnectFailure {
  // Several addresses of one name: all have failed, and the last one speaks for them.
  const inner: unknown = error instanceof AggregateError ? error.errors.at(-1) : undefined;
  const code = inner instanceof Error && 'code' in inner ? inner.code : error.code;
  switch (code) {
    case 'ECONNREFUSED':
      return 'refused';
    case 'ETIMEDOUT':
      return 'timeout';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
      return 'unresolvable';
    default:
      return 'unreachable';
  }
}

/** Node names OpenSSL's verdicts on a chain, and its own on the name, by codes of their own. */
function isCertificateFault(code: string): boolean {
  return /CERT|SIGNATURE|CRL/.test(code) && !code.startsWith('ERR_SSL');
}
