import { domain as domainOf } from '../../jid.js';
import {
  type DiscoAmendment,
  type DiscoAnswer,
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
} from '../../session/feature.js';
import { commonInterestsKey } from '../../session/interests.js';
import { ArchiveAnswers } from './archive-answers.js';
import { ARRIVED, Arrivals, NOTE } from './arrivals.js';
import type { Reader } from './book.js';
import { YIELD } from './carried.js';
import { CATCH_UP } from './catching-up.js';
import { Delivery, SWALLOWED } from './delivery.js';
import { amendment } from './disco.js';
import { Forms } from './forms.js';
import { Ghosts } from './ghosts.js';
import { JoinCompletion } from './join-completion.js';
import { Moderation } from './moderation.js';
import { readNotice, tellClaim } from './notices.js';
import { HandingOver } from './observer/handing-over.js';
import { OwnArchive } from './own-archive.js';
import { LOOKED, OwnStanding } from './own-standing.js';
import { notAcceptable } from './room-refusals.js';
import { Services } from './services.js';
import { Speaking } from './speaking.js';
import { READ, Storing } from './storing.js';
import { Subscribing } from './subscribing.js';
import { SubscriptionChanges } from './subscription-changes.js';
import type { Surroundings } from './surroundings.js';
import { TAKE_UP, TakingUp } from './taking-up.js';
import { Unseen } from './unseen.js';
import { goesUnseen } from './unseen-session.js';
import { CONFIGURES, On, SUBSCRIBERS, SUBSCRIBES } from './watches.js';

const BOOK = 'book';
const HEARD = 'heard';
const LEAVES = 'leaves';
/** How long it may take to be out of a room; ms. */
const MOST_PATIENCE = 10_000;
/** How often it is noted how far rooms have been heard for who is away, for when the process is killed: what was stored is told apart; ms. */
const HEARD_EVERY = 10_000;
const HAND_OVER = 'hand over';
/** How often it is looked whether the observer can hear what ghosts do; ms. */
const HAND_OVER_EVERY = 2_000;

/**
 * MUC/Sub played in place of a room that lacks it, for one session. It is the list of what can come to it, and of what its parts reach of each other; what
 * is done about it, the parts do.
 */
export class MucSubSession implements FeatureSession, Reader {
  readonly #around: Surroundings;
  readonly #services: Services;
  readonly #arrivals: Arrivals;
  readonly #delivery: Delivery;
  readonly #storing: Storing;
  readonly #ghosts: Ghosts;
  readonly #takingUp: TakingUp;
  readonly #changes: SubscriptionChanges;
  readonly #subscribing: Subscribing;
  readonly #completion: JoinCompletion;
  readonly #speaking: Speaking;
  readonly #forms: Forms;
  readonly #archive: ArchiveAnswers;
  readonly #ownArchive: OwnArchive;
  readonly #unseen: Unseen;
  readonly #handingOver: HandingOver | undefined;
  readonly #standing: OwnStanding | undefined;
  #watchesGhosts = false;
  /** The next process goes on with the session. */
  #isSuspended = false;
  /** What the client of a session that is gone on with has acknowledged before the book was read. */
  readonly #receivedEarly: string[] = [];

  constructor(
    private readonly context: FeatureContext,
    around: Surroundings,
    snapshot?: string,
  ) {
    const { identity } = context;
    this.#around = around;
    this.#services = new Services(around);
    this.#arrivals = new Arrivals(around);
    this.#delivery = new Delivery(around, this.#arrivals);
    this.#storing = new Storing(around);
    this.#ghosts = new Ghosts(around, this.#delivery, this.#storing, {
      banned: (subscription) => this.#changes.banned(subscription),
      destroyed: (room) => this.#changes.destroyed(room),
      vanished: (room) => this.#changes.vanished(room),
      left: () => this.#endKept(this.#ghosts.isLeaving),
    });
    this.#takingUp = new TakingUp(around, this.#storing, () => this.#takeUp());
    this.#changes = new SubscriptionChanges(around, this.#ghosts, this.#delivery);
    if (context.serverKind === 'jabberd2') this.#standing = new OwnStanding(around);
    const moderation = new Moderation(around, this.#standing);
    this.#subscribing = new Subscribing(
      around,
      this.#services,
      this.#ghosts,
      moderation,
      (change, subscription) => this.#changes.announce(change, subscription),
    );
    this.#completion = new JoinCompletion(around);
    this.#speaking = new Speaking(around, this.#ghosts, () => this.#watchGhosts());
    this.#forms = new Forms(context, this.#changes);
    this.#unseen = new Unseen(around, this.#ghosts);
    if (around.settings.observer !== undefined)
      this.#handingOver = new HandingOver(around, this.#delivery, this.#ghosts, this.#arrivals);
    this.#archive = new ArchiveAnswers(around, this.#storing, this.#ghosts);
    this.#ownArchive = new OwnArchive(around, this.#archive);
    around.rooms.onChange((change) => {
      const { full } = identity;
      if (change.kind === 'joined') {
        // What was decided of a room of this name before is not about this one.
        if (change.created) this.#changes.vanished(change.room);
        around.book.entered(change.room, full, around.account);
        if (this.#plays(change.room)) this.#completion.joined(change.room);
      } else if (change.kind === 'left') {
        around.book.left(change.room, full);
        this.#ghosts.hidden.forget(change.room);
        if (change.cause === 'destroyed') this.#changes.destroyed(change.room);
      }
    });
    if (snapshot !== undefined) {
      this.#ghosts.standings.restore(snapshot);
      context.attend(SUBSCRIBES, true);
    }
    around.book.enlist(around.account, this);
    if (!around.book.isRead || snapshot !== undefined) context.wakeAt(BOOK, context.now);
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    switch (watch) {
      case On.Request:
        this.context.attend(SUBSCRIBES, true);
        this.#watchGhosts();
        return this.#subscribing.request(stanza);
      case On.ClientPresence:
        return this.#around.book.isEmpty ? PASS : this.#ghosts.client.fromClient(stanza);
      case On.Broadcast:
        return this.#broadcast(stanza);
      case On.Bounced:
        return this.#ghosts.size === 0 ? PASS : this.#speaking.bounced(stanza);
      case On.Said:
      case On.Whispered:
      case On.Invites:
        return this.#around.book.isEmpty ? PASS : this.#speaking.said(stanza, watch);
      case On.OwnerForm:
        if (!this.#plays(stanza.frame.to)) return PASS;
        this.context.attend(CONFIGURES, true);
        return this.#forms.fromClient(stanza);
      case On.RoleChange:
        return this.#unseen.roleChange(stanza);
      case On.AsksOccupant:
        return this.#around.book.isEmpty ? PASS : this.#speaking.asksOccupant(stanza);
      case On.RoomRefuses:
      case On.RoomMessage: {
        const verdict = this.#roomSays(stanza);
        return verdict === PASS && watch === On.RoomRefuses ? this.#corrected(stanza) : verdict;
      }
      case On.RoomPresence:
        if (this.#standing?.sees(stanza) === true) return SWALLOWED;
        return this.#around.book.isEmpty && this.#ghosts.isIdle ? PASS : this.#ghosts.presence(stanza);
      case On.OccupantAsks:
        return this.#ghosts.size === 0 ? PASS : this.#speaking.occupantAsks(stanza);
      case On.RoomSaysItsOccupants:
      case On.RoomSaysItself:
      case On.RoomListsRoles:
        return this.#unseen.answer(stanza);
      case On.Archive:
        return this.#archive.query(stanza);
      case On.OwnArchive:
        return this.#around.book.isEmpty ? PASS : this.#ownArchive.query(stanza);
      default:
        return this.#forms.fromRoom(stanza);
    }
  }

  #plays(address: string | undefined): boolean {
    return address !== undefined && this.#services.playsProbably(domainOf(address));
  }

  onDisco(answer: DiscoAnswer): DiscoAmendment | undefined {
    return amendment(this.#around, this.#services, answer);
  }

  onWakeup(token: string): void {
    const { book } = this.#around;
    if (token === HEARD) this.#noteHeard();
    else if (token === NOTE) this.#arrivals.note();
    else if (token === HAND_OVER) this.#handOver();
    else if (token === TAKE_UP) this.#takingUp.goOn();
    else if (token === LEAVES) this.#endKept(false);
    else if (token === READ) this.#storing.readAgain();
    else if (token.startsWith(LOOKED)) this.#standing?.leave(token.slice(LOOKED.length));
    else if (token.startsWith(CATCH_UP)) this.#ghosts.catchUp(token.slice(CATCH_UP.length));
    else if (token.startsWith(YIELD)) this.#ghosts.carried.mayEnter(token.slice(YIELD.length));
    else if (token !== BOOK) this.#ghosts.entering.wake(token);
    else if (!book.isRead) book.read(this.context, this);
    else {
      this.#storing.received(this.#receivedEarly.splice(0));
      this.#ghosts.standings.noteReceived();
      this.#subscribing.proceed();
      this.#claim();
    }
  }

  #claim(): void {
    if (this.#delivery.wanted) this.#storing.read();
    this.#takingUp.begin();
  }

  #takeUp(): void {
    this.#ghosts.standings.settleRestored();
    if (this.#delivery.wanted) {
      this.#ghosts.claim();
      if (this.#ghosts.size > 0) this.#watchGhosts();
    }
    this.#ghosts.entering.begins();
  }

  #handOver(): void {
    this.#handingOver?.look(this.context.now);
    if (this.#ghosts.size > 0) this.context.wakeAt(HAND_OVER, this.context.now + HAND_OVER_EVERY);
  }

  #watchGhosts(): void {
    if (this.#watchesGhosts) return;
    this.#watchesGhosts = true;
    this.context.wakeAt(HEARD, this.context.now + HEARD_EVERY);
    if (this.#handingOver !== undefined) this.context.wakeAt(HAND_OVER, this.context.now + HAND_OVER_EVERY);
  }

  onReceived(tokens: readonly string[]): void {
    this.#ghosts.standings.received(tokens);
    const stored = tokens.filter((token) => !token.startsWith(ARRIVED));
    if (stored.length < tokens.length) this.#arrivals.received(tokens);
    if (this.#around.book.isRead) this.#storing.received(stored);
    else this.#receivedEarly.push(...stored);
  }

  #writeHeard(): void {
    const heard = this.#ghosts.standings.heard();
    if (heard.length > 0) this.context.store.write(heard);
  }

  #noteHeard(): void {
    this.#writeHeard();
    this.#watchesGhosts = false;
    if (this.#ghosts.size > 0) this.#watchGhosts();
  }

  /** There is no way back: rooms may answer later than a subscription ends. */
  subscribes(): void {
    this.context.attend(SUBSCRIBES, true);
    this.context.domain.shared(commonInterestsKey).attend(SUBSCRIBERS, true);
  }

  bookIsRead(): void {
    this.context.wakeAt(BOOK, this.context.now);
  }

  onTold(message: string, from: string): void {
    const notice = readNotice(message);
    const { book, account } = this.#around;
    switch (notice?.op) {
      case 'event':
        this.#delivery.told(notice.room, notice.xml, notice.place);
        break;
      case 'configured':
        this.#changes.configured(notice);
        break;
      case 'claim':
        if (this.#delivery.wanted) this.#storing.read();
        if (this.#delivery.wanted || !this.#delivery.anybody) this.#ghosts.claim();
        if (this.#ghosts.size > 0) this.#watchGhosts();
        break;
      case 'subscribed':
        this.#othersSubscribed(notice.room);
        break;
      case 'unsubscribed':
        if (book.subscription(notice.room, account) === undefined) this.#end(notice.room, notice.isGone);
        break;
      case 'replaced':
        if (this.#ghosts.of(notice.room)?.client === 'out') this.#end(notice.room);
        break;
      case 'say':
      case 'refused':
      case 'yield':
      case 'yielded':
        this.#ghosts.carried.notified(notice, from);
        break;
      case 'gone':
        this.#ghosts.hidden.gone(this.#ghosts.of(notice.room), notice.room, notice.nick, notice.affiliation);
        break;
      case 'subscriber':
        this.#changes.announced(notice);
        break;
    }
  }

  #end(room: string, isGone = false): void {
    if (!isGone || this.#ghosts.of(room)?.client !== 'out') this.#ghosts.end(room);
    this.#endKept(this.#ghosts.isLeaving);
  }

  /** @param isLeaving the rooms have still to say that ghosts are out */
  #endKept(isLeaving: boolean): void {
    const { full } = this.context.identity;
    if (!this.#around.book.kept.has(full) || this.#ghosts.carries) return;
    if (isLeaving) this.context.wakeAt(LEAVES, this.context.now + MOST_PATIENCE);
    else this.context.endKept();
  }

  /** What the client has not acknowledged is as safe by this as if it had. */
  onPutAway(): void {
    this.#arrivals.close(false);
    this.#writeHeard();
  }

  onLegUp(leg: 'client' | 'server'): void {
    if (leg === 'server') this.#ghosts.askAgain();
  }

  needsServer(now: number): number | undefined {
    const { book, account, settings } = this.#around;
    const { keepSeconds, keepSessions } = settings;
    // What the client was sent out of the store and has not acknowledged is for another one.
    if (this.#storing.release()) tellClaim(this.#around);
    if (!book.isRead || keepSeconds === 0 || book.kept.size >= keepSessions) return undefined;
    // What another session can take up it takes up.
    if (this.context.domain.sessionsOf(account).length > 1) return undefined;
    if (book.subscriptionsOf(account).length === 0) return undefined;
    book.kept.add(this.context.identity.full);
    return now + keepSeconds * 1_000;
  }

  snapshot(): string | undefined {
    this.#isSuspended = true;
    return this.#ghosts.standings.snapshot(this.#arrivals);
  }

  onClose(): void {
    this.#around.book.kept.delete(this.context.identity.full);
    const { book, rooms } = this.#around;
    book.leave(this);
    book.discharge(this.#around.account, this);
    this.#handingOver?.close();
    this.#standing?.close();
    for (const room of rooms.joined()) book.left(room, this.context.identity.full);
    this.#arrivals.close(this.#isSuspended);
    this.#writeHeard();
    const carried = this.#ghosts.close();
    const released = this.#storing.release();
    if (carried || released) tellClaim(this.#around);
  }

  // What the client sends.

  #broadcast({ frame }: PassingStanza): Verdict {
    if (frame.to !== undefined) return PASS;
    if (frame.type === 'unavailable') this.#goesUnseen(this.#ghosts.thrownOut());
    else if (this.#around.book.isRead && this.#delivery.wanted) this.#claim();
    return PASS;
  }

  /** @param enterAgain has its ghosts enter: another session may have taken up all of them meanwhile */
  #goesUnseen(enterAgain: () => void): void {
    goesUnseen(this.#around, () => {
      enterAgain();
      this.#endKept(false);
    });
  }

  // What rooms send.

  #roomSays(stanza: PassingStanza): Verdict {
    if (this.#standing?.sees(stanza) === true) return SWALLOWED;
    if (!this.#completion.isIdle && this.#completion.message(stanza.frame)) return SWALLOWED;
    if (!this.#ownArchive.isIdle && this.#ownArchive.result(stanza))
      return { action: 'handled', reason: 'mucsub-answered' };
    return this.#ghosts.size === 0 ? PASS : this.#ghosts.message(stanza);
  }

  /** COMPAT: mu-conference has a condition of its own for who is not in the room and says something there. */
  #corrected(stanza: PassingStanza): Verdict {
    if (this.context.serverKind !== 'jabberd2' || !this.#plays(stanza.frame.from)) return PASS;
    return notAcceptable(stanza);
  }

  // What happens to subscriptions.

  #othersSubscribed(room: string): void {
    const { book, account } = this.#around;
    const subscription = book.subscription(room, account);
    if (subscription === undefined) return;
    this.#ghosts.adopt(subscription);
    const ghost = this.#ghosts.of(room);
    if (ghost?.client === 'out' && ghost.nick !== subscription.preparedNick)
      this.#ghosts.entering.rename(room, subscription.nick, () => {});
    if (this.#delivery.wanted) this.#ghosts.claim();
    this.#ghosts.entering.learnOccupants(subscription);
  }
}
