import { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { Splice } from '../../xml/splice.js';
import { markedNoStore } from './events.js';

/** A private message that a ghost has got, as its account gets it. @param account bare JID */
export function privateMessage(frame: Frame, account: string): Buffer {
  const splice = new Splice(frame).setAttribute('to', account);
  // COMPAT: mu-conference does not say that it is one (XEP-0045 §7.5).
  if (frame.findChild('x', NS.mucUser) < 0) splice.appendChild(`<x xmlns='${NS.mucUser}'/>`);
  const hint = markedNoStore(frame);
  if (hint !== undefined) splice.removeChild(hint);
  return Buffer.from(splice.toBuffer());
}
