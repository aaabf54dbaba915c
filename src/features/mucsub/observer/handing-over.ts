import type { Buffer } from 'node:buffer';
import type { Arrivals } from '../arrivals.js';
import type { Delivery } from '../delivery.js';
import type { Ghost } from '../ghost.js';
import type { Ghosts } from '../ghosts.js';
import type { Surroundings } from '../surroundings.js';
import { type Listener, type Observation, observationOf } from './observation.js';

/** So long both hear a room, so that nothing is missed by the one that begins and nothing comes twice; ms. */
const OVERLAP = 3_000;
/** So long a ghost stays after its client has spoken, in case it speaks again; ms. */
const SPEAKING = 60_000;

/**
 * The side of a subscriber's session: its ghosts leave when the observer hears the room for the account, and are made again when the client
 * speaks, or when the observer does not hear it any more.
 */
export class HandingOver implements Listener {
  readonly #observation: Observation;

  constructor(
    private readonly around: Surroundings,
    private readonly delivery: Delivery,
    private readonly ghosts: Ghosts,
    private readonly arrivals: Arrivals,
  ) {
    this.#observation = observationOf(around.context.domain);
    this.#observation.enter(around.account, this);
  }

  get isWanting(): boolean {
    return this.delivery.wanted;
  }

  isIn(room: string): boolean {
    const { book, account, context } = this.around;
    return book.isJoined(room, account, context.identity.full);
  }

  give(event: Buffer, now: number, room: string, place: number | undefined): void {
    this.around.context.sendInOthersTurn(event, 'mucsub-event', now);
    if (place !== undefined) this.arrivals.expects(room, place, 'made-here');
  }

  waits(event: Buffer): void {
    this.around.context.waits(this.around.account, event);
  }

  /** Called now and then while there are ghosts. */
  look(now: number): void {
    const { observer } = this.#observation;
    if (observer === undefined) return;
    for (const ghost of this.ghosts.all()) {
      if (!isAtRest(ghost)) continue;
      const since = observer.since(ghost.room, this.around.account);
      if (since === undefined) this.#offer(ghost);
      else if (now - since >= OVERLAP && now - ghost.usedAt >= SPEAKING) this.ghosts.end(ghost.room);
    }
  }

  #offer({ room }: Ghost): void {
    const { book, account, context } = this.around;
    const where = book.knownWhereabouts(room, account);
    if (where?.isFrozen !== false || !where.sources.has(context.identity.full)) return;
    this.#observation.observer?.take(room, account);
  }

  close(): void {
    this.#observation.leave(this.around.account, this);
  }
}

/** It is in the room, has heard all that was said before, and nothing is being asked for it. */
function isAtRest(ghost: Ghost): boolean {
  const { client, isIn, due, leaves, fill, renaming, missedSince } = ghost;
  return (
    client === 'out' &&
    isIn &&
    due.length === 0 &&
    leaves === 0 &&
    fill === undefined &&
    renaming === undefined &&
    missedSince === undefined
  );
}
