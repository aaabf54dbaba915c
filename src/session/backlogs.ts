import { prepareJid } from '../jid.js';
import { keyParts } from '../store/store.js';

/** Full JIDs that are remembered; of those beyond, messages come with the first presence only. */
const MOST_RESOURCES = 10_000;

/** Two messages are never noted at the same moment; this lies between them, in ms. Exact in binary, and visible in microseconds. */
const STEP = 1 / 256;

/** So far the wall's clock may move against ours before it is read again; ms. */
const DRIFT = 1_000;

/** For so long what a session has put away is kept for the next one of its resource, which is about to be bound; ms. */
const RESERVED = 30_000;
/** Sessions for whose successors something is kept. */
const MOST_RESERVED = 1_000;

interface Reservation {
  /** Prepared. */
  readonly full: string;
  /** When the client of the session that has put it away was gone; ms on the sessions' clock. */
  readonly since: number;
  readonly until: number;
}

/** A session that takes what others of its account have missed. */
export interface MessageTaker {
  /** ms on the session's clock. */
  readonly wantsSince: number;
  lookIntoStore(): void;
  /** Another session is putting messages away that are older than what the server gives from now on. */
  waitForOthers(): void;
  othersAreDone(): void;
}

/**
 * What a domain knows of messages that wait in the store: in which order they came, on whatever session; for which resources there may
 * be some; who takes them, and which sessions are still putting theirs away, so that nobody is given later ones before.
 */
export class Backlogs {
  /** Keys of undelivered messages that a session is about to deliver. */
  readonly delivering = new Set<string>();
  /** The store may have messages that a process before this one has put away. */
  mayHaveFormer = false;
  readonly #resources = new Set<string>();
  readonly #takers = new Map<string, Set<MessageTaker>>();
  readonly #putting = new Map<string, Set<object>>();
  /** By what the place in the store of what a session has put away ends in. */
  readonly #reserved = new Map<string, Reservation>();
  #last = 0;
  #offset: number | undefined;

  /**
   * A message has come. @param now ms on the clock of all sessions
   * @returns a moment on the same clock, later than that of every message before it
   */
  moment(now: number): number {
    this.#last = Math.max(now, this.#last + STEP);
    return this.#last;
  }

  /** The same on the wall's clock, in the same order. @param wall ms since 1970, @param now the same on the sessions' clock */
  wallTime(moment: number, wall: number, now: number): number {
    const offset = wall - now;
    if (this.#offset === undefined || Math.abs(this.#offset - offset) > DRIFT) this.#offset = offset;
    return this.#offset + moment;
  }

  /** A message for this address is put away. */
  mark(address: string | undefined): void {
    const full = address === undefined ? undefined : prepareJid(address);
    if (full === undefined || !full.includes('/')) return;
    this.#resources.delete(full);
    if (this.#resources.size >= MOST_RESOURCES) {
      const { value: oldest } = this.#resources.values().next();
      if (oldest !== undefined) this.#resources.delete(oldest);
    }
    this.#resources.add(full);
  }

  /** There is none. @param full prepared */
  unmark(full: string): void {
    this.#resources.delete(full);
  }

  /** Whether the store may have messages for this very resource. @param full prepared */
  mayHave(full: string): boolean {
    return this.mayHaveFormer || this.#resources.has(full);
  }

  /** A session wants what the store has, and will have, for its account. */
  wants(account: string, session: MessageTaker): void {
    const takers = this.#takers.get(account);
    if (takers === undefined) this.#takers.set(account, new Set([session]));
    else takers.add(session);
  }

  wantsNoMore(account: string, session: MessageTaker): void {
    const takers = this.#takers.get(account);
    if (takers?.delete(session) === true && takers.size === 0) this.#takers.delete(account);
  }

  /** The store has something new for sessions of the account that began after `since`. */
  missed(account: string, since: number): void {
    for (const taker of this.#takersSince(account, since)) taker.lookIntoStore();
  }

  /**
   * The resource of a session is about to be bound anew: what that session puts away is first of all for the one that takes its place, so that it has
   * everything, and in order.
   * @param session what its places in the store end in
   * @param full prepared
   */
  reserve(session: string, full: string, since: number, now: number): void {
    // The oldest are first.
    for (const [each, { until }] of this.#reserved) {
      if (until > now && this.#reserved.size < MOST_RESERVED) break;
      this.#reserved.delete(each);
    }
    this.#reserved.set(session, { full, since, until: now + RESERVED });
  }

  /** Whether another resource is about to take what is there. @param full prepared */
  isReserved(place: string, full: string, now: number): boolean {
    if (this.#reserved.size === 0) return false;
    const reservation = this.#reserved.get(keyParts(place).at(-1) ?? '');
    return reservation !== undefined && reservation.full !== full && now < reservation.until;
  }

  /** The session of that resource has taken what it wants, or wants nothing: the rest is for the others. @param full prepared */
  release(account: string, full: string, session: MessageTaker): void {
    for (const [place, reservation] of this.#reserved) {
      if (reservation.full !== full) continue;
      this.#reserved.delete(place);
      for (const taker of this.#takersSince(account, reservation.since))
        if (taker !== session) taker.lookIntoStore();
    }
  }

  /** A session of the account begins to put away what its client has not had since `since`: those who take it wait for that. */
  putsAway(account: string, session: object, since: number): void {
    const putting = this.#putting.get(account);
    if (putting === undefined) this.#putting.set(account, new Set([session]));
    else putting.add(session);
    for (const taker of this.#takersSince(account, since)) taker.waitForOthers();
  }

  /** All that it had is in the store, or it ends. */
  hasPutAway(account: string, session: object): void {
    const putting = this.#putting.get(account);
    if (putting?.delete(session) !== true || putting.size > 0) return;
    this.#putting.delete(account);
    for (const taker of [...(this.#takers.get(account) ?? [])]) taker.othersAreDone();
  }

  isPuttingAway(account: string): boolean {
    return this.#putting.has(account);
  }

  #takersSince(account: string, since: number): readonly MessageTaker[] {
    return [...(this.#takers.get(account) ?? [])].filter(({ wantsSince }) => wantsSince >= since);
  }
}
