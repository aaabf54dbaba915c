import { Buffer } from 'node:buffer';
import { type DomainContext, type FeatureContext, KnowledgeKey } from '../../session/feature.js';
import { keyParts, type StoreChange, type StoreEntry, storeKey } from '../../store/store.js';
import { EventLogs } from './event-logs.js';
import { HeardMessages } from './heard.js';
import { nickOf, prepareNick } from './nicks.js';
import { EVENTS, type EventName } from './nodes.js';
import { Progress } from './progress.js';
import { type Remembered, Whereabouts } from './whereabouts.js';

/** One account's subscription to one room; JIDs prepared. */
export interface Subscription extends Remembered {
  readonly room: string;
  readonly account: string;
  /** As it was asked for. */
  readonly nick: string;
  /** What nicks are compared by, see `prepareNick`. */
  readonly preparedNick: string;
  /** In the order in which they were asked for. */
  readonly events: readonly EventName[];
  /** What gets the account into the room. */
  readonly password: string | undefined;
}

/** What is known of a room beside who is in it. */
export interface Room {
  readonly jid: string;
  /** What its owners say; undefined: nothing, so that the domain's default counts. */
  allowed: boolean | undefined;
  /** By account. */
  readonly subscriptions: Map<string, Subscription>;
  /** Accounts by the nick of their subscription, prepared. */
  readonly nicks: Map<string, string>;
  readonly whereabouts: Map<string, Whereabouts>;
}

const FEATURE = 'mucsub';
const BOOK = 'book';
const SUBSCRIPTION = 'subscription';
const ROOM = 'room';
const CURSOR = 'cursor';
const KNOWN_EVENTS: ReadonlySet<string> = new Set(EVENTS);

/** What is asked to be told when the book has been read. */
export interface Reader {
  /** Only notes it: what follows happens in the session's own turn. */
  bookIsRead(): void;
}

/** A session that is to know as soon as its account has a subscription. */
export interface Enlisted {
  /** Only notes it. */
  subscribes(): void;
}

/**
 * All subscriptions of a domain, read from the store once and kept in memory; the store has what is in here, or is about to. One process
 * writes to a store, so that nobody else changes it.
 */
export class Book {
  #state: 'unread' | 'reading' | 'read' = 'unread';
  #readingSince = 0;
  readonly #rooms = new Map<string, Room>();
  /** Rooms by account. */
  readonly #byAccount = new Map<string, Set<string>>();
  /** The accounts in it, each as one string. */
  readonly #accounts = new Map<string, string>();
  readonly #eventLists = new Map<string, readonly EventName[]>();
  readonly #readers = new Set<Reader>();
  readonly logs = new EventLogs();
  readonly latest = new HeardMessages();
  readonly progress = new Progress();
  /** By account. */
  readonly #enlisted = new Map<string, readonly Enlisted[]>();
  /** Full JIDs of sessions whose server leg is kept without a client, and of occupants who only look what they may in a room. */
  readonly kept = new Set<string>();
  readonly looking = new Set<string>();
  /** Sessions that are in a room, by room: full JID and account. */
  readonly #insiders = new Map<string, Map<string, string>>();

  get isRead(): boolean {
    return this.#state === 'read';
  }

  /** Nobody has subscribed to anything. */
  get isEmpty(): boolean {
    return this.#rooms.size === 0;
  }

  /** Reads the store unless somebody does; `reader` is told when that is done. */
  read(context: FeatureContext, reader: Reader): void {
    if (this.isRead) return;
    this.#readers.add(reader);
    // Whoever was reading may have ended without a word.
    if (this.#state === 'reading' && context.now - this.#readingSince < READING_TIME) return;
    this.#state = 'reading';
    this.#readingSince = context.now;
    const prefix = storeKey(FEATURE, context.domain.name, BOOK, '');
    context.store.load(prefix, (entries) => this.#learn(entries));
  }

  /** Tells a session when its account has a subscription, at once if it has one. @param account prepared */
  enlist(account: string, session: Enlisted): void {
    this.#enlisted.set(account, [...(this.#enlisted.get(account) ?? []), session]);
    if (this.#byAccount.has(account)) session.subscribes();
  }

  discharge(account: string, session: Enlisted): void {
    const others = this.#enlisted.get(account)?.filter((other) => other !== session) ?? [];
    if (others.length > 0) this.#enlisted.set(account, others);
    else this.#enlisted.delete(account);
  }

  leave(reader: Reader): void {
    this.#readers.delete(reader);
  }

  #learn(entries: readonly StoreEntry[]): void {
    if (this.isRead) return;
    for (const entry of entries) this.#take(entry);
    this.#state = 'read';
    const readers = [...this.#readers];
    this.#readers.clear();
    for (const reader of readers) reader.bookIsRead();
  }

  #take({ key, value }: StoreEntry): void {
    const [, domain, , kind, room, account] = keyParts(key);
    if (room === undefined) return;
    if (kind === CURSOR && domain !== undefined && account !== undefined)
      this.logs.take(domain, room, account, value);
    const record = readRecord(value);
    if (record === undefined) return;
    if (kind === ROOM && typeof record.allowed === 'boolean') this.#make(room).allowed = record.allowed;
    if (kind !== SUBSCRIPTION || account === undefined) return;
    const { nick, prepared, events, password, heardAt, lastId, seq, hashes, began } = record;
    if (typeof nick !== 'string' || typeof events !== 'string') return;
    this.#add({
      // Of each address one string for all that have it.
      room: this.#rooms.get(room)?.jid ?? room,
      account: this.#accounts.get(account) ?? account,
      nick,
      preparedNick: (typeof prepared === 'string' ? prepareNick(prepared) : undefined) ?? nick,
      events: this.#eventsOf(events),
      password: typeof password === 'string' ? password : undefined,
      heardAt: typeof heardAt === 'number' ? heardAt : undefined,
      recent: typeof hashes === 'string' ? hashes : undefined,
      lastId: typeof lastId === 'string' ? lastId : undefined,
      ...(typeof seq === 'number' && { seq }),
      ...(typeof began === 'number' && { began }),
    });
  }

  /** One list for all subscriptions with the same events. */
  #eventsOf(written: string): readonly EventName[] {
    let events = this.#eventLists.get(written);
    if (events === undefined) {
      const names = written.split(' ');
      events = names.filter((name): name is EventName => KNOWN_EVENTS.has(name));
      if (this.#eventLists.size < MOST_EVENT_LISTS) this.#eventLists.set(written, events);
    }
    return events;
  }

  room(jid: string): Room | undefined {
    return this.#rooms.get(jid);
  }

  /** Whether more than one account has subscribed to it. */
  isShared(room: string): boolean {
    return (this.#rooms.get(room)?.subscriptions.size ?? 0) > 1;
  }

  /** All of which anything is known. */
  rooms(): Iterable<Room> {
    return this.#rooms.values();
  }

  subscription(room: string, account: string): Subscription | undefined {
    return this.#rooms.get(room)?.subscriptions.get(account);
  }

  /** Of one account, all of them. */
  subscriptionsOf(account: string): Subscription[] {
    return [...(this.#byAccount.get(account) ?? [])].flatMap(
      (room) => this.subscription(room, account) ?? [],
    );
  }

  isAllowed(room: string, byDefault: boolean): boolean {
    return this.#rooms.get(room)?.allowed ?? byDefault;
  }

  /** Whose nick it is by subscription; undefined: nobody's. */
  holderOf(room: string, preparedNick: string): string | undefined {
    return this.#rooms.get(room)?.nicks.get(preparedNick);
  }

  /** Where an account stands in a room; made when it is asked for. */
  whereabouts(room: string, account: string): Whereabouts {
    const { whereabouts } = this.#make(room);
    let found = whereabouts.get(account);
    if (found === undefined) {
      found = new Whereabouts();
      const subscription = this.subscription(room, account);
      if (subscription !== undefined) found.restore(subscription);
      whereabouts.set(account, found);
    }
    return found;
  }

  /** Whether this very session's client is in the room. */
  isJoined(room: string, account: string, full: string): boolean {
    return this.#rooms.get(room)?.whereabouts.get(account)?.inside.has(full) === true;
  }

  /** Whether somebody else is in the room, and hears all that is said in it. */
  isHeardByOthers(room: string, account: string): boolean {
    const all = this.#rooms.get(room)?.whereabouts ?? [];
    for (const [other, { sources, behind, heardAt }] of all)
      if (other !== account && sources.size > 0 && behind === undefined && heardAt !== undefined) return true;
    return false;
  }

  /** The same, if there is anything to know. */
  knownWhereabouts(room: string, account: string): Whereabouts | undefined {
    return this.#rooms.get(room)?.whereabouts.get(account);
  }

  /** A nick is being asked for: to whoever looks it is this account's already. */
  reserve(room: string, preparedNick: string, account: string): void {
    this.#make(room).nicks.set(preparedNick, account);
  }

  /** It was refused, or is not used any more. */
  release(room: string, preparedNick: string, account: string): void {
    const known = this.#rooms.get(room);
    if (known === undefined || known.subscriptions.get(account)?.preparedNick === preparedNick) return;
    if (known.nicks.get(preparedNick) === account) known.nicks.delete(preparedNick);
    if (!known.subscriptions.has(account)) known.whereabouts.delete(account);
    this.#forget(room);
  }

  // Changes: what they return is to be written to the store.

  subscribe(domain: string, subscription: Subscription): StoreChange {
    const former = this.subscription(subscription.room, subscription.account);
    // From when on it hears the room the next process has to know too, though nothing may be said before.
    const where = this.knownWhereabouts(subscription.room, subscription.account);
    subscription.heardAt ??= former?.heardAt ?? where?.safe.at;
    subscription.lastId ??= former?.lastId ?? where?.safe.id;
    subscription.recent ??= former?.recent;
    subscription.began ??= former?.began ?? where?.began;
    this.#add(subscription);
    return this.#change(domain, subscription);
  }

  /** Notes how far what was heard of the room has reached the account, for the next process. @returns undefined when nothing has changed */
  heard(domain: string, room: string, account: string): StoreChange | undefined {
    const subscription = this.subscription(room, account);
    const where = this.knownWhereabouts(room, account);
    if (subscription === undefined || where === undefined) return undefined;
    const { safe, recent, began } = where;
    const isSame = safe.at === subscription.heardAt && safe.id === subscription.lastId;
    if (isSame && safe.seq === subscription.seq && recent === subscription.recent) return undefined;
    if (began !== subscription.began) subscription.began = began;
    subscription.heardAt = safe.at;
    subscription.lastId = safe.id;
    if (safe.seq !== undefined) subscription.seq = safe.seq;
    subscription.recent = recent;
    return this.#change(domain, subscription);
  }

  #change(
    domain: string,
    { room, account, nick, preparedNick, events, password, ...heard }: Subscription,
  ): StoreChange {
    const prepared = preparedNick === nick ? undefined : preparedNick;
    const { heardAt, lastId, seq, recent, began } = heard;
    const value = {
      ...{ nick, prepared, events: events.join(' '), password },
      ...{ heardAt, lastId, seq, hashes: recent, began },
    };
    return { key: storeKey(FEATURE, domain, BOOK, SUBSCRIPTION, room, account), value: json(value) };
  }

  unsubscribe(domain: string, room: string, account: string): StoreChange {
    const known = this.#rooms.get(room);
    const former = known?.subscriptions.get(account);
    if (former !== undefined) known?.nicks.delete(former.preparedNick);
    known?.subscriptions.delete(account);
    known?.whereabouts.delete(account);
    const rooms = this.#byAccount.get(account);
    if (rooms?.delete(room) === true && rooms.size === 0) {
      this.#byAccount.delete(account);
      this.#accounts.delete(account);
    }
    this.#forget(room);
    return { key: storeKey(FEATURE, domain, BOOK, SUBSCRIPTION, room, account), value: undefined };
  }

  /** @param allowed undefined: the room does not exist any more */
  allow(domain: string, room: string, allowed: boolean | undefined): StoreChange {
    this.#make(room).allowed = allowed;
    this.#forget(room);
    return {
      key: storeKey(FEATURE, domain, BOOK, ROOM, room),
      value: allowed === undefined ? undefined : json({ allowed }),
    };
  }

  // Who is in which room.

  entered(room: string, full: string, account: string): void {
    let insiders = this.#insiders.get(room);
    if (insiders === undefined) {
      insiders = new Map();
      this.#insiders.set(room, insiders);
    }
    insiders.set(full, account);
  }

  left(room: string, full: string): void {
    const insiders = this.#insiders.get(room);
    if (insiders?.delete(full) === true && insiders.size === 0) this.#insiders.delete(room);
  }

  /** Accounts of which a session that comes by here is in a room. */
  insiders(room: string): Set<string> {
    return new Set(this.#insiders.get(room)?.values() ?? []);
  }

  #add(subscription: Subscription): void {
    const { room, account, preparedNick } = subscription;
    const { subscriptions, nicks } = this.#make(room);
    const former = subscriptions.get(account);
    if (former !== undefined) nicks.delete(former.preparedNick);
    subscriptions.set(account, subscription);
    nicks.set(preparedNick, account);
    const rooms = this.#byAccount.get(account);
    if (rooms !== undefined) rooms.add(room);
    else {
      this.#byAccount.set(account, new Set([room]));
      this.#accounts.set(account, account);
      for (const session of this.#enlisted.get(account) ?? []) session.subscribes();
    }
  }

  #make(jid: string): Room {
    let room = this.#rooms.get(jid);
    if (room === undefined) {
      room = { jid, allowed: undefined, subscriptions: new Map(), nicks: new Map(), whereabouts: new Map() };
      this.#rooms.set(jid, room);
    }
    return room;
  }

  #forget(jid: string): void {
    const room = this.#rooms.get(jid);
    if (room !== undefined && room.allowed === undefined && room.subscriptions.size === 0)
      this.#rooms.delete(jid);
  }
}

/** Different lists of events that are shared; there are that many only when somebody tries. */
const MOST_EVENT_LISTS = 1_000;
/** How long one session may take to read; ms. */
const READING_TIME = 10_000;

/** @returns undefined when the nick is none */
export function subscriptionOf(
  room: string,
  account: string,
  nick: string,
  events: readonly EventName[],
  password: string | undefined,
): Subscription | undefined {
  const prepared = nickOf(`${room}/${nick}`);
  if (prepared === undefined) return undefined;
  return { room, account, nick, preparedNick: prepared === nick ? nick : prepared, events, password };
}

function readRecord(value: Buffer): Record<string, unknown> | undefined {
  try {
    const record: unknown = JSON.parse(value.toString());
    return typeof record === 'object' && record !== null ? (record as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

const bookKey = new KnowledgeKey<Book>('subscriptions to rooms', () => new Book());

export function bookOf(domain: DomainContext): Book {
  return domain.shared(bookKey);
}
