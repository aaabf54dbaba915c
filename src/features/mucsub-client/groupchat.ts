import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { type FeatureContext, PASS, type Verdict } from '../../session/feature.js';
import type { AccountBook } from './book.js';
import type { EarlyMessage } from './early.js';
import type { Events } from './events.js';
import type { GoingOn } from './going-on.js';
import type { Joining } from './joining.js';
import type { RoomFeatureQuestions } from './room-features.js';
import { isSubject, type Showing } from './showing.js';
import { delayOf } from './times.js';

export const HELD: Verdict = { action: 'handled', reason: 'mucsub-client-held' };
export const HIDDEN: Verdict = { action: 'drop', reason: 'mucsub-client-hidden' };

/** The client is shown it. */
const SHOWN = 'shown';

/** What rooms say to everybody in them, on its way to the client. */
export class Groupchat {
  /** While the session is being gone on with. */
  goingOn: GoingOn | undefined;

  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly features: RoomFeatureQuestions,
    private readonly joining: Joining,
    private readonly events: Events,
    private readonly showing: Showing,
  ) {}

  /** @param bytes valid now only @param isIn the client is in the room, or was in this session */
  comes(room: string, tree: Element, bytes: Buffer, isIn: boolean): Verdict {
    const verdict = this.#judge(room, tree, bytes, isIn);
    if (verdict !== SHOWN) return verdict;
    this.showing.shown(room, tree, bytes);
    return PASS;
  }

  /** The same of a message that has been held. @param stay see `EarlyMessage` */
  comesLate(room: string, tree: Element, bytes: Buffer, stay: EarlyMessage['stay']): void {
    const verdict = this.#judge(room, tree, bytes, stay === 'now');
    // What it was told in the room it has had, though it has left since.
    if (verdict === SHOWN || (verdict === PASS && stay === 'over')) this.showing.passes(room, tree, bytes);
    else if (verdict === PASS) this.context.send('client', bytes, 'mucsub-client-held');
  }

  #judge(room: string, tree: Element, bytes: Buffer, isIn: boolean): Verdict | typeof SHOWN {
    if (this.goingOn?.holds(room, tree, Buffer.from(bytes)) === true) return HELD;
    const delay = delayOf(tree, room);
    const isLate = delay?.isHistory === false;
    const coming = this.joining.of(room);
    // COMPAT: ejabberd sends what a lost session has not acknowledged to the next one of its resource, which is in no room yet: it is told that when it joins.
    if (!isIn || (isLate && coming !== undefined && !isSubject(tree)))
      return this.events.stray(room, tree, bytes);
    if (coming !== undefined) {
      coming.holds(tree, Buffer.from(bytes));
      return HELD;
    }
    if (!this.book.isOurs(room) && this.features.known(room)?.mucsub === false) return PASS;
    if (delay === undefined && isSubject(tree)) this.joining.hasTold(room);
    const mayBeAgain = delay !== undefined && (isLate || this.joining.isBehind(room));
    return mayBeAgain && this.showing.hasHad(room, tree) ? HIDDEN : SHOWN;
  }
}
