import { Buffer } from 'node:buffer';
import { prepareJid } from '../jid.js';
import { keyParts, type StoreEntry } from '../store/store.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import type { MessageTaker } from './backlogs.js';
import { cameAt, keptSince, withDelay } from './delay.js';
import type { DomainRuntime } from './domain.js';
import type { ServerKind, SessionIdentity } from './feature.js';
import { KeptCopies } from './kept-copies.js';
import type { SessionPort } from './port.js';
import { messageKeys, SAME_TIME } from './sightings.js';
import type { Arrival } from './start/arrival.js';
import { isKept, readUndelivered, type Undelivered, undeliveredPrefix } from './undelivered.js';

/** What this needs of the session around it. */
export interface MissedSurroundings {
  readonly identity: SessionIdentity;
  readonly port: SessionPort;
  readonly domain: DomainRuntime;
  readonly serverKind: ServerKind;
  /** The client acknowledges what it has, and may come back for what it has not. */
  readonly clientResumes: boolean;
  readonly clientIsHeld: boolean;
  readonly arrival: Arrival | undefined;
  readonly now: number;
  /** The server is not read while the store is asked what comes before it. */
  waitForStore(waiting: boolean): void;
  /** Sends a message of which there is a copy in the store. */
  put(bytes: Buffer, stored: string): void;
  /** Asks the server for a sign of life. */
  ping(done: () => void): void;
  /** All that the client has had is out of the store. */
  storeIsThere(): void;
}

interface FromStore {
  readonly key: string;
  readonly message: Undelivered;
}

/** Keys of what a session has found in the store that are remembered. */
const MOST_FOUND = 4_000;

/**
 * What other sessions of the account have missed and waits in the store, seen from a session that wants it: it gets each message that it
 * has not had, once, in order, and before what the server has for it.
 */
export class MissedMessages implements MessageTaker {
  wantsSince = Number.POSITIVE_INFINITY;
  /** The client has said that it wants messages. */
  #greeted = false;
  #isOver = false;
  /** There was reason to look into the store while the archive was being read. */
  #looksLater = false;
  /** Another session is putting away what comes before what the server gives. */
  #waitsForOthers = false;
  /** Questions to the store that are open. */
  #looking = 0;
  /** What has been found in the store: how often under each key, of each session that put it there and in all, and when it came last. */
  #found: Map<string, { readonly count: number; readonly at: number }> | undefined;
  /** What has come out of the store and waits for what the server has that is older. */
  #fromStore: FromStore[] = [];
  #serverMayHaveOlder = false;
  readonly #keptCopies = new KeptCopies();
  /** Keys of what is being taken out of the store, in the order in which it was asked for. */
  #forgetting: (readonly string[])[] = [];

  constructor(
    /** Prepared. */
    private readonly account: string,
    private readonly around: MissedSurroundings,
  ) {}

  /** Whether this is the first presence that says the client wants messages (RFC 6121 §4.2, §8.5.2). */
  greets(frame: Frame): boolean {
    if (this.#greeted || frame.kind !== StanzaKind.Presence) return false;
    if (frame.type !== undefined || frame.to !== undefined) return false;
    const at = frame.findChild('priority', NS.client);
    if (at >= 0 && frame.buffer.toString('latin1', frame.childStart(at), frame.childEnd(at)).includes('>-')) {
      this.#leavesTheRest();
      return false;
    }
    this.#greeted = true;
    return true;
  }

  /** It has gone out: what nobody has had is for this client. */
  greeting(): void {
    this.wantsSince = this.around.now;
    this.around.domain.backlogs.wants(this.account, this);
    this.around.arrival?.greeted();
    // COMPAT: ejabberd may keep what comes while a resource is bound anew until the session after that, and it is older than what we have.
    this.#serverMayHaveOlder = this.around.serverKind === 'ejabberd';
    this.lookIntoStore();
  }

  lookIntoStore(): void {
    const { port, domain, arrival } = this.around;
    // The archive comes first, and may have it.
    if (arrival?.reading === true) this.#looksLater = true;
    // It is not all there yet.
    else if (domain.backlogs.isPuttingAway(this.account)) this.waitForOthers();
    else {
      this.#looking += 1;
      this.around.waitForStore(true);
      port.load(undeliveredPrefix(domain.name, this.account), 'undelivered');
    }
  }

  waitForOthers(): void {
    if (this.around.arrival?.reading === true) this.#looksLater = true;
    else if (!this.#waitsForOthers) {
      this.#waitsForOthers = true;
      this.around.waitForStore(true);
    }
  }

  othersAreDone(): void {
    if (!this.#waitsForOthers) return;
    this.#waitsForOthers = false;
    this.lookIntoStore();
  }

  /** Nothing is for this session any more but what it has. */
  wantsNoMore(): void {
    this.#isOver = true;
    this.around.domain.backlogs.wantsNoMore(this.account, this);
    if (!this.#waitsForOthers) return;
    this.#waitsForOthers = false;
    this.goOn();
  }

  /** The server is read again, unless something is waited for that comes before. */
  goOn(): void {
    if (this.#looking === 0 && !this.#waitsForOthers) this.around.waitForStore(false);
  }

  archiveIsRead(): void {
    if (!this.#looksLater) return;
    this.#looksLater = false;
    this.lookIntoStore();
  }

  /** The same as `deliver` with what has been looked up before. */
  deliverFirst(entries: readonly StoreEntry[]): void {
    this.#looking += 1;
    this.deliver(entries);
  }

  /** @param entries of the account, in the order in which they came */
  deliver(entries: readonly StoreEntry[]): void {
    const { port, domain, arrival, identity } = this.around;
    const wall = port.wallClock();
    const full = this.#full;
    const useless: string[] = [];
    for (const entry of entries) {
      // Somebody is getting it, perhaps this session, or is to get it first.
      if (domain.backlogs.delivering.has(entry.key)) continue;
      if (domain.backlogs.isReserved(entry.key, full, this.around.now)) continue;
      const message = readUndelivered(entry, wall);
      if (message === undefined) useless.push(entry.key);
      // It is for another device, and what this one has put away of it itself is for this one.
      else if (message.seenBy.includes(identity.resource) || this.#hasSeen(message, wall)) continue;
      else if (this.#isCopy(entry.key, message) || arrival?.knows(message.keys) === true)
        useless.push(entry.key);
      else {
        domain.backlogs.delivering.add(entry.key);
        this.#fromStore.push({ key: entry.key, message });
      }
    }
    this.forget(useless);
    if (this.#fromStore.length > 0 && this.#serverMayHaveOlder)
      this.around.ping(() => this.#give(Number.POSITIVE_INFINITY));
    else this.#give(Number.POSITIVE_INFINITY);
    this.#serverMayHaveOlder = false;
    this.#looking -= 1;
    if (this.#greeted) this.#leavesTheRest();
    this.goOn();
  }

  /** What was kept for this resource first, and it does not want, is for others. */
  #leavesTheRest(): void {
    if (!this.#isOver) this.around.domain.backlogs.release(this.account, this.#full, this);
  }

  /** Prepared. */
  get #full(): string {
    const { full } = this.around.identity;
    return prepareJid(full) ?? full;
  }

  /**
   * Several devices may have missed one message: of what each has put away, the n-th with one key is the same as the n-th of another, if it came at
   * about the same time.
   */
  #isCopy(place: string, { keys, at }: Undelivered): boolean {
    const session = keyParts(place).at(-1) ?? '';
    let isCopy = false;
    this.#found ??= new Map();
    for (const key of keys) {
      const own = `${session} ${key}`;
      const count = (this.#found.get(own)?.count ?? 0) + 1;
      this.#found.set(own, { count, at });
      const known = this.#found.get(key);
      if (known !== undefined && count <= known.count && Math.abs(at - known.at) < SAME_TIME) isCopy = true;
      else this.#found.set(key, { count, at });
    }
    if (this.#found.size > MOST_FOUND) this.#found = undefined;
    return isCopy;
  }

  /**
   * A stanza of the server's is about to go to the client: what is older comes before it.
   * @returns true when a client of the account has had it out of the store. One that is there still is no use there any more
   */
  comesAgain(frame: Frame): boolean {
    if (frame.kind !== StanzaKind.Message) return false;
    const { domain, identity } = this.around;
    if (this.#fromStore.length > 0) this.#give(keptSince(frame, identity.domain) ?? Number.POSITIVE_INFINITY);
    const doubt = domain.doubts.has(this.account) ? this.#endsDoubt(frame) : undefined;
    if (doubt === undefined) return this.#hasHad(frame);
    if (doubt.given) return true;
    this.forget([doubt.stored]);
    this.#fromStore = this.#fromStore.filter(({ key }) => key !== doubt.stored);
    return false;
  }

  /** This device has been sent what another has put away, later than that. @param wall ms since 1970 */
  #hasSeen({ keys, at, resource }: Undelivered, wall: number): boolean {
    const { domain, identity, now } = this.around;
    if (resource === identity.resource) return false;
    const sightings = domain.sightings.of(this.account, keys, now - wall + at);
    return sightings.some((sighting) => sighting.resource === identity.resource);
  }

  /** A copy that this device gets of what another is sent (XEP-0280), or has missed, is not the message itself once more. */
  #endsDoubt(frame: Frame): ReturnType<DomainRuntime['doubts']['takes']> {
    const { domain, identity } = this.around;
    const isKept = keptSince(frame, identity.domain) !== undefined;
    const isCopy = isCarbonCopy(frame);
    if (isCopy && !isKept) return undefined;
    return domain.doubts.takes(this.account, frame, identity.resource, isKept && !isCopy);
  }

  /**
   * The server has kept it since before this device was sent it. COMPAT: Prosody keeps for the account what it has copied to another session of the account
   * (XEP-0280) that was not resumed. What this device has not acknowledged either is with us, not lost.
   */
  #hasHad(frame: Frame): boolean {
    const { domain, identity, port, now } = this.around;
    if (frame.findChild('delay', NS.delay) < 0) {
      this.#keptCopies.end();
      return false;
    }
    const came = isKept(frame) ? cameAt(frame, identity.bare, identity.domain) : undefined;
    if (came === undefined) return false;
    const keys = messageKeys(frame, this.account);
    if (this.#keptCopies.comesAgain(keys.at(-1) ?? '', isCarbonCopy(frame) ? 'copy' : 'message')) return true;
    const since = now - port.wallClock() + came;
    return domain.sightings
      .of(this.account, keys, since)
      .some(({ resource, isSafe }) => resource === identity.resource && isSafe);
  }

  /** A stanza has gone to the client, or waits for it: what another session of the account misses of it this device does not. */
  note(frame: Frame): void {
    if (frame.kind !== StanzaKind.Message) return;
    const { domain, identity, now, clientResumes } = this.around;
    if (!domain.hasOthers(this.account) || !isKept(frame)) return;
    const sighting = { resource: identity.resource, at: now, isSafe: clientResumes };
    domain.sightings.note(this.account, messageKeys(frame, this.account), sighting);
  }

  /** The connection is lost: nothing of what has come out of the store waits for the server any more. */
  clientIsGone(): void {
    this.#give(Number.POSITIVE_INFINITY);
  }

  /** The client has these, or nobody is to have them. */
  forget(keys: readonly string[]): void {
    if (keys.length === 0) return;
    const { port, domain } = this.around;
    // Until they are out of the store nobody else is to find them there.
    for (const key of keys) domain.backlogs.delivering.add(key);
    this.#forgetting.push(keys);
    port.store(
      keys.map((key) => ({ key, value: undefined })),
      'delivered',
    );
  }

  /** What was forgotten first is out of the store. */
  forgotten(): void {
    for (const key of this.#forgetting.shift() ?? []) this.around.domain.backlogs.delivering.delete(key);
    if (!this.forgetting) this.around.storeIsThere();
  }

  get forgetting(): boolean {
    return this.#forgetting.length > 0;
  }

  /** The session is over. @param unacknowledged where in the store the rest of what the client was sent is */
  close(unacknowledged: readonly string[]): void {
    const { domain } = this.around;
    this.wantsNoMore();
    for (const key of unacknowledged) domain.backlogs.delivering.delete(key);
    for (const { key } of this.#fromStore) domain.backlogs.delivering.delete(key);
    for (const keys of this.#forgetting) for (const key of keys) domain.backlogs.delivering.delete(key);
    this.#forgetting = [];
  }

  /** Gives the client what has come out of the store and is not younger than what the server gives now. @param until ms since 1970 */
  #give(until: number): void {
    const { port, domain, clientResumes } = this.around;
    const after = this.#fromStore.findIndex(({ message }) => message.at > until);
    const given = this.#fromStore.splice(0, after < 0 ? this.#fromStore.length : after);
    for (const { key, message } of given) {
      const bytes = withDelay(Buffer.from(message.xml), message.at, domain.name, domain.namespaces);
      this.around.put(bytes ?? Buffer.from(message.xml), key);
      this.#keptCopies.comesAgain(message.keys.at(-1) ?? '', 'message');
      if (!message.doubtful || domain.doubts.isSettled(key)) continue;
      const { keys, resource } = message;
      domain.doubts.note(this.account, { keys, stored: key, resource }, true, port.wallClock());
    }
    // A client without stream management has it when it is written.
    if (!clientResumes) this.forget(given.map(({ key }) => key));
  }
}

/** XEP-0280 §6. */
function isCarbonCopy(frame: Frame): boolean {
  return frame.findChild('received', NS.carbons2) >= 0 || frame.findChild('sent', NS.carbons2) >= 0;
}
