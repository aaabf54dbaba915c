import { Buffer } from 'node:buffer';
import { bare, domain, parseJid, resource } from '../jid.js';
import type { Frame } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { frameToElement } from '../xml/tree.js';
import type { SessionIdentity } from './feature.js';

/**
 * The full JID in a server's answer to a bind request (RFC 6120 §7.6).
 * @returns undefined for an error and for what is no full JID
 */
export function readBindResult(frame: Frame): SessionIdentity | undefined {
  if (!frame.attributeEquals('type', 'result') || frame.findChild('bind', NS.bind) < 0) return undefined;
  const full = frameToElement(frame).getChild('bind', NS.bind)?.getChildText('jid')?.trim();
  return full === undefined ? undefined : identityOf(full);
}

/** @returns undefined for what is no full JID of an account */
export function identityOf(full: string): SessionIdentity | undefined {
  const own = resource(full);
  const account = bare(full);
  const at = account.indexOf('@');
  if (own === undefined || at < 1 || parseJid(full) === undefined) return undefined;
  return {
    full: ownCopy(full),
    bare: ownCopy(account),
    local: ownCopy(account.slice(0, at)),
    domain: ownCopy(domain(full)),
    resource: ownCopy(own),
  };
}

/** A slice keeps the whole string alive that it was cut from, here for as long as the session. */
function ownCopy(slice: string): string {
  return Buffer.from(slice).toString();
}

/** A request to log in by `jabber:iq:auth` (XEP-0078); what authenticates in it is not kept. */
export interface LegacyAuth {
  readonly id: string;
  readonly local: string;
  readonly resource: string;
}

/** @returns undefined when the request cannot succeed because a part is missing */
export function readLegacyAuth(frame: Frame): LegacyAuth | undefined {
  const { id } = frame;
  const query = frameToElement(frame).getChild('query', NS.iqAuth);
  const local = query?.getChildText('username')?.trim();
  const own = query?.getChildText('resource')?.trim();
  if (id === undefined || !local || !own) return undefined;
  return { id, local, resource: own };
}
