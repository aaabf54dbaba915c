import type { Element } from 'ltx';
import { NS } from '../../../src/xml/namespaces.js';
import { escapeText } from '../../../src/xml/serialize.js';

export const ROOM = 'orchard@chats.shakespeare.lit';

export type Role = 'visitor' | 'participant' | 'moderator';
export type Affiliation = 'none' | 'member' | 'admin' | 'owner' | 'outcast';

/** Somebody in the room. */
export interface Occupant {
  nick: string;
  readonly jid: string;
  role: Role;
  affiliation: Affiliation;
  /** What is in its presence beside what the room says. */
  content: string;
}

interface Said {
  readonly from: string;
  readonly id: string;
  readonly body: string;
  readonly at: number;
  readonly stanzaId: string;
}

export interface RoomTraits {
  /** Messages that are told to who comes in. */
  readonly history?: number;
  /** XEP-0313, with ids on messages. */
  readonly archive?: boolean;
  /** Moderators alone see real addresses. */
  readonly semiAnonymous?: boolean;
  /** Somebody who enters again is told everything, and not only of itself (mu-conference). */
  readonly tellsAgain?: boolean;
  /** The subject is told at the end of a join (mu-conference: not). */
  readonly closingSubject?: boolean;
}

/** What reaches a user's session. */
export type Deliver = (xml: string) => void;

/**
 * A room as XEP-0045 has it, in memory: whoever is in it is told of everybody's presence, nicks, roles and affiliations, hears what is said, and
 * is told what was said before when it enters.
 */
export class MemoryRoom {
  readonly occupants = new Map<string, Occupant>();
  /** Everything that was said, ever. */
  readonly said: Said[] = [];
  subject = '';
  /** Sessions that are in, by full JID. */
  readonly #sessions = new Map<string, { readonly nick: string; readonly deliver: Deliver }>();
  readonly #outcasts = new Set<string>();
  readonly #affiliations = new Map<string, Affiliation>();
  /** What is kept for those who come in begins here. */
  #historyFrom = 0;
  #created = true;

  constructor(
    readonly traits: RoomTraits,
    /** ms since 1970 */
    private readonly wall: () => number,
  ) {}

  /** Destroyed and made anew. */
  recreate(): void {
    for (const [full, { nick, deliver }] of [...this.#sessions]) {
      this.occupants.delete(nick);
      this.#sessions.delete(full);
      deliver(
        `<presence from='${ROOM}/${nick}' to='${full}' type='unavailable'><x xmlns='${NS.mucUser}'><item affiliation='none' role='none'/><destroy/></x></presence>`,
      );
    }
    this.occupants.clear();
    this.#historyFrom = this.said.length;
    this.#created = true;
  }

  /** Nobody has entered since it was made. */
  get isNew(): boolean {
    return this.#created;
  }

  // What other people do: their sessions are not played.

  enters(nick: string, content = ''): void {
    if (this.occupants.has(nick)) return;
    const jid = `${nick.toLowerCase()}@montague.lit/${nick}`;
    if (this.#outcasts.has(bareOf(jid))) return;
    this.#add({ nick, jid, role: 'participant', affiliation: 'none', content });
  }

  leaves(nick: string, codes: readonly string[] = []): void {
    const occupant = this.occupants.get(nick);
    if (occupant === undefined) return;
    this.occupants.delete(nick);
    const own = this.#sessionOf(nick);
    for (const [full, session] of this.#sessions) {
      const isOwn = session === own;
      session.deliver(this.#gone(occupant, full, [...codes, ...(isOwn ? ['110'] : [])]));
    }
    this.#forget(nick);
  }

  says(nick: string, body: string, extra = ''): void {
    if (!this.occupants.has(nick)) return;
    const n = this.said.length + 1;
    const said = { from: nick, id: `m${n}`, body, at: this.wall(), stanzaId: `s${n}` };
    this.said.push(said);
    for (const [full, { deliver }] of this.#sessions) deliver(this.#message(said, full, false, extra));
  }

  setsSubject(nick: string, subject: string): void {
    if (!this.occupants.has(nick)) return;
    this.subject = subject;
    for (const [full, { deliver }] of this.#sessions) deliver(this.#subjectFor(full, nick));
  }

  changes(nick: string, content: string): void {
    const occupant = this.occupants.get(nick);
    if (occupant === undefined) return;
    occupant.content = content;
    this.#tell(occupant);
  }

  renames(nick: string, to: string): void {
    const occupant = this.occupants.get(nick);
    if (occupant === undefined || this.occupants.has(to)) return;
    const own = this.#sessionOf(nick);
    this.occupants.delete(nick);
    for (const [full, session] of this.#sessions) {
      const codes = session === own ? ['303', '110'] : ['303'];
      session.deliver(this.#gone(occupant, full, codes, ` nick='${to}'`));
    }
    occupant.nick = to;
    this.occupants.set(to, occupant);
    for (const [full, session] of [...this.#sessions])
      if (session === own) this.#sessions.set(full, { ...session, nick: to });
    this.#tell(occupant);
  }

  sets(nick: string, role: Role, affiliation: Affiliation): void {
    const occupant = this.occupants.get(nick);
    if (occupant === undefined) return;
    occupant.role = role;
    occupant.affiliation = affiliation;
    this.#affiliations.set(bareOf(occupant.jid), affiliation);
    this.#tell(occupant);
  }

  /** Somebody who is not in has another affiliation from now on. */
  affiliates(bare: string, affiliation: Affiliation): void {
    this.#affiliations.set(bare, affiliation);
  }

  bans(nick: string): void {
    const occupant = this.occupants.get(nick);
    if (occupant === undefined) return;
    this.#outcasts.add(bareOf(occupant.jid));
    this.leaves(nick, ['301']);
  }

  pardons(): void {
    this.#outcasts.clear();
  }

  // What a played session does.

  /** A stanza from a session to the room or an occupant. */
  receive(full: string, stanza: Element, deliver: Deliver): void {
    const to = String(stanza.attrs.to);
    const nick = to.slice(to.indexOf('/') + 1);
    if (stanza.name === 'message')
      this.says(this.#sessions.get(full)?.nick ?? '', stanza.getChildText('body') ?? '');
    else if (stanza.name === 'iq') this.#query(full, stanza, deliver);
    else if (stanza.attrs.type === 'unavailable') this.leaves(this.#sessions.get(full)?.nick ?? '');
    else this.#presence(full, nick, stanza, deliver);
  }

  /** The session's connection to its server is gone: it leaves. */
  dropSession(full: string): void {
    const session = this.#sessions.get(full);
    if (session === undefined) return;
    this.#sessions.delete(full);
    this.leaves(session.nick);
  }

  nickOf(full: string): string | undefined {
    return this.#sessions.get(full)?.nick;
  }

  /** What a session would be shown of an occupant, without addresses. */
  shown(occupant: Occupant, to: string): string {
    const own = this.occupants.get(this.#sessions.get(to)?.nick ?? '');
    const showsJid = this.traits.semiAnonymous !== true || own?.role === 'moderator';
    const jid = showsJid ? ` jid='${occupant.jid}'` : '';
    const item = `<item affiliation='${occupant.affiliation}' role='${occupant.role}'${jid}/>`;
    return `${occupant.content}<x xmlns='${NS.mucUser}'>${item}</x>`;
  }

  #presence(full: string, nick: string, stanza: Element, deliver: Deliver): void {
    const inside = this.#sessions.get(full);
    const content = stanza
      .getChildElements()
      .filter((child) => [undefined, '', NS.client].includes(child.getNS()))
      .map(String)
      .join('');
    const enters = stanza.getChild('x', NS.muc);
    if (inside !== undefined && inside.nick !== nick) {
      this.renames(inside.nick, nick);
      return;
    }
    if (inside !== undefined) {
      const occupant = this.occupants.get(nick)!;
      const isNew = occupant.content !== content;
      occupant.content = content;
      if (isNew || enters === undefined) this.#tell(occupant);
      if (enters === undefined) return;
      if (this.traits.tellsAgain === false) deliver(this.#here(occupant, full, ['110']));
      else this.#tellAll(full, enters, deliver, []);
      return;
    }
    const jid = full;
    if (enters === undefined) deliver(this.#error(nick, full, 'item-not-found'));
    else if (this.#outcasts.has(bareOf(jid))) deliver(this.#error(nick, full, 'forbidden'));
    else if (this.occupants.has(nick)) deliver(this.#error(nick, full, 'conflict'));
    else {
      const affiliation = this.#affiliations.get(bareOf(jid)) ?? 'none';
      const role = affiliation === 'owner' || affiliation === 'admin' ? 'moderator' : 'participant';
      this.#add({ nick, jid, role, affiliation, content });
      this.#sessions.set(full, { nick, deliver });
      const codes = this.#created ? ['201'] : [];
      this.#created = false;
      this.#tellAll(full, enters, deliver, codes);
    }
  }

  #tellAll(full: string, x: Element, deliver: Deliver, codes: readonly string[]): void {
    const { nick } = this.#sessions.get(full)!;
    for (const occupant of this.occupants.values())
      if (occupant.nick !== nick) deliver(this.#here(occupant, full, []));
    deliver(this.#here(this.occupants.get(nick)!, full, ['110', ...codes]));
    const wanted = x.getChild('history')?.attrs as { maxstanzas?: string; since?: string } | undefined;
    const most = Math.min(Number(wanted?.maxstanzas ?? 20), this.traits.history ?? 20);
    const since = wanted?.since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(wanted.since);
    const kept = this.said.slice(this.#historyFrom);
    for (const said of most === 0 ? [] : kept.slice(-most)) {
      if (said.at >= since) deliver(this.#message(said, full, true));
    }
    if (this.traits.closingSubject !== false) deliver(this.#subjectFor(full, ''));
  }

  #query(full: string, iq: Element, deliver: Deliver): void {
    const addresses = `from='${ROOM}' to='${full}' id='${iq.attrs.id}'`;
    if (iq.getChild('query', NS.discoInfo) !== undefined) {
      const feature = this.traits.archive === true ? `<feature var='${NS.mam2}'/>` : '';
      const identity = `<identity category='conference' type='text'/>`;
      deliver(
        `<iq type='result' ${addresses}><query xmlns='${NS.discoInfo}'>${identity}<feature var='${NS.muc}'/>${feature}</query></iq>`,
      );
      return;
    }
    const query = iq.getChild('query', NS.mam2);
    if (query === undefined) return;
    const max = Number(query.getChild('set')?.getChildText('max') ?? '50');
    const start = query
      .getChild('x')
      ?.getChildren('field')
      .find(({ attrs }) => attrs.var === 'start')
      ?.getChildText('value');
    const all = this.said.slice(this.#historyFrom).filter(({ at }) => at >= Date.parse(String(start)));
    for (const said of all.slice(-max)) {
      const message = `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/${said.from}' id='${said.id}'><body>${escapeText(said.body)}</body></message>`;
      const delay = `<delay xmlns='${NS.delay}' stamp='${new Date(said.at).toISOString()}'/>`;
      deliver(
        `<message from='${ROOM}' to='${full}'><result xmlns='${NS.mam2}' queryid='${query.attrs.queryid}' id='${said.stanzaId}'><forwarded xmlns='${NS.forward0}'>${delay}${message}</forwarded></result></message>`,
      );
    }
    deliver(`<iq type='result' ${addresses}><fin xmlns='${NS.mam2}' complete='${all.length <= max}'/></iq>`);
  }

  #add(occupant: Occupant): void {
    this.occupants.set(occupant.nick, occupant);
    this.#tell(occupant);
  }

  #tell(occupant: Occupant): void {
    for (const [full, { nick, deliver }] of this.#sessions) {
      deliver(this.#here(occupant, full, nick === occupant.nick ? ['110'] : []));
    }
  }

  #sessionOf(nick: string) {
    return [...this.#sessions.values()].find((session) => session.nick === nick);
  }

  #forget(nick: string): void {
    for (const [full, session] of [...this.#sessions]) if (session.nick === nick) this.#sessions.delete(full);
  }

  #here(occupant: Occupant, to: string, codes: readonly string[]): string {
    const shown = this.shown(occupant, to);
    const statuses = codes.map((code) => `<status code='${code}'/>`).join('');
    const whole = shown.replace(/<\/x>$/, `${statuses}</x>`);
    return `<presence from='${ROOM}/${occupant.nick}' to='${to}'>${whole}</presence>`;
  }

  #gone(occupant: Occupant, to: string, codes: readonly string[], more = ''): string {
    const statuses = codes.map((code) => `<status code='${code}'/>`).join('');
    const item = `<item affiliation='${occupant.affiliation}' role='none'${more}/>`;
    return `<presence from='${ROOM}/${occupant.nick}' to='${to}' type='unavailable'><x xmlns='${NS.mucUser}'>${item}${statuses}</x></presence>`;
  }

  #error(nick: string, to: string, condition: string): string {
    return `<presence from='${ROOM}/${nick}' to='${to}' type='error'><error type='auth'><${condition} xmlns='${NS.stanzaErrors}'/></error></presence>`;
  }

  #message({ from, id, body, at, stanzaId }: Said, to: string, isOld: boolean, extra = ''): string {
    const delay = isOld
      ? `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='${new Date(at).toISOString().replace(/\.\d+Z/, 'Z')}'/>`
      : '';
    const given =
      this.traits.archive === true ? `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${stanzaId}'/>` : '';
    return `<message from='${ROOM}/${from}' to='${to}' type='groupchat' id='${id}'><body>${escapeText(body)}</body>${extra}${given}${delay}</message>`;
  }

  #subjectFor(to: string, nick: string): string {
    const from = nick === '' ? ROOM : `${ROOM}/${nick}`;
    return `<message from='${from}' to='${to}' type='groupchat'><subject>${escapeText(this.subject)}</subject></message>`;
  }
}

function bareOf(jid: string): string {
  return jid.split('/')[0] ?? '';
}
