import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunningProxy } from './proxy.js';
import { freePort } from './servers/ports.js';
import { until } from './waiting.js';

/*
 * Early data (RFC 8446 §2.3) can be replayed by whoever has seen it: a token in it would let him in. So nothing is taken
 * before the handshake is over, whatever the client says. Shown with the client of OpenSSL, which tells what became of
 * it; and with its server, that a listener that took it would be found out.
 */

const DOMAIN = 'early.example.org';
const TOKEN = `<stream:stream to='${DOMAIN}'/><authenticate mechanism='HT-SHA-256-NONE'/>`;

const BEGIN = '-----BEGIN SSL SESSION PARAMETERS-----';
const END = '-----END SSL SESSION PARAMETERS-----';

const folder = mkdtempSync(join(tmpdir(), 'interstanza-early-'));
const file = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** One connection of `openssl s_client`, which ends it when the handshake is over and `enough`. @returns all that it said */
async function connect(args: readonly string[], enough: () => boolean = () => true): Promise<string> {
  const client = spawn('openssl', ['s_client', '-tls1_3', ...args]);
  const said = outputOf(client);
  await until('openssl to have a session', () => enough() || client.exitCode !== null, 10_000);
  // Only behind its end all that it has said comes out of a pipe.
  client.stdin.end('Q\n');
  await until('openssl to end', () => client.exitCode !== null, 10_000);
  return said();
}

function outputOf({ stdout, stderr }: ChildProcess): () => string {
  let said = '';
  for (const stream of [stdout, stderr])
    stream?.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
    });
  return () => said;
}

/** A session with a limit of early data, whatever the server has said: as a client would have it that does not care. */
function allowEarlyData(pem: string): void {
  const written = readFileSync(pem, 'latin1');
  const base64 = written.slice(written.indexOf(BEGIN) + BEGIN.length, written.indexOf(END));
  const fields = [...fieldsOf(Buffer.from(base64, 'base64'))];
  // In the order of OpenSSL's SSL_SESSION: [14] is the age of the ticket, [15] the limit.
  const at = fields.findIndex((field) => (field[0] ?? 0) > 0xaf);
  fields.splice(at, 0, Buffer.from([0xaf, 4, 0x02, 2, 0x40, 0x00]));
  const content = Buffer.concat(fields);
  const header = Buffer.from([0x30, 0x82, content.length >> 8, content.length & 0xff]);
  const changed = Buffer.concat([header, content])
    .toString('base64')
    .match(/.{1,64}/g);
  writeFileSync(pem, [BEGIN, ...(changed ?? []), END, ''].join('\n'));
}

/** The fields of a DER sequence. */
function* fieldsOf(sequence: Buffer): Generator<Buffer> {
  let at = contentOf(sequence, 0).start;
  while (at < sequence.length) {
    const { end } = contentOf(sequence, at);
    yield sequence.subarray(at, end);
    at = end;
  }
}

function contentOf(der: Buffer, at: number): { start: number; end: number } {
  const length = der[at + 1] ?? 0;
  if (length < 0x80) return { start: at + 2, end: at + 2 + length };
  const bytes = length & 0x7f;
  const start = at + 2 + bytes;
  return { start, end: start + der.readUIntBE(at + 2, bytes) };
}

/** What becomes of early data with the second connection of a client. @returns what openssl says of both */
async function tryEarlyData(to: readonly string[]): Promise<{ ticket: string; second: string }> {
  const session = file('session.pem');
  rmSync(session, { force: true });
  const isThere = () => existsSync(session) && readFileSync(session, 'latin1').includes(END);
  const ticket = await connect([...to, '-sess_out', session], isThere);
  if (/Max Early Data: 0/.test(ticket)) allowEarlyData(session);
  writeFileSync(file('early'), TOKEN);
  return { ticket, second: await connect([...to, '-sess_in', session, '-early_data', file('early')]) };
}

describe('early data', () => {
  let proxy: RunningProxy;
  /** Is there and says nothing: a proxy without a server sends its clients away. */
  const upstream = createServer();

  beforeAll(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const { port } = upstream.address() as AddressInfo;
    proxy = await RunningProxy.start({
      domain: DOMAIN,
      upstream: `xmpp://127.0.0.1:${port}`,
      listen: ['xmpp://127.0.0.1:0', 'xmpps://127.0.0.1:0', 'wss://127.0.0.1:0/ws'],
    });
  });
  afterAll(async () => {
    await proxy?.dispose();
    upstream.close();
  });

  const LISTENERS = [
    ['behind STARTTLS', 0, ['-starttls', 'xmpp', '-xmpphost', DOMAIN]],
    ['with direct TLS', 1, ['-servername', DOMAIN]],
    ['of web clients', 2, ['-servername', DOMAIN]],
  ] as const;

  test.each(LISTENERS)('the listener %s allows none and takes none', async (_, index, args) => {
    const { host, port } = proxy.address(index);
    const { ticket, second } = await tryEarlyData(['-connect', `${host}:${port}`, ...args]);
    expect(ticket).toMatch(/Max Early Data: 0\n/);
    // The session is resumed, so that early data could have been; it was sent, and passed over.
    expect(second).toMatch(/Reused, TLSv1\.3/);
    expect(second).toMatch(/Early data was rejected\n/);
  });

  test('one that took it would be found out', async () => {
    const [key, certificate] = [file('key.pem'), file('certificate.pem')];
    const make = ['req', '-x509', '-nodes', '-subj', `/CN=${DOMAIN}`, '-newkey', 'rsa:2048'];
    execFileSync('openssl', [...make, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
    const port = await freePort();
    const take = ['-early_data', '-max_early_data', '16384'];
    const server = spawn('openssl', [
      ...['s_server', '-accept', String(port), '-tls1_3', '-cert', certificate, '-key', key, ...take],
    ]);
    const said = outputOf(server);
    try {
      await until('openssl to listen', () => said().includes('ACCEPT'), 10_000);
      const { second } = await tryEarlyData(['-connect', `127.0.0.1:${port}`]);
      expect(second).toMatch(/Early data was accepted\n/);
      await until('the server to have it', () => said().includes(TOKEN), 10_000);
    } finally {
      server.kill('SIGKILL');
    }
  });
});
