import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/commands/arguments.js';
import { probeUpstream } from '../../../src/commands/doctor/probe.js';
import { reportAsJson, reportAsText } from '../../../src/commands/doctor/report.js';
import { runDoctor } from '../../../src/commands/doctor.js';
import { parseUpstream } from '../../../src/config/addresses.js';
import { ConfigError } from '../../../src/config/problem.js';
import { assessUpstream } from '../../../src/stream/assessment.js';
import { NS } from '../../../src/xml/namespaces.js';

const HEADER = `<?xml version='1.0'?><stream:stream xmlns='${NS.client}' xmlns:stream='${NS.stream}' id='x' from='example.org' version='1.0'>`;
const features = (inside: string) => `<stream:features>${inside}</stream:features>`;
const mechanisms = (name: string) =>
  `<mechanisms xmlns='${NS.sasl}'><mechanism>${name}</mechanism></mechanisms>`;

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that answers each chunk by what `answer` makes of it. */
async function serverThat(answer: (text: string, socket: Socket) => string | undefined): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      if (chunk.toString() === '</stream:stream>') socket.end('</stream:stream>');
      const reply = answer(chunk.toString(), socket);
      if (reply !== undefined) socket.write(reply);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return `xmpp://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

describe('looking at a server', () => {
  it('names what it offers in the clear', async () => {
    const url = await serverThat((text) =>
      text.includes('<stream:stream') ? HEADER + features(mechanisms('PLAIN')) : undefined,
    );
    const view = await probeUpstream(parseUpstream(url), 'example.org');
    expect(view.end).toBeUndefined();
    expect(view.tls).toBeUndefined();
    expect(view.beforeTls?.header.from).toBe('example.org');
    expect(view.beforeTls?.features?.getChild('mechanisms', NS.sasl)).toBeDefined();
  });

  it('says who it is for in a PROXY header, which comes first', async () => {
    let first = '';
    const url = await serverThat((text, socket) => {
      first ||= text;
      socket.end(HEADER + features(''));
      return undefined;
    });
    await probeUpstream(parseUpstream(`${url}?proxy=v1`), 'example.org');
    expect(first).toMatch(/^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n/);
  });

  it.each<[string, string, string, string]>([
    ['a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'unreadable', 'text-outside-stream'],
    [
      'an unknown domain',
      `${HEADER}<stream:error><host-unknown xmlns='${NS.streamErrors}'/></stream:error>`,
      'stream-error',
      'host-unknown',
    ],
    ['an end at once', `${HEADER}</stream:stream>`, 'closed', 'the stream was ended'],
    ['an endless element', `${HEADER}<x>${'y'.repeat(300_000)}`, 'unreadable', 'stanza-too-big'],
  ])('ends in order at %s', async (_what, reply, kind, detail) => {
    const url = await serverThat(() => reply);
    const { end } = await probeUpstream(parseUpstream(url), 'example.org');
    expect(end).toEqual({ kind, detail });
  });

  it('tells a closed port', async () => {
    const url = await serverThat(() => '');
    servers.pop()?.close();
    const { end } = await probeUpstream(parseUpstream(url), 'example.org');
    expect(end?.kind).toBe('refused');
  });

  it('does not believe a server that accepts a password it cannot prove to know', async () => {
    let nonce = '';
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const url = await serverThat((text) => {
      if (text.includes('<stream:stream')) return HEADER + features(mechanisms('SCRAM-SHA-1'));
      const said = Buffer.from(/>([^<]*)</.exec(text)?.[1] ?? '', 'base64').toString();
      if (text.startsWith('<auth')) {
        nonce = said.slice(said.indexOf('r=') + 2);
        return `<challenge xmlns='${NS.sasl}'>${base64(`r=${nonce}server,s=c2FsdA==,i=4096`)}</challenge>`;
      }
      return `<success xmlns='${NS.sasl}'>${base64(`v=${base64('a signature that is not')}`)}</success>`;
    });
    const view = await probeUpstream(parseUpstream(url), 'example.org', { local: 'me', password: 'secret' });
    expect(view.end).toMatchObject({ kind: 'sign-in-refused' });
    expect(view.behindAuth).toBeUndefined();
  });

  it('says no password in the clear to another machine, nor over TLS that is asked for and not there', async () => {
    const said: string[] = [];
    const url = await serverThat((text) => {
      said.push(text);
      return text.includes('<stream:stream') ? HEADER + features(mechanisms('PLAIN')) : undefined;
    });
    const upstream = { ...parseUpstream(url), tls: 'starttls' as const };
    await probeUpstream(upstream, 'example.org', { local: 'me', password: 'secret' });
    expect(said.join('')).not.toContain('<auth');
  });
});

describe('the report', () => {
  async function finding(inside: string, query = '', header = HEADER) {
    const url = `${await serverThat((text) => (text.includes('<stream:stream') ? header + features(inside) : undefined))}${query}`;
    const upstream = parseUpstream(url);
    const view = await probeUpstream(upstream, 'example.org');
    return { view, assessment: assessUpstream(view, upstream) };
  }

  it('is a table for people, coloured for terminals only', async () => {
    const one = await finding(`${mechanisms('SCRAM-SHA-1')}<starttls xmlns='${NS.tls}'/>`);
    const text = reportAsText([one], false);
    expect(text).toContain('What the server offers\n  before TLS  mechanisms SCRAM-SHA-1, starttls\n');
    expect(text).toContain('  mechanism SCRAM-SHA-1  passed  passed on as it is\n');
    expect(text).toContain('What to change\n  nothing\n');
    expect(text).not.toContain('\u001b');
    expect(reportAsText([one], true)).toContain('\u001b[1m');
  });

  it('has the sentence of each advice, and no line that is too long to read', async () => {
    const text = reportAsText([await finding(mechanisms('PLAIN'), '?tls=starttls')], false);
    expect(text).toContain('problem  starttls-not-offered');
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(130);
  });

  it('says of a guess that it is one, what it rests on, and how to be sure', async () => {
    const header = HEADER.replace("id='x'", "id='11712322007639991100'");
    const one = await finding(mechanisms('PLAIN'), '', header);
    const words = reportAsText([one], false).replace(/\s+/g, ' ');
    expect(words).toContain(': probably ejabberd A guess: its stream id is a number');
    expect(words).toContain('sign in with --jid and --password-stdin to be sure');
    const signedIn = { ...one.view, behindAuth: one.view.beforeTls };
    const still = reportAsText([{ ...one, view: signedIn }], false).replace(/\s+/g, ' ');
    expect(still).toContain('It does not say who it is behind authentication either.');
    expect(reportAsText([await finding(mechanisms('PLAIN'))], false)).not.toContain('A guess');
  });

  it('is JSON for scripts', async () => {
    const one = await finding(mechanisms('EXTERNAL'));
    expect(JSON.parse(reportAsJson([one]))).toMatchObject([
      {
        domain: 'example.org',
        kind: 'unknown',
        offers: { beforeTls: ['mechanisms EXTERNAL'], behindTls: null },
        advice: [{ code: 'no-mechanism-left', weight: 'problem' }],
      },
    ]);
  });
});

describe('the command line', () => {
  it.each([
    [['--domain', 'example.org', '--upstream', 'xmpp://127.0.0.1', '--jid', 'me@example.org']],
    [['--domain', 'example.org', '--upstream', 'xmpp://127.0.0.1', '--password-stdin']],
    [
      [
        '--domain',
        'example.org',
        '--upstream',
        'xmpp://127.0.0.1',
        '--jid',
        'example.org',
        '--password-stdin',
      ],
    ],
    [['--jsn']],
    [['--listen', 'xmpp://127.0.0.1']],
  ])('%j is refused with a sentence', async (args) => {
    await expect(runDoctor(args)).rejects.toThrow(UsageError);
  });

  it('needs a server to look at', async () => {
    await expect(runDoctor([])).rejects.toThrow(ConfigError);
  });
});
