import { Buffer } from 'node:buffer';
import { prepareJid } from '../jid.js';
import type { StoreChange, StoreEntry } from '../store/store.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import type { DomainRuntime } from './domain.js';
import type {
  DomainContext,
  Feature,
  FeatureContext,
  FeatureStore,
  IqAnswer,
  IqRequest,
  KnowledgeKey,
  ServerKind,
  SessionIdentity,
} from './feature.js';
import type { FeatureQuestions } from './feature-questions.js';
import type { Interest } from './interests.js';
import { writeNotice } from './notice.js';
import type { PipelineSession } from './pipeline.js';
import type { Leg, SessionPort } from './port.js';
import type { Reason } from './reasons.js';

/** What the features of a session reach of it. */
export interface FeatureHost {
  readonly identity: SessionIdentity;
  readonly enabledAtStart: ReadonlySet<string>;
  /** When they were opened: the leg may have become another session's since. */
  readonly serverKind: ServerKind;
  readonly upstream: string;
  readonly domain: DomainRuntime;
  readonly port: SessionPort;
  readonly now: number;
  readonly questions: FeatureQuestions;
  inject(leg: Leg, bytes: Buffer, reason: Reason): void;
  /** As `FeatureContext.sendStored`. @param feature its name */
  injectStored(feature: string, bytes: Buffer, reason: Reason, token: string): void;
  /** Towards the client, in the turn of another session. */
  injectInOthersTurn(bytes: Buffer, reason: Reason, now: number): void;
  injectAhead(bytes: Buffer, reason: Reason): void;
  sendAsClient(feature: Feature, bytes: Buffer, reason: Reason): void;
  sendAsServer(feature: Feature, bytes: Buffer, reason: Reason): void;
  endKept(): void;
  /** @param account prepared */
  keepForAccount(account: string, bytes: Buffer, done: undefined, since: number): void;
  /** @param account prepared */
  waits(account: string, bytes: Buffer): void;
  request(request: IqRequest, done: (answer: IqAnswer) => void): void;
  holdAcknowledgement(): () => void;
  /** @param feature its name */
  whenReceived(feature: string, token: string, asks: boolean): void;
  wakeFeature(feature: number, token: string, time: number): void;
}

/**
 * `FeatureContext` of one feature in one session. Thousands of sessions have as many of these as there are features: so it is a few fields, and
 * what it can do stands on the prototype.
 */
export class SessionFeatureContext implements FeatureContext, FeatureStore {
  constructor(
    private readonly host: FeatureHost,
    private readonly pipeline: PipelineSession,
    private readonly feature: Feature,
  ) {}

  get identity(): SessionIdentity {
    return this.host.identity;
  }

  get serverKind(): ServerKind {
    return this.host.serverKind;
  }

  get upstream(): string {
    return this.host.upstream;
  }

  get enabledAtStart(): ReadonlySet<string> {
    return this.host.enabledAtStart;
  }

  get domain(): DomainContext {
    return this.host.domain;
  }

  get namespaces(): NamespaceTable {
    return this.host.domain.namespaces;
  }

  get now(): number {
    return this.host.now;
  }

  get store(): FeatureStore {
    return this;
  }

  send(leg: Leg, xml: string | Buffer, reason: Reason): void {
    this.host.inject(leg, typeof xml === 'string' ? Buffer.from(xml) : xml, reason);
  }

  sendAsClient(xml: string | Buffer, reason: Reason): void {
    this.host.sendAsClient(this.feature, Buffer.from(xml), reason);
  }

  sendAsServer(xml: string | Buffer, reason: Reason): void {
    this.host.sendAsServer(this.feature, Buffer.from(xml), reason);
  }

  sendInOthersTurn(xml: string | Buffer, reason: Reason, now: number): void {
    this.host.injectInOthersTurn(typeof xml === 'string' ? Buffer.from(xml) : xml, reason, now);
  }

  sendAhead(xml: string | Buffer, reason: Reason): void {
    this.host.injectAhead(Buffer.from(xml), reason);
  }

  endKept(): void {
    this.host.endKept();
  }

  keepForAccount(bare: string, xml: string | Buffer): void {
    // No client has had what a feature keeps, though one may have come before it was kept.
    const since = Number.NEGATIVE_INFINITY;
    this.host.keepForAccount(prepareJid(bare) ?? bare, Buffer.from(xml), undefined, since);
  }

  waits(bare: string, xml: string | Buffer): void {
    this.host.waits(prepareJid(bare) ?? bare, Buffer.from(xml));
  }

  sendStored(xml: string | Buffer, reason: Reason, token: string): void {
    this.host.injectStored(this.feature.name, Buffer.from(xml), reason, token);
  }

  holdAcknowledgement(): () => void {
    return this.host.holdAcknowledgement();
  }

  whenReceived(token: string, asks = false): void {
    this.host.whenReceived(this.feature.name, token, asks);
  }

  request(iq: IqRequest, done: (answer: IqAnswer) => void): void {
    this.host.request(iq, done);
  }

  wakeAt(token: string, time: number): void {
    this.host.wakeFeature(this.pipeline.pipeline.features.indexOf(this.feature), token, time);
  }

  randomId(): string {
    return this.host.port.randomId();
  }

  count(reason: Reason): void {
    this.host.port.count('feature_decision', reason);
  }

  settings<T>(): T {
    return this.host.domain.settingsOf(this.feature) as T;
  }

  tell(bare: string, text: string): void {
    const message = writeNotice({ feature: this.feature.name, from: this.host.identity.full, text });
    this.host.port.publish(prepareJid(bare) ?? bare, message);
  }

  wallClock(): number {
    return this.host.port.wallClock();
  }

  know<T>(key: KnowledgeKey<T>): T {
    return this.pipeline.know(this.feature, key);
  }

  attend(interest: Interest, on: boolean): void {
    this.pipeline.attend(interest, on);
  }

  write(changes: readonly StoreChange[], done?: (ok: boolean) => void): void {
    this.host.port.store(changes, this.host.questions.write(done));
  }

  load(prefix: string, done: (entries: readonly StoreEntry[]) => void): void {
    this.host.port.load(prefix, this.host.questions.load(done));
  }
}
