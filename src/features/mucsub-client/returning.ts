import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { type HistoryLimits, withinLimits } from '../../knowledge/rooms/history-limits.js';
import type { FeatureContext } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { Splice } from '../../xml/splice.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { ArchiveReading } from './archive.js';
import { type AccountBook, TRAIL } from './book.js';
import type { Handing } from './handing.js';
import { inOrder } from './kept.js';
import { anchorIn, isSame, type Mark, markOf } from './marks.js';
import { type Merged, merge, type Said } from './merging.js';
import { readKept } from './records.js';
import type { RoomFeatureQuestions } from './room-features.js';
import type { Settings } from './settings.js';
import { isSubject } from './showing.js';
import { delayOf } from './times.js';

/** What a room says while a client comes back is held up to so many bytes. */
const MOST_HELD = 2 * 1024 * 1024;
/** A room's stamp may lie so many ms before the time at which the same message was shown. */
const TIMES_DIFFER = 10_000;
/** How often what is kept is looked up in the store, should it change meanwhile. */
const MOST_LOADS = 3;

/** What a return needs of the session around it. */
export interface Surroundings {
  readonly context: FeatureContext;
  readonly book: AccountBook;
  readonly settings: Settings;
  readonly features: RoomFeatureQuestions;
  readonly handing: Handing;
  /** Under which it is remembered what the client has had. */
  readonly name: string | undefined;
  /** It is known what there is of the account, and what the client has had. */
  readonly isReady: () => boolean;
  /** Whether the client has had a message out of the room's archive in this session. */
  readonly hasFetched: (room: string, id: string) => boolean;
  /** Passes on what was said while the client was being told what was before. */
  readonly live: (room: string, message: Element, bytes: Buffer) => void;
  /** It is over. @param isBehind the room had not told all by then */
  readonly done: (room: string, isBehind: boolean) => void;
}

/**
 * A client comes back to a room: what the room tells it is held until it is known what of it the client has had, and then the client is told what it has
 * missed: once, in order, in place of the history.
 */
export class Return {
  #state: 'entering' | 'in' | 'archive' | 'kept' | 'over';
  readonly #history: Said[] = [];
  /** Said since the client is in. */
  readonly #live: { readonly mark: Mark; readonly tree: Element; readonly bytes: Buffer }[] = [];
  #subject: Buffer | undefined;
  /** The room has told all that is before. */
  #ended: boolean;
  /** It was not waited for that. */
  #isBehind = false;
  #bytes = 0;
  #archive: ArchiveReading | undefined;
  #conversation: Said[] = [];
  #loads = 0;

  readonly room: string;
  readonly #limits: HistoryLimits;

  /** @param record how far it is */
  constructor(
    private readonly around: Surroundings,
    { room, limits, stage, subject }: ReturnRecord,
  ) {
    this.room = room;
    this.#limits = limits;
    this.#state = stage === 'entering' ? 'entering' : 'in';
    this.#ended = stage === undefined;
    this.#subject = subject === undefined ? undefined : Buffer.from(subject);
  }

  /** The room has let it in. */
  isIn(): void {
    if (this.#state === 'entering') this.#state = 'in';
    this.proceed();
  }

  /** A groupchat message of the room's, which is held. @param bytes the holder's own */
  holds(tree: Element, bytes: Buffer): void {
    this.#bytes += bytes.length;
    const delay = delayOf(tree, this.room);
    // It may be long until somebody is told.
    const mark = markOf(tree, this.room, delay?.at ?? this.around.context.wallClock());
    if (isSubject(tree)) {
      if (delay !== undefined || this.#state !== 'entering') {
        this.#subject = bytes;
        this.#ended = true;
      } else this.#live.push({ mark, tree, bytes });
    } else if (delay === undefined || this.#isBehind) this.#live.push({ mark, tree, bytes });
    else this.#history.push({ mark, xml: bytes, seq: undefined });
    if (this.#bytes > MOST_HELD) this.hurry();
    else this.proceed();
  }

  /** @param message with a `<result/>` from the room's bare JID @returns whether it is the answer to a question of this */
  takes(message: Element): boolean {
    return this.#archive?.takes(message) === true;
  }

  /** It has taken long enough: goes on with what there is. */
  hurry(): void {
    if (this.#state === 'entering' || this.#state === 'over') return;
    this.#isBehind ||= !this.#ended;
    this.#ended = true;
    if (this.#state === 'in') this.proceed();
    else if (this.#state === 'archive') this.#archiveIsRead();
    else this.#finish([]);
  }

  /** The room has not answered. */
  giveUp(): void {
    if (this.#state === 'entering') this.breakOff(false);
  }

  /** To be called when something may have become known. */
  proceed(): void {
    const { settings, context, features, handing, isReady } = this.around;
    if (this.#state !== 'in' || !this.#ended || !isReady()) return;
    this.#state = 'archive';
    const seen = handing.standing(this.room);
    // Who is new here is told what is kept, in which there may be gaps: after a kill some of it is in the archive alone.
    const isNew = seen === undefined || seen.isNew === true;
    const [first] = isNew ? this.#missing() : [];
    const isGap =
      first !== undefined ||
      (!isNew &&
        anchorIn(
          this.#history.map(({ mark }) => mark),
          seen.trail,
        ) === -1);
    if (!isGap || settings.archiveMessages === 0 || !this.#wantsMore()) {
      this.#archiveIsRead();
      return;
    }
    features.ask(this.room, (known) => {
      if (this.#state !== 'archive') return;
      if (known?.archive !== true) {
        this.#archiveIsRead();
        return;
      }
      const last = first?.mark ?? seen?.trail.at(-1);
      // Who has had nothing is told nothing of before.
      const since = last === undefined ? seen!.at : last.at - TIMES_DIFFER;
      const place = { room: this.room, lastId: last?.id, since };
      this.#archive = new ArchiveReading(context, place, settings.archiveMessages, () =>
        this.#archiveIsRead(),
      );
      this.#archive.begin();
    });
  }

  /** Whether the client wants more than the room's history has. */
  #wantsMore(): boolean {
    const { maxstanzas } = this.#limits;
    return maxstanzas === undefined || maxstanzas > this.#history.length;
  }

  #archiveIsRead(): void {
    if (this.#state !== 'archive') return;
    this.#state = 'kept';
    const found = this.#archive?.found ?? [];
    this.#conversation = merge(found, this.#history).map(({ said }) => said);
    this.#lookUp([]);
  }

  /** What is kept of what the client has not had. */
  #missing() {
    const { book, handing } = this.around;
    const seen = handing.standing(this.room);
    // Who is new here has missed what everybody has missed.
    const from = seen?.seq ?? book.commonSeq(this.room, this.around.name);
    const { settings, context, name } = this.around;
    const oldest = context.wallClock() - settings.keepSeconds * 1_000;
    return inOrder(book.room(this.room)?.kept ?? []).filter(
      ({ seq, only, mark }) => seq > from && mark.at >= oldest && (only === undefined || only === name),
    );
  }

  #lookUp(loaded: readonly Said[]): void {
    const { book, context } = this.around;
    const isThere = new Set(loaded.map(({ seq }) => seq));
    const open = this.#missing().some(({ seq, xml }) => xml === undefined && !isThere.has(seq));
    if (!open || this.#loads >= MOST_LOADS) {
      this.#finish(loaded);
      return;
    }
    this.#loads += 1;
    context.store.load(book.keptPrefix(this.room), (entries) => {
      if (this.#state !== 'kept') return;
      this.#lookUp(
        entries.flatMap(({ value }) => {
          const kept = readKept(value);
          return kept === undefined ? [] : { mark: kept.mark, xml: Buffer.from(kept.xml), seq: kept.seq };
        }),
      );
    });
  }

  #finish(loaded: readonly Said[]): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    const { around, room } = this;
    const { book, context, handing } = around;
    const seen = handing.standing(room);
    const bySeq = new Map(loaded.map((said) => [said.seq, said]));
    const kept = this.#missing().flatMap(({ seq, mark, xml }): Said[] => {
      const said = xml === undefined ? bySeq.get(seq) : { mark, xml: Buffer.from(xml), seq };
      return said === undefined || seen?.trail.some((each) => isSame(each, mark)) === true ? [] : [said];
    });
    const told = this.#conversation;
    const anchor =
      seen === undefined
        ? -1
        : anchorIn(
            told.map(({ mark }) => mark),
            seen.trail,
          );
    // Said since the client is in, it may stand in the archive too: it is no history, whatever the client wants of that.
    const isLive = (mark: Mark) =>
      this.#live.some((each) => each.mark.id !== undefined && each.mark.id === mark.id);
    const isNew = ({ said, place }: Merged): boolean => {
      if (said.mark.id !== undefined && around.hasFetched(room, said.mark.id)) return false;
      // It is without gaps: if nothing the client has had is in it, all of it is behind that.
      return place === undefined || place > anchor;
    };
    const conversation = merge(kept, told).filter(({ said }) => !isLive(said.mark));
    const missed = conversation.filter(isNew).map(({ said }) => said);
    const given = new Set(withinLimits(missed, this.#limits, context.wallClock(), ({ mark }) => mark.at));
    const upTo = hadUpTo(conversation.map(({ said }) => said.seq));
    for (const [at, { said }] of conversation.entries()) {
      const isGiven = given.has(said);
      if (!isGiven && conversation.length - at > TRAIL) continue;
      if (isGiven) context.send('client', this.#addressed(said.xml), 'mucsub-client-given');
      // What it did not want, or has had, is behind it all the same.
      const xml = isGiven && said.seq === undefined ? said.xml : undefined;
      handing.shows(room, { mark: said.mark, seq: said.seq, upTo: upTo[at], xml, isOurs: isGiven });
    }
    if (this.#subject !== undefined) context.send('client', this.#subject, 'mucsub-client-held');
    handing.shows(room, { seq: book.room(room)?.lastSeq ?? 0, asks: true });
    around.done(room, this.#isBehind);
    for (const { tree, bytes } of this.#live) around.live(room, tree, bytes);
  }

  /** The client has not got in, or is out again: what was said to it is given, or kept for when it is back. */
  breakOff(isOut: boolean): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    const { context, handing } = this.around;
    const { room } = this;
    for (const { mark, bytes } of this.#live) {
      if (isOut) handing.keep(room, mark, bytes, this.around.name);
      else context.send('client', bytes, 'mucsub-client-held');
    }
    this.around.done(room, this.#isBehind);
  }

  /**
   * The session is gone on with by another process: what the room has told is kept until then.
   * @returns what that has to know to give it to the client; undefined: it is over
   */
  suspend(): ReturnRecord | undefined {
    if (this.#state === 'over') return undefined;
    const { handing } = this.around;
    const { room } = this;
    const limits = this.#limits;
    const stage = this.#state === 'entering' ? 'entering' : this.#ended ? undefined : 'in';
    const seen = handing.standing(room);
    const told = merge(this.#archive?.found ?? [], this.#history).map(({ said }) => said);
    const marks = told.map(({ mark }) => mark);
    const anchor = seen === undefined ? -1 : anchorIn(marks, seen.trail);
    for (const { mark, xml } of told.slice(anchor + 1)) handing.keep(room, mark, xml, this.around.name);
    this.breakOff(true);
    const subject = this.#subject?.toString();
    return { room, limits, ...(stage && { stage }), ...(subject !== undefined && { subject }) };
  }

  /** To this resource, whomever it was said to. */
  #addressed(xml: Buffer): Buffer {
    const { context } = this.around;
    const frame = parseStanza(xml, context.namespaces);
    if ('condition' in frame) return xml;
    const { full } = context.identity;
    return frame.to === full ? xml : new Splice(frame).setAttribute('to', full).toBuffer();
  }
}

/**
 * Up to where somebody has had all that is kept who has had it up to each of some messages.
 * @param seqs of the messages, in the order in which he gets them
 */
function hadUpTo(seqs: readonly (number | undefined)[]): (number | undefined)[] {
  const upTo: (number | undefined)[] = [];
  /** The first of those that follow. */
  let open = Number.POSITIVE_INFINITY;
  for (const seq of [...seqs].reverse()) {
    upTo.push(seq === undefined ? undefined : open - 1);
    open = Math.min(open, seq ?? open);
  }
  upTo.reverse();
  let most = 0;
  return upTo.map((limit, at) => {
    most = Math.max(most, seqs[at] ?? 0);
    return limit === undefined ? undefined : Math.min(most, limit);
  });
}

/** How far a return is: when it begins, and when its process ends. */
export interface ReturnRecord {
  readonly room: string;
  readonly limits: HistoryLimits;
  /** `entering`: the room has not let the client in; `in`: it has, and is telling what was before; absent: it has told it. */
  readonly stage?: 'entering' | 'in';
  readonly subject?: string;
}

/** Whether a join is one of a client that asks itself for what it has missed (XEP-0311). */
export function asksByItself(presence: Element): boolean {
  return presence.getChild('presence-session', NS.presenceSession) !== undefined;
}
