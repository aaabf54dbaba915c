import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressShapes,
  bare,
  domain,
  formatJid,
  isSameJid,
  parseJid,
  prepareJid,
  resource,
} from '../../src/jid.js';

describe('an address', () => {
  it.each([
    ['juliet@capulet.lit/balcony', 'juliet', 'capulet.lit', 'balcony'],
    ['juliet@capulet.lit', 'juliet', 'capulet.lit', undefined],
    ['capulet.lit', undefined, 'capulet.lit', undefined],
    ['capulet.lit/garden', undefined, 'capulet.lit', 'garden'],
    ['room@chat.lit/a/b@c', 'room', 'chat.lit', 'a/b@c'],
    ['chat.lit/a@b', undefined, 'chat.lit', 'a@b'],
    ['Juliet@Capulet.LIT/Balcony', 'juliet', 'capulet.lit', 'Balcony'],
    ['juliet@capulet.lit.', 'juliet', 'capulet.lit', undefined],
    ['ＪＵＬＩＥＴ@capulet.lit', 'juliet', 'capulet.lit', undefined],
    ['juliet@capulet。lit', 'juliet', 'capulet.lit', undefined],
    ['a@b/e\u0301', 'a', 'b', '\u00e9'],
    ['a@b/a\u00a0b', 'a', 'b', 'a b'],
    ['a@b/ﬁ', 'a', 'b', 'ﬁ'],
    ['Ünal@ÉXAMPLE.org', 'ünal', 'éxample.org', undefined],
    ['d\\27artagnan@[::1]:5222', 'd\\27artagnan', '[::1]:5222', undefined],
  ])('%j has its parts', (address, local, domainPart, resourcePart) => {
    expect(parseJid(address)).toEqual({ local, domain: domainPart, resource: resourcePart });
  });

  it.each([
    '',
    '@capulet.lit',
    'juliet@',
    'juliet@/balcony',
    '/balcony',
    'juliet@capulet.lit/',
    'a@b@c',
    'ju liet@capulet.lit',
    "o'neill@capulet.lit",
    'a@b c',
    'a@b..c',
    'a@.b',
    'a@b/x\ny',
    'a@b/\u0085',
    'a＠x@b',
    'a@b／c',
    '.',
    'a@b?',
  ])('%j is none', (address) => {
    expect(parseJid(address)).toBeUndefined();
    expect(prepareJid(address)).toBeUndefined();
    expect(isSameJid(address, address)).toBe(false);
  });

  it.each([
    ['local part', (part: string) => `${part}@capulet.lit`],
    ['domain', (part: string) => `a@${part}`],
    ['resource', (part: string) => `a@b/${part}`],
  ])('has at most 1023 bytes in its %s', (_, build) => {
    for (const letter of ['a', 'é', '日']) {
      const fitting = letter.repeat(Math.floor(1023 / Buffer.byteLength(letter)));
      expect(parseJid(build(fitting))).toBeDefined();
      expect(parseJid(build(`${fitting}${letter}`))).toBeUndefined();
    }
  });

  it('is cut into parts as it is written', () => {
    expect(bare('Room@Chat.lit/a/b')).toBe('Room@Chat.lit');
    expect(resource('Room@Chat.lit/a/b')).toBe('a/b');
    expect(resource('Room@Chat.lit')).toBeUndefined();
    expect(domain('Room@Chat.lit/a@b')).toBe('Chat.lit');
    expect(domain('Chat.lit/a@b')).toBe('Chat.lit');
  });
});

describe('comparison', () => {
  it('takes spellings of one address for the same, and no others', () => {
    expect(isSameJid('Juliet@CAPULET.lit/Balcony', 'juliet@capulet.lit/Balcony')).toBe(true);
    expect(isSameJid('juliet@capulet.lit/Balcony', 'juliet@capulet.lit/balcony')).toBe(false);
    expect(isSameJid('juliet@capulet.lit', 'juliet@capulet.lit/balcony')).toBe(false);
    expect(isSameJid('straße@a.lit', 'strasse@a.lit')).toBe(false);
  });

  it('prepares an address to itself, once and for all', () => {
    for (let code = 0x80; code < 0x11000; code++) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const c = String.fromCodePoint(code);
      for (const address of [`a${c}b@d`, `a@b${c}c`, `a@b/x${c}y`]) {
        const prepared = prepareJid(address);
        if (prepared !== undefined && prepareJid(prepared) !== prepared) {
          expect.fail(
            `U+${code.toString(16)} in ${JSON.stringify(address)} is not prepared once and for all`,
          );
        }
      }
    }
  });

  it.each(['a..', 'u@a..', 'A。。', 'a.../x'])(
    'does not take the second dot at the end of a domain off: %s',
    (address) => {
      expect(parseJid(address)).toBeUndefined();
      expect(prepareJid(address)).toBeUndefined();
    },
  );

  it('agrees with itself about any text', () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.constantFrom('@', '/', '.', 'A', 'a', 'É', '日', ' '),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const address = pieces.join('');
        const jid = parseJid(address);
        const prepared = prepareJid(address);
        expect(prepared).toBe(jid === undefined ? undefined : formatJid(jid));
        if (prepared === undefined) return;
        expect(parseJid(prepared)).toEqual(jid);
        expect(isSameJid(address, prepared)).toBe(true);
        expect(bare(prepared)).toBe(formatJid({ ...jid!, resource: undefined }));
        expect(resource(prepared)).toBe(jid!.resource);
        expect(domain(prepared)).toBe(jid!.domain);
      }),
    );
  });

  it('is linear: hostile addresses cost no more than their length', () => {
    const hostile = ['@', '/', 'é', '\u0301\u0323', 'ﷺ', '.', '。'].flatMap((c) => [
      c.repeat(200_000),
      `a@b/${c.repeat(1_000)}`,
      `${c.repeat(1_000)}@b`,
    ]);
    const start = process.hrtime.bigint();
    for (const address of hostile) for (let i = 0; i < 20; i++) prepareJid(address);
    expect(Number(process.hrtime.bigint() - start) / 1e6).toBeLessThan(1_000);
  });
});

describe('the shape of an address', () => {
  const shapeOf = addressShapes({ bare: 'juliet@capulet.lit' });

  it.each([
    [undefined, 'account'],
    ['juliet@capulet.lit', 'account'],
    ['JULIET@capulet.lit', 'account'],
    ['juliet@capulet.lit/balcony', 'own-full'],
    ['Juliet@Capulet.lit/Balcony', 'own-full'],
    ['juliet@capulet.lit/日本', 'own-full'],
    ['juliet@capulet.literature/balcony', 'full'],
    ['juliet@capulet.li', 'bare'],
    ['romeo@montague.lit', 'bare'],
    ['romeo@montague.lit/orchard', 'full'],
    ['Romeo@montague.lit/Orchard', 'full'],
    ['capulet.lit', 'domain'],
    ['Capulet.lit', 'domain'],
    ['capulet.lit/resource', 'full'],
    ['', undefined],
    ['juliet@capulet.lit/', undefined],
    ['a@b@c', undefined],
  ])('%j is %s', (address, shape) => {
    expect(shapeOf(address)).toBe(shape);
  });

  it('is the same when the server told the own address in another spelling', () => {
    const shape = addressShapes({ bare: 'JULIET@CAPULET.lit' });
    expect(shape('JULIET@CAPULET.lit')).toBe('account');
    expect(shape('juliet@capulet.lit')).toBe('account');
    expect(shape('juliet@capulet.lit/x')).toBe('own-full');
    expect(shape('JULIET@CAPULET.lit/x')).toBe('own-full');
  });
});
