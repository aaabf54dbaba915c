import type { Buffer } from 'node:buffer';
import { bare, domain, prepareJid } from '../../jid.js';
import type { AccountSession } from '../../knowledge/account/account.js';
import type { CapabilitiesSession } from '../../knowledge/capabilities/capabilities.js';
import type { PresenceSession } from '../../knowledge/presence/presence.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import type { Roster, RosterReader } from '../../knowledge/roster/roster-reader.js';
import type { FeatureContext } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { annotated, annotationXml, describe } from './annotation.js';
import type { DirectedPresence } from './directed.js';
import type { Occupant } from './occupancy.js';
import type { Paced } from './pacer.js';
import type { Settings } from './settings.js';
import type { SharedAnnotations } from './shared.js';

/** A connection that is back within this time was not away; ms. */
export const SHORT_BREAK = 500;
/** Presences that one session sends to the server at a time, and how long it then waits; ms. Servers limit what a connection may send. */
const AT_ONCE = 5;
const BETWEEN = 1_000;
/** Contacts elsewhere that are told. */
const MOST_RECIPIENTS = 1_000;

const BREAK = 'pause';
const SEND = 'pause-send';

/** What the session says to those of contacts, and what the next process is given. */
const PAUSED = 'paused';
const RESUMED = 'resumed';

/** Reads what another session has said. @returns undefined for what is none of this */
export function readPauseNotice(message: string): boolean | undefined {
  return message === PAUSED ? true : message === RESUMED ? false : undefined;
}

interface Snapshot {
  readonly accounts: readonly string[];
  readonly sent: readonly (readonly [jid: string, isSubscribed: boolean])[];
}

/** Who has been told, or is to be; made with the first break. */
class Told {
  /** Bare JIDs of accounts here. */
  readonly accounts = new Set<string>();
  /**
   * Full JIDs elsewhere that are asked what they understand, that are to be sent something, and that have been sent an annotation; with each,
   * whether it is subscribed. Who is not has what it was sent by name, and must not get anything else.
   */
  readonly asked = new Map<string, boolean>();
  readonly sent = new Map<string, boolean>();
  readonly toSend = new Map<string, boolean>();
}

/**
 * One's own client is away for a while (XEP-0310 §4.2): who has its presence is told. Sessions here are told by the bus, and each shows its
 * client what that has already; contacts elsewhere who are known to understand it are sent what they have, by name.
 */
export class Pause implements Occupant, Paced {
  #state: 'here' | 'breaking' | 'away' = 'here';
  #told: Told | undefined;
  #roster: Roster | undefined;
  #notBefore = 0;
  /** Counts the breaks: answers that belong to a former one are of no use. */
  #break = 0;

  constructor(
    private readonly context: FeatureContext,
    private readonly shared: SharedAnnotations,
    private readonly settings: Settings,
    private readonly ownFull: string,
    private readonly knowledge: {
      readonly account: AccountSession;
      readonly presence: PresenceSession;
      readonly capabilities: CapabilitiesSession;
      readonly rooms: RoomsSession;
    },
    private readonly directed: DirectedPresence,
    private readonly roster: RosterReader,
    private readonly onOccupantChanged: (occupantJid: string) => void,
    snapshot: Snapshot | undefined,
  ) {
    if (snapshot === undefined) return;
    // It was away when its process ended.
    this.#state = 'away';
    shared.paused.add(ownFull);
    this.#told = new Told();
    for (const jid of snapshot.accounts) this.#told.accounts.add(jid);
    for (const [jid, isSubscribed] of snapshot.sent) this.#told.sent.set(jid, isSubscribed);
  }

  /** What the next process has to know; nothing while the client is here. */
  snapshot(): Snapshot | undefined {
    if (this.#state !== 'away') return undefined;
    return { accounts: [...(this.#told?.accounts ?? [])], sent: [...(this.#told?.sent ?? [])] };
  }

  get isPaused(): boolean {
    return this.#state === 'away';
  }

  occupantChanged(occupantJid: string): void {
    this.onOccupantChanged(occupantJid);
  }

  /** The client's connection is lost or paused, and it may come back. */
  paused(now: number): void {
    if (this.#state !== 'here') return;
    this.#state = 'breaking';
    this.context.wakeAt(BREAK, now + SHORT_BREAK);
  }

  /** It is back. */
  resumed(now: number): void {
    const was = this.#state;
    this.#state = 'here';
    this.#break += 1;
    if (was !== 'away') return;
    this.shared.paused.delete(this.ownFull);
    this.#tellRooms(now);
    const told = this.#told;
    if (told === undefined) return;
    for (const jid of told.accounts) this.context.tell(jid, RESUMED);
    told.accounts.clear();
    // Who has not been told yet that it was away need not hear that it is back.
    told.asked.clear();
    told.toSend.clear();
    for (const [jid, isSubscribed] of told.sent) told.toSend.set(jid, isSubscribed);
    told.sent.clear();
    this.#sendSome(now, AT_ONCE);
    this.#sendRest();
  }

  /**
   * A contact is not subscribed, perhaps no longer: then its server has told it that the client is gone (RFC 6121 §3.2.2), whatever it was
   * sent by name before. Who never was and has it by name is told less. @param jid prepared, bare
   */
  unsubscribed(jid: string): void {
    this.directed.forget(jid);
    const told = this.#told;
    if (told === undefined) return;
    for (const all of [told.asked, told.toSend, told.sent])
      for (const to of all.keys()) if (bare(to) === jid) all.delete(to);
  }

  /** The session is over: the server says so by its own rules. */
  closed(): void {
    this.#state = 'here';
    this.shared.paused.delete(this.ownFull);
    this.shared.pacer.leave(this, this.context.now);
  }

  turnComes(time: number): void {
    this.context.wakeAt(SEND, Math.max(time, this.#notBefore));
  }

  /** @returns whether the wake-up was for this */
  wake(token: string, now: number): boolean {
    if (token === SEND) {
      const { pacer } = this.shared;
      const allowed = pacer.turn(this, AT_ONCE, now);
      if (allowed > 0) {
        pacer.over(this, this.#sendSome(now, allowed), now);
        this.#sendRest();
      }
      return true;
    }
    if (token !== BREAK) return false;
    // Nobody has the presence of a client that is not available.
    if (this.#state === 'breaking' && this.knowledge.account.broadcast === undefined && !this.#isAnywhere)
      return true;
    if (this.#state === 'breaking') this.#goAway(now);
    return true;
  }

  get #isAnywhere(): boolean {
    return this.directed.targets.length > 0 || this.knowledge.rooms.joined().length > 0;
  }

  #goAway(now: number): void {
    this.#state = 'away';
    this.#told ??= new Told();
    this.shared.paused.add(this.ownFull);
    this.#tellRooms(now);
    const { broadcast } = this.knowledge.account;
    const elsewhere = this.#contactsElsewhere();
    if (this.shared.viewers === 0 && elsewhere.length === 0) return;
    const { identity } = this.context;
    if (broadcast !== undefined) this.#tell(bare(this.ownFull));
    for (const jid of this.directed.targets) if (domain(jid) === domain(this.ownFull)) this.#tell(bare(jid));
    const current = this.#break;
    if (broadcast === undefined) {
      this.#chooseElsewhere(elsewhere, current);
      return;
    }
    this.roster.read((roster) => {
      if (this.#break !== current || this.#state !== 'away') return;
      this.#roster = roster;
      for (const [jid, { sees }] of roster ?? [])
        if (sees && domain(jid) === prepareJid(identity.domain)) this.#tell(jid);
      this.#chooseElsewhere(elsewhere, current);
      this.#roster = undefined;
    });
  }

  #tell(account: string): void {
    const accounts = this.#told?.accounts;
    if (accounts === undefined || accounts.has(account)) return;
    accounts.add(account);
    this.context.tell(account, PAUSED);
  }

  #tellRooms(now: number): void {
    const { rooms } = this.knowledge;
    for (const room of rooms.joined()) {
      const nick = rooms.nickIn(room);
      if (nick !== undefined) this.shared.occupancy.tell(room, nick, this, now);
    }
  }

  /** Full JIDs that have announced capabilities, are no session of this proxy's, and may understand. */
  #contactsElsewhere(): string[] {
    const { presence, capabilities, rooms } = this.knowledge;
    const own = domain(this.ownFull);
    const found: string[] = [];
    for (const [bareJid, resource] of presence.marks()) {
      const jid = `${bareJid}/${resource}`;
      if (jid === this.ownFull || rooms.isRoom(bareJid) === 'joined') continue;
      const features = capabilities.featuresOf(jid);
      if (features === undefined) continue;
      const isForeign = domain(bareJid) !== own;
      // Of sessions on the own server only what is known already counts: most are here and are told by the bus.
      const may = features === 'unknown' ? isForeign : features.has(NS.psa);
      if (!may || (!isForeign && this.#isHere(bareJid, jid))) continue;
      found.push(jid);
      if (found.length >= MOST_RECIPIENTS) break;
    }
    return found;
  }

  #isHere(bareJid: string, fullJid: string): boolean {
    return this.context.domain.sessionsOf(bareJid).some(({ full }) => prepareJid(full) === fullJid);
  }

  #chooseElsewhere(contacts: readonly string[], current: number): void {
    const { capabilities } = this.knowledge;
    for (const jid of contacts) {
      const isSubscribed = this.#roster?.get(bare(jid))?.sees === true;
      if (this.#presenceOf(jid, isSubscribed) === undefined) continue;
      this.#told?.asked.set(jid, isSubscribed);
      capabilities.want(jid, (features) => {
        if (this.#break !== current || this.#state !== 'away') return;
        const told = this.#told;
        // Its subscription may have ended meanwhile.
        if (told?.asked.delete(jid) !== true || features?.has(NS.psa) !== true) return;
        told.toSend.set(jid, isSubscribed);
        this.#sendRest();
      });
    }
  }

  /** The presence of this client's that a contact has, by subscription or by name; undefined: none, or it was taken back. @param to prepared */
  #presenceOf(to: string, isSubscribed: boolean): Buffer | undefined {
    const { broadcast } = this.knowledge.account;
    const byName = this.directed.sentTo(to);
    const bySubscription = isSubscribed && !this.directed.isCancelled(to) ? broadcast : undefined;
    if (byName === undefined || (byName.isBeforeBroadcast && bySubscription !== undefined))
      return bySubscription;
    return byName.bytes;
  }

  #sendRest(): void {
    if ((this.#told?.toSend.size ?? 0) > 0) this.shared.pacer.wait(this, this.context.now);
  }

  /** @returns how many were sent */
  #sendSome(now: number, most: number): number {
    const toSend = this.#told?.toSend;
    if (toSend === undefined) return 0;
    let sent = 0;
    for (const [jid, isSubscribed] of toSend) {
      if (sent === most) break;
      toSend.delete(jid);
      if (this.#send(jid, isSubscribed)) sent += 1;
    }
    this.#notBefore = now + BETWEEN;
    return sent;
  }

  #send(to: string, isSubscribed: boolean): boolean {
    // Meanwhile it may have gone, or the presence been taken back.
    const bytes = this.#presenceOf(to, isSubscribed);
    if (bytes === undefined || this.knowledge.presence.markOf(to) === undefined) return false;
    const author = this.context.identity.domain;
    const says = this.#state === 'away' ? 'connection-paused' : 'restored';
    const description = describe(this.settings, says, undefined, author);
    const stanza = annotated(bytes, annotationXml(author, says, description), to);
    if (stanza === undefined) return false;
    if (says === 'connection-paused') this.#told?.sent.set(to, isSubscribed);
    const reason = says === 'restored' ? 'connection-resumed-told' : 'connection-paused-told';
    this.context.send('server', stanza, reason);
    return true;
  }
}
