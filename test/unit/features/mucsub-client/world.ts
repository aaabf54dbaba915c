import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { z } from 'zod';
import { mucsubClient } from '../../../../src/features/mucsub-client/mucsub-client.js';
import type {
  Feature,
  FeatureContext,
  IqAnswer,
  IqRequest,
  SessionIdentity,
} from '../../../../src/session/feature.js';
import { Pipeline, PipelineSession, watchedNamespaces } from '../../../../src/session/pipeline.js';
import { Frame } from '../../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';
import { parseStanza } from '../../../../src/xml/tokenizer.js';
import { parseElement } from '../../../../src/xml/tree.js';
import { FakeDomain } from '../playbook.js';

const NAMESPACES = new NamespaceTable([...Object.values(NS), ...watchedNamespaces([mucsubClient])]);
const PIPELINE = new Pipeline([mucsubClient], NAMESPACES);
/** Where it is switched off. */
const OFF = new Pipeline([mucsubClient.whenOff!], NAMESPACES);

/** What a domain's configuration has under its name. */
type Settings = Readonly<Record<string, unknown>> | false;

export const ACCOUNT = 'juliet@capulet.lit';
export const MUC = 'chats.capulet.lit';
export const ROOM = `party@${MUC}`;

/** What rooms of a server may be like. */
export interface Traits {
  /** Messages of a room's history. */
  readonly history: number;
  readonly archive: boolean;
  /** The room gives its messages ids. */
  readonly ids: boolean;
}

interface Message {
  readonly id: string;
  readonly nick: string;
  readonly body: string;
  readonly at: number;
}

/** A domain at one process. */
export class ProxiedDomain extends FakeDomain {
  #waiting: (() => void)[] | undefined;

  /** What is asked of the store from now on is answered by `answers`. */
  hesitates(): void {
    this.#waiting ??= [];
  }

  /** @param now what is done with what the store has, when it answers */
  whenRead(now: () => void): void {
    if (this.#waiting === undefined) now();
    else this.#waiting.push(now);
  }

  answers(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const each of waiting) each();
  }
}

/** The time, for everybody. */
export class Clock {
  now = 1_000_000;
  readonly wall = (): number => 1_795_176_000_000 + this.now;
}

const stamp = (at: number) => new Date(at).toISOString();

/** A server with MUC/Sub as ejabberd has it, with one account and one room. */
export class Server {
  readonly messages: Message[] = [];
  /** Who has subscribed: nick and nodes. */
  readonly subscribers = new Map<string, { nick: string; nodes: string[] }>();
  /** With what the account has asked to be subscribed. */
  readonly passwords: (string | undefined)[] = [];
  readonly occupants = new Map<string, string>();
  readonly sessions = new Map<string, (xml: string) => void>();
  readonly available = new Set<string>();
  readonly requests: string[] = [];
  allowed = true;
  /** Rooms do not say what they can do. */
  isMute = false;
  /** Rooms let in who joins, and tell what was before by `tells`. */
  isSlow = false;
  readonly #unacknowledged = new Map<string, { xml: string; at: number }[]>();
  #untold: (() => void)[] = [];
  #offline: string[] = [];

  constructor(
    readonly traits: Traits,
    private readonly clock: Clock,
  ) {}

  /** Somebody else says something in the room. */
  says(body: string, nick = 'Romeo'): void {
    const at = this.clock.wall();
    const message = { id: `1${String(this.messages.length).padStart(5, '0')}`, nick, body, at };
    this.messages.push(message);
    for (const full of this.occupants.keys()) this.sessions.get(full)?.(this.#groupchat(message, full));
    if (this.subscribers.has(ACCOUNT) && this.occupants.size === 0)
      this.event(this.#groupchat(message, ACCOUNT));
  }

  /** To all clients of the account, or for later. */
  event(inner: string, node = 'messages', from = ROOM): void {
    const withNamespace = inner.replace(/^<(\w+)/, `<$1 xmlns='jabber:client'`);
    const xml =
      `<message from='${from}' to='${ACCOUNT}' id='w'><event xmlns='${NS.pubsubEvent}'>` +
      `<items node='urn:xmpp:mucsub:nodes:${node}'><item id='w'>${withNamespace}</item></items></event></message>`;
    if (this.available.size > 0) for (const full of this.available) this.sessions.get(full)?.(xml);
    else {
      const delay = `<delay xmlns='${NS.delay}' from='capulet.lit' stamp='${stamp(this.clock.wall())}'>Offline storage</delay>`;
      this.#offline.push(
        xml.replace('</message>', '</message>').replace(/<\/message>$/, `${delay}</message>`),
      );
    }
  }

  #groupchat({ id, nick, body, at }: Message, to: string, delayed = false): string {
    const given = this.traits.ids ? `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${id}'/>` : '';
    const delay = delayed ? `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='${stamp(at)}'/>` : '';
    return `<message type='groupchat' from='${ROOM}/${nick}' to='${to}'>${given}${delay}<body>${body}</body></message>`;
  }

  /** A session has begun; first it gets what the one before of its resource has not acknowledged, as ejabberd has it. */
  begins(full: string, deliver: (xml: string) => void): void {
    this.sessions.set(full, deliver);
    const unacknowledged = this.#unacknowledged.get(full);
    if (unacknowledged === undefined) return;
    this.#unacknowledged.delete(full);
    this.occupants.delete(full);
    for (const { xml, at } of unacknowledged) {
      const delay = `<delay xmlns='${NS.delay}' from='capulet.lit' stamp='${stamp(at)}'>Resent</delay>`;
      if (/^<message[^>]* type='groupchat'/.test(xml))
        deliver(xml.replace(/<\/message>$/, `${delay}</message>`));
    }
  }

  /** The connection of a session is lost: to the rooms it is there until another one of its resource begins. @param unacknowledged of what it was sent */
  loses(full: string, unacknowledged: readonly string[]): void {
    const now = this.clock.wall();
    const waiting = unacknowledged.map((xml) => {
      const said = this.messages.find(({ body }) => xml.includes(`<body>${body}</body>`));
      return { xml, at: said?.at ?? now };
    });
    this.#unacknowledged.set(full, waiting);
    this.sessions.set(full, (xml) => waiting.push({ xml, at: this.clock.wall() }));
    this.available.delete(full);
  }

  /** A session that was lost is not waited for any more. */
  expires(full: string): void {
    this.#unacknowledged.delete(full);
    this.ends(full);
  }

  /** A session has gone. */
  ends(full: string): void {
    this.sessions.delete(full);
    this.available.delete(full);
    this.occupants.delete(full);
  }

  /** Something that a client, or the proxy for it, sends. */
  receive(full: string, xml: string): void {
    const stanza = parseElement(Buffer.from(xml));
    const deliver = this.sessions.get(full);
    if (deliver === undefined) return;
    const to = String(stanza.attrs.to ?? '');
    if (stanza.name === 'presence') this.#presence(full, to, stanza, deliver);
    else if (stanza.name === 'iq') {
      const answer = this.#iq(full, to, stanza);
      if (!this.isMute || stanza.getChild('query', NS.discoInfo) === undefined) deliver(answer);
    } else if (stanza.name === 'message' && to === ROOM) {
      const nick = this.occupants.get(full);
      if (nick !== undefined) this.says(stanza.getChildText('body') ?? '', nick);
    }
  }

  #presence(full: string, to: string, stanza: Element, deliver: (xml: string) => void): void {
    const { type } = stanza.attrs as Record<string, string | undefined>;
    if (to === '') {
      if (type === 'unavailable') this.available.delete(full);
      else {
        this.available.add(full);
        for (const xml of this.#offline.splice(0)) deliver(xml);
      }
      return;
    }
    const nick = to.slice(ROOM.length + 1);
    const item = `<x xmlns='${NS.mucUser}'><item role='participant' affiliation='none'/><status code='110'/></x>`;
    if (type === 'unavailable') {
      this.occupants.delete(full);
      deliver(`<presence type='unavailable' from='${ROOM}/${nick}' to='${full}'>${item}</presence>`);
      return;
    }
    this.occupants.set(full, nick);
    deliver(`<presence from='${ROOM}/${nick}' to='${full}'>${item}</presence>`);
    const wish = stanza.getChild('x', NS.muc)?.getChild('history')?.attrs.maxstanzas as string | undefined;
    const most = Math.min(this.traits.history, wish === undefined ? Number.POSITIVE_INFINITY : Number(wish));
    const history = most === 0 ? [] : this.messages.slice(-most);
    const subject = `<message type='groupchat' from='${ROOM}' to='${full}'><subject/></message>`;
    for (const xml of [...history.map((message) => this.#groupchat(message, full, true)), subject])
      this.#untold.push(() => this.sessions.get(full)?.(xml));
    if (!this.isSlow) this.tells();
  }

  /** What a slow room has still to tell. @param most so many messages, the subject included */
  tells(most = Number.POSITIVE_INFINITY): void {
    for (const each of this.#untold.splice(0, most)) each();
  }

  #iq(full: string, to: string, iq: Element): string {
    const child = iq.getChildElements()[0];
    const namespace = child?.getNS();
    this.requests.push(`${child?.getName()} ${to}`);
    const result = (inner = '') =>
      `<iq type='result' id='${iq.attrs.id}' from='${to}' to='${full}'>${inner}</iq>`;
    const refuse = `<iq type='error' id='${iq.attrs.id}' from='${to}' to='${full}'><error type='cancel'><item-not-found xmlns='${NS.stanzaErrors}'/></error></iq>`;
    const events = (nodes: readonly string[]) => nodes.map((node) => `<event node='${node}'/>`).join('');
    if (namespace === NS.discoInfo && to === ROOM) {
      const names = [NS.muc, ...(this.allowed ? [NS.mucsub] : []), ...(this.traits.archive ? [NS.mam2] : [])];
      return result(
        `<query xmlns='${NS.discoInfo}'>${names.map((name) => `<feature var='${name}'/>`).join('')}</query>`,
      );
    }
    if (namespace === NS.mucsub && child?.getName() === 'subscriptions') {
      const own = this.subscribers.get(ACCOUNT);
      const list =
        own === undefined
          ? ''
          : `<subscription jid='${ROOM}' nick='${own.nick}'>${events(own.nodes)}</subscription>`;
      return result(`<subscriptions xmlns='${NS.mucsub}'>${list}</subscriptions>`);
    }
    if (namespace === NS.mucsub && child?.getName() === 'subscribe') {
      if (!this.allowed) return refuse;
      this.passwords.push(child.attrs.password as string | undefined);
      const nodes = child.getChildren('event').map(({ attrs }) => String(attrs.node));
      this.subscribers.set(ACCOUNT, { nick: String(child.attrs.nick), nodes });
      return result(
        `<subscribe xmlns='${NS.mucsub}' nick='${child.attrs.nick}'>${events(nodes)}</subscribe>`,
      );
    }
    if (namespace === NS.mucsub) {
      this.subscribers.delete(ACCOUNT);
      return result();
    }
    if (namespace === NS.mam2 && this.traits.archive && child !== undefined)
      return this.#page(full, child, result);
    return refuse;
  }

  #page(full: string, query: Element, result: (inner: string) => string): string {
    const set = query.getChild('set', NS.resultSets);
    const after = set?.getChildText('after');
    const start = query
      .getChild('x', NS.dataForms)
      ?.getChildren('field')
      .find(({ attrs }) => attrs.var === 'start')
      ?.getChildText('value');
    const from = start === undefined || start === null ? Number.NEGATIVE_INFINITY : Date.parse(start);
    const first = typeof after === 'string' ? this.messages.findIndex(({ id }) => id === after) + 1 : 0;
    const all = this.messages.slice(first).filter(({ at }) => at >= from);
    const page = all.slice(0, Number(set?.getChildText('max') ?? 100));
    const { queryid } = query.attrs as { queryid?: string };
    const asked = queryid === undefined ? '' : ` queryid='${queryid}'`;
    for (const message of page) {
      const inner = this.#groupchat(message, full)
        .replace('<message', `<message xmlns='jabber:client'`)
        .replace(/ to='[^']*'/, '');
      this.sessions.get(full)?.(
        `<message from='${ROOM}' to='${full}'><result xmlns='${NS.mam2}'${asked} id='${message.id}'><forwarded xmlns='${NS.forward0}'>` +
          `${inner}<delay xmlns='${NS.delay}' stamp='${stamp(message.at)}'/></forwarded></result></message>`,
      );
    }
    const last = page.at(-1)?.id ?? '';
    const complete = page.length === all.length ? " complete='true'" : '';
    return result(
      `<fin xmlns='${NS.mam2}'${complete}><set xmlns='${NS.resultSets}'><last>${last}</last></set></fin>`,
    );
  }
}

type OnWire =
  | { readonly kind: 'stanza'; readonly xml: string; readonly isServers: boolean }
  | { readonly kind: 'receipt'; readonly feature: Feature; readonly token: string };

let ids = 0;

/** A session through the proxy. What is for the client is on the wire until the client reads it; by reading it acknowledges. */
export class ProxiedSession {
  wire: OnWire[] = [];
  /** So much of the server's does not count as delivered, though it has been taken. */
  takes = 0;
  readonly #pipeline: PipelineSession;
  readonly #identity: SessionIdentity;
  readonly #wakeups = new Map<string, { feature: Feature; token: string; time: number }>();
  readonly #requests = new Map<string, (answer: IqAnswer) => void>();
  #later: (() => void)[] = [];
  #isOver = false;
  #behind: OnWire[] | undefined;

  constructor(
    readonly full: string,
    readonly domain: ProxiedDomain,
    private readonly clock: Clock,
    private readonly server: Server,
    private readonly settings: Settings,
    snapshots: Readonly<Record<string, string>> = {},
  ) {
    const [bare, resource] = full.split('/') as [string, string];
    const [local, name] = bare.split('@') as [string, string];
    this.#identity = { full, bare, local, domain: name, resource };
    server.begins(full, (xml) => this.#later.push(() => this.#fromServer(xml)));
    this.#pipeline = new PipelineSession(
      settings === false ? OFF : PIPELINE,
      this.#identity,
      (feature, pipeline) => this.#contextFor(feature, pipeline),
      snapshots,
    );
  }

  send(xml: string): void {
    this.#pass('to-server', xml);
    this.settle();
  }

  /** Everything happens that was only put off. */
  settle(): void {
    for (;;) {
      const due = [...this.#wakeups].filter(([, { time }]) => time <= this.clock.now);
      if (this.#later.length === 0 && due.length === 0) return;
      for (const [name, { feature, token }] of due) {
        this.#wakeups.delete(name);
        this.#instance(feature)?.onWakeup?.(token, this.clock.now);
      }
      for (const each of this.#later.splice(0)) if (!this.#isOver) each();
    }
  }

  /** @returns what the client reads: so many stanzas at the most */
  read(most = Number.POSITIVE_INFINITY): Element[] {
    const stanzas: Element[] = [];
    while (this.wire.length > 0 && (stanzas.length < most || this.wire[0]!.kind === 'receipt')) {
      const first = this.wire.shift()!;
      if (first.kind === 'stanza') stanzas.push(parseElement(Buffer.from(first.xml)));
      else this.#instance(first.feature)?.onReceived?.([first.token], this.clock.now);
    }
    this.settle();
    return stanzas;
  }

  /** Whether a message that the proxy has read out of the account's archive is kept from the client. */
  hidesArchived(xml: string): boolean {
    const message = parseElement(Buffer.from(xml));
    return this.#pipeline.instances.some((each) => each.hidesArchived?.(message) === true);
  }

  /** The connection to the server is lost: what was asked has no answer. */
  serverGone(): void {
    const open = [...this.#requests.values()];
    this.#requests.clear();
    for (const done of open) done({ kind: 'leg-lost' });
  }

  clientGone(): void {
    for (const instance of this.#pipeline.instances) instance.onLegDown?.('client', this.clock.now);
    this.settle();
  }

  clientBack(): void {
    for (const instance of this.#pipeline.instances) instance.onLegUp?.('client', this.clock.now);
    this.settle();
  }

  snapshots(): Record<string, string> {
    const snapshots = this.#pipeline.snapshots();
    this.#isOver = true;
    return snapshots;
  }

  /** The server has not been told that the client has these. */
  get unreadOfServer(): string[] {
    return this.wire.flatMap((each) => (each.kind === 'stanza' && each.isServers ? each.xml : []));
  }

  /** What it has asked to be told when the client has it. */
  get awaited(): string[] {
    return this.wire.flatMap((each) => (each.kind === 'receipt' ? each.token : []));
  }

  /** The client has said by coming back that it had this. @param tokens of the process before */
  hadBefore(tokens: readonly string[]): void {
    if (tokens.length > 0) this.#instance(mucsubClient)?.onReceived?.(tokens, this.clock.now);
  }

  close(): void {
    for (const instance of this.#pipeline.instances) instance.onClose?.(this.clock.now);
    this.#isOver = true;
  }

  kill(): void {
    this.#isOver = true;
    this.#later = [];
  }

  #instance(feature: Feature) {
    return this.#pipeline.instances[this.#pipeline.pipeline.features.indexOf(feature)];
  }

  #fromServer(xml: string): void {
    const element = parseElement(Buffer.from(xml));
    const open = this.#requests.get(String(element.attrs.id));
    if (element.name === 'iq' && open !== undefined) {
      this.#requests.delete(String(element.attrs.id));
      if (element.attrs.type === 'error') open({ kind: 'error', condition: 'item-not-found', iq: element });
      else open({ kind: 'result', iq: element });
    } else this.#pass('to-client', xml);
  }

  #pass(direction: 'to-server' | 'to-client', xml: string): void {
    const frame = parseStanza(Buffer.from(xml), NAMESPACES);
    if (!(frame instanceof Frame)) throw new Error(`not a stanza: ${xml}`);
    this.#behind = [];
    const outcome = this.#pipeline.handle(direction, frame, this.clock.now);
    const behind = this.#behind;
    this.#behind = undefined;
    const passed =
      outcome.kind === 'pass' ? xml : outcome.kind === 'changed' ? outcome.bytes.toString() : undefined;
    if (passed !== undefined && direction === 'to-server')
      this.#later.push(() => this.server.receive(this.full, passed));
    else if (passed !== undefined) this.wire.push({ kind: 'stanza', xml: passed, isServers: true });
    this.wire.push(...behind);
  }

  #put(each: OnWire): void {
    (this.#behind ?? this.wire).push(each);
  }

  #contextFor(feature: Feature, pipeline: PipelineSession): FeatureContext {
    const session = this;
    return {
      identity: this.#identity,
      serverKind: 'ejabberd',
      enabledAtStart: new Set(),
      domain: this.domain,
      namespaces: NAMESPACES,
      get now() {
        return session.clock.now;
      },
      send: (leg, xml) => {
        if (leg === 'client') this.#put({ kind: 'stanza', xml: xml.toString(), isServers: false });
        else this.#later.push(() => this.server.receive(this.full, xml.toString()));
      },
      ...{ sendAsClient: () => {}, sendAsServer: () => {}, sendAhead: () => {} },
      ...{ endKept: () => {}, keepForAccount: () => {}, tell: () => {}, count: () => {}, waits: () => {} },
      ...{ upstream: 'xmpp://localhost', sendStored: () => {} },
      attend: (interest, on) => pipeline.attend(interest, on),
      holdAcknowledgement: () => {
        this.takes += 1;
        return () => {
          this.takes -= 1;
        };
      },
      sendInOthersTurn: () => {},
      whenReceived: (token) => this.#put({ kind: 'receipt', feature, token }),
      settings: <T>(schema: z.ZodType<T>) => schema.parse(this.settings || {}),
      store: {
        write: (changes, done) => {
          this.domain.write(changes);
          this.#later.push(() => done?.(true));
        },
        load: (prefix, done) =>
          this.domain.whenRead(() => this.#later.push(() => done(this.domain.list(prefix)))),
      },
      wallClock: this.clock.wall,
      request: ({ leg, type, to = ACCOUNT, payload }: IqRequest, done) => {
        ids += 1;
        const id = `q${ids}`;
        if (leg === 'client') return;
        this.#requests.set(id, done);
        this.#later.push(() =>
          this.server.receive(this.full, `<iq type='${type}' id='${id}' to='${to}'>${payload}</iq>`),
        );
      },
      wakeAt: (token, time) => this.#wakeups.set(`${feature.name} ${token}`, { feature, token, time }),
      randomId: () => {
        ids += 1;
        return `random-${ids}`;
      },
      know: (key) => pipeline.know(feature, key),
    };
  }
}

/** Bodies that a legacy client shows its user. */
export function bodiesIn(stanzas: readonly Element[]): string[] {
  return stanzas.flatMap((stanza) =>
    stanza.name === 'message' && stanza.attrs.type === 'groupchat' ? (stanza.getChildText('body') ?? []) : [],
  );
}

/** A device whose client knows nothing of MUC/Sub, through one session after the other. */
export class Device {
  session: ProxiedSession | undefined;
  readonly shown: string[] = [];
  readonly all: Element[] = [];

  constructor(
    readonly full: string,
    private readonly world: { domain: ProxiedDomain; readonly clock: Clock; readonly server: Server },
    private readonly settings: Settings = { rooms: [`*@${MUC}`] },
  ) {}

  get isIn(): boolean {
    return this.world.server.occupants.has(this.full);
  }

  connects(): this {
    if (this.session !== undefined) return this;
    const { domain, clock, server } = this.world;
    this.session = new ProxiedSession(this.full, domain, clock, server, this.settings);
    this.session.send('<presence/>');
    this.session.settle();
    return this.reads();
  }

  joins(history = '', nick = 'Juliet'): this {
    this.connects();
    this.session!.send(`<presence to='${ROOM}/${nick}'><x xmlns='${NS.muc}'>${history}</x></presence>`);
    return this;
  }

  leaves(nick = 'Juliet'): this {
    this.session?.send(`<presence type='unavailable' to='${ROOM}/${nick}'/>`);
    return this;
  }

  reads(most?: number): this {
    this.session?.settle();
    const stanzas = this.session?.read(most) ?? [];
    this.all.push(...stanzas);
    this.shown.push(...bodiesIn(stanzas));
    return this;
  }

  /** In order: it has read everything. */
  closes(): this {
    if (this.session === undefined) return this;
    this.reads();
    this.drops();
    return this;
  }

  /** What is on its way is lost. */
  drops(): this {
    this.session?.settle();
    this.session?.close();
    this.world.server.ends(this.full);
    this.session = undefined;
    return this;
  }

  /**
   * The process is stopped and the session is gone on with by the next, over the domain of now.
   * @param had what the client had in the process before, by its word of now
   */
  restarted(
    before: Readonly<Record<string, string>>,
    unread: readonly string[],
    had: readonly string[] = [],
  ): this {
    const { domain, clock, server } = this.world;
    this.session = new ProxiedSession(this.full, domain, clock, server, this.settings, before);
    this.session.hadBefore(had);
    // What the client has not acknowledged the server sends again.
    for (const xml of unread) server.sessions.get(this.full)?.(xml);
    this.session.settle();
    return this;
  }
}

/** One server, one proxy after the other, and what lies in its store. */
export class World {
  readonly clock = new Clock();
  readonly server: Server;
  domain = new ProxiedDomain();

  constructor(traits: Partial<Traits> = {}) {
    this.server = new Server({ history: 20, archive: true, ids: true, ...traits }, this.clock);
  }

  device(resource: string, settings?: Settings): Device {
    return new Device(`${ACCOUNT}/${resource}`, this, settings);
  }

  /** Another process: of the former only the store is left. */
  nextProcess(): void {
    const { store } = this.domain;
    this.domain = new ProxiedDomain();
    for (const [key, value] of store) this.domain.store.set(key, value);
  }
}
