import { bare, prepareJid } from '../../jid.js';
import { PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { errorAnswer, REFUSED } from './answers.js';
import { SWALLOWED } from './delivery.js';
import type { Ghosts } from './ghosts.js';
import type { Surroundings } from './surroundings.js';
import { On } from './watches.js';

/** What a subscriber says to rooms and occupants without having joined, and what is asked of its ghost. */
export class Speaking {
  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: Ghosts,
    /** There may be a ghost that was not there before. */
    private readonly hasGhosts: () => void,
  ) {}

  /** A message to a room or an occupant: whoever has subscribed speaks without having joined. */
  said(stanza: PassingStanza, watch: number): Verdict {
    const { frame } = stanza;
    const { book, account } = this.around;
    const address = frame.to ?? '';
    const room = prepareJid(bare(address));
    if (room === undefined || book.subscription(room, account) === undefined) return PASS;
    if (watch === On.Invites && frame.findChild('x', NS.mucUser) < 0) {
      if (frame.type !== 'chat') return PASS;
      const asked = {
        name: 'message',
        id: frame.id,
        from: address,
        to: this.around.context.identity.full,
      } as const;
      this.around.context.send('client', errorAnswer(asked, REFUSED.notAcceptable), 'mucsub-refused');
      return { action: 'handled', reason: 'mucsub-refused' };
    }
    if (this.ghosts.carried.says(stanza, room)) return { action: 'handled', reason: 'mucsub-answered' };
    this.ghosts.ensureIn(room);
    this.hasGhosts();
    return PASS;
  }

  /**
   * An error that the client returns to a room or an occupant. Rooms put out an occupant from whom an error comes, since they take it for lost: the
   * ghost says nothing.
   */
  bounced({ frame }: PassingStanza): Verdict {
    const ghost = this.ghosts.of(prepareJid(bare(frame.to ?? '')) ?? '');
    return ghost?.client === 'out' ? SWALLOWED : PASS;
  }

  /**
   * Occupants are asked by occupants only, of which a subscriber is none before it joins; a client that asks whether it is in the room is told by this that it is
   * not (XEP-0410 §3.2).
   */
  asksOccupant({ frame }: PassingStanza): Verdict {
    const { book, account, rooms, context } = this.around;
    const to = frame.to ?? '';
    const room = prepareJid(bare(to));
    if (room === undefined || book.subscription(room, account) === undefined) return PASS;
    const ghost = this.ghosts.of(room);
    // The room answers who is in it, or about to be.
    if (ghost === undefined ? rooms.isRoom(room) === 'joined' : ghost.client !== 'out') return PASS;
    const asked = { name: 'iq', id: frame.id, from: to, to: context.identity.full } as const;
    context.sendAsServer(errorAnswer(asked, REFUSED.notIn), 'mucsub-refused');
    return { action: 'handled', reason: 'mucsub-refused' };
  }

  /** An occupant asks the ghost something: there is no client behind it that could answer. */
  occupantAsks({ frame }: PassingStanza): Verdict {
    const from = frame.from ?? '';
    const ghost = this.ghosts.of(prepareJid(bare(from)) ?? '');
    if (ghost?.client !== 'out') return PASS;
    const asked = { name: 'iq', id: frame.id, from: this.around.context.identity.full, to: from } as const;
    this.around.context.send('server', errorAnswer(asked, REFUSED.nobodyOfThatNick), 'mucsub-refused');
    return { action: 'handled', reason: 'mucsub-refused' };
  }
}
