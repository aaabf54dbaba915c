import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import forge from 'node-forge';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { selfSignedFiles, selfSignedPair, serialNumber } from '../../../src/transport/self-signed.js';

describe('the self-signed certificate of a domain', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'interstanza-self-signed-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is for a TLS server of that domain, and for nothing else', async () => {
    const { pair } = await selfSignedPair(folder, 'one.test');
    const certificate = new X509Certificate(pair.certificate);
    expect(certificate.subjectAltName).toContain('DNS:one.test');
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.ca).toBe(false);
  });

  it('leaves open what its key is for: libpurple would refuse it without asking', async () => {
    const { pair } = await selfSignedPair(folder, 'one.test');
    const certificate = forge.pki.certificateFromPem(pair.certificate.toString());
    expect(certificate.getExtension('keyUsage')).toBeFalsy();
  });

  it('is for an internationalised domain in both spellings (RFC 5280 §7.2), with a file of its own', async () => {
    const { pair } = await selfSignedPair(folder, 'почта.рф');
    const { subject, subjectAltName } = new X509Certificate(pair.certificate);
    expect(subject).toBe('CN=xn--80a1acny.xn--p1ai');
    expect(subjectAltName).toBe('DNS:xn--80a1acny.xn--p1ai, othername:XmppAddr:почта.рф');
    expect(pair.warnings).toEqual([]);
    expect(selfSignedFiles(folder, 'почта.рф')).not.toEqual(selfSignedFiles(folder, 'книга.рф'));
  });

  it.each([
    ['00000000', '40000000'],
    ['0000ff01', '4000ff01'],
    ['7f000000', '7f000000'],
    ['ffffffff', '7fffffff'],
  ])('has a serial number that OpenSSL reads, whatever the random bytes were: %s', (random, serial) => {
    expect(serialNumber(Buffer.from(random, 'hex'))).toBe(serial);
  });
});
