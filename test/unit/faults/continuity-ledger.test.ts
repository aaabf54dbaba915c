import { describe, expect, it, vi } from 'vitest';
import { Ledger } from '../../faults/continuity/ledger.js';

/** A book in which romeo.one has written `count` messages to juliet.two, all acknowledged. */
function acknowledged(count: number): Ledger {
  const ledger = new Ledger();
  for (let number = 1; number <= count; number += 1) {
    write(ledger, number);
    ledger.acknowledged(`m${number}`);
  }
  return ledger;
}

function write(ledger: Ledger, number: number): void {
  const address = { from: 'romeo.one', to: 'juliet.two', audiences: ['juliet'] };
  ledger.write({ id: `m${number}`, sequence: 'one', number, kind: 'to a resource', ...address });
}

let ordinal = 0;
function arrive(ledger: Ledger, number: number, device = 'juliet.two', session = 1): number {
  ordinal += 1;
  ledger.arrived(`m${number}`, { device, audience: 'juliet', session, ordinal });
  return ordinal;
}

const wrongs = (ledger: Ledger) => ledger.verdict().anomalies.map(({ wrong, id }) => `${wrong} ${id}`);

describe('the judge of the continuity test', () => {
  it('has nothing to say where everything came once and in order', () => {
    const ledger = acknowledged(3);
    for (const number of [1, 2, 3]) arrive(ledger, number);
    expect(wrongs(ledger)).toEqual([]);
    expect(ledger.missing()).toEqual([]);
  });

  it('sees a loss', () => {
    const ledger = acknowledged(3);
    for (const number of [1, 3]) arrive(ledger, number);
    expect(ledger.missing()).toEqual([{ id: 'm2', audience: 'juliet' }]);
    expect(wrongs(ledger)).toEqual(['lost m2']);
  });

  it('knows of what is lost whether the server has kept it to itself', () => {
    const ledger = acknowledged(2);
    ledger.serverKeeps = (id, audience) => id === 'm2' && audience === 'juliet';
    expect(ledger.verdict().anomalies.map(({ id, unsent }) => [id, unsent])).toEqual([
      ['m1', false],
      ['m2', true],
    ]);
  });

  it('sees a duplicate', () => {
    const ledger = acknowledged(2);
    for (const number of [1, 2, 2]) arrive(ledger, number);
    expect(wrongs(ledger)).toEqual(['duplicated m2']);
  });

  it('sees a duplicate on the other device of the account', () => {
    const ledger = acknowledged(1);
    arrive(ledger, 1);
    arrive(ledger, 1, 'juliet.one');
    expect(wrongs(ledger)).toEqual(['duplicated m1']);
  });

  it('knows what is behind something that came early because the server has sent it there', () => {
    const ledger = acknowledged(5);
    ledger.serverSentBefore = (earlier, later) => earlier !== 'm3' || later === 'm1';
    for (const [number, early] of [
      [3, true],
      [1, true],
      [2, false],
      [5, false],
      [4, false],
    ] as const)
      ledger.arrived(`m${number}`, {
        ...{ device: 'juliet.two', audience: 'juliet', session: 1, ordinal: number },
        early,
      });
    const seen = ledger.verdict().anomalies.map(({ id, behindEarly }) => [id, behindEarly]);
    expect(seen).toEqual([
      ['m1', true],
      ['m2', false],
      ['m4', false],
    ]);
  });

  it('sees two that have changed places', () => {
    const ledger = acknowledged(3);
    for (const number of [1, 3, 2]) arrive(ledger, number);
    expect(wrongs(ledger)).toEqual(['disordered m2']);
  });

  it('takes what was sent again for sent at that place too, and at no earlier one', () => {
    const ledger = acknowledged(4);
    ledger.sentAgain('m1');
    ledger.sentAgain('m2');
    for (const number of [3, 1, 2]) arrive(ledger, number);
    expect(wrongs(ledger)).toEqual(['lost m4']);
    // The fourth was sent once, and before that.
    arrive(ledger, 4);
    expect(wrongs(ledger)).toEqual(['disordered m4']);
  });

  it('sees a copy that has come before what was sent ahead of it', () => {
    const ledger = acknowledged(2);
    ledger.sentAgain('m1');
    for (const number of [2, 1]) arrive(ledger, number);
    write(ledger, 3);
    write(ledger, 4);
    for (const number of [4, 3]) arrive(ledger, number);
    expect(wrongs(ledger)).toEqual(['disordered m3']);
  });

  it('where all devices hear it: once on each, in order on each, and not lost as long as one has', () => {
    const ledger = new Ledger();
    for (const number of [1, 2, 3]) {
      const address = { from: 'romeo.one', audiences: ['juliet'], everywhere: true };
      ledger.write({ id: `m${number}`, sequence: 'one', number, kind: 'to a resource', ...address });
      ledger.acknowledged(`m${number}`);
    }
    for (const number of [1, 2]) arrive(ledger, number);
    for (const number of [2, 1, 1]) arrive(ledger, number, 'juliet.one');
    expect(wrongs(ledger)).toEqual(['duplicated m1', 'lost m3', 'disordered m1']);
  });

  it('counts as lost only what the sender saw acknowledged', () => {
    const ledger = acknowledged(1);
    write(ledger, 2);
    arrive(ledger, 1);
    expect(wrongs(ledger)).toEqual([]);
  });

  it('tells apart what was lost and what its sender got back', () => {
    const ledger = acknowledged(2);
    ledger.returned('m1', 'recipient-unavailable');
    expect(wrongs(ledger)).toEqual(['returned m1', 'lost m2']);
    arrive(ledger, 1);
    expect(wrongs(ledger)).toEqual(['lost m2']);
    expect(ledger.verdict().falseAlarms).toBe(1);
  });

  it('takes one more copy for each time that the sender sent it again', () => {
    const ledger = acknowledged(1);
    ledger.sentAgain('m1');
    for (const number of [1, 1]) arrive(ledger, number);
    expect(wrongs(ledger)).toEqual([]);
    expect(ledger.verdict().excused.sentAgain).toBe(1);
    arrive(ledger, 1);
    expect(wrongs(ledger)).toEqual(['duplicated m1']);
  });

  it('takes a copy in a later session where the reader’s acknowledgement may have been lost, and only there', () => {
    const ledger = acknowledged(2);
    const certain = arrive(ledger, 1);
    arrive(ledger, 2);
    ledger.sessionEnded('juliet.two', 1, certain);
    for (const number of [1, 2]) arrive(ledger, number, 'juliet.two', 2);
    expect(wrongs(ledger)).toEqual(['duplicated m1']);
    expect(ledger.verdict().excused.uncertain).toBe(1);
  });

  it('takes no copy in the same session, however little of it was acknowledged', () => {
    const ledger = acknowledged(1);
    arrive(ledger, 1);
    arrive(ledger, 1);
    ledger.sessionEnded('juliet.two', 1, 0);
    expect(wrongs(ledger)).toEqual(['duplicated m1']);
  });

  it('wants what is said in a room at everybody, and takes copies from history only', () => {
    const ledger = new Ledger();
    const audiences = ['juliet.one', 'juliet.two'];
    ledger.write({
      id: 'r1',
      sequence: 'room',
      number: 1,
      kind: 'in the room',
      from: 'romeo.one',
      audiences,
    });
    ledger.acknowledged('r1');
    const heard = (device: string, history = false) =>
      ledger.arrived('r1', { device, audience: device, session: 1, ordinal: 1, history });
    heard('juliet.one');
    heard('juliet.one', true);
    expect(wrongs(ledger)).toEqual(['lost r1']);
    heard('juliet.two', true);
    expect(wrongs(ledger)).toEqual([]);
    heard('juliet.two');
    expect(wrongs(ledger)).toEqual(['duplicated r1']);
  });

  it('judges order in one stream, not between two sessions', () => {
    const ledger = acknowledged(4);
    for (const number of [2, 4]) arrive(ledger, number);
    for (const number of [3, 1]) arrive(ledger, number, 'juliet.two', 2);
    expect(wrongs(ledger)).toEqual(['disordered m1']);
  });

  it('takes what had come as history once more where a session was not resumed, and only there', () => {
    const ledger = new Ledger();
    const address = { from: 'romeo.one', audiences: ['juliet.one'] };
    ledger.write({ id: 'r1', sequence: 'room', number: 1, kind: 'in the room', ...address });
    ledger.acknowledged('r1');
    const heard = (history: boolean) =>
      ledger.arrived('r1', { device: 'juliet.one', audience: 'juliet.one', session: 1, ordinal: 1, history });
    heard(true);
    heard(false);
    expect(wrongs(ledger)).toEqual(['duplicated r1']);
    ledger.happened('broken off', 'juliet.one', 0);
    expect(wrongs(ledger)).toEqual([]);
    heard(false);
    expect(wrongs(ledger)).toEqual(['duplicated r1']);
  });

  it('sees what comes out on the wrong device while the right one is there', () => {
    const ledger = acknowledged(1);
    arrive(ledger, 1, 'juliet.one');
    expect(wrongs(ledger)).toEqual(['strayed m1']);
    ledger.touched('juliet.two');
    expect(wrongs(ledger)).toEqual([]);
  });

  it('puts a loss down to what happened behind it to sessions that were there when it was written', () => {
    vi.useFakeTimers();
    const ledger = new Ledger();
    const begun = Date.now();
    ledger.happened('broken off', 'juliet.one', begun);
    vi.advanceTimersByTime(1_000);
    write(ledger, 1);
    ledger.acknowledged('m1');
    ledger.happened('leg lost', 'juliet.one', begun);
    ledger.happened('session over', 'juliet.two', Date.now() + 1);
    vi.advanceTimersByTime(11_000);
    ledger.happened('session over', 'romeo.one', begun);
    expect(ledger.verdict().anomalies).toMatchObject([{ wrong: 'lost', reader: ['leg lost'], sender: [] }]);
    ledger.happened('broken off', 'juliet.two', begun);
    // An error may have been on its way when the sender went.
    expect(ledger.verdict().anomalies).toMatchObject([
      { wrong: 'lost', reader: ['broken off', 'leg lost'], sender: ['session over'] },
    ]);
    vi.useRealTimers();
  });

  it('takes one copy for each that was left open, however often the sender sent it again', () => {
    const ledger = acknowledged(1);
    ledger.sentAgain('m1');
    const certain = arrive(ledger, 1);
    arrive(ledger, 1);
    ledger.sessionEnded('juliet.two', 1, certain);
    arrive(ledger, 1, 'juliet.two', 2);
    expect(wrongs(ledger)).toEqual([]);
    arrive(ledger, 1, 'juliet.two', 2);
    expect(wrongs(ledger)).toEqual(['duplicated m1']);
  });
});
