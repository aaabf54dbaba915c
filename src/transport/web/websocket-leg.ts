import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { LegLoss, TlsFacts } from '../../session/port.js';
import type { StreamErrorCondition } from '../../stream/errors.js';
import { type HeaderAttributes, streamHeader } from '../../stream/header.js';
import type { Frame } from '../../xml/frame.js';
import type { StreamHeader } from '../../xml/header.js';
import { type LegOwner, SocketLeg, type TransportLeg } from '../leg.js';
import { compress, type Deflate } from './deflate.js';
import {
  inLanguage,
  languageDeclaration,
  StreamCutter,
  type StreamCutters,
  type StreamParts,
} from './elements.js';
import {
  type Fault,
  type FrameEvents,
  FrameReader,
  type FrameReaders,
  NO_CODE,
  NORMAL,
  POLICY_VIOLATION,
  UNSUPPORTED_DATA,
} from './frame-reader.js';
import { CLOSE_MESSAGE, type Message, type MessageReader, openMessage } from './message.js';

/** What all WebSocket legs of a process share. */
export interface WebSocketSurroundings {
  readonly cutters: StreamCutters;
  readonly readers: FrameReaders;
  readonly messages: MessageReader;
  /** Bytes of a message before and behind authentication. */
  readonly strangerBytes: number;
  readonly knownBytes: number;
  /** Bytes that may wait for a slow reader. */
  readonly queueBytes: number;
}

const TEXT = 0x81;
/** RFC 7692 §6: what comes is compressed. */
const COMPRESSED = 0x40;
const CLOSE = 0x88;
const PING = 0x89;
const PONG = 0x8a;

const SPACE = Buffer.from(' ');
const STREAM_END = Buffer.from('</stream:stream>');

/**
 * A client that speaks the `xmpp` subprotocol (RFC 7395), as a leg that carries a stream of bytes: each message of the client is a piece of its
 * stream, and what the session writes is cut into messages. Below is a `SocketLeg`, which has the queue, the limits and the loss.
 */
export class WebSocketLeg implements TransportLeg, LegOwner, StreamParts, FrameEvents {
  readonly name = 'client';
  readonly #below: SocketLeg;
  #owner: LegOwner;
  readonly #around: WebSocketSurroundings;
  /** Undefined: between two messages, where any will do. */
  #reader: FrameReader | undefined;
  readonly #deflate: Deflate | undefined;
  readonly #cutter: StreamCutter;
  /** What stanzas without a language of their own are in. */
  #language: Buffer | undefined;
  /** The client's first `<open/>` has come. */
  #opened = false;
  /** What the client still sends means nothing. */
  #deaf = false;
  /** The session does not want to read. */
  #paused = false;
  /** Compressed messages have come and are still to be read. */
  #behind = false;
  #goesOn = false;
  #trusted = false;
  #closing = false;
  /** A pong is behind what waits for a slow reader. */
  #pongWaits = false;
  #closeCode = NORMAL;
  /** What one write of the session's is to be on the wire. */
  #frames: Buffer[] | undefined;
  /** What one chunk has brought for the session. */
  #received: Buffer[] | undefined;

  /**
   * @param socket behind its handshake; nothing of the client's has been read that is not in it any more
   * @param deflate where compression was agreed on
   */
  constructor(socket: Socket, owner: LegOwner, around: WebSocketSurroundings, deflate: Deflate | undefined) {
    this.#owner = owner;
    this.#around = around;
    this.#below = new SocketLeg('client', socket, this, around.queueBytes);
    this.#cutter = new StreamCutter(this, around.cutters);
    this.#deflate = deflate;
    // What has been compressed is read in turns, between which it keeps its place.
    if (deflate !== undefined) this.#reader = new FrameReader(around.strangerBytes, true);
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
    this.#trusted = true;
    if (this.#reader !== undefined) this.#reader.limit = this.#limit;
  }

  /** Bytes of a message. */
  get #limit(): number {
    return this.#trusted ? this.#around.knownBytes : this.#around.strangerBytes;
  }

  // What the session writes.

  write(bytes: Buffer): boolean {
    // RFC 6455 §5.5.1: nothing comes behind a close frame.
    if (this.dead || this.ending || this.#closing || bytes.length === 0) return true;
    this.#cutter.push(bytes);
    const frames = this.#frames ?? [];
    this.#frames = undefined;
    return this.#below.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  header(header: StreamHeader): void {
    this.#language = header.lang === undefined ? undefined : languageDeclaration(header.lang);
    this.#frame(TEXT, openMessage(header));
  }

  element(element: readonly Buffer[], frame: Frame): void {
    const pieces = this.#language === undefined ? element : inLanguage(element, frame, this.#language);
    // What belongs to authentication is not told by its size.
    const compressed =
      this.#deflate === undefined || !this.#trusted ? undefined : compress(pieces, this.#deflate);
    if (compressed === undefined) this.#frame(TEXT, ...pieces);
    else this.#frame(TEXT | COMPRESSED, compressed);
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
    this.#frames ??= [];
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
    const reader = this.#reader ?? this.#around.readers.acquire(this.#limit);
    this.#reader = reader;
    this.#haveRead(reader.take(chunk, this));
  }

  #haveRead(fault: Fault | undefined): void {
    this.#passOn();
    if (fault !== undefined && !this.#deaf) this.#refuse(fault[1], fault[2], fault[0]);
    if (this.#deflate === undefined && this.#reader?.isFresh) {
      this.#around.readers.release(this.#reader);
      this.#reader = undefined;
    }
    const behind = !this.#deaf && this.#reader?.waits === true;
    if (behind === this.#behind) {
      if (behind) this.#goOnSoon();
      return;
    }
    this.#behind = behind;
    if (behind) {
      this.#below.pauseReading();
      this.#goOnSoon();
    } else if (!this.#paused) this.#below.resumeReading();
  }

  /** In a turn of its own, unless the session has enough for now. */
  #goOnSoon(): void {
    if (this.#paused || this.#goesOn) return;
    this.#goesOn = true;
    setImmediate(goOn, this);
  }

  /** Called in a turn of its own. */
  goOn(): void {
    this.#goesOn = false;
    if (this.#behind && !this.#paused && !this.dead) this.#haveRead(this.#reader?.goOn(this));
  }

  message(data: Buffer, binary: boolean): void {
    if (this.#deaf) return;
    // RFC 7395 §3.2.
    if (binary) this.#refuse('bad-format', 'Messages are text.', UNSUPPORTED_DATA);
    else this.#take(this.#around.messages.read(data));
  }

  #take(message: Message): void {
    if (message.kind === 'misframed') {
      this.#refuse(message.condition, message.why, message.code);
      return;
    }
    if (!this.#opened && message.kind === 'element') {
      this.#refuse('bad-format', 'A stream begins with <open/>.', POLICY_VIOLATION);
      return;
    }
    switch (message.kind) {
      case 'open':
        this.#opened = true;
        this.#receive(headerBytes(message.attributes));
        break;
      case 'close':
        this.#receive(STREAM_END);
        break;
      default:
        this.#receive(message.bytes);
    }
  }

  #receive(bytes: Buffer): void {
    this.#received ??= [];
    this.#received.push(bytes);
  }

  /** The messages of one chunk are one event. */
  #passOn(): void {
    const received = this.#received;
    const first = received?.[0];
    if (received === undefined || first === undefined) return;
    this.#received = undefined;
    this.#owner.legData(this, received.length === 1 ? first : Buffer.concat(received));
  }

  #refuse(condition: StreamErrorCondition, text: string, code: number): void {
    this.#passOn();
    this.#deaf = true;
    this.#closeCode = code;
    this.#owner.legMisframed(this, condition, text);
  }

  /** RFC 6455 §5.5.3: who asks faster than he reads is answered once behind all that he has not read. */
  pinged(data: Buffer): void {
    if (this.#closing || this.dead) return;
    if (this.#below.unsent() === 0) this.#pongWaits = false;
    if (!this.#pongWaits) {
      this.#pongWaits = true;
      this.#below.write(Buffer.concat([frameHead(PONG, data.length), data]));
      this.#owner.legMoved(this);
    }
    this.ponged();
  }

  /** To the session a sign of life is what it is on a stream. */
  ponged(): void {
    if (this.#opened && !this.#deaf) this.#receive(SPACE);
  }

  /** The client closes the connection: the stream is over, or lost if it has not said so. */
  concluded(code: number): void {
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
    this.#paused = true;
    this.#below.pauseReading();
  }

  resumeReading(): void {
    this.#paused = false;
    if (this.#behind) this.#goOnSoon();
    else this.#below.resumeReading();
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

function goOn(leg: WebSocketLeg): void {
  leg.goOn();
}
