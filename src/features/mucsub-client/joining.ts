import { readLimits, wantsNone } from '../../knowledge/rooms/history-limits.js';
import { type FeatureContext, PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import type { AccountBook } from './book.js';
import type { Fetching } from './fetching.js';
import type { Handing } from './handing.js';
import { asksByItself, Return, type ReturnRecord } from './returning.js';
import type { RoomFeatureQuestions } from './room-features.js';
import type { Settings } from './settings.js';
import type { Showing } from './showing.js';

/** How long a room may take to let the client in; and then to tell what was before, and everything else; ms. */
const ENTERING_TIME = 60_000;
const TELLING_TIME = 10_000;
const LOOKING_TIME = 20_000;

/** Rooms that are dealt with in one way or another at a time. */
const MOST_ROOMS = 200;

/** The client's joins, and the rooms to which it is coming back by them. */
export class Joining {
  readonly #returns = new Map<string, Return>();
  /** Rooms that have still to tell what was before, and it has not been waited for. */
  readonly #behind = new Set<string>();
  /** What the client gave with its last join. */
  readonly #passwords = new Map<string, string>();

  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly settings: Settings,
    private readonly features: RoomFeatureQuestions,
    private readonly handing: Handing,
    /** Under which it is remembered what the client has had. */
    private readonly name: string | undefined,
    private readonly showing: Showing,
    private readonly fetching: Fetching,
    /** It is known what there is of the account, and what the client has had. */
    private readonly isReady: () => boolean,
  ) {}

  of(room: string): Return | undefined {
    return this.#returns.get(room);
  }

  /** Whether a room has still to tell what was before, though the client has been told it otherwise. */
  isBehind(room: string): boolean {
    return this.#behind.has(room);
  }

  /** A room has told its subject, and all that was before. */
  hasTold(room: string): void {
    this.#behind.delete(room);
  }

  isReturning(room: string): boolean {
    return this.#returns.has(room);
  }

  /** A copy: they may end while one goes through them. */
  returns(): readonly Return[] {
    return [...this.#returns.values()];
  }

  /** What the client gave with its last join of a room. */
  password(room: string): string | undefined {
    return this.#passwords.get(room);
  }

  /** The client asks to be let in. @param room one that clients are subscribed to for */
  joins(stanza: PassingStanza, room: string): Verdict {
    const { book } = this;
    const tree = stanza.tree();
    const x = tree.getChild('x', NS.muc);
    const password = x?.getChildText('password');
    this.#passwords.delete(room);
    if (typeof password === 'string' && this.#passwords.size < MOST_ROOMS)
      this.#passwords.set(room, password);
    // It deals with what it has missed itself.
    const limits = readLimits(x);
    if (asksByItself(tree) || wantsNone(limits)) return PASS;
    if (book.isRead && !book.isOurs(room) && !book.hasKept(room)) return PASS;
    if (this.#returns.has(room) || this.#returns.size >= MOST_ROOMS) return PASS;
    this.#begin({ room, limits, stage: 'entering' });
    const history = x?.getChild('history');
    if (x === undefined || history === undefined) return PASS;
    // All that the room has, to see by it where the client has stopped: what is too much for it is left out then.
    x.remove(history);
    stanza.edit().removeChild(stanza.frame.findChild('x', NS.muc)).appendChild(serializeElement(x));
    return { action: 'edit', reason: 'mucsub-client-join' };
  }

  #begin(record: ReturnRecord): void {
    const { context, book, settings, features, handing, name, isReady } = this;
    const { room, stage } = record;
    this.#behind.delete(room);
    const coming = new Return(
      {
        ...{ context, book, settings, features, handing, name, isReady },
        hasFetched: (jid, id) => this.fetching.has(jid, id),
        live: (jid, tree, bytes) => this.showing.passes(jid, tree, bytes),
        done: (jid, isBehind) => {
          this.#returns.delete(jid);
          if (isBehind) this.#behind.add(jid);
        },
      },
      record,
    );
    this.#returns.set(room, coming);
    const isEntering = stage === 'entering';
    context.wakeAt(
      `${isEntering ? 'entering' : 'telling'} ${room}`,
      context.now + (isEntering ? ENTERING_TIME : TELLING_TIME),
    );
  }

  /** The room has let the client in. */
  isIn(room: string): void {
    const coming = this.#returns.get(room);
    if (coming !== undefined) this.context.wakeAt(`telling ${room}`, this.context.now + TELLING_TIME);
    coming?.isIn();
  }

  /** A room has taken too long with something. */
  wake(token: string): void {
    const room = token.slice(token.indexOf(' ') + 1);
    const coming = this.#returns.get(room);
    if (token.startsWith('entering ')) coming?.giveUp();
    else coming?.hurry();
    if (token.startsWith('telling ') && this.#returns.has(room))
      this.context.wakeAt(`looking ${room}`, this.context.now + LOOKING_TIME);
  }

  /** The session is gone on with by this process. */
  resume(returns: readonly ReturnRecord[]): void {
    for (const each of returns) this.#begin(each);
  }
}
