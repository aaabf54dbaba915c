import { Buffer } from 'node:buffer';
import { bare } from '../jid.js';
import type { Frame } from './frame.js';
import { A_FLAGS, A_NAME, A_VALUE, A_VALUE_END } from './frame-records.js';
import { escapeAttribute } from './serialize.js';
import { NEEDS_DECODING } from './values.js';

const SLASH = 0x2f;
const SPACE = 0x20;

/** Instead of `buffer[start..end)`: `bytes`. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly bytes: Buffer;
}

const NOTHING = Buffer.alloc(0);

/** Up to so many bytes a loop is quicker than a call that copies. */
const SHORT = 64;

/** @returns where in `out` to go on */
function copy(source: Buffer, start: number, end: number, out: Buffer, at: number): number {
  const length = end - start;
  if (length > SHORT) source.copy(out, at, start, end);
  else for (let i = 0; i < length; i++) out[at + i] = source[start + i]!;
  return at + length;
}

/** Stable, so that several at one place keep their order. */
const byPlace = (a: Edit, b: Edit): number => a.start - b.start;

/**
 * Edits on the bytes of a stanza, without a tree. What is not edited stays byte for byte. Any number of edits cost
 * one copy, in `toBuffer`. The frame must stay valid until then.
 */
export class Splice {
  private readonly frame: Frame;
  /** By name as written; undefined = to be removed. The last edit counts. */
  private attributes: Map<string, string | undefined> | undefined;
  private removed: Set<number> | undefined;
  private appended: Buffer[] | undefined;
  private replacement: Buffer | undefined;
  /** The resource that is cut off an address; void as soon as an attribute is set. */
  private cut: Edit | undefined;

  constructor(frame: Frame) {
    this.frame = frame;
  }

  /** Whether anything has been edited. */
  get touched(): boolean {
    return (
      this.appended !== undefined ||
      this.cut !== undefined ||
      this.attributes !== undefined ||
      this.removed !== undefined ||
      this.replacement !== undefined
    );
  }

  /** Whether this namespace may be that of a child after the edits; true also in doubt. */
  mayHaveChild(namespace: string): boolean {
    if (this.replacement !== undefined) return this.replacement.includes(namespace);
    if (this.appended?.some((xml) => xml.includes(namespace)) === true) return true;
    return this.frame.findChild(undefined, namespace) >= 0;
  }

  /** Puts another stanza in its place; what else has been edited does not count. @param xml well-formed, on its own */
  replaceAll(xml: Buffer): this {
    this.replacement = xml;
    return this;
  }

  /**
   * Sets an attribute of the root, in its place if it is there, else behind the name.
   *
   * @param name as written: without prefix, or `xml:lang`, or a declaration the root does not have (`xmlns:p`)
   * @param value is escaped; what XML cannot carry becomes U+FFFD
   */
  setAttribute(name: string, value: string): this {
    this.attributes ??= new Map();
    this.keepCut();
    this.attributes.set(name, value);
    return this;
  }

  /**
   * Cuts the resource off an address (RFC 7622 §3.1) that is an attribute of the root. Where that can be done on the bytes nothing is decoded or made
   * anew: it is what re-addressing a message costs.
   */
  cutResource(name: 'to' | 'from'): this {
    const { frame } = this;
    const at = frame.attributeAt(name);
    if (at < 0) return this;
    const a = frame.records.rootAttributes;
    const end = frame.start + a[at + A_VALUE_END]!;
    if ((a[at + A_FLAGS]! & NEEDS_DECODING) !== 0 || this.attributes !== undefined)
      return this.setAttribute(name, bare(this.attributes?.get(name) ?? frame.attribute(name) ?? ''));
    for (let slash = frame.start + a[at + A_VALUE]!; slash < end; slash++) {
      if (frame.buffer[slash] !== SLASH) continue;
      this.cut = { start: slash, end, bytes: NOTHING };
      break;
    }
    return this;
  }

  /** Removes an attribute of the root, with the white space in front of it. */
  removeAttribute(name: string): this {
    if (this.frame.attributeAt(name) < 0 && !this.attributes?.has(name)) return this;
    this.attributes ??= new Map();
    this.keepCut();
    this.attributes.set(name, undefined);
    return this;
  }

  /**
   * Puts XML behind the last child.
   *
   * @param xml well-formed; its names are resolved where the children of the root are, so it should declare its
   *   own namespace
   */
  appendChild(xml: string | Buffer): this {
    this.appended ??= [];
    this.appended.push(typeof xml === 'string' ? Buffer.from(xml, 'utf8') : xml);
    return this;
  }

  /** Removes child `i`, counted as in the frame whatever has been removed already. */
  removeChild(i: number): this {
    if (i < 0 || i >= this.frame.childCount) throw new RangeError(`no child ${i}`);
    this.removed ??= new Set();
    this.removed.add(i);
    return this;
  }

  /** The edited stanza in a buffer of its own; a view on the frame's bytes if nothing was edited. */
  toBuffer(): Buffer {
    if (!this.touched) return this.frame.bytes();
    if (this.replacement !== undefined) return this.replacement;
    return this.made('', NOTHING);
  }

  /** The edited stanza inside something else, in one copy. */
  toBufferWithin(before: string, after: Buffer): Buffer {
    if (this.replacement === undefined) return this.made(before, after);
    return Buffer.concat([Buffer.from(before), this.replacement, after]);
  }

  private made(before: string, after: Buffer): Buffer {
    const { buffer, start, end } = this.frame;
    const edits = this.attributes === undefined ? [] : this.attributeEdits(this.attributes);
    if (this.cut !== undefined) edits.push(this.cut);
    if (this.removed !== undefined || this.appended !== undefined) this.childEdits(edits);
    if (edits.length > 1) edits.sort(byPlace);
    const first = before === '' ? 0 : Buffer.byteLength(before);
    let length = first + end - start + after.length;
    for (const edit of edits) length += edit.bytes.length - (edit.end - edit.start);
    // One copy into one buffer: less than half of what concatenating the pieces costs.
    const out = Buffer.allocUnsafe(length);
    let from = start;
    let to = first === 0 ? 0 : out.write(before);
    for (const edit of edits) {
      to = copy(buffer, from, edit.start, out, to);
      to = copy(edit.bytes, 0, edit.bytes.length, out, to);
      from = edit.end;
    }
    to = copy(buffer, from, end, out, to);
    copy(after, 0, after.length, out, to);
    return out;
  }

  /** An address that was cut is one of the edited attributes like others, once there are such. */
  private keepCut(): void {
    if (this.cut === undefined) return;
    const { start } = this.cut;
    this.cut = undefined;
    const a = this.frame.records.rootAttributes;
    for (const name of ['to', 'from']) {
      const at = this.frame.attributeAt(name);
      const isIt =
        at >= 0 &&
        this.frame.start + a[at + A_VALUE]! <= start &&
        start < this.frame.start + a[at + A_VALUE_END]!;
      if (isIt) this.attributes?.set(name, bare(this.frame.attribute(name)!));
    }
  }

  private attributeEdits(attributes: ReadonlyMap<string, string | undefined>): Edit[] {
    const { frame } = this;
    const { start, buffer, records } = frame;
    const edits: Edit[] = [];
    let added = '';
    for (const [name, value] of attributes) {
      const at = frame.attributeAt(name);
      if (at < 0) {
        if (value !== undefined) added += ` ${name}='${escapeAttribute(value)}'`;
        continue;
      }
      const a = records.rootAttributes;
      if (value !== undefined) {
        const bytes = Buffer.from(escapeAttribute(value), 'utf8');
        edits.push({ start: start + a[at + A_VALUE]!, end: start + a[at + A_VALUE_END]!, bytes });
        continue;
      }
      let from = start + a[at + A_NAME]!;
      while (buffer[from - 1]! <= SPACE) from--;
      edits.push({ start: from, end: start + a[at + A_VALUE_END]! + 1, bytes: NOTHING });
    }
    if (added !== '') {
      const at = start + records.rootNameEnd;
      // In front, so that it comes before the removal of an attribute at the same place.
      edits.unshift({ start: at, end: at, bytes: Buffer.from(added, 'utf8') });
    }
    return edits;
  }

  private childEdits(edits: Edit[]): void {
    const { frame } = this;
    const { start, buffer, records } = frame;
    for (const i of this.removed ?? []) {
      edits.push({ start: frame.childStart(i), end: frame.childEnd(i), bytes: NOTHING });
    }
    if (this.appended === undefined) return;
    const tagEnd = start + records.rootTagEnd;
    if (buffer[tagEnd - 2] !== SLASH) {
      const at = start + records.contentEnd;
      for (const bytes of this.appended) edits.push({ start: at, end: at, bytes });
      return;
    }
    const name = buffer.subarray(start + 1, start + records.rootNameEnd);
    const bytes = Buffer.concat([
      Buffer.from('>'),
      ...this.appended,
      Buffer.from('</'),
      name,
      Buffer.from('>'),
    ]);
    edits.push({ start: tagEnd - 2, end: tagEnd, bytes });
  }
}
