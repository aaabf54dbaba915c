import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
import { prepareNick } from './nicks.js';
import type { EventName } from './nodes.js';

/** More of a room's occupants are not told apart: their presence counts as news each time. */
const MOST_OCCUPANTS = 5_000;

/** Codes by which a room says that somebody was put out (XEP-0045 §15.6.2). */
const PUT_OUT: readonly string[] = ['301', '307', '321', '322'];

/** What has become of somebody, by role and affiliation; undefined: not there. */
export interface Change {
  /** Prepared; undefined: nobody in the room. */
  readonly nick: string | undefined;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** Of somebody who is not in the room. */
export const ABSENT: Change = { nick: undefined, before: undefined, after: undefined };

export interface OccupantChange extends Change {
  /** Which events it is. */
  readonly events: readonly EventName[];
}

/** Role and affiliation of those in a room, kept for as long as somebody has subscribed to what comes of them. */
export class Occupants {
  readonly #standing = new Map<string, string>();

  has(nick: string): boolean {
    return this.#standing.has(nick);
  }

  /** Takes in the presence of somebody else. */
  take(nick: string, presence: Element): OccupantChange {
    const before = this.#standing.get(nick);
    const events = this.#eventsOf(nick, presence, before);
    return { nick, before, after: this.#standing.get(nick), events };
  }

  #eventsOf(nick: string, presence: Element, before: string | undefined): readonly EventName[] {
    const x = presence.getChildren('x', NS.mucUser).at(-1);
    const item = x?.getChild('item');
    if (presence.attrs.type === 'unavailable') {
      this.#standing.delete(nick);
      const codes = x?.getChildren('status').map(({ attrs }) => String(attrs.code)) ?? [];
      if (codes.some((code) => PUT_OUT.includes(code))) return ['affiliations', 'participants'];
      if (!codes.includes('303')) return ['presence', 'participants'];
      // Who takes another nick is no new participant.
      const next = prepareNick(String(item?.attrs.nick ?? ''));
      if (next !== undefined) this.#note(next, standingOf(item));
      return ['presence'];
    }
    const standing = standingOf(item);
    this.#note(nick, standing);
    if (before === undefined) return ['presence', 'participants'];
    return before === standing ? ['presence'] : ['affiliations'];
  }

  #note(nick: string, standing: string): void {
    if (this.#standing.size < MOST_OCCUPANTS || this.#standing.has(nick)) this.#standing.set(nick, standing);
  }
}

function standingOf(item: Element | undefined): string {
  return `${item?.attrs.role} ${item?.attrs.affiliation}`;
}
