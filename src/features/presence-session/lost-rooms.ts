import { LateMap } from '../../session/late.js';
import type { Wish } from './annotation.js';
import type { PlayedRoom } from './played-room.js';

/** More of them are not gone on with. */
const MOST_ROOMS = 200;

/** Rooms that turned out to have lost a session without a word to its client, and where it was annotated in them until then. */
export class LostRooms {
  readonly #all = new LateMap<string, Wish>();

  note({ jid, dialect, view, held }: PlayedRoom): void {
    if (held !== undefined || this.#all.size >= MOST_ROOMS) return;
    this.#all.set(jid, { dialect, resume: { session: view.session, id: view.last } });
  }

  /** What a client would ask for that came back from there; undefined: nothing. It is forgotten. */
  take(room: string): Wish | undefined {
    const wish = this.#all.get(room);
    this.#all.delete(room);
    return wish;
  }
}
