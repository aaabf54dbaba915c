import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { PassingStanza, Verdict } from '../../session/feature.js';
import { PASS } from '../../session/feature.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { writeTime } from '../../xml/times.js';
import { frameToElement, parseElement } from '../../xml/tree.js';
import { MOST_WAITING } from './archive-fill.js';
import type { Subscription } from './book.js';
import { hasCaughtUp } from './catching-up.js';
import { type Delivery, SWALLOWED } from './delivery.js';
import type { Said } from './event-log.js';
import { addressBytes, gap, innerStanza, subscriberChange, wrap, wrapSplice } from './events.js';
import type { Ghost } from './ghost.js';
import { Heard } from './heard.js';
import type { EventName } from './nodes.js';
import { Occupants } from './occupants.js';
import { keyOfAffiliation, keyOfPresence, presenceInside, timeOf } from './presences.js';
import { privateMessage } from './private-messages.js';
import { hasArchive, lacksArchive } from './services.js';
import { eventOf, type Storing } from './storing.js';
import type { Surroundings } from './surroundings.js';
import { Template } from './template.js';
import { keyHash } from './whereabouts.js';

const OCCUPANT_EVENTS: readonly EventName[] = ['presence', 'participants', 'affiliations'];
/** Events that are of no use later, as ejabberd has it. */
export const FLEETING: readonly EventName[] = ['presence', 'participants'];

/** Makes events of what a room sends to a ghost. */
export class RoomEvents {
  /** Of the account, made when the first event is. */
  #address: Buffer | undefined;

  constructor(
    private readonly around: Surroundings,
    private readonly delivery: Delivery,
    private readonly storing: Storing,
  ) {}

  /** Whether it matters for a subscription who is in the room. */
  wantsOccupants({ events }: Subscription): boolean {
    return events.some((event) => OCCUPANT_EVENTS.includes(event));
  }

  /**
   * A groupchat message.
   * @param ofRoom from the room itself, not from an occupant
   * @param known what is known of it, if another ghost has heard it before
   */
  groupchat(ghost: Ghost, stanza: PassingStanza, ofRoom: boolean, known: Heard | undefined): Verdict {
    const { frame } = stanza;
    const { book, account, context } = this.around;
    const heard = this.#heard(ghost.room, frame, ofRoom, known);
    if (this.#belongsToEntering(ghost, heard, ofRoom)) return SWALLOWED;
    const where = book.knownWhereabouts(ghost.room, account);
    const { full } = context.identity;
    if (where?.sources.has(full) !== true || ghost.willBeTold) return SWALLOWED;
    // Another session is bringing what was missed, and all that is behind it.
    if (where.behind !== undefined && where.behind !== full) return SWALLOWED;
    const isOld = heard.isDelayed && ghost.isBeingTold;
    if (!isOld) this.#hasBeenTold(ghost);
    if (!isOld && this.#waitsForFill(ghost, frame)) return SWALLOWED;
    const old = isOld ? { stamp: stampIn(stanza.tree()) } : undefined;
    const bytes = this.#made(ghost, frame, heard, old, isOld);
    return bytes === undefined ? SWALLOWED : this.delivery.deliver(ghost.room, bytes, true, true);
  }

  /** The room has told what was said before. */
  #hasBeenTold(ghost: Ghost): void {
    if (!ghost.isBeingTold) return;
    ghost.isBeingTold = false;
    hasCaughtUp(this.around, ghost.room);
  }

  /** The room says it to who enters, and to nobody else. */
  #belongsToEntering(ghost: Ghost, heard: Heard, ofRoom: boolean): boolean {
    if (ghost.subjects > 0 && heard.isSubject) {
      ghost.subjects -= 1;
      if (ghost.subjects === 0) this.#hasBeenTold(ghost);
      return true;
    }
    // COMPAT: mu-conference tells everybody who enters the name of the room, and who has set the topic, as if somebody had said it.
    return ofRoom && this.around.context.serverKind === 'jabberd2' && !heard.isOfMuc;
  }

  /** What comes while the room's archive is being read is behind what that has. */
  #waitsForFill(ghost: Ghost, frame: Frame): boolean {
    if (ghost.fill === undefined) return false;
    if (ghost.fill.waiting.length < MOST_WAITING) ghost.fill.waiting.push(Buffer.from(frame.bytes()));
    else ghost.fillIsComplete = false;
    return true;
  }

  /** Of a room that others have subscribed to as well, what is known of a message is known from the first of them on. */
  #heard(room: string, frame: Frame, ofRoom: boolean, known = this.around.book.latest.find(frame)): Heard {
    const { book } = this.around;
    const isOurs = lacksArchive(this.around, room);
    if (known?.isOurs === isOurs) return known;
    const heard = new Heard(frame, room, ofRoom, isOurs);
    return book.isShared(room) ? book.latest.note(frame, heard) : heard;
  }

  /** Groupchat that has reached the client as it is: for the account it is not missed. */
  seen(ghost: Ghost, frame: Frame): void {
    const { book, account, context } = this.around;
    const { room } = ghost;
    const where = book.knownWhereabouts(room, account);
    if (where === undefined || frame.findChild('delay', NS.delay) >= 0) return;
    const ofRoom = frame.from?.includes('/') !== true;
    const heard = this.#heard(room, frame, ofRoom);
    where.isNew(heard.hash);
    where.hears(context.wallClock(), heard.archiveId);
    this.delivery.passes(room);
    if (!heard.isOurs || (ofRoom && !heard.isOfMuc)) return;
    this.storing.take(room, heard, () => this.#said(room, frame, heard, undefined));
  }

  /** A session does not hear the room any more. */
  unheard(room: string): void {
    const { book, account } = this.around;
    if ((book.knownWhereabouts(room, account)?.sources.size ?? 0) === 0) this.storing.close(room);
  }

  /** A message out of the room's archive, or one that has waited while the archive was being read. */
  late(ghost: Ghost, frame: Frame, old?: Old): void {
    const heard = this.#heard(ghost.room, frame, frame.from?.includes('/') !== true);
    // The archive may have had it already.
    const bytes = this.#made(ghost, frame, heard, old, true);
    if (bytes !== undefined) this.delivery.give(ghost.room, bytes, true, true);
  }

  /** Something that came before it was known what to do with it. */
  waited(ghost: Ghost, frame: Frame): void {
    const ofRoom = frame.from?.includes('/') !== true;
    if (frame.type !== 'groupchat')
      this.delivery.give(ghost.room, privateMessage(frame, this.around.account), true);
    else if (ghost.client !== 'out') this.seen(ghost, frame);
    else if (!this.#belongsToEntering(ghost, this.#heard(ghost.room, frame, ofRoom), ofRoom)) {
      if (!this.#waitsForFill(ghost, frame)) this.late(ghost, frame);
    }
  }

  /** Not all of what was said since then could be had. */
  gap(ghost: Ghost, since: number): void {
    const { account, context } = this.around;
    const until = writeTime(context.wallClock());
    this.delivery.give(
      ghost.room,
      gap(ghost.room, account, context.randomId(), writeTime(since), until),
      true,
    );
  }

  /** @returns the event that a groupchat message becomes; undefined: none, or it has been one before */
  #made(
    ghost: Ghost,
    frame: Frame,
    heard: Heard,
    old: Old | undefined,
    mayBeKnown: boolean,
  ): Buffer | undefined {
    const { book, account, context, settings } = this.around;
    const { room } = ghost;
    const { isOurs, kind } = heard;
    const subscription = book.subscription(room, account);
    const where = book.knownWhereabouts(room, account);
    if (subscription === undefined || where === undefined) return undefined;
    const { storing } = this;
    const isStored = !this.delivery.isDirect || storing.isBehind(room);
    const id = old?.id ?? heard.archiveId;
    if (isStored && !isOurs && !where.isFrozen && this.#isForLater(room, old)) {
      where.isFrozen = true;
      storing.close(room);
    }
    if (where.isFrozen) {
      if (isStored) this.#waits(ghost, frame, heard, subscription, id);
      return undefined;
    }
    const isNew = where.isNew(old?.id === undefined ? heard.hash : keyHash(old.id));
    // An id of the archive's says for certain that it is the same.
    if (!isNew && (mayBeKnown || heard.isUnique || where.mayComeTwice(context.now))) return undefined;
    where.hears(old === undefined ? context.wallClock() : undefined, id);
    if (kind === 'config') this.#configured(ghost, frame);
    const event = eventOf(kind, subscription.events);
    const isWanted = event !== undefined && (where.inside.size === 0 || settings.eventsWhileJoined);
    if (!isOurs && !isWanted) return undefined;
    const isKept = isStored && !heard.isFleeting;
    if (!isOurs && !isKept)
      return isStored ? undefined : this.#event(room, frame, heard, event!, id, old?.stamp);
    const known = old?.id === undefined ? heard : { key: old.id, isUnique: true };
    const made = () => this.#said(room, frame, heard, id, old?.stamp);
    const logged = storing.take(room, known, made, isWanted && isKept ? subscription.events : undefined);
    if (isWanted && isKept) this.delivery.waits();
    if (!isWanted || isStored) return undefined;
    return this.#event(room, frame, heard, event, logged.id, old?.stamp);
  }

  /**
   * The room has it: from here on it will be asked for what is beyond the limit, and for what was missed before. Others have what is behind that in
   * the log already.
   */
  #isForLater(room: string, old: Old | undefined): boolean {
    return old?.id !== undefined || (hasArchive(this.around, room) && this.storing.isFull(room));
  }

  /** The account will get it some time: push services are told, once though it may come out of the archive and from the room. */
  #waits(ghost: Ghost, frame: Frame, heard: Heard, { events }: Subscription, id: string | undefined): void {
    const { account, context } = this.around;
    const event = eventOf(heard.kind, events);
    const { announced } = ghost;
    const key = id ?? heard.key;
    if (event === undefined || announced.has(key)) return;
    if (announced.size >= MOST_WAITING) announced.clear();
    announced.add(key);
    context.waits(account, this.#event(ghost.room, frame, heard, event, id, undefined));
  }

  /**
   * The event for this session's account.
   * @param id in the archive, the room's or ours
   * @param stamp when it was said, where that was not now
   */
  #event(
    room: string,
    frame: Frame,
    heard: Heard,
    event: EventName,
    id: string | undefined,
    stamp: string | undefined,
  ): Buffer {
    const { account, context, book } = this.around;
    const { isOurs } = heard;
    if (id === undefined || stamp !== undefined || !book.isShared(room)) {
      const wrapping = { room, account, event, id: id ?? context.randomId(), stamp };
      return wrapSplice(wrapping, innerStanza(frame, account, room, id, isOurs));
    }
    const template = heard.event(event, id, () => {
      const marker = `to-${context.randomId()}`;
      const inner = innerStanza(frame, marker, room, id, isOurs);
      return new Template(wrapSplice({ room, account: marker, event, id }, inner), marker);
    });
    this.#address ??= addressBytes(account);
    return template.for(this.#address);
  }

  /** What a groupchat message is to all who have subscribed. @param id in the room's archive */
  #said(room: string, frame: Frame, heard: Heard, id: string | undefined, stamp?: string): Said {
    const { account, context } = this.around;
    const { kind, isOurs } = heard;
    const itemId = id ?? context.randomId();
    return {
      kind,
      id: itemId,
      key: id ?? heard.key,
      isUnique: id !== undefined,
      at: timeOf(stamp) ?? context.wallClock(),
      inner: innerStanza(frame, account, room, isOurs ? itemId : id, isOurs).toBuffer(),
    };
  }

  /** Whether real JIDs are seen may have changed (XEP-0045 §10.2.1). */
  #configured(ghost: Ghost, frame: Frame): void {
    const codes = frameToElement(frame).getChild('x', NS.mucUser)?.getChildren('status') ?? [];
    for (const { attrs } of codes) {
      if (attrs.code === '172') ghost.nonAnonymous = true;
      if (attrs.code === '173' || attrs.code === '174') ghost.nonAnonymous = false;
      if (attrs.code === '170') ghost.isLogged = true;
      if (attrs.code === '171') ghost.isLogged = false;
    }
  }

  /** A message that is no groupchat. */
  other(ghost: Ghost, stanza: PassingStanza, ofRoom: boolean): Verdict {
    const { frame } = stanza;
    const { book, account, context } = this.around;
    if (ofRoom) {
      // Invitations and what else the room has for the account are the client's; who has become what in it is an occupant's to know.
      const item = stanza.tree().getChild('x', NS.mucUser)?.getChild('item');
      return item === undefined ? PASS : this.#affiliation(ghost, frame, item);
    }
    const where = book.knownWhereabouts(ghost.room, account);
    if (where?.sources.has(context.identity.full) !== true) return SWALLOWED;
    return this.delivery.deliver(ghost.room, privateMessage(frame, this.around.account), true);
  }

  /** Somebody who is not in the room has become something else in it: a subscriber is told where everybody is. */
  #affiliation(ghost: Ghost, frame: Frame, item: Element): Verdict {
    const { book, account } = this.around;
    const { room, nonAnonymous } = ghost;
    const subscription = book.subscription(room, account);
    const isWanted = nonAnonymous && subscription?.events.includes('affiliations') === true;
    if (!isWanted || !this.#isHeard(ghost)) return SWALLOWED;
    const inner = innerStanza(frame, account, room, undefined).toBuffer();
    this.#give(subscription, ['affiliations'], inner, keyOfAffiliation(item));
    return SWALLOWED;
  }

  /** The presence of another occupant. */
  presence(ghost: Ghost, nick: string, stanza: PassingStanza): void {
    const { book, account } = this.around;
    const subscription = book.subscription(ghost.room, account) ?? ghost.subscription;
    if (subscription === undefined || !this.wantsOccupants(subscription)) return;
    ghost.occupants ??= new Occupants();
    const tree = stanza.tree();
    const events = ghost.occupants.take(nick, tree);
    // Who was there before is no news.
    if (!ghost.isEntering) this.#tell(ghost, subscription, events, tree);
  }

  /** Another subscriber, who was seen, is not seen any more. */
  gone(ghost: Ghost, nick: string, presence: string): void {
    const { book, account } = this.around;
    const subscription = book.subscription(ghost.room, account);
    if (subscription === undefined || ghost.occupants === undefined) return;
    const tree = parseElement(Buffer.from(presence));
    this.#tell(ghost, subscription, ghost.occupants.take(nick, tree), tree);
  }

  #tell(ghost: Ghost, subscription: Subscription, events: readonly EventName[], tree: Element): void {
    const { account } = this.around;
    const wanted = events.filter((event) => subscription.events.includes(event));
    if (wanted.length === 0 || !this.#isHeard(ghost)) return;
    const inner = presenceInside(tree, account, ghost.nonAnonymous);
    this.#give(subscription, wanted, inner, keyOfPresence(tree));
  }

  /** What is no groupchat to who is there, or into the log. @param key what it is known by, whoever hears it */
  #give(subscription: Subscription, events: readonly EventName[], inner: Buffer, key: string): void {
    const { account, context } = this.around;
    const { room } = subscription;
    const isStored = !this.delivery.isDirect || this.storing.isBehind(room);
    for (const event of events) {
      const id = context.randomId();
      if (FLEETING.includes(event) || !isStored)
        this.delivery.give(room, wrap({ room, account, event, id }, inner), false);
      else {
        const said = { kind: event, id, key, isUnique: false, at: context.wallClock(), inner };
        this.storing.take(room, said, () => said, subscription.events);
        this.delivery.waits();
      }
    }
  }

  /** The room is no more. */
  destroyed(ghost: Ghost, presence: Element): void {
    const { account, context } = this.around;
    const { subscription } = ghost;
    if (subscription?.events.includes('config') !== true || !this.#isHeard(ghost)) return;
    for (const x of presence.getChildren('x', NS.mucUser))
      for (const status of x.getChildren('status')) x.remove(status);
    presence.attrs.from = `${ghost.room}/${subscription.nick}`;
    const inner = presenceInside(presence, account, ghost.nonAnonymous);
    const wrapping = { room: ghost.room, account, event: 'config', id: context.randomId() } as const;
    this.delivery.give(ghost.room, wrap(wrapping, inner), true);
  }

  /** Who has subscribed, or ended it. */
  subscriber(
    ghost: Ghost | undefined,
    change: 'subscribe' | 'unsubscribe',
    nick: string,
    subscriber: string,
    subscription: Subscription,
  ): void {
    const { account, context } = this.around;
    if (!subscription.events.includes('subscribers')) return;
    const { room } = subscription;
    const seesJids =
      ghost?.nonAnonymous === true || ghost?.affiliation === 'owner' || ghost?.affiliation === 'admin';
    const inner = subscriberChange(change, nick, seesJids ? subscriber : undefined);
    const wrapping = {
      room,
      account,
      event: 'subscribers',
      id: context.randomId(),
      wrapperId: false,
    } as const;
    if (ghost === undefined || this.#isHeard(ghost)) this.delivery.give(room, wrap(wrapping, inner), true);
  }

  /** Whether what this session's ghost gets is to become events at present. */
  #isHeard(ghost: Ghost): boolean {
    const { book, account, context, settings } = this.around;
    const where = book.knownWhereabouts(ghost.room, account);
    // Of a room that somebody else has heard to be no more, nothing is known.
    if (where === undefined) return true;
    return (
      where.sources.has(context.identity.full) && (where.inside.size === 0 || settings.eventsWhileJoined)
    );
  }
}

/** What is known of a message that was said some time ago. */
interface Old {
  readonly stamp: string | undefined;
  /** In the room's archive. */
  readonly id?: string;
}

function stampIn(message: Element): string | undefined {
  const stamp: unknown = message.getChild('delay', NS.delay)?.attrs.stamp;
  return typeof stamp === 'string' ? stamp : undefined;
}
