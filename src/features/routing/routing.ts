import { Buffer } from 'node:buffer';
import { bare, prepareJid } from '../../jid.js';
import { type AccountSession, account, accountKey } from '../../knowledge/account/account.js';
import { presence, presenceKey } from '../../knowledge/presence/presence.js';
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
import { Acquaintances } from './acquaintances.js';
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
import { Leaving } from './leaving.js';
import { editEntering, markedAddress, sayAlone } from './marks.js';
import { messageKey } from './message-key.js';
import { isOfOneResource, type MessageType, messageType } from './message-type.js';
import { readNotice, writeNotice } from './notices.js';
import { DROPPED, Returns } from './returns.js';
import { type RoutingSettings, SETTINGS } from './settings.js';
import { ToldCopies } from './told-copies.js';

const MESSAGE_OUT = 0;
const MESSAGE_IN = 1;
const CARBONS_WISH = 2;
const NG_WISH = 3;
const ROSTER_WISH = 4;
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
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get'],
    child: { namespace: NS.roster, name: 'query' },
    address: ['account'],
  },
];

const ENTERED: Verdict = { action: 'edit', reason: 'entered-realm' };

interface Snapshot {
  readonly server: ServerCopies;
  readonly wanted: boolean;
  readonly optedIn: boolean;
  /** Absent: what another version has left. */
  readonly rosterAsked?: boolean;
}

/** One session under the rules of XMPP 2.0, in front of a server that has none of them. `docs/routing.md` is the whole of them. */
export class RoutingSession implements FeatureSession {
  readonly #settings: RoutingSettings;
  readonly #common: Common;
  readonly #addressing: Addressing;
  readonly #account: AccountSession;
  readonly #rooms: RoomsSession;
  readonly #services: ProbeSession;
  readonly #leaving: Leaving;
  readonly #carbons: Carbons;
  /** Prepared. */
  readonly #own: string;
  /** The client has opted in to XEP-0409. */
  #optedIn = false;
  readonly #copies: ToldCopies;
  readonly #acquaintances: Acquaintances;
  readonly #returns: Returns;

  constructor(
    private readonly context: FeatureContext,
    snapshot: string | undefined,
  ) {
    const { identity, serverKind } = context;
    this.#settings = context.settings(SETTINGS);
    this.#common = context.domain.shared(commonKey);
    this.#addressing = new Addressing(identity, serverKind);
    this.#account = context.know(accountKey);
    this.#rooms = context.know(roomsKey);
    this.#services = context.know(capabilitiesProbeKey);
    this.#own = prepareJid(identity.bare) ?? identity.bare;
    const before = snapshot === undefined ? undefined : (JSON.parse(snapshot) as Snapshot);
    this.#carbons = new Carbons(context, this.#own, this.#common.copied, before);
    this.#copies = new ToldCopies(context, this.#account, this.#carbons);
    this.#acquaintances = new Acquaintances(context, before?.rosterAsked === true);
    this.#returns = new Returns(context, this.#acquaintances, this.#settings, this.#common.returned);
    this.#leaving = new Leaving(context, this.#settings, {
      ...{ account: this.#account, carbons: this.#carbons, acquaintances: this.#acquaintances },
      ...{ rooms: this.#rooms, presence: context.know(presenceKey), services: this.#services },
      common: this.#common,
    });
    if (before?.optedIn === true) this.#optIn();
    // At once: what comes before copies are on, the others do not get.
    if (this.#settings.copies) this.#carbons.enable();
  }

  snapshot(): string | undefined {
    const { server, wanted } = this.#carbons;
    const rosterAsked = this.#acquaintances.clientAsked;
    const snapshot: Snapshot = { server, wanted, optedIn: this.#optedIn, rosterAsked };
    return JSON.stringify(snapshot);
  }

  onClose(): void {
    this.#common.optedIn.delete(this.#own, this.context.identity);
    this.#carbons.close();
  }

  onDisco({ entity, node }: DiscoAnswer): DiscoAmendment | undefined {
    if (entity !== 'server' || node !== undefined) return undefined;
    const { copies, imNg } = this.#settings;
    const add: string[] = imNg ? [NS.imNg] : [];
    if (copies && this.#carbons.server === 'none') add.push(NS.carbons2);
    return add.length === 0 ? undefined : { add };
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    switch (watch) {
      case MESSAGE_OUT:
        return this.#leaving.take(stanza);
      case MESSAGE_IN:
        return this.#enters(stanza);
      case CARBONS_WISH:
        return this.#settings.copies ? this.#carbons.asked(stanza.frame, this.#optedIn) : PASS;
      case NG_WISH:
        return this.#settings.imNg ? this.#wantsNg(stanza.frame) : PASS;
      case ROSTER_WISH:
        this.#acquaintances.clientAsks();
        return PASS;
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
    // Who wants carbons gets them whatever its priority (XEP-0280 §6).
    const { areMade } = this.#carbons;
    if (!this.#settings.copies || !(this.#wantsMessages || areMade)) return;
    if (notice.kind === 'reflection' && !this.#optedIn && !(areMade && notice.sent === true)) return;
    this.#copies.take(notice, from);
  }

  onWakeup(): void {
    this.#copies.takeExpected();
  }

  // Entering the realm.

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
    const verdict = this.#edited(stanza, flags);
    // COMPAT: jabberd2 has written this address over the account's. Without the modifiers nothing would tell another proxy that it is for nobody else.
    if (
      verdict === ENTERED &&
      this.context.serverKind === 'jabberd2' &&
      (flags & TWO) !== 0 &&
      (flags & (PRIVATE | NO_COPY)) !== 0 &&
      markedAddress(frame) === undefined
    )
      sayAlone(stanza, this.context.identity.full);
    return verdict;
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
    const address = this.#leaving.addressedBefore(frame);
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
    return optedIn.any && optedIn.has(this.#own);
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
    this.#common.optedIn.add(this.#own, this.context.identity);
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
