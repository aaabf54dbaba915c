import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Paced, Pacer } from '../../../../src/features/presence-annotations/pacer.js';

const TICK = 250;
const TURN = 20;

/** Somebody who has so many stanzas to send, on a clock that goes four times a second. */
class Sender implements Paced {
  wokenFor = Number.POSITIVE_INFINITY;
  sentAt: number[] = [];
  turns = 0;

  constructor(
    private readonly pacer: Pacer,
    public left: number,
  ) {}

  turnComes(time: number): void {
    this.wokenFor = time;
  }

  /** @returns how many it has sent */
  tick(now: number): number {
    if (this.wokenFor > now) return 0;
    this.wokenFor = Number.POSITIVE_INFINITY;
    const may = this.pacer.turn(this, TURN, now);
    if (may === 0) return 0;
    const sent = Math.min(may, this.left);
    this.left -= sent;
    this.turns += 1;
    for (let n = 0; n < sent; n += 1) this.sentAt.push(now);
    this.pacer.over(this, sent, now);
    if (this.left > 0) this.pacer.wait(this, now);
    return sent;
  }
}

/** @returns how many were sent in each tick, until nobody has anything left */
function play(perSecond: number, needs: readonly number[], pauses: readonly number[] = []) {
  const pacer = new Pacer(perSecond);
  const senders = needs.map((left) => new Sender(pacer, left));
  for (const sender of senders) pacer.wait(sender, 0);
  const ticks: number[] = [];
  for (let now = 0; senders.some(({ left, turns }) => left > 0 || turns === 0); ) {
    expect(ticks.length).toBeLessThan(100_000);
    // As the clock has them: those who were placed last come first.
    ticks.push(senders.reduceRight((sum, sender) => sum + sender.tick(now), 0));
    now += TICK * (1 + (pauses[ticks.length % Math.max(1, pauses.length)] ?? 0));
  }
  return { ticks, senders };
}

describe('the pace of what many have to send', () => {
  it('lets nobody wait who is alone', () => {
    expect(play(400, [5]).ticks).toEqual([5]);
    expect(play(400, [45]).ticks).toEqual([20, 20, 5]);
  });

  it('all together are no faster than agreed, and no slower', () => {
    const { ticks } = play(400, Array(1_000).fill(20));
    expect(Math.max(...ticks)).toBe(100);
    expect(ticks.length).toBe(200);
  });

  it('nor when each has little', () => {
    const { ticks } = play(400, Array(1_000).fill(1));
    expect(ticks).toEqual(Array(10).fill(100));
  });

  it('who has nothing to send after all takes nothing: it was a thousand seconds otherwise', () => {
    const { ticks, senders } = play(1, [...Array(1_000).fill(0), 1]);
    expect(senders.at(-1)?.sentAt).toHaveLength(1);
    expect(ticks.length).toBeLessThanOrEqual(1_001);
    expect(play(400, [...Array(1_000).fill(0), 1]).ticks.length).toBeLessThanOrEqual(11);
  });

  it('after a standstill it does not make up for it', () => {
    const { ticks } = play(400, Array(100).fill(20), [0, 40]);
    expect(Math.max(...ticks)).toBe(100);
  });

  it('first come, first served, by groups', () => {
    const { senders } = play(400, Array(300).fill(20));
    const last = (from: number, to: number) =>
      Math.max(...senders.slice(from, to).flatMap(({ sentAt }) => sentAt));
    const first = (from: number, to: number) =>
      Math.min(...senders.slice(from, to).flatMap(({ sentAt }) => sentAt));
    expect(last(0, 100)).toBeLessThanOrEqual(first(100, 200));
    expect(last(100, 200)).toBeLessThanOrEqual(first(200, 300));
  });

  it('one that leaves is not waited for', () => {
    const pacer = new Pacer(4);
    const [gone, other] = [new Sender(pacer, 1), new Sender(pacer, 1)];
    pacer.wait(gone, 0);
    pacer.wait(other, 0);
    expect([gone.wokenFor, other.wokenFor]).toEqual([0, Number.POSITIVE_INFINITY]);
    pacer.leave(gone, 0);
    expect(other.tick(TICK)).toBe(1);
    expect(gone.tick(TICK)).toBe(0);
  });

  it('whatever they have: everybody sends all, none of it too fast', () => {
    const needs = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 150 });
    const pauses = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_000 }), needs, pauses, (perSecond, all, waits) => {
        const { ticks, senders } = play(perSecond, all, waits);
        const most = Math.max(1, perSecond / 4);
        expect(Math.max(...ticks)).toBeLessThanOrEqual(most);
        senders.forEach(({ sentAt }, n) => {
          expect(sentAt).toHaveLength(all[n] ?? 0);
        });
      }),
      { numRuns: 60 },
    );
  });
});
