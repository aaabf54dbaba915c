import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeRoutes, newAccount } from './routes.js';
import type { RealServer } from './servers/server.js';

const COMMAND = resolve(import.meta.dirname, '../../dist/main.js');

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** One `interstanza doctor` as an operator would run it. */
function doctor(
  flags: readonly string[],
  options: { input?: string; node?: string[] } = {},
): Promise<Outcome> {
  return new Promise((resolved, rejected) => {
    const child = spawn(process.execPath, [...(options.node ?? []), COMMAND, 'doctor', ...flags]);
    const outcome: Outcome = { status: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      outcome.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      outcome.stderr += text;
    });
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    child.once('error', rejected);
    child.once('close', (status) => resolved({ ...outcome, status }));
  });
}

const upstream = (server: RealServer, query = '') => `xmpp://127.0.0.1:${server.port}${query}`;

async function report(server: RealServer, url: string, options = {}) {
  const outcome = await doctor(['--domain', server.domain, '--upstream', url, '--json'], options);
  const [found] = JSON.parse(outcome.stdout);
  return { ...outcome, found, codes: found.advice.map(({ code }: { code: string }) => code) };
}

/** What each server offers to log in with behind TLS 1.3, what the proxy shows of it, and how it is known unauthenticated. */
const SHOWN = {
  prosody: {
    hidden: [],
    sm: true,
    bytes: 262_144,
    advice: 'prosody-rate-limit',
    grounds: ['guessed', expect.stringContaining('a random UUID')],
  },
  ejabberd: {
    hidden: ['mechanism SCRAM-SHA-1-PLUS'],
    sm: true,
    bytes: 262_144,
    advice: 'ejabberd-one-address',
    grounds: ['guessed', expect.stringContaining('a number')],
  },
  jabberd2: {
    hidden: ['mechanism EXTERNAL'],
    sm: false,
    bytes: 65_535,
    advice: 'jabberd2-stanza-limit',
    grounds: ['announced', expect.stringContaining('what no other server does')],
  },
} as const;

const NAMES = { prosody: 'Prosody', ejabberd: 'ejabberd', jabberd2: 'jabberd2' } as const;

describeRoutes(
  'doctor',
  ({ server }) => {
    const expected = SHOWN[server.kind];

    it('finds nothing to change in the clear on loopback', async () => {
      const { status, found, codes } = await report(server, upstream(server));
      expect(status).toBe(0);
      expect(found).toMatchObject({ kind: server.kind, limits: { stanzaBytes: expected.bytes } });
      expect([found.certainty, found.grounds]).toEqual(expected.grounds);
      expect(codes).toContain(expected.advice);
    });

    it('looks behind STARTTLS and direct TLS, and tells what is hidden there', async () => {
      for (const url of [upstream(server, '?tls=starttls'), `xmpps://127.0.0.1:${server.tlsPort}`]) {
        const { status, found } = await report(server, url);
        expect(status).toBe(0);
        expect(found.protocol).toBe('TLSv1.3');
        const hidden = found.treatments.filter(({ action }: { action: string }) => action === 'hidden');
        expect(hidden.map(({ offer }: { offer: string }) => offer)).toEqual(expected.hidden);
      }
    });

    it('names the certificate that nobody would accept, and the pin that would help', async () => {
      const { status, found, codes } = await report(server, upstream(server, '?tls=starttls&verify=full'));
      expect(status).toBe(1);
      expect(codes[0]).toBe('cert-not-valid');
      const { certificateSha256 } = found.tls;
      const pinned = await report(server, upstream(server, `?tls=starttls&verify=pin:${certificateSha256}`));
      expect(pinned.status).toBe(0);
    });

    it('looks behind authentication without saying the password anywhere', async () => {
      const account = await newAccount(server, 'doctor');
      const flags = ['--domain', server.domain, '--upstream', upstream(server), '--jid', account.jid];
      const outcome = await doctor([...flags, '--password-stdin'], { input: `${account.password}\n` });
      expect(outcome.status, outcome.stderr + outcome.stdout).toBe(0);
      expect(outcome.stdout).toMatch(/behind authentication [\s\S]*bind/);
      // Whoever has signed in is told for certain.
      expect(outcome.stdout.split('\n')[0]).toMatch(new RegExp(`: ${NAMES[server.kind]}$`));
      expect(outcome.stdout).not.toContain('A guess');
      expect(outcome.stdout).toMatch(expected.sm ? /sm:3 +ended/ : /sm:3 +added/);
      expect(outcome.stdout + outcome.stderr).not.toContain(account.password);
    });

    it('tells a wrong password from a server that is not there', async () => {
      const account = await newAccount(server, 'doctor');
      const flags = ['--domain', server.domain, '--upstream', upstream(server), '--jid', account.jid];
      const refused = await doctor([...flags, '--password-stdin'], { input: 'not-the-password\n' });
      expect(refused.status).toBe(1);
      expect(refused.stdout).toContain('sign-in-refused');
      const { status, codes } = await report(server, 'xmpp://127.0.0.1:1');
      expect([status, codes]).toEqual([1, ['server-not-reached']]);
    });

    if (server.kind === 'prosody') {
      it('§12.3 says that a TLS 1.2 leg makes clients with channel binding fail', async () => {
        const { status, found, codes } = await report(server, upstream(server, '?tls=starttls'), {
          node: ['--tls-max-v1.2'],
        });
        expect(status).toBe(1);
        expect(found.protocol).toBe('TLSv1.2');
        expect(codes[0]).toBe('binding-refuses-y');
      });
    }
  },
  { via: ['direct'] },
);

describe('the command line of doctor', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'interstanza-doctor-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('looks at all servers of a file', async () => {
    const file = join(folder, 'two.yaml');
    writeFileSync(
      file,
      'domains:\n  a.example:\n    upstreams: [xmpp://127.0.0.1:1]\n  b.example:\n    upstreams: [xmpp://127.0.0.1:2]\n',
    );
    const { status, stdout } = await doctor(['--config', file, '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stdout).map(({ domain }: { domain: string }) => domain)).toEqual([
      'a.example',
      'b.example',
    ]);
  });

  it('is refused with one sentence and no stack when it cannot be understood', async () => {
    const { status, stdout, stderr } = await doctor(['--domian', 'a.example']);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^interstanza: unknown flag --domian \(did you mean "--domain"\?\).*\n$/);
  });
});
