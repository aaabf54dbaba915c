import { Buffer } from 'node:buffer';
import { NS } from '../../../src/xml/namespaces.js';
import { parseElement } from '../../../src/xml/tree.js';
import { type MemoryRoom, ROOM } from './presence-session-room.js';

/**
 * A room that knows XEP-0311 itself and keeps to its letter: who comes back is told of those who have come, gone, or changed in presence, role or
 * affiliation, and it never begins anew.
 */
export class LetterRoom {
  #id = 0;
  /** Who was there, and how, by the number of the stanza with which it was told. */
  readonly #told = new Map<string, ReadonlyMap<string, string>>();

  constructor(private readonly room: MemoryRoom) {}

  /** A session's way to the room. */
  upstreamFor(full: string) {
    let collected: string[] | undefined;
    return (xml: string, deliver: (xml: string) => void): void => {
      const stanza = parseElement(Buffer.from(xml));
      const [wish] = stanza.getChildren('presence-session', NS.presenceSession);
      if (wish !== undefined) {
        stanza.remove(wish);
        collected = [];
      }
      this.room.receive(full, stanza, (answer) => {
        if (collected !== undefined) collected.push(answer);
        else deliver(answer.startsWith('<iq') ? answer : this.#marked(answer));
      });
      const all = collected ?? [];
      collected = undefined;
      const known = this.#told.get(String(wish?.attrs.id ?? '')) ?? new Map<string, string>();
      for (const nick of known.keys()) {
        if (this.room.occupants.has(nick) || nick === this.room.nickOf(full)) continue;
        deliver(this.#marked(`<presence from='${ROOM}/${nick}' to='${full}' type='unavailable'></presence>`));
      }
      for (const answer of all) {
        const nick = /from='[^'/]*\/([^']*)'/.exec(answer)?.[1] ?? '';
        const isNews = known.get(nick) !== this.#statusOf(nick) || nick === this.room.nickOf(full);
        if (!answer.startsWith('<presence') || isNews) deliver(this.#marked(answer));
      }
    };
  }

  #marked(xml: string): string {
    this.#id += 1;
    const nicks = [...this.room.occupants.keys()];
    this.#told.set(String(this.#id), new Map(nicks.map((nick) => [nick, this.#statusOf(nick)])));
    const mark = `<presence-session xmlns='${NS.presenceSession}' session='s' id='${this.#id}'/>`;
    return xml.replace(/<\/(presence|message)>$/, `${mark}</$1>`);
  }

  #statusOf(nick: string): string {
    const { role, affiliation, content, jid } = this.room.occupants.get(nick) ?? {};
    return JSON.stringify({ role, affiliation, content, jid });
  }
}
