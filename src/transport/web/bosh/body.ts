import { Buffer } from 'node:buffer';
import type { HeaderAttributes } from '../../../stream/header.js';
import { isWhitespace, SPACE } from '../../../xml/characters.js';
import { emptyContext, NamespaceContext, standardContext } from '../../../xml/context.js';
import { declarationError } from '../../../xml/declaration.js';
import { Frame } from '../../../xml/frame.js';
import type { XmlLimits } from '../../../xml/limits.js';
import { type NamespaceTable, NS } from '../../../xml/namespaces.js';
import { makePortable } from '../../../xml/portable.js';
import { escapeAttribute } from '../../../xml/serialize.js';
import { parseStanza } from '../../../xml/tokenizer.js';

export const HTTP_BIND = 'http://jabber.org/protocol/httpbind';
const XBOSH = 'urn:xmpp:xbosh';

/** What one request of a client says (XEP-0124, XEP-0206). Values as written; numbers that are none are undefined. */
export interface BoshRequest {
  readonly rid: number | undefined;
  readonly sid: string | undefined;
  readonly key: string | undefined;
  readonly newKey: string | undefined;
  /** Seconds of silence that are asked for. */
  readonly pause: number | undefined;
  readonly ack: number | undefined;
  readonly terminate: boolean;
  /** What a header of a stream would say: of the first, or of the one that begins anew. */
  readonly stream: HeaderAttributes;
  readonly restart: boolean;
  /** Of the first request. */
  readonly wait: number | undefined;
  readonly hold: number | undefined;
  readonly version: string | undefined;
  readonly content: string | undefined;
  /** The elements in it, in bytes that mean the same on a stream. */
  readonly payload: Buffer;
}

/** The most that the `rid` may be (XEP-0124 §14.1). */
const LARGEST_RID = Number.MAX_SAFE_INTEGER;

const LESS = 0x3c;
const QUESTION = 0x3f;
const GREATER = 0x3e;
const MARK = Buffer.from('\uFEFF');
const NOTHING = Buffer.alloc(0);

/**
 * Reads the body of a request.
 * @param limits of the wrapper with all that is in it; what is in it the session reads again, by limits of its own
 * @returns undefined when it is no `<body/>` with elements in it, and nothing but white space between them (XEP-0124 §6)
 */
export function readBody(body: Buffer, table: NamespaceTable, limits: XmlLimits): BoshRequest | undefined {
  const bytes = trimmed(body);
  const frame = parseStanza(bytes, table, { context: emptyContext(table), limits });
  if (!(frame instanceof Frame) || !frame.is('body', HTTP_BIND)) return undefined;
  const payload = payloadOf(frame, table, limits);
  if (payload === undefined) return undefined;
  const prefix = prefixOf(frame, XBOSH);
  const xmpp = (name: string) => (prefix === undefined ? undefined : frame.attribute(`${prefix}:${name}`));
  const restart = xmpp('restart');
  return {
    rid: numberOf(frame.attribute('rid')),
    sid: frame.attribute('sid'),
    key: frame.attribute('key'),
    newKey: frame.attribute('newkey'),
    pause: numberOf(frame.attribute('pause')),
    ack: numberOf(frame.attribute('ack')),
    terminate: frame.attributeEquals('type', 'terminate'),
    stream: {
      to: frame.to || undefined,
      from: frame.from,
      lang: frame.lang,
      // XEP-0206 §9: 1.0 is the default.
      version: xmpp('version') ?? '1.0',
    },
    restart: restart === 'true' || restart === '1',
    wait: numberOf(frame.attribute('wait')),
    hold: numberOf(frame.attribute('hold')),
    version: frame.attribute('ver'),
    content: frame.attribute('content'),
    payload,
  };
}

/** So much of a request is looked at for its session. */
export const HINT_BYTES = 2_048;

/** The session that a request says to belong to, as far as its first bytes show: for its limits, before it has been read. */
export function sessionHint(beginning: Buffer): string | undefined {
  return /\bsid\s*=\s*["']([\w-]{1,64})["']/.exec(beginning.toString('latin1', 0, HINT_BYTES))?.[1];
}

/** Without a byte order mark, a declaration and white space around it: a request is a document (XML 1.0 §4.3.3). */
function trimmed(body: Buffer): Buffer {
  let start = MARK.equals(body.subarray(0, MARK.length)) ? MARK.length : 0;
  let { length: end } = body;
  while (start < end && SPACE[body[start]!] === 1) start += 1;
  if (body[start] === LESS && body[start + 1] === QUESTION) {
    const behind = body.indexOf(GREATER, start) + 1;
    if (behind > 0 && declarationError(body, start, behind) === undefined) start = behind;
  }
  while (start < end && SPACE[body[start]!] === 1) start += 1;
  while (end > start && SPACE[body[end - 1]!] === 1) end -= 1;
  return body.subarray(start, end);
}

function payloadOf(body: Frame, table: NamespaceTable, limits: XmlLimits): Buffer | undefined {
  const { buffer, childCount } = body;
  const { rootTagEnd, contentEnd } = body.records;
  let at = body.start + rootTagEnd;
  const elements: Buffer[] = [];
  const context = contextIn(body, table);
  for (let i = 0; i < childCount; i += 1) {
    const start = body.childStart(i);
    if (!isWhitespace(buffer, at, start)) return undefined;
    at = body.childEnd(i);
    const element = parseStanza(buffer.subarray(start, at), table, { context, limits });
    const portable = element instanceof Frame ? makePortable(element) : undefined;
    if (portable === undefined) return undefined;
    elements.push(portable);
  }
  if (!isWhitespace(buffer, at, body.start + contentEnd)) return undefined;
  const [first] = elements;
  return elements.length === 1 && first !== undefined ? first : Buffer.concat(elements);
}

/**
 * What the elements inherit. COMPAT: most clients declare no namespace on their stanzas, which then would be in that of the wrapper
 * (XEP-0206 §2): it is taken for `jabber:client`.
 */
function contextIn(body: Frame, table: NamespaceTable): NamespaceContext {
  const declared = body
    .attributeNames(() => true)
    .filter((name) => name.startsWith('xmlns:') && name !== 'xmlns:stream');
  // Of one with a prefix, which is none of the wrapper's own.
  const inherited = body.attribute('xmlns') ?? HTTP_BIND;
  if (declared.length === 0 && inherited === HTTP_BIND) return standardContext(table);
  const declarations = new Map([
    ['', inherited === HTTP_BIND ? (NS.client as string) : inherited],
    ['stream', body.attribute('xmlns:stream') ?? NS.stream],
  ]);
  for (const name of declared) declarations.set(name.slice('xmlns:'.length), body.attribute(name) ?? '');
  return new NamespaceContext('body', declarations, table);
}

function prefixOf(body: Frame, uri: string): string | undefined {
  const names = body.attributeNames(() => true);
  return names
    .find((name) => name.startsWith('xmlns:') && body.attribute(name) === uri)
    ?.slice('xmlns:'.length);
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= LARGEST_RID ? number : undefined;
}

/** The attributes of a `<body/>`, in the order in which they are written. */
export type BodyAttributes = readonly (readonly [name: string, value: string | number | undefined])[];

const OPEN = `<body xmlns='${HTTP_BIND}'`;
const END = Buffer.from('</body>');

/** A `<body/>` with elements that stand on their own in it. */
export function writeBody(attributes: BodyAttributes, elements: readonly Buffer[] = []): Buffer {
  let tag = OPEN;
  for (const [name, value] of attributes)
    if (value !== undefined) tag += ` ${name}='${escapeAttribute(String(value))}'`;
  if (elements.length === 0) return Buffer.from(`${tag}/>`);
  return Buffer.concat([Buffer.from(`${tag}>`), ...elements, END]);
}

export const NO_PAYLOAD: Buffer = NOTHING;
