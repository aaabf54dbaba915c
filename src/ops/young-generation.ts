import { setFlagsFromString } from 'node:v8';
import { TrafficWatch } from './traffic-watch.js';

/** Bytes in a second from which on making garbage costs more than keeping room for it: some 25,000 small stanzas. */
const BUSY_BYTES = 8 * 1024 * 1024;

/**
 * V8's young generation begins with 1 MB, grows to 16 as long as anything survives in it, and hardly ever shrinks. Thousands of idle sessions make
 * no garbage that needs so much: a third of what they cost would be this. With only 1 MB though a busy proxy collects so often that a stanza
 * costs half as much again. So it may grow, but only while there is traffic.
 */
export class YoungGeneration extends TrafficWatch {
  #grows = true;

  /** @param setFlag for tests */
  constructor(
    bytes: () => number,
    private readonly setFlag: (flag: string) => void = setFlagsFromString,
  ) {
    super(bytes);
  }

  override start(): void {
    this.#let(false);
    super.start();
  }

  protected override secondOver(received: number): void {
    this.#let(received >= BUSY_BYTES);
  }

  #let(grow: boolean): void {
    if (grow === this.#grows) return;
    this.#grows = grow;
    this.setFlag(`--semi-space-growth-factor=${grow ? 2 : 1}`);
  }
}
