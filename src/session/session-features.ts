import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { type StoreEntry, storeKey } from '../store/store.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { parseStanza } from '../xml/tokenizer.js';
import { AccountKeeping, type KeepingSurroundings } from './account-keeping.js';
import type { Acknowledgement } from './acknowledgement.js';
import type { BoundSurroundings } from './bound.js';
import { amendDisco } from './disco.js';
import type { DomainRuntime } from './domain.js';
import type {
  Direction,
  Feature,
  FeatureSession,
  IqAnswer,
  IqRequest,
  ServerKind,
  SessionIdentity,
} from './feature.js';
import { type FeatureHost, SessionFeatureContext } from './feature-context.js';
import { FeatureQuestions } from './feature-questions.js';
import type { Injections } from './injections.js';
import { LateMap } from './late.js';
import type { MissedMessages } from './missed-messages.js';
import { readNotice } from './notice.js';
import { type Outcome, PASSED, PipelineSession } from './pipeline.js';
import type { Leg, SessionPort } from './port.js';
import type { Reason } from './reasons.js';
import { type ReceiptSurroundings, Receipts, type ReceiptsState } from './receipts.js';
import { undeliveredPrefix } from './undelivered.js';

/** What the features of a session need of it. */
export interface FeatureSurroundings {
  readonly identity: SessionIdentity;
  /** Its bare JID, prepared. */
  readonly account: string;
  readonly around: BoundSurroundings;
  readonly acknowledgement: Acknowledgement;
  readonly injections: Injections;
  readonly missed: MissedMessages;
  /** One complete stanza goes out now, whatever is being handled. */
  sendNow(leg: Leg, bytes: Buffer, reason: Reason): void;
  request(request: IqRequest, done: (answer: IqAnswer) => void): void;
  /** @param time Infinity takes it back */
  setDeadline(name: string, time: number): void;
}

const NOTHING_ENABLED: ReadonlySet<string> = new Set();

/** Name of the deadline of telling features what the client has acknowledged. */
const RECEIPTS = 'receipts';

/** The beginning of a stanza that is no message. */
const NO_MESSAGE = /^<(?:iq|presence)/;

/** The features of one bound session: what they are told of it, and what they reach of it. */
export class SessionFeatures implements FeatureHost, KeepingSurroundings, ReceiptSurroundings {
  /** Undefined until they are opened, and where there are none. */
  #pipeline: PipelineSession | undefined;
  readonly #waking = new LateMap<string, { readonly feature: number; readonly token: string }>();
  /** Questions to the store that are open. Made when needed: most sessions never do. */
  #asked: FeatureQuestions | undefined;
  /** What they want to know of the client's acknowledgements. Made when needed. */
  #receipts: Receipts | undefined;
  /** Of what they have sent out of the store: what the client has acknowledged before they were opened. */
  #settledEarly: readonly string[] = [];
  enabledAtStart = NOTHING_ENABLED;
  /** As it was when they were opened: the leg may have become another session's since. */
  serverKind: ServerKind;

  constructor(private readonly session: FeatureSurroundings) {
    this.serverKind = session.around.serverKind;
  }

  /**
   * Starts them; what they send at once goes out behind all that has been sent.
   * @param snapshots of the process before, when its session is gone on with
   * @param enabled namespaces of what was switched on along with binding
   */
  open(
    snapshots: Readonly<Record<string, string>> = {},
    enabled: ReadonlySet<string> = NOTHING_ENABLED,
  ): void {
    const { around, identity, account } = this.session;
    this.enabledAtStart = enabled;
    this.serverKind = around.serverKind;
    const { pipeline } = around.domain;
    if (pipeline.features.length === 0) return;
    this.#pipeline = new PipelineSession(
      pipeline,
      identity,
      (feature, session) => new SessionFeatureContext(this, session, feature),
      snapshots,
    );
    if (this.#instances.some(({ onTold }) => onTold !== undefined)) around.port.subscribe(account);
    const settled = this.#settledEarly;
    this.#settledEarly = [];
    this.#settledOfTheirs(settled);
  }

  /** What they keep for accounts without a client. Made when needed. */
  #keeping: AccountKeeping | undefined;

  get #instances(): readonly FeatureSession[] {
    return this.#pipeline?.instances ?? [];
  }

  #instanceOf(feature: string): FeatureSession | undefined {
    return this.#instances[this.domain.pipeline.features.findIndex(({ name }) => name === feature)];
  }

  // What they are told.

  /** A stanza comes by. */
  handle(direction: Direction, frame: Frame, now: number): Outcome {
    return this.#pipeline?.handle(direction, frame, now) ?? PASSED;
  }

  /** @param changed the stanza as they have left it; undefined: as it came. @returns the same with a discovery answer amended */
  amended(frame: Frame, changed: Buffer | undefined): Buffer | undefined {
    if (frame.kind !== StanzaKind.Iq) return changed;
    const { domain } = this;
    if (!domain.pipeline.amendsDisco) return changed;
    if (!frame.attributeEquals('type', 'result') || frame.findChild('query', NS.discoInfo) < 0)
      return changed;
    let current = frame;
    if (changed !== undefined) {
      const reread = parseStanza(changed, domain.namespaces);
      if ('condition' in reread) return changed;
      current = reread;
    }
    const amended = amendDisco(current, this.identity, this.#instances);
    if (amended === undefined) return changed;
    this.port.count('stanza_changed', 'disco-amended');
    return amended;
  }

  hidesArchived(message: Element): boolean {
    return this.#instances.some((each) => each.hidesArchived?.(message) === true);
  }

  legUp(leg: Leg): void {
    for (const instance of this.#instances) instance.onLegUp?.(leg, this.now);
  }

  legDown(leg: Leg): void {
    for (const instance of this.#instances) instance.onLegDown?.(leg, this.now);
  }

  /** The client is silent for a while by its own word, or is back: nothing is lost by it, and its answers come later. */
  paused(paused: boolean): void {
    for (const instance of this.#instances) instance.onPause?.(paused, this.now);
  }

  /** Another session has told this account something by way of the bus. */
  told(message: string): void {
    const notice = readNotice(message);
    if (notice === undefined || notice.from === this.identity.full) return;
    this.#instanceOf(notice.feature)?.onTold?.(notice.text, notice.from);
  }

  /** The store has written what one of them gave it. */
  stored(token: string, ok: boolean): void {
    this.#asked?.stored(token, ok);
  }

  /** The store has read what one of them asked for. */
  loaded(token: string, entries: readonly StoreEntry[]): void {
    this.#asked?.loaded(token, entries);
  }

  /** A stanza waits for a client that is not there. @param account prepared */
  waits(account: string, bytes: Buffer): void {
    if (NO_MESSAGE.test(bytes.toString('latin1', 0, 9))) return;
    for (const instance of this.#instances) instance.onWaiting?.(account, bytes);
  }

  /** A deadline of the session has come. */
  wake(name: string, now: number): void {
    if (name === RECEIPTS) this.#receipts?.wake();
    const waking = this.#waking.get(name);
    if (waking === undefined) return;
    this.#waking.delete(name);
    this.#instances[waking.feature]?.onWakeup?.(waking.token, now);
  }

  /** What the client has not acknowledged is being put into the store. */
  putAway(): void {
    for (const instance of this.#instances) instance.onPutAway?.(this.now);
  }

  /** The session is over. */
  close(): void {
    for (const instance of this.#instances) instance.onClose?.(this.now);
  }

  /** Until when one of them needs the server leg without a client; ms. */
  neededUntil(): number {
    const { now } = this;
    return Math.max(0, ...this.#instances.map((each) => each.needsServer?.(now) ?? 0));
  }

  snapshots(): Record<string, string> {
    return this.#pipeline?.snapshots() ?? {};
  }

  // What the client has of what it was sent.

  /** The client has what there are copies of in the store: in the account's own place there, or where features have them. */
  settled(copies: readonly string[]): void {
    const own = undeliveredPrefix(this.domain.name, this.session.account);
    this.session.missed.forget(copies.filter((copy) => copy.startsWith(own)));
    this.#settledOfTheirs(copies.filter((copy) => !copy.startsWith(own)));
  }

  #settledOfTheirs(copies: readonly string[]): void {
    if (copies.length === 0) return;
    if (this.#pipeline === undefined) {
      this.#settledEarly = [...this.#settledEarly, ...copies];
      return;
    }
    for (const { name } of this.domain.pipeline.features) {
      const prefix = sentBy(name);
      const tokens = copies.flatMap((copy) => (copy.startsWith(prefix) ? copy.slice(prefix.length) : []));
      if (tokens.length > 0) this.tellReceived(name, tokens);
    }
  }

  /** The client may have acknowledged more than it had. */
  received(): void {
    this.#receipts?.clientHasMore();
  }

  /** What is written to a client without stream management it has, and nothing more will be. */
  settleReceipts(): void {
    this.#receipts?.settle();
  }

  /** Up to here of what the server has sent no feature is putting anything away; Infinity: nothing at all. */
  get safeUpTo(): number {
    return this.#receipts?.safeUpTo ?? Number.POSITIVE_INFINITY;
  }

  /** Which acknowledgements of the client's they wait for. */
  get receipts(): ReceiptsState {
    return this.#receipts?.state ?? [];
  }

  /** The same in the next process, when the client has said what it has. */
  restoreReceipts(state: ReceiptsState): void {
    if (state.length > 0) this.#withReceipts().restore(state);
  }

  #withReceipts(): Receipts {
    this.#receipts ??= new Receipts(this);
    return this.#receipts;
  }

  get acknowledgement(): Acknowledgement {
    return this.session.acknowledgement;
  }

  get clientIsHeld(): boolean {
    return this.session.around.clientIsHeld;
  }

  get clientIsGone(): boolean {
    return this.session.around.clientIsGone;
  }

  receiptsMayBeDue(areDue: boolean): void {
    this.session.setDeadline(RECEIPTS, areDue ? this.now : Number.POSITIVE_INFINITY);
  }

  tellReceived(feature: string, tokens: readonly string[]): void {
    this.#instanceOf(feature)?.onReceived?.(tokens, this.now);
  }

  // What they reach of the session.

  get identity(): SessionIdentity {
    return this.session.identity;
  }

  get domain(): DomainRuntime {
    return this.session.around.domain;
  }

  get upstream(): string {
    return this.session.around.upstream;
  }

  get port(): SessionPort {
    return this.session.around.port;
  }

  get now(): number {
    return this.session.around.now;
  }

  get questions(): FeatureQuestions {
    this.#asked ??= new FeatureQuestions();
    return this.#asked;
  }

  inject(leg: Leg, bytes: Buffer, reason: Reason): void {
    this.session.injections.send(leg, bytes, reason);
  }

  injectStored(feature: string, bytes: Buffer, reason: Reason, token: string): void {
    this.session.injections.send('client', bytes, reason, sentBy(feature) + token);
    // Of a client that may resume the stanza is known until it is acknowledged, and by it the token.
    if (this.acknowledgement.waiting === undefined) this.whenReceived(feature, token, false);
  }

  injectInOthersTurn(bytes: Buffer, reason: Reason, now: number): void {
    this.session.around.inOthersTurn(now);
    this.inject('client', bytes, reason);
  }

  injectAhead(bytes: Buffer, reason: Reason): void {
    this.session.sendNow('server', bytes, reason);
  }

  /** What one of them sends in the client's name: knowledge has to know, since it will see the answer. */
  sendAsClient(feature: Feature, bytes: Buffer, reason: Reason): void {
    this.#sendAs('to-server', feature, bytes, reason);
  }

  /** The opposite: knowledge takes it for the server's word. */
  sendAsServer(feature: Feature, bytes: Buffer, reason: Reason): void {
    this.#sendAs('to-client', feature, bytes, reason);
  }

  #sendAs(direction: Direction, feature: Feature, bytes: Buffer, reason: Reason): void {
    const { now } = this;
    const frame = parseStanza(bytes, this.domain.namespaces);
    if ('condition' in frame) throw new Error(`a feature sends what is no stanza: ${frame.reason}`);
    this.#pipeline?.show(direction, frame, now);
    this.session.injections.sendHandled(direction === 'to-server' ? 'server' : 'client', reason, () => {
      const outcome = this.#pipeline?.handleBehind(feature, direction, frame, now) ?? PASSED;
      if (outcome.kind === 'pass') return bytes;
      return outcome.kind === 'changed' ? outcome.bytes : undefined;
    });
  }

  /** Not before all that is being kept is in the store: nobody else would tell of it whoever wants it. */
  endKept(): void {
    const end = () => this.session.around.endKept();
    if (this.#keeping === undefined) end();
    else this.#keeping.whenStored(end);
  }

  /** @param done it is in the store, or nothing to keep; not called when it could not be written */
  keepForAccount(account: string, bytes: Buffer, done?: () => void, since?: number): void {
    this.#keeping ??= new AccountKeeping(this);
    this.#keeping.keep(account, bytes, done, since);
  }

  request(request: IqRequest, done: (answer: IqAnswer) => void): void {
    this.session.request(request, done);
  }

  holdAcknowledgement(): () => void {
    return this.#withReceipts().holdAcknowledgement();
  }

  whenReceived(feature: string, token: string, asks: boolean): void {
    const receipts = this.#withReceipts();
    this.session.injections.inItsPlace(() => receipts.want(feature, token, asks));
  }

  wakeFeature(feature: number, token: string, time: number): void {
    const name = `${feature}:${token}`;
    this.#waking.set(name, { feature, token });
    this.session.setDeadline(name, time);
  }
}

/** Begins what a copy is known by that a feature has of something it has sent. */
function sentBy(feature: string): string {
  return storeKey(feature, 'sent', '');
}
