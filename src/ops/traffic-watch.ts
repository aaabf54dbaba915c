const EVERY_MS = 1_000;

/** Looks once a second at how much has come in. */
export abstract class TrafficWatch {
  #before = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param bytes all that has ever been received */
  constructor(private readonly bytes: () => number) {}

  start(): void {
    this.#timer = setInterval(() => this.look(), EVERY_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** To be called once a second. */
  look(): void {
    const bytes = this.bytes();
    this.secondOver(bytes - this.#before);
    this.#before = bytes;
  }

  /** @param received bytes of the last second */
  protected abstract secondOver(received: number): void;
}
