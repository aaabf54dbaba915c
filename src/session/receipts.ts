/** A place in what a client is sent, and which feature wants to know that the client has everything before it. */
interface Receipt {
  /** So many stanzas were sent up to there; see `Ledger.sent`. */
  readonly ordinal: number;
  readonly feature: string;
  readonly token: string;
}

/** As plain data: ordinal, name of the feature, token. */
export type ReceiptsState = readonly (readonly [number, string, string])[];

/** Receipts that one session may wait for; what is beyond is never told. */
const MOST = 5_000;

/** What features want to know of the client's acknowledgements, in the order of the places. */
export class Receipts {
  #waiting: Receipt[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  add(ordinal: number, feature: string, token: string): void {
    if (this.#waiting.length < MOST) this.#waiting.push({ ordinal, feature, token });
  }

  /** Takes out those that are settled by so many acknowledged stanzas. */
  take(acknowledged: number): readonly Receipt[] {
    const first = this.#waiting.findIndex(({ ordinal }) => ordinal > acknowledged);
    return this.#waiting.splice(0, first === -1 ? this.#waiting.length : first);
  }

  /** What the next process has to know, when the session is gone on with by it. */
  get state(): ReceiptsState {
    return this.#waiting.map(({ ordinal, feature, token }) => [ordinal, feature, token]);
  }

  /**
   * The session is gone on with. What the client has not acknowledged by coming back is gone: those receipts never come.
   * @param acknowledged how many stanzas it has acknowledged
   */
  restore(state: ReceiptsState, acknowledged: number): void {
    this.#waiting = state.flatMap(([ordinal, feature, token]) =>
      ordinal <= acknowledged ? { ordinal, feature, token } : [],
    );
  }
}
