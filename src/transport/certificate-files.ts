import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { whyNot } from '../files.js';
import { checkXmppIdentity } from './server-identity.js';

/** A certificate chain and its key, read and found to belong together. */
export interface KeyPair {
  /** PEM: the certificate and whatever chain stands behind it in the file. */
  readonly certificate: Buffer;
  /** PEM. */
  readonly key: Buffer;
  /** SHA-256 of the first certificate (DER), hex: what a client sees as the end point (RFC 5929 §4). */
  readonly sha256: string;
  /** Last millisecond (Unix time) of its validity. */
  readonly validTo: number;
  /** What is wrong with it without making it unusable; sentences. */
  readonly warnings: readonly string[];
}

/** A certificate or key that cannot be used; the message is a sentence that names the file. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';

  /** @param part which of the two files the mistake is in */
  constructor(
    message: string,
    readonly part: 'certFile' | 'keyFile',
  ) {
    super(message);
  }
}

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

/**
 * Reads a pair of PEM files.
 * @param domain the XMPP domain it is for; a certificate for others is a warning, since a client may have been told to trust it
 * @param now Unix time in ms
 * @throws CertificateError when a file is unreadable, is no PEM of its kind, when key and certificate do not match, or OpenSSL does not serve with
 * them: the rest of the chain is broken, or the key is too small
 */
export async function readKeyPair(
  certFile: string,
  keyFile: string,
  domain: string,
  now: number = Date.now(),
): Promise<KeyPair> {
  const certificate = await readPem(certFile, 'certFile', 'certificate');
  const key = await readPem(keyFile, 'keyFile', 'private key');
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(certificate);
  } catch {
    throw new CertificateError(`${certFile} holds no certificate in PEM form`, 'certFile');
  }
  let matches: boolean;
  try {
    matches = x509.checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new CertificateError(
      `${keyFile} holds no private key in PEM form that can be read without a passphrase`,
      'keyFile',
    );
  }
  if (!matches) {
    throw new CertificateError(
      `the key in ${keyFile} does not belong to the certificate in ${certFile}`,
      'keyFile',
    );
  }
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    throw new CertificateError(`${certFile} cannot be used for TLS: ${reasonOf(error)}`, 'certFile');
  }
  const validTo = Date.parse(x509.validTo);
  const warnings: string[] = [];
  if (validTo < now) warnings.push(`the certificate in ${certFile} expired on ${x509.validTo}`);
  else if (validTo < now + WEEK_MS)
    warnings.push(`the certificate in ${certFile} expires on ${x509.validTo}`);
  if (Date.parse(x509.validFrom) > now) {
    warnings.push(`the certificate in ${certFile} is not valid before ${x509.validFrom}`);
  }
  if (checkXmppIdentity(domain, x509.toLegacyObject()) !== undefined) {
    warnings.push(`the certificate in ${certFile} is not for ${domain} but for ${subjectOf(x509)}`);
  }
  return { certificate, key, sha256: fingerprint(x509), validTo, warnings };
}

/** SHA-256 of a certificate's DER, in lower-case hex. */
export function fingerprint(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}

async function readPem(file: string, part: 'certFile' | 'keyFile', what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new CertificateError(`cannot read the ${what} file ${file}: ${whyNot(error)}`, part);
  }
}

/** What OpenSSL has against it, without its numbers: `error:04800066:PEM routines::bad end line`. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.slice(text.lastIndexOf(':') + 1);
}

function subjectOf(certificate: X509Certificate): string {
  const names = certificate.subjectAltName ?? certificate.subject ?? '';
  return names.length > 120 ? `${names.slice(0, 120)}…` : names.replaceAll('\n', ', ') || 'nobody';
}
