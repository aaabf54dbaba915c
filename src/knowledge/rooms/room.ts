import { causeOf, type LeaveCause, provesAbsence, type RoomSignals } from './signals.js';

/** Something that became different about a room. `room` is its prepared bare JID; nicks are prepared resources. */
export type RoomChange =
  /** The client asks to enter; `again`: while it is in, which means that it wants to be told everything anew. */
  | { readonly kind: 'joining'; readonly room: string; readonly nick: string; readonly again: boolean }
  /** The room confirms with a self-presence. `created`: it did not exist before (201). */
  | {
      readonly kind: 'joined';
      readonly room: string;
      readonly nick: string;
      readonly again: boolean;
      readonly created: boolean;
    }
  /** Without condition: the client gave up before the room answered. */
  | {
      readonly kind: 'join-failed';
      readonly room: string;
      readonly nick: string;
      readonly condition?: string;
    }
  | { readonly kind: 'nick-changed'; readonly room: string; readonly from: string; readonly to: string }
  | {
      readonly kind: 'nick-refused';
      readonly room: string;
      readonly nick: string;
      readonly condition: string;
    }
  | {
      readonly kind: 'left';
      readonly room: string;
      readonly nick: string;
      readonly cause: LeaveCause;
      /** Of a destroyed room: where to go instead. */
      readonly alternative?: string;
    }
  /** A self-ping has shown that the session is still in. */
  | { readonly kind: 'confirmed'; readonly room: string; readonly nick: string };

export type RoomState = 'joined' | 'joining' | 'was';

/** Presence that the client has sent and the room has not answered. */
interface Request {
  readonly nick: string;
  /** With `<x xmlns='…muc'/>`, so that it was meant for a room. */
  readonly join: boolean;
  /** When the client made it void by going unavailable: its answer may still come, and counts for nothing. */
  readonly voidSince?: number;
}

/** The same as plain data: the nick, and whether it was meant for a room. */
export type Asked = readonly (readonly [string, boolean])[];

/** After this many ms the answer to a void request does not come any more. */
const ANSWERS_LATE = 60_000;

/** More unanswered presence than this is not kept apart. */
const OPEN_REQUESTS = 16;

/**
 * One room as this session stands to it. Each method takes in one event and returns what it changed, in order.
 *
 * A room handles what it is sent in order and its answers come in order, each some time later; only of a broadcast unavailable, by
 * which the server takes the session out of its rooms, nothing comes back, and answers to what was sent before may still follow.
 */
export class Room {
  /** The own nick as the room last said it; undefined while not in. */
  #nick: string | undefined;
  #requests: Request[] = [];
  /** What the client said to the room last was unavailable: a late self-presence does not bring it back in. */
  #signedOff = true;
  /** The client has sent unavailable and the room has not yet said so. */
  #leaving = false;

  /**
   * @param nick of a room that the session is in already
   * @param asked see `asked`
   */
  constructor(
    readonly jid: string,
    nick?: string,
    asked: Asked = [],
  ) {
    this.#nick = nick;
    this.#requests = asked.map(([wanted, join]) => ({ nick: wanted, join }));
    this.#signedOff = nick === undefined && asked.length === 0;
  }

  /** What the client has asked and the room has not answered, oldest first. */
  get asked(): Asked {
    return this.#requests.filter(isLive).map(({ nick, join }) => [nick, join]);
  }

  get state(): RoomState {
    if (this.#nick !== undefined) return 'joined';
    return this.#requests.some(isLive) ? 'joining' : 'was';
  }

  get nick(): string | undefined {
    return this.#nick;
  }

  /** The client sends an available presence to `room/nick`; `join`: with `<x xmlns='…muc'/>`. */
  requested(nick: string, join: boolean, now: number): RoomChange[] {
    this.#signedOff = false;
    this.#requests = this.#requests.filter(
      (request) => isLive(request) || now - request.voidSince! < ANSWERS_LATE,
    );
    if (this.#requests.length >= OPEN_REQUESTS) this.#requests.shift();
    this.#requests.push({ nick, join });
    const again = this.#nick !== undefined && !this.#leaving;
    return join ? [{ kind: 'joining', room: this.jid, nick, again }] : [];
  }

  /** The client sends unavailable to the room. In it until the room says otherwise: until then what comes is still the room's. */
  leaveRequested(now: number): RoomChange[] {
    this.#leaving = this.#nick !== undefined;
    return this.#signOff(now);
  }

  /**
   * The client goes unavailable for everybody. The server tells the rooms, and nobody tells the session (seen on all three).
   * @param answersFollow what the rooms have answered before that still reaches the session
   */
  wentUnavailable(answersFollow: boolean, now: number): RoomChange[] {
    const changes = this.#signOff(now);
    if (!answersFollow) this.#requests = [];
    return [...changes, ...this.#out('went-unavailable')];
  }

  /** An available presence that the room says is one's own. */
  selfAvailable(nick: string, { codes }: RoomSignals): RoomChange[] {
    const before = this.#nick;
    const request = this.#answered(nick, codes.has('210'));
    const late = request === undefined ? this.#signedOff && before === undefined : !isLive(request);
    if (late) return [];
    this.#nick = nick;
    if (before === undefined) {
      this.#leaving = false;
      return [{ kind: 'joined', room: this.jid, nick, again: false, created: codes.has('201') }];
    }
    if (before !== nick) return [{ kind: 'nick-changed', room: this.jid, from: before, to: nick }];
    if (request?.join !== true) return [];
    return [{ kind: 'joined', room: this.jid, nick, again: true, created: false }];
  }

  /** An unavailable presence from the own nick, or that the room says is one's own, or that comes of the room's end. */
  selfUnavailable(signals: RoomSignals): RoomChange[] {
    // The available presence of the new nick follows (XEP-0045 §7.6).
    if (signals.codes.has('303') && signals.destroyed === undefined) return [];
    const cause = causeOf(signals) ?? (this.#leaving ? 'left' : 'unexplained');
    return this.#out(cause, signals.destroyed?.alternative);
  }

  /** An error presence from the room, or from `room/nick` when `nick` is given. */
  refused(nick: string | undefined, condition: string): RoomChange[] {
    const request = this.#answered(nick ?? this.#requests[0]?.nick, false);
    if (request !== undefined && !isLive(request)) return [];
    const refused = request?.nick ?? nick;
    const failed: RoomChange[] =
      request?.join === true && refused !== undefined
        ? [{ kind: 'join-failed', room: this.jid, nick: refused, condition }]
        : [];
    if (this.#nick === undefined) return failed;
    if (refused !== undefined && refused !== this.#nick) {
      if (request === undefined) return [];
      // Anybody may be refused another nick, but only to somebody outside is there no such room or occupant.
      if (condition !== 'item-not-found') {
        return [{ kind: 'nick-refused', room: this.jid, nick: refused, condition }];
      }
    }
    return provesAbsence(condition) ? [...this.#out('not-an-occupant'), ...failed] : failed;
  }

  /** A ping of the own occupant JID has been answered. `nick`: the one that was pinged. */
  pinged(nick: string, verdict: 'in' | 'out'): RoomChange[] {
    // An answer about a former nick shows nothing about now.
    if (nick !== this.#nick) return [];
    if (verdict === 'out') return this.#out('not-an-occupant');
    return [{ kind: 'confirmed', room: this.jid, nick }];
  }

  /** Nothing more will be heard from here about this room. */
  forgotten(now: number): RoomChange[] {
    return [...this.#signOff(now), ...this.#out('forgotten')];
  }

  /** Takes out the request that is answered, and those before it: they have had their answers. */
  #answered(nick: string | undefined, assigned: boolean): Request | undefined {
    const at = assigned ? 0 : this.#requests.findIndex((request) => request.nick === nick);
    return at === -1 ? undefined : this.#requests.splice(0, at + 1).at(-1);
  }

  #signOff(now: number): RoomChange[] {
    const joins = this.#requests.filter((request) => request.join && isLive(request));
    const given = this.#nick === undefined ? joins.at(-1) : undefined;
    this.#requests = this.#requests.map((request) => ({ voidSince: now, ...request }));
    this.#signedOff = true;
    return given === undefined ? [] : [{ kind: 'join-failed', room: this.jid, nick: given.nick }];
  }

  #out(cause: LeaveCause, alternative?: string): RoomChange[] {
    const nick = this.#nick;
    this.#nick = undefined;
    this.#leaving = false;
    if (nick === undefined) return [];
    const change: RoomChange = { kind: 'left', room: this.jid, nick, cause };
    return [alternative === undefined ? change : { ...change, alternative }];
  }
}

function isLive(request: Request): boolean {
  return request.voidSince === undefined;
}
