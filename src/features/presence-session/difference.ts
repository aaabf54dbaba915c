import type { Said } from './occupants.js';
import type { Departure, View } from './view.js';

/** An occupant as the room says it is, by the digest of a certain view. */
export interface Standing extends Said {
  readonly nick: string;
  /** In that view; -1 if it does not know the occupant. */
  readonly row: number;
}

/** What somebody has to be told who has had the stanzas of a view up to a certain one. */
export interface Difference<T> {
  /** In the order in which they are to be told. */
  readonly left: readonly Departure[];
  readonly changed: readonly T[];
  /** Nicks that the view knows and that are not there, whether they are to be told of or not. */
  readonly absent: readonly string[];
}

/**
 * Between what `view` has shown up to stanza `id` and what the room says now.
 * @param id not below the view's floor
 * @param now the room's answer to a join: all that are in it, the session itself excluded, by the digest of this view
 * @param except the session's own nick, which is told of in any case
 */
export function difference<T extends Standing>(
  view: View,
  id: number,
  now: readonly T[],
  except: string,
): Difference<T> {
  const { occupants } = view;
  const seen = new Uint8Array(occupants.size);
  const changed: T[] = [];
  const back = new Set<string>();
  const mayBeBack = new Set(view.departures.map(({ nick }) => nick));
  for (const occupant of now) {
    const { row, lo, hi, flags } = occupant;
    if (row >= 0) seen[row] = 1;
    if (row < 0 || !occupants.says(row, lo, hi, flags) || occupants.changed(row) > id) changed.push(occupant);
    if (mayBeBack.size > 0 && mayBeBack.has(occupant.nick)) back.add(occupant.nick);
  }
  const left = departuresAfter(view, id).filter(({ nick }) => nick !== except && !back.has(nick));
  const absent: string[] = [];
  for (let row = 0; row < seen.length; row++) {
    if (seen[row] === 1) continue;
    const nick = occupants.nick(row);
    absent.push(nick);
    if (nick === except || nick === '' || occupants.appeared(row) > id) continue;
    left.push({ nick, flags: occupants.flags(row), appeared: 0, id: 0 });
  }
  return { left, changed, absent };
}

/** The same while the session is in the room, so that the view is what the room says now: rows of the occupants to be told of. */
export function liveDifference(view: View, id: number, except: string): Difference<number> {
  const { occupants } = view;
  const changed: number[] = [];
  for (let row = 0; row < occupants.size; row++) {
    if (occupants.changed(row) > id && occupants.nick(row) !== except) changed.push(row);
  }
  changed.sort((a, b) => occupants.changed(a) - occupants.changed(b));
  const left = departuresAfter(view, id).filter(({ nick }) => nick !== except && occupants.find(nick) < 0);
  return { left, changed, absent: [] };
}

/** Those who were there at stanza `id` and have been said to be gone since; each once. */
function departuresAfter(view: View, id: number): Departure[] {
  const left = new Map<string, Departure>();
  for (const departure of view.departures) {
    if (departure.id <= id) continue;
    // Somebody who had come and gone in between is nobody's business; whoever was there at `id` stays on the list.
    if (departure.appeared <= id && departure.nick !== '') left.set(departure.nick, departure);
  }
  return [...left.values()];
}
