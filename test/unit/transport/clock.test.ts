import { describe, expect, it } from 'vitest';
import { Clock, Sleeper, TICK_MS } from '../../../src/transport/clock.js';

class Recorder extends Sleeper {
  readonly woken: number[] = [];
  again: number | undefined;

  constructor(readonly clock: Clock) {
    super();
  }

  override wake(now: number): void {
    this.woken.push(now);
    if (this.again !== undefined) this.clock.wakeAt(this, this.again);
  }
}

function setUp() {
  let time = 10_000;
  const clock = new Clock(() => time);
  const advanceTo = (to: number, step = TICK_MS) => {
    while (time < to) {
      time = Math.min(to, time + step);
      clock.advance();
    }
  };
  return { clock, sleeper: new Recorder(clock), advanceTo };
}

describe('the shared clock', () => {
  it('wakes at the time asked for or one tick later, never before, and once', () => {
    const { clock, sleeper, advanceTo } = setUp();
    clock.wakeAt(sleeper, 12_345);
    advanceTo(12_344);
    expect(sleeper.woken).toEqual([]);
    advanceTo(20_000);
    expect(sleeper.woken).toHaveLength(1);
    expect(sleeper.woken[0]).toBeGreaterThanOrEqual(12_345);
    expect(sleeper.woken[0]).toBeLessThanOrEqual(12_345 + 2 * TICK_MS);
  });

  it('replaces a wish by a later one without waking in between', () => {
    const { clock, sleeper, advanceTo } = setUp();
    clock.wakeAt(sleeper, 11_000);
    clock.wakeAt(sleeper, 15_000);
    advanceTo(14_900);
    expect(sleeper.woken).toEqual([]);
    advanceTo(15_500);
    expect(sleeper.woken).toHaveLength(1);
  });

  it('replaces a wish by an earlier one', () => {
    const { clock, sleeper, advanceTo } = setUp();
    clock.wakeAt(sleeper, 60_000);
    clock.wakeAt(sleeper, 11_000);
    advanceTo(11_500);
    expect(sleeper.woken).toHaveLength(1);
    advanceTo(70_000);
    expect(sleeper.woken).toHaveLength(1);
  });

  it('cancels', () => {
    const { clock, sleeper, advanceTo } = setUp();
    clock.wakeAt(sleeper, 11_000);
    clock.wakeAt(sleeper, Number.POSITIVE_INFINITY);
    advanceTo(20_000);
    expect(sleeper.woken).toEqual([]);
    expect(sleeper.placedTick).toBe(-1);
  });

  it('holds wishes beyond one turn of its wheel', () => {
    const { clock, sleeper, advanceTo } = setUp();
    clock.wakeAt(sleeper, 10_000 + 600_000);
    advanceTo(609_000);
    expect(sleeper.woken).toEqual([]);
    advanceTo(611_000);
    expect(sleeper.woken).toHaveLength(1);
  });

  it('wakes again who asks from inside wake, also for a time that has passed', () => {
    const { clock, sleeper, advanceTo } = setUp();
    sleeper.again = 0;
    clock.wakeAt(sleeper, 10_500);
    advanceTo(12_000);
    expect(sleeper.woken.length).toBeGreaterThan(3);
    expect(new Set(sleeper.woken).size).toBe(sleeper.woken.length);
  });

  it('reaches everybody after the process was stopped for long', () => {
    const { clock, advanceTo } = setUp();
    const sleepers = Array.from({ length: 1_000 }, () => new Recorder(clock));
    for (const [index, sleeper] of sleepers.entries()) clock.wakeAt(sleeper, 10_000 + index * 300);
    advanceTo(1_000_000, 1_000_000);
    expect(sleepers.every(({ woken }) => woken.length === 1)).toBe(true);
  });

  it('survives that one sleeper cancels another of the same slot', () => {
    const { clock, advanceTo } = setUp();
    const victim = new Recorder(clock);
    class Canceller extends Sleeper {
      override wake(): void {
        clock.wakeAt(victim, Number.POSITIVE_INFINITY);
      }
    }
    clock.wakeAt(victim, 11_000);
    clock.wakeAt(new Canceller(), 11_000);
    advanceTo(12_000);
    expect(victim.woken).toEqual([]);
  });
});
