import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { ArchivePages, type ArchivePlace, PAGE } from '../../knowledge/rooms/archive-pages.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import type { Surroundings } from './surroundings.js';

/** Pages that are asked for at the most. */
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
  /** Live stanzas that wait. */
  readonly waiting: Buffer[] = [];
  readonly #pages: ArchivePages;

  /**
   * @param place of the last message that was heard: what is behind that was missed, and nothing else
   * @param done @param complete false: there is more, or the archive cannot be read
   */
  constructor(around: Surroundings, place: ArchivePlace, done: (complete: boolean) => void) {
    const most = (pages: number) => (pages < MOST_PAGES ? PAGE : 0);
    this.#pages = new ArchivePages(around.context, place, most, done, true);
  }

  begin(): void {
    this.#pages.begin();
  }

  /** The server's stream is there again. What was told of the page before is known by its ids. */
  askAgain(): void {
    this.#pages.askAgain();
  }

  /** A message of the room's, if it is one of the results. */
  read(message: Element): Archived | undefined {
    return archivedIn(message, this.#pages.queryId);
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
