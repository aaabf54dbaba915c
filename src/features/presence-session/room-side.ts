import { readLimits } from '../../knowledge/rooms/history-limits.js';
import type { RoomChange } from '../../knowledge/rooms/room.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import { SILENT_CAUSES } from '../../knowledge/rooms/signals.js';
import { type FeatureContext, PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import { StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { Splice } from '../../xml/splice.js';
import { isMarked, strip, type Wish } from './annotation.js';
import { ArchiveQuestions } from './archive-questions.js';
import { askRoom, withoutJoin } from './ask-room.js';
import { HeldJoin } from './held-join.js';
import { LostRooms } from './lost-rooms.js';
import { MessageTrail } from './message-trail.js';
import { PlayedRoom } from './played-room.js';
import type { PresenceSessionSettings } from './settings.js';
import type { StoredViews } from './stored-views.js';
import { View } from './view.js';
import { decodeView, encodeView } from './view-codec.js';
import { SAVE, ViewSaving } from './view-saving.js';
import { WaitingStanzas } from './waiting-stanzas.js';

/** Behind the own presence the rest of a join is there within so many ms, also where nothing says that it is over. */
const QUIET_TIME = 5_000;
/** Rooms of one session that are played; a client that asks in more is not annotated in them. */
const MOST_ROOMS = 200;

/** Rooms that the session is annotated in, for the next process. */
export interface PlayedSnapshot {
  readonly room: string;
  readonly nick: string;
  readonly session: string;
  readonly last: number;
  readonly dialect: Wish['dialect'];
}

/** The room's half of the protocol for one session: annotates, and answers those who come back (XEP-0311 §4). */
export class RoomSide {
  readonly #rooms = new LateMap<string, PlayedRoom>();
  /** Rooms that the stanza in hand has put the session out of, and whether there is no such room any more. */
  readonly #leaving = new LateMap<string, { readonly destroyed: boolean }>();
  readonly #lost = new LostRooms();
  /** Rooms whose own presence is the stanza in hand. */
  readonly #entering = new LateMap<string, { readonly created: boolean }>();
  readonly #saving: ViewSaving;
  /** Behind joins whose view is being read. */
  readonly #waiting = new WaitingStanzas();
  readonly #archives: ArchiveQuestions;

  constructor(
    private readonly context: FeatureContext,
    private readonly known: RoomsSession,
    private readonly views: StoredViews,
    private readonly settings: PresenceSessionSettings,
  ) {
    this.#saving = new ViewSaving(context, views, () => this.#rooms.values());
    this.#archives = new ArchiveQuestions(context, settings.history.most);
  }

  /** What has to be known to go on in another process; the views themselves are written. */
  snapshot(): readonly PlayedSnapshot[] {
    this.#saving.all();
    return [...this.#rooms.values()]
      .filter((room) => room.held === undefined)
      .map(({ jid, nick, view, dialect }) => {
        const { session, last } = view;
        return { room: jid, nick, session, last, dialect };
      });
  }

  /** Goes on where another process has stopped. */
  restore(snapshots: readonly PlayedSnapshot[]): void {
    for (const { room: jid, nick, session, last, dialect } of snapshots) {
      const room = new PlayedRoom(this.context, jid, nick, dialect, View.empty(session));
      room.view.continueAt(last);
      room.restoring = true;
      this.#rooms.set(jid, room);
      this.views.load(jid, session, (value) => {
        const view = value === undefined ? undefined : decodeView(session, value);
        room.restored(view);
        if (this.#rooms.get(jid) === room) this.#enters(room);
      });
    }
  }

  /** Whether the session is annotated in a room. */
  plays(room: string): boolean {
    return this.#rooms.has(room);
  }

  /**
   * A client enters a room and asks for the protocol.
   * @param room prepared bare JID @param nick as written
   */
  asked(stanza: PassingStanza, room: string, nick: string, wish: Wish): Verdict {
    this.#lost.take(room);
    const playing = this.#rooms.get(room);
    const inside = this.known.nickIn(room) !== undefined;
    if (playing === undefined && this.#rooms.size >= MOST_ROOMS) return this.#declined(stanza);
    if (wish.resume === undefined) {
      if (playing !== undefined) this.#leaves(playing);
      // COMPAT mu-conference says only the own presence to somebody who enters again.
      const before = inside ? playing?.view : undefined;
      const session = this.#newSession(before?.session);
      const view = View.after(undefined, session, new MessageTrail(), before?.occupants.rebased());
      this.#enters(new PlayedRoom(this.context, room, nick, wish.dialect, view));
      askRoom(stanza.frame, stanza.edit(), stanza.tree(), undefined);
      return { action: 'edit', reason: 'presence-session-asked' };
    }
    if (inside && playing?.held === undefined && playing?.resumesAtOnce(wish, nick) === true) {
      const presence = withoutJoin(stanza.frame, stanza.edit());
      this.context.send('server', presence, 'presence-session-asked');
      this.context.count('presence-session-resumed');
      // The client may have to name it once more.
      this.#leaves(playing);
      playing.resumeAtOnce(wish.resume.id, this.#newSession(wish.resume.session));
      this.#enters(playing);
      this.#saving.soon();
      return { action: 'handled', reason: 'presence-session-asked' };
    }
    return this.#comesBack(stanza, room, nick, wish, inside);
  }

  /** Whether what the client sends to a room has to wait. */
  get waits(): boolean {
    return this.#waiting.any;
  }

  /** A stanza of the client's to a room or somebody in it. */
  toRoom(stanza: PassingStanza, room: string): Verdict {
    if (!this.#waiting.takes(room, stanza.frame)) return PASS;
    return { action: 'handled', reason: 'presence-session-held' };
  }

  /** A feature enters a room again for a client that does not know that it was put out: as if it came back from where it was. */
  broughtBack(stanza: PassingStanza, room: string, nick: string): Verdict {
    const wish = this.#lost.take(room);
    return wish === undefined ? PASS : this.#comesBack(stanza, room, nick, wish, false);
  }

  /** A client enters a room without asking for the protocol. */
  notAsked(room: string): void {
    this.#lost.take(room);
    const playing = this.#rooms.get(room);
    if (playing === undefined) return;
    if (playing.held !== undefined && this.#isWaiting(playing.held)) {
      // Its first join has not been sent, and need not be.
      this.#leaves(playing);
      for (const xml of this.#waiting.end(room)) this.context.send('server', xml, 'presence-session-asked');
      return;
    }
    if (playing.held !== undefined) this.#passOn(playing);
    this.#leaves(playing);
  }

  /** What rooms knowledge has seen in the stanza in hand, which this feature sees next. */
  changed(change: RoomChange): void {
    const room = this.#rooms.get(change.room);
    if (room === undefined) return;
    switch (change.kind) {
      case 'joined':
        this.#entering.set(change.room, { created: change.created });
        break;
      case 'nick-changed':
        room.nick = change.to;
        this.#entering.set(change.room, { created: false });
        break;
      case 'join-failed':
        if (room.held?.expectsOwnLeaving === true && change.condition === undefined) break;
        this.#leaves(room);
        break;
      case 'left':
        if (room.held?.expectsOwnLeaving === true) break;
        if (change.cause === 'not-an-occupant') this.#lost.note(room);
        if (SILENT_CAUSES.has(change.cause)) this.#leaves(room);
        else this.#leaving.set(change.room, { destroyed: change.cause === 'destroyed' });
        break;
      default:
    }
  }

  /** A presence or groupchat message from a room. @param room prepared @param nick as written, '' for the room itself */
  fromRoom(stanza: PassingStanza, room: string, nick: string): Verdict {
    const entering = this.#entering.get(room);
    const leaving = this.#leaving.get(room);
    this.#entering.clear();
    this.#leaving.clear();
    const playing = this.#rooms.get(room);
    const { frame } = stanza;
    if (playing === undefined || frame.type === 'error') return this.stripped(stanza);
    if (playing.held !== undefined) return this.#hold(stanza, playing, playing.held, nick, entering);
    const isPresence = frame.kind === StanzaKind.Presence;
    if (isPresence) playing.presence(frame, stanza.edit(), nick, entering !== undefined);
    else playing.message(frame, stanza.edit(), stanza.tree());
    this.#saving.later();
    if (leaving?.destroyed === true) this.#forgets(playing);
    else if (leaving !== undefined) this.#leaves(playing);
    return { action: 'edit', reason: 'presence-session-annotated' };
  }

  /** A result of an archive that was asked from here. */
  fromArchive(stanza: PassingStanza): Verdict {
    return this.#archives.takes(stanza) ? { action: 'handled', reason: 'presence-session-held' } : PASS;
  }

  wakeup(token: string): void {
    if (token === SAVE) {
      this.#saving.due();
      return;
    }
    const [kind, jid = ''] = token.split(' ');
    const room = this.#rooms.get(jid);
    if (room?.held === undefined) return;
    if (kind === 'quiet') {
      if (!room.held.awaits('self') && room.held.has('end')) this.#complete(room, room.held);
    } else if (room.held.awaits('self')) this.#passOn(room);
    else this.#settle(room, room.held);
  }

  /** The client is away: what it has been shown is written down. */
  write(): void {
    this.#saving.all();
  }

  /** The session is over. */
  close(): void {
    for (const room of [...this.#rooms.values()]) this.#leaves(room);
  }

  #enters(room: PlayedRoom): void {
    this.#rooms.set(room.jid, room);
    if (room.held !== undefined || room.restoring) return;
    const { view } = room;
    this.views.isLive(room.jid, view.session, () => encodeView(view, this.views.expires));
  }

  /** The session is not annotated in it any more, or not by this view. */
  #leaves(room: PlayedRoom): void {
    if (room.held === undefined && room.view.last > 0) this.#saving.write(room);
    this.views.isOver(room.jid, room.view.session);
    this.#rooms.delete(room.jid);
  }

  /** There is no such room any more, and one of its name is another. */
  #forgets(room: PlayedRoom): void {
    const { session, former } = room.view;
    this.views.isOver(room.jid, session);
    this.#rooms.delete(room.jid);
    for (const gone of former === undefined ? [session] : [session, former])
      this.views.remove(room.jid, gone);
  }

  #newSession(former?: string): string {
    const key = former === undefined ? this.context.randomId().slice(0, 8) : View.keyOf(former);
    return View.sessionName(key, this.context.randomId());
  }

  #comesBack(stanza: PassingStanza, room: string, nick: string, wish: Wish, inside: boolean): Verdict {
    const resume = wish.resume!;
    const isName = /^[\w-]{5,40}$/.test(resume.session);
    const key = isName ? View.keyOf(resume.session) : this.context.randomId().slice(0, 8);
    const limits = readLimits(stanza.tree().getChild('x', NS.muc));
    const held = new HeldJoin(room, nick, wish, limits, key);
    const session = View.sessionName(key, this.context.randomId());
    const playing = new PlayedRoom(this.context, room, nick, wish.dialect, View.empty(session));
    const before = this.#rooms.get(room);
    if (before !== undefined) this.#leaves(before);
    playing.held = held;
    this.#enters(playing);
    // COMPAT mu-conference tells of the others only to somebody who was outside; what a remote room does is not known.
    held.expectsOwnLeaving = inside;
    // The view says from when on the room's history is wanted: the join waits for it.
    let isNow = true;
    let isEdited = false;
    const { frame } = stanza;
    const tree = stanza.tree();
    const join = frame.detach();
    this.#waiting.begin(room);
    const goesOn = (view: View | undefined): void => {
      if (playing.held !== held || this.#rooms.get(room) !== playing) return;
      held.old = view;
      held.has('view');
      // The client has had some of this view: it will not name the one before any more.
      if (view?.former !== undefined) this.views.remove(room, view.former);
      const edits = isNow && !inside;
      const splice = edits ? stanza.edit() : new Splice(join);
      askRoom(edits ? frame : join, splice, tree, playing.wantedHistory(held, this.settings.history.most));
      isEdited = edits;
      if (inside) {
        const leaving = `<presence to='${escapeAttribute(`${room}/${nick}`)}' type='unavailable'/>`;
        this.context.send('server', leaving, 'presence-session-asked');
      }
      if (!edits) this.context.send('server', splice.toBuffer(), 'presence-session-asked');
      this.#awaitEnd(playing, held);
      for (const xml of this.#waiting.end(room)) this.context.send('server', xml, 'presence-session-asked');
    };
    if (isName) {
      this.views.load(room, resume.session, (value) => {
        if (value === undefined) this.context.count('room-view-unknown');
        goesOn(value === undefined ? undefined : decodeView(resume.session, value));
      });
    } else goesOn(undefined);
    isNow = false;
    return { action: isEdited ? 'edit' : 'handled', reason: 'presence-session-asked' };
  }

  /** Whether the room has not been asked yet. */
  #isWaiting(held: HeldJoin): boolean {
    return held.awaits('view');
  }

  /** Asks the room what it is, behind the join: what the join brings has come when it answers, and what it is has to be known. */
  #awaitEnd(room: PlayedRoom, held: HeldJoin): void {
    this.context.wakeAt(`answer ${room.jid}`, this.context.now + this.settings.answerTime * 1_000);
    const payload = `<query xmlns='${NS.discoInfo}'/>`;
    this.context.request({ leg: 'server', type: 'get', to: room.jid, payload }, (answer) => {
      if (room.held !== held || answer.kind === 'leg-lost') return;
      // Whoever does not answer is given the time in which it usually is over.
      if (answer.kind !== 'result' && answer.kind !== 'error') return;
      if (answer.kind === 'result') {
        const features = answer.iq.getChild('query', NS.discoInfo)?.getChildren('feature') ?? [];
        held.hasArchive = features.some(({ attrs }) => attrs.var === NS.mam2);
      }
      if (held.has('end')) this.#complete(room, held);
    });
  }

  #hold(
    stanza: PassingStanza,
    room: PlayedRoom,
    held: HeldJoin,
    nick: string,
    entering: { readonly created: boolean } | undefined,
  ): Verdict {
    const { frame } = stanza;
    const isPresence = frame.kind === StanzaKind.Presence;
    const isOwn = entering !== undefined || (frame.type === 'unavailable' && nick === held.nick);
    if (isPresence && frame.type === 'unavailable' && isOwn && !held.expectsOwnLeaving) {
      // Out again before it was all there.
      this.#passOn(room);
      this.#leaves(room);
      this.context.send('client', frame.bytes(), 'presence-session-passed-on');
      return { action: 'handled', reason: 'presence-session-held' };
    }
    if (isPresence) held.presence(frame, nick, entering !== undefined);
    else held.message(frame, stanza.tree());
    if (held.bytes > this.settings.heldBytes) this.#passOn(room);
    else if (entering !== undefined) {
      held.created = entering.created;
      held.expectsOwnLeaving = false;
      this.context.wakeAt(`quiet ${room.jid}`, this.context.now + QUIET_TIME);
      if (held.has('self')) this.#complete(room, held);
    }
    return { action: 'handled', reason: 'presence-session-held' };
  }

  /** Everything is there but perhaps what only the archive has. */
  #complete(room: PlayedRoom, held: HeldJoin): void {
    if (room.held !== held || !held.complete) return;
    if (!held.hasArchive || held.archive !== undefined || !room.wantsArchive(held)) {
      this.#settle(room, held);
      return;
    }
    const since = room.missingSince(held) ?? this.context.wallClock();
    this.#archives.ask(held, since, () => this.#settle(room, held));
  }

  #settle(room: PlayedRoom, held: HeldJoin): void {
    if (room.held !== held) return;
    const resumed = room.answer(held, this.settings.history);
    this.context.count(resumed ? 'presence-session-resumed' : 'presence-session-reset');
    this.#enters(room);
    this.#saving.soon();
  }

  /** The room takes too long, or says too much: the client is given what has come, as a full join, and the rest as it comes. */
  #passOn(room: PlayedRoom): void {
    if (room.held === undefined) return;
    this.context.count('presence-session-passed-on');
    room.passOn(room.held, this.settings.history);
    this.#enters(room);
    this.#saving.soon();
  }

  #declined(stanza: PassingStanza): Verdict {
    strip(stanza.frame, stanza.edit());
    return { action: 'edit', reason: 'presence-session-stripped' };
  }

  /** Takes out what an occupant wants to pass for the room's. */
  stripped(stanza: PassingStanza): Verdict {
    if (!isMarked(stanza.frame)) return PASS;
    strip(stanza.frame, stanza.edit());
    return { action: 'edit', reason: 'presence-session-stripped' };
  }
}
