import { LRUCache } from 'lru-cache';
import { type FeatureContext, KnowledgeKey } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';

/** What matters of what a room can do. */
export interface RoomFeatures {
  /** Subscriptions are allowed (MUC/Sub). */
  readonly mucsub: boolean;
  /** It has an archive (XEP-0313). */
  readonly archive: boolean;
}

const FRESH_FOR = 10 * 60_000;
const MOST_ROOMS = 5_000;

const knownKey = new KnowledgeKey(
  'what rooms can do for subscribers',
  () =>
    new LRUCache<string, { readonly features: RoomFeatures; readonly since: number }>({ max: MOST_ROOMS }),
);

/** Asks rooms what they can do, each once in a while for all sessions of a domain. */
export class RoomFeatureQuestions {
  readonly #asking = new Map<string, ((features: RoomFeatures | undefined) => void)[]>();

  constructor(private readonly context: FeatureContext) {}

  /** @param done called once, later or at once; with undefined when the room does not say */
  ask(room: string, done: (features: RoomFeatures | undefined) => void): void {
    const { context } = this;
    const known = context.domain.shared(knownKey).get(room);
    if (known !== undefined && context.now - known.since < FRESH_FOR) {
      done(known.features);
      return;
    }
    const asking = this.#asking.get(room);
    if (asking !== undefined) {
      asking.push(done);
      return;
    }
    this.#asking.set(room, [done]);
    const payload = `<query xmlns='${NS.discoInfo}'/>`;
    context.request({ leg: 'server', type: 'get', to: room, payload }, (answer) => {
      const query = answer.kind === 'result' ? answer.iq.getChild('query', NS.discoInfo) : undefined;
      const names = new Set((query?.getChildren('feature') ?? []).map(({ attrs }) => String(attrs.var)));
      const features = { mucsub: names.has(NS.mucsub), archive: names.has(NS.mam2) };
      if (query !== undefined) context.domain.shared(knownKey).set(room, { features, since: context.now });
      const waiting = this.#asking.get(room) ?? [];
      this.#asking.delete(room);
      for (const each of waiting) each(query === undefined ? undefined : features);
    });
  }

  /** What is known without asking; undefined: nothing. */
  known(room: string): RoomFeatures | undefined {
    return this.context.domain.shared(knownKey).get(room)?.features;
  }

  /** The room has shown otherwise. */
  forget(room: string): void {
    this.context.domain.shared(knownKey).delete(room);
  }
}
