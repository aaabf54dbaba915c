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
import { until } from '../waiting.js';
import { type CertificateFiles, writeCertificate } from './certificate.js';
import { Daemon } from './daemon.js';
import { freePort, greets } from './ports.js';
import { findProgram, requireProgram, type ServerHandle, type ServerOptions } from './server.js';

export function ejabberdMissing(): string | undefined {
  return findProgram('erl') === undefined || ejabberdCode() === undefined ? 'ejabberd' : undefined;
}

/** Debian keeps the compiled code in a folder with architecture and version in its name. */
export function ejabberdCode(): string | undefined {
  for (const architecture of readdirSync('/usr/lib')) {
    const libraries = join('/usr/lib', architecture);
    if (architecture !== 'ejabberd' && !architecture.endsWith('-linux-gnu')) continue;
    for (const library of readdirSync(libraries)) {
      const folder = join(libraries, library, 'ebin');
      if (library.startsWith('ejabberd-') && existsSync(join(folder, 'ejabberd.app'))) return folder;
    }
  }
  return undefined;
}

export async function startEjabberd(options: ServerOptions = {}): Promise<ServerHandle> {
  const domain = options.domain ?? 'ejabberd.example';
  const directory = mkdtempSync(join(tmpdir(), 'interstanza-ejabberd-'));
  mkdirSync(join(directory, 'spool'));
  const port = await freePort();
  const tlsPort = options.directTls === false ? undefined : await freePort();
  const proxyPort = options.proxyHeader ? await freePort() : undefined;
  const files = writeCertificate(directory, domain);
  const config = join(directory, 'ejabberd.yml');
  writeFileSync(config, configuration(files, domain, { port, tlsPort, proxyPort }, options));
  const code = ejabberdCode();
  if (code === undefined) throw new Error('ejabberd is not installed: run scripts/install-servers.sh');

  let daemon: Daemon | undefined;
  const start = async () => {
    // No node name: so there is no distribution port, and no epmd that would stay behind.
    const args = ['-pa', code, '-noinput', '-noshell', '-mnesia', 'dir', `"${join(directory, 'spool')}"`];
    daemon = new Daemon('ejabberd', requireProgram('erl'), [...args, '-s', 'ejabberd'], {
      cwd: directory,
      env: {
        HOME: directory,
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: join(directory, 'ejabberd.log'),
        ERL_CRASH_DUMP: join(directory, 'crash.dump'),
      },
    });
    const started = daemon;
    await until(
      `ejabberd on port ${port}`,
      async () => {
        if (!started.alive) throw new Error(`ejabberd ended at once:\n${started.output}\n${log(directory)}`);
        return greets(port, domain);
      },
      90_000,
      100,
    );
  };
  await start();

  return {
    kind: 'ejabberd',
    domain,
    muc: `conference.${domain}`,
    host: '127.0.0.1',
    port,
    ...(tlsPort === undefined ? {} : { tlsPort }),
    ...(proxyPort === undefined ? {} : { proxyPort }),
    fingerprint: files.fingerprint,
    has: { mam: options.mam !== false, carbons: true, sm: true },
    directory,
    stop: async () => daemon?.stop(20_000),
    kill: async () => daemon?.kill(),
    dispose: async () => {
      await daemon?.kill();
      rmSync(directory, { recursive: true, force: true });
    },
    restart: async () => {
      await daemon?.stop(20_000);
      await start();
    },
    log: () => `${daemon?.output ?? ''}\n${log(directory)}`,
  };
}

function log(directory: string): string {
  const file = join(directory, 'ejabberd.log');
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

interface Ports {
  port: number;
  tlsPort: number | undefined;
  proxyPort: number | undefined;
}

function configuration(
  files: CertificateFiles,
  domain: string,
  ports: Ports,
  options: ServerOptions,
): string {
  const starttls = options.starttls ?? 'optional';
  const listener = (number: number, extra: string[]) =>
    [
      `  - port: ${number}`,
      '    ip: "127.0.0.1"',
      '    module: ejabberd_c2s',
      '    max_stanza_size: 262144',
      `    backlog: ${options.backlog ?? 1024}`,
      ...extra.map((line) => `    ${line}`),
    ].join('\n');
  const plain = starttls === 'off' ? [] : ['starttls: true'];
  if (starttls === 'required') plain.push('starttls_required: true');
  const listeners = [listener(ports.port, plain)];
  if (ports.tlsPort !== undefined) listeners.push(listener(ports.tlsPort, ['tls: true']));
  if (ports.proxyPort !== undefined) listeners.push(listener(ports.proxyPort, ['use_proxy_protocol: true']));
  // Never "debug": with hostile input that level alone can eat all memory.
  return `
hosts: [${JSON.stringify(domain)}]
loglevel: warning
auth_password_format: scram
registration_timeout: infinity
certfiles: [${JSON.stringify(files.both)}]
disable_sasl_mechanisms: ["x-oauth2", "digest-md5"]
s2s_access: none
access_rules:
  all_ok: {allow: all}
shaper_rules:
  max_user_sessions: 100
  max_user_offline_messages: 100000
listen:
${listeners.join('\n')}
modules:
  mod_disco: {}
  mod_caps: {}
  mod_roster: {versioning: true}
  mod_carboncopy: {}
  mod_stream_mgmt: {resend_on_timeout: if_offline, resume_timeout: ${options.hibernation ?? 300}}
  mod_offline: {}
${options.mam === false ? '' : '  mod_mam: {default: always, assume_mam_usage: true}'}
  mod_muc:
${options.roomHistory ? `    history_size: ${options.roomHistory}` : ''}
    access_create: all_ok
    access_persistent: all_ok
    access_mam: all_ok
    default_room_options: {mam: true, allow_subscription: true, public: true}
  mod_blocking: {}
  mod_privacy: {}
  mod_private: {}
  mod_ping: {}
  mod_client_state: {}
  mod_pubsub: {plugins: [flat, pep]}
  mod_vcard: {search: false}
  mod_s2s_dialback: {}
  mod_version: {}
${options.registration === false ? '' : '  mod_register: {access: all_ok, ip_access: all_ok, password_strength: 0, welcome_message: {}}'}
`;
}
