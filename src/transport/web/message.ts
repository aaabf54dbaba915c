import { Buffer } from 'node:buffer';
import type { StreamErrorCondition } from '../../stream/errors.js';
import { type HeaderAttributes, streamHeader } from '../../stream/header.js';
import { SPACE } from '../../xml/characters.js';
import { declarationError } from '../../xml/declaration.js';
import type { Frame } from '../../xml/frame.js';
import type { XmlLimits } from '../../xml/limits.js';
import { type NamespaceTable, NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { Tokenizer } from '../../xml/tokenizer.js';
import { INVALID_DATA, POLICY_VIOLATION } from './frame-reader.js';

/** What one message of a client is (RFC 7395 §3.3). */
export type Message =
  | { readonly kind: 'open'; readonly attributes: HeaderAttributes }
  | { readonly kind: 'close' }
  /** One element; `bytes` belong in the stream. */
  | { readonly kind: 'element'; readonly bytes: Buffer }
  /** Not one element, or no XML: the condition it is refused with, and a sentence that says why. */
  | {
      readonly kind: 'misframed';
      readonly condition: StreamErrorCondition;
      readonly why: string;
      /** That the connection is closed with (RFC 6455 §7.4.1). */
      readonly code: number;
    };

const LESS = 0x3c;
const QUESTION = 0x3f;
const GREATER = 0x3e;
const STREAM = Buffer.from(streamHeader({ to: 'localhost', version: '1.0' }));
const CLOSE: Message = { kind: 'close' };

function misframed(why: string, condition: StreamErrorCondition = 'bad-format'): Message {
  return {
    kind: 'misframed',
    condition,
    why: `A message must be one element: ${why}.`,
    code: POLICY_VIOLATION,
  };
}

/**
 * Tells what the messages of WebSocket clients are. One is enough for all of them: each message is complete in itself.
 */
export class MessageReader {
  #tokenizer: Tokenizer | undefined;
  readonly #namespaces: NamespaceTable;
  readonly #limits: XmlLimits;
  #elements = 0;
  #end = 0;
  #framing: Message | undefined;
  #other = false;

  /** @param limits the widest that any client has: narrower ones are those of the session, which reads the bytes again */
  constructor(namespaces: NamespaceTable, limits: XmlLimits) {
    this.#namespaces = namespaces;
    this.#limits = limits;
  }

  /** @param message all of it; must not be written to afterwards */
  read(message: Buffer): Message {
    if (message[0] !== LESS) return misframed("this one does not begin with '<'");
    const bytes = withoutSpace(message[1] === QUESTION ? withoutDeclaration(message) : message);
    const tokenizer = this.#tokenizer ?? this.#fresh();
    this.#tokenizer = tokenizer;
    this.#elements = 0;
    this.#framing = undefined;
    this.#other = false;
    const error = tokenizer.push(bytes);
    if (error === undefined && this.#elements === 1 && !this.#other && this.#end === bytes.length) {
      return this.#framing ?? { kind: 'element', bytes };
    }
    // What is left of it in the tokenizer is nobody's.
    this.#tokenizer = undefined;
    if (error?.reason === 'nested-stream')
      return misframed('a stream begins with <open/>, not with a header');
    if (this.#elements > 1) return misframed('there is more in this one');
    if (error !== undefined)
      return {
        kind: 'misframed',
        condition: error.condition,
        why: `A message cannot be read: ${error.reason}.`,
        // RFC 6455 §8.1.
        code: error.reason === 'invalid-utf8' ? INVALID_DATA : POLICY_VIOLATION,
      };
    return this.#elements === 1 || this.#other
      ? misframed('there is more in this one')
      : misframed('this one does not end', 'not-well-formed');
  }

  #fresh(): Tokenizer {
    const tokenizer = new Tokenizer(
      {
        onHeader: () => {},
        onStanza: (frame) => this.#element(frame),
        onWhitespace: () => {
          this.#other = true;
        },
        onClose: () => {
          this.#other = true;
        },
      },
      { limits: this.#limits, origin: 'client', namespaces: this.#namespaces },
    );
    tokenizer.push(STREAM);
    return tokenizer;
  }

  #element(frame: Frame): void {
    this.#elements += 1;
    this.#end = frame.end;
    if (frame.is('open', NS.framing)) this.#framing = { kind: 'open', attributes: attributesOf(frame) };
    else if (frame.is('close', NS.framing)) this.#framing = CLOSE;
  }
}

/** COMPAT: RFC 7395 §3.3.3 advises against a declaration in front of each message, and some clients serialise whole documents. */
function withoutDeclaration(message: Buffer): Buffer {
  let end = message.indexOf(GREATER) + 1;
  if (end === 0 || declarationError(message, 0, end) !== undefined) return message;
  while (end < message.length && SPACE[message[end]!] === 1) end += 1;
  return message.subarray(end);
}

/** White space may end a document, and is no part of the element: on a stream it would be a sign of life. */
function withoutSpace(message: Buffer): Buffer {
  let { length: end } = message;
  while (end > 0 && SPACE[message[end - 1]!] === 1) end -= 1;
  return end === message.length ? message : message.subarray(0, end);
}

function attributesOf(frame: Frame): HeaderAttributes {
  return {
    to: frame.to,
    from: frame.from,
    lang: frame.lang,
    version: frame.attribute('version'),
  };
}

/** `<open/>` in answer to one of the client's (RFC 7395 §3.4). */
export function openMessage(attributes: HeaderAttributes): Buffer {
  let open = `<open xmlns='${NS.framing}'`;
  if (attributes.from !== undefined) open += ` from='${escapeAttribute(attributes.from)}'`;
  if (attributes.to !== undefined) open += ` to='${escapeAttribute(attributes.to)}'`;
  if (attributes.id !== undefined) open += ` id='${escapeAttribute(attributes.id)}'`;
  if (attributes.version !== undefined) open += ` version='${escapeAttribute(attributes.version)}'`;
  if (attributes.lang !== undefined) open += ` xml:lang='${escapeAttribute(attributes.lang)}'`;
  return Buffer.from(`${open}/>`);
}

export const CLOSE_MESSAGE: Buffer = Buffer.from(`<close xmlns='${NS.framing}'/>`);
