import { domain as domainOf, parseJid, prepareJid } from '../../jid.js';
import type { FeatureContext } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import type { AccountBook, Subscription } from './book.js';
import { hasSubscribed } from './past.js';
import type { RoomFeatureQuestions } from './room-features.js';

/** What is subscribed to. The subject a room tells whoever joins; what changes in it meanwhile is no message. */
const NODE = 'urn:xmpp:mucsub:nodes:messages';
const OURS = `<event node='${NODE}'/>`;

/** For how long an answer about an account's subscriptions counts for the next rooms that are joined; ms. */
const LIST_FRESH = 10_000;

/** A subscription as the service has it. */
interface Listed {
  readonly nick: string;
  readonly nodes: readonly string[];
}

type List = ReadonlyMap<string, Listed>;

interface Service {
  list: List | undefined;
  since: number;
  waiting: ((list: List | undefined) => void)[];
}

/** A join that is a reason to subscribe. */
export interface Entered {
  readonly room: string;
  readonly nick: string;
  readonly password: string | undefined;
}

/** Subscribes an account to the rooms that its clients join, and ends that again; never touches a subscription that it has not made. */
export class Subscribing {
  readonly #services = new Map<string, Service>();

  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly rooms: RoomFeatureQuestions,
    /** Asks whether the client knows MUC/Sub itself. */
    private readonly clientSpeaks: (done: (speaks: boolean) => void) => void,
    /** The account has a subscription from now on. */
    private readonly subscribed: (room: string) => void,
  ) {}

  /** A client has joined, or has another nick. */
  entered(entered: Entered): void {
    const { room } = entered;
    if (this.book.leavesAlone(room)) return;
    this.rooms.ask(room, (features) => {
      // The next join looks.
      if (features === undefined) return;
      if (!features.mucsub) {
        // Its owners have switched it off, which ends all subscriptions.
        this.context.store.write(this.book.endSubscription(room));
        return;
      }
      this.clientSpeaks((speaks) => {
        if (speaks || this.book.leavesAlone(room)) return;
        this.#listed(domainOf(room), (list) => this.#compare(entered, list));
      });
    });
  }

  #compare({ room, nick, password }: Entered, list: List | undefined): void {
    // Without knowing what there is nothing is done: it could be somebody else's.
    if (list === undefined || this.book.leavesAlone(room)) return;
    const { book, context } = this;
    const ours = book.room(room)?.subscription;
    const there = list.get(room);
    if (there !== undefined && !isOurs(ours, there)) {
      // Another program of the user's has made it.
      context.store.write(book.clientSpeaks(room, context.wallClock()));
      context.count('mucsub-client-left-alone');
      return;
    }
    const now = context.wallClock();
    const isRight = there !== undefined && (sameNick(there.nick, nick) || this.#isUsed(room, there.nick));
    if (isRight) {
      context.store.write(book.subscribes(room, { nick: there.nick, joinedAt: now, asked: false }));
      this.subscribed(room);
      return;
    }
    this.#subscribe({ room, nick, password }, there === undefined ? undefined : ours);
  }

  /** Another of the account's clients is in the room under this nick. */
  #isUsed(room: string, nick: string): boolean {
    const inside = this.book.room(room)?.inside;
    for (const [session, { nick: other }] of inside ?? [])
      if (session !== this.context.identity && sameNick(other, nick)) return true;
    return false;
  }

  #subscribe({ room, nick, password }: Entered, former: Subscription | undefined): void {
    const { book, context } = this;
    const joinedAt = context.wallClock();
    // What is asked for is known to be ours even if we do not live to hear the answer.
    const changes = [
      hasSubscribed(context.domain),
      ...book.subscribes(room, { nick, joinedAt, asked: true }),
    ];
    context.store.write(changes, (ok) => {
      if (!ok) {
        book.endSubscription(room);
        return;
      }
      const secret = password === undefined ? '' : ` password='${escapeAttribute(password)}'`;
      const payload = `<subscribe xmlns='${NS.mucsub}' nick='${escapeAttribute(nick)}'${secret}>${OURS}</subscribe>`;
      context.request({ leg: 'server', type: 'set', to: room, payload }, (answer) => {
        if (book.leavesAlone(room) || book.room(room)?.subscription === undefined) return;
        if (answer.kind === 'result') {
          this.#services.delete(domainOf(room));
          context.store.write(book.subscribes(room, { nick, joinedAt, asked: false }));
          context.count('mucsub-client-subscribed');
          this.subscribed(room);
        } else if (answer.kind === 'error') {
          this.rooms.forget(room);
          context.count('mucsub-client-refused');
          context.store.write(
            former === undefined ? book.endSubscription(room) : book.subscribes(room, former),
          );
        }
        // Without an answer it may be so or not: the next join looks.
      });
    });
  }

  /** Ends a subscription that is not wanted any more. */
  end(room: string): void {
    const { book, context } = this;
    this.#listed(domainOf(room), (list) => {
      const ours = book.room(room)?.subscription;
      if (list === undefined || ours === undefined) return;
      const there = list.get(room);
      if (there === undefined || !isOurs(ours, there)) {
        context.store.write(book.forget(room));
        return;
      }
      const payload = `<unsubscribe xmlns='${NS.mucsub}'/>`;
      context.request({ leg: 'server', type: 'set', to: room, payload }, (answer) => {
        const isGone = answer.kind === 'error' && answer.condition === 'item-not-found';
        if (answer.kind !== 'result' && !isGone) return;
        this.#services.delete(domainOf(room));
        context.count('mucsub-client-unsubscribed');
        context.store.write(book.forget(room));
      });
    });
  }

  /** @param done gets the account's subscriptions at a service; undefined when they cannot be had */
  #listed(address: string, done: (list: List | undefined) => void): void {
    const { context } = this;
    let service = this.#services.get(address);
    if (service?.list !== undefined && context.now - service.since < LIST_FRESH) {
      done(service.list);
      return;
    }
    service ??= { list: undefined, since: 0, waiting: [] };
    this.#services.set(address, service);
    service.waiting.push(done);
    if (service.waiting.length > 1) return;
    const asked = service;
    const payload = `<subscriptions xmlns='${NS.mucsub}'/>`;
    context.request({ leg: 'server', type: 'get', to: address, payload }, (answer) => {
      const list = answer.kind === 'result' ? answer.iq.getChild('subscriptions', NS.mucsub) : undefined;
      asked.list =
        list === undefined ? undefined : new Map(list.getChildren('subscription').flatMap(readListed));
      asked.since = context.now;
      for (const each of asked.waiting.splice(0)) each(asked.list);
    });
  }
}

function readListed(entry: {
  readonly attrs: Record<string, unknown>;
  getChildren(name: string): { readonly attrs: Record<string, unknown> }[];
}): [string, Listed][] {
  const room = prepareJid(String(entry.attrs.jid ?? ''));
  const nodes = entry.getChildren('event').map(({ attrs }) => String(attrs.node));
  return room === undefined ? [] : [[room, { nick: String(entry.attrs.nick ?? ''), nodes }]];
}

/** A subscription as we make it, and we have made one. While the answer to a change is open the nick may be either. */
function isOurs(ours: Subscription | undefined, there: Listed): boolean {
  if (ours === undefined || there.nodes.length !== 1 || there.nodes[0] !== NODE) return false;
  return ours.asked || sameNick(ours.nick, there.nick);
}

function sameNick(a: string, b: string): boolean {
  return a === b || prepared(a) === prepared(b);
}

function prepared(nick: string): string | undefined {
  return parseJid(`x@x/${nick}`)?.resource;
}
