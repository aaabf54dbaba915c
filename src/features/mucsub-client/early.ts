import { Buffer } from 'node:buffer';
import type { FeatureContext } from '../../session/feature.js';

/** So many wait at the most, and so many bytes of them. */
const MOST = 2_000;
const MOST_BYTES = 2 * 1024 * 1024;

/** A message from a room, or with an event of one. */
export interface EarlyMessage {
  readonly kind: 'event' | 'said';
  readonly room: string;
  readonly xml: Buffer;
  /** Whether it came before the client was in the room, or while it is, or was: it has left since. */
  readonly stay: 'before' | 'now' | 'over';
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
  #waiting: (EarlyMessage & { readonly isTaken?: () => void })[];
  #bytes = 0;

  /** @param waiting what waited when the process before ended, oldest first */
  constructor(
    private readonly context: FeatureContext,
    waiting: readonly EarlyRecord[] = [],
  ) {
    this.#waiting = waiting.map(({ xml, ...record }) => ({ ...record, xml: Buffer.from(xml) }));
  }

  /**
   * A message comes while it has to wait.
   * @param message of whose bytes it makes a copy
   * @returns false: too much waits
   */
  holds({ xml: bytes, ...message }: EarlyMessage): boolean {
    if (this.#waiting.length >= MOST || this.#bytes + bytes.length > MOST_BYTES) return false;
    this.#bytes += bytes.length;
    this.#waiting.push({
      ...message,
      xml: Buffer.from(bytes),
      isTaken: this.context.holdAcknowledgement(),
    });
    return true;
  }

  /** The client is out of a room: what waits is not of the stay that may follow. */
  leaves(room: string): void {
    this.#waiting = this.#waiting.map((each) =>
      each.room === room && each.stay === 'now' ? { ...each, stay: 'over' } : each,
    );
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
    return this.#waiting.map(({ kind, room, xml, stay }) => ({ kind, room, xml: xml.toString(), stay }));
  }
}
