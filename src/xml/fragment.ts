import { Buffer } from 'node:buffer';
import { Frame } from './frame.js';
import { C_NAMESPACE_ID, C_SIZE, C_START, C_URI } from './frame-records.js';
import { MADE_HERE } from './limits.js';
import type { NamespaceTable } from './namespaces.js';
import { parseStanza } from './tokenizer.js';

const BEFORE = '<message>';
const BEHIND = '</message>';

/**
 * Elements of the program's own that are put into many stanzas: their bytes, and what the reader finds in them, so that a stanza is
 * not read again because they have been put in. Immutable.
 */
export class Fragment {
  readonly bytes: Buffer;
  #table: NamespaceTable | undefined;
  #children = new Int32Array(0);
  #origin = 0;

  /** @param xml well-formed elements, each of which declares its own namespace, and nothing between them */
  constructor(xml: string) {
    this.bytes = Buffer.from(xml, 'utf8');
  }

  /**
   * The records of its elements (frame-records.ts), one behind the other.
   * @returns positions count from `origin`
   */
  children(table: NamespaceTable): Int32Array {
    if (this.#table !== table) this.#read(table);
    return this.#children;
  }

  /** Where in the records of `children` the fragment begins. */
  get origin(): number {
    return this.#origin;
  }

  /** Whether one of its elements is of this namespace. @param id in the table */
  has(table: NamespaceTable, id: number): boolean {
    const children = this.children(table);
    for (let at = C_NAMESPACE_ID; at < children.length; at += C_SIZE) if (children[at] === id) return true;
    return false;
  }

  #read(table: NamespaceTable): void {
    const frame = parseStanza(Buffer.from(BEFORE + this.bytes.toString() + BEHIND), table, {
      limits: MADE_HERE,
    });
    if (!(frame instanceof Frame)) throw new Error(`a fragment is no XML: ${frame.reason}`);
    const { children, childCount } = frame.records;
    this.#children = children.slice(0, childCount * C_SIZE);
    this.#origin = BEFORE.length;
    this.#table = table;
    for (let at = 0; at < this.#children.length; at += C_SIZE)
      if (this.#children[at + C_URI]! < this.#children[at + C_START]!)
        throw new Error('an element of a fragment does not declare its namespace');
  }
}
