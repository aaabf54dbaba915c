import { Buffer } from 'node:buffer';
import { INHERITED, type NamespaceContext } from './context.js';
import {
  A_FLAGS,
  A_NAME,
  A_NAME_END,
  A_SIZE,
  A_VALUE,
  A_VALUE_END,
  C_END,
  C_LOCAL,
  C_NAME_END,
  C_NAMESPACE_ID,
  C_SIZE,
  C_START,
  C_URI,
  C_URI_END,
  type Flaw,
  type FrameRecords,
} from './frame-records.js';
import { CLIENT_ID, type NamespaceTable } from './namespaces.js';
import { attributeValue, equalsAscii, equalsString, NEEDS_DECODING, NON_ASCII } from './values.js';

/** What a first-level element is; only the three stanzas of `jabber:client` have a kind of their own. */
export const StanzaKind = { Other: 0, Message: 1, Presence: 2, Iq: 3 } as const;
export type StanzaKind = (typeof StanzaKind)[keyof typeof StanzaKind];

/**
 * A view on the bytes of one first-level element of a stream. Nothing is decoded before it is asked for.
 *
 * Valid only while the sink is being called: the reader uses the same frame for the next element. What is to be
 * kept is `detach()`ed. The bytes `buffer[start..end)` themselves are never written to again.
 */
export class Frame {
  buffer: Buffer;
  /** The `<` of the element in `buffer`. */
  start = 0;
  /** Behind its last `>`. */
  end = 0;
  kind: StanzaKind = StanzaKind.Other;
  /** `none` for every stanza of a client. */
  flaw: Flaw = 'none';
  /**
   * The bytes mean the same inside `<stream:stream xmlns='jabber:client'
   * xmlns:stream='http://etherx.jabber.org/streams'>`, and the root, if it is of `jabber:client`, has no prefix:
   * many clients take `<c:message/>` for something else.
   */
  portable = true;
  /** Of the root, in `namespaces`; 0 if it is not in the table. */
  namespaceId = 0;
  /** What the stanza inherits: the reader's business, and that of `makePortable`. */
  context: NamespaceContext;
  namespaces: NamespaceTable;
  records: FrameRecords;

  /** @internal made by the reader and by `detach()` */
  constructor(buffer: Buffer, records: FrameRecords, context: NamespaceContext, namespaces: NamespaceTable) {
    this.buffer = buffer;
    this.records = records;
    this.context = context;
    this.namespaces = namespaces;
  }

  /** @internal takes over what `records` say about `buffer[start..end)` */
  point(buffer: Buffer, start: number, end: number): void {
    const records = this.records;
    this.buffer = buffer;
    this.start = start;
    this.end = end;
    this.context = records.context;
    this.namespaces = records.namespaces;
    this.flaw = records.flaw;
    this.namespaceId = records.rootNamespaceId;
    const client = records.rootNamespaceId === CLIENT_ID;
    this.portable = records.inherited === 0 && !(client && records.rootLocal !== 1);
    this.kind = client
      ? this.stanzaKind(start + records.rootLocal, start + records.rootNameEnd)
      : StanzaKind.Other;
  }

  private stanzaKind(from: number, to: number): StanzaKind {
    const { buffer } = this;
    if (to - from === 7)
      return equalsAscii(buffer, from, to, 'message') ? StanzaKind.Message : StanzaKind.Other;
    if (to - from === 8)
      return equalsAscii(buffer, from, to, 'presence') ? StanzaKind.Presence : StanzaKind.Other;
    return equalsAscii(buffer, from, to, 'iq') ? StanzaKind.Iq : StanzaKind.Other;
  }

  /** The root's name without prefix. */
  localName(): string {
    const { rootLocal, rootNameEnd } = this.records;
    return this.buffer.toString('utf8', this.start + rootLocal, this.start + rootNameEnd);
  }

  /** The root's namespace; '' if it has none or its prefix is unbound. */
  namespace(): string {
    const { rootUri, rootUriEnd } = this.records;
    return this.uri(this.namespaceId, rootUri, rootUriEnd);
  }

  /** Whether the root has this name; a namespace outside the table is compared by its bytes. */
  is(localName: string, namespace: string): boolean {
    const { rootLocal, rootNameEnd, rootUri, rootUriEnd } = this.records;
    return (
      this.sameUri(this.namespaceId, rootUri, rootUriEnd, namespace) &&
      equalsString(this.buffer, this.start + rootLocal, this.start + rootNameEnd, localName)
    );
  }

  /**
   * The value of an attribute of the root, references replaced and white space normalised.
   *
   * @param name as written, so without prefix save for `xml:lang`; a namespace declaration counts as one too
   */
  attribute(name: string): string | undefined {
    const at = this.attributeAt(name);
    if (at < 0) return undefined;
    const a = this.records.rootAttributes;
    return attributeValue(
      this.buffer,
      this.start + a[at + A_VALUE]!,
      this.start + a[at + A_VALUE_END]!,
      a[at + A_FLAGS]! & (NEEDS_DECODING | NON_ASCII),
    );
  }

  get to(): string | undefined {
    return this.attribute('to');
  }

  get from(): string | undefined {
    return this.attribute('from');
  }

  get type(): string | undefined {
    return this.attribute('type');
  }

  get id(): string | undefined {
    return this.attribute('id');
  }

  /** `xml:lang` */
  get lang(): string | undefined {
    return this.attribute('xml:lang');
  }

  /** Whether an attribute of the root has this value, without making a string of it. */
  attributeEquals(name: string, ascii: string): boolean {
    const at = this.attributeAt(name);
    if (at < 0) return false;
    const a = this.records.rootAttributes;
    if ((a[at + A_FLAGS]! & NEEDS_DECODING) !== 0) return this.attribute(name) === ascii;
    return equalsAscii(this.buffer, this.start + a[at + A_VALUE]!, this.start + a[at + A_VALUE_END]!, ascii);
  }

  /** Which of some values (ASCII) an attribute of the root has, absence counting as ''; -1: none of them. */
  attributeAmong(name: string, values: readonly string[]): number {
    const at = this.attributeAt(name);
    const a = this.records.rootAttributes;
    if (at < 0 || (a[at + A_FLAGS]! & NEEDS_DECODING) !== 0)
      return values.indexOf(this.attribute(name) ?? '');
    const from = this.start + a[at + A_VALUE]!;
    const to = this.start + a[at + A_VALUE_END]!;
    for (let i = 0; i < values.length; i++) if (equalsAscii(this.buffer, from, to, values[i]!)) return i;
    return -1;
  }

  /**
   * Copies the value of an attribute of the root, without making a string of it.
   * @param to where in `into`
   * @returns how many bytes; -1: it is not there, has more than `most`, or is not ASCII as it is written
   */
  copyAttribute(name: string, into: Uint8Array, to: number, most: number): number {
    const at = this.attributeAt(name);
    if (at < 0) return -1;
    const a = this.records.rootAttributes;
    const length = a[at + A_VALUE_END]! - a[at + A_VALUE]!;
    if (length > most || (a[at + A_FLAGS]! & (NEEDS_DECODING | NON_ASCII)) !== 0) return -1;
    const from = this.start + a[at + A_VALUE]!;
    for (let i = 0; i < length; i++) into[to + i] = this.buffer[from + i]!;
    return length;
  }

  /** @internal where in `records.rootAttributes` the attribute with this name as written is; -1 */
  attributeAt(name: string): number {
    const a = this.records.rootAttributes;
    const end = this.records.rootAttributeCount * A_SIZE;
    for (let at = 0; at < end; at += A_SIZE) {
      const from = this.start + a[at + A_NAME]!;
      if (equalsString(this.buffer, from, this.start + a[at + A_NAME_END]!, name)) return at;
    }
    return -1;
  }

  /** @internal the names as written of those attributes of the root whose flags (records.ts) are wanted */
  attributeNames(wanted: (flags: number) => boolean): string[] {
    const a = this.records.rootAttributes;
    const names: string[] = [];
    for (let at = 0; at < this.records.rootAttributeCount * A_SIZE; at += A_SIZE) {
      if (!wanted(a[at + A_FLAGS]!)) continue;
      names.push(
        this.buffer.toString('utf8', this.start + a[at + A_NAME]!, this.start + a[at + A_NAME_END]!),
      );
    }
    return names;
  }

  /** Elements directly inside the root; of a flawed frame perhaps not all. */
  get childCount(): number {
    return this.records.childCount;
  }

  /** The child's name without prefix. `i` < `childCount`, here and below. */
  childName(i: number): string {
    const c = this.records.children;
    const at = i * C_SIZE;
    return this.buffer.toString('utf8', this.start + c[at + C_LOCAL]!, this.start + c[at + C_NAME_END]!);
  }

  /** The child's namespace; '' if it has none or its prefix is unbound. */
  childNamespace(i: number): string {
    const c = this.records.children;
    const at = i * C_SIZE;
    return this.uri(c[at + C_NAMESPACE_ID]!, c[at + C_URI]!, c[at + C_URI_END]!);
  }

  /** The child's namespace in `namespaces`; 0 if it is not in the table. */
  childNamespaceId(i: number): number {
    return this.records.children[i * C_SIZE + C_NAMESPACE_ID]!;
  }

  /** Where in `buffer` the child begins. */
  childStart(i: number): number {
    return this.start + this.records.children[i * C_SIZE + C_START]!;
  }

  /** Where in `buffer` the child is over. */
  childEnd(i: number): number {
    return this.start + this.records.children[i * C_SIZE + C_END]!;
  }

  /** Whether child `i` has this name; a namespace outside the table is compared by its bytes. */
  childIs(i: number, localName: string, namespace: string): boolean {
    const c = this.records.children;
    const at = i * C_SIZE;
    return (
      this.sameUri(c[at + C_NAMESPACE_ID]!, c[at + C_URI]!, c[at + C_URI_END]!, namespace) &&
      equalsString(this.buffer, this.start + c[at + C_LOCAL]!, this.start + c[at + C_NAME_END]!, localName)
    );
  }

  /** Whether child `i` has this name without prefix, in whatever namespace. */
  childHasName(i: number, localName: string): boolean {
    const c = this.records.children;
    const at = i * C_SIZE;
    return equalsString(
      this.buffer,
      this.start + c[at + C_LOCAL]!,
      this.start + c[at + C_NAME_END]!,
      localName,
    );
  }

  /** The first child with this namespace and, unless undefined, this name; -1 if there is none. */
  findChild(localName: string | undefined, namespace: string): number {
    const c = this.records.children;
    for (let i = 0, at = 0; i < this.childCount; i++, at += C_SIZE) {
      if (!this.sameUri(c[at + C_NAMESPACE_ID]!, c[at + C_URI]!, c[at + C_URI_END]!, namespace)) continue;
      if (localName === undefined) return i;
      if (
        equalsString(this.buffer, this.start + c[at + C_LOCAL]!, this.start + c[at + C_NAME_END]!, localName)
      )
        return i;
    }
    return -1;
  }

  /** The bytes as they came: a view, not a copy. */
  bytes(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }

  /** The bytes as text. */
  toString(): string {
    return this.buffer.toString('utf8', this.start, this.end);
  }

  /** The same frame with bytes and records of its own: it may be kept. */
  detach(): Frame {
    return this.withOwnRecords(Buffer.from(this.bytes()));
  }

  /** @internal the same frame on a buffer that holds just its bytes, and that nobody will write to */
  withOwnRecords(bytes: Buffer): Frame {
    const copy = new Frame(bytes, this.records.copy(), this.context, this.namespaces);
    copy.end = this.end - this.start;
    copy.kind = this.kind;
    copy.flaw = this.flaw;
    copy.portable = this.portable;
    copy.namespaceId = this.namespaceId;
    return copy;
  }

  private uri(id: number, uri: number, uriEnd: number): string {
    if (id !== 0) return this.namespaces.uri(id);
    if (uri >= 0) {
      const flags = uriEnd < 0 ? NEEDS_DECODING : NON_ASCII;
      return attributeValue(this.buffer, this.start + uri, this.start + Math.abs(uriEnd), flags);
    }
    return uri <= INHERITED ? this.context.uris[INHERITED - uri]! : '';
  }

  private sameUri(id: number, uri: number, uriEnd: number, namespace: string): boolean {
    if (id !== 0) return this.namespaces.uri(id) === namespace;
    if (uri < 0 || uriEnd < 0) return this.uri(id, uri, uriEnd) === namespace;
    return equalsString(this.buffer, this.start + uri, this.start + uriEnd, namespace);
  }
}
