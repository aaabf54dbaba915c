import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { z } from 'zod';
import { presenceSession } from '../../../src/features/presence-session/presence-session.js';
import type {
  DomainContext,
  Feature,
  FeatureContext,
  IqAnswer,
  IqRequest,
  SessionIdentity,
} from '../../../src/session/feature.js';
import { Pipeline, PipelineSession, watchedNamespaces } from '../../../src/session/pipeline.js';
import type { StoreChange, StoreEntry } from '../../../src/store/store.js';
import { Frame } from '../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';
import { parseElement } from '../../../src/xml/tree.js';
import { NOT_SHOWN } from './playbook.js';
import type { MemoryRoom } from './presence-session-room.js';

const NAMESPACES = new NamespaceTable([...Object.values(NS), ...watchedNamespaces([presenceSession])]);
const PIPELINE = new Pipeline([presenceSession], NAMESPACES);

/** What sessions share, and what outlives them. */
export interface StoredDomain extends DomainContext {
  list(prefix: string): StoreEntry[];
  write(changes: readonly StoreChange[]): void;
}

/** 2026-11-20 at noon, when the clock shows 0. */
const WALL_CLOCK = 1_795_176_000_000;

let sessions = 0;
let randoms = 0;

/** The time, for everybody. */
export class Clock {
  now = 1_000_000;
  readonly wall = (): number => WALL_CLOCK + this.now;
}

/**
 * One session of a client's that passes the feature on its way to a room. What the room and the feature send is on the wire until the
 * client reads it. Rooms are asked through `upstream`: a room itself, or the next proxy.
 */
export class ProxiedSession {
  readonly wire: string[] = [];
  /** Bytes towards the client so far. */
  bytesDown = 0;
  readonly #pipeline: PipelineSession;
  readonly #identity: SessionIdentity;
  readonly #wakeups = new Map<string, { feature: Feature; token: string; time: number }>();
  readonly #requests = new Map<string, { request: IqRequest; done: (answer: IqAnswer) => void }>();
  #later: (() => void)[] = [];
  #ids = 0;
  #closed = false;
  #sent: { readonly leg: 'client' | 'server'; readonly xml: string }[] | undefined;

  constructor(
    readonly full: string,
    private readonly domain: StoredDomain,
    private readonly clock: Clock,
    private readonly upstream: (xml: string, deliver: (xml: string) => void) => void,
    private readonly settings: Readonly<Record<string, unknown>> = {},
    snapshots: Record<string, string> = {},
    private readonly downstream?: (xml: string) => void,
  ) {
    const [bare, resource] = full.split('/') as [string, string];
    const [local, name] = bare.split('@') as [string, string];
    this.#identity = { full, bare, local, domain: name, resource };
    sessions += 1;
    const unique = sessions.toString(36).padStart(4, '0');
    this.#pipeline = new PipelineSession(
      PIPELINE,
      this.#identity,
      (feature, pipeline) => this.#contextFor(feature, pipeline, unique),
      snapshots,
    );
    this.settle();
  }

  /** The client sends stanzas, one right behind the other. */
  send(...stanzas: readonly string[]): void {
    for (const xml of stanzas) this.#pass('to-server', xml);
    this.settle();
  }

  /** The server's side sends one. */
  readonly deliver = (xml: string): void => {
    if (this.#closed) return;
    const element = parseElement(Buffer.from(xml));
    if (element.name === 'iq' && this.#answered(element)) return;
    this.#pass('to-client', xml);
  };

  /** Carries out what was put off: answers of the store, and what they lead to. */
  settle(): void {
    while (this.#later.length > 0) for (const each of this.#later.splice(0)) each();
  }

  wake(): void {
    for (const [name, { feature, token, time }] of [...this.#wakeups]) {
      if (time > this.clock.now) continue;
      this.#wakeups.delete(name);
      this.#pipeline.instances[PIPELINE.features.indexOf(feature)]?.onWakeup?.(token, this.clock.now);
    }
    this.settle();
  }

  clientGone(): void {
    for (const instance of this.#pipeline.instances) instance.onLegDown?.('client', this.clock.now);
  }

  snapshots(): Record<string, string> {
    return this.#pipeline.snapshots();
  }

  /** The end, in order. */
  close(): void {
    for (const instance of this.#pipeline.instances) instance.onClose?.(this.clock.now);
    this.#closed = true;
    this.settle();
  }

  /** The end by `kill -9`. */
  kill(): void {
    this.#closed = true;
    this.#later = [];
  }

  disco(from: string, features: readonly string[], entity: 'muc-room' | 'muc-service' = 'muc-room') {
    const answer = { from, node: undefined, entity, features: new Set(features) };
    return this.#pipeline.instances.at(-1)?.onDisco?.(answer);
  }

  #pass(direction: 'to-server' | 'to-client', xml: string): void {
    const frame = parseStanza(Buffer.from(xml), NAMESPACES);
    if (!(frame instanceof Frame)) throw new Error(`not a stanza: ${xml}`);
    const outermost = this.#sent === undefined;
    this.#sent ??= [];
    const outcome = this.#pipeline.handle(direction, frame, this.clock.now);
    const own: { readonly leg: 'client' | 'server'; readonly xml: string }[] = [];
    const leg = direction === 'to-server' ? 'server' : 'client';
    if (outcome.kind === 'pass') own.push({ leg, xml });
    if (outcome.kind === 'changed') own.push({ leg, xml: outcome.bytes.toString() });
    if (!outermost) throw new Error('stanzas are nested');
    const behind = this.#sent;
    this.#sent = undefined;
    for (const each of [...own, ...behind]) this.#put(each.leg, each.xml);
  }

  #put(leg: 'client' | 'server', xml: string): void {
    if (leg === 'client') {
      this.bytesDown += Buffer.byteLength(xml);
      if (this.downstream !== undefined) this.downstream(xml);
      else this.wire.push(xml);
      return;
    }
    // Later, so that what the room answers is not nested in what it is asked.
    this.#later.push(() => this.upstream(xml, this.deliver));
  }

  #answered(iq: Element): boolean {
    const open = this.#requests.get(String(iq.attrs.id));
    if (open === undefined) return false;
    this.#requests.delete(String(iq.attrs.id));
    const isError = iq.attrs.type === 'error';
    open.done(isError ? { kind: 'error', condition: 'item-not-found', iq } : { kind: 'result', iq });
    return true;
  }

  #contextFor(feature: Feature, pipeline: PipelineSession, unique: string): FeatureContext {
    const session = this;
    const put = (leg: 'client' | 'server', xml: string): void => {
      if (session.#sent !== undefined) session.#sent.push({ leg, xml });
      else session.#put(leg, xml);
    };
    return {
      identity: this.#identity,
      serverKind: 'unknown',
      upstream: '',
      enabledAtStart: new Set(),
      domain: this.domain,
      get now() {
        return session.clock.now;
      },
      send: (leg, xml) => put(leg, xml.toString()),
      sendAsClient: (xml) => put('server', xml.toString()),
      namespaces: NAMESPACES,
      ...NOT_SHOWN,
      settings: <T>(schema: z.ZodType<T>) => schema.parse(this.settings),
      store: {
        write: (changes, done) => {
          // Written with the next breath, as by a real store.
          this.domain.write(changes);
          this.#later.push(() => done?.(true));
        },
        load: (prefix, done) => this.#later.push(() => done(this.domain.list(prefix))),
      },
      tell: () => {},
      wallClock: this.clock.wall,
      request: (request, done) => {
        const id = `q-${unique}-${++this.#ids}`;
        const to = request.to === undefined ? '' : ` to='${request.to}'`;
        this.#requests.set(id, { request, done });
        put('server', `<iq type='${request.type}' id='${id}'${to}>${request.payload}</iq>`);
      },
      wakeAt: (token, time) => this.#wakeups.set(`${feature.name} ${token}`, { feature, token, time }),
      randomId: () => {
        randoms += 1;
        const unpredictable = randoms.toString(36).padStart(4, '0');
        return unpredictable + unpredictable;
      },
      count: () => {},
      know: (key) => pipeline.know(feature, key),
      attend: (interest, on) => pipeline.attend(interest, on),
    };
  }
}

/** A room as the upstream of a session; what else is asked is not answered. */
export function upstreamOf(room: MemoryRoom, jid: string, full: string) {
  return (xml: string, deliver: (xml: string) => void): void => {
    const stanza = parseElement(Buffer.from(xml));
    const to = String(stanza.attrs.to ?? '');
    if (to === jid || to.startsWith(`${jid}/`)) room.receive(full, stanza, deliver);
  };
}

/** What means the same, in one spelling: content of a presence without addresses, marks and status codes. */
export function contentOf(presence: Element): string {
  return presence
    .getChildElements()
    .filter((child) => child.getNS() !== NS.presenceSession)
    .map(spelled)
    .sort()
    .join('');
}

function spelled(element: Element): string {
  const attributes = Object.entries(element.attrs as Record<string, string>)
    .filter(([name]) => !name.startsWith('xmlns'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ` ${name}='${value}'`);
  const children = element.children.flatMap((child) => {
    if (typeof child === 'string') return [child];
    if (child.name === 'status' && child.attrs.code !== undefined) return [];
    return child.getNS() === NS.presenceVersioning ? [] : [spelled(child)];
  });
  const namespace = element.getNS() ?? '';
  return `<${element.getName()} ${namespace === NS.client ? '' : namespace}${attributes.join('')}>${children.join('')}</>`;
}
