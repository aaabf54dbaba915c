import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import { capabilities } from '../../knowledge/capabilities/capabilities.js';
import { type RoomsSession, rooms, roomsKey } from '../../knowledge/rooms/rooms.js';
import {
  type Feature,
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
} from '../../session/feature.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { frameToElement } from '../../xml/tree.js';
import type { AccountBook } from './book.js';
import { Dormant } from './dormant.js';
import { Early, type EarlyMessage, type EarlyRecord } from './early.js';
import { Events } from './events.js';
import { Fetching } from './fetching.js';
import { GoingOn } from './going-on.js';
import { Groupchat, HELD, HIDDEN } from './groupchat.js';
import { type Handed, type HandedRecord, Handing, handedOf, recordsOf } from './handing.js';
import { Joining } from './joining.js';
import { pastOf } from './past.js';
import { RoomPatterns } from './patterns.js';
import { FEATURE_NAME, isOutlived } from './records.js';
import type { ReturnRecord } from './returning.js';
import { RoomFeatureQuestions } from './room-features.js';
import { SETTINGS, type Settings } from './settings.js';
import { shelfOf } from './shelf.js';
import { Showing } from './showing.js';
import { Speaking } from './speaking.js';
import { Subscribing } from './subscribing.js';
import { TakingBack } from './taking-back.js';
import { On, PLAYS, WATCHES } from './watches.js';
import { Whereabouts } from './whereabouts.js';

const READ = 'read';

/** What the next process has to know. */
interface Snapshot {
  readonly handed: readonly HandedRecord[];
  readonly returns: readonly ReturnRecord[];
  // Absent in what former versions wrote.
  /** What the process before that had on its way, and the client has not had. */
  readonly lost?: readonly HandedRecord[];
  /** What the client has had and has not been noted. */
  readonly had?: readonly HandedRecord[];
  readonly asked?: readonly string[];
  readonly early?: readonly EarlyRecord[];
}

/** Subscribes for a client that does not know MUC/Sub, and gives it what comes of that as what it knows; for one session. */
export class MucSubClientSession implements FeatureSession {
  readonly #book: AccountBook;
  readonly #settings: Settings;
  readonly #patterns: RoomPatterns;
  readonly #rooms: RoomsSession;
  readonly #features: RoomFeatureQuestions;
  readonly #subscribing: Subscribing;
  readonly #handing: Handing;
  readonly #showing: Showing;
  readonly #events: Events;
  readonly #speaking: Speaking;
  readonly #fetching: Fetching;
  readonly #joining: Joining;
  readonly #groupchat: Groupchat;
  readonly #whereabouts: Whereabouts;
  readonly #early: Early;
  #hasSwept = false;
  /** It is known what there is of the account, and what the client has had. */
  #isReady = false;
  /** What the client has acknowledged before. */
  readonly #had: Handed[] = [];
  /** What waits for the book. */
  #later: (() => void)[] = [];
  readonly #whenRead: () => void;

  constructor(
    private readonly context: FeatureContext,
    snapshot?: string,
  ) {
    const { identity, domain } = context;
    this.#settings = context.settings<Settings>(SETTINGS);
    this.#patterns = new RoomPatterns(this.#settings.rooms);
    this.#rooms = context.know(roomsKey);
    this.#book = shelfOf(domain).take(domain.name, prepareJid(identity.bare) ?? identity.bare);
    const name = this.#book.nameFor(identity);
    this.#features = new RoomFeatureQuestions(context);
    this.#handing = new Handing(context, this.#book, this.#settings, name);
    const shared = [context, this.#book, this.#settings, this.#features, this.#handing, name] as const;
    this.#showing = new Showing(...shared);
    const restored = snapshot === undefined ? undefined : (JSON.parse(snapshot) as Snapshot);
    this.#fetching = new Fetching(restored?.asked);
    this.#early = new Early(context, restored?.early);
    const isReady = () => this.#isReady && this.#groupchat.goingOn === undefined;
    this.#joining = new Joining(...shared, this.#showing, this.#fetching, isReady);
    this.#events = new Events(
      context,
      this.#book,
      this.#handing,
      this.#showing,
      this.#early,
      name,
      () => this.#isReady,
      (room) => this.#rooms.isRoom(room) === 'joined' && !this.#joining.isReturning(room),
      (room) => this.#concerns(room),
    );
    const said = [this.#features, this.#joining, this.#events, this.#showing] as const;
    this.#groupchat = new Groupchat(context, this.#book, ...said);
    this.#speaking = new Speaking(context, this.#book, this.#patterns, (what) => this.#soon(what));
    this.#subscribing = new Subscribing(
      context,
      this.#book,
      this.#features,
      (done) => this.#speaking.isAnnounced(done),
      (room) => this.#handing.save(room),
    );
    this.#whereabouts = new Whereabouts(
      context,
      this.#book,
      this.#patterns,
      this.#rooms,
      this.#handing,
      this.#joining,
      this.#groupchat,
      this.#early,
      this.#subscribing,
      (room) => this.#concerns(room),
      (what) => this.#soon(what),
    );
    this.#whenRead = () => context.wakeAt(READ, context.now);
    // Until it is known what there is.
    context.attend(PLAYS, true);
    if (restored !== undefined) this.#goesOn(restored);
    else if (this.#book.isRead) this.#begin();
    if (!this.#isReady) this.#load();
    context.wakeAt(READ, context.now);
  }

  /** The session is one of the process before. */
  #goesOn({ handed, returns, lost = [], had = [] }: Snapshot): void {
    this.#had.push(...handedOf(had));
    this.#handing.restore(handed);
    const output = {
      give: (...given: Parameters<Showing['give']>) => this.#showing.give(...given),
      pass: (room: string, tree: Element, bytes: Buffer) =>
        this.#groupchat.comesLate(room, tree, bytes, 'now'),
      done: () => {
        this.#groupchat.goingOn = undefined;
        for (const coming of this.#joining.returns()) coming.proceed();
      },
    };
    const doubtful = this.#handing.handed;
    const goingOn = new GoingOn(this.context, this.#book, output, handedOf(lost), doubtful);
    this.#groupchat.goingOn = goingOn;
    this.#joining.resume(returns);
    this.#whereabouts.goesOn();
  }

  // The account's book.

  #read(): void {
    if (this.#book.isRead) this.#begin();
    else this.#load();
    if (this.#isReady && !this.#hasSwept) this.#sweep();
  }

  #load(): void {
    const { context } = this;
    this.#book.whenRead(this.#whenRead);
    context.store.load(this.#book.prefix, (entries) => {
      const keepMs = this.#settings.keepSeconds * 1_000;
      const useless = this.#book.learn(entries, context.wallClock(), keepMs);
      if (useless.length > 0) context.store.write(useless);
      this.#begin();
    });
  }

  /** It is known what there is. */
  #begin(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    // What the client has had it has said by now.
    const lost = this.#handing.lost();
    this.#groupchat.goingOn?.hasLost(lost);
    this.#showing.resent = lost.filter(({ isOurs }) => !isOurs);
    for (const had of this.#had.splice(0)) this.#handing.had(had);
    for (const each of this.#later.splice(0)) each();
    this.#groupchat.goingOn?.begin();
    this.#early.end((message) => this.#comesLate(message));
    for (const coming of this.#joining.returns()) coming.proceed();
    this.context.attend(PLAYS, !this.#patterns.isEmpty || this.#book.subscribed().length > 0);
  }

  #comesLate({ kind, room, xml, stay }: EarlyMessage): void {
    const { context } = this;
    if (kind === 'event') {
      this.#events.comesLate(xml);
      return;
    }
    const frame = parseStanza(xml, context.namespaces);
    if ('condition' in frame) return;
    if (this.#concerns(room)) this.#groupchat.comesLate(room, frameToElement(frame), xml, stay);
    else context.send('client', xml, 'mucsub-client-held');
  }

  #soon(what: () => void): void {
    if (this.#isReady) what();
    else this.#later.push(what);
  }

  /** Ends what the configuration does not want any more, and what nobody has been back to. */
  #sweep(): void {
    this.#hasSwept = true;
    const now = this.context.wallClock();
    for (const { jid, subscription, inside } of this.#book.subscribed()) {
      const isAbsent =
        now - subscription!.joinedAt > this.#settings.absenceSeconds * 1_000 && inside.size === 0;
      if (!this.#patterns.has(jid) || isAbsent) this.#subscribing.end(jid);
    }
  }

  /** Whether a room is one that clients are subscribed to for. */
  #concerns(room: string): boolean {
    return this.#book.isRead && this.#book.leavesAlone(room) ? false : this.#patterns.has(room);
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    switch (watch) {
      case On.Join: {
        const room = prepareJid(bare(stanza.frame.to ?? ''));
        return room !== undefined && this.#concerns(room) ? this.#joining.joins(stanza, room) : PASS;
      }
      case On.Speaks:
        this.#speaking.asks(stanza);
        return PASS;
      case On.Lists:
        this.#speaking.lists(stanza);
        return PASS;
      case On.Fetches: {
        const room = prepareJid(stanza.frame.to ?? '');
        if (room !== undefined && this.#concerns(room)) this.#fetching.asks(room, stanza.tree());
        return PASS;
      }
      case On.Event:
        return this.#events.event(stanza);
      case On.Archived:
        return this.#archived(stanza);
      case On.Copied:
        return this.#events.copied(stanza);
      default:
        return this.#said(stanza);
    }
  }

  onWakeup(token: string): void {
    if (token === READ) {
      this.#read();
      return;
    }
    this.#joining.wake(token);
  }

  hidesArchived(message: Element): boolean {
    return this.#events.hides(message);
  }

  onReceived(tokens: readonly string[]): void {
    const had = this.#handing.received(tokens.at(-1) ?? '');
    if (this.#isReady) for (const each of had) this.#handing.had(each);
    else this.#had.push(...had);
  }

  onLegDown(leg: 'client' | 'server'): void {
    if (leg !== 'client') return;
    this.#showing.isAway = true;
    this.#handing.park();
  }

  onLegUp(leg: 'client' | 'server'): void {
    if (leg === 'client') this.#showing.isAway = false;
  }

  snapshot(): string | undefined {
    const returns = this.#joining.returns().flatMap((coming) => coming.suspend() ?? []);
    const { goingOn } = this.#groupchat;
    const handed = recordsOf(this.#handing.handed);
    const lost = recordsOf(goingOn?.open ?? []);
    const had = recordsOf(this.#had);
    const early = [...(goingOn?.waiting ?? []), ...this.#early.snapshot()];
    const { asked } = this.#fetching;
    const { inside } = this.#whereabouts;
    if ([inside, handed, lost, had, returns, asked, early].every(({ length }) => length === 0))
      return undefined;
    const snapshot: Snapshot = { handed, lost, had, returns, asked, early };
    return JSON.stringify(snapshot);
  }

  onClose(): void {
    const book = this.#book;
    this.#whereabouts.close();
    book.forgetReader(this.#whenRead);
    shelfOf(this.context.domain).putBack(book);
  }

  // What rooms send.

  /** A groupchat message. */
  #said(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const room = prepareJid(bare(frame.from ?? ''));
    if (room === undefined || !this.#concerns(room)) return PASS;
    const state = this.#rooms.isRoom(room);
    // It may have left, and be told still what was said before.
    const isIn = state === 'joined' || state === 'was';
    if (this.#isReady) return this.#groupchat.comes(room, stanza.tree(), frame.bytes(), isIn);
    const stay = isIn ? 'now' : 'before';
    return this.#early.holds({ kind: 'said', room, xml: frame.bytes(), stay }) ? HELD : PASS;
  }

  /** A message out of an archive. */
  #archived(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const from = prepareJid(frame.from ?? this.#book.account);
    if (from === undefined) return PASS;
    if (from === this.#book.account) return this.#events.archived(stanza);
    if (!this.#concerns(from)) return PASS;
    const tree = stanza.tree();
    if (this.#joining.of(from)?.takes(tree) === true) return HELD;
    // COMPAT: what a session has asked for that ended before it was answered, ejabberd sends to the next one.
    return this.#fetching.takes(from, tree) ? PASS : HIDDEN;
  }
}

/** Of a domain in which no rooms are named and never were. */
const NOTHING: FeatureSession = {};

/** Switched off. */
const takingBack: Feature = {
  name: FEATURE_NAME,
  watches: [],
  settings: SETTINGS,
  open: (context) => (pastOf(context.domain).hasSubscribed === false ? NOTHING : new TakingBack(context)),
};

export const mucsubClient: Feature = {
  name: FEATURE_NAME,
  watches: WATCHES,
  needs: [rooms, capabilities],
  settings: SETTINGS,
  whenOff: takingBack,
  isOutlived,
  open: (context, snapshot) => {
    const wake = () => new MucSubClientSession(context, snapshot);
    const isOff = context.settings<Settings>(SETTINGS).rooms.length === 0;
    if (!isOff || snapshot !== undefined) return wake();
    return pastOf(context.domain).hasSubscribed === false ? NOTHING : new Dormant(context, wake);
  },
};
