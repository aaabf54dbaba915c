/** Sessions that are remembered. */
const MOST = 1_000;

interface EndedHold {
  /** Prepared. */
  readonly account: string;
  /** As it stands in `h`. */
  readonly handled: number;
}

/**
 * How far sessions that cannot be resumed any more had come with what their clients sent. A client that asks for one of them is told (XEP-0198 §5, `h` of
 * `<failed/>`), and need not send again what has arrived. It may forget: then the client is told nothing.
 */
export class EndedHolds {
  /** By the id that would have resumed them; what ended last is last. */
  readonly #ended = new Map<string, EndedHold>();

  /** @param handled of what the client had sent, as it counts; what is told later goes before what was told earlier */
  note(id: string, account: string, handled: number): void {
    this.#ended.delete(id);
    if (this.#ended.size >= MOST) {
      const { value: oldest } = this.#ended.keys().next();
      if (oldest !== undefined) this.#ended.delete(oldest);
    }
    this.#ended.set(id, { account, handled });
  }

  /** @param account who asks, prepared; to anybody else it is as unknown as one that never was */
  handled(id: string, account: string | undefined): number | undefined {
    const ended = this.#ended.get(id);
    return ended?.account === account ? ended?.handled : undefined;
  }
}
