import { KnowledgeKey } from './feature.js';

/**
 * Something that some watches are for, and that most sessions have none of: a subscription, a room, a link in trouble. While it is off nobody is asked
 * for the sake of such a watch. Compared by identity, so that several features can share one.
 */
export class Interest {
  constructor(readonly name: string) {}
}

/** What is of interest to all sessions of a domain, whatever they say themselves. */
export class CommonInterests {
  readonly #on = new Set<Interest>();
  /** Another one after each change. */
  version = 0;

  attend(interest: Interest, on: boolean): void {
    if (this.#on.has(interest) === on) return;
    if (on) this.#on.add(interest);
    else this.#on.delete(interest);
    this.version += 1;
  }

  /** Those that are on. */
  get on(): Iterable<Interest> {
    return this.#on;
  }
}

/** To be had with `domain.shared`. */
export const commonInterestsKey = new KnowledgeKey<CommonInterests>(
  'what is of interest to all sessions of a domain',
  () => new CommonInterests(),
);
