import type { PresenceSession } from '../../knowledge/presence/presence.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import type { FeatureContext } from '../../session/feature.js';
import type { Reason } from '../../session/reasons.js';
import { type Annotating, annotated, annotationXml, describe } from './annotation.js';
import type { Links, LinkWatcher } from './links.js';
import type { Paced } from './pacer.js';
import { isServiceOf, realDomain } from './places.js';
import type { Reach } from './reach.js';
import type { Settings } from './settings.js';
import type { SharedAnnotations } from './shared.js';

/** Stanzas that one session may send in its turn, and how long it then waits at least; ms. */
const TURN = 20;
const BETWEEN_TURNS = 250;
/** Addresses that are looked at one by one; beyond that all are. */
const MOST_PENDING = 1_000;
/** Records that are looked at in one turn. */
const LOOKED_AT = 1_000;
/** Sessions of other processes that are remembered to be paused. */
const MOST_TOLD = 1_000;

/** Other servers that one session wants to know of. Beyond that those are let go that it has no presence from any more, once in a while; ms. */
export const MOST_WATCHED = 1_000;
const BETWEEN_LETTING_GO = 60_000;

const SEND = 'send';

/** What the client was last shown of a presence, kept with it: a new presence has nothing. */
const NOTHING = 0;
const SERVER_UNAVAILABLE = 1;
const CONNECTION_PAUSED = 2;
/** It came although its server was said to be unavailable: true for as long as that is said. */
const FRESH = 3;
/** Somebody else has annotated it. */
const THEIRS = 4;

interface Wanted {
  readonly says: 'server-unavailable' | 'connection-paused';
  readonly author: string;
  /** Whose unavailability it is. */
  readonly about: string;
}

const REASONS: { readonly [says in Annotating]: Reason } = {
  'server-unavailable': 'server-unavailable-told',
  'connection-paused': 'connection-paused-told',
  restored: 'server-available-told',
};

/**
 * Tells one client that has asked for it (XEP-0310 §3) which presences cannot be trusted. What there is to tell is never queued: it is the
 * difference between what is true and the mark that each presence carries, looked for when it is this session's turn.
 */
export class Viewer implements LinkWatcher, Paced {
  #pending = new Set<string>();
  #sweep: ReturnType<PresenceSession['marks']> | undefined;
  #sweepWanted = false;
  #away = false;
  #notBefore = 0;
  readonly #watched = new Set<string>();
  /** Of those, the ones that accounts behind occupants are of. */
  readonly #behind = new Set<string>();
  #letGoBefore = Number.NEGATIVE_INFINITY;
  /** Sessions of other processes, told by the bus. */
  readonly #told = new Set<string>();
  language: string | undefined;

  constructor(
    private readonly context: FeatureContext,
    private readonly shared: SharedAnnotations,
    private readonly reach: Reach,
    private readonly settings: Settings,
    private readonly presence: PresenceSession,
    private readonly rooms: RoomsSession,
    private readonly ownDomain: string,
    private readonly ownFull: string,
    /** A contact's server is back. @param bareJid no room's */
    private readonly refresh: (bareJid: string) => void,
  ) {
    const { now } = context;
    shared.viewers += 1;
    for (const domain of presence.domains()) this.#watch(domain, now);
    this.#look();
  }

  close(): void {
    this.shared.viewers -= 1;
    for (const domain of this.#watched) this.reach.links.unwatch(domain, this, 'viewer');
    this.shared.pacer.leave(this, this.context.now);
  }

  /** The own client is away: nothing is told until it is back. */
  set away(away: boolean) {
    this.#away = away;
    if (away) this.shared.pacer.leave(this, this.context.now);
    else this.#look();
  }

  /** Whether there may be more to tell the client. */
  get isTelling(): boolean {
    return !this.#away && (this.#sweepWanted || this.#sweep !== undefined || this.#pending.size > 0);
  }

  /** An available presence has come, and carries no annotation of others unless `theirs`. All prepared. */
  arrived(fullJid: string, bareJid: string, domain: string, theirs: boolean, tree: () => string): void {
    const { now } = this.context;
    this.#watch(domain, now);
    if (theirs) {
      this.presence.mark(fullJid, THEIRS);
      return;
    }
    const { paused } = this.shared;
    const { links } = this.reach;
    if (links.isDown(domain)) this.presence.mark(fullJid, FRESH);
    const isOccupant = this.rooms.isRoom(bareJid) === 'joined';
    if (isOccupant && isServiceOf(domain, this.ownDomain)) {
      const behind = realDomain(tree());
      if (behind !== undefined && this.#watch(behind, now)) this.#behind.add(behind);
      if (behind !== undefined && links.isDown(behind)) this.pend(fullJid);
    }
    if (
      isOccupant ? this.#isPausedOccupant(bareJid, fullJid) : paused.has(fullJid) || this.#told.has(fullJid)
    )
      this.pend(fullJid);
  }

  gone(fullJid: string): void {
    this.#told.delete(fullJid);
    this.#pending.delete(fullJid);
  }

  /** A session of this domain is away for a while, or is back. @param fullJid prepared */
  pausedElsewhere(fullJid: string, isPaused: boolean): void {
    if (this.presence.markOf(fullJid) === undefined) return;
    if (!isPaused) this.#told.delete(fullJid);
    else if (this.#told.size < MOST_TOLD) this.#told.add(fullJid);
    this.pend(fullJid);
  }

  turnComes(time: number): void {
    this.context.wakeAt(SEND, Math.max(time, this.#notBefore));
  }

  linkChanged(): void {
    this.#look();
  }

  /** The session has another server, which may reach others. @param former of the server before */
  serverChanged(former: Links, now: number): void {
    for (const domain of this.#watched) {
      former.unwatch(domain, this, 'viewer');
      this.reach.links.watch(domain, this, 'viewer', now);
    }
    this.#look();
  }

  /** Something may be different about one presence. */
  pend(fullJid: string): void {
    if (this.#pending.size < MOST_PENDING) this.#pending.add(fullJid);
    else this.#sweepWanted = true;
    this.#schedule();
  }

  /** @returns whether the wake-up was for this */
  wake(token: string, now: number): boolean {
    if (token !== SEND) return false;
    const allowed = this.#away ? 0 : this.shared.pacer.turn(this, TURN, now);
    if (allowed === 0) return true;
    let left = allowed;
    for (const jid of this.#pending) {
      if (left === 0) break;
      this.#pending.delete(jid);
      const slash = jid.indexOf('/');
      if (this.#bring(jid.slice(0, slash), jid.slice(slash + 1), this.presence.markOf(jid))) left -= 1;
    }
    if (left > 0) left = this.#goOnSweeping(left);
    this.#notBefore = now + BETWEEN_TURNS;
    this.shared.pacer.over(this, allowed - left, now);
    this.#schedule();
    return true;
  }

  /** @returns how many may still be sent */
  #goOnSweeping(allowed: number): number {
    let left = allowed;
    if (this.#sweepWanted) {
      this.#sweepWanted = false;
      this.#sweep = this.presence.marks();
    }
    const sweep = this.#sweep;
    if (sweep === undefined) return left;
    for (let looked = 0; looked < LOOKED_AT; looked++) {
      const { value, done } = sweep.next();
      if (done === true) {
        this.#sweep = undefined;
        return left;
      }
      const [bareJid, resource, mark] = value;
      if (left > 0) {
        if (this.#bring(bareJid, resource, mark)) left -= 1;
      } else if (this.#isDifferent(bareJid, resource, mark)) {
        // There is more: this one first in the next turn, which is not reserved for nothing.
        this.#pending.add(`${bareJid}/${resource}`);
        return 0;
      }
    }
    return left;
  }

  #look(): void {
    this.#sweepWanted = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.isTelling) this.shared.pacer.wait(this, this.context.now);
  }

  /** @returns whether it is looked at */
  #watch(domain: string, now: number): boolean {
    if (this.#watched.has(domain)) return true;
    if (domain === this.ownDomain || isServiceOf(domain, this.ownDomain)) return false;
    if (this.#watched.size >= MOST_WATCHED) this.#letGo(now);
    if (this.#watched.size >= MOST_WATCHED) return false;
    this.#watched.add(domain);
    this.reach.links.watch(domain, this, 'viewer', now);
    return true;
  }

  /** Anybody can send presence, and from as many domains as he has names: what is not shown any more is not looked at. */
  #letGo(now: number): void {
    if (now - this.#letGoBefore < BETWEEN_LETTING_GO) return;
    this.#letGoBefore = now;
    const known = this.presence.domains();
    for (const domain of this.#watched) {
      if (known.has(domain) || this.#behind.has(domain)) continue;
      this.#watched.delete(domain);
      this.reach.links.unwatch(domain, this, 'viewer');
    }
  }

  /** Whether there is something to tell of one presence. */
  #isDifferent(bareJid: string, resource: string, mark: number): boolean {
    if (mark === THEIRS) return false;
    const wanted = this.#wanted(bareJid, `${bareJid}/${resource}`, this.rooms.isRoom(bareJid) === 'joined');
    if (wanted === undefined) return mark !== NOTHING && mark !== FRESH;
    const shows = wanted.says === 'server-unavailable' ? SERVER_UNAVAILABLE : CONNECTION_PAUSED;
    return mark !== shows && !(mark === FRESH && shows === SERVER_UNAVAILABLE);
  }

  /** Shows the client what is true of one presence, if it is not what it has been shown. @returns whether something was sent */
  #bring(bareJid: string, resource: string, mark: number | undefined): boolean {
    if (mark === undefined || mark === THEIRS) return false;
    const fullJid = `${bareJid}/${resource}`;
    const isOccupant = this.rooms.isRoom(bareJid) === 'joined';
    const wanted = this.#wanted(bareJid, fullJid, isOccupant);
    if (wanted === undefined) {
      if (mark === FRESH) this.presence.mark(fullJid, NOTHING);
      if (mark === NOTHING || mark === FRESH) return false;
      const author = isOccupant ? domainOf(bareJid) : this.ownDomain;
      this.#send(fullJid, author, 'restored', author, mark);
      this.presence.mark(fullJid, NOTHING);
      if (mark === SERVER_UNAVAILABLE && !isOccupant) this.refresh(bareJid);
      return true;
    }
    const { says, author, about } = wanted;
    const shows = says === 'server-unavailable' ? SERVER_UNAVAILABLE : CONNECTION_PAUSED;
    if (mark === shows || (mark === FRESH && shows === SERVER_UNAVAILABLE)) return false;
    this.#send(fullJid, author, says, about, mark);
    this.presence.mark(fullJid, shows);
    return true;
  }

  #wanted(bareJid: string, fullJid: string, isOccupant: boolean): Wanted | undefined {
    const { ownDomain } = this;
    const { paused } = this.shared;
    const { links } = this.reach;
    const domain = domainOf(bareJid);
    const author = isOccupant ? domain : ownDomain;
    if (links.isDown(domain)) return { says: 'server-unavailable', author, about: domain };
    if (!isOccupant) {
      const isPaused = domain === ownDomain && (paused.has(fullJid) || this.#told.has(fullJid));
      return isPaused ? { says: 'connection-paused', author, about: domain } : undefined;
    }
    if (links.anyTroubled && isServiceOf(domain, ownDomain)) {
      const behind = realDomain(this.presence.latest(fullJid)?.bytes.toString() ?? '');
      if (behind !== undefined && links.isDown(behind))
        return { says: 'server-unavailable', author, about: behind };
    }
    if (this.#isPausedOccupant(bareJid, fullJid)) return { says: 'connection-paused', author, about: domain };
    return undefined;
  }

  #isPausedOccupant(room: string, fullJid: string): boolean {
    const nick = fullJid.slice(room.length + 1);
    return this.rooms.nickIn(room) !== nick && this.shared.occupancy.isPaused(room, nick);
  }

  #send(fullJid: string, author: string, says: Annotating, about: string, before: number): void {
    const bytes = this.presence.latest(fullJid)?.bytes;
    if (bytes === undefined || fullJid === this.ownFull) return;
    const description = describe(this.settings, says, this.language, about);
    const presence = annotated(bytes, annotationXml(author, says, description));
    const resumed = says === 'restored' && before === CONNECTION_PAUSED;
    if (presence !== undefined)
      this.context.send('client', presence, resumed ? 'connection-resumed-told' : REASONS[says]);
  }
}

function domainOf(bareJid: string): string {
  return bareJid.slice(bareJid.indexOf('@') + 1);
}
