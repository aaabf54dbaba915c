import { Buffer } from 'node:buffer';
import { randomInt } from 'node:crypto';
import { type Agent, request } from 'node:http';
import autocannon from 'autocannon';
import { WebSocket } from 'ws';
import { bindRequest, DOMAIN, plainAuth } from './streams.js';
import type { WebEndpoint } from './web-servers.js';

/*
 * Web clients that log in by script and send messages to themselves: what comes back has gone through all that a message goes through.
 */

const STEP_MS = 20_000;
/** What a request over BOSH may be held for. */
const WAIT_MS = 60_000;
const HTTP_BIND = 'http://jabber.org/protocol/httpbind';
const XBOSH = "xmlns:xmpp='urn:xmpp:xbosh'";

const ANONYMOUS = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";

const authOf = (endpoint: WebEndpoint, account: string) =>
  endpoint.mechanism === 'PLAIN' ? plainAuth(account) : ANONYMOUS;

const bindOf = (resource: string) => bindRequest(resource).replace('<iq ', "<iq xmlns='jabber:client' ");

function jidIn(answer: string): string {
  const [, jid] = /<jid>([^<]+)<\/jid>/.exec(answer) ?? [];
  if (jid === undefined) throw new Error(`no resource was bound: ${answer}`);
  return jid;
}

/** A chat message as clients send it today, to oneself; about 330 bytes. */
function messageTo(jid: string): string {
  return (
    `<message xmlns='jabber:client' to='${jid}' type='chat' id='8f0c4ad5-9a0b-4f3e-8b1e-2a7f8f7d5c11' xml:lang='en'>` +
    '<body>What’s in a name? That which we call a rose by any</body>' +
    "<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>" +
    "<origin-id xmlns='urn:xmpp:sid:0' id='8f0c4ad5-9a0b-4f3e'/></message>"
  );
}

/** A session over WebSocket. */
export class WebSocketSession {
  onMessage: () => void = () => {};
  readonly #message: string;

  private constructor(
    private readonly socket: WebSocket,
    jid: string,
  ) {
    this.#message = messageTo(jid);
  }

  static async open(endpoint: WebEndpoint, account: string): Promise<WebSocketSession> {
    const socket = new WebSocket(endpoint.websocket, 'xmpp', { perMessageDeflate: false });
    let hear: (text: string) => void = () => {};
    socket.on('message', (data: Buffer) => hear(data.toString()));
    const until = (pattern: RegExp, send: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${endpoint.name}: no ${pattern}`)), STEP_MS);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error(`${endpoint.name}: closed, and no ${pattern}`)));
        hear = (text) => {
          if (!pattern.test(text)) return;
          clearTimeout(timer);
          resolve(text);
        };
        if (socket.readyState === WebSocket.OPEN) socket.send(send);
        else socket.once('open', () => socket.send(send));
      });
    const logIn = async (): Promise<string> => {
      const open = `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${DOMAIN}' version='1.0'/>`;
      await until(/mechanisms/, open);
      await until(/<success/, authOf(endpoint, account));
      await until(/<bind/, open);
      return jidIn(await until(/<jid>/, bindOf(account)));
    };
    const jid = await logIn().catch((error: unknown) => {
      // Half a session is none that may be counted.
      socket.terminate();
      throw error;
    });
    const session = new WebSocketSession(socket, jid);
    hear = (text) => {
      if (text.startsWith('<message')) session.onMessage();
    };
    return session;
  }

  send(): void {
    this.socket.send(this.#message);
  }

  close(): void {
    this.socket.terminate();
  }

  /** Resolves when a message to oneself has come back. */
  answers(): Promise<void> {
    return within(
      new Promise((resolve) => {
        this.onMessage = resolve;
        this.send();
      }),
    );
  }
}

async function within(answered: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('a session is not there any more')), STEP_MS);
  });
  await Promise.race([answered, late]).finally(() => clearTimeout(timer));
}

/** All sessions at once, each with so many messages on their way. @returns how many have come back */
export function relayWebSocket(
  sessions: readonly WebSocketSession[],
  inFlight: number,
  milliseconds: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const end = performance.now() + milliseconds;
    const lost = setTimeout(() => reject(new Error('messages are missing')), milliseconds + STEP_MS);
    let open = sessions.length * inFlight;
    let count = 0;
    for (const session of sessions) {
      session.onMessage = () => {
        count += 1;
        if (performance.now() < end) session.send();
        else if (--open === 0) {
          clearTimeout(lost);
          resolve(count);
        }
      };
      for (let n = 0; n < inFlight; n += 1) session.send();
    }
  });
}

/** A session over BOSH, whose next request is the caller's to make, until it is held. */
export class BoshSession {
  onMessage: () => void = () => {};
  #held = false;
  #open = 0;
  #sid = '';
  #rid = randomInt(1_000_000_000);
  #message = '';

  private constructor(
    private readonly endpoint: WebEndpoint,
    private readonly agent: Agent,
  ) {}

  static async open(endpoint: WebEndpoint, account: string, agent: Agent): Promise<BoshSession> {
    const session = new BoshSession(endpoint, agent);
    const created = await session.ask(
      '',
      `to='${DOMAIN}' wait='${WAIT_MS / 1000}' hold='1' ver='1.6' ${XBOSH} xmpp:version='1.0'`,
    );
    session.#sid = / sid=["']([^"']+)/.exec(created)?.[1] ?? '';
    if (!created.includes('mechanisms')) await session.until(/mechanisms/);
    if (!(await session.ask(authOf(endpoint, account))).includes('<success')) await session.until(/<success/);
    const restarted = await session.ask('', `to='${DOMAIN}' ${XBOSH} xmpp:restart='true'`);
    if (!restarted.includes('<bind')) await session.until(/<bind/);
    const bound = await session.ask(bindOf(account));
    session.#message = messageTo(jidIn(bound.includes('<jid>') ? bound : await session.until(/<jid>/)));
    return session;
  }

  /** The next request, with a message to oneself in it. */
  nextMessage(): string {
    return this.#body(this.#message, '');
  }

  /** From now on there is always one request that the server can answer, as with any client that is waiting. */
  hold(): void {
    this.#held = true;
    void this.#say('');
  }

  close(): void {
    this.#held = false;
  }

  /** Of a session that is held: resolves when a message to oneself has come back. */
  answers(): Promise<void> {
    return within(
      new Promise((resolve) => {
        this.onMessage = resolve;
        void this.#say(this.#message);
      }),
    );
  }

  /** Whoever asks whether the session is there hears of an error by hearing nothing. */
  async #say(payload: string): Promise<void> {
    this.#open += 1;
    const answer = await this.ask(payload).catch(() => "type='terminate'");
    this.#open -= 1;
    if (answer.includes('<message')) this.onMessage();
    // A second one would be more than there is to wait for (XEP-0124 §11).
    if (this.#held && this.#open === 0 && !/type=['"]terminate/.test(answer)) void this.#say('');
  }

  async until(pattern: RegExp): Promise<string> {
    for (let n = 0; n < 5; n += 1) {
      const answer = await this.ask('');
      if (pattern.test(answer)) return answer;
    }
    throw new Error(`${this.endpoint.name}: no ${pattern}`);
  }

  ask(payload: string, attributes = ''): Promise<string> {
    const body = this.#body(payload, attributes);
    return new Promise((resolve, reject) => {
      const options = { method: 'POST', agent: this.agent, timeout: WAIT_MS + STEP_MS };
      const sent = request(this.endpoint.bosh, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve(Buffer.concat(chunks).toString()));
      });
      sent.on('timeout', () => sent.destroy(new Error(`${this.endpoint.name}: no answer`)));
      sent.on('error', reject);
      sent.end(body);
    });
  }

  #body(payload: string, attributes: string): string {
    this.#rid += 1;
    const sid = this.#sid === '' ? '' : ` sid='${this.#sid}'`;
    return `<body xmlns='${HTTP_BIND}' rid='${this.#rid}'${sid} ${attributes}>${payload}</body>`;
  }
}

/** Each session on a connection of its own: a request with a message, its answer with the message that comes back, and so on. */
export async function relayBosh(
  endpoint: WebEndpoint,
  sessions: readonly BoshSession[],
  amount: number,
): Promise<number> {
  let next = 0;
  const outcome = await autocannon({
    url: endpoint.bosh,
    connections: sessions.length,
    amount,
    timeout: STEP_MS / 1000,
    setupClient: (client) => {
      const session = sessions[next++];
      if (session === undefined) throw new Error('more connections than sessions');
      client.setRequests([
        { method: 'POST', setupRequest: (made) => ({ ...made, body: session.nextMessage() }) },
      ]);
    },
    verifyBody: (body) => body.includes('<message'),
  });
  const { errors, timeouts, mismatches, non2xx } = outcome;
  if (errors + timeouts + non2xx > 0 || mismatches > sessions.length)
    throw new Error(`${endpoint.name}: ${JSON.stringify({ errors, timeouts, mismatches, non2xx })}`);
  return outcome.requests.total;
}
