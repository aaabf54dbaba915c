import { type NamespaceContext, NO_NAMESPACE } from './context.js';
import type { EditedRecords } from './edited-records.js';
import type { NamespaceTable } from './namespaces.js';

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

const NOTHING: Int32Array = new Int32Array(0);

/** What a frame goes by: where in the bytes of a stanza its parts are. */
export class FrameRecords {
  rootAttributes: Int32Array = NOTHING;
  rootAttributeCount = 0;
  children: Int32Array = NOTHING;
  childCount = 0;
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
  /** For a stanza that comes of this one by edits: see `Splice`. One at a time, made when needed. */
  edited: EditedRecords | undefined;
  namespaces: NamespaceTable;
  context: NamespaceContext;

  constructor(namespaces: NamespaceTable, context: NamespaceContext) {
    this.namespaces = namespaces;
    this.context = context;
  }

  /** The same in arrays of its own and of the right size. */
  copy(): FrameRecords {
    const copy = new FrameRecords(this.namespaces, this.context);
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
}

/** An array twice as long, beginning with what was in the other. */
export function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(array.length * 2);
  copy.set(array);
  return copy;
}
