import type { Buffer } from 'node:buffer';
import { type DomainContext, KnowledgeKey } from '../../../session/feature.js';

/** A subscriber's session, as the observer sees it. */
export interface Listener {
  /** Its client wants what is addressed to the account. */
  readonly isWanting: boolean;
  /** Its client is in the room, and has it from there. */
  isIn(room: string): boolean;
  /**
   * For its client.
   * @param now of the observer's turn
   * @param place as `Whereabouts.goesOut` gave it, where it is what the room has said
   */
  give(event: Buffer, now: number, room: string, place: number | undefined): void;
  /** Something was stored for the account while nobody wants it. */
  waits(event: Buffer): void;
}

/** What hears rooms for those who have subscribed to them. */
export interface Hearing {
  /** Since when it has heard a room for an account; ms. Undefined: it does not. */
  since(room: string, account: string): number | undefined;
  /** Hears the room for the account from now on, where it is in the room and the account might be. */
  take(room: string, account: string): void;
}

const NOBODY: ReadonlySet<Listener> = new Set();

/** Where the observer of a domain and the sessions of subscribers find each other. */
export class Observation {
  observer: Hearing | undefined;
  readonly #listeners = new Map<string, Set<Listener>>();

  /** @param account bare JID, prepared */
  enter(account: string, listener: Listener): void {
    const listeners = this.#listeners.get(account);
    if (listeners === undefined) this.#listeners.set(account, new Set([listener]));
    else listeners.add(listener);
  }

  leave(account: string, listener: Listener): void {
    const listeners = this.#listeners.get(account);
    if (listeners?.delete(listener) === true && listeners.size === 0) this.#listeners.delete(account);
  }

  of(account: string): ReadonlySet<Listener> {
    return this.#listeners.get(account) ?? NOBODY;
  }
}

const observationKey = new KnowledgeKey<Observation>('observer of rooms', () => new Observation());

export function observationOf(domain: DomainContext): Observation {
  return domain.shared(observationKey);
}
