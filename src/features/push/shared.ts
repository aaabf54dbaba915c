import { type DomainContext, KnowledgeKey } from '../../session/feature.js';
import type { Registration } from './registrations.js';

/** A session of an account whose client is not there. */
export interface Absent {
  /** The client has gone for good: only the server leg has stayed. */
  readonly isGone: boolean;
  /** A client of the account is there: what waits is for it to take. */
  forget(): void;
}

/** How a push service has taken what it was sent. */
interface Standing {
  /** Nothing is sent before; ms. */
  notBefore: number;
  /** In a row. */
  failures: number;
}

/** After so many errors in a row of which each alone might pass, a node is disabled (XEP-0357 §7.1). */
export const MOST_FAILURES = 16;
/** Longest wait between two attempts while there are errors; ms. */
const LONGEST_WAIT = 3_600_000;

/** What the sessions of a domain have in common. */
class Shared {
  readonly #absent = new Map<string, Set<Absent>>();
  readonly #standings = new WeakMap<Registration, Standing>();
  /** Notifications that may be sent in the second that began at `#second`. */
  #left = 0;
  #second = Number.NEGATIVE_INFINITY;

  /** The client of a session is not there any more. @param account prepared */
  leaves(account: string, session: Absent): void {
    const sessions = this.#absent.get(account);
    if (sessions === undefined) this.#absent.set(account, new Set([session]));
    else sessions.add(session);
  }

  /** It is there again, or the session is over. */
  returns(account: string, session: Absent): void {
    const sessions = this.#absent.get(account);
    if (sessions?.delete(session) === true && sessions.size === 0) this.#absent.delete(account);
  }

  /** A client of the account has come: it takes what sessions have kept whose client is gone for good. */
  arrives(account: string): void {
    for (const session of this.#absent.get(account) ?? []) if (session.isGone) session.forget();
  }

  /** How many sessions of an account have no client. */
  absent(account: string): number {
    return this.#absent.get(account)?.size ?? 0;
  }

  /** From when on a node may be sent something. */
  notBefore(registration: Registration): number {
    return this.#standings.get(registration)?.notBefore ?? Number.NEGATIVE_INFINITY;
  }

  /** One more of all. @returns when there is none left in this second: when to ask again */
  turn(now: number, perSecond: number): number | undefined {
    if (now - this.#second >= 1_000) {
      this.#second = now;
      this.#left = perSecond;
    }
    if (this.#left === 0) return this.#second + 1_000;
    this.#left -= 1;
    return undefined;
  }

  /** @param interval between two notifications; ms */
  sends(registration: Registration, now: number, interval: number): void {
    this.#standing(registration).notBefore = now + interval;
  }

  succeeds(registration: Registration): void {
    this.#standing(registration).failures = 0;
  }

  /** An error that may pass. @returns how many there have been in a row */
  fails(registration: Registration, now: number, interval: number): number {
    const standing = this.#standing(registration);
    standing.failures += 1;
    standing.notBefore = now + Math.max(interval, Math.min(interval * 2 ** standing.failures, LONGEST_WAIT));
    return standing.failures;
  }

  #standing(registration: Registration): Standing {
    let standing = this.#standings.get(registration);
    if (standing === undefined) {
      standing = { notBefore: Number.NEGATIVE_INFINITY, failures: 0 };
      this.#standings.set(registration, standing);
    }
    return standing;
  }
}

const sharedKey = new KnowledgeKey<Shared>('push notifications', () => new Shared());

export function sharedOf(domain: DomainContext): Shared {
  return domain.shared(sharedKey);
}

export type { Shared };
