import { createHmac, timingSafeEqual } from 'node:crypto';
import { beforeEach, expect, test, vi } from 'vitest';
import { readTokenMessage, tokenRecord, tokenShown } from '../../../../src/session/start/token.js';

vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  return { ...crypto, timingSafeEqual: vi.fn(crypto.timingSafeEqual) };
});

const about = { mechanism: 'HT-SHA-256-NONE', account: 'a@example.org', hold: 'h', expires: 9 };
const record = { ...tokenRecord('newer', about, undefined), former: tokenRecord('older', about, undefined) };

const shows = (token: string) => {
  const proof = createHmac('sha256', token).update('Initiator').digest();
  const message = Buffer.concat([Buffer.from('a\0'), proof]).toString('base64');
  return tokenShown(record, readTokenMessage(message, 'example.org')!);
};

beforeEach(() => {
  vi.mocked(timingSafeEqual).mockClear();
});

test.each([
  ['newer', record.proof],
  ['older', record.former.proof],
  ['none of them', undefined],
])('a token is compared in constant time, with each that it could be: %s', (token, proof) => {
  expect(shows(token)?.proof).toBe(proof);
  const compared = vi
    .mocked(timingSafeEqual)
    .mock.calls.map(([, expected]) => (expected as Buffer).toString('hex'));
  expect(compared.sort()).toEqual([record.proof, record.former.proof].sort());
});

test('what is stored is told from what is shown by hashes of one length only', () => {
  for (const { proof } of [record, record.former]) expect(proof).toMatch(/^[0-9a-f]{64}$/);
});
