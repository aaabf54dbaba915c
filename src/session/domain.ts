import { domainToASCII, domainToUnicode } from 'node:url';
import type { Config, DomainConfig } from '../config/model.js';
import { FEATURES } from '../features/index.js';
import { prepareJid } from '../jid.js';
import { NamespaceTable, NS } from '../xml/namespaces.js';
import { Backlogs } from './backlogs.js';
import { Doubts } from './doubts.js';
import { EndedHolds } from './ended-holds.js';
import type { DomainContext, Feature, KnowledgeKey, SessionIdentity } from './feature.js';
import type { Hold } from './hold.js';
import { Pipeline, watchedNamespaces } from './pipeline.js';
import { Sightings } from './sightings.js';
import { TokensAtHand } from './start/tokens-at-hand.js';

/** Resources bound to learn whose a leg is that are remembered; their end is heard within the second. */
const MOST_PROBES = 1_000;

/** Sessions of one account that may be held at a time: somebody who connects and breaks off again and again takes no more. */
const MOST_HELD = 10;
/** Of an account that nobody is here of. */
const NOBODY: readonly SessionIdentity[] = [];

/** A session that has something to write. */
interface Unsettled {
  flush(): void;
}

/** What all sessions of a domain have in common while the process lives. */
export class DomainRuntime implements DomainContext {
  readonly pipeline: Pipeline;
  readonly #shared = new Map<KnowledgeKey<unknown>, unknown>();
  readonly #settings = new Map<Feature, unknown>();
  readonly #sessions: Map<string, Set<SessionIdentity>>;
  /** Sessions that may be resumed, by the id that resumes them. */
  readonly holds: Map<string, Hold>;
  /** The same by full JID, prepared. */
  private readonly holders: Map<string, Hold>;
  /** Sessions that are held, by account; of each account the one held longest is first. */
  readonly #held: Map<string, Set<Hold>>;
  readonly #probes: Set<string>;
  readonly backlogs: Backlogs;
  readonly sightings: Sightings;
  readonly #unsettled: Set<Unsettled>;
  readonly tokens: TokensAtHand;
  readonly doubts: Doubts;
  readonly ended: EndedHolds;

  /** All that there are, those that this domain has switched off included. */
  readonly #features: readonly Feature[];

  constructor(
    readonly config: DomainConfig,
    features: readonly Feature[],
    /** The same for all domains: a stream is read before it says for which it is. */
    readonly namespaces: NamespaceTable,
    /** Of the same domain under a configuration before: sessions outlive a change of settings. */
    former?: DomainRuntime,
  ) {
    this.holds = former?.holds ?? new Map();
    this.holders = former?.holders ?? new Map();
    this.backlogs = former?.backlogs ?? new Backlogs();
    this.sightings = former?.sightings ?? new Sightings();
    this.doubts = former?.doubts ?? new Doubts();
    this.ended = former?.ended ?? new EndedHolds();
    this.tokens = former?.tokens ?? new TokensAtHand();
    this.#sessions = former === undefined ? new Map() : former.#sessions;
    this.#held = former === undefined ? new Map() : former.#held;
    this.#probes = former === undefined ? new Set() : former.#probes;
    this.#unsettled = former === undefined ? new Set() : former.#unsettled;
    this.#features = features;
    this.pipeline = new Pipeline(
      features.flatMap((feature) => {
        if (config.features[feature.name] !== false) return feature;
        return feature.whenOff ?? [];
      }),
      namespaces,
    );
  }

  /** Whether a domain configured like this can go on with what is known here and with the sessions that are here. */
  serves(config: DomainConfig, features: readonly Feature[]): boolean {
    const settings = ({ name, features, hold }: DomainConfig) => JSON.stringify([name, features, hold]);
    return this.#features === features && settings(this.config) === settings(config);
  }

  get name(): string {
    return this.config.name;
  }

  /** Settings of a feature here, read once. The configuration has been checked: a mistake in it throws. */
  settingsOf(feature: Feature): unknown {
    let settings = this.#settings.get(feature);
    if (settings === undefined) {
      const written = this.config.features[feature.name];
      settings = feature.settings?.parse(typeof written === 'object' ? written : {}) ?? {};
      this.#settings.set(feature, settings);
    }
    return settings;
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
    const sessions = this.#sessions.get(bare);
    return sessions === undefined ? NOBODY : [...sessions];
  }

  /** A resource was bound only to learn whose a leg is: nobody need hear of its end. */
  noteProbe(full: string): void {
    if (this.#probes.size >= MOST_PROBES) {
      const [oldest] = this.#probes;
      if (oldest !== undefined) this.#probes.delete(oldest);
    }
    this.#probes.add(prepareJid(full) ?? full);
  }

  /** Whether there was such a resource. Cheap while there was none at all. */
  wasProbe(full: string | undefined): boolean {
    if (this.#probes.size === 0 || full === undefined) return false;
    return this.#probes.has(prepareJid(full) ?? full);
  }

  addHold(hold: Hold): void {
    this.holds.set(hold.resumption.id, hold);
    this.holders.set(prepareJid(hold.full) ?? hold.full, hold);
  }

  removeHold(hold: Hold): void {
    this.holds.delete(hold.resumption.id);
    const full = prepareJid(hold.full) ?? hold.full;
    if (this.holders.get(full) === hold) this.holders.delete(full);
  }

  /** The session with this full JID (prepared), if it may be resumed. */
  holdOf(full: string): Hold | undefined {
    return this.holders.get(full);
  }

  /**
   * A session of the account is held from now on.
   * @returns the one held longest, when there are more than one account may have
   */
  isHeld(account: string, hold: Hold): Hold | undefined {
    const held = this.#held.get(account) ?? new Set();
    this.#held.set(account, held.add(hold));
    const [longest] = held;
    return held.size > MOST_HELD ? longest : undefined;
  }

  isHeldNoMore(account: string, hold: Hold): void {
    const held = this.#held.get(account);
    if (held?.delete(hold) === true && held.size === 0) this.#held.delete(account);
  }

  /** Whether the account has more than one session, held ones included, or had one of late that has left something. @param account prepared */
  hasOthers(account: string): boolean {
    return (this.#sessions.get(account)?.size ?? 0) > 1 || this.doubts.has(account);
  }

  /** A session that something was done to in the turn of another one. */
  settlesLater(session: Unsettled): void {
    this.#unsettled.add(session);
  }

  /** At the end of each turn: what was done to other sessions goes out. */
  settleOthers(): void {
    if (this.#unsettled.size === 0) return;
    const sessions = [...this.#unsettled];
    this.#unsettled.clear();
    for (const session of sessions) session.flush();
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
 * @returns by name; an internationalised one by its other spelling, too (RFC 7622 §3.2.1: A-labels and U-labels are the same domain)
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
    domains.set(domain.name, kept ?? new DomainRuntime(domain, features, namespaces, known));
  }
  for (const [name, domain] of [...domains])
    for (const other of [domainToASCII(name), domainToUnicode(name)])
      if (other !== '' && !domains.has(other)) domains.set(other, domain);
  return domains;
}
