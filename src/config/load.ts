import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { FEATURES } from '../features/index.js';
import { whyNot } from '../files.js';
import { prepareJid } from '../jid.js';
import { SESSION_START } from '../session/start/offer.js';
import { CertificateError, readKeyPair } from '../transport/certificate-files.js';
import { AddressError, isLoopback, parseHostPort, parseListener, parseUpstream } from './addresses.js';
import { DEFAULTS, HOLD } from './defaults.js';
import { checkAgainst, type KeyPath, readConfigFile } from './file.js';
import {
  type Config,
  type DomainConfig,
  type KeepaliveConfig,
  type LimitsConfig,
  type ListenerConfig,
  sharedPort,
  type UpstreamConfig,
} from './model.js';
import { ConfigError, didYouMean, shown } from './problem.js';
import type { FileSettings } from './schema.js';

/** What the command line says about the configuration; each flag replaces what the file says. */
export interface ConfigFlags {
  readonly config?: string;
  readonly domains: readonly string[];
  readonly upstreams: readonly string[];
  readonly listeners: readonly string[];
  readonly data?: string;
  readonly admin?: string;
  readonly logLevel?: string;
}

/** A configuration that can be run with, and what the operator should know about it all the same. */
export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly string[];
}

/** Of a feature that can only be switched on and off. */
const NO_SETTINGS = z.strictObject({});

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/**
 * Reads the file, applies the flags, fills in the defaults and checks what can be checked without a network.
 * @param cwd folder that relative paths of flags are in; those of the file are relative to the file
 * @throws ConfigError with every mistake that was found
 */
export async function loadConfig(flags: ConfigFlags, cwd: string = process.cwd()): Promise<LoadedConfig> {
  const file = flags.config === undefined ? undefined : await readConfigFile(resolve(cwd, flags.config));
  const settings: FileSettings = file?.settings ?? {};
  const fileDir = flags.config === undefined ? cwd : dirname(resolve(cwd, flags.config));
  const problems: string[] = [];
  const locate = (path: KeyPath): string => file?.locate(path) ?? path.map(String).join('.');
  const builder = new Builder(settings, flags, fileDir, cwd, locate, problems);
  const config = builder.build();
  const inDomain = (name: string, ...path: KeyPath): string =>
    locate(['domains', builder.written.get(name) ?? name, ...path]);
  const warnings = problems.length > 0 ? [] : await checkFiles(config, inDomain, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return { config, warnings: [...warnings, ...exposures(config)] };
}

class Builder {
  /** Domains as the file has them. */
  readonly written = new Map<string, string>();

  constructor(
    readonly settings: FileSettings,
    readonly flags: ConfigFlags,
    readonly fileDir: string,
    readonly cwd: string,
    readonly locate: (path: KeyPath) => string,
    readonly problems: string[],
  ) {}

  build(): Config {
    const { settings, flags } = this;
    const admin =
      flags.admin === undefined ? settings.admin : this.#flag('--admin', flags.admin, parseHostPort);
    // As from a variable of the shell that is not set: keys are not to be written to wherever that is.
    if (flags.data === '') this.problems.push('--data names no folder');
    const data = flags.data === undefined ? undefined : resolve(this.cwd, flags.data);
    const listeners =
      flags.listeners.length > 0
        ? this.#flagList('--listen', flags.listeners, parseListener)
        : (this.#listeners() ?? [parseListener(DEFAULTS.listen)]);
    this.#checkShared(listeners);
    return {
      dataDir: data ?? resolve(this.fileDir, settings.dataDir ?? DEFAULTS.dataDir),
      ...(admin !== undefined && { admin }),
      logLevel: this.#logLevel() ?? settings.logLevel ?? DEFAULTS.logLevel,
      listeners,
      domains: this.#domains(),
      limits: mergeLimits(settings.limits),
      keepalive: {
        client: merge(DEFAULTS.keepalive.client, settings.keepalive?.client),
        server: merge(DEFAULTS.keepalive.server, settings.keepalive?.server),
      },
    };
  }

  #listeners(): readonly ListenerConfig[] | undefined {
    return this.settings.listeners?.map(({ url, origins, deflate }, index) => {
      const { web } = url;
      if (origins !== undefined && web === undefined) {
        const place = this.locate(['listeners', index, 'origins']);
        this.problems.push(`${place}: only listeners for web clients have origins`);
      }
      if (deflate !== undefined && web?.transport !== 'websocket') {
        const place = this.locate(['listeners', index, 'deflate']);
        this.problems.push(`${place}: only listeners for WebSocket compress`);
      }
      if (web === undefined) return url;
      const allowed = [...web.origins, ...(origins?.flat() ?? [])];
      return { ...url, web: { ...web, origins: allowed, deflate: deflate ?? web.deflate } };
    });
  }

  /** Listeners for web clients on one port are one HTTP server. */
  #checkShared(listeners: readonly ListenerConfig[]): void {
    const first = new Map<string, ListenerConfig>();
    const taken = new Set<string>();
    for (const listener of listeners) {
      const { web, url } = listener;
      if (web === undefined) continue;
      const port = sharedPort(listener);
      const before = first.get(port) ?? listener;
      first.set(port, before);
      const sameTls = (before.tls === 'direct') === (listener.tls === 'direct');
      if (!sameTls || String(before.acceptProxyFrom) !== String(listener.acceptProxyFrom)) {
        this.problems.push(
          `${shown(url)} shares its port with ${shown(before.url)}: TLS and accept-proxy must be the same for both`,
        );
      }
      const place = `${port} ${web.transport} ${web.path}`;
      if (taken.has(place)) this.problems.push(`${shown(url)} is there twice`);
      taken.add(place);
    }
  }

  #domains(): ReadonlyMap<string, DomainConfig> {
    const domains = new Map<string, DomainConfig>();
    for (const [written, value] of Object.entries(this.settings.domains ?? {})) {
      const path = ['domains', written];
      const name = this.#domainName(written, this.locate(path));
      if (name === undefined) continue;
      if (domains.has(name)) {
        this.problems.push(`${this.locate(path)}: the domain ${name} is there twice`);
        continue;
      }
      this.written.set(name, written);
      const { certificate, features, hold, upstreams } = value;
      this.#checkFeatures(features ?? {}, path);
      domains.set(name, {
        name,
        upstreams: upstreams.map(({ url, caFile, parallelConnects, limits }): UpstreamConfig => {
          return {
            ...url,
            ...(caFile !== undefined && { caFile: resolve(this.fileDir, caFile) }),
            parallelConnects: parallelConnects ?? url.parallelConnects,
            limits: merge<UpstreamConfig['limits']>({}, limits),
          };
        }),
        ...(certificate !== undefined && {
          certificate: {
            certFile: resolve(this.fileDir, certificate.certFile),
            keyFile: resolve(this.fileDir, certificate.keyFile),
          },
        }),
        hold: merge(HOLD, hold),
        features: features ?? {},
      });
    }
    this.#domainFlags(domains);
    return domains;
  }

  #checkFeatures(features: DomainConfig['features'], domain: KeyPath): void {
    const known = [...FEATURES.map(({ name }) => name), SESSION_START];
    for (const [name, value] of Object.entries(features)) {
      const path = [...domain, 'features', name];
      if (!known.includes(name))
        this.problems.push(`${this.locate(path)}: there is no such feature${didYouMean(name, known)}`);
      else if (typeof value === 'object') this.#checkSettings(name, value, path);
    }
  }

  #checkSettings(feature: string, value: Readonly<Record<string, unknown>>, path: KeyPath): void {
    const schema = FEATURES.find(({ name }) => name === feature)?.settings ?? NO_SETTINGS;
    this.problems.push(...checkAgainst(schema, value, path, this.locate));
  }

  /** `--domain` with `--upstream` adds a domain or gives one of the file other servers; alone it picks one of the file. */
  #domainFlags(domains: Map<string, DomainConfig>): void {
    const { flags } = this;
    const upstreams = this.#flagList('--upstream', flags.upstreams, parseUpstream);
    if (flags.domains.length === 0) {
      if (flags.upstreams.length > 0) this.problems.push('--upstream needs --domain, whose server it is');
      else if (domains.size === 0) {
        this.problems.push(
          flags.config === undefined
            ? 'there is no domain to serve: say --domain and --upstream, or --config with a file'
            : `${this.locate(['domains'])}: there is no domain to serve`,
        );
      }
      return;
    }
    const chosen = new Map<string, DomainConfig>();
    for (const written of flags.domains) {
      const name = this.#domainName(written, '--domain');
      if (name === undefined) continue;
      const known = domains.get(name);
      if (chosen.has(name)) this.problems.push(`--domain: the domain ${name} is there twice`);
      else if (flags.upstreams.length > 0)
        chosen.set(name, { hold: HOLD, features: {}, ...known, name, upstreams });
      else if (known !== undefined) chosen.set(name, known);
      else this.problems.push(`--domain ${name} needs --upstream, the address of its server`);
    }
    domains.clear();
    for (const [name, domain] of chosen) domains.set(name, domain);
  }

  #domainName(written: string, place: string): string | undefined {
    // In the spelling by which what clients say is compared with it.
    const name = prepareJid(written) ?? '';
    if (name === '' || written.endsWith('.') || /[/@]/.test(name) || !URL.canParse(`http://${name}/`)) {
      this.problems.push(`${place}: ${shown(written)} is not a domain name`);
      return undefined;
    }
    return name;
  }

  #logLevel(): Config['logLevel'] | undefined {
    const { logLevel } = this.flags;
    if (logLevel === undefined) return undefined;
    const found = LOG_LEVELS.find((level) => level === logLevel);
    if (found === undefined) {
      this.problems.push(
        `--log-level must be one of ${LOG_LEVELS.join(', ')}, not ${shown(logLevel)}${didYouMean(logLevel, LOG_LEVELS)}`,
      );
    }
    return found;
  }

  #flag<T>(name: string, text: string, parse: (text: string) => T): T | undefined {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      this.problems.push(`${name}: ${error.message}`);
      return undefined;
    }
  }

  #flagList<T>(name: string, texts: readonly string[], parse: (text: string) => T): readonly T[] {
    return texts.flatMap((text) => this.#flag(name, text, parse) ?? []);
  }
}

function mergeLimits(settings: FileSettings['limits']): LimitsConfig {
  const { beforeAuth, afterAuth, fromServer, ...numbers } = settings ?? {};
  return {
    ...merge(DEFAULTS.limits, numbers),
    beforeAuth: merge(DEFAULTS.limits.beforeAuth, beforeAuth),
    afterAuth: merge(DEFAULTS.limits.afterAuth, afterAuth),
    fromServer: merge(DEFAULTS.limits.fromServer, fromServer),
  };
}

/** The defaults with whatever is given put over them. */
function merge<T extends KeepaliveConfig | object>(
  defaults: T,
  given: { readonly [K in keyof T]?: T[K] | undefined } | undefined,
): T {
  const merged = { ...defaults };
  for (const key in given) {
    const value = given[key];
    if (value !== undefined) merged[key] = value;
  }
  return merged;
}

async function checkFiles(
  config: Config,
  inDomain: (name: string, ...path: KeyPath) => string,
  problems: string[],
): Promise<readonly string[]> {
  const warnings: string[] = [];
  for (const { name, certificate, upstreams } of config.domains.values()) {
    for (const [index, { caFile }] of upstreams.entries()) {
      const wrong = caFile === undefined ? undefined : await wrongWithAuthorities(caFile);
      if (wrong !== undefined) problems.push(`${inDomain(name, 'upstreams', index, 'caFile')}: ${wrong}`);
    }
    if (certificate === undefined) continue;
    try {
      const pair = await readKeyPair(certificate.certFile, certificate.keyFile, name);
      for (const warning of pair.warnings) warnings.push(`${inDomain(name, 'certificate')}: ${warning}`);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      problems.push(`${inDomain(name, 'certificate', error.part)}: ${error.message}`);
    }
  }
  return warnings;
}

/** @returns why nobody could be trusted by a file of authorities; OpenSSL passes over what it cannot read in one */
async function wrongWithAuthorities(caFile: string): Promise<string | undefined> {
  let pem: string;
  try {
    pem = await readFile(caFile, 'utf8');
  } catch (error) {
    return `cannot read ${shown(caFile)}: ${whyNot(error)}`;
  }
  try {
    new X509Certificate(pem);
    return undefined;
  } catch {
    return `${shown(caFile)} holds no certificate in PEM form`;
  }
}

/** What is in order, and yet shows passwords or internals to whoever listens. */
function exposures(config: Config): readonly string[] {
  const warnings: string[] = [];
  for (const { url, host, tls } of config.listeners) {
    if (tls === 'off' && !isLoopback(host))
      warnings.push(`${url} takes clients without TLS from other machines`);
  }
  for (const { name, upstreams } of config.domains.values()) {
    for (const { url, host, tls, verify } of upstreams) {
      if (isLoopback(host)) continue;
      if (tls === 'off') warnings.push(`the connections of ${name} to ${url} are not encrypted`);
      else if (verify.kind === 'off') warnings.push(`nobody checks whether ${url} is the server of ${name}`);
    }
  }
  if (config.admin !== undefined && !isLoopback(config.admin.host)) {
    warnings.push(
      `the admin address ${config.admin.host} can be reached from other machines, without a password`,
    );
  }
  return warnings;
}
