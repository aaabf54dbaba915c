/** Looks now and then at how much has come in. */
export abstract class TrafficWatch {
  #before = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param bytes all that has ever been received
   * @param everyMs how often it looks
   */
  constructor(
    private readonly bytes: () => number,
    private readonly everyMs: number,
  ) {}

  start(): void {
    this.#timer = setInterval(() => this.look(), this.everyMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** To be called when it is time. */
  look(): void {
    const bytes = this.bytes();
    this.received(bytes - this.#before);
    this.#before = bytes;
  }

  /** @param bytes since it looked last */
  protected abstract received(bytes: number): void;
}
