import type { Buffer } from 'node:buffer';
import {
  INHERITED,
  INHERITED_NO_DEFAULT,
  type NamespaceContext,
  NO_NAMESPACE,
  UNBOUND,
  XML_PREFIX,
} from './context.js';
import { type XmlError, xmlError } from './errors.js';
import type { XmlLimits } from './limits.js';
import { type NamespaceTable, XML_ID, XMLNS_ID } from './namespaces.js';
import { attributeValue, equalsAscii, NEEDS_DECODING, NON_ASCII } from './values.js';

// Layout of the records. All positions count from the `<` of the stanza, so that its bytes can move.

/** Attributes: `NEEDS_DECODING`, `NON_ASCII` and the two below are in `A_FLAGS`. */
export const A_NAME = 0;
export const A_LOCAL = 1;
export const A_NAME_END = 2;
export const A_VALUE = 3;
export const A_VALUE_END = 4;
export const A_FLAGS = 5;
export const A_SIZE = 6;
/** The attribute is a namespace declaration. */
export const DECLARATION = 4;
/** The prefix of the attribute is not declared (server only). */
export const UNBOUND_ATTRIBUTE = 8;

/** First-level children. `C_URI` is a position, or negative: see context.ts. `C_URI_END` is negative if the URI needs decoding. */
export const C_START = 0;
export const C_END = 1;
export const C_LOCAL = 2;
export const C_NAME_END = 3;
export const C_NAMESPACE_ID = 4;
export const C_URI = 5;
export const C_URI_END = 6;
export const C_FLAWED = 7;
export const C_SIZE = 8;

/** Open elements. */
const E_NAME = 0;
const E_NAME_END = 1;
const E_BINDINGS = 2;
const E_DEFAULT = 3;
const E_SIZE = 4;

/** Declarations in scope. `B_KEY` is length and first byte of the prefix: most prefixes differ there. */
const B_KEY = 0;
const B_PREFIX = 1;
const B_PREFIX_END = 2;
const B_URI = 3;
const B_URI_END = 4;
const B_ID = 5;
/** A number per URI that is not in the table, given when first needed; 0 = not yet. */
const B_CANONICAL = 6;
const B_SIZE = 7;

const LOWER_X = 0x78;
const NO_VIEW: DataView = new DataView(new ArrayBuffer(0));

/** Up to here attributes are compared in pairs; beyond, through a set. */
const PAIRWISE = 16;

/**
 * Why a stanza of a server is not what a client would be allowed to send. `none` for every stanza of a client.
 */
export type Flaw =
  | 'none'
  | 'unbound-prefix'
  | 'too-deep'
  | 'too-many-attributes'
  | 'too-many-children'
  | 'too-many-namespaces';

/** Where an element is read: what it inherits and what it may cost. */
export interface ReadingRules {
  readonly limits: XmlLimits;
  readonly namespaces: NamespaceTable;
  readonly context: NamespaceContext;
  /** Undeclared prefixes and all limits but the one on bytes are errors, not flaws. */
  readonly strict: boolean;
}

/** What has been noted about the element being read. Reused for one element after the other. */
export class ElementRecords {
  /** Of the tag being read; of the root from its end on, until the next root. */
  attributes: Int32Array;
  attributeCount = 0;
  rootAttributes: Int32Array;
  rootAttributeCount = 0;
  children: Int32Array;
  childCount = 0;
  stack: Int32Array;
  depth = 0;
  private bindings: Int32Array;
  private bindingCount = 0;

  rootLocal = 0;
  rootNameEnd = 0;
  /** Behind the `>` of the root's start tag. */
  rootTagEnd = 0;
  /** The `<` of the root's end tag; equals `rootTagEnd` of an empty-element tag. */
  contentEnd = 0;
  rootNamespaceId = 0;
  rootUri = NO_NAMESPACE;
  rootUriEnd = 0;
  flaw: Flaw = 'none';
  /** The flaw is in the root itself, or spoils the records as a whole. */
  rootFlawed = false;
  /** Marks of the declarations of the header that the stanza relies on and that other streams do not have. */
  inherited = 0;
  /** Off inside a child that is flawed beyond use, so that it costs no more than its bytes. */
  private resolving = true;
  /** Off for good: the root is flawed beyond use. */
  private resolvable = true;
  /** More attributes on the tag being read than are recorded. */
  private overflow = false;
  /** Where the record of the open first-level child is; -1 if there is none. */
  private child = -1;
  /** Of the tag being read: bits of the names there were, */
  private seen = 0;
  /** whether two of them may be equal, */
  private suspect = false;
  /** and whether one may be a declaration. */
  private declares = false;
  /** The buffer being read, in words. */
  view: DataView = NO_VIEW;
  private readonly uriNumbers = new Map<string, number>();
  limits!: XmlLimits;
  namespaces!: NamespaceTable;
  context!: NamespaceContext;
  private strict = true;

  /** @param room for so many records of each kind before the arrays have to grow */
  constructor(room: number) {
    this.attributes = new Int32Array(room * A_SIZE);
    this.rootAttributes = new Int32Array(room * A_SIZE);
    this.children = new Int32Array(room * C_SIZE);
    this.stack = new Int32Array(room * E_SIZE);
    this.bindings = new Int32Array(room * B_SIZE);
  }

  /** The memory of the arrays in bytes. */
  get byteLength(): number {
    return (
      this.attributes.byteLength +
      this.rootAttributes.byteLength +
      this.children.byteLength +
      this.stack.byteLength +
      this.bindings.byteLength
    );
  }

  begin(rules: ReadingRules): void {
    // Copied, so that a pooled reader does not keep a session alive.
    this.limits = rules.limits;
    this.namespaces = rules.namespaces;
    this.context = rules.context;
    this.strict = rules.strict;
    this.clearAttributes();
    this.childCount = 0;
    this.depth = 0;
    this.bindingCount = 0;
    this.flaw = 'none';
    this.rootFlawed = false;
    this.inherited = 0;
    this.resolving = true;
    this.resolvable = true;
    this.overflow = false;
    this.child = -1;
    if (this.uriNumbers.size !== 0) this.uriNumbers.clear();
  }

  /** Forgets the attributes of the tag being read. */
  clearAttributes(): void {
    this.attributeCount = 0;
    this.seen = 0;
    this.suspect = false;
    this.declares = false;
  }

  /**
   * Notes an attribute of the tag being read; positions are relative to the stanza.
   *
   * @param first the first byte of its name
   */
  addAttribute(
    name: number,
    local: number,
    nameEnd: number,
    value: number,
    valueEnd: number,
    flags: number,
    first: number,
  ): XmlError | undefined {
    if (this.attributeCount >= this.limits.attributes) {
      this.overflow = true;
      return this.strict ? xmlError('too-many-attributes') : undefined;
    }
    let at = this.attributeCount++ * A_SIZE;
    if (at === this.attributes.length) this.attributes = doubled(this.attributes);
    const a = this.attributes;
    a[at++] = name;
    a[at++] = local;
    a[at++] = nameEnd;
    a[at++] = value;
    a[at++] = valueEnd;
    a[at] = flags;
    // Names that are equal have the same bit, so that nearly every tag is known to have none.
    const bit = 1 << ((nameEnd - name + first * 5) & 31);
    if ((this.seen & bit) !== 0 || local !== name) this.suspect = true;
    this.seen |= bit;
    if (first === LOWER_X) this.declares = true;
    return undefined;
  }

  /** The start tag that began at `tag` is complete up to `tagEnd`: resolve its names and open the element. */
  open(
    buf: Buffer,
    base: number,
    tag: number,
    name: number,
    local: number,
    nameEnd: number,
    tagEnd: number,
  ): XmlError | undefined {
    const depth = this.depth;
    let top = depth * E_SIZE;
    if (top === this.stack.length) this.stack = doubled(this.stack);
    const stack = this.stack;
    stack[top] = name;
    stack[top + E_NAME_END] = nameEnd;
    stack[top + E_BINDINGS] = this.bindingCount;
    let namespace = depth === 0 ? this.context.defaultNamespace : stack[top - E_SIZE + E_DEFAULT]!;
    stack[top + E_DEFAULT] = namespace;
    top += E_DEFAULT;
    this.depth = depth + 1;

    if (depth === 1) {
      if (this.childCount < this.limits.children) this.beginChild(tag, local, nameEnd);
      else {
        this.child = -1;
        const error = this.exceed('too-many-children', true);
        if (error !== undefined) return error;
      }
    }
    if (depth >= this.limits.depth) {
      const error = this.exceed('too-deep', false);
      if (error !== undefined) return error;
    }
    if (this.overflow) {
      this.overflow = false;
      this.exceed('too-many-attributes', depth === 0);
    }

    if (this.declares) {
      const error = this.declareAll(buf, base, top);
      if (error !== undefined) return error;
      namespace = stack[top]!;
    }
    if (this.resolving) {
      if (local !== name) {
        namespace = this.lookup(buf, base, name, local - 1);
        if (namespace === UNBOUND) {
          const error = this.unbound();
          if (error !== undefined) return error;
        }
      }
      if (namespace < 0) this.noteInherited(namespace);
      if (this.suspect) {
        const error = this.checkAttributes(buf, base);
        if (error !== undefined) return error;
      }
    } else namespace = UNBOUND;

    if (depth === 0) this.finishRoot(namespace, local, nameEnd, tagEnd);
    else if (depth === 1 && this.child !== -1) this.finishChildTag(namespace);
    if (this.attributeCount !== 0) this.clearAttributes();
    return undefined;
  }

  /** The innermost element is over at `end`; its end tag began at `contentEnd`. */
  close(contentEnd: number, end: number): void {
    const depth = --this.depth;
    this.bindingCount = this.stack[depth * E_SIZE + E_BINDINGS]!;
    if (depth > 1) return;
    if (depth === 0) this.contentEnd = contentEnd;
    else {
      if (this.child !== -1) this.children[this.child + C_END] = end;
      this.child = -1;
      this.resolving = this.resolvable;
    }
  }

  /** What a frame that is kept needs, in arrays of the right size. */
  copy(): ElementRecords {
    const copy = new ElementRecords(0);
    copy.limits = this.limits;
    copy.namespaces = this.namespaces;
    copy.context = this.context;
    copy.rootAttributes = this.rootAttributes.slice(0, this.rootAttributeCount * A_SIZE);
    copy.rootAttributeCount = this.rootAttributeCount;
    copy.children = this.children.slice(0, this.childCount * C_SIZE);
    copy.childCount = this.childCount;
    copy.rootLocal = this.rootLocal;
    copy.rootNameEnd = this.rootNameEnd;
    copy.rootTagEnd = this.rootTagEnd;
    copy.contentEnd = this.contentEnd;
    copy.rootNamespaceId = this.rootNamespaceId;
    copy.rootUri = this.rootUri;
    copy.rootUriEnd = this.rootUriEnd;
    copy.flaw = this.flaw;
    copy.rootFlawed = this.rootFlawed;
    copy.inherited = this.inherited;
    return copy;
  }

  /** Where the name of the innermost open element stands. */
  get openName(): number {
    return this.stack[(this.depth - 1) * E_SIZE + E_NAME]!;
  }

  get openNameEnd(): number {
    return this.stack[(this.depth - 1) * E_SIZE + E_NAME_END]!;
  }

  private finishRoot(namespace: number, local: number, nameEnd: number, tagEnd: number): void {
    this.rootLocal = local;
    this.rootNameEnd = nameEnd;
    this.rootTagEnd = tagEnd;
    this.rootNamespaceId = this.namespaceId(namespace);
    this.rootUri = namespace < 0 ? namespace : this.bindings[namespace * B_SIZE + B_URI]!;
    this.rootUriEnd = namespace < 0 ? 0 : this.bindings[namespace * B_SIZE + B_URI_END]!;
    if (namespace === UNBOUND) this.rootFlawed = true;
    const attributes = this.attributes;
    this.attributes = this.rootAttributes;
    this.rootAttributes = attributes;
    this.rootAttributeCount = this.attributeCount;
  }

  private beginChild(tag: number, local: number, nameEnd: number): void {
    const at = this.childCount++ * C_SIZE;
    if (at === this.children.length) this.children = doubled(this.children);
    const children = this.children;
    this.child = at;
    children[at + C_START] = tag;
    children[at + C_LOCAL] = local;
    children[at + C_NAME_END] = nameEnd;
    children[at + C_FLAWED] = 0;
  }

  private finishChildTag(namespace: number): void {
    const at = this.child;
    const children = this.children;
    if (namespace < 0) {
      children[at + C_URI] = namespace;
      children[at + C_NAMESPACE_ID] = this.namespaceId(namespace);
      return;
    }
    const binding = namespace * B_SIZE;
    children[at + C_URI] = this.bindings[binding + B_URI]!;
    children[at + C_URI_END] = this.bindings[binding + B_URI_END]!;
    children[at + C_NAMESPACE_ID] = this.bindings[binding + B_ID]!;
  }

  private namespaceId(namespace: number): number {
    if (namespace >= 0) return this.bindings[namespace * B_SIZE + B_ID]!;
    if (namespace <= INHERITED) return this.context.ids[INHERITED - namespace]!;
    return namespace === XML_PREFIX ? XML_ID : 0;
  }

  private noteInherited(namespace: number): void {
    if (namespace <= INHERITED) this.inherited |= this.context.marks[INHERITED - namespace]!;
    else if (namespace === NO_NAMESPACE) this.inherited |= INHERITED_NO_DEFAULT;
  }

  /** Takes up the declarations among the attributes of the tag; `top` is where the default namespace is kept. */
  private declareAll(buf: Buffer, base: number, top: number): XmlError | undefined {
    const attributes = this.attributes;
    const end = this.attributeCount * A_SIZE;
    for (let at = 0; at < end; at += A_SIZE) {
      const name = base + attributes[at]!;
      if (buf[name] !== 0x78) continue;
      const local = attributes[at + A_LOCAL]!;
      const nameEnd = attributes[at + A_NAME_END]!;
      if (attributes[at] === local) {
        if (!equalsAscii(buf, name, base + nameEnd, 'xmlns')) continue;
        attributes[at + A_FLAGS]! |= DECLARATION;
        const error = this.declare(buf, base, at, nameEnd, nameEnd);
        if (error !== undefined) return error;
        if (this.resolving) this.stack[top] = this.bindingCount - 1;
      } else if (equalsAscii(buf, name, base + local - 1, 'xmlns')) {
        attributes[at + A_FLAGS]! |= DECLARATION;
        const error = this.declare(buf, base, at, local, nameEnd);
        if (error !== undefined) return error;
      }
    }
    return undefined;
  }

  private declare(
    buf: Buffer,
    base: number,
    at: number,
    prefix: number,
    prefixEnd: number,
  ): XmlError | undefined {
    const uri = this.attributes[at + A_VALUE]!;
    const uriEnd = this.attributes[at + A_VALUE_END]!;
    const flags = this.attributes[at + A_FLAGS]!;
    const table = this.namespaces;
    const decoded = (flags & NEEDS_DECODING) !== 0;
    let id: number;
    if (decoded) id = table.id(attributeValue(buf, base + uri, base + uriEnd, flags & ~DECLARATION));
    else id = table.idOfWords(this.view, base + uri, base + uriEnd);

    // Namespaces in XML 1.0 §3: xml is what it is, xmlns is not to be declared, and neither name has another prefix.
    if (equalsAscii(buf, base + prefix, base + prefixEnd, 'xml'))
      return id === XML_ID ? undefined : xmlError('reserved-prefix');
    if (id === XML_ID || id === XMLNS_ID || equalsAscii(buf, base + prefix, base + prefixEnd, 'xmlns'))
      return xmlError('reserved-prefix');
    // Namespaces in XML 1.0 §2.2: only 1.1 can undeclare a prefix.
    if (uri === uriEnd && prefix !== prefixEnd) return xmlError('empty-prefix-binding');

    if (!this.resolving) return undefined;
    if (this.bindingCount >= this.limits.namespaces)
      return this.exceed('too-many-namespaces', this.depth === 1);
    const to = this.bindingCount++ * B_SIZE;
    if (to === this.bindings.length) this.bindings = doubled(this.bindings);
    const b = this.bindings;
    b[to + B_KEY] = prefixKey(buf, base + prefix, base + prefixEnd);
    b[to + B_PREFIX] = prefix;
    b[to + B_PREFIX_END] = prefixEnd;
    b[to + B_URI] = uri;
    b[to + B_URI_END] = decoded ? -uriEnd : uriEnd;
    b[to + B_ID] = id;
    b[to + B_CANONICAL] = 0;
    return undefined;
  }

  /** What the prefix `buf[base + prefix .. base + prefixEnd)` stands for. */
  private lookup(buf: Buffer, base: number, prefix: number, prefixEnd: number): number {
    const start = base + prefix;
    const end = base + prefixEnd;
    const key = prefixKey(buf, start, end);
    const bindings = this.bindings;
    for (let i = this.bindingCount - 1, at = i * B_SIZE; i >= 0; i--, at -= B_SIZE) {
      if (bindings[at] === key && equalsBytes(buf, start, end, buf, base + bindings[at + B_PREFIX]!))
        return i;
    }
    const inherited = this.context.prefixes;
    for (let i = 0; i < inherited.length; i++) {
      const candidate = inherited[i]!;
      if (candidate.length === end - start && equalsBytes(buf, start, end, candidate, 0))
        return INHERITED - i;
    }
    return equalsAscii(buf, start, end, 'xml') ? XML_PREFIX : UNBOUND;
  }

  /** No name twice, neither as written nor as resolved (XML 1.0 §3.1, Namespaces in XML 1.0 §6.3). */
  private checkAttributes(buf: Buffer, base: number): XmlError | undefined {
    const a = this.attributes;
    const end = this.attributeCount * A_SIZE;
    const names = this.attributeCount > PAIRWISE ? new Set<string>() : undefined;
    let prefixed = 0;
    for (let at = 0; at < end; at += A_SIZE) {
      const name = a[at]!;
      const nameEnd = a[at + A_NAME_END]!;
      if (a[at + A_LOCAL] !== name && (a[at + A_FLAGS]! & DECLARATION) === 0) prefixed++;
      if (names !== undefined) {
        names.add(buf.toString('latin1', base + name, base + nameEnd));
        if (names.size * A_SIZE !== at + A_SIZE) return xmlError('duplicate-attribute');
        continue;
      }
      const length = nameEnd - name;
      for (let other = 0; other < at; other += A_SIZE) {
        const otherName = a[other]!;
        if (a[other + A_NAME_END]! - otherName !== length || buf[base + otherName] !== buf[base + name])
          continue;
        if (equalsBytes(buf, base + name, base + nameEnd, buf, base + otherName))
          return xmlError('duplicate-attribute');
      }
    }
    return prefixed === 0 ? undefined : this.resolveAttributes(buf, base, prefixed);
  }

  private resolveAttributes(buf: Buffer, base: number, prefixed: number): XmlError | undefined {
    const a = this.attributes;
    const end = this.attributeCount * A_SIZE;
    const seen = prefixed > 1 ? new Set<string>() : undefined;
    for (let at = 0; at < end; at += A_SIZE) {
      const name = a[at]!;
      const local = a[at + A_LOCAL]!;
      if (local === name || (a[at + A_FLAGS]! & DECLARATION) !== 0) continue;
      const namespace = this.lookup(buf, base, name, local - 1);
      if (namespace === UNBOUND) {
        a[at + A_FLAGS]! |= UNBOUND_ATTRIBUTE;
        const error = this.unbound();
        if (error !== undefined) return error;
        continue;
      }
      if (namespace < 0) this.noteInherited(namespace);
      if (seen === undefined) continue;
      const expanded = `${this.canonical(buf, base, namespace)}}${buf.toString('latin1', base + local, base + a[at + A_NAME_END]!)}`;
      if (seen.has(expanded)) return xmlError('duplicate-attribute');
      seen.add(expanded);
    }
    return undefined;
  }

  /** One number for all declarations of one URI. Reads the URI of a declaration once, however often it is used. */
  private canonical(buf: Buffer, base: number, namespace: number): number {
    const id = this.namespaceId(namespace);
    if (id !== 0) return -id;
    if (namespace < 0) return this.uriNumber(this.context.uris[INHERITED - namespace]!);
    const at = namespace * B_SIZE;
    const b = this.bindings;
    if (b[at + B_CANONICAL] === 0) {
      const end = b[at + B_URI_END]!;
      const flags = end < 0 ? NEEDS_DECODING : NON_ASCII;
      b[at + B_CANONICAL] = this.uriNumber(
        attributeValue(buf, base + b[at + B_URI]!, base + Math.abs(end), flags),
      );
    }
    return b[at + B_CANONICAL]!;
  }

  private uriNumber(uri: string): number {
    let number = this.uriNumbers.get(uri);
    if (number === undefined) {
      number = this.uriNumbers.size + 1;
      this.uriNumbers.set(uri, number);
    }
    return number;
  }

  private unbound(): XmlError | undefined {
    if (this.strict) return xmlError('undeclared-prefix');
    this.note('unbound-prefix');
    return undefined;
  }

  private exceed(flaw: Exclude<Flaw, 'none' | 'unbound-prefix'>, root: boolean): XmlError | undefined {
    if (this.strict) return xmlError(flaw);
    this.note(flaw);
    this.resolving = false;
    if (root) {
      this.rootFlawed = true;
      this.resolvable = false;
    }
    return undefined;
  }

  private note(flaw: Flaw): void {
    if (this.flaw === 'none') this.flaw = flaw;
    if (this.child !== -1) this.children[this.child + C_FLAWED] = 1;
  }
}

function prefixKey(buf: Uint8Array, start: number, end: number): number {
  return end === start ? 0 : ((end - start) << 8) | buf[start]!;
}

function equalsBytes(a: Uint8Array, start: number, end: number, b: Uint8Array, other: number): boolean {
  for (let i = start, j = other; i < end; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(array.length * 2);
  copy.set(array);
  return copy;
}
