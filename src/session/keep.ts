import type { Session } from './session.js';

/**
 * A session whose client is gone for good and whose server leg stays, because a feature has something to do on it. To everybody else the
 * client is offline: the server is told so, and what comes for the client becomes what it would be without this session.
 */
export class Keep {
  #active = false;

  constructor(private readonly session: Session) {}

  get active(): boolean {
    return this.#active;
  }

  /**
   * The client is gone for good; to be called in place of ending the server's stream.
   * @returns whether it stays. The client's side is the caller's to close.
   */
  begin(): boolean {
    const { session } = this;
    if (this.#active) return true;
    if (session.bound === undefined || session.server.state !== 'open' || session.goingDown) return false;
    const { features } = session.bound;
    // What the client has had is not for another one.
    features.settleReceipts();
    const until = features.neededUntil();
    if (until <= session.now) return false;
    // It comes here again when all is in the store.
    if (session.hold?.putsAway() === true) return true;
    this.#active = true;
    session.port.count('hold', 'kept');
    session.endsFor('kept-server-leg-ended');
    session.setDeadline('kept', until);
    session.hold?.release();
    session.bound.withoutClient();
    return true;
  }

  /** Nothing needs the server leg any more. */
  end(): void {
    if (!this.#active) return;
    this.#active = false;
    this.session.server.close();
  }
}
