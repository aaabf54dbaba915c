import type { FeatureContext, IqAnswer } from '../../session/feature.js';
import { pageQuery, readPageEnd } from '../../session/start/archive.js';
import { writeTime } from '../../xml/times.js';

/** Where in a room's archive a session has stopped. */
export interface ArchivePlace {
  readonly room: string;
  /** Of the last message that it has; undefined: not known. */
  readonly lastId: string | undefined;
  /** When that was; ms since 1970. */
  readonly since: number;
}

/** Messages of one page at the most. */
export const PAGE = 100;

/** Asks for what a room's archive has behind some place, page by page (XEP-0313 §3.3, XEP-0059 §2.2): by the last message, else by time. */
export class ArchivePages {
  /** Stands in each result of these pages. */
  readonly queryId: string;
  #pages = 0;
  #byTime: boolean;
  /** The connection was lost before there was an answer, to the question what is behind this. */
  #unanswered: { readonly after: string | undefined } | undefined;

  /**
   * @param most how much the next page may have after so many pages; 0: no more is wanted
   * @param done @param complete false: there is more, or the archive cannot be read
   * @param isPatient a connection that is lost is waited for, until `askAgain`
   */
  constructor(
    private readonly context: FeatureContext,
    private readonly place: ArchivePlace,
    private readonly most: (pages: number) => number,
    private readonly done: (complete: boolean) => void,
    private readonly isPatient = false,
  ) {
    this.queryId = context.randomId();
    this.#byTime = place.lastId === undefined;
  }

  begin(): void {
    this.#ask(this.place.lastId);
  }

  #ask(after: string | undefined): void {
    const { room, since } = this.place;
    const payload = pageQuery({
      queryId: this.queryId,
      most: this.most(this.#pages),
      after,
      since: this.#byTime ? writeTime(since) : undefined,
    });
    this.#pages += 1;
    this.context.request({ leg: 'server', type: 'set', to: room, payload }, (answer) =>
      this.#answered(answer, after),
    );
  }

  /** The server's stream is there again: the page that was lost is asked for once more. */
  askAgain(): void {
    const unanswered = this.#unanswered;
    if (unanswered === undefined) return;
    this.#unanswered = undefined;
    this.#pages -= 1;
    this.#ask(unanswered.after);
  }

  #answered(answer: IqAnswer, after: string | undefined): void {
    if (answer.kind === 'leg-lost' && this.isPatient) {
      this.#unanswered = { after };
      return;
    }
    const page = answer.kind === 'result' ? readPageEnd(answer.iq) : undefined;
    if (page === undefined) {
      // The archive may not have that message any more.
      if (answer.kind === 'error' && answer.condition === 'item-not-found' && !this.#byTime) {
        this.#byTime = true;
        this.#ask(undefined);
      } else this.done(false);
      return;
    }
    const isComplete = page.complete || page.last === undefined;
    if (isComplete || this.most(this.#pages) === 0) this.done(isComplete);
    else this.#ask(page.last);
  }
}
