import { Buffer } from 'node:buffer';
import type { Subscription } from './book.js';
import type { Delivery } from './delivery.js';
import { configured } from './events.js';
import type { RoomOptions } from './forms.js';
import type { Ghosts } from './ghosts.js';
import type { Notice } from './notices.js';
import type { Surroundings } from './surroundings.js';

/** What ends subscriptions but for their account's own word, and who is told of theirs. */
export class SubscriptionChanges implements RoomOptions {
  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: Pick<Ghosts, 'end' | 'subscriber' | 'subscriberAway'>,
    private readonly delivery: Delivery,
  ) {}

  /** A room has put the account out for good. */
  banned(subscription: Subscription): void {
    const { book, account } = this.around;
    const { room, nick } = subscription;
    this.around.context.store.write([book.unsubscribe(this.around.context.domain.name, room, account)]);
    const notice: Notice = { op: 'unsubscribed', room, nick };
    this.around.context.tell(account, JSON.stringify(notice));
    this.announce('unsubscribe', subscription);
  }

  isAllowed(room: string): boolean {
    return this.around.book.isAllowed(room, this.around.settings.allowSubscription);
  }

  set(room: string, allowed: boolean): void {
    if (this.isAllowed(room) === allowed) return;
    if (!allowed) {
      // Which the room knows nothing of: the last that subscribers hear of it.
      this.changed(room);
      this.#endAll(room, false);
    }
    this.around.context.store.write([this.around.book.allow(this.around.context.domain.name, room, allowed)]);
  }

  /** The room is configured otherwise and does not say so (XEP-0045 §10.2.1). */
  changed(room: string): void {
    const { book, account, context } = this.around;
    for (const { account: other, events } of book.room(room)?.subscriptions.values() ?? []) {
      if (!events.includes('config')) continue;
      const bytes = configured(room, other, context.randomId());
      if (other === account) this.#give(room, bytes);
      else if (context.domain.sessionsOf(other).length === 0) context.keepForAccount(other, bytes);
      else {
        const notice: Notice = { op: 'configured', room, xml: bytes.toString() };
        context.tell(other, JSON.stringify(notice));
      }
    }
  }

  /** Somebody else's session has configured it. */
  configured({ room, xml }: Extract<Notice, { op: 'configured' }>): void {
    if (this.#isMine(room)) this.#give(room, Buffer.from(xml));
  }

  #give(room: string, event: Buffer): void {
    const { book, account, settings } = this.around;
    const isInside = (book.knownWhereabouts(room, account)?.inside.size ?? 0) > 0;
    if (!isInside || settings.eventsWhileJoined) this.delivery.give(room, event, true);
  }

  /** The room is no more. */
  destroyed(room: string): void {
    this.#ends(room, true);
  }

  /** There is another one under its address. */
  vanished(room: string): void {
    this.#ends(room, false);
  }

  #ends(room: string, isGone: boolean): void {
    if (this.around.book.room(room) === undefined) return;
    this.#endAll(room, isGone);
    this.around.context.store.write([
      this.around.book.allow(this.around.context.domain.name, room, undefined),
    ]);
  }

  #endAll(room: string, isGone: boolean): void {
    const { book, account } = this.around;
    const subscriptions = [...(book.room(room)?.subscriptions.values() ?? [])];
    const changes = subscriptions.map((each) =>
      book.unsubscribe(this.around.context.domain.name, room, each.account),
    );
    if (changes.length > 0) this.around.context.store.write(changes);
    for (const { account: other, nick } of subscriptions) {
      const notice: Notice = { op: 'unsubscribed', room, nick, ...(isGone && { isGone }) };
      this.around.context.tell(other, JSON.stringify(notice));
      if (other === account && !isGone) this.ghosts.end(room);
    }
  }

  /** Tells who has subscribed to that of somebody who has subscribed or ended it. */
  announce(change: 'subscribe' | 'unsubscribe', subject: Subscription): void {
    const { book, account } = this.around;
    const { room } = subject;
    const notice: Notice = {
      op: 'subscriber',
      room,
      change,
      nick: subject.nick,
      account: subject.account,
    };
    const interested = [...(book.room(room)?.subscriptions.values() ?? [])];
    if (change === 'unsubscribe') interested.push(subject);
    for (const subscription of interested) {
      if (!subscription.events.includes('subscribers')) continue;
      if (subscription.account === account) this.ghosts.subscriber(notice, subscription);
      else if (this.around.context.domain.sessionsOf(subscription.account).length > 0)
        this.around.context.tell(subscription.account, JSON.stringify(notice));
      else this.ghosts.subscriberAway(notice, subscription);
    }
  }

  /** Somebody else's session has announced it. */
  announced(notice: Extract<Notice, { op: 'subscriber' }>): void {
    const { book, account } = this.around;
    const { room } = notice;
    const subscription = book.subscription(room, account);
    if (subscription === undefined) return;
    if (this.#isMine(room)) this.ghosts.subscriber(notice, subscription);
  }

  /** Whether what is there for the account is this session's to give: that of the one that carries the ghost, else of the first. */
  #isMine(room: string): boolean {
    const { book, account } = this.around;
    const where = book.knownWhereabouts(room, account);
    const { identity, domain } = this.around.context;
    const sessions = domain.sessionsOf(account);
    const isCarried = sessions.some((each) => where?.sources.has(each.full));
    return isCarried ? where?.sources.has(identity.full) === true : sessions[0]?.full === identity.full;
  }
}
