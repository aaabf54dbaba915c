import type { Buffer } from 'node:buffer';
import { PackedLog } from './packed-log.js';

/** A presence that was news, or a message. */
export interface Shown {
  readonly id: number;
  /** Without marks; part of the log, to be copied by whoever keeps it. */
  readonly xml: Buffer;
  /** ms since 1970 */
  readonly at: number;
  readonly isMessage: boolean;
}

/**
 * The last stanzas that were news, as far as their bytes go into a budget; so that a client whose session is in the room still is told of
 * them without asking the room.
 */
export class ChangeLog {
  readonly #log = new PackedLog();

  get bytes(): number {
    return this.#log.bytes;
  }

  /** Changes up to this number are not all there. */
  get floor(): number {
    return this.#log.dropped;
  }

  /** @param budget bytes that may be kept, this one included */
  add({ id, xml, at, isMessage }: Shown, budget: number): void {
    this.#log.add(id, at, isMessage ? 1 : 0, xml, budget);
  }

  /** What was shown up to here is not kept. */
  startAfter(id: number): void {
    this.#log.clear(id);
  }

  /** What was shown behind stanza `id`. */
  after(id: number): readonly Shown[] {
    return Array.from(this.#log.after(id), ({ id, bytes, number, flags }) => ({
      id,
      xml: bytes,
      at: number,
      isMessage: flags === 1,
    }));
  }
}
