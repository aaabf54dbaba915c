import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Daemon } from '../test/integration/servers/daemon.js';
import { ejabberdCode } from '../test/integration/servers/ejabberd.js';
import { freePort } from '../test/integration/servers/ports.js';
import { requireProgram } from '../test/integration/servers/server.js';
import { until } from '../test/integration/waiting.js';
import { DOMAIN, LOOPBACK } from './streams.js';

/** Something that takes web clients by itself. */
export interface WebEndpoint {
  readonly name: 'proxy' | 'prosody' | 'ejabberd';
  readonly websocket: string;
  readonly bosh: string;
  readonly pid: number;
  /** Where the proxy's metrics are. */
  readonly admin?: string;
  /** What it lets in. */
  readonly mechanism: 'PLAIN' | 'ANONYMOUS';
  stop(): Promise<void>;
}

async function started(daemon: Daemon, name: string, port: number): Promise<void> {
  await until(
    `${name} on port ${port}`,
    () => {
      if (!daemon.alive) throw new Error(`${name} ended at once:\n${daemon.output}`);
      return new Promise<boolean>((resolve) => {
        const socket = connect({ port, host: LOOPBACK }, () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      });
    },
    60_000,
    100,
  );
}

/** Prosody with mod_websocket and mod_bosh, and next to nothing else. */
export async function startWebProsody(): Promise<WebEndpoint> {
  const directory = mkdtempSync(join(tmpdir(), 'interstanza-bench-'));
  mkdirSync(join(directory, 'data'));
  const port = await freePort();
  const path = (name: string) => JSON.stringify(join(directory, name));
  const config = join(directory, 'prosody.cfg.lua');
  writeFileSync(
    config,
    `
${process.getuid?.() === 0 ? 'run_as_root = true' : ''}
pidfile = ${path('pid')}
data_path = ${path('data')}
admin_socket = ${path('admin.sock')}
log = { warn = ${path('log')} }
interfaces = { "127.0.0.1" }
c2s_ports = {}
c2s_direct_tls_ports = {}
s2s_ports = {}
s2s_direct_tls_ports = {}
http_ports = { ${port} }
https_ports = {}
http_default_host = "${DOMAIN}"
c2s_require_encryption = false
consider_websocket_secure = true
consider_bosh_secure = true
authentication = "anonymous"
modules_enabled = { "saslauth", "disco", "websocket", "bosh", "posix" }
VirtualHost "${DOMAIN}"
`,
  );
  const daemon = new Daemon('prosody', requireProgram('prosody'), ['--config', config, '-F']);
  await started(daemon, 'prosody', port);
  return {
    name: 'prosody',
    websocket: `ws://${LOOPBACK}:${port}/xmpp-websocket`,
    bosh: `http://${LOOPBACK}:${port}/http-bind`,
    pid: daemon.pid ?? 0,
    mechanism: 'ANONYMOUS',
    async stop() {
      await daemon.kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** ejabberd with ejabberd_http_ws and mod_bosh. Its schedulers do not wait busily, which would count as work. */
export async function startWebEjabberd(): Promise<WebEndpoint> {
  const directory = mkdtempSync(join(tmpdir(), 'interstanza-bench-'));
  mkdirSync(join(directory, 'spool'));
  const port = await freePort();
  const config = join(directory, 'ejabberd.yml');
  writeFileSync(
    config,
    `
hosts: ["${DOMAIN}"]
loglevel: warning
auth_method: anonymous
anonymous_protocol: sasl_anon
allow_multiple_connections: true
disable_sasl_mechanisms: ["x-oauth2"]
s2s_access: none
listen:
  - port: ${port}
    ip: "127.0.0.1"
    module: ejabberd_http
    backlog: 1024
    request_handlers:
      /ws: ejabberd_http_ws
      /bosh: mod_bosh
modules:
  mod_disco: {}
  mod_bosh: {}
`,
  );
  const code = ejabberdCode();
  if (code === undefined) throw new Error('ejabberd is not installed');
  const quiet = ['+sbwt', 'none', '+sbwtdcpu', 'none', '+sbwtdio', 'none'];
  const args = [
    ...quiet,
    '-pa',
    code,
    '-noinput',
    '-noshell',
    '-mnesia',
    'dir',
    `"${join(directory, 'spool')}"`,
  ];
  const daemon = new Daemon('ejabberd', requireProgram('erl'), [...args, '-s', 'ejabberd'], {
    cwd: directory,
    env: { HOME: directory, EJABBERD_CONFIG_PATH: config, EJABBERD_LOG_PATH: join(directory, 'log') },
  });
  await started(daemon, 'ejabberd', port);
  return {
    name: 'ejabberd',
    websocket: `ws://${LOOPBACK}:${port}/ws`,
    bosh: `http://${LOOPBACK}:${port}/bosh`,
    pid: daemon.pid ?? 0,
    mechanism: 'ANONYMOUS',
    async stop() {
      await daemon.kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
