import { Buffer } from 'node:buffer';
import { EVENTS, type EventName } from './nodes.js';

/** Places in a log, both ends included; without an end: up to what is being told at present. */
type Stretch = [from: number, to: number | undefined];

/** The part of a log that has been dropped before its reader came. */
export interface Lost {
  /** When the first and the last of it were said; ms since 1970. */
  readonly since: number;
  readonly until: number;
  /** Place of the last of it. */
  readonly seq: number;
}

/** Stretches of a log that one account has still to get: it goes on only when a client has acknowledged what it got. */
export class Cursor {
  #stretches: Stretch[] = [];
  lost: Lost | undefined;
  /** Full JID of the session that gets it, and how far it has been sent. */
  reader: string | undefined;
  sent = 0;
  /** Place of the last that the account has heard itself. */
  #heard = 0;
  /** The stretch that a process before has left open. */
  #former: Stretch | undefined;

  constructor(readonly events: readonly EventName[]) {}

  /** The first place that is still to be got. */
  get first(): number {
    return this.#stretches[0]?.[0] ?? Number.POSITIVE_INFINITY;
  }

  /** The account has all. */
  get isDone(): boolean {
    return this.#stretches.length === 0 && this.lost === undefined;
  }

  /** There is something that no session has been sent. */
  get isBehind(): boolean {
    const last = this.#stretches.at(-1);
    if (this.reader === undefined) return !this.isDone;
    return last !== undefined && (last[1] === undefined || last[1] > this.sent);
  }

  /** A session has been sent something, and its client has not acknowledged it. */
  get isOut(): boolean {
    return this.reader !== undefined && this.sent > 0 && !this.isDone;
  }

  /** @returns whether the account is to get what is at this place */
  has(seq: number): boolean {
    return this.#stretches.some(([from, to]) => seq >= from && (to === undefined || seq <= to));
  }

  /** The account is to get this, and what follows. @returns whether that is news */
  add(seq: number): boolean {
    this.#heard = Math.max(this.#heard, seq);
    const last = this.#stretches.at(-1);
    if (last !== undefined && last !== this.#former && last[1] === undefined) return false;
    if (this.has(seq) && last !== this.#former) return false;
    this.#stretches.push([seq, undefined]);
    return true;
  }

  /**
   * The account is to get all from this place on.
   * @param end the last place there is
   * @param lost what of it has been dropped
   * @returns whether that is news
   */
  open(from: number, end: number, lost: Lost | undefined): boolean {
    this.#heard = Math.max(this.#heard, end);
    if (lost !== undefined) this.lost = { ...lost, since: this.lost?.since ?? lost.since };
    const last = this.#stretches.at(-1);
    const isOpen = last !== undefined && last !== this.#former && last[1] === undefined && last[0] <= from;
    if (!isOpen) this.#stretches.push([from, undefined]);
    return !isOpen || lost !== undefined;
  }

  /** What follows is nothing for the account. @returns whether that is news */
  close(): boolean {
    const last = this.#stretches.at(-1);
    if (last === undefined || last[1] !== undefined || last === this.#former) return false;
    if (this.#heard < last[0]) this.#stretches.pop();
    else last[1] = this.#heard;
    return true;
  }

  /** @param at where the log ended when the process before did */
  closeFormer(at: number): void {
    const former = this.#former;
    this.#former = undefined;
    if (former === undefined) return;
    if (at >= former[0]) former[1] = at;
    else this.#stretches = this.#stretches.filter((stretch) => stretch !== former);
  }

  /** All that there is to get has been read. @param last place of the last of it; 0: there is nothing */
  isRead(last: number): void {
    this.#stretches = this.#stretches.flatMap(([from, to]): Stretch[] => {
      if (from > last) return [];
      return [[from, Math.min(to ?? last, last)]];
    });
    this.sent = last;
  }

  /** A client has acknowledged all up to this place. @returns whether that is news */
  acknowledge(seq: number): boolean {
    const before = this.first;
    const hadLost = this.lost !== undefined;
    this.#dropTo(seq);
    if (this.lost !== undefined && this.lost.seq <= seq) this.lost = undefined;
    return before !== this.first || hadLost !== (this.lost !== undefined);
  }

  #dropTo(seq: number): void {
    this.#stretches = this.#stretches.flatMap(([from, to]): Stretch[] => {
      if (to !== undefined && to <= seq) return [];
      return [[Math.max(from, seq + 1), to]];
    });
    // The stretch of a process before has been told up to here.
    if (this.#former !== undefined) this.#former = this.#stretches.find(([, to]) => to === undefined);
  }

  /** These are out of the log. @returns whether some of them were still to be got */
  loses(gone: readonly { readonly seq: number; readonly at: number; readonly kind: string }[]): boolean {
    const missed = gone.filter(({ seq }) => this.has(seq) && (this.reader === undefined || seq > this.sent));
    const first = missed[0];
    const last = missed.at(-1);
    if (first === undefined || last === undefined) return false;
    this.lost = { since: this.lost?.since ?? first.at, until: last.at, seq: last.seq };
    this.#dropTo(last.seq);
    return true;
  }

  /** The session that was getting it is over: what it has not acknowledged is to be got again. */
  release(): void {
    this.reader = undefined;
    this.sent = 0;
  }

  toBuffer(): Buffer {
    const value = { stretches: this.#stretches, events: this.events.join(' '), lost: this.lost };
    return Buffer.from(JSON.stringify(value));
  }

  /** @returns undefined for what is none */
  static read(value: Buffer): Cursor | undefined {
    try {
      const record = JSON.parse(value.toString()) as { stretches: Stretch[]; events: string; lost?: Lost };
      const cursor = new Cursor(EVENTS.filter((event) => record.events.split(' ').includes(event)));
      cursor.#stretches = record.stretches.map(([from, to]) => [Number(from), to ?? undefined]);
      cursor.lost = record.lost;
      const last = cursor.#stretches.at(-1);
      if (last !== undefined && last[1] === undefined) cursor.#former = last;
      return cursor;
    } catch {
      return undefined;
    }
  }
}
