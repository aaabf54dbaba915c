import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { withinLimits } from '../../knowledge/rooms/history-limits.js';
import type { FeatureContext } from '../../session/feature.js';
import type { Reason } from '../../session/reasons.js';
import type { Frame } from '../../xml/frame.js';
import { type NamespaceTable, NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import type { Splice } from '../../xml/splice.js';
import { writeTime } from '../../xml/times.js';
import {
  type Dialect,
  gonePresence,
  markedPresence,
  markMessage,
  markPresence,
  resetPresence,
  sessionMark,
  truncatedMessage,
  type Wish,
  withLastChild,
} from './annotation.js';
import type { WantedHistory } from './ask-room.js';
import { type Difference, difference, liveDifference } from './difference.js';
import { affiliationOf, isModerator, ROLES } from './digest.js';
import { type Arrival, type HeldJoin, stripped } from './held-join.js';
import { type Missed, merged, missedAfter, type RoomMessage, readMessage } from './history.js';
import { MessageTrail } from './message-trail.js';
import type { Occupants } from './occupants.js';
import { View } from './view.js';

/** How many messages a client is given at the most. */
interface HistorySettings {
  readonly most: number;
  readonly default: number;
}

/** A room's configuration says anew who sees real addresses (XEP-0045 §10.2.1): what was shown before is not what one would be shown. */
const VISIBILITY_CODES: ReadonlySet<string> = new Set(['172', '173', '174']);

/** By so many ms the room's clock and that of the proxy may differ before a message is taken for one of before. */
const CLOCKS_APART = 120_000;

type Sent = Pick<RoomMessage, 'xml' | 'stamp'> & { readonly mark: RoomMessage['mark'] | undefined };

/** One room that a session is annotated in. */
export class PlayedRoom {
  /** A client comes back, and the room's answer is not complete. */
  held: HeldJoin | undefined;
  /** Something was shown that is not written down. */
  dirty = true;
  /** When it was, as the clock of events has it. */
  writtenAt = Number.NEGATIVE_INFINITY;
  /** The view of a process before is being read. */
  restoring = false;
  /** The last own presence and subject, without marks. */
  #self: Buffer | undefined;
  #subject: Buffer | undefined;
  #namespaces: NamespaceTable | undefined;
  /** The client has been told to begin anew before the room has confirmed, and what it may have missed is not known. */
  #isBehind = false;
  /** What was shown while the view is being read. */
  #later: ((view: View) => void)[] = [];

  constructor(
    private readonly context: FeatureContext,
    readonly jid: string,
    /** The session's own, as written. */
    public nick: string,
    readonly dialect: Dialect,
    public view: View,
  ) {}

  /** Marks a presence that passes. @param nick '' for the room itself @param enters the session is in from now on */
  presence(frame: Frame, splice: Splice, nick: string, enters: boolean): void {
    this.dirty = true;
    this.#namespaces = frame.namespaces;
    const id = this.#next();
    markPresence(frame, splice, this.dialect, this.view.session, id);
    const isSelf = enters || nick === this.nick;
    if (enters) this.nick = nick;
    if (frame.type === 'unavailable') {
      if (nick !== '') this.#note((view) => view.gone(nick, id));
      return;
    }
    if (enters && this.#isBehind) {
      this.#isBehind = false;
      if (this.dialect === 'session') this.#sendTruncated();
      this.view.catchesUp(id + 1);
    }
    const xml = stripped(frame);
    const begins = isSelf && this.#self === undefined && !this.restoring;
    if (isSelf) this.#self = xml;
    const kept = this.restoring ? frame.detach() : frame;
    const entered = this.#self !== undefined;
    this.#note((view) => {
      view.here(nick, kept, id, entered && !isSelf ? xml : undefined);
      if (!isSelf) return;
      const { flags } = view.digest.presence(kept);
      if (begins) view.begin(flags);
      else view.self(flags, id);
    });
  }

  /** Marks a groupchat message that passes. */
  message(frame: Frame, splice: Splice, tree: Element): void {
    this.dirty = true;
    const id = this.#next();
    markMessage(frame, splice, this.dialect, this.view.session, id);
    const xml = stripped(frame);
    const wall = this.context.wallClock();
    const changesVisibility = tree
      .getChildren('x', NS.mucUser)
      .some((x) => x.getChildren('status').some(({ attrs }) => VISIBILITY_CODES.has(String(attrs.code))));
    const message = readMessage(tree, xml, this.view.digest, this.jid);
    if (message.isSubject) this.#subject = xml;
    this.#note((view) => {
      if (changesVisibility) view.visibilityChanged();
      if (message.isSubject) return;
      const at = Number.isNaN(message.stamp) ? wall : message.stamp;
      if (message.hasBody && isSaid(tree)) view.trail.add(id, message.mark, at);
      view.said(id, xml, at);
    });
  }

  /** The view of a process before has been read; undefined: it is lost. */
  restored(view: View | undefined): void {
    const { last } = this.view;
    if (view === undefined) this.view.giveUp();
    else this.view = view;
    this.view.continueAt(last);
    this.restoring = false;
    for (const shown of this.#later.splice(0)) shown(this.view);
  }

  // Somebody comes back while the session is in the room.

  /** Whether all that a client has to be told is at hand. */
  resumesAtOnce(wish: Wish, nick: string): boolean {
    const { view } = this;
    const { session, id } = wish.resume!;
    return (
      session === view.session &&
      wish.dialect === this.dialect &&
      nick === this.nick &&
      !this.restoring &&
      !view.isOutdated &&
      this.#self !== undefined &&
      this.#namespaces !== undefined &&
      isKnown(view, id) &&
      view.log.floor <= id
    );
  }

  /** Tells a client that has had the stanzas up to `id` what it does not know. @param session the name of the view that begins */
  resumeAtOnce(id: number, session: string): void {
    const former = this.view;
    const { left, changed } = liveDifference(former, id, this.nick);
    const shown = former.log.after(id);
    const presences = new Map(shown.filter(({ isMessage }) => !isMessage).map((each) => [each.id, each.xml]));
    const rows = changed.map((row) => ({
      nick: former.occupants.nick(row),
      xml: presences.get(former.occupants.changed(row)),
    }));
    const messages = shown.filter(({ isMessage }) => isMessage);
    const trail = former.trail.upTo(id);
    const marks = messages.map((shown) => former.trail.markOf(shown.id));
    this.view = View.after(former, session, trail, former.occupants.rebased(), former.missedSince(id));
    this.view.begin((former.moderator ? ROLES.indexOf('moderator') : 0) << 3);
    this.dirty = true;
    this.writtenAt = Number.NEGATIVE_INFINITY;
    for (const { nick, flags } of left) this.#sendGone(nick, flags);
    for (const { nick, xml } of rows) {
      if (xml !== undefined) this.view.again(nick, xml, this.#sendPresence(xml));
    }
    this.view.again(this.nick, this.#self!, this.#sendPresence(this.#self!));
    messages.forEach(({ xml, at }, index) => {
      const delay = `<delay xmlns='${NS.delay}' from='${escapeAttribute(this.jid)}' stamp='${writeTime(at)}'/>`;
      const delayed = xml.includes(NS.delay) ? xml : withLastChild(xml, delay);
      this.#sendMessage({ xml: delayed, mark: marks[index], stamp: at });
    });
    this.view.catchesUp(this.view.last);
    if (this.#subject !== undefined) this.#sendSubject(this.#subject);
  }

  // Somebody comes back, and the room was entered anew.

  /** Whether the room's own history leaves open whether something was said that it has not. */
  wantsArchive(held: HeldJoin): boolean {
    if (this.dialect !== 'session' || !this.#isResumable(held)) return false;
    return this.missingSince(held) !== undefined && !this.#missed(held).complete;
  }

  /**
   * What of the room's history tells what a client has missed: from the last message on that it has had or, where that is not known, the newest.
   * @param most messages when it is not known
   * @returns undefined: what the client itself wants
   */
  wantedHistory({ old, wish }: HeldJoin, most: number): WantedHistory | undefined {
    const id = wish.resume?.id ?? Number.NaN;
    if (this.dialect === 'version' || old === undefined || !isKnown(old, id)) return undefined;
    const said = old.trail.lastSaid(id);
    return said === undefined ? { maxstanzas: String(most) } : { since: writeTime(said - CLOCKS_APART) };
  }

  /** From when on the client may have missed something; ms since 1970. Undefined: that is not known. */
  missingSince({ old, wish }: HeldJoin): number | undefined {
    return old?.missedSince(wish.resume?.id ?? 0);
  }

  /** Answers with the difference or, where there is none or it would be more, with all. @returns whether with the difference */
  answer(held: HeldJoin, history: HistorySettings): boolean {
    const { old, self } = held;
    if (self === undefined) throw new Error('a join is answered before the room has confirmed it');
    const { namespaces } = held;
    this.held = undefined;
    this.#namespaces = namespaces;
    const resumable = this.#isResumable(held);
    const news = resumable ? this.#difference(held) : undefined;
    const trail = resumable ? old?.trail.upTo(held.wish.resume!.id) : undefined;
    const known = news === undefined ? undefined : this.#knownAfter(old!, news, held);
    const since = resumable ? this.missingSince(held) : undefined;
    const view = View.after(old, this.view.session, trail ?? new MessageTrail(), known, since);
    this.view = view;
    this.dirty = true;
    const all = [...held.others.values()];
    if (news === undefined) {
      this.#sendReset();
      for (const each of all) this.#arrive(each);
    } else {
      for (const { nick, flags } of news.left) this.#sendGone(nick, flags);
      for (const each of news.changed) this.#arrive(each);
    }
    this.#self = Buffer.from(self.xml);
    this.#arrive(self);
    view.begin(self.flags);
    this.#sendMessages(held, resumable, history);
    return news !== undefined;
  }

  /** What has come is given to the client as a full join, although it may not be all; the rest will pass. */
  passOn(held: HeldJoin, history: HistorySettings): void {
    this.held = undefined;
    this.#namespaces = held.namespaces;
    this.view = View.after(held.old, this.view.session, new MessageTrail());
    this.dirty = true;
    this.#sendReset();
    for (const each of held.others.values()) this.#arrive(each);
    // Messages come behind the own presence, so that there are none yet.
    this.#isBehind = held.self === undefined;
    if (held.self === undefined) return;
    this.#self = Buffer.from(held.self.xml);
    this.#arrive(held.self);
    this.view.begin(held.self.flags);
    this.#sendMessages(held, false, history);
  }

  /** Those whom a client knows that is told of a difference to `old`. */
  #knownAfter(old: View, news: Difference<Arrival>, held: HeldJoin): Occupants {
    const known = old.occupants.rebased();
    for (const { row, spelledLo, spelledHi } of held.others.values()) {
      if (row >= 0) known.respell(row, spelledLo, spelledHi);
    }
    for (const nick of news.absent) known.remove(nick);
    return known;
  }

  #isResumable(held: HeldJoin): boolean {
    const { old, wish, self, created } = held;
    const id = wish.resume?.id ?? Number.NaN;
    if (old === undefined || self === undefined || created || !isKnown(old, id)) return false;
    // In a semi-anonymous room a moderator is shown more, and somebody who was one would keep it.
    return old.moderator === isModerator(self.flags);
  }

  /** @returns undefined when a fresh join is less, in stanzas or bytes (XEP-0311 §4.2) */
  #difference(held: HeldJoin): Difference<Arrival> | undefined {
    const now = [...held.others.values()];
    const found = difference(held.old!, held.wish.resume!.id, now, held.self!.nick);
    const stanzas = found.left.length + found.changed.length;
    // The reset counts, the own presence is on both sides.
    if (stanzas > now.length + 1) return undefined;
    const extra = sessionMark(this.view.session, 1_000).length;
    const { full } = this.context.identity;
    const one = gonePresence(this.dialect, `${this.jid}/`, full, 'member', this.view.session, 1_000).length;
    const gone = found.left.reduce((sum, { nick }) => sum + nick.length + one, 0);
    const size = (arrivals: readonly Arrival[]): number =>
      arrivals.reduce((sum, { xml }) => sum + xml.length + extra, 0);
    return gone + size(found.changed) > size(now) + this.jid.length + 80 ? undefined : found;
  }

  #missed(held: HeldJoin): Missed {
    const all = merged(held.archive ?? [], held.history);
    const { old, wish } = held;
    return missedAfter(all, old!.trail, wish.resume!.id, this.missingSince(held), held.archiveReachesBack);
  }

  #sendMessages(held: HeldJoin, resumable: boolean, history: HistorySettings): void {
    if (this.dialect === 'version') {
      for (const message of held.history) this.#sendMessage(message);
    } else {
      const missed = resumable ? this.#missed(held) : { messages: held.history, complete: false };
      const most = resumable ? Number.POSITIVE_INFINITY : history.default;
      const sent = withinLimits(
        missed.messages,
        { maxstanzas: most, ...held.limits },
        this.context.wallClock(),
        ({ stamp }) => stamp,
      );
      // What the client did not want it will not have missed the next time, if it has heard that there was something.
      const unsent = missed.messages.slice(0, missed.messages.length - sent.length);
      for (const { mark, stamp } of unsent) this.view.trail.add(this.view.last + 1, mark, stamp);
      const isTruncated = !missed.complete || unsent.length > 0;
      if (isTruncated) this.#sendTruncated();
      for (const message of sent) this.#sendMessage(message);
      this.view.catchesUp(isTruncated && sent.length === 0 ? this.view.last + 1 : this.view.last);
    }
    if (held.subject !== undefined) {
      this.#subject = held.subject.xml;
      this.#sendSubject(held.subject.xml);
    }
    for (const message of held.live) this.#sendMessage(message);
  }

  #arrive(arrival: Arrival): void {
    // Whether the client knew of it is not kept: it might be told of its leaving without need, and never miss it.
    this.view.occupants.put(arrival.nick, arrival, this.#sendPresence(arrival.xml));
  }

  /** @returns the number it was sent under */
  #sendPresence(xml: Buffer): number {
    const id = this.#next();
    this.#send(markedPresence(xml, this.#namespaces!, this.dialect, this.view.session, id));
    return id;
  }

  #sendGone(nick: string, flags: number): void {
    const id = this.#next();
    const { full } = this.context.identity;
    const { dialect, view } = this;
    const affiliation = affiliationOf(flags);
    this.#send(
      Buffer.from(gonePresence(dialect, `${this.jid}/${nick}`, full, affiliation, view.session, id)),
    );
    view.depart({ nick, flags, appeared: 0, id });
  }

  #sendReset(): void {
    const { full } = this.context.identity;
    this.#send(Buffer.from(resetPresence(this.dialect, this.jid, full, this.view.session)));
  }

  #sendMessage({ xml, mark, stamp }: Sent): void {
    const { view } = this;
    const id = this.#next();
    this.#sendMarked(xml, id);
    if (mark === undefined) return;
    const at = Number.isNaN(stamp) ? this.context.wallClock() : stamp;
    view.trail.add(id, mark, at);
    view.said(id, xml, at);
  }

  #sendTruncated(): void {
    this.#send(Buffer.from(truncatedMessage(this.jid, this.context.identity.full)));
  }

  #sendSubject(xml: Buffer): void {
    this.#sendMarked(xml, this.#next());
  }

  #sendMarked(xml: Buffer, id: number): void {
    this.#send(this.dialect === 'session' ? withLastChild(xml, sessionMark(this.view.session, id)) : xml);
  }

  #send(xml: Buffer, reason: Reason = 'presence-session-annotated'): void {
    this.context.send('client', xml, reason);
  }

  #next(): number {
    return this.view.next(this.context.wallClock());
  }

  #note(shown: (view: View) => void): void {
    if (this.restoring) this.#later.push(shown);
    else shown(this.view);
  }
}

/** Whether what somebody knows who has had the stanzas up to `id` can be told from the view. */
function isKnown(view: View, id: number): boolean {
  return Number.isInteger(id) && id >= view.floor && id <= view.last && id >= 0;
}

/** Said by an occupant: what the room itself says (COMPAT mu-conference: its name) is no part of its history. */
function isSaid(message: Element): boolean {
  return String(message.attrs.from ?? '').includes('/');
}
