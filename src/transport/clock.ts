/** Width of one tick in ms: how late a wake-up may come. Protocol deadlines are seconds. */
export const TICK_MS = 250;

/** Slots of the wheel; a wake-up further away than 128 s is looked at again once per turn. */
const SLOTS = 512;

/**
 * Something that can be woken by the shared clock. The fields belong to the clock: an entry in its wheel costs no object of its
 * own, so that thousands of sessions with a deadline each mean one timer.
 */
export abstract class Sleeper {
  /** When it wants to be woken, ms on the clock; Infinity: not at all. */
  wakeTime = Number.POSITIVE_INFINITY;
  /** Tick whose slot holds it; -1: in none. Never later than `wakeTime`. */
  placedTick = -1;
  previousSleeper: Sleeper | undefined = undefined;
  nextSleeper: Sleeper | undefined = undefined;

  /** Called once per `wakeAt`, at or up to one tick after the time asked for. May ask again. */
  abstract wake(now: number): void;
}

/** One coarse monotonic clock and the wheel of everybody who waits for it. */
export class Clock {
  /** Milliseconds since the process started, as of the last tick. */
  now: number;
  #lastTick: number;
  #timer: NodeJS.Timeout | undefined;
  readonly #slots: (Sleeper | undefined)[] = new Array<Sleeper | undefined>(SLOTS).fill(undefined);
  readonly #source: () => number;

  /** @param source ms from a clock that never goes back; tests hand in their own and call `advance`. */
  constructor(source: () => number = () => performance.now()) {
    this.#source = source;
    this.now = Math.floor(source());
    this.#lastTick = Math.floor(this.now / TICK_MS);
  }

  /** Starts ticking. Does not keep the process alive. */
  start(): void {
    // What was done before the first connection, such as making a certificate, is not to be taken off its time.
    this.advance();
    this.#timer ??= setInterval(() => this.advance(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Replaces the sleeper's former wish. `time` in ms on this clock; a past time means the next tick; Infinity cancels. */
  wakeAt(sleeper: Sleeper, time: number): void {
    sleeper.wakeTime = time;
    if (time === Number.POSITIVE_INFINITY) {
      if (sleeper.placedTick >= 0) this.#remove(sleeper);
      return;
    }
    const tick = Math.ceil(time / TICK_MS);
    if (sleeper.placedTick >= 0) {
      // A deadline that moves away, as keepalives do with every stanza, costs nothing: its old slot looks again.
      if (sleeper.placedTick <= tick) return;
      this.#remove(sleeper);
    }
    this.#place(sleeper, tick);
  }

  /** Brings `now` up to date and wakes whoever is due. Called by the timer. */
  advance(): void {
    this.now = Math.floor(this.#source());
    const tick = Math.floor(this.now / TICK_MS);
    // After a long stall one turn of the wheel reaches everybody.
    let at = Math.max(this.#lastTick, tick - SLOTS);
    while (at < tick) {
      at += 1;
      this.#lastTick = at;
      this.#wakeSlot(at % SLOTS);
    }
  }

  #wakeSlot(slot: number): void {
    for (let sleeper = this.#slots[slot]; sleeper !== undefined; sleeper = this.#slots[slot]) {
      this.#remove(sleeper);
      if (sleeper.wakeTime <= this.now) {
        sleeper.wakeTime = Number.POSITIVE_INFINITY;
        sleeper.wake(this.now);
      } else {
        this.#place(sleeper, Math.ceil(sleeper.wakeTime / TICK_MS));
      }
    }
  }

  /** Never into the slot that is being emptied: that would not end. */
  #place(sleeper: Sleeper, wanted: number): void {
    const tick = Math.min(Math.max(wanted, this.#lastTick + 1), this.#lastTick + SLOTS - 1);
    const slot = tick % SLOTS;
    const head = this.#slots[slot];
    sleeper.placedTick = tick;
    sleeper.previousSleeper = undefined;
    sleeper.nextSleeper = head;
    if (head !== undefined) head.previousSleeper = sleeper;
    this.#slots[slot] = sleeper;
  }

  #remove(sleeper: Sleeper): void {
    const { previousSleeper, nextSleeper } = sleeper;
    if (previousSleeper === undefined) this.#slots[sleeper.placedTick % SLOTS] = nextSleeper;
    else previousSleeper.nextSleeper = nextSleeper;
    if (nextSleeper !== undefined) nextSleeper.previousSleeper = previousSleeper;
    sleeper.previousSleeper = undefined;
    sleeper.nextSleeper = undefined;
    sleeper.placedTick = -1;
  }
}
