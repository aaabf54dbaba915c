import { Buffer } from 'node:buffer';
import { SPACE } from './characters.js';
import { contextOf, emptyContext, type NamespaceContext, standardContext } from './context.js';
import { declarationError, instructionReason } from './declaration.js';
import { ELEMENT_END, FAILED, HEADER_END, MORE, STREAM_END } from './element-reader.js';
import { type XmlError, type XmlErrorReason, xmlError } from './errors.js';
import type { Frame } from './frame.js';
import { readHeader, type StreamHeader } from './header.js';
import { FROM_SERVER, type XmlLimits } from './limits.js';
import type { NamespaceTable } from './namespaces.js';
import { acquireReader, type PooledReader, releaseReader } from './reader-pool.js';
import type { ReadingRules } from './records.js';
import { isScannable, scanned, scanStanza, setInUse } from './scanner/scanner.js';

/** Where the tokenizer reports what it has read, in the order of the bytes. */
export interface TokenizerSink {
  onHeader(header: StreamHeader): void;
  /** @param frame valid only during the call, see `Frame` */
  onStanza(frame: Frame): void;
  /** White space between stanzas: a keepalive (RFC 6120 §4.6.1). A run may be reported in several pieces. */
  onWhitespace?(buf: Buffer, start: number, end: number): void;
  /** The end tag of the stream. */
  onClose(): void;
}

export interface TokenizerOptions {
  readonly limits: XmlLimits;
  /** A client is held to every rule; what a server relays may be flawed as long as it frames. */
  readonly origin: 'client' | 'server';
  readonly namespaces: NamespaceTable;
}

/** Before the first byte of a stream: a byte order mark or an XML declaration may come. */
const AT_START = 0;
const AFTER_MARK = 1;
/** Before the header: white space may come, but no declaration. */
const BEFORE_HEADER = 2;
const BETWEEN_STANZAS = 3;
const CLOSED = 4;
const IN_MARK = 5;
/** In the first tag of the stream: a declaration or the header. */
const IN_FIRST = 6;
const IN_HEADER = 7;
const IN_STANZA = 8;
/** The header was the end of its stream too, which is said when reading goes on. */
const ENDS_AT_ONCE = 9;

const LESS = 0x3c;
const GREATER = 0x3e;
const QUESTION = 0x3f;
const SLASH = 0x2f;
const MARK = [0xef, 0xbb, 0xbf] as const;
const SMALLEST_CARRY = 256;
const INCOMPLETE = -1;

/**
 * Cuts the bytes of one XML stream (RFC 6120 §4) into header, stanzas, white space and end, however they are
 * chunked. Accepts what RFC 6120 §11 allows and nothing else.
 *
 * - Works in the chunk it is given: frames point into it. Only an element that a chunk does not finish is copied,
 *   and then into a buffer of its own.
 * - Time is linear in the bytes. Memory is that of the one incomplete element, at most twice
 *   `limits.stanzaBytes`; between stanzas next to none.
 * - `push` must not be called from inside a call of the sink.
 *
 * The states between stanzas are one machine, whichever of the two readers has a stanza: hence one file.
 */
export class Tokenizer implements ReadingRules {
  readonly namespaces: NamespaceTable;
  /** Every rule is an error, not a flaw: the other side is a client. */
  readonly strict: boolean;
  private readonly sink: TokenizerSink;
  private currentLimits: XmlLimits;
  private currentContext: NamespaceContext;
  /** Usual stanzas may be read the quick way. */
  private scannable = false;
  private state = AT_START;
  private pooled: PooledReader | undefined;
  /** The incomplete token from its first byte on; undefined while there is none. */
  private carry: Buffer | undefined;
  private carried = 0;
  /** Where in the incomplete token to go on reading. */
  private resumeAt = 0;
  private error: XmlError | undefined;
  private stopped = false;
  private chunkLength = 0;
  /** A position in the buffer being read, plus this, is the position in the chunk. */
  private toChunk = 0;
  private unread = 0;

  constructor(sink: TokenizerSink, options: TokenizerOptions) {
    this.sink = sink;
    this.currentLimits = options.limits;
    this.namespaces = options.namespaces;
    this.strict = options.origin === 'client';
    this.currentContext = emptyContext(options.namespaces);
  }

  get limits(): XmlLimits {
    return this.currentLimits;
  }

  /** May be replaced between stanzas, from inside a call of the sink too. */
  set limits(limits: XmlLimits) {
    this.currentLimits = limits;
    this.scannable = isScannable(limits, this.currentContext);
  }

  /** What stanzas inherit from the header of the stream. */
  get context(): NamespaceContext {
    return this.currentContext;
  }

  private inherit(context: NamespaceContext): void {
    this.currentContext = context;
    this.scannable = isScannable(this.currentLimits, context);
  }

  /**
   * Reads the next bytes of the stream and reports all that they complete.
   *
   * @param chunk must not be written to afterwards: frames and their ranges point into it
   * @returns the first thing wrong with the stream; from then on nothing is read and every call returns it again
   */
  push(chunk: Buffer): XmlError | undefined {
    if (this.error !== undefined) return this.error;
    if (this.stopped) {
      this.unread += chunk.length;
      return undefined;
    }
    this.chunkLength = chunk.length;
    let pos = this.carry === undefined ? 0 : this.resume(chunk);
    this.toChunk = 0;
    while (pos < chunk.length && this.error === undefined && !this.stopped) {
      if (chunk[pos] !== LESS) pos = this.between(chunk, pos);
      else if (this.scannable && this.state === BETWEEN_STANZAS) pos = this.scan(chunk, pos);
      else pos = this.beginTag(chunk, pos);
    }
    if (this.carry === undefined && this.pooled !== undefined) {
      releaseReader(this.pooled);
      this.pooled = undefined;
    }
    return this.error;
  }

  /**
   * Expect the header of a new stream; everything is forgotten but a final error. From inside a call of the sink
   * it takes effect behind the current element: the rest of the chunk is read as the new stream, unless `stop()`
   * has been called too.
   */
  restart(): void {
    this.stopped = false;
    this.state = AT_START;
    this.inherit(emptyContext(this.namespaces));
    this.carry = undefined;
    this.carried = 0;
  }

  /**
   * From inside a call of the sink: read nothing behind the current element. Lasts until `proceed()` or `restart()`.
   *
   * @returns `leftover`
   */
  stop(): number {
    this.stopped = true;
    return this.unread;
  }

  /**
   * Takes a `stop()` back: what is pushed next, the unread rest of the last chunk first, is read on in the same stream. One that its header has
   * ended is reported as closed.
   */
  proceed(): void {
    this.stopped = false;
    this.unread = 0;
    if (this.state === ENDS_AT_ONCE) this.endAtOnce();
  }

  /** How many bytes have come behind the element at which `stop()` was called; 0 if it was not. */
  get leftover(): number {
    return this.stopped ? this.unread : 0;
  }

  /** Bytes kept of an element that is not complete. */
  get pendingBytes(): number {
    return this.carried;
  }

  /** Goes on with the incomplete token. Returns how much of the chunk it took. */
  private resume(chunk: Buffer): number {
    let taken = 0;
    while (this.carry !== undefined && taken < chunk.length) {
      // No more at a time than there is already: what stands behind the token in a large chunk is not copied.
      const amount = Math.min(chunk.length - taken, Math.max(this.carried, SMALLEST_CARRY));
      const before = this.carried;
      if (before + amount > this.carry.length) {
        const grown = Buffer.allocUnsafeSlow(Math.max(before + amount, 2 * this.carry.length));
        this.carry.copy(grown, 0, 0, before);
        this.carry = grown;
      }
      chunk.copy(this.carry, before, taken, taken + amount);
      this.carried += amount;
      this.toChunk = taken - before;
      const pos = this.read(this.carry, 0, this.resumeAt, this.carried);
      if (this.error !== undefined) return chunk.length;
      taken = pos === INCOMPLETE ? taken + amount : taken + pos - before;
    }
    return taken;
  }

  /** A stanza the quick way, or else the usual one. */
  private scan(chunk: Buffer, pos: number): number {
    const end = scanStanza(chunk, pos, this.currentContext, this.namespaces, this.currentLimits.stanzaBytes);
    if (end === 0) return this.beginTag(chunk, pos);
    this.unread = this.chunkLength - end;
    setInUse(true);
    try {
      this.sink.onStanza(scanned);
    } finally {
      setInUse(false);
    }
    return end;
  }

  private beginTag(chunk: Buffer, pos: number): number {
    if (this.state === BETWEEN_STANZAS) this.beginElement(IN_STANZA);
    else if (this.state === BEFORE_HEADER) this.beginElement(IN_HEADER);
    else if (this.state === CLOSED) return this.fail('element-outside-stream');
    else this.state = IN_FIRST;
    return this.readOrKeep(chunk, pos);
  }

  private beginElement(state: typeof IN_HEADER | typeof IN_STANZA): void {
    this.state = state;
    if (this.pooled === undefined) this.pooled = acquireReader(this);
    this.pooled.reader.begin(this, state === IN_HEADER);
  }

  /** Something that is no tag: white space, or else a mistake. */
  private between(chunk: Buffer, pos: number): number {
    const c = chunk[pos]!;
    if (this.state === AT_START && c === MARK[0]) {
      this.state = IN_MARK;
      return this.readOrKeep(chunk, pos);
    }
    if (SPACE[c] === 0) {
      if (this.state === BETWEEN_STANZAS) return this.fail('text-between-stanzas');
      // The first byte of UTF-16 and UTF-32, with a mark or without.
      const wide = this.state === AT_START && (c === 0xfe || c === 0xff || c === 0);
      return this.fail(wide ? 'encoding' : 'text-outside-stream');
    }
    let end = pos + 1;
    while (end < chunk.length && SPACE[chunk[end]!] === 1) end++;
    if (this.state === BETWEEN_STANZAS) {
      this.unread = this.chunkLength - end;
      this.sink.onWhitespace?.(chunk, pos, end);
    } else if (this.state !== CLOSED) this.state = BEFORE_HEADER;
    return end;
  }

  /** Reads the token at `base`; what the chunk has of an incomplete one is kept. */
  private readOrKeep(chunk: Buffer, base: number): number {
    const pos = this.read(chunk, base, base, chunk.length);
    if (pos !== INCOMPLETE) return pos;
    if (this.error !== undefined) return chunk.length;
    const length = chunk.length - base;
    this.carry = Buffer.allocUnsafeSlow(Math.max(SMALLEST_CARRY, 2 * length));
    chunk.copy(this.carry, 0, base);
    this.carried = length;
    return chunk.length;
  }

  /**
   * Reads on in the token that began at `base`.
   *
   * @returns where it is over, or `INCOMPLETE`
   */
  private read(buf: Buffer, base: number, from: number, end: number): number {
    const limit = Math.min(end, base + this.limits.stanzaBytes);
    const pos =
      this.state === IN_MARK
        ? this.readMark(buf, base, limit)
        : this.state === IN_FIRST
          ? this.readFirst(buf, base, from, limit)
          : this.readElement(buf, base, from, limit);
    if (pos === INCOMPLETE && limit < end && this.error === undefined) return this.fail('stanza-too-big');
    return pos;
  }

  private readMark(buf: Buffer, base: number, end: number): number {
    const length = Math.min(MARK.length, end - base);
    for (let i = 0; i < length; i++) if (buf[base + i] !== MARK[i]) return this.fail('text-outside-stream');
    this.resumeAt = 0;
    if (length < MARK.length) return INCOMPLETE;
    this.complete(AFTER_MARK, base + length);
    return base + length;
  }

  /** The first `<` of the stream: of a declaration, or of the header. */
  private readFirst(buf: Buffer, base: number, from: number, end: number): number {
    this.resumeAt = 0;
    if (base + 1 >= end) return INCOMPLETE;
    if (buf[base + 1] === 0) return this.fail('encoding');
    if (buf[base + 1] !== QUESTION) {
      this.beginElement(IN_HEADER);
      return this.readElement(buf, base, base, end);
    }
    const reason = instructionReason(buf, base, end);
    if (reason === undefined) return INCOMPLETE;
    if (reason !== 'misplaced-declaration') return this.fail(reason);
    let pos = from;
    while (pos < end && buf[pos] !== GREATER) pos++;
    this.resumeAt = pos - base;
    if (pos >= end) return INCOMPLETE;
    const error = declarationError(buf, base, pos + 1);
    if (error !== undefined) return this.refuse(error);
    this.complete(BEFORE_HEADER, pos + 1);
    return pos + 1;
  }

  private readElement(buf: Buffer, base: number, from: number, end: number): number {
    const { reader, frame } = this.pooled!;
    const pos = reader.read(buf, base, from, end);
    switch (reader.status) {
      case ELEMENT_END:
        this.complete(BETWEEN_STANZAS, pos);
        frame.point(buf, base, pos);
        this.sink.onStanza(frame);
        return pos;
      case MORE:
        this.resumeAt = pos - base;
        return INCOMPLETE;
      case FAILED:
        return this.refuse(reader.error!);
      case STREAM_END:
        this.complete(CLOSED, pos);
        this.sink.onClose();
        return pos;
      case HEADER_END:
        this.finishHeader(buf, base, pos);
        return pos;
    }
  }

  private endAtOnce(): void {
    this.state = CLOSED;
    this.sink.onClose();
  }

  private finishHeader(buf: Buffer, base: number, end: number): void {
    const { records } = this.pooled!.reader;
    const header = readHeader(buf, base, records, !this.strict);
    if ('condition' in header) {
      this.refuse(header);
      return;
    }
    const rootName = buf.toString('utf8', base + 1, base + records.rootNameEnd);
    this.inherit(contextOf(rootName, header.declarations, this.namespaces));
    // `<stream:stream/>` is a stream that ends at once.
    const empty = buf[end - 2] === SLASH;
    this.complete(BETWEEN_STANZAS, end);
    this.sink.onHeader(header);
    if (!empty || this.state !== BETWEEN_STANZAS) return;
    this.state = ENDS_AT_ONCE;
    if (!this.stopped) this.endAtOnce();
  }

  /** The token is over at `pos`. Before the sink is called, so that it finds the tokenizer ready for the next. */
  private complete(state: number, pos: number): void {
    this.state = state;
    this.carry = undefined;
    this.carried = 0;
    this.unread = this.chunkLength - pos - this.toChunk;
  }

  private fail(reason: XmlErrorReason): number {
    return this.refuse(xmlError(reason));
  }

  /** The first error is final; what was kept for a stream that is over is let go. */
  private refuse(error: XmlError): number {
    this.error = error;
    this.carry = undefined;
    this.carried = 0;
    return INCOMPLETE;
  }
}

export interface ParseOptions {
  /** Default: what `FROM_SERVER` allows, all of it hard. */
  readonly limits?: XmlLimits;
  /** What the element inherits. Default: what the header of a usual client stream declares. */
  readonly context?: NamespaceContext;
  /** Default true. */
  readonly strict?: boolean;
}

/**
 * One complete element outside a stream, e.g. one the program made or edited. It is read as if it stood in
 * `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`, unless told otherwise.
 *
 * @param bytes exactly the element; the frame points into them
 * @returns a frame that may be kept as long as the bytes are not written to
 */
export function parseStanza(
  bytes: Buffer,
  namespaces: NamespaceTable,
  options: ParseOptions = {},
): Frame | XmlError {
  const rules: ReadingRules = {
    limits: options.limits ?? FROM_SERVER,
    namespaces,
    context: options.context ?? standardContext(namespaces),
    strict: options.strict ?? true,
  };
  if (bytes[0] !== LESS) return xmlError(bytes.length === 0 ? 'incomplete' : 'text-between-stanzas');
  const pooled = acquireReader(rules);
  const { reader, frame } = pooled;
  reader.begin(rules, false);
  const limit = Math.min(bytes.length, rules.limits.stanzaBytes);
  const pos = reader.read(bytes, 0, 0, limit);
  let result: Frame | XmlError;
  if (reader.status === ELEMENT_END && pos === bytes.length) {
    frame.point(bytes, 0, pos);
    result = frame.withOwnRecords(bytes);
  } else if (reader.status === FAILED) result = reader.error!;
  else if (reader.status === ELEMENT_END) result = xmlError('text-between-stanzas');
  else result = xmlError(limit < bytes.length ? 'stanza-too-big' : 'incomplete');
  releaseReader(pooled);
  return result;
}
