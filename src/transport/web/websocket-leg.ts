import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { Receiver } from 'ws';
import type { LegLoss, TlsFacts } from '../../session/port.js';
import type { StreamErrorCondition } from '../../stream/errors.js';
import { type HeaderAttributes, streamHeader } from '../../stream/header.js';
import type { StreamHeader } from '../../xml/header.js';
import type { NamespaceTable } from '../../xml/namespaces.js';
import { type LegOwner, SocketLeg, type TransportLeg } from '../leg.js';
import { StreamCutter, type StreamParts } from './elements.js';
import { CLOSE_MESSAGE, type Message, type MessageReader, openMessage } from './message.js';

/** What all WebSocket legs of a process share. */
export interface WebSocketSurroundings {
  readonly namespaces: NamespaceTable;
  readonly messages: MessageReader;
  /** Bytes of a message before and behind authentication. */
  readonly strangerBytes: number;
  readonly knownBytes: number;
  /** Bytes that may wait for a slow reader. */
  readonly queueBytes: number;
}

/** Pieces that a message may come in, be it by the client's will or the network's; each costs some hundred bytes until it is whole. */
const MOST_FRAGMENTS = 1_024;
const MOST_CHUNKS = 4_096;

const TEXT = 0x81;
const CLOSE = 0x88;
const PING = 0x89;
const PONG = 0x8a;

/** RFC 6455 §7.4.1. */
const NORMAL = 1_000;
const PROTOCOL_ERROR = 1_002;
const UNSUPPORTED_DATA = 1_003;
const NO_CODE = 1_005;
const INVALID_DATA = 1_007;
const POLICY_VIOLATION = 1_008;
const TOO_BIG = 1_009;

/** What ws finds wrong, as a close code and as a stream error. */
const FAULTS: ReadonlyMap<string, readonly [code: number, condition: StreamErrorCondition, text: string]> =
  new Map([
    ['WS_ERR_INVALID_UTF8', [INVALID_DATA, 'not-well-formed', 'A message is not UTF-8.']],
    ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', [TOO_BIG, 'policy-violation', 'A message is too big.']],
    ['WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH', [TOO_BIG, 'policy-violation', 'A message is too big.']],
    [
      'WS_ERR_TOO_MANY_BUFFERED_PARTS',
      [POLICY_VIOLATION, 'policy-violation', 'A message comes in too many pieces.'],
    ],
  ]);

const SPACE = Buffer.from(' ');
const STREAM_END = Buffer.from('</stream:stream>');

/** ws reads frames in a stream; here the frames of a chunk have been read when the call returns. */
class FrameReader extends Receiver {
  /** Bytes of a message; from the next one on. */
  set limit(bytes: number) {
    this._maxPayload = bytes;
  }

  /** @returns what is wrong; nothing is read from then on */
  take(chunk: Buffer): (Error & { code?: string }) | undefined {
    let fault: Error | undefined;
    this._write(chunk, 'binary', (error) => {
      fault = error ?? undefined;
    });
    return fault;
  }
}

/**
 * A client that speaks the `xmpp` subprotocol (RFC 7395), as a leg that carries a stream of bytes: each message of the client is a piece of its
 * stream, and what the session writes is cut into messages. Below is a `SocketLeg`, which has the queue, the limits and the loss.
 */
export class WebSocketLeg implements TransportLeg, LegOwner, StreamParts {
  readonly name = 'client';
  readonly #below: SocketLeg;
  #owner: LegOwner;
  readonly #around: WebSocketSurroundings;
  readonly #reader: FrameReader;
  readonly #cutter: StreamCutter;
  /** The client's first `<open/>` has come. */
  #opened = false;
  /** What the client still sends means nothing. */
  #deaf = false;
  #closing = false;
  #closeCode = NORMAL;
  /** What one write of the session's is to be on the wire. */
  #frames: Buffer[] = [];
  /** What one chunk has brought for the session. */
  #received: Buffer[] = [];

  /** @param socket behind its handshake; nothing of the client's has been read that is not in it any more */
  constructor(socket: Socket, owner: LegOwner, around: WebSocketSurroundings) {
    this.#owner = owner;
    this.#around = around;
    this.#below = new SocketLeg('client', socket, this, around.queueBytes);
    this.#cutter = new StreamCutter(this, around.namespaces);
    this.#reader = new FrameReader({
      isServer: true,
      maxPayload: around.strangerBytes,
      maxFragments: MOST_FRAGMENTS,
      maxBufferedChunks: MOST_CHUNKS,
      // The tokenizer does, and knows more about it.
      skipUTF8Validation: true,
    });
    this.#reader.on('message', (data, binary) => this.#message(data, binary));
    this.#reader.on('ping', (data) => this.#pinged(data));
    this.#reader.on('pong', () => this.#alive());
    this.#reader.on('conclude', (code) => this.#concluded(code));
  }

  get dead(): boolean {
    return this.#below.dead;
  }

  get ending(): boolean {
    return this.#below.ending;
  }

  get socket(): Socket {
    return this.#below.socket;
  }

  moveTo(owner: LegOwner): void {
    this.#owner = owner;
  }

  trust(): void {
    this.#reader.limit = this.#around.knownBytes;
  }

  // What the session writes.

  write(bytes: Buffer): boolean {
    // RFC 6455 §5.5.1: nothing comes behind a close frame.
    if (this.dead || this.ending || this.#closing || bytes.length === 0) return true;
    this.#cutter.push(bytes);
    const frames = this.#frames;
    this.#frames = [];
    return this.#below.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  header(header: StreamHeader): void {
    this.#frame(TEXT, openMessage(header));
  }

  element(pieces: readonly Buffer[]): void {
    this.#frame(TEXT, ...pieces);
  }

  /** RFC 7395 §3.8: keepalives are WebSocket's own. */
  whitespace(): void {
    this.#frame(PING);
  }

  /** The end of the stream. */
  streamEnd(): void {
    this.#frame(TEXT, CLOSE_MESSAGE);
  }

  #frame(first: number, ...pieces: readonly Buffer[]): void {
    let length = 0;
    for (const piece of pieces) length += piece.length;
    this.#frames.push(frameHead(first, length), ...pieces);
  }

  /** Closes in order: RFC 6455 §7.1.1, behind what RFC 7395 §3.6 asks for. */
  end(): void {
    if (this.dead || this.ending) return;
    this.#sendClose(this.#closeCode);
    this.#below.end();
  }

  #sendClose(code: number): void {
    if (this.#closing) return;
    this.#closing = true;
    const body = Buffer.alloc(code === NO_CODE ? 0 : 2);
    if (body.length > 0) body.writeUInt16BE(code);
    this.#below.write(Buffer.concat([frameHead(CLOSE, body.length), body]));
  }

  // What the client sends.

  legData(_leg: TransportLeg, chunk: Buffer): void {
    if (this.#deaf) return;
    const fault = this.#reader.take(chunk);
    this.#passOn();
    if (fault === undefined || this.#deaf) return;
    const [code, condition, text] = FAULTS.get(fault.code ?? '') ?? [
      PROTOCOL_ERROR,
      'bad-format',
      'What comes is no WebSocket frame.',
    ];
    this.#refuse(condition, text, code);
  }

  #message(data: Buffer, binary: boolean): void {
    if (this.#deaf) return;
    // RFC 7395 §3.2.
    if (binary) this.#refuse('bad-format', 'Messages are text.', UNSUPPORTED_DATA);
    else this.#take(this.#around.messages.read(data));
  }

  #take(message: Message): void {
    if (message.kind === 'misframed') {
      this.#refuse(message.condition, message.why, POLICY_VIOLATION);
      return;
    }
    if (!this.#opened && message.kind === 'element') {
      this.#refuse('bad-format', 'A stream begins with <open/>.', POLICY_VIOLATION);
      return;
    }
    switch (message.kind) {
      case 'open':
        this.#opened = true;
        this.#received.push(headerBytes(message.attributes));
        break;
      case 'close':
        this.#received.push(STREAM_END);
        break;
      default:
        this.#received.push(message.bytes);
    }
  }

  /** The messages of one chunk are one event. */
  #passOn(): void {
    const received = this.#received;
    const [first] = received;
    if (first === undefined) return;
    this.#received = [];
    this.#owner.legData(this, received.length === 1 ? first : Buffer.concat(received));
  }

  #refuse(condition: StreamErrorCondition, text: string, code: number): void {
    this.#passOn();
    this.#deaf = true;
    this.#closeCode = code;
    this.#owner.legMisframed(this, condition, text);
  }

  /** RFC 6455 §5.5.3: who asks faster than he reads gets the answer to the last question only. */
  #pinged(data: Buffer): void {
    if (this.#closing || this.dead) return;
    if (this.#below.unsent() === 0) {
      this.#below.write(Buffer.concat([frameHead(PONG, data.length), data]));
      this.#owner.legMoved(this);
    }
    this.#alive();
  }

  /** To the session a sign of life is what it is on a stream. */
  #alive(): void {
    if (this.#opened && !this.#deaf) this.#received.push(SPACE);
  }

  /** The client closes the connection: the stream is over, or lost if it has not said so. */
  #concluded(code: number): void {
    this.#passOn();
    this.#deaf = true;
    if (!this.dead) {
      this.#sendClose(code);
      this.#below.settle();
    }
    this.#owner.legEnded(this);
  }

  legEnded(): void {
    if (!this.#deaf) this.#owner.legEnded(this);
  }

  legLost(_leg: TransportLeg, cause: LegLoss, detail: string): void {
    this.#owner.legLost(this, cause, detail);
  }

  legDrained(): void {
    this.#owner.legDrained(this);
  }

  legSecured(_leg: TransportLeg, facts: TlsFacts): void {
    this.#owner.legSecured(this, facts);
  }

  legMoved(): void {
    this.#owner.legMoved(this);
  }

  legMisframed(): void {}

  legPaused(): void {}

  // What is the connection's below.

  unsent(): number {
    return this.#below.unsent();
  }

  whenFlushed(): void {
    this.#below.whenFlushed();
  }

  /** RFC 7395 §3.9: TLS comes before WebSocket or not at all, and is not offered on such a listener. */
  startTls(): void {
    throw new Error('there is no STARTTLS over WebSocket');
  }

  pauseReading(): void {
    this.#below.pauseReading();
  }

  resumeReading(): void {
    this.#below.resumeReading();
  }

  destroy(): void {
    this.#deaf = true;
    this.#below.destroy();
  }

  settle(): void {
    this.#below.settle();
  }

  takeFlushed(): boolean {
    return this.#below.takeFlushed();
  }
}

/** Without an XML declaration: a ping may come between two streams, and white space then stands in front of this. */
function headerBytes(attributes: HeaderAttributes): Buffer {
  const header = streamHeader(attributes);
  return Buffer.from(header.slice(header.indexOf('?>') + 2));
}

/** Of an unmasked, whole frame (RFC 6455 §5.2). */
function frameHead(first: number, length: number): Buffer {
  if (length < 126) return Buffer.from([first, length]);
  if (length < 65_536) return Buffer.from([first, 126, length >> 8, length & 0xff]);
  const head = Buffer.alloc(10);
  head[0] = first;
  head[1] = 127;
  head.writeUInt32BE(length, 6);
  return head;
}
