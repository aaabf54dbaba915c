import { type ClientOptions, WebSocket } from 'ws';
import { within } from '../waiting.js';
import { type Account, type Endpoint, type LoginOptions, RawClient } from './raw.js';
import { RawStream } from './raw-stream.js';
import { StreamCarrier } from './stream-carrier.js';

const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';

/** RFC 7395 as a client speaks it, under a stream of bytes. */
export class WebSocketCarrier extends StreamCarrier {
  /** All messages that came, as they came. */
  readonly messages: string[] = [];
  closeCode: number | undefined;

  private constructor(readonly socket: WebSocket) {
    super();
    socket.on('message', (data, binary) => {
      if (binary) this.faults.push('a binary message');
      this.#message(data.toString());
    });
    socket.on('close', (code) => {
      this.closeCode = code;
      this.push(null);
      this.destroy();
    });
    socket.on('error', () => {});
  }

  static async connect(url: string, options: ClientOptions = {}): Promise<WebSocketCarrier> {
    const socket = new WebSocket(url, 'xmpp', { rejectUnauthorized: false, ...options });
    const carrier = new WebSocketCarrier(socket);
    await within(
      `a WebSocket to ${url}`,
      8_000,
      new Promise<void>((resolve, reject) => {
        socket.once('open', resolve);
        socket.once('error', reject);
      }),
    );
    return carrier;
  }

  protected override begin(attributes: string): void {
    this.socket.send(`<open xmlns='${FRAMING}'${attributes}/>`);
  }

  protected override send(element: string): void {
    this.socket.send(element);
  }

  protected override finish(): void {
    this.socket.send(`<close xmlns='${FRAMING}'/>`);
  }

  override _final(done: () => void): void {
    this.socket.close();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.socket.terminate();
    done(error);
  }

  #message(text: string): void {
    this.messages.push(text);
    const open = /^<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'([^>]*)\/>$/.exec(text);
    if (open?.[1] !== undefined) {
      this.checkDocument(text);
      this.receivedHeader(open[1]);
    } else if (text === `<close xmlns='${FRAMING}'/>`) this.receivedEnd();
    else this.received(text);
  }
}

/** A scripted client over WebSocket. */
export interface WebClient {
  readonly client: RawClient;
  readonly carrier: WebSocketCarrier;
}

export async function connectWebSocket(
  url: string,
  domain: string,
  options?: ClientOptions,
): Promise<WebClient> {
  const carrier = await WebSocketCarrier.connect(url, options);
  const { hostname, port } = new URL(url);
  const endpoint: Endpoint = { host: hostname, port: Number(port), domain };
  return { carrier, client: RawClient.over(RawStream.over(carrier), endpoint) };
}

/** A session over WebSocket. */
export async function logInOverWebSocket(
  url: string,
  account: Account,
  { resource, sm }: LoginOptions = {},
): Promise<WebClient> {
  const web = await connectWebSocket(url, account.domain);
  await web.client.openStream();
  await web.client.authenticate(account);
  await web.client.bind(resource);
  if (sm) await web.client.enableSm();
  return web;
}
