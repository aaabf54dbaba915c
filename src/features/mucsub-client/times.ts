import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';
import { parseTime } from '../../xml/times.js';

/** Since when a stanza has waited by its own word (XEP-0203); ms since 1970, NaN when it says nothing. */
export function stampOf(stanza: Element): number {
  return stampIn(stanza.getChild('delay', NS.delay));
}

/** That a groupchat message is not of now. */
export interface Delay {
  /** When it was said; ms since 1970. */
  readonly at: number;
  /** By the room: it is history (XEP-0045 §7.2.14). Else it has waited on its way to the client, as the server says that. */
  readonly isHistory: boolean;
}

/** @param room whose message it is, prepared @returns undefined when it does not say that it has waited */
export function delayOf(message: Element, room: string): Delay | undefined {
  const delays = message.getChildren('delay', NS.delay);
  const own = delays.find(({ attrs }) => attrs.from === undefined || prepareJid(bare(attrs.from)) === room);
  const at = stampIn(own ?? delays[0]);
  return Number.isNaN(at) ? undefined : { at, isHistory: own !== undefined };
}

function stampIn(delay: Element | undefined): number {
  const { stamp } = (delay?.attrs ?? {}) as { stamp?: string };
  return stamp === undefined ? Number.NaN : parseTime(stamp);
}
