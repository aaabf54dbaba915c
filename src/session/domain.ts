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

  constructor(
    readonly config: DomainConfig,
    features: readonly Feature[],
    /** The same for all domains: a stream is read before it says for which it is. */
    readonly namespaces: NamespaceTable,
  ) {
    this.pipeline = new Pipeline(
      features.filter((feature) => config.features[feature.name] !== false),
      namespaces,
    );
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
 */
export function createDomains(
  config: Config,
  features: readonly Feature[] = FEATURES,
): ReadonlyMap<string, DomainRuntime> {
  const namespaces = new NamespaceTable([...Object.values(NS), ...watchedNamespaces(features)]);
  return new Map(
    [...config.domains.values()].map((domain) => [
      domain.name,
      new DomainRuntime(domain, features, namespaces),
    ]),
  );
}
