import { Buffer } from 'node:buffer';
import { LateMap } from '../../session/late.js';
import type { StoreChange } from '../../store/store.js';
import { Frame } from '../../xml/frame.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { MOST_WAITING } from './archive-fill.js';
import type { Arrivals, Expected } from './arrivals.js';
import type { CatchingUp } from './catching-up.js';
import { type Asker, Ghost } from './ghost.js';
import type { RoomEvents } from './room-events.js';
import type { Surroundings } from './surroundings.js';
import type { Position } from './whereabouts.js';

/** How a session stands in a room. */
export interface Standing {
  readonly room: string;
  readonly nick: string;
  readonly isIn: boolean;
  readonly isClient: boolean;
  readonly isSource: boolean;
  /** How far the account has heard the room, by a source. */
  readonly heard?: Position;
  /** What was said behind that the archive has to be asked for: it was being asked, or about to be. */
  readonly isBehind?: boolean;
  /** What the room has still to answer; absent where there is nothing, and in what former versions wrote. */
  readonly due?: readonly Asker[];
  readonly leaves?: number;
  readonly subjects?: number;
  readonly affiliation: string;
  readonly nonAnonymous: boolean;
}

/** What the next process has to know; former versions have written the first part only. */
interface Snapshot {
  readonly standings: readonly Standing[];
  /** Of what the client has been sent. */
  readonly expected?: Expected;
}

interface Restored {
  readonly isSource: boolean;
  readonly heard: Position | undefined;
  isBehind: boolean;
  /** What the room has sent since. */
  readonly waiting: Buffer[];
  /** Something more has come than may wait. */
  isOverfull: boolean;
}

/** Hands ghosts from one process to the next. */
export class Standings {
  /** By room, until the book has been read. */
  readonly #restored = new LateMap<string, Restored>();
  /** What its word means, of what the process before has sent. */
  #expected: Expected = {};
  /** By room, how far the client has had it by its own word when it came back. */
  readonly #safe = new LateMap<string, Position>();
  /** What the room has sent since counts as delivered again. */
  #release: (() => void) | undefined;

  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: Map<string, Ghost>,
    private readonly catchingUp: CatchingUp,
    private readonly events: RoomEvents,
    private readonly end: (room: string) => void,
  ) {}

  /** What the next process has to know of a server leg that goes on; undefined: nothing. */
  snapshot(arrivals: Arrivals): string | undefined {
    if (this.ghosts.size === 0) return undefined;
    const snapshot: Snapshot = { standings: this.#standings(), expected: arrivals.handsOn() };
    return JSON.stringify(snapshot);
  }

  #standings(): readonly Standing[] {
    return [...this.ghosts.values()].map((ghost) => {
      const { room, nick, isIn, client, due, leaves, subjects, affiliation, nonAnonymous } = ghost;
      const open = { ...(due.length > 0 && { due }), ...(leaves > 0 && { leaves }) };
      return {
        ...{ room, nick, isIn, isClient: client !== 'out', affiliation, nonAnonymous },
        ...this.#source(ghost),
        ...{ ...open, ...(subjects > 0 && { subjects }) },
      };
    });
  }

  #source({ room, fill, missedSince }: Ghost): Pick<Standing, 'isSource' | 'heard' | 'isBehind'> {
    const { book, account, context } = this.around;
    const restored = this.#restored.get(room);
    const where = book.knownWhereabouts(room, account);
    const isSource = restored?.isSource ?? where?.sources.has(context.identity.full) === true;
    const isBehind = restored?.isBehind ?? (fill !== undefined || missedSince !== undefined);
    const heard = restored?.heard ?? (isSource ? { at: where?.heardAt, id: where?.lastId } : undefined);
    return { isSource, ...(heard !== undefined && { heard }), ...(isBehind && { isBehind }) };
  }

  /** The server leg of a process before is gone on with: nothing that comes for its ghosts may reach the client. */
  restore(snapshot: string): void {
    const read = JSON.parse(snapshot) as Snapshot | readonly Standing[];
    const { standings, expected = {} } = 'standings' in read ? read : { standings: read };
    this.#expected = expected;
    for (const standing of standings) {
      const { room, nick, isIn = true, isClient, isSource, due = [], leaves = 0, subjects = 0 } = standing;
      const { affiliation, nonAnonymous, heard, isBehind = false } = standing;
      const ghost = new Ghost(room, nick, undefined);
      const client = isClient ? (due.includes('client') ? 'joining' : 'in') : 'out';
      Object.assign(ghost, { isIn, client, leaves, subjects, affiliation, nonAnonymous });
      ghost.due.push(...due);
      this.ghosts.set(room, ghost);
      this.#restored.set(room, { isSource, heard, isBehind, waiting: [], isOverfull: false });
    }
  }

  /** What the client has said to have when it came back. */
  received(tokens: readonly string[]): void {
    for (const token of tokens)
      for (const [room, position] of Object.entries(this.#expected[token] ?? {}))
        this.#safe.set(room, position);
  }

  /** The book has been read, so that this can be noted: at once, since the session may be lost again before it is settled. */
  noteReceived(): void {
    const { book, account, context } = this.around;
    const changes: StoreChange[] = [];
    for (const [room, { at, id, seq }] of this.#safe) {
      if (at === undefined || book.subscription(room, account) === undefined) continue;
      book.whereabouts(room, account).retells(at, id, seq);
      const change = book.heard(context.domain.name, room, account);
      if (change !== undefined) changes.push(change);
    }
    this.#safe.clear();
    if (changes.length > 0) context.store.write(changes);
  }

  /** Notes in the store how far the rooms have been heard. @returns what is to be written */
  heard(): StoreChange[] {
    const { book, account, context } = this.around;
    return [...this.ghosts.keys()].flatMap((room) => {
      if (book.knownWhereabouts(room, account)?.sources.has(context.identity.full) !== true) return [];
      return book.heard(context.domain.name, room, account) ?? [];
    });
  }

  /** It is not known yet what the account has heard of a room, nor whether it is subscribed to it still. */
  isOpen(room: string): boolean {
    return this.#restored.has(room);
  }

  /** What a room sends waits until then. @returns whether it does */
  keeps(room: string, frame: Frame): boolean {
    const restored = this.#restored.get(room);
    if (restored === undefined) return false;
    this.#release ??= this.around.context.holdAcknowledgement();
    if (restored.waiting.length < MOST_WAITING) restored.waiting.push(Buffer.from(frame.bytes()));
    else restored.isOverfull = restored.isBehind = true;
    return true;
  }

  /** The book has been read: the restored ghosts are somebody's again. What came in between is asked for. */
  settleRestored(): void {
    const restored = [...this.#restored];
    this.#restored.clear();
    for (const [room, standing] of restored) this.#settle(room, standing);
    this.#release?.();
    this.#release = undefined;
  }

  #settle(room: string, { isSource, heard, isBehind, waiting, isOverfull }: Restored): void {
    const { book, account, context } = this.around;
    const ghost = this.ghosts.get(room);
    const subscription = book.subscription(room, account);
    if (ghost === undefined) return;
    if (subscription === undefined) {
      this.end(room);
      return;
    }
    ghost.subscription = subscription;
    const where = book.whereabouts(room, account);
    if (ghost.client !== 'out') {
      where.joined.add(context.identity.full);
      if (ghost.client === 'in') where.inside.add(context.identity.full);
    }
    // Whoever brought it before may not have come back.
    if (!isSource && (where.sources.size > 0 || ghost.client !== 'out')) return;
    where.sources.add(context.identity.full);
    // A server that resumes its stream sends all that was not acknowledged, and all that came since.
    if (isSource && heard !== undefined) where.goesOn(heard);
    if (ghost.client === 'out' && (!isSource || heard === undefined || isBehind || !ghost.isIn))
      this.catchingUp.goOn(ghost);
    for (const bytes of waiting) {
      const frame = parseStanza(bytes, context.namespaces);
      if (frame instanceof Frame) this.events.waited(ghost, frame);
    }
    // An archive is being asked for it, and says itself what it has not.
    if (isOverfull && ghost.fill === undefined && ghost.missedSince === undefined && ghost.client === 'out')
      this.events.gap(ghost, heard?.at ?? context.wallClock());
  }
}
