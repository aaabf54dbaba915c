import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { parseTime } from '../../xml/times.js';

/** What a client wants of a room's history at the most (XEP-0045 §7.2.14). */
export interface HistoryLimits {
  readonly maxchars?: number;
  readonly maxstanzas?: number;
  /** Only what was said in so many seconds before now. */
  readonly seconds?: number;
  /** Only what was said since then; ms since 1970. */
  readonly since?: number;
}

/** The limits in a client's join. @param x `<x xmlns='http://jabber.org/protocol/muc'/>` */
export function readLimits(x: Element | undefined): HistoryLimits {
  const { attrs } = x?.getChild('history') ?? {};
  const number = (name: string): Record<string, number> => {
    const value = Number.parseInt(String(attrs?.[name] ?? ''), 10);
    return value >= 0 ? { [name]: value } : {};
  };
  const since = parseTime(String(attrs?.since ?? ''));
  return {
    ...number('maxchars'),
    ...number('maxstanzas'),
    ...number('seconds'),
    ...(!Number.isNaN(since) && { since }),
  };
}

/** Whether a client wants no history at all. */
export function wantsNone({ maxchars, maxstanzas, seconds }: HistoryLimits): boolean {
  return maxchars === 0 || maxstanzas === 0 || seconds === 0;
}

/**
 * The newest of some messages, oldest first, that keep to all limits.
 * @param now ms since 1970
 * @param timeOf when a message was said; NaN: now
 */
export function withinLimits<T extends { readonly xml: Buffer }>(
  messages: readonly T[],
  {
    maxstanzas = Number.POSITIVE_INFINITY,
    maxchars = Number.POSITIVE_INFINITY,
    seconds,
    since,
  }: HistoryLimits,
  now: number,
  timeOf: (message: T) => number,
): readonly T[] {
  const oldest = Math.max(
    since ?? Number.NEGATIVE_INFINITY,
    seconds === undefined ? Number.NEGATIVE_INFINITY : now - seconds * 1_000,
  );
  let characters = 0;
  let at = messages.length;
  while (at > 0 && messages.length - at < maxstanzas) {
    const message = messages[at - 1]!;
    // Characters of the whole stanza, as the specification counts.
    characters += message.xml.toString('utf8').length;
    if (characters > maxchars || timeOf(message) < oldest) break;
    at--;
  }
  return messages.slice(at);
}
