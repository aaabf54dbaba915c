import { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import type { StreamHeader } from '../../xml/header.js';
import { FROM_SERVER, type XmlLimits } from '../../xml/limits.js';
import { type NamespaceTable, NS, STREAM_ID } from '../../xml/namespaces.js';
import { Tokenizer, type TokenizerSink } from '../../xml/tokenizer.js';

/** What the bytes of a stream consist of, one call for each part, in their order. */
export interface StreamParts {
  header(header: StreamHeader): void;
  /**
   * One element as pieces that stand on their own when put together: it declares all namespaces that it uses.
   * @param frame of the element as it was written, valid during the call
   */
  element(pieces: readonly Buffer[], frame: Frame): void;
  /** White space between elements. */
  whitespace(): void;
  streamEnd(): void;
}

/** All that a session writes has been found to be in order: nothing is judged here but where an element ends. */
const UNLIMITED: XmlLimits = { ...FROM_SERVER, stanzaBytes: 0x3fff_ffff };

/** Of `<?xml`, which nothing but a header has in front. */
const QUESTION = 0x3f;
const STREAM_PREFIX = Buffer.from('stream:');
const DECLARES_CLIENT = Buffer.from(` xmlns='${NS.client}'`);
const DECLARES_STREAM = Buffer.from(` xmlns:stream='${NS.stream}'`);
const DECLARES_BOTH = Buffer.concat([DECLARES_CLIENT, DECLARES_STREAM]);

/**
 * Cuts what a session writes to its client into single elements that stand on their own, for transports that carry elements and not a
 * stream (RFC 7395 §3.3.3, XEP-0206 §2). On a stream they inherit `jabber:client` and the prefix `stream` from its header.
 */
export class StreamCutter implements TokenizerSink {
  readonly #tokenizer: Tokenizer;

  constructor(
    private readonly parts: StreamParts,
    namespaces: NamespaceTable,
  ) {
    this.#tokenizer = new Tokenizer(this, { limits: UNLIMITED, origin: 'server', namespaces });
  }

  onHeader(header: StreamHeader): void {
    this.parts.header(header);
  }

  onStanza(frame: Frame): void {
    this.parts.element(selfContained(frame), frame);
  }

  onWhitespace(): void {
    this.parts.whitespace();
  }

  onClose(): void {
    this.parts.streamEnd();
  }

  /** @param bytes what the session writes at one time; a header only ever begins it */
  push(bytes: Buffer): void {
    if (bytes[1] === QUESTION) this.#tokenizer.restart();
    const error = this.#tokenizer.push(bytes);
    if (error !== undefined) throw new Error(`a session has written what is no stream: ${error.reason}`);
  }
}

function selfContained(frame: Frame): readonly Buffer[] {
  const { buffer, start, end } = frame;
  const missing = missingDeclarations(frame);
  if (missing === undefined) return [buffer.subarray(start, end)];
  const nameEnd = start + frame.records.rootNameEnd;
  return [buffer.subarray(start, nameEnd), missing, buffer.subarray(nameEnd, end)];
}

/** What the root has to declare of what it or something in it may inherit from the header. */
function missingDeclarations(frame: Frame): Buffer | undefined {
  const prefixed = frame.records.rootLocal !== 1;
  // Children without a declaration of their own inherit through a prefixed root too.
  const client = frame.attributeAt('xmlns') < 0;
  const stream =
    (prefixed && frame.namespaceId === STREAM_ID) || frame.bytes().includes(STREAM_PREFIX)
      ? frame.attributeAt('xmlns:stream') < 0
      : false;
  if (stream) return client ? DECLARES_BOTH : DECLARES_STREAM;
  return client ? DECLARES_CLIENT : undefined;
}
