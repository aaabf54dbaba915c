import type { FeatureContext } from '../../session/feature.js';
import type { Links } from './links.js';
import type { SharedAnnotations } from './shared.js';

/** The links as the server of one session has them: of a domain with several, each may reach what the others do not. */
export class Reach {
  #links: Links;

  constructor(
    private readonly context: FeatureContext,
    private readonly shared: SharedAnnotations,
  ) {
    this.#links = shared.linksOf(context.upstream);
  }

  get links(): Links {
    return this.#links;
  }

  /** The session has a server leg again. @returns the former links, if it goes to another server now */
  follow(): Links | undefined {
    const links = this.shared.linksOf(this.context.upstream);
    if (links === this.#links) return undefined;
    const former = this.#links;
    this.#links = links;
    return former;
  }
}
