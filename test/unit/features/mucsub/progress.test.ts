import { describe, expect, it } from 'vitest';
import { type Hearing, Progress } from '../../../../src/features/mucsub/progress.js';

const ROOM = 'coven@chat.shakespeare.lit';
const hearing = (account: string): Hearing => ({ room: ROOM, account });

describe('How far rooms have been heard', () => {
  it('is noted at once, then every tenth of a second for all sessions together, by one of them', () => {
    const [progress, one, other] = [new Progress(), {}, {}];
    expect(progress.made(hearing('a'), one, 1_000)).toBe(1_000);
    expect(progress.take(1_000)).toEqual([hearing('a')]);
    expect(progress.made(hearing('a'), one, 1_010)).toBe(1_100);
    expect(progress.made(hearing('b'), other, 1_020)).toBeUndefined();
    expect(progress.made(hearing('b'), other, 1_030)).toBeUndefined();
    expect(progress.isKeptBy(other)).toBe(false);
    expect(progress.take(1_100)).toEqual([hearing('a'), hearing('b')]);
    expect(progress.take(1_100)).toEqual([]);
    expect(progress.made(hearing('b'), other, 1_300)).toBe(1_300);
  });

  it('is noted by another session when the one that was to has ended without a word', () => {
    const [progress, one, other] = [new Progress(), {}, {}];
    progress.made(hearing('a'), one, 0);
    expect(progress.isKeptBy(one)).toBe(true);
    expect(progress.made(hearing('b'), other, 999)).toBeUndefined();
    expect(progress.made(hearing('b'), other, 1_000)).toBe(0);
    expect(progress.take(1_000)).toEqual([hearing('a'), hearing('b')]);
  });
});
