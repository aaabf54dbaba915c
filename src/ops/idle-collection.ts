import { constants, type NodeGCPerformanceDetail, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { TrafficWatch } from './traffic-watch.js';

const EVERY_MS = 1_000;
/** Bytes in a second below which it is quiet: some 200 small stanzas. Logins are far above. */
const QUIET_BYTES = 64 * 1024;
const QUIET_SECONDS = 3;
/** Growth that is worth it: of this many bytes and of this part of what there was. */
const GROWTH_BYTES = 8 * 1024 * 1024;
const GROWTH_PART = 1 / 4;
/** From one to the next; twice as much each time, up to the most: what comes and goes in bursts is not to be made room for anew each time. */
const SECONDS_BETWEEN = 20;
const MOST_SECONDS_BETWEEN = 640;
/** V8 gives back eight seconds after it has looked. */
const SPARING_SECONDS = 12;

/** The part of V8 that is needed here; another one in tests. */
export interface Heap {
  /** Bytes taken by objects, dead ones among them. */
  used(): number;
  /** Begins to look for dead objects, bit by bit beside the work. */
  collect(): void;
  /** Whether memory matters more than speed. */
  spares(memory: boolean): void;
}

/**
 * V8 looks through its old generation when that has grown by a half, and some seconds later, when nothing happens, gives back to the system what it
 * does not need. Thousands of logins leave their garbage just below that half and nothing begins: until the next logins, may be for days, a session takes
 * half as much again as it needs. So when it has become quiet after growth, V8 is made to begin. Some seconds later it gives back only if little has
 * been made since long before, or if it is told that memory matters.
 */
export class IdleCollection extends TrafficWatch {
  #quiet = 0;
  /** The smallest that the heap has been since the last time; nothing before the first: what was needed to start is garbage. */
  #least = 0;
  #since = SECONDS_BETWEEN;
  #between = SECONDS_BETWEEN;
  #spares = false;

  constructor(
    bytes: () => number,
    private readonly heap: Heap = new V8Heap(),
  ) {
    super(bytes, EVERY_MS);
  }

  protected override received(bytes: number): void {
    this.#quiet = bytes < QUIET_BYTES ? this.#quiet + 1 : 0;
    this.#since += 1;
    const used = this.heap.used();
    this.#least = Math.min(this.#least, used);
    if (this.#quiet === 0 || this.#since >= SPARING_SECONDS) this.#spare(false);
    if (this.#quiet < QUIET_SECONDS || this.#since < this.#between) return;
    if (used - this.#least < Math.max(GROWTH_BYTES, this.#least * GROWTH_PART)) return;
    if (this.#least > 0) this.#between = Math.min(2 * this.#between, MOST_SECONDS_BETWEEN);
    this.#since = 0;
    this.#least = used;
    this.heap.collect();
    this.#spare(true);
  }

  #spare(memory: boolean): void {
    if (memory === this.#spares) return;
    this.#spares = memory;
    this.heap.spares(memory);
  }
}

const PATIENCE_MS = 1_000;
const STEP_MS = 50;
/** Some 4 MB in a step: V8 looks at its limits when the young generation (1 to 16 MB) is full. In pieces, so that none of it grows old. */
const PIECES = 100;
const PIECE_OBJECTS = 1_000;

export class V8Heap implements Heap {
  #stop: (() => void) | undefined;

  used(): number {
    return getHeapStatistics().used_heap_size;
  }

  spares(memory: boolean): void {
    setFlagsFromString(memory ? '--optimize-for-size' : '--no-optimize-for-size');
  }

  /** Over within a second: if V8 does not begin by then, it has just looked. `gc()` would stop the process for as long as it takes, 70 ms at 50 MB. */
  collect(): void {
    if (this.#stop !== undefined) return;
    const began = performance.now();
    const observer = new PerformanceObserver((list) => {
      if (list.getEntries().some(isMajor)) this.#stop?.();
    });
    const steps = setInterval(() => {
      if (performance.now() - began > PATIENCE_MS) this.#stop?.();
      else for (let piece = 0; piece < PIECES; piece += 1) litter();
    }, STEP_MS);
    steps.unref();
    this.#stop = () => {
      this.#stop = undefined;
      clearInterval(steps);
      observer.disconnect();
      setFlagsFromString('--incremental-marking-hard-trigger=0');
    };
    observer.observe({ entryTypes: ['gc'] });
    // Begin when more than a hundredth of the way to the limit is gone, and not at its end.
    setFlagsFromString('--incremental-marking-hard-trigger=1');
  }
}

function litter(): object[] {
  return Array.from({ length: PIECE_OBJECTS }, (_, index) => ({ index }));
}

/** @param entry of the type `gc`, which has the detail that its declaration lacks */
function isMajor(entry: object): boolean {
  return (entry as { detail?: NodeGCPerformanceDetail }).detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
}
