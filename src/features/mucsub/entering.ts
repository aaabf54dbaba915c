import type { Element } from 'ltx';
import { errorCondition } from '../../knowledge/rooms/signals.js';
import { PASS, type Verdict } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { REFUSED, type Refusal, refusalOf } from './answers.js';
import type { Subscription } from './book.js';
import { type CatchingUp, hasCaughtUp } from './catching-up.js';
import { SWALLOWED } from './delivery.js';
import { Ghost } from './ghost.js';
import { askedFrom, HistoryFill } from './history-fill.js';
import { nickOf } from './nicks.js';
import { Occupants } from './occupants.js';
import { enterRoom } from './presences.js';
import type { RoomEvents } from './room-events.js';
import { answersMissed, lacksArchive } from './services.js';
import { endOfLog, type Storing } from './storing.js';
import type { SubscriptionEnds } from './subscription-ends.js';
import type { Surroundings } from './surroundings.js';

/** How long a room may take to let a ghost in; ms. */
const ENTERING_TIME = 30_000;
/** How long a ghost that was put out waits before it enters again, the first time and after that; ms. */
const AGAIN_AFTER = [0, 2_000, 30_000, 300_000] as const;
/** After so long it counts as the first time again; ms. */
const FORGIVEN_AFTER = 600_000;
/** Requests of the client's that may wait for its ghosts. */
const MOST_WAITING = 32;
const ENTER = 'enter ';
const TIMEOUT = 'timeout ';

/** Gets ghosts into rooms, and again when they were put out. */
export class Entering {
  #waiting: { readonly room: string | undefined; readonly done: () => void }[] = [];
  #hasBegun: boolean;

  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: Map<string, Ghost>,
    private readonly events: RoomEvents,
    private readonly catchingUp: CatchingUp,
    private readonly storing: Storing,
    private readonly ends: SubscriptionEnds,
  ) {
    this.#hasBegun = around.book.isRead;
  }

  /** The book has been read, and the ghosts are on their way. */
  begins(): void {
    this.#hasBegun = true;
    this.#settles();
  }

  /**
   * Enters a room as a ghost, unless this session is in it.
   * @param done told whether the room lets it in
   * @param ahead of the client's stanza that is being handled
   */
  enter(subscription: Subscription, done?: (refusal: Refusal | undefined) => void, ahead = false): void {
    const { book, account, context } = this.around;
    const { room, preparedNick, nick, password } = subscription;
    if (this.ghosts.has(room)) {
      done?.(undefined);
      return;
    }
    const ghost = new Ghost(room, preparedNick, subscription);
    if (this.events.wantsOccupants(subscription)) ghost.occupants = new Occupants();
    this.ghosts.set(room, ghost);
    const where = book.whereabouts(room, account);
    // Before the presence is on its way: whoever gets it must find whose it is.
    book.reserve(room, preparedNick, account);
    if (where.sources.size === 0 || done !== undefined) where.sources.add(context.identity.full);
    ghost.entered = done;
    // What another session brings meanwhile is not missed. But one that this one takes over from is put out before all has been read that it was sent.
    const takesOver = done !== undefined && answersMissed(this.around, room, where.lastId);
    const isAlone = [...where.sources].every((full) => full === context.identity.full);
    const missed = where.isFrozen || isAlone || takesOver;
    this.#ask(ghost, nick, password, missed ? where.missedSince : undefined, ahead);
    context.wakeAt(TIMEOUT + room, context.now + ENTERING_TIME);
  }

  #ask(
    ghost: Ghost,
    nick: string,
    password: string | undefined,
    since: number | undefined,
    ahead = false,
  ): void {
    ghost.due.push('ghost');
    const { book, account } = this.around;
    const archived = answersMissed(
      this.around,
      ghost.room,
      book.knownWhereabouts(ghost.room, account)?.lastId,
    );
    ghost.missedSince = archived ? since : undefined;
    ghost.isBeingTold = !archived && since !== undefined;
    if (ghost.isBeingTold && lacksArchive(this.around, ghost.room)) this.#begins(ghost, since!);
    if (since !== undefined) book.whereabouts(ghost.room, account).behind = this.around.context.identity.full;
    // COMPAT: mu-conference closes what it sends to somebody who enters with a subject only when there is one.
    if (this.around.context.serverKind !== 'jabberd2') ghost.subjects += 1;
    const asked = ghost.history?.asked ?? (archived ? undefined : since);
    const presence = enterRoom(`${ghost.room}/${nick}`, password, asked);
    if (ahead) this.around.context.sendAhead(presence, 'mucsub-ghost');
    else this.around.context.send('server', presence, 'mucsub-ghost');
  }

  /** What was missed is to come out of our log and the room's history. @param since ms since 1970 */
  #begins(ghost: Ghost, since: number): void {
    const { book } = this.around;
    const { room } = ghost;
    const asked = askedFrom(since, book.logs.known(room)?.entries.at(-1));
    ghost.history = new HistoryFill(
      this.around,
      this.storing,
      { room, since, asked },
      {
        told: (bytes) => this.events.historic(ghost, bytes),
        retell: (bytes, isOld) => this.events.retold(ghost, bytes, isOld),
        isWanted: () => this.ghosts.get(room) === ghost,
        done: () => this.events.told(ghost),
      },
    );
  }

  /** The room has let a ghost in. @param created the room was not there before */
  letIn(ghost: Ghost, created: boolean): void {
    const where = this.around.book.whereabouts(ghost.room, this.around.account);
    // From now on nothing is missed unless the session is lost.
    where.begins(this.around.context.wallClock(), endOfLog(this.around, ghost.room));
    if (!this.around.book.kept.has(this.around.context.identity.full)) where.isFrozen = false;
    const { missedSince } = ghost;
    ghost.missedSince = undefined;
    if (missedSince !== undefined && !created && ghost.client === 'out' && !where.isFrozen)
      this.catchingUp.begin(ghost, missedSince);
    else if (ghost.history !== undefined) {
      // What the stream brings may be older than what was heard last.
      where.place = undefined;
      ghost.history.begin();
    } else if (!ghost.isBeingTold) hasCaughtUp(this.around, ghost.room);
    const { entered } = ghost;
    if (created) {
      ghost.created = true;
      // Nobody has asked for a room to be made: the one that was subscribed to has ended meanwhile.
      if (entered === undefined) this.ends.vanished(ghost.room);
    }
    ghost.entered = undefined;
    entered?.(undefined);
    this.#settles();
  }

  /**
   * Calls `done` when every ghost of this session that has come to a room by itself is in it or refused: it may have found that the room is not
   * the one that was subscribed to.
   * @param room only that one's matters
   */
  whenSettled(done: () => void, room?: string): void {
    if (this.#isSettled(room) || this.#waiting.length >= MOST_WAITING) done();
    else this.#waiting.push({ room, done });
  }

  #isSettled(room: string | undefined): boolean {
    const ghosts = room === undefined ? [...this.ghosts.values()] : [this.ghosts.get(room)];
    return this.#hasBegun && ghosts.every((ghost) => ghost?.isIn !== false || !ghost.isEntering);
  }

  /** To be called when that may be so. */
  #settles(): void {
    if (this.#waiting.length === 0) return;
    const settled = this.#waiting.filter(({ room }) => this.#isSettled(room));
    this.#waiting = this.#waiting.filter((each) => !settled.includes(each));
    for (const { done } of settled) done();
  }

  /** Takes another nick, as a ghost. @param done told whether the room allows it */
  rename(room: string, nick: string, done: (refusal: Refusal | undefined) => void): void {
    const ghost = this.ghosts.get(room);
    const prepared = nickOf(`${room}/${nick}`);
    if (ghost === undefined || prepared === undefined || ghost.renaming !== undefined) {
      done(REFUSED.noAnswer);
      return;
    }
    ghost.renaming = { nick: prepared, done };
    this.around.book.reserve(room, prepared, this.around.account);
    const to = escapeAttribute(`${room}/${nick}`);
    this.around.context.send('server', `<presence to='${to}'/>`, 'mucsub-ghost');
  }

  /** Who is in the room begins to matter. */
  learnOccupants(subscription: Subscription): void {
    const ghost = this.ghosts.get(subscription.room);
    if (ghost === undefined || ghost.client !== 'out' || !this.events.wantsOccupants(subscription)) return;
    if (ghost.occupants !== undefined || !ghost.isIn) return;
    // Whoever enters again is told everything again (XEP-0045 §7.2.3).
    this.#ask(ghost, subscription.nick, subscription.password, undefined);
  }

  takeUpAgain({ room }: Subscription, delay: number): void {
    const { context, book, account } = this.around;
    const subscription = book.subscription(room, account);
    const where = book.knownWhereabouts(room, account);
    if (subscription === undefined || (where !== undefined && where.sources.size > 0)) return;
    if (delay === 0) this.enter(subscription);
    else context.wakeAt(ENTER + room, context.now + delay);
  }

  readonly #attempts = new LateMap<string, { count: number; last: number }>();

  /** A room that puts a ghost out again and again is left alone for longer and longer. */
  delayOf(ghost: Ghost): number {
    const { now } = this.around.context;
    const before = this.#attempts.get(ghost.room);
    const count = before === undefined || now - before.last > FORGIVEN_AFTER ? 0 : before.count;
    this.#attempts.set(ghost.room, { count: count + 1, last: now });
    return AGAIN_AFTER[Math.min(count, AGAIN_AFTER.length - 1)]!;
  }

  /** This session is not in the room any more, in no way. */
  remove(ghost: Ghost): void {
    const { book, account } = this.around;
    if (this.ghosts.get(ghost.room) === ghost) this.ghosts.delete(ghost.room);
    const where = book.knownWhereabouts(ghost.room, account);
    where?.clientIsOut(this.around.context.identity.full);
    hasCaughtUp(this.around, ghost.room);
    where?.leaves(this.around.context.identity.full, this.around.context.now);
    this.events.unheard(ghost.room);
  }

  /** The room has answered a request to enter, or for a nick, with an error. */
  refused(ghost: Ghost, nick: string | undefined, tree: Element): Verdict {
    const condition = errorCondition(tree);
    if (ghost.renaming !== undefined && (nick === undefined || nick === ghost.renaming.nick)) {
      const { nick: wanted, done } = ghost.renaming;
      ghost.renaming = undefined;
      this.around.book.release(ghost.room, wanted, this.around.account);
      done(refusalOf(condition));
      return SWALLOWED;
    }
    const forClient = ghost.isForClient;
    const asker = ghost.due.shift();
    if (asker === 'gone') return SWALLOWED;
    if (asker === 'ghost') {
      this.#notLetIn(ghost, condition);
      return SWALLOWED;
    }
    if (asker === 'client' && ghost.client === 'joining') this.#clientNotLetIn(ghost);
    return forClient ? PASS : SWALLOWED;
  }

  #clientNotLetIn(ghost: Ghost): void {
    const { book, account } = this.around;
    ghost.client = 'out';
    book.knownWhereabouts(ghost.room, account)?.clientIsOut(this.around.context.identity.full);
    if (ghost.isIn || ghost.due.length > 0) return;
    const { subscription } = ghost;
    this.remove(ghost);
    if (subscription !== undefined) this.takeUpAgain(subscription, 0);
  }

  #notLetIn(ghost: Ghost, condition: string): void {
    const { book, account, context } = this.around;
    const { entered, subscription } = ghost;
    ghost.entered = undefined;
    ghost.subjects = Math.max(0, ghost.subjects - 1);
    if (ghost.client === 'out') this.remove(ghost);
    book.release(ghost.room, ghost.nick, account);
    if (entered !== undefined) entered(refusalOf(condition));
    else if (subscription !== undefined && condition === 'forbidden') this.ends.banned(subscription);
    else if (subscription !== undefined) {
      // Somebody who has just left may still be in the way; what else is wrong will not be better soon.
      const soon = condition === 'conflict' ? Math.max(this.delayOf(ghost), AGAIN_AFTER[1]) : AGAIN_AFTER[3];
      context.wakeAt(ENTER + ghost.room, context.now + soon);
    }
    this.#settles();
  }

  wake(token: string): void {
    const { book, account } = this.around;
    if (token.startsWith(ENTER)) {
      const subscription = book.subscription(token.slice(ENTER.length), account);
      if (subscription !== undefined && !this.ghosts.has(subscription.room)) this.enter(subscription);
      return;
    }
    const ghost = this.ghosts.get(token.slice(TIMEOUT.length));
    if (ghost?.isEntering !== true || ghost.isIn) return;
    this.#notLetIn(ghost, 'remote-server-timeout');
  }
}
