import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { PassingStanza, Verdict } from '../../session/feature.js';
import { PASS } from '../../session/feature.js';
import { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { writeTime } from '../../xml/times.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { frameToElement, parseElement } from '../../xml/tree.js';
import { MOST_WAITING } from './archive-fill.js';
import type { Subscription } from './book.js';
import { hasCaughtUp } from './catching-up.js';
import { type Delivery, SWALLOWED } from './delivery.js';
import { gap, innerStanza, subscriberChange, wrap } from './events.js';
import type { Ghost } from './ghost.js';
import { type Heard, keyOf } from './heard.js';
import type { Told } from './history-fill.js';
import type { EventName } from './nodes.js';
import { tellClaim } from './notices.js';
import { ABSENT, type Change, type OccupantChange, Occupants } from './occupants.js';
import { keyOfAffiliation, keyOfPresence, presenceInside, timeOf } from './presences.js';
import { privateMessage } from './private-messages.js';
import { type Old, RoomMessages } from './room-messages.js';
import type { Storing } from './storing.js';
import type { Surroundings } from './surroundings.js';
import { keyHash } from './whereabouts.js';

const OCCUPANT_EVENTS: readonly EventName[] = ['presence', 'participants', 'affiliations'];
/** Events that are of no use later, as ejabberd has it. */
export const FLEETING: readonly EventName[] = ['presence', 'participants'];

/** Makes events of what a room sends to a ghost. */
export class RoomEvents {
  readonly #messages: RoomMessages;

  constructor(
    private readonly around: Surroundings,
    private readonly delivery: Delivery,
    private readonly storing: Storing,
  ) {
    this.#messages = new RoomMessages(around, delivery, storing);
  }

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
    const heard = this.#messages.heard(ghost.room, frame, ofRoom, known);
    if (this.#belongsToEntering(ghost, heard, ofRoom)) return SWALLOWED;
    const where = book.knownWhereabouts(ghost.room, account);
    const { full } = context.identity;
    if (where?.sources.has(full) !== true || ghost.willBeTold) return SWALLOWED;
    // Another session is bringing what was missed, and all that is behind it.
    if (where.behind !== undefined && where.behind !== full) return SWALLOWED;
    const isOld = heard.isDelayed && ghost.isBeingTold;
    if (ghost.history !== undefined) {
      ghost.history.keep(frame, isOld);
      return SWALLOWED;
    }
    if (!isOld) this.#hasBeenTold(ghost);
    if (!isOld && this.#waitsForFill(ghost, frame)) return SWALLOWED;
    const old = isOld ? { stamp: stampIn(stanza.tree()) } : undefined;
    const bytes = this.#messages.made(ghost, frame, heard, old, isOld);
    return bytes === undefined ? SWALLOWED : this.delivery.deliver(ghost.room, bytes, true, true);
  }

  /** The room has told what was said before. */
  #hasBeenTold(ghost: Ghost): void {
    if (!ghost.isBeingTold) return;
    ghost.isBeingTold = false;
    if (ghost.history === undefined) hasCaughtUp(this.around, ghost.room);
    else ghost.history.end();
  }

  /** The room has told to a ghost what was said before it entered, and our log has it all. */
  told(ghost: Ghost): void {
    const { around } = this;
    ghost.isBeingTold = false;
    ghost.history = undefined;
    hasCaughtUp(around, ghost.room);
    if (this.delivery.wanted) this.storing.read();
    else if (this.delivery.isDirect) tellClaim(around);
  }

  /** What there is to know of something that the room has told as history. */
  historic(ghost: Ghost, bytes: Buffer): Told | undefined {
    const frame = parseStanza(bytes, this.around.context.namespaces);
    if (!(frame instanceof Frame)) return undefined;
    const at = timeOf(stampIn(frameToElement(frame)));
    const heard = this.#messages.heard(ghost.room, frame, frame.from?.includes('/') !== true);
    const known = this.storing.find(ghost.room, heard, at ?? this.around.context.wallClock());
    return { known, at };
  }

  /** What the room has sent while it was telling its history. */
  retold(ghost: Ghost, bytes: Buffer, isOld: boolean): void {
    const frame = parseStanza(bytes, this.around.context.namespaces);
    if (!(frame instanceof Frame)) return;
    this.late(ghost, frame, isOld ? { stamp: stampIn(frameToElement(frame)) } : undefined);
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

  /** Groupchat that has reached the client as it is: for the account it is not missed. */
  seen(ghost: Ghost, frame: Frame): void {
    const { book, account, context } = this.around;
    const { room } = ghost;
    const where = book.knownWhereabouts(room, account);
    if (where === undefined || frame.findChild('delay', NS.delay) >= 0) return;
    const ofRoom = frame.from?.includes('/') !== true;
    const heard = this.#messages.heard(room, frame, ofRoom);
    where.isNew(heard.hash);
    const isLogged = heard.isOurs && !heard.isFleeting && (!ofRoom || heard.isOfMuc);
    const logged = isLogged
      ? this.storing.take(room, heard, () => this.#messages.said(room, frame, heard, undefined))
      : undefined;
    where.hears(context.wallClock(), heard.archiveId, logged?.seq);
    this.delivery.passes(room);
  }

  /** A session does not hear the room any more. */
  unheard(room: string): void {
    const { book, account } = this.around;
    if ((book.knownWhereabouts(room, account)?.sources.size ?? 0) === 0) this.storing.close(room);
  }

  /** A message out of the room's archive, or one that has waited while the archive was being read. */
  late(ghost: Ghost, frame: Frame, old?: Old): void {
    const heard = this.#messages.heard(ghost.room, frame, frame.from?.includes('/') !== true);
    // The archive may have had it already.
    const bytes = this.#messages.made(ghost, frame, heard, old, true);
    if (bytes !== undefined) this.delivery.give(ghost.room, bytes, true, true);
  }

  /** Something that came before it was known what to do with it. */
  waited(ghost: Ghost, frame: Frame): void {
    const ofRoom = frame.from?.includes('/') !== true;
    if (frame.type !== 'groupchat')
      this.delivery.give(ghost.room, privateMessage(frame, this.around.account), true);
    else if (ghost.client !== 'out') this.seen(ghost, frame);
    else if (!this.#belongsToEntering(ghost, this.#messages.heard(ghost.room, frame, ofRoom), ofRoom)) {
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
    if (where === undefined) return SWALLOWED;
    // Of what was sent before it is out, only it may have been told.
    if (!where.sources.has(context.identity.full) && ghost.leaves === 0) return SWALLOWED;
    const isNew = where.isNew(keyHash(`private ${keyOf(frame)}`));
    if (!isNew && where.mayComeTwice(context.now)) return SWALLOWED;
    return this.delivery.deliver(ghost.room, privateMessage(frame, this.around.account), true);
  }

  /** Somebody who is not in the room has become something else in it: a subscriber is told where everybody is. */
  #affiliation(ghost: Ghost, frame: Frame, item: Element): Verdict {
    const { book, account } = this.around;
    const { room, nonAnonymous } = ghost;
    const subscription = book.subscription(room, account);
    const isWanted = nonAnonymous && subscription?.events.includes('affiliations') === true;
    const key = keyOfAffiliation(item);
    if (!isWanted || !this.#isHeard(ghost) || !this.#isNewChange(ghost, ABSENT, key)) return SWALLOWED;
    const inner = innerStanza(frame, account, room, undefined).toBuffer();
    this.#give(subscription, ['affiliations'], inner, key);
    return SWALLOWED;
  }

  #isNewChange({ room }: Ghost, change: Change, key: string): boolean {
    const { book, account, context } = this.around;
    const where = book.knownWhereabouts(room, account);
    return where?.isNewChange(context.identity.full, change, key, context.now) !== false;
  }

  /** The presence of another occupant. */
  presence(ghost: Ghost, nick: string, stanza: PassingStanza): void {
    const { book, account } = this.around;
    const subscription = book.subscription(ghost.room, account) ?? ghost.subscription;
    if (subscription === undefined || !this.wantsOccupants(subscription)) return;
    ghost.occupants ??= new Occupants();
    const tree = stanza.tree();
    const change = ghost.occupants.take(nick, tree);
    // Who was there before is no news.
    if (!ghost.isEntering) this.#tell(ghost, subscription, change, tree);
  }

  /** Another subscriber, who was seen, is not seen any more. */
  gone(ghost: Ghost, nick: string, presence: string): void {
    const { book, account } = this.around;
    const subscription = book.subscription(ghost.room, account);
    if (subscription === undefined || ghost.occupants === undefined) return;
    const tree = parseElement(Buffer.from(presence));
    this.#tell(ghost, subscription, ghost.occupants.take(nick, tree), tree);
  }

  #tell(ghost: Ghost, subscription: Subscription, change: OccupantChange, tree: Element): void {
    const { account } = this.around;
    const wanted = change.events.filter((event) => subscription.events.includes(event));
    const key = keyOfPresence(tree);
    if (wanted.length === 0 || !this.#isHeard(ghost) || !this.#isNewChange(ghost, change, key)) return;
    this.#give(subscription, wanted, presenceInside(tree, account, ghost.nonAnonymous), key);
  }

  /** What is no groupchat to who is there, or into the log. @param key what it is known by, whoever hears it */
  #give(subscription: Subscription, events: readonly EventName[], inner: Buffer, key: string): void {
    const { account, context } = this.around;
    const { room } = subscription;
    const isStored = !this.delivery.isDirect || this.storing.isBehind(room);
    for (const event of events) {
      const id = context.randomId();
      const bytes = wrap({ room, account, event, id }, inner);
      if (FLEETING.includes(event) || (!isStored && this.storing.keepsOrder(room))) {
        this.delivery.give(room, bytes, false);
        continue;
      }
      const said = { kind: event, id, key, isUnique: false, at: context.wallClock(), inner };
      const logged = this.storing.take(room, said, () => said, isStored ? subscription.events : undefined);
      if (isStored) this.delivery.waits();
      else this.delivery.giveStored(room, bytes, () => this.storing.pass(room, logged, bytes));
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

function stampIn(message: Element): string | undefined {
  const stamp: unknown = message.getChild('delay', NS.delay)?.attrs.stamp;
  return typeof stamp === 'string' ? stamp : undefined;
}
