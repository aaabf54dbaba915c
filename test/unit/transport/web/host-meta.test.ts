import { get, type RequestOptions } from 'node:https';
import { parse } from 'ltx';
import { afterEach, describe, expect, it } from 'vitest';
import type { WebConfig } from '../../../../src/config/model.js';
import { hostMeta } from '../../../../src/transport/web/host-meta.js';
import { closeAll, openMiddlebox, ScriptedSession } from '../middlebox-harness.js';

afterEach(closeAll);

const way = (transport: WebConfig['transport'], path: string, publicHost?: string): WebConfig => ({
  ...{ transport, path, publicHost, forwardedFrom: [], origins: [], deflate: false },
});

describe('XEP-0156: how web clients connect', () => {
  it('as XRD and as JRD, under the name that was asked for', () => {
    const ways = [way('websocket', '/ws'), way('bosh', "/http-bind'&")];
    const xrd = hostMeta(ways, 'chat.example.org:8443', 'xrd');
    expect(xrd?.type).toBe('application/xrd+xml; charset=utf-8');
    const links = parse((xrd?.text ?? '').replace(/^<\?.*?\?>\s*/, '')).getChildren('Link');
    expect(links.map(({ attrs }) => [attrs.rel, attrs.href])).toEqual([
      ['urn:xmpp:alt-connections:websocket', 'wss://chat.example.org:8443/ws'],
      ['urn:xmpp:alt-connections:xbosh', "https://chat.example.org:8443/http-bind'&"],
    ]);
    const jrd = hostMeta(ways, '[2001:db8::1]', 'jrd');
    expect(JSON.parse(jrd?.text ?? '')).toEqual({
      links: [
        { rel: 'urn:xmpp:alt-connections:websocket', href: 'wss://[2001:db8::1]/ws' },
        { rel: 'urn:xmpp:alt-connections:xbosh', href: "https://[2001:db8::1]/http-bind'&" },
      ],
    });
  });

  it('or under the name of the configuration, whatever was asked for', () => {
    expect(hostMeta([way('websocket', '/ws', 'chat.example.org')], 'evil.example', 'jrd')?.text).toContain(
      'wss://chat.example.org/ws',
    );
  });

  it.each(['a b', "x'><y", 'evil.example/path', 'user@evil.example', '', 'x'.repeat(400)])(
    'no name that is none: %s',
    (host) => expect(hostMeta([way('websocket', '/ws')], host, 'xrd')).toBeUndefined(),
  );

  it('is served on the same port, to pages of all origins, over TLS only', async () => {
    const { middlebox } = await openMiddlebox({
      flags: { listeners: ['wss://127.0.0.1:0/ws', 'https://127.0.0.1:0/bosh', 'http://127.0.0.1:0/bosh'] },
      session: (port) => new ScriptedSession(port),
    });
    const ask = (options: RequestOptions) =>
      new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
        get({ host: '127.0.0.1', rejectUnauthorized: false, agent: false, ...options }, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (more: string) => {
            text += more;
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
          );
        }).on('error', reject);
      });
    const [secure = 0, , plain = 0] = middlebox.urls.map((url) => Number(new URL(url).port));
    const answer = await ask({ port: secure, path: '/.well-known/host-meta' });
    expect(answer).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': '*' } });
    expect(answer.text).toContain(`href='wss://127.0.0.1:${secure}/ws'`);
    const json = await ask({ port: secure, path: '/.well-known/host-meta.json' });
    expect(JSON.parse(json.text).links).toHaveLength(2);
    const clear = await fetch(`http://127.0.0.1:${plain}/.well-known/host-meta`);
    expect(clear.status).toBe(404);
    // §4: pages that ask before they ask.
    const preflight = await ask({ port: secure, path: '/.well-known/host-meta.json', method: 'OPTIONS' });
    expect(preflight).toMatchObject({
      status: 204,
      headers: { 'access-control-allow-origin': '*', 'access-control-allow-methods': 'GET, HEAD, OPTIONS' },
    });
    const written = await ask({ port: secure, path: '/.well-known/host-meta', method: 'PUT' });
    expect(written).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } });
  });

  it('behind a front end, by its word: which of the listeners believes it makes no difference', async () => {
    const { middlebox } = await openMiddlebox({
      flags: { listeners: ['ws://127.0.0.1:0/ws', 'http://127.0.0.1:0/bosh?forwarded=127.0.0.1'] },
      session: (port) => new ScriptedSession(port),
    });
    const [url = ''] = middlebox.urls;
    const at = `http://127.0.0.1:${new URL(url).port}/.well-known/host-meta.json`;
    const headers = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'chat.example.org' };
    expect(await (await fetch(at, { headers })).json()).toEqual({
      links: [
        { rel: 'urn:xmpp:alt-connections:websocket', href: 'wss://chat.example.org/ws' },
        { rel: 'urn:xmpp:alt-connections:xbosh', href: 'https://chat.example.org/bosh' },
      ],
    });
    expect((await fetch(at, { headers: { 'X-Forwarded-Proto': 'http' } })).status).toBe(404);
  });
});
