import { type Buffer, isUtf8 } from 'node:buffer';
import { PerMessageDeflate, Receiver } from 'ws';
import type { StreamErrorCondition } from '../../stream/errors.js';
import { Inflater } from './deflate.js';

/** Pieces that a message may come in, be it by the client's will or the network's; each costs some hundred bytes until it is whole. */
const MOST_FRAGMENTS = 1_024;
const MOST_CHUNKS = 4_096;
/** Bytes of compressed messages after which the other connections have their turn. */
const TURN_BYTES = 65_536;

/** RFC 6455 §7.4.1. */
export const NORMAL = 1_000;
const PROTOCOL_ERROR = 1_002;
export const UNSUPPORTED_DATA = 1_003;
export const NO_CODE = 1_005;
export const INVALID_DATA = 1_007;
export const POLICY_VIOLATION = 1_008;
const TOO_BIG = 1_009;

/** What is wrong with what a client sends, as a close code and as a stream error. */
export type Fault = readonly [code: number, condition: StreamErrorCondition, text: string];

const TOO_LONG: Fault = [TOO_BIG, 'policy-violation', 'A message is too big.'];
const NO_UTF_8: Fault = [INVALID_DATA, 'not-well-formed', 'The reason of a close frame is not UTF-8.'];
const NOT_DEFLATED: Fault = [INVALID_DATA, 'not-well-formed', 'A message cannot be inflated.'];
const NO_FRAME: Fault = [PROTOCOL_ERROR, 'bad-format', 'What comes is no WebSocket frame.'];

/** By the codes of ws and zlib. */
const FAULTS: ReadonlyMap<string, Fault> = new Map<string, Fault>([
  ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', TOO_LONG],
  ['WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH', TOO_LONG],
  ['ERR_BUFFER_TOO_LARGE', TOO_LONG],
  ['Z_DATA_ERROR', NOT_DEFLATED],
  ['Z_BUF_ERROR', NOT_DEFLATED],
  ['Z_NEED_DICT', NOT_DEFLATED],
  [
    'WS_ERR_TOO_MANY_BUFFERED_PARTS',
    [POLICY_VIOLATION, 'policy-violation', 'A message comes in too many pieces.'],
  ],
]);

/** What a client's frames are. */
export interface FrameEvents {
  message(data: Buffer, binary: boolean): void;
  pinged(data: Buffer): void;
  ponged(): void;
  /** The last frame: nothing is read behind it. */
  concluded(code: number): void;
}

/** States of ws, and its opcode for the last frame. */
const BETWEEN_FRAMES = 0;
const CLOSE_FRAME = 8;

/**
 * ws reads frames in a stream; here the frames of a chunk have been read when the call returns, but for what `waits`. Between two messages
 * nothing in it is one client's, so that `FrameReaders` has one for all who are silent.
 */
export class FrameReader extends Receiver {
  readonly #inflater: Inflater | undefined;
  #events: FrameEvents | undefined;
  #fault: Fault | undefined;
  readonly #read = (error?: (Error & { code?: string }) | null): void => {
    if (error) this.#fault = FAULTS.get(error.code ?? '') ?? NO_FRAME;
  };

  /**
   * @param maxPayload bytes of a message
   * @param deflated whether messages may be compressed
   */
  constructor(maxPayload: number, deflated: boolean) {
    const inflater = deflated ? new Inflater(maxPayload) : undefined;
    super({
      isServer: true,
      maxPayload,
      maxFragments: MOST_FRAGMENTS,
      maxBufferedChunks: MOST_CHUNKS,
      // The tokenizer does, and knows more about it, and `conclude` below.
      skipUTF8Validation: true,
      extensions: inflater === undefined ? {} : { [PerMessageDeflate.extensionName]: inflater },
    });
    this.#inflater = inflater;
    this.on('message', (data, binary) => this.#events?.message(data, binary));
    this.on('ping', (data) => this.#events?.pinged(data));
    this.on('pong', () => this.#events?.ponged());
    this.on('conclude', (code, reason) => {
      // RFC 6455 §5.5.1; ws does not look, for it does not look at messages either.
      if (isUtf8(reason)) this.#events?.concluded(code);
      else this.#fault = NO_UTF_8;
    });
  }

  /** Whether it is the same as a new one: between two messages, and after none that was the last. */
  get isFresh(): boolean {
    return (
      this._state === BETWEEN_FRAMES &&
      this._bufferedBytes === 0 &&
      this._fragmented === 0 &&
      this._opcode !== CLOSE_FRAME &&
      this.#fault === undefined
    );
  }

  /** Bytes of a message; from the next one on. */
  set limit(bytes: number) {
    this._maxPayload = bytes;
    if (this.#inflater !== undefined) this.#inflater.limit = bytes;
  }

  /** Whether there are compressed messages that have come and not been read: `goOn` reads them. */
  get waits(): boolean {
    return this.#fault === undefined && this.#inflater?.waits === true;
  }

  /** @returns what is wrong; nothing is read from then on */
  take(chunk: Buffer, events: FrameEvents): Fault | undefined {
    this.#events = events;
    this._write(chunk, 'binary', this.#read);
    if (this.#inflater !== undefined) return this.goOn(events);
    this.#events = undefined;
    return this.#fault;
  }

  /** Reads for as long as others can wait. @returns what is wrong */
  goOn(events: FrameEvents): Fault | undefined {
    this.#events = events;
    for (let bytes = 0; bytes < TURN_BYTES && this.waits; ) bytes += this.#inflater?.next() ?? 0;
    this.#events = undefined;
    return this.#fault;
  }
}

/** Readers of frames that are not compressed. Most clients are silent at any one time, and keep none. */
export class FrameReaders {
  /** One is enough: a chunk is read without a pause. */
  #spare: FrameReader | undefined;

  /** @param limit bytes of a message */
  acquire(limit: number): FrameReader {
    const reader = this.#spare ?? new FrameReader(limit, false);
    this.#spare = undefined;
    reader.limit = limit;
    return reader;
  }

  /** @param reader that is fresh */
  release(reader: FrameReader): void {
    this.#spare = reader;
  }
}
