import { constants } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import { domainToASCII } from 'node:url';
import type { Logger } from 'pino';
import type { DomainConfig } from '../config/model.js';
import { type KeyPair, readKeyPair } from './certificate-files.js';
import { selfSignedPair } from './self-signed.js';

/** Where a change that no watcher reports is found all the same: network file systems, a folder that was replaced. */
const LOOK_AGAIN_MS = 60_000;

/** Certificate and key are written one after the other: wait until both are there. */
const SETTLE_MS = 1_000;

interface Presented {
  readonly context: SecureContext;
  readonly sha256: string;
  /** PEM, chain included: what a change is recognised by. */
  readonly certificate: Buffer;
}

/**
 * The certificates that the proxy presents, one per domain, with their OpenSSL contexts made once and shared by all connections.
 * A new certificate is for new handshakes: streams that are up keep theirs.
 */
export class CertificateStore {
  #presented = new Map<string, Presented>();
  #domains: readonly DomainConfig[] = [];
  #dataDir = '';
  #reading: Promise<void> = Promise.resolve();
  readonly #log: Logger;
  #watchers: FSWatcher[] = [];
  #settling: NodeJS.Timeout | undefined;
  #lookAgain: NodeJS.Timeout | undefined;
  readonly #settleMs: number;

  /** @param settleMs how long files must be quiet before they are read again */
  constructor(log: Logger, settleMs: number = SETTLE_MS) {
    this.#log = log;
    this.#settleMs = settleMs;
  }

  /**
   * Reads the certificates of all domains; on a mistake everything stays as it was.
   * @throws CertificateError
   */
  load(domains: Iterable<DomainConfig>, dataDir: string): Promise<void> {
    return this.#inTurn(() => this.#load([...domains], dataDir));
  }

  /** One after the other: what is read for the domains of before must not take the place of what has been read since. */
  #inTurn(read: () => Promise<void>): Promise<void> {
    const done = this.#reading.then(read);
    this.#reading = done.catch(() => undefined);
    return done;
  }

  async #load(list: readonly DomainConfig[], dataDir: string): Promise<void> {
    const presented = new Map<string, Presented>();
    for (const domain of list) {
      const pair = await this.#pairOf(domain, dataDir);
      const key = sniName(domain.name);
      const former = this.#presented.get(key);
      // The context holds the ticket keys: a new one for the same certificate would only end resumption.
      const unchanged = former?.certificate.equals(pair.certificate) === true;
      presented.set(key, unchanged ? former : present(pair));
    }
    this.#presented = presented;
    this.#domains = list;
    this.#dataDir = dataDir;
  }

  /** `load` with what was given last; a mistake is one sentence in the log, and the old certificates stay. */
  async reload(): Promise<boolean> {
    const before = this.#presented;
    try {
      await this.#inTurn(() => this.#load(this.#domains, this.#dataDir));
    } catch (error) {
      this.#log.error(
        `certificates not reloaded, the old ones stay in use: ${error instanceof Error ? error.message : String(error)}`,
      );
      return false;
    }
    const changed = [...this.#presented].some(([name, now]) => before.get(name) !== now);
    if (changed) this.#log.info('certificates reloaded');
    return true;
  }

  /** The context for a server name as a client asks for it; undefined when there is no such domain. */
  contextFor(name: string): SecureContext | undefined {
    return this.#presented.get(sniName(name))?.context;
  }

  /** What a client gets that asks for nobody we know. */
  defaultContext(): SecureContext | undefined {
    for (const { context } of this.#presented.values()) return context;
    return undefined;
  }

  /** SHA-256 (hex) of the certificate for a domain. */
  fingerprintOf(domain: string): string | undefined {
    return this.#presented.get(sniName(domain))?.sha256;
  }

  /** Reloads whenever a file changes. The folder is watched, not the file: renewal tools swap files and links. */
  watch(): void {
    this.unwatch();
    const folders = new Set<string>();
    for (const { certificate } of this.#domains) {
      if (certificate === undefined) continue;
      folders.add(dirname(certificate.certFile));
      folders.add(dirname(certificate.keyFile));
    }
    if (folders.size === 0) return;
    for (const folder of folders) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#changed());
        watcher.on('error', () => watcher.close());
        this.#watchers.push(watcher);
      } catch {
        this.#log.debug({ folder }, 'folder-not-watched');
      }
    }
    this.#lookAgain = setInterval(() => void this.reload(), LOOK_AGAIN_MS).unref();
  }

  unwatch(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
    clearInterval(this.#lookAgain);
    clearTimeout(this.#settling);
  }

  #changed(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => void this.reload(), this.#settleMs).unref();
  }

  async #pairOf(domain: DomainConfig, dataDir: string): Promise<KeyPair> {
    const { certificate, name } = domain;
    const known = this.#presented.get(sniName(name))?.sha256;
    if (certificate !== undefined) {
      const pair = await readKeyPair(certificate.certFile, certificate.keyFile, name);
      if (pair.sha256 !== known) for (const warning of pair.warnings) this.#log.warn(warning);
      return pair;
    }
    const { pair, made } = await selfSignedPair(dataDir, name);
    if (pair.sha256 !== known) {
      this.#log.warn(
        `${name} has no certificate in the configuration: using a self-signed one ${made ? 'made' : 'found'} in ${dataDir}, which clients will not trust by themselves`,
      );
    }
    return pair;
  }
}

function sniName(domain: string): string {
  return domainToASCII(domain) || domain.toLowerCase();
}

function present(pair: KeyPair): Presented {
  const context = createSecureContext({
    cert: pair.certificate,
    key: pair.key,
    minVersion: 'TLSv1.2',
    // A peer that renegotiates makes us compute for nothing (CVE-2021-32920).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_CIPHER_SERVER_PREFERENCE,
  });
  return { context, sha256: pair.sha256, certificate: pair.certificate };
}
