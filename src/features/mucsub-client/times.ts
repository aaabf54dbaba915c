import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';

/** @returns ms since 1970; NaN for what is no time (XEP-0082) */
export function parseTime(text: string): number {
  // biome-ignore lint/style/noRestrictedGlobals: it reads a time that has come in
  return Date.parse(text);
}

/** @param ms since 1970 */
export function writeTime(ms: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: it spells out a time that has come in
  return new Date(ms).toISOString();
}

/** Since when a stanza has waited by its own word (XEP-0203); ms since 1970, NaN when it says nothing. */
export function stampOf(stanza: Element): number {
  const { stamp } = (stanza.getChild('delay', NS.delay)?.attrs ?? {}) as { stamp?: string };
  return stamp === undefined ? Number.NaN : parseTime(stamp);
}
