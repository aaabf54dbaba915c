import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { presenceAnnotations } from '../../../../src/features/presence-annotations/presence-annotations.js';
import { SETTINGS } from '../../../../src/features/presence-annotations/settings.js';
import type { Direction, Feature, FeatureContext, IqRequest } from '../../../../src/session/feature.js';
import { Pipeline, PipelineSession, watchedNamespaces } from '../../../../src/session/pipeline.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';
import { parseStanza } from '../../../../src/xml/tokenizer.js';
import { parseElement } from '../../../../src/xml/tree.js';
import { FakeDomain, NOT_SHOWN } from '../playbook.js';

const NAMESPACES = new NamespaceTable([...Object.values(NS), ...watchedNamespaces([presenceAnnotations])]);
const PIPELINE = new Pipeline([presenceAnnotations], NAMESPACES);

/** A session whose conversation is not known beforehand: what it sends is collected, what it asks is answered by a rule. */
export class FreePlay {
  readonly sent: { readonly leg: 'client' | 'server'; readonly stanza: Element }[] = [];
  readonly told: string[] = [];
  now = 1_000_000;
  #session: PipelineSession;
  readonly #start: (snapshots?: Readonly<Record<string, string>>) => PipelineSession;
  readonly #wakeups = new Map<string, { feature: Feature; token: string; time: number }>();
  readonly #questions: (() => void)[] = [];

  constructor(
    full: string,
    /** The payload of the result, or the condition of an error. */
    answers: (request: IqRequest) => string | { readonly error: string },
    domain = new FakeDomain('montague.lit'),
  ) {
    const [bare = '', resource = ''] = full.split('/');
    const [local = '', host = ''] = bare.split('@');
    const identity = { full, bare, local, domain: host, resource };
    domain.enter(identity);
    const play = this;
    const contextFor = (feature: Feature, session: PipelineSession): FeatureContext => ({
      identity,
      serverKind: 'unknown',
      upstream: 'xmpp://127.0.0.1',
      enabledAtStart: new Set(),
      domain,
      get now() {
        return play.now;
      },
      send: (leg, xml) => this.sent.push({ leg, stanza: parseElement(Buffer.from(xml)) }),
      sendAsClient: (xml) => this.client(xml.toString()),
      namespaces: NAMESPACES,
      ...NOT_SHOWN,
      settings: <T>() => SETTINGS.parse({}) as T,
      store: { write: () => {}, load: (_, done) => this.#questions.push(() => done([])) },
      tell: (account) => this.told.push(account),
      wallClock: () => this.now,
      request: (request, done) =>
        this.#questions.push(() => {
          const answer = answers(request);
          const payload = typeof answer === 'string' ? answer : '';
          const iq = parseElement(Buffer.from(`<iq xmlns='${NS.client}'>${payload}</iq>`));
          if (typeof answer === 'string') done({ kind: 'result', iq });
          else done({ kind: 'error', condition: answer.error, iq });
        }),
      wakeAt: (token, time) => this.#wakeups.set(`${feature.name} ${token}`, { feature, token, time }),
      randomId: () => 'id',
      count: () => {},
      know: (key) => session.know(feature, key),
      attend: (interest, on) => session.attend(interest, on),
    });
    this.#start = (snapshots) => new PipelineSession(PIPELINE, identity, contextFor, snapshots);
    this.#session = this.#start();
  }

  client(xml: string): void {
    this.#stanza('to-server', xml);
  }

  server(xml: string): void {
    this.#stanza('to-client', xml);
  }

  legDown(): void {
    for (const instance of this.#session.instances) instance.onLegDown?.('client', this.now);
  }

  legUp(): void {
    for (const instance of this.#session.instances) instance.onLegUp?.('client', this.now);
  }

  /** The process ends, and the next one goes on with the session. */
  restart(): void {
    const snapshots = this.#session.snapshots();
    this.#wakeups.clear();
    this.#questions.length = 0;
    this.#session = this.#start(snapshots);
  }

  /** Lets time pass, a quarter of a second at a time, as the clock of the proxy does. */
  wait(milliseconds: number): void {
    for (const until = this.now + milliseconds; this.now < until; this.now += 250) {
      for (const question of this.#questions.splice(0)) question();
      for (const [name, { feature, token, time }] of [...this.#wakeups]) {
        if (time > this.now) continue;
        this.#wakeups.delete(name);
        this.#session.instances[PIPELINE.features.indexOf(feature)]?.onWakeup?.(token, this.now);
      }
    }
  }

  #stanza(direction: Direction, xml: string): void {
    const frame = parseStanza(Buffer.from(xml), NAMESPACES);
    if ('condition' in frame) throw new Error(frame.reason);
    this.#session.handle(direction, frame, this.now);
  }
}
