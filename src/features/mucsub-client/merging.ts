import type { Buffer } from 'node:buffer';
import { findIn, type Mark } from './marks.js';

/** A groupchat message as the client is to have it. */
export interface Said {
  readonly mark: Mark;
  readonly xml: Buffer;
  /** Its place among what is kept of the room; undefined when it is not kept. */
  readonly seq: number | undefined;
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
