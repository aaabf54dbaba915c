import { Buffer } from 'node:buffer';

/** A presence that was news, or a message. */
export interface Shown {
  readonly id: number;
  /** Without marks. */
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
  #changes: Shown[] = [];
  #bytes = 0;
  #floor = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** Changes up to this number are not all there. */
  get floor(): number {
    return this.#floor;
  }

  /** @param budget bytes that may be kept, this one included */
  add(shown: Shown, budget: number): void {
    // Not a part of a slab that would stay with it.
    const xml = Buffer.allocUnsafeSlow(shown.xml.length);
    shown.xml.copy(xml);
    this.#changes.push({ ...shown, xml });
    this.#bytes += cost(xml);
    let gone = 0;
    while (this.#bytes > budget && gone < this.#changes.length) {
      const lost = this.#changes[gone++]!;
      this.#bytes -= cost(lost.xml);
      this.#floor = lost.id;
    }
    if (gone > 0) this.#changes = this.#changes.slice(gone);
  }

  /** What was shown up to here is not kept. */
  startAfter(id: number): void {
    this.#changes = [];
    this.#bytes = 0;
    this.#floor = id;
  }

  /** The messages behind stanza `id`. */
  messagesAfter(id: number): readonly Shown[] {
    return this.#changes.filter((shown) => shown.isMessage && shown.id > id);
  }

  /** The presence that was shown as stanza `id`; undefined when it is not kept. */
  get(id: number): Buffer | undefined {
    let low = 0;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#changes[middle]!.id < id) low = middle + 1;
      else high = middle;
    }
    const found = this.#changes[low];
    return found?.id === id ? found.xml : undefined;
  }
}

function cost(xml: Buffer): number {
  return xml.length + 150;
}
