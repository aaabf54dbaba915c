import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Bus } from '../bus/bus.js';
import { InProcessBus } from '../bus/in-process.js';
import { type Config, type LimitsConfig, type ListenerConfig, sharedPort } from '../config/model.js';
import type { Metrics } from '../ops/metrics.js';
import type { SessionEvents, SessionPort, SessionSummary, TlsFacts } from '../session/port.js';
import type { Store } from '../store/store.js';
import { NamespaceTable, NS } from '../xml/namespaces.js';
import { Admission } from './admission.js';
import type { ArrivalFailure } from './arrival.js';
import type { CertificateStore } from './certificates.js';
import { Clock } from './clock.js';
import { UpstreamConnector } from './connector.js';
import { type DriverEnvironment, SessionDriver } from './driver.js';
import { type LegOwner, SocketLeg, type TransportLeg } from './leg.js';
import { Listener } from './listener.js';
import { type ProxiedEndpoints, plainAddress } from './proxy-protocol.js';
import { ServerTls } from './server-tls.js';
import { UpstreamTlsDialer } from './upstream-tls.js';
import { type WebReception, WebServer } from './web/server.js';

/** What a session needs to know when it begins. */
export interface SessionStart {
  readonly listener: ListenerConfig;
  readonly directTls: TlsFacts | undefined;
  /** Address of the client, for logs. */
  readonly peer: string;
  /** ms on the clock of the event methods. */
  readonly now: number;
}

export type SessionFactory = (port: SessionPort, start: SessionStart) => SessionEvents;

/** After an operator's SIGTERM: what has not ended by then is cut off. */
export const DRAIN_MS = 10_000;
/** A client that does not poll comes back at once. */
const LAST_ANSWERS_MS = 1_000;

/** The transport as a whole: listeners, the sessions behind them, and the connector to the servers. */
export class Middlebox implements WebReception, DriverEnvironment {
  readonly clock: Clock;
  readonly admission: Admission;
  readonly serverTls: ServerTls;
  readonly bus: Bus = new InProcessBus();
  readonly upstreamTls = new UpstreamTlsDialer();
  readonly connector: UpstreamConnector;
  readonly #sessions = new Set<SessionDriver>();
  readonly #listeners = new Set<Listener>();
  readonly #webServers: WebServer[] = [];
  readonly #urls: string[] = [];
  readonly #create: SessionFactory;
  #config: Config;
  #quiet: (() => void) | undefined;
  #draining = false;
  #store: Store | undefined;

  /**
   * @param create makes the session that a new connection gets
   * @param namespaces what the sessions read with
   */
  constructor(
    config: Config,
    certificates: CertificateStore,
    create: SessionFactory,
    readonly metrics: Metrics,
    readonly log: Logger,
    clock: Clock = new Clock(),
    readonly namespaces: NamespaceTable = new NamespaceTable(Object.values(NS)),
  ) {
    this.#config = config;
    this.#create = create;
    this.clock = clock;
    this.admission = new Admission(config.limits);
    this.serverTls = new ServerTls(certificates);
    this.connector = new UpstreamConnector(clock, this.upstreamTls, log);
    this.connector.configure(config.domains);
  }

  /** What outlives the process; it stays the caller's to close. */
  get store(): Store {
    if (this.#store === undefined) throw new Error('sessions before there is a store');
    return this.#store;
  }

  /**
   * Opens all listeners, or none.
   * @throws ListenError
   */
  async open(store: Store): Promise<void> {
    this.#store = store;
    this.clock.start();
    try {
      const shared = new Map<string, Listener>();
      const { listeners } = this.#config;
      for (const config of listeners) {
        const port = sharedPort(config);
        let listener = config.web === undefined ? undefined : shared.get(port);
        if (listener === undefined) {
          listener = new Listener(config, config.web === undefined ? this : this.#webServer(port, listeners));
          if (config.web !== undefined) shared.set(port, listener);
          await listener.open();
          this.#listeners.add(listener);
        }
        this.#urls.push(listener.urlOf(config));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** One HTTP server for all that web clients find on a port. */
  #webServer(port: string, listeners: readonly ListenerConfig[]): WebServer {
    const here = listeners.filter((config) => config.web !== undefined && sharedPort(config) === port);
    const server = new WebServer(here, this);
    this.#webServers.push(server);
    return server;
  }

  /** Addresses that are really bound, as URLs, in the order of the configuration. */
  get urls(): readonly string[] {
    return this.#urls;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get limits(): LimitsConfig {
    return this.#config.limits;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** For sessions to come; listeners stay as they are. */
  reconfigure(config: Config): void {
    this.#config = config;
    this.admission.limits = config.limits;
    this.connector.configure(config.domains);
  }

  /** No new connections; sessions are told and given `DRAIN_MS`. */
  async drain(limitMs: number = DRAIN_MS): Promise<void> {
    this.#draining = true;
    for (const listener of this.#listeners) listener.close();
    for (const server of this.#webServers) server.drain();
    for (const session of [...this.#sessions]) session.shutDown();
    if (this.#sessions.size > 0) {
      let timer: NodeJS.Timeout | undefined;
      const limit = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, limitMs);
      });
      const quiet = new Promise<void>((resolve) => {
        this.#quiet = resolve;
      });
      await Promise.race([limit, quiet]);
      clearTimeout(timer);
    }
    await this.#lastAnswers();
    this.close();
  }

  /** What BOSH clients are told at the end, those have to come for who are between two requests. */
  async #lastAnswers(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_ANSWERS_MS);
    });
    await Promise.race([limit, Promise.all(this.#webServers.map((server) => server.told()))]);
    clearTimeout(timer);
  }

  /** Ends everything at once. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const session of [...this.#sessions]) session.abandon();
    for (const server of this.#webServers) server.close();
    this.#sessions.clear();
    this.clock.stop();
  }

  // Reception.

  welcome(
    socket: Socket,
    listener: ListenerConfig,
    address: string,
    proxied: ProxiedEndpoints | undefined,
    tls: TlsFacts | undefined,
  ): void {
    if (this.#draining) {
      this.admission.leave(address);
      socket.destroy();
      return;
    }
    const { queueBytes } = this.#config.limits;
    const client = (owner: LegOwner) => new SocketLeg('client', socket, owner, queueBytes);
    this.welcomeLeg(client, listener, address, proxied, tls);
  }

  welcomeLeg(
    client: (owner: LegOwner) => TransportLeg,
    listener: ListenerConfig,
    address: string,
    proxied: ProxiedEndpoints | undefined,
    tls: TlsFacts | undefined,
  ): void {
    const driver = new SessionDriver(this, client, address, proxied, this.#config.limits.queueBytes);
    this.#sessions.add(driver);
    this.metrics.sessionOpened();
    const { now } = this.clock;
    driver.drive(this.#create(driver, { listener, directTls: tls, peer: plainAddress(address), now }));
  }

  turnedAway(failure: ArrivalFailure): void {
    this.metrics.connectionRefused(failure);
  }

  // What drivers tell.

  admitted(address: string): void {
    this.admission.leave(address);
  }

  finished(driver: SessionDriver, summary: SessionSummary): void {
    if (!this.#sessions.delete(driver)) return;
    this.metrics.sessionClosed(summary);
    this.log.info(summary, 'session');
    if (this.#sessions.size === 0) this.#quiet?.();
  }
}
