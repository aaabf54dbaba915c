import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import type { PassingStanza } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import { StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { nickOf } from './nicks.js';
import { enterRoom, leaveRoom } from './presences.js';
import type { Surroundings } from './surroundings.js';

/** Begins the token that wakes the feature to leave a room that was entered to look. */
export const LOOKED = 'looked ';
/** How long a room may take to let somebody in or out; ms. */
const PATIENCE = 10_000;
/** So long who moderates the room stays, to ask it what it tells occupants only; ms. */
const ASKING_TIME = 5_000;
/** Rooms of which the own role is known. */
const MOST_ROLES = 200;
/** Rooms that are looked at at a time. */
const MOST_LOOKING = 8;

interface Look {
  readonly nick: string;
  /** Told whether the account moderates the room; undefined: they have been. */
  waiting: ((moderates: boolean) => void)[] | undefined;
  state: 'entering' | 'in' | 'leaving';
}

/**
 * Whether the account moderates a room, where the room does not say so if it is asked.
 *
 * COMPAT: mu-conference tells its moderators to admins and owners alone, and to them while they are in the room. Who is in it has been told what he is; who is not enters
 * it for a moment, unseen by who comes by the proxy.
 */
export class OwnStanding {
  /** By room: whether the client of this session, which is in it, moderates it. */
  readonly #roles = new LateMap<string, boolean>();
  readonly #looks = new LateMap<string, Look>();

  constructor(private readonly around: Surroundings) {}

  /** A presence or a message of a room's. @returns whether it is for who only looks */
  sees(stanza: PassingStanza): boolean {
    const { rooms } = this.around;
    const isPresence = stanza.frame.kind === StanzaKind.Presence;
    if (!isPresence && this.#looks.size === 0) return false;
    const from = stanza.frame.from ?? '';
    const room = prepareJid(bare(from));
    if (room === undefined) return false;
    const look = this.#looks.get(room);
    if (look !== undefined) {
      if (isPresence) this.#looked(room, look, nickOf(from), stanza.tree());
      return true;
    }
    const nick = isPresence ? rooms.nickIn(room) : undefined;
    if (nick === undefined || nickOf(from) !== nickOf(`${room}/${nick}`)) return false;
    if (stanza.frame.type !== undefined) this.#roles.delete(room);
    else {
      if (this.#roles.size >= MOST_ROLES) this.#roles.delete(this.#roles.keys().next().value!);
      this.#roles.set(room, isModerator(stanza.tree()));
    }
    return false;
  }

  /** @param done told at once where it is known */
  moderates(room: string, done: (moderates: boolean) => void): void {
    const { context, rooms, book, account } = this.around;
    const look = this.#looks.get(room);
    // Its ghost has asked, or its client is in the room.
    const isIn = book.knownWhereabouts(room, account)?.sources.has(context.identity.full) === true;
    if (isIn || rooms.isRoom(room) === 'joined') done(this.#roles.get(room) === true);
    else if (look !== undefined && look.state !== 'leaving') {
      if (look.waiting === undefined) done(true);
      else look.waiting.push(done);
    } else if (look !== undefined || this.#looks.size >= MOST_LOOKING) done(false);
    else {
      const nick = `look-${context.randomId().slice(0, 12)}`;
      this.#looks.set(room, { nick, waiting: [done], state: 'entering' });
      book.looking.add(`${room}/${nick}`);
      context.send('server', enterRoom(`${room}/${nick}`, undefined, undefined), 'mucsub-ghost');
      context.wakeAt(LOOKED + room, context.now + PATIENCE);
    }
  }

  #looked(room: string, look: Look, nick: string | undefined, presence: Element): void {
    const { type } = presence.attrs;
    if (type === 'error' || (type === 'unavailable' && nick === look.nick)) this.#ends(room, look);
    else if (type === undefined && nick === look.nick && look.state === 'entering') {
      look.state = 'in';
      const { waiting = [] } = look;
      const moderates = isModerator(presence);
      look.waiting = undefined;
      if (moderates) this.around.context.wakeAt(LOOKED + room, this.around.context.now + ASKING_TIME);
      else this.leave(room);
      for (const done of waiting) done(moderates);
    }
  }

  /** It has looked for long enough. */
  leave(room: string): void {
    const { context } = this.around;
    const look = this.#looks.get(room);
    if (look === undefined) return;
    if (look.state === 'leaving') {
      this.#ends(room, look);
      return;
    }
    look.state = 'leaving';
    for (const done of look.waiting?.splice(0) ?? []) done(false);
    context.send('server', leaveRoom(`${room}/${look.nick}`), 'mucsub-ghost');
    context.wakeAt(LOOKED + room, context.now + PATIENCE);
  }

  #ends(room: string, look: Look): void {
    this.#looks.delete(room);
    this.around.book.looking.delete(`${room}/${look.nick}`);
    for (const done of look.waiting ?? []) done(false);
  }

  /** The session is over. */
  close(): void {
    for (const [room, { nick }] of this.#looks) this.around.book.looking.delete(`${room}/${nick}`);
  }
}

function isModerator(presence: Element): boolean {
  const item = presence.getChildren('x', NS.mucUser).at(-1)?.getChild('item');
  return item?.attrs.role === 'moderator' || ['owner', 'admin'].includes(String(item?.attrs.affiliation));
}
