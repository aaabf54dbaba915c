import type { Element } from 'ltx';
import { parseJid } from '../../jid.js';
import type { PassingStanza, Verdict } from '../../session/feature.js';
import { PASS } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import {
  type Asked,
  errorAnswer,
  REFUSED,
  type Refusal,
  resultAnswer,
  subscribed,
  subscriptionList,
  wrongJid,
  wrongType,
} from './answers.js';
import { type Subscription, subscriptionOf } from './book.js';
import type { Ghosts } from './ghosts.js';
import type { Moderation } from './moderation.js';
import { NickRegistration } from './nick-registration.js';
import type { Notice } from './notices.js';
import { type MucSubRequest, readRequest } from './requests.js';
import type { Services } from './services.js';
import { endOfLog } from './storing.js';
import type { Surroundings } from './surroundings.js';

type Subscribe = Extract<MucSubRequest, { kind: 'subscribe' }>;

const ANSWERED: Verdict = { action: 'handled', reason: 'mucsub-answered' };
/** Requests that may wait for the book or for what the server has. */
const MOST_WAITING = 100;

/** Answers what clients ask a room or a service about subscriptions. */
export class Subscribing {
  readonly #registration: NickRegistration;
  #waiting: (() => void)[] = [];

  constructor(
    private readonly around: Surroundings,
    private readonly services: Services,
    private readonly ghosts: Ghosts,
    private readonly moderation: Moderation,
    private readonly announce: (change: 'subscribe' | 'unsubscribe', subscription: Subscription) => void,
  ) {
    this.#registration = new NickRegistration(around, moderation);
  }

  /** An iq of type get or set with a child in the namespace of MUC/Sub. */
  request(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const address = frame.to ?? '';
    const to = parseJid(address);
    if (to === undefined || to.resource !== undefined) return PASS;
    const plays = this.services.plays(to.domain);
    if (plays === false) return PASS;
    const iq = stanza.tree();
    const asked: Asked = { name: 'iq', id: frame.id, from: address, to: this.around.context.identity.full };
    const room = to.local === undefined ? undefined : `${to.local}@${to.domain}`;
    const answer = () => this.#handle(asked, room, iq);
    if (plays === true) this.#whenRead(answer);
    else {
      const bytes = Buffer.from(frame.bytes());
      this.around.probe.whenKnown(() => {
        if (this.services.plays(to.domain) === true) this.#whenRead(answer);
        else this.around.context.send('server', bytes, 'mucsub-answered');
      });
    }
    return ANSWERED;
  }

  /** The book has been read. */
  proceed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  #whenRead(go: () => void): void {
    if (this.around.book.isRead) go();
    else if (this.#waiting.length < MOST_WAITING) this.#waiting.push(go);
  }

  #refuse(asked: Asked, refusal: Refusal): void {
    this.around.context.send('client', errorAnswer(asked, refusal), 'mucsub-refused');
  }

  #answer(asked: Asked, payload?: string): void {
    this.around.context.send('client', resultAnswer(asked, payload), 'mucsub-answered');
  }

  #handle(asked: Asked, room: string | undefined, iq: Element): void {
    const request = readRequest(iq);
    const where = room === undefined ? 'service' : 'room';
    switch (request.kind) {
      case 'several':
        this.#refuse(asked, REFUSED.several);
        break;
      case 'unknown':
        this.#refuse(asked, room === undefined ? REFUSED.unknownToService : REFUSED.unknown);
        break;
      case 'no-node':
        this.#refuse(asked, REFUSED.noNode);
        break;
      case 'wrong-type':
        this.#refuse(asked, wrongType(request.type, where));
        break;
      case 'subscriptions':
        this.ghosts.entering.whenSettled(() => {
          if (room === undefined) this.#listOwn(asked);
          else this.#listRoom(asked, room);
        });
        break;
      default:
        if (room === undefined) this.#refuse(asked, wrongType('set', 'service'));
        else if (request.kind === 'wrong-jid') this.#refuse(asked, wrongJid(request.name));
        else if (request.kind === 'subscribe') this.#subscribe(asked, room, request);
        else this.#unsubscribe(asked, room, request.account);
    }
  }

  // Lists.

  #listOwn(asked: Asked): void {
    const service = parseJid(asked.from)?.domain;
    const own = this.around.book
      .subscriptionsOf(this.around.account)
      .filter(({ room }) => parseJid(room)?.domain === service);
    this.#answer(asked, subscriptionList(own, 'room'));
  }

  #listRoom(asked: Asked, room: string): void {
    const { book, account } = this.around;
    const list = (jids: 'account' | undefined) =>
      this.#answer(asked, subscriptionList([...(book.room(room)?.subscriptions.values() ?? [])], jids));
    this.moderation.isModerator(room, (refusal) => {
      if (refusal === undefined) list('account');
      else if (book.subscription(room, account) === undefined) this.#refuse(asked, refusal);
      else
        this.moderation.roomInfo(room, (info) => list(info?.nonAnonymous === true ? 'account' : undefined));
    });
  }

  // Subscribing.

  #subscribe(asked: Asked, room: string, request: Subscribe): void {
    const { book, account, settings } = this.around;
    const { nick, events, password } = request;
    const subscriber = request.account ?? account;
    const former = book.subscription(room, subscriber);
    if (nick === undefined) {
      this.#refuse(asked, REFUSED.noNick);
      return;
    }
    const proceed = () => {
      const subscription = subscriptionOf(room, subscriber, nick, events, password ?? former?.password);
      if (subscription === undefined) this.#refuse(asked, nick === '' ? REFUSED.emptyNick : REFUSED.badNick);
      else if (subscriber !== account) this.#subscribeOther(asked, subscription, former);
      else this.#subscribeSelf(asked, subscription, former);
    };
    const asModerator =
      request.account === undefined ? proceed : () => this.#asModerator(asked, room, proceed);
    if (book.isAllowed(room, settings.allowSubscription) && former !== undefined) asModerator();
    else this.#mayBegin(asked, room, subscriber, asModerator);
  }

  /** Whoever names an account, be it the own one, does so as a moderator. */
  #asModerator(asked: Asked, room: string, proceed: () => void): void {
    this.moderation.isModerator(room, (refusal) => {
      if (refusal === undefined) proceed();
      else this.#refuse(asked, refusal);
    });
  }

  /** A room that is not there is made, with subscriptions allowed; in one that is, its owners must have allowed them. */
  #mayBegin(asked: Asked, room: string, subscriber: string, proceed: () => void): void {
    const { book, settings, account } = this.around;
    if (book.subscriptionsOf(subscriber).length >= settings.subscriptionsPerAccount) {
      this.#refuse(asked, REFUSED.tooMany);
    } else if (book.isAllowed(room, settings.allowSubscription)) {
      proceed();
    } else {
      this.moderation.roomInfo(room, (info) => {
        if (info === undefined) this.#refuse(asked, REFUSED.noAnswer);
        else if (info.exists) this.#refuse(asked, REFUSED.noSubscriptions);
        else if (subscriber !== account) this.#refuse(asked, REFUSED.noRoom);
        else proceed();
      });
    }
  }

  #subscribeSelf(asked: Asked, subscription: Subscription, former: Subscription | undefined): void {
    const { book, account, rooms, context } = this.around;
    const { room, preparedNick, nick } = subscription;
    const holder = book.holderOf(room, preparedNick);
    if (holder !== undefined && holder !== account) {
      this.#refuse(asked, REFUSED.nickTaken);
      return;
    }
    const done = (refusal: Refusal | undefined) => {
      if (refusal === undefined) this.#confirm(asked, subscription, former);
      else this.#refuse(asked, refusal);
    };
    const ghost = this.ghosts.of(room);
    const where = book.knownWhereabouts(room, account);
    const isThere = where !== undefined && where.sources.size > 0;
    if (rooms.isRoom(room) === 'joined' || (former?.preparedNick === preparedNick && isThere)) {
      done(undefined);
    } else if (former !== undefined && ghost !== undefined && ghost.nick !== preparedNick) {
      this.ghosts.entering.rename(room, nick, done);
    } else {
      this.ghosts.entering.enter(subscription, (refusal) => {
        done(refusal);
        if (refusal !== undefined || !isThere) return;
        const notice: Notice = { op: 'replaced', room };
        context.tell(account, JSON.stringify(notice));
      });
    }
  }

  /** The room lets the account in, or has it already. */
  #confirm(asked: Asked, subscription: Subscription, former: Subscription | undefined): void {
    const { book, context } = this.around;
    const { room } = subscription;
    const domain = context.domain.name;
    // Its client may be in the room, so that no ghost has begun to hear it.
    book.whereabouts(room, subscription.account).begins(context.wallClock(), endOfLog(this.around, room));
    const changes = [book.subscribe(domain, subscription)];
    this.ghosts.adopt(subscription);
    if (this.ghosts.of(room)?.created === true) {
      changes.push(book.allow(domain, room, true));
      const payload = `<query xmlns='${NS.mucOwner}'><x xmlns='${NS.dataForms}' type='submit'/></query>`;
      context.request({ leg: 'server', type: 'set', to: room, payload }, () => {});
    }
    context.store.write(changes, (ok) => {
      if (!ok) {
        if (former === undefined) book.unsubscribe(domain, room, subscription.account);
        else book.subscribe(domain, former);
        if (former === undefined) this.ghosts.end(room);
        this.#refuse(asked, REFUSED.notStored);
        return;
      }
      this.#answer(asked, subscribed(subscription));
      this.ghosts.entering.learnOccupants(subscription);
      const notice: Notice = { op: 'subscribed', room };
      context.tell(subscription.account, JSON.stringify(notice));
      if (former === undefined) this.announce('subscribe', subscription);
      if (subscription.preparedNick !== former?.preparedNick)
        this.#registration.register(room, subscription.nick, this.ghosts.of(room)?.affiliation ?? 'none');
    });
  }

  /** A moderator has subscribed somebody else, who is not told but gets events. */
  #subscribeOther(asked: Asked, subscription: Subscription, former: Subscription | undefined): void {
    const { book } = this.around;
    const { room, account, preparedNick, password } = subscription;
    const holder = book.holderOf(room, preparedNick);
    if (holder !== undefined && holder !== account) {
      this.#refuse(asked, REFUSED.nickTaken);
      return;
    }
    this.moderation.mayBeSubscribed(room, account, preparedNick, password, (refusal) => {
      if (refusal !== undefined) this.#refuse(asked, refusal);
      else this.#confirmOther(asked, subscription, former);
    });
  }

  #confirmOther(asked: Asked, subscription: Subscription, former: Subscription | undefined): void {
    const { book, context } = this.around;
    const { room, account } = subscription;
    context.store.write([book.subscribe(context.domain.name, subscription)], (ok) => {
      if (!ok) {
        if (former === undefined) book.unsubscribe(context.domain.name, room, account);
        else book.subscribe(context.domain.name, former);
        this.#refuse(asked, REFUSED.notStored);
        return;
      }
      const notice: Notice = { op: 'subscribed', room };
      context.tell(account, JSON.stringify(notice));
      this.#answer(asked, subscribed(subscription));
      if (former === undefined) this.announce('subscribe', subscription);
    });
  }

  // Ending it.

  #unsubscribe(asked: Asked, room: string, target: string | undefined): void {
    const { book, account } = this.around;
    if (target !== undefined) {
      this.#asModerator(asked, room, () => this.#remove(asked, book.subscription(room, target)));
      return;
    }
    const former = book.subscription(room, account);
    if (former !== undefined) {
      this.#remove(asked, former);
      return;
    }
    this.moderation.roomInfo(room, (info) => {
      if (info?.exists === false) this.#refuse(asked, REFUSED.noRoom);
      else this.#answer(asked);
    });
  }

  #remove(asked: Asked, former: Subscription | undefined): void {
    if (former === undefined) {
      this.#answer(asked);
      return;
    }
    const { book, context, account } = this.around;
    const { room, account: subscriber, nick } = former;
    if (subscriber === account) this.ghosts.end(room);
    const change = book.unsubscribe(context.domain.name, room, subscriber);
    context.store.write([change], (ok) => {
      if (!ok) {
        this.#refuse(asked, REFUSED.notStored);
        return;
      }
      const notice: Notice = { op: 'unsubscribed', room, nick };
      context.tell(subscriber, JSON.stringify(notice));
      this.#answer(asked);
      this.announce('unsubscribe', former);
    });
  }
}
