import { setFlagsFromString } from 'node:v8';
import { TrafficWatch } from './traffic-watch.js';

const EVERY_MS = 250;
/** Bytes in that time from which on making garbage costs more than keeping room for it: some 25,000 small stanzas a second. */
const BUSY_BYTES = 2 * 1024 * 1024;
/** At once to the largest: little survives of what passes, and step by step it takes V8 seconds. */
const GROWTH = 16;

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
    super(bytes, EVERY_MS);
  }

  override start(): void {
    this.#let(false);
    super.start();
  }

  protected override received(bytes: number): void {
    this.#let(bytes >= BUSY_BYTES);
  }

  #let(grow: boolean): void {
    if (grow === this.#grows) return;
    this.#grows = grow;
    this.setFlag(`--semi-space-growth-factor=${grow ? GROWTH : 1}`);
  }
}
