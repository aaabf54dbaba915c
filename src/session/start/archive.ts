/** What is asked of an archive and what it answers (XEP-0313, XEP-0059), as text and trees. */

import type { Element } from 'ltx';
import { isSameJid } from '../../jid.js';
import { type Frame, StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';
import { frameToElement } from '../../xml/tree.js';
import type { SessionIdentity } from '../feature.js';
import type { ArchiveBounds, ArchiveEnd } from './success.js';

export const METADATA = `<metadata xmlns='${NS.mam2}'/>`;

/** One page of an archive. */
export interface PageQuery {
  readonly queryId: string;
  readonly most: number;
  /** Behind this id; '' is the very beginning. */
  readonly after?: string | undefined;
  /** The newest page instead of the oldest. */
  readonly newest?: boolean;
  /** From this time on (XEP-0082). */
  readonly since?: string | undefined;
}

export function pageQuery(query: PageQuery): string {
  const field = (name: string, value: string, type = '') =>
    `<field var='${name}'${type}><value>${escapeText(value)}</value></field>`;
  const form =
    query.since === undefined
      ? ''
      : `<x xmlns='${NS.dataForms}' type='submit'>${field('FORM_TYPE', NS.mam2, " type='hidden'")}${field('start', query.since)}</x>`;
  const after = query.after === undefined ? '' : `<after>${escapeText(query.after)}</after>`;
  const page = `<max>${query.most}</max>${after}${query.newest === true ? '<before/>' : ''}`;
  return `<query xmlns='${NS.mam2}' queryid='${escapeAttribute(query.queryId)}'>${form}<set xmlns='${NS.resultSets}'>${page}</set></query>`;
}

/** A message out of the archive, in its envelope. */
export interface ArchiveResult {
  readonly queryId: string;
  readonly id: string;
  /** XEP-0082; '' when the archive does not say. */
  readonly timestamp: string;
  /** The archived message. */
  readonly message: Element | undefined;
  /** The whole stanza, the reader's to change. */
  readonly stanza: Element;
  readonly result: Element;
}

/** XEP-0313 §9.2: only the archive that was asked may answer. @returns undefined for every other stanza */
export function readResult(frame: Frame, identity: SessionIdentity): ArchiveResult | undefined {
  if (frame.kind !== StanzaKind.Message || frame.findChild('result', NS.mam2) < 0) return undefined;
  const { from } = frame;
  if (from !== undefined && !isSameJid(from, identity.bare)) return undefined;
  const stanza = frameToElement(frame);
  const result = stanza.getChild('result', NS.mam2);
  if (result === undefined) return undefined;
  const forwarded = result.getChild('forwarded', NS.forward0);
  return {
    queryId: String(result.attrs.queryid ?? ''),
    id: String(result.attrs.id ?? ''),
    timestamp: String(forwarded?.getChild('delay', NS.delay)?.attrs.stamp ?? ''),
    message: forwarded?.getChild('message'),
    stanza,
    result,
  };
}

/** What ends a page. */
export interface PageEnd {
  readonly complete: boolean;
  readonly last: string | undefined;
}

/** @returns undefined for what ends no page */
export function readPageEnd(iq: Element): PageEnd | undefined {
  const fin = iq.getChild('fin', NS.mam2);
  if (fin === undefined) return undefined;
  const { complete } = fin.attrs as Record<string, string | undefined>;
  const last = fin.getChild('set', NS.resultSets)?.getChildText('last')?.trim();
  return { complete: complete === 'true' || complete === '1', last: last === '' ? undefined : last };
}

/** @returns undefined for a server that knows no such request */
export function readMetadata(iq: Element): ArchiveBounds | undefined {
  const metadata = iq.getChild('metadata', NS.mam2);
  if (metadata === undefined) return undefined;
  const end = (name: string): ArchiveEnd | undefined => {
    const { id, timestamp } = (metadata.getChild(name)?.attrs ?? {}) as Record<string, string | undefined>;
    return id === undefined ? undefined : { id, timestamp: timestamp ?? '' };
  };
  return { start: end('start'), end: end('end') };
}
