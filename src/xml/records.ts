import type { Buffer } from 'node:buffer';
import { Bindings } from './bindings.js';
import { INHERITED, INHERITED_NO_DEFAULT, type NamespaceContext, NO_NAMESPACE, UNBOUND } from './context.js';
import { type XmlError, xmlError } from './errors.js';
import {
  A_FLAGS,
  A_LOCAL,
  A_NAME_END,
  A_SIZE,
  A_VALUE,
  A_VALUE_END,
  C_END,
  C_FLAWED,
  C_LOCAL,
  C_NAME_END,
  C_NAMESPACE_ID,
  C_SIZE,
  C_START,
  C_URI,
  C_URI_END,
  DECLARATION,
  doubled,
  type Flaw,
  FrameRecords,
  UNBOUND_ATTRIBUTE,
} from './frame-records.js';
import type { XmlLimits } from './limits.js';
import { type NamespaceTable, XML_ID, XMLNS_ID } from './namespaces.js';
import { attributeValue, equalsAscii, equalsBytes, NEEDS_DECODING } from './values.js';
import { NO_VIEW } from './words.js';

/** Open elements. */
const E_NAME = 0;
const E_NAME_END = 1;
const E_BINDINGS = 2;
const E_DEFAULT = 3;
const E_SIZE = 4;

const LOWER_X = 0x78;
const SPACE = 0x20;

/** Up to here attributes are compared in pairs; beyond, through a set. */
const PAIRWISE = 16;

/** Where an element is read: what it inherits and what it may cost. */
export interface ReadingRules {
  readonly limits: XmlLimits;
  readonly namespaces: NamespaceTable;
  readonly context: NamespaceContext;
  /** Undeclared prefixes and all limits but the one on bytes are errors, not flaws. */
  readonly strict: boolean;
}

/**
 * What has been noted about the element being read. Reused for one element after the other. Names are resolved where they are noted, in one class and
 * on its arrays: between two of them each attribute would be handed over.
 */
export class ElementRecords extends FrameRecords {
  /** Of the tag being read. */
  attributes: Int32Array;
  attributeCount = 0;
  depth = 0;
  private stack: Int32Array;
  private readonly bindings: Bindings;

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
  limits: XmlLimits;
  private strict: boolean;

  /** @param room for so many records of each kind before the arrays have to grow */
  constructor(room: number, rules: ReadingRules) {
    super(rules.namespaces, rules.context);
    this.limits = rules.limits;
    this.strict = rules.strict;
    this.attributes = new Int32Array(room * A_SIZE);
    this.rootAttributes = new Int32Array(room * A_SIZE);
    this.children = new Int32Array(room * C_SIZE);
    this.stack = new Int32Array(room * E_SIZE);
    this.bindings = new Bindings(room);
  }

  /** The most records of a kind there is room for. */
  get room(): number {
    return Math.max(
      this.attributes.length / A_SIZE,
      this.rootAttributes.length / A_SIZE,
      this.children.length / C_SIZE,
      this.stack.length / E_SIZE,
      this.bindings.room,
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
    this.bindings.clear();
    this.flaw = 'none';
    this.rootFlawed = false;
    this.inherited = 0;
    this.resolving = true;
    this.resolvable = true;
    this.overflow = false;
    this.child = -1;
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
   * @param foreign it has a prefix other than `xml`, which can only be what it is: it may be another name for one
   *   of the others, or not be declared
   */
  addAttribute(
    name: number,
    local: number,
    nameEnd: number,
    value: number,
    valueEnd: number,
    flags: number,
    first: number,
    foreign: boolean,
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
    if (foreign || (this.seen & bit) !== 0) this.suspect = true;
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
    stack[top + E_BINDINGS] = this.bindings.count;
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
        namespace = this.bindings.lookup(buf, base, name, local - 1, this.context);
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
    this.bindings.count = this.stack[depth * E_SIZE + E_BINDINGS]!;
    if (depth > 1) return;
    if (depth === 0) this.contentEnd = contentEnd;
    else {
      if (this.child !== -1) this.children[this.child + C_END] = end;
      this.child = -1;
      this.resolving = this.resolvable;
    }
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
    this.rootNamespaceId = this.bindings.id(namespace, this.context);
    this.rootUri = this.bindings.uri(namespace);
    this.rootUriEnd = this.bindings.uriEnd(namespace);
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
    const { bindings, children } = this;
    children[at + C_URI] = bindings.uri(namespace);
    children[at + C_URI_END] = bindings.uriEnd(namespace);
    children[at + C_NAMESPACE_ID] = bindings.id(namespace, this.context);
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
        if (this.resolving) this.stack[top] = this.bindings.count - 1;
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

    if (id === 0 && uri !== uriEnd && isPadded(buf, base + uri, base + uriEnd, flags & ~DECLARATION)) {
      if (this.strict) return xmlError('namespace-name');
      this.note('unbound-prefix');
      if (this.depth === 1) this.rootFlawed = true;
    }

    if (!this.resolving) return undefined;
    if (this.bindings.count >= this.limits.namespaces)
      return this.exceed('too-many-namespaces', this.depth === 1);
    this.bindings.declare(buf, base, prefix, prefixEnd, uri, decoded ? -uriEnd : uriEnd, id);
    return undefined;
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
      const namespace = this.bindings.lookup(buf, base, name, local - 1, this.context);
      if (namespace === UNBOUND) {
        a[at + A_FLAGS]! |= UNBOUND_ATTRIBUTE;
        const error = this.unbound();
        if (error !== undefined) return error;
        continue;
      }
      if (namespace < 0) this.noteInherited(namespace);
      if (seen === undefined) continue;
      const expanded = `${this.bindings.canonical(buf, base, namespace, this.context)}}${buf.toString('latin1', base + local, base + a[at + A_NAME_END]!)}`;
      if (seen.has(expanded)) return xmlError('duplicate-attribute');
      seen.add(expanded);
    }
    return undefined;
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

/** Whether white space, of Unicode's kinds too, stands at an end of the value. */
function isPadded(buf: Buffer, start: number, end: number, flags: number): boolean {
  if (flags === 0) return buf[start] === SPACE || buf[end - 1] === SPACE;
  const value = attributeValue(buf, start, end, flags);
  return value.trim() !== value;
}
