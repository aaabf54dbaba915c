import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { bare, parseJid, prepareJid } from '../../jid.js';
import { PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import { errorAnswer, REFUSED } from './answers.js';
import type { Book } from './book.js';
import type { Ghosts } from './ghosts.js';
import { isGhostOf } from './hidden-ghosts.js';
import { nickOf } from './nicks.js';
import type { Surroundings } from './surroundings.js';

const OCCUPANTS = 'muc#roominfo_occupants';

/**
 * What a room answers when it is asked who is in it, without its ghosts: the items and the number of discovery (XEP-0045 §6.4–6.5), and the lists that
 * moderators have by role (§9.4–9.6). Whoever has only subscribed is no occupant.
 */
export class Unseen {
  readonly #book: Book;

  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: Pick<Ghosts, 'of'>,
  ) {
    this.#book = around.book;
  }

  /** A moderator's word on who is what in a room. Until a subscriber joins its role is none; to put its ghost out is the room's to do. */
  roleChange(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const { to = '', id } = frame;
    const room = prepareJid(to);
    if (room === undefined || (this.#book.room(room)?.nicks.size ?? 0) === 0) return PASS;
    const items = stanza.tree().getChild('query', NS.mucAdmin)?.getChildren('item') ?? [];
    const isOfGhost = items.some(({ attrs }) => {
      if (attrs.role === undefined || attrs.role === 'none') return false;
      const nick = nickOf(`${room}/${attrs.nick}`);
      return nick !== undefined && isGhostOf(this.#book, room, nick);
    });
    const { context } = this.around;
    // COMPAT: mu-conference has another condition for who may not than ejabberd.
    const ghost = context.serverKind === 'jabberd2' ? this.ghosts.of(room) : undefined;
    const mayNot = ghost?.client === 'out' && ghost.isIn && !['owner', 'admin'].includes(ghost.affiliation);
    if (!isOfGhost && !(mayNot && items.some(({ attrs }) => attrs.role !== undefined))) return PASS;
    const asked = { name: 'iq', id, from: to, to: context.identity.full } as const;
    context.send('client', errorAnswer(asked, REFUSED.noRole), 'mucsub-refused');
    return { action: 'handled', reason: 'mucsub-refused' };
  }

  /** An answer from a room to the client, of one of these kinds. */
  answer(stanza: PassingStanza): Verdict {
    const room = prepareJid(stanza.frame.from ?? '');
    if (room === undefined || (this.#book.room(room)?.nicks.size ?? 0) === 0) return PASS;
    const iq = stanza.tree();
    const [query] = iq.getChildElements();
    const isChanged = query !== undefined && this.#without(room, query);
    if (!isChanged) return PASS;
    return { action: 'replace', bytes: Buffer.from(serializeElement(iq)), reason: 'mucsub-hidden' };
  }

  /** @returns whether anything was taken out */
  #without(room: string, query: Element): boolean {
    switch (query.getNS()) {
      case NS.discoItems:
        return this.#withoutItems(room, query, ({ attrs }) => nickOf(String(attrs.jid)));
      case NS.mucAdmin:
        return this.#withoutItems(room, query, ({ attrs }) =>
          isOfRole(attrs.jid) ? nickOf(`${room}/${attrs.nick}`) : undefined,
        );
      default:
        return this.#counted(room, query);
    }
  }

  #withoutItems(room: string, query: Element, ofItem: (item: Element) => string | undefined): boolean {
    const ghosts = query.getChildren('item').filter((item) => {
      const nick = ofItem(item);
      return nick !== undefined && isGhostOf(this.#book, room, nick);
    });
    for (const item of ghosts) query.remove(item);
    return ghosts.length > 0;
  }

  #counted(room: string, query: Element): boolean {
    const value = query
      .getChild('x', NS.dataForms)
      ?.getChildren('field')
      .find(({ attrs }) => attrs.var === OCCUPANTS)
      ?.getChild('value');
    const count = Number(value?.getText().trim());
    if (value === undefined || !Number.isInteger(count)) return false;
    const nicks = [...(this.#book.room(room)?.nicks ?? [])];
    const ghosts = nicks.filter(([nick, account]) => this.#isCounted(room, nick, account)).length;
    if (ghosts === 0) return false;
    value.children = [String(Math.max(0, count - ghosts))];
    return true;
  }

  /** Where an observer hears for an account, that has no ghost of its own. */
  #isCounted(room: string, nick: string, account: string): boolean {
    const { sources } = this.#book.whereabouts(room, account);
    return (
      isGhostOf(this.#book, room, nick) && [...sources].some((full) => prepareJid(bare(full)) === account)
    );
  }
}

/** A list by role says who is there, by which client where it says so; a list by affiliation has bare JIDs. */
function isOfRole(jid: unknown): boolean {
  return jid === undefined || parseJid(String(jid))?.resource !== undefined;
}
