import { prepareJid } from '../jid.js';
import type { Frame } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../xml/serialize.js';
import type { Resumption } from './acknowledgement.js';
import { BoundSession } from './bound.js';
import type { SessionIdentity } from './feature.js';
import { Hold } from './hold.js';
import type { Session } from './session.js';
import type { EnableRequest } from './start/authenticate.js';
import type { SuspendedSession } from './suspended.js';

/** How a session comes to its resource, and to stream management on its two legs. */
export class ResourceBinding {
  /** The server has stream management, and whether it is to hold the session is yet to be seen. */
  serverUndecided = false;

  constructor(private readonly session: Session) {}

  /**
   * A resource has been bound.
   * @param welcome tells the client, where that is not done yet, before anything else goes to it
   * @param enabled namespaces of what was switched on along with it
   * @param readsArchive before anything else goes to the client
   */
  bind(
    identity: SessionIdentity,
    welcome?: () => void,
    enabled?: ReadonlySet<string>,
    readsArchive = false,
  ): void {
    const bound = new BoundSession(identity, this.session);
    this.session.boundAs = undefined;
    this.session.enter(bound);
    // What the archive has comes first, and is in order.
    if (!readsArchive) bound.bringBack();
    // Whether the server may hold a session of its own accord depends on whether the client can come back to it: without stream management
    // of its own it could not, and would leave a ghost behind.
    if (this.session.holdTime === 0) this.enableServer(false);
    else this.serverUndecided = this.session.server.sm !== undefined;
    welcome?.();
    bound.features.open({}, enabled);
  }

  /** A session of a process before this one goes on here. @param suspended with what its features have to know again */
  restore(bound: BoundSession, { features, receipts = [] }: SuspendedSession): void {
    this.session.enter(bound);
    bound.features.open(features);
    // What they are told first is what the client has.
    bound.features.restoreReceipts(receipts);
  }

  /** Turns stream management on towards the server, if it has it and has not been asked yet. */
  enableServer(resume: boolean): void {
    const { sm } = this.session.server;
    const acknowledgement = this.session.bound?.acknowledgement;
    this.serverUndecided = false;
    if (sm !== undefined && acknowledgement?.serverWanted === false) acknowledgement.enableServer(sm, resume);
  }

  /** `<enable/>` from the client (XEP-0198 §3). @returns false when it had been enabled before */
  enableClient(frame: Frame): boolean {
    const resume = frame.attributeEquals('resume', 'true') || frame.attributeEquals('resume', '1');
    return this.enableWith({
      namespace: frame.namespace(),
      resume,
      max: Number(frame.attribute('max') ?? 0),
    });
  }

  /** The same from wherever it was asked for. `<enabled/>` goes out at once. */
  enableWith({ namespace, resume, max: asked }: EnableRequest): boolean {
    const { bound } = this.session;
    if (bound === undefined || bound.acknowledgement.clientEnabled) return false;
    this.enableServer(resume && this.session.holdTime > 0);
    let resumption: Resumption | undefined;
    if (resume && this.session.holdTime > 0) resumption = this.#mayResume(bound, asked);
    bound.acknowledgement.enableClient(namespace, resumption);
    bound.clientHasEnabled();
    return true;
  }

  #mayResume(bound: BoundSession, asked: number): Resumption {
    const max = asked > 0 ? Math.min(Math.ceil(asked), this.session.holdTime) : this.session.holdTime;
    const resumption = { id: this.session.port.randomId(), max };
    this.session.hold = new Hold(
      this.session,
      resumption,
      prepareJid(bound.identity.bare) ?? bound.identity.bare,
    );
    return resumption;
  }

  /**
   * A resource is about to be asked for. A session of the same account that has it and may be resumed ends first, in order, so that what it
   * has for its client is put away: of a server that throws it out nobody knows what becomes of that.
   * @returns true when `go` has been called, false when it will be
   */
  whenFree(resource: string | undefined, go: () => void): boolean {
    const name = this.session.client.claimedName;
    const full =
      resource === undefined ? undefined : prepareJid(`${name}@${this.session.domain.name}/${resource}`);
    const hold = name === undefined || full === undefined ? undefined : this.session.domain.holdOf(full);
    if (hold === undefined) {
      go();
      return true;
    }
    hold.makeRoom(() => {
      go();
      this.session.flush();
    });
    return false;
  }

  /** The client binds a resource. @returns true when the leg has one already and the answer is given here */
  bindsAgain(frame: Frame): boolean {
    const identity = this.session.boundAs;
    if (identity === undefined) return false;
    const id = frame.id === undefined ? '' : ` id='${escapeAttribute(frame.id)}'`;
    const jid = `<bind xmlns='${NS.bind}'><jid>${escapeText(identity.full)}</jid></bind>`;
    this.session.client.outbox.text(`<iq type='result'${id}>${jid}</iq>`);
    this.bind(identity);
    return true;
  }
}
