import type { HeldMessages } from './held-messages.js';
import type { Hold } from './hold.js';
import type { Session } from './session.js';
import { suspend } from './suspended.js';

/** A session that may be resumed when the process is stopped: where the server keeps its half, the next process goes on with it. */
export class Suspension {
  #active = false;

  constructor(
    private readonly hold: Hold,
    private readonly session: Session,
    private readonly messages: HeldMessages,
  ) {}

  /**
   * The session is written down, and both legs are cut behind that, so that the client can resume it from the next process.
   * @returns false when that cannot be
   */
  begin(): boolean {
    const { hold, session } = this;
    if (!hold.mayComeBack) return false;
    const { acknowledgement } = hold;
    if (acknowledgement.state === undefined || acknowledgement.waiting === undefined) return false;
    const copies = this.messages.secureOurs(acknowledgement.waiting);
    const counts = acknowledgement.state;
    hold.comingBack.fail();
    const { domain, port } = session;
    const expires = port.wallClock() + counts.serverResumption.max * 1000;
    const { max, id } = hold.resumption;
    const { account, full } = hold;
    const features = session.bound!.features.snapshots();
    const { receipts } = session.bound!.features;
    this.#active = true;
    // It need not come to the client again even if it does not resume.
    acknowledgement.lastWordToServer();
    port.store(
      [
        ...copies,
        suspend(domain.name, id, {
          ...{ format: 1, account, full, max, expires, counts, features },
          ...(receipts.length === 0 ? {} : { receipts }),
        }),
      ],
      'suspend',
    );
    return true;
  }

  /** From now on nothing is read: it would not be in what has been written down. */
  get active(): boolean {
    return this.#active;
  }

  /** @param ok false: the client is told that the session is over, and the server ends it */
  stored(ok: boolean): void {
    const { hold, session } = this;
    this.#active = false;
    if (!ok) {
      if (hold.held) hold.end('hold-shutdown');
      else session.client.fail('system-shutdown', 'The proxy is being restarted.');
      return;
    }
    session.port.count('hold', 'suspended');
    session.endsFor('suspended');
    session.client.cut();
    session.client.give();
    session.server.cut();
    hold.release();
  }
}
