import { Buffer } from 'node:buffer';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { extension, PerMessageDeflate } from 'ws';

/** What was agreed on with one client about permessage-deflate (RFC 7692). */
export interface Deflate {
  /** Of the answer to the handshake. */
  readonly header: string;
  /** Of what is sent: base-two logarithm of the window that the client keeps. */
  readonly windowBits: number;
}

/** Zlib has no smaller window for raw deflate. */
const SMALLEST_WINDOW = 9;
/** The end of each message, which is left out on the wire (RFC 7692 §7.2.1). */
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
/** Below this a message does not get smaller by much. */
const WORTH_COMPRESSING = 512;
/** Fast, in 32 KiB instead of 256: what is compressed are single stanzas. */
const COMPRESSION = { level: 1, memLevel: 5, finishFlush: constants.Z_SYNC_FLUSH } as const;

/**
 * Takes the first offer that can be kept. Both sides compress each message on its own (RFC 7692 §7.1.1): nothing is kept for a connection
 * between two of them, and the size of one tells nothing of what was in others.
 * @param offers the header `Sec-WebSocket-Extensions`
 * @returns undefined when there is none
 * @throws SyntaxError when the header is malformed
 */
export function agreeOnDeflate(offers: string | undefined): Deflate | undefined {
  if (offers === undefined) return undefined;
  for (const offer of extension.parse(offers)[PerMessageDeflate.extensionName] ?? []) {
    const accepted = accept(offer);
    const windowBits = accepted?.server_max_window_bits ?? constants.Z_DEFAULT_WINDOWBITS;
    if (accepted !== undefined && windowBits >= SMALLEST_WINDOW)
      return { header: extension.format({ [PerMessageDeflate.extensionName]: accepted }), windowBits };
  }
  return undefined;
}

function accept(offer: Record<string, (string | true)[]>) {
  try {
    return new PerMessageDeflate({
      isServer: true,
      serverNoContextTakeover: true,
      clientNoContextTakeover: true,
    }).accept([offer]);
  } catch {
    // RFC 7692 §5.1: what cannot be understood or kept is declined; the next may do.
    return undefined;
  }
}

/** @returns undefined when a message is not to be compressed */
export function compress(pieces: readonly Buffer[], { windowBits }: Deflate): Buffer | undefined {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  if (length < WORTH_COMPRESSING) return undefined;
  const compressed = deflateRawSync(Buffer.concat(pieces, length), { ...COMPRESSION, windowBits });
  const { length: least } = compressed;
  return least < length ? compressed.subarray(0, least - TAIL.length) : undefined;
}

/** What ws reads a compressed message by. */
type Inflated = (error: Error | null, message?: Buffer) => void;

/**
 * The client's half, for ws to read by. It stops at each compressed message until it is told to go on: how much comes of a chunk is
 * not known before, and one of 64 KiB can be hundreds of messages of 256 KiB.
 */
export class Inflater {
  #fragments: Buffer[] = [];
  #waiting: { readonly fin: boolean; readonly then: Inflated } | undefined;

  /** @param limit bytes of a message, inflated */
  constructor(public limit: number) {}

  /** Whether there is something to go on with. */
  get waits(): boolean {
    return this.#waiting !== undefined;
  }

  /** Called by ws; the answer is given from `next`, for ws would call itself for each frame of a chunk. */
  decompress(fragment: Buffer, fin: boolean, then: Inflated): void {
    this.#fragments.push(fragment);
    this.#waiting = { fin, then };
  }

  /** Gives ws the next message. @returns how many bytes it has */
  next(): number {
    const waiting = this.#waiting;
    if (waiting === undefined) return 0;
    this.#waiting = undefined;
    const { fin, then } = waiting;
    // Its size so far is that of the fragments, which ws limits.
    if (!fin) {
      then(null, NOTHING);
      return 0;
    }
    const fragments = this.#fragments;
    this.#fragments = [];
    let message: Buffer;
    try {
      message = inflateRawSync(Buffer.concat([...fragments, TAIL]), {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: this.limit,
      });
    } catch (error) {
      then(error instanceof Error ? error : new Error(String(error)));
      return this.limit;
    }
    then(null, message);
    return message.length;
  }
}

const NOTHING = Buffer.alloc(0);
