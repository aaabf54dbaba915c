import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { findIn, type Mark } from './marks.js';
import { parseTime } from './times.js';

/** A groupchat message as the client is to have it. */
export interface Said {
  readonly mark: Mark;
  readonly xml: Buffer;
  /** Its place among what is kept of the room; undefined when it is not kept. */
  readonly seq: number | undefined;
}

/** What a client wants of a room's history at the most (XEP-0045 §7.2.14). */
export interface HistoryLimits {
  readonly maxchars?: number;
  readonly maxstanzas?: number;
  readonly seconds?: number;
  /** ms since 1970 */
  readonly since?: number;
}

/** @param x `<x xmlns='http://jabber.org/protocol/muc'/>` of a join */
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

/** The newest of them that keep to all limits. @param now ms since 1970 */
export function withinLimits(messages: readonly Said[], limits: HistoryLimits, now: number): readonly Said[] {
  const { maxstanzas = Number.POSITIVE_INFINITY, maxchars = Number.POSITIVE_INFINITY } = limits;
  const oldest = Math.max(
    limits.since ?? Number.NEGATIVE_INFINITY,
    limits.seconds === undefined ? Number.NEGATIVE_INFINITY : now - limits.seconds * 1_000,
  );
  let characters = 0;
  let at = messages.length;
  while (at > 0 && messages.length - at < maxstanzas) {
    const { xml, mark } = messages[at - 1]!;
    // Characters of the whole stanza, as the specification counts.
    characters += xml.toString('utf8').length;
    if (characters > maxchars || mark.at < oldest) break;
    at--;
  }
  return messages.slice(at);
}

/** One place in the conversation that comes of what is kept and what the room tells. */
export interface Merged {
  readonly said: Said;
  /** Its place in the room's history; undefined when only we have it. */
  readonly place: number | undefined;
}

/**
 * What is kept of a room and its history, both oldest first, as one conversation in which each message stands once, as the room gives it. Both are in the
 * room's order, so that what both have holds them together; between that, time decides.
 */
export function merge(kept: readonly Said[], history: readonly Said[]): Merged[] {
  const marks = history.map(({ mark }) => mark);
  /** Of what the room tells too, where it is kept. */
  const taken = new Map<number, number | undefined>();
  const out: Merged[] = [];
  let open: Said[] = [];
  let next = 0;
  const upTo = (end: number): void => {
    for (const said of open) {
      while (next < end && history[next]!.mark.at < said.mark.at) tell();
      out.push({ said, place: undefined });
    }
    while (next < end) tell();
    open = [];
  };
  const tell = (): void => {
    const said = history[next]!;
    out.push({ said: taken.has(next) ? { ...said, seq: taken.get(next) } : said, place: next });
    next += 1;
  };
  for (const said of kept) {
    const place = findIn(marks, said.mark, (at) => !taken.has(at));
    if (place === -1) open.push(said);
    else {
      taken.set(place, said.seq);
      if (place >= next) upTo(place);
    }
  }
  upTo(history.length);
  return out;
}
