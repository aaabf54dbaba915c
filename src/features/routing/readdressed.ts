import { Buffer } from 'node:buffer';
import { bare, isSameJid } from '../../jid.js';
import type { Frame } from '../../xml/frame.js';

/** Messages whose errors find their way back. */
const MOST = 32;
/** A longer id is nobody's idea of one. */
const LONGEST_ID = 256;
/** Bytes of an id that is kept as it is written: a UUID, and what some put in front of it. */
const PLAIN_ID = 64;

/**
 * Which full JID the client wrote to, by the id of the message that went to the bare one instead: an error for it comes from there, and the
 * client knows nothing of it.
 */
export class Readdressed {
  /** Ids as written, each in its place: no string is made of what is hardly ever looked at. */
  readonly #plain = Buffer.alloc(MOST * PLAIN_ID);
  /** How long they are; -1: the id is in `#others`. */
  readonly #lengths = new Int8Array(MOST);
  readonly #others: (string | undefined)[] = [];
  readonly #addresses: string[] = [];
  #next = 0;

  note(frame: Frame, to: string): void {
    const at = this.#next;
    const length = frame.copyAttribute('id', this.#plain, at * PLAIN_ID, PLAIN_ID);
    if (length < 0) {
      const { id } = frame;
      if (id === undefined || id.length > LONGEST_ID) return;
      this.#others[at] = id;
    }
    this.#lengths[at] = length;
    this.#addresses[at] = to;
    this.#next = (at + 1) % MOST;
  }

  /** @returns where the client had sent what this is an error for; undefined when it knows the address that the error comes from */
  addressOf(id: string | undefined, from: string | undefined): string | undefined {
    if (id === undefined || from === undefined) return undefined;
    // The newest first: a client may use an id again.
    for (let back = 1; back <= this.#addresses.length; back++) {
      const at = (this.#next - back + MOST) % MOST;
      const address = this.#addresses[at];
      if (address !== undefined && this.#idAt(at) === id && isSameJid(bare(address), from)) return address;
    }
    return undefined;
  }

  #idAt(at: number): string | undefined {
    const length = this.#lengths[at]!;
    return length < 0
      ? this.#others[at]
      : this.#plain.toString('latin1', at * PLAIN_ID, at * PLAIN_ID + length);
  }
}
