import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { causeOf, errorCondition, type RoomSignals, roomSignals } from '../../../knowledge/rooms/signals.js';
import type { IqAnswer, PassingStanza } from '../../../session/feature.js';
import { Frame, StanzaKind } from '../../../xml/frame.js';
import { NS } from '../../../xml/namespaces.js';
import { parseStanza } from '../../../xml/tokenizer.js';
import { frameToElement, parseElement } from '../../../xml/tree.js';
import { isSubject } from '../heard.js';
import { isGhostOf } from '../hidden-ghosts.js';
import { nickOf } from '../nicks.js';
import { Occupants } from '../occupants.js';
import { enterRoom, keyOfAffiliation, leaveRoom, othersLeaving } from '../presences.js';
import type { Surroundings } from '../surroundings.js';
import { Affiliations, LISTS } from './affiliations.js';
import type { FanOut } from './fan-out.js';

/** Messages that may wait while a room is asked who may hear them. */
const MOST_WAITING = 1_000;

/** What becomes of a room that the observer has nothing to do in any more. */
export interface RoomEnds {
  /** It has not been let in, has been put out, or may not see what it has to. @param isBusy it may be let in under another nick at once */
  out(room: ObservedRoom, isNickTaken: boolean): void;
  destroyed(room: ObservedRoom): void;
  /** Who may hear the room may have changed. */
  changed(room: ObservedRoom): void;
  /** Somebody has been made an outcast. */
  banned(room: ObservedRoom, account: string): void;
}

/** One room as the observer is in it: what it says, and who may hear it. */
export class ObservedRoom {
  /** `asking`: it is in, and the room is being asked who may hear. */
  #state: 'entering' | 'asking' | 'hearing' | 'out' = 'entering';
  /** Prepared. */
  nick: string;
  /** When it asked to be let in, or last heard of the room; ms. */
  aliveAt: number;
  nonAnonymous = false;
  #membersOnly = true;
  readonly #affiliations = new Affiliations();
  readonly #occupants = new Occupants();
  /** The subject that closes what is sent to somebody who enters. */
  #subjectIsDue = true;
  /** What has come while the room is being asked again. */
  #waiting: Buffer[] | undefined;
  #open = 0;
  #asksAgain = false;
  /** Since when it hears for an account; ms. */
  readonly heardFor = new Map<string, number>();

  constructor(
    private readonly around: Surroundings,
    private readonly fanOut: FanOut,
    private readonly ends: RoomEnds,
    readonly jid: string,
    nick: string,
  ) {
    this.nick = nickOf(`${jid}/${nick}`) ?? nick;
    this.aliveAt = around.context.now;
  }

  get isHearing(): boolean {
    return this.#state === 'hearing';
  }

  get isEntering(): boolean {
    return this.#state === 'entering' || this.#state === 'asking';
  }

  get occupant(): string {
    return `${this.jid}/${this.nick}`;
  }

  enter(): void {
    this.around.context.send('server', enterRoom(this.occupant, undefined, undefined), 'mucsub-ghost');
  }

  leave(): void {
    if (this.#state === 'out') return;
    this.#state = 'out';
    this.around.context.send('server', leaveRoom(this.occupant), 'mucsub-ghost');
  }

  /** Whether the room would let the account in, and so hear what is said (XEP-0045 §5.2.1). */
  mayHear(account: string): boolean {
    const affiliation = this.#affiliations.of(account);
    if (affiliation === 'outcast' || this.#affiliations.isTooLong) return false;
    return !this.#membersOnly || affiliation !== 'none';
  }

  isOutcast(account: string): boolean {
    return this.#affiliations.of(account) === 'outcast';
  }

  // What the room sends.

  presence(stanza: PassingStanza, nick: string | undefined): void {
    this.aliveAt = this.around.context.now;
    const presence = stanza.tree();
    if (stanza.frame.type === 'error') {
      if (this.#state !== 'out') this.#out(errorCondition(presence) === 'conflict');
      return;
    }
    const signals = roomSignals(presence);
    const isSelf = nick === this.nick || signals?.codes.has('110') === true;
    // A service may have given it another (XEP-0045 §7.2.2).
    if (isSelf && nick !== undefined && stanza.frame.type === undefined) this.nick = nick;
    if (signals !== undefined && (isSelf || signals.destroyed !== undefined)) this.#self(presence, signals);
    else if (nick !== undefined && !this.#waits(stanza.frame)) this.#other(presence, nick);
  }

  /** While it is being asked who may hear it nothing of the room reaches anybody. */
  #waits(frame: Frame): boolean {
    if (this.#waiting === undefined) return false;
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push(Buffer.from(frame.bytes()));
    else {
      this.leave();
      this.#out(false);
    }
    return true;
  }

  #self(presence: Element, signals: RoomSignals): void {
    if (presence.attrs.type === 'unavailable') {
      if (this.#state === 'out') return;
      if (causeOf(signals) === 'destroyed') {
        this.fanOut.destroyed(this.jid, presence, this.nonAnonymous);
        this.#state = 'out';
        this.ends.destroyed(this);
      } else this.#out(false);
      return;
    }
    const item = presence.getChildren('x', NS.mucUser).at(-1)?.getChild('item');
    if (signals.codes.has('100')) this.nonAnonymous = true;
    // A room that had to be made is not the one that was subscribed to; one in which it is no owner does not show who may hear it.
    if (signals.codes.has('201') || item?.attrs.affiliation !== 'owner') {
      this.leave();
      this.ends.out(this, false);
    } else if (this.#state === 'entering') {
      this.#state = 'asking';
      this.#ask(true);
    }
  }

  #other(presence: Element, nick: string): void {
    const item = presence.getChildren('x', NS.mucUser).at(-1)?.getChild('item');
    if (item !== undefined) this.#isSaidOf(item);
    // A ghost is not in the room, unless it was seen there before.
    if (!this.#occupants.has(nick) && isGhostOf(this.around.book, this.jid, nick)) return;
    this.#tell(nick, presence);
  }

  #tell(nick: string, presence: Element): void {
    const change = this.#occupants.take(nick, presence);
    if (this.#state === 'hearing') this.fanOut.presence(this.jid, change, presence, this.nonAnonymous);
  }

  /** A subscriber who was seen has left, and stays as a ghost. */
  gone(nick: string, affiliation: string): void {
    const prepared = nickOf(`${this.jid}/${nick}`);
    if (prepared === undefined || !this.#occupants.has(prepared)) return;
    const presence = othersLeaving(`${this.jid}/${nick}`, this.around.context.identity.full, affiliation);
    this.#tell(prepared, parseElement(Buffer.from(presence)));
  }

  message(stanza: PassingStanza, ofRoom: boolean): void {
    this.aliveAt = this.around.context.now;
    const { frame } = stanza;
    if (!frame.attributeEquals('type', 'groupchat')) {
      // Who is not in the room has become something else in it (XEP-0045 §9.1, example 195).
      if (!ofRoom || frame.type === 'error') return;
      const items = itemsOf(stanza.tree());
      for (const item of items) this.#isSaidOf(item);
      if (items.length > 0 && !this.#waits(frame)) this.#affiliation(frame, items);
      return;
    }
    if (this.#subjectIsDue && isSubject(frame)) {
      this.#subjectIsDue = false;
      return;
    }
    if (!this.#waits(frame)) this.#groupchat(frame, ofRoom);
  }

  /** To occupants at large it is said where real JIDs are shown to all. */
  #affiliation(frame: Frame, [item]: readonly Element[]): void {
    if (this.#state !== 'hearing' || !this.nonAnonymous || item === undefined) return;
    this.fanOut.affiliation(this.jid, frame, keyOfAffiliation(item));
  }

  #groupchat(frame: Frame, ofRoom: boolean): void {
    if (this.#state === 'hearing') this.fanOut.groupchat(this.jid, frame, ofRoom, this.nonAnonymous);
    if (ofRoom && frame.findChild('x', NS.mucUser) >= 0) this.#configured(frame);
  }

  /** The room is another one: what is said from here on waits until it is known who may hear it (XEP-0045 §10.2.1). */
  #configured(frame: Frame): void {
    const bytes = frame.bytes();
    // Whatever it has become, nobody is shown more than before until it has said so.
    if (!bytes.includes('172')) this.nonAnonymous &&= !bytes.includes('173') && !bytes.includes('174');
    if (this.#state === 'hearing') {
      this.#waiting = [];
      this.#ask(false);
    } else if (this.#state === 'asking') this.#asksAgain = true;
  }

  #isSaidOf(item: Element): void {
    const account = this.#affiliations.take(item);
    if (account === undefined || this.#state !== 'hearing') return;
    if (item.attrs.affiliation === 'outcast') this.ends.banned(this, account);
    this.ends.changed(this);
  }

  // Asking who may hear it.

  /** @param lists whether it is to be asked for all affiliations too: later they are told of as they change */
  #ask(lists: boolean): void {
    const { context } = this.around;
    const ask = (payload: string, done: (iq: Element) => void) => {
      this.#open += 1;
      context.request({ leg: 'server', type: 'get', to: this.jid, payload }, (answer) =>
        this.#answered(answer, done),
      );
    };
    if (lists)
      for (const list of LISTS) {
        const query = `<query xmlns='${NS.mucAdmin}'><item affiliation='${list}'/></query>`;
        ask(query, (iq) => this.#affiliations.read(iq));
      }
    ask(`<query xmlns='${NS.discoInfo}'/>`, (iq) => this.#readInfo(iq));
  }

  #readInfo(iq: Element): void {
    const features = iq.getChild('query', NS.discoInfo)?.getChildren('feature') ?? [];
    const has = (name: string) => features.some(({ attrs }) => attrs.var === name);
    this.#membersOnly = !has('muc_open');
    this.nonAnonymous = has('muc_nonanonymous');
  }

  #answered(answer: IqAnswer, done: (iq: Element) => void): void {
    this.#open -= 1;
    if (this.#state === 'out') return;
    if (answer.kind !== 'result') {
      this.leave();
      this.#out(false);
      return;
    }
    done(answer.iq);
    if (this.#open > 0) return;
    if (this.#asksAgain) {
      this.#asksAgain = false;
      this.#ask(false);
      return;
    }
    this.#state = 'hearing';
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    this.ends.changed(this);
    for (const [at, bytes] of waiting.entries()) {
      // Another change stands behind one of them.
      if (this.#waiting !== undefined) {
        (this.#waiting as Buffer[]).push(...waiting.slice(at));
        break;
      }
      const frame = parseStanza(bytes, this.around.context.namespaces);
      if (frame instanceof Frame) this.#goOn(frame);
    }
  }

  /** With what has waited. */
  #goOn(frame: Frame): void {
    const nick = nickOf(frame.from ?? '');
    if (frame.kind === StanzaKind.Message && frame.attributeEquals('type', 'groupchat'))
      this.#groupchat(frame, nick === undefined);
    else if (frame.kind === StanzaKind.Message) this.#affiliation(frame, itemsOf(frameToElement(frame)));
    else if (nick !== undefined) this.#other(frameToElement(frame), nick);
  }

  #out(isNickTaken: boolean): void {
    this.#state = 'out';
    this.ends.out(this, isNickTaken);
  }
}

function itemsOf(message: Element): readonly Element[] {
  return message.getChild('x', NS.mucUser)?.getChildren('item') ?? [];
}
