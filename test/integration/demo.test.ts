import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { Daemon } from './servers/daemon.js';
import type {} from './servers/setup.js';
import { until } from './waiting.js';

const COMMAND = resolve(import.meta.dirname, '../../dist/main.js');

const { missing } = inject('interstanza');
const lacking = missing.servers.prosody ?? missing.proxy;

describe.skipIf(lacking !== undefined)(`the demo${lacking === undefined ? '' : ` (${lacking})`}`, () => {
  let place: string;
  let demo: Daemon | undefined;

  const start = (...flags: string[]) => {
    // A temporary folder of its own shows whether anything is left behind.
    const env = { TMPDIR: place, NO_COLOR: '1' };
    demo = new Daemon('demo', process.execPath, [COMMAND, 'demo', '--no-install', ...flags], { env });
    return demo;
  };

  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'interstanza-demo-test-'));
  });

  afterEach(async () => {
    await demo?.kill();
    rmSync(place, { recursive: true, force: true });
  });

  it('shows in under twenty seconds what goes through, ends by itself and leaves nothing behind', async () => {
    const began = Date.now();
    const { exited, output } = await finished(start());
    expect(exited.code, output).toBe(0);
    expect(Date.now() - began).toBeLessThan(20_000);
    // TLS and stream management on the legs, authentication and stanzas through both.
    expect(output).toMatch(/romeo {2}──▶ proxy {13}<starttls>/);
    expect(output).toMatch(/rewritten: starttls taken out/);
    expect(output).toMatch(/romeo {2}──▶ proxy ──▶ server {2}<auth mechanism='SCRAM-SHA-1'>…/);
    expect(output).toMatch(/romeo {2}──▶ proxy {13}<enable sm:3>/);
    expect(output).toMatch(/which is h=\d+ in the count of this leg/);
    expect(output).toMatch(/juliet ◀── proxy ◀── server {2}<message .*“But, soft!/);
    expect(output).toMatch(
      /romeo {2}◀── proxy ◀── server {2}<message from='orchard@rooms.localhost\/juliet'/,
    );
    expect(output).toMatch(/from clients +\d+ stanzas/);
    // Coming back to a room: in full, as a difference, and in full again while only the difference crossed the link between.
    const bytes = [...output.matchAll(/ ([\d,]+) bytes$/gm)].map(([, count]) =>
      Number(count?.replace(',', '')),
    );
    const [plain, resumed, legacy, thin] = bytes.slice(0, 4) as [number, number, number, number];
    expect(resumed).toBeLessThan(plain / 4);
    expect(legacy).toBeGreaterThan(plain * 0.8);
    expect(thin).toBeLessThan(plain / 2);
    expect(readdirSync(place)).toEqual([]);
  });

  it('stays up with --keep, says where, and ends in order when it is interrupted', async () => {
    const running = start('--keep');
    const port = await until(
      'the address to connect to',
      () => Number(/server +127\.0\.0\.1, port (\d+)/.exec(running.output)?.[1]) || undefined,
      20_000,
    );
    expect(await answers(port)).toBe(true);
    running.signal('SIGINT');
    const { code } = await running.exited;
    expect(code).toBe(0);
    expect(await answers(port)).toBe(false);
    expect(readdirSync(place)).toEqual([]);
  });

  it('says what to do next when the port is taken', async () => {
    const taken = new URL(inject('interstanza').proxies.prosody?.admin ?? 'http://127.0.0.1:1').port;
    const { exited, output } = await finished(start('--port', taken));
    expect(exited.code).toBe(1);
    expect(output).toContain(`port ${taken} is in use by another program`);
    expect(output).toContain('start the demo again');
    expect(existsSync(place) && readdirSync(place)).toEqual([]);
  });
});

async function finished(demo: Daemon) {
  const exited = await demo.exited;
  // The last of the output may still be on its way when the process is gone.
  await until(
    'the end of the output',
    () => demo.output !== '' && (exited.code !== 0 || demo.output.includes('injected')),
  );
  return { exited, output: demo.output };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolved) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolved(true);
    });
    socket.on('error', () => resolved(false));
  });
}
