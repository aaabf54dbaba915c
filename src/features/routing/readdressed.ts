import { bare, isSameJid } from '../../jid.js';

/** Messages whose errors find their way back. */
const MOST = 32;
/** A longer id is nobody's idea of one. */
const LONGEST_ID = 256;

/**
 * Which full JID the client wrote to, by the id of the message that went to the bare one instead: an error for it comes from there, and the
 * client knows nothing of it.
 */
export class Readdressed {
  readonly #ids: string[] = [];
  readonly #addresses: string[] = [];
  #next = 0;

  note(id: string | undefined, to: string): void {
    if (id === undefined || id.length > LONGEST_ID) return;
    this.#ids[this.#next] = id;
    this.#addresses[this.#next] = to;
    this.#next = (this.#next + 1) % MOST;
  }

  /** @returns where the client had sent what this is an error for; undefined when it knows the address that the error comes from */
  addressOf(id: string | undefined, from: string | undefined): string | undefined {
    if (id === undefined || from === undefined) return undefined;
    // The newest first: a client may use an id again.
    for (let back = 1; back <= this.#ids.length; back++) {
      const at = (this.#next - back + MOST) % MOST;
      const address = this.#addresses[at];
      if (this.#ids[at] === id && address !== undefined && isSameJid(bare(address), from)) return address;
    }
    return undefined;
  }
}
