import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { domain as domainOf, parseJid, prepareJid } from '../../jid.js';
import {
  errorCondition,
  mayConcernSelf,
  type RoomSignals,
  roomSignals,
} from '../../knowledge/rooms/signals.js';
import { PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import type { StoreChange } from '../../store/store.js';
import { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, serializeElement } from '../../xml/serialize.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { errorAnswer, REFUSED, type Refusal, refusalOf } from './answers.js';
import { ArchiveFill } from './archive-fill.js';
import type { Subscription } from './book.js';
import { type Delivery, SWALLOWED } from './delivery.js';
import { Ghost } from './ghost.js';
import type { Notice } from './notices.js';
import { Occupants } from './occupants.js';
import { enterRoom, leaveRoom, othersLeaving, ownLeaving } from './presences.js';
import { RoomEvents } from './room-events.js';
import type { Surroundings } from './surroundings.js';

/** How long a room may take to let a ghost in; ms. */
const ENTERING_TIME = 30_000;
/** How long a ghost that was put out waits before it enters again, the first time and after that; ms. */
const AGAIN_AFTER = [0, 2_000, 30_000, 300_000] as const;
/** After so long it counts as the first time again; ms. */
const FORGIVEN_AFTER = 600_000;
const HIDDEN: Verdict = { action: 'handled', reason: 'mucsub-hidden' };
const MOST_DEPARTURES = 32;
const ENTER = 'enter ';
const TIMEOUT = 'timeout ';

type SubscriberNotice = Extract<Notice, { op: 'subscriber' }>;

/** How a session stands in a room. */
export interface Standing {
  readonly room: string;
  readonly nick: string;
  readonly isClient: boolean;
  readonly isSource: boolean;
  readonly affiliation: string;
  readonly nonAnonymous: boolean;
}

/** What a room does that ends subscriptions. */
export interface SubscriptionEnds {
  /** It has put the account out for good. */
  banned(subscription: Subscription): void;
  /** It is not the room any more that was subscribed to. */
  vanished(room: string): void;
}

/**
 * The ghosts of one session, and its client's own comings and goings in the rooms that the account has subscribed to. Nothing that a
 * room sends to a ghost reaches the client but as an event.
 */
export class Ghosts {
  readonly #ghosts = new Map<string, Ghost>();
  /** By room: nicks of other people's ghosts that this client has not been shown. */
  readonly #hidden = new Map<string, Set<string>>();
  /** By room, whether this session was the source; until the book has been read. */
  readonly #restored = new Map<string, boolean>();
  /** Rooms that a ghost has left last. */
  readonly #departed = new Set<string>();
  readonly #events: RoomEvents;

  constructor(
    private readonly around: Surroundings,
    delivery: Delivery,
    private readonly ends: SubscriptionEnds,
  ) {
    this.#events = new RoomEvents(around, delivery);
  }

  get size(): number {
    return this.#ghosts.size;
  }

  /** Nothing that a room sends can be for a ghost. */
  get isIdle(): boolean {
    return this.#ghosts.size === 0 && this.#departed.size === 0;
  }

  of(room: string): Ghost | undefined {
    return this.#ghosts.get(room);
  }

  get #full(): string {
    return this.around.context.identity.full;
  }

  // Entering and leaving.

  /**
   * Enters a room as a ghost, unless this session is in it.
   * @param done told whether the room lets it in
   * @param ahead of the client's stanza that is being handled
   */
  enter(subscription: Subscription, done?: (refusal: Refusal | undefined) => void, ahead = false): void {
    const { book, account, context } = this.around;
    const { room, preparedNick, nick, password } = subscription;
    if (this.#ghosts.has(room)) {
      done?.(undefined);
      return;
    }
    const ghost = new Ghost(room, preparedNick, subscription);
    if (this.#events.wantsOccupants(subscription)) ghost.occupants = new Occupants();
    this.#ghosts.set(room, ghost);
    const where = book.whereabouts(room, account);
    // Before the presence is on its way: whoever gets it must find whose it is.
    book.reserve(room, preparedNick, account);
    if (where.sources.size === 0 || done !== undefined) where.sources.add(this.#full);
    ghost.entered = done;
    // What another session brings meanwhile is not missed.
    const missed = where.isFrozen || [...where.sources].every((full) => full === this.#full);
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
    const hasArchive = this.#hasArchive(ghost.room);
    ghost.missedSince = hasArchive ? since : undefined;
    ghost.isBeingTold = !hasArchive && since !== undefined;
    // COMPAT: mu-conference closes what it sends to somebody who enters with a subject only when there is one.
    if (this.around.context.serverKind !== 'jabberd2') ghost.subjects += 1;
    const presence = enterRoom(`${ghost.room}/${nick}`, password, hasArchive ? undefined : since);
    if (ahead) this.around.context.sendAhead(presence, 'mucsub-ghost');
    else this.around.context.send('server', presence, 'mucsub-ghost');
  }

  #hasArchive(room: string): boolean {
    return this.around.probe.mucServices().get(domainOf(room))?.has(NS.mam2) === true;
  }

  /** The room has let the ghost in: its archive is asked for what was missed, and what comes meanwhile is put behind that. */
  #catchUp(ghost: Ghost, since: number): void {
    const { context } = this.around;
    ghost.fillIsComplete = true;
    const lastId = this.around.book.knownWhereabouts(ghost.room, this.around.account)?.lastId;
    ghost.fill = new ArchiveFill(this.around, ghost.room, since, lastId, (complete) => {
      const waiting = ghost.fill?.waiting ?? [];
      ghost.fill = undefined;
      if (this.#ghosts.get(ghost.room) !== ghost) return;
      if (!complete || !ghost.fillIsComplete) this.#events.gap(ghost, since);
      for (const bytes of waiting) {
        const frame = parseStanza(bytes, context.namespaces);
        if (frame instanceof Frame) this.#events.late(ghost, frame);
      }
    });
    ghost.fill.begin();
  }

  /** A message out of an archive, if it is one that was asked for here. */
  #archived(ghost: Ghost, stanza: PassingStanza): boolean {
    const { fill } = ghost;
    if (fill === undefined || stanza.frame.findChild('result', NS.mam2) < 0) return false;
    const archived = fill.read(stanza.tree());
    if (archived === undefined) return false;
    const frame = parseStanza(archived.bytes, this.around.context.namespaces);
    if (frame instanceof Frame) this.#events.late(ghost, frame, archived);
    return true;
  }

  /** Notes in the store how far the rooms have been heard. @returns what is to be written */
  heard(): StoreChange[] {
    const { book, account, context } = this.around;
    return [...this.#ghosts.keys()].flatMap((room) => {
      if (book.knownWhereabouts(room, account)?.sources.has(this.#full) !== true) return [];
      return book.heard(context.domain.name, room, account) ?? [];
    });
  }

  /** The subscription is over: the ghost leaves. A client that is in the room stays. */
  end(room: string): void {
    const { book, account, context } = this.around;
    const ghost = this.#ghosts.get(room);
    book.knownWhereabouts(room, account)?.sources.delete(this.#full);
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
    const nick = rooms.nickIn(room);
    if (nick === undefined) return;
    const ghost = new Ghost(room, nick, subscription);
    ghost.isIn = true;
    ghost.client = 'in';
    this.#ghosts.set(room, ghost);
    const where = book.whereabouts(room, account);
    where.joined.add(this.#full);
    where.inside.add(this.#full);
  }

  /** Takes another nick, as a ghost. @param done told whether the room allows it */
  rename(room: string, nick: string, done: (refusal: Refusal | undefined) => void): void {
    const ghost = this.#ghosts.get(room);
    const prepared = parseJid(`${room}/${nick}`)?.resource;
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
    const ghost = this.#ghosts.get(subscription.room);
    if (ghost === undefined || ghost.client !== 'out' || !this.#events.wantsOccupants(subscription)) return;
    if (ghost.occupants !== undefined || !ghost.isIn) return;
    // Whoever enters again is told everything again (XEP-0045 §7.2.3).
    this.#ask(ghost, subscription.nick, subscription.password, undefined);
  }

  /** A room that has ended meanwhile may answer a ghost's leaving with an error. */
  #noteDeparture(room: string): void {
    if (this.#departed.size >= MOST_DEPARTURES) this.#departed.delete(this.#departed.keys().next().value!);
    this.#departed.add(room);
  }

  // From one process to the next.

  /** What the next process has to know of a server leg that goes on. */
  snapshot(): readonly Standing[] {
    const { book, account } = this.around;
    return [...this.#ghosts.values()]
      .filter(({ isIn }) => isIn)
      .map(({ room, nick, client, affiliation, nonAnonymous }) => {
        const isSource = book.knownWhereabouts(room, account)?.sources.has(this.#full) === true;
        return { room, nick, isClient: client !== 'out', isSource, affiliation, nonAnonymous };
      });
  }

  /** The server leg of a process before is gone on with: nothing that comes for its ghosts may reach the client. */
  restore(standings: readonly Standing[]): void {
    for (const { room, nick, isClient, isSource, affiliation, nonAnonymous } of standings) {
      const ghost = new Ghost(room, nick, undefined);
      Object.assign(ghost, { isIn: true, client: isClient ? 'in' : 'out', affiliation, nonAnonymous });
      this.#ghosts.set(room, ghost);
      this.#restored.set(room, isSource);
    }
  }

  /** The book has been read: the restored ghosts are somebody's again. What came in between is asked for. */
  settleRestored(): void {
    const { book, account } = this.around;
    for (const [room, isSource] of this.#restored) {
      const ghost = this.#ghosts.get(room);
      const subscription = book.subscription(room, account);
      if (ghost === undefined) continue;
      if (subscription === undefined) {
        this.end(room);
        continue;
      }
      ghost.subscription = subscription;
      const where = book.whereabouts(room, account);
      if (ghost.client === 'in') {
        where.joined.add(this.#full);
        where.inside.add(this.#full);
      }
      if (!isSource) continue;
      where.sources.add(this.#full);
      if (ghost.client === 'out' && where.missedSince !== undefined && this.#hasArchive(room))
        this.#catchUp(ghost, where.missedSince);
    }
    this.#restored.clear();
  }

  /** Takes up all subscriptions of the account that no session of it has taken up. */
  claim(): void {
    const { book, account } = this.around;
    const isKept = book.kept.has(this.#full);
    for (const subscription of book.subscriptionsOf(account)) {
      const where = book.knownWhereabouts(subscription.room, account);
      if (where === undefined || where.sources.size === 0) this.#takeUp(subscription);
      else if (!isKept && [...where.sources].every((full) => book.kept.has(full)))
        this.#takeOver(subscription);
    }
  }

  /** From a session that has stayed without its client for this. Until the room has let this one in, both bring what it sends. */
  #takeOver(subscription: Subscription): void {
    const { context, account } = this.around;
    this.enter(subscription, (refusal) => {
      const notice: Notice = { op: 'replaced', room: subscription.room };
      if (refusal === undefined) context.tell(account, JSON.stringify(notice));
    });
  }

  /** Whether any ghost of this session is the account's. */
  get carries(): boolean {
    const { book, account } = this.around;
    for (const room of this.#ghosts.keys())
      if (book.knownWhereabouts(room, account)?.sources.has(this.#full) === true) return true;
    return false;
  }

  #takeUp(subscription: Subscription): void {
    const ghost = this.#ghosts.get(subscription.room);
    if (ghost === undefined) this.enter(subscription);
    else if (ghost.client === 'out')
      this.around.book.whereabouts(ghost.room, this.around.account).sources.add(this.#full);
  }

  /** The client has gone unavailable for everybody: the server has taken the session out of all rooms. */
  thrownOut(): void {
    const { book, account } = this.around;
    for (const ghost of [...this.#ghosts.values()]) {
      this.#ghosts.delete(ghost.room);
      const where = book.knownWhereabouts(ghost.room, account);
      where?.clientIsOut(this.#full);
      where?.sources.delete(this.#full);
    }
    this.#hidden.clear();
    this.claim();
  }

  /** The session is over. @returns whether another one of the account should take something up */
  close(): boolean {
    const { book, account } = this.around;
    let carried = false;
    for (const ghost of this.#ghosts.values()) {
      const where = book.knownWhereabouts(ghost.room, account);
      if (where === undefined) continue;
      const wasJoined = where.clientIsOut(this.#full);
      if (where.sources.delete(this.#full) || wasJoined) carried = true;
      if (wasJoined && where.sources.size > 0) this.#tellGone(ghost);
    }
    this.#ghosts.clear();
    return carried;
  }

  wake(token: string): void {
    const { book, account } = this.around;
    if (token.startsWith(ENTER)) {
      const subscription = book.subscription(token.slice(ENTER.length), account);
      if (subscription !== undefined && !this.#ghosts.has(subscription.room)) this.enter(subscription);
      return;
    }
    const ghost = this.#ghosts.get(token.slice(TIMEOUT.length));
    if (ghost?.due[0] !== 'ghost' || ghost.isIn) return;
    this.#notLetIn(ghost, 'remote-server-timeout');
  }

  // What the client sends.

  /** A presence of the client's to an occupant address. */
  fromClient(stanza: PassingStanza): Verdict {
    const { book, account } = this.around;
    const { frame } = stanza;
    const to = parseJid(frame.to ?? '');
    if (to?.local === undefined || to.resource === undefined) return PASS;
    const room = `${to.local}@${to.domain}`;
    if (book.room(room) === undefined) return PASS;
    if (frame.type === 'unavailable') return this.#clientLeaves(room);
    const holder = book.holderOf(room, to.resource);
    if (holder !== undefined && holder !== account) return this.#nickIsTaken(stanza);
    const subscription = book.subscription(room, account);
    if (subscription === undefined) return PASS;
    return this.#clientEnters(stanza, subscription, to.resource);
  }

  #nickIsTaken({ frame }: PassingStanza): Verdict {
    const { context } = this.around;
    const asked = {
      name: 'presence',
      id: frame.id,
      from: frame.to ?? '',
      to: context.identity.full,
    } as const;
    context.sendAsServer(errorAnswer(asked, REFUSED.nickTaken), 'mucsub-refused');
    return { action: 'handled', reason: 'mucsub-refused' };
  }

  #clientEnters(stanza: PassingStanza, subscription: Subscription, nick: string): Verdict {
    const { book, account, context } = this.around;
    const { room } = subscription;
    let ghost = this.#ghosts.get(room);
    if (ghost === undefined) {
      ghost = new Ghost(room, nick, subscription);
      this.#ghosts.set(room, ghost);
    } else if (ghost.client === 'out' && ghost.nick !== nick && (ghost.isIn || ghost.due.length > 0)) {
      // Somebody who only changed the nick would not be told who is there.
      context.sendAhead(leaveRoom(`${room}/${ghost.nick}`), 'mucsub-ghost');
      ghost.leaves += 1;
      ghost.isIn = false;
    }
    if (ghost.client !== 'in') {
      ghost.nick = nick;
      ghost.client = 'joining';
      ghost.due.push('client');
    }
    book.whereabouts(room, account).joined.add(this.#full);
    return withoutHistory(stanza);
  }

  #clientLeaves(room: string): Verdict {
    const { book, account, context } = this.around;
    const ghost = this.#ghosts.get(room);
    const subscription = book.subscription(room, account);
    if (ghost === undefined || subscription === undefined) return PASS;
    if (ghost.client === 'out' || ghost.client === 'leaving') return PASS;
    const where = book.whereabouts(room, account);
    where.clientIsOut(this.#full);
    const isSame = ghost.nick === subscription.preparedNick;
    if (!isSame || where.sources.size > (where.sources.has(this.#full) ? 1 : 0)) {
      if (isSame && where.joined.size === 0) this.#tellGone(ghost);
      ghost.client = 'leaving';
      return PASS;
    }
    // It stays where it is, as a ghost: nothing is missed in between.
    where.sources.add(this.#full);
    where.heardAt = context.wallClock();
    ghost.due.forEach((asker, at) => {
      if (asker === 'client') ghost.subjects += 1;
      ghost.due[at] = 'ghost';
    });
    ghost.client = 'out';
    ghost.subscription = subscription;
    context.sendAsServer(
      ownLeaving(`${room}/${subscription.nick}`, this.#full, ghost.affiliation),
      'mucsub-left',
    );
    this.#tellGone(ghost);
    this.learnOccupants(subscription);
    return { action: 'handled', reason: 'mucsub-left' };
  }

  /** The account is to be an occupant for what the client sends next; at the server this comes first. */
  ensureIn(room: string): void {
    const { book, account } = this.around;
    const subscription = book.subscription(room, account);
    if (subscription !== undefined && !this.#ghosts.has(room)) this.enter(subscription, undefined, true);
  }

  // What the room sends.

  /** A presence from a room or an occupant of it, on its way to the client. */
  presence(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const from = frame.from ?? '';
    const slash = from.indexOf('/');
    const room = prepareJid(slash < 0 ? from : from.slice(0, slash));
    if (room === undefined) return PASS;
    const nick = slash < 0 ? undefined : parseJid(from)?.resource;
    const ghost = this.#ghosts.get(room);
    const type = frame.type;
    if (ghost === undefined) {
      if (type !== 'error') return this.#shown(room, nick, type);
      return this.#departed.delete(room) ? SWALLOWED : PASS;
    }
    if (type === 'error') return this.#refused(ghost, nick, stanza.tree());
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
      return this.#shown(room, nick, type);
    }
    if (nick !== undefined && !this.#isGhost(room, nick)) this.#events.presence(ghost, nick, stanza);
    return SWALLOWED;
  }

  /** Whether a nick is that of somebody who is in the room only as a ghost. */
  #isGhost(room: string, nick: string): boolean {
    const { book, account } = this.around;
    const holder = book.holderOf(room, nick);
    if (holder === undefined || holder === account) return false;
    const where = book.knownWhereabouts(room, holder);
    return where !== undefined && where.sources.size > 0 && where.joined.size === 0;
  }

  /** Keeps other people's ghosts from the client. */
  #shown(room: string, nick: string | undefined, type: string | undefined): Verdict {
    if (nick === undefined || this.around.book.isEmpty) return PASS;
    const hidden = this.#hidden.get(room);
    if (type === 'unavailable') return hidden?.delete(nick) === true ? HIDDEN : PASS;
    if (!this.#isGhost(room, nick)) {
      hidden?.delete(nick);
      return PASS;
    }
    this.#hide(room, nick);
    return HIDDEN;
  }

  #hide(room: string, nick: string): void {
    const hidden = this.#hidden.get(room);
    if (hidden === undefined) this.#hidden.set(room, new Set([nick]));
    else hidden.add(nick);
  }

  /** Another subscriber has left the room and stays as a ghost. */
  gone(room: string, nick: string, affiliation: string): void {
    const { context, rooms } = this.around;
    const prepared = parseJid(`${room}/${nick}`)?.resource;
    if (prepared === undefined) return;
    const presence = othersLeaving(`${room}/${nick}`, this.#full, affiliation);
    const ghost = this.#ghosts.get(room);
    if (ghost?.isForClient === false) this.#events.gone(ghost, prepared, presence);
    if (ghost?.isForClient === false || rooms.isRoom(room) !== 'joined') return;
    if (this.#hidden.get(room)?.has(prepared) === true) return;
    this.#hide(room, prepared);
    context.sendAsServer(presence, 'mucsub-left');
  }

  /** The client is in no room of this address any more: what it was not shown does not matter. */
  forgetHidden(room: string): void {
    this.#hidden.delete(room);
  }

  #tellGone(ghost: Ghost): void {
    const { book, context, account } = this.around;
    const nick = ghost.subscription?.nick ?? ghost.nick;
    const told = book.insiders(ghost.room);
    for (const { account: other, events } of book.room(ghost.room)?.subscriptions.values() ?? [])
      if (events.includes('presence') || events.includes('participants')) told.add(other);
    told.delete(account);
    const notice: Notice = { op: 'gone', room: ghost.room, nick, affiliation: ghost.affiliation };
    for (const other of told) context.tell(other, JSON.stringify(notice));
  }

  #selfAvailable(ghost: Ghost, nick: string, { codes }: RoomSignals, tree: Element): Verdict {
    const item = tree.getChildren('x', NS.mucUser).at(-1)?.getChild('item');
    ghost.affiliation = String(item?.attrs.affiliation ?? 'none');
    if (codes.has('100')) ghost.nonAnonymous = true;
    if (ghost.renaming?.nick === nick) {
      const { done } = ghost.renaming;
      ghost.renaming = undefined;
      ghost.nick = nick;
      done(undefined);
      return ghost.isForClient ? PASS : SWALLOWED;
    }
    const forClient = ghost.isForClient;
    const asker = ghost.due.shift();
    if (asker === undefined) {
      if (forClient) ghost.nick = nick;
      return forClient ? PASS : SWALLOWED;
    }
    ghost.isIn = true;
    ghost.nick = nick;
    if (asker === 'client') {
      ghost.client = 'in';
      this.around.book.whereabouts(ghost.room, this.around.account).inside.add(this.#full);
      return PASS;
    }
    const where = this.around.book.whereabouts(ghost.room, this.around.account);
    // From now on nothing is missed unless the session is lost.
    where.begins(this.around.context.wallClock());
    if (!this.around.book.kept.has(this.#full)) where.isFrozen = false;
    const { missedSince } = ghost;
    ghost.missedSince = undefined;
    if (missedSince !== undefined && ghost.client === 'out' && !where.isFrozen)
      this.#catchUp(ghost, missedSince);
    const { entered } = ghost;
    if (codes.has('201')) {
      ghost.created = true;
      // Nobody has asked for a room to be made: the one that was subscribed to has ended meanwhile.
      if (entered === undefined) this.ends.vanished(ghost.room);
    }
    ghost.entered = undefined;
    entered?.(undefined);
    return SWALLOWED;
  }

  #selfUnavailable(ghost: Ghost, signals: RoomSignals, tree: Element): Verdict {
    const { codes, destroyed } = signals;
    const forClient = ghost.isForClient;
    const verdict = forClient ? PASS : SWALLOWED;
    if (codes.has('303') && destroyed === undefined) return verdict;
    if (ghost.leaves > 0 && destroyed === undefined) {
      ghost.leaves -= 1;
      if (ghost.leaves === 0 && ghost.client === 'out') {
        this.#remove(ghost);
        // It may have been subscribed to again meanwhile.
        const again = this.around.book.subscription(ghost.room, this.around.account);
        if (again !== undefined) this.#takeUpAgain(again, 0);
      }
      return SWALLOWED;
    }
    // It may not have been known as the room's end when it came from somebody else's session first.
    if (destroyed !== undefined && !destroyed.reason.startsWith(MU_CONFERENCE_SHUTDOWN)) {
      if (!forClient) this.#events.destroyed(ghost, tree);
      this.#remove(ghost);
      return verdict;
    }
    const { subscription } = ghost;
    const wasLeaving = ghost.client === 'leaving';
    this.#remove(ghost);
    if (subscription === undefined) return verdict;
    if (codes.has('301')) this.ends.banned(subscription);
    else if (wasLeaving) this.#takeUpAgain(subscription, 0);
    else this.#takeUpAgain(subscription, this.#delayOf(ghost));
    return verdict;
  }

  #takeUpAgain({ room }: Subscription, delay: number): void {
    const { context, book, account } = this.around;
    const subscription = book.subscription(room, account);
    const where = book.knownWhereabouts(room, account);
    if (subscription === undefined || (where !== undefined && where.sources.size > 0)) return;
    if (delay === 0) this.enter(subscription);
    else context.wakeAt(ENTER + room, context.now + delay);
  }

  readonly #attempts = new Map<string, { count: number; last: number }>();

  /** A room that puts a ghost out again and again is left alone for longer and longer. */
  #delayOf(ghost: Ghost): number {
    const { now } = this.around.context;
    const before = this.#attempts.get(ghost.room);
    const count = before === undefined || now - before.last > FORGIVEN_AFTER ? 0 : before.count;
    this.#attempts.set(ghost.room, { count: count + 1, last: now });
    return AGAIN_AFTER[Math.min(count, AGAIN_AFTER.length - 1)]!;
  }

  #remove(ghost: Ghost): void {
    const { book, account } = this.around;
    if (this.#ghosts.get(ghost.room) === ghost) this.#ghosts.delete(ghost.room);
    const where = book.knownWhereabouts(ghost.room, account);
    where?.clientIsOut(this.#full);
    where?.sources.delete(this.#full);
  }

  #refused(ghost: Ghost, nick: string | undefined, tree: Element): Verdict {
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
    book.knownWhereabouts(ghost.room, account)?.clientIsOut(this.#full);
    if (ghost.isIn || ghost.due.length > 0) return;
    const { subscription } = ghost;
    this.#remove(ghost);
    if (subscription !== undefined) this.#takeUpAgain(subscription, 0);
  }

  #notLetIn(ghost: Ghost, condition: string): void {
    const { book, account, context } = this.around;
    const { entered, subscription } = ghost;
    ghost.entered = undefined;
    ghost.subjects = Math.max(0, ghost.subjects - 1);
    if (ghost.client === 'out') this.#remove(ghost);
    book.release(ghost.room, ghost.nick, account);
    if (entered !== undefined) entered(refusalOf(condition));
    else if (subscription !== undefined && condition === 'forbidden') this.ends.banned(subscription);
    else if (subscription !== undefined) {
      // Somebody who has just left may still be in the way; what else is wrong will not be better soon.
      const soon = condition === 'conflict' ? Math.max(this.#delayOf(ghost), AGAIN_AFTER[1]) : AGAIN_AFTER[3];
      context.wakeAt(ENTER + ghost.room, context.now + soon);
    }
  }

  /** Somebody has subscribed to a room of this account's, or ended it. */
  subscriber({ room, change, nick, account }: SubscriberNotice, subscription: Subscription): void {
    this.#events.subscriber(this.#ghosts.get(room), change, nick, account, subscription);
  }

  /** The same for a subscriber of whom no session is here. */
  subscriberAway({ room, change, nick, account }: SubscriberNotice, subscription: Subscription): void {
    this.#events.subscriberAway(this.#ghosts.get(room), change, nick, account, subscription);
  }

  /** A message from a room or an occupant of it, on its way to the client. */
  message(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const from = frame.from ?? '';
    const slash = from.indexOf('/');
    const written = slash < 0 ? from : from.slice(0, slash);
    const ghost = this.#ghosts.get(written) ?? this.#ghosts.get(prepareJid(written) ?? '');
    if (ghost === undefined) return PASS;
    if (ghost.client === 'in' || ghost.client === 'leaving') {
      if (ghost.fill !== undefined && this.#archived(ghost, stanza)) return SWALLOWED;
      if (frame.attributeEquals('type', 'groupchat')) this.#events.seen(ghost, frame);
      return PASS;
    }
    const { type } = frame;
    if (type === 'error') return PASS;
    if (this.#archived(ghost, stanza)) return SWALLOWED;
    if (type === 'groupchat') return this.#events.groupchat(ghost, stanza, slash < 0);
    return this.#events.other(ghost, stanza, slash < 0);
  }
}

// COMPAT mu-conference 0.8 says of every room, persistent ones too, that it is destroyed when it is itself stopped.
const MU_CONFERENCE_SHUTDOWN = 'The conference component is shutting down';

/** A subscriber who enters is not told what was said before: the specification has it as a MUST. */
function withoutHistory(stanza: PassingStanza): Verdict {
  const at = stanza.frame.findChild('x', NS.muc);
  if (at < 0) return PASS;
  const x = stanza.tree().getChild('x', NS.muc);
  if (x === undefined) return PASS;
  x.remove('history', NS.muc);
  x.c('history', { maxstanzas: '0' });
  x.attrs.xmlns = NS.muc;
  stanza
    .edit()
    .removeChild(at)
    .appendChild(Buffer.from(serializeElement(x)));
  return { action: 'edit', reason: 'mucsub-joining' };
}
