import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NS } from '../../xml/namespaces.js';
import { InitiatingStream } from '../initiating-stream.js';
import type { Account } from './actor.js';
import { Child } from './child.js';
import { DemoFailure } from './failure.js';

/** Daemons are often in folders that are not in an ordinary user's PATH. */
const PLACES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin'];

const INSTALLER = fileURLToPath(new URL('../../../scripts/install-servers.sh', import.meta.url));

const START_MS = 10_000;

/** Everything that romeo and juliet need, and no rate limit that would slow them down. */
const MODULES =
  'disco roster saslauth tls carbons smacks csi_simple pep ping version register_ibr posix'.split(' ');

export function findProsody(): string | undefined {
  const path = (process.env.PATH ?? '').split(':').filter((place) => place !== '');
  return [...path, ...PLACES].map((place) => join(place, 'prosody')).find((file) => existsSync(file));
}

/**
 * Installs Debian's package with the project's own script, which says what it does.
 * @throws DemoFailure when that cannot be
 */
export function installProsody(): string {
  const byHand =
    'install the package "prosody" of your system (Debian: apt-get install prosody) and start the demo again';
  if (!existsSync(INSTALLER)) throw new DemoFailure('Prosody is not installed', byHand);
  const { status } = spawnSync('sh', [INSTALLER, '--only', 'prosody'], { stdio: 'inherit' });
  const installed = findProsody();
  if (status !== 0 || installed === undefined) {
    throw new DemoFailure('Prosody is not installed, and installing it failed (see above)', byHand);
  }
  return installed;
}

/** A Prosody of the demo's own, with configuration, data and log in one folder. */
export class Prosody {
  private constructor(
    readonly port: number,
    readonly domain: string,
    private readonly child: Child,
    private readonly log: string,
  ) {}

  /** @throws DemoFailure */
  static async start(
    program: string,
    folder: string,
    domain: string,
    onChild: (child: Child) => void,
  ): Promise<Prosody> {
    const port = await freePort();
    const file = join(folder, 'prosody.cfg.lua');
    const log = join(folder, 'prosody.log');
    mkdirSync(join(folder, 'prosody'));
    writeFileSync(file, configuration(folder, log, port, domain));
    const child = new Child(program, ['--config', file, '-F']);
    onChild(child);
    const prosody = new Prosody(port, domain, child, log);
    await prosody.#untilReady();
    return prosody;
  }

  /** In-band registration at the server itself (XEP-0077). */
  async register({ name, password }: Account): Promise<void> {
    const stream = await this.#open();
    const query = `<query xmlns='${NS.register}'><username>${name}</username><password>${password}</password></query>`;
    stream.send(`<iq type='set' id='register'>${query}</iq>`);
    const answer = await stream.expect(
      'an answer to a registration',
      (element) => element.attrs.id === 'register',
    );
    await stream.close();
    if (answer.attrs.type !== 'result') throw this.#failure(`refuses to make the account ${name}`);
  }

  async #open(): Promise<InitiatingStream> {
    const stream = await InitiatingStream.connect('127.0.0.1', this.port, 2_000);
    try {
      await stream.open({ to: this.domain });
      await stream.expect('stream features', (element) => element.getName() === 'features');
    } catch (error) {
      stream.cut();
      throw error;
    }
    return stream;
  }

  async #untilReady(): Promise<void> {
    const end = Date.now() + START_MS;
    for (;;) {
      if (this.child.ended) throw this.#failure('ended at once');
      const stream = await this.#open().catch(() => undefined);
      if (stream !== undefined) return stream.close();
      if (Date.now() > end) throw this.#failure(`is not up after ${START_MS / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #failure(what: string): DemoFailure {
    const logged = existsSync(this.log) ? readFileSync(this.log, 'utf8') : '';
    const last = `${logged}\n${this.child.output}`.trim().split('\n').slice(-8).join('\n');
    return new DemoFailure(
      `Prosody ${what}`,
      'its last words are above; start the demo again when that is mended',
      last,
    );
  }
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function configuration(folder: string, log: string, port: number, domain: string): string {
  const text = (value: string) => JSON.stringify(value);
  return `-- Made by "interstanza demo"; gone when the demo is.
${process.getuid?.() === 0 ? 'run_as_root = true' : ''}
pidfile = ${text(join(folder, 'prosody.pid'))}
data_path = ${text(join(folder, 'prosody'))}
log = { info = ${text(log)} }
interfaces = { "127.0.0.1" }
c2s_ports = { ${port} }
c2s_direct_tls_ports = {}
s2s_ports = {}
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}
-- The proxy is on this machine, so its leg is in the clear: that is the default set-up.
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
allow_registration = true
modules_enabled = { ${MODULES.map(text).join(', ')} }
modules_disabled = { "s2s" }
VirtualHost ${text(domain)}
Component ${text(`rooms.${domain}`)} "muc"
  muc_room_locking = false
`;
}
