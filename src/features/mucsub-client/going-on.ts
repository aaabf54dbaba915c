import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { FeatureContext } from '../../session/feature.js';
import type { AccountBook } from './book.js';
import type { Handed } from './handing.js';
import { isSame, type Mark, markOf } from './marks.js';
import { readKept } from './records.js';

/** What goes to the client when the session is gone on with. */
export interface GoingOnOutput {
  /** From us. */
  give(room: string, mark: Mark, xml: Buffer, seq: number | undefined): void;
  /** From the room. */
  pass(room: string, tree: Element, bytes: Buffer): void;
  /** Of all rooms. */
  done(): void;
}

/** More that the server sends meanwhile is passed on as it comes. */
const MOST_WAITING = 1_000;

/**
 * A session that this process goes on with: what the client had not acknowledged by then the server sends again, as far as it is the server's, and what
 * is ours comes again from here; both in the order in which it was sent before.
 */
export class GoingOn {
  readonly #rooms = new Map<string, { readonly handed: readonly Handed[]; waiting: WaitingMessage[] }>();

  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly output: GoingOnOutput,
  ) {}

  /** @param handed what the client may not have had */
  expect(handed: readonly Handed[]): void {
    for (const { room, isOurs } of handed) {
      if (!isOurs || this.#rooms.has(room)) continue;
      this.#rooms.set(room, { handed: handed.filter((each) => each.room === room), waiting: [] });
    }
  }

  /** Whether there is something of a room that the client may not have had, and that has still to be given. */
  awaits(room: string): boolean {
    return this.#rooms.has(room);
  }

  /** @returns whether a message of the room's waits behind what is given first. @param bytes the reader's own */
  holds(room: string, tree: Element, bytes: Buffer): boolean {
    const waiting = this.#rooms.get(room)?.waiting;
    if (waiting === undefined || waiting.length >= MOST_WAITING) return false;
    waiting.push({ tree, bytes });
    return true;
  }

  /** @param lost what the client has not had */
  begin(lost: readonly Handed[]): void {
    for (const room of [...this.#rooms.keys()]) {
      this.context.store.load(this.book.keptPrefix(room), (entries) => {
        const kept = new Map(
          entries.flatMap(({ value }) => readKept(value) ?? []).map(({ seq, xml }) => [seq, xml]),
        );
        this.#give(room, lost, kept);
        if (this.#rooms.size === 0) this.output.done();
      });
    }
    if (this.#rooms.size === 0) this.output.done();
  }

  #give(room: string, lost: readonly Handed[], kept: ReadonlyMap<number, string>): void {
    const { waiting } = this.#rooms.get(room) ?? { waiting: [] };
    this.#rooms.delete(room);
    const { output, context } = this;
    const now = context.wallClock();
    for (const { mark, seq, xml, isOurs } of lost.filter((each) => each.room === room)) {
      if (mark === undefined) continue;
      const text = seq === undefined ? xml : kept.get(seq);
      if (isOurs && text !== undefined) output.give(room, mark, Buffer.from(text), seq);
      const at = isOurs
        ? -1
        : waiting.findIndex(({ tree }) => isSame(markOf(tree, room, now), { ...mark, at: now }));
      for (const { tree, bytes } of waiting.splice(0, at + 1)) output.pass(room, tree, bytes);
    }
    for (const { tree, bytes } of waiting) output.pass(room, tree, bytes);
  }
}

interface WaitingMessage {
  readonly tree: Element;
  readonly bytes: Buffer;
}
