import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';

/** What there is to tell of a message that waits. */
export interface WaitingMessage {
  readonly from: string;
  /** Absent where it is encrypted. */
  readonly body: string | undefined;
}

const ENCRYPTED: readonly string[] = [NS.omemo, NS.omemo2, NS.openPgp, NS.pgpEncrypted, NS.encryptedMessage];

/**
 * Looks for something that somebody is to be told: text, in the clear or not, or an invitation; in a message, in the event that wraps it
 * (MUC/Sub), or in the copy of it (XEP-0280).
 * @param account bare JID, prepared: what it has said itself is no news
 * @returns undefined: nothing
 */
export function readWaiting(message: Element, account: string): WaitingMessage | undefined {
  if (message.attrs.type === 'error') return undefined;
  const inner = unwrapped(message);
  if (inner === undefined) return undefined;
  const from = String(inner.attrs.from ?? message.attrs.from ?? '');
  if (from === '' || prepareJid(bare(from)) === account) return undefined;
  const body = inner.getChildText('body', NS.client) ?? '';
  if (body !== '' || inner.getChildElements().some(isNews))
    return { from, body: body === '' ? undefined : body };
  return undefined;
}

function isNews(child: Element): boolean {
  const namespace = child.getNS() ?? '';
  if (namespace === NS.mucUser) return child.getChild('invite') !== undefined;
  return namespace === NS.directInvite || ENCRYPTED.includes(namespace);
}

function unwrapped(message: Element): Element | undefined {
  const event = message.getChild('event', NS.pubsubEvent);
  if (event !== undefined) return event.getChild('items')?.getChild('item')?.getChild('message', NS.client);
  const copy = message.getChild('received', NS.carbons2);
  if (copy !== undefined) return copy.getChild('forwarded', NS.forward0)?.getChild('message', NS.client);
  return message;
}
