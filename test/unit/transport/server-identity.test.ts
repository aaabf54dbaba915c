import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import fc from 'fast-check';
import forge from 'node-forge';
import { afterAll, describe, expect, it } from 'vitest';
import { probeUpstream } from '../../../src/commands/doctor/probe.js';
import { parseUpstream } from '../../../src/config/addresses.js';
import { checkXmppIdentity } from '../../../src/transport/server-identity.js';
import { UpstreamTlsDialer } from '../../../src/transport/upstream-tls.js';

const { asn1, pki, util } = forge;
const { CONTEXT_SPECIFIC, UNIVERSAL } = asn1.Class;

const folder = mkdtempSync(join(tmpdir(), 'interstanza-identity-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pair = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const strong = {
  public: pki.publicKeyFromPem(pair.publicKey),
  private: pki.privateKeyFromPem(pair.privateKey),
};

type Name = forge.asn1.Asn1;

/** GeneralName (RFC 5280 §4.2.1.6). */
const dns = (name: string) => asn1.create(CONTEXT_SPECIFIC, 2, false, name);
const uri = (name: string) => asn1.create(CONTEXT_SPECIFIC, 6, false, name);
const otherName = (oid: string, type: number, bytes: string) =>
  asn1.create(CONTEXT_SPECIFIC, 0, true, [
    asn1.create(UNIVERSAL, asn1.Type.OID, false, asn1.oidToDer(oid).getBytes()),
    asn1.create(CONTEXT_SPECIFIC, 0, true, [asn1.create(UNIVERSAL, type, false, bytes)]),
  ]);
/** SRVName (RFC 4985), an IA5String. */
const srv = (name: string) => otherName('1.3.6.1.5.5.7.8.7', 22, name);
/** id-on-xmppAddr (RFC 6120 §13.7.1.4). */
const xmpp = (address: string, type = asn1.Type.UTF8) =>
  otherName('1.3.6.1.5.5.7.8.5', type, util.encodeUtf8(address));

/** A certificate that vouches for itself, as PEM. */
function certificate(names: readonly Name[], commonName = 'nobody', key = strong): string {
  const made = pki.createCertificate();
  made.publicKey = key.public;
  made.serialNumber = '01';
  made.validity.notBefore = new Date(Date.now() - 60_000);
  made.validity.notAfter = new Date(Date.now() + 3_600_000);
  made.setSubject([{ name: 'commonName', value: commonName }]);
  made.setIssuer([{ name: 'commonName', value: commonName }]);
  const value = asn1.toDer(asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, [...names])).getBytes();
  if (names.length > 0) made.setExtensions([{ id: '2.5.29.17', value }]);
  made.sign(key.private, forge.md.sha256.create());
  return pki.certificateToPem(made);
}

/** A server that presents the certificate while `use` lasts. */
async function presenting<T>(pem: string, use: (port: number) => Promise<T>): Promise<T> {
  const server = createServer({ cert: pem, key: pair.privateKey }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  try {
    return await use(typeof address === 'object' ? (address?.port ?? 0) : 0);
  } finally {
    server.close();
  }
}

function trusting(pem: string, port: number) {
  const caFile = join(folder, 'authority.crt');
  writeFileSync(caFile, pem);
  return { ...parseUpstream(`xmpps://127.0.0.1:${port}?verify=full`), caFile };
}

/** What comes of a handshake with a server that presents the certificate, when it is asked for the domain. */
function handshake(pem: string, domain: string): Promise<string> {
  return presenting(pem, async (port) => {
    const socket = connect(port, '127.0.0.1');
    const secure = new UpstreamTlsDialer().wrap(socket, trusting(pem, port), domain);
    const outcome = await new Promise<string>((resolve) => {
      secure.once('secureConnect', () => resolve('taken'));
      secure.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    });
    secure.destroy();
    return outcome;
  });
}

const OTHERS = 'ERR_TLS_CERT_ALTNAME_INVALID';

describe('RFC 6120 §13.7.1.2: the certificate of a server is one for the domain', () => {
  it.each<[string, Name[], string]>([
    ['a dNSName', [dns('a.test')], 'a.test'],
    ['a dNSName with a wildcard', [dns('*.a.test')], 'im.a.test'],
    ['an SRV-ID', [srv('_xmpp-client.a.test')], 'a.test'],
    ['an SRV-ID in capitals', [srv('_XMPP-Client.A.test')], 'a.test'],
    ['an SRV-ID with a wildcard', [srv('_xmpp-client.*.a.test')], 'im.a.test'],
    ['an SRV-ID with an A-label', [srv('_xmpp-client.xn--mnchen-3ya.test')], 'münchen.test'],
    ['an id-on-xmppAddr', [xmpp('a.test')], 'a.test'],
    ['an id-on-xmppAddr with a U-label', [xmpp('München.test')], 'münchen.test'],
    [
      'an id-on-xmppAddr with a U-label, the domain as A-label',
      [xmpp('münchen.test')],
      'xn--mnchen-3ya.test',
    ],
    [
      'one of many',
      [dns('b.test'), xmpp('c.test'), srv('_xmpp-server.a.test'), srv('_xmpp-client.a.test')],
      'a.test',
    ],
  ])('by %s', async (_what, names, domain) => {
    expect(await handshake(certificate(names), domain)).toBe('taken');
  });

  it.each<[string, Name[]]>([
    ['another domain', [dns('b.test'), srv('_xmpp-client.b.test'), xmpp('b.test')]],
    ['the servers of the domain, not for its clients', [srv('_xmpp-server.a.test')]],
    ['no service at all', [srv('a.test')]],
    ['a part of the name', [srv('_xmpp-client.test'), xmpp('test')]],
    ['a longer name', [srv('_xmpp-client.a.test.b.test'), xmpp('a.test.b.test')]],
    ['somebody at the domain', [xmpp('juliet@a.test')]],
    ['a resource', [xmpp('a.test/balcony')]],
    ['a wildcard in an address, which has none', [xmpp('*.test')]],
    ['a name that is cut short by a NUL', [xmpp('a.test\0.b.test'), srv('_xmpp-client.a.test\0.b.test')]],
    [
      'names in the text of another',
      [dns('b.test, othername:XmppAddr:a.test'), xmpp('b, othername:XmppAddr:a.test')],
    ],
    [
      'names in the text of an address on the web',
      [uri('http://b/, othername:SRVName:_xmpp-client.a.test, DNS:a.test')],
    ],
    ['an address that is no UTF8String', [xmpp('a.test', asn1.Type.PRINTABLESTRING)]],
  ])('not by one for %s', async (_what, names) => {
    expect(await handshake(certificate(names), 'a.test')).toBe(OTHERS);
  });

  it('by the common name only when it has no other identity (RFC 6125 §6.4.4)', async () => {
    expect(await handshake(certificate([], 'a.test'), 'a.test')).toBe('taken');
    for (const name of [
      dns('b.test'),
      srv('_xmpp-client.b.test'),
      srv('_xmpp-server.a.test'),
      xmpp('b.test'),
    ]) {
      expect(await handshake(certificate([name], 'a.test'), 'a.test')).toBe(OTHERS);
    }
  });

  it('to doctor as it is to serve', async () => {
    const faultOf = (name: Name) => {
      const pem = certificate([name]);
      return presenting(pem, async (port) => {
        const { tls } = await probeUpstream(trusting(pem, port), 'a.test');
        return tls?.certificateFault;
      });
    };
    expect(await faultOf(srv('_xmpp-client.a.test'))).toBeUndefined();
    expect(await faultOf(srv('_xmpp-client.b.test'))).toBe(OTHERS);
  });

  it('never by accident: whatever stands in names that are not for the domain', () => {
    // Nobody connects with these, so that the key may be one that is made and used in no time.
    const keys = pki.rsa.generateKeyPair(512);
    const weak = { public: keys.publicKey, private: keys.privateKey };
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc
        .array(
          fc.constantFrom(
            'a',
            '.test',
            '_xmpp-client.',
            ', ',
            '"',
            '\\',
            'DNS:',
            'othername:',
            'XmppAddr:',
            'SRVName:',
            '\0',
            '*',
            '@',
          ),
          {
            maxLength: 8,
          },
        )
        .map((parts) => parts.join('')),
    );
    const name = fc.tuple(fc.constantFrom(dns, uri, srv, xmpp), text).map(([kind, value]) => {
      const latin1 = kind === xmpp ? value : util.encodeUtf8(value);
      return { right: /^(_xmpp-client\.)?[a*]+\.test$/.test(value), name: kind(latin1) };
    });
    fc.assert(
      fc.property(fc.array(name, { maxLength: 4 }), (names) => {
        fc.pre(names.every(({ right }) => !right));
        const made = new X509Certificate(
          certificate(
            names.map((one) => one.name),
            'nobody',
            weak,
          ),
        );
        expect(checkXmppIdentity('a.test', made.toLegacyObject())).toBeInstanceOf(Error);
      }),
      { numRuns: 150 },
    );
  });
});
