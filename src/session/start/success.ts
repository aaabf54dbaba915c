import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';

/** One end of an archive (XEP-0313 §7). */
export interface ArchiveEnd {
  readonly id: string;
  /** XEP-0082 */
  readonly timestamp: string;
}

/** What is in an archive; without ends it is empty. */
export interface ArchiveBounds {
  readonly start: ArchiveEnd | undefined;
  readonly end: ArchiveEnd | undefined;
}

/** `<success/>` up to the place where the identity has been said (XEP-0388 §2.7.1). */
export function successHead(additional: string, jid: string): string {
  return `<success xmlns='${NS.sasl2}'>${additional}<authorization-identifier>${escapeText(jid)}</authorization-identifier>`;
}

export const SUCCESS_END = '</success>';

/** `<metadata/>` for `<bound/>` (XEP-0386 §4.2); '' for a server that has no archive. */
export function metadataElement(bounds: ArchiveBounds | undefined): string {
  if (bounds === undefined) return '';
  const end = (name: string, entry: ArchiveEnd | undefined) =>
    entry === undefined
      ? ''
      : `<${name} id='${escapeAttribute(entry.id)}' timestamp='${escapeAttribute(entry.timestamp)}'/>`;
  return `<metadata xmlns='${NS.mam2}'>${end('start', bounds.start)}${end('end', bounds.end)}</metadata>`;
}

/** Says that what was left with us is under way, and whether the archive is part of it. */
export function startedElement(archive: boolean): string {
  return `<session-start xmlns='${NS.sessionStart}' archive='${archive}'/>`;
}
