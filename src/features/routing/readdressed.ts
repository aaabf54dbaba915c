import { bare, isSameJid } from '../../jid.js';

/** Messages whose errors find their way back. */
const MOST = 32;

/**
 * Which full JID the client wrote to, by the id of the message that went to the bare one instead: an error for it comes from there, and the
 * client knows nothing of it.
 */
export class Readdressed {
  readonly #addresses = new Map<string, string>();

  note(id: string | undefined, to: string): void {
    if (id === undefined) return;
    this.#addresses.delete(id);
    if (this.#addresses.size >= MOST) this.#addresses.delete(this.#addresses.keys().next().value!);
    this.#addresses.set(id, to);
  }

  /** @returns where the client had sent what this is an error for; undefined when it knows the address that the error comes from */
  addressOf(id: string | undefined, from: string | undefined): string | undefined {
    const address = id === undefined ? undefined : this.#addresses.get(id);
    return address !== undefined && from !== undefined && isSameJid(bare(address), from)
      ? address
      : undefined;
  }
}
