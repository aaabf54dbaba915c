import { KnowledgeKey } from '../../session/feature.js';
import { Links } from './links.js';
import { Occupancy } from './occupancy.js';
import { Pacer } from './pacer.js';
import type { Settings } from './settings.js';

/** What all sessions of a domain have in common here. */
export class SharedAnnotations {
  readonly links: Links;
  readonly pacer: Pacer;
  readonly occupancy = new Occupancy();
  /** Full JIDs (prepared) of sessions whose clients are away for a while. */
  readonly paused = new Set<string>();
  /** Sessions whose clients are told of annotations. */
  viewers = 0;

  constructor(settings: Settings, onTrouble: (isAny: boolean) => void) {
    const { probes } = settings;
    this.links = new Links(
      {
        probes: probes === false ? undefined : { every: probes.every * 1000, timeout: probes.timeout * 1000 },
      },
      onTrouble,
    );
    this.pacer = new Pacer(settings.perSecond);
  }
}

/** Made by the first session, since only sessions know the settings, which are the same for all of a domain. */
class Place {
  #shared: SharedAnnotations | undefined;

  /** @param onTrouble the same for all sessions: told when `links.anyTroubled` has changed */
  of(settings: Settings, onTrouble: (isAny: boolean) => void): SharedAnnotations {
    this.#shared ??= new SharedAnnotations(settings, onTrouble);
    return this.#shared;
  }
}

export const sharedKey = new KnowledgeKey<Place>('annotations of a domain', () => new Place());
