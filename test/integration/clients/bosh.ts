import { createHash, randomInt } from 'node:crypto';
import { Agent, type IncomingHttpHeaders, type RequestOptions, request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { gunzipSync } from 'node:zlib';
import { type Element, parse } from 'ltx';
import { type Account, type Endpoint, type LoginOptions, RawClient } from './raw.js';
import { RawStream } from './raw-stream.js';
import { StreamCarrier } from './stream-carrier.js';

export const HTTP_BIND = 'http://jabber.org/protocol/httpbind';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const agent = new Agent({ keepAlive: true });

/** One POST, with whatever is in it. */
export function post(url: string, body: string | Buffer, options: RequestOptions = {}): Promise<HttpAnswer> {
  const send = url.startsWith('https:') ? secureRequest : request;
  const all = { method: 'POST', rejectUnauthorized: false, ...(send === request && { agent }), ...options };
  return new Promise((resolve, reject) => {
    const sent = send(url, all, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const all = Buffer.concat(chunks);
        const plain = response.headers['content-encoding'] === 'gzip' ? gunzipSync(all) : all;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: plain.toString() });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

export interface BoshOptions {
  readonly attributes?: string;
  readonly keys?: boolean;
  readonly headers?: Record<string, string>;
}

/** XEP-0124 and XEP-0206 as a client speaks them, under a stream of bytes. */
export class BoshCarrier extends StreamCarrier {
  sid = '';
  rid = randomInt(1_000_000_000);
  /** Of the answer to the first request. */
  created: Element | undefined;
  readonly answers: HttpAnswer[] = [];
  /** Of the answer that ended it. */
  condition: string | undefined;
  #begun = false;
  #over = false;
  #open = 0;
  #queue = '';
  #restart: string | undefined;
  #terminates = false;
  #scheduled = false;
  #resting = false;
  readonly #keys: string[] = [];
  readonly #answered = new Map<number, Element>();
  #next = this.rid + 1;

  constructor(
    readonly url: string,
    private readonly options: BoshOptions = {},
  ) {
    super();
    if (options.keys !== true) return;
    this.#keys.push(createHash('sha1').update(`${Math.random()}`).digest('hex'));
    while (this.#keys.length < 1_000)
      this.#keys.push(createHash('sha1').update(this.#keys.at(-1)!).digest('hex'));
  }

  protected override begin(attributes: string): void {
    if (this.#begun) {
      this.#restart = attributes;
      this.#soon();
      return;
    }
    this.#begun = true;
    const key = this.#keys.length > 0 ? ` newkey='${this.#keys.pop()}'` : '';
    const version = " xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh' ver='1.11'";
    const wanted = `wait='60' hold='1' ${this.options.attributes ?? ''}`;
    void this.#post(`${attributes.replace(/ version='[^']*'/, '')} ${wanted}${version}${key}`, '');
  }

  protected override send(element: string): void {
    this.#queue += element;
    this.#soon();
  }

  protected override finish(): void {
    this.#terminates = true;
    this.#soon();
  }

  /** A pause of so many seconds, during which nothing is asked. */
  async rest(seconds: number): Promise<void> {
    this.#resting = true;
    await this.#post(` pause='${seconds}'`, '');
  }

  /** The pause is over. */
  wakeUp(): void {
    this.#resting = false;
    this.#soon();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#over = true;
    done(error);
  }

  #soon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.sid === '' || this.#over || this.#resting || this.#open > 1) return;
    if (this.#restart !== undefined) {
      const attributes = this.#restart;
      this.#restart = undefined;
      const xmpp = " xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'";
      void this.#post(`${attributes.replace(/ version='[^']*'/, '')}${xmpp}`, '');
    } else if (this.#queue !== '' || this.#terminates) {
      const payload = this.#queue;
      this.#queue = '';
      void this.#post(this.#terminates ? " type='terminate'" : '', payload);
      this.#terminates = false;
    } else if (this.#open === 0) void this.#post('', '');
  }

  async #post(attributes: string, payload: string): Promise<void> {
    this.rid += 1;
    const { rid } = this;
    const sid = this.sid === '' ? '' : ` sid='${this.sid}'`;
    const key = this.sid !== '' && this.#keys.length > 0 ? ` key='${this.#keys.pop()}'` : '';
    const body = `<body xmlns='${HTTP_BIND}' rid='${rid}'${sid}${key}${attributes}>${payload}</body>`;
    this.#open += 1;
    try {
      const answer = await post(this.url, body, { headers: this.options.headers ?? {} });
      this.#open -= 1;
      this.answers.push(answer);
      this.checkDocument(answer.body);
      this.#answered.set(rid, parse(answer.body));
      this.#inOrder();
    } catch (error) {
      this.#open -= 1;
      this.#gone(error as Error);
    }
    if (!this.#over) this.#soon();
  }

  #inOrder(): void {
    for (
      let body = this.#answered.get(this.#next);
      body !== undefined;
      body = this.#answered.get(this.#next)
    ) {
      this.#answered.delete(this.#next);
      this.#next += 1;
      this.#answer(body);
    }
  }

  #answer(body: Element): void {
    if (this.sid === '' && body.attrs.sid !== undefined) {
      this.sid = String(body.attrs.sid);
      this.created = body;
    }
    for (const child of body.getChildElements()) {
      if (child.is('features') || child.is('error')) {
        // What a stream would begin with.
        if (!this.#streaming) this.receivedHeader(` from='${body.attrs.from ?? ''}' id='x' version='1.0'`);
        this.#streaming = true;
      }
      if (child.is('success', 'urn:ietf:params:xml:ns:xmpp-sasl')) this.#streaming = false;
      this.received(child.toString());
    }
    if (body.attrs.type === 'terminate') {
      this.condition = body.attrs.condition === undefined ? 'none' : String(body.attrs.condition);
      if (this.#streaming) this.receivedEnd();
      this.#gone();
    }
  }

  #streaming = false;

  #gone(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    if (error !== undefined) this.condition ??= error.message;
    this.push(null);
    setImmediate(() => this.destroy());
  }
}

export interface BoshClient {
  readonly client: RawClient;
  readonly carrier: BoshCarrier;
}

export function connectBosh(url: string, domain: string, options?: BoshOptions): BoshClient {
  const carrier = new BoshCarrier(url, options);
  const { hostname, port } = new URL(url);
  const endpoint: Endpoint = { host: hostname, port: Number(port), domain };
  return { carrier, client: RawClient.over(RawStream.over(carrier), endpoint) };
}

/** A session over BOSH. */
export async function logInOverBosh(
  url: string,
  account: Account,
  { resource, sm }: LoginOptions = {},
  options?: BoshOptions,
): Promise<BoshClient> {
  const web = connectBosh(url, account.domain, options);
  await web.client.openStream();
  await web.client.authenticate(account);
  await web.client.bind(resource);
  if (sm) await web.client.enableSm();
  return web;
}
