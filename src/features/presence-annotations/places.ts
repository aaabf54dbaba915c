import { Buffer } from 'node:buffer';
import { parseJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';
import { inClientNamespace } from './foreign-room.js';

/** Whether a domain is a service of a server, such as its rooms, as far as the name tells: what it can reach, the server can. */
export function isServiceOf(domain: string, server: string): boolean {
  return domain.length > server.length && domain.endsWith(`.${server}`);
}

/**
 * The domain of the account behind an occupant, where the room tells it (XEP-0045 §7.2.3).
 * @param presence of the occupant; bytes of a stanza that was read before
 */
export function realDomain(presence: string): string | undefined {
  if (!presence.includes('jid=')) return undefined;
  const tree = inClientNamespace(Buffer.from(presence));
  // The room's own word stands last; see `roomSignals`.
  const item = tree.getChildren('x', NS.mucUser).at(-1)?.getChild('item');
  const jid: unknown = item?.attrs.jid;
  return typeof jid === 'string' ? parseJid(jid)?.domain : undefined;
}
