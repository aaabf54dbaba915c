import type { PassingStanza } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import { strip } from './annotation.js';

/**
 * Takes what is asked of the proxy out of a join, and sets what history it asks the room for.
 * @param most messages; undefined leaves what the client wants
 */
export function askRoom(stanza: PassingStanza, most: number | undefined): void {
  const { frame } = stanza;
  const splice = stanza.edit();
  strip(frame, splice);
  const tree = stanza.tree();
  const at = frame.findChild('x', NS.muc);
  const x = tree.getChild('x', NS.muc);
  if (at >= 0 && x !== undefined && most !== undefined) {
    for (const history of x.getChildren('history')) x.remove(history);
    splice.removeChild(at).appendChild(serializeElement(x.c('history', { maxstanzas: String(most) }).up()));
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
