/** A session that is in rooms. */
export interface Occupant {
  /** Its client is away for a while. */
  readonly isPaused: boolean;
  /** Another occupant of a room this one is in has come back or gone away for a while. Only notes it. */
  occupantChanged(occupantJid: string, now: number): void;
}

/** Who of this domain's sessions is in which room, under which nick. All JIDs and nicks are prepared. */
export class Occupancy {
  readonly #rooms = new Map<string, Map<string, Set<Occupant>>>();

  enter(room: string, nick: string, occupant: Occupant): void {
    let nicks = this.#rooms.get(room);
    if (nicks === undefined) {
      nicks = new Map();
      this.#rooms.set(room, nicks);
    }
    const sessions = nicks.get(nick);
    if (sessions === undefined) nicks.set(nick, new Set([occupant]));
    else sessions.add(occupant);
  }

  leave(room: string, nick: string, occupant: Occupant): void {
    const nicks = this.#rooms.get(room);
    const sessions = nicks?.get(nick);
    if (nicks === undefined || sessions === undefined) return;
    sessions.delete(occupant);
    if (sessions.size === 0) nicks.delete(nick);
    if (nicks.size === 0) this.#rooms.delete(room);
  }

  /** Whether all that is behind an occupant is here and paused: several resources may share a nick. */
  isPaused(room: string, nick: string): boolean {
    const sessions = this.#rooms.get(room)?.get(nick);
    if (sessions === undefined) return false;
    for (const session of sessions) if (!session.isPaused) return false;
    return true;
  }

  /** Tells everybody here who is in the room, except one. */
  tell(room: string, nick: string, except: Occupant, now: number): void {
    for (const sessions of this.#rooms.get(room)?.values() ?? []) {
      for (const session of sessions) if (session !== except) session.occupantChanged(`${room}/${nick}`, now);
    }
  }

  get size(): number {
    return this.#rooms.size;
  }
}
