import { bare, domain, prepareJid } from '../../jid.js';
import { account, accountKey } from '../../knowledge/account/account.js';
import { capabilities, capabilitiesKey } from '../../knowledge/capabilities/capabilities.js';
import { presence, presenceKey } from '../../knowledge/presence/presence.js';
import type { RoomChange } from '../../knowledge/rooms/room.js';
import { MAY_BE_IN_ROOMS, rooms, roomsKey } from '../../knowledge/rooms/rooms.js';
import { RosterReader, unsubscribedBy } from '../../knowledge/roster/roster-reader.js';
import {
  type Feature,
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import { commonInterestsKey, Interest } from '../../session/interests.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { annotationChildren, isAnnotated } from './annotation.js';
import { DirectedPresence, type DirectedSnapshot } from './directed.js';
import { hearOfLink } from './link-news.js';
import { OthersAnnotations } from './others-annotations.js';
import { Pause, readPauseNotice } from './pause.js';
import { Prober } from './prober.js';
import { Reach } from './reach.js';
import { Refresh } from './refresh.js';
import { RoomReturns } from './rejoin.js';
import { SETTINGS, type Settings } from './settings.js';
import { type SharedAnnotations, sharedKey } from './shared.js';
import { Viewer } from './viewer.js';

const PRESENCE_IN = 0;
const PRESENCE_OUT = 1;
const MESSAGE_IN = 2;
const ROSTER_PUSH = 3;
const IQ_IN = 4;
const ERROR_MESSAGE_IN = 6;
const ROOM_MESSAGE_IN = 7;
const ERROR_IQ_IN = 8;

/** Some link is in trouble: whatever comes from there is news for all sessions. */
const TROUBLE = new Interest('a link is in trouble');

const WATCHES: readonly Watch[] = [
  { direction: 'to-client', stanza: 'presence' },
  { direction: 'to-server', stanza: 'presence' },
  { direction: 'to-client', stanza: 'message', when: [TROUBLE] },
  { direction: 'to-client', stanza: 'iq', types: ['set'], child: { namespace: NS.roster, name: 'query' } },
  { direction: 'to-client', stanza: 'iq', when: [TROUBLE] },
  { direction: 'to-server', stanza: 'iq', types: ['get'], child: { namespace: NS.roster, name: 'query' } },
  { direction: 'to-client', stanza: 'message', types: ['error'] },
  { direction: 'to-client', stanza: 'message', types: ['groupchat'], when: [MAY_BE_IN_ROOMS] },
  { direction: 'to-client', stanza: 'iq', types: ['error'] },
];

/** What the next process has to know. */
interface Snapshot {
  readonly viewer?: true;
  readonly pause?: NonNullable<ReturnType<Pause['snapshot']>>;
  readonly directed?: DirectedSnapshot;
}

/**
 * Presence State Annotations (XEP-0310) for one session, both halves: for a client that has asked for them, the server's; for one that has
 * not, the client's.
 */
export class AnnotationsSession implements FeatureSession {
  readonly #settings: Settings;
  readonly #shared: SharedAnnotations;
  readonly #reach: Reach;
  readonly #ownDomain: string;
  readonly #ownFull: string;
  readonly #others: OthersAnnotations;
  readonly #prober: Prober;
  readonly #roster: RosterReader;
  readonly #directed: DirectedPresence;
  readonly #pause: Pause;
  readonly #refresh: Refresh;
  readonly #returns: RoomReturns;
  readonly #knowledge;
  #viewer: Viewer | undefined;
  #language: string | undefined;
  #isOver = false;

  constructor(
    private readonly context: FeatureContext,
    snapshot?: string,
  ) {
    const { identity } = context;
    const before = snapshot === undefined ? {} : (JSON.parse(snapshot) as Snapshot);
    this.#settings = context.settings(SETTINGS);
    const common = context.domain.shared(commonInterestsKey);
    this.#shared = context.domain
      .shared(sharedKey)
      .of(this.#settings, (isTrouble) => common.attend(TROUBLE, isTrouble));
    this.#ownDomain = prepareJid(identity.domain) ?? identity.domain;
    this.#ownFull = prepareJid(identity.full) ?? identity.full;
    this.#knowledge = {
      account: context.know(accountKey),
      presence: context.know(presenceKey),
      capabilities: context.know(capabilitiesKey),
      rooms: context.know(roomsKey),
    };
    this.#others = new OthersAnnotations(context, this.#settings, this.#ownDomain);
    this.#reach = new Reach(context, this.#shared);
    this.#prober = new Prober(context, this.#reach);
    this.#roster = new RosterReader(context);
    this.#directed = new DirectedPresence(before.directed);
    this.#refresh = new Refresh(context, this.#roster);
    this.#pause = new Pause(
      context,
      this.#shared,
      this.#settings,
      this.#ownFull,
      this.#knowledge,
      this.#directed,
      this.#roster,
      (occupant) => this.#viewer?.pend(occupant),
      before.pause,
    );
    this.#returns = new RoomReturns(
      context,
      this.#reach,
      this.#ownDomain,
      this.#knowledge,
      () => this.#viewer === undefined && this.#settings.rejoin,
      () => this.#viewer?.isTelling === true,
    );
    this.#knowledge.rooms.onChange((change) => this.#roomChanged(change));
    for (const room of this.#knowledge.rooms.joined()) {
      const nick = this.#knowledge.rooms.nickIn(room);
      if (nick !== undefined) this.#shared.occupancy.enter(room, nick, this.#pause);
    }
    this.#prober.start();
    if (before.viewer === true) this.#becomeViewer();
  }

  snapshot(): string | undefined {
    const pause = this.#pause.snapshot();
    const directed = this.#directed.snapshot();
    if (pause === undefined && directed === undefined && this.#viewer === undefined) return undefined;
    const snapshot: Snapshot = {
      ...(this.#viewer !== undefined && { viewer: true }),
      ...(pause !== undefined && { pause }),
      ...(directed !== undefined && { directed }),
    };
    return JSON.stringify(snapshot);
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    switch (watch) {
      case PRESENCE_IN:
        return this.#presenceIn(stanza);
      case PRESENCE_OUT:
        return this.#presenceOut(stanza);
      case MESSAGE_IN:
      case ERROR_MESSAGE_IN:
      case ROOM_MESSAGE_IN:
        return this.#messageIn(stanza);
      case ROSTER_PUSH:
        return this.#rosterPush(stanza);
      case IQ_IN:
      case ERROR_IQ_IN:
        this.#look(stanza);
        return PASS;
      default:
        this.#roster.clientAsks();
        return PASS;
    }
  }

  onWakeup(token: string, now: number): void {
    if (this.#isOver || this.#pause.wake(token, now) || this.#returns.wake(token, now)) return;
    if (this.#viewer?.wake(token, now) === true || this.#refresh.wake(token, now)) return;
    this.#prober.wake(token, now);
  }

  onTold(message: string, from: string): void {
    const isPaused = readPauseNotice(message);
    if (isPaused !== undefined) this.#viewer?.pausedElsewhere(prepareJid(from) ?? from, isPaused);
  }

  onLegDown(leg: 'client' | 'server', now: number): void {
    if (leg === 'server') this.#prober.stop();
    else this.#clientIsAway(true, now);
  }

  onLegUp(leg: 'client' | 'server', now: number): void {
    if (leg === 'client') this.#clientIsAway(false, now);
    else {
      const former = this.#reach.follow();
      if (former !== undefined) {
        this.#prober.stop(former);
        this.#viewer?.serverChanged(former, now);
        this.#returns.serverChanged(former, now);
      }
      this.#prober.start();
    }
  }

  /** XEP-0310 §4.2: by the client's own word, as BOSH has it (XEP-0124 §10). */
  onPause(isPaused: boolean, now: number): void {
    this.#clientIsAway(isPaused, now);
  }

  onClose(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { rooms } = this.#knowledge;
    for (const room of rooms.joined()) {
      const nick = rooms.nickIn(room);
      if (nick !== undefined) this.#shared.occupancy.leave(room, nick, this.#pause);
    }
    this.#pause.closed();
    this.#returns.close();
    this.#viewer?.close();
    this.#viewer = undefined;
    this.#prober.stop();
  }

  /** The one place where it is heard that the client is away for a while, whatever took it away, and that it is back. */
  #clientIsAway(isAway: boolean, now: number): void {
    if (this.#viewer !== undefined) this.#viewer.away = isAway;
    if (isAway) this.#pause.paused(now);
    else this.#pause.resumed(now);
  }

  #roomChanged(change: RoomChange): void {
    const { occupancy } = this.#shared;
    if (change.kind === 'joined') occupancy.enter(change.room, change.nick, this.#pause);
    else if (change.kind === 'left') occupancy.leave(change.room, change.nick, this.#pause);
    else if (change.kind === 'nick-changed') {
      occupancy.leave(change.room, change.from, this.#pause);
      occupancy.enter(change.room, change.to, this.#pause);
    }
    this.#returns.roomChanged(change);
  }

  // What comes.

  #presenceIn(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const { type } = frame;
    if (type === 'error') this.#look(stanza);
    const from = prepareJid(frame.from ?? '');
    if (from === undefined) return isAnnotated(frame) ? this.#others.remove(stanza) : PASS;
    // Subscriptions come out of the roster, and unavailable from a bare JID may be the own server's word for it.
    if (type === undefined || (type === 'unavailable' && bare(from) !== from))
      this.#reach.links.alive(domain(from), stanza.now);
    if (from === this.#ownFull && frame.lang !== undefined) this.#speaks(frame.lang);
    if (type === 'unavailable') this.#viewer?.gone(from);
    if (this.#returns.hasRooms) {
      const verdict = this.#returns.presence(stanza, from);
      if (verdict.action !== 'pass') return verdict;
    }
    if (isAnnotated(frame)) return this.#annotatedIn(stanza, from);
    if (type === undefined) this.#arrived(frame, from, false);
    return PASS;
  }

  #arrived(frame: Frame, from: string, theirs: boolean): void {
    const bareJid = bare(from);
    if (bareJid !== from) this.#viewer?.arrived(from, bareJid, domain(from), theirs, () => frame.toString());
  }

  #annotatedIn(stanza: PassingStanza, from: string): Verdict {
    const { frame } = stanza;
    const { verdict, says } = this.#others.judge(
      stanza,
      domain(from),
      this.#viewer !== undefined,
      this.#language,
    );
    if (frame.type === undefined) this.#arrived(frame, from, says !== undefined && says !== 'restored');
    return verdict;
  }

  #messageIn(stanza: PassingStanza): Verdict {
    this.#look(stanza);
    if (!this.#returns.hasRooms || !stanza.frame.attributeEquals('type', 'groupchat')) return PASS;
    return this.#returns.message(stanza);
  }

  #look(stanza: PassingStanza): void {
    hearOfLink(stanza, this.#reach.links, this.#ownDomain, this.context.serverKind);
  }

  #rosterPush(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const from = prepareJid(frame.from ?? '');
    // RFC 6121 §2.1.6: from anybody else it is no push.
    const isOwn = frame.from === undefined || from === bare(this.#ownFull);
    if (!isOwn) return PASS;
    for (const contact of unsubscribedBy(stanza.tree())) this.#pause.unsubscribed(contact);
    if (!this.#roster.answersPushes) return PASS;
    const id = frame.id === undefined ? '' : ` id='${escapeAttribute(frame.id)}'`;
    this.context.send('server', `<iq type='result'${id}/>`, 'roster-push-answered');
    return { action: 'handled', reason: 'roster-push-answered' };
  }

  // What the client sends.

  #presenceOut(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const { type } = frame;
    if (frame.to === undefined) {
      if (type === undefined) this.#directed.broadcast();
      else if (type === 'unavailable') this.#directed.wentUnavailable();
    } else {
      this.#directed.sent(frame);
      const to = prepareJid(frame.to);
      if (to !== undefined && type === 'unsubscribed') this.#pause.unsubscribed(bare(to));
      if (to !== undefined) this.#returns.clientSends(frame, to, () => stanza.tree());
    }
    if (type === undefined) {
      if (frame.lang !== undefined) this.#speaks(frame.lang);
      const announces = frame.findChild('c', NS.caps) >= 0 || frame.findChild('c', NS.caps2) >= 0;
      if (announces) this.#learnWhatClientHas();
    }
    if (!isAnnotated(frame)) return PASS;
    for (const child of annotationChildren(frame)) stanza.edit().removeChild(child);
    this.context.count('annotation-of-client-removed');
    return { action: 'edit', reason: 'annotation-of-client-removed' };
  }

  #speaks(language: string): void {
    this.#language = language;
    if (this.#viewer !== undefined) this.#viewer.language = language;
  }

  #learnWhatClientHas(): void {
    this.#knowledge.capabilities.want(this.#ownFull, (features) => {
      // Nothing is known of a client that does not answer: what it is stays.
      if (features === undefined || this.#isOver) return;
      if (features.has(NS.psa)) this.#becomeViewer();
      else {
        this.#viewer?.close();
        this.#viewer = undefined;
      }
    });
  }

  #becomeViewer(): void {
    if (this.#viewer !== undefined) return;
    this.#viewer = new Viewer(
      this.context,
      this.#shared,
      this.#reach,
      this.#settings,
      this.#knowledge.presence,
      this.#knowledge.rooms,
      this.#ownDomain,
      this.#ownFull,
      (contact) => {
        if (this.#settings.refresh) this.#refresh.wants(contact);
      },
    );
    this.#viewer.language = this.#language;
    if (this.#pause.isPaused) this.#viewer.away = true;
  }
}

/** XEP-0310. */
export const presenceAnnotations: Feature<AnnotationsSession> = {
  name: 'presence-annotations',
  watches: WATCHES,
  needs: [rooms, presence, capabilities, account],
  settings: SETTINGS,
  open: (context, snapshot) => new AnnotationsSession(context, snapshot),
};
