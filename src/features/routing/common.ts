import { KnowledgeKey, type SessionIdentity } from '../../session/feature.js';
import { Counts } from './counts.js';

/** Messages to resources that are gone, of all accounts of a domain, that are told apart at a time. */
const MOST_RETURNED = 5_000;

/** Some sessions of a domain, by their account (prepared). */
export class AccountSessions {
  readonly #all = new Map<string, Set<SessionIdentity>>();

  /** Spares the ordinary case a look at addresses. */
  get any(): boolean {
    return this.#all.size > 0;
  }

  has(account: string): boolean {
    return this.#all.has(account);
  }

  add(account: string, session: SessionIdentity): void {
    const sessions = this.#all.get(account);
    if (sessions === undefined) this.#all.set(account, new Set([session]));
    else sessions.add(session);
  }

  delete(account: string, session: SessionIdentity): void {
    const sessions = this.#all.get(account);
    if (sessions?.delete(session) === true && sessions.size === 0) this.#all.delete(account);
  }
}

/** What the sessions of a domain know of each other. */
export class Common {
  /** Who answers for a resource that is gone: whoever is first. */
  readonly returned = new Counts(MOST_RETURNED);
  /** Sessions that have opted in to XEP-0409. */
  readonly optedIn = new AccountSessions();
  /** Sessions that want carbons which the server does not make: what the others send is told to them. */
  readonly copied = new AccountSessions();
}

export const commonKey = new KnowledgeKey<Common>('routing', () => new Common());
