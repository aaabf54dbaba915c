import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
import { parseTime } from '../../xml/times.js';

/** Since when a stanza has waited by its own word (XEP-0203); ms since 1970, NaN when it says nothing. */
export function stampOf(stanza: Element): number {
  const { stamp } = (stanza.getChild('delay', NS.delay)?.attrs ?? {}) as { stamp?: string };
  return stamp === undefined ? Number.NaN : parseTime(stamp);
}
