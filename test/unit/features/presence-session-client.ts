import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { NS } from '../../../src/xml/namespaces.js';
import { parseElement } from '../../../src/xml/tree.js';
import { ROOM } from './presence-session-room.js';
import { contentOf } from './presence-session-world.js';

/** What a client makes of what it is sent, if it keeps to XEP-0045 and XEP-0311. */
export class ClientModel {
  /** Content of the last presence, by nick; `''` is the room itself. */
  readonly occupants = new Map<string, string>();
  /** Ids of messages, in the order in which they came. */
  messages: string[] = [];
  subject: string | undefined;
  /** The room does not have, or give, all that was missed; since then ids before may be missing. */
  truncated = 0;
  /** Clean joins so far. */
  resets = 0;
  last: { readonly session: string; readonly id: string } | undefined;
  isIn = false;
  /** In what order the last join was told: `presence`, `self`, `truncated`, `history`, `subject`, `live`. */
  order: string[] = [];
  error: string | undefined;
  readonly #breaches: string[] = [];

  constructor(private readonly isAnnotated = true) {}

  /** What was not as it has to be. */
  get breaches(): readonly string[] {
    return this.#breaches;
  }

  joins(): void {
    this.order = [];
    this.error = undefined;
  }

  /** The connection is lost. */
  cut(): void {
    this.isIn = false;
  }

  read(xml: string): void {
    const stanza = parseElement(Buffer.from(xml));
    const from = String(stanza.attrs.from ?? '');
    if (from !== ROOM && !from.startsWith(`${ROOM}/`)) return;
    const nick = from.slice(ROOM.length + 1);
    const marks = stanza.getChildren('presence-session', NS.presenceSession);
    if (stanza.name === 'presence') this.#presence(stanza, nick, marks, xml);
    else if (stanza.name === 'message') this.#message(stanza, marks, xml);
  }

  #presence(stanza: Element, nick: string, marks: readonly Element[], xml: string): void {
    if (stanza.attrs.type === 'error') {
      this.error = xml;
      return;
    }
    if (nick === '' && stanza.attrs.type === 'unavailable') {
      if (marks.length > 0) this.#breaches.push(`the reset is marked: ${xml}`);
      this.occupants.clear();
      this.resets += 1;
      // What it knows is nothing, and of no stanza.
      this.last = undefined;
      return;
    }
    this.#mark(marks, xml);
    const codes = stanza.getChildren('x', NS.mucUser).flatMap((x) => x.getChildren('status'));
    const isSelf = codes.some(({ attrs }) => attrs.code === '110');
    if (stanza.attrs.type === 'unavailable') {
      this.occupants.delete(nick);
      const isRename = codes.some(({ attrs }) => attrs.code === '303');
      const isDestroyed = stanza
        .getChildren('x', NS.mucUser)
        .some((x) => x.getChild('destroy') !== undefined);
      if ((isSelf && !isRename) || isDestroyed) this.isIn = false;
      if (!this.isIn) this.order.push('presence');
      return;
    }
    this.occupants.set(nick, contentOf(stanza));
    if (!this.isIn) this.order.push(isSelf ? 'self' : 'presence');
    if (isSelf) this.isIn = true;
  }

  #message(stanza: Element, marks: readonly Element[], xml: string): void {
    if (marks.some(({ attrs }) => attrs.type === 'truncated')) {
      this.truncated += 1;
      this.order.push('truncated');
      return;
    }
    this.#mark(marks, xml);
    if (!this.isIn) this.#breaches.push(`a message before the own presence: ${xml}`);
    const isOld = stanza.getChild('delay', NS.delay) !== undefined;
    if (stanza.getChild('body') === undefined) {
      this.subject = stanza.getChildText('subject') ?? '';
      this.order.push('subject');
      return;
    }
    this.order.push(isOld ? 'history' : 'live');
    this.messages.push(String(stanza.attrs.id));
  }

  #mark(marks: readonly Element[], xml: string): void {
    if (!this.isAnnotated) {
      if (marks.length > 0) this.#breaches.push(`a trace of the protocol: ${xml}`);
      return;
    }
    const [mark] = marks;
    const { session, id } = (mark?.attrs ?? {}) as { session?: string; id?: string };
    if (marks.length !== 1 || session === undefined || id === undefined || session === 'forged') {
      this.#breaches.push(`not marked once: ${xml}`);
      return;
    }
    this.last = { session, id };
  }
}
