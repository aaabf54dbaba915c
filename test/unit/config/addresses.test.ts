import { describe, expect, it } from 'vitest';
import { isLoopback, parseHostPort, parseListener, parseUpstream } from '../../../src/config/addresses.js';

const PIN = 'ab'.repeat(32);

describe('the address of a listener', () => {
  it('has the defaults of the contract', () => {
    expect(parseListener('xmpp://127.0.0.1')).toEqual({
      url: 'xmpp://127.0.0.1',
      host: '127.0.0.1',
      port: 5222,
      tls: 'required',
      acceptProxyFrom: [],
    });
    expect(parseListener('xmpps://[::1]')).toMatchObject({ host: '::1', port: 5223, tls: 'direct' });
    expect(parseListener('xmpp://LocalHost:0/')).toMatchObject({ host: 'localhost', port: 0 });
    expect(parseListener('xmpp://Bücher.example')).toMatchObject({ host: 'xn--bcher-kva.example' });
  });

  it('takes its parameters', () => {
    for (const tls of ['off', 'optional', 'required'] as const) {
      expect(parseListener(`xmpp://[::]:1?tls=${tls}`).tls).toBe(tls);
    }
    expect(
      parseListener('xmpps://h?accept-proxy=10.0.0.0/8,192.0.2.1,2001:db8::/32,::1').acceptProxyFrom,
    ).toEqual(['10.0.0.0/8', '192.0.2.1/32', '2001:db8::/32', '::1/128']);
  });

  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['ftp://h:1', /begins with none of xmpp:\/\/, xmpps:\/\/, ws:\/\/, wss:\/\/, http:\/\/, https:\/\//],
    ['nonsense', /is not an address like xmpp:\/\/host:port/],
    ['xmpp://h:99999', /is not an address/],
    ['xmpp://', /names no host|is not an address/],
    ['xmpp://%zz', /has a host that is neither a name nor an address/],
    ['xmpp://%00', /has a host that is neither a name nor an address/],
    ['xmpp://a%20b', /has a host that is neither a name nor an address/],
    ['xmpp://user@h:1', /may only have host, port and parameters/],
    ['xmpp://h/path', /may only have host, port and parameters/],
    ['xmpp://h?tsl=off', /unknown parameter "tsl" \(did you mean "tls"\?\)/],
    ['xmpp://h?verify=off', /unknown parameter "verify"/],
    [
      'xmpp://h?tls=requierd',
      /tls=requierd, which can be off, optional, required \(did you mean "required"\?\)/,
    ],
    ['xmpp://h?tls=off&tls=off', /says tls= twice/],
    ['xmpps://h?tls=off', /takes no tls=/],
    ['xmpp://h?accept-proxy=10.0.0.0/33', /no network/],
    ['xmpp://h?accept-proxy=10.0.0.0/', /no network/],
    ['xmpp://h?accept-proxy=', /no network/],
    ['xmpp://h?accept-proxy=host/8', /no network/],
  ];
  for (const [url, complaint] of mistakes) {
    it(`is refused as ${url}`, () => expect(() => parseListener(url)).toThrow(complaint));
  }
});

describe('the address of a listener for web clients', () => {
  it('has the ports of its scheme, and the path as it is written', () => {
    expect(parseListener('ws://127.0.0.1/ws')).toEqual({
      url: 'ws://127.0.0.1/ws',
      host: '127.0.0.1',
      port: 80,
      tls: 'off',
      acceptProxyFrom: [],
      web: {
        transport: 'websocket',
        path: '/ws',
        forwardedFrom: [],
        origins: [],
        publicHost: undefined,
        deflate: false,
      },
    });
    expect(parseListener('wss://[::]:5281/a/b')).toMatchObject({
      ...{ host: '::', port: 5281, tls: 'direct' },
      web: { path: '/a/b' },
    });
    expect(parseListener('https://h')).toMatchObject({
      port: 443,
      tls: 'direct',
      web: { transport: 'bosh', path: '/' },
    });
    expect(parseListener('http://h:0/http-bind')).toMatchObject({ port: 0, tls: 'off' });
  });

  it('takes its parameters', () => {
    const { tls, acceptProxyFrom, web } = parseListener(
      'ws://h/ws?tls=required&forwarded=10.0.0.0/8&forwarded=::1&origin=https://A.example,http://b.example:8080&origin=https://c.example/&public=chat.example.org:8443&accept-proxy=192.0.2.1&deflate=on',
    );
    expect(tls).toBe('required');
    expect(acceptProxyFrom).toEqual(['192.0.2.1/32']);
    expect(web).toEqual({
      transport: 'websocket',
      path: '/ws',
      forwardedFrom: ['10.0.0.0/8', '::1/128'],
      origins: ['https://a.example', 'http://b.example:8080', 'https://c.example'],
      publicHost: 'chat.example.org:8443',
      deflate: true,
    });
  });

  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['ws://h/ws?tls=optional', /which can be off, required/],
    ['ws://h/ws?tls=required', /needs forwarded=CIDR/],
    ['wss://h/ws?tls=required', /takes no tls=/],
    ['ws://h/ws?origin=chat.example.org', /no web origin like https:/],
    ['ws://h/ws?origin=https://chat.example.org/page', /no web origin/],
    ['ws://h/ws?origin=null', /no web origin/],
    ['ws://h/ws?forwarded=front', /forwarded=front, which is no network/],
    ['ws://h/ws?public=https://h', /no HOST or HOST:PORT/],
    ['ws://h/ws?public=a/b', /no HOST or HOST:PORT/],
    ['ws://u@h/ws', /may only have host, port, path and parameters/],
    ['http://h/bosh?orgin=https://a.example', /did you mean "origin"/],
    ['ws://h/ws?tls=off&tls=off', /says tls= twice/],
    ['ws://h/ws?deflate=yes', /deflate=yes, which can be off, on/],
    ['http://h/bosh?deflate=on', /unknown parameter "deflate"/],
  ];
  for (const [url, complaint] of mistakes) {
    it(`is refused as ${url}`, () => expect(() => parseListener(url)).toThrow(complaint));
  }
});

describe('the address of an upstream', () => {
  it('is spoken to in the clear on loopback, with checked TLS elsewhere', () => {
    for (const host of ['127.0.0.1', '127.1.2.3', '[::1]', 'localhost']) {
      expect(parseUpstream(`xmpp://${host}:1`)).toMatchObject({ tls: 'off', verify: { kind: 'off' } });
      expect(parseUpstream(`xmpps://${host}:1`)).toMatchObject({ tls: 'direct', verify: { kind: 'off' } });
    }
    for (const host of ['10.0.0.1', 'example.org', '[2001:db8::1]', 'localhost.example.org']) {
      expect(parseUpstream(`xmpp://${host}`)).toMatchObject({
        port: 5222,
        tls: 'starttls',
        verify: { kind: 'full' },
      });
      expect(parseUpstream(`xmpps://${host}`)).toMatchObject({
        port: 5223,
        tls: 'direct',
        verify: { kind: 'full' },
      });
    }
  });

  it('takes its parameters', () => {
    expect(parseUpstream('xmpp://127.0.0.1?tls=starttls&verify=full&proxy=v2')).toMatchObject({
      tls: 'starttls',
      verify: { kind: 'full' },
      sendProxy: 'v2',
    });
    expect(parseUpstream('xmpp://h?tls=off&proxy=v1')).toMatchObject({ tls: 'off', sendProxy: 'v1' });
    expect(parseUpstream(`xmpps://h?verify=pin:${PIN}`).verify).toEqual({ kind: 'pin', sha256: PIN });
    const colons = PIN.toUpperCase().replace(/..(?!$)/g, '$&:');
    expect(parseUpstream(`xmpps://h?verify=pin:${colons}`).verify).toEqual({ kind: 'pin', sha256: PIN });
  });

  const mistakes: readonly (readonly [string, RegExp])[] = [
    ['xmpp://h:0', /port 0/],
    ['xmpp://h?tls=required', /tls=required, which can be off, starttls/],
    ['xmpps://h?tls=starttls', /takes no tls=/],
    ['xmpp://h?tls=off&verify=full', /verify= but no TLS/],
    ['xmpps://h?verify=pin:1234', /not the 64 hex digits/],
    ['xmpps://h?verify=yes', /can be full, off or pin:SHA256/],
    ['xmpp://h?proxy=v3', /proxy=v3, which can be v1, v2/],
    ['xmpp://h?accept-proxy=::1', /unknown parameter "accept-proxy"/],
  ];
  for (const [url, complaint] of mistakes) {
    it(`is refused as ${url}`, () => expect(() => parseUpstream(url)).toThrow(complaint));
  }
});

describe('HOST:PORT', () => {
  it('is read, IPv6 in brackets', () => {
    expect(parseHostPort('127.0.0.1:0')).toEqual({ host: '127.0.0.1', port: 0 });
    expect(parseHostPort('[::1]:9180')).toEqual({ host: '::1', port: 9180 });
    expect(parseHostPort('localhost:65535')).toEqual({ host: 'localhost', port: 65_535 });
  });
  for (const text of ['9180', '::1:9180', '127.0.0.1', 'h:65536', 'h:', '[x]:1', ':1']) {
    it(`is refused as ${text}`, () => expect(() => parseHostPort(text)).toThrow(/is not HOST:PORT/));
  }
});

it('loopback is known by address and name', () => {
  expect(['127.0.0.1', '127.255.0.1', '::1', 'localhost', 'x.localhost'].every(isLoopback)).toBe(true);
  expect(['128.0.0.1', '::', '0.0.0.0', 'localhost.org', '::2'].some(isLoopback)).toBe(false);
});
