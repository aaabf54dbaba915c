import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CONFIRMATION_TIME,
  FLAPPING_DOWNS,
  Link,
  STABLE_AFTER,
} from '../../../../src/features/presence-annotations/link.js';

const RULES = { probes: { every: 60_000, timeout: 10_000 } };
const NO_PROBES = { probes: undefined };
const EJABBERD = 300_000;

const down = (link: Link, now: number): void => {
  link.error(now, true, 0);
  link.probing();
  link.refused(now, 0);
};

describe('a link goes down', () => {
  it('when an error makes somebody ask, and the question is refused', () => {
    const link = new Link(RULES, 0);
    expect(link.nextProbe(true)).toBe(60_000);
    link.error(1_000, true, 0);
    expect(link.isDown).toBe(false);
    expect(link.nextProbe(false)).toBe(1_000);
    expect(link.probing().timeout).toBe(CONFIRMATION_TIME);
    link.refused(1_010, 0);
    expect(link.isDown).toBe(true);
  });

  it('when an error makes somebody ask, and nothing comes of it in a second', () => {
    const link = new Link(RULES, 0);
    link.error(1_000, true, 0);
    link.silent(link.probing(), 2_000);
    expect(link.isDown).toBe(true);
  });

  it('not by an error alone: anybody there could have sent it', () => {
    const link = new Link(RULES, 0);
    for (let n = 0; n < 10; n++) link.error(1_000 + n, true, 0);
    const probe = link.probing();
    link.alive(1_020, 'probe');
    link.silent(probe, 2_020);
    expect(link.isDown).toBe(false);
    // Nor does it make somebody ask again at once.
    link.error(1_030, true, 0);
    expect(link.nextProbe(true)).toBe(61_020);
  });

  it('12.15 s2s silence: when two probes in a row are not answered', () => {
    const link = new Link(RULES, 0);
    link.silent(link.probing(), 70_000);
    expect(link.isDown).toBe(false);
    expect(link.nextProbe(true)).toBe(70_000);
    const second = link.probing();
    expect(second.timeout).toBe(10_000);
    link.silent(second, 80_000);
    expect(link.isDown).toBe(true);
  });

  it('when an ordinary probe is refused', () => {
    const link = new Link(RULES, 0);
    link.probing();
    link.refused(60_100, 0);
    expect(link.isDown).toBe(true);
  });

  it('without probes: at the second error within a minute that nothing has come in between', () => {
    const link = new Link(NO_PROBES, 0);
    expect(link.nextProbe(true)).toBe(Number.POSITIVE_INFINITY);
    link.error(0, true, 0);
    link.error(61_000, true, 0);
    link.alive(62_000, 'stanza');
    link.error(63_000, true, 0);
    link.error(64_000, false, 0);
    expect(link.isDown).toBe(false);
    link.error(65_000, true, 0);
    expect(link.isDown).toBe(true);
  });
});

describe('a link comes up', () => {
  it.each(['stanza', 'probe'] as const)('with the first %s', (by) => {
    const link = new Link(RULES, 0);
    down(link, 1_000);
    link.alive(5_000, by);
    expect(link.isDown).toBe(false);
  });

  it('is asked for ever more rarely, up to once a minute', () => {
    const link = new Link(RULES, 0);
    down(link, 0);
    let now = 0;
    const waits = Array.from({ length: 8 }, () => {
      const wait = link.nextProbe(false) - now;
      now += wait;
      link.silent(link.probing(), now);
      return wait;
    });
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it('is not asked for while it is up and nobody is told of it', () => {
    expect(new Link(RULES, 0).nextProbe(false)).toBe(Number.POSITIVE_INFINITY);
  });

  it('asks again at once when who asked is gone', () => {
    const link = new Link(RULES, 0);
    const probe = link.probing();
    expect(link.nextProbe(true)).toBe(Number.POSITIVE_INFINITY);
    link.notProbed(probe, 5);
    expect(link.nextProbe(true)).toBe(5);
  });
});

describe('flapping is damped', () => {
  it('the third time within five minutes it has to work for half a minute', () => {
    const link = new Link(RULES, 0);
    let now = 0;
    for (let n = 1; n < FLAPPING_DOWNS; n++) {
      down(link, now);
      link.alive(now + 3_000, 'probe');
      expect(link.isDown).toBe(false);
      now += 10_000;
    }
    down(link, now);
    link.alive(now + 3_000, 'probe');
    expect(link.isDown).toBe(true);
    expect(link.nextChange).toBe(now + 3_000 + STABLE_AFTER);
    link.tick(now + 3_000 + STABLE_AFTER - 1);
    expect(link.isDown).toBe(true);
    link.tick(now + 3_000 + STABLE_AFTER);
    expect(link.isDown).toBe(false);
  });

  it('failing once more begins the half minute anew', () => {
    const link = new Link(RULES, 0);
    for (let n = 0; n < FLAPPING_DOWNS; n++) {
      down(link, n * 10_000);
      link.alive(n * 10_000 + 3_000, 'stanza');
    }
    link.probing();
    link.refused(40_000, 0);
    link.alive(45_000, 'probe');
    link.tick(23_000 + STABLE_AFTER);
    expect(link.isDown).toBe(true);
    link.tick(45_000 + STABLE_AFTER);
    expect(link.isDown).toBe(false);
  });

  it('three times in a day is no flapping', () => {
    const link = new Link(RULES, 0);
    for (let n = 0; n < 5; n++) {
      down(link, n * 3_600_000);
      link.alive(n * 3_600_000 + 3_000, 'probe');
      expect(link.isDown).toBe(false);
    }
  });
});

describe('12.15 ejabberd refuses for minutes after the other side is back', () => {
  it('which is no news once a stanza has come from there', () => {
    const link = new Link(RULES, 0);
    down(link, 0);
    link.alive(10_000, 'stanza');
    link.error(20_000, true, EJABBERD);
    link.probing();
    link.refused(30_000, EJABBERD);
    expect(link.isDown).toBe(false);
    link.probing();
    link.refused(10_000 + EJABBERD, EJABBERD);
    expect(link.isDown).toBe(true);
  });

  it('but is, when it has answered in between, or nothing comes at all', () => {
    const answered = new Link(RULES, 0);
    down(answered, 0);
    answered.alive(10_000, 'stanza');
    answered.alive(20_000, 'probe');
    answered.probing();
    answered.refused(30_000, EJABBERD);
    expect(answered.isDown).toBe(true);

    const silent = new Link(RULES, 0);
    down(silent, 0);
    silent.alive(10_000, 'stanza');
    silent.silent(silent.probing(), 30_000);
    silent.silent(silent.probing(), 40_000);
    expect(silent.isDown).toBe(true);
  });
});

it('never waits for nothing: whatever happens, a link that is watched is asked again, and comes up when it works', () => {
  const step = fc.record({
    wait: fc.nat(20_000),
    what: fc.constantFrom('error', 'refused', 'silent', 'alive', 'stanza', 'lost', 'busy', 'tick'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const link = new Link(RULES, 0);
      let now = 0;
      let probe = link.probing();
      let open = true;
      const ask = () => {
        if (open || link.nextProbe(true) > now) return;
        probe = link.probing();
        open = true;
      };
      for (const { wait, what } of steps) {
        now += wait;
        if (what === 'error') link.error(now, true, 0);
        else if (what === 'stanza') link.alive(now, 'stanza');
        else if (what === 'tick') link.tick(now);
        else if (open) {
          open = false;
          if (what === 'refused') link.refused(now, 0);
          else if (what === 'silent') link.silent(probe, now);
          else if (what === 'alive') link.alive(now, 'probe');
          else if (what === 'lost') link.notProbed(probe, now);
          else link.undecided(probe, now);
        }
        ask();
      }
      if (open) link.silent(probe, now);
      expect(link.nextProbe(true)).toBeLessThanOrEqual(now + 60_000);
      for (let n = 0; n < 10; n++) {
        now = Math.max(now, link.nextProbe(true));
        link.probing();
        link.alive(now, 'probe');
        link.tick(now);
      }
      link.tick(now + STABLE_AFTER);
      expect(link.isDown).toBe(false);
    }),
  );
});
