import type { Element } from 'ltx';
import { type Frame, StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, serializeElement } from '../../xml/serialize.js';
import type { IqAnswer, SessionIdentity } from '../feature.js';
import type { Reason } from '../reasons.js';
import { type ArchiveResult, readResult } from './archive.js';
import { CatchUp, type CatchUpEnd, type CatchUpFrom } from './catch-up.js';
import { KnownMessages } from './known-messages.js';
import type { ArchiveBounds } from './success.js';

/** What is to be done behind `<success/>`, in this order. */
export interface ArrivalPlan {
  /** Undefined: the archive is not asked for; without `from` it is, in words that cannot be read. */
  readonly archive:
    | { readonly from: CatchUpFrom | undefined; readonly queryId: string | undefined }
    | undefined;
  /** What the server has; undefined for one without an archive. */
  readonly bounds: ArchiveBounds | undefined;
  readonly presence: string | undefined;
  readonly rooms: readonly string[];
}

/** What an arrival needs of the bound session. */
export interface ArrivalSurroundings {
  readonly identity: SessionIdentity;
  readonly now: () => number;
  readonly randomId: () => string;
  /** Asks the account. */
  readonly ask: (payload: string, done: (answer: IqAnswer) => void) => void;
  /** Whether an iq answers a question of ours; one that does has been dealt with. */
  readonly answers: (frame: Frame) => boolean;
  /** A stanza of ours for the client. */
  readonly give: (xml: string, reason: Reason) => void;
  /** Whether the client is not to see a message of the archive. @param message with its envelope */
  readonly isHidden: (message: Element) => boolean;
  /** A stanza that the client has left with us. */
  readonly send: (xml: string) => void;
  /** The next stanza of the server's, by its place, goes on to the client; with none it has been used up. */
  readonly pass: (frame: Frame | undefined) => void;
  readonly duplicate: () => void;
  /** Everything that was waited for has come. */
  readonly settled: () => void;
  readonly wakeAt: (time: number) => void;
}

/** Stanzas that may wait, used ones between them included: until they have gone on, the server is told of none of them. */
const MOST_WAITING = 1_000;
const MOST_BYTES = 1024 * 1024;
/** The archive has so long; ms. */
const READING_TIME = 60_000;
/** Offline messages come soon behind the first presence; ms. */
const OFFLINE_TIME = 60_000;

/**
 * The start of a session behind `<success/>`: the archive first, live stanzas behind it, then presence and rooms. Nothing comes twice,
 * and nothing falls between the archive and what is live: copies are on before the archive is asked, and what comes meanwhile waits.
 */
export class Arrival {
  /** `reading`: stanzas wait. `settling`: they flow, and what is known already is taken out. */
  #phase: 'reading' | 'settling' | 'over' = 'reading';
  /** Of a stanza that was used up only the place is kept. */
  #waiting: (Frame | undefined)[] = [];
  #bytes = 0;
  readonly #known: KnownMessages;
  #catchUp: CatchUp | undefined;
  #end: CatchUpEnd | undefined;
  /** The last id that the client has been given, and its time. */
  #last: string | undefined;
  #lastTimestamp = '';
  #taking = false;
  #sent = false;
  #entered = false;
  #greeted = false;

  constructor(
    private readonly plan: ArrivalPlan,
    private readonly around: ArrivalSurroundings,
  ) {
    this.#known = new KnownMessages(around.identity.bare);
  }

  /** Live stanzas are waiting for the archive. */
  get reading(): boolean {
    return this.#phase === 'reading';
  }

  get over(): boolean {
    return this.#phase === 'over';
  }

  begin(): void {
    const { archive, bounds } = this.plan;
    if (archive === undefined) this.#flow();
    else if (bounds === undefined || archive.from === undefined) {
      this.#mark(false);
      this.#flow();
    } else {
      this.#read(archive.from);
    }
  }

  #read(from: CatchUpFrom): void {
    this.#phase = 'reading';
    this.#end = undefined;
    this.around.wakeAt(this.around.now() + READING_TIME);
    this.#catchUp = new CatchUp(from, {
      ask: this.around.ask,
      randomId: this.around.randomId,
      give: (result) => this.#give(result),
      over: (end) => {
        this.#end = end;
        this.#last = end.last ?? this.#last;
        if (end.lastTimestamp !== '') this.#lastTimestamp = end.lastTimestamp;
        if (!this.#taking) this.#settle();
      },
    });
    this.#catchUp.begin();
  }

  /** A stanza from the server. @returns false when it goes its ordinary way */
  takes(frame: Frame): boolean {
    if (this.#phase === 'over') return false;
    const result = readResult(frame, this.around.identity);
    if (this.#phase === 'settling') {
      if (result !== undefined && this.#catchUp?.takes(result) === true) this.around.pass(undefined);
      else if (this.#isKnown(frame)) this.#drop();
      else return false;
      return true;
    }
    this.#taking = true;
    if ((result !== undefined && this.#catchUp?.takes(result) === true) || this.around.answers(frame))
      this.#used();
    else this.#wait(frame);
    this.#taking = false;
    this.#settle();
    return true;
  }

  /** A stanza of the server's could not be read. @returns false when its place is to be counted at once */
  loses(): boolean {
    if (this.#phase !== 'reading') return false;
    this.#used();
    return true;
  }

  /**
   * The client's first presence has gone out. What came between the end of the archive and this may have gone nowhere: a server need not
   * deliver offline messages to who has asked the archive (XEP-0313 §8.1.1), and Prosody does not. So the archive is asked once more.
   */
  greeted(): void {
    if (this.#greeted) return;
    this.#greeted = true;
    if (this.#phase !== 'settling') return;
    if (this.#end?.complete === true) this.#read(this.#whereItEnds);
    else this.around.wakeAt(this.around.now() + OFFLINE_TIME);
  }

  get #whereItEnds(): CatchUpFrom {
    return this.#last === undefined ? this.plan.archive!.from! : { after: this.#last };
  }

  /** Whether a message that waited elsewhere has come out of the archive. @param keys see `messageKeys` */
  knows(keys: readonly string[]): boolean {
    return this.#known.hasAny(keys);
  }

  /** The time that was asked for has come. */
  wake(): void {
    if (this.#phase === 'reading') this.#catchUp?.giveUp();
    else this.#phase = 'over';
  }

  #give(result: ArchiveResult): void {
    // It comes to whom it is for in another way, and is not known by this.
    if (this.around.isHidden(result.stanza)) return;
    if (!this.#known.notes(result)) return;
    const { queryId } = this.plan.archive!;
    if (queryId === undefined) delete result.result.attrs.queryid;
    else result.result.attrs.queryid = queryId;
    this.around.give(serializeElement(result.stanza), 'archive-message');
  }

  #wait(frame: Frame): void {
    this.#waiting.push(frame.detach());
    this.#bytes += frame.end - frame.start;
    this.#keepBounds();
  }

  /** It counts at its place: behind what waits, it waits too. */
  #used(): void {
    if (this.#waiting.length === 0) this.around.pass(undefined);
    else this.#waiting.push(undefined);
    this.#keepBounds();
  }

  #keepBounds(): void {
    if (this.#waiting.length > MOST_WAITING || this.#bytes > MOST_BYTES) this.#catchUp?.giveUp();
  }

  #settle(): void {
    const end = this.#end;
    if (this.#phase !== 'reading' || end === undefined) return;
    const { archive, bounds, presence } = this.plan;
    if (presence !== undefined && !this.#sent) {
      this.#sent = true;
      // `greeted` has nothing to do for this one: its round begins here.
      this.#greeted = true;
      this.around.send(presence);
      if (end.complete) {
        this.#read(this.#whereItEnds);
        return;
      }
    }
    if (end.complete && archive?.from?.after !== undefined)
      this.#known.isComplete(
        this.#lastTimestamp !== '' ? this.#lastTimestamp : (bounds?.end?.timestamp ?? ''),
      );
    this.#mark(end.complete);
    this.#flow();
  }

  /** What has waited goes on, then presence and rooms. */
  #flow(): void {
    this.#phase = 'settling';
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const frame of waiting) {
      if (frame !== undefined && this.#isKnown(frame)) this.#drop();
      else this.around.pass(frame);
    }
    if (!this.#sent && this.plan.presence !== undefined) this.around.send(this.plan.presence);
    this.#sent = true;
    if (!this.#entered) for (const room of this.plan.rooms) this.around.send(room);
    this.#entered = true;
    this.around.settled();
    if (this.#catchUp === undefined) this.#phase = 'over';
    else this.around.wakeAt(this.#greeted ? this.around.now() + OFFLINE_TIME : Number.POSITIVE_INFINITY);
  }

  #isKnown(frame: Frame): boolean {
    return frame.kind === StanzaKind.Message && this.#catchUp !== undefined && this.#known.hasOrNotes(frame);
  }

  #drop(): void {
    this.around.duplicate();
    this.around.pass(undefined);
  }

  /** Tells the client where it stands: everything behind this is live. */
  #mark(complete: boolean): void {
    const last = this.#last;
    const { bare, full } = this.around.identity;
    const at = last === undefined ? '' : ` last='${escapeAttribute(last)}'`;
    const synced = `<synced xmlns='${NS.sessionStart}'${at}${complete ? '' : " gap='true'"}/>`;
    const to = escapeAttribute(full);
    this.around.give(
      `<message from='${escapeAttribute(bare)}' to='${to}'>${synced}</message>`,
      'archive-mark',
    );
  }
}
