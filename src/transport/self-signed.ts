import { generateKeyPair, randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { domainToASCII } from 'node:url';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { makeFolder, whyNot } from '../files.js';
import { CertificateError, type KeyPair, readKeyPair } from './certificate-files.js';

/** 825 days are the most that Apple's platforms accept, for private certificates too. */
const VALID_DAYS = 820;
const DAY_MS = 24 * 60 * 60 * 1000;
const RENEW_BEFORE_MS = 30 * DAY_MS;

/** id-on-xmppAddr (RFC 6120 §13.7.1.4) and subjectAltName (RFC 5280 §4.2.1.6). */
const XMPP_ADDR = '1.3.6.1.5.5.7.8.5';
const SUBJECT_ALT_NAME = '2.5.29.17';

/** Where the self-signed certificate of a domain lies. */
export function selfSignedFiles(dataDir: string, domain: string): { certFile: string; keyFile: string } {
  // A domain of the configuration has no slash; a port or an IPv6 literal has characters that not every file system takes.
  const name = (domainToASCII(domain) || domain).replaceAll(/[^a-z0-9.-]/g, '_');
  return {
    certFile: join(dataDir, `${name}.self-signed.crt`),
    keyFile: join(dataDir, `${name}.self-signed.key`),
  };
}

/**
 * The self-signed certificate of a domain: the one in the data folder as long as it is good for another 30 days, else a new one,
 * RSA 2048, key file readable by its owner only.
 * @returns the pair, and whether it has been made now
 * @throws CertificateError when the data folder cannot be written to
 */
export async function selfSignedPair(
  dataDir: string,
  domain: string,
  now: number = Date.now(),
): Promise<{ pair: KeyPair; made: boolean }> {
  const { certFile, keyFile } = selfSignedFiles(dataDir, domain);
  try {
    const pair = await readKeyPair(certFile, keyFile, domain, now);
    if (pair.validTo > now + RENEW_BEFORE_MS) return { pair, made: false };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
  }
  const { certificate, key } = await makeCertificate(domain, now);
  try {
    await makeFolder(dataDir);
    await writeInPlace(keyFile, key, 0o600);
    await writeInPlace(certFile, certificate, 0o644);
  } catch (error) {
    throw new CertificateError(
      `cannot write a self-signed certificate for ${domain} into the data folder ${dataDir}: ${whyNot(error)}`,
      'certFile',
    );
  }
  return { pair: await readKeyPair(certFile, keyFile, domain, now), made: true };
}

/** Whole or not at all, and never readable by others in between. */
async function writeInPlace(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.new`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, file);
}

/**
 * A serial number as X.509 wants it: positive, and without a byte too many in front, which OpenSSL refuses to read (RFC 5280 §4.1.2.2, X.690 §8.3.2).
 * @param random its bytes, of which the first two bits are not used
 * @returns hex
 */
export function serialNumber(random: Buffer): string {
  const bytes = Buffer.from(random);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

async function makeCertificate(domain: string, now: number): Promise<{ certificate: string; key: string }> {
  const pair = await promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(pair.publicKey);
  certificate.serialNumber = serialNumber(randomBytes(16));
  certificate.validity.notBefore = new Date(now - DAY_MS);
  certificate.validity.notAfter = new Date(now + VALID_DAYS * DAY_MS);
  const ascii = new URL(`http://${domain}/`).hostname;
  const name = [{ name: 'commonName', value: ascii.slice(0, 64) }];
  certificate.setSubject(name);
  certificate.setIssuer(name);
  // COMPAT: without a keyUsage, which need not be there. For libpurple on NSS (Pidgin) a self-signed certificate whose
  // key is not for signing certificates is not one to ask the user about, but invalid.
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { id: SUBJECT_ALT_NAME, value: subjectAltName(ascii, domain) },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(pair.privateKey), forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate), key: pair.privateKey };
}

/** DER of `SEQUENCE { dNSName ascii, otherName { id-on-xmppAddr, UTF8String domain } }`; forge itself knows no otherName. */
function subjectAltName(ascii: string, domain: string): string {
  const { asn1, util } = forge;
  const { CONTEXT_SPECIFIC, UNIVERSAL } = asn1.Class;
  const dnsName = asn1.create(CONTEXT_SPECIFIC, 2, false, ascii);
  const xmppAddr = asn1.create(CONTEXT_SPECIFIC, 0, true, [
    asn1.create(UNIVERSAL, asn1.Type.OID, false, asn1.oidToDer(XMPP_ADDR).getBytes()),
    asn1.create(CONTEXT_SPECIFIC, 0, true, [
      asn1.create(UNIVERSAL, asn1.Type.UTF8, false, util.encodeUtf8(domain)),
    ]),
  ]);
  return asn1.toDer(asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, [dnsName, xmppAddr])).getBytes();
}
