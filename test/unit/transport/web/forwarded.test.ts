import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { readForwarded } from '../../../../src/transport/web/forwarded.js';

const trusted = new BlockList();
trusted.addSubnet('10.0.0.0', 8, 'ipv4');
trusted.addSubnet('2001:db8:f::', 48, 'ipv6');

const read = (headers: Record<string, string>) => readForwarded(headers, trusted);

describe('what a trusted front end says of the client', () => {
  it.each([
    ['one address', '192.0.2.1', '192.0.2.1'],
    ['the last that is not trusted', '198.51.100.9, 192.0.2.1, 10.0.0.1, 10.2.3.4', '192.0.2.1'],
    ['what a client has put in front is not believed', '127.0.0.1, 192.0.2.1', '192.0.2.1'],
    ['only trusted ones: the first of the chain', '10.9.9.9, 10.0.0.1', '10.9.9.9'],
    ['a port is no part of it', '192.0.2.1:4711', '192.0.2.1'],
    ['IPv6', '2001:db8::1, 2001:db8:f::5', '2001:db8::1'],
    ['IPv6 in brackets', '[2001:db8::1]:4711', '2001:db8::1'],
    ['nonsense ends the chain', '192.0.2.7, unknown, 10.0.0.1', '10.0.0.1'],
    ['nothing but nonsense', 'x', undefined],
    ['a chain without an end', Array.from({ length: 5_000 }, () => '10.0.0.1').join(','), '10.0.0.1'],
  ])('X-Forwarded-For: %s', (_what, header, address) => {
    expect(read({ 'x-forwarded-for': header })?.address).toBe(address);
  });

  it('X-Forwarded-Proto: TLS is only what was TLS all the way', () => {
    expect(read({ 'x-forwarded-proto': 'https' })?.secure).toBe(true);
    expect(read({ 'x-forwarded-proto': 'wss' })?.secure).toBe(true);
    expect(read({ 'x-forwarded-proto': 'http' })?.secure).toBe(false);
    expect(read({ 'x-forwarded-proto': 'https, http' })?.secure).toBe(false);
    expect(read({ 'x-forwarded-for': '192.0.2.1' })?.secure).toBeUndefined();
  });

  it('Forwarded (RFC 7239): addresses, protocol and host', () => {
    expect(
      read({ forwarded: 'for=192.0.2.60;proto=https;host="chat.example.org", For="[2001:db8:f::1]:80"' }),
    ).toEqual({ address: '192.0.2.60', secure: true, host: 'chat.example.org' });
    expect(read({ forwarded: 'for="_hidden"' })?.address).toBeUndefined();
  });

  it('both forms at once: one is the client’s own, and nothing is believed', () => {
    expect(read({ forwarded: 'for=192.0.2.1', 'x-forwarded-for': '192.0.2.2' })).toBeUndefined();
    expect(read({ forwarded: 'for=192.0.2.1', 'x-forwarded-proto': 'https' })).toBeUndefined();
  });

  it('nothing said is nothing known', () => {
    expect(read({})).toEqual({ address: undefined, secure: undefined, host: undefined });
  });
});
