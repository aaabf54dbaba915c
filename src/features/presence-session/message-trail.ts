const MOST = 24;
/** id, digest of the room's stanza id (two), digest of sender, id and body (two), seconds since 1970. */
const WIDTH = 6;

/** What tells a message: digests, 0 for what it does not have. */
export interface MessageMark {
  readonly stanzaIdLo: number;
  readonly stanzaIdHi: number;
  readonly contentLo: number;
  readonly contentHi: number;
}

/** The last messages that were shown, oldest first: by them it is seen where in a room's history a client has stopped reading. */
export class MessageTrail {
  #records: Int32Array<ArrayBuffer> = new Int32Array(0);
  #count = 0;

  get bytes(): number {
    return this.#records.byteLength;
  }

  get length(): number {
    return this.#count;
  }

  /** The records as they are kept. */
  get records(): Int32Array {
    return this.#records.subarray(0, this.#count * WIDTH);
  }

  static from(records: Int32Array): MessageTrail {
    const trail = new MessageTrail();
    trail.#count = Math.min(MOST, Math.floor(records.length / WIDTH));
    trail.#records = Int32Array.from(records.subarray(0, trail.#count * WIDTH));
    return trail;
  }

  /** A message is shown as the stanza `id`. @param at when it was said, ms since 1970 */
  add(id: number, mark: MessageMark, at: number): void {
    if (this.#count === MOST) {
      this.#records.copyWithin(0, WIDTH);
      this.#count--;
    } else if ((this.#count + 1) * WIDTH > this.#records.length) {
      const longer = new Int32Array(Math.min(MOST, Math.max(4, this.#count * 2)) * WIDTH);
      longer.set(this.#records);
      this.#records = longer;
    }
    const { stanzaIdLo, stanzaIdHi, contentLo, contentHi } = mark;
    const seconds = Math.floor(at / 1_000);
    this.#records.set([id, stanzaIdLo, stanzaIdHi, contentLo, contentHi, seconds], this.#count * WIDTH);
    this.#count++;
  }

  /** As much of it as somebody has had who had the stanzas up to `id`, as a trail that begins. */
  upTo(id: number): MessageTrail {
    const trail = MessageTrail.from(this.#records.subarray(0, this.#shownBy(id) * WIDTH));
    for (let i = 0; i < trail.#count; i++) trail.#records[i * WIDTH] = 0;
    return trail;
  }

  /**
   * Where in a history, oldest first, the last message stands that was shown by `id`; -1 if none of the last ones is in it. What looks
   * alike is told apart by what comes before it, and in doubt the earlier one is taken: better twice than never.
   */
  anchorIn(history: readonly MessageMark[], id: number): number {
    for (let at = this.#shownBy(id) - 1; at >= 0; at--) {
      let best = -1;
      let longest = 0;
      for (let place = 0; place < history.length; place++) {
        let length = 0;
        while (length <= at && length <= place && this.#is(at - length, history[place - length]!)) length++;
        if (length > longest) {
          longest = length;
          best = place;
        }
      }
      if (best >= 0) return best;
    }
    return -1;
  }

  /** When the last message was said that was shown by the stanza `id`, about; ms since 1970. Undefined: none is known. */
  lastSaid(id: number): number | undefined {
    const count = this.#shownBy(id);
    return count === 0 ? undefined : (this.#records[count * WIDTH - 1]! >>> 0) * 1_000;
  }

  /** Nothing that was shown has been dropped from it. */
  get isAll(): boolean {
    return this.#count < MOST;
  }

  /** The mark of the message that was shown as the stanza `id`. */
  markOf(id: number): MessageMark | undefined {
    for (let i = 0; i < this.#count; i++) {
      const at = i * WIDTH;
      const records = this.#records;
      if (records[at] !== id) continue;
      return {
        stanzaIdLo: records[at + 1]!,
        stanzaIdHi: records[at + 2]!,
        contentLo: records[at + 3]!,
        contentHi: records[at + 4]!,
      };
    }
    return undefined;
  }

  /** How many of the messages were shown by the stanza `id`. */
  #shownBy(id: number): number {
    let count = this.#count;
    while (count > 0 && this.#records[(count - 1) * WIDTH]! > id) count--;
    return count;
  }

  /** Whether any message was shown by the stanza `id`. */
  has(id: number): boolean {
    return this.#shownBy(id) > 0;
  }

  #is(at: number, mark: MessageMark): boolean {
    const records = this.#records;
    const from = at * WIDTH;
    const known = records[from + 1] !== 0 || records[from + 2] !== 0;
    if (known && (mark.stanzaIdLo !== 0 || mark.stanzaIdHi !== 0)) {
      return records[from + 1] === mark.stanzaIdLo && records[from + 2] === mark.stanzaIdHi;
    }
    return records[from + 3] === mark.contentLo && records[from + 4] === mark.contentHi;
  }
}
