import { type StoreChange, storeKey } from '../../store/store.js';
import type { Room } from './book.js';
import { isSame, type Mark } from './marks.js';
import { FEATURE_NAME, json, KEPT, type KeptRecord } from './records.js';

const DIGITS = 12;
/** Bytes that an entry costs beside the message in it. */
const ENTRY_BYTES = 200;

/** A message that is kept, without its text once that is on disk. */
export interface KeptMessage {
  readonly seq: number;
  readonly mark: Mark;
  readonly bytes: number;
  /** Name of the one resource that has not had it; undefined: it may be any. */
  only: string | undefined;
  /** Until it is on disk. */
  xml: string | undefined;
}

/** What is to be kept. */
export interface Keeping {
  readonly mark: Mark;
  readonly xml: string;
  /** The one resource for which it is; undefined: for any. */
  readonly only?: string | undefined;
}

/** What is kept of a room in the order in which it was said: the server may come out with something behind what was said after it. */
export function inOrder(kept: readonly KeptMessage[]): KeptMessage[] {
  return [...kept].sort((a, b) => a.mark.at - b.mark.at);
}

/** Of all that is kept for an account; `oldest` in ms since 1970. */
export interface KeepLimits {
  readonly bytes: number;
  readonly oldest: number;
}

/** What is kept for the clients of one account that have not had it, in all rooms together. What its methods return is to be written to the store. */
export class KeptMessages {
  /** Of all that is kept. */
  #bytes = 0;

  constructor(
    private readonly domain: string,
    private readonly account: string,
    private readonly rooms: ReadonlyMap<string, Room>,
  ) {}

  /** The store has this. @param size bytes of it there */
  learn(room: Room, { seq, mark, only }: KeptRecord, size: number): void {
    const bytes = size + ENTRY_BYTES;
    room.kept.push({ seq, mark, bytes, only, xml: undefined });
    room.lastSeq = Math.max(room.lastSeq, seq);
    this.#bytes += bytes;
  }

  /**
   * Keeps a message for clients that have not had it.
   * @returns its place and what is to be written; no changes when it is kept already
   */
  add(
    room: Room,
    { mark, xml, only }: Keeping,
    limits: KeepLimits,
  ): { readonly message: KeptMessage; readonly changes: StoreChange[] } {
    // What is kept before its place that resource would not look for.
    const from = only === undefined ? 0 : (room.seen.get(only)?.seq ?? 0);
    const known = room.kept.find((each) => each.seq > from && isSame(each.mark, mark));
    if (known !== undefined) {
      if (known.only === undefined || known.only === only) return { message: known, changes: [] };
      known.only = undefined;
      return { message: known, changes: [this.#change(room.jid, known, xml)] };
    }
    room.lastSeq += 1;
    const entry = { seq: room.lastSeq, mark, only };
    const change = this.#change(room.jid, entry, xml);
    const message = { ...entry, bytes: (change.value?.length ?? 0) + ENTRY_BYTES, xml };
    room.kept.push(message);
    this.#bytes += message.bytes;
    const changes = [change];
    while (room.kept.length > 1 && room.kept[0]!.mark.at < limits.oldest) changes.push(this.drop(room));
    while (this.#bytes > limits.bytes) {
      const oldest = this.#oldest();
      if (oldest === undefined) break;
      changes.push(this.drop(oldest));
    }
    return { message, changes };
  }

  /** Drops the oldest of a room. There has to be one. */
  drop(room: Room): StoreChange {
    const { seq, bytes } = room.kept.shift()!;
    this.#bytes -= bytes;
    return { key: this.#key(room.jid, seq), value: undefined };
  }

  /** Drops all of a room. */
  forget(room: Room): StoreChange[] {
    const changes: StoreChange[] = [];
    while (room.kept.length > 0) changes.push(this.drop(room));
    return changes;
  }

  /** The room that has the oldest of all. */
  #oldest(): Room | undefined {
    let oldest: Room | undefined;
    for (const room of this.rooms.values()) {
      const at = room.kept[0]?.mark.at;
      if (at !== undefined && !(oldest !== undefined && oldest.kept[0]!.mark.at <= at)) oldest = room;
    }
    return oldest;
  }

  #change(jid: string, { seq, mark, only }: Omit<KeptMessage, 'bytes' | 'xml'>, xml: string): StoreChange {
    const value = json({ room: jid, seq, at: mark.at, id: mark.id, content: mark.content, only, xml });
    return { key: this.#key(jid, seq), value };
  }

  #key(jid: string, seq: number): string {
    return storeKey(FEATURE_NAME, this.domain, this.account, KEPT, jid, String(seq).padStart(DIGITS, '0'));
  }
}
