import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import type { FeatureContext, PassingStanza, Verdict } from '../../session/feature.js';
import { PASS } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { frameToElement } from '../../xml/tree.js';
import type { AccountBook } from './book.js';
import { asGroupchat, isOfUse, readEvents } from './conversion.js';
import type { Early } from './early.js';
import type { Handing } from './handing.js';
import { type Mark, markOf } from './marks.js';
import { isSubject, type Showing } from './showing.js';
import { delayOf } from './times.js';

const EVENTS = Buffer.from('urn:xmpp:mucsub:nodes:');

const KEPT: Verdict = { action: 'handled', reason: 'mucsub-client-kept' };
const HIDDEN: Verdict = { action: 'drop', reason: 'mucsub-client-hidden' };
const NOT_BELIEVED: Verdict = { action: 'drop', reason: 'mucsub-client-not-believed' };

/** MUC/Sub events on their way to the client, which never gets there what comes of our subscriptions. */
export class Events {
  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly handing: Handing,
    private readonly showing: Showing,
    private readonly early: Early,
    /** Under which it is remembered what the client has had. */
    private readonly name: string | undefined,
    /** It is known what there is of the account, and what the client has had. */
    private readonly isReady: () => boolean,
    /** Whether the client is in a room, and has been told what was before. */
    private readonly isHere: (room: string) => boolean,
    /** Whether a room is one that clients are subscribed to for. */
    private readonly concerns: (room: string) => boolean,
  ) {}

  /** Something with an event in it, from a bare JID. */
  event(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    if (!frame.bytes().includes(EVENTS)) return PASS;
    const room = prepareJid(frame.from ?? '');
    if (room === undefined) return PASS;
    if (!this.isReady()) {
      const message = { kind: 'event', room, xml: frame.bytes(), stay: 'before' } as const;
      return this.early.holds(message) ? KEPT : PASS;
    }
    return this.book.isOurs(room) ? this.#take(stanza.tree(), room) : PASS;
  }

  /** One that has waited for the account's book. */
  comesLate(xml: Buffer): void {
    const { context } = this;
    const frame = parseStanza(xml, context.namespaces);
    if ('condition' in frame) return;
    const room = prepareJid(frame.from ?? '');
    if (room !== undefined && this.book.isOurs(room)) this.#take(frameToElement(frame), room);
    else context.send('client', xml, 'mucsub-client-held');
  }

  /** An event of a room that the account is subscribed to by us. */
  #take(stanza: Element, room: string): Verdict {
    const events = readEvents(stanza, room);
    if (events.length === 0) return PASS;
    let verdict = HIDDEN;
    for (const { message, isBelieved, stamp } of events) {
      if (!isBelieved) verdict = NOT_BELIEVED;
      if (message === undefined || !isOfUse(message)) continue;
      const at = Number.isNaN(stamp) ? this.context.wallClock() : stamp;
      const mark = markOf(message, room, at);
      this.#takeMessage(room, mark, Buffer.from(asGroupchat(message, room, at)));
      verdict = KEPT;
    }
    return verdict;
  }

  /** A groupchat message that does not come as one to somebody who is in the room. @param bytes as it came */
  stray(room: string, message: Element, bytes: Buffer): Verdict {
    if (!this.book.isOurs(room)) return PASS;
    const mark = markOf(message, room, delayOf(message, room)?.at ?? this.context.wallClock());
    if (isSubject(message) || !isOfUse(message) || this.handing.has(room, mark)) return HIDDEN;
    // Other resources have their own.
    this.handing.keep(room, mark, bytes, this.name);
    return KEPT;
  }

  #takeMessage(room: string, mark: Mark, xml: Buffer): void {
    const isHere = this.isHere(room);
    // On its way when the client entered: the history may have had it.
    const isKnown = isHere && this.handing.has(room, mark);
    if (isKnown && !this.showing.hasAbsent(room)) return;
    const seq = this.handing.keep(room, mark, xml);
    if (isHere && !isKnown) this.showing.give(room, mark, xml, seq);
  }

  /** A copy of what another of the account's devices got or sent (XEP-0280). */
  copied(stanza: PassingStanza): Verdict {
    if (!stanza.frame.bytes().includes(EVENTS)) return PASS;
    const tree = stanza.tree();
    const copy = tree.getChild('received', NS.carbons2) ?? tree.getChild('sent', NS.carbons2);
    const message = forwarded(copy);
    if (message === undefined || !this.#isRawEvent(message)) return PASS;
    return this.#take(message, prepareJid(String(message.attrs.from))!);
  }

  #isRawEvent(message: Element | undefined): boolean {
    const from = prepareJid(String(message?.attrs.from ?? ''));
    return from !== undefined && this.book.isOurs(from) && readEvents(message!, from).length > 0;
  }

  /** A message out of the account's own archive. COMPAT: ejabberd has events in the archives of its users. */
  archived(stanza: PassingStanza): Verdict {
    if (!stanza.frame.bytes().includes(EVENTS)) return PASS;
    return this.hides(stanza.tree()) ? HIDDEN : PASS;
  }

  /** @param message out of the account's own archive, with its envelope */
  hides(message: Element): boolean {
    const inner = forwarded(message.getChild('result', NS.mam2));
    if (inner?.getChild('event', NS.pubsubEvent) === undefined) return false;
    if (this.book.isRead) return this.#isRawEvent(inner);
    // Before it is known whose they are.
    const room = prepareJid(String(inner.attrs.from ?? ''));
    return room !== undefined && this.concerns(room) && readEvents(inner, room).length > 0;
  }
}

function forwarded(around: Element | undefined): Element | undefined {
  return around
    ?.getChild('forwarded', NS.forward0)
    ?.getChildElements()
    .find((child) => child.getName() === 'message');
}
