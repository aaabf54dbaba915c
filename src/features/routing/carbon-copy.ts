import { Buffer } from 'node:buffer';
import type { PassingStanza, SessionIdentity } from '../../session/feature.js';
import { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, serializeElement } from '../../xml/serialize.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { parseElement } from '../../xml/tree.js';

export interface CarbonCopy {
  readonly direction: 'received' | 'sent';
  /** The message inside, as a stanza of its own. */
  readonly message: Frame;
}

/**
 * What is inside of a copy (XEP-0280 §6). That it comes from the own account is the caller's to check (§11).
 * @returns undefined when there is no message inside
 */
export function readCarbonCopy(stanza: PassingStanza): CarbonCopy | undefined {
  const message = stanza.tree();
  for (const direction of ['received', 'sent'] as const) {
    const forwarded = message.getChild(direction, NS.carbons2)?.getChild('forwarded', NS.forward0);
    const inner = forwarded?.getChild('message', NS.client);
    if (inner === undefined) continue;
    // What it inherits from the elements around it must be its own: prefixes of the wrapper's, its default namespace.
    for (const [uri, prefix] of Object.entries(inner.parent?.getXmlns() ?? {})) {
      const name = prefix === '' ? 'xmlns' : `xmlns:${prefix}`;
      if (prefix !== '' && prefix !== 'xml' && inner.attrs[name] === undefined) inner.attrs[name] = uri;
    }
    if (inner.attrs.xmlns === undefined && !inner.name.includes(':')) inner.attrs.xmlns = NS.client;
    const frame = parseStanza(Buffer.from(serializeElement(inner)), stanza.frame.namespaces);
    return frame instanceof Frame && frame.portable ? { direction, message: frame } : undefined;
  }
  return undefined;
}

/** A message in the form in which somebody with carbons gets what another resource has received or sent (XEP-0280 §6, §7). */
export function asCarbon(
  xml: string,
  { bare, full }: SessionIdentity,
  direction: CarbonCopy['direction'],
): string {
  const message = parseElement(Buffer.from(xml));
  message.attrs.xmlns = NS.client;
  const { type } = message.attrs as { type?: string };
  const typed = type === undefined ? '' : ` type='${escapeAttribute(type)}'`;
  return (
    `<message from='${escapeAttribute(bare)}' to='${escapeAttribute(full)}'${typed}><${direction} xmlns='${NS.carbons2}'>` +
    `<forwarded xmlns='${NS.forward0}'>${serializeElement(message)}</forwarded></${direction}></message>`
  );
}
