import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { Serving } from '../../../src/commands/serve.js';
import { adviseOnUpstream } from '../../../src/commands/upstream-advice.js';
import { loadConfig } from '../../../src/config/load.js';
import { createLog } from '../../../src/ops/log.js';
import { whyNot } from '../../../src/transport/listener.js';
import { selfSignedPair } from '../../../src/transport/self-signed.js';
import { NS } from '../../../src/xml/namespaces.js';

const folder = mkdtempSync(join(tmpdir(), 'interstanza-serving-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('serve warns of servers that the advisor finds wanting, of those with TLS only, and survives one that cannot be asked', async () => {
  const flags = {
    domains: ['a.test'],
    upstreams: ['xmpp://127.0.0.1:1', 'xmpps://127.0.0.1:2', 'xmpps://127.0.0.1:3', 'xmpps://127.0.0.1:4'],
    listeners: ['xmpp://127.0.0.1:0?tls=off'],
    data: folder,
  };
  const loaded = await loadConfig(flags);
  const lines: string[] = [];
  let asked: () => void = () => undefined;
  const all = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const log = createLog('warn', { write: (line: string) => lines.push(line) });
  const serving = new Serving(flags, loaded, log, async (_domain, upstream) => {
    if (upstream.port === 2) throw new Error('nobody there');
    if (upstream.port === 4) asked();
    return upstream.port === 3 ? 'turn TLS 1.3 on' : undefined;
  });
  await serving.start();
  await all;
  serving.stop();
  const warnings = lines.map((line): unknown => JSON.parse(line)).slice(1);
  expect(warnings).toMatchObject([
    { msg: 'turn TLS 1.3 on', upstream: 'xmpps://127.0.0.1:3', domain: 'a.test' },
  ]);
});

it.each([
  { leg: 'the certificate of the proxy', domain: 'a.test', warned: false },
  { leg: 'another', domain: 'b.test', warned: true },
])('serve looks at a server that binds channels to $leg: warned $warned', async ({ domain, warned }) => {
  const { pair } = await selfSignedPair(folder, domain);
  const server = createServer({ cert: pair.certificate, key: pair.key }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      if (!chunk.includes('<stream:stream')) return socket.end('</stream:stream>');
      return socket.write(
        `<stream:stream xmlns='${NS.client}' xmlns:stream='${NS.stream}' id='x' from='a.test' version='1.0'><stream:features>` +
          `<mechanisms xmlns='${NS.sasl}'><mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>SCRAM-SHA-1</mechanism></mechanisms>` +
          `<sasl-channel-binding xmlns='${NS.saslChannelBinding}'><channel-binding type='tls-server-end-point'/></sasl-channel-binding></stream:features>`,
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const flags = {
    domains: ['a.test'],
    upstreams: [`xmpps://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`],
    listeners: ['xmpp://127.0.0.1:0'],
    data: folder,
  };
  const log = createLog('silent', { write: () => undefined });
  let heard: (advice: string | undefined) => void = () => undefined;
  const advised = new Promise<string | undefined>((resolve) => {
    heard = resolve;
  });
  const serving = new Serving(flags, await loadConfig(flags), log, async (...asked) => {
    const advice = await adviseOnUpstream(...asked);
    heard(advice);
    return advice;
  });
  await serving.start();
  const advice = await advised;
  serving.stop();
  server.close();
  if (warned) expect(advice).toContain('present the same certificate on both legs');
  else expect(advice).toBeUndefined();
});

it('a fault while the configuration is read again ends nothing, and the next time it is read', async () => {
  const flags = {
    domains: ['a.test'],
    upstreams: ['xmpp://127.0.0.1:1'],
    listeners: ['xmpp://127.0.0.1:0?tls=off'],
    data: folder,
  };
  const lines: string[] = [];
  const serving = new Serving(
    flags,
    await loadConfig(flags),
    createLog('info', { write: (line) => lines.push(line) }),
  );
  await serving.start();
  Object.assign(flags, { domains: undefined });
  await serving.reload();
  Object.assign(flags, { domains: ['a.test'] });
  await serving.reload();
  serving.stop();
  const said = lines.map((line): unknown => JSON.parse(line));
  expect(said).toMatchObject([
    { msg: 'ready' },
    { level: 50, msg: 'not reloaded' },
    { msg: 'configuration reloaded' },
  ]);
});

it('a port that cannot be opened is explained', () => {
  const because = (code: string) => whyNot(Object.assign(new Error(code), { code }), 80);
  expect(because('EACCES')).toBe(
    'port 80 needs a privilege that this user does not have (ports below 1024 usually do)',
  );
  expect(because('EADDRNOTAVAIL')).toBe('this machine has no such address');
  expect(because('ENOTFOUND')).toBe('the host name cannot be resolved');
});
