import { Buffer } from 'node:buffer';
import type { IqAnswer } from '../../session/feature.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { MOST_WAITING } from './archive-fill.js';
import type { Logged, RoomLog } from './event-log.js';
import type { Storing } from './storing.js';
import type { Surroundings } from './surroundings.js';
import { CLOCKS_DIFFER } from './whereabouts.js';

/** How long a room may take to say for how long it has been there; ms. */
const ANSWER_TIME = 15_000;
/** A room that tells fewer messages than this to who enters has no more to tell. */
const FEW = 10;

/** What there is to know of something that a room tells as history. */
export interface Told {
  /** Where it is in our log. */
  readonly known: Logged | undefined;
  /** When it was said, as far as the room says so; ms since 1970. */
  readonly at: number | undefined;
}

export interface Retelling {
  /** The ghost is still in the room. */
  isWanted(): boolean;
  told(bytes: Buffer): Told | undefined;
  /** What the room has sent is taken as if it came now. */
  retell(bytes: Buffer, isOld: boolean): void;
  /** All has been taken that was said before. */
  done(): void;
}

/**
 * Brings what an account has missed of a room that has no archive. Our log stands for one, and takes in what it lacks of the history that the room tells to who
 * enters; the account is told out of the log, in its order, all that is behind what it has had. Where nobody can know whether more was said, a mark is
 * put there: the room had forgotten what was heard last, and nobody else was in it. What the room sends waits until that is known, so that nothing is
 * in the log without the mark that belongs before it.
 */
export class HistoryFill {
  readonly #room: string;
  /** What was said before is not missed; ms since 1970. */
  readonly #since: number;
  /** From when on the room is asked for its history; ms since 1970. */
  readonly asked: number;
  /** Of what the room has sent since. */
  readonly #waiting: { readonly bytes: Buffer; readonly isOld: boolean }[] = [];
  #hasBegun = false;
  /** The room's answer will come behind its history. */
  #isAsked = false;
  #isOver = false;
  #isComplete = true;
  /** As it was when the room began to tell; undefined: it has not been read. */
  #log: RoomLog | undefined;
  /** When the room's service has begun, at the latest; ms since 1970. Undefined: nobody knows. */
  #startedBy: number | undefined;

  constructor(
    private readonly around: Surroundings,
    private readonly storing: Storing,
    { room, since, asked }: { readonly room: string; readonly since: number; readonly asked: number },
    private readonly retelling: Retelling,
  ) {
    this.#room = room;
    this.#since = since;
    this.asked = asked;
  }

  /** The room has let the ghost in, and tells its history now. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const { context } = this.around;
    // COMPAT: mu-conference does not say where its history ends, but answers in order. It forgets when it is restarted, and knows when that was.
    if (context.serverKind === 'jabberd2') {
      const payload = `<query xmlns='${NS.lastActivity}'/>`;
      const request = {
        leg: 'server',
        type: 'get',
        to: this.#room,
        payload,
        timeoutMs: ANSWER_TIME,
      } as const;
      this.#isAsked = true;
      context.request(request, (answer) => {
        if (answer.kind === 'leg-lost') return;
        this.#startedBy = startedBy(answer, context.wallClock());
        this.end();
      });
    }
    this.storing.whenRead(this.#room, (log) => {
      this.#log = log;
      if (this.#isOver) this.#finish(log);
    });
  }

  /** What the room sends waits. @param isOld as history */
  keep(frame: Frame, isOld: boolean): void {
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push({ bytes: Buffer.from(frame.bytes()), isOld });
    else this.#isComplete = false;
    if (!isOld && !this.#isAsked) this.end();
  }

  /** The room has told all. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#log !== undefined) this.#finish(this.#log);
  }

  #finish(log: RoomLog): void {
    if (!this.retelling.isWanted()) return;
    const last = log.entries.at(-1);
    const end = lastHeard(log.entries);
    // Stamps may have no fractions.
    const since = Math.floor(this.#since / 1_000) * 1_000;
    let remembers = false;
    let news = 0;
    const missed = this.#waiting.filter(({ bytes, isOld }) => {
      const told = isOld ? this.retelling.told(bytes) : undefined;
      if (told === undefined) return true;
      if (told.known !== undefined) {
        remembers ||= end !== undefined && told.known.seq <= end.seq;
        return true;
      }
      if (told.at !== undefined && told.at < since) return false;
      news += 1;
      return true;
    });
    this.storing.open(this.#room);
    const mayLack =
      !remembers && end !== undefined && end.at >= this.asked && this.#mayHaveForgotten(last!, news);
    if (mayLack || !this.#isComplete) this.storing.mark(this.#room, last?.seq ?? this.#since);
    for (const { bytes, isOld } of missed) this.retelling.retell(bytes, isOld);
    this.retelling.done();
  }

  /**
   * Of a room that has told nothing that was known.
   * @param last in our log: up to when it was written nothing is missing, or has a mark
   * @param news how much the room has told
   */
  #mayHaveForgotten({ seq, kind }: Logged, news: number): boolean {
    if (this.around.book.isHeardByOthers(this.#room, this.around.account)) return false;
    const isMarked = kind === 'gap';
    if (this.#startedBy === undefined) return !isMarked || news > 0;
    return this.#startedBy >= seq || news >= (isMarked ? FEW : 1);
  }
}

function lastHeard(entries: readonly Logged[]): Logged | undefined {
  for (let at = entries.length - 1; at >= 0; at--) if (entries[at]!.kind !== 'gap') return entries[at];
  return undefined;
}

/** XEP-0012 §5: for how many seconds the service has been there, of which one may be too many. */
function startedBy(answer: IqAnswer, now: number): number | undefined {
  if (answer.kind !== 'result') return undefined;
  const seconds: unknown = answer.iq.getChild('query', NS.lastActivity)?.attrs.seconds;
  return typeof seconds === 'string' && /^\d{1,10}$/.test(seconds)
    ? now - Math.max(0, Number(seconds) - 1) * 1_000
    : undefined;
}

/** From when on a room is asked, so that it tells the last that is in our log again, if it still knows it. @param since ms since 1970 */
export function askedFrom(since: number, last: Logged | undefined): number {
  return last === undefined ? since : Math.min(since, last.at - CLOCKS_DIFFER);
}
