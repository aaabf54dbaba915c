/** Ends a subscription; what is on its way is not delivered any more. */
export type Unsubscribe = () => void;

/**
 * What sessions tell each other, wherever they are. A topic is the prepared bare JID of an account, so that who listens to it are its
 * sessions. Messages of one publisher under one topic keep their order; one that nobody listens to is gone.
 */
export interface Bus {
  /** Never calls a listener from inside this call. */
  publish(topic: string, message: string): void;
  /** @param listener is not to throw */
  subscribe(topic: string, listener: (message: string) => void): Unsubscribe;
}
