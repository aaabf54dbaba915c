import type { Frame } from '../xml/frame.js';
import { messageKeys } from './sightings.js';

/** Messages that are remembered at a time, of all accounts of a domain. */
const MOST = 10_000;

/** For so long a server may still come out with what it was not acknowledged; ms. */
const LONGEST = 600_000;

/** Messages that are remembered as out of doubt. */
const MOST_SETTLED = 10_000;

/** A message of which the server may have a copy. */
export interface Doubtful {
  /** What it is known by; see `messageKeys`. */
  readonly keys: readonly string[];
  /** Where in the store it is. */
  readonly stored: string;
  /** The resource whose client has missed it. */
  readonly resource: string | undefined;
}

interface Doubt extends Doubtful {
  readonly since: number;
  given: boolean;
}

/**
 * Messages that are in the store and of which the server may come out with a copy of its own, on any session of the account: the
 * one that comes second is dropped.
 */
export class Doubts {
  readonly #accounts = new Map<string, Doubt[]>();
  /** Where messages are in the store of which the server is known to keep none. */
  readonly #settled = new Set<string>();
  #count = 0;

  /**
   * A message is in the store, or has been given to a client from there.
   * @param account prepared
   * @param now ms since 1970
   */
  note(account: string, { keys, stored, resource }: Doubtful, given: boolean, now: number): void {
    const doubts = (this.#accounts.get(account) ?? []).filter(({ since }) => now - since < LONGEST);
    const known = doubts.find((doubt) => doubt.stored === stored);
    if (known !== undefined) known.given ||= given;
    else doubts.push({ keys, stored, resource, since: now, given });
    this.#set(account, doubts);
    while (this.#count > MOST) {
      const { value: longest } = this.#accounts.keys().next();
      if (longest === undefined) return;
      this.#set(longest, []);
    }
  }

  /** Whether there is one about the account. Cheap while there is none at all, as nearly always. */
  has(account: string): boolean {
    return this.#count > 0 && this.#accounts.has(account);
  }

  /**
   * A message from the server for one of the account's sessions.
   * @param resource of that session
   * @param isKept the server says that it has kept it: else it comes to another resource than that which has missed it as its own
   * @returns the doubt that it ends; undefined for nearly every message
   */
  takes(
    account: string,
    frame: Frame,
    resource: string,
    isKept: boolean,
  ): { readonly stored: string; readonly given: boolean } | undefined {
    const doubts = this.#accounts.get(account);
    if (doubts === undefined) return undefined;
    const keys = messageKeys(frame, account);
    const about = doubts.filter(
      (doubt) =>
        (isKept || (doubt.resource ?? resource) === resource) && doubt.keys.some((key) => keys.includes(key)),
    );
    // Several devices may have missed it: what another one is to have yet stays, if it can.
    const found =
      about.find((doubt) => doubt.resource === resource) ?? about.find(({ given }) => given) ?? about[0];
    if (found === undefined) return undefined;
    this.#set(
      account,
      doubts.filter((doubt) => doubt !== found),
    );
    return found;
  }

  /** The server has read that it need not keep what is there. @param stored where in the store it is */
  settle(stored: string): void {
    if (this.#settled.size >= MOST_SETTLED) {
      const { value: oldest } = this.#settled.values().next();
      if (oldest !== undefined) this.#settled.delete(oldest);
    }
    this.#settled.add(stored);
  }

  /** Whether a message that was put away as doubtful is so no more. */
  isSettled(stored: string): boolean {
    return this.#settled.has(stored);
  }

  #set(account: string, doubts: Doubt[]): void {
    this.#count += doubts.length - (this.#accounts.get(account)?.length ?? 0);
    // The account that was last in doubt is last in the map.
    this.#accounts.delete(account);
    if (doubts.length > 0) this.#accounts.set(account, doubts);
  }
}
