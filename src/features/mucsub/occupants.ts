import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
import { prepareNick } from './nicks.js';
import type { EventName } from './nodes.js';

/** More of a room's occupants are not told apart: their presence counts as news each time. */
const MOST_OCCUPANTS = 5_000;

/** Codes by which a room says that somebody was put out (XEP-0045 §15.6.2). */
const PUT_OUT: readonly string[] = ['301', '307', '321', '322'];

/** Role and affiliation of those in a room, kept for as long as somebody has subscribed to what comes of them. */
export class Occupants {
  readonly #standing = new Map<string, string>();

  /**
   * Takes in the presence of somebody else.
   * @returns which events it is
   */
  take(nick: string, presence: Element): readonly EventName[] {
    const x = presence.getChildren('x', NS.mucUser).at(-1);
    const item = x?.getChild('item');
    const before = this.#standing.get(nick);
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

  clear(): void {
    this.#standing.clear();
  }
}

function standingOf(item: Element | undefined): string {
  return `${item?.attrs.role} ${item?.attrs.affiliation}`;
}
