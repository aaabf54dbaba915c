import { KnowledgeKey, type SessionIdentity } from '../../session/feature.js';
import { Counts } from './counts.js';

/** Messages to resources that are gone, of all accounts of a domain, that are told apart at a time. */
const MOST_RETURNED = 5_000;

/** What the sessions of a domain know of each other. */
export class Common {
  /** Who answers for a resource that is gone: whoever is first. */
  readonly returned = new Counts(MOST_RETURNED);
  /** Sessions that have opted in to XEP-0409, by account, prepared. */
  readonly optedIn = new Map<string, Set<SessionIdentity>>();
}

export const commonKey = new KnowledgeKey<Common>('routing', () => new Common());
