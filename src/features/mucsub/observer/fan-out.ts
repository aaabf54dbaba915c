import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { Frame } from '../../../xml/frame.js';
import { NS } from '../../../xml/namespaces.js';
import { serializeElement } from '../../../xml/serialize.js';
import { parseStanza } from '../../../xml/tokenizer.js';
import { frameToElement } from '../../../xml/tree.js';
import type { Subscription } from '../book.js';
import type { Said } from '../event-log.js';
import { addressBytes, innerStanza, wrap } from '../events.js';
import { Heard } from '../heard.js';
import type { EventName } from '../nodes.js';
import { FLEETING, keyOfPresence, presenceInside } from '../room-events.js';
import { hasArchive, lacksArchive } from '../services.js';
import { eventOf, Storing } from '../storing.js';
import type { Surroundings } from '../surroundings.js';
import { Template } from '../template.js';
import type { Whereabouts } from '../whereabouts.js';
import { observationOf } from './observation.js';

/** XEP-0033: an older way in which rooms say who has said something. */
const ADDRESSES = 'http://jabber.org/protocol/address';

/** Something to be told to all for whom a room is heard. */
interface News {
  readonly said: Said;
  /** In place of whom it is addressed to. */
  readonly marker: string;
  /** Of the key of a groupchat message; undefined: it is no message. */
  readonly hash: number | undefined;
}

/** Takes what the observer hears of a room to all for whom it does: wrapped once, and written for each. */
export class FanOut {
  constructor(
    private readonly around: Surroundings,
    /** Of the observer: what stands among an account's sources where it hears for it. */
    private readonly full: string,
  ) {}

  /** A groupchat message. @param ofRoom from the room itself, not from an occupant */
  groupchat(room: string, heard: Frame, ofRoom: boolean, nonAnonymous: boolean): void {
    const { context } = this.around;
    const frame = nonAnonymous ? heard : withoutRealJids(heard, this.around);
    const isOurs = lacksArchive(this.around, room);
    const { archiveId: id, key, hash, kind } = new Heard(frame, room, ofRoom, isOurs);
    const itemId = id ?? this.#known(room, key, isOurs) ?? context.randomId();
    const marker = context.randomId();
    const inner = innerStanza(frame, marker, room, isOurs ? itemId : id, isOurs).toBuffer();
    const said = { key, id: itemId, isUnique: id !== undefined, at: context.wallClock(), inner };
    const news = { said: { ...said, kind }, marker, hash };
    this.#tell(room, news);
  }

  /** The presence of an occupant. @param events what it is */
  presence(room: string, events: readonly EventName[], presence: Element, nonAnonymous: boolean): void {
    const { context } = this.around;
    const key = keyOfPresence(presence);
    const marker = context.randomId();
    const inner = presenceInside(presence, marker, nonAnonymous);
    for (const kind of events) {
      const id = context.randomId();
      const said = { kind, id, key, isUnique: false, at: context.wallClock(), inner };
      this.#tell(room, { said, marker, hash: undefined });
    }
  }

  #known(room: string, key: string, isOurs: boolean): string | undefined {
    if (!isOurs) return undefined;
    for (const { account } of this.#audience(room)) {
      const known = new Storing({ ...this.around, account }).known(room, key);
      if (known !== undefined) return known;
    }
    return undefined;
  }

  *#audience(room: string): Iterable<Subscription> {
    const known = this.around.book.room(room);
    if (known === undefined) return;
    for (const subscription of known.subscriptions.values())
      if (known.whereabouts.get(subscription.account)?.sources.has(this.full) === true) yield subscription;
  }

  #tell(room: string, news: News): void {
    const { book } = this.around;
    const templates = new Map<EventName, Template>();
    for (const subscription of this.#audience(room)) {
      const where = book.whereabouts(room, subscription.account);
      this.#tellOne(subscription, where, news, (event) => {
        let template = templates.get(event);
        if (template === undefined) {
          const { id, inner } = news.said;
          template = new Template(wrap({ room, account: news.marker, event, id }, inner), news.marker);
          templates.set(event, template);
        }
        return template.for(addressBytes(subscription.account));
      });
    }
  }

  #tellOne(
    { room, account, events }: Subscription,
    where: Whereabouts,
    { said, hash }: News,
    made: (event: EventName) => Buffer,
  ): void {
    const { book, context, settings } = this.around;
    const listeners = observationOf(context.domain).of(account);
    let isWanted = false;
    for (const listener of listeners) isWanted ||= listener.isWanting;
    const isStored = !isWanted || book.logs.known(room)?.cursors.get(account)?.isBehind === true;
    if (hash !== undefined && this.#isFull(room, account, where, isStored)) return;
    if (hash !== undefined) {
      const isNew = where.isNew(hash);
      if (!isNew && where.sources.size > 1) return;
      where.heardAt = said.at;
      if (said.isUnique) where.lastId = said.key;
    }
    const isOurs = hash !== undefined && lacksArchive(this.around, room);
    const allowed = where.inside.size === 0 || settings.eventsWhileJoined;
    const event = allowed ? eventOf(said.kind, events) : undefined;
    if (event === undefined && !isOurs) return;
    const isKept = isStored && event !== undefined && !FLEETING.includes(event);
    if (isKept || isOurs)
      new Storing({ ...this.around, account }).take(room, said, () => said, isKept ? events : undefined);
    if (event === undefined) return;
    if (isKept) {
      const [first] = listeners;
      if (!isWanted && first !== undefined) first.waits(made(event));
      return;
    }
    if (!isWanted) return;
    const bytes = made(event);
    for (const listener of listeners)
      if (listener.isWanting && !listener.isIn(room)) listener.give(bytes, context.now);
  }

  /** Nothing more is stored for the account: its own ghost will ask the room's archive when a client is back. */
  #isFull(room: string, account: string, where: Whereabouts, isStored: boolean): boolean {
    if (!isStored || !hasArchive(this.around, room)) return false;
    if (!where.isFrozen && !new Storing({ ...this.around, account }).isFull(room)) return false;
    where.isFrozen = true;
    where.sources.delete(this.full);
    return true;
  }

  /** A room that is no more. */
  destroyed(room: string, presence: Element, nonAnonymous: boolean): void {
    for (const x of presence.getChildren('x', NS.mucUser))
      for (const status of x.getChildren('status')) x.remove(status);
    for (const { nick, account, events } of this.#audience(room)) {
      if (!events.includes('config')) continue;
      presence.attrs.from = `${room}/${nick}`;
      const inner = presenceInside(presence, account, nonAnonymous);
      const bytes = wrap({ room, account, event: 'config', id: this.around.context.randomId() }, inner);
      this.#giveOrKeep(room, account, bytes);
    }
  }

  #giveOrKeep(room: string, account: string, bytes: Buffer): void {
    const { context } = this.around;
    let isWanted = false;
    for (const listener of observationOf(context.domain).of(account)) {
      if (!listener.isWanting) continue;
      isWanted = true;
      if (!listener.isIn(room)) listener.give(bytes, context.now);
    }
    if (!isWanted) context.keepForAccount(account, bytes);
  }
}

/** Who is behind an occupant is for the room's moderators: subscribers are none, though the observer is one. */
function withoutRealJids(frame: Frame, { context }: Surroundings): Frame {
  if (frame.findChild('x', NS.mucUser) < 0 && !frame.bytes().includes(ADDRESSES)) return frame;
  const message = frameToElement(frame);
  for (const x of message.getChildren('x', NS.mucUser))
    for (const item of x.getChildren('item')) delete item.attrs.jid;
  message.remove('addresses', ADDRESSES);
  const stripped = parseStanza(Buffer.from(serializeElement(message)), context.namespaces);
  if (!(stripped instanceof Frame)) throw new Error(`taking out a JID broke a message: ${stripped.reason}`);
  return stripped;
}
