import { Buffer } from 'node:buffer';
import { parseJid } from '../../jid.js';
import { PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import { errorAnswer, REFUSED } from './answers.js';
import type { Subscription } from './book.js';
import type { Carried } from './carried.js';
import type { Entering } from './entering.js';
import { Ghost } from './ghost.js';
import type { HiddenGhosts } from './hidden-ghosts.js';
import { prepareNick } from './nicks.js';
import { leaveRoom, ownLeaving } from './presences.js';
import type { Surroundings } from './surroundings.js';

const NOT_IN: Verdict = { action: 'handled', reason: 'mucsub-ghost' };

/** The client's own comings and goings in rooms that its account has subscribed to: it becomes visible, and a ghost again. */
export class ClientPresence {
  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: Map<string, Ghost>,
    private readonly entering: Entering,
    private readonly hidden: HiddenGhosts,
    private readonly carried: Carried,
  ) {}

  /** A presence of the client's to a room or an occupant address. */
  fromClient(stanza: PassingStanza): Verdict {
    const { book, account } = this.around;
    const { frame } = stanza;
    const to = parseJid(frame.to ?? '');
    if (to?.local === undefined) return PASS;
    const room = `${to.local}@${to.domain}`;
    if (book.room(room) === undefined) return PASS;
    // Of somebody who is not in a room it means nothing there; the ghost would be taken out by it.
    if (frame.type !== undefined && this.ghosts.get(room)?.client === 'out') return NOT_IN;
    const nick = to.resource === undefined ? undefined : prepareNick(to.resource);
    if (nick === undefined || frame.type === 'error') return PASS;
    if (frame.type === 'unavailable') return this.#clientLeaves(room);
    const holder = book.holderOf(room, nick);
    if (holder !== undefined && holder !== account) return this.#nickIsTaken(stanza);
    const subscription = book.subscription(room, account);
    if (subscription === undefined) return PASS;
    return this.#clientEnters(stanza, subscription, nick);
  }

  #nickIsTaken({ frame }: PassingStanza): Verdict {
    const { context } = this.around;
    const asked = {
      name: 'presence',
      id: frame.id,
      from: frame.to ?? '',
      to: context.identity.full,
    } as const;
    context.sendAsServer(errorAnswer(asked, REFUSED.nickTaken), 'mucsub-refused');
    return { action: 'handled', reason: 'mucsub-refused' };
  }

  #clientEnters(stanza: PassingStanza, subscription: Subscription, nick: string): Verdict {
    const { book, account, context } = this.around;
    const { room } = subscription;
    let ghost = this.ghosts.get(room);
    if (ghost === undefined) {
      ghost = new Ghost(room, nick, subscription);
      this.ghosts.set(room, ghost);
    } else if (
      ghost.client === 'out' &&
      (ghost.nick !== nick || context.serverKind === 'jabberd2' || lacksPassword(stanza, subscription)) &&
      (ghost.isIn || ghost.due.length > 0)
    ) {
      // Somebody who only changed the nick would not be told who is there, and who is in already not be asked for the password.
      // COMPAT: mu-conference tells who is in already only of itself.
      context.sendAhead(leaveRoom(`${room}/${ghost.nick}`), 'mucsub-ghost');
      ghost.leaves += 1;
      ghost.isIn = false;
    }
    ghost.history?.end();
    const isJoining = ghost.client !== 'in';
    if (isJoining) {
      ghost.nick = nick;
      ghost.client = 'joining';
      ghost.due.push('client');
    }
    book.whereabouts(room, account).joined.add(context.identity.full);
    // COMPAT: mu-conference lets in who does not say that he knows XEP-0045, too (§7.2.1), and tells him its history.
    const verdict = withoutHistory(stanza, isJoining && context.serverKind === 'jabberd2');
    const presence = verdict.action === 'edit' ? stanza.edit().toBuffer() : stanza.frame.bytes();
    if (this.carried.enters(room, presence.toString()))
      return { action: 'handled', reason: 'mucsub-joining' };
    return verdict;
  }

  #clientLeaves(room: string): Verdict {
    const { book, account, context } = this.around;
    const ghost = this.ghosts.get(room);
    const subscription = book.subscription(room, account);
    if (ghost === undefined || subscription === undefined) return PASS;
    if (ghost.client === 'out' || ghost.client === 'leaving') return PASS;
    const where = book.whereabouts(room, account);
    where.clientIsOut(context.identity.full);
    const isSame = ghost.nick === subscription.preparedNick;
    if (!isSame || where.sources.size > (where.sources.has(context.identity.full) ? 1 : 0)) {
      if (isSame && where.joined.size === 0) this.hidden.tellGone(ghost);
      ghost.client = 'leaving';
      return PASS;
    }
    // It stays where it is, as a ghost: nothing is missed in between.
    where.sources.add(context.identity.full);
    where.hears(context.wallClock(), undefined);
    ghost.due.forEach((asker, at) => {
      if (asker === 'client') ghost.subjects += 1;
      ghost.due[at] = 'ghost';
    });
    ghost.client = 'out';
    ghost.subscription = subscription;
    context.sendAsServer(
      ownLeaving(`${room}/${subscription.nick}`, context.identity.full, ghost.affiliation),
      'mucsub-left',
    );
    // To the others the nick is still there while another client has it.
    if (where.joined.size === 0) this.hidden.tellGone(ghost);
    this.entering.learnOccupants(subscription);
    return { action: 'handled', reason: 'mucsub-left' };
  }
}

/** The room wanted a password of the ghost, and the client says another or none. */
function lacksPassword(stanza: PassingStanza, { password }: Subscription): boolean {
  if (password === undefined) return false;
  return stanza.tree().getChild('x', NS.muc)?.getChildText('password') !== password;
}

/** A subscriber who enters is not told what was said before: the specification has it as a MUST. @param always also who does not say how he enters */
function withoutHistory(stanza: PassingStanza, always: boolean): Verdict {
  const at = stanza.frame.findChild('x', NS.muc);
  if (at < 0) {
    if (!always) return PASS;
    stanza.edit().appendChild(`<x xmlns='${NS.muc}'><history maxstanzas='0'/></x>`);
    return { action: 'edit', reason: 'mucsub-joining' };
  }
  const x = stanza.tree().getChild('x', NS.muc);
  if (x === undefined) return PASS;
  x.remove('history', NS.muc);
  x.c('history', { maxstanzas: '0' });
  x.attrs.xmlns = NS.muc;
  stanza
    .edit()
    .removeChild(at)
    .appendChild(Buffer.from(serializeElement(x)));
  return { action: 'edit', reason: 'mucsub-joining' };
}
