import { LRUCache } from 'lru-cache';
import { prepareJid } from '../../jid.js';
import {
  type FeatureContext,
  type FeatureSession,
  type IqAnswer,
  type Knowledge,
  KnowledgeKey,
} from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { readInfo, readServices } from './answers.js';
import { type Asker, Subject } from './subject.js';

type Features = ReadonlySet<string>;

/** What is behind a domain. */
interface ServerKnowledge {
  readonly features: Features;
  readonly mucServices: ReadonlyMap<string, Features>;
}

const ANSWER_TIMEOUT = 15_000;
/** When a session looks again after its server leg was lost: held sessions get a new one. */
const AFTER_LOSS = 30_000;
/** Services that are asked at the same time. */
const SERVICES_AT_ONCE = 4;
/** Callbacks that may wait in one session. */
const WAITING = 100;
/** Bytes of memory for what is known of accounts. */
const ACCOUNT_BYTES = 4 * 1024 * 1024;
/** Bytes of memory for the different lists of features that accounts have: of all on one server mostly a single one. */
const FEATURE_LIST_BYTES = 1024 * 1024;
const LOOK = 'look';

/** What the sessions of a domain have found out together. */
class DomainKnowledge {
  readonly server = new Subject<ServerKnowledge>();
  readonly #accounts = new LRUCache<string, Subject<Features>>({
    maxSize: ACCOUNT_BYTES,
    sizeCalculation: (_, bare) => 400 + bare.length * 2,
  });
  readonly #lists = new LRUCache<string, Features>({
    maxSize: FEATURE_LIST_BYTES,
    sizeCalculation: (features, key) => 300 + key.length * 2 + features.size * 40,
  });

  account(bare: string): Subject<Features> {
    let account = this.#accounts.get(bare);
    if (account === undefined) {
      account = new Subject();
      this.#accounts.set(bare, account);
    }
    return account;
  }

  /** One and the same set for all that have these features. */
  shared(features: Features): Features {
    const key = [...features].sort().join('\n');
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    this.#lists.set(key, features);
    return features;
  }
}

/**
 * What the server, its MUC services and this session's account support, asked by the proxy itself: the client sees nothing of it. One session
 * asks for all of its domain. What has been known for longer than `FRESH_FOR` is asked again when the next session begins.
 */
export class ProbeSession implements FeatureSession, Asker {
  readonly #domain: DomainKnowledge;
  readonly #account: Subject<Features>;
  #waiting: (() => void)[] = [];

  constructor(private readonly context: FeatureContext) {
    const { identity, domain, now } = context;
    this.#domain = domain.shared(domainKey);
    this.#account = this.#domain.account(prepareJid(identity.bare) ?? identity.bare);
    // Not from inside `open`: the session around is not complete yet.
    context.wakeAt(LOOK, now);
  }

  onWakeup(_token: string, now: number): void {
    this.#proceed(now);
  }

  look(now: number): void {
    this.context.wakeAt(LOOK, now);
  }

  /** What it has asked is answered to nobody any more: another session asks at once. */
  onClose(now: number): void {
    this.#domain.server.fail(this, 'leg-lost', now);
    this.#account.fail(this, 'leg-lost', now);
  }

  #proceed(now: number): void {
    const server = this.#domain.server.claim(this, now);
    const account = this.#account.claim(this, now);
    if (server === 'ask') this.#askServer();
    if (account === 'ask') this.#askAccount();
    const again = Math.min(...[server, account].filter((time) => typeof time === 'number'));
    if (again !== Number.POSITIVE_INFINITY) this.context.wakeAt(LOOK, again);
    this.#tellKnown();
  }

  /** The features of the server; undefined until they are known. */
  server(): Features | undefined {
    return this.#domain.server.value?.features;
  }

  /** The features of the account, which are not those of the server (XEP-0313 §10, XEP-0163); undefined until they are known. */
  account(): Features | undefined {
    return this.#account.value;
  }

  /** The MUC services of the server by their domain, prepared, with their features; empty until they are known. */
  mucServices(): ReadonlyMap<string, Features> {
    return this.#domain.server.value?.mucServices ?? NO_SERVICES;
  }

  /** Calls once, when server and account are known: at once if they are. Never if nothing can be found out. */
  whenKnown(done: () => void): void {
    if (this.#isKnown) done();
    else if (this.#waiting.length < WAITING) this.#waiting.push(done);
  }

  get #isKnown(): boolean {
    return this.#domain.server.value !== undefined && this.#account.value !== undefined;
  }

  #tellKnown(): void {
    if (!this.#isKnown) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }

  #askAccount(): void {
    this.#query(NS.discoInfo, this.context.identity.bare, (answer) => {
      const info = readInfo(answer);
      if (typeof info === 'string') {
        this.#failed(this.#account, info);
        return;
      }
      const { now } = this.context;
      this.#account.learn(this.#domain.shared(info.features), now);
      this.#proceed(now);
    });
  }

  #askServer(): void {
    const { domain } = this.context.identity;
    this.#query(NS.discoInfo, domain, (infoAnswer) => {
      const info = readInfo(infoAnswer);
      if (typeof info === 'string') {
        this.#failed(this.#domain.server, info);
        return;
      }
      this.#query(NS.discoItems, domain, (itemsAnswer) => {
        const services = readServices(itemsAnswer);
        if (typeof services === 'string') this.#failed(this.#domain.server, services);
        else this.#askServices(info.features, services);
      });
    });
  }

  #failed(subject: Subject<unknown>, cause: 'leg-lost' | 'no-answer'): void {
    const { now } = this.context;
    subject.fail(this, cause, now);
    // With its leg lost this session has nobody to ask; another that waits does it now.
    if (cause === 'leg-lost') this.context.wakeAt(LOOK, now + AFTER_LOSS);
    else this.#proceed(now);
  }

  #askServices(features: Features, services: string[]): void {
    const before = this.mucServices();
    const mucServices = new Map<string, Features>();
    let open = 0;
    let lost = false;
    let told = false;
    let isAll = true;
    const proceed = (): void => {
      while (!lost && open < SERVICES_AT_ONCE && services.length > 0) {
        const service = services.shift()!;
        open++;
        this.#query(NS.discoInfo, service, (answer) => {
          open--;
          const info = readInfo(answer);
          if (info === 'leg-lost') lost = true;
          if (info === 'no-answer') isAll = false;
          // A component that is down is no reason to know less than before of it, nor of the others.
          const known = typeof info === 'string' ? before.get(service) : info.isConference && info.features;
          if (known) mucServices.set(service, known);
          proceed();
        });
      }
      if (open > 0 || told) return;
      told = true;
      if (lost) this.#failed(this.#domain.server, 'leg-lost');
      else this.#serverLearnt({ features, mucServices }, isAll);
    };
    proceed();
  }

  /** @param isAll false: a service is silent, and may be a MUC service */
  #serverLearnt(knowledge: ServerKnowledge, isAll: boolean): void {
    const { now } = this.context;
    this.#domain.server.learn(knowledge, now, isAll);
    this.#proceed(now);
  }

  #query(namespace: string, to: string, done: (answer: IqAnswer) => void): void {
    const payload = `<query xmlns='${namespace}'/>`;
    this.context.request({ leg: 'server', type: 'get', to, payload, timeoutMs: ANSWER_TIMEOUT }, done);
  }
}

const NO_SERVICES: ReadonlyMap<string, Features> = new Map();

const domainKey = new KnowledgeKey<DomainKnowledge>('what a domain supports', () => new DomainKnowledge());

export const capabilitiesProbeKey = new KnowledgeKey<ProbeSession>('capabilities-probe');

export const capabilitiesProbe: Knowledge<ProbeSession> = {
  name: 'capabilities-probe',
  key: capabilitiesProbeKey,
  watches: [],
  open: (context) => new ProbeSession(context),
};
