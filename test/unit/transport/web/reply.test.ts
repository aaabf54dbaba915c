import { describe, expect, it } from 'vitest';
import { acceptedCodings } from '../../../../src/transport/web/bosh/codings.js';
import { wantedType } from '../../../../src/transport/web/bosh/reply.js';

describe('RFC 9110 §12.5.3: what a client takes', () => {
  it.each([
    [undefined, false, true],
    ['', false, true],
    ['gzip', true, true],
    ['gzip, deflate, br, zstd', true, true],
    ['GZIP ; Q=0.5', true, true],
    ['x-gzip', true, true],
    ['*', true, true],
    ['deflate, br', false, true],
    ['gzip;q=0', false, true],
    ['gzip; q=0.000', false, true],
    ['gzip;q=0, *', false, true],
    ['*, gzip;q=0', false, true],
    ['*;q=0', false, false],
    ['gzip, *;q=0', true, false],
    ['gzip, identity;q=0', true, false],
    ['gzip, *;q=0, identity', true, true],
    ['identity;q=0', false, false],
    ['identity, gzip;q=0.5', false, true],
    ['identity;q=0.5, gzip', true, true],
    ['gzip;q=nonsense', false, true],
    ['notgzip', false, true],
  ])('%s', (accepted, gzip, identity) => {
    expect(acceptedCodings(accepted)).toEqual({ gzip, identity });
  });
});

describe('XEP-0124 §7.1: what a client wants its answers to be called', () => {
  it.each([
    'text/xml; charset=utf-8',
    'text/xml;charset=UTF-8',
    'text/html',
    'application/x-www-form-urlencoded',
    'application/vnd.example+xml; version=1; charset="utf-8"',
    'text/plain; format="a b"',
  ])('%s', (content) => expect(wantedType(content)).toBe(content));

  it.each([
    '',
    'text',
    'text/',
    'text/xml; charset=iso-8859-1',
    'text/xml;charset="utf-16"; charset=utf-8',
    'text/html\r\nX: y',
    'text/html\nX: y',
    'text/html; a="\r\nX: y"',
    'text/html; a=b\u0000',
    'text/html, text/xml',
    `text/${'x'.repeat(100)}`,
    `text/xml${'; a=b'.repeat(20)}`,
  ])('but not what is none, or would be a lie: %s', (content) => expect(wantedType(content)).toBeUndefined());
});
