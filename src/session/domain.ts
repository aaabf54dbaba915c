import type { Config, DomainConfig } from '../config/model.js';
import { FEATURES } from '../features/index.js';
import { prepareJid } from '../jid.js';
import { NamespaceTable, NS } from '../xml/namespaces.js';
import type { DomainContext, Feature, KnowledgeKey, SessionIdentity } from './feature.js';
import { Pipeline, watchedNamespaces } from './pipeline.js';

/** What all sessions of a domain have in common while the process lives. */
export class DomainRuntime implements DomainContext {
  readonly pipeline: Pipeline;
  readonly #shared = new Map<KnowledgeKey<unknown>, unknown>();
  readonly #sessions = new Map<string, Set<SessionIdentity>>();

  /** All that there are, those that this domain has switched off included. */
  readonly #features: readonly Feature[];

  constructor(
    readonly config: DomainConfig,
    features: readonly Feature[],
    /** The same for all domains: a stream is read before it says for which it is. */
    readonly namespaces: NamespaceTable,
  ) {
    this.#features = features;
    this.pipeline = new Pipeline(
      features.filter((feature) => config.features[feature.name] !== false),
      namespaces,
    );
  }

  /** Whether a domain configured like this can go on with what is known here and with the sessions that are here. */
  serves(config: DomainConfig, features: readonly Feature[]): boolean {
    const settings = (domain: DomainConfig) => JSON.stringify([domain.name, domain.features]);
    return this.#features === features && settings(this.config) === settings(config);
  }

  get name(): string {
    return this.config.name;
  }

  shared<T>(key: KnowledgeKey<T>): T {
    let state = this.#shared.get(key) as T | undefined;
    if (state === undefined) {
      if (key.create === undefined) throw new Error(`${key.name} is no knowledge that a domain shares`);
      state = key.create();
      this.#shared.set(key, state);
    }
    return state;
  }

  sessionsOf(bare: string): readonly SessionIdentity[] {
    const sessions = this.#sessions.get(prepareJid(bare) ?? bare);
    return sessions === undefined ? [] : [...sessions];
  }

  enter(identity: SessionIdentity): void {
    const account = prepareJid(identity.bare) ?? identity.bare;
    const sessions = this.#sessions.get(account);
    if (sessions === undefined) this.#sessions.set(account, new Set([identity]));
    else sessions.add(identity);
  }

  leave(identity: SessionIdentity): void {
    const account = prepareJid(identity.bare) ?? identity.bare;
    const sessions = this.#sessions.get(account);
    if (sessions?.delete(identity) === true && sessions.size === 0) this.#sessions.delete(account);
  }
}

/**
 * The domains of a configuration, each with its pipeline compiled.
 * @param features all that there are; each domain's configuration may switch some off
 * @param former of the configuration before: a domain whose features are the same keeps its state and its sessions
 */
export function createDomains(
  config: Config,
  features: readonly Feature[] = FEATURES,
  former: ReadonlyMap<string, DomainRuntime> = new Map(),
): ReadonlyMap<string, DomainRuntime> {
  const [any] = former.values();
  const namespaces =
    any?.namespaces ?? new NamespaceTable([...Object.values(NS), ...watchedNamespaces(features)]);
  const domains = new Map<string, DomainRuntime>();
  for (const domain of config.domains.values()) {
    const known = former.get(domain.name);
    const kept = known?.serves(domain, features) === true ? known : undefined;
    domains.set(domain.name, kept ?? new DomainRuntime(domain, features, namespaces));
  }
  return domains;
}
