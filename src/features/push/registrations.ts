import { Buffer } from 'node:buffer';
import { LRUCache } from 'lru-cache';
import { type DomainContext, type FeatureContext, KnowledgeKey } from '../../session/feature.js';
import { type StoreChange, type StoreEntry, storeKey } from '../../store/store.js';

/** The name and the values of a field. */
export type PublishOption = readonly string[];

/** A node of a push service that a client of an account has enabled. Compared by identity: one that is enabled anew is another. */
export interface Registration {
  /** Prepared. */
  readonly service: string;
  /** '' for none. */
  readonly node: string;
  readonly options: readonly PublishOption[];
  /** Of the client that has enabled it. */
  readonly resource: string;
  /** ms since 1970. */
  readonly since: number;
}

type List = readonly Registration[];

const FEATURE = 'push';
/** Accounts whose registrations are kept in memory. */
const MOST_ACCOUNTS = 10_000;
const NONE: List = [];

/** The registrations of all accounts of a domain: the store has them, and those that were asked for last are at hand. */
export class Registrations {
  readonly #known = new LRUCache<string, List>({ max: MOST_ACCOUNTS });

  /** What is known without asking the store. @param account prepared */
  known(account: string): List | undefined {
    return this.#known.get(account);
  }

  /** @param done may be called from inside this */
  of(context: FeatureContext, account: string, done: (list: List) => void): void {
    const known = this.#known.get(account);
    if (known !== undefined) {
      done(known);
      return;
    }
    context.store.load(storeKey(FEATURE, context.domain.name, account, ''), (entries) => {
      // Meanwhile another session may have read it, and changed it.
      const list = this.#known.get(account) ?? read(entries);
      this.#known.set(account, list);
      done(list);
    });
  }

  /**
   * Enables a node, in the place of the same one before. Beyond `most` the oldest go.
   * @param done told whether it is on disk
   */
  add(
    context: FeatureContext,
    account: string,
    registration: Registration,
    most: number,
    done: (ok: boolean) => void,
  ): void {
    this.of(context, account, (before) => {
      const others = before.filter((each) => !isSame(each, registration));
      const gone = others.slice(0, Math.max(0, others.length + 1 - most));
      const list = [...others.slice(gone.length), registration];
      const changes = [...gone.map((each) => removal(context, account, each))];
      changes.push({ key: keyOf(context, account, registration), value: write(registration) });
      this.#change(context, account, list, changes, done);
    });
  }

  /** Disables those that `isIt` says. @param done told whether that is on disk, with how many there were */
  remove(
    context: FeatureContext,
    account: string,
    isIt: (registration: Registration) => boolean,
    done: (ok: boolean, count: number) => void = () => {},
  ): void {
    this.of(context, account, (before) => {
      const gone = before.filter(isIt);
      if (gone.length === 0) {
        done(true, 0);
        return;
      }
      const list = before.filter((each) => !gone.includes(each));
      const changes = gone.map((each) => removal(context, account, each));
      this.#change(context, account, list.length === 0 ? NONE : list, changes, (ok) => done(ok, gone.length));
    });
  }

  #change(
    context: FeatureContext,
    account: string,
    list: List,
    changes: readonly StoreChange[],
    done: (ok: boolean) => void,
  ): void {
    this.#known.set(account, list);
    context.store.write(changes, (ok) => {
      // What the store has counts; it is asked again.
      if (!ok && this.#known.get(account) === list) this.#known.delete(account);
      done(ok);
    });
  }
}

export function isSame(a: Pick<Registration, 'service' | 'node'>, b: typeof a): boolean {
  return a.service === b.service && a.node === b.node;
}

function keyOf({ domain }: FeatureContext, account: string, { service, node }: Registration): string {
  return storeKey(FEATURE, domain.name, account, service, node);
}

function removal(context: FeatureContext, account: string, registration: Registration): StoreChange {
  return { key: keyOf(context, account, registration), value: undefined };
}

function write(registration: Registration): Buffer {
  return Buffer.from(JSON.stringify(registration));
}

/** Oldest first. */
function read(entries: readonly StoreEntry[]): List {
  const list = entries.flatMap(({ value }) => readOne(value) ?? []);
  return list.length === 0 ? NONE : list.sort((a, b) => a.since - b.since);
}

function readOne(value: Buffer): Registration | undefined {
  try {
    const record = JSON.parse(value.toString()) as Registration;
    const { service, node, options, resource, since } = record;
    const isIt = typeof service === 'string' && typeof node === 'string' && Array.isArray(options);
    return isIt && typeof resource === 'string' && typeof since === 'number' ? record : undefined;
  } catch {
    return undefined;
  }
}

const registrationsKey = new KnowledgeKey<Registrations>('push registrations', () => new Registrations());

export function registrationsOf(domain: DomainContext): Registrations {
  return domain.shared(registrationsKey);
}
