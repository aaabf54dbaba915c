import { describe, expect, test } from 'vitest';
import { parseJid } from '../../../../src/jid.js';
import { resourceFor } from '../../../../src/session/start/resource.js';

const AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770';
const source = { domain: 'example.org', from: 'a@example.org', tag: 'Phone', userAgent: AGENT };
let ids = 0;
const randomId = () => `random${++ids}-0123456789`;
const resource = (changed: Partial<typeof source> | { userAgent: undefined } | { tag: undefined } = {}) =>
  resourceFor({ ...source, ...changed }, randomId);

describe('XEP-0386 §4.2.1: tag and identifier', () => {
  test('the tag in front, then what tells devices apart; the same each time', () => {
    expect(resource()).toMatch(/^Phone\/[A-Za-z0-9]{10}$/);
    expect(resource()).toBe(resource());
  });

  test('another installation, another tag, another account: another resource', () => {
    const all = [
      resource(),
      resource({ userAgent: '00000000-0000-4000-8000-000000000000' }),
      resource({ tag: 'Tablet' }),
      resource({ from: 'b@example.org' }),
      resource({ domain: 'example.net' }),
    ];
    expect(new Set(all.map((each) => each.split('/')[1])).size).toBe(all.length);
  });

  test('without the id of an installation it is random', () => {
    expect(resource({ userAgent: undefined })).not.toBe(resource({ userAgent: undefined }));
  });

  test('without a tag there is the identifier alone', () => {
    expect(resource({ tag: undefined })).toMatch(/^[A-Za-z0-9]{10}$/);
  });

  test.each([
    ['too long', 'x'.repeat(129)],
    ['no part of an address', 'Ph\u0001one'],
  ])('a tag that is %s is left out', (_, tag) => {
    expect(resource({ tag })).toMatch(/^[A-Za-z0-9]{10}$/);
  });

  test.each(['Gajim & Co', "d'Artagnan", 'Телефон', 'a/b'])('a tag that is unusual: %s', (tag) => {
    const made = resource({ tag });
    expect(made.startsWith(`${tag}/`)).toBe(true);
    expect(parseJid(`a@example.org/${made}`)?.resource).toBe(made);
  });
});
