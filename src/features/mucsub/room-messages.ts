import type { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { frameToElement } from '../../xml/tree.js';
import { MOST_WAITING } from './archive-fill.js';
import type { Subscription } from './book.js';
import type { Delivery } from './delivery.js';
import type { Logged, Said } from './event-log.js';
import { addressBytes, innerStanza, wrapSplice } from './events.js';
import type { Ghost } from './ghost.js';
import { Heard } from './heard.js';
import type { EventName } from './nodes.js';
import { timeOf } from './presences.js';
import { lacksArchive } from './services.js';
import { eventOf, type Storing } from './storing.js';
import type { Surroundings } from './surroundings.js';
import { Template } from './template.js';
import { keyHash } from './whereabouts.js';

/** What is known of a message that was said some time ago. */
export interface Old {
  readonly stamp: string | undefined;
  /** In the room's archive. */
  readonly id?: string;
}

/** What becomes of the groupchat messages that a room says to ghosts: events at once, or what the store has of them. */
export class RoomMessages {
  /** Of the account, made when the first event is. */
  #address: Buffer | undefined;

  constructor(
    private readonly around: Surroundings,
    private readonly delivery: Delivery,
    private readonly storing: Storing,
  ) {}

  /**
   * Of a room that others have subscribed to as well, what is known of a message is known from the first of them on.
   * @param ofRoom from the room itself, not from an occupant
   * @param known what is known of it, if another ghost has heard it before
   */
  heard(room: string, frame: Frame, ofRoom: boolean, known = this.around.book.latest.find(frame)): Heard {
    const { book } = this.around;
    const isOurs = lacksArchive(this.around, room);
    if (known?.isOurs === isOurs) return known;
    const heard = new Heard(frame, room, ofRoom, isOurs);
    return book.isShared(room) ? book.latest.note(frame, heard) : heard;
  }

  /** @returns the event that a groupchat message becomes; undefined: none, or it has been one before */
  made(
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
    if (isOurs) return this.#logged(ghost, frame, heard, old);
    const { storing } = this;
    const isStored = !this.delivery.isDirect || storing.isBehind(room);
    const id = old?.id ?? heard.archiveId;
    // The room has it: from here on it will be asked for what is beyond the limit, and for what was missed before. Others have what is behind that in the log already.
    const isForLater = old?.id !== undefined || storing.isFull(room);
    if (isStored && !where.isFrozen && isForLater) {
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
    if (!isWanted) return undefined;
    if (heard.isFleeting || old?.id !== undefined || (!isStored && storing.keepsOrder(room)))
      return isStored ? undefined : this.#event(room, frame, heard, event, id, old?.stamp);
    const made = () => this.said(room, frame, heard, id, old?.stamp);
    const logged = storing.take(room, heard, made, isStored ? subscription.events : undefined);
    if (isStored) this.delivery.waits();
    else this.#givesBehind(room, logged, this.#event(room, frame, heard, event, id, old?.stamp));
    return undefined;
  }

  /** The same of a room that has no archive: our log is one, and says what the account has had. */
  #logged(ghost: Ghost, frame: Frame, heard: Heard, old: Old | undefined): Buffer | undefined {
    const { book, account, context, settings } = this.around;
    const { room } = ghost;
    const { storing } = this;
    const { events } = book.subscription(room, account)!;
    const where = book.whereabouts(room, account);
    const now = context.wallClock();
    const at = timeOf(old?.stamp) ?? now;
    const isNew = where.isNew(heard.hash);
    if (!isNew && old === undefined && where.mayComeTwice(context.now)) return undefined;
    const event = eventOf(heard.kind, events);
    const isWanted = event !== undefined && (where.inside.size === 0 || settings.eventsWhileJoined);
    const isStored = !this.delivery.isDirect || storing.isBehind(room);
    if (heard.isFleeting)
      return !isWanted || isStored || old !== undefined
        ? undefined
        : this.#event(room, frame, heard, event, undefined, undefined);
    const known = storing.find(room, heard, at);
    if (known !== undefined && known.seq <= (where.seq ?? 0)) {
      where.place = Math.max(where.place ?? 0, known.seq);
      return undefined;
    }
    if (heard.kind === 'config') this.#configured(ghost, frame);
    const made = () => this.said(room, frame, heard, undefined, old?.stamp);
    const isKept = isWanted && isStored;
    const logged = storing.take(room, heard, made, isKept ? events : undefined, at);
    where.hears(old === undefined ? now : undefined, undefined, logged.seq);
    if (isKept) this.delivery.waits();
    if (!isWanted || isStored) return undefined;
    const bytes = this.#event(room, frame, heard, event, logged.id, old?.stamp);
    if (storing.keepsOrder(room)) return bytes;
    this.#givesBehind(room, logged, bytes);
    return undefined;
  }

  /** An event whose client has not acknowledged what it was told out of the log before. */
  #givesBehind(room: string, logged: Logged, event: Buffer): void {
    this.delivery.giveStored(room, event, () => this.storing.pass(room, logged, event));
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
  said(room: string, frame: Frame, heard: Heard, id: string | undefined, stamp?: string): Said {
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
}
