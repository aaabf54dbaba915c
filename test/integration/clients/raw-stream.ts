import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Element } from 'ltx';
import { SaxesParser, type SaxesTagNS } from 'saxes';
import { within } from '../waiting.js';

export const NS = {
  bind: 'urn:ietf:params:xml:ns:xmpp-bind',
  client: 'jabber:client',
  register: 'jabber:iq:register',
  sasl: 'urn:ietf:params:xml:ns:xmpp-sasl',
  session: 'urn:ietf:params:xml:ns:xmpp-session',
  sm: 'urn:xmpp:sm:3',
  stanzas: 'urn:ietf:params:xml:ns:xmpp-stanzas',
  streamErrors: 'urn:ietf:params:xml:ns:xmpp-streams',
  streams: 'http://etherx.jabber.org/streams',
  tls: 'urn:ietf:params:xml:ns:xmpp-tls',
} as const;

export type Predicate = (element: Element) => boolean;

interface Waiter {
  predicate: Predicate;
  resolve: (element: Element) => void;
  reject: (error: Error) => void;
}

export const DEADLINE_MS = 8_000;

/**
 * One XML stream over one TCP connection, as bytes out and elements in. It knows
 * nothing of XMPP but that stanzas are the children of the root, so that a test can
 * say exactly what goes over the wire. Every element comes with its namespace in
 * `xmlns` and without a prefix, however it was written.
 */
export class RawStream {
  /** The stream header last received. */
  header: Record<string, string> | undefined;
  /** What the XML parser had to object to in what was received. */
  readonly faults: string[] = [];
  /** Elements received and not yet taken by `expect`, oldest first. */
  readonly inbox: Element[] = [];
  /** Everything received since the last stream header that was sent. */
  text = '';
  /** `</stream:stream>` was received. */
  ended = false;
  /** The connection is gone. */
  closed = false;
  /** Why the connection broke, if it did not just end. */
  trouble = '';
  /** Sees every element before `expect` does. */
  onElement: ((element: Element) => void) | undefined;

  #socket: Socket | TLSSocket;
  #parser: SaxesParser<{ xmlns: true }>;
  #open: Element[] = [];
  #depth = 0;
  #waiters: Waiter[] = [];
  #changed = new Set<() => void>();
  #decoder = new TextDecoder('utf-8');

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#parser = this.#newParser();
    this.#listen(socket);
  }

  static async connect(host: string, port: number): Promise<RawStream> {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.setNoDelay(true);
    await within(
      `a connection to ${host}:${port}`,
      DEADLINE_MS,
      new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      }),
    );
    return new RawStream(socket);
  }

  /** A stream over whatever carries its bytes. */
  static over(carrier: Duplex): RawStream {
    return new RawStream(carrier as Socket);
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  get protocol(): string | null {
    return 'getProtocol' in this.#socket ? this.#socket.getProtocol() : null;
  }

  /** DER of what the other side presented. */
  get certificate(): Buffer | undefined {
    return 'getPeerX509Certificate' in this.#socket ? this.#socket.getPeerX509Certificate()?.raw : undefined;
  }

  /** Goes on over TLS. Certificates are self-signed here, so what is checked is only that it works. */
  async secure(servername: string, alpn: readonly string[] = []): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners();
    const secured = connectTls({
      socket: plain,
      servername,
      rejectUnauthorized: false,
      ...(alpn.length > 0 ? { ALPNProtocols: [...alpn] } : {}),
    });
    await within(
      'the TLS handshake',
      DEADLINE_MS,
      new Promise<void>((resolve, reject) => {
        secured.once('secureConnect', resolve);
        secured.once('error', reject);
        plain.once('close', () => reject(new Error('closed during the TLS handshake')));
      }),
    );
    plain.removeAllListeners('error');
    this.#socket = secured;
    this.#listen(secured);
    this.expectHeader();
  }

  /** From here on a new stream is expected from the other side. */
  expectHeader(): void {
    this.#parser = this.#newParser();
    this.#decoder = new TextDecoder('utf-8');
    this.header = undefined;
    this.#open = [];
    this.#depth = 0;
    this.text = '';
  }

  write(bytes: string | Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** One write for each `size` bytes, each handed to the system before the next. */
  async writeInPieces(bytes: string | Buffer, size = 1): Promise<void> {
    const buffer = Buffer.from(bytes as string);
    for (let at = 0; at < buffer.length; at += size) {
      await new Promise<void>((resolve) => {
        this.#socket.write(buffer.subarray(at, at + size), () => resolve());
      });
    }
  }

  /** Half-close: nothing more will be sent, but everything is still read. */
  halfClose(): void {
    this.#socket.end();
  }

  /** An abrupt end, with RST where possible. */
  cut(): void {
    const socket = this.#socket;
    if ('resetAndDestroy' in socket && !('getProtocol' in socket)) socket.resetAndDestroy();
    else socket.destroy();
    this.closed = true;
  }

  /** Stops reading from the connection, so that it fills up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The first element, already received or still to come, that fits; it is taken from the inbox. */
  async expect(what: string, predicate: Predicate, deadlineMs = DEADLINE_MS): Promise<Element> {
    const at = this.inbox.findIndex(predicate);
    const known = at < 0 ? undefined : this.inbox.splice(at, 1)[0];
    if (known) return known;
    let waiter: Waiter | undefined;
    const arrival = new Promise<Element>((resolve, reject) => {
      waiter = { predicate, resolve, reject };
      if (this.closed) reject(new Error(`the connection is closed: ${what}`));
      else this.#waiters.push(waiter);
    });
    try {
      return await within(what, deadlineMs, arrival);
    } catch (error) {
      throw new Error(`${(error as Error).message}${this.#describe()}`);
    } finally {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
    }
  }

  /** Resolves when `condition`, looked at after everything that happens here, holds. */
  async when(what: string, condition: () => boolean, deadlineMs = DEADLINE_MS): Promise<void> {
    if (condition()) return;
    let look: () => void = () => {};
    const holds = new Promise<void>((resolve) => {
      look = () => condition() && resolve();
      this.#changed.add(look);
    });
    try {
      await within(what, deadlineMs, holds);
    } catch (error) {
      throw new Error(`${(error as Error).message}${this.#describe()}`);
    } finally {
      this.#changed.delete(look);
    }
  }

  #describe(): string {
    const waiting = this.inbox.map((element) => `\n    ${element.toString().slice(0, 300)}`).join('');
    const state = `ended=${this.ended} closed=${this.closed} faults=${JSON.stringify(this.faults.slice(0, 3))} ${this.trouble}`;
    return `\n  ${state}\n  received and not expected:${waiting || ' nothing'}\n  last bytes: ${this.text.slice(-400)}`;
  }

  #listen(socket: Socket | TLSSocket): void {
    socket.on('data', (chunk: Buffer) => {
      const text = this.#decoder.decode(chunk, { stream: true });
      this.text = (this.text + text).slice(-1_000_000);
      this.#parser.write(text);
      this.#notify();
    });
    socket.on('error', (error) => {
      this.trouble = error.message;
    });
    socket.on('end', () => {
      if (!socket.destroyed) socket.end();
    });
    socket.on('close', () => {
      this.closed = true;
      this.#notify();
      for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error('the connection was closed'));
    });
  }

  #notify(): void {
    for (const look of [...this.#changed]) look();
  }

  #newParser(): SaxesParser<{ xmlns: true }> {
    const parser = new SaxesParser({ xmlns: true });
    parser.on('error', (error) => {
      this.faults.push(error.message);
    });
    parser.on('opentag', (tag) => this.#opened(tag));
    parser.on('text', (text) => this.#open.at(-1)?.t(text));
    parser.on('cdata', (text) => this.#open.at(-1)?.t(text));
    parser.on('closetag', () => {
      this.#depth -= 1;
      const element = this.#open.pop();
      if (this.#depth === 1 && element) this.#received(element);
      if (this.#depth === 0) this.ended = true;
    });
    return parser;
  }

  #opened(tag: SaxesTagNS): void {
    const attributes: Record<string, string> = {};
    for (const [name, attribute] of Object.entries(tag.attributes)) {
      if (attribute.prefix !== 'xmlns') attributes[name] = attribute.value;
    }
    attributes.xmlns = tag.uri;
    this.#depth += 1;
    if (this.#depth === 1) {
      this.header = attributes;
      return;
    }
    const element = new Element(tag.local, attributes);
    this.#open.at(-1)?.cnode(element);
    this.#open.push(element);
  }

  #received(element: Element): void {
    this.onElement?.(element);
    const waiter = this.#waiters.find((each) => each.predicate(element));
    if (!waiter) {
      this.inbox.push(element);
      return;
    }
    this.#waiters = this.#waiters.filter((other) => other !== waiter);
    waiter.resolve(element);
  }
}
