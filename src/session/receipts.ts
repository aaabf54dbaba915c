import type { Acknowledgement } from './acknowledgement.js';

/** What the receipts of a session need of it. */
export interface ReceiptSurroundings {
  readonly acknowledgement: Acknowledgement;
  /** The client's connection is lost and it may come back. */
  readonly clientIsHeld: boolean;
  /** There is no client any more, and the server leg is kept without one. */
  readonly clientIsGone: boolean;
  /** Asks for a call of `wake` in a turn of its own, soon, or takes that back. */
  receiptsMayBeDue(areDue: boolean): void;
  /** The client has what came before the places that a feature has asked about. */
  tellReceived(feature: string, tokens: readonly string[]): void;
}

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

/**
 * What features want to know of the client's acknowledgements, in the order of the places, and what they put away themselves before the server is told
 * that it is delivered. Made when a feature asks for one of them: most sessions never do.
 */
export class Receipts {
  #waiting: Receipt[] = [];
  /** What is being put away, by how much of the server's came before it; in that order. */
  readonly #unsafe = new Set<{ readonly ordinal: number }>();
  /** Somebody wants to know soon. */
  #asks = false;
  #isTelling = false;
  /** `wake` will be called. */
  #isDue = false;

  constructor(private readonly around: ReceiptSurroundings) {}

  /** To be called in its place among what is sent to the client. @param asks the client is to be asked soon */
  want(feature: string, token: string, asks: boolean): void {
    const { acknowledgement, clientIsHeld } = this.around;
    if (this.#waiting.length < MOST)
      this.#waiting.push({ ordinal: acknowledgement.down.sent, feature, token });
    if (!acknowledgement.clientEnabled) this.#look();
    else if (asks) {
      this.#asks = true;
      if (!clientIsHeld) acknowledgement.wantsReceipt(true);
    }
  }

  /** What features are told they are told in a turn of its own. */
  #look(): void {
    const isDue = this.#waiting.length > 0;
    if (isDue === this.#isDue) return;
    this.#isDue = isDue;
    this.around.receiptsMayBeDue(isDue);
  }

  wake(): void {
    this.#isDue = false;
    this.settle();
  }

  #tell(): void {
    const { around } = this;
    if (around.clientIsGone || this.#isTelling) return;
    this.#isTelling = true;
    this.#tellSettled();
    // Whoever asks one question at a time has asked about the rest now, and the client may have that too.
    this.#tellSettled();
    this.#isTelling = false;
    if (this.#waiting.length === 0) this.#look();
  }

  #tellSettled(): void {
    const { around } = this;
    const { acknowledged } = around.acknowledgement.down;
    const first = this.#waiting.findIndex(({ ordinal }) => ordinal > acknowledged);
    if (first === 0 || this.#waiting.length === 0) return;
    const settled = this.#waiting.splice(0, first === -1 ? this.#waiting.length : first);
    const tokens = new Map<string, string[]>();
    for (const { feature, token } of settled) {
      const its = tokens.get(feature);
      if (its === undefined) tokens.set(feature, [token]);
      else its.push(token);
    }
    for (const [feature, its] of tokens) around.tellReceived(feature, its);
  }

  /** The client may have more. One question at a time: what has been sent since the last is asked for now. */
  clientHasMore(): void {
    this.#tell();
    if (this.#waiting.length === 0) this.#asks = false;
    else if (this.#asks && !this.around.clientIsHeld) this.around.acknowledgement.wantsReceipt(true);
  }

  /** What is written to a client without stream management it has; of one that has it only its own word counts. */
  settle(): void {
    const { acknowledgement } = this.around;
    if (acknowledgement.clientEnabled || this.#waiting.length === 0) return;
    acknowledgement.wantsReceipt(false);
    this.#tell();
  }

  /** From the stanza of the server's on that is being handled nothing counts as delivered. @returns ends that */
  holdAcknowledgement(): () => void {
    const { acknowledgement } = this.around;
    const held = { ordinal: acknowledgement.down.received };
    this.#unsafe.add(held);
    return () => {
      if (this.#unsafe.delete(held)) acknowledgement.saferThanBefore();
    };
  }

  /** Up to here of what the server has sent nothing is being put away; Infinity: nothing at all. */
  get safeUpTo(): number {
    for (const { ordinal } of this.#unsafe) return ordinal;
    return Number.POSITIVE_INFINITY;
  }

  /** What the next process has to know, when the session is gone on with by it. */
  get state(): ReceiptsState {
    return this.#waiting.map(({ ordinal, feature, token }) => [ordinal, feature, token]);
  }

  /**
   * The session is gone on with, and the client has said what it has: features are told that at once. What it has not acknowledged by coming back is gone:
   * those receipts never come.
   */
  restore(state: ReceiptsState): void {
    const { acknowledged } = this.around.acknowledgement.down;
    this.#waiting = state.flatMap(([ordinal, feature, token]) =>
      ordinal <= acknowledged ? { ordinal, feature, token } : [],
    );
    this.#tell();
  }
}
