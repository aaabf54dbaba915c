import type { Feature } from '../session/feature.js';
import { capabilitiesProbe } from './capabilities-probe/capabilities-probe.js';
import { mucsub } from './mucsub/mucsub.js';
import { mucsubClient } from './mucsub-client/mucsub-client.js';
import { presenceAnnotations } from './presence-annotations/presence-annotations.js';
import { presenceSession } from './presence-session/presence-session.js';
import { push } from './push/push.js';
import { routing } from './routing/routing.js';

/**
 * All features, outermost (nearest to the client) first: what a client sends meets them in this order, what the server sends in
 * the opposite one.
 */
export const FEATURES: readonly Feature[] = [
  routing,
  capabilitiesProbe,
  presenceAnnotations,
  // Before the next, which takes out of a join what tells that its client asks for what it has missed itself.
  mucsubClient,
  presenceSession,
  mucsub,
  push,
];
