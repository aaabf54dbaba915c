import { domain, formatJid, type Jid, parseJid, prepareJid } from '../../jid.js';
import {
  type FeatureContext,
  type FeatureSession,
  type IqAnswer,
  type Knowledge,
  KnowledgeKey,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import { Interest } from '../../session/interests.js';
import { LateMap } from '../../session/late.js';
import { NS } from '../../xml/namespaces.js';
import { type Asked, Room, type RoomChange, type RoomState } from './room.js';
import {
  errorCondition,
  judgeSelfPing,
  mayConcernSelf,
  roomSignals,
  type SelfPingVerdict,
} from './signals.js';

/** Addresses one session keeps track of; beyond that the one that matters least is forgotten. */
export const TRACKED_ROOMS = 1_000;
/** Domains with forgotten rooms that are told apart; beyond that any address may be a room's. */
const FORGOTTEN_DOMAINS = 64;
/** Pings of the client's own that may be waiting for an answer. */
const OPEN_PINGS = 32;

const PRESENCE_OUT = 0;
const BROADCAST_UNAVAILABLE = 1;
const PRESENCE_IN = 2;
const PING_OUT = 3;
const WATCHES: readonly Watch[] = [
  { direction: 'to-server', stanza: 'presence', types: ['', 'unavailable'], address: ['full', 'bare'] },
  { direction: 'to-server', stanza: 'presence', types: ['unavailable'], address: ['account'] },
  {
    direction: 'to-client',
    stanza: 'presence',
    types: ['', 'unavailable', 'error'],
    address: ['full', 'bare'],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get'],
    child: { namespace: NS.ping, name: 'ping' },
    address: ['full'],
  },
  { direction: 'to-client', stanza: 'iq', types: ['result', 'error'], address: ['full'] },
];

/**
 * On from the moment on in which the session has sent presence to anything that may be a room: before that `isRoom` says `unknown` of all addresses,
 * and nothing that comes is of a room.
 */
export const MAY_BE_IN_ROOMS = new Interest('the session may be in rooms');

/** What the next process has to know. */
interface Snapshot {
  /** Bare JID, the nick where the session is in, and what the room has still to answer. */
  readonly rooms: readonly (readonly [string, (string | null)?, Asked?])[];
  /** Domains of forgotten rooms; true: any. */
  readonly forgotten?: readonly string[] | true;
}

/**
 * The rooms this session is in, by what passes: a room is one that the client has sent presence to and that has answered
 * with a self-presence (status 110). What has only been sent presence to *may* be a room, for as long as it has not been told apart:
 * XEP-0045 lets a client enter with nothing but an available presence (§7.2.1).
 */
export class RoomsSession implements FeatureSession {
  /** By prepared bare JID, the one heard from least recently first. */
  readonly #rooms = new LateMap<string, Room>();
  #listeners: readonly ((change: RoomChange) => void)[] = [];
  // Made when needed: most sessions never do, and there are many sessions.
  /** Pings on their way, by id. */
  #pings: Map<string, { readonly room: string; readonly nick: string }> | undefined;
  #forgottenDomains: Set<string> | undefined;
  #forgottenEverywhere = false;

  constructor(
    private readonly context: FeatureContext,
    private readonly limit: number,
    snapshot?: string,
  ) {
    if (snapshot === undefined) return;
    const { rooms, forgotten } = JSON.parse(snapshot) as Snapshot;
    for (const [jid, nick, asked] of rooms) this.#rooms.set(jid, new Room(jid, nick ?? undefined, asked));
    context.attend(MAY_BE_IN_ROOMS, true);
    if (forgotten === true) this.#forgottenEverywhere = true;
    else if (forgotten !== undefined) this.#forgottenDomains = new Set(forgotten);
  }

  snapshot(): string | undefined {
    const rooms = [...this.#rooms.values()];
    if (rooms.length === 0 && this.#forgottenDomains === undefined) return undefined;
    const domains = this.#forgottenDomains && [...this.#forgottenDomains];
    const forgotten = this.#forgottenEverywhere ? true : domains;
    const snapshot: Snapshot = {
      rooms: rooms.map(({ jid, nick, asked }) => {
        if (asked.length > 0) return [jid, nick ?? null, asked];
        return nick === undefined ? [jid] : [jid, nick];
      }),
      ...(forgotten !== undefined && { forgotten }),
    };
    return JSON.stringify(snapshot);
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    const { frame } = stanza;
    if (watch === BROADCAST_UNAVAILABLE) {
      // COMPAT jabberd2 lets no presence through to a session that is unavailable.
      const answersFollow = this.context.serverKind !== 'jabberd2';
      if (frame.to === undefined) this.#toAll((room) => room.wentUnavailable(answersFollow, stanza.now));
      return PASS;
    }
    const outgoing = stanza.direction === 'to-server';
    const address = parseJid((outgoing ? frame.to : frame.from) ?? '');
    if (address === undefined) return PASS;
    if (watch === PRESENCE_OUT) this.#sent(stanza, address);
    else if (watch === PRESENCE_IN) this.#received(stanza, address);
    else if (watch === PING_OUT) this.#pingSent(frame.id, address);
    else this.#pingAnswered(stanza, address);
    return PASS;
  }

  /** How the session stands to a bare JID: `unknown` is certain not to be a room it is in. */
  isRoom(bareJid: string): RoomState | 'unknown' {
    const jid = prepareJid(bareJid);
    if (jid !== undefined) return this.stateOf(jid);
    return this.#forgottenEverywhere ? 'was' : 'unknown';
  }

  /** The same of a prepared address. */
  stateOf(jid: string): RoomState | 'unknown' {
    const room = this.#rooms.get(jid);
    if (room !== undefined) return room.state;
    const forgotten = this.#forgottenEverywhere || this.#forgottenDomains?.has(domain(jid)) === true;
    return forgotten ? 'was' : 'unknown';
  }

  /** The own nick in a room; undefined while not in it. */
  nickIn(bareJid: string): string | undefined {
    const jid = prepareJid(bareJid);
    return jid === undefined ? undefined : this.#rooms.get(jid)?.nick;
  }

  /** The rooms the session is in, prepared. */
  joined(): string[] {
    return [...this.#rooms.values()].filter((room) => room.state === 'joined').map((room) => room.jid);
  }

  /**
   * Calls for every change from now on, in order and behind its cause, before any feature sees the stanza that caused it.
   * @returns a function that ends it; a listener added or taken away by a listener counts from the next change on
   */
  onChange(listener: (change: RoomChange) => void): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  /** Asks a room whether the session is still in it (XEP-0410); what it shows is taken in before `done` is called. */
  selfPing(bareJid: string, done: (verdict: SelfPingVerdict) => void): void {
    const room = this.#rooms.get(prepareJid(bareJid) ?? '');
    const nick = room?.nick;
    if (room === undefined || nick === undefined) {
      done('out');
      return;
    }
    const to = `${room.jid}/${nick}`;
    this.context.request(
      { leg: 'server', type: 'get', to, payload: `<ping xmlns='${NS.ping}'/>` },
      (answer) => {
        const verdict = judgeAnswer(answer);
        if (verdict !== 'unclear') this.#tell(room.pinged(nick, verdict));
        done(verdict);
      },
    );
  }

  #sent(stanza: PassingStanza, { local, domain, resource }: Jid): void {
    const jid = formatJid({ local, domain, resource: undefined });
    const leaving = stanza.frame.type === 'unavailable';
    if (leaving) {
      const room = this.#rooms.get(jid);
      if (room !== undefined) this.#tell(room.leaveRequested(stanza.now));
    } else if (resource !== undefined) {
      const join = stanza.frame.findChild('x', NS.muc) !== -1;
      this.#tell(this.#track(jid).requested(resource, join, stanza.now));
    }
  }

  #received(stanza: PassingStanza, from: Jid): void {
    const room = this.#rooms.get(formatJid({ ...from, resource: undefined }));
    if (room === undefined) return;
    const { frame } = stanza;
    const type = frame.type;
    if (type === 'error') {
      this.#tell(room.refused(from.resource, errorCondition(stanza.tree())));
      return;
    }
    const isOwnNick = from.resource !== undefined && from.resource === room.nick;
    if (!isOwnNick && !mayConcernSelf(frame)) return;
    const signals = roomSignals(stanza.tree());
    if (signals === undefined) return;
    const isSelf = from.resource !== undefined && signals.codes.has('110');
    if (type === undefined) {
      if (isSelf) this.#tell(room.selfAvailable(from.resource, signals));
    } else if (isSelf || isOwnNick || signals.destroyed !== undefined) {
      // Without 110: ejabberd and mu-conference when a room is destroyed. From the bare JID alone it tells nothing:
      // ejabberd sends that ahead of the real one.
      this.#tell(room.selfUnavailable(signals));
    }
  }

  #pingSent(id: string | undefined, to: Jid): void {
    const room = this.#rooms.get(formatJid({ ...to, resource: undefined }));
    if (id === undefined || room === undefined || to.resource !== room.nick) return;
    this.#pings ??= new Map();
    if (this.#pings.size >= OPEN_PINGS) this.#pings.delete(this.#pings.keys().next().value!);
    this.#pings.set(id, { room: room.jid, nick: room.nick! });
  }

  #pingAnswered(stanza: PassingStanza, from: Jid): void {
    if (this.#pings === undefined) return;
    const id = stanza.frame.id ?? '';
    const ping = this.#pings.get(id);
    if (ping === undefined || from.resource !== ping.nick) return;
    if (formatJid({ ...from, resource: undefined }) !== ping.room) return;
    this.#pings.delete(id);
    const verdict = stanza.frame.type === 'result' ? 'in' : judgeSelfPing(errorCondition(stanza.tree()));
    const room = this.#rooms.get(ping.room);
    if (verdict !== 'unclear' && room !== undefined) this.#tell(room.pinged(ping.nick, verdict));
  }

  #track(jid: string): Room {
    const known = this.#rooms.get(jid);
    if (known !== undefined) {
      this.#rooms.delete(jid);
      this.#rooms.set(jid, known);
      return known;
    }
    if (this.#rooms.size >= this.limit) this.#forgetOne();
    const room = new Room(jid);
    this.#rooms.set(jid, room);
    this.context.attend(MAY_BE_IN_ROOMS, true);
    return room;
  }

  #forgetOne(): void {
    const rooms = [...this.#rooms.values()];
    const loser =
      rooms.find((room) => room.state === 'was') ??
      rooms.find((room) => room.state === 'joining') ??
      rooms[0]!;
    this.#rooms.delete(loser.jid);
    // It may still be a room, and to take it for a user would be worse than the opposite.
    this.#forgottenDomains ??= new Set();
    const domains = this.#forgottenDomains;
    if (domains.size < FORGOTTEN_DOMAINS) domains.add(domain(loser.jid));
    else this.#forgottenEverywhere ||= !domains.has(domain(loser.jid));
    this.#tell(loser.forgotten(this.context.now));
  }

  #toAll(event: (room: Room) => RoomChange[]): void {
    for (const room of [...this.#rooms.values()]) this.#tell(event(room));
  }

  #tell(changes: readonly RoomChange[]): void {
    for (const change of changes) for (const listener of this.#listeners) listener(change);
  }
}

function judgeAnswer(answer: IqAnswer): SelfPingVerdict {
  if (answer.kind === 'result') return 'in';
  return answer.kind === 'error' ? judgeSelfPing(answer.condition) : 'unclear';
}

export const roomsKey = new KnowledgeKey<RoomsSession>('rooms');

/** As `rooms`, with a limit of addresses a session. */
export function roomsUpTo(limit: number): Knowledge<RoomsSession> {
  return {
    name: 'rooms',
    key: roomsKey,
    watches: WATCHES,
    open: (context, snapshot) => new RoomsSession(context, limit, snapshot),
  };
}

export const rooms: Knowledge<RoomsSession> = roomsUpTo(TRACKED_ROOMS);
