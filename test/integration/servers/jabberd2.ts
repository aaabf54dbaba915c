import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { until } from '../waiting.js';
import { type CertificateFiles, writeCertificate } from './certificate.js';
import { Daemon } from './daemon.js';
import { answers, freePort, greets } from './ports.js';
import { findProgram, requireProgram, type ServerHandle, type ServerOptions } from './server.js';

const SHIPPED = '/etc/jabberd2';
const SCHEMA = '/usr/share/doc/jabberd2/db-setup.sqlite.gz';

export function jabberd2Missing(): string | undefined {
  if (findProgram('jabberd2-c2s') === undefined || !existsSync(join(SHIPPED, 'c2s.xml'))) return 'jabberd2';
  if (findProgram('mu-conference') === undefined) return 'jabber-muc';
  return findProgram('sqlite3') === undefined ? 'sqlite3' : undefined;
}

interface Ports {
  router: number;
  c2s: number;
  s2s: number;
  tls: number | undefined;
}

export interface Jabberd2Handle extends ServerHandle {
  /**
   * Kills router and session manager and starts them again, while the clients' connections stay: the state in
   * which jabberd2 returns to its sender, marked, whatever a client sends.
   */
  forgetSessions(): Promise<void>;
}

/** Four daemons and the room component; they find each other through the router. */
export async function startJabberd2(options: ServerOptions = {}): Promise<Jabberd2Handle> {
  const domain = options.domain ?? 'jabberd2.example';
  const directory = mkdtempSync(join(tmpdir(), 'interstanza-jabberd2-'));
  for (const folder of ['rooms', 'rooms-logs']) mkdirSync(join(directory, folder));
  const ports: Ports = {
    router: await freePort(),
    c2s: await freePort(),
    s2s: await freePort(),
    tls: options.directTls === false ? undefined : await freePort(),
  };
  const files = writeCertificate(directory, domain);
  writeConfiguration(directory, files, domain, ports, options);
  execFileSync(requireProgram('sqlite3'), [join(directory, 'sqlite.db')], { input: schema() });

  let daemons: Daemon[] = [];
  const logged = () => readLogs(directory, ['router.log']);
  const launch = (name: string) => {
    const daemon = new Daemon(name, requireProgram(name), ['-c', join(directory, configOf(name))]);
    daemons.push(daemon);
    return daemon;
  };
  const start = async () => {
    const before = logged().length;
    const online = (name: string, id: string) =>
      until(`${name} at the router as ${id}`, () => {
        const dead = daemons.find((daemon) => !daemon.alive);
        if (dead) throw new Error(`${dead.name} ended at once:\n${dead.output}\n${logged()}`);
        return logged().slice(before).includes(`[${id}] online`);
      });
    daemons = [];
    launch('jabberd2-router');
    await until('the jabberd2 router', () => answers(ports.router));
    launch('jabberd2-sm');
    await online('jabberd2-sm', domain);
    launch('jabberd2-c2s');
    await online('jabberd2-c2s', 'c2s');
    launch('jabberd2-s2s');
    await online('jabberd2-s2s', 's2s');
    launch('mu-conference');
    await online('mu-conference', `conference.${domain}`);
    await until(`jabberd2 on port ${ports.c2s}`, () => greets(ports.c2s, domain));
  };
  // Last started, first stopped. The room component takes five seconds over an orderly
  // end and uses them to tell everybody that all rooms are destroyed: it is cut short.
  const stop = async () => {
    for (const daemon of [...daemons].reverse()) {
      if (daemon.name === 'mu-conference') await daemon.kill();
      else await daemon.stop();
    }
  };
  const kill = async () => {
    await Promise.all(daemons.map((daemon) => daemon.kill()));
  };
  await start();

  return {
    kind: 'jabberd2',
    domain,
    muc: `conference.${domain}`,
    host: '127.0.0.1',
    port: ports.c2s,
    ...(ports.tls === undefined ? {} : { tlsPort: ports.tls }),
    fingerprint: files.fingerprint,
    has: { mam: false, carbons: false, sm: false },
    directory,
    stop,
    kill,
    dispose: async () => {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
    restart: async () => {
      await stop();
      await start();
    },
    forgetSessions: async () => {
      const before = logged().length;
      const names = ['jabberd2-router', 'jabberd2-sm'];
      await Promise.all(
        daemons.filter(({ name, alive }) => alive && names.includes(name)).map((one) => one.kill()),
      );
      launch('jabberd2-router');
      await until('the new jabberd2 router', () => answers(ports.router));
      launch('jabberd2-sm');
      const back = () => ['c2s', domain].every((id) => logged().slice(before).includes(`[${id}] online`));
      await until('c2s and sm at the new router', back, 20_000);
    },
    log: () =>
      readLogs(
        directory,
        readdirSync(directory).filter((name) => name.endsWith('.log')),
      ),
  };
}

function configOf(name: string): string {
  return name === 'mu-conference' ? 'muc.xml' : `${name.replace('jabberd2-', '')}.xml`;
}

function schema(): Buffer {
  const plain = SCHEMA.replace(/\.gz$/, '');
  return existsSync(plain) ? readFileSync(plain) : gunzipSync(readFileSync(SCHEMA));
}

function readLogs(directory: string, names: readonly string[]): string {
  return names
    .map((name) => join(directory, name))
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
}

/** The shipped files, with folders, ports and names changed: an own minimal one lacks the module chains. */
function writeConfiguration(
  directory: string,
  files: CertificateFiles,
  domain: string,
  ports: Ports,
  options: ServerOptions,
): void {
  const replaced = (name: string, changes: readonly [string | RegExp, string][]) => {
    const common: [string | RegExp, string][] = [
      [/\/var\/(run|log|lib)\/jabberd2/g, directory],
      [/\/var\/spool\/jabber-muc/g, directory],
      [/\/etc\/jabberd2/g, directory],
      [/<port>5347<\/port>/g, `<port>${ports.router}</port>`],
      [/<ip>0\.0\.0\.0<\/ip>/g, '<ip>127.0.0.1</ip>'],
    ];
    let text = readFileSync(join(SHIPPED, name), 'utf8');
    for (const [from, to] of [...common, ...changes]) text = text.replace(from, to);
    writeFileSync(join(directory, name), text);
  };
  const attributes: string[] = [];
  if (options.registration !== false) attributes.push("register-enable='mu'");
  if (options.starttls !== 'off') attributes.push(`pemfile='${files.both}'`);
  if (options.starttls === 'required') attributes.push("require-starttls='mu'");
  const clientPorts =
    ports.tls === undefined
      ? `<port>${ports.c2s}</port>`
      : `<port>${ports.c2s}</port><ssl-port>${ports.tls}</ssl-port><pemfile>${files.both}</pemfile>`;

  replaced('router.xml', []);
  replaced('router-users.xml', []);
  replaced('router-filter.xml', []);
  replaced('sm.xml', [['<id>localhost.localdomain</id>', `<id>${domain}</id>`]]);
  replaced('s2s.xml', [['<port>5269</port>', `<port>${ports.s2s}</port>`]]);
  replaced('c2s.xml', [
    ["<id register-enable='mu'>localhost.localdomain</id>", `<id ${attributes.join(' ')}>${domain}</id>`],
    ['<port>5222</port>', clientPorts],
  ]);
  replaced('muc.xml', [
    ['<name>conference.localhost</name>', `<name>conference.${domain}</name>`],
    ['<host>conference.localhost</host>', `<host>conference.${domain}</host>`],
    ['<ip>localhost</ip>', '<ip>127.0.0.1</ip>'],
    ['admin@localhost', `admin@${domain}`],
    ...(options.roomHistory
      ? [[/<history>\d+<\/history>/, `<history>${options.roomHistory}</history>`] as [RegExp, string]]
      : []),
  ]);
}
