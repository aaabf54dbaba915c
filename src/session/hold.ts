import { prepareJid } from '../jid.js';
import { streamError } from '../stream/errors.js';
import type { Resumption } from './acknowledgement.js';
import { HeldMessages } from './held-messages.js';
import { HoldBounds } from './hold-bounds.js';
import { Reattachment } from './reattachment.js';
import type { Session } from './session.js';
import { digestOf } from './suspended.js';
import { Suspension } from './suspension.js';

/** How long a client may take to say what it has, when its session ends; ms. */
const COLLECTING_TIME = 2_000;

/** Why a hold ended, for the log line of its session. */
export type HoldEnd =
  | 'hold-expired'
  | 'hold-full'
  | 'hold-crowded'
  | 'hold-replaced'
  | 'hold-server-lost'
  | 'hold-shutdown'
  | 'hold-left';

/**
 * The right of a session to outlive its client's connection (XEP-0198 §5). It is given with `<enabled/>`; when the connection breaks, the
 * session is held: its server leg stays, what is for the client waits, and what cannot wait is answered. The client may come
 * back on another connection, which by then belongs to another session, the newcomer, and is taken over from it.
 */
export class Hold {
  /** `ending`: what waits is being stored; `leaving`: it is, and the server has been asked to end its stream. */
  #state: 'attached' | 'held' | 'ending' | 'leaving' | 'over' = 'attached';
  readonly comingBack: Reattachment;
  /** For when the process is stopped. */
  readonly suspension: Suspension;
  #reason: HoldEnd = 'hold-expired';
  /** Why the session is about to end, while the client is asked what it has. */
  #collecting: HoldEnd | undefined;
  readonly #roomFor: (() => void)[] = [];
  readonly #bounds: HoldBounds;
  readonly #messages: HeldMessages;
  /** When the connection broke. */
  #since = 0;

  constructor(
    private readonly session: Session,
    readonly resumption: Resumption,
    /** The account, prepared. */
    readonly account: string,
  ) {
    this.#bounds = new HoldBounds(session);
    this.#messages = new HeldMessages(session, resumption.id, account);
    this.comingBack = new Reattachment(this, session, this.#messages);
    this.suspension = new Suspension(this, session, this.#messages);
    session.domain.addHold(this);
  }

  get acknowledgement() {
    return this.session.bound!.acknowledgement;
  }

  /** What is for the client is kept and not sent. */
  get held(): boolean {
    return this.#state === 'held' || this.#state === 'ending' || this.#state === 'leaving';
  }

  get full(): string {
    return this.session.bound?.identity.full ?? '';
  }

  /** Whether the server leg can be gone on with as it is. */
  get serverIsThere(): boolean {
    return this.session.server.state === 'open';
  }

  /** The client's connection is lost. @returns false when there is nothing to hold: the session ends */
  begin(): boolean {
    const { session } = this;
    if (this.#state !== 'attached') return this.held;
    this.#bounds.nobodyIsBehind();
    if (this.#collecting !== undefined || (!this.serverIsThere && !this.#serverResumes)) {
      if (this.#nothingWaits) this.release();
      else this.end(this.#collecting ?? 'hold-server-lost');
      return this.busy;
    }
    this.#state = 'held';
    this.#since = session.now;
    session.domain.isHeld(this.account, this)?.end('hold-crowded');
    session.port.count('hold', 'held');
    session.setDeadline('hold', session.now + this.resumption.max * 1000);
    session.bound?.legDown('client');
    this.moreWaits();
    return true;
  }

  /** There is something to come back to. */
  get mayComeBack(): boolean {
    return this.#state === 'attached' || this.#state === 'held';
  }

  get attached(): boolean {
    return this.#state === 'attached';
  }

  /** The client is there again. */
  isAttached(): void {
    this.#state = 'attached';
    this.session.domain.isHeldNoMore(this.account, this);
    this.session.setDeadline('hold', Number.POSITIVE_INFINITY);
  }

  /** The server leg is lost without an end of its stream. @returns false when that is the end of the session */
  serverLost(): boolean {
    const { session } = this;
    const { acknowledgement } = session.bound!;
    if (this.#state === 'ending') return true;
    if (this.#state === 'leaving') return this.#left(false);
    if (this.#state === 'over') return false;
    if (acknowledgement.serverResumption === undefined) {
      if (this.#state === 'held') this.end('hold-server-lost');
      else if (this.#nothingWaits) return false;
      else this.collect('hold-server-lost');
      return true;
    }
    // To the client it is a short interruption: it comes back, proves who it is, and the server's stream is resumed on that connection.
    session.client.cut();
    this.begin();
    const { max } = acknowledgement.serverResumption;
    session.setDeadline('hold', session.now + Math.min(this.resumption.max, max) * 1000);
    this.comingBack.takeNewcomer()?.resuming.resumeUpstream(this);
    return true;
  }

  /** The server has ended its stream in order: what it has not been acknowledged it deals with itself. */
  serverClosed(): void {
    if (this.#state === 'leaving') this.#left(true);
    else if (this.#state === 'attached' && this.#nothingWaits) this.release();
    else if (this.#state === 'attached' || this.#state === 'held') this.end('hold-server-lost');
  }

  /**
   * Our stream to the server is about to be ended, because the client has ended its own or may not go on. What it has not acknowledged by
   * then, and what the server has sent before it knows, is kept like everything else that waits.
   * @returns true when the end is put off until that is in the store
   */
  leaves(): boolean {
    if (this.#state === 'attached' && this.#nothingWaits) {
      this.#stopWaiting();
      this.#isLeaving();
    } else if (this.#state === 'attached') this.end('hold-left');
    return this.#state === 'ending';
  }

  /** What waits for a client that is gone for good is put away before anything is acknowledged. @returns true while that is so */
  putsAway(): boolean {
    if (this.#state === 'attached' && !this.#nothingWaits) this.end('hold-left');
    return this.#state === 'ending';
  }

  /**
   * The server's stream has ended.
   * @param inOrder it has read ours to its end
   * @returns false when nothing has come behind the end of ours
   */
  #left(inOrder: boolean): boolean {
    this.#messages.isOver(inOrder);
    if (this.#nothingWaits) this.#over();
    else {
      this.#state = 'ending';
      this.#putAway();
    }
    return this.busy;
  }

  get #serverResumes(): boolean {
    return this.acknowledgement.serverResumption !== undefined;
  }

  get #nothingWaits(): boolean {
    return this.acknowledgement.waiting?.size === 0;
  }

  /**
   * The session cannot be gone on with, and the client is there. It is asked what it has, before it is told and the rest is put away; what
   * it sends meanwhile it will have to send again.
   * @returns false when there is nothing to wait for
   */
  collect(reason: HoldEnd): boolean {
    if (this.#state !== 'attached' || this.#nothingWaits) return false;
    if (this.#collecting !== undefined) return true;
    this.#collecting = reason;
    this.acknowledgement.probe('client');
    this.session.setDeadline('answer', this.session.now + COLLECTING_TIME);
    return true;
  }

  get collecting(): boolean {
    return this.#collecting !== undefined;
  }

  #collected(): void {
    const reason = this.#collecting;
    const { session } = this;
    if (reason === undefined || this.#state !== 'attached') return;
    session.setDeadline('answer', Number.POSITIVE_INFINITY);
    const text = 'This session is over. Connect again.';
    if (this.#nothingWaits) session.client.fail('system-shutdown', text);
    else {
      session.client.close(streamError('system-shutdown', text), 'system-shutdown');
      // The server's stream ends behind what is being stored.
      this.end(reason);
    }
  }

  /** What is for the client is being put away: the session is not over before it is. */
  get busy(): boolean {
    return this.#state === 'ending';
  }

  /** The server does not know its stream any more. */
  serverHasForgotten(): void {
    this.end('hold-server-lost');
  }

  /** The account's client is about to bind the resource anew. @param done called when the session is over on the server too */
  makeRoom(done: () => void): void {
    this.#roomFor.push(done);
    const { session } = this;
    if (this.#state === 'attached') {
      session.client.replaced();
      if (!this.begin()) session.server.close();
    }
    if (this.#state === 'held') {
      const { backlogs } = session.domain;
      const full = prepareJid(this.full) ?? this.full;
      backlogs.reserve(digestOf(this.resumption.id), full, this.#since, session.now);
      this.end('hold-replaced');
    }
    // It has no client any more, and is there for a feature's sake only.
    session.keep.end();
    session.flush();
  }

  /** The session is over in order, or ends for a reason that no connection would mend. */
  release(): void {
    if (this.held) this.session.domain.isHeldNoMore(this.account, this);
    this.#state = 'over';
    this.session.domain.holds.delete(this.resumption.id);
    this.session.domain.backlogs.hasPutAway(this.account, this);
    this.comingBack.fail();
  }

  /** The session has ended, on both sides. */
  finished(): void {
    this.release();
    // The server may have acknowledged more since it ended.
    this.#noteHandled();
    this.session.domain.removeHold(this);
    for (const done of this.#roomFor.splice(0)) done();
  }

  #noteHandled(): void {
    const { domain, bound } = this.session;
    if (bound !== undefined)
      domain.ended.note(this.resumption.id, this.account, bound.acknowledgement.clientHandled);
  }

  /** To be called when something more waits for the client. */
  moreWaits(): void {
    const waiting = this.session.bound?.acknowledgement.waiting;
    if (waiting === undefined) return;
    if (this.#state === 'held') this.#messages.secure(waiting);
    if (!this.#bounds.areExceeded(waiting)) return;
    if (this.#state === 'attached') this.#bounds.waitForClient();
    else if (this.#state === 'held' && !this.#bounds.discardSuperseded(waiting)) this.end('hold-full');
  }

  /** The client has acknowledged something. */
  acknowledged(): void {
    if (this.#nothingWaits) this.#collected();
    this.#bounds.acknowledged();
  }

  /** The client has not acknowledged in time what it was asked for. */
  notAnswered(): void {
    this.#collected();
    if (this.#bounds.nobodyIsBehind() && this.#state === 'attached') this.session.client.lost('reset');
  }

  // The end.

  /** The client has not come back in time, or may not. What it has not acknowledged is kept for the account's next session. */
  end(reason: HoldEnd): void {
    if (!this.mayComeBack) return;
    this.#stopWaiting();
    this.#state = 'ending';
    this.#reason = reason;
    this.session.port.count('hold', reason);
    this.#putAway();
  }

  /** Nobody comes back to this session any more. */
  #stopWaiting(): void {
    const { session } = this;
    if (this.#state === 'attached') this.#since = session.now;
    this.#bounds.nobodyIsBehind();
    session.domain.holds.delete(this.resumption.id);
    this.#noteHandled();
    session.bound!.missed.wantsNoMore();
    session.domain.backlogs.putsAway(this.account, this, this.#since);
    session.setDeadline('hold', Number.POSITIVE_INFINITY);
    this.comingBack.fail();
  }

  /** @param ok false: it is not in the store, and so is not acknowledged to the server either */
  stored(ok: boolean): void {
    if (this.#state !== 'ending') return;
    // What has come meanwhile is kept too.
    if (this.#messages.stored(ok, this.#since)) this.#putAway();
    else this.#leave();
  }

  #putAway(): void {
    if (!this.#messages.putAway(this.#since)) this.#leave();
  }

  /** All that waited is put away: the server's stream is ended. */
  #leave(): void {
    const { session } = this;
    session.endsFor(this.#reason);
    this.#isLeaving();
    // A server that throws the resource out is not to find it in use.
    const isKept = this.#reason !== 'hold-replaced' && session.keep.begin();
    if (isKept || !this.serverIsThere) {
      this.#messages.isOver(isKept);
      this.#over();
    } else {
      session.server.close();
      session.flush();
    }
  }

  #isLeaving(): void {
    this.#state = 'leaving';
    this.#messages.ends();
  }

  #over(): void {
    const { session } = this;
    session.domain.isHeldNoMore(this.account, this);
    this.#state = 'over';
    session.domain.backlogs.hasPutAway(this.account, this);
    session.client.close();
    session.client.give();
    session.flush();
  }
}
