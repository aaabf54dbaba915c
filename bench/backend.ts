import { Buffer } from 'node:buffer';
import { createServer, type Socket } from 'node:net';
import {
  ANSWER,
  bindFeatures,
  bindResult,
  LOOPBACK,
  SASL_FEATURES,
  SASL_SUCCESS,
  SERVER_HEADER,
  SINK_ACCOUNT,
  unavailable,
} from './streams.js';

/*
 * The server behind: logs everybody in, sends each message back to its sender, acknowledges, and answers any other iq
 * with an error. With --answer each message is answered by one and the same, as it would come from elsewhere.
 *
 *   node --import tsx bench/backend.ts [--sm] [--answer]
 *
 * Prints {"port":N} when it listens.
 */

const streamManagement = process.argv.includes('--sm');
const answers = process.argv.includes('--answer');

const MESSAGE_END = Buffer.from('</message>');
/** What a stream of ours can hold besides messages; all of them rare. */
const OTHERS = ["<r xmlns='urn:xmpp:sm:3'/>", '<a xmlns=', '<iq ', '<enable ', '</stream:stream>'] as const;

class BackendStream {
  #login: string | undefined = '';
  #account = '';
  #authenticated = false;
  #rest: Buffer | undefined;
  #counting = false;
  #handled = 0;

  constructor(private readonly socket: Socket) {}

  receive(chunk: Buffer): void {
    if (this.#login !== undefined) this.#logIn(chunk.toString('latin1'));
    else if (!this.#account.startsWith(SINK_ACCOUNT)) this.#serve(chunk);
  }

  #logIn(text: string): void {
    this.#login += text;
    for (;;) {
      const step =
        /^\s*(<\?xml[^>]*>)?\s*(<stream:stream [^>]*>|<auth [^>]*>[^<]*<\/auth>|<iq .*?<\/iq>)/s.exec(
          this.#login ?? '',
        );
      if (step === null) return;
      this.#login = this.#login?.slice(step[0].length);
      const element = step[2] ?? '';
      if (element.startsWith('<stream')) {
        this.socket.write(
          SERVER_HEADER + (this.#authenticated ? bindFeatures(streamManagement) : SASL_FEATURES),
        );
      } else if (element.startsWith('<auth')) {
        const [, payload = ''] = />([^<]*)</.exec(element) ?? [];
        this.#account = Buffer.from(payload, 'base64').toString().split('\0')[1] ?? '';
        this.#authenticated = true;
        this.socket.write(SASL_SUCCESS);
      } else {
        this.socket.write(bindResult(attribute(element, 'id') ?? '', this.#account));
        const rest = Buffer.from(this.#login ?? '', 'latin1');
        this.#login = undefined;
        if (rest.length > 0) this.receive(rest);
        return;
      }
    }
  }

  /** A chunk that is nothing but messages goes back as it is. */
  #serve(received: Buffer): void {
    let chunk = received;
    if (this.#rest !== undefined) chunk = Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    const whole = chunk.subarray(-MESSAGE_END.length).equals(MESSAGE_END);
    if (!whole || OTHERS.some((other) => chunk.includes(other))) {
      this.#serveOthers(chunk.toString('latin1'));
      return;
    }
    const messages = this.#counting || answers ? occurrences(chunk, MESSAGE_END) : 0;
    if (this.#counting) this.#handled += messages;
    this.socket.write(answers ? Buffer.concat(Array.from({ length: messages }, () => ANSWER)) : chunk);
  }

  #serveOthers(text: string): void {
    const element = /\s*(<(message|iq|presence)\b(?:[^>]*\/>|.*?<\/\2>)|<(?!message|iq|presence)[^>]+>)/sy;
    let answer = '';
    let at = 0;
    for (let match = element.exec(text); match !== null; match = element.exec(text)) {
      at = element.lastIndex;
      const [, found = '', stanza] = match;
      if (stanza !== undefined) this.#handled += 1;
      if (stanza === 'message') answer += answers ? ANSWER.toString('latin1') : found;
      else if (stanza === 'iq' && !/ type=['"](result|error)/.test(found)) {
        answer += unavailable(attribute(found, 'id') ?? '', attribute(found, 'to'));
      } else if (found.startsWith('<enable ')) {
        answer += "<enabled xmlns='urn:xmpp:sm:3'/>";
        this.#counting = true;
        this.#handled = 0;
      } else if (found.startsWith('<r ')) {
        answer += `<a xmlns='urn:xmpp:sm:3' h='${this.#handled}'/>`;
      } else if (found.startsWith('</stream')) {
        this.socket.end(`${answer}</stream:stream>`, 'latin1');
        return;
      }
    }
    if (answer !== '') this.socket.write(answer, 'latin1');
    if (at < text.length) this.#rest = Buffer.from(text.slice(at), 'latin1');
  }
}

function attribute(element: string, name: string): string | undefined {
  return new RegExp(` ${name}=['"]([^'"]*)`).exec(element)?.[1];
}

function occurrences(chunk: Buffer, text: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(text); at !== -1; at = chunk.indexOf(text, at + text.length)) count += 1;
  return count;
}

const server = createServer({ noDelay: true }, (socket) => {
  const stream = new BackendStream(socket);
  socket.on('data', (chunk) => stream.receive(chunk));
  // Whoever goes without a word is as welcome to go.
  socket.on('error', () => socket.destroy());
});
server.listen({ host: LOOPBACK, port: 0, backlog: 1024 }, () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : undefined }));
});
// The bench is gone: so is its backend.
process.on('disconnect', () => process.exit());
