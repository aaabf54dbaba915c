import { Buffer } from 'node:buffer';
import { type DomainContext, KnowledgeKey } from '../../session/feature.js';
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

/** Where the store says so. */
export function pastPrefix(domain: DomainContext): string {
  return storeKey(FEATURE_NAME, domain.name, NOBODY, '');
}

/** To be written along with a subscription. */
export function hasSubscribed(domain: DomainContext): StoreChange {
  pastOf(domain).hasSubscribed = true;
  return { key: storeKey(FEATURE_NAME, domain.name, NOBODY, 'subscribed'), value: Buffer.from('{}') };
}
