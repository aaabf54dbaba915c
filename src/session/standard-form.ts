import { Frame } from '../xml/frame.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import { makePortable } from '../xml/portable.js';
import { repair } from '../xml/repair.js';

import { parseStanza } from '../xml/tokenizer.js';

/**
 * A stanza whose bytes depend on the header of its own stream, in bytes that mean the same on any.
 * @returns undefined when it cannot be said so
 */
export function standardForm(frame: Frame, namespaces: NamespaceTable): Frame | undefined {
  return reread(makePortable(frame), namespaces);
}

/** The same for what a server sends: what it relays may be beyond repair. */
export function readableFromServer(frame: Frame, namespaces: NamespaceTable): Frame | undefined {
  return reread(frame.flaw === 'none' ? makePortable(frame) : repair(frame), namespaces);
}

function reread(bytes: Buffer | undefined, namespaces: NamespaceTable): Frame | undefined {
  if (bytes === undefined) return undefined;
  const frame = parseStanza(bytes, namespaces);
  return frame instanceof Frame ? frame : undefined;
}
