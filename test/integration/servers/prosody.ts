import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../waiting.js';
import { type CertificateFiles, writeCertificate } from './certificate.js';
import { Daemon } from './daemon.js';
import { freePort, greets } from './ports.js';
import { findProgram, requireProgram, type ServerHandle, type ServerOptions } from './server.js';

export function prosodyMissing(): string | undefined {
  return findProgram('prosody') === undefined ? 'prosody' : undefined;
}

export async function startProsody(options: ServerOptions = {}): Promise<ServerHandle> {
  const domain = options.domain ?? 'prosody.example';
  const directory = mkdtempSync(join(tmpdir(), 'interstanza-prosody-'));
  mkdirSync(join(directory, 'data'));
  const port = await freePort();
  const tlsPort = options.directTls === false ? undefined : await freePort();
  const files = writeCertificate(directory, domain);
  const config = join(directory, 'prosody.cfg.lua');
  writeFileSync(config, configuration(directory, files, domain, port, tlsPort, options));

  let daemon: Daemon | undefined;
  const start = async () => {
    daemon = new Daemon('prosody', requireProgram('prosody'), ['--config', config, '-F']);
    const started = daemon;
    await until(`prosody on port ${port}`, async () => {
      if (!started.alive) throw new Error(`prosody ended at once:\n${started.output}`);
      return greets(port, domain);
    });
  };
  await start();

  return {
    kind: 'prosody',
    domain,
    muc: `conference.${domain}`,
    host: '127.0.0.1',
    port,
    ...(tlsPort === undefined ? {} : { tlsPort }),
    fingerprint: files.fingerprint,
    has: { mam: options.mam !== false, carbons: true, sm: true },
    directory,
    stop: async () => daemon?.stop(),
    kill: async () => daemon?.kill(),
    freeze: (frozen) => daemon?.signal(frozen ? 'SIGSTOP' : 'SIGCONT'),
    dispose: async () => {
      await daemon?.kill();
      rmSync(directory, { recursive: true, force: true });
    },
    restart: async () => {
      await daemon?.stop();
      await start();
    },
    log: () => `${daemon?.output ?? ''}\n${readFileSync(join(directory, 'log'), 'utf8')}`,
  };
}

/** Whatever resolver this Prosody has: other servers are where the test says. */
const NAMES_MODULE = `
module:set_global();
local hosts = module:get_option("loopback_hosts", {});
local resolver = {};
function resolver:lookup(callback, name, qtype)
  local address = qtype == "A" and hosts[(name:gsub("%.$", ""))];
  callback(address and { { a = address } } or {});
end
require "net.adns".resolver = function () return resolver; end
`;

/** What lets it talk to other servers. */
function federation(directory: string, { federation }: ServerOptions): string {
  if (federation === undefined) return 's2s_ports = {}';
  writeFileSync(join(directory, 'mod_loopback_names.lua'), NAMES_MODULE);
  const hosts = Object.entries(federation.hosts).map(([name, address]) => `["${name}"] = "${address}";`);
  return `s2s_ports = { 5269 }
s2s_interfaces = { "${federation.address}" }
s2s_secure_auth = false
s2s_require_encryption = false
plugin_paths = { ${JSON.stringify(directory)} }
loopback_hosts = { ${hosts.join(' ')} }`;
}

function configuration(
  directory: string,
  files: CertificateFiles,
  domain: string,
  port: number,
  tlsPort: number | undefined,
  options: ServerOptions,
): string {
  const modules = [
    'disco',
    'roster',
    'saslauth',
    'carbons',
    'smacks',
    'csi_simple',
    'offline',
    'blocklist',
    'pep',
    'private',
    'ping',
    'version',
    'dialback',
    'admin_shell',
    'posix',
  ];
  if (options.starttls !== 'off') modules.push('tls');
  if (options.rateLimit) modules.push('limits');
  if (options.mam !== false) modules.push('mam');
  if (options.registration !== false) modules.push('register_ibr');
  if (options.federation !== undefined) modules.push('loopback_names');
  const path = (name: string) => JSON.stringify(join(directory, name));
  const tls = `{ certificate = ${JSON.stringify(files.certificate)}, key = ${JSON.stringify(files.key)} }`;
  // Without the module "limits" there is no rate limit, which bursts in tests would meet.
  return `
${process.getuid?.() === 0 ? 'run_as_root = true' : ''}
pidfile = ${path('pid')}
data_path = ${path('data')}
admin_socket = ${path('admin.sock')}
log = { info = ${path('log')} }
interfaces = { "127.0.0.1" }
c2s_ports = { ${port} }
c2s_direct_tls_ports = { ${tlsPort ?? ''} }
c2s_direct_tls_ssl = ${tls}
${federation(directory, options)}
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}
ssl = ${tls}
${options.rateLimit ? `limits = { c2s = { rate = "${options.rateLimit}", burst = "1s" } }` : ''}
c2s_require_encryption = ${options.starttls === 'required'}
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
allow_registration = ${options.registration !== false}
smacks_hibernation_time = ${options.hibernation ?? 600}
modules_enabled = { ${modules.map((name) => JSON.stringify(name)).join(', ')} }
VirtualHost ${JSON.stringify(domain)}
Component ${JSON.stringify(`conference.${domain}`)} "muc"
  modules_enabled = { ${options.mam === false ? '' : '"muc_mam"'} }
  muc_room_locking = false
  ${options.roomAdmin ? `admins = { ${JSON.stringify(options.roomAdmin)} }` : ''}
  muc_room_default_public = true
  ${options.roomHistory ? `muc_room_default_history_length = ${options.roomHistory}` : ''}
`;
}
