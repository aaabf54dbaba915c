import { Buffer } from 'node:buffer';
import { prepareJid } from '../../jid.js';
import type { FeatureContext } from '../../session/feature.js';
import { keyParts, type StoreChange, type StoreEntry, storeKey } from '../../store/store.js';
import { type ViewsAtHand, viewsAtHandKey } from './views-at-hand.js';

export const FEATURE_NAME = 'presence-session';

/** What is kept for an account: views when the room is played, caches when the client is. */
export type Kept = 'view' | 'cache';

/** Of an account, however small they are: with each that is written all are looked at. */
export const MOST_VIEWS = 1_000;

const EXPIRES = 0;
const SIZE = 8;
const HEAD = 12;

/**
 * Bytes of one account by room and session, with an age and a budget for all of them together. Beside each value stands a short entry with
 * its age and size, so that keeping the budget does not mean reading them.
 */
export class StoredViews {
  readonly #account: string;
  readonly #atHand: ViewsAtHand;

  constructor(
    private readonly context: FeatureContext,
    private readonly kind: Kept,
    private readonly budget: number,
    private readonly ageMs: number,
  ) {
    this.#account = prepareJid(context.identity.bare) ?? context.identity.bare;
    this.#atHand = context.domain.shared(viewsAtHandKey);
  }

  /** When what is written now is of no use any more; ms since 1970. */
  get expires(): number {
    return this.context.wallClock() + this.ageMs;
  }

  /** @param value begins with its expiry, ms since 1970, as a double (big endian) */
  save(room: string, session: string, value: Buffer, done?: (ok: boolean) => void): void {
    if (value.length > this.budget) {
      this.remove(room, session);
      this.context.count('room-view-over-budget');
      return;
    }
    const head = Buffer.alloc(HEAD);
    value.copy(head, EXPIRES, 0, SIZE);
    head.writeUInt32BE(value.length, SIZE);
    const changes: StoreChange[] = [
      { key: this.#key('body', room, session), value },
      { key: this.#key('head', room, session), value: head },
    ];
    this.context.store.write(changes, done);
    this.context.count('room-view-written');
    this.#atHand.wrote(changes[0]!.key, value, this.context.now);
    this.#keepBudget(this.#key('head', room, session));
  }

  /** @param done gets the value, or undefined when there is none that is still of use */
  load(room: string, session: string, done: (value: Buffer | undefined) => void): void {
    const key = this.#key('body', room, session);
    const known = this.#atHand.get(key, this.context.now);
    if (known !== undefined) {
      done(known);
      return;
    }
    this.context.store.load(key, (entries) => {
      const entry = entries.find((candidate) => candidate.key === key);
      done(entry === undefined || isOutlived(entry, this.context.wallClock()) ? undefined : entry.value);
    });
  }

  /** What a session knows now is what others of the account are given, until it is over. */
  isLive(room: string, session: string, encode: () => Buffer): void {
    this.#atHand.isLive(this.#key('body', room, session), this, encode);
  }

  isOver(room: string, session: string): void {
    this.#atHand.isOver(this.#key('body', room, session), this);
  }

  remove(room: string, session: string): void {
    this.#atHand.removed(this.#key('body', room, session));
    this.context.store.write(
      ['body', 'head'].map((part) => ({ key: this.#key(part, room, session), value: undefined })),
    );
  }

  #key(part: string, ...rest: string[]): string {
    return storeKey(FEATURE_NAME, `${this.kind}-${part}`, this.context.domain.name, this.#account, ...rest);
  }

  /** Removes the oldest of the account's until the rest fits. @param written key of the one that is not to go */
  #keepBudget(written: string): void {
    this.context.store.load(this.#key('head', ''), (heads) => {
      let bytes = heads.reduce((sum, { value }) => sum + value.readUInt32BE(SIZE), 0);
      let count = heads.length;
      if (bytes <= this.budget && count <= MOST_VIEWS) return;
      const byAge = [...heads].sort((a, b) => a.value.readDoubleBE(EXPIRES) - b.value.readDoubleBE(EXPIRES));
      for (const { key, value } of byAge) {
        if (bytes <= this.budget && count <= MOST_VIEWS) return;
        const [, , , , room, session] = keyParts(key);
        if (key === written || room === undefined || session === undefined) continue;
        bytes -= value.readUInt32BE(SIZE);
        count -= 1;
        this.remove(room, session);
        this.context.count('room-view-evicted');
      }
    });
  }
}

/** Whether an entry of the feature has outlived its age. @param now ms since 1970 */
export function isOutlived({ value }: StoreEntry, now: number): boolean {
  return value.length < SIZE || value.readDoubleBE(EXPIRES) < now;
}
