import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { endPointBinding } from '../../../src/transport/end-point-binding.js';

const folder = mkdtempSync(join(tmpdir(), 'interstanza-binding-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function certificate(key: readonly string[], hash: string): Buffer {
  const file = join(folder, 'certificate.pem');
  const args = ['req', '-x509', '-nodes', '-subj', '/CN=example.org', '-days', '1', '-keyout', '/dev/null'];
  execFileSync('openssl', [...args, '-newkey', ...key, `-${hash}`, '-out', file], { stdio: 'ignore' });
  return new X509Certificate(readFileSync(file)).raw;
}

const RSA = ['rsa:2048'];
const ECDSA = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

describe('RFC 5929 §4.1: tls-server-end-point', () => {
  it.each([
    ['RSA', RSA, 'sha256'],
    ['RSA', RSA, 'sha512'],
    ['ECDSA', ECDSA, 'sha256'],
    ['ECDSA', ECDSA, 'sha384'],
  ])('%s, signed with %s %s: the hash is that of the signature', (_, key, hash) => {
    const raw = certificate(key, hash);
    expect(endPointBinding(raw)).toBe(createHash(hash).update(raw).digest('hex'));
  });

  it('is SHA-256 for what is signed with less', () => {
    const raw = certificate(RSA, 'sha1');
    expect(endPointBinding(raw)).toBe(createHash('sha256').update(raw).digest('hex'));
  });

  it('is nothing for a signature without a hash of its own, and for what is no certificate', () => {
    expect(endPointBinding(certificate(['ed25519'], 'sha256'))).toBeUndefined();
    const raw = certificate(ECDSA, 'sha256');
    for (let length = 0; length < raw.length; length += 7)
      expect(endPointBinding(raw.subarray(0, length)) ?? '').toMatch(/^[0-9a-f]*$/);
  });
});
