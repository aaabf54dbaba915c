import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import type { Splice } from '../../xml/splice.js';
import { strip } from './annotation.js';

/** What of a room's history is asked for (XEP-0045 §7.2.14), as attributes. */
export type WantedHistory = Readonly<Record<'maxstanzas', string>> | Readonly<Record<'since', string>>;

/**
 * Takes what is asked of the proxy out of a join, and sets what history it asks the room for.
 * @param tree of the same stanza, which is changed @param wanted undefined leaves what the client wants
 */
export function askRoom(
  frame: Frame,
  splice: Splice,
  tree: Element,
  wanted: WantedHistory | undefined,
): void {
  strip(frame, splice);
  const at = frame.findChild('x', NS.muc);
  const x = tree.getChild('x', NS.muc);
  if (at >= 0 && x !== undefined && wanted !== undefined) {
    for (const history of x.getChildren('history')) x.remove(history);
    splice.removeChild(at).appendChild(serializeElement(x.c('history', wanted).up()));
  }
  const versioned = frame.findChild('x', NS.mucUser);
  if (versioned < 0) return;
  // XEP-0436 "Security Considerations": nobody need know when one was here last.
  const user = tree.getChild('x', NS.mucUser)!;
  for (const version of user.getChildren('version', NS.presenceVersioning)) user.remove(version);
  splice.removeChild(versioned);
  if (user.getChildElements().length > 0) splice.appendChild(serializeElement(user));
  // COMPAT the example in XEP-0436 enters without the element by which rooms know that somebody enters.
  if (at < 0) splice.appendChild(`<x xmlns='${NS.muc}'/>`);
}

/** What a join says of the client itself, for a room that it is in already. */
export function withoutJoin(frame: Frame, splice: Splice): Buffer {
  strip(frame, splice);
  for (let i = 0; i < frame.childCount; i++) {
    const namespace = frame.childNamespace(i);
    if (namespace === NS.muc || namespace === NS.mucUser) splice.removeChild(i);
  }
  return splice.toBuffer();
}
