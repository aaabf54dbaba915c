import { prepareJid } from '../jid.js';
import type { StoreEntry } from '../store/store.js';
import type { Frame } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { identityOf } from './binding.js';
import { BoundSession } from './bound.js';
import type { SessionIdentity } from './feature.js';
import { Hold } from './hold.js';
import type { SessionPort } from './port.js';
import type { Session } from './session.js';
import type { ResumeRequest } from './start/authenticate.js';
import { readSuspended, type SuspendedSession, suspendedKey } from './suspended.js';
import { undeliveredPrefix } from './undelivered.js';

interface Restoring {
  /** As it was found. */
  readonly entry: StoreEntry;
  readonly bound: BoundSession;
  readonly session: SuspendedSession;
  /** What the store has for the account, where the client had been sent some of it. */
  readonly undelivered: readonly StoreEntry[];
}

interface Asked extends ResumeRequest {
  /** Of our own bind request that is open. */
  bindId: string | undefined;
}

/**
 * A client asks on a new connection to go on with a session of before (XEP-0198 §5): one that is held here, one whose server stream has to be resumed
 * on this connection, or one of a process before this one. Who the client is, the server says in each case.
 */
export class ResumeAttempt {
  /** Whose server stream is being resumed on this one's leg. */
  #resumingUpstream: Hold | undefined;
  /** A session of a process before this one, to be gone on with when the server has its half still. */
  #restoring: Restoring | undefined;
  /** What the client has asked to resume. */
  #asked: Asked | undefined;

  constructor(
    private readonly session: Session,
    private readonly port: SessionPort,
  ) {}

  /** The session of a process before this one that is being gone on with. */
  get restoring(): BoundSession | undefined {
    return this.#restoring?.bound;
  }

  /** `<resume/>` from the client of a session that has no resource yet (XEP-0198 §5). */
  resume(frame: Frame): void {
    const id = frame.attribute('previd') ?? '';
    this.resumeAs({ namespace: frame.namespace(), id, h: frame.attribute('h') });
  }

  /** The same from wherever it was asked for. @param account who the client is, prepared, where it has proved that to us */
  resumeAs(asked: ResumeRequest, account?: string): void {
    const { id } = asked;
    this.#asked = { ...asked, bindId: undefined };
    const hold = this.session.domain.holds.get(id);
    if (account !== undefined) {
      this.#provedToBe(account);
      return;
    }
    // It may be one that was suspended when the proxy was stopped.
    if (hold === undefined && this.session.holdTime === 0)
      this.failed(this.#handledBefore(id, this.#saidToBe));
    else if (hold === undefined) this.port.load(suspendedKey(this.session.domain.name, id), 'resume');
    else if (!hold.serverIsThere) this.resumeUpstream(hold);
    else if (this.session.boundAs !== undefined) this.#provedToBe(this.session.boundAs.bare);
    else {
      // SASL has passed through unread: whose session it is, the server says in its answer to this.
      const bindId = this.port.randomId();
      this.#asked.bindId = bindId;
      this.session.server.outbox.text(`<iq type='set' id='${bindId}'><bind xmlns='${NS.bind}'/></iq>`);
    }
  }

  /** What the store has of the session to be resumed. */
  found(entries: readonly StoreEntry[]): void {
    const resuming = this.#asked;
    if (resuming === undefined) return;
    const key = suspendedKey(this.session.domain.name, resuming.id);
    const session = readSuspended(entries, key, this.port.wallClock());
    const entry = entries.find((each) => each.key === key);
    if (entry !== undefined) this.port.store([{ key, value: undefined }], 'suspended-taken');
    const identity = session === undefined ? undefined : identityOf(session.full);
    const { sm } = this.session.server;
    if (
      entry === undefined ||
      session === undefined ||
      identity === undefined ||
      sm === undefined ||
      this.session.boundAs !== undefined
    ) {
      this.failed(this.#handledBefore(resuming.id, this.#saidToBe));
      return;
    }
    const bound = new BoundSession(identity, this.session);
    bound.acknowledgement.restore(session.counts);
    const wrong = bound.acknowledgement.clientAnswers(resuming.h);
    if (wrong !== undefined) {
      this.session.client.countIsWrong(wrong, resuming.namespace);
      return;
    }
    // What the client has not handled the server sends again, but for what had come out of the store or was made here.
    const fromStore = session.counts.waiting.copies !== undefined;
    bound.acknowledgement.sentIsGone();
    this.#restoring = { entry, bound, session, undelivered: [] };
    if (fromStore)
      this.port.load(undeliveredPrefix(this.session.domain.name, session.account), 'resume-undelivered');
    else this.askToRestore([]);
  }

  askToRestore(undelivered: readonly StoreEntry[]): void {
    if (this.#restoring === undefined) return;
    this.#restoring = { ...this.#restoring, undelivered };
    const { bound, session } = this.#restoring;
    this.session.server.askToResume(session.counts.serverResumption.id, bound.acknowledgement.serverHandled);
  }

  /** The server has its half still, and says by it who this is. */
  #restored(h: string | undefined): void {
    const restoring = this.#restoring;
    const resuming = this.#asked;
    this.#restoring = undefined;
    if (restoring === undefined || resuming === undefined) return;
    const { bound, session, undelivered } = restoring;
    if (bound.acknowledgement.serverResumes(h) === undefined) {
      this.session.client.fail('internal-server-error', 'The server behind does not follow the protocol.');
      return;
    }
    this.session.binding.restore(bound, session);
    this.session.hold = new Hold(this.session, { id: resuming.id, max: session.max }, session.account);
    this.port.count('hold', 'restored');
    this.session.client.saysResumed(bound.identity.full, () =>
      bound.acknowledgement.resumeClient(resuming.namespace, resuming.id),
    );
    bound.missed.deliverFirst(undelivered);
    this.session.client.goOn();
  }

  get handledByClient(): string | undefined {
    return this.#asked?.h;
  }

  get namespace(): string {
    return this.#asked?.namespace ?? NS.sm3;
  }

  /** The server's answer to a bind request. @returns whether it was ours */
  takeBindResult(id: string | undefined, identity: SessionIdentity | undefined): boolean {
    const resuming = this.#asked;
    if (resuming === undefined || resuming.bindId === undefined || resuming.bindId !== id) return false;
    resuming.bindId = undefined;
    this.session.boundAs = identity;
    if (identity === undefined) this.failed(undefined);
    else this.#provedToBe(identity.bare);
    return true;
  }

  /** The held session's own server leg is lost: the server is asked to go on with its stream on this one. */
  resumeUpstream(hold: Hold): void {
    const { serverResumption, serverHandled } = hold.acknowledgement;
    const { sm } = this.session.server;
    // A leg that is bound already cannot resume any more.
    if (serverResumption === undefined || sm === undefined || this.session.boundAs !== undefined)
      this.failed(undefined);
    else if (hold.comingBack.mayAsk(this.session)) {
      this.#resumingUpstream = hold;
      this.session.server.askToResume(serverResumption.id, serverHandled);
    }
  }

  /** `<resumed/>` or `<failed/>` from the server. @param h of `<resumed/>` */
  serverHasResumed(h: string | undefined, failed: boolean): void {
    if (this.#restoring !== undefined) {
      if (!failed) this.#restored(h);
      else {
        const { clientHandled } = this.#restoring.bound.acknowledgement;
        this.#restoring = undefined;
        this.failed(clientHandled);
      }
      return;
    }
    const hold = this.#resumingUpstream;
    this.#resumingUpstream = undefined;
    if (hold === undefined) return;
    // That the server knows the id for this user's is the proof of who it is.
    if (failed) {
      hold.serverHasForgotten();
      this.failed(hold.acknowledgement.clientHandled);
    } else hold.comingBack.goOnUpstream(this.session, h);
    hold.comingBack.hasAsked(this.session);
    // The client may have gone meanwhile.
    if (this.session.client.done && this.session.server.state === 'open') this.session.server.close();
    this.session.flush();
  }

  /** The one that was before it in asking the server has its answer. */
  askAgain(): void {
    if (this.#asked !== undefined && this.session.client.waitsToResume) this.resumeAs(this.#asked);
  }

  /** The server has been asked for the stream of a session that is held here: until it has answered, its leg stays. */
  get awaitsServer(): boolean {
    return this.#resumingUpstream !== undefined;
  }

  /** The leg on which the server was asked is lost. */
  isWithoutServer(): void {
    const hold = this.#resumingUpstream;
    this.#resumingUpstream = undefined;
    hold?.comingBack.hasAsked(this.session);
  }

  /**
   * The connection is given up.
   * @returns true when the server has been asked on it for a stream of a process before this one, which is to wait for the client's next
   * connection: it must not be ended along with this one
   */
  breaksOff(): boolean {
    const restoring = this.#restoring;
    this.#restoring = undefined;
    if (restoring === undefined) return false;
    this.port.store([restoring.entry], 'suspended-kept');
    return true;
  }

  /** @param handled how many of the client's stanzas the former session had handled, where that is known and may be said */
  failed(handled: number | undefined): void {
    const { namespace } = this.#asked ?? { namespace: NS.sm3 };
    this.#asked = undefined;
    this.session.client.refuseToResume(namespace, handled);
    this.session.flush();
  }

  /** @param account its bare JID */
  #provedToBe(account: string): void {
    const resuming = this.#asked;
    if (resuming === undefined) return;
    const hold = this.session.domain.holds.get(resuming.id);
    // To a stranger a session of somebody else's is as unknown as one that never was.
    if (
      hold?.account !== (prepareJid(account) ?? account) ||
      !hold.comingBack.comeBack(this.session, resuming.h)
    )
      this.failed(this.#handledBefore(resuming.id, account));
  }

  /** Who the client has said it is, which the server has accepted; undefined where that cannot be read. */
  get #saidToBe(): string | undefined {
    const { boundAs, client, domain } = this.session;
    if (boundAs !== undefined) return boundAs.bare;
    return client.claimedName === undefined ? undefined : `${client.claimedName}@${domain.name}`;
  }

  /** What a session of the account's had handled that is over. */
  #handledBefore(id: string, account: string | undefined): number | undefined {
    return account === undefined ? undefined : this.session.domain.ended.handled(id, prepareJid(account));
  }
}
