import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import { causeOf, mayConcernSelf, type RoomSignals, roomSignals } from '../../knowledge/rooms/signals.js';
import { PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { LateMap, LateSet } from '../../session/late.js';
import { NS } from '../../xml/namespaces.js';
import type { Subscription } from './book.js';
import { Carried } from './carried.js';
import { CatchingUp } from './catching-up.js';
import { ClientPresence } from './client-presence.js';
import { type Delivery, SWALLOWED } from './delivery.js';
import { Entering } from './entering.js';
import { type Asker, Ghost } from './ghost.js';
import { HiddenGhosts } from './hidden-ghosts.js';
import { nickOf } from './nicks.js';
import type { Notice } from './notices.js';
import { asOnEntering, leaveRoom } from './presences.js';
import { RoomEvents } from './room-events.js';
import { Standings } from './standings.js';
import type { Storing } from './storing.js';
import { keepSubscriberChange } from './subscriber-events.js';
import type { SubscriptionEnds } from './subscription-ends.js';
import type { Surroundings } from './surroundings.js';

const MOST_DEPARTURES = 32;

type SubscriberNotice = Extract<Notice, { op: 'subscriber' }>;

/**
 * The ghosts of one session, and its client's own comings and goings in the rooms that the account has subscribed to. Nothing that a
 * room sends to a ghost reaches the client but as an event.
 */
export class Ghosts {
  readonly #ghosts = new LateMap<string, Ghost>();
  /** Rooms that a ghost has left last. */
  readonly #departed = new LateSet<string>();
  readonly #events: RoomEvents;
  readonly #catchingUp: CatchingUp;
  readonly carried: Carried;
  readonly entering: Entering;
  readonly hidden: HiddenGhosts;
  readonly client: ClientPresence;
  readonly standings: Standings;

  constructor(
    private readonly around: Surroundings,
    delivery: Delivery,
    storing: Storing,
    private readonly ends: SubscriptionEnds,
  ) {
    this.#events = new RoomEvents(around, delivery, storing);
    this.#catchingUp = new CatchingUp(around, this.#ghosts, this.#events, delivery, storing);
    storing.whenSent = (room) => this.#thaw(room);
    storing.whenAcknowledged = (room) => this.catchUp(room);
    this.entering = new Entering(around, this.#ghosts, this.#events, this.#catchingUp, storing, ends);
    this.hidden = new HiddenGhosts(around, this.#events);
    this.carried = new Carried(around, this.#ghosts, (room) => this.#takesPlace(room));
    this.client = new ClientPresence(around, this.#ghosts, this.entering, this.hidden, this.carried);
    this.standings = new Standings(around, this.#ghosts, this.#catchingUp, this.#events, (room) =>
      this.end(room),
    );
  }

  get size(): number {
    return this.#ghosts.size;
  }

  /** Nothing that a room sends can be for a ghost. */
  get isIdle(): boolean {
    return this.#ghosts.size === 0 && this.#departed.size === 0;
  }

  all(): readonly Ghost[] {
    return [...this.#ghosts.values()];
  }

  of(room: string): Ghost | undefined {
    return this.#ghosts.get(room);
  }

  get #full(): string {
    return this.around.context.identity.full;
  }

  /** The subscription is over: the ghost leaves. A client that is in the room stays. */
  end(room: string): void {
    const { book, account, context } = this.around;
    const ghost = this.#ghosts.get(room);
    book.knownWhereabouts(room, account)?.leaves(this.#full, context.now);
    this.#events.unheard(room);
    if (ghost === undefined) return;
    if (ghost.client === 'out' && (ghost.isIn || ghost.due.length > 0)) {
      ghost.leaves += 1;
      ghost.subscription = undefined;
      this.#noteDeparture(room);
      context.send('server', leaveRoom(`${room}/${ghost.nick}`), 'mucsub-ghost');
    } else {
      this.#ghosts.delete(room);
    }
  }

  /** Somebody else of the account has subscribed, or this session has while its client was in the room. */
  adopt(subscription: Subscription): void {
    const { rooms, book, account } = this.around;
    const { room } = subscription;
    const known = this.#ghosts.get(room);
    if (known !== undefined) {
      known.subscription = subscription;
      return;
    }
    const nick = nickOf(`${room}/${rooms.nickIn(room) ?? ''}`);
    if (nick === undefined) return;
    const ghost = new Ghost(room, nick, subscription);
    ghost.isIn = true;
    ghost.client = 'in';
    this.#ghosts.set(room, ghost);
    const where = book.whereabouts(room, account);
    where.joined.add(this.#full);
    where.inside.add(this.#full);
  }

  /** A room that has ended meanwhile may answer a ghost's leaving with an error. */
  #noteDeparture(room: string): void {
    if (this.#departed.size >= MOST_DEPARTURES) this.#departed.delete(this.#departed.keys().next().value!);
    this.#departed.add(room);
  }

  /** Takes up all subscriptions of the account that no session of it has taken up. */
  claim(): void {
    const { book, account } = this.around;
    const isKept = book.kept.has(this.#full);
    for (const subscription of book.subscriptionsOf(account)) {
      const where = book.knownWhereabouts(subscription.room, account);
      if (where === undefined || where.sources.size === 0) this.#takeUp(subscription);
      // What was missed before the session without a client comes first; it says when it has brought that.
      else if (
        !isKept &&
        where.behind === undefined &&
        [...where.sources].every((full) => book.kept.has(full))
      )
        this.#takeOver(subscription);
      else this.#thaw(subscription.room);
    }
  }

  /** Asks for what was missed, where that has waited. */
  catchUp(room: string): void {
    const ghost = this.#ghosts.get(room);
    if (ghost !== undefined) this.#catchingUp.proceed(ghost);
  }

  #thaw(room: string): void {
    const ghost = this.#ghosts.get(room);
    if (ghost !== undefined) this.#catchingUp.thaw(ghost);
  }

  /** From a session that has stayed without its client for this. Until the room has let this one in, both bring what it sends. */
  #takeOver(subscription: Subscription): void {
    const { context, account } = this.around;
    if (this.carried.takesOver(subscription.room)) return;
    this.entering.enter(subscription, (refusal) => {
      const notice: Notice = { op: 'replaced', room: subscription.room };
      if (refusal === undefined) context.tell(account, JSON.stringify(notice));
    });
  }

  /** Where there can be only one, which is out. */
  #takesPlace(room: string): void {
    const subscription = this.around.book.subscription(room, this.around.account);
    if (subscription !== undefined) this.#takeUp(subscription);
  }

  /** Whether the room has still to put out any ghost of this session that leaves: until then it tells it what is the account's alone. */
  get isLeaving(): boolean {
    return this.all().some(({ leaves }) => leaves > 0);
  }

  /** Whether any ghost of this session is the account's. */
  get carries(): boolean {
    const { book, account } = this.around;
    const isOurs = (room: string) => book.knownWhereabouts(room, account)?.sources.has(this.#full) === true;
    return [...this.#ghosts.keys()].some(isOurs);
  }

  #takeUp(subscription: Subscription): void {
    const ghost = this.#ghosts.get(subscription.room);
    if (ghost === undefined) this.entering.enter(subscription);
    else if (ghost.client === 'out') {
      this.around.book.whereabouts(ghost.room, this.around.account).sources.add(this.#full);
      // It may have heard something before the one that is gone now, which was not its to tell then.
      this.#catchingUp.goOn(ghost);
    }
  }

  /** The client has gone unavailable for everybody: the server has taken the session out of all rooms. @returns has the ghosts enter again */
  thrownOut(): () => void {
    const { book, account } = this.around;
    const thrownOut = [...this.#ghosts.values()];
    for (const ghost of thrownOut) {
      this.#ghosts.delete(ghost.room);
      const where = book.knownWhereabouts(ghost.room, account);
      where?.clientIsOut(this.#full);
      where?.leaves(this.#full, this.around.context.now);
      this.#events.unheard(ghost.room);
    }
    this.hidden.clear();
    return () => this.#enterAgain(thrownOut);
  }

  #enterAgain(thrownOut: readonly Ghost[]): void {
    this.claim();
    // What the room has still to say to those that are out comes before its word to those that enter.
    for (const { room, due, subjects, isIn } of thrownOut) {
      const again = this.#ghosts.get(room);
      if (again === undefined) continue;
      again.due.unshift(...due.map((): Asker => 'gone'));
      again.subjects += subjects;
      again.isThrownOut = isIn || due.length > 0;
    }
  }

  /** The session is over. @returns whether another one of the account should take something up */
  close(): boolean {
    const { book, account } = this.around;
    let carried = false;
    for (const ghost of this.#ghosts.values()) {
      const where = book.knownWhereabouts(ghost.room, account);
      if (where === undefined) continue;
      const wasJoined = where.clientIsOut(this.#full);
      if (where.leaves(this.#full, this.around.context.now) || wasJoined) carried = true;
      this.#events.unheard(ghost.room);
      if (wasJoined && where.sources.size > 0) this.hidden.tellGone(ghost);
    }
    this.#ghosts.clear();
    return carried;
  }

  /** The account is to be an occupant for what the client sends next; at the server this comes first. */
  ensureIn(room: string): void {
    const { book, account } = this.around;
    const subscription = book.subscription(room, account);
    if (subscription === undefined) return;
    if (!this.#ghosts.has(room)) this.entering.enter(subscription, undefined, true);
    const ghost = this.#ghosts.get(room);
    if (ghost !== undefined) ghost.usedAt = this.around.context.now;
  }

  /** The server has taken its stream up again: what was being asked on the lost connection is asked again. */
  askAgain(): void {
    for (const { fill } of this.#ghosts.values()) fill?.askAgain();
  }

  // What the room sends.

  /** A presence from a room or an occupant of it, on its way to the client. */
  presence(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const from = frame.from ?? '';
    const slash = from.indexOf('/');
    const room = prepareJid(slash < 0 ? from : from.slice(0, slash));
    if (room === undefined) return PASS;
    const nick = slash < 0 ? undefined : nickOf(from);
    const ghost = this.#ghosts.get(room);
    const type = frame.type;
    if (ghost === undefined) {
      if (type !== 'error') return this.hidden.shown(room, nick, type);
      return this.#departed.delete(room) ? SWALLOWED : PASS;
    }
    if (type === 'error') return this.entering.refused(ghost, nick, stanza.tree());
    if (nick === ghost.nick || nick === ghost.renaming?.nick || mayConcernSelf(frame)) {
      const tree = stanza.tree();
      const signals = roomSignals(tree);
      if (signals !== undefined) {
        const isSelf = nick !== undefined && signals.codes.has('110');
        if (type === undefined && isSelf) return this.#selfAvailable(ghost, nick, signals, tree);
        if (type === 'unavailable' && (isSelf || nick === ghost.nick || signals.destroyed !== undefined))
          return this.#selfUnavailable(ghost, signals, tree);
      }
    }
    if (ghost.isForClient) {
      if (nick !== undefined) ghost.occupants?.take(nick, stanza.tree());
      return this.hidden.shown(room, nick, type);
    }
    const isShown = nick !== undefined && !this.hidden.isGhost(room, nick);
    if (this.hidden.shown(room, nick, type) === PASS && isShown) this.#events.presence(ghost, nick, stanza);
    return SWALLOWED;
  }

  #selfAvailable(ghost: Ghost, nick: string, { codes }: RoomSignals, tree: Element): Verdict {
    const item = tree.getChildren('x', NS.mucUser).at(-1)?.getChild('item');
    ghost.affiliation = String(item?.attrs.affiliation ?? 'none');
    if (codes.has('100')) ghost.nonAnonymous = true;
    if (codes.has('170')) ghost.isLogged = true;
    if (ghost.renaming?.nick === nick) {
      const { done } = ghost.renaming;
      ghost.renaming = undefined;
      ghost.nick = nick;
      done(undefined);
      return ghost.isForClient ? PASS : SWALLOWED;
    }
    const forClient = ghost.isForClient;
    const asker = ghost.due.shift();
    const wasIn = ghost.isIn;
    if (asker === 'gone') return SWALLOWED;
    ghost.isThrownOut = false;
    if (asker === undefined) {
      if (forClient) ghost.nick = nick;
      return forClient ? PASS : SWALLOWED;
    }
    ghost.isIn = true;
    ghost.nick = nick;
    if (asker === 'client') {
      ghost.client = 'in';
      if (!this.standings.isOpen(ghost.room))
        this.around.book.whereabouts(ghost.room, this.around.account).inside.add(this.#full);
      return wasIn ? asOnEntering(ghost, codes, tree) : PASS;
    }
    if (!this.standings.isOpen(ghost.room)) this.entering.letIn(ghost, codes.has('201'));
    return SWALLOWED;
  }

  #selfUnavailable(ghost: Ghost, signals: RoomSignals, tree: Element): Verdict {
    const { codes, destroyed } = signals;
    const forClient = ghost.isForClient;
    const verdict = forClient ? PASS : SWALLOWED;
    if (codes.has('303') && destroyed === undefined) return verdict;
    if (ghost.isThrownOut && destroyed === undefined) {
      ghost.isThrownOut = false;
      return SWALLOWED;
    }
    if (ghost.leaves > 0 && destroyed === undefined) {
      ghost.leaves -= 1;
      if (ghost.leaves === 0 && ghost.client === 'out') {
        this.entering.remove(ghost);
        this.carried.left(ghost.room);
        // It may have been subscribed to again meanwhile.
        const again = this.around.book.subscription(ghost.room, this.around.account);
        if (again !== undefined) this.entering.takeUpAgain(again, 0);
        this.ends.left();
      }
      return SWALLOWED;
    }
    // Somebody who has not been let in cannot be put out: this is about who was there before.
    if (!ghost.isIn && ghost.isEntering && destroyed === undefined) return SWALLOWED;
    // It may not have been known as the room's end when it came from somebody else's session first.
    if (causeOf(signals) === 'destroyed') {
      if (!forClient) this.#events.destroyed(ghost, tree);
      this.entering.remove(ghost);
      this.ends.destroyed(ghost.room);
      return verdict;
    }
    const { subscription } = ghost;
    const wasLeaving = ghost.client === 'leaving';
    // What may be told of it goes by what the room was to the ghost.
    if (codes.has('301') && subscription !== undefined) this.ends.banned(subscription);
    this.entering.remove(ghost);
    if (subscription === undefined || codes.has('301')) return verdict;
    if (wasLeaving) this.entering.takeUpAgain(subscription, 0);
    else this.entering.takeUpAgain(subscription, this.entering.delayOf(ghost));
    return verdict;
  }

  /** Somebody has subscribed to a room of this account's, or ended it. */
  subscriber({ room, change, nick, account }: SubscriberNotice, subscription: Subscription): void {
    this.#events.subscriber(this.#ghosts.get(room), change, nick, account, subscription);
  }

  /** The same for a subscriber of whom no session is here: what it may see is taken for little. */
  subscriberAway(notice: SubscriberNotice, subscription: Subscription): void {
    const seesJid = this.#ghosts.get(notice.room)?.nonAnonymous === true;
    keepSubscriberChange(this.around.context, notice, subscription, seesJid);
  }

  /** A message from a room or an occupant of it, on its way to the client. */
  message(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const { latest } = this.around.book;
    // Of most of what rooms say another ghost has heard a copy before: then it need not be read.
    const heard = frame.attributeEquals('type', 'groupchat') ? latest.find(frame) : undefined;
    const from = heard === undefined ? (frame.from ?? '') : '';
    const slash = from.indexOf('/');
    const written = heard?.room ?? (slash < 0 ? from : from.slice(0, slash));
    const ghost = this.#ghosts.get(written) ?? this.#ghosts.get(prepareJid(written) ?? '');
    if (ghost === undefined) return PASS;
    const ofRoom = heard?.ofRoom ?? slash < 0;
    if (ghost.client === 'in' || ghost.client === 'leaving') {
      if (ghost.fill !== undefined && this.#catchingUp.archived(ghost, stanza)) return SWALLOWED;
      if (frame.attributeEquals('type', 'groupchat') && !this.standings.keeps(ghost.room, frame))
        this.#events.seen(ghost, frame);
      return PASS;
    }
    const { type } = frame;
    if (type === 'error') return this.carried.refused(frame) ? SWALLOWED : PASS;
    if (this.#catchingUp.archived(ghost, stanza)) return SWALLOWED;
    if ((type === 'groupchat' || !ofRoom) && this.standings.keeps(ghost.room, frame)) return SWALLOWED;
    if (type === 'groupchat') return this.#events.groupchat(ghost, stanza, ofRoom, heard);
    return this.#events.other(ghost, stanza, ofRoom);
  }
}
