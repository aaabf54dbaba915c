import { LateMap } from '../../session/late.js';
import type { CatchingUp } from './catching-up.js';
import { Ghost } from './ghost.js';
import { hasArchive } from './services.js';
import type { Surroundings } from './surroundings.js';

/** How a session stands in a room. */
export interface Standing {
  readonly room: string;
  readonly nick: string;
  readonly isClient: boolean;
  readonly isSource: boolean;
  readonly affiliation: string;
  readonly nonAnonymous: boolean;
}

/** Hands ghosts from one process to the next. */
export class Standings {
  /** By room, whether this session was the source; until the book has been read. */
  readonly #restored = new LateMap<string, boolean>();

  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: Map<string, Ghost>,
    private readonly catchingUp: CatchingUp,
    private readonly end: (room: string) => void,
  ) {}

  /** What the next process has to know of a server leg that goes on. */
  snapshot(): readonly Standing[] {
    const { book, account, context } = this.around;
    return [...this.ghosts.values()]
      .filter(({ isIn }) => isIn)
      .map(({ room, nick, client, affiliation, nonAnonymous }) => {
        const isSource = book.knownWhereabouts(room, account)?.sources.has(context.identity.full) === true;
        return { room, nick, isClient: client !== 'out', isSource, affiliation, nonAnonymous };
      });
  }

  /** The server leg of a process before is gone on with: nothing that comes for its ghosts may reach the client. */
  restore(standings: readonly Standing[]): void {
    for (const { room, nick, isClient, isSource, affiliation, nonAnonymous } of standings) {
      const ghost = new Ghost(room, nick, undefined);
      Object.assign(ghost, { isIn: true, client: isClient ? 'in' : 'out', affiliation, nonAnonymous });
      this.ghosts.set(room, ghost);
      this.#restored.set(room, isSource);
    }
  }

  /** The book has been read: the restored ghosts are somebody's again. What came in between is asked for. */
  settleRestored(): void {
    const { book, account, context } = this.around;
    for (const [room, isSource] of this.#restored) {
      const ghost = this.ghosts.get(room);
      const subscription = book.subscription(room, account);
      if (ghost === undefined) continue;
      if (subscription === undefined) {
        this.end(room);
        continue;
      }
      ghost.subscription = subscription;
      const where = book.whereabouts(room, account);
      if (ghost.client === 'in') {
        where.joined.add(context.identity.full);
        where.inside.add(context.identity.full);
      }
      if (!isSource) continue;
      where.sources.add(context.identity.full);
      if (ghost.client === 'out' && where.missedSince !== undefined && hasArchive(this.around, room))
        this.catchingUp.begin(ghost, where.missedSince);
    }
    this.#restored.clear();
  }
}
