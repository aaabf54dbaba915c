import { describe, expect, it } from 'vitest';
import {
  buildProxyHeader,
  LONGEST_PROXY_HEADER,
  parseProxyHeader,
} from '../../../src/transport/proxy-protocol.js';

const V4 = {
  sourceAddress: '192.0.2.7',
  sourcePort: 54_321,
  targetAddress: '198.51.100.1',
  targetPort: 5222,
};
const V6 = { sourceAddress: '2001:db8::7', sourcePort: 1, targetAddress: 'fe80::1:2', targetPort: 65_535 };

function v2(command: number, family: number, body: Buffer): Buffer {
  const header = Buffer.from('0d0a0d0a000d0a515549540a00000000', 'hex');
  header[12] = command;
  header[13] = family;
  header.writeUInt16BE(body.length, 14);
  return Buffer.concat([header, body]);
}

describe('PROXY protocol', () => {
  for (const version of ['v1', 'v2'] as const) {
    for (const endpoints of [V4, V6]) {
      it(`reads the ${version} header that it writes, at every split, with data behind it`, () => {
        const header = buildProxyHeader(version, endpoints);
        for (let cut = 0; cut < header.length; cut += 1) {
          expect(parseProxyHeader(header.subarray(0, cut))).toEqual({ kind: 'incomplete' });
        }
        expect(parseProxyHeader(Buffer.concat([header, Buffer.from('<?xml')]))).toEqual({
          kind: 'header',
          length: header.length,
          endpoints,
        });
      });
    }
  }

  it('writes exactly what the specification shows', () => {
    expect(buildProxyHeader('v1', V4).toString()).toBe('PROXY TCP4 192.0.2.7 198.51.100.1 54321 5222\r\n');
    expect(buildProxyHeader('v2', V4).toString('hex')).toBe(
      '0d0a0d0a000d0a515549540a2111000cc0000207c6336401d4311466',
    );
  });

  it('writes one family when the socket is dual-stack', () => {
    const mapped = { ...V4, sourceAddress: '::ffff:192.0.2.7', targetAddress: '::ffff:198.51.100.1' };
    expect(buildProxyHeader('v1', mapped)).toEqual(buildProxyHeader('v1', V4));
    const mixed = { ...V4, targetAddress: '2001:db8::1' };
    expect(buildProxyHeader('v1', mixed).toString()).toContain('TCP6 ::ffff:192.0.2.7 2001:db8::1');
    expect(parseProxyHeader(buildProxyHeader('v2', mixed))).toMatchObject({
      endpoints: { sourceAddress: '::ffff:c000:207', targetAddress: '2001:db8::1' },
    });
  });

  it('leaves out zones of link-local addresses', () => {
    const zoned = { ...V6, targetAddress: 'fe80::1:2%eth0' };
    expect(buildProxyHeader('v2', zoned)).toEqual(buildProxyHeader('v2', V6));
  });

  it('takes LOCAL, UNKNOWN and families without use as "no addresses"', () => {
    expect(parseProxyHeader(Buffer.from('PROXY UNKNOWN\r\n'))).toMatchObject({
      length: 15,
      endpoints: undefined,
    });
    const chatty = Buffer.from('PROXY UNKNOWN ffff::1 whatever 1 2\r\n');
    expect(parseProxyHeader(chatty)).toMatchObject({ length: chatty.length, endpoints: undefined });
    expect(parseProxyHeader(v2(0x20, 0, Buffer.alloc(0)))).toMatchObject({
      length: 16,
      endpoints: undefined,
    });
    expect(parseProxyHeader(v2(0x21, 0x31, Buffer.alloc(216)))).toMatchObject({
      length: 232,
      endpoints: undefined,
    });
    expect(parseProxyHeader(buildProxyHeader('v1', undefined))).toMatchObject({ endpoints: undefined });
    expect(parseProxyHeader(buildProxyHeader('v2', undefined))).toMatchObject({ endpoints: undefined });
  });

  it('skips TLVs', () => {
    const addresses = buildProxyHeader('v2', V4).subarray(16);
    const withTlv = v2(0x21, 0x11, Buffer.concat([addresses, Buffer.from('0300041234567820000a', 'hex')]));
    expect(parseProxyHeader(withTlv)).toEqual({ kind: 'header', length: withTlv.length, endpoints: V4 });
  });

  const invalid: readonly (readonly [string, Buffer])[] = [
    ['a stream header', Buffer.from("<?xml version='1.0'?>")],
    ['a TLS ClientHello', Buffer.from('1603010200', 'hex')],
    ['an unknown protocol', Buffer.from('PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n')],
    ['IPv4 that is IPv6', Buffer.from('PROXY TCP4 ::1 ::1 1 1\r\n')],
    ['a missing port', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n')],
    ['one field more', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n')],
    ['a port out of range', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n')],
    ['a port with a leading zero', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n')],
    ['an endless line', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(200)}`)],
    ['version 3', v2(0x31, 0x11, Buffer.alloc(12))],
    ['command 2', v2(0x22, 0x11, Buffer.alloc(12))],
    ['addresses cut short', v2(0x21, 0x11, Buffer.alloc(11))],
    ['a length beyond the bound', v2(0x21, 0x11, Buffer.alloc(LONGEST_PROXY_HEADER))],
  ];
  for (const [what, bytes] of invalid) {
    it(`refuses ${what}`, () => {
      expect(parseProxyHeader(bytes).kind).toBe('invalid');
    });
  }
});
