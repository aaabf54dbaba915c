import type { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';

/**
 * The hash for the signature algorithms of certificates, by the content of their object identifier in hex. Those that sign without a hash, or name it
 * in their parameters, are not in it: for them RFC 5929 §4.1 says nothing, and binding is not offered.
 */
const HASHES: Readonly<Record<string, string>> = {
  // RSA (PKCS #1): MD5 and SHA-1 count as SHA-256.
  '2a864886f70d010104': 'sha256',
  '2a864886f70d010105': 'sha256',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  // ECDSA
  '2a8648ce3d0401': 'sha256',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
};

const SEQUENCE = 0x30;
const OBJECT_IDENTIFIER = 0x06;

/**
 * What binds to a certificate (tls-server-end-point, RFC 5929 §4): its hash by the algorithm with which it is signed.
 * @param certificate DER
 * @returns in hex; undefined where the algorithm has none
 */
export function endPointBinding(certificate: Buffer): string | undefined {
  const outer = header(certificate, 0);
  const signed = outer?.tag === SEQUENCE ? header(certificate, outer.start) : undefined;
  const algorithm = signed === undefined ? undefined : header(certificate, signed.end);
  const name = algorithm?.tag === SEQUENCE ? header(certificate, algorithm.start) : undefined;
  if (name?.tag !== OBJECT_IDENTIFIER) return undefined;
  const hash = HASHES[certificate.toString('hex', name.start, name.end)];
  return hash === undefined ? undefined : createHash(hash).update(certificate).digest('hex');
}

/** Where the content of a DER element is. */
function header(der: Buffer, at: number): { tag: number; start: number; end: number } | undefined {
  const tag = der[at];
  const first = der[at + 1];
  if (tag === undefined || first === undefined) return undefined;
  if (first < 0x80) return { tag, start: at + 2, end: at + 2 + first };
  const bytes = first & 0x7f;
  if (bytes === 0 || bytes > 4 || at + 2 + bytes > der.length) return undefined;
  const start = at + 2 + bytes;
  return { tag, start, end: start + der.readUIntBE(at + 2, bytes) };
}
