import type { Subscription } from './book.js';

/** What a room does that ends subscriptions. */
export interface SubscriptionEnds {
  /** It has put the account out for good. */
  banned(subscription: Subscription): void;
  /** It is no more: whoever is in it is told so by itself. */
  destroyed(room: string): void;
  /** It is not the room any more that was subscribed to. */
  vanished(room: string): void;
  /** A ghost that was leaving is out of the room. */
  left(): void;
}
