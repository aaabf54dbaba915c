/** What a ledger knows, as plain data. */
export interface LedgerState {
  readonly received: number;
  readonly sent: number;
  readonly acknowledged: number;
  readonly settled: number;
  readonly offset: number;
  readonly turns: readonly number[];
}

/**
 * The account of one direction of a session (XEP-0198 §4, design: acknowledgement is translated, never passed through).
 *
 * Stanzas come in from a source leg and go out on a target leg; in between some are dropped and others injected. The ledger answers
 * which source stanzas are settled, i.e. either acknowledged by the target or used up by the proxy, all before them included. Only the
 * points at which the two counts move apart are kept, so a session without injections costs a few numbers however long it lives.
 *
 * Counts never wrap here (2^53); `wireCount` and `fromWireCount` translate to the 32 bits on the wire.
 */
export class Ledger {
  /** Stanzas taken from the source. */
  received = 0;
  /** Stanzas sent to the target, injected ones included. */
  sent = 0;
  /** How many of `sent` the target has acknowledged. */
  acknowledged = 0;

  /** Distance between the counts in the oldest run that is not settled; then pairs (first ordinal, distance) of later runs. */
  #offset = 0;
  #turns: number[] | undefined;
  #settled = 0;

  /** The whole account, to be restored elsewhere. */
  get state(): LedgerState {
    const { received, sent, acknowledged, settled } = this;
    return { received, sent, acknowledged, settled, offset: this.#offset, turns: [...(this.#turns ?? [])] };
  }

  static restore(state: LedgerState): Ledger {
    const ledger = new Ledger();
    ledger.received = state.received;
    ledger.sent = state.sent;
    ledger.acknowledged = state.acknowledged;
    ledger.#offset = state.offset;
    ledger.#turns = state.turns.length === 0 ? undefined : [...state.turns];
    ledger.#settled = state.settled;
    return ledger;
  }

  /** A source stanza was sent on. */
  pass(): void {
    this.received += 1;
    this.sent += 1;
  }

  /** A source stanza was used up: dropped, answered or stored. It is settled once all before it are. */
  consume(): void {
    this.received += 1;
    // It is settled with the stanza before it: its own place in the count of the target is the last one.
    this.#turn(this.received);
  }

  /** A stanza that has no source was sent. */
  inject(): void {
    this.sent += 1;
    this.#turn(this.received + 1);
  }

  /**
   * The target has acknowledged its first `count` stanzas.
   * @returns false, with nothing changed, when it claims more than was sent or less than it had said.
   */
  acknowledge(count: number): boolean {
    if (count > this.sent || count < this.acknowledged) return false;
    this.acknowledged = count;
    return true;
  }

  /**
   * The target has lost what it had not acknowledged and the source will send again what is not settled: both go on counting from there.
   */
  rewind(): void {
    if (this.acknowledged === this.sent) return;
    const { settled } = this;
    this.received = settled;
    this.sent = this.acknowledged;
    this.#offset = this.sent - settled;
    this.#turns = undefined;
  }

  /** How many source stanzas, counted from the first, are settled. */
  get settled(): number {
    if (this.acknowledged === this.sent) {
      this.#offset = this.sent - this.received;
      this.#turns = undefined;
      this.#settled = this.received;
      return this.received;
    }
    let offset = this.#offset;
    const turns = this.#turns;
    let passed = 0;
    let reach = this.received;
    if (turns !== undefined) {
      for (; passed < turns.length; passed += 2) {
        const first = turns[passed]!;
        // Ordinals below `first` lie on the current run; is the last of them out and acknowledged?
        if (first - 1 + offset > this.acknowledged) {
          reach = first - 1;
          break;
        }
        offset = turns[passed + 1]!;
        if (first - 1 > this.#settled) this.#settled = first - 1;
      }
      if (passed > 0) {
        this.#offset = offset;
        if (passed === turns.length) this.#turns = undefined;
        else turns.splice(0, passed);
      }
    }
    const settled = Math.min(reach, this.acknowledged - offset);
    if (settled > this.#settled) this.#settled = settled;
    return this.#settled;
  }

  /** From the source ordinal `first` on the counts run in parallel at a new distance. */
  #turn(first: number): void {
    const offset = this.sent - this.received;
    const turns = this.#turns;
    if (turns === undefined) {
      if (first === 1) this.#offset = offset;
      else this.#turns = [first, offset];
    } else if (turns[turns.length - 2] === first) {
      turns[turns.length - 1] = offset;
    } else {
      turns.push(first, offset);
    }
  }
}

/** A count as it stands in `h`: modulo 2^32 (XEP-0198 §4). */
export function wireCount(count: number): number {
  return count % 0x1_0000_0000;
}

/**
 * The count that a peer means by `h`, given what it had acknowledged before.
 * @param h an integer below 2^32
 * @returns the smallest count that is not below `acknowledged` and stands as `h` on the wire
 */
export function fromWireCount(h: number, acknowledged: number): number {
  const step = h - wireCount(acknowledged);
  return acknowledged + (step < 0 ? step + 0x1_0000_0000 : step);
}

/** Reads the `h` attribute: decimal digits up to 2^32 - 1, otherwise undefined. */
export function parseWireCount(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const h = Number(text);
  return h < 0x1_0000_0000 ? h : undefined;
}
