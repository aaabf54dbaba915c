import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What passes in the clear at the beginning of a stream and says whose it is. */
const NAMED = /<jid>([^<]+)<\/jid>/;
const ENABLED = /<(?:\w+:)?enabled\b[^>]*?\bid=['"]([^'"]+)['"]/;
const RESUMED = /<(?:\w+:)?resumed\b[^>]*?\bprevid=['"]([^'"]+)['"]/;
const BEGINNING = 20_000;
/** The id of a message that counts. */
const COUNTED = /\bid=['"]([^'"~]+~[^'"~]+~\d+)['"]/g;
/** So much of a stanza may come in the next chunk before its id is complete. */
const LONGEST_ID = 200;

interface Line {
  near: Socket;
  far: Socket;
  /** The full JID whose stream it carries, as soon as that is known. */
  jid: string | undefined;
  beginning: string;
  /** What the server has been sent on it, and what it has sent. */
  readonly toServer: Heard;
  readonly fromServer: Heard;
}

/** One direction. */
class Heard {
  /** Messages that count, each by its first place. */
  readonly messages = new Map<string, number>();
  /** The end of what has come, in which an id may have begun. */
  #rest = '';

  listen(chunk: Buffer): void {
    this.#rest += chunk.toString('latin1');
    let end = 0;
    for (const { 0: whole, 1: id = '', index } of this.#rest.matchAll(COUNTED)) {
      if (!this.messages.has(id)) this.messages.set(id, this.messages.size);
      end = index + whole.length;
    }
    this.#rest = this.#rest.slice(Math.max(end, this.#rest.length - LONGEST_ID));
  }
}

/**
 * A piece of network in front of a server that can be cut. It looks at what servers say at the beginning
 * of a stream, so that a test can cut the connection of one session in particular.
 */
export class Relay {
  readonly #server: Server;
  readonly #lines = new Set<Line>();
  /** All that there were. */
  readonly #everyLine: Line[] = [];
  /** Whose session an id of stream management is: a resumed stream does not say its name again. */
  readonly #sessions = new Map<string, string>();

  private constructor(readonly target: { host: string; port: number }) {
    this.#server = createServer((near) => this.#accept(near));
  }

  static async before(target: { host: string; port: number }): Promise<Relay> {
    const relay = new Relay(target);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Cuts every connection of this session, with what is on its way; says how many there were. */
  cut(jid: string): number {
    const lines = [...this.#lines].filter((line) => line.jid === jid);
    for (const line of lines) this.#sever(line);
    return lines.length;
  }

  async close(): Promise<void> {
    for (const line of this.#lines) this.#sever(line);
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    const far = connect(this.target);
    const heard = { toServer: new Heard(), fromServer: new Heard() };
    const line: Line = { near, far, jid: undefined, beginning: '', ...heard };
    this.#lines.add(line);
    this.#everyLine.push(line);
    for (const socket of [near, far]) socket.setNoDelay(true);
    near.on('data', (chunk: Buffer) => line.toServer.listen(chunk));
    far.on('data', (chunk: Buffer) => this.#look(line, chunk));
    this.#carry(line, near, far);
    this.#carry(line, far, near);
  }

  #carry(line: Line, from: Socket, to: Socket): void {
    from.pipe(to);
    from.on('error', () => this.#sever(line));
    from.on('close', () => {
      if (to.closed) this.#lines.delete(line);
      // An end has been passed on by the pipe already; anything else takes the other side with it.
      if (!from.readableEnded) to.resetAndDestroy();
    });
  }

  /** Whether the server has been sent it and has not sent it on any connection of a session whose full JID begins so. */
  keeps(id: string, jid: string): boolean {
    const lines = this.#everyLine;
    if (!lines.some(({ toServer }) => toServer.messages.has(id))) return false;
    return !lines.some((line) => line.jid?.startsWith(jid) === true && line.fromServer.messages.has(id));
  }

  /** Whether the server has sent both on one connection, in this order. */
  sentBefore(earlier: string, later: string): boolean {
    return this.#everyLine.some(({ fromServer: { messages } }) => {
      const [before, after] = [messages.get(earlier), messages.get(later)];
      return before !== undefined && after !== undefined && before < after;
    });
  }

  #look(line: Line, chunk: Buffer): void {
    line.fromServer.listen(chunk);
    if (line.beginning.length > BEGINNING) return;
    line.beginning += chunk.toString('latin1');
    line.jid ??= NAMED.exec(line.beginning)?.[1];
    line.jid ??= this.#sessions.get(RESUMED.exec(line.beginning)?.[1] ?? '');
    const id = ENABLED.exec(line.beginning)?.[1];
    if (id !== undefined && line.jid !== undefined) this.#sessions.set(id, line.jid);
  }

  #sever(line: Line): void {
    for (const socket of [line.near, line.far]) socket.resetAndDestroy();
  }
}
