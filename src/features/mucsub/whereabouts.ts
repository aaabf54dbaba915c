/** Events of which it is known that an account has had them, so that what comes twice is told apart. */
const REMEMBERED = 128;
const HANDED_ON = 24;
/** So long what one source has brought may still come from another; ms. */
const STREAMS_APART = 10_000;
/** So much earlier than it was last heard a room is asked for what was said: its clock need not be ours; ms. */
const CLOCKS_DIFFER = 5_000;

/**
 * Where an account stands in a room, over all its sessions here. What its ghost gets upstream becomes events; the session that carries
 * it is a *source*. There are two of them only while one takes over from the other.
 */
export class Whereabouts {
  /** Full JIDs of the sessions whose server leg brings the room's traffic for events. */
  readonly sources = new Set<string>();
  /** Full JIDs of the sessions whose client is in the room, or about to be: to others it is no ghost. */
  readonly joined = new Set<string>();
  /** Those to whom the room has confirmed it: they get groupchat. */
  readonly inside = new Set<string>();
  /** When the room was last heard; ms since 1970. */
  heardAt: number | undefined;
  /** In the room's archive, of the last message that was heard. */
  lastId: string | undefined;
  /** Place in the room's log of the last that was heard. */
  place: number | undefined;
  /** Nothing more is stored for the account: what comes from here on, the room is asked for later. */
  isFrozen = false;
  /** Hashes of what has come: half a kilobyte, where the keys themselves would be many. */
  #hashes: Int32Array | undefined;
  #next = 0;

  /** What the next process has to know, so that nothing comes twice: the latest hashes. */
  get recent(): string | undefined {
    if (this.#hashes === undefined) return undefined;
    const latest = [...this.#hashes.slice(this.#next), ...this.#hashes.slice(0, this.#next)];
    const handed = latest.filter((hash) => hash !== 0).slice(-HANDED_ON);
    return handed.map((hash) => (hash >>> 0).toString(36)).join(' ');
  }

  /** Goes on where a process before has ended. */
  restore(heardAt: number | undefined, lastId: string | undefined, recent: string | undefined): void {
    this.heardAt = heardAt;
    this.lastId = lastId;
    if (recent === undefined || recent === '') return;
    const hashes = recent.split(' ').slice(0, HANDED_ON);
    this.#hashes = new Int32Array(REMEMBERED);
    this.#hashes.set(hashes.map((hash) => Number.parseInt(hash, 36) | 0));
    this.#next = hashes.length;
  }

  /** When the account began to hear the room: what was said before is not missed. */
  #began = 0;

  /** The room has let a ghost in. @param now ms since 1970 */
  begins(now: number): void {
    if (this.heardAt !== undefined) return;
    this.heardAt = now;
    this.#began = now;
  }

  /** From when on a room is to be asked what was missed; undefined: nothing was. */
  get missedSince(): number | undefined {
    return this.heardAt === undefined ? undefined : Math.max(this.heardAt - CLOCKS_DIFFER, this.#began);
  }

  #mayComeTwiceUntil = Number.NEGATIVE_INFINITY;

  /** A source brings nothing any more; what it has brought the others may still be about to. @returns whether it was one */
  leaves(full: string, now: number): boolean {
    const was = this.sources.delete(full);
    if (was && this.sources.size > 0) this.#mayComeTwiceUntil = now + STREAMS_APART;
    return was;
  }

  /** Whether something that has come may come again from another source. */
  mayComeTwice(now: number): boolean {
    return this.sources.size > 1 || now < this.#mayComeTwiceUntil;
  }

  /** A session's client is not in the room any more. @returns whether it was, or was about to be */
  clientIsOut(full: string): boolean {
    this.inside.delete(full);
    return this.joined.delete(full);
  }

  /**
   * Something of the room's has come.
   * @param hash of the key that it is known by
   * @returns false when it has come before
   */
  isNew(hash: number): boolean {
    this.#hashes ??= new Int32Array(REMEMBERED);
    if (this.#hashes.includes(hash)) return false;
    this.#hashes[this.#next] = hash;
    this.#next = (this.#next + 1) % REMEMBERED;
    return true;
  }
}

/** What is remembered of a key. FNV-1a as a signed number; 0 stands for an empty place. */
export function keyHash(key: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash === 0 ? 1 : hash;
}
