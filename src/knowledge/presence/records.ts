import { Buffer } from 'node:buffer';
import { LateMap } from '../../session/late.js';

/** A presence as it came, able to stand alone in any client's stream. */
export interface ReceivedPresence {
  readonly bytes: Buffer;
  readonly time: number;
}

interface Stored {
  /** One byte a character: such a string costs 16 bytes beyond its content, a Buffer of its own some 300. */
  readonly latin1: string;
  readonly time: number;
  /** What a feature has noted about it; 0 at first. */
  mark: number;
}

interface Holder {
  readonly byResource: Map<string, Stored>;
  bytes: number;
}

/** Memory of the map entries, the strings' headers and the record itself, rounded up. */
const RECORD_OVERHEAD = 160;
const HOLDER_OVERHEAD = 320;

/** Above this part of the budget a bare JID makes room among its own: no room can push out the contacts. */
const LARGEST_SHARE = 1 / 4;

/**
 * Presence by bare JID and resource within a budget of bytes. When it is full, the bare JID heard from least recently loses its oldest
 * record; one that holds more than a quarter of the budget loses its own oldest.
 */
export class PresenceRecords {
  /** In the order in which they were last heard from. */
  readonly #holders = new LateMap<string, Holder>();
  readonly #budget: number;
  bytes = 0;
  evicted = 0;

  constructor(budget: number) {
    this.#budget = budget;
  }

  set(bare: string, resource: string, bytes: Buffer, time: number): void {
    let holder = this.#holders.get(bare);
    if (holder === undefined) {
      holder = { byResource: new Map(), bytes: HOLDER_OVERHEAD + bare.length * 2 };
      this.bytes += holder.bytes;
    } else {
      this.#forget(holder, resource);
      this.#holders.delete(bare);
    }
    this.#holders.set(bare, holder);
    const stored = { latin1: bytes.toString('latin1'), time, mark: 0 };
    holder.byResource.set(resource, stored);
    const size = sizeOf(resource, stored);
    holder.bytes += size;
    this.bytes += size;
    this.#makeRoom(bare, holder);
  }

  get(bare: string, resource: string): ReceivedPresence | undefined {
    const stored = this.#holders.get(bare)?.byResource.get(resource);
    return stored === undefined ? undefined : received(stored);
  }

  markOf(bare: string, resource: string): number | undefined {
    return this.#holders.get(bare)?.byResource.get(resource)?.mark;
  }

  setMark(bare: string, resource: string, mark: number): void {
    const stored = this.#holders.get(bare)?.byResource.get(resource);
    if (stored !== undefined) stored.mark = mark;
  }

  /** Bare JID, resource and mark of every record; bears changes meanwhile: what is set anew may come again. */
  *marks(): Generator<readonly [bare: string, resource: string, mark: number]> {
    for (const [bare, holder] of this.#holders) {
      for (const [resource, { mark }] of holder.byResource) yield [bare, resource, mark];
    }
  }

  delete(bare: string, resource: string): void {
    const holder = this.#holders.get(bare);
    if (holder === undefined) return;
    this.#forget(holder, resource);
    if (holder.byResource.size === 0) this.deleteBare(bare);
  }

  deleteBare(bare: string): void {
    const holder = this.#holders.get(bare);
    if (holder === undefined) return;
    this.bytes -= holder.bytes;
    this.#holders.delete(bare);
  }

  clear(): void {
    this.#holders.clear();
    this.bytes = 0;
  }

  resourcesOf(bare: string): string[] {
    return [...(this.#holders.get(bare)?.byResource.keys() ?? [])];
  }

  bareJids(): IterableIterator<string> {
    return this.#holders.keys();
  }

  forEach(visit: (fullJid: string, presence: ReceivedPresence) => void): void {
    for (const [bare, holder] of this.#holders) {
      for (const [resource, stored] of holder.byResource) visit(`${bare}/${resource}`, received(stored));
    }
  }

  #forget(holder: Holder, resource: string): void {
    const stored = holder.byResource.get(resource);
    if (stored === undefined) return;
    holder.byResource.delete(resource);
    const size = sizeOf(resource, stored);
    holder.bytes -= size;
    this.bytes -= size;
  }

  #makeRoom(bare: string, holder: Holder): void {
    while (this.bytes > this.#budget) {
      const [loser, losing] =
        holder.bytes > this.#budget * LARGEST_SHARE ? [bare, holder] : first(this.#holders);
      this.evicted++;
      this.delete(loser, first(losing.byResource)[0]);
    }
  }
}

function first<K, V>(map: Map<K, V>): [K, V] {
  return map.entries().next().value!;
}

function received(stored: Stored): ReceivedPresence {
  return { bytes: Buffer.from(stored.latin1, 'latin1'), time: stored.time };
}

function sizeOf(resource: string, stored: Stored): number {
  return RECORD_OVERHEAD + resource.length * 2 + stored.latin1.length;
}
