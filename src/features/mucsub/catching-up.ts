import type { PassingStanza } from '../../session/feature.js';
import { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { ArchiveFill } from './archive-fill.js';
import type { Delivery } from './delivery.js';
import type { Ghost } from './ghost.js';
import { tellClaim } from './notices.js';
import type { RoomEvents } from './room-events.js';
import { answersMissed } from './services.js';
import type { Storing } from './storing.js';
import type { Surroundings } from './surroundings.js';

/** Begins the token that wakes the feature to ask a room's archive though its log has not been acknowledged. */
export const CATCH_UP = 'catch up ';
/** How long a client may take to acknowledge that; ms. */
const PATIENCE = 10_000;

/** Brings what an account has missed while none of its sessions heard a room, out of the room's archive (XEP-0313). */
export class CatchingUp {
  constructor(
    private readonly around: Surroundings,
    private readonly ghosts: ReadonlyMap<string, Ghost>,
    private readonly events: RoomEvents,
    private readonly delivery: Delivery,
    private readonly storing: Storing,
  ) {}

  /** What was left for later is asked for as soon as it can go to a client at once, behind all that is stored. */
  thaw(ghost: Ghost): void {
    const { book, account, context } = this.around;
    const { room, client, isIn, fill, missedSince } = ghost;
    const where = book.knownWhereabouts(room, account);
    if (where?.isFrozen !== true || where.missedSince === undefined) return;
    if (client !== 'out' || !isIn || fill !== undefined || missedSince !== undefined) return;
    if (!where.sources.has(context.identity.full)) return;
    if (!this.delivery.isDirect || this.storing.isBehind(room)) return;
    where.isFrozen = false;
    this.begin(ghost, where.missedSince);
  }

  /** A ghost that is in the room, or about to be, begins to be what the account hears it by: what nobody has heard meanwhile is asked for. */
  goOn(ghost: Ghost): void {
    const { book, account } = this.around;
    const where = book.knownWhereabouts(ghost.room, account);
    if (where?.missedSince === undefined || where.isFrozen || ghost.fill !== undefined) return;
    if (!answersMissed(this.around, ghost.room, where.lastId)) return;
    if (ghost.isIn) this.begin(ghost, where.missedSince);
    else ghost.missedSince = where.missedSince;
  }

  /** The room has let the ghost in: its archive is asked for what was missed, and what comes meanwhile is put behind that. */
  begin(ghost: Ghost, since: number): void {
    const { context } = this.around;
    // What a client loses of the log is told again before what is put away of what came behind that.
    if (!this.storing.isAcknowledged(ghost.room)) {
      ghost.missedSince = since;
      context.wakeAt(CATCH_UP + ghost.room, context.now + PATIENCE);
      return;
    }
    this.#ask(ghost, since);
  }

  /** The client has acknowledged what was told out of the log, or has had long enough. */
  proceed(ghost: Ghost): void {
    const { missedSince } = ghost;
    if (missedSince === undefined || !ghost.isIn || ghost.isEntering || ghost.fill !== undefined) return;
    ghost.missedSince = undefined;
    this.#ask(ghost, missedSince);
  }

  #ask(ghost: Ghost, since: number): void {
    const { context } = this.around;
    ghost.fillIsComplete = true;
    this.around.book.whereabouts(ghost.room, this.around.account).behind = context.identity.full;
    const lastId = this.around.book.knownWhereabouts(ghost.room, this.around.account)?.lastId;
    ghost.fill = new ArchiveFill(this.around, { room: ghost.room, lastId, since }, (complete) => {
      const waiting = ghost.fill?.waiting ?? [];
      ghost.fill = undefined;
      if (this.ghosts.get(ghost.room) !== ghost) return;
      const isForLater =
        this.around.book.knownWhereabouts(ghost.room, this.around.account)?.isFrozen === true;
      if (!isForLater && (!complete || !ghost.fillIsComplete)) this.events.gap(ghost, since);
      for (const bytes of waiting) {
        const frame = parseStanza(bytes, context.namespaces);
        if (frame instanceof Frame) this.events.late(ghost, frame);
      }
      hasCaughtUp(this.around, ghost.room);
      this.thaw(ghost);
    });
    ghost.fill.begin();
  }

  /** A message out of an archive, if it is one that was asked for here. */
  archived(ghost: Ghost, stanza: PassingStanza): boolean {
    const { fill } = ghost;
    if (fill === undefined || stanza.frame.findChild('result', NS.mam2) < 0) return false;
    const archived = fill.read(stanza.tree());
    if (archived === undefined) return false;
    const frame = parseStanza(archived.bytes, this.around.context.namespaces);
    if (frame instanceof Frame) this.events.late(ghost, frame, archived);
    return true;
  }
}

/** This session has brought what was missed before it, or does not: another one that waits for that may take over. */
export function hasCaughtUp(around: Surroundings, room: string): void {
  const { book, account, context } = around;
  const { full } = context.identity;
  const where = book.knownWhereabouts(room, account);
  if (where?.behind !== full) return;
  where.behind = undefined;
  if (book.kept.has(full) && context.domain.sessionsOf(account).length > 1) tellClaim(around);
}
