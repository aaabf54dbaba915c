import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { FeatureContext } from '../../session/feature.js';
import type { AccountBook } from './book.js';
import type { EarlyRecord } from './early.js';
import type { Handed } from './handing.js';
import { isSame, type Mark, markOf } from './marks.js';
import { readKept } from './records.js';

/** What goes to the client when the session is gone on with. */
export interface GoingOnOutput {
  /** From us. */
  give(room: string, mark: Mark, xml: Buffer, seq: number | undefined, upTo?: number): void;
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
  /** What waits behind what is given first, of the rooms of which there is something. */
  readonly #waiting = new Map<string, WaitingMessage[]>();
  #lost: readonly Handed[];

  /**
   * @param lost what is known by now not to have reached the client
   * @param doubtful what it may not have had
   */
  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly output: GoingOnOutput,
    lost: readonly Handed[],
    doubtful: readonly Handed[],
  ) {
    this.#lost = lost;
    for (const { room, isOurs } of [...lost, ...doubtful]) if (isOurs) this.#waiting.set(room, []);
  }

  /** Whether there is something of a room that the client may not have had, and that has still to be given. */
  awaits(room: string): boolean {
    return this.#waiting.has(room);
  }

  /** What the client has not had, and has not been given. */
  get open(): readonly Handed[] {
    return this.#lost.filter(({ room }) => this.#waiting.has(room));
  }

  /** What waits behind that, for the next process. */
  get waiting(): readonly EarlyRecord[] {
    return [...this.#waiting].flatMap(([room, waiting]) =>
      waiting.map(({ bytes }): EarlyRecord => {
        return { kind: 'said', room, xml: bytes.toString(), stay: 'now' };
      }),
    );
  }

  /** @returns whether a message of the room's waits behind what is given first. @param bytes the reader's own */
  holds(room: string, tree: Element, bytes: Buffer): boolean {
    const waiting = this.#waiting.get(room);
    if (waiting === undefined || waiting.length >= MOST_WAITING) return false;
    waiting.push({ tree, bytes });
    return true;
  }

  /** It is known what the client has had. @param lost what of the doubtful it has not had */
  hasLost(lost: readonly Handed[]): void {
    this.#lost = [...this.#lost, ...lost];
  }

  /** It is known what there is of the account, too. */
  begin(): void {
    for (const room of [...this.#waiting.keys()]) {
      this.context.store.load(this.book.keptPrefix(room), (entries) => {
        const kept = new Map(
          entries.flatMap(({ value }) => readKept(value) ?? []).map(({ seq, xml }) => [seq, xml]),
        );
        this.#give(room, kept);
        if (this.#waiting.size === 0) this.output.done();
      });
    }
    if (this.#waiting.size === 0) this.output.done();
  }

  #give(room: string, kept: ReadonlyMap<number, string>): void {
    const waiting = this.#waiting.get(room) ?? [];
    this.#waiting.delete(room);
    const { output, context } = this;
    const now = context.wallClock();
    for (const { mark, seq, upTo, xml, isOurs } of this.#lost.filter((each) => each.room === room)) {
      if (mark === undefined) continue;
      const text = seq === undefined ? xml : kept.get(seq);
      if (isOurs && text !== undefined) output.give(room, mark, Buffer.from(text), seq, upTo);
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
