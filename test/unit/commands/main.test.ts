import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'interstanza-main-'));
const started = new Set<ChildProcess>();
const sockets = new Set<Socket>();

afterEach(() => {
  for (const child of started) child.kill('SIGKILL');
  for (const socket of sockets) socket.destroy();
  started.clear();
  sockets.clear();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Finished {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

function start(...args: string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  let out = '';
  let err = '';
  const waiting: (() => void)[] = [];
  const notify = () => {
    for (const look of [...waiting]) look();
  };
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
    notify();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const finished = new Promise<Finished>((resolve) => {
    child.on('close', (status) => resolve({ status, out, err }));
  });
  /** The first line of the log with this message. */
  const logged = (msg: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const look = () => {
        for (const line of out.split('\n').slice(0, -1)) {
          const entry: unknown = JSON.parse(line);
          if (typeof entry !== 'object' || entry === null || !('msg' in entry) || entry.msg !== msg) continue;
          waiting.splice(waiting.indexOf(look), 1);
          resolve({ ...entry });
          return;
        }
      };
      waiting.push(look);
      look();
      void finished.then(({ status }) =>
        reject(new Error(`ended with ${status} before "${msg}": ${out}${err}`)),
      );
    });
  return { child, finished, logged };
}

function serve(...args: string[]) {
  return start('serve', '--domain', 'a.test', '--upstream', 'xmpp://127.0.0.1:1', '--data', folder, ...args);
}

async function dial(url: unknown): Promise<Socket> {
  const socket = connect({ port: Number(new URL(String(url)).port), host: '127.0.0.1' });
  sockets.add(socket);
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return socket;
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

describe('serve', () => {
  it('says at any log level that it is ready, and where', async () => {
    const { logged } = serve(
      '--listen',
      'xmpp://127.0.0.1:0',
      '--listen',
      'xmpps://127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
      '--log-level',
      'silent',
    );
    const ready = await logged('ready');
    const [first, second] = list(ready.listeners);
    expect(first).toMatch(/^xmpp:\/\/127\.0\.0\.1:[1-9]\d*$/);
    expect(second).toMatch(/^xmpps:\/\/127\.0\.0\.1:[1-9]\d*$/);
    const probe = await fetch(`${String(ready.admin)}/readyz`);
    expect(probe.status).toBe(200);
    await dial(first);
  });

  it('ends with 0 after SIGTERM, having told its clients', async () => {
    const { child, finished, logged } = serve('--listen', 'xmpp://127.0.0.1:0');
    const ready = await logged('ready');
    const socket = await dial(list(ready.listeners)[0]);
    let heard = '';
    socket.on('data', (chunk) => {
      heard += chunk.toString();
    });
    const gone = new Promise<void>((resolve) => socket.once('end', () => resolve()));
    // The upstream does not answer: with its header sent the client has a stream that can be told something.
    socket.write(
      "<?xml version='1.0'?><stream:stream to='other.test' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    );
    await gone;
    child.kill('SIGTERM');
    const { status } = await finished;
    expect(status).toBe(0);
    expect(heard).toContain('host-unknown');
  });

  it('tells connected clients system-shutdown', async () => {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const accepted = new Promise<void>((resolve) => server.once('connection', () => resolve()));
    const { child, finished, logged } = start(
      'serve',
      '--domain',
      'a.test',
      '--upstream',
      `xmpp://127.0.0.1:${port}`,
      '--listen',
      'xmpp://127.0.0.1:0?tls=off',
    );
    const ready = await logged('ready');
    const socket = await dial(list(ready.listeners)[0]);
    let heard = '';
    const told = new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        heard += chunk.toString();
        if (heard.includes('system-shutdown')) resolve();
      });
    });
    socket.write(
      "<?xml version='1.0'?><stream:stream to='a.test' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    );
    await accepted;
    child.kill('SIGTERM');
    await told;
    socket.end('</stream:stream>');
    for (const one of sockets) one.end();
    expect((await finished).status).toBe(0);
    server.close();
  });

  it('names the busy port and ends with 2', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const [listen, admin] = await Promise.all([
      serve('--listen', `xmpp://127.0.0.1:${port}`, '--log-level', 'fatal').finished,
      serve('--listen', 'xmpp://127.0.0.1:0', '--admin', `127.0.0.1:${port}`, '--log-level', 'fatal')
        .finished,
    ]);
    server.close();
    expect(listen).toEqual({
      status: 2,
      out: '',
      err: `interstanza: cannot listen on xmpp://127.0.0.1:${port}: port ${port} is in use by another program\n`,
    });
    expect(admin).toEqual({
      status: 2,
      out: '',
      err: `interstanza: cannot open the admin address 127.0.0.1:${port}: port ${port} is in use by another program\n`,
    });
  });

  it('reads its configuration again on SIGHUP, and says what it cannot change', async () => {
    const file = join(folder, 'reload.yaml');
    const write = (rest: string) =>
      writeFileSync(file, `domains:\n  a.test:\n    upstreams: ["xmpp://127.0.0.1:1"]\n${rest}`);
    write('listeners: ["xmpp://127.0.0.1:0?tls=off"]\n');
    const { child, logged } = start('serve', '--config', file);
    await logged('ready');
    write('listeners: ["xmpp://127.0.0.1:0?tls=off", "xmpp://127.0.0.1:0?tls=off"]\nlogLevel: debug\n');
    child.kill('SIGHUP');
    await logged('listeners has changed in the configuration, which takes a restart to come into force');
    await logged('configuration reloaded');
    write('logLevle: debug\n');
    child.kill('SIGHUP');
    await logged(
      `not reloaded, everything stays as it is: ${file}, line 4, logLevle: there is no such key (did you mean "logLevel"?)`,
    );
  });

  it('shows examples with --help', async () => {
    const { status, out } = await start('serve', '--help').finished;
    expect(status).toBe(0);
    expect(out).toContain('interstanza serve --domain example.org --upstream');
  });
});

describe('check', () => {
  it('says that a file is in order', async () => {
    const file = join(folder, 'good.yaml');
    writeFileSync(file, 'domains:\n  a.test:\n    upstreams: ["xmpp://10.0.0.1?tls=off"]\n');
    const { status, out } = await start('check', '--config', file).finished;
    expect(status).toBe(0);
    expect(out).toContain(
      'warning: the connections of a.test to xmpp://10.0.0.1?tls=off are not encrypted\n',
    );
    expect(out).toContain(`${file} is in order`);
  });

  it('says every mistake in a sentence of its own, without a stack trace, and ends with 2', async () => {
    const file = join(folder, 'bad.yaml');
    writeFileSync(file, 'logLevel: loud\ndomain:\n  a.test: {}\n');
    const { status, err } = await start('check', '--config', file).finished;
    expect(status).toBe(2);
    expect(err.trimEnd().split('\n')).toEqual([
      `interstanza: ${file}, line 1, logLevel: must be one of trace, debug, info, warn, error, fatal, silent, not "loud"`,
      `interstanza: ${file}, line 2, domain: there is no such key (did you mean "domains"?)`,
    ]);
  });
});

describe('the command itself', () => {
  it('knows its version, its commands, and near misses', async () => {
    const [version, help, typo, nothing] = await Promise.all([
      start('--version').finished,
      start('--help').finished,
      start('sevre').finished,
      start().finished,
    ]);
    expect(version.out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(help.status).toBe(0);
    expect(typo).toMatchObject({
      status: 2,
      err: 'interstanza: there is no command "sevre" (did you mean "serve"?); --help shows what there is\n',
    });
    expect(nothing.status).toBe(2);
  });
});
