import { Buffer } from 'node:buffer';
import { streamHeader } from '../../stream/header.js';
import { type Frame, StanzaKind } from '../../xml/frame.js';
import type { StreamHeader } from '../../xml/header.js';
import { FROM_SERVER, type XmlLimits } from '../../xml/limits.js';
import { type NamespaceTable, NS, STREAM_ID } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
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
const HEADER = Buffer.from(streamHeader({ version: '1.0' }));
const STREAM_PREFIX = Buffer.from('stream:');
const DECLARES_CLIENT = Buffer.from(` xmlns='${NS.client}'`);
const DECLARES_STREAM = Buffer.from(` xmlns:stream='${NS.stream}'`);
const DECLARES_BOTH = Buffer.concat([DECLARES_CLIENT, DECLARES_STREAM]);

/**
 * Cuts what a session writes to its client into single elements that stand on their own, for transports that carry elements and not a
 * stream (RFC 7395 §3.3.3, XEP-0206 §2). On a stream they inherit `jabber:client` and the prefix `stream` from its header.
 */
export class StreamCutter {
  /** Undefined: between two elements, where any will do. */
  #knife: Knife | undefined;

  constructor(
    private readonly parts: StreamParts,
    private readonly cutters: StreamCutters,
  ) {}

  /** @param bytes what the session writes at one time; a header only ever begins it, and there is none but those of `streamHeader` */
  push(bytes: Buffer): void {
    const knife = this.#knife ?? this.cutters.acquire();
    this.#knife = knife;
    knife.push(bytes, this.parts);
    if (!knife.isBetweenElements) return;
    this.#knife = undefined;
    this.cutters.release(knife);
  }
}

/** What all cutters of a process share: what they cut with is nobody's between two elements, for all streams inherit the same. */
export class StreamCutters {
  /** One is enough: what is written is cut without a pause. */
  #spare: Knife | undefined;

  constructor(private readonly namespaces: NamespaceTable) {}

  acquire(): Knife {
    const knife = this.#spare ?? new Knife(this.namespaces);
    this.#spare = undefined;
    return knife;
  }

  /** @param knife that is between two elements */
  release(knife: Knife): void {
    this.#spare = knife;
  }
}

/** Cuts one write at a time, of whatever stream. */
class Knife implements TokenizerSink {
  readonly #tokenizer: Tokenizer;
  #parts: StreamParts | undefined;
  #inStream = false;

  constructor(namespaces: NamespaceTable) {
    this.#tokenizer = new Tokenizer(this, { limits: UNLIMITED, origin: 'server', namespaces });
    // It may be for a stream that has begun.
    this.#tokenizer.push(HEADER);
  }

  get isBetweenElements(): boolean {
    return this.#inStream && this.#tokenizer.pendingBytes === 0;
  }

  push(bytes: Buffer, parts: StreamParts): void {
    this.#parts = parts;
    if (bytes[1] === QUESTION) {
      this.#inStream = false;
      this.#tokenizer.restart();
    }
    const error = this.#tokenizer.push(bytes);
    this.#parts = undefined;
    if (error !== undefined) throw new Error(`a session has written what is no stream: ${error.reason}`);
  }

  onHeader(header: StreamHeader): void {
    this.#inStream = true;
    this.#parts?.header(header);
  }

  onStanza(frame: Frame): void {
    this.#parts?.element(selfContained(frame), frame);
  }

  onWhitespace(): void {
    this.#parts?.whitespace();
  }

  onClose(): void {
    this.#inStream = false;
    this.#parts?.streamEnd();
  }
}

/** Languages of streams that are known at a time. */
const MOST_LANGUAGES = 64;
const declarations = new Map<string, Buffer>();

/** The attribute that says the language of a stream, the same for all who have it. */
export function languageDeclaration(lang: string): Buffer {
  let declaration = declarations.get(lang);
  if (declaration === undefined) {
    if (declarations.size === MOST_LANGUAGES) declarations.clear();
    declaration = Buffer.from(` xml:lang='${escapeAttribute(lang)}'`);
    declarations.set(lang, declaration);
  }
  return declaration;
}

/**
 * A stanza with the language that it has on its stream (RFC 7395 §3.3.3: "complete with all relevant namespace and language declarations").
 * @param pieces of the element `frame`
 */
export function inLanguage(pieces: readonly Buffer[], frame: Frame, declaration: Buffer): readonly Buffer[] {
  if (frame.kind === StanzaKind.Other || frame.attributeAt('xml:lang') >= 0) return pieces;
  const [first, ...rest] = pieces;
  if (first === undefined) return pieces;
  const { rootNameEnd } = frame.records;
  return [first.subarray(0, rootNameEnd), declaration, first.subarray(rootNameEnd), ...rest];
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
