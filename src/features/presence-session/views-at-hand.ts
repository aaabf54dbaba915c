import type { Buffer } from 'node:buffer';
import { LRUCache } from 'lru-cache';
import { KnowledgeKey } from '../../session/feature.js';

/** Bytes of what was written a short time ago, which the store may not give yet; for all sessions of a domain. */
const RECENT_BYTES = 4 * 1024 * 1024;
const RECENT_MS = 60_000;

/**
 * What the sessions of a domain know now: a client may be back before the session that it comes from is over, and before what that has put
 * away is in the store.
 */
export class ViewsAtHand {
  readonly #live = new Map<string, { readonly owner: object; readonly encode: () => Buffer }>();
  readonly #recent = new LRUCache<string, { readonly value: Buffer; readonly at: number }>({
    maxSize: RECENT_BYTES,
    sizeCalculation: ({ value }, key) => value.length + key.length * 2 + 200,
  });

  /** The current state of `key` is with a session. */
  isLive(key: string, owner: object, encode: () => Buffer): void {
    this.#live.set(key, { owner, encode });
  }

  /** It is not any more. */
  isOver(key: string, owner: object): void {
    if (this.#live.get(key)?.owner === owner) this.#live.delete(key);
  }

  wrote(key: string, value: Buffer, now: number): void {
    this.#recent.set(key, { value, at: now });
  }

  removed(key: string): void {
    this.#recent.delete(key);
  }

  get(key: string, now: number): Buffer | undefined {
    const live = this.#live.get(key);
    if (live !== undefined) return live.encode();
    const recent = this.#recent.get(key);
    return recent !== undefined && now - recent.at < RECENT_MS ? recent.value : undefined;
  }
}

export const viewsAtHandKey = new KnowledgeKey<ViewsAtHand>(
  'views of rooms at hand',
  () => new ViewsAtHand(),
);
