import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { FrameReaders } from '../../../../src/transport/web/frame-reader.js';
import { frame } from '../../../integration/clients/web-frames.js';

function listener() {
  const heard: string[] = [];
  return {
    heard,
    message: (data: Buffer) => heard.push(`${data}`),
    pinged: (data: Buffer) => heard.push(`ping ${data}`),
    ponged: () => heard.push('pong'),
    concluded: (code: number) => heard.push(`close ${code}`),
  };
}

describe('one reader of frames for all clients that are silent', () => {
  const WHOLE = Buffer.concat([frame(0x81, '<a/>'), frame(0x89, 'x'), frame(0x8a, ''), frame(0x81, '<b/>')]);

  it('goes from one to the next when all has been read', () => {
    const readers = new FrameReaders();
    const first = readers.acquire(100);
    const [one, other] = [listener(), listener()];
    expect(first.take(Buffer.from(WHOLE), one)).toBeUndefined();
    expect(one.heard).toEqual(['<a/>', 'ping x', 'pong', '<b/>']);
    expect(first.isFresh).toBe(true);
    readers.release(first);
    const second = readers.acquire(3);
    expect(second).toBe(first);
    // With the limit of whom it is for.
    expect(second.take(frame(0x81, '<c/>'), other)?.[0]).toBe(1009);
    expect([one.heard.length, other.heard]).toEqual([4, []]);
  });

  it.each<[string, Buffer]>([
    ['a frame', frame(0x81, '<a/>').subarray(0, 8)],
    ['the head of a frame', frame(0x81, '<a/>').subarray(0, 1)],
    ['the length of a frame', frame(0x81, 'x'.repeat(300)).subarray(0, 3)],
    ['a mask', frame(0x81, '<a/>').subarray(0, 4)],
    ['what stands between head and mask', frame(0x81, '<a/>').subarray(0, 2)],
    ['what stands between head and length', frame(0x81, 'x'.repeat(300)).subarray(0, 2)],
    ['what stands between mask and text', frame(0x81, '<a/>').subarray(0, 6)],
    ['a message', frame(0x01, '<a/>')],
    ['a message of nothing yet', frame(0x01, '')],
    ['a message, behind a ping', Buffer.concat([frame(0x01, '<a'), frame(0x89, '')])],
    ['a fault', frame(0x81, '<a/>', false)],
    ['a last frame', frame(0x88, '')],
    ['a last frame, with a code', frame(0x88, Buffer.from([0x03, 0xe9]))],
  ])('but not in the middle of %s', (_what, bytes) => {
    const reader = new FrameReaders().acquire(1_000);
    reader.take(Buffer.concat([WHOLE, bytes]), listener());
    expect(reader.isFresh).toBe(false);
  });
});
