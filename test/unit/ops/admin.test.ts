import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { AdminServer } from '../../../src/ops/admin.js';
import { Metrics } from '../../../src/ops/metrics.js';

const open: AdminServer[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.close();
});

async function start(ready = () => true) {
  const server = new AdminServer(
    new Metrics().registry(() => 0),
    { ready },
  );
  await server.open('127.0.0.1', 0);
  open.push(server);
  return server.url;
}

function ask(url: string, method = 'GET', headers: Record<string, string> = {}) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('the admin server', () => {
  it('answers the probes and the scrape', async () => {
    let ready = false;
    const url = await start(() => ready);
    expect(await ask(`${url}/healthz`)).toEqual({ status: 200, text: 'ok\n' });
    expect((await ask(`${url}/readyz`)).status).toBe(503);
    ready = true;
    expect((await ask(`${url}/readyz?verbose`)).status).toBe(200);
    const metrics = await ask(`${url}/metrics`);
    expect(metrics.status).toBe(200);
    expect(metrics.text).toContain('interstanza_sessions 0');
  });

  it('takes nothing but GET and HEAD, and knows no other paths', async () => {
    const url = await start();
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
      expect((await ask(`${url}/metrics`, method)).status).toBe(405);
    }
    expect(await ask(`${url}/healthz`, 'HEAD')).toEqual({ status: 200, text: '' });
    for (const path of ['/', '/metrics/', '/../metrics', '/healthz%2f', '//']) {
      expect((await ask(`${url}${path}`)).status).toBe(path === '/../metrics' ? 200 : 404);
    }
  });

  it('refuses large headers and does not serve more connections than it should', async () => {
    const url = await start();
    expect((await ask(`${url}/healthz`, 'GET', { 'x-large': 'x'.repeat(10_000) })).status).toBe(431);
    const port = Number(new URL(url).port);
    let closed = 0;
    const sockets = Array.from({ length: 80 }, () => {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        closed += 1;
      });
      return socket;
    });
    const deadline = performance.now() + 10_000;
    while (closed < 16 && performance.now() < deadline) await new Promise((resolve) => setImmediate(resolve));
    for (const socket of sockets) socket.destroy();
    expect(closed).toBeGreaterThanOrEqual(16);
  });

  it('says why a port cannot be opened', async () => {
    const url = await start();
    const second = new AdminServer(
      new Metrics().registry(() => 0),
      { ready: () => true },
    );
    await expect(second.open('127.0.0.1', Number(new URL(url).port))).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
  });
});
