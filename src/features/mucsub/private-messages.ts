import { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { Splice } from '../../xml/splice.js';

/** A private message that a ghost has got, as its account gets it. @param account bare JID */
export function privateMessage(frame: Frame, account: string): Buffer {
  const splice = new Splice(frame).setAttribute('to', account);
  // COMPAT: mu-conference does not say that it is one (XEP-0045 §7.5).
  if (frame.findChild('x', NS.mucUser) < 0) splice.appendChild(`<x xmlns='${NS.mucUser}'/>`);
  const hint = markedNoStore(frame);
  if (hint !== undefined) splice.removeChild(hint);
  return Buffer.from(splice.toBuffer());
}

/**
 * What leaves a realm of XMPP 2.0 for one resource has a hint against storing, right before its mark. Here that resource is an occupant, which
 * stands for the whole account: the account may be away, and what the sender has asked for itself stands elsewhere.
 * @returns which child that hint is
 */
function markedNoStore(frame: Frame): number | undefined {
  const hint = frame.findChild('xmpp-2', NS.xmpp2) - 1;
  return hint >= 0 && frame.childIs(hint, 'no-store', NS.hints) ? hint : undefined;
}
