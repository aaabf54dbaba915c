import { bare, prepareJid } from '../../jid.js';
import {
  type FeatureContext,
  type FeatureSession,
  type IqAnswer,
  type Knowledge,
  KnowledgeKey,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { rooms, roomsKey } from '../rooms/rooms.js';
import type { Announcement } from './announcement.js';
import { SharedCapabilities, VerifiedCapabilities, type Waiting } from './shared.js';

/** JIDs whose announcement one session remembers; the one heard from least recently is forgotten. */
export const ANNOUNCEMENTS = 5_000;
/** Questions of one session that may be on their way at a time. */
export const OPEN_QUESTIONS = 8;
/** JIDs whose features may be waited for in one session. */
export const WANTED = 1_000;
const ANSWER_TIMEOUT = 20_000;
/** How long an entity that has not answered is not asked again. */
const RETRY_AFTER = 10 * 60_000;
const SETTLED = 'settled';

const ANNOUNCED = 0;
const ANNOUNCED_2 = 1;
const GONE = 2;
const WENT_UNAVAILABLE = 5;
const WATCHES: readonly Watch[] = [
  { direction: 'to-client', stanza: 'presence', types: [''], child: { namespace: NS.caps, name: 'c' } },
  { direction: 'to-client', stanza: 'presence', types: [''], child: { namespace: NS.caps2, name: 'c' } },
  { direction: 'to-client', stanza: 'presence', types: ['unavailable'] },
  { direction: 'to-server', stanza: 'presence', types: [''], child: { namespace: NS.caps, name: 'c' } },
  { direction: 'to-server', stanza: 'presence', types: [''], child: { namespace: NS.caps2, name: 'c' } },
  { direction: 'to-server', stanza: 'presence', types: ['unavailable'], address: ['account'] },
];

interface Entity {
  readonly announcement: Announcement;
  /** What it answered when it was asked itself, whether or not that has the hash it announced. */
  answer: ReadonlySet<string> | undefined;
  asking: boolean;
  /** When it last failed to answer. */
  failed: number | undefined;
}

type Callback = (features: ReadonlySet<string> | undefined) => void;

/**
 * What the entities that this session has presence of can do, its own client among them. An entity's own answer counts for
 * that entity; for others with the same hash only an answer that has this hash does, whoever gave it (XEP-0115 §5.4).
 */
export class CapabilitiesSession implements FeatureSession, Waiting {
  /** By prepared JID, the one heard from least recently first. */
  readonly #entities = new LateMap<string, Entity>();
  readonly #wanted = new LateMap<string, Callback[]>();
  readonly #own: string;
  readonly #shared: SharedCapabilities;
  #openQuestions = 0;

  constructor(
    private readonly context: FeatureContext,
    private readonly verified: VerifiedCapabilities,
  ) {
    this.#own = prepareJid(context.identity.full) ?? context.identity.full;
    this.#shared = context.domain.shared(sharedKey);
    context.know(roomsKey).onChange((change) => {
      if (change.kind === 'left') this.#dropBare(change.room);
    });
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    const { frame } = stanza;
    if (watch === WENT_UNAVAILABLE) {
      if (frame.to === undefined) this.#dropAll();
    } else if (watch === GONE) {
      const from = prepareJid(frame.from ?? '');
      if (from !== undefined) this.#drop(from);
    } else {
      const jid = watch === ANNOUNCED || watch === ANNOUNCED_2 ? prepareJid(frame.from ?? '') : this.#own;
      const announcement = this.#shared.announcements.read(frame);
      if (jid !== undefined && announcement !== undefined) this.#announced(jid, announcement);
    }
    return PASS;
  }

  onWakeup(_token: string, now: number): void {
    this.#proceed(now);
  }

  settled(now: number): void {
    this.context.wakeAt(SETTLED, now);
  }

  /** The features of a JID; `'unknown'`: it has announced some, and nobody has been asked yet; undefined: it has announced none. */
  featuresOf(jid: string): ReadonlySet<string> | 'unknown' | undefined {
    const entity = this.#entities.get(prepareJid(jid) ?? '');
    return entity === undefined ? undefined : (this.#known(entity) ?? 'unknown');
  }

  /** Whether a JID is known to have a feature. */
  has(jid: string, feature: string): boolean {
    const features = this.featuresOf(jid);
    return features !== undefined && features !== 'unknown' && features.has(feature);
  }

  /**
   * Finds out the features of a JID, by asking it if need be.
   * @param done called once: at once when they are known or cannot be had, else with the answer; undefined if there is none
   */
  want(jid: string, done: Callback): void {
    const prepared = prepareJid(jid) ?? '';
    const entity = this.#entities.get(prepared);
    const features = entity === undefined ? undefined : this.#known(entity);
    if (entity === undefined || features !== undefined || this.#hasFailed(entity, this.context.now)) {
      done(features);
      return;
    }
    const callbacks = this.#wanted.get(prepared);
    if (callbacks !== undefined) callbacks.push(done);
    else if (this.#wanted.size >= WANTED) done(undefined);
    else {
      this.#wanted.set(prepared, [done]);
      this.#proceed(this.context.now);
    }
  }

  #known(entity: Entity): ReadonlySet<string> | undefined {
    return entity.answer ?? this.verified.find(entity.announcement.hashes);
  }

  #hasFailed(entity: Entity, now: number): boolean {
    return entity.failed !== undefined && now - entity.failed < RETRY_AFTER;
  }

  #announced(jid: string, announcement: Announcement): void {
    const before = this.#entities.get(jid);
    this.#entities.delete(jid);
    if (before !== undefined && isSame(before.announcement, announcement)) {
      this.#entities.set(jid, before);
      return;
    }
    this.#entities.set(jid, { announcement, answer: undefined, asking: false, failed: undefined });
    if (this.#entities.size > ANNOUNCEMENTS) {
      const oldest = [...this.#entities.keys()].slice(0, 2).find((candidate) => candidate !== this.#own);
      if (oldest !== undefined) this.#dropOne(oldest);
    }
    // Whoever waits for the former announcement is served by the new one.
    if (this.#wanted.has(jid)) this.#proceed(this.context.now);
  }

  #proceed(now: number): void {
    for (const [jid, callbacks] of [...this.#wanted]) {
      // A callback, or a request that is answered at once, may have been here before.
      if (this.#wanted.get(jid) !== callbacks) continue;
      const entity = this.#entities.get(jid);
      const features = entity === undefined ? undefined : this.#known(entity);
      if (entity === undefined || features !== undefined || this.#hasFailed(entity, now)) {
        this.#wanted.delete(jid);
        for (const callback of callbacks) callback(features);
      } else if (!entity.asking && this.#openQuestions < OPEN_QUESTIONS) {
        this.#ask(jid, entity, now);
      }
    }
  }

  #ask(jid: string, entity: Entity, now: number): void {
    const { node, hashes } = entity.announcement;
    const deadline = now + ANSWER_TIMEOUT;
    const later = this.#shared.claim(hashes, this, now, deadline);
    if (later !== undefined) {
      this.context.wakeAt(SETTLED, later);
      return;
    }
    entity.asking = true;
    this.#openQuestions++;
    const attribute = node === undefined ? '' : ` node='${escapeAttribute(node)}'`;
    const payload = `<query xmlns='${NS.discoInfo}'${attribute}/>`;
    const request = { type: 'get', payload, timeoutMs: ANSWER_TIMEOUT } as const;
    // The client itself is asked in the name of its server.
    this.context.request(
      jid === this.#own ? { leg: 'client', ...request } : { leg: 'server', to: jid, ...request },
      (answer) => this.#answered(entity, answer),
    );
  }

  #answered(entity: Entity, answer: IqAnswer): void {
    const { now } = this.context;
    const { hashes } = entity.announcement;
    entity.asking = false;
    this.#openQuestions--;
    const query = answer.kind === 'result' ? answer.iq.getChild('query', NS.discoInfo) : undefined;
    if (answer.kind === 'result' && query !== undefined) {
      entity.answer = this.verified.learn(answer.iq, query, hashes);
    }
    if (entity.answer === undefined) entity.failed = now;
    this.#shared.settle(hashes, now);
    this.#proceed(now);
  }

  #drop(jid: string): void {
    if (bare(jid) === jid) this.#dropBare(jid);
    this.#dropOne(jid);
  }

  #dropBare(bareJid: string): void {
    for (const jid of [...this.#entities.keys()]) if (jid.startsWith(`${bareJid}/`)) this.#dropOne(jid);
  }

  #dropAll(): void {
    for (const jid of [...this.#entities.keys()]) if (jid !== this.#own) this.#dropOne(jid);
  }

  #dropOne(jid: string): void {
    this.#entities.delete(jid);
    const callbacks = this.#wanted.get(jid) ?? [];
    this.#wanted.delete(jid);
    for (const callback of callbacks) callback(undefined);
  }
}

function isSame(a: Announcement, b: Announcement): boolean {
  if (a === b) return true;
  return (
    a.node === b.node &&
    a.hashes.length === b.hashes.length &&
    a.hashes.every((hash, i) => hash.key === b.hashes[i]!.key)
  );
}

const sharedKey = new KnowledgeKey<SharedCapabilities>(
  'capabilities of a domain',
  () => new SharedCapabilities(),
);

export const capabilitiesKey = new KnowledgeKey<CapabilitiesSession>('capabilities');

/** As `capabilities`, with a store of verified answers of its own. */
export function capabilitiesWith(verified: VerifiedCapabilities): Knowledge<CapabilitiesSession> {
  return {
    name: 'capabilities',
    key: capabilitiesKey,
    watches: WATCHES,
    needs: [rooms],
    open: (context) => new CapabilitiesSession(context, verified),
  };
}

/** One store for the process: what has been verified holds for everybody. */
export const capabilities: Knowledge<CapabilitiesSession> = capabilitiesWith(new VerifiedCapabilities());
