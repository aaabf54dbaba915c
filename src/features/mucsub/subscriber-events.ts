import type { FeatureContext } from '../../session/feature.js';
import type { Subscription } from './book.js';
import { subscriberChange, wrap } from './events.js';
import type { Notice } from './notices.js';

/**
 * Keeps for an account of which no session is here that somebody has subscribed to a room, or ended it.
 * @param seesJid whether it may see who that is
 */
export function keepSubscriberChange(
  context: FeatureContext,
  { change, nick, account: subscriber }: Extract<Notice, { op: 'subscriber' }>,
  { room, account }: Subscription,
  seesJid: boolean,
): void {
  const inner = subscriberChange(change, nick, seesJid ? subscriber : undefined);
  const id = context.randomId();
  context.keepForAccount(account, wrap({ room, account, event: 'subscribers', id, wrapperId: false }, inner));
}
