import { dirname, resolve } from 'node:path';
import type { Logger } from 'pino';
import { type ConfigFlags, type LoadedConfig, loadConfig } from '../config/load.js';
import { type Config, presentsCertificates, type UpstreamConfig } from '../config/model.js';
import { ConfigError } from '../config/problem.js';
import { FEATURES } from '../features/index.js';
import { AdminServer } from '../ops/admin.js';
import { IdleCollection } from '../ops/idle-collection.js';
import { createLog, logReady } from '../ops/log.js';
import { Metrics } from '../ops/metrics.js';
import { YoungGeneration } from '../ops/young-generation.js';
import { OUTLIVED_PREFIXES, outlived } from '../session/suspended.js';
import { UNDELIVERED } from '../session/undelivered.js';
import { openStore } from '../store/open.js';
import { type Store, type StoreEntry, StoreError, storeKey } from '../store/store.js';
import { CertificateError } from '../transport/certificate-files.js';
import { CertificateStore } from '../transport/certificates.js';
import { Clock } from '../transport/clock.js';
import { ListenError, whyNot } from '../transport/listener.js';
import { Middlebox } from '../transport/middlebox.js';
import { configFlags, parseFlags, SERVING_FLAGS } from './arguments.js';
import { Observers } from './observers.js';
import { Sessions } from './sessions.js';
import { adviseOnUpstream } from './upstream-advice.js';

export const SERVE_HELP = `Usage: interstanza serve --domain D --upstream URL [--listen URL]... [flags]
       interstanza serve --config FILE [flags]

Runs the proxy until SIGTERM or SIGINT, which lets it drain for at most 10 seconds.
SIGHUP reads configuration and certificates again without ending a session.

  --config FILE      YAML file; the flags below go before what it says
  --domain D         XMPP domain to serve (repeatable)
  --upstream URL     its server; several are tried in order (repeatable)
                       xmpp://host:port    STARTTLS, or in the clear on loopback
                       xmpps://host:port   TLS from the first byte
                       ?tls=off|starttls ?verify=full|pin:SHA256|off ?proxy=v1|v2
  --listen URL       where clients connect (repeatable); port 0 lets the system choose
                       xmpp://host:port    STARTTLS
                       xmpps://host:port   TLS from the first byte
                       ?tls=off|optional|required ?accept-proxy=CIDR,...
                       ws://host:port/path or wss://     WebSocket
                       http://host:port/path or https:// BOSH; both can share a port
                       ?tls=off|required ?origin=URL,... ?forwarded=CIDR,... ?public=HOST
                       ?deflate=on (WebSocket) compresses
                       default: xmpp://[::]:5222
  --data DIR         folder for what is kept (default: ./data)
  --admin HOST:PORT  serve /metrics, /healthz and /readyz there (default: not at all)
  --log-level L      trace, debug, info, warn, error, fatal or silent (default: info)
  --help             this text

When all listeners are up, one line on standard output says so, at any log level:
  {"msg":"ready","listeners":["xmpp://127.0.0.1:5222"],...}

Examples:
  interstanza serve --domain example.org --upstream xmpp://127.0.0.1:15222
  interstanza serve --domain example.org --upstream 'xmpp://xmpp.example.org?proxy=v2' \\
    --listen 'xmpp://0.0.0.0:5222' --listen xmpps://0.0.0.0:5223 --admin 127.0.0.1:9180
  interstanza serve --config /etc/interstanza.yaml
`;

/**
 * The command `serve`.
 * @returns the exit status, when the process has drained
 * @throws UsageError, ConfigError
 */
export async function runServe(args: readonly string[]): Promise<number> {
  const values = parseFlags(args, SERVING_FLAGS);
  if (values.has('help')) {
    process.stdout.write(SERVE_HELP);
    return 0;
  }
  const flags = configFlags(values);
  const loaded = await loadConfig(flags);
  const log = createLog(loaded.config.logLevel);
  const serving = new Serving(flags, loaded, log, adviseOnUpstream);
  // Before the ready line: whoever waits for it may send a signal at once.
  const drained = untilSignalled(serving, log);
  try {
    await serving.start();
  } catch (error) {
    serving.stop();
    if (error instanceof ListenError || error instanceof CertificateError || error instanceof StoreError)
      throw new ConfigError([error.message]);
    throw error;
  }
  await drained;
  return 0;
}

/** Resolves when the process has drained. */
function untilSignalled(serving: Serving, log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let draining = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (draining) process.exit(1);
      draining = true;
      log.info({ signal, sessions: serving.middlebox.sessionCount }, 'draining');
      void serving.drain().then(resolve);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    process.on('SIGHUP', () => void serving.reload());
  });
}

/**
 * What the operator should change at a server, as one sentence; undefined when all is well or nothing can be said.
 * @param presented SHA-256 (hex) of the certificate that clients of the domain are shown; undefined when no listener has TLS
 */
export type UpstreamAdvisor = (
  domain: string,
  upstream: UpstreamConfig,
  presented: string | undefined,
) => Promise<string | undefined>;

/** Everything that runs while the command does. */
export class Serving {
  readonly middlebox: Middlebox;
  readonly metrics = new Metrics();
  readonly #young: YoungGeneration;
  readonly #idle: IdleCollection;
  readonly #certificates: CertificateStore;
  readonly #sessions: Sessions;
  readonly #observers: Observers;
  readonly #admin: AdminServer | undefined;
  readonly #flags: ConfigFlags;
  readonly #log: Logger;
  #loaded: LoadedConfig;
  readonly #advise: UpstreamAdvisor | undefined;
  #store: Store | undefined;
  #ready = false;
  #reloading: Promise<void> = Promise.resolve();

  /** @param advise asked once at the start about every server that is spoken to with TLS */
  constructor(flags: ConfigFlags, loaded: LoadedConfig, log: Logger, advise?: UpstreamAdvisor) {
    const { config } = loaded;
    this.#advise = advise;
    this.#flags = flags;
    this.#loaded = loaded;
    this.#log = log;
    this.#certificates = new CertificateStore(log);
    this.#sessions = new Sessions(config);
    const received = (): number => this.metrics.bytesFromClients + this.metrics.bytesFromServers;
    this.#young = new YoungGeneration(received);
    this.#idle = new IdleCollection(received);
    this.middlebox = new Middlebox(
      config,
      this.#certificates,
      this.#sessions.create,
      this.metrics,
      log,
      new Clock(),
      this.#sessions.namespaces,
    );
    const folder = flags.config === undefined ? process.cwd() : dirname(resolve(flags.config));
    this.#observers = new Observers(this.middlebox, log, folder);
    if (config.admin !== undefined) {
      const registry = this.metrics.registry(() => this.middlebox.admission.strangers);
      this.#admin = new AdminServer(registry, { ready: () => this.#ready && !this.middlebox.draining });
    }
  }

  /** @throws CertificateError, ListenError, StoreError */
  async start(): Promise<void> {
    this.#young.start();
    this.#idle.start();
    const { config, warnings } = this.#loaded;
    for (const warning of warnings) this.#log.warn(warning);
    if (presentsCertificates(config)) await this.#certificates.load(config.domains.values(), config.dataDir);
    await this.#openAdmin(config);
    this.#store = await openStore(config.dataDir);
    await removeOutlived(this.#store);
    if ((await this.#store.list(UNDELIVERED, 1)).length > 0) this.#sessions.haveFormerMessages();
    await this.middlebox.open(this.#store);
    this.#certificates.watch();
    this.#observers.configure(config);
    this.#ready = true;
    logReady(this.#log, {
      listeners: this.middlebox.urls,
      ...(this.#admin !== undefined && { admin: this.#admin.url }),
      domains: [...config.domains.keys()],
    });
    // Behind the ready line: a server that cannot be asked is no reason to keep clients waiting.
    void this.#adviseOnUpstreams(config);
  }

  /** Reads configuration and certificates again. A mistake changes nothing and is said in the log. */
  reload(): Promise<void> {
    this.#reloading = this.#reloading
      .then(() => this.#reloadNow())
      // A mistake of ours is no reason to end the sessions that are up.
      .catch((error: unknown) => this.#log.error({ err: error }, 'not reloaded'));
    return this.#reloading;
  }

  async drain(): Promise<void> {
    this.#observers.stop();
    await this.middlebox.drain();
    this.stop();
    // What sessions have put away in their last moment must be on disk before the process goes.
    await this.#store?.close();
  }

  stop(): void {
    this.#observers.stop();
    this.#ready = false;
    this.#young.stop();
    this.#idle.stop();
    this.middlebox.close();
    this.#certificates.unwatch();
    this.#admin?.close();
    void this.#store?.close();
  }

  async #adviseOnUpstreams(config: Config): Promise<void> {
    if (this.#advise === undefined) return;
    for (const { name, upstreams } of config.domains.values()) {
      for (const upstream of upstreams) {
        if (upstream.tls === 'off') continue;
        const presented = this.#certificates.fingerprintOf(name);
        const advice = await this.#advise(name, upstream, presented).catch(() => undefined);
        if (advice !== undefined) this.#log.warn({ domain: name, upstream: upstream.url }, advice);
      }
    }
  }

  async #openAdmin(config: Config): Promise<void> {
    if (this.#admin === undefined || config.admin === undefined) return;
    const { host, port } = config.admin;
    try {
      await this.#admin.open(host, port);
    } catch (error) {
      const why = error instanceof Error ? whyNot(error, port) : String(error);
      throw new ListenError(`cannot open the admin address ${host}:${port}: ${why}`);
    }
  }

  async #reloadNow(): Promise<void> {
    const former = this.#loaded.config;
    let loaded: LoadedConfig;
    try {
      loaded = await loadConfig(this.#flags);
      const { config } = loaded;
      if (presentsCertificates(former))
        await this.#certificates.load(config.domains.values(), former.dataDir);
    } catch (error) {
      if (!(error instanceof ConfigError || error instanceof CertificateError)) throw error;
      const problems = error instanceof ConfigError ? error.problems : [error.message];
      for (const problem of problems) this.#log.error(`not reloaded, everything stays as it is: ${problem}`);
      return;
    }
    const { config, warnings } = loaded;
    for (const warning of warnings) this.#log.warn(warning);
    this.#loaded = { config: { ...config, dataDir: former.dataDir, listeners: former.listeners }, warnings };
    this.#log.level = config.logLevel;
    this.#sessions.reconfigure(config);
    this.middlebox.reconfigure(config);
    this.#observers.configure(config);
    this.#certificates.watch();
    for (const key of ['listeners', 'admin', 'dataDir'] as const) {
      if (JSON.stringify(config[key]) !== JSON.stringify(former[key])) {
        this.#log.warn(`${key} has changed in the configuration, which takes a restart to come into force`);
      }
    }
    this.#log.info('configuration reloaded');
  }
}

/** So many entries are looked at together. */
const AT_A_TIME = 1_000;

async function removeOutlived(store: Store): Promise<void> {
  for (const prefix of OUTLIVED_PREFIXES) await removeFrom(store, prefix, outlived);
  for (const { name, isOutlived } of FEATURES) {
    if (isOutlived === undefined) continue;
    await removeFrom(store, storeKey(name, ''), (entries, now) =>
      entries.filter((entry) => isOutlived(entry, now)).map(({ key }) => key),
    );
  }
}

async function removeFrom(
  store: Store,
  prefix: string,
  uselessOf: (entries: readonly StoreEntry[], now: number) => readonly string[],
): Promise<void> {
  for (;;) {
    const entries = await store.list(prefix, AT_A_TIME);
    const keys = uselessOf(entries, Date.now());
    await store.write(keys.map((key) => ({ key, value: undefined })));
    // What is left in front is of use, and so, being older, is nearly all behind it.
    if (keys.length < AT_A_TIME) break;
  }
}
