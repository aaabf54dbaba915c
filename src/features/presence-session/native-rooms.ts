import { LRUCache } from 'lru-cache';
import { prepareJid } from '../../jid.js';
import { KnowledgeKey } from '../../session/feature.js';

const MOST = 10_000;
/** ms for which what a room has said of itself counts. */
const FRESH_FOR = 60 * 60_000;

/** Rooms and services that have been seen to know the protocol, for all sessions of a domain. */
export class NativeRooms {
  readonly #known = new LRUCache<string, number>({ max: MOST });

  note(jid: string, now: number): void {
    this.#known.set(prepareJid(jid) ?? jid, now);
  }

  /** It has said that it does not, or does not any more. */
  forget(jid: string): void {
    this.#known.delete(prepareJid(jid) ?? jid);
  }

  has(jid: string, now: number): boolean {
    const at = this.#known.get(jid);
    return at !== undefined && now - at < FRESH_FOR;
  }
}

export const nativeRoomsKey = new KnowledgeKey<NativeRooms>(
  'rooms that know of fast reconnect',
  () => new NativeRooms(),
);
