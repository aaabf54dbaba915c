import type { Buffer } from 'node:buffer';
import { type Frame, StanzaKind } from './frame.js';
import { C_FLAWED, C_SIZE, UNBOUND_ATTRIBUTE } from './frame-records.js';
import { FROM_SERVER } from './limits.js';
import { makePortable } from './portable.js';
import { Splice } from './splice.js';
import { parseStanza } from './tokenizer.js';

/**
 * What a flawed stanza of a server (`Frame.flaw`) certainly means, in bytes fit for any client stream: they
 * pass the rules a client is held to.
 *
 * ejabberd relays prefixes that its sender declared on the header of another stream: what they stood for is lost.
 * An attribute of another namespace on the root says nothing to whoever does not know it, so it is left out. A
 * message or presence is a set of independent extensions (RFC 6120 §8.4: what is not understood is ignored), so a
 * child that cannot be read is left out and the rest is kept. An iq is one question or answer: without its payload it
 * would mean something else, so it is not repaired.
 *
 * @returns undefined if the meaning is not certain: the stanza is to be dropped and counted
 */
export function repair(frame: Frame): Buffer | undefined {
  if (frame.flaw === 'none') return makePortable(frame);
  if (frame.records.rootFlawed) return undefined;
  const children = flawedChildren(frame);
  if (children.length !== 0 && frame.kind !== StanzaKind.Message && frame.kind !== StanzaKind.Presence)
    return undefined;

  const splice = new Splice(frame);
  for (const child of children) splice.removeChild(child);
  for (const name of frame.attributeNames((flags) => (flags & UNBOUND_ATTRIBUTE) !== 0))
    splice.removeAttribute(name);

  const { context, namespaces } = frame;
  const kept = parseStanza(splice.toBuffer(), namespaces, { context, limits: FROM_SERVER });
  if ('condition' in kept) return undefined;
  const bytes = makePortable(kept);
  return bytes === undefined || 'condition' in parseStanza(bytes, namespaces) ? undefined : bytes;
}

function flawedChildren(frame: Frame): number[] {
  const flawed: number[] = [];
  for (let i = 0; i < frame.childCount; i++) {
    if (frame.records.children[i * C_SIZE + C_FLAWED] !== 0) flawed.push(i);
  }
  return flawed;
}
