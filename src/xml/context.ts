import { Buffer } from 'node:buffer';
import { type NamespaceTable, NS } from './namespaces.js';

/**
 * What the name of an element or attribute stands in: a number ≥ 0 is a declaration inside the stanza; the rest
 * is negative. `INHERITED - i` is declaration `i` of the stream header.
 */
export const NO_NAMESPACE = -1;
export const UNBOUND = -2;
export const XML_PREFIX = -3;
export const INHERITED = -4;

/** In `Frame.inherited`: the stanza relies on the header's having no default namespace. */
export const INHERITED_NO_DEFAULT = 1 << 30;
const MOST_TRACKED = 29;

/** The namespace declarations that a stanza inherits from its stream header. Immutable. */
export class NamespaceContext {
  readonly prefixes: readonly Buffer[];
  readonly uris: readonly string[];
  readonly ids: readonly number[];
  /** Per declaration: 0 if it means the same in every XMPP stream, else the bit that says it was used. */
  readonly marks: readonly number[];
  /** What a name without prefix stands in. */
  readonly defaultNamespace: number;
  /** The root's name as written: what the end tag of the stream has to repeat. */
  readonly rootName: Buffer;

  /** @param declarations prefix → URI, the prefix of the default namespace being '' */
  constructor(rootName: string, declarations: ReadonlyMap<string, string>, table: NamespaceTable) {
    const entries = [...declarations].filter(([prefix, uri]) => prefix !== 'xml' && uri !== '');
    this.rootName = Buffer.from(rootName, 'utf8');
    this.prefixes = entries.map(([prefix]) => Buffer.from(prefix, 'utf8'));
    this.uris = entries.map(([, uri]) => uri);
    this.ids = entries.map(([, uri]) => table.id(uri));
    this.marks = entries.map(([prefix, uri], i) =>
      isStandard(prefix, uri) ? 0 : 1 << Math.min(i, MOST_TRACKED),
    );
    const index = entries.findIndex(([prefix]) => prefix === '');
    this.defaultNamespace = index === -1 ? NO_NAMESPACE : INHERITED - index;
  }

  /** The prefixes among the declarations with one of the bits in `marks`, with their URIs. */
  marked(marks: number): [prefix: string, uri: string][] {
    const found: [string, string][] = [];
    for (let i = 0; i < this.uris.length; i++) {
      if ((this.marks[i]! & marks) !== 0) found.push([this.prefixes[i]!.toString('utf8'), this.uris[i]!]);
    }
    return found;
  }
}

function isStandard(prefix: string, uri: string): boolean {
  return (prefix === '' && uri === NS.client) || (prefix === 'stream' && uri === NS.stream);
}

const STANDARD_DECLARATIONS: ReadonlyMap<string, string> = new Map([
  ['', NS.client],
  ['stream', NS.stream],
]);
const STANDARD = new WeakMap<NamespaceTable, NamespaceContext>();
const NOTHING_INHERITED = new WeakMap<NamespaceTable, NamespaceContext>();

/** `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`, one per table. */
export function standardContext(table: NamespaceTable): NamespaceContext {
  let context = STANDARD.get(table);
  if (context === undefined) {
    context = new NamespaceContext('stream:stream', STANDARD_DECLARATIONS, table);
    STANDARD.set(table, context);
  }
  return context;
}

/** Nothing is declared around the element: a stream header, or a WebSocket message (RFC 7395 §3.3). */
export function emptyContext(table: NamespaceTable): NamespaceContext {
  let context = NOTHING_INHERITED.get(table);
  if (context === undefined) {
    context = new NamespaceContext('', new Map(), table);
    NOTHING_INHERITED.set(table, context);
  }
  return context;
}

/** Those that nearly every client stream and its answer have, as one map for all of them; any others as they are. */
export function sharedDeclarations(declarations: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const isUsual =
    declarations.size === STANDARD_DECLARATIONS.size &&
    [...STANDARD_DECLARATIONS].every(([prefix, uri]) => declarations.get(prefix) === uri);
  return isUsual ? STANDARD_DECLARATIONS : declarations;
}

/** The context of a header; the shared one where it is the usual one, so that most sessions hold none. */
export function contextOf(
  rootName: string,
  declarations: ReadonlyMap<string, string>,
  table: NamespaceTable,
): NamespaceContext {
  const isUsual = rootName === 'stream:stream' && sharedDeclarations(declarations) === STANDARD_DECLARATIONS;
  return isUsual ? standardContext(table) : new NamespaceContext(rootName, declarations, table);
}
