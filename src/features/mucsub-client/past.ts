import { Buffer } from 'node:buffer';
import { type DomainContext, type FeatureContext, KnowledgeKey } from '../../session/feature.js';
import { type StoreChange, storeKey } from '../../store/store.js';
import { FEATURE_NAME, NOBODY } from './records.js';

/** Whether the proxy has ever subscribed an account of a domain, by the store. Looked up once in a process. */
interface Past {
  /** Undefined: nobody has looked yet. */
  hasSubscribed: boolean | undefined;
}

const pastKey = new KnowledgeKey<Past>('whether accounts have been subscribed to rooms', () => ({
  hasSubscribed: undefined,
}));

export function pastOf(domain: DomainContext): Past {
  return domain.shared(pastKey);
}

/** @param done told, at once or later, whether the proxy has ever subscribed an account of the domain */
export function askPast({ domain, store }: FeatureContext, done: (hasSubscribed: boolean) => void): void {
  const past = pastOf(domain);
  if (past.hasSubscribed !== undefined) {
    done(past.hasSubscribed);
    return;
  }
  store.load(storeKey(FEATURE_NAME, domain.name, NOBODY, ''), (entries) => {
    past.hasSubscribed ??= entries.length > 0;
    done(past.hasSubscribed);
  });
}

/** To be written along with a subscription. */
export function hasSubscribed(domain: DomainContext): StoreChange {
  pastOf(domain).hasSubscribed = true;
  return { key: storeKey(FEATURE_NAME, domain.name, NOBODY, 'subscribed'), value: Buffer.from('{}') };
}
