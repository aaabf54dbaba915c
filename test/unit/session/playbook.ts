import { afterEach, expect } from 'vitest';
import type {
  Config,
  DomainConfig,
  HoldConfig,
  ListenerConfig,
  UpstreamConfig,
} from '../../../src/config/model.js';
import { createDomains, type DomainRuntime } from '../../../src/session/domain.js';
import type { Feature } from '../../../src/session/feature.js';
import type {
  ConnectFailure,
  Leg,
  LegLoss,
  SessionPort,
  SessionSummary,
  TlsFacts,
} from '../../../src/session/port.js';
import { Session } from '../../../src/session/session.js';
import type { StoreChange } from '../../../src/store/store.js';
import { AFTER_AUTH, BEFORE_AUTH, FROM_SERVER } from '../../../src/xml/limits.js';

export const HEADER =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>";
export const SERVER_HEADER =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='example.org' version='1.0' xml:lang='en'>";
export const MECHANISMS =
  "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms>";
export const BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
export const SM3 = "<sm xmlns='urn:xmpp:sm:3'/>";
const OUR_SM = "<sm xmlns='urn:xmpp:sm:2'/><sm xmlns='urn:xmpp:sm:3'/>";

/** 2026-11-20 at noon. */
export const WALL_CLOCK = 1_795_176_000_000;

export interface Setting {
  readonly listener?: Partial<ListenerConfig>;
  readonly upstream?: Partial<UpstreamConfig>;
  readonly config?: Partial<Config>;
  readonly features?: readonly Feature[];
  /** What the configuration says of them for example.org; example.net has all as they are by default. */
  readonly configured?: DomainConfig['features'];
  readonly directTls?: TlsFacts;
  /** Default: nothing is held. */
  readonly hold?: Partial<HoldConfig>;
  /** Whether SASL2 is offered over TLS. Default: no. */
  readonly sessionStart?: boolean;
  /** Plays about sessions of one proxy share what they know of each other. */
  readonly with?: Playbook;
  /** The store is the other's, but nothing else. */
  readonly store?: Playbook;
  /** The first random ids; those after them are id1, id2 … */
  readonly ids?: readonly string[];
}

/** Questions to the store whose answer goes before what the server has. */
const BEFORE_THE_SERVER: ReadonlySet<string> = new Set(['undelivered', 'backlog']);

const unfinished = new Set<Playbook>();

afterEach(() => {
  const left = [...unfinished];
  unfinished.clear();
  for (const playbook of left) playbook.done();
});

/** A session in a play: events go in, commands are expected out. What is sent and not expected fails the test at its end. */
export class Playbook {
  readonly session: Session;
  readonly counted = new Map<string, number>();
  summary: SessionSummary | undefined;
  full: Leg | undefined;
  /** What the client's transport has been told that the stream is ended for. */
  endedFor: string | undefined;
  readonly kept = { client: 0, server: 0 };
  readonly logged: string[] = [];
  wakesAt = Number.POSITIVE_INFINITY;
  now = 1_000;
  #sent = { client: '', server: '' };
  #commands: string[] = [];
  readonly #paused = new Set<Leg>();
  #id = 0;

  constructor(setting: Setting = {}) {
    const upstream = {
      url: 'xmpp://127.0.0.1:5222',
      host: '127.0.0.1',
      port: 5222,
      tls: 'off',
      verify: { kind: 'full' },
      sendProxy: 'off',
      limits: {},
      parallelConnects: 0,
      ...setting.upstream,
    } as UpstreamConfig;
    const hold = { seconds: 0, stanzas: 1_000, bytes: 100_000, ...setting.hold };
    const domain: DomainConfig = {
      name: 'example.org',
      upstreams: [upstream],
      hold,
      features: { 'session-start': setting.sessionStart ?? false },
    };
    const off = { whitespace: 0, ping: 0, timeout: 30 };
    const config: Config = {
      dataDir: '/nowhere',
      logLevel: 'silent',
      listeners: [],
      domains: new Map([
        ['example.org', { ...domain, features: { ...domain.features, ...setting.configured } }],
        ['example.net', { ...domain, name: 'example.net' }],
      ]),
      limits: {
        beforeAuth: BEFORE_AUTH,
        afterAuth: AFTER_AUTH,
        fromServer: FROM_SERVER,
        unauthenticatedTime: 30,
        queueBytes: 65_536,
        unauthenticatedConnections: 1000,
        unauthenticatedPerAddress: 1000,
      },
      keepalive: { client: off, server: off },
      ...setting.config,
    };
    const listener: ListenerConfig = {
      url: 'xmpp://127.0.0.1:0',
      host: '127.0.0.1',
      port: 0,
      tls: 'off',
      acceptProxyFrom: [],
      ...setting.listener,
    };
    this.upstream = upstream;
    this.inStore = (setting.with ?? setting.store)?.inStore ?? new Map();
    this.domains = setting.with?.domains ?? createDomains(config, setting.features ?? []);
    this.session = new Session(this.#port([...(setting.ids ?? [])]), {
      config,
      listener,
      directTls: setting.directTls,
      domains: this.domains,
      peer: '127.0.0.1',
      now: this.now,
    });
    unfinished.add(this);
  }

  readonly upstream: UpstreamConfig;
  readonly domains: ReadonlyMap<string, DomainRuntime>;
  /** What is in the store; shared by plays that are with each other. */
  readonly inStore: Map<string, Buffer>;
  readonly #storing: { changes: readonly StoreChange[]; token: string }[] = [];
  readonly #loading: { prefix: string; token: string }[] = [];
  /** What the session has said on the bus and nobody has passed on yet. */
  #published: { topic: string; message: string }[] = [];
  #topic: string | undefined;

  #port(ids: string[]): SessionPort {
    return {
      write: (leg, bytes) => {
        this.#sent[leg] += bytes.toString();
        return this.full !== leg;
      },
      unsent: (leg) => this.kept[leg],
      whenFlushed: (leg) => this.#commands.push(`whenFlushed ${leg}`),
      startTls: (leg) => this.#commands.push(`startTls ${leg}`),
      connect: (name) => this.#commands.push(`connect ${name}`),
      end: (leg, own) => {
        this.#commands.push(`end ${leg}`);
        if (leg === 'client') this.endedFor = own ?? 'nothing of our own';
      },
      destroy: (leg) => this.#commands.push(`destroy ${leg}`),
      pauseReading: (leg) => {
        this.#paused.add(leg);
        this.#commands.push(`pause ${leg}`);
      },
      resumeReading: (leg) => {
        this.#paused.delete(leg);
        this.#commands.push(`resume ${leg}`);
      },
      wakeAt: (time) => {
        this.wakesAt = time;
      },
      randomId: () => {
        const wanted = ids.shift();
        if (wanted !== undefined) return wanted;
        this.#id += 1;
        return `id${this.#id}`;
      },
      wallClock: () => WALL_CLOCK + this.now,
      handOver: (leg) => this.#commands.push(`handOver ${leg}`),
      store: (changes, token) => {
        const what = changes.map(({ value }) => (value === undefined ? '-' : '+')).join('');
        this.#commands.push(`store ${token} ${what}`);
        this.#storing.push({ changes, token });
      },
      load: (prefix, token) => {
        // The server waits for this; that it does so each time goes without saying in the plays.
        if (BEFORE_THE_SERVER.has(token)) this.#waits();
        this.#commands.push(`load ${token}`);
        this.#loading.push({ prefix, token });
      },
      subscribe: (topic) => {
        this.#topic = topic;
      },
      publish: (topic, message) => this.#published.push({ topic, message }),
      count: (metric, reason) => {
        const name = `${metric} ${reason}`;
        this.counted.set(name, (this.counted.get(name) ?? 0) + 1);
      },
      log: (level, event, fields = {}) => {
        const said = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
        this.logged.push([level, event, ...said].join(' '));
      },
      authenticated: () => {},
      finished: (summary) => {
        expect(this.summary, 'finished twice').toBeUndefined();
        this.summary = summary;
      },
    };
  }

  // What happens.

  client(xml: string): this {
    this.session.onData('client', Buffer.from(xml), this.now);
    return this;
  }

  server(xml: string): this {
    this.session.onData('server', Buffer.from(xml), this.now);
    return this;
  }

  connected(tls?: TlsFacts): this {
    this.session.onConnected({ upstream: this.upstream, tls }, this.now);
    return this;
  }

  connectFails(failure: ConnectFailure): this {
    this.session.onConnectFailed(failure, this.now);
    return this;
  }

  secured(leg: Leg, facts: Partial<TlsFacts> = {}): this {
    this.session.onSecured(leg, { protocol: 'TLSv1.3', certificateSha256: undefined, ...facts }, this.now);
    return this;
  }

  ends(leg: Leg): this {
    this.session.onEnd(leg, this.now);
    return this;
  }

  lost(leg: Leg, cause: LegLoss = 'reset'): this {
    this.session.onLost(leg, cause, this.now);
    return this;
  }

  drained(leg: Leg): this {
    this.full = undefined;
    this.session.onDrained(leg, this.now);
    return this;
  }

  flushed(leg: Leg): this {
    this.kept[leg] = 0;
    this.session.onFlushed(leg, this.now);
    return this;
  }

  /** The oldest open write to the store is done, or has failed. */
  stored(ok = true): this {
    const { changes, token } = this.#storing.shift()!;
    if (ok)
      for (const { key, value } of changes) {
        if (value === undefined) this.inStore.delete(key);
        else this.inStore.set(key, value);
      }
    this.session.onStored(token, ok, this.now);
    return this;
  }

  /** The server is not read while the store is asked for what comes before; it may have been waiting already. */
  #waits(): void {
    if (this.#commands.at(-1) === 'pause server') this.#commands.pop();
    else expect(this.#paused.has('server')).toBe(true);
  }

  /** The oldest open read from the store is done. */
  loaded(): this {
    const { prefix, token } = this.#loading.shift()!;
    const entries = [...this.inStore]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value }));
    this.session.onLoaded(token, entries, this.now);
    if (BEFORE_THE_SERVER.has(token)) expect(this.#commands.pop()).toBe('resume server');
    return this;
  }

  /** The store has done all that it was asked for, and what came of that. */
  storeSettles(): this {
    while (this.#storing.length > 0 || this.#loading.length > 0) {
      if (this.#storing.length > 0) this.stored();
      else this.loaded();
    }
    return this;
  }

  /** The bus delivers what this session has said to those of the others, and to itself, that listen. */
  passesOnTo(...others: readonly Playbook[]): this {
    const published = this.#published;
    this.#published = [];
    for (const { topic, message } of published) {
      for (const play of [this, ...others])
        if (play.#topic === topic) play.session.onPublished(message, play.now);
    }
    return this;
  }

  /** Lets time pass and wakes the session if it asked for it. */
  passes(seconds: number): this {
    this.now += seconds * 1000;
    if (this.wakesAt <= this.now) this.session.onWake(this.now);
    return this;
  }

  shutdown(): this {
    this.session.onShutdown(this.now);
    return this;
  }

  // What is expected.

  toClient(expected: string | RegExp): this {
    return this.#expectSent('client', expected);
  }

  toServer(expected: string | RegExp): this {
    return this.#expectSent('server', expected);
  }

  commands(...expected: string[]): this {
    expect(this.#commands).toEqual(expected);
    this.#commands = [];
    return this;
  }

  counts(name: string, times: number): this {
    expect(this.counted.get(name) ?? 0, name).toBe(times);
    return this;
  }

  finishes(reason: string): this {
    expect(this.summary?.reason).toBe(reason);
    return this;
  }

  /** Another play has gone on meanwhile: it is as late here. */
  at(now: number): this {
    this.now = now;
    return this;
  }

  /** Whether the session wants what comes on this leg. */
  isRead(leg: Leg): boolean {
    return !this.#paused.has(leg);
  }

  /** Forgets the commands so far. */
  sendsOnly(): this {
    this.#commands = [];
    return this;
  }

  /** What has been sent to a leg since the last look, taken out. */
  takeSent(leg: Leg): string {
    const sent = this.#sent[leg];
    this.#sent[leg] = '';
    return sent;
  }

  #expectSent(leg: Leg, expected: string | RegExp): this {
    if (typeof expected === 'string') expect(this.#sent[leg], `to ${leg}`).toBe(expected);
    else expect(this.#sent[leg], `to ${leg}`).toMatch(expected);
    this.#sent[leg] = '';
    return this;
  }

  done(): void {
    unfinished.delete(this);
    expect(this.#sent, 'sent and not expected').toEqual({ client: '', server: '' });
    expect(this.#commands, 'commanded and not expected').toEqual([]);
  }

  // Scenes that many plays begin with.

  /** Up to the features before authentication, over plain connections. */
  negotiated(features = MECHANISMS): this {
    return this.client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${features}</stream:features>`)
      .commands('resume client')
      .toClient(/^<\?xml version='1\.0'\?><stream:stream [^>]*><stream:features>.*<\/stream:features>$/);
  }

  authenticated(features = BIND, header = SERVER_HEADER): this {
    return this.negotiated()
      .client("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
      .toServer("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
      .server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
      .toClient("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
      .client(HEADER)
      .commands('pause client')
      .toServer(HEADER)
      .server(`${header}<stream:features>${features}</stream:features>`)
      .commands('resume client')
      .toClient(new RegExp(`<stream:features>.*${OUR_SM}</stream:features>$`));
  }

  /** Up to a bound resource; with `sm` the server has stream management and has enabled it. */
  bound({
    sm = false,
    features = BIND,
    header = SERVER_HEADER,
    jid = 'a@example.org/r',
  }: {
    sm?: boolean;
    features?: string;
    header?: string;
    jid?: string;
  } = {}): this {
    this.authenticated(sm ? features + SM3 : features, header)
      .client(`<iq type='set' id='b1'>${BIND}</iq>`)
      .toServer(`<iq type='set' id='b1'>${BIND}</iq>`);
    const result = `<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>${jid}</jid></bind></iq>`;
    this.server(result).toClient(result);
    if (sm) this.toServer("<enable xmlns='urn:xmpp:sm:3'/>").server("<enabled xmlns='urn:xmpp:sm:3'/>");
    return this;
  }

  clientHasSm(): this {
    return this.client("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").toClient(
      "<enabled xmlns='urn:xmpp:sm:3'/>",
    );
  }
}
