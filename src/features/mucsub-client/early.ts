import { Buffer } from 'node:buffer';
import type { FeatureContext } from '../../session/feature.js';

/** So many wait at the most, and so many bytes of them. */
const MOST = 2_000;
const MOST_BYTES = 2 * 1024 * 1024;

/** A message from a room, or with an event of one. */
export interface EarlyMessage {
  readonly kind: 'event' | 'said';
  readonly xml: Buffer;
  /** The client was in the room when it came. */
  readonly isIn: boolean;
}

/** The same for the next process. */
export interface EarlyRecord extends Omit<EarlyMessage, 'xml'> {
  readonly xml: string;
}

/**
 * What comes from rooms before it is known what there is of the account, and what its client has had: it waits for that. To the server it does not count
 * as delivered before, so that a session that ends meanwhile has lost nothing.
 */
export class Early {
  readonly #waiting: (EarlyMessage & { readonly isTaken?: () => void })[];
  #bytes = 0;

  /** @param waiting what waited when the process before ended, oldest first */
  constructor(
    private readonly context: FeatureContext,
    waiting: readonly EarlyRecord[] = [],
  ) {
    this.#waiting = waiting.map(({ xml, ...record }) => ({ ...record, xml: Buffer.from(xml) }));
  }

  /** A message comes while it has to wait. @param bytes of which it makes a copy @returns false: too much waits */
  holds(kind: EarlyMessage['kind'], bytes: Buffer, isIn: boolean): boolean {
    if (this.#waiting.length >= MOST || this.#bytes + bytes.length > MOST_BYTES) return false;
    this.#bytes += bytes.length;
    this.#waiting.push({ kind, xml: Buffer.from(bytes), isIn, isTaken: this.context.holdAcknowledgement() });
    return true;
  }

  /** It need not wait any more. @param deal called for each, in order */
  end(deal: (message: EarlyMessage) => void): void {
    this.#bytes = 0;
    for (const message of this.#waiting.splice(0)) {
      deal(message);
      message.isTaken?.();
    }
  }

  /** What waits, for the next process: to this one's server it counts as delivered then. */
  snapshot(): readonly EarlyRecord[] {
    return this.#waiting.map(({ kind, xml, isIn }) => ({ kind, xml: xml.toString(), isIn }));
  }
}
