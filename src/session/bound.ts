import { Buffer } from 'node:buffer';
import type { UpstreamLimits } from '../config/model.js';
import { prepareJid } from '../jid.js';
import { type StoreEntry, storeKey } from '../store/store.js';
import { stanzaError } from '../stream/errors.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { MADE_HERE } from '../xml/limits.js';
import { NS } from '../xml/namespaces.js';
import { escapeAttribute } from '../xml/serialize.js';
import { parseStanza } from '../xml/tokenizer.js';
import { Acknowledgement, type AcknowledgementOutput } from './acknowledgement.js';
import { Deadlines } from './deadlines.js';
import { amendDisco } from './disco.js';
import type { DomainRuntime } from './domain.js';
import type { Direction, Feature, IqAnswer, IqRequest, ServerKind, SessionIdentity } from './feature.js';
import { type FeatureHost, SessionFeatureContext } from './feature-context.js';
import { FeatureQuestions } from './feature-questions.js';
import { IqRequests } from './iq-requests.js';
import { LateMap } from './late.js';
import { MissedMessages, type MissedSurroundings } from './missed-messages.js';
import { readNotice } from './notice.js';
import type { Outbox } from './outbox.js';
import { PASSED, PipelineSession } from './pipeline.js';
import type { Leg, SessionPort } from './port.js';
import type { Reason } from './reasons.js';
import { type ReceiptSurroundings, Receipts, type ReceiptsState } from './receipts.js';
import { ResourceBacklog } from './resource-backlog.js';
import { Arrival, type ArrivalPlan } from './start/arrival.js';
import { undeliveredChange, undeliveredPrefix } from './undelivered.js';

/** What a bound session needs of the session around it. */
export interface BoundSurroundings {
  readonly port: SessionPort;
  readonly toClient: Outbox;
  readonly toServer: Outbox;
  readonly domain: DomainRuntime;
  readonly serverKind: ServerKind;
  /** URL of the server, as it is configured. */
  readonly upstream: string;
  readonly serverLimits: UpstreamLimits;
  /** The client's connection is lost and it may come back. */
  readonly clientIsHeld: boolean;
  /** There is no client any more, and the server leg is kept without one. */
  readonly clientIsGone: boolean;
  /** Nothing needs such a leg any more. */
  readonly endKept: () => void;
  /** More may wait for the client than is allowed. */
  readonly moreWaits: () => void;
  /** The server is not read while the store is asked what comes before it. */
  readonly waitForStore: (waiting: boolean) => void;
  /** The time of the event that is being handled; ms. */
  readonly now: number;
  readonly wakeTimesChanged: () => void;
  /** What is done now is done in the turn of another session: it goes out when that is over. */
  readonly inOthersTurn: (now: number) => void;
  /** The server takes nothing any more although its stream is still open. */
  readonly serverIsLost: () => void;
}

/** What is done in the place of an injection. */
type InItsPlace = () => void;

interface Injection {
  readonly leg: Leg;
  readonly bytes: Buffer;
  readonly reason: Reason;
  /** What a copy of it in the store is known by. */
  readonly stored?: string | undefined;
}

/**
 * A session from the moment a resource is bound: stanzas go through the pipeline and are counted for stream management; features send and ask
 * through here. Everything that leaves keeps its order, what is injected comes behind the stanza that caused it.
 */
export class BoundSession
  implements FeatureHost, MissedSurroundings, AcknowledgementOutput, ReceiptSurroundings
{
  readonly acknowledgement: Acknowledgement;
  #pipeline: PipelineSession | undefined;
  readonly #requests = new IqRequests();
  readonly #deadlines = new Deadlines();
  readonly #waking = new LateMap<string, { readonly feature: number; readonly token: string }>();
  /** Questions of features to the store that are open. Made when needed: most sessions never do. */
  #asked: FeatureQuestions | undefined;
  /** A stanza is with the features: what they send waits for its own place. */
  #holding = false;
  #held: (Injection | InItsPlace)[] | undefined;
  #passOver = 0;
  /** While what the client has left with us at its start is being done. */
  #arrival: Arrival | undefined;
  readonly missed: MissedMessages;
  /** Copies of features' own that the client has acknowledged before there were features. */
  #settledEarly: string[] = [];
  /** Until what waited for this very resource has come to the client. */
  #backlog: ResourceBacklog | undefined;
  /** What features want to know of the client's acknowledgements. Made when needed. */
  #receipts: Receipts | undefined;
  /** Prepared. */
  readonly #account: string;
  enabledAtStart: ReadonlySet<string> = NOTHING_ENABLED;
  /** As it was when the features were opened: the leg may have become another session's since. */
  serverKind: ServerKind;

  constructor(
    readonly identity: SessionIdentity,
    private readonly around: BoundSurroundings,
  ) {
    this.#account = prepareJid(identity.bare) ?? identity.bare;
    this.serverKind = around.serverKind;
    this.acknowledgement = new Acknowledgement(this);
    this.missed = new MissedMessages(this.#account, this);
  }

  /**
   * Starts the features; what they send at once goes out behind all that has been sent.
   * @param snapshots of the process before, when its session is gone on with
   * @param enabled namespaces of what was switched on along with binding
   */
  open(
    snapshots: Readonly<Record<string, string>> = {},
    enabled: ReadonlySet<string> = NOTHING_ENABLED,
  ): void {
    this.enabledAtStart = enabled;
    this.serverKind = this.around.serverKind;
    const { pipeline } = this.around.domain;
    if (pipeline.features.length === 0) return;
    this.#pipeline = new PipelineSession(
      pipeline,
      this.identity,
      (feature, session) => new SessionFeatureContext(this, session, feature),
      snapshots,
    );
    if (this.#pipeline.instances.some(({ onTold }) => onTold !== undefined))
      this.around.port.subscribe(this.#account);
    const settled = this.#settledEarly;
    this.#settledEarly = [];
    this.#settled(settled);
  }

  /** The client has what there are copies of in the store: in the account's own place there, or where features have them. */
  #settled(copies: readonly string[]): void {
    const { features } = this.around.domain.pipeline;
    const own = undeliveredPrefix(this.around.domain.name, this.#account);
    this.missed.forget(copies.filter((copy) => copy.startsWith(own)));
    const others = copies.filter((copy) => !copy.startsWith(own));
    if (others.length === 0) return;
    if (this.#pipeline === undefined) {
      this.#settledEarly.push(...others);
      return;
    }
    for (const [at, { name }] of features.entries()) {
      const its = others.filter((copy) => copy.startsWith(storeKey(name, '')));
      if (its.length > 0) this.#pipeline.instances[at]?.onSettled?.(its);
    }
  }

  snapshots(): Record<string, string> {
    return this.#pipeline?.snapshots() ?? {};
  }

  /** Which acknowledgements of the client's features wait for. */
  get receipts(): ReceiptsState {
    return this.#receipts?.state ?? [];
  }

  /** The same in the next process, when the client has said what it has. */
  restoreReceipts(state: ReceiptsState): void {
    if (state.length > 0) this.#withReceipts().restore(state);
  }

  /** Another session has told this account something by way of the bus. */
  told(message: string): void {
    const notice = readNotice(message);
    if (notice === undefined || notice.from === this.identity.full) return;
    const index = this.around.domain.pipeline.features.findIndex(({ name }) => name === notice.feature);
    this.#pipeline?.instances[index]?.onTold?.(notice.text, notice.from);
  }

  /** The store has written what a feature gave it. */
  stored(token: string, ok: boolean): void {
    this.#asked?.stored(token, ok);
  }

  /** The store has read what a feature asked for. */
  loaded(token: string, entries: readonly StoreEntry[]): void {
    this.#asked?.loaded(token, entries);
  }

  /** To be called before anything else of the server's comes: what there is for this resource from before is to come first. */
  bringBack(): void {
    const { port, domain } = this.around;
    const session = this;
    this.#backlog = ResourceBacklog.of(this.identity, this.#account, {
      ...{ port, domain },
      waitForStore: (waiting) => (waiting ? this.around.waitForStore(true) : this.missed.goOn()),
      deliver: (entries) => this.missed.deliverFirst(entries),
      pass: (frame) => this.#takesDown(frame),
      wakeAt: (time) => {
        this.#deadlines.set(BACKLOG, time);
        this.around.wakeTimesChanged();
      },
      get now() {
        return session.around.now;
      },
    });
  }

  /** What the store has for the account of a session that has just begun. */
  backlogLoaded(entries: readonly StoreEntry[]): void {
    this.#backlog?.loaded(entries);
    this.#endBacklog();
  }

  /** The client has turned stream management on. */
  clientHasEnabled(): void {
    this.#backlog?.enabled();
    this.#endBacklog();
  }

  #endBacklog(): void {
    if (this.#backlog?.over === true) this.#backlog = undefined;
  }

  /** A stanza from the client. @param frame in the standard context of a stream and without flaw */
  fromClient(frame: Frame): void {
    const { acknowledgement, around } = this;
    if (frame.kind === StanzaKind.Iq && this.#takeAnswer('client', frame)) {
      acknowledgement.up.consume();
      return;
    }
    this.#backlog?.fromClient(frame);
    this.#endBacklog();
    const greets = this.missed.greets(frame);
    const mark = this.#hold();
    const outcome = this.#pipeline?.handle('to-server', frame, around.now) ?? PASSED;
    switch (outcome.kind) {
      case 'pass':
        this.#sendUp(frame, frame.buffer, frame.start, frame.end);
        break;
      case 'changed':
        around.port.count('stanza_changed', outcome.reason);
        this.#sendUp(frame, outcome.bytes, 0, outcome.bytes.length);
        break;
      default:
        if (outcome.kind === 'dropped') around.port.count('stanza_dropped', outcome.reason);
        acknowledgement.up.consume();
    }
    this.#release(mark);
    if (greets) this.missed.greeting();
  }

  /** A stanza from the server. @param frame in the standard context of a stream and without flaw */
  fromServer(frame: Frame): void {
    if (this.#passOver > 0) {
      this.#passOver -= 1;
      return;
    }
    if (this.#backlog?.takes(frame) !== true) this.#takesDown(frame);
  }

  #takesDown(frame: Frame): void {
    if (this.#arrival?.takes(frame) !== true) this.#passDown(frame);
  }

  #passDown(frame: Frame): void {
    const { acknowledgement, around } = this;
    // COMPAT: jabberd2 whose router has restarted returns every stanza to its sender, marked as failed, and never recovers.
    if (around.serverKind === 'jabberd2' && frame.attributeEquals('failed', '1')) {
      this.#returned(frame);
      return;
    }
    if (frame.kind === StanzaKind.Iq && this.#takeAnswer('server', frame)) {
      acknowledgement.down.consume();
      return;
    }
    // COMPAT: ejabberd tells an account's sessions of the end of a resource that never was available.
    if (
      frame.kind === StanzaKind.Presence &&
      frame.attributeEquals('type', 'unavailable') &&
      around.domain.wasProbe(frame.from)
    ) {
      around.port.count('stanza_dropped', 'probe-presence-dropped');
      acknowledgement.down.consume();
      return;
    }
    if (this.missed.comesAgain(frame)) {
      around.port.count('stanza_dropped', 'delivered-before');
      acknowledgement.down.consume();
      return;
    }
    const mark = this.#hold();
    const outcome = this.#pipeline?.handle('to-client', frame, around.now) ?? PASSED;
    if (outcome.kind === 'dropped' || outcome.kind === 'handled') {
      if (outcome.kind === 'dropped') around.port.count('stanza_dropped', outcome.reason);
      acknowledgement.down.consume();
    } else if (around.clientIsGone) {
      acknowledgement.down.consume();
      this.#forNobody(frame);
    } else {
      if (outcome.kind === 'changed') around.port.count('stanza_changed', outcome.reason);
      const amended = this.#amended(frame, outcome.kind === 'changed' ? outcome.bytes : undefined);
      if (around.clientIsHeld && this.#answersForClient(frame)) {
        acknowledgement.down.consume();
      } else {
        // While it is held the client has no connection, or has ended its stream on it.
        if (!around.clientIsHeld) {
          if (amended !== undefined) around.toClient.bytes(amended);
          else around.toClient.range(frame.buffer, frame.start, frame.end);
        }
        acknowledgement.down.pass();
        if (acknowledgement.waiting !== undefined) this.#keep(amended ?? Buffer.from(frame.bytes()));
        this.missed.note(frame);
        acknowledgement.stanzaSent('down');
      }
    }
    this.#release(mark);
  }

  /** A stanza from the server that could not be read with certainty: the client never sees it, and the counts go on. */
  droppedFromServer(): void {
    if (this.#passOver > 0) this.#passOver -= 1;
    else if (this.#arrival?.loses() !== true) this.acknowledgement.down.consume();
  }

  /** Answers a stanza of the client's in place of the server. */
  refuse(
    frame: Frame,
    type: 'cancel' | 'modify' | 'wait',
    condition: Parameters<typeof stanzaError>[2],
    reason: Reason,
    text?: string,
  ): void {
    this.acknowledgement.up.consume();
    this.around.port.count('stanza_dropped', reason);
    const name = nameOf(frame);
    const stanzaType = frame.type;
    // RFC 6120 §8.3.1: an error is never answered with an error, and a result not at all.
    if (name === undefined || stanzaType === 'error' || stanzaType === 'result') return;
    const answered = { name, id: frame.id, from: frame.to, to: this.identity.full };
    this.#inject('client', Buffer.from(stanzaError(answered, type, condition, text)), reason);
  }

  /** One of the client's own stanzas came back: it gets an error for it, and a reason to come again. */
  #returned(frame: Frame): void {
    const name = nameOf(frame);
    const { type } = frame;
    this.acknowledgement.down.consume();
    this.around.port.count('stanza_dropped', 'undeliverable-returned');
    if (name !== undefined && type !== 'error' && type !== 'result') {
      const answered = { name, id: frame.id, from: frame.to, to: this.identity.full };
      const error = stanzaError(answered, 'wait', 'service-unavailable');
      this.#inject('client', Buffer.from(error), 'undeliverable-returned');
    }
    this.around.serverIsLost();
  }

  /** Begins with what the client has left with us; what the server sends meanwhile has to pass there. */
  arrive(plan: ArrivalPlan): void {
    const { around, acknowledgement } = this;
    this.#arrival = new Arrival(plan, {
      identity: this.identity,
      now: () => around.now,
      randomId: () => around.port.randomId(),
      ask: (payload, done) => this.#request({ leg: 'server', type: 'set', payload }, done),
      answers: (frame) => frame.kind === StanzaKind.Iq && this.#takeAnswer('server', frame),
      give: (xml, reason) => this.#inject('client', Buffer.from(xml), reason),
      isHidden: (message) =>
        this.#pipeline?.instances.some((each) => each.hidesArchived?.(message) === true) === true,
      send: (xml) => this.#sendForClient(xml),
      pass: (frame) => {
        if (frame === undefined) acknowledgement.down.consume();
        else this.#passDown(frame);
      },
      duplicate: () => around.port.count('stanza_dropped', 'archive-duplicate-dropped'),
      settled: () => this.missed.archiveIsRead(),
      wakeAt: (time) => {
        this.#deadlines.set(ARRIVAL, time);
        around.wakeTimesChanged();
      },
    });
    this.#arrival.begin();
  }

  /** A stanza that the client has left with us: it has no place in the client's count. */
  #sendForClient(xml: string): void {
    const { around } = this;
    const frame = parseStanza(Buffer.from(xml), around.domain.namespaces);
    if ('condition' in frame) return;
    const greets = this.missed.greets(frame);
    const mark = this.#hold();
    const outcome = this.#pipeline?.handle('to-server', frame, around.now) ?? PASSED;
    if (outcome.kind === 'pass') this.#put('server', frame.bytes(), 'session-start-sent');
    else if (outcome.kind === 'changed') this.#put('server', outcome.bytes, 'session-start-sent');
    this.#release(mark);
    if (greets) this.missed.greeting();
  }

  /** Asks a peer for a sign of life (XEP-0198 `<r/>`, else XEP-0199). */
  probe(leg: Leg): void {
    if (this.acknowledgement.probe(leg)) return;
    const to = leg === 'server' ? { to: this.identity.domain } : {};
    this.#request({ leg, type: 'get', ...to, payload: `<ping xmlns='${NS.ping}'/>` }, () => {});
  }

  /** The next so many stanzas of the server's have come before: it resumes a stream. */
  passOver(count: number): void {
    this.#passOver = count;
  }

  legUp(leg: Leg): void {
    for (const instance of this.#pipeline?.instances ?? []) instance.onLegUp?.(leg, this.around.now);
  }

  legDown(leg: Leg): void {
    if (leg === 'client') this.#receipts?.settle();
    if (leg === 'client') this.missed.clientIsGone();
    this.#requests.lose(leg);
    for (const instance of this.#pipeline?.instances ?? []) instance.onLegDown?.(leg, this.around.now);
    if (leg !== 'client' || this.acknowledgement.waiting === undefined) return;
    // What it may have had before the connection was lost, and has not said so.
    for (const { bytes, stored } of this.acknowledgement.waiting.waiting())
      if (stored === undefined) this.waits(this.#account, bytes);
  }

  /** The client is silent for a while by its own word, or is back: nothing is lost by it, and its answers come later. */
  paused(paused: boolean): void {
    for (const instance of this.#pipeline?.instances ?? []) instance.onPause?.(paused, this.around.now);
  }

  /** The session is over. */
  close(): void {
    this.#receipts?.settle();
    const waiting = this.acknowledgement.waiting?.waiting() ?? [];
    this.missed.close(waiting.flatMap(({ stored }) => stored ?? []));
    for (const instance of this.#pipeline?.instances ?? []) instance.onClose?.(this.around.now);
  }

  /** The earliest time at which a feature or a request wants to go on; ms. */
  get nextWake(): number {
    return Math.min(this.#deadlines.next, this.#requests.nextDeadline);
  }

  wake(now: number): void {
    this.#requests.expire(now);
    for (const name of this.#deadlines.due(now)) {
      if (name === BACKLOG) this.#backlog?.wake();
      this.#endBacklog();
      if (name === ARRIVAL) this.#arrival?.wake();
      if (name === RECEIPTS) this.#receipts?.wake();
      if (this.#arrival?.over === true) this.#arrival = undefined;
      const waking = this.#waking.get(name);
      if (waking === undefined) continue;
      this.#waking.delete(name);
      this.#pipeline?.instances[waking.feature]?.onWakeup?.(waking.token, now);
    }
  }

  #outbox(leg: Leg): Outbox {
    return leg === 'client' ? this.around.toClient : this.around.toServer;
  }

  #takeAnswer(leg: Leg, frame: Frame): boolean {
    if (this.#requests.size === 0) return false;
    const taken = this.#requests.take(leg, frame, this.identity);
    if (taken === undefined) return false;
    const reason = taken === 'taken' ? 'iq-answer-taken' : 'iq-answer-not-from-addressee';
    this.around.port.count('iq_request', reason);
    this.around.wakeTimesChanged();
    return true;
  }

  #sendUp(frame: Frame, bytes: Buffer, start: number, end: number): void {
    if (end - start > this.around.serverLimits.stanzaBytes) {
      this.refuse(frame, 'modify', 'policy-violation', 'stanza-over-upstream-limit', OVER_LIMIT);
      return;
    }
    this.around.toServer.range(bytes, start, end);
    this.acknowledgement.up.pass();
    this.acknowledgement.stanzaSent('up');
  }

  #amended(frame: Frame, changed: Buffer | undefined): Buffer | undefined {
    const { domain } = this.around;
    if (frame.kind !== StanzaKind.Iq || !domain.pipeline.amendsDisco) return changed;
    if (!frame.attributeEquals('type', 'result') || frame.findChild('query', NS.discoInfo) < 0)
      return changed;
    let current = frame;
    if (changed !== undefined) {
      const reread = parseStanza(changed, domain.namespaces);
      if ('condition' in reread) return changed;
      current = reread;
    }
    const amended = amendDisco(current, this.identity, this.#pipeline?.instances ?? []);
    if (amended === undefined) return changed;
    this.around.port.count('stanza_changed', 'disco-amended');
    return amended;
  }

  #hold(): boolean {
    if (this.#holding) return false;
    this.#holding = true;
    return true;
  }

  #release(outermost: boolean): void {
    if (!outermost) return;
    this.#holding = false;
    for (const each of this.#takeHeld() ?? []) {
      if (typeof each === 'function') each();
      else this.#put(each.leg, each.bytes, each.reason, each.stored);
    }
  }

  #takeHeld(): (Injection | InItsPlace)[] | undefined {
    const held = this.#held;
    this.#held = undefined;
    return held;
  }

  #inItsPlace(what: InItsPlace): void {
    if (!this.#holding) {
      what();
      return;
    }
    this.#held ??= [];
    this.#held.push(what);
  }

  #withReceipts(): Receipts {
    this.#receipts ??= new Receipts(this);
    return this.#receipts;
  }

  /** Keeps a stanza for a client that may resume until the client acknowledges it. @param bytes nobody else's */
  #keep(bytes: Buffer, stored?: string): void {
    const { around } = this;
    const moment = around.domain.backlogs.moment(around.now);
    this.acknowledgement.keep(bytes, moment, !around.clientIsHeld, stored);
    if (around.clientIsHeld && stored === undefined) this.waits(this.#account, bytes);
    around.moreWaits();
  }

  /** What cannot wait for the client to come back (XEP-0199 §4). @returns false when it can */
  #answersForClient(frame: Frame): boolean {
    if (frame.kind !== StanzaKind.Iq || frame.findChild('ping', NS.ping) < 0) return false;
    if (!frame.attributeEquals('type', 'get')) return false;
    const id = frame.id === undefined ? '' : ` id='${escapeAttribute(frame.id)}'`;
    const to = frame.from === undefined ? '' : ` to='${escapeAttribute(frame.from)}'`;
    this.#inject('server', Buffer.from(`<iq type='result'${id}${to}/>`), 'held-ping-answered');
    return true;
  }

  /** The same of what did not come from the server, such as a copy of what another session got. */
  #noteBytes(bytes: Buffer): void {
    const frame = parseStanza(bytes, this.around.domain.namespaces);
    if (!('condition' in frame)) this.missed.note(frame);
  }

  inject(leg: Leg, bytes: Buffer, reason: Reason): void {
    this.#inject(leg, bytes, reason);
  }

  injectStored(bytes: Buffer, reason: Reason, copy: string): boolean {
    this.#inject('client', bytes, reason, copy);
    return this.acknowledgement.waiting !== undefined;
  }

  #inject(leg: Leg, bytes: Buffer, reason: Reason, stored?: string): void {
    if (!this.#holding) {
      this.#put(leg, bytes, reason, stored);
      return;
    }
    this.#held ??= [];
    this.#held.push({ leg, bytes, reason, stored });
  }

  #put(leg: Leg, bytes: Buffer, reason: Reason, stored?: string): void {
    const { acknowledgement, around } = this;
    if (leg === 'client' && around.clientIsGone) return;
    around.port.count('stanza_injected', reason);
    if (leg === 'server' || !around.clientIsHeld) this.#outbox(leg).bytes(bytes);
    if (leg === 'client' && around.domain.hasOthers(this.#account)) this.#noteBytes(bytes);
    const ledger = leg === 'client' ? acknowledgement.down : acknowledgement.up;
    ledger.inject();
    if (leg === 'client' && acknowledgement.waiting !== undefined) this.#keep(bytes, stored);
    acknowledgement.stanzaSent(leg === 'client' ? 'down' : 'up');
  }

  #request(request: IqRequest, done: (answer: IqAnswer) => void): void {
    const { port, now } = this.around;
    const xml = this.#requests.open(port.randomId(), request, this.identity, now, done);
    if (xml !== undefined) this.#inject(request.leg, Buffer.from(xml), 'iq-request-sent');
    this.around.wakeTimesChanged();
  }

  // What acknowledgement reaches of it.

  nonza(leg: Leg, xml: string): void {
    this.#outbox(leg).text(xml);
  }

  allWritten(leg: Leg): boolean {
    this.#outbox(leg).flush();
    return this.port.unsent(leg) === 0;
  }

  whenWritten(leg: Leg): void {
    this.port.whenFlushed(leg);
  }

  storedSettled(copies: readonly string[]): void {
    this.#settled(copies);
  }

  storeIsBehind(): boolean {
    return this.missed.forgetting;
  }

  received(): void {
    this.#receipts?.clientHasMore();
  }

  safeUpTo(): number {
    return this.#receipts?.safeUpTo ?? Number.POSITIVE_INFINITY;
  }

  // What receipts reach of it.

  get clientIsGone(): boolean {
    return this.around.clientIsGone;
  }

  receiptsMayBeDue(): void {
    this.#deadlines.set(RECEIPTS, this.around.now);
    this.around.wakeTimesChanged();
  }

  tellReceived(feature: string, token: string): void {
    const index = this.around.domain.pipeline.features.findIndex(({ name }) => name === feature);
    this.#pipeline?.instances[index]?.onReceived?.(token, this.around.now);
  }

  // What the messages that others have missed reach of it.

  get clientResumes(): boolean {
    return this.acknowledgement.waiting !== undefined;
  }

  get clientIsHeld(): boolean {
    return this.around.clientIsHeld;
  }

  get arrival(): Arrival | undefined {
    return this.#arrival;
  }

  waitForStore(waiting: boolean): void {
    this.around.waitForStore(waiting);
  }

  put(bytes: Buffer, stored: string): void {
    this.#put('client', bytes, 'undelivered-message', stored);
  }

  ping(done: () => void): void {
    const payload = `<ping xmlns='${NS.ping}'/>`;
    this.#request({ leg: 'server', type: 'get', to: this.identity.domain, payload }, done);
  }

  storeIsThere(): void {
    this.acknowledgement.storeIsThere();
  }

  // What features reach of it.

  get domain(): DomainRuntime {
    return this.around.domain;
  }

  get upstream(): string {
    return this.around.upstream;
  }

  get port(): SessionPort {
    return this.around.port;
  }

  get now(): number {
    return this.around.now;
  }

  get questions(): FeatureQuestions {
    this.#asked ??= new FeatureQuestions();
    return this.#asked;
  }

  injectInOthersTurn(bytes: Buffer, reason: Reason, now: number): void {
    this.around.inOthersTurn(now);
    this.#inject('client', bytes, reason);
  }

  injectAhead(bytes: Buffer, reason: Reason): void {
    this.#put('server', bytes, reason);
  }

  endKept(): void {
    this.around.endKept();
  }

  holdAcknowledgement(): () => void {
    return this.#withReceipts().holdAcknowledgement();
  }

  whenReceived(feature: string, token: string, asks: boolean): void {
    const receipts = this.#withReceipts();
    this.#inItsPlace(() => receipts.want(feature, token, asks));
  }

  request(request: IqRequest, done: (answer: IqAnswer) => void): void {
    this.#request(request, done);
  }

  wakeFeature(feature: number, token: string, time: number): void {
    const name = `${feature}:${token}`;
    this.#waking.set(name, { feature, token });
    this.#deadlines.set(name, time);
    this.around.wakeTimesChanged();
  }

  /** What a feature sends in the client's name: knowledge has to know, since it will see the answer. */
  sendAsClient(feature: Feature, bytes: Buffer, reason: Reason): void {
    this.#sendAs('to-server', feature, bytes, reason);
  }

  /** The opposite: knowledge takes it for the server's word. */
  sendAsServer(feature: Feature, bytes: Buffer, reason: Reason): void {
    this.#sendAs('to-client', feature, bytes, reason);
  }

  #sendAs(direction: Direction, feature: Feature, bytes: Buffer, reason: Reason): void {
    const { around } = this;
    const leg = direction === 'to-server' ? 'server' : 'client';
    const frame = parseStanza(bytes, around.domain.namespaces);
    if ('condition' in frame) throw new Error(`a feature sends what is no stanza: ${frame.reason}`);
    this.#pipeline?.show(direction, frame, around.now);
    // It may itself be sent behind a stanza that is being handled; what it causes comes behind it.
    const before = this.#takeHeld();
    const mark = this.#hold();
    const outcome = this.#pipeline?.handleBehind(feature, direction, frame, around.now) ?? PASSED;
    if (mark) this.#holding = false;
    const caused = this.#takeHeld();
    this.#held = before;
    if (outcome.kind === 'pass') this.#inject(leg, bytes, reason);
    else if (outcome.kind === 'changed') this.#inject(leg, outcome.bytes, reason);
    for (const each of caused ?? []) {
      if (typeof each === 'function') this.#inItsPlace(each);
      else this.#inject(each.leg, each.bytes, each.reason, each.stored);
    }
  }

  /** Until when a feature needs the server leg without a client; ms. */
  neededUntil(): number {
    const { now } = this.around;
    return Math.max(0, ...(this.#pipeline?.instances ?? []).map((each) => each.needsServer?.(now) ?? 0));
  }

  /** There is no client from now on: it is offline to all others, and nothing is counted for it. */
  withoutClient(): void {
    const { acknowledgement } = this;
    this.missed.wantsNoMore();
    acknowledgement.isSafe(acknowledgement.down.sent);
    this.legDown('client');
    this.#sendForClient("<presence type='unavailable'/>");
  }

  /** A stanza for a resource that is not there any more (RFC 6121 §8.5.3.2), though its stream is. */
  #forNobody(frame: Frame): void {
    const { type } = frame;
    if (frame.kind === StanzaKind.Message) {
      if (type !== 'error') this.keepForAccount(this.#account, Buffer.from(frame.bytes()));
      return;
    }
    if (frame.kind !== StanzaKind.Iq || (type !== 'get' && type !== 'set')) return;
    const answered = { name: 'iq', id: frame.id, from: undefined, to: frame.from } as const;
    this.#inject(
      'server',
      Buffer.from(stanzaError(answered, 'cancel', 'service-unavailable')),
      'held-iq-answered',
    );
  }

  /** Puts a message where an account's next session finds it. */
  keepForAccount(account: string, bytes: Buffer): void {
    const { port, domain, now } = this.around;
    const frame = parseStanza(bytes, domain.namespaces, { limits: MADE_HERE });
    if ('condition' in frame) throw new Error(`a feature keeps what is no stanza: ${frame.reason}`);
    const { backlogs } = domain;
    const change = undeliveredChange(frame, {
      domain: domain.name,
      account,
      session: port.randomId(),
      ordinal: 0,
      at: backlogs.wallTime(backlogs.moment(now), port.wallClock(), now),
      doubtful: false,
      resource: undefined,
      seenBy: [],
    });
    if (change === undefined) return;
    backlogs.mark(frame.to);
    this.waits(account, bytes);
    // Whoever wants messages by then takes it at once.
    port.store(
      [change],
      this.questions.write((ok) => ok && backlogs.missed(account, now)),
    );
  }

  /** A stanza waits for a client that is not there. @param account prepared */
  waits(account: string, bytes: Buffer): void {
    if (NO_MESSAGE.test(bytes.toString('latin1', 0, 9))) return;
    for (const instance of this.#pipeline?.instances ?? []) instance.onWaiting?.(account, bytes);
  }
}

const NOTHING_ENABLED: ReadonlySet<string> = new Set();

/** Name of the deadline of an arrival. */
const ARRIVAL = 'arrival';
/** And that of telling features what the client has acknowledged. */
const RECEIPTS = 'receipts';

/** Name of the deadline of what waits for the resource. */
const BACKLOG = 'backlog';

const OVER_LIMIT = 'This is larger than the server behind accepts; send it in smaller parts or upload it.';

/** The beginning of a stanza that is no message. */
const NO_MESSAGE = /^<(?:iq|presence)/;

function nameOf(frame: Frame): 'message' | 'presence' | 'iq' | undefined {
  switch (frame.kind) {
    case StanzaKind.Message:
      return 'message';
    case StanzaKind.Presence:
      return 'presence';
    case StanzaKind.Iq:
      return 'iq';
    default:
      return undefined;
  }
}
