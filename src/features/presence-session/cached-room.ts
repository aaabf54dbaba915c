import type { Buffer } from 'node:buffer';
import type { HistoryLimits } from '../../knowledge/rooms/history-limits.js';
import type { NamespaceTable } from '../../xml/namespaces.js';
import { RoomCache } from './room-cache.js';

/** What a mark says. */
export interface Mark {
  readonly session: string;
  readonly id: string;
}

/** A room that a legacy client is in, or enters. */
export interface CachedRoom {
  readonly jid: string;
  /** The own one, as the room has said it; undefined until it has. */
  nick: string | undefined;
  cache: RoomCache;
  /** What is kept began with everything. Else it is not of use, and nothing is kept until the next time the client enters. */
  isWhole: boolean;
  /** The client is to be told everything, from the cache and what the room says. */
  joining: Joining | undefined;
  dirty: boolean;
  /** Of what is kept, for writing it to another resource. */
  namespaces: NamespaceTable | undefined;
}

/** A join whose answer has not been told. */
export interface Joining {
  readonly limits: HistoryLimits;
  /** Before the own presence, in the order in which they came: needed when nothing has a mark. */
  before: Buffer[];
  bytes: number;
  self: Buffer | undefined;
  subject: Buffer | undefined;
  live: Buffer[];
  /** So many of them are kept for the next join. */
  liveKept: number;
}

/** A room of which nothing is kept yet. */
export function entering(jid: string): CachedRoom {
  return {
    jid,
    nick: undefined,
    cache: new RoomCache(),
    isWhole: true,
    joining: undefined,
    dirty: false,
    namespaces: undefined,
  };
}
