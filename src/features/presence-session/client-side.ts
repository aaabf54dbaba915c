import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { readLimits, withinLimits } from '../../knowledge/rooms/history-limits.js';
import type { RoomChange } from '../../knowledge/rooms/room.js';
import { SILENT_CAUSES } from '../../knowledge/rooms/signals.js';
import { type FeatureContext, PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import { type Frame, StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, serializeElement } from '../../xml/serialize.js';
import { Splice } from '../../xml/splice.js';
import { writeTime } from '../../xml/times.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { strip, withLastChild } from './annotation.js';
import { type CachedRoom, entering, type Joining, type Mark } from './cached-room.js';
import { Digest, isModerator, showsAddresses } from './digest.js';
import { stripped } from './held-join.js';
import { readStamp } from './history.js';
import { RoomCache } from './room-cache.js';
import type { PresenceSessionSettings } from './settings.js';
import type { StoredViews } from './stored-views.js';
import { WaitingStanzas } from './waiting-stanzas.js';

/** Name of an account's cache of a room in the store: there is one. */
const CACHE = 'room';
const SAVING_TIME = 60_000;
/** Behind the own presence what was missed is there within so many ms. */
const MESSAGES_TIME = 5_000;
const MOST_ROOMS = 200;
const SAVE = 'save-caches';

/**
 * The client's half for one session of a client that does not know the protocol: enters rooms with it, keeps what they say, and gives the client an
 * ordinary join made of what is kept and what has changed.
 */
export class ClientSide {
  readonly #rooms = new LateMap<string, CachedRoom>();
  /** Behind joins whose cache is being read. */
  readonly #waiting = new WaitingStanzas();
  #entering: string | undefined;
  #leaving: string | undefined;
  #saves = false;
  readonly #digest = new Digest('');

  constructor(
    private readonly context: FeatureContext,
    private readonly caches: StoredViews,
    private readonly settings: PresenceSessionSettings,
  ) {}

  /** The rooms that it has entered, for the next process; what is kept of them is written. */
  snapshot(): readonly string[] {
    this.write();
    return [...this.#rooms.keys()];
  }

  /** Goes on where another process has stopped: the room goes on marking. Nothing more is kept until the client enters again. */
  restore(rooms: readonly string[]): void {
    for (const room of rooms) this.#rooms.set(room, { ...entering(room), isWhole: false });
  }

  plays(room: string): boolean {
    return this.#rooms.has(room);
  }

  /** Whether what the client sends to a room has to wait. */
  get waits(): boolean {
    return this.#waiting.any;
  }

  /** The client enters a room that knows the protocol, or may. */
  joins(stanza: PassingStanza, room: string): Verdict {
    const known = this.#rooms.get(room);
    if (known?.joining === undefined && known?.cache.at !== undefined) {
      // In the room already, it wants to be told everything.
      this.#resume(stanza.edit(), stanza.frame, stanza.tree(), known);
      return { action: 'edit', reason: 'presence-session-asked' };
    }
    if (known !== undefined || this.#rooms.size >= MOST_ROOMS) return PASS;
    const entered: CachedRoom = { ...entering(room), namespaces: stanza.frame.namespaces };
    this.#rooms.set(room, entered);
    const join = stanza.frame.detach();
    const tree = stanza.tree();
    let isNow = true;
    let edited = false;
    this.#waiting.begin(room);
    this.caches.load(room, CACHE, (value) => {
      const cache = value === undefined ? undefined : RoomCache.decode(value);
      if (cache !== undefined) entered.cache = cache;
      const splice = isNow ? stanza.edit() : new Splice(join);
      if (cache === undefined) splice.appendChild(`<presence-session xmlns='${NS.presenceSession}'/>`);
      else this.#resume(splice, join, tree, entered);
      const behind = this.#waiting.end(room);
      if (isNow) {
        edited = true;
        return;
      }
      this.context.send('server', splice.toBuffer(), 'presence-session-asked');
      for (const xml of behind) this.context.send('server', xml, 'presence-session-asked');
    });
    isNow = false;
    return { action: edited ? 'edit' : 'handled', reason: 'presence-session-asked' };
  }

  /** A stanza of the client's to a room or somebody in it. */
  toRoom(stanza: PassingStanza, room: string): Verdict {
    if (!this.#waiting.takes(room, stanza.frame)) return PASS;
    return { action: 'handled', reason: 'presence-session-held' };
  }

  changed(change: RoomChange): void {
    const room = this.#rooms.get(change.room);
    if (room === undefined) return;
    switch (change.kind) {
      case 'joined':
      case 'nick-changed':
        this.#entering = change.room;
        break;
      case 'join-failed':
        room.joining = undefined;
        this.#rooms.delete(change.room);
        break;
      case 'left':
        if (SILENT_CAUSES.has(change.cause)) this.#over(room);
        else this.#leaving = change.room;
        break;
      default:
    }
  }

  /** A presence or groupchat message from a room. @param nick '' for the room itself */
  fromRoom(stanza: PassingStanza, jid: string, nick: string): Verdict {
    const isSelf = this.#entering === jid;
    const isEnd = this.#leaving === jid;
    this.#entering = undefined;
    this.#leaving = undefined;
    const room = this.#rooms.get(jid);
    const { frame } = stanza;
    if (room === undefined || frame.type === 'error') return PASS;
    room.namespaces = frame.namespaces;
    if (isSelf) room.nick = nick;
    const isPresence = frame.kind === StanzaKind.Presence;
    const tree =
      isPresence && frame.findChild('presence-session', NS.presenceSession) < 0 ? undefined : stanza.tree();
    // What an occupant has put in stands in front of what the room says, and is no word of the room's.
    const element = tree?.getChildren('presence-session', NS.presenceSession).at(-1);
    const isTruncated = nick === '' && element?.attrs.type === 'truncated';
    const { session, id } = (element?.attrs ?? {}) as Partial<Mark>;
    const mark = session === undefined || id === undefined ? undefined : { session, id };
    const verdict = isPresence
      ? this.#presence(stanza, room, nick, isSelf, mark)
      : this.#message(stanza, room, tree!, isTruncated);
    if (mark !== undefined && room.isWhole) {
      room.cache.at = mark;
      this.#changed(room);
    }
    if (isEnd) this.#over(room);
    return verdict;
  }

  /** A marked message that is no groupchat: XEP-0311 §4.3 does not say of what type the room is to tell of a gap. */
  notSaid(stanza: PassingStanza, jid: string, nick: string): Verdict {
    const element = stanza.tree().getChild('presence-session', NS.presenceSession);
    if (nick !== '' || element?.attrs.type !== 'truncated') return this.#stripped(stanza);
    this.#rooms.get(jid)?.cache.forgetMessages();
    return { action: 'handled', reason: 'presence-session-held' };
  }

  wakeup(token: string): void {
    if (token === SAVE) {
      this.#saves = false;
      this.write();
      return;
    }
    const [kind, jid = ''] = token.split(' ');
    const room = this.#rooms.get(jid);
    if (room?.joining === undefined) return;
    if (kind === 'messages' && room.joining.self !== undefined) this.#complete(room, room.joining);
    else if (kind === 'self' && room.joining.self === undefined) this.#giveUp(room, room.joining);
  }

  write(): void {
    for (const room of this.#rooms.values()) if (room.dirty && room.joining === undefined) this.#write(room);
  }

  #over(room: CachedRoom): void {
    if (room.joining === undefined) this.#write(room);
    this.#rooms.delete(room.jid);
  }

  close(): void {
    for (const room of [...this.#rooms.values()]) this.#over(room);
  }

  #write(room: CachedRoom): void {
    room.dirty = false;
    if (room.cache.at !== undefined)
      this.caches.save(room.jid, CACHE, room.cache.encode(this.caches.expires));
  }

  #changed(room: CachedRoom): void {
    room.dirty = true;
    if (room.cache.bytes > this.settings.bytesPerAccount) {
      // More than may be kept: the next join is a first one.
      this.#forget(room);
      this.context.count('room-view-over-budget');
    }
    if (this.#saves) return;
    this.#saves = true;
    this.context.wakeAt(SAVE, this.context.now + SAVING_TIME);
  }

  #forget(room: CachedRoom): void {
    room.cache = new RoomCache();
    room.isWhole = false;
    room.dirty = false;
    this.caches.remove(room.jid, CACHE);
  }

  /** Asks for what has changed; the client will be told everything. */
  #resume(splice: Splice, frame: Frame, tree: Element, room: CachedRoom): void {
    const { session, id } = room.cache.at!;
    const x = tree.getChild('x', NS.muc);
    const limits = readLimits(x);
    const at = frame.findChild('x', NS.muc);
    if (at >= 0 && x !== undefined) {
      // What the client does not want to hear is kept all the same: else there would be a gap in it.
      for (const history of x.getChildren('history')) x.remove(history);
      const most = String(this.settings.history.most);
      splice.removeChild(at).appendChild(serializeElement(x.c('history', { maxstanzas: most }).up()));
    }
    room.joining = {
      limits,
      before: [],
      bytes: 0,
      self: undefined,
      subject: undefined,
      live: [],
      liveKept: 0,
    };
    splice.appendChild(
      `<presence-session xmlns='${NS.presenceSession}' type='resume' session='${escapeAttribute(session)}' id='${escapeAttribute(id)}'/>`,
    );
    this.context.wakeAt(`self ${room.jid}`, this.context.now + this.settings.answerTime * 1_000);
  }

  #presence(
    stanza: PassingStanza,
    room: CachedRoom,
    nick: string,
    isSelf: boolean,
    mark: Mark | undefined,
  ): Verdict {
    const { frame } = stanza;
    const { joining } = room;
    const { cache } = room;
    const isGone = frame.type === 'unavailable';
    const xml = stripped(frame);
    if (
      joining !== undefined &&
      joining.self === undefined &&
      mark === undefined &&
      !isSelf &&
      nick === '' &&
      isGone
    ) {
      // A clean join follows.
      cache.forgetOccupants();
      cache.forgetMessages();
      cache.moderator = false;
      cache.at = undefined;
      return { action: 'handled', reason: 'presence-session-held' };
    }
    if (mark === undefined && cache.at !== undefined) {
      // The room does not say any more where one is: what is kept would not be of one moment.
      this.#forget(room);
    } else if (mark !== undefined && room.isWhole) {
      if (isGone) cache.gone(nick);
      else cache.presence(nick, xml);
      if (nick === room.nick && !isGone) this.#role(room, stanza, isSelf);
    }
    if (joining === undefined) return this.#stripped(stanza);
    if (joining.self !== undefined) {
      // Something changes while what was said is being told.
      return this.#stripped(stanza);
    }
    joining.before.push(xml);
    joining.bytes += xml.length;
    if (joining.bytes > this.settings.heldBytes) this.#giveUp(room, joining);
    else if (isSelf) {
      joining.self = xml;
      if (mark === undefined) this.#giveUp(room, joining);
      else this.#tellOccupants(room, nick, xml);
    }
    return { action: 'handled', reason: 'presence-session-held' };
  }

  #message(stanza: PassingStanza, room: CachedRoom, tree: Element, isTruncated: boolean): Verdict {
    const { cache, joining } = room;
    if (isTruncated) {
      // There is a gap behind what is kept.
      cache.forgetMessages();
      return { action: 'handled', reason: 'presence-session-held' };
    }
    const xml = stripped(stanza.frame);
    const stamp = readStamp(tree);
    const isOld = !Number.isNaN(stamp);
    const isSubject = tree.getChild('subject') !== undefined && tree.getChild('body') === undefined;
    const isKept = !isSubject && (isOld || String(tree.attrs.from).includes('/'));
    if (isKept) {
      const now = this.context.wallClock();
      const delay = `<delay xmlns='${NS.delay}' from='${escapeAttribute(room.jid)}' stamp='${writeTime(now)}'/>`;
      cache.said(isOld ? { xml, stamp } : { xml: withLastChild(xml, delay), stamp: now });
    }
    if (joining?.self === undefined) return this.#stripped(stanza);
    if (isSubject) {
      joining.subject = xml;
      this.#complete(room, joining);
    } else if (!isOld) {
      joining.live.push(xml);
      if (isKept) joining.liveKept += 1;
    }
    return { action: 'handled', reason: 'presence-session-held' };
  }

  /** What a moderator was shown is neither kept nor told past the role. @param enters with this presence the room confirms a join */
  #role(room: CachedRoom, stanza: PassingStanza, enters: boolean): void {
    const { cache, joining } = room;
    const moderator = isModerator(this.#digest.presence(stanza.frame).flags);
    if (cache.moderator && !moderator) {
      if (joining === undefined) {
        this.#forget(room);
        return;
      }
      // A join is being told from what is kept: it is seen to when the room confirms.
      if (!enters) return;
      // XEP-0311 does not ask the room to begin anew, and asked from within for everything not every room answers.
      if (!showsAddresses(stanza.tree())) cache.hideAddresses();
    }
    cache.moderator = moderator;
  }

  /** The room has confirmed: everybody who is kept, and then the client itself. */
  #tellOccupants(room: CachedRoom, own: string, self: Buffer): void {
    for (const [nick, xml] of room.cache.occupants) if (nick !== own) this.#give(room, xml);
    this.#give(room, self);
    room.joining!.before = [];
    this.context.count('presence-session-resumed');
    // What was missed is there when the room has answered once more.
    this.context.wakeAt(`messages ${room.jid}`, this.context.now + MESSAGES_TIME);
    const { joining } = room;
    // About nothing that there is: every room answers, and shortly, since this crosses the thin link.
    const payload = `<query xmlns='${NS.discoInfo}' node='end'/>`;
    this.context.request({ leg: 'server', type: 'get', to: room.jid, payload }, (answer) => {
      if (room.joining !== joining || joining === undefined || answer.kind === 'refused') return;
      if (answer.kind !== 'leg-lost') this.#complete(room, joining);
    });
  }

  #complete(room: CachedRoom, joining: Joining): void {
    room.joining = undefined;
    const now = this.context.wallClock();
    const { messages } = room.cache;
    // What is said meanwhile is kept already, and told behind the subject.
    const before = messages.slice(0, messages.length - joining.liveKept);
    for (const { xml } of withinLimits(
      before,
      { maxstanzas: this.settings.history.default, ...joining.limits },
      now,
      ({ stamp }) => stamp,
    )) {
      this.#give(room, xml);
    }
    if (joining.subject !== undefined) this.#give(room, joining.subject);
    for (const xml of joining.live) this.#give(room, xml);
  }

  /** The room does not do what it should: the client is given what has come, as it came. */
  #giveUp(room: CachedRoom, joining: Joining): void {
    room.joining = undefined;
    this.#forget(room);
    this.context.count('presence-session-passed-on');
    for (const xml of joining.before) this.#give(room, xml);
  }

  /** To this resource, although it may have been kept for another. */
  #give(room: CachedRoom, xml: Buffer): void {
    const frame = parseStanza(xml, room.namespaces!);
    if ('condition' in frame) return;
    const { full } = this.context.identity;
    const bytes = frame.to === full ? xml : new Splice(frame).setAttribute('to', full).toBuffer();
    this.context.send('client', bytes, 'presence-session-cached');
  }

  #stripped(stanza: PassingStanza): Verdict {
    if (!strip(stanza.frame, stanza.edit())) return PASS;
    return { action: 'edit', reason: 'presence-session-stripped' };
  }
}
