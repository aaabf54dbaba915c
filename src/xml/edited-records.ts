import type { Fragment } from './fragment.js';
import {
  A_LOCAL,
  A_NAME,
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
  FrameRecords,
} from './frame-records.js';

/**
 * What is where in a stanza that has lost some bytes of an attribute of its root and got more children behind the last. It follows from what was where
 * before, so that the stanza need not be read again. Kept by the records of the stanza that is edited and used for the next one too.
 */
export class EditedRecords extends FrameRecords {
  /** What `rootAttributes` are when they are not those of the stanza that was edited. */
  private own = new Int32Array(0);

  /**
   * @param cutAt position of the bytes that are gone, inside an attribute's value; of no account if `cut` is 0
   * @param cut so many
   */
  derive(from: FrameRecords, cutAt: number, cut: number, fragment: Fragment | undefined): this {
    this.namespaces = from.namespaces;
    this.context = from.context;
    this.rootLocal = from.rootLocal;
    this.rootNameEnd = from.rootNameEnd;
    this.rootTagEnd = from.rootTagEnd - cut;
    this.contentEnd = from.contentEnd - cut + (fragment?.bytes.length ?? 0);
    this.rootNamespaceId = from.rootNamespaceId;
    this.flaw = from.flaw;
    this.rootFlawed = from.rootFlawed;
    this.inherited = from.inherited;
    this.rootAttributeCount = from.rootAttributeCount;
    this.rootUri = shifted(from.rootUri, cutAt, cut);
    this.rootUriEnd = from.rootUri < 0 ? from.rootUriEnd : shiftedEnd(from.rootUriEnd, cutAt, cut);
    if (cut === 0) this.rootAttributes = from.rootAttributes;
    else this.deriveAttributes(from, cutAt, cut);
    this.deriveChildren(from, cutAt, cut, fragment);
    return this;
  }

  private deriveAttributes(from: FrameRecords, cutAt: number, cut: number): void {
    const length = from.rootAttributeCount * A_SIZE;
    if (this.own.length < length) this.own = new Int32Array(from.rootAttributes.length);
    const a = from.rootAttributes;
    const b = this.own;
    this.rootAttributes = b;
    for (let i = 0; i < length; i++) b[i] = a[i]!;
    for (let at = 0; at < length; at += A_SIZE) {
      if (b[at + A_VALUE_END]! <= cutAt) continue;
      b[at + A_VALUE_END]! -= cut;
      // The one that was cut, and those behind it.
      if (b[at + A_NAME]! <= cutAt) continue;
      b[at + A_NAME]! -= cut;
      b[at + A_LOCAL]! -= cut;
      b[at + A_NAME_END]! -= cut;
      b[at + A_VALUE]! -= cut;
    }
  }

  private deriveChildren(
    from: FrameRecords,
    cutAt: number,
    cut: number,
    fragment: Fragment | undefined,
  ): void {
    const kept = from.childCount * C_SIZE;
    const added = fragment?.children(from.namespaces);
    const length = kept + (added?.length ?? 0);
    if (this.children.length < length)
      this.children = new Int32Array(Math.max(length, from.children.length + C_SIZE));
    this.childCount = length / C_SIZE;
    const c = this.children;
    this.copyChildren(from.children, kept, 0, -cut);
    if (cut > 0) {
      // A namespace may be declared in the root, in front of what was cut.
      for (let at = 0; at < kept; at += C_SIZE) {
        const uri = from.children[at + C_URI]!;
        if (uri < 0) continue;
        c[at + C_URI] = shifted(uri, cutAt, cut);
        c[at + C_URI_END] = shiftedEnd(from.children[at + C_URI_END]!, cutAt, cut);
      }
    }
    if (added === undefined || fragment === undefined) return;
    const shift = from.contentEnd - cut - fragment.origin;
    this.copyChildren(added, added.length, kept, shift);
    for (let at = kept; at < length; at += C_SIZE) {
      c[at + C_URI]! += shift;
      c[at + C_URI_END]! += c[at + C_URI_END]! < 0 ? -shift : shift;
    }
  }

  /** Copies the records of children that stand elsewhere, all but where their namespaces are declared, which is copied as it is. */
  private copyChildren(source: Int32Array, length: number, to: number, shift: number): void {
    const c = this.children;
    for (let i = 0, at = to; i < length; i += C_SIZE, at += C_SIZE) {
      c[at + C_START] = source[i + C_START]! + shift;
      c[at + C_END] = source[i + C_END]! + shift;
      c[at + C_LOCAL] = source[i + C_LOCAL]! + shift;
      c[at + C_NAME_END] = source[i + C_NAME_END]! + shift;
      c[at + C_NAMESPACE_ID] = source[i + C_NAMESPACE_ID]!;
      c[at + C_URI] = source[i + C_URI]!;
      c[at + C_URI_END] = source[i + C_URI_END]!;
      c[at + C_FLAWED] = source[i + C_FLAWED]!;
    }
  }
}

/** Negative ones are no positions (context.ts). */
function shifted(position: number, cutAt: number, cut: number): number {
  return position > cutAt ? position - cut : position;
}

/** Negative if what ends there needs decoding. */
function shiftedEnd(position: number, cutAt: number, cut: number): number {
  return position < 0 ? -shifted(-position, cutAt, cut) : shifted(position, cutAt, cut);
}
