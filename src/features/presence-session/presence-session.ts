import { bare, prepareJid, resource } from '../../jid.js';
import { type RoomsSession, rooms, roomsKey } from '../../knowledge/rooms/rooms.js';
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
import { NS } from '../../xml/namespaces.js';
import {
  capabilitiesProbe,
  capabilitiesProbeKey,
  type ProbeSession,
} from '../capabilities-probe/capabilities-probe.js';
import { isMarked } from './annotation.js';
import { type NativeRooms, nativeRoomsKey } from './native-rooms.js';
import { RoomSide } from './room-side.js';
import { presenceSessionSettings } from './settings.js';
import { FEATURE_NAME, isOutlived, StoredViews } from './stored-views.js';
import { readWish } from './wish.js';

const JOIN = 0;
const FROM_ROOM = 1;
const SAID = 2;
const ARCHIVED = 3;
const WATCHES: readonly Watch[] = [
  { direction: 'to-server', stanza: 'presence', types: [''], address: ['full'] },
  {
    direction: 'to-client',
    stanza: 'presence',
    types: ['', 'unavailable', 'error'],
    address: ['full', 'bare'],
  },
  { direction: 'to-client', stanza: 'message', types: ['groupchat'], address: ['full', 'bare'] },
  {
    direction: 'to-client',
    stanza: 'message',
    child: { namespace: NS.mam2, name: 'result' },
    address: ['bare'],
  },
  {
    direction: 'to-client',
    stanza: 'message',
    child: { namespace: NS.presenceSession },
    address: ['full', 'bare'],
  },
];

/**
 * MUC Fast Reconnect (XEP-0311) and MUC Presence Versioning (XEP-0436): whoever comes back to a room is told what has changed, and not everything.
 */
export class PresenceSessionSession implements FeatureSession {
  readonly #rooms: RoomsSession;
  readonly #probe: ProbeSession;
  readonly #native: NativeRooms;
  readonly #playsRooms: boolean;
  readonly #room: RoomSide;

  constructor(
    private readonly context: FeatureContext,
    snapshot?: string,
  ) {
    const settings = context.settings(presenceSessionSettings);
    this.#rooms = context.know(roomsKey);
    this.#probe = context.know(capabilitiesProbeKey);
    this.#native = context.domain.shared(nativeRoomsKey);
    this.#playsRooms = settings.playRoom;
    const views = new StoredViews(context, 'view', settings.bytesPerAccount, settings.age * 1_000);
    this.#room = new RoomSide(context, this.#rooms, views, settings);
    this.#rooms.onChange((change) => this.#room.changed(change));
    if (snapshot !== undefined) this.#room.restore(JSON.parse(snapshot));
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    const { frame } = stanza;
    if (watch === JOIN) return this.#joins(stanza);
    if (watch === ARCHIVED) return this.#room.fromArchive(stanza);
    const from = frame.from ?? '';
    const room = prepareJid(bare(from));
    if (room === undefined) return PASS;
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
    return this.#playsRooms ? { add: [NS.presenceSession, NS.presenceVersioning] } : undefined;
  }

  onLegDown(leg: 'client' | 'server'): void {
    if (leg === 'client') this.#room.write();
  }

  onWakeup(token: string): void {
    this.#room.wakeup(token);
  }

  snapshot(): string | undefined {
    const rooms = this.#room.snapshot();
    return rooms.length === 0 ? undefined : JSON.stringify(rooms);
  }

  onClose(): void {
    this.#room.close();
  }

  #joins(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const to = frame.to ?? '';
    const room = prepareJid(bare(to));
    const nick = resource(to);
    if (room === undefined || nick === undefined) return PASS;
    const wish = readWish(stanza);
    if (wish === undefined) {
      if (frame.findChild('x', NS.muc) >= 0) this.#room.notAsked(room);
      return PASS;
    }
    if (!this.#playsRooms || this.#isNative(room)) return PASS;
    return this.#room.asked(stanza, room, nick, wish);
  }

  /** Whether the room, or an Interstanza in front of it, speaks the protocol itself. */
  #isNative(room: string): boolean {
    const service = room.slice(room.indexOf('@') + 1);
    const { now } = this.context;
    if (this.#native.has(room, now) || this.#native.has(service, now)) return true;
    return this.#probe.mucServices().get(service)?.has(NS.presenceSession) === true;
  }
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
