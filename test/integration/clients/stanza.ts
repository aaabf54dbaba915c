import type { Element } from 'ltx';
import { type Agent, createClient, JXT, type Transport, type TransportConfig } from 'stanza';
import { until, within } from '../waiting.js';
import { RawStream } from './raw-stream.js';

const NS_FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';

export interface StanzaLogin {
  readonly host: string;
  readonly port: number;
  readonly domain: string;
  readonly name: string;
  readonly password: string;
  readonly resource: string;
}

/** A session of `stanza`, the library that has `urn:xmpp:psa` among its capabilities by itself. */
export interface StanzaSession {
  readonly agent: Agent;
  /** All elements it has received, in order. */
  readonly received: Element[];
  stop(): void;
}

/** Logs in with `stanza`, sends presence with the capabilities of the library, and waits until the server has it. */
export async function startStanza(login: StanzaLogin): Promise<StanzaSession> {
  const received: Element[] = [];
  const agent = createClient({
    jid: `${login.name}@${login.domain}`,
    resource: login.resource,
    server: login.domain,
    credentials: { username: login.name, password: login.password },
    transports: { tcp: `${login.host}:${login.port}` },
    transportPreferenceOrder: ['tcp'],
    autoReconnect: false,
    useStreamManagement: false,
  });
  agent.transports.tcp = class extends TcpTransport {
    constructor(client: Agent, _: unknown, registry: JXT.Registry) {
      super(client, registry, received);
    }
  };
  const started = new Promise<void>((resolve, reject) => {
    agent.once('session:started', () => resolve());
    agent.once('auth:failed', () => reject(new Error('stanza could not log in')));
  });
  agent.connect();
  await within('login with stanza', 15_000, started);
  agent.updateCaps();
  agent.sendPresence({ legacyCapabilities: agent.getCurrentCaps()?.legacyCapabilities ?? [] });
  await agent.getRoster();
  await until('the library to be asked for its capabilities or known', () => received.length > 0);
  return { agent, received, stop: () => agent.transport?.disconnect(false) };
}

/** The library speaks WebSocket and BOSH; this lets it speak TCP: it is told of a stream as if it came framed (RFC 7395). */
class TcpTransport implements Transport {
  hasStream = false;
  #stream: RawStream | undefined;
  #config: TransportConfig | undefined;
  #opened = false;
  readonly #parser: JXT.StreamParser;

  constructor(
    private readonly client: Agent,
    private readonly registry: JXT.Registry,
    private readonly received: Element[],
  ) {
    this.#parser = new JXT.StreamParser({ allowComments: false, registry, wrappedStream: false });
    this.#parser.on('data', ({ kind, stanza }: JXT.ParsedData) => {
      if (kind === 'stream' && stanza.action === 'open') {
        this.hasStream = true;
        client.emit('stream:start', stanza);
      } else client.emit('stream:data', stanza, kind);
    });
  }

  connect(config: TransportConfig): void {
    this.#config = config;
    const [host = '', port] = (config.url ?? '').split(':');
    void RawStream.connect(host, Number(port)).then((stream) => {
      this.#stream = stream;
      stream.onElement = (element) => this.#onElement(element);
      this.client.emit('connected');
      this.restart();
    });
  }

  restart(): void {
    this.#opened = false;
    this.#stream?.expectHeader();
    this.#stream?.write(
      `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${this.#config?.server}' version='1.0'>`,
    );
  }

  async send(name: string, data?: JXT.JSONData): Promise<void> {
    const xml = data === undefined ? undefined : this.registry.export(name, data)?.toString();
    if (xml !== undefined) this.#stream?.write(xml);
  }

  disconnect(): void {
    this.#stream?.cut();
  }

  #onElement(element: Element): void {
    if (!this.#opened) {
      this.#opened = true;
      this.#parser.write(`<open xmlns='${NS_FRAMING}' version='1.0' from='${this.#config?.server}'/>`);
    }
    this.received.push(element);
    this.#parser.write(element.toString());
  }
}
