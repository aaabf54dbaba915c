import { bare, prepareJid, resource } from '../../jid.js';
import { MAY_BE_IN_ROOMS, type RoomsSession, rooms, roomsKey } from '../../knowledge/rooms/rooms.js';
import {
  type DiscoAmendment,
  type DiscoAnswer,
  type Feature,
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import { Interest } from '../../session/interests.js';
import { NS } from '../../xml/namespaces.js';
import {
  capabilitiesProbe,
  capabilitiesProbeKey,
  type ProbeSession,
} from '../capabilities-probe/capabilities-probe.js';
import { isMarked } from './annotation.js';
import { ClientSide } from './client-side.js';
import { type NativeRooms, nativeRoomsKey } from './native-rooms.js';
import { type PlayedSnapshot, RoomSide } from './room-side.js';
import { type PresenceSessionSettings, presenceSessionSettings } from './settings.js';
import { FEATURE_NAME, isOutlived, StoredViews } from './stored-views.js';
import { readWish } from './wish.js';

const JOIN = 0;
const FROM_ROOM = 1;
const SAID = 2;
const ARCHIVED = 3;
const MARKED = 4;
/** The client has entered a room for which what it sends may have to wait. */
const JOIN_MAY_WAIT = new Interest('a join to a room may be waiting');

const WATCHES: readonly Watch[] = [
  { direction: 'to-server', stanza: 'presence', types: [''], address: ['full'] },
  {
    direction: 'to-client',
    stanza: 'presence',
    types: ['', 'unavailable', 'error'],
    address: ['full', 'bare'],
    when: [MAY_BE_IN_ROOMS],
  },
  {
    direction: 'to-client',
    stanza: 'message',
    types: ['groupchat'],
    address: ['full', 'bare'],
    when: [MAY_BE_IN_ROOMS],
  },
  {
    direction: 'to-client',
    stanza: 'message',
    child: { namespace: NS.mam2, name: 'result' },
    address: ['bare'],
    when: [MAY_BE_IN_ROOMS],
  },
  {
    direction: 'to-client',
    stanza: 'message',
    child: { namespace: NS.presenceSession },
    address: ['full', 'bare'],
    when: [MAY_BE_IN_ROOMS],
  },
  {
    direction: 'to-server',
    stanza: 'presence',
    types: ['unavailable'],
    address: ['full', 'bare'],
    when: [JOIN_MAY_WAIT],
  },
  { direction: 'to-server', stanza: 'message', address: ['full', 'bare'], when: [JOIN_MAY_WAIT] },
  { direction: 'to-server', stanza: 'iq', address: ['full', 'bare'], when: [JOIN_MAY_WAIT] },
];

/** What the next process has to know. */
interface Snapshot {
  /** Rooms that are played. */
  readonly played: readonly PlayedSnapshot[];
  /** Rooms that the client's half is played in. */
  readonly entered: readonly string[];
}

/**
 * MUC Fast Reconnect (XEP-0311) and MUC Presence Versioning (XEP-0436): whoever comes back to a room is told what has changed, and not everything.
 */
export class PresenceSessionSession implements FeatureSession {
  readonly #rooms: RoomsSession;
  readonly #probe: ProbeSession;
  readonly #native: NativeRooms;
  readonly #settings: PresenceSessionSettings;
  readonly #room: RoomSide;
  readonly #client: ClientSide;

  constructor(
    private readonly context: FeatureContext,
    snapshot?: string,
  ) {
    const settings = context.settings(presenceSessionSettings);
    this.#rooms = context.know(roomsKey);
    this.#probe = context.know(capabilitiesProbeKey);
    this.#native = context.domain.shared(nativeRoomsKey);
    this.#settings = settings;
    const views = new StoredViews(context, 'view', settings.bytesPerAccount, settings.age * 1_000);
    this.#room = new RoomSide(context, this.#rooms, views, settings);
    const caches = new StoredViews(context, 'cache', settings.bytesPerAccount, settings.age * 1_000);
    this.#client = new ClientSide(context, caches, settings);
    this.#rooms.onChange((change) => {
      this.#room.changed(change);
      this.#client.changed(change);
    });
    if (snapshot === undefined) return;
    const { played, entered } = JSON.parse(snapshot) as Snapshot;
    this.#room.restore(played);
    this.#client.restore(entered);
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    const { frame } = stanza;
    if (watch === JOIN) return this.#joins(stanza);
    if (watch > MARKED) return this.#behindJoin(stanza);
    if (watch === ARCHIVED) return this.#room.fromArchive(stanza);
    const from = frame.from ?? '';
    const room = bareOf(from);
    if (this.#client.plays(room)) {
      const nick = resource(from) ?? '';
      return watch === MARKED
        ? this.#client.notSaid(stanza, room, nick)
        : this.#client.fromRoom(stanza, room, nick);
    }
    if (!this.#room.plays(room)) {
      // What claims to be the room's own word must not come from an occupant.
      if (!isMarked(frame) || this.#isNative(room) || this.#rooms.isRoom(room) === 'unknown') return PASS;
      return this.#room.stripped(stanza);
    }
    if (watch === FROM_ROOM || watch === SAID) return this.#room.fromRoom(stanza, room, resource(from) ?? '');
    return this.#room.stripped(stanza);
  }

  onDisco(answer: DiscoAnswer): DiscoAmendment | undefined {
    if (answer.entity !== 'muc-service' && answer.entity !== 'muc-room') return undefined;
    if (answer.node !== undefined) return undefined;
    if (answer.features.has(NS.presenceSession)) {
      this.#native.note(answer.from, this.context.now);
      return undefined;
    }
    this.#native.forget(answer.from);
    return this.#settings.playRoom ? { add: [NS.presenceSession, NS.presenceVersioning] } : undefined;
  }

  onLegDown(leg: 'client' | 'server'): void {
    if (leg !== 'client') return;
    this.#room.write();
    this.#client.write();
  }

  onWakeup(token: string): void {
    this.#room.wakeup(token);
    this.#client.wakeup(token);
  }

  snapshot(): string | undefined {
    const snapshot: Snapshot = { played: this.#room.snapshot(), entered: this.#client.snapshot() };
    return snapshot.played.length + snapshot.entered.length === 0 ? undefined : JSON.stringify(snapshot);
  }

  onClose(): void {
    this.#room.close();
    this.#client.close();
  }

  #joins(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const to = frame.to ?? '';
    const room = bareOf(to);
    const nick = resource(to);
    if (nick === undefined) return PASS;
    // Nothing but what it was annotated in needs to go on: for others the room's own answer is enough.
    if (stanza.isOurs) return this.#room.broughtBack(stanza, room, nick);
    const wish = readWish(stanza);
    if (wish === undefined) {
      if (frame.findChild('x', NS.muc) < 0) return this.#behindJoin(stanza);
      this.#room.notAsked(room);
      if (!this.#mayPlayClient(room)) return PASS;
      this.context.attend(JOIN_MAY_WAIT, true);
      return this.#client.joins(stanza, room);
    }
    if (!this.#settings.playRoom || this.#isNative(room)) return PASS;
    if (wish.resume !== undefined) this.context.attend(JOIN_MAY_WAIT, true);
    return this.#room.asked(stanza, room, nick, wish);
  }

  /** What the client sends to a room keeps its place behind the join. */
  #behindJoin(stanza: PassingStanza): Verdict {
    if (!this.#room.waits && !this.#client.waits) {
      this.context.attend(JOIN_MAY_WAIT, false);
      return PASS;
    }
    const room = bareOf(stanza.frame.to);
    const verdict = this.#room.toRoom(stanza, room);
    return verdict === PASS ? this.#client.toRoom(stanza, room) : verdict;
  }

  #mayPlayClient(room: string): boolean {
    const { playClient } = this.#settings;
    if (playClient === 'off') return false;
    if (this.#isNative(room)) return true;
    return playClient === 'speculative' && !this.#probe.mucServices().has(room.slice(room.indexOf('@') + 1));
  }

  /** Whether the room, or an Interstanza in front of it, speaks the protocol itself. */
  #isNative(room: string): boolean {
    const service = room.slice(room.indexOf('@') + 1);
    const { now } = this.context;
    if (this.#native.has(room, now) || this.#native.has(service, now)) return true;
    return this.#probe.mucServices().get(service)?.has(NS.presenceSession) === true;
  }
}

/** The bare JID in an address, prepared; '' for what is none. */
function bareOf(address: string | undefined): string {
  return prepareJid(bare(address ?? '')) ?? '';
}

export const presenceSession: Feature<PresenceSessionSession> = {
  name: FEATURE_NAME,
  watches: WATCHES,
  needs: [rooms, capabilitiesProbe],
  amendsDisco: true,
  settings: presenceSessionSettings,
  isOutlived,
  open: (context, snapshot) => new PresenceSessionSession(context, snapshot),
};
