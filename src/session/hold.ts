import { Buffer } from 'node:buffer';
import { prepareJid } from '../jid.js';
import type { StoreChange } from '../store/store.js';
import { stanzaError, streamError } from '../stream/errors.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { parseStanza } from '../xml/tokenizer.js';
import type { Resumption } from './acknowledgement.js';
import { withDelay } from './delay.js';
import { CLIENT_BEHIND } from './leg.js';
import type { Session } from './session.js';
import { messageKeys } from './sightings.js';
import { suspend } from './suspended.js';
import type { Unacknowledged, WaitingStanza } from './unacknowledged.js';
import { undeliveredChange } from './undelivered.js';

/** How long the server may take to say what it has of the client's stanzas, before a client that resumes is told; ms. */
const SETTLING_TIME = 10_000;

/** How long a client may take to say what it has, when its session ends; ms. */
const COLLECTING_TIME = 2_000;

/** How long a client may take to acknowledge when more is open than is allowed; ms. */
const ANSWER_TIME = 60_000;

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
  #newcomer: Session | undefined;
  #reason: HoldEnd = 'hold-expired';
  /** Up to here what is for the client is being stored. */
  #storing = 0;
  #suspending = false;
  /** Why the session is about to end, while the client is asked what it has. */
  #collecting: HoldEnd | undefined;
  readonly #roomFor: (() => void)[] = [];
  /** So much waits for the client's acknowledgement that the server is not read. */
  #behind = false;
  /** When the connection broke. */
  #since = 0;
  /** Up to here copies of messages are in the store while the client is waited for. */
  #secured = 0;

  constructor(
    private readonly session: Session,
    readonly resumption: Resumption,
    /** The account, prepared. */
    readonly account: string,
  ) {
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
    if (this.#collecting !== undefined || (!this.serverIsThere && !this.#serverResumes)) {
      if (this.#nothingWaits) this.release();
      else this.end(this.#collecting ?? 'hold-server-lost');
      return this.busy;
    }
    this.#state = 'held';
    this.#since = session.now;
    session.domain.watch(this.account, this)?.end('hold-crowded');
    session.port.count('hold', 'held');
    session.setDeadline('hold', session.now + this.resumption.max * 1000);
    session.bound?.legDown('client');
    this.moreWaits();
    return true;
  }

  /** The server leg is lost without an end of its stream. @returns false when that is the end of the session */
  serverLost(): boolean {
    const { session } = this;
    const { acknowledgement } = session.bound!;
    if (this.#state === 'ending') return true;
    if (this.#state === 'leaving') return this.#left();
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
    const newcomer = this.#newcomer;
    this.#newcomer = undefined;
    newcomer?.resumeUpstream(this);
    return true;
  }

  /** The server has ended its stream in order: what it has not been acknowledged it deals with itself. */
  serverClosed(): void {
    if (this.#state === 'leaving') this.#left();
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
      this.#state = 'leaving';
    } else if (this.#state === 'attached') this.end('hold-left');
    return this.#state === 'ending';
  }

  /** What waits for a client that is gone for good is put away before anything is acknowledged. @returns true while that is so */
  putsAway(): boolean {
    if (this.#state === 'attached' && !this.#nothingWaits) this.end('hold-left');
    return this.#state === 'ending';
  }

  /** The server's stream has ended. @returns false when nothing has come behind the end of ours */
  #left(): boolean {
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
      session.client.close(streamError('system-shutdown', text));
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

  /** The server has taken its stream up again, on the newcomer's leg. @param h what it has handled */
  goOnUpstream(newcomer: Session, h: string | undefined): void {
    const { session, acknowledgement } = this;
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
    else if (this.#acknowledges(newcomer, newcomer.handledByClient)) this.attach(newcomer);
  }

  /** The account's client is about to bind the resource anew. @param done called when the session is over on the server too */
  makeRoom(done: () => void): void {
    this.#roomFor.push(done);
    const { session } = this;
    if (this.#state === 'attached') {
      session.client.replaced();
      if (!this.begin()) session.server.close();
    }
    if (this.#state === 'held') this.end('hold-replaced');
    session.flush();
  }

  /** The session is over in order, or ends for a reason that no connection would mend. */
  release(): void {
    if (this.held) this.session.domain.unwatch(this.account, this);
    this.#state = 'over';
    this.session.domain.holds.delete(this.resumption.id);
    this.session.domain.backlogs.hasPutAway(this.account, this);
    this.#failNewcomer();
  }

  /** The session has ended, on both sides. */
  finished(): void {
    this.release();
    this.session.domain.removeHold(this);
    for (const done of this.#roomFor.splice(0)) done();
  }

  /** To be called when something more waits for the client. */
  moreWaits(): void {
    const waiting = this.session.bound?.acknowledgement.waiting;
    if (waiting === undefined) return;
    if (this.#state === 'held') this.#secure(waiting);
    if (this.#isOver(waiting)) this.#keepBounds(waiting);
  }

  /**
   * A server without stream management has forgotten what it has sent, and would have kept it had it seen that the client is gone: as long
   * as we are waited for by nobody, a copy of each message is in the store, so that it outlives us.
   */
  #secure(waiting: Unacknowledged): void {
    const { session, acknowledgement } = this;
    if (acknowledgement.serverWanted) return;
    const changes = [];
    for (const stanza of waiting.behind(this.#secured)) {
      this.#secured = stanza.ordinal;
      if (stanza.stored !== undefined) continue;
      const frame = parseStanza(stanza.bytes, session.namespaces);
      const change = 'condition' in frame ? undefined : this.#change(frame, stanza, false, []);
      if (change === undefined) continue;
      stanza.stored = change.key;
      stanza.secured = true;
      // It is this client's as long as it may come back.
      session.domain.backlogs.delivering.add(change.key);
      changes.push(change);
    }
    if (changes.length > 0) session.port.store(changes, 'secured');
  }

  #keepBounds(waiting: Unacknowledged): void {
    if (this.#state === 'attached') this.#waitForClient();
    if (this.#state !== 'held') return;
    const over = () => this.#isOver(waiting);
    const left = waiting.discard(withoutSuperseded(waiting.waiting(), this.session));
    for (let i = 0; i < left; i++) this.session.port.count('hold', 'presence-superseded');
    if (over()) this.end('hold-full');
  }

  #isOver(waiting: Unacknowledged): boolean {
    const { stanzas, bytes } = this.session.domain.config.hold;
    return waiting.size > stanzas || waiting.bytes > bytes;
  }

  /** A client that reads and does not acknowledge: its server waits with it, and in the end it counts as gone. */
  #waitForClient(): void {
    const { session } = this;
    if (this.#behind) return;
    this.#behind = true;
    session.port.count('hold', 'client-behind');
    session.server.stopReading(CLIENT_BEHIND);
    session.bound!.acknowledgement.probe('client');
    session.setDeadline('answer', session.now + ANSWER_TIME);
  }

  /** The client has acknowledged something. */
  acknowledged(): void {
    const waiting = this.session.bound?.acknowledgement.waiting;
    if (this.#nothingWaits) this.#collected();
    if (!this.#behind || waiting === undefined || this.#isOver(waiting)) return;
    this.#behind = false;
    this.session.setDeadline('answer', Number.POSITIVE_INFINITY);
    this.session.server.readAgain(CLIENT_BEHIND);
  }

  /** The client has not acknowledged in time what it was asked for. */
  notAnswered(): void {
    this.#collected();
    if (!this.#behind) return;
    this.#behind = false;
    this.session.server.readAgain(CLIENT_BEHIND);
    if (this.#state === 'attached') this.session.client.lost('reset');
  }

  // Coming back.

  /**
   * The client is on the newcomer's connection and has proved to be the account's. What it says to have handled must be true: else its
   * stream ends, and the session waits on.
   * @returns false when there is no session any more to come back to
   */
  comeBack(newcomer: Session, h: string | undefined): boolean {
    if (this.#state !== 'attached' && this.#state !== 'held') return false;
    if (this.#newcomer !== undefined) return false;
    const { session } = this;
    session.now = newcomer.now;
    if (!this.#acknowledges(newcomer, h)) return true;
    if (this.#state === 'attached') {
      session.client.replaced();
      this.begin();
      // So much waits that the hold is over already.
      if (this.busy || !this.held) return false;
    }
    this.#newcomer = newcomer;
    session.setDeadline('settling', session.now + SETTLING_TIME);
    this.settle();
    return true;
  }

  #acknowledges(newcomer: Session, h: string | undefined): boolean {
    const wrong = this.acknowledgement.clientAnswers(h);
    if (wrong === undefined) return true;
    newcomer.client.countIsWrong(wrong, newcomer.resumingWith);
    newcomer.flush();
    return false;
  }

  /** What the client is told to have been handled must be with the server: as soon as it is, the client is taken over. */
  settle(): void {
    const newcomer = this.#newcomer;
    const { session } = this;
    if (
      newcomer === undefined ||
      !this.acknowledgement.upIsSettled() ||
      session.bound?.missed.forgetting === true
    ) {
      session.flush();
      return;
    }
    this.#newcomer = undefined;
    // It may have lost its connection while it waited.
    if (newcomer.client.waitsToResume) this.attach(newcomer);
    else session.flush();
  }

  /** The server has not said in time what it has handled. */
  notSettled(): void {
    if (this.#newcomer === undefined) return;
    this.session.server.lost('reset');
  }

  /** Takes the client's leg over from the newcomer and goes on where the old connection broke. */
  attach(newcomer: Session): void {
    const { session } = this;
    session.now = newcomer.now;
    this.#state = 'attached';
    session.domain.unwatch(this.account, this);
    session.setDeadline('hold', Number.POSITIVE_INFINITY);
    session.setDeadline('settling', Number.POSITIVE_INFINITY);
    const namespace = newcomer.resumingWith;
    if (newcomer.boundAs !== undefined) session.domain.noteProbe(newcomer.boundAs.full);
    session.takeClient(newcomer);
    session.port.count('hold', 'resumed');
    const bound = session.bound!;
    const { acknowledgement, identity } = bound;
    const again = session.client.saysResumed(identity.full, () =>
      acknowledgement.resumeClient(namespace, this.resumption.id),
    );
    for (const { bytes, since } of again)
      session.client.outbox.bytes(this.#delayed(bytes, this.#wallTime(since)));
    session.flush();
    bound.legUp('client');
    session.client.goOn();
    session.flush();
  }

  // Being stopped.

  /**
   * The process is stopped. Where the server keeps its half, the session is written down and both legs are cut, so that the client can resume it
   * from the next process. @returns false when that cannot be
   */
  suspend(): boolean {
    const { session } = this;
    if (this.#state !== 'attached' && this.#state !== 'held') return false;
    const counts = this.acknowledgement.state;
    if (counts === undefined) return false;
    this.#failNewcomer();
    const { domain, port } = session;
    const expires = port.wallClock() + counts.serverResumption.max * 1000;
    const { max, id } = this.resumption;
    const { full } = this;
    const features = session.bound!.snapshots();
    this.#suspending = true;
    // It need not come to the client again even if it does not resume.
    this.acknowledgement.lastWordToServer();
    port.store(
      [suspend(domain.name, id, { format: 1, account: this.account, full, max, expires, counts, features })],
      'suspend',
    );
    return true;
  }

  /** From now on nothing is read: it would not be in what has been written down. */
  get suspending(): boolean {
    return this.#suspending;
  }

  /** @param ok false: the client is told that the session is over, and the server ends it */
  suspended(ok: boolean): void {
    const { session } = this;
    this.#suspending = false;
    if (!ok) {
      if (this.held) this.end('hold-shutdown');
      else session.client.fail('system-shutdown', 'The proxy is being restarted.');
      return;
    }
    session.port.count('hold', 'suspended');
    session.endsFor('suspended');
    session.client.cut();
    session.client.give();
    session.server.cut();
    this.release();
  }

  // The end.

  /** The client has not come back in time, or may not. What it has not acknowledged is kept for the account's next session. */
  end(reason: HoldEnd): void {
    if (this.#state !== 'attached' && this.#state !== 'held') return;
    this.#stopWaiting();
    this.#state = 'ending';
    this.#reason = reason;
    this.session.port.count('hold', reason);
    this.#putAway();
  }

  /** Nobody comes back to this session any more. */
  #stopWaiting(): void {
    const { session } = this;
    if (this.#state === 'attached') {
      this.#since = session.now;
      session.domain.watch(this.account, this);
    }
    session.domain.holds.delete(this.resumption.id);
    session.bound!.missed.wantsNoMore();
    session.domain.backlogs.putsAway(this.account, this, this.#since);
    session.setDeadline('hold', Number.POSITIVE_INFINITY);
    this.#failNewcomer();
  }

  /** @param ok false: it is not in the store, and so is not acknowledged to the server either */
  stored(ok: boolean): void {
    if (this.#state !== 'ending') return;
    const { acknowledgement } = this.session.bound!;
    if (ok) {
      acknowledgement.isSafe(this.#storing);
      this.session.domain.backlogs.missed(this.account, this.#since);
    }
    if (!ok) this.session.port.log('warn', 'messages not stored', { domain: this.session.domain.name });
    // What has come meanwhile is kept too.
    if (ok && acknowledgement.waiting!.size > 0) this.#putAway();
    else this.#leave();
  }

  #putAway(): void {
    const { session } = this;
    const { acknowledgement } = session.bound!;
    const waiting = acknowledgement.waiting!.waiting();
    this.#storing = acknowledgement.down.sent;
    let again = false;
    // What a server with stream management was not acknowledged it may deliver by itself, but it need not. COMPAT: ejabberd drops
    // what it has archived, Prosody returns it to its sender while another resource is there.
    const doubtful = acknowledgement.serverEnabled && !this.serverIsThere;
    const changes = [];
    for (const stanza of waiting) {
      const frame = parseStanza(stanza.bytes, session.namespaces);
      if ('condition' in frame) continue;
      if (frame.kind === StanzaKind.Iq && this.serverIsThere)
        this.#answerIq(frame.type, frame.id, frame.from);
      if (stanza.stored !== undefined) {
        // It is in the store still, and free for who comes next or is there already.
        session.domain.backlogs.delivering.delete(stanza.stored);
        if (stanza.secured !== true) {
          again = true;
          continue;
        }
      }
      const change = this.#change(frame, stanza, doubtful, this.#seenBy(messageKeys(frame, this.account)));
      if (change === undefined) continue;
      changes.push(change);
      session.domain.backlogs.mark(frame.to);
      if (doubtful) {
        const keys = messageKeys(frame, this.account);
        session.domain.doubts.note(this.account, keys, change.key, false, session.port.wallClock());
      }
    }
    if (changes.length > 0) session.port.store(changes, 'hold');
    else {
      acknowledgement.isSafe(this.#storing);
      if (again) session.domain.backlogs.missed(this.account, this.#since);
      this.#leave();
    }
  }

  /** What puts a stanza away, or what is there of it already anew; undefined for what is not kept. */
  #change(
    frame: Frame,
    stanza: WaitingStanza,
    doubtful: boolean,
    seenBy: readonly string[],
  ): StoreChange | undefined {
    const change = undeliveredChange(frame, {
      domain: this.session.domain.name,
      account: this.account,
      session: this.resumption.id,
      ordinal: stanza.ordinal,
      at: this.#wallTime(stanza.since),
      doubtful,
      seenBy,
    });
    return change === undefined ? undefined : { ...change, key: stanza.stored ?? change.key };
  }

  /** Other devices that have it. This one was sent it and has not acknowledged it. */
  #seenBy(keys: readonly string[]): readonly string[] {
    const { domain, bound } = this.session;
    return domain.seenBy(this.account, keys).filter((resource) => resource !== bound?.identity.resource);
  }

  /** All that waited is put away: the server's stream is ended. */
  #leave(): void {
    const { session } = this;
    session.endsFor(this.#reason);
    this.#state = 'leaving';
    // A server that throws the resource out is not to find it in use.
    if (this.#reason !== 'hold-replaced' && session.keep.begin()) this.#over();
    else if (this.serverIsThere) {
      session.server.close();
      session.flush();
    } else this.#over();
  }

  #over(): void {
    const { session } = this;
    session.domain.unwatch(this.account, this);
    this.#state = 'over';
    session.domain.backlogs.hasPutAway(this.account, this);
    session.client.close();
    session.client.give();
    session.flush();
  }

  #answerIq(type: string | undefined, id: string | undefined, from: string | undefined): void {
    if (type !== 'get' && type !== 'set') return;
    const answered = { name: 'iq', id, from: undefined, to: from } as const;
    const error = stanzaError(answered, 'cancel', 'service-unavailable');
    this.session.bound!.inject('server', Buffer.from(error), 'held-iq-answered');
  }

  #failNewcomer(): void {
    const newcomer = this.#newcomer;
    this.#newcomer = undefined;
    newcomer?.resumeFailed(this.session.bound?.acknowledgement.clientHandled);
  }

  #wallTime(moment: number): number {
    const { domain, port, now } = this.session;
    return domain.backlogs.wallTime(moment, port.wallClock(), now);
  }

  #delayed(bytes: Buffer, at: number): Buffer {
    return withDelay(bytes, at, this.session.domain.name, this.session.namespaces) ?? bytes;
  }
}

/** Presences of which a later one from the same sender waits say nothing any more. */
function withoutSuperseded(
  waiting: readonly WaitingStanza[],
  session: Session,
): (stanza: WaitingStanza) => boolean {
  const latest = new Map<string, WaitingStanza>();
  const superseded = new Set<WaitingStanza>();
  for (const stanza of waiting) {
    const frame = parseStanza(stanza.bytes, session.namespaces);
    if ('condition' in frame || frame.kind !== StanzaKind.Presence) continue;
    const { type, from } = frame;
    if (from === undefined || (type !== undefined && type !== 'unavailable')) continue;
    const sender = prepareJid(from) ?? from;
    const former = latest.get(sender);
    if (former !== undefined) superseded.add(former);
    latest.set(sender, stanza);
  }
  return (stanza) => !superseded.has(stanza);
}
