import type { Element } from 'ltx';
import { parseJid } from '../../jid.js';
import type { IqAnswer } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';

/** What an entity says it is and can do. */
export interface Info {
  readonly features: ReadonlySet<string>;
  readonly isConference: boolean;
}

/** Items of a server beyond these are not asked what they are. */
const MOST_ITEMS = 50;
/** Longer lists are cut: no entity has as many. */
const MOST_FEATURES = 1_000;

const NOTHING: Info = { features: new Set(), isConference: false };

/** Conditions that may be over the next time; any other error is an answer: such a thing is not known there. */
const PASSING: ReadonlySet<string> = new Set([
  'internal-server-error',
  'recipient-unavailable',
  'remote-server-not-found',
  'remote-server-timeout',
  'resource-constraint',
]);

/** The answer to a disco#info (XEP-0030 §3.1). */
export function readInfo(answer: IqAnswer): Info | 'leg-lost' | 'no-answer' {
  const query = queryOf(answer, NS.discoInfo);
  if (typeof query === 'string') return query;
  if (query === undefined) return NOTHING;
  const features = new Set<string>();
  for (const feature of query.getChildren('feature').slice(0, MOST_FEATURES)) {
    features.add(String(feature.attrs.var ?? ''));
  }
  features.delete('');
  // COMPAT mu-conference 0.8 announces service discovery under a name that nobody gave it.
  if (features.has('http://jabber.org/protocol/disco')) features.add(NS.discoInfo).add(NS.discoItems);
  const isConference = query.getChildren('identity').some(({ attrs }) => {
    // Type `text` is a MUC service (XEP-0045 §6.1); gateways to other networks have types of their own and behave as one.
    return attrs.category === 'conference' && (attrs.type === 'text' || features.has(NS.muc));
  });
  return { features, isConference };
}

/** The answer to a disco#items (XEP-0030 §4.1): the services among the items, prepared. */
export function readServices(answer: IqAnswer): string[] | 'leg-lost' | 'no-answer' {
  const query = queryOf(answer, NS.discoItems);
  if (typeof query === 'string') return query;
  const services = new Set<string>();
  for (const item of query?.getChildren('item').slice(0, MOST_ITEMS) ?? []) {
    const jid = parseJid(String(item.attrs.jid ?? ''));
    // A service is a domain; the rest are users, rooms and nodes.
    if (jid?.local === undefined && jid?.resource === undefined && jid !== undefined)
      services.add(jid.domain);
  }
  return [...services];
}

/** Of any condition a sender may be told to try again (RFC 6120 §8.3.2), as by Prosody of a component that is not connected. */
function isPassing({ condition, iq }: Extract<IqAnswer, { kind: 'error' }>): boolean {
  return PASSING.has(condition) || iq.getChild('error')?.attrs.type === 'wait';
}

function queryOf(answer: IqAnswer, namespace: string): Element | undefined | 'leg-lost' | 'no-answer' {
  switch (answer.kind) {
    case 'result':
      return answer.iq.getChild('query', namespace);
    case 'error':
      return isPassing(answer) ? 'no-answer' : undefined;
    case 'timeout':
      return 'no-answer';
    case 'leg-lost':
      return 'leg-lost';
  }
}
