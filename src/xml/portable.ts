import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { INHERITED_NO_DEFAULT } from './context.js';
import type { Frame } from './frame.js';
import { CLIENT_ID, NS } from './namespaces.js';
import { serializeElement } from './serialize.js';
import { Splice } from './splice.js';
import { frameToElement } from './tree.js';

/**
 * The stanza in bytes that mean the same inside `<stream:stream xmlns='jabber:client'
 * xmlns:stream='http://etherx.jabber.org/streams'>`.
 *
 * - already so: its own bytes, a view
 * - it relies on declarations of its own stream's header: those it uses are put on its root
 * - `<c:message xmlns:c='jabber:client'>`, as jabberd2 relays it: written anew, without the prefix
 *
 * @returns undefined for a flawed frame: see `repair`
 */
export function makePortable(frame: Frame): Buffer | undefined {
  if (frame.flaw !== 'none') return undefined;
  if (frame.portable) return frame.bytes();
  if (frame.namespaceId === CLIENT_ID && frame.records.rootLocal !== 1) {
    const root = frameToElement(frame);
    dropClientPrefix(root, undefined, NS.client);
    return Buffer.from(serializeElement(root), 'utf8');
  }
  const splice = new Splice(frame);
  const { inherited } = frame.records;
  for (const [prefix, uri] of frame.context.marked(inherited)) {
    const name = prefix === '' ? 'xmlns' : `xmlns:${prefix}`;
    if (frame.attributeAt(name) < 0) splice.setAttribute(name, uri);
  }
  if ((inherited & INHERITED_NO_DEFAULT) !== 0 && frame.attributeAt('xmlns') < 0)
    splice.setAttribute('xmlns', '');
  return splice.toBuffer();
}

/**
 * Writes the names in `jabber:client` without prefix, below `element` too. Prefixes stay declared: attributes may
 * use them.
 *
 * @param before the default namespace around the element as it was read
 * @param now the default namespace around it as it will be written
 */
function dropClientPrefix(element: Element, before: string | undefined, now: string): void {
  const declared: unknown = element.attrs.xmlns;
  const readIn = typeof declared === 'string' ? declared : before;
  const colon = element.name.indexOf(':');
  let writtenIn = now;
  delete element.attrs.xmlns;
  if (colon === -1 || element.findNS(element.name.slice(0, colon)) === NS.client) {
    writtenIn = colon === -1 ? (readIn ?? '') : NS.client;
    element.name = element.name.slice(colon + 1);
    if (writtenIn !== now) element.attrs.xmlns = writtenIn;
  }
  for (const child of element.children)
    if (typeof child !== 'string') dropClientPrefix(child, readIn, writtenIn);
}
