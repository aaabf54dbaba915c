import { AssertionError } from 'node:assert';
import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { onTestFinished } from 'vitest';
import type { z } from 'zod';
import { prepareJid } from '../../../src/jid.js';
import type {
  DiscoAmendment,
  DiscoAnswer,
  DomainContext,
  Feature,
  FeatureContext,
  FeatureSession,
  IqAnswer,
  IqRequest,
  KnowledgeKey,
  ServerKind,
  SessionIdentity,
} from '../../../src/session/feature.js';
import { type Outcome, Pipeline, PipelineSession, watchedNamespaces } from '../../../src/session/pipeline.js';
import type { StoreChange, StoreEntry } from '../../../src/store/store.js';
import { Frame } from '../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';
import { parseElement } from '../../../src/xml/tree.js';

/** What the sessions of one domain share in a test. */
export class FakeDomain implements DomainContext {
  readonly #shared = new Map<KnowledgeKey<unknown>, unknown>();
  readonly #sessions: SessionIdentity[] = [];

  constructor(readonly name = 'capulet.lit') {}

  shared<T>(key: KnowledgeKey<T>): T {
    if (!this.#shared.has(key)) this.#shared.set(key, key.create!());
    return this.#shared.get(key) as T;
  }

  sessionsOf(bare: string): readonly SessionIdentity[] {
    return this.#sessions.filter((session) => prepareJid(session.bare) === bare);
  }

  enter(identity: SessionIdentity): void {
    this.#sessions.push(identity);
  }

  leave(identity: SessionIdentity): void {
    this.#sessions.splice(this.#sessions.indexOf(identity), 1);
  }

  /** What the store has, for all sessions of the domain and those after them. */
  readonly store = new Map<string, Buffer>();

  list(prefix: string): StoreEntry[] {
    return [...this.store]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value }));
  }

  write(changes: readonly StoreChange[]): void {
    for (const { key, value } of changes) {
      if (value === undefined) this.store.delete(key);
      else this.store.set(key, value);
    }
  }
}

export interface Scene {
  readonly domain?: FakeDomain;
  /** Full JID; default `juliet@capulet.lit/balcony`. */
  readonly jid?: string;
  readonly serverKind?: ServerKind;
  /** URL of the domain's server that the session is at. */
  readonly upstream?: string;
  readonly now?: number;
  /** Namespaces of what the client had switched on along with binding. */
  readonly enabledAtStart?: readonly string[];
  /** As in the domain's configuration. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Of a process before: the session is gone on with. */
  readonly snapshot?: Readonly<Record<string, string>>;
  /** The next write to the store fails, and so do those after it. */
  readonly storeFails?: boolean;
  /** What the feature says to wait for an account has to be expected. */
  readonly showsWaiting?: boolean;
  /** The client has stream management: what is sent out of the store waits for `acknowledges`. */
  readonly clientAcknowledges?: boolean;
}

/** What a feature may ask of its context that a world without stream management, and with one session's turn at a time, has nothing to do for. */
export const NOT_SHOWN: Pick<
  FeatureContext,
  | 'sendAsServer'
  | 'sendAhead'
  | 'sendInOthersTurn'
  | 'sendStored'
  | 'whenReceived'
  | 'holdAcknowledgement'
  | 'keepForAccount'
  | 'waits'
  | 'endKept'
> = {
  sendAsServer: () => {},
  sendAhead: () => {},
  sendInOthersTurn: () => {},
  sendStored: () => {},
  whenReceived: () => {},
  holdAcknowledgement: () => () => {},
  keepForAccount: () => {},
  waits: () => {},
  endKept: () => {},
};

/** 2026-11-20 at noon, when the clock of a play shows 0. */
export const WALL_CLOCK = 1_795_176_000_000;

/** How much of the conversation a failure shows. */
const TRANSCRIPT_LINES = 30;

interface IqError {
  readonly error: string;
  readonly type?: string;
}

interface OpenRequest {
  readonly request: IqRequest;
  readonly done: (answer: IqAnswer) => void;
}

/**
 * A conversation between one feature, with the knowledge it needs, and the world: stanzas go in, verdicts and what the feature sends or
 * asks come out. Whatever comes out has to be expected, in order, before the next thing goes in, and `end()` has to
 * be reached; the test fails otherwise, with the conversation up to there.
 */
export class Playbook<S extends FeatureSession> {
  readonly session: S;
  now: number;
  /** May be another one when the server leg is up again. */
  upstream: string;
  readonly #transcript: string[] = [];
  /** What came out and has not been expected yet. */
  readonly #pending: string[] = [];
  readonly #requests: OpenRequest[] = [];
  readonly #wakeups = new Map<
    string,
    { readonly feature: Feature; readonly token: string; readonly time: number }
  >();
  readonly #pipeline: PipelineSession;
  readonly #scene: Scene;
  /** Of which features, and by which tokens, the client's acknowledgement is waited for. */
  #receipts: { readonly feature: Feature; readonly token: string }[] = [];
  /** What the store has answered and nobody has been told yet. */
  #answers: (() => void)[] = [];
  readonly #namespaces: NamespaceTable;
  readonly #account: string;
  readonly #domain: FakeDomain;
  readonly #identity: SessionIdentity;
  readonly #announced: string[] = [];
  #ended = false;

  constructor(feature: Feature<S>, scene: Scene = {}) {
    this.now = scene.now ?? 1_000_000;
    this.upstream = scene.upstream ?? 'xmpp://127.0.0.1';
    const domain = scene.domain ?? new FakeDomain();
    const identity = identityOf(scene.jid ?? 'juliet@capulet.lit/balcony');
    domain.enter(identity);
    this.#domain = domain;
    this.#identity = identity;
    this.#account = identity.bare;
    this.#namespaces = new NamespaceTable([...Object.values(NS), ...watchedNamespaces([feature])]);
    const pipeline = new Pipeline([feature], this.#namespaces);
    this.#scene = scene;
    this.#pipeline = new PipelineSession(
      pipeline,
      identity,
      (opened, session) => this.#contextFor(opened, session, domain, identity, scene.serverKind ?? 'unknown'),
      scene.snapshot,
    );
    this.session = this.#pipeline.instances.at(-1) as S;
    onTestFinished(() => {
      if (!this.#ended) this.#fail('the playbook has no end()', [], []);
    });
  }

  /** A stanza of the server's on its way to the client. The verdict has to be expected unless it is `pass`. */
  fromServer(xml: string): this {
    return this.#stanza('to-client', xml);
  }

  /** A stanza of the client's on its way to the server. */
  fromClient(xml: string): this {
    return this.#stanza('to-server', xml);
  }

  /** A feature nearer to the client sends a stanza in the client's name. */
  fromOuterFeature(xml: string): this {
    return this.#stanza('to-server', xml, (frame) => {
      const { features, knowledge } = this.#pipeline.pipeline;
      this.#pipeline.show('to-server', frame, this.now);
      return this.#pipeline.handleBehind(features[knowledge - 1]!, 'to-server', frame, this.now);
    });
  }

  /** What became of the last stanza: `dropped reason`, `handled reason`, or `changed reason` and the stanza. */
  expectVerdict(verdict: string, xml?: string): this {
    return this.#expect(xml === undefined ? verdict : `${verdict} ${canonical(xml)}`);
  }

  expectSent(leg: 'client' | 'server', xml: string): this {
    return this.#expect(`sends to ${leg}: ${canonical(xml)}`);
  }

  /** Sent to the server in front of the client's stanza. */
  expectAhead(xml: string): this {
    return this.#expect(`sends to server ahead: ${canonical(xml)}`);
  }

  /** The client acknowledges what features wait for. @param count so many of it; by default all */
  acknowledges(count = this.#receipts.length): this {
    for (const { feature, token } of this.#receipts.splice(0, count))
      this.#instance(feature).onReceived?.([token], this.now);
    return this;
  }

  /** The server leg is not needed any more. */
  expectEndOfKept(): this {
    return this.#expect('ends the kept leg');
  }

  /** Put away for an account's next session. */
  expectKept(bare: string, xml: string): this {
    return this.#expect(`keeps for ${bare}: ${canonical(xml)}`);
  }

  /** A request of the feature's own. Answer it with `answerIq`, in any order. */
  expectRequest(to: string, payload: string): this {
    return this.#expect(`asks ${to}: ${canonical(payload)}`);
  }

  /** Answers the oldest open request to `to`: with the payload of a result, an error `{error: condition}`, by default of type cancel, or its failing. */
  answerIq(to: string, answer: string | IqError | 'timeout' | 'leg-lost'): this {
    this.#settle();
    const at = this.#requests.findIndex(({ request }) => addressee(request) === to);
    if (at === -1) this.#fail(`nobody has asked ${to}`, [], []);
    const [open] = this.#requests.splice(at, 1);
    this.#transcript.push(`${to} answers: ${typeof answer === 'string' ? answer : answer.error}`);
    open!.done(answerOf(answer));
    return this;
  }

  /** A stanza waits for an account of which no client has it; by default for the session's own. */
  waits(xml: string, account?: string): this {
    this.#settle();
    this.#transcript.push(`waits: ${xml}`);
    for (const instance of this.#pipeline.instances)
      instance.onWaiting?.(account ?? this.#account, Buffer.from(xml));
    return this;
  }

  /** The client is gone for good. @returns whether the feature needs the server leg all the same */
  goes(): boolean {
    this.#settle();
    this.#transcript.push('the client is gone for good');
    const needed = this.#pipeline.instances.map((each) => each.needsServer?.(this.now) ?? 0);
    return Math.max(...needed) > this.now;
  }

  /** Said to wait for an account. */
  expectWaiting(bare: string, xml: string): this {
    return this.#expect(`waits for ${bare}: ${canonical(xml)}`);
  }

  /** What the feature has said to wait for accounts since this was read last; it need not be expected. */
  announced(): string[] {
    this.#settle();
    return this.#announced.splice(0);
  }

  /** What the client has not acknowledged is put into the store by others. */
  putsAway(): this {
    this.#settle();
    this.#transcript.push('what waits is put away');
    for (const instance of this.#pipeline.instances) instance.onPutAway?.(this.now);
    return this;
  }

  /** Lets time pass and wakes the feature as often as it has asked for. */
  wake(milliseconds: number): this {
    this.#settle();
    const until = this.now + milliseconds;
    this.#transcript.push(`${milliseconds} ms pass`);
    for (let i = 0; i < 1_000; i++) {
      const due = [...this.#wakeups].filter(([, { time }]) => time <= until);
      if (due.length === 0) break;
      const [name, wakeup] = due.sort(([, a], [, b]) => a.time - b.time)[0]!;
      this.#wakeups.delete(name);
      this.now = Math.max(this.now, wakeup.time);
      this.#instance(wakeup.feature).onWakeup?.(wakeup.token, this.now);
    }
    this.now = until;
    return this;
  }

  legDown(leg: 'client' | 'server'): this {
    this.#settle();
    this.#transcript.push(`the ${leg} leg goes down`);
    for (const instance of this.#pipeline.instances) instance.onLegDown?.(leg, this.now);
    return this;
  }

  legUp(leg: 'client' | 'server'): this {
    this.#settle();
    this.#transcript.push(`the ${leg} leg comes back`);
    for (const instance of this.#pipeline.instances) instance.onLegUp?.(leg, this.now);
    return this;
  }

  /** The client says that it will be silent for a while, or is heard of again. */
  pauses(paused: boolean): this {
    this.#settle();
    this.#transcript.push(paused ? 'the client pauses' : 'the client is back');
    for (const instance of this.#pipeline.instances) instance.onPause?.(paused, this.now);
    return this;
  }

  /** Another session's feature of this name has told the account something. */
  told(message: string, from: string): this {
    this.#settle();
    this.#transcript.push(`${from} tells: ${message}`);
    this.session.onTold?.(message, from);
    return this;
  }

  /** What the feature has said to the sessions of an account. */
  expectTold(bare: string, message: string): this {
    return this.#expect(`tells ${bare}: ${message}`);
  }

  /** A discovery answer passes; what the feature makes of it. */
  disco(answer: DiscoAnswer): DiscoAmendment | undefined {
    this.#settle();
    return this.session.onDisco?.(answer);
  }

  /** The session is over. */
  close(): this {
    this.#settle();
    this.#transcript.push('the session is over');
    for (const instance of this.#pipeline.instances) instance.onClose?.(this.now);
    this.#domain.leave(this.#identity);
    return this;
  }

  /** What the next process would be given. */
  snapshots(): Record<string, string> {
    return this.#pipeline.snapshots();
  }

  /** Looks at the feature in the middle of the conversation. */
  see(look: (session: S) => void): this {
    this.#settle();
    look(this.session);
    return this;
  }

  /** Nothing more comes out and no request is open. */
  end(): void {
    this.#settle();
    const open = this.#requests.map(({ request }) => `asks ${addressee(request)}`);
    if (open.length > 0) this.#fail('requests are still open', [], open);
    this.#ended = true;
  }

  #stanza(
    direction: 'to-server' | 'to-client',
    xml: string,
    handle = (frame: Frame) => this.#pipeline.handle(direction, frame, this.now),
  ): this {
    this.#settle();
    this.#transcript.push(`${direction === 'to-server' ? 'client' : 'server'}: ${xml}`);
    const frame = parseStanza(Buffer.from(xml), this.#namespaces);
    if (!(frame instanceof Frame)) return this.#fail(`not a stanza: ${frame.reason}`, [], []);
    const outcome = handle(frame);
    // The verdict is told first: what is sent follows the stanza.
    if (outcome.kind !== 'pass') this.#pending.unshift(describe(outcome));
    return this;
  }

  /** The store answers later than it is asked: with the next thing that happens or is expected. */
  #hearStore(): void {
    while (this.#answers.length > 0) for (const answer of this.#answers.splice(0)) answer();
  }

  #expect(expected: string): this {
    this.#hearStore();
    const actual = this.#pending.shift();
    if (actual !== expected) this.#fail('something else came out', [expected], [actual ?? '(nothing)']);
    this.#transcript.push(`  ${expected}`);
    return this;
  }

  #settle(): void {
    this.#hearStore();
    if (this.#pending.length > 0) this.#fail('this was not expected', [], this.#pending);
  }

  #fail(message: string, expected: readonly string[], actual: readonly string[]): never {
    this.#ended = true;
    const before = this.#transcript.slice(-TRANSCRIPT_LINES);
    throw new AssertionError({
      message: `${message}, after: ${before.at(-1) ?? '(the beginning)'}`,
      expected: [...before, ...expected].join('\n'),
      actual: [...before, ...actual].join('\n'),
    });
  }

  #instance(feature: Feature): FeatureSession {
    return this.#pipeline.instances[this.#pipeline.pipeline.features.indexOf(feature)]!;
  }

  #contextFor(
    feature: Feature,
    pipeline: PipelineSession,
    domain: FakeDomain,
    identity: SessionIdentity,
    serverKind: ServerKind,
  ): FeatureContext {
    const playbook = this;
    let ids = 0;
    return {
      identity,
      serverKind,
      get upstream() {
        return playbook.upstream;
      },
      enabledAtStart: new Set(this.#scene.enabledAtStart),
      domain,
      namespaces: this.#namespaces,
      get now() {
        return playbook.now;
      },
      send: (leg, xml) => this.#pending.push(`sends to ${leg}: ${canonical(xml.toString())}`),
      sendAsClient: (xml) => {
        const frame = parseStanza(Buffer.from(xml), this.#namespaces);
        if (!(frame instanceof Frame)) return this.#fail(`sends what is no stanza: ${xml}`, [], []);
        this.#pipeline.show('to-server', frame, this.now);
        // There is one feature in a play: nobody is nearer to the server.
        this.#pending.push(`sends to server: ${canonical(xml.toString())}`);
      },
      sendAsServer: (xml) => {
        const frame = parseStanza(Buffer.from(xml), this.#namespaces);
        if (!(frame instanceof Frame)) return this.#fail(`sends what is no stanza: ${xml}`, [], []);
        this.#pipeline.show('to-client', frame, this.now);
        this.#pending.push(`sends to client: ${canonical(xml.toString())}`);
      },
      sendInOthersTurn: (xml) => this.#pending.push(`sends to client: ${canonical(xml.toString())}`),
      // Ahead of the stanza that is being handled: told before its verdict.
      sendAhead: (xml) => this.#pending.push(`sends to server ahead: ${canonical(xml.toString())}`),
      holdAcknowledgement: () => () => {},
      whenReceived: (token) => this.#receipts.push({ feature, token }),
      endKept: () => this.#pending.push('ends the kept leg'),
      keepForAccount: (bare, xml) => this.#pending.push(`keeps for ${bare}: ${canonical(xml.toString())}`),
      waits: (bare, xml) => {
        this.#announced.push(`${bare}: ${canonical(xml.toString())}`);
        if (this.#scene.showsWaiting === true)
          this.#pending.push(`waits for ${bare}: ${canonical(xml.toString())}`);
      },
      sendStored: (xml, _reason, token) => {
        this.#pending.push(`sends to client: ${canonical(xml.toString())}`);
        if (this.#scene.clientAcknowledges === true) this.#receipts.push({ feature, token });
        else this.#answers.push(() => this.#instance(feature).onReceived?.([token], this.now));
      },
      settings: <T>(schema: z.ZodType<T>) => schema.parse(this.#scene.settings ?? {}),
      store: {
        write: (changes, done) => {
          const ok = this.#scene.storeFails !== true;
          if (ok) domain.write(changes);
          if (done !== undefined) this.#answers.push(() => done(ok));
        },
        load: (prefix, done) => this.#answers.push(() => done(domain.list(prefix))),
      },
      tell: (bare, message) => this.#pending.push(`tells ${bare}: ${message}`),
      wallClock: () => WALL_CLOCK + this.now,
      request: (request, done) => {
        this.#pending.push(`asks ${addressee(request)}: ${canonical(request.payload)}`);
        this.#requests.push({ request, done });
      },
      wakeAt: (token, time) => this.#wakeups.set(`${feature.name} ${token}`, { feature, token, time }),
      randomId: () => `id-${++ids}`,
      count: () => {},
      know: (key) => pipeline.know(feature, key),
      attend: (interest, on) => pipeline.attend(interest, on),
    };
  }
}

/** Opens a feature, or a knowledge module, for a session. */
export function play<S extends FeatureSession>(feature: Feature<S>, scene?: Scene): Playbook<S> {
  return new Playbook(feature, scene);
}

function identityOf(full: string): SessionIdentity {
  const [bare, resource] = full.split('/') as [string, string];
  const [local, domain] = bare.split('@') as [string, string];
  return { full, bare, local, domain, resource };
}

function addressee(request: IqRequest): string {
  return request.leg === 'client' ? 'client' : (request.to ?? 'account');
}

function answerOf(answer: string | IqError): IqAnswer {
  if (answer === 'timeout' || answer === 'leg-lost') return { kind: answer };
  if (typeof answer === 'string') {
    const iq = parseElement(Buffer.from(`<iq xmlns='${NS.client}' type='result'>${answer}</iq>`));
    return { kind: 'result', iq };
  }
  const error = `<error type='${answer.type ?? 'cancel'}'><${answer.error} xmlns='${NS.stanzaErrors}'/></error>`;
  const iq = parseElement(Buffer.from(`<iq xmlns='${NS.client}' type='error'>${error}</iq>`));
  return { kind: 'error', condition: answer.error, iq };
}

function describe(outcome: Exclude<Outcome, { kind: 'pass' }>): string {
  const what = `${outcome.kind} ${outcome.reason}`;
  return outcome.kind === 'changed' ? `${what} ${canonical(outcome.bytes.toString())}` : what;
}

/** One spelling for what means the same: names resolved, attributes in order. */
function canonical(xml: string): string {
  return canonicalElement(parseElement(Buffer.from(xml)));
}

function canonicalElement(element: Element, around = ''): string {
  const namespace = element.getNS() ?? '';
  const attributes = Object.entries(element.attrs as Record<string, string>)
    .filter(([name]) => name !== 'xmlns' && !name.startsWith('xmlns:'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ` ${name}='${value}'`);
  const declaration = namespace === around ? '' : ` xmlns='${namespace}'`;
  const children = element.children.map((child) =>
    typeof child === 'string' ? child : canonicalElement(child, namespace),
  );
  return `<${element.getName()}${declaration}${attributes.join('')}>${children.join('')}</${element.getName()}>`;
}
