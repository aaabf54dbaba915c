import { prepareJid } from '../../jid.js';
import type { FeatureContext, FeatureSession } from '../../session/feature.js';
import type { AccountBook } from './book.js';
import { askPast } from './past.js';
import { RoomFeatureQuestions } from './room-features.js';
import { SETTINGS, type Settings } from './settings.js';
import { shelfOf } from './shelf.js';
import { Subscribing } from './subscribing.js';

const LOOK = 'look';

/** A session of a domain in which this is switched off: it ends the subscriptions that the proxy has made for its account before, and does nothing else. */
export class TakingBack implements FeatureSession {
  #book: AccountBook | undefined;

  constructor(private readonly context: FeatureContext) {
    context.wakeAt(LOOK, context.now);
  }

  onWakeup(): void {
    askPast(this.context, (hasSubscribed) => {
      if (hasSubscribed) this.#look();
    });
  }

  #look(): void {
    const { context } = this;
    const { identity, domain, store } = context;
    const book = shelfOf(domain).take(domain.name, prepareJid(identity.bare) ?? identity.bare);
    this.#book = book;
    store.load(book.prefix, (entries) => {
      const { keepSeconds } = context.settings<Settings>(SETTINGS);
      const useless = book.learn(entries, context.wallClock(), keepSeconds * 1_000);
      if (useless.length > 0) store.write(useless);
      const subscribed = book.subscribed();
      if (subscribed.length === 0) return;
      const nothing = () => {};
      const subscribing = new Subscribing(context, book, new RoomFeatureQuestions(context), nothing, nothing);
      for (const { jid } of subscribed) subscribing.end(jid);
    });
  }

  onClose(): void {
    if (this.#book !== undefined) shelfOf(this.context.domain).putBack(this.#book);
  }
}
