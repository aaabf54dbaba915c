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
import { tellClaim } from '../notices.js';
import { ABSENT, type Change, type OccupantChange } from '../occupants.js';
import { keyOfPresence, presenceInside } from '../presences.js';
import { FLEETING } from '../room-events.js';
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
  /** Nobody is to have it later. */
  readonly isFleeting: boolean;
  /** Where the log of a room without an archive has it. */
  readonly place: number | undefined;
}

/** Who is what in the room has changed. */
interface ChangeTold extends Pick<Said, 'inner' | 'key'> {
  readonly marker: string;
  readonly change: Change;
  readonly events: readonly EventName[];
}

/** Takes what the observer hears of a room to all for whom it does: wrapped once, and written for each. */
export class FanOut {
  /** Of the observer's own account, which hears all. */
  readonly #storing: Storing;

  constructor(
    private readonly around: Surroundings,
    /** Of the observer: what stands among an account's sources where it hears for it. */
    private readonly full: string,
  ) {
    this.#storing = new Storing(around);
  }

  /** A groupchat message. @param ofRoom from the room itself, not from an occupant */
  groupchat(room: string, message: Frame, ofRoom: boolean, nonAnonymous: boolean): void {
    const { context } = this.around;
    const audience = this.#audience(room);
    if (audience.length === 0) return;
    const frame = nonAnonymous ? message : withoutRealJids(message, this.around);
    const isOurs = lacksArchive(this.around, room);
    const heard = new Heard(frame, room, ofRoom, isOurs);
    const { archiveId, key, kind, hash, isUnique, isFleeting } = heard;
    const newId = archiveId ?? context.randomId();
    const marker = `to-${context.randomId()}`;
    const saidAs = (id: string): Said => {
      const inner = innerStanza(frame, marker, room, isOurs ? id : archiveId, isOurs).toBuffer();
      return { kind, id, key, isUnique, at: context.wallClock(), inner };
    };
    // A ghost may have had it before.
    const logged = isOurs ? this.#storing.take(room, heard, () => saidAs(newId)) : undefined;
    const said = saidAs(logged?.id ?? newId);
    this.#tell(room, audience, { said, marker, hash, isFleeting, place: logged?.seq });
  }

  /** The presence of an occupant. */
  presence(room: string, change: OccupantChange, presence: Element, nonAnonymous: boolean): void {
    const { context, book } = this.around;
    const marker = `to-${context.randomId()}`;
    const key = keyOfPresence(presence);
    const inner = presenceInside(presence, marker, nonAnonymous);
    // What somebody does himself is no news to him.
    const self = change.nick === undefined ? undefined : book.holderOf(room, change.nick);
    this.#changed(room, { marker, inner, key, change, events: change.events }, self);
  }

  /** Somebody who is not in the room has become something else in it. @param key what it is known by, whoever hears it */
  affiliation(room: string, message: Frame, key: string): void {
    const marker = `to-${this.around.context.randomId()}`;
    const inner = innerStanza(message, marker, room, undefined).toBuffer();
    this.#changed(room, { marker, inner, key, change: ABSENT, events: ['affiliations'] });
  }

  /** @param self an account that is not told */
  #changed(room: string, { marker, change, events, ...what }: ChangeTold, self?: string): void {
    const { book, context } = this.around;
    const audience = this.#audience(room).filter(
      (each) =>
        each.account !== self &&
        events.some((kind) => each.events.includes(kind)) &&
        book.whereabouts(room, each.account).isNewChange(this.full, change, what.key, context.now),
    );
    for (const kind of events) {
      const isFleeting = FLEETING.includes(kind);
      const said = { ...what, kind, id: context.randomId(), isUnique: false, at: context.wallClock() };
      this.#tell(room, audience, { said, marker, hash: undefined, isFleeting, place: undefined });
    }
  }

  /** Those who have subscribed to a room and for whom the observer hears it. */
  #audience(room: string): Subscription[] {
    const known = this.around.book.room(room);
    return [...(known?.subscriptions.values() ?? [])].filter(
      ({ account }) => known?.whereabouts.get(account)?.sources.has(this.full) === true,
    );
  }

  #tell(room: string, audience: readonly Subscription[], news: News): void {
    const { book } = this.around;
    const templates = new Map<EventName, Template>();
    for (const subscription of audience) {
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
    { said, hash, isFleeting, place }: News,
    made: (event: EventName) => Buffer,
  ): void {
    const { book, context, settings } = this.around;
    const listeners = observationOf(context.domain).of(account);
    let isWanted = false;
    for (const listener of listeners) isWanted ||= listener.isWanting;
    const cursor = book.logs.known(room)?.cursors.get(account);
    // What a client loses of the log is told again: what is behind that must not come before it then.
    const isBehind =
      cursor !== undefined && (cursor.isBehind || (cursor.isOut && !this.#storing.isFull(room)));
    const isStored = !isWanted || isBehind;
    if (hash !== undefined && this.#isFull(room, where, isStored)) return;
    if (hash !== undefined) {
      const isNew = where.isNew(hash);
      if (!isNew && where.mayComeTwice(context.now)) return;
      where.hears(said.at, said.isUnique ? said.key : undefined);
    }
    if (place !== undefined) where.place = Math.max(where.place ?? 0, place);
    const allowed = where.inside.size === 0 || settings.eventsWhileJoined;
    const event = allowed ? eventOf(said.kind, events) : undefined;
    if (event === undefined) return;
    if (isStored && !isFleeting) {
      const around = { ...this.around, account };
      new Storing(around).take(room, said, () => said, events);
      const [first] = listeners;
      if (!isWanted) first?.waits(made(event));
      else if (cursor?.isOut === true) tellClaim(around);
      return;
    }
    if (!isWanted) return;
    const bytes = made(event);
    let sent: number | undefined;
    for (const listener of listeners) {
      if (!listener.isWanting || listener.isIn(room)) continue;
      if (hash !== undefined) sent ??= where.goesOut();
      listener.give(bytes, context.now, room, sent);
    }
  }

  /** Nothing more is stored for the account: its own ghost will ask the room's archive when a client is back. */
  #isFull(room: string, where: Whereabouts, isStored: boolean): boolean {
    if (!isStored || !hasArchive(this.around, room)) return false;
    if (!where.isFrozen && !this.#storing.isFull(room)) return false;
    where.isFrozen = true;
    where.leaves(this.full, this.around.context.now);
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
      if (!listener.isIn(room)) listener.give(bytes, context.now, room, undefined);
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
