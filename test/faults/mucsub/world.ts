import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Endpoint } from '../../integration/clients/raw.js';
import { RunningProxy } from '../../integration/proxy.js';
import { startJabberd2 } from '../../integration/servers/jabberd2.js';
import { freePort } from '../../integration/servers/ports.js';
import { startProsody } from '../../integration/servers/prosody.js';
import type { ServerHandle } from '../../integration/servers/server.js';

const DOMAIN = 'faults.example';
const START = { prosody: startProsody, jabberd2: startJabberd2 };

/** The proxy and the server behind it, both at places that stay. */
export class World {
  endpoint!: Endpoint;
  server!: ServerHandle;
  #proxy: RunningProxy | undefined;
  readonly #data = mkdtempSync(join(tmpdir(), 'interstanza-data-'));
  readonly #config = join(this.#data, 'allowed.yaml');

  constructor(readonly kind: 'prosody' | 'jabberd2') {}

  async start(): Promise<void> {
    const options = { directTls: false, domain: DOMAIN, hibernation: 20, roomHistory: 400 };
    this.server = await START[this.kind](options);
    const { host, port } = this.server;
    const features = 'features: { mucsub: { allowSubscription: true } }';
    writeFileSync(
      this.#config,
      `domains:\n  ${DOMAIN}:\n    upstreams: [xmpp://${host}:${port}]\n    ${features}\n`,
    );
    this.endpoint = { host: '127.0.0.1', port: await freePort(), domain: this.server.domain };
    await this.startProxy();
  }

  async startProxy(): Promise<void> {
    const listen = [`xmpp://127.0.0.1:${this.endpoint.port}?tls=off`];
    const logLevel = process.env.INTERSTANZA_STORY === undefined ? 'warn' : 'debug';
    const args = ['--config', this.#config];
    this.#proxy = await RunningProxy.inFrontOf(this.server, { listen, data: this.#data, logLevel, args });
  }

  /** @param meanwhile while there is none */
  async restartProxy(kill: boolean, meanwhile: () => Promise<void>): Promise<void> {
    if (kill) await this.#proxy?.kill();
    else await this.#proxy?.stop();
    await meanwhile();
    await this.startProxy();
  }

  async dispose(): Promise<void> {
    await this.#proxy?.dispose();
    await this.server.dispose();
    rmSync(this.#data, { recursive: true, force: true });
  }
}
