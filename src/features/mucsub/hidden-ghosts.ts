import { PASS, type Verdict } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import type { Book } from './book.js';
import type { Ghost } from './ghost.js';
import { nickOf } from './nicks.js';
import type { Notice } from './notices.js';
import { othersLeaving } from './presences.js';
import type { RoomEvents } from './room-events.js';
import type { Surroundings } from './surroundings.js';

const HIDDEN: Verdict = { action: 'handled', reason: 'mucsub-hidden' };

/** Whether somebody is in a room only as a ghost, or as the observer. @param nick prepared */
export function isGhostOf(book: Book, room: string, nick: string): boolean {
  if (book.looking.size > 0 && book.looking.has(`${room}/${nick}`)) return true;
  const holder = book.holderOf(room, nick);
  const where = holder === undefined ? undefined : book.knownWhereabouts(room, holder);
  return where !== undefined && where.sources.size > 0 && where.joined.size === 0;
}

/** Other people's ghosts, which are not shown to the client of this session, nor events: to it they are not in the room. */
export class HiddenGhosts {
  /** By room: nicks that the client has not been shown, nor told of by events. */
  readonly #hidden = new LateMap<string, Set<string>>();

  constructor(
    private readonly around: Surroundings,
    private readonly events: RoomEvents,
  ) {}

  /** Whether a nick is that of somebody who is in the room only as a ghost. */
  isGhost(room: string, nick: string): boolean {
    const { book, account } = this.around;
    return book.holderOf(room, nick) !== account && isGhostOf(book, room, nick);
  }

  /** Keeps other people's ghosts from the client. */
  shown(room: string, nick: string | undefined, type: string | undefined): Verdict {
    if (nick === undefined || this.around.book.isEmpty) return PASS;
    const hidden = this.#hidden.get(room);
    if (type === 'unavailable') return hidden?.delete(nick) === true ? HIDDEN : PASS;
    if (!this.isGhost(room, nick)) {
      hidden?.delete(nick);
      return PASS;
    }
    this.#hide(room, nick);
    return HIDDEN;
  }

  #hide(room: string, nick: string): void {
    const hidden = this.#hidden.get(room);
    if (hidden === undefined) this.#hidden.set(room, new Set([nick]));
    else hidden.add(nick);
  }

  /** Another subscriber has left the room and stays as a ghost. */
  gone(ghost: Ghost | undefined, room: string, nick: string, affiliation: string): void {
    const { context, rooms } = this.around;
    const prepared = nickOf(`${room}/${nick}`);
    if (prepared === undefined) return;
    const presence = othersLeaving(`${room}/${nick}`, context.identity.full, affiliation);
    const isForClient = ghost?.isForClient !== false;
    if (!isForClient) this.events.gone(ghost, prepared, presence);
    else if (rooms.isRoom(room) !== 'joined') return;
    const wasHidden = this.#hidden.get(room)?.has(prepared) === true;
    this.#hide(room, prepared);
    if (isForClient && !wasHidden) context.sendAsServer(presence, 'mucsub-left');
  }

  /** The client is in no room of this address any more: what it was not shown does not matter. */
  forget(room: string): void {
    this.#hidden.delete(room);
  }

  /** This account's client has left a room in which its ghost stays: whoever sees the room's occupants is told. */
  tellGone(ghost: Ghost): void {
    const { book, context, account, settings } = this.around;
    const nick = ghost.subscription?.nick ?? ghost.nick;
    const told = book.insiders(ghost.room);
    for (const { account: other, events } of book.room(ghost.room)?.subscriptions.values() ?? [])
      if (events.includes('presence') || events.includes('participants')) told.add(other);
    told.delete(account);
    if (settings.observer !== undefined) told.add(`${settings.observer.account}@${context.domain.name}`);
    const notice: Notice = { op: 'gone', room: ghost.room, nick, affiliation: ghost.affiliation };
    for (const other of told) context.tell(other, JSON.stringify(notice));
  }

  clear(): void {
    this.#hidden.clear();
  }
}
