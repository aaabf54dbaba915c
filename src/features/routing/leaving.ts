import { bare, prepareJid } from '../../jid.js';
import type { AccountSession } from '../../knowledge/account/account.js';
import type { PresenceSession } from '../../knowledge/presence/presence.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import { type FeatureContext, PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import type { Fragment } from '../../xml/fragment.js';
import type { Frame } from '../../xml/frame.js';
import { Splice } from '../../xml/splice.js';
import type { ProbeSession } from '../capabilities-probe/capabilities-probe.js';
import type { Acquaintances } from './acquaintances.js';
import type { Carbons } from './carbons.js';
import type { Common } from './common.js';
import { ALONE, CONVERSATIONAL, examine, NO_COPY, PRIVATE, SINGLE, TWO } from './kinds.js';
import { LeavingChildren } from './marks.js';
import { messageKey } from './message-key.js';
import { isOfOneResource, messageType } from './message-type.js';
import { writeNotice } from './notices.js';
import { Readdressed } from './readdressed.js';
import type { RoutingSettings } from './settings.js';
import {
  type AddressKnowledge,
  type DeviceAddress,
  isSomebodysDevice,
  readDeviceAddress,
} from './user-address.js';

const LEFT: Verdict = { action: 'edit', reason: 'left-realm' };
const READDRESSED: Verdict = { action: 'edit', reason: 'readdressed' };

/** One for all sessions: hardly anybody has domains of users elsewhere. */
const NO_DOMAINS: ReadonlySet<string> = new Set();

/** What the rest of the session knows. */
export interface LeavingKnowledge {
  readonly account: AccountSession;
  readonly carbons: Carbons;
  readonly acquaintances: Acquaintances;
  readonly rooms: RoomsSession;
  readonly presence: PresenceSession;
  readonly services: ProbeSession;
  readonly common: Common;
}

/** Messages of one session’s client that leave the realm towards the server. */
export class Leaving {
  readonly #children: LeavingChildren;
  readonly #addresses: AddressKnowledge;
  /** Of the own account, prepared. */
  readonly #own: string;
  /** The address written to last: a conversation goes on with one. What is known of it is looked up each time. */
  #lastTo: string | undefined;
  #lastIsFull = false;
  #lastDevice: DeviceAddress | undefined;
  /** Made when needed: most sessions never do. */
  #readdressed: Readdressed | undefined;

  constructor(
    private readonly context: FeatureContext,
    private readonly settings: RoutingSettings,
    private readonly known: LeavingKnowledge,
  ) {
    const { identity } = context;
    const { rooms, presence, services } = known;
    this.#children = new LeavingChildren(settings);
    this.#own = prepareJid(identity.bare) ?? identity.bare;
    this.#addresses = {
      ...{ identity, rooms, presence, services },
      userDomains:
        settings.userDomains.length === 0
          ? NO_DOMAINS
          : new Set(settings.userDomains.map((name) => prepareJid(name) ?? name)),
    };
  }

  take(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const flags = examine(frame);
    const to = this.#addressee(frame);
    if (to === undefined || !this.#lastIsFull) {
      if (this.#isHeard) this.#reflect(frame, flags, to);
      return marked(stanza, this.#children.plain(flags));
    }
    const device = this.#lastDevice;
    if (device === undefined || !this.#isForAll(frame, flags, device))
      return marked(stanza, this.#children.alone(flags, to));
    // What is for the account would never reach a device that wants no messages; the others have a copy of what is said to it, where there are copies.
    if (this.#isPassedOver(device, to)) return marked(stanza, this.#children.plain(flags));
    // Another proxy has found the same, and has left it to us as it is to be.
    if ((flags & TWO) !== 0) return marked(stanza, this.#children.alone(flags, to));
    this.#readdressed ??= new Readdressed();
    this.#readdressed.note(frame, to);
    if (this.#isHeard) this.#reflect(frame, flags, to);
    marked(stanza, this.#children.plain(flags));
    stanza.edit().cutResource('to');
    return READDRESSED;
  }

  /** Whether what is sent may be for others of the account too. */
  get #isHeard(): boolean {
    const { optedIn, copied } = this.known.common;
    return optedIn.any || copied.any;
  }

  /** Where the client had sent what this error is for; undefined when it knows the address that the error comes from. */
  addressedBefore({ id, from }: Frame): string | undefined {
    return this.#readdressed?.addressOf(id, from);
  }

  /** Whom it is for; the same string again for the same address. */
  #addressee(frame: Frame): string | undefined {
    if (this.#lastTo !== undefined && frame.attributeEquals('to', this.#lastTo)) return this.#lastTo;
    const { to } = frame;
    if (to !== this.#lastTo) {
      this.#lastTo = to;
      this.#lastIsFull = to?.includes('/') === true;
      this.#lastDevice = to !== undefined && this.#lastIsFull ? readDeviceAddress(to) : undefined;
      if (to !== undefined) this.known.acquaintances.writesTo(to);
    }
    return to;
  }

  /** What a client that knows nothing of all this says to one resource because it had heard from there last (RFC 6121 §5.1). */
  #isForAll(frame: Frame, flags: number, device: DeviceAddress): boolean {
    if (!this.settings.readdress || (flags & CONVERSATIONAL) === 0) return false;
    if ((flags & (SINGLE | PRIVATE | NO_COPY | ALONE)) !== 0) return false;
    if (isOfOneResource(messageType(frame))) return false;
    return isSomebodysDevice(device, this.#addresses);
  }

  #isPassedOver({ bare }: DeviceAddress, to: string): boolean {
    return this.known.carbons.server !== 'none' && this.known.account.isPassedOver(bare, to);
  }

  /** What one resource says, the others that have opted in hear (XEP-0409 §3.3), and those that are made carbons for (XEP-0280 §7). */
  #reflect(frame: Frame, flags: number, to: string | undefined): void {
    const { optedIn, copied } = this.known.common;
    const isCopied = (flags & CONVERSATIONAL) !== 0 && copied.has(this.#own);
    if (!isCopied && !optedIn.has(this.#own)) return;
    if (!this.settings.copies || isOfOneResource(messageType(frame))) return;
    if ((flags & (PRIVATE | NO_COPY | ALONE | SINGLE)) !== 0) return;
    // What is for the account itself comes to all of it anyway.
    if (to === undefined || prepareJid(bare(to)) === this.#own) return;
    const { full, bare: account } = this.context.identity;
    const splice = new Splice(frame).setAttribute('from', full).setAttribute('to', bare(to));
    const xml = splice.toBuffer().toString();
    const key = messageKey(frame).replace(/^[^\n]*/u, full);
    const notice = { kind: 'reflection', key, xml, ...(isCopied && { sent: true as const }) } as const;
    this.context.tell(account, writeNotice(notice));
  }
}

function marked(stanza: PassingStanza, children: Fragment | undefined): Verdict {
  if (children === undefined) return PASS;
  stanza.edit().appendChild(children);
  return LEFT;
}
