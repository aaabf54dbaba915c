import { domain as domainOf, prepareJid } from '../../../jid.js';
import { judgeSelfPing } from '../../../knowledge/rooms/signals.js';
import {
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
} from '../../../session/feature.js';
import type { StoreChange } from '../../../store/store.js';
import { StanzaKind } from '../../../xml/frame.js';
import { NS } from '../../../xml/namespaces.js';
import type { Reader, Subscription } from '../book.js';
import { SWALLOWED } from '../delivery.js';
import { nickOf } from '../nicks.js';
import { type Notice, readNotice, tellClaim } from '../notices.js';
import { Services } from '../services.js';
import { Storing } from '../storing.js';
import type { Surroundings } from '../surroundings.js';
import { SUBSCRIBES } from '../watches.js';
import { FanOut } from './fan-out.js';
import { type Hearing, type Observation, observationOf } from './observation.js';
import { ObservedRoom, type RoomEnds } from './observed-room.js';

/** The resource of the observer's session begins with this. */
export const OBSERVER_RESOURCE = 'interstanza-observer';

const TICK = 'tick';
const BOOK = 'book';
/** How often it is looked which rooms there are to hear, and noted how far they have been heard; ms. */
const EVERY = 5_000;
/** Rooms that are being entered at a time: each is asked five things. */
const MOST_ENTERING = 8;
/** Rooms that are asked in one look whether it is in still. */
const MOST_PINGS = 20;
/** How long a room may take to let it in; ms. */
const ENTERING_TIME = 30_000;
/** A room that has not let it in, or where it is no owner, is tried again after this; ms. */
const AGAIN_AFTER = 300_000;
/** A room that has been silent for so long is asked whether it is in still (XEP-0410); ms. */
const SILENCE = 120_000;

/**
 * The session of the observer: it is in each room that somebody has subscribed to, once, as an owner of it, and hears it for all who have
 * subscribed and would be let in. Where it is not, or is no owner, they have their ghosts.
 */
export class ObserverSession implements FeatureSession, Reader, Hearing, RoomEnds {
  readonly #observation: Observation;
  readonly #services: Services;
  readonly #fanOut: FanOut;
  readonly #rooms = new Map<string, ObservedRoom>();
  /** When a room may be tried again; ms. */
  readonly #again = new Map<string, number>();

  constructor(
    private readonly context: FeatureContext,
    private readonly around: Surroundings,
    private readonly nick: string,
  ) {
    this.#observation = observationOf(context.domain);
    this.#services = new Services(around);
    this.#fanOut = new FanOut(around, context.identity.full);
    this.#observation.observer = this;
    context.attend(SUBSCRIBES, true);
    context.wakeAt(around.book.isRead ? TICK : BOOK, context.now);
  }

  onWakeup(token: string): void {
    const { book } = this.around;
    if (token === BOOK && !book.isRead) book.read(this.context, this);
    else this.#look();
  }

  bookIsRead(): void {
    this.context.wakeAt(TICK, this.context.now);
  }

  onStanza(stanza: PassingStanza): Verdict {
    if (stanza.direction === 'to-server') return PASS;
    const { frame } = stanza;
    const from = frame.from ?? '';
    const slash = from.indexOf('/');
    const written = slash < 0 ? from : from.slice(0, slash);
    const room = this.#rooms.get(written) ?? this.#rooms.get(prepareJid(written) ?? '');
    if (room === undefined) return PASS;
    if (frame.kind === StanzaKind.Presence) room.presence(stanza, slash < 0 ? undefined : nickOf(from));
    else if (frame.kind === StanzaKind.Message) room.message(stanza, slash < 0);
    else return PASS;
    return SWALLOWED;
  }

  onTold(message: string): void {
    const notice = readNotice(message);
    if (notice?.op === 'gone') this.#rooms.get(notice.room)?.gone(notice.nick, notice.affiliation);
  }

  onLegDown(): void {
    this.#end();
  }

  onClose(): void {
    this.#end();
    this.around.book.leave(this);
  }

  /** It hears nothing any more: the ghosts do. */
  #end(): void {
    if (this.#observation.observer === this) this.#observation.observer = undefined;
    this.#noteHeard();
    for (const room of this.#rooms.values()) this.#release(room);
    this.#rooms.clear();
  }

  // Which rooms.

  #look(): void {
    if (this.#observation.observer !== this) return;
    const { book } = this.around;
    const { now } = this.context;
    let entering = 0;
    for (const room of this.#rooms.values()) if (room.isEntering) entering += 1;
    for (const { jid, subscriptions } of book.rooms()) {
      if (subscriptions.size === 0 || this.#rooms.has(jid) || (this.#again.get(jid) ?? 0) > now) continue;
      if (this.#services.plays(domainOf(jid)) !== true) continue;
      if (entering++ >= MOST_ENTERING) break;
      this.#enter(jid, this.#isFree(jid) ? this.nick : this.#otherNick);
    }
    for (const [jid, time] of this.#again) if (time <= now) this.#again.delete(jid);
    let pings = MOST_PINGS;
    for (const room of this.#rooms.values())
      if (this.#lookAt(room, now) && pings-- > 0) this.#ping(room, now);
    this.#noteHeard();
    this.context.wakeAt(TICK, now + EVERY);
  }

  #isFree(room: string): boolean {
    const { book, account } = this.around;
    return (book.holderOf(room, this.nick) ?? account) === account;
  }

  get #otherNick(): string {
    return `${this.nick}-${this.context.randomId().slice(0, 6)}`;
  }

  #enter(jid: string, nick: string): void {
    const { book, account } = this.around;
    const room = new ObservedRoom(this.around, this.#fanOut, this, jid, nick);
    this.#rooms.set(jid, room);
    // To other people's clients it is nobody, as a ghost is.
    book.reserve(jid, room.nick, account);
    book.whereabouts(jid, account).sources.add(this.context.identity.full);
    room.enter();
  }

  /** @returns whether it has been silent for long */
  #lookAt(room: ObservedRoom, now: number): boolean {
    const { book } = this.around;
    if ((book.room(room.jid)?.subscriptions.size ?? 0) === 0) {
      room.leave();
      this.#release(room);
      this.#rooms.delete(room.jid);
    } else if (room.isEntering && now - room.aliveAt > ENTERING_TIME) {
      room.leave();
      this.out(room, false);
    } else return now - room.aliveAt > SILENCE;
    return false;
  }

  #ping(room: ObservedRoom, now: number): void {
    room.aliveAt = now;
    const payload = `<ping xmlns='${NS.ping}'/>`;
    this.context.request({ leg: 'server', type: 'get', to: room.occupant, payload }, (answer) => {
      if (this.#rooms.get(room.jid) !== room || answer.kind === 'result') return;
      if (answer.kind === 'refused') {
        room.aliveAt = now - SILENCE;
        return;
      }
      if (answer.kind === 'error' && judgeSelfPing(answer.condition) === 'in') return;
      room.leave();
      this.out(room, false);
    });
  }

  #noteHeard(): void {
    const { book } = this.around;
    const changes: StoreChange[] = [];
    for (const room of this.#rooms.values())
      for (const account of room.heardFor.keys()) {
        const change = book.heard(this.context.domain.name, room.jid, account);
        if (change !== undefined) changes.push(change);
      }
    if (changes.length > 0) this.context.store.write(changes);
  }

  // For whom.

  since(room: string, account: string): number | undefined {
    const where = this.around.book.knownWhereabouts(room, account);
    // It may have been unsubscribed and subscribed to again meanwhile.
    if (where?.sources.has(this.context.identity.full) !== true) return undefined;
    return this.#rooms.get(room)?.heardFor.get(account);
  }

  take(jid: string, account: string): void {
    const room = this.#rooms.get(jid);
    const { book } = this.around;
    if (room?.isHearing !== true || !room.mayHear(account)) return;
    if (book.subscription(jid, account) === undefined) return;
    book.whereabouts(jid, account).sources.add(this.context.identity.full);
    room.heardFor.set(account, this.context.now);
  }

  changed(room: ObservedRoom): void {
    // There may be another one to be entered.
    this.context.wakeAt(TICK, this.context.now);
    for (const account of [...room.heardFor.keys()]) {
      if (room.isOutcast(account)) this.banned(room, account);
      else if (!room.mayHear(account)) this.#drop(room, account);
    }
  }

  /** As when a room puts a ghost out for good. */
  banned({ jid, heardFor }: ObservedRoom, account: string): void {
    const { book } = this.around;
    const subscription = book.subscription(jid, account);
    if (!heardFor.delete(account) || subscription === undefined) return;
    this.#unsubscribe(subscription);
    const notice: Notice = {
      op: 'subscriber',
      room: jid,
      change: 'unsubscribe',
      nick: subscription.nick,
      account,
    };
    for (const { account: other, events } of book.room(jid)?.subscriptions.values() ?? [])
      if (events.includes('subscribers')) this.context.tell(other, JSON.stringify(notice));
  }

  destroyed(room: ObservedRoom): void {
    const { book } = this.around;
    const { jid } = room;
    this.#release(room);
    this.#rooms.delete(jid);
    for (const subscription of [...(book.room(jid)?.subscriptions.values() ?? [])])
      this.#unsubscribe(subscription);
    this.context.store.write([book.allow(this.context.domain.name, jid, undefined)]);
  }

  #unsubscribe({ room, account, nick }: Subscription): void {
    const { book } = this.around;
    this.context.store.write([book.unsubscribe(this.context.domain.name, room, account)]);
    const notice: Notice = { op: 'unsubscribed', room, nick };
    this.context.tell(account, JSON.stringify(notice));
  }

  out(room: ObservedRoom, isNickTaken: boolean): void {
    if (this.#rooms.get(room.jid) !== room) return;
    this.#release(room);
    this.#rooms.delete(room.jid);
    if (isNickTaken && room.nick === this.nick) this.#enter(room.jid, this.#otherNick);
    else this.#again.set(room.jid, this.context.now + AGAIN_AFTER);
  }

  /** It is not in the room any more. */
  #release(room: ObservedRoom): void {
    const { book, account } = this.around;
    for (const subscriber of [...room.heardFor.keys()]) this.#drop(room, subscriber);
    book.knownWhereabouts(room.jid, account)?.leaves(this.context.identity.full, this.context.now);
    book.release(room.jid, room.nick, account);
  }

  /** It does not hear the room for the account any more: a ghost does, where the room lets it in. */
  #drop(room: ObservedRoom, account: string): void {
    const { book } = this.around;
    const heard = room.heardFor.delete(account);
    const where = book.knownWhereabouts(room.jid, account);
    if (!heard || where?.leaves(this.context.identity.full, this.context.now) !== true) return;
    if (where.sources.size === 0) new Storing({ ...this.around, account }).close(room.jid);
    tellClaim({ ...this.around, account });
  }
}
