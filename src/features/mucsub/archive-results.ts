import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';

/** One message out of an archive (XEP-0313 §4.2). */
export interface ArchiveResult {
  /** Whose archive it is. */
  readonly from: string;
  readonly to: string;
  /** By which the client knows its question. */
  readonly queryId: string | undefined;
  readonly id: string;
  /** When it was said; undefined: nobody knows. */
  readonly stamp: string | undefined;
}

/** @param message as it is archived, with its namespace */
export function archiveResult({ from, to, queryId, id, stamp }: ArchiveResult, message: string): string {
  const name = queryId === undefined ? '' : ` queryid='${escapeAttribute(queryId)}'`;
  const delay = stamp === undefined ? '' : `<delay xmlns='${NS.delay}' stamp='${escapeAttribute(stamp)}'/>`;
  return (
    `<message from='${escapeAttribute(from)}' to='${escapeAttribute(to)}'>` +
    `<result xmlns='${NS.mam2}'${name} id='${escapeAttribute(id)}'><forwarded xmlns='${NS.forward0}'>` +
    `${delay}${message}</forwarded></result></message>`
  );
}

/** An event as it is archived. */
export function archivedEvent(event: Buffer): string {
  return event.toString().replace('<message', `<message xmlns='${NS.client}'`);
}
