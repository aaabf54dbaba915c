import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Element } from 'ltx';
import { type HeaderAttributes, streamHeader } from '../stream/header.js';
import type { Frame } from '../xml/frame.js';
import type { StreamHeader } from '../xml/header.js';
import { AFTER_AUTH } from '../xml/limits.js';
import { NamespaceTable, NS } from '../xml/namespaces.js';
import { Tokenizer } from '../xml/tokenizer.js';
import { frameToElement } from '../xml/tree.js';

/** What went wrong with a stream, as far as the one who opened it can tell. */
export type StreamTrouble =
  | 'refused'
  | 'unresolvable'
  | 'unreachable'
  | 'silent'
  | 'closed'
  | 'unreadable'
  | 'stream-error'
  | 'tls-failed';

export class StreamProblem extends Error {
  override readonly name = 'StreamProblem';

  /** @param detail what was waited for, or the condition or code that came instead */
  constructor(
    readonly trouble: StreamTrouble,
    readonly detail: string,
  ) {
    super(`${trouble}: ${detail}`);
  }
}

interface Waiter {
  readonly wanted: (element: Element) => boolean;
  readonly resolve: (element: Element) => void;
  readonly reject: (problem: StreamProblem) => void;
}

/** Elements that may lie unread before the peer counts as misbehaving. */
const MOST_UNREAD = 1_000;

const NAMESPACES = new NamespaceTable(Object.values(NS));

/**
 * A stream that this process opens by itself (RFC 6120 §1.4: the initiating entity), with a socket of its own: what `doctor`
 * looks at a server with and what the clients of `demo` speak through. Bounded in bytes and in time.
 */
export class InitiatingStream {
  /** Sees every element before anybody who waits for one. */
  onElement: ((element: Element, xml: string) => void) | undefined;
  /** Told when the other side has opened its stream. */
  onOpened: ((header: StreamHeader) => void) | undefined;
  /** Sees what is sent. */
  onSend: ((xml: string) => void) | undefined;
  header: StreamHeader | undefined;
  #socket: Socket;
  #tokenizer: Tokenizer;
  #unread: Element[] = [];
  #waiters: Waiter[] = [];
  #headerCame: (() => void) | undefined;
  #problem: StreamProblem | undefined;
  #rest: ((element: Element) => void) | undefined;

  /** @param timeoutMs how long each single step may take */
  private constructor(
    socket: Socket,
    private readonly timeoutMs: number,
  ) {
    this.#socket = socket;
    this.#tokenizer = this.#newTokenizer();
    this.#listen(socket);
  }

  /** @throws StreamProblem */
  static async connect(host: string, port: number, timeoutMs: number): Promise<InitiatingStream> {
    const socket = connect({ host, port, noDelay: true, autoSelectFamilyAttemptTimeout: 1_500 });
    // Whoever gives up on the socket still owns its late errors.
    socket.on('error', () => {});
    try {
      await within(timeoutMs, 'a connection', (resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', (error: NodeJS.ErrnoException) => reject(connectProblem(error)));
      });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return new InitiatingStream(socket, timeoutMs);
  }

  /** A stream over a connection that is there already. */
  static over(socket: Socket, timeoutMs: number): InitiatingStream {
    socket.on('error', () => {});
    return new InitiatingStream(socket, timeoutMs);
  }

  get socket(): Socket {
    return this.#socket;
  }

  get secure(): boolean {
    return 'getPeerX509Certificate' in this.#socket;
  }

  /**
   * Opens a stream, the first or a new one behind TLS or SASL, and waits for the header of the other side.
   * @throws StreamProblem
   */
  async open(attributes: HeaderAttributes): Promise<StreamHeader> {
    this.#restart();
    const answered = within<void>(this.timeoutMs, 'a stream header', (resolve, reject) => {
      this.#headerCame = resolve;
      this.#waiters.push({ wanted: () => false, resolve: () => {}, reject });
    });
    this.send(streamHeader({ version: '1.0', ...attributes }));
    await answered;
    if (this.header === undefined) throw new StreamProblem('unreadable', 'no header');
    return this.header;
  }

  send(xml: string): void {
    this.onSend?.(xml);
    this.#socket.write(xml);
  }

  /** Writes what is neither shown nor part of the stream, such as a PROXY header. */
  sendAside(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /**
   * The first element, come already or still to come, that is wanted.
   * @param what it is, for the message when it does not come
   * @throws StreamProblem, also for a stream error that comes instead
   */
  async expect(what: string, wanted: (element: Element) => boolean): Promise<Element> {
    const at = this.#unread.findIndex(wanted);
    const known = at < 0 ? undefined : this.#unread.splice(at, 1)[0];
    if (known !== undefined) return known;
    if (this.#problem !== undefined) throw this.#problem;
    let waiter: Waiter | undefined;
    try {
      return await within<Element>(this.timeoutMs, what, (resolve, reject) => {
        waiter = { wanted, resolve, reject };
        this.#waiters.push(waiter);
      });
    } finally {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
    }
  }

  /** From now on `each` gets what nobody waits for. */
  listen(each: (element: Element) => void): void {
    this.#rest = each;
    for (const element of this.#unread.splice(0)) each(element);
  }

  /** Resolves when the stream has ended, in whatever way. */
  ended(): Promise<void> {
    if (this.#problem !== undefined) return Promise.resolve();
    return new Promise((done) => {
      this.#waiters.push({ wanted: () => false, resolve: () => {}, reject: () => done() });
    });
  }

  /**
   * Goes on over TLS; a new stream is due then.
   * @throws StreamProblem
   */
  async startTls(options: ConnectionOptions): Promise<TLSSocket> {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    plain.removeAllListeners('close');
    const secured = connectTls({ ...options, socket: plain });
    secured.on('error', () => {});
    await within<void>(this.timeoutMs, 'the TLS handshake', (resolve, reject) => {
      secured.once('secureConnect', resolve);
      secured.once('error', (error: NodeJS.ErrnoException) =>
        reject(new StreamProblem('tls-failed', error.code ?? error.message)),
      );
      secured.once('close', () => reject(new StreamProblem('tls-failed', 'closed during the handshake')));
    });
    this.#socket = secured;
    this.#listen(secured);
    return secured;
  }

  /** Says goodbye and waits a moment for the other side to do the same. */
  async close(): Promise<void> {
    if (this.#problem === undefined && !this.#socket.destroyed) {
      this.send('</stream:stream>');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(this.timeoutMs, 2_000));
        const done = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#socket.once('close', done);
        this.#waiters.push({ wanted: () => false, resolve: () => {}, reject: done });
      });
    }
    this.cut();
  }

  /** Gives the connection up. */
  cut(): void {
    this.#socket.destroy();
  }

  #restart(): void {
    this.#tokenizer = this.#newTokenizer();
    this.#unread = [];
    this.#waiters = [];
    this.header = undefined;
  }

  #newTokenizer(): Tokenizer {
    return new Tokenizer(
      {
        onHeader: (header) => {
          this.header = header;
          this.onOpened?.(header);
          this.#headerCame?.();
        },
        onStanza: (frame) => this.#received(frame),
        onClose: () => this.#fail(new StreamProblem('closed', 'the stream was ended')),
      },
      { limits: AFTER_AUTH, origin: 'server', namespaces: NAMESPACES },
    );
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      if (this.#problem !== undefined) return;
      const error = this.#tokenizer.push(chunk);
      if (error !== undefined) this.#fail(new StreamProblem('unreadable', error.reason));
    });
    socket.on('close', () => this.#fail(new StreamProblem('closed', 'the connection was closed')));
  }

  #received(frame: Frame): void {
    // What a server relays may be beyond reading; nobody here waits for such a thing.
    if (frame.flaw !== 'none') return;
    const element = frameToElement(frame);
    this.onElement?.(element, frame.toString());
    if (element.getNS() === NS.stream && element.getName() === 'error') {
      this.#fail(new StreamProblem('stream-error', conditionOf(element)));
      return;
    }
    const waiter = this.#waiters.find(({ wanted }) => wanted(element));
    if (waiter !== undefined) {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      waiter.resolve(element);
    } else if (this.#rest !== undefined) {
      this.#rest(element);
    } else if (this.#unread.push(element) > MOST_UNREAD) {
      this.#fail(new StreamProblem('unreadable', 'far more than was asked for'));
    }
  }

  /** The first problem stands: what follows is its consequence. */
  #fail(problem: StreamProblem): void {
    this.#problem ??= problem;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#problem);
    if (problem.trouble !== 'closed') this.#socket.destroy();
  }
}

/** The defined condition in an error, of a stream or a stanza. */
export function conditionOf(error: Element): string {
  const names = error
    .getChildElements()
    .filter((child) => child.getNS() === NS.streamErrors || child.getNS() === NS.stanzaErrors)
    .map((child) => child.getName());
  return names.find((name) => name !== 'text') ?? 'undefined-condition';
}

async function within<T = void>(
  timeoutMs: number,
  what: string,
  start: (resolve: (value: T) => void, reject: (problem: StreamProblem) => void) => void,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      timer = setTimeout(() => reject(new StreamProblem('silent', what)), timeoutMs);
      start(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
  }
}

function connectProblem(error: NodeJS.ErrnoException): StreamProblem {
  // Several addresses of one name: all have failed, and the last one speaks for them.
  const inner: unknown = error instanceof AggregateError ? error.errors.at(-1) : undefined;
  const code = (inner instanceof Error && 'code' in inner ? String(inner.code) : error.code) ?? error.message;
  if (code === 'ECONNREFUSED') return new StreamProblem('refused', code);
  if (code === 'ENOTFOUND' || code.startsWith('EAI_')) return new StreamProblem('unresolvable', code);
  if (code === 'ETIMEDOUT') return new StreamProblem('silent', 'a connection');
  return new StreamProblem('unreachable', code);
}
