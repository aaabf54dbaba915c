import { Buffer } from 'node:buffer';
import type { StoreChange } from '../store/store.js';
import { stanzaError } from '../stream/errors.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { parseStanza } from '../xml/tokenizer.js';
import type { Doubtful } from './doubts.js';
import type { Session } from './session.js';
import { messageKeys } from './sightings.js';
import { digestOf } from './suspended.js';
import type { Unacknowledged, WaitingStanza } from './unacknowledged.js';
import { isKept, UNDELIVERED, undeliveredChange } from './undelivered.js';

/** What the client of a session that may be resumed has not acknowledged, and the store. */
export class HeldMessages {
  /** Up to here what is for the client is being stored. */
  #storing = 0;
  /** Up to here copies of messages are in the store while the client is waited for. */
  #secured = 0;
  /** What came later was on its way by then. */
  #latest = Number.POSITIVE_INFINITY;
  /** What has been put away and is acknowledged to the server, which may never read that. */
  #acknowledged: Doubtful[] = [];

  constructor(
    private readonly session: Session,
    /** What the session is resumed by. */
    private readonly id: string,
    /** Prepared. */
    private readonly account: string,
  ) {}

  /** @param moment at which something came. @returns ms since 1970 */
  wallTime(moment: number): number {
    const { domain, port, now } = this.session;
    return domain.backlogs.wallTime(moment, port.wallClock(), now);
  }

  /**
   * The server is about to be told that the session is over. What it has sent before it knows is older than what it keeps from then on for the account's next
   * session, however late it is read here.
   */
  ends(): void {
    const { domain, now } = this.session;
    // Behind all that has come before, which may be of the same moment of a coarse clock.
    this.#latest = domain.backlogs.moment(now);
  }

  /**
   * A server without stream management has forgotten what it has sent, and would have kept it had it seen that the client is gone: as long
   * as the client is waited for, a copy of each message is in the store, so that it outlives us.
   */
  secure(waiting: Unacknowledged): void {
    const { session } = this;
    if (session.bound!.acknowledgement.serverWanted) return;
    const changes = [];
    for (const stanza of waiting.behind(this.#secured)) {
      this.#secured = stanza.ordinal;
      if (stanza.stored !== undefined) continue;
      const frame = parseStanza(stanza.bytes, session.namespaces);
      const change = 'condition' in frame ? undefined : this.#change(frame, stanza, false);
      if (change === undefined) continue;
      stanza.stored = change.key;
      stanza.secured = true;
      // It is this client's as long as it may come back.
      session.domain.backlogs.delivering.add(change.key);
      changes.push(change);
    }
    if (changes.length === 0) return;
    session.port.store(changes, 'secured');
    session.bound!.features.putAway();
  }

  /**
   * The session is about to be written down, and the server will send again what is its own and not acknowledged.
   * @returns what puts a copy of the rest into the store, for when the client comes back
   */
  secureOurs(waiting: Unacknowledged): StoreChange[] {
    return waiting.waiting().flatMap((stanza) => {
      if (stanza.isOurs !== true || stanza.stored !== undefined) return [];
      const frame = parseStanza(stanza.bytes, this.session.namespaces);
      if ('condition' in frame) return [];
      const change = this.#change(frame, stanza, false);
      if (change === undefined) return [];
      stanza.stored = change.key;
      stanza.secured = true;
      return [change];
    });
  }

  /**
   * Nobody waits for the client any more: all that waits for it is put away.
   * @param since when it was gone; ms
   * @returns false when that is done, else `stored` follows
   */
  putAway(since: number): boolean {
    const { session } = this;
    const { acknowledgement } = session.bound!;
    const waiting = acknowledgement.waiting!.waiting();
    const serverIsThere = session.server.state === 'open';
    this.#storing = acknowledgement.down.sent;
    let again = false;
    // What a server with stream management was not acknowledged it may deliver by itself, but it need not. COMPAT: ejabberd drops
    // what it has archived, Prosody returns it to its sender while another resource is there. That it has read what it was
    // acknowledged is certain only when it has ended its stream: we may be killed, or the leg may break, before.
    const doubtful = acknowledgement.serverEnabled;
    const changes = [];
    for (const stanza of waiting) {
      const frame = parseStanza(stanza.bytes, session.namespaces);
      if ('condition' in frame) continue;
      if (frame.kind === StanzaKind.Iq && serverIsThere) this.#answerIq(frame.type, frame.id, frame.from);
      if (stanza.stored !== undefined) {
        // It is in the store still, and free for who comes next or is there already.
        session.domain.backlogs.delivering.delete(stanza.stored);
        if (stanza.secured !== true) {
          again = true;
          // The server's own copy, dropped behind it, was not acknowledged either. What a feature has of it is its own.
          if (doubtful && stanza.stored.startsWith(UNDELIVERED))
            this.#isPutAway(frame, stanza.stored, serverIsThere);
          continue;
        }
      }
      const change = this.#change(frame, stanza, doubtful);
      if (change === undefined) continue;
      changes.push(change);
      session.domain.backlogs.mark(frame.to);
      if (doubtful) this.#isPutAway(frame, change.key, serverIsThere);
    }
    if (changes.length > 0) {
      session.port.store(changes, 'hold');
      session.bound!.features.putAway();
      return true;
    }
    acknowledgement.isSafe(this.#storing);
    if (again) session.domain.backlogs.missed(this.account, since);
    return false;
  }

  /**
   * What was put away is in the store, or could not be written: then it is not acknowledged to the server either.
   * @returns whether more has come meanwhile
   */
  stored(ok: boolean, since: number): boolean {
    const { acknowledgement } = this.session.bound!;
    if (!ok) {
      this.session.port.log('warn', 'messages not stored', { domain: this.session.domain.name });
      return false;
    }
    acknowledgement.isSafe(this.#storing);
    this.session.domain.backlogs.missed(this.account, since);
    return acknowledgement.waiting!.size > 0;
  }

  /** @param isTold the server is acknowledged it */
  #isPutAway(frame: Frame, stored: string, isTold: boolean): void {
    const keys = messageKeys(frame, this.account);
    const message = { keys, stored, resource: this.session.bound?.identity.resource };
    if (isTold) this.#acknowledged.push(message);
    else this.#isInDoubt(message);
  }

  #isInDoubt(message: Doubtful): void {
    const { domain, port } = this.session;
    domain.doubts.note(this.account, message, false, port.wallClock());
  }

  /** @param inOrder the server has read all that it was acknowledged; else it may never have */
  isOver(inOrder: boolean): void {
    const acknowledged = this.#acknowledged;
    this.#acknowledged = [];
    for (const message of acknowledged) {
      if (inOrder) this.session.domain.doubts.settle(message.stored);
      else this.#isInDoubt(message);
    }
  }

  /** What puts a stanza away, or what is there of it already anew; undefined for what is not kept. */
  #change(frame: Frame, stanza: WaitingStanza, doubtful: boolean): StoreChange | undefined {
    const { domain, bound } = this.session;
    if (!isKept(frame)) return undefined;
    const resource = bound?.identity.resource;
    const keys = messageKeys(frame, this.account);
    const sightings = domain.sightings.of(this.account, keys, stanza.since);
    const seenBy = new Set(sightings.map((sighting) => sighting.resource));
    // This one was sent it and has not acknowledged it.
    seenBy.delete(resource ?? '');
    const change = undeliveredChange(frame, {
      ...{ domain: domain.name, account: this.account, session: digestOf(this.id), ordinal: stanza.ordinal },
      ...{ at: this.wallTime(Math.min(stanza.since, this.#latest)), keys, doubtful, resource },
      seenBy: [...seenBy],
    });
    return change === undefined ? undefined : { ...change, key: stanza.stored ?? change.key };
  }

  #answerIq(type: string | undefined, id: string | undefined, from: string | undefined): void {
    if (type !== 'get' && type !== 'set') return;
    const answered = { name: 'iq', id, from: undefined, to: from } as const;
    const error = stanzaError(answered, 'cancel', 'service-unavailable');
    this.session.bound!.injections.send('server', Buffer.from(error), 'held-iq-answered');
  }
}
