import { Buffer } from 'node:buffer';
import { bare, prepareJid } from '../../jid.js';
import { type AccountSession, account, accountKey } from '../../knowledge/account/account.js';
import { type PresenceSession, presence, presenceKey } from '../../knowledge/presence/presence.js';
import { type RoomsSession, rooms, roomsKey } from '../../knowledge/rooms/rooms.js';
import {
  type DiscoAmendment,
  type DiscoAnswer,
  type Feature,
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { Splice } from '../../xml/splice.js';
import {
  capabilitiesProbe,
  capabilitiesProbeKey,
  type ProbeSession,
} from '../capabilities-probe/capabilities-probe.js';
import { Addressing, HERE, type Target } from './addressing.js';
import { readCarbonCopy } from './carbon-copy.js';
import { Carbons, conflict, resultFrom, type ServerCopies } from './carbons.js';
import { type Common, commonKey } from './common.js';
import {
  ALONE,
  ARCHIVE_RESULT,
  BODY,
  CARBON,
  CONVERSATIONAL,
  examine,
  NO_COPY,
  OF_ROOM,
  PRIVATE,
  SINGLE,
  TWO,
} from './kinds.js';
import { editEntering, LeavingChildren, markedAddress } from './marks.js';
import { messageKey } from './message-key.js';
import { isOfOneResource, type MessageType, messageType } from './message-type.js';
import { readNotice, writeNotice } from './notices.js';
import { Readdressed } from './readdressed.js';
import { DROPPED, Returns } from './returns.js';
import { type RoutingSettings, SETTINGS } from './settings.js';
import { ToldCopies } from './told-copies.js';
import {
  type AddressKnowledge,
  type DeviceAddress,
  isSomebodysDevice,
  readDeviceAddress,
} from './user-address.js';

const MESSAGE_OUT = 0;
const MESSAGE_IN = 1;
const CARBONS_WISH = 2;
const NG_WISH = 3;
const WATCHES: readonly Watch[] = [
  { direction: 'to-server', stanza: 'message' },
  { direction: 'to-client', stanza: 'message' },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['set'],
    child: { namespace: NS.carbons2 },
    address: ['account'],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['set'],
    child: { namespace: NS.imNg, name: 'enable' },
    address: ['account', 'domain'],
  },
];

const LEFT: Verdict = { action: 'edit', reason: 'left-realm' };
const READDRESSED: Verdict = { action: 'edit', reason: 'readdressed' };
const ENTERED: Verdict = { action: 'edit', reason: 'entered-realm' };

interface Snapshot {
  readonly server: ServerCopies;
  readonly wanted: boolean;
  readonly optedIn: boolean;
}

/** One session under the rules of XMPP 2.0, in front of a server that has none of them. `docs/routing.md` is the whole of them. */
export class RoutingSession implements FeatureSession {
  readonly #settings: RoutingSettings;
  readonly #common: Common;
  readonly #addressing: Addressing;
  readonly #account: AccountSession;
  readonly #rooms: RoomsSession;
  readonly #presence: PresenceSession;
  readonly #services: ProbeSession;
  readonly #known: AddressKnowledge;
  /** The address written to last: a conversation goes on with one. What is known of it is looked up each time. */
  #lastTo: string | undefined;
  #lastIsFull = false;
  #lastDevice: DeviceAddress | undefined;
  readonly #leaving: LeavingChildren;
  readonly #carbons: Carbons;
  /** Prepared. */
  readonly #own: string;
  /** The client has opted in to XEP-0409. */
  #optedIn = false;
  readonly #copies: ToldCopies;
  readonly #returns: Returns;
  /** Made when needed: most sessions never do. */
  #readdressed: Readdressed | undefined;

  constructor(
    private readonly context: FeatureContext,
    snapshot: string | undefined,
  ) {
    const { identity, serverKind } = context;
    this.#settings = context.settings(SETTINGS);
    this.#leaving = new LeavingChildren(this.#settings);
    this.#common = context.domain.shared(commonKey);
    this.#addressing = new Addressing(identity, serverKind);
    this.#account = context.know(accountKey);
    this.#rooms = context.know(roomsKey);
    this.#presence = context.know(presenceKey);
    this.#services = context.know(capabilitiesProbeKey);
    this.#known = {
      ...{ identity, rooms: this.#rooms, presence: this.#presence, services: this.#services },
      userDomains: new Set(this.#settings.userDomains.map((name) => prepareJid(name) ?? name)),
    };
    this.#own = prepareJid(identity.bare) ?? identity.bare;
    const before = snapshot === undefined ? undefined : (JSON.parse(snapshot) as Snapshot);
    this.#carbons = new Carbons(context, before);
    this.#copies = new ToldCopies(context, this.#account, this.#carbons);
    this.#returns = new Returns(context, this.#presence, this.#common.returned);
    if (before?.optedIn === true) this.#optIn();
    // At once: what comes before copies are on, the others do not get.
    if (this.#settings.copies) this.#carbons.enable();
  }

  snapshot(): string | undefined {
    const { server, wanted } = this.#carbons;
    const snapshot: Snapshot = { server, wanted, optedIn: this.#optedIn };
    return JSON.stringify(snapshot);
  }

  onClose(): void {
    const sessions = this.#common.optedIn.get(this.#own);
    if (sessions?.delete(this.context.identity) === true && sessions.size === 0)
      this.#common.optedIn.delete(this.#own);
  }

  onDisco({ entity, node }: DiscoAnswer): DiscoAmendment | undefined {
    return entity === 'server' && node === undefined && this.#settings.imNg ? { add: [NS.imNg] } : undefined;
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    switch (watch) {
      case MESSAGE_OUT:
        return this.#leaves(stanza);
      case MESSAGE_IN:
        return this.#enters(stanza);
      case CARBONS_WISH:
        return this.#settings.copies ? this.#carbons.asked(stanza.frame, this.#optedIn) : PASS;
      case NG_WISH:
        return this.#settings.imNg ? this.#wantsNg(stanza.frame) : PASS;
      default:
        return PASS;
    }
  }

  onTold(text: string, from: string): void {
    const notice = readNotice(text);
    if (notice === undefined) return;
    if (notice.kind === 'error') {
      this.#returns.pass(notice);
      return;
    }
    if (!this.#settings.copies || !this.#wantsMessages) return;
    if (notice.kind === 'reflection' && !this.#optedIn) return;
    this.#copies.take(notice, from);
  }

  onWakeup(): void {
    this.#copies.takeExpected();
  }

  // Leaving the realm.

  #leaves(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const flags = examine(frame);
    const to = this.#addressee(frame);
    if (to === undefined || !this.#lastIsFull) {
      if (this.#common.optedIn.size > 0) this.#reflectSent(frame, flags, to);
      const children = this.#leaving.plain(flags);
      if (children === undefined) return PASS;
      stanza.edit().appendChild(children);
      return LEFT;
    }
    const isConversation = this.#isForAll(frame, flags);
    // What is for the account would never reach a device that wants no messages; the others have a copy of what is said to it, where there are copies.
    const isPassedOver = isConversation && this.#carbons.server !== 'none' && this.#account.isPassedOver(to);
    if (isConversation && !isPassedOver) return this.#readdresses(stanza, flags, to);
    const children = isConversation ? this.#leaving.plain(flags) : this.#leaving.alone(flags, to);
    if (children === undefined) return PASS;
    stanza.edit().appendChild(children);
    return LEFT;
  }

  #readdresses(stanza: PassingStanza, flags: number, to: string): Verdict {
    const { frame } = stanza;
    this.#readdressed ??= new Readdressed();
    this.#readdressed.note(frame.id, to);
    if (this.#common.optedIn.size > 0) this.#reflectSent(frame, flags, to);
    const children = this.#leaving.plain(flags);
    const splice = stanza.edit().cutResource('to');
    if (children !== undefined) splice.appendChild(children);
    return READDRESSED;
  }

  /** Whom it is for; the same string again for the same address. */
  #addressee(frame: Frame): string | undefined {
    if (this.#lastTo !== undefined && frame.attributeEquals('to', this.#lastTo)) return this.#lastTo;
    const { to } = frame;
    if (to !== this.#lastTo) {
      this.#lastTo = to;
      this.#lastIsFull = to?.includes('/') === true;
      this.#lastDevice = this.#lastIsFull ? readDeviceAddress(to!) : undefined;
    }
    return to;
  }

  /** What a client that knows nothing of all this says to one resource because it had heard from there last (RFC 6121 §5.1). */
  #isForAll(frame: Frame, flags: number): boolean {
    if (!this.#settings.readdress || (flags & CONVERSATIONAL) === 0) return false;
    if ((flags & (SINGLE | TWO | PRIVATE | NO_COPY | ALONE)) !== 0) return false;
    if (isOfOneResource(messageType(frame))) return false;
    return this.#lastDevice !== undefined && isSomebodysDevice(this.#lastDevice, this.#known);
  }

  // Entering it.

  #enters(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const flags = examine(frame);
    if ((flags & (CARBON | ARCHIVE_RESULT)) !== 0) {
      if (this.#addressing.isAccount(frame.from)) return (flags & CARBON) !== 0 ? this.#carbon(stanza) : PASS;
      if ((flags & CARBON) !== 0) return this.#forgedCarbon(stanza, flags);
    }
    const type = messageType(frame);
    if (type === 'error') return this.#error(stanza, flags);
    let target = this.#addressing.target(frame, type, flags);
    if (target.for !== 'here' && this.#isFromRoom(frame.from)) target = HERE;
    if (target.for === 'gone' && this.#settings.gone) return this.#returns.refuse(frame, target.address);
    if (this.#settings.copies && this.#comesAgain(frame, type, flags, target))
      return { action: 'drop', reason: 'duplicate-copy-dropped' };
    return this.#edited(stanza, flags);
  }

  #edited(stanza: PassingStanza, flags: number): Verdict {
    return editEntering(stanza.frame, flags, this.#settings, stanza) ? ENTERED : PASS;
  }

  #error(stanza: PassingStanza, flags: number): Verdict {
    const { frame } = stanza;
    // COMPAT: jabberd2 gives what is for a resource that is gone to all others, errors too; an error is never answered.
    const target = this.#addressing.target(frame, 'error', flags);
    if (target.for === 'gone' && this.#settings.gone) return DROPPED;
    // XEP-0409 §4: what is not for one resource alone is for all that have opted in, errors too.
    const alone = (flags & (PRIVATE | NO_COPY | ALONE)) !== 0;
    if (this.#settings.copies && !alone && this.#hasOptedIn)
      this.#reflect(messageKey(frame), frame.toString());
    const address = this.#readdressed?.addressOf(frame.id, frame.from);
    const verdict = this.#edited(stanza, flags);
    if (address === undefined) return verdict;
    stanza.edit().setAttribute('from', address);
    return { action: 'edit', reason: 'error-address-restored' };
  }

  /** Only the own account makes copies (XEP-0280 §11): what somebody else has wrapped like one, no client is to take for one. */
  #forgedCarbon(stanza: PassingStanza, flags: number): Verdict {
    if (!this.#settings.copies) return this.#edited(stanza, flags);
    const { frame } = stanza;
    for (let i = 0; i < frame.childCount; i++) {
      if (frame.childIs(i, 'received', NS.carbons2) || frame.childIs(i, 'sent', NS.carbons2))
        stanza.edit().removeChild(i);
    }
    this.#edited(stanza, flags);
    return { action: 'edit', reason: 'forged-carbon-removed' };
  }

  #isFromRoom(from: string | undefined): boolean {
    if (from === undefined || !from.includes('/')) return false;
    const room = bare(from);
    if (this.#rooms.isRoom(room) !== 'unknown') return true;
    return this.#services.mucServices().has(room.slice(room.indexOf('@') + 1));
  }

  // Copies for all resources.

  get #wantsMessages(): boolean {
    const { availability } = this.#account;
    return availability.available && availability.priority >= 0;
  }

  /** Tells the others of a message for the account that the server does not copy for certain. @returns whether one of them was first */
  #comesAgain(frame: Frame, type: MessageType, flags: number, target: Target): boolean {
    if (isOfOneResource(type)) return false;
    const all = target.for === 'account';
    const server = this.#isCopiedByServer(flags);
    const reflects = this.#hasOptedIn && (flags & (PRIVATE | NO_COPY | ALONE)) === 0;
    if ((!all || server) && !reflects) return false;
    const key = messageKey(frame);
    const isNew = this.#copies.isNew(key, 'server');
    const splice = new Splice(frame);
    editEntering(frame, flags, this.#settings, { edit: () => splice });
    if (all) splice.setAttribute('to', this.context.identity.bare);
    const xml = splice.toBuffer().toString();
    const { availability } = this.#account;
    const priority = availability.available ? availability.priority : 0;
    const notice =
      all && !server
        ? ({ kind: 'copy', key, xml, priority } as const)
        : ({ kind: 'reflection', key, xml } as const);
    this.context.tell(this.context.identity.bare, writeNotice(notice));
    return !isNew;
  }

  /** Whether a session of the account has opted in to XEP-0409. */
  get #hasOptedIn(): boolean {
    const { optedIn } = this.#common;
    return optedIn.size > 0 && optedIn.has(this.#own);
  }

  /** COMPAT: Prosody and ejabberd agree to copy what has a body and is not of a room, and about nothing else. */
  #isCopiedByServer(flags: number): boolean {
    return this.#carbons.server === 'on' && (flags & (BODY | OF_ROOM)) === BODY;
  }

  /** A copy made by the server. */
  #carbon(stanza: PassingStanza): Verdict {
    const { context } = this;
    if (!this.#settings.copies) return PASS;
    // Who has asked for copies gets them as they come; what surely no other session has told of is not even read.
    const { wanted } = this.#carbons;
    if (wanted && stanza.frame.bytes().includes('<body')) return PASS;
    const unwanted: Verdict = wanted ? PASS : { action: 'drop', reason: 'carbon-not-wanted' };
    const copy = readCarbonCopy(stanza);
    if (copy === undefined || (!wanted && !this.#wantsMessages)) return unwanted;
    const { message, direction } = copy;
    const flags = examine(message);
    if (!wanted && !this.#isWanted(direction, message, flags)) return unwanted;
    if (this.#optedIn || !this.#isCopiedByServer(flags)) {
      if (!this.#copies.isNew(messageKey(message), direction))
        return { action: 'drop', reason: 'duplicate-copy-dropped' };
    }
    if (wanted) return PASS;
    const splice = new Splice(message);
    // What the own account has sent does not enter the realm.
    if (direction === 'received') editEntering(message, flags, this.#settings, { edit: () => splice });
    stanza.edit().replaceAll(Buffer.from(splice.toBuffer()));
    context.count('carbon-unwrapped');
    return { action: 'edit', reason: 'carbon-unwrapped' };
  }

  #isWanted(direction: 'received' | 'sent', message: Frame, flags: number): boolean {
    if (this.#optedIn) return (flags & SINGLE) === 0;
    if (direction === 'sent') return false;
    if (this.#addressing.isAccount(message.to)) return true;
    // It was for another resource: only what makes a conversation is for all.
    if ((flags & TWO) !== 0 && markedAddress(message) !== undefined) return false;
    return (
      (flags & CONVERSATIONAL) !== 0 && (flags & (SINGLE | ALONE)) === 0 && !this.#isFromRoom(message.from)
    );
  }

  // XEP-0409.

  #wantsNg(frame: Frame): Verdict {
    const { context } = this;
    const handled: Verdict = { action: 'handled', reason: 'im-ng-answered' };
    if (this.#carbons.wanted) context.send('client', conflict(context, frame.id), 'im-ng-answered');
    else {
      this.#optIn();
      context.send('client', resultFrom(context, frame.id), 'im-ng-answered');
    }
    return handled;
  }

  #optIn(): void {
    this.#optedIn = true;
    const sessions = this.#common.optedIn.get(this.#own) ?? new Set();
    this.#common.optedIn.set(this.#own, sessions.add(this.context.identity));
  }

  /** What one resource says, the others that have opted in hear (XEP-0409 §3.3). */
  #reflectSent(frame: Frame, flags: number, to: string | undefined): void {
    const sessions = this.#common.optedIn.get(this.#own);
    if (sessions === undefined || !this.#settings.copies || isOfOneResource(messageType(frame))) return;
    if ((flags & (PRIVATE | NO_COPY | ALONE | SINGLE)) !== 0) return;
    const { identity } = this.context;
    const splice = new Splice(frame).setAttribute('from', identity.full);
    if (to !== undefined) splice.setAttribute('to', bare(to));
    const xml = splice.toBuffer().toString();
    this.#reflect(messageKey(frame).replace(/^[^\n]*/u, identity.full), xml);
  }

  #reflect(key: string, xml: string): void {
    this.context.tell(this.context.identity.bare, writeNotice({ kind: 'reflection', key, xml }));
  }
}

/** XMPP 2.0 routing in front of a server of 1.0. */
export const routing: Feature<RoutingSession> = {
  name: 'routing',
  watches: WATCHES,
  needs: [account, rooms, presence, capabilitiesProbe],
  amendsDisco: true,
  settings: SETTINGS,
  open: (context, snapshot) => new RoutingSession(context, snapshot),
};
