import type { IqAnswer } from '../feature.js';
import { type ArchiveResult, pageQuery, readPageEnd } from './archive.js';

/** Messages of one page. */
export const PAGE = 100;
/** Beyond so many the client goes on by itself: it is told from where. */
export const MOST_MESSAGES = 2_000;

/** What a catch-up came to. */
export interface CatchUpEnd {
  /** The client has all that the archive has. */
  readonly complete: boolean;
  /** The last id that it was given, if any. */
  readonly last: string | undefined;
  /** When that was archived (XEP-0082); '' if nothing was. */
  readonly lastTimestamp: string;
}

/** From where an archive is to be read. */
export type CatchUpFrom =
  | { readonly after: string; readonly since?: undefined }
  | { readonly since: string; readonly after?: undefined };

/** What a catch-up needs of the session. */
export interface CatchUpSurroundings {
  /** Asks the account's archive. */
  readonly ask: (query: string, done: (answer: IqAnswer) => void) => void;
  readonly randomId: () => string;
  /** A message for the client. */
  readonly give: (result: ArchiveResult) => void;
  readonly over: (end: CatchUpEnd) => void;
}

/** Reads an archive page by page from a known point to its end (XEP-0313 §3.3, XEP-0059 §2.2). */
export class CatchUp {
  #queryId = '';
  #given = 0;
  #onPage = 0;
  #last: string | undefined;
  #lastTimestamp = '';
  #over = false;

  constructor(
    private readonly from: CatchUpFrom,
    private readonly around: CatchUpSurroundings,
  ) {}

  begin(): void {
    this.#ask(this.from.after);
  }

  /** Whether a result answers the query that is open; one that does has been dealt with. */
  takes(result: ArchiveResult): boolean {
    if (this.#queryId === '' || result.queryId !== this.#queryId) return false;
    if (this.#over) return true;
    this.#given += 1;
    this.#onPage += 1;
    if (result.id !== '') {
      this.#last = result.id;
      this.#lastTimestamp = result.timestamp;
    }
    this.around.give(result);
    return true;
  }

  /** No more of it: what the client has been given up to here is what it gets. */
  giveUp(): void {
    this.#end(false);
  }

  #ask(after: string | undefined): void {
    // A new one for each page: what is late belongs to no page any more.
    this.#queryId = this.around.randomId();
    this.#onPage = 0;
    const query = { queryId: this.#queryId, most: PAGE, after, since: this.from.since };
    this.around.ask(pageQuery(query), (answer) => this.#answered(answer));
  }

  #answered(answer: IqAnswer): void {
    if (this.#over) return;
    const page = answer.kind === 'result' ? readPageEnd(answer.iq) : undefined;
    if (page === undefined) this.#end(false);
    // An empty page is the end whatever is said of it: what follows would be asked for in the same words.
    else if (page.complete || this.#onPage === 0) this.#end(true);
    else if (this.#given >= MOST_MESSAGES) this.#end(false);
    else if (page.last === undefined && this.#last === undefined) this.#end(false);
    else this.#ask(page.last ?? this.#last);
  }

  #end(complete: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.around.over({ complete, last: this.#last, lastTimestamp: this.#lastTimestamp });
  }
}
