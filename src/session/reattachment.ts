import type { Buffer } from 'node:buffer';
import { withDelay } from './delay.js';
import type { HeldMessages } from './held-messages.js';
import type { Hold } from './hold.js';
import type { Session } from './session.js';

/** How long the server may take to say what it has of the client's stanzas, before a client that resumes is told; ms. */
const SETTLING_TIME = 10_000;

/** The way back of a client to the session that may be resumed: from another session, the newcomer, whose connection is taken over. */
export class Reattachment {
  /** It waits until what the client will be told is true. */
  #newcomer: Session | undefined;
  /** It has asked the server, on its own leg, to go on with the session's stream. */
  #asking: Session | undefined;
  /** They may ask when that one has its answer. */
  #behind: Session[] = [];

  constructor(
    private readonly hold: Hold,
    private readonly session: Session,
    private readonly messages: HeldMessages,
  ) {}

  /**
   * The client is on the newcomer's connection and has proved to be the account's. What it says to have handled must be true: else its
   * stream ends, and the session waits on.
   * @returns false when there is no session any more to come back to
   */
  comeBack(newcomer: Session, h: string | undefined): boolean {
    const { hold, session } = this;
    if (!hold.mayComeBack) return false;
    session.now = newcomer.now;
    if (!this.#acknowledges(newcomer, h)) return true;
    this.#replaces(this.takeNewcomer());
    if (hold.attached) {
      session.client.replaced();
      hold.begin();
      // So much waits that the hold is over already.
      if (hold.busy || !hold.held) return false;
    }
    this.#newcomer = newcomer;
    session.setDeadline('settling', session.now + SETTLING_TIME);
    this.settle();
    return true;
  }

  #acknowledges(newcomer: Session, h: string | undefined): boolean {
    const wrong = this.hold.acknowledgement.clientAnswers(h);
    if (wrong === undefined) return true;
    newcomer.client.countIsWrong(wrong, newcomer.resuming.namespace);
    newcomer.flush();
    return false;
  }

  /** What the client is told to have been handled must be with the server: as soon as it is, the client is taken over. */
  settle(): void {
    const newcomer = this.#newcomer;
    const { session } = this;
    if (
      newcomer === undefined ||
      !this.hold.acknowledgement.upIsSettled() ||
      session.bound?.missed.forgetting === true
    ) {
      session.flush();
      return;
    }
    this.#newcomer = undefined;
    // It may have lost its connection while it waited.
    if (newcomer.client.waitsToResume) this.#attach(newcomer);
    else session.flush();
  }

  /** The server has not said in time what it has handled. */
  notSettled(): void {
    if (this.#newcomer === undefined) return;
    this.session.server.lost('reset');
  }

  /** Takes the client's leg over from the newcomer and goes on where the old connection broke. */
  #attach(newcomer: Session): void {
    const { hold, session } = this;
    session.now = newcomer.now;
    hold.isAttached();
    session.setDeadline('settling', Number.POSITIVE_INFINITY);
    const namespace = newcomer.resuming.namespace;
    if (newcomer.boundAs !== undefined) session.domain.noteProbe(newcomer.boundAs.full);
    session.takeClient(newcomer);
    session.port.count('hold', 'resumed');
    const bound = session.bound!;
    const { acknowledgement, identity } = bound;
    const again = session.client.saysResumed(identity.full, () =>
      acknowledgement.resumeClient(namespace, hold.resumption.id),
    );
    for (const { bytes, since } of again)
      session.client.outbox.bytes(this.#delayed(bytes, this.messages.wallTime(since)));
    session.flush();
    bound.legUp('client');
    session.client.goOn();
    session.flush();
  }

  /**
   * The newcomer is about to ask the server for the session's stream, which it must not be asked for by two at a time. COMPAT: ejabberd 23.01
   * may give it to neither.
   * @returns false when another one is asking: the newcomer's turn comes when that has its answer
   */
  mayAsk(newcomer: Session): boolean {
    if (this.#asking !== undefined && this.#asking !== newcomer) {
      this.#behind.push(newcomer);
      return false;
    }
    this.#asking = newcomer;
    return true;
  }

  /** The newcomer has its answer, or gets none any more. */
  hasAsked(newcomer: Session): void {
    if (this.#asking !== newcomer) return;
    this.#asking = undefined;
    const behind = this.#behind;
    this.#behind = [];
    for (const next of behind) {
      next.resuming.askAgain();
      next.inOthersTurn(newcomer.now);
    }
  }

  /** The server has taken its stream up again, on the newcomer's leg. @param h what it has handled */
  goOnUpstream(newcomer: Session, h: string | undefined): void {
    const { session } = this;
    if (!this.hold.mayComeBack) {
      // Written down for the next process it is to be found by that.
      if (newcomer.goingDown) newcomer.server.cut();
      newcomer.client.fail('system-shutdown', 'This session is over. Connect again.');
      return;
    }
    const { acknowledgement } = this.hold;
    const again = acknowledgement.serverResumes(h);
    if (again === undefined) {
      newcomer.client.fail('internal-server-error', 'The server behind does not follow the protocol.');
      return;
    }
    session.now = newcomer.now;
    session.takeServer(newcomer);
    session.bound!.passOver(again);
    session.bound!.legUp('server');
    if (!newcomer.client.waitsToResume) session.flush();
    else if (this.#acknowledges(newcomer, newcomer.resuming.handledByClient)) this.#attach(newcomer);
  }

  /** The client is on another connection by now: the one that waits may only look alive, like every one before it. */
  #replaces(former: Session | undefined): void {
    if (former?.client.waitsToResume !== true) return;
    former.client.fail('conflict', 'The session is being resumed elsewhere.');
    former.inOthersTurn(this.session.now);
  }

  /** The newcomer, which does not wait here any more. */
  takeNewcomer(): Session | undefined {
    const newcomer = this.#newcomer;
    this.#newcomer = undefined;
    return newcomer;
  }

  /** There is nothing to come back to any more. */
  fail(): void {
    this.takeNewcomer()?.resuming.failed(this.session.bound?.acknowledgement.clientHandled);
  }

  #delayed(bytes: Buffer, at: number): Buffer {
    return withDelay(bytes, at, this.session.domain.name, this.session.namespaces) ?? bytes;
  }
}
