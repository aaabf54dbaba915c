import type { Frame } from '../xml/frame.js';
import { messageKeys } from './sightings.js';

/** Messages that are remembered at a time, of all accounts of a domain. */
const MOST = 10_000;

/** For so long a server may still come out with what it was not acknowledged; ms. */
const LONGEST = 600_000;

interface Doubt {
  readonly keys: readonly string[];
  readonly since: number;
  /** Where in the store the message is. */
  readonly stored: string;
  given: boolean;
}

/**
 * Messages that are in the store and of which the server may come out with a copy of its own, on any session of the account: the
 * one that comes second is dropped.
 */
export class Doubts {
  readonly #accounts = new Map<string, Doubt[]>();
  #count = 0;

  /**
   * A message is in the store, or has been given to a client from there.
   * @param account prepared
   * @param now ms since 1970
   */
  note(account: string, keys: readonly string[], stored: string, given: boolean, now: number): void {
    const doubts = (this.#accounts.get(account) ?? []).filter(({ since }) => now - since < LONGEST);
    const known = doubts.find((doubt) => doubt.stored === stored);
    if (known !== undefined) known.given ||= given;
    else doubts.push({ keys, since: now, stored, given });
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
   * @returns the doubt that it ends; undefined for nearly every message
   */
  takes(account: string, frame: Frame): { readonly stored: string; readonly given: boolean } | undefined {
    const doubts = this.#accounts.get(account);
    if (doubts === undefined) return undefined;
    const keys = messageKeys(frame, account);
    const found = doubts.find((doubt) => doubt.keys.some((key) => keys.includes(key)));
    if (found === undefined) return undefined;
    this.#set(
      account,
      doubts.filter((doubt) => doubt !== found),
    );
    return found;
  }

  #set(account: string, doubts: Doubt[]): void {
    this.#count += doubts.length - (this.#accounts.get(account)?.length ?? 0);
    // The account that was last in doubt is last in the map.
    this.#accounts.delete(account);
    if (doubts.length > 0) this.#accounts.set(account, doubts);
  }
}
