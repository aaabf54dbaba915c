import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { bare, domain, prepareJid } from '../../jid.js';
import type { AccountSession } from '../../knowledge/account/account.js';
import type { PresenceSession } from '../../knowledge/presence/presence.js';
import type { RoomChange } from '../../knowledge/rooms/room.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import { errorCondition } from '../../knowledge/rooms/signals.js';
import { type FeatureContext, PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';
import { entering } from './annotation.js';
import { OccupantDifference } from './difference.js';
import { ForeignRoom, isSubject, messageKey, subjectOf } from './foreign-room.js';
import type { Links, LinkWatcher } from './links.js';
import { isServiceOf } from './places.js';
import { saysUnreachable } from './prober.js';
import type { Reach } from './reach.js';

/** Rooms of other servers that one session keeps track of. */
const MOST_ROOMS = 100;
/** Between the questions to two rooms; ms. */
const BETWEEN_ROOMS = 250;
/** How long what a room tells upon entering may take; ms. */
const RETURN_TIME = 30_000;

const CHECK = 'rooms';

const KNOWN: Verdict = { action: 'drop', reason: 'room-presence-known' };
const KNOWN_MESSAGE: Verdict = { action: 'drop', reason: 'room-history-known' };

/** What the room tells while the session is on its way back in. */
interface Return {
  readonly occupants: OccupantDifference;
  readonly heard: ReadonlySet<string>;
  readonly subject: string | undefined;
  readonly until: number;
  /** The room has said that it is in. */
  isIn: boolean;
}

/**
 * Rooms whose service was out of reach (XEP-0310 §5): when it is back, each is asked whether this session is still in (XEP-0410), and where
 * it is not, a client that knows nothing of it is brought back in: same nick, what was said meanwhile, and only the difference in who is there.
 */
export class RoomReturns implements LinkWatcher {
  readonly #rooms = new LateMap<string, ForeignRoom>();
  readonly #returns = new LateMap<string, Return>();
  #toCheck: string[] = [];
  #passwords: Map<string, string> | undefined;

  constructor(
    private readonly context: FeatureContext,
    private readonly reach: Reach,
    private readonly ownDomain: string,
    private readonly knowledge: {
      readonly account: AccountSession;
      readonly presence: PresenceSession;
      readonly rooms: RoomsSession;
    },
    /** Whether the client is brought back in; one that is told of annotations comes back by itself. */
    private readonly bringsBack: () => boolean,
    /** Whether the client has not been told all yet. */
    private readonly isTelling: () => boolean,
  ) {}

  /** Whether messages of rooms are looked at. */
  get hasRooms(): boolean {
    return this.#rooms.size > 0;
  }

  /** Whether a room is one of another server's. */
  static concerns(room: string, ownDomain: string): boolean {
    const service = domain(room);
    return service !== ownDomain && !isServiceOf(service, ownDomain);
  }

  roomChanged(change: RoomChange): void {
    const { room: jid } = change;
    if (!RoomReturns.concerns(jid, this.ownDomain)) return;
    const room = this.#rooms.get(jid);
    if (change.kind === 'joined') {
      if (room === undefined) this.#enter(jid, change.nick);
      else {
        room.nick = change.nick;
        // What the room tells may be taken by a feature that knows better what the client has been shown.
        if (room.phase === 'returning') this.#isIn(room);
      }
    } else if (change.kind === 'nick-changed' && room !== undefined) room.nick = change.to;
    else if (change.kind === 'left' && room?.phase === 'in') this.#forget(jid);
  }

  #enter(jid: string, nick: string): void {
    if (this.#rooms.size >= MOST_ROOMS) return;
    const { now } = this.context;
    const room = new ForeignRoom(jid, nick, now);
    room.password = this.#passwords?.get(jid);
    this.#passwords?.delete(jid);
    this.#rooms.set(jid, room);
    this.reach.links.watch(domain(jid), this, 'guest', now);
    room.wasDown = this.reach.links.isDown(domain(jid));
  }

  #forget(jid: string): void {
    this.#rooms.delete(jid);
    this.#returns.delete(jid);
    const service = domain(jid);
    for (const other of this.#rooms.keys()) if (domain(other) === service) return;
    this.reach.links.unwatch(service, this, 'guest');
  }

  close(): void {
    for (const jid of [...this.#rooms.keys()]) this.#forget(jid);
  }

  /** The client sends presence to an address. @param to prepared */
  clientSends(frame: Frame, to: string, tree: () => Element): void {
    const jid = bare(to);
    const room = this.#rooms.get(jid);
    // What it does by itself from now on is its own affair.
    if (room !== undefined && room.phase !== 'in') this.#forget(jid);
    const x = frame.findChild('x', NS.muc);
    if (x < 0 || frame.type !== undefined || !RoomReturns.concerns(jid, this.ownDomain)) return;
    if (!frame.buffer.subarray(frame.childStart(x), frame.childEnd(x)).includes('password')) return;
    const password = tree().getChild('x', NS.muc)?.getChildText('password');
    if (password === null || password === undefined || password.length > 1_000) return;
    this.#passwords ??= new Map();
    // Not all of them are let in: the oldest goes.
    this.#passwords.delete(jid);
    this.#passwords.set(jid, password);
    const [oldest] = this.#passwords.keys();
    if (oldest !== undefined && this.#passwords.size > MOST_ROOMS) this.#passwords.delete(oldest);
  }

  /** The session has another server, which may reach others. @param former of the server before */
  serverChanged(former: Links, now: number): void {
    const services = new Set([...this.#rooms.keys()].map(domain));
    for (const service of services) {
      former.unwatch(service, this, 'guest');
      this.reach.links.watch(service, this, 'guest', now);
      this.linkChanged(service, now);
    }
  }

  linkChanged(service: string, now: number): void {
    const isDown = this.reach.links.isDown(service);
    for (const [jid, room] of this.#rooms) {
      if (domain(jid) !== service) continue;
      if (isDown) room.wasDown = true;
      else if (room.wasDown && (room.phase === 'in' || room.phase === 'lost') && !this.#toCheck.includes(jid))
        this.#toCheck.push(jid);
    }
    if (this.#toCheck.length > 0) this.context.wakeAt(CHECK, now);
  }

  /** @returns whether the wake-up was for this */
  wake(token: string, now: number): boolean {
    if (token !== CHECK) return false;
    for (const [jid, { until }] of this.#returns) if (until <= now) this.#settle(jid);
    if (!this.isTelling()) this.#check(this.#toCheck.shift());
    const deadlines = [...this.#returns.values()].map(({ until }) => until);
    const next = this.#toCheck.length > 0 ? now + BETWEEN_ROOMS : Math.min(...deadlines);
    if (next !== Number.POSITIVE_INFINITY) this.context.wakeAt(CHECK, next);
    return true;
  }

  #check(jid: string | undefined): void {
    const room = this.#rooms.get(jid ?? '');
    if (room === undefined) return;
    const { presence, rooms } = this.knowledge;
    const occupants = new Map<string, Buffer>();
    if (this.bringsBack()) {
      for (const occupant of presence.fullJidsOf(room.jid)) {
        const bytes = presence.latest(occupant)?.bytes;
        if (bytes !== undefined) occupants.set(occupant.slice(room.jid.length + 1), bytes);
      }
    }
    if (room.phase === 'lost') {
      this.#comeBack(room, room.occupants ?? occupants);
      return;
    }
    room.phase = 'checking';
    rooms.selfPing(room.jid, (verdict) => {
      if (this.#rooms.get(room.jid) !== room || room.phase !== 'checking') return;
      if (verdict === 'in') {
        room.phase = 'in';
        room.wasDown = false;
      } else if (verdict === 'unclear' && this.reach.links.isDown(domain(room.jid))) {
        room.phase = 'in';
      } else if (this.bringsBack()) this.#comeBack(room, occupants);
      else if (verdict === 'out') this.#forget(room.jid);
      else {
        room.phase = 'in';
        room.wasDown = false;
      }
    });
  }

  #comeBack(room: ForeignRoom, occupants: ReadonlyMap<string, Buffer>): void {
    const { context } = this;
    const { now } = context;
    const until = now + RETURN_TIME;
    room.phase = 'returning';
    room.occupants = occupants;
    this.#returns.set(room.jid, {
      occupants: new OccupantDifference(occupants),
      heard: room.recentKeys(),
      subject: room.subject,
      until,
      isIn: false,
    });
    const seconds = Math.ceil((now - room.heardAt) / 1000) + 1;
    const password = room.password === undefined ? '' : `<password>${escapeText(room.password)}</password>`;
    const x = `<x xmlns='${NS.muc}'>${password}<history seconds='${seconds}'/></x>`;
    const hello = this.knowledge.account.broadcast ?? Buffer.from('<presence/>');
    const presence = entering(hello, `${room.jid}/${room.nick}`, x);
    if (presence !== undefined) context.sendAsClient(presence, 'room-entered-again');
    context.wakeAt(CHECK, until);
  }

  /** A presence from a room. @param from prepared */
  presence(stanza: PassingStanza, from: string): Verdict {
    const jid = bare(from);
    const coming = this.#returns.get(jid);
    const room = this.#rooms.get(jid);
    if (coming === undefined || room === undefined || coming.isIn) return PASS;
    const { frame } = stanza;
    const nick = from.slice(jid.length + 1);
    if (frame.type === 'error') return this.#refused(room, stanza);
    if (frame.type !== undefined || nick === '') return PASS;
    const isNews = coming.occupants.isNews(nick, Buffer.from(frame.bytes()));
    if (this.knowledge.rooms.nickIn(jid) === nick) this.#isBack(room, coming, nick);
    return isNews ? PASS : KNOWN;
  }

  #isIn(room: ForeignRoom): void {
    room.phase = 'in';
    room.wasDown = false;
    room.occupants = undefined;
  }

  #isBack(room: ForeignRoom, coming: Return, nick: string): void {
    coming.isIn = true;
    for (const ghost of coming.occupants.ghosts(nick)) {
      const from = `${room.jid}/${ghost}`;
      this.knowledge.presence.forget(from);
      this.context.send('client', this.#unavailable(from, ''), 'room-difference-told');
    }
  }

  #refused(room: ForeignRoom, stanza: PassingStanza): Verdict {
    this.#returns.delete(room.jid);
    const condition = errorCondition(stanza.tree());
    if (saysUnreachable(condition)) {
      room.phase = 'lost';
      room.wasDown = true;
    } else {
      this.#forget(room.jid);
      // XEP-0045 §15.6.2: 333 is for what went wrong on the way.
      const codes = "<status code='110'/><status code='333'/>";
      const gone = this.#unavailable(`${room.jid}/${room.nick}`, codes);
      this.context.send('client', gone, 'room-difference-told');
    }
    return KNOWN;
  }

  #unavailable(from: string, codes: string): string {
    const to = escapeAttribute(this.context.identity.full);
    const item = `<item affiliation='none' role='none'/>${codes}`;
    return `<presence from='${escapeAttribute(from)}' to='${to}' type='unavailable'><x xmlns='${NS.mucUser}'>${item}</x></presence>`;
  }

  /** A groupchat message. */
  message(stanza: PassingStanza): Verdict {
    const { frame, now } = stanza;
    const from = prepareJid(frame.from ?? '');
    const room = from === undefined ? undefined : this.#rooms.get(bare(from));
    if (room === undefined) return PASS;
    const coming = this.#returns.get(room.jid);
    const verdict = coming === undefined ? PASS : this.#judge(room, coming, stanza);
    room.heard(frame, now);
    return verdict;
  }

  #judge(room: ForeignRoom, coming: Return, stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    if (isSubject(frame)) {
      if (!coming.isIn) return PASS;
      // What a room tells upon entering ends with its subject (XEP-0045 §7.2.1).
      this.#returns.delete(room.jid);
      return subjectOf(stanza.tree()) === (coming.subject ?? '') ? KNOWN_MESSAGE : PASS;
    }
    if (frame.findChild('delay', NS.delay) < 0) return PASS;
    return coming.heard.has(messageKey(stanza.tree())) ? KNOWN_MESSAGE : PASS;
  }

  /** All that the room had to tell has come, or will not. */
  #settle(jid: string): void {
    const coming = this.#returns.get(jid);
    const room = this.#rooms.get(jid);
    this.#returns.delete(jid);
    if (coming === undefined || coming.isIn || room === undefined || room.phase === 'in') return;
    room.phase = 'lost';
    room.wasDown = true;
  }
}
