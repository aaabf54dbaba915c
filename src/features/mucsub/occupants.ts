import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
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
      return codes.includes('303') ? ['presence'] : ['presence', 'participants'];
    }
    const standing = `${item?.attrs.role} ${item?.attrs.affiliation}`;
    if (this.#standing.size < MOST_OCCUPANTS || before !== undefined) this.#standing.set(nick, standing);
    if (before === undefined) return ['presence', 'participants'];
    return before === standing ? ['presence'] : ['affiliations'];
  }

  clear(): void {
    this.#standing.clear();
  }
}
