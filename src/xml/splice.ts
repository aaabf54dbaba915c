import { Buffer } from 'node:buffer';
import { bare } from '../jid.js';
import { EditedRecords } from './edited-records.js';
import type { Fragment } from './fragment.js';
import { Frame } from './frame.js';
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
  /** In front of `appended`. */
  private fragment: Fragment | undefined;
  private replacement: Buffer | undefined;
  /** Where the resource is that is cut off an address; -1: nowhere. Void as soon as an attribute is set. */
  private cutStart = -1;
  private cutEnd = -1;

  constructor(frame: Frame) {
    this.frame = frame;
  }

  /** Whether anything has been edited. */
  get touched(): boolean {
    return (
      this.fragment !== undefined ||
      this.appended !== undefined ||
      this.cutStart >= 0 ||
      this.attributes !== undefined ||
      this.removed !== undefined ||
      this.replacement !== undefined
    );
  }

  /** Whether this namespace may be that of a child after the edits; true also in doubt. @param id its number in the frame's table */
  mayHaveChild(id: number): boolean {
    const { frame, fragment } = this;
    if (this.replacement !== undefined || this.appended !== undefined) {
      const namespace = frame.namespaces.uri(id);
      if (this.replacement !== undefined) return this.replacement.includes(namespace);
      if (this.appended?.some((xml) => xml.includes(namespace)) === true) return true;
    }
    if (fragment?.has(frame.namespaces, id) === true) return true;
    for (let i = 0; i < frame.childCount; i++) if (frame.childNamespaceId(i) === id) return true;
    return false;
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
      this.cutStart = slash;
      this.cutEnd = end;
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
  appendChild(xml: string | Buffer | Fragment): this {
    if (typeof xml !== 'string' && !Buffer.isBuffer(xml)) {
      if (this.fragment === undefined && this.appended === undefined) {
        this.fragment = xml;
        return this;
      }
      return this.appendChild(xml.bytes);
    }
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
    if (this.isPlain) return this.plainBytes();
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
    if (this.cutStart >= 0) edits.push({ start: this.cutStart, end: this.cutEnd, bytes: NOTHING });
    if (this.removed !== undefined || this.appended !== undefined || this.fragment !== undefined)
      this.childEdits(edits);
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

  /**
   * The edited stanza in a buffer of its own, as a frame, and without reading it: what is where in it follows from the frame that was edited. Valid as long as
   * that one; of each frame there is one such at a time.
   *
   * @returns undefined where only reading it can tell
   */
  toFrame(): Frame | undefined {
    if (!this.isPlain) return undefined;
    const { frame, fragment, cutStart } = this;
    const bytes = this.plainBytes();
    const cut = cutStart < 0 ? 0 : this.cutEnd - cutStart;
    frame.records.edited ??= new EditedRecords(frame.namespaces, frame.context);
    const records = frame.records.edited.derive(frame.records, cutStart - frame.start, cut, fragment);
    const edited = new Frame(bytes, records, frame.context, frame.namespaces);
    edited.point(bytes, 0, bytes.length);
    return edited;
  }

  /** Nothing has been done but to cut a resource off and to append a fragment: what is done to nearly every message. */
  private get isPlain(): boolean {
    return (
      (this.cutStart >= 0 || this.fragment !== undefined) &&
      this.attributes === undefined &&
      this.removed === undefined &&
      this.appended === undefined &&
      this.replacement === undefined &&
      this.frame.buffer[this.frame.start + this.frame.records.rootTagEnd - 2] !== SLASH
    );
  }

  private plainBytes(): Buffer {
    const { buffer, start, end, records } = this.frame;
    const { cutStart, cutEnd, fragment } = this;
    const contentEnd = start + records.contentEnd;
    const cut = cutStart < 0 ? 0 : cutEnd - cutStart;
    const out = Buffer.allocUnsafe(end - start - cut + (fragment?.bytes.length ?? 0));
    let from = start;
    let to = 0;
    if (cut > 0) {
      to = copy(buffer, start, cutStart, out, 0);
      from = cutEnd;
    }
    to = copy(buffer, from, contentEnd, out, to);
    if (fragment !== undefined) to = copy(fragment.bytes, 0, fragment.bytes.length, out, to);
    copy(buffer, contentEnd, end, out, to);
    return out;
  }

  /** An address that was cut is one of the edited attributes like others, once there are such. */
  private keepCut(): void {
    const start = this.cutStart;
    if (start < 0) return;
    this.cutStart = -1;
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
    const { appended = [], fragment } = this;
    const pieces = fragment === undefined ? appended : [fragment.bytes, ...appended];
    if (pieces.length === 0) return;
    const tagEnd = start + records.rootTagEnd;
    if (buffer[tagEnd - 2] !== SLASH) {
      const at = start + records.contentEnd;
      for (const bytes of pieces) edits.push({ start: at, end: at, bytes });
      return;
    }
    const name = buffer.subarray(start + 1, start + records.rootNameEnd);
    const bytes = Buffer.concat([Buffer.from('>'), ...pieces, Buffer.from('</'), name, Buffer.from('>')]);
    edits.push({ start: tagEnd - 2, end: tagEnd, bytes });
  }
}
