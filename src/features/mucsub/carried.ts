import { Buffer } from 'node:buffer';
import type { PassingStanza } from '../../session/feature.js';
import { LateMap, LateSet } from '../../session/late.js';
import { Frame } from '../../xml/frame.js';
import { Splice } from '../../xml/splice.js';
import { parseStanza } from '../../xml/tokenizer.js';
import type { Ghost } from './ghost.js';
import type { Notice } from './notices.js';
import { leaveRoom } from './presences.js';
import type { Surroundings } from './surroundings.js';

/** What other resources have said that the room may still refuse, and rooms that wait to be entered. */
const MOST = 64;
/** How long another resource may take to leave a room for this one; ms. */
const YIELDING_TIME = 5_000;
export const YIELD = 'yield ';

type Of<Op extends Notice['op']> = Extract<Notice, { op: Op }>;

/**
 * COMPAT: mu-conference lets an account into a room only once under one nick. While one resource of a subscriber carries the ghost, the others speak
 * through it, and one that joins has the ghost leave first.
 */
export class Carried {
  /** By id: which resource has said it. */
  readonly #said = new LateMap<string, string>();
  /** By room: the client's presence, which waits until the ghost of another resource is out. */
  readonly #waiting = new LateMap<string, string>();
  /** By room: for whom the ghost is leaving. */
  readonly #yielding = new LateMap<string, string>();

  /** Rooms that a session without a client is leaving for a ghost of this one. */
  readonly #takingOver = new LateSet<string>();

  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: ReadonlyMap<string, Ghost>,
    /** Enters a room as a ghost. */
    private readonly enter: (room: string) => void,
  ) {}

  get #full(): string {
    return this.around.context.identity.full;
  }

  /** Another resource that carries the ghost, where there can be only one. */
  #carrier(room: string): string | undefined {
    const { book, account, context } = this.around;
    if (context.serverKind !== 'jabberd2') return undefined;
    const sources = book.knownWhereabouts(room, account)?.sources;
    return sources === undefined ? undefined : [...sources].find((full) => full !== this.#full);
  }

  #tell(notice: Notice): void {
    this.around.context.tell(this.around.account, JSON.stringify(notice));
  }

  /** The client says something to a room or an occupant. @returns whether another resource says it */
  says({ frame }: PassingStanza, room: string): boolean {
    const by = this.ghosts.has(room) ? undefined : this.#carrier(room);
    if (by === undefined) return false;
    this.#tell({ op: 'say', room, by, xml: frame.toString() });
    return true;
  }

  /** Another resource of the account says something of this. @param from its full JID */
  notified(notice: Of<'say' | 'refused' | 'yield' | 'yielded'>, from: string): void {
    switch (notice.op) {
      case 'say':
        this.#told(notice, from);
        break;
      case 'refused':
        this.#isRefused(notice);
        break;
      case 'yield':
        this.#yields(notice, from);
        break;
      case 'yielded':
        this.#hasYielded(notice);
        break;
    }
  }

  /** Another resource has something to say. */
  #told({ room, by, xml }: Of<'say'>, from: string): void {
    const ghost = this.ghosts.get(room);
    const frame = parseStanza(Buffer.from(xml), this.around.context.namespaces);
    if (by !== this.#full || ghost === undefined || !(frame instanceof Frame)) return;
    if (frame.id !== undefined) {
      if (this.#said.size >= MOST) this.#said.delete(this.#said.keys().next().value!);
      this.#said.set(frame.id, from);
    }
    this.around.context.send('server', xml, 'mucsub-ghost');
  }

  /** An error for what another resource has said. @returns false when it has not */
  refused(frame: Frame): boolean {
    const by = frame.id === undefined ? undefined : this.#said.get(frame.id);
    if (by === undefined || frame.id === undefined) return false;
    this.#said.delete(frame.id);
    const xml = new Splice(frame).setAttribute('to', by).toBuffer().toString();
    this.#tell({ op: 'refused', by, xml });
    return true;
  }

  /** An error for what this session's client has said. */
  #isRefused({ by, xml }: Of<'refused'>): void {
    if (by === this.#full) this.around.context.send('client', xml, 'mucsub-refused');
  }

  /** The client enters a room. @returns whether that has to wait for another resource to leave */
  enters(room: string, presence: string): boolean {
    const { book, account } = this.around;
    const by = this.#carrier(room);
    const isTakingOver = this.#takingOver.has(room);
    // A client that is in the room stays there; the room says so.
    const isFree = by === undefined || book.whereabouts(room, account).joined.has(by);
    if ((isFree && !isTakingOver) || this.#waiting.size >= MOST) return false;
    this.#waiting.set(room, presence);
    if (by !== undefined && !isTakingOver) this.#asksToYield(room, by);
    return true;
  }

  /** A ghost of this session is to take the place of that of one whose client is gone. @returns whether that has to leave before */
  takesOver(room: string): boolean {
    const by = this.#carrier(room);
    if (by === undefined) return false;
    this.#takingOver.add(room);
    this.#asksToYield(room, by);
    return true;
  }

  #asksToYield(room: string, by: string): void {
    const { book, account, context } = this.around;
    book.whereabouts(room, account).sources.add(this.#full);
    this.#tell({ op: 'yield', room, by });
    context.wakeAt(YIELD + room, context.now + YIELDING_TIME);
  }

  /** Another resource wants to be in a room in place of the ghost. */
  #yields({ room, by }: Of<'yield'>, to: string): void {
    const { book, account, context } = this.around;
    const ghost = this.ghosts.get(room);
    if (by !== this.#full || (ghost !== undefined && ghost.client !== 'out')) return;
    book.knownWhereabouts(room, account)?.leaves(this.#full, context.now);
    if (ghost === undefined) {
      this.#tell({ op: 'yielded', room, to });
      return;
    }
    ghost.leaves += 1;
    this.#yielding.set(room, to);
    context.send('server', leaveRoom(`${room}/${ghost.nick}`), 'mucsub-ghost');
  }

  /** The ghost is out. */
  left(room: string): void {
    const to = this.#yielding.get(room);
    if (to === undefined) return;
    this.#yielding.delete(room);
    this.#tell({ op: 'yielded', room, to });
  }

  /** Nobody is in the way any more, or has said nothing for long. */
  mayEnter(room: string): void {
    const presence = this.#waiting.get(room);
    const takesOver = this.#takingOver.delete(room);
    this.#waiting.delete(room);
    if (presence !== undefined) this.around.context.sendAsClient(presence, 'mucsub-joining');
    else if (takesOver) this.enter(room);
  }

  #hasYielded({ room, to }: Of<'yielded'>): void {
    if (to === this.#full) this.mayEnter(room);
  }
}
