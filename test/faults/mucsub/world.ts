import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cable } from '../../integration/cable.js';
import type { Endpoint } from '../../integration/clients/raw.js';
import { RunningProxy } from '../../integration/proxy.js';
import { startEjabberd } from '../../integration/servers/ejabberd.js';
import { startJabberd2 } from '../../integration/servers/jabberd2.js';
import { freePort } from '../../integration/servers/ports.js';
import { startProsody } from '../../integration/servers/prosody.js';
import type { ServerHandle } from '../../integration/servers/server.js';

const DOMAIN = 'faults.example';
const START = { prosody: startProsody, ejabberd: startEjabberd, jabberd2: startJabberd2 };
/** What is asked of the proxy in front of each. */
const FEATURES = {
  prosody: 'mucsub: { allowSubscription: true }',
  ejabberd: `mucsub-client: { rooms: ['*@conference.${DOMAIN}'] }`,
  jabberd2: 'mucsub: { allowSubscription: true }',
};

/** The proxy and the server behind it, both at places that stay. */
export class World {
  endpoint!: Endpoint;
  server!: ServerHandle;
  #proxy: RunningProxy | undefined;
  #port = 0;
  #upstream = '';
  readonly #cables: Cable[] = [];
  readonly #data = mkdtempSync(join(tmpdir(), 'interstanza-data-'));
  readonly #config = join(this.#data, 'allowed.yaml');

  constructor(readonly kind: keyof typeof START) {}

  async start(): Promise<void> {
    const options = {
      directTls: false,
      domain: DOMAIN,
      hibernation: 20,
      // Of mu-conference's rooms that is all they know; ejabberd's have archives, and what is behind their history is to come out of those.
      ...(this.kind !== 'ejabberd' && { roomHistory: 400 }),
    };
    this.server = await START[this.kind](options);
    const { host } = this.server;
    const port = await this.#recorded('server', this.server.port);
    this.#upstream = `xmpp://${host}:${port}`;
    const features = `features: { ${FEATURES[this.kind]} }`;
    writeFileSync(
      this.#config,
      `domains:\n  ${DOMAIN}:\n    upstreams: ['${this.#upstream}']\n    ${features}\n`,
    );
    this.#port = await freePort();
    const near = await this.#recorded('client', this.#port);
    this.endpoint = { host: '127.0.0.1', port: near, domain: this.server.domain };
    await this.startProxy();
  }

  /** Where INTERSTANZA_WIRE names a file, all that goes over a port is written there. @returns the port to connect to */
  async #recorded(leg: string, port: number): Promise<number> {
    const file = process.env.INTERSTANZA_WIRE;
    if (file === undefined) return port;
    const cable = await Cable.to({ host: '127.0.0.1', port }, () => {
      const line = `${leg} ${cable.connections}`;
      const note = (way: string) => (chunk: Buffer) => {
        const shown = chunk
          .toString()
          .replaceAll(/<(message|presence|iq|a|r|enable|enabled|resume|resumed|failed)\b/g, '\n      <$1');
        appendFileSync(file, `${Date.now() % 100_000_000} ${line} ${way} ${shown}\n`);
      };
      return { fromNear: note('>'), fromFar: note('<') };
    });
    this.#cables.push(cable);
    return cable.port;
  }

  async startProxy(): Promise<void> {
    const listen = [`xmpp://127.0.0.1:${this.#port}?tls=off`];
    const logLevel = process.env.INTERSTANZA_STORY === undefined ? 'warn' : 'debug';
    const args = ['--config', this.#config];
    const { domain } = this.server;
    const upstream = this.#upstream;
    this.#proxy = await RunningProxy.start({ domain, upstream, listen, data: this.#data, logLevel, args });
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
    for (const cable of this.#cables) await cable.close();
    await this.server.dispose();
    rmSync(this.#data, { recursive: true, force: true });
  }
}
