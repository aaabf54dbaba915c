import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';

/** Under this name a domain's configuration switches it off. */
export const SESSION_START = 'session-start';

/** What of a session start this proxy can do on behalf of the server. */
export interface StartOffer {
  /** Message Carbons can be had (XEP-0280); a server that has none makes the request fail, which XEP-0386 §4.2 forbids. */
  readonly carbons: boolean;
  readonly clientState: boolean;
  /** Sessions are held, so that they can be resumed. */
  readonly resumption: boolean;
  /** Mechanisms that take a token of ours. */
  readonly tokenMechanisms: readonly string[];
}

/**
 * Adds SASL2 with Bind 2 to the features of a stream before authentication (XEP-0388 §2.1, XEP-0386 §4.1).
 * @param mechanisms the very list that the old profile shows
 */
export function offerSessionStart(features: Element, mechanisms: readonly string[], offer: StartOffer): void {
  if (mechanisms.length === 0) return;
  const authentication = features.c('authentication', { xmlns: NS.sasl2 });
  for (const mechanism of mechanisms) authentication.c('mechanism').t(mechanism);
  const inline = authentication.c('inline');
  const bound = inline.c('bind', { xmlns: NS.bind2 }).c('inline');
  const names: string[] = [NS.sm3, NS.sessionStart];
  if (offer.clientState) names.unshift(NS.csi);
  if (offer.carbons) names.unshift(NS.carbons2);
  for (const name of names) bound.c('feature', { var: name });
  if (!offer.resumption) return;
  inline.c('sm', { xmlns: NS.sm3 });
  const fast = inline.c('fast', { xmlns: NS.fast });
  for (const mechanism of offer.tokenMechanisms) fast.c('mechanism').t(mechanism);
}
