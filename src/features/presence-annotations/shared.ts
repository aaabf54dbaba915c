import { KnowledgeKey } from '../../session/feature.js';
import type { LinkRules } from './link.js';
import { Links } from './links.js';
import { Occupancy } from './occupancy.js';
import { Pacer } from './pacer.js';
import type { Settings } from './settings.js';

/** What all sessions of a domain have in common here. */
export class SharedAnnotations {
  /** By the URL of the domain's server that has them. */
  readonly #links = new Map<string, Links>();
  readonly #rules: LinkRules;
  readonly pacer: Pacer;
  readonly occupancy = new Occupancy();
  /** Full JIDs (prepared) of sessions whose clients are away for a while. */
  readonly paused = new Set<string>();
  /** Sessions whose clients are told of annotations. */
  viewers = 0;

  constructor(
    settings: Settings,
    private readonly onTrouble: (isAny: boolean) => void,
  ) {
    const { probes } = settings;
    this.#rules = {
      probes: probes === false ? undefined : { every: probes.every * 1000, timeout: probes.timeout * 1000 },
    };
    this.pacer = new Pacer(settings.perSecond);
  }

  /** @param upstream as in `FeatureContext`: one of those that are configured */
  linksOf(upstream: string): Links {
    let links = this.#links.get(upstream);
    if (links === undefined) {
      links = new Links(this.#rules, () => this.onTrouble(this.#anyTroubled));
      this.#links.set(upstream, links);
    }
    return links;
  }

  get #anyTroubled(): boolean {
    for (const links of this.#links.values()) if (links.anyTroubled) return true;
    return false;
  }
}

/** Made by the first session, since only sessions know the settings, which are the same for all of a domain. */
class Place {
  #shared: SharedAnnotations | undefined;

  /** @param onTrouble the same for all sessions: told when a link of any of the domain's servers is troubled, or none is any more */
  of(settings: Settings, onTrouble: (isAny: boolean) => void): SharedAnnotations {
    this.#shared ??= new SharedAnnotations(settings, onTrouble);
    return this.#shared;
  }
}

export const sharedKey = new KnowledgeKey<Place>('annotations of a domain', () => new Place());
