import { Buffer } from 'node:buffer';
import { addressShapes } from '../jid.js';
import type { Frame } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { serializeElement } from '../xml/serialize.js';
import { frameToElement } from '../xml/tree.js';
import type { DiscoAnswer, FeatureSession, SessionIdentity } from './feature.js';

/**
 * Lets the features add to or hide from a disco#info answer that passes by to the client (XEP-0030 §3).
 * @returns the amended stanza, or undefined when nobody wants a change
 */
export function amendDisco(
  frame: Frame,
  identity: SessionIdentity,
  instances: readonly FeatureSession[],
): Buffer | undefined {
  const iq = frameToElement(frame);
  const query = iq.getChild('query', NS.discoInfo);
  if (query === undefined) return undefined;
  const present = new Set(query.getChildren('feature').map((feature) => String(feature.attrs.var ?? '')));
  const hasIdentity = (category: string, type?: string) =>
    query
      .getChildren('identity')
      .some(({ attrs }) => attrs.category === category && (type === undefined || attrs.type === type));
  const node: unknown = query.attrs.node;
  const answer: DiscoAnswer = {
    from: frame.from ?? identity.bare,
    node: typeof node === 'string' ? node : undefined,
    entity: entityOf(frame.from, identity, hasIdentity),
    features: present,
  };
  let changed = false;
  for (const instance of instances) {
    const amendment = instance.onDisco?.(answer);
    for (const feature of amendment?.add ?? []) {
      if (present.has(feature)) continue;
      present.add(feature);
      query.c('feature', { var: feature });
      changed = true;
    }
    for (const feature of amendment?.hide ?? []) {
      if (!present.delete(feature)) continue;
      for (const child of query.getChildrenByAttr('var', feature)) query.remove(child);
      changed = true;
    }
  }
  if (!changed) return undefined;
  return Buffer.from(serializeElement(iq));
}

function entityOf(
  from: string | undefined,
  identity: SessionIdentity,
  hasIdentity: (category: string, type?: string) => boolean,
): DiscoAnswer['entity'] {
  if (from === identity.domain) return 'server';
  switch (addressShapes(identity)(from)) {
    case 'account':
      return 'account';
    case 'domain':
      return hasIdentity('conference', 'text') ? 'muc-service' : 'other';
    case 'bare':
      return hasIdentity('conference') ? 'muc-room' : 'other';
    default:
      return 'other';
  }
}
