import { Buffer } from 'node:buffer';
import { createServer, type Socket } from 'node:net';
import {
  bindFeatures,
  bindResult,
  DOMAIN,
  LOOPBACK,
  SASL_FEATURES,
  SASL_SUCCESS,
  SERVER_HEADER,
} from './streams.js';

/*
 * A server with contacts on another one, which it can reach or not: it logs everybody in, gives who announces capabilities so many presences of that
 * other server's users, answers pings for it or refuses them, and sends messages back to their senders.
 *
 *   node --import tsx bench/annotations-server.ts CONTACTS EACH
 *
 * Prints {"port":N} when it listens. Is told `down` and `up` by its parent.
 */

const [contacts = 10_000, each = 100] = process.argv.slice(2).map(Number);
const FAR = 'far.example';
const ERROR =
  "<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

let isDown = false;
let sessions = 0;
const aware = new Set<Stream>();

class Stream {
  #rest = '';
  #account = '';
  #authenticated = false;
  readonly #number = sessions++;

  constructor(private readonly socket: Socket) {}

  receive(chunk: Buffer): void {
    this.#rest += chunk.toString('latin1');
    const element =
      /\s*(<\?xml[^>]*>|<stream:stream [^>]*>|<(message|iq|presence|auth)\b(?:[^>]*\/>|.*?<\/\2>)|<\/stream:stream>|<[a-z][^>]*\/>)/sy;
    let at = 0;
    let answer = '';
    for (let match = element.exec(this.#rest); match !== null; match = element.exec(this.#rest)) {
      at = element.lastIndex;
      answer += this.#answer(match[1] ?? '');
    }
    this.#rest = this.#rest.slice(at);
    if (answer !== '') this.socket.write(answer, 'latin1');
  }

  write(xml: string): void {
    this.socket.write(xml, 'latin1');
  }

  #answer(element: string): string {
    if (element.startsWith('<message')) return element;
    if (element.startsWith('<stream:stream'))
      return SERVER_HEADER + (this.#authenticated ? bindFeatures(false) : SASL_FEATURES);
    if (element.startsWith('<auth')) {
      const [, payload = ''] = />([^<]*)</.exec(element) ?? [];
      this.#account = Buffer.from(payload, 'base64').toString().split('\0')[1] ?? '';
      this.#authenticated = true;
      return SASL_SUCCESS;
    }
    if (element.startsWith('<presence')) return this.#presence(element);
    return element.startsWith('<iq') ? this.#iq(element) : '';
  }

  #presence(element: string): string {
    if (element.includes(' to=') || !element.includes('/caps')) return '';
    aware.add(this);
    let presences = '';
    for (let n = 0; n < each; n++) {
      const contact = (this.#number * each + n * 101) % contacts;
      presences +=
        `<presence from='contact-${contact}@${FAR}/device' to='${this.#account}@${DOMAIN}/bench'>` +
        "<show>away</show><status>Out to lunch, back at two</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:example:far' ver='PPmVfNhAXjBVeVWsmeLcEMs7BGU='/></presence>";
    }
    return presences;
  }

  #iq(element: string): string {
    const id = attribute(element, 'id') ?? '';
    const to = attribute(element, 'to');
    if (/ type=['"](result|error)/.test(element)) return '';
    if (element.includes('xmpp-bind')) return bindResult(id, this.#account);
    if (to === FAR && isDown) return `<iq type='error' id='${id}' from='${FAR}'>${ERROR}</iq>`;
    const payload = element.includes('jabber:iq:roster') ? "<query xmlns='jabber:iq:roster'/>" : '';
    return `<iq type='result' id='${id}'${to === undefined ? '' : ` from='${to}'`}>${payload}</iq>`;
  }
}

function attribute(element: string, name: string): string | undefined {
  return new RegExp(` ${name}=['"]([^'"]*)`).exec(element)?.[1];
}

process.on('message', (message) => {
  isDown = message === 'down';
  const [first] = aware;
  if (isDown) first?.write(`<message type='error' from='contact-1@${FAR}'>${ERROR}</message>`);
  else first?.write(`<message from='somebody@${FAR}/device'><body>we are back</body></message>`);
});
process.on('disconnect', () => process.exit());

const server = createServer({ noDelay: true }, (socket) => {
  const stream = new Stream(socket);
  socket.on('data', (chunk) => stream.receive(chunk));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => aware.delete(stream));
});
server.listen({ host: LOOPBACK, port: 0, backlog: 4_096 }, () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : undefined }));
});
