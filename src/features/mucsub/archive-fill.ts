import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { IqAnswer } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { escapeText, serializeElement } from '../../xml/serialize.js';
import { stampOf } from './presences.js';
import type { Surroundings } from './surroundings.js';

/** Messages asked for at a time, and how often at most. */
const PAGE = 100;
const MOST_PAGES = 50;
/** What comes from the room meanwhile waits, up to so many stanzas. */
export const MOST_WAITING = 1_000;

/** A message out of a room's archive. */
export interface Archived {
  readonly id: string;
  /** When it was said, as the archive writes it. */
  readonly stamp: string | undefined;
  readonly bytes: Buffer;
}

/** Asks a room's archive for what an account has missed (XEP-0313), page by page. What the room sends meanwhile is put behind that. */
export class ArchiveFill {
  readonly queryId: string;
  /** Live stanzas that wait. */
  readonly waiting: Buffer[] = [];
  #pages = 0;
  #byTime: boolean;

  constructor(
    private readonly around: Surroundings,
    private readonly room: string,
    /** ms since 1970 */
    private readonly since: number,
    /** Of the last message that was heard: what is behind that was missed, and nothing else. */
    private readonly lastId: string | undefined,
    /** @param complete false: there is more, or the archive cannot be read */
    private readonly done: (complete: boolean) => void,
  ) {
    this.queryId = around.context.randomId();
    this.#byTime = lastId === undefined;
  }

  begin(): void {
    this.#ask(this.lastId);
  }

  #ask(after: string | undefined): void {
    this.#pages += 1;
    const field = (name: string, value: string, type = '') =>
      `<field var='${name}'${type}><value>${escapeText(value)}</value></field>`;
    const start = this.#byTime ? field('start', stampOf(this.since)) : '';
    const form = field('FORM_TYPE', NS.mam2, " type='hidden'") + start;
    const from = after === undefined ? '' : `<after>${escapeText(after)}</after>`;
    const payload =
      `<query xmlns='${NS.mam2}' queryid='${this.queryId}'><x xmlns='${NS.dataForms}' type='submit'>${form}</x>` +
      `<set xmlns='${NS.resultSets}'><max>${PAGE}</max>${from}</set></query>`;
    this.around.context.request({ leg: 'server', type: 'set', to: this.room, payload }, (answer) =>
      this.#answered(answer),
    );
  }

  #answered(answer: IqAnswer): void {
    const fin = answer.kind === 'result' ? answer.iq.getChild('fin', NS.mam2) : undefined;
    if (fin === undefined) {
      // The archive may not have that message any more.
      if (answer.kind === 'error' && answer.condition === 'item-not-found' && !this.#byTime) {
        this.#byTime = true;
        this.#ask(undefined);
      } else this.done(false);
      return;
    }
    const last = fin.getChild('set', NS.resultSets)?.getChildText('last');
    const isComplete = fin.attrs.complete === 'true' || last === null || last === undefined || last === '';
    if (isComplete || this.#pages >= MOST_PAGES) this.done(isComplete);
    else this.#ask(last);
  }

  /** A message of the room's, if it is one of the results. */
  read(message: Element): Archived | undefined {
    return archivedIn(message, this.queryId);
  }
}

/** What an archive gives as one result of a query. @returns undefined for what is none of this one's */
export function archivedIn(message: Element, queryId: string): Archived | undefined {
  const result = message.getChild('result', NS.mam2);
  if (result?.attrs.queryid !== queryId) return undefined;
  const forwarded = result.getChild('forwarded', NS.forward0);
  const inner = forwarded?.getChildElements().find((child) => child.getName() === 'message');
  const id = String(result.attrs.id ?? '');
  if (inner === undefined || id === '') return undefined;
  inner.attrs.xmlns = NS.client;
  const stamp: unknown = forwarded?.getChild('delay', NS.delay)?.attrs.stamp;
  return {
    id,
    stamp: typeof stamp === 'string' ? stamp : undefined,
    bytes: Buffer.from(serializeElement(inner)),
  };
}
