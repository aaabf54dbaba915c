import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { FeatureContext } from '../../session/feature.js';
import { Splice } from '../../xml/splice.js';
import { parseStanza } from '../../xml/tokenizer.js';
import type { AccountBook } from './book.js';
import { isOfUse } from './conversion.js';
import type { Handed, Handing } from './handing.js';
import { type Mark, markOf } from './marks.js';
import type { RoomFeatureQuestions } from './room-features.js';
import type { Settings } from './settings.js';
import { delayOf } from './times.js';

/** It says what the room is about, which is no message (XEP-0045 §8.1). */
export function isSubject(message: Element): boolean {
  return message.getChild('body') === undefined && message.getChild('subject') !== undefined;
}

/** What the client of one session is shown of rooms. */
export class Showing {
  /** The client has no connection. */
  isAway = false;
  /** What the process before had on its way, as far as the server sends it again. */
  resent: Handed[] = [];

  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly settings: Settings,
    private readonly features: RoomFeatureQuestions,
    private readonly handing: Handing,
    /** Under which it is remembered what the client has had. */
    private readonly name: string | undefined,
  ) {}

  /** Sends a message of the room's that was held. */
  passes(room: string, tree: Element, bytes: Buffer): void {
    this.context.send('client', bytes, 'mucsub-client-held');
    this.shown(room, tree, bytes, true);
  }

  /** The client is being shown a message. @param bytes not to be kept as they are @param isOurs the server takes it for delivered */
  shown(room: string, tree: Element, bytes: Buffer, isOurs = false): void {
    if (isSubject(tree)) return;
    const mark = markOf(tree, room, delayOf(tree, room)?.at ?? this.context.wallClock());
    const again = this.#sentAgain(room, mark);
    if (again !== undefined) {
      const xml = again.seq === undefined ? Buffer.from(bytes) : undefined;
      this.handing.shows(room, { ...again, xml, isOurs, asks: true });
      return;
    }
    if (this.handing.has(room, mark)) return;
    const isForOthers = this.isAway || this.hasAbsent(room);
    const seq = isForOthers && isOfUse(tree) ? this.handing.keep(room, mark, bytes) : undefined;
    const copy = seq === undefined ? Buffer.from(bytes) : undefined;
    this.handing.shows(room, { mark, seq, xml: copy, isOurs, asks: true });
  }

  /** Whether the client has had a message, or it is on its way to it, by the id that the room gives it. */
  hasHad(room: string, tree: Element): boolean {
    const mark = markOf(tree, room, this.context.wallClock());
    return mark.id !== undefined && this.handing.has(room, mark);
  }

  /** A message that the process before had on its way: the server sends it again, and it is known when it was said. */
  #sentAgain(room: string, { id, content }: Mark): Pick<Handed, 'mark' | 'seq'> | undefined {
    const at = this.resent.findIndex(
      ({ room: other, mark }) =>
        other === room &&
        mark !== undefined &&
        (mark.id === undefined ? mark.content === content : mark.id === id),
    );
    const [again] = at === -1 ? [] : this.resent.splice(at, 1);
    return again === undefined ? undefined : { mark: again.mark, seq: again.seq };
  }

  /** Other devices of the account's have to be told later what is said now, and the room could not tell them. */
  hasAbsent(room: string): boolean {
    if (this.settings.archiveMessages > 0 && this.features.known(room)?.archive === true) return false;
    const since = this.context.wallClock() - this.settings.absenceSeconds * 1_000;
    return this.book.isOurs(room) && this.book.lags(room, this.name, since);
  }

  /** Gives the client a message of ours. @param xml as it is kept @param seq its place, where it is kept @param upTo see `handing.ts` */
  give(room: string, mark: Mark, xml: Buffer, seq: number | undefined, upTo?: number): void {
    const frame = parseStanza(xml, this.context.namespaces);
    if ('condition' in frame) return;
    const { full } = this.context.identity;
    const bytes = frame.to === full ? xml : new Splice(frame).setAttribute('to', full).toBuffer();
    this.context.send('client', bytes, 'mucsub-client-given');
    const isKept = seq !== undefined;
    this.handing.shows(room, { mark, seq, upTo, xml: isKept ? undefined : xml, isOurs: true, asks: true });
  }
}
