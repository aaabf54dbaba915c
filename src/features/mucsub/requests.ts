import type { Element } from 'ltx';
import { parseJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';
import { type EventName, eventsOf } from './nodes.js';

/** What an iq in the namespace of MUC/Sub asks for. */
export type MucSubRequest =
  | {
      readonly kind: 'subscribe';
      /** As written; undefined: there is none. */
      readonly nick: string | undefined;
      readonly events: readonly EventName[];
      readonly password: string | undefined;
      /** Whom a moderator subscribes; absent: the sender. */
      readonly account: string | undefined;
    }
  | { readonly kind: 'unsubscribe'; readonly account: string | undefined }
  | { readonly kind: 'subscriptions' }
  | { readonly kind: 'wrong-type'; readonly type: string }
  | { readonly kind: 'wrong-jid'; readonly name: string }
  /** An event that does not say which. */
  | { readonly kind: 'no-node' }
  | { readonly kind: 'several' }
  | { readonly kind: 'unknown' };

/** A request names this many nodes at most; what is beyond is not looked at. */
const MOST_NODES = 64;

/** Reads an iq of type `get` or `set` that has a child in the namespace of MUC/Sub. */
export function readRequest(iq: Element): MucSubRequest {
  const payloads = iq.getChildElements();
  const [payload] = payloads;
  if (payloads.length !== 1 || payload === undefined) return { kind: 'several' };
  const type = String(iq.attrs.type ?? '');
  const name = payload.getNS() === NS.mucsub ? payload.getName() : '';
  switch (name) {
    case 'subscriptions':
      return type === 'get' ? { kind: 'subscriptions' } : { kind: 'wrong-type', type };
    case 'subscribe':
    case 'unsubscribe':
      return type === 'set' ? readChange(name, payload) : { kind: 'wrong-type', type };
    default:
      return { kind: 'unknown' };
  }
}

function readChange(name: 'subscribe' | 'unsubscribe', payload: Element): MucSubRequest {
  const { jid, nick, password } = payload.attrs as Record<string, string | undefined>;
  const address = jid === undefined ? undefined : parseJid(jid);
  // A full JID stands for its account.
  const account =
    address === undefined
      ? undefined
      : `${address.local === undefined ? '' : `${address.local}@`}${address.domain}`;
  if (jid !== undefined && account === undefined) return { kind: 'wrong-jid', name };
  if (name === 'unsubscribe') return { kind: 'unsubscribe', account };
  const events = payload.getChildren('event', NS.mucsub).slice(0, MOST_NODES);
  if (nick !== undefined && events.some(({ attrs }) => attrs.node === undefined)) return { kind: 'no-node' };
  const nodes = events.map(({ attrs }) => String(attrs.node));
  return { kind: 'subscribe', nick, events: eventsOf(nodes), password, account };
}
