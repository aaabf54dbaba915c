import { domain, prepareJid } from '../../jid.js';
import { errorCondition } from '../../knowledge/rooms/signals.js';
import type { PassingStanza, ServerKind } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import type { Links } from './links.js';
import { saysUnreachable } from './prober.js';

/** Errors of which the condition may say that a server is not reached. */
const MAY_SAY_SO = ['remote-server-', 'service-unavailable'] as const;

/**
 * What a stanza says about the link to where it comes from.
 * @param stanza towards the client; no presence unless it is an error
 */
export function hearOfLink(stanza: PassingStanza, links: Links, ownDomain: string, kind: ServerKind): void {
  const { frame, now } = stanza;
  const isError = frame.attributeEquals('type', 'error');
  if (!isError && !links.anyTroubled) return;
  const from = prepareJid(frame.from ?? '');
  if (from === undefined) return;
  const sender = domain(from);
  if (sender === ownDomain) return;
  if (!isError) {
    // What comes late has waited somewhere, perhaps at the own server.
    if (frame.findChild('delay', NS.delay) < 0) links.alive(sender, now);
    return;
  }
  const bytes = frame.bytes();
  if (!MAY_SAY_SO.some((word) => bytes.includes(word))) return;
  const condition = errorCondition(stanza.tree());
  // COMPAT: jabberd2 says so of servers that it cannot connect to, and everybody says so of much else.
  const may = condition === 'service-unavailable' && kind === 'jabberd2';
  if (saysUnreachable(condition) || may) links.error(sender, now, saysUnreachable(condition), kind);
}
