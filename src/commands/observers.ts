import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { duplexPair } from 'node:stream';
import type { Logger } from 'pino';
import { isLoopback } from '../config/addresses.js';
import type { Config, DomainConfig, ListenerConfig } from '../config/model.js';
import { OBSERVER_RESOURCE } from '../features/mucsub/observer/observer.js';
import { type ObserverSettings, SETTINGS } from '../features/mucsub/settings.js';
import { whyNot } from '../files.js';
import { mechanismsOf } from '../stream/assessment.js';
import { stanzaError } from '../stream/errors.js';
import type { Middlebox } from '../transport/middlebox.js';
import { NS } from '../xml/namespaces.js';
import { escapeText } from '../xml/serialize.js';
import { InitiatingStream, StreamProblem } from './initiating-stream.js';
import { SignInRefused, signIn } from './sign-in.js';

/** How long each step of signing in may take; ms. */
const STEP_MS = 20_000;
/** Between two attempts: first, and at most; ms. */
const FIRST_WAIT = 2_000;
const LONGEST_WAIT = 300_000;
/** A session that has lasted so long was a good one; ms. */
const LASTING = 60_000;

/** Through which the observer comes in: nobody else can. */
const INSIDE: ListenerConfig = {
  url: 'observer',
  host: '127.0.0.1',
  port: 0,
  tls: 'off',
  acceptProxyFrom: [],
};
const ADDRESS = '127.0.0.1';
const ENDPOINTS = { sourceAddress: ADDRESS, sourcePort: 1, targetAddress: ADDRESS, targetPort: 1 };

/** The observers of all domains that have one. */
export class Observers {
  readonly #observers = new Map<string, Observer>();

  /** @param folder that relative paths of the configuration are in */
  constructor(
    private readonly middlebox: Middlebox,
    private readonly log: Logger,
    private readonly folder: string,
  ) {}

  /** Starts those that are configured, and ends or starts anew those of which something has changed. */
  configure(config: Config): void {
    const wanted = new Map<string, ObserverSettings>();
    for (const domain of config.domains.values()) {
      const settings = settingsOf(domain);
      if (settings !== undefined) wanted.set(domain.name, settings);
    }
    for (const [name, observer] of this.#observers) {
      const settings = wanted.get(name);
      const domain = config.domains.get(name);
      if (settings !== undefined && domain !== undefined && observer.serves(domain)) wanted.delete(name);
      else {
        observer.stop();
        this.#observers.delete(name);
      }
    }
    for (const [name, settings] of wanted) {
      const observer = new Observer(
        this.middlebox,
        this.log,
        this.folder,
        config.domains.get(name)!,
        settings,
      );
      this.#observers.set(name, observer);
      observer.start();
    }
  }

  stop(): void {
    for (const observer of this.#observers.values()) observer.stop();
    this.#observers.clear();
  }
}

function settingsOf({ features }: DomainConfig): ObserverSettings | undefined {
  const written = features.mucsub;
  return typeof written === 'object' ? SETTINGS.parse(written).observer : undefined;
}

/**
 * The client of one observer account: it signs in by way of the proxy itself, as everybody does, binds a resource and then does nothing any
 * more; what there is to do the session's features do. When the session ends it begins anew.
 */
class Observer {
  #stream: InitiatingStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #wait = FIRST_WAIT;

  constructor(
    private readonly middlebox: Middlebox,
    private readonly log: Logger,
    private readonly folder: string,
    private readonly domain: DomainConfig,
    private readonly settings: ObserverSettings,
  ) {}

  serves(domain: DomainConfig): boolean {
    return JSON.stringify(domain) === JSON.stringify(this.domain);
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#stream?.cut();
  }

  async #run(): Promise<void> {
    const { name } = this.domain;
    try {
      const stream = await this.#signIn();
      const since = performance.now();
      this.log.info({ domain: name }, 'observer-ready');
      await stream.ended();
      if (performance.now() - since > LASTING) this.#wait = FIRST_WAIT;
      if (!this.#stopped) this.log.warn({ domain: name }, 'observer-lost');
    } catch (error) {
      // One that has failed is no reason for the others, or for the proxy, to end.
      if (!isExpected(error)) this.log.error({ domain: name, err: error }, 'observer-fault');
      else if (!this.#stopped) this.log.error({ domain: name, reason: error.message }, 'observer-failed');
    }
    this.#stream?.cut();
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#run(), this.#wait).unref();
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  async #signIn(): Promise<InitiatingStream> {
    const { account } = this.settings;
    const password = await this.#password();
    const [near, far] = duplexPair();
    // Nothing is asked of either that only a socket could answer.
    const stream = InitiatingStream.over(far as Socket, STEP_MS);
    this.#stream = stream;
    if (this.middlebox.admission.enter(ADDRESS) !== undefined)
      throw new SignInRefused('there are too many connections that have not authenticated');
    this.middlebox.welcome(near as Socket, INSIDE, ADDRESS, ENDPOINTS, undefined);
    const to = this.domain.name;
    await stream.open({ to });
    const features = await stream.expect('stream features', (each) => each.is('features', NS.stream));
    const isPrivate = this.domain.upstreams.every(({ tls, host }) => tls !== 'off' || isLoopback(host));
    await signIn(stream, mechanismsOf(features), { local: account, password }, isPrivate);
    await stream.open({ to });
    await stream.expect('stream features', (each) => each.is('features', NS.stream));
    const resource = `<resource>${escapeText(OBSERVER_RESOURCE)}</resource>`;
    stream.send(`<iq type='set' id='bind'><bind xmlns='${NS.bind}'>${resource}</bind></iq>`);
    const bound = await stream.expect('a resource', ({ attrs }) => attrs.id === 'bind');
    if (bound.attrs.type !== 'result') throw new SignInRefused('the server binds no resource');
    stream.listen((each) => answer(stream, each.attrs as Record<string, string>, each.getName()));
    return stream;
  }

  async #password(): Promise<string> {
    const { passwordFile, passwordEnv } = this.settings;
    try {
      if (passwordFile !== undefined)
        return (await readFile(resolve(this.folder, passwordFile), 'utf8')).replace(/\r?\n$/u, '');
    } catch (error) {
      throw new SignInRefused(`the file with the password cannot be read: ${whyNot(error)}`);
    }
    const password = process.env[passwordEnv ?? ''];
    if (password === undefined || password === '') throw new SignInRefused(`${passwordEnv} is not set`);
    return password;
  }
}

/** Nobody is there to answer what somebody asks the observer itself (RFC 6120 §8.2.3). */
function answer(stream: InitiatingStream, attributes: Record<string, string>, name: string): void {
  const { id, from, type } = attributes;
  if (name !== 'iq' || (type !== 'get' && type !== 'set')) return;
  stream.send(stanzaError({ name: 'iq', id, from: undefined, to: from }, 'cancel', 'service-unavailable'));
}

function isExpected(error: unknown): error is Error {
  return error instanceof StreamProblem || error instanceof SignInRefused;
}
