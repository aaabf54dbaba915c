import { Buffer } from 'node:buffer';
import type { UpstreamLimits } from '../config/model.js';
import { prepareJid } from '../jid.js';
import type { StoreEntry } from '../store/store.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { parseStanza } from '../xml/tokenizer.js';
import { Acknowledgement, type AcknowledgementOutput } from './acknowledgement.js';
import { Beginning, type BeginningSurroundings } from './beginning.js';
import { Deadlines } from './deadlines.js';
import type { DomainRuntime } from './domain.js';
import type { IqAnswer, IqRequest, ServerKind, SessionIdentity } from './feature.js';
import { type InjectionOutput, Injections } from './injections.js';
import { IqRequests } from './iq-requests.js';
import { MissedMessages, type MissedSurroundings } from './missed-messages.js';
import type { Outbox } from './outbox.js';
import type { Leg, SessionPort } from './port.js';
import type { Reason } from './reasons.js';
import { type FeatureSurroundings, SessionFeatures } from './session-features.js';
import { pong, refusal, resourceIsGone } from './stand-in.js';
import type { Arrival, ArrivalPlan } from './start/arrival.js';

/** What a bound session needs of the session around it. */
export interface BoundSurroundings {
  readonly port: SessionPort;
  readonly toClient: Outbox;
  readonly toServer: Outbox;
  readonly domain: DomainRuntime;
  readonly serverKind: ServerKind;
  /** URL of the server, as it is configured. */
  readonly upstream: string;
  readonly serverLimits: UpstreamLimits;
  /** The client's connection is lost and it may come back. */
  readonly clientIsHeld: boolean;
  /** There is no client any more, and the server leg is kept without one. */
  readonly clientIsGone: boolean;
  /** Nothing needs such a leg any more. */
  readonly endKept: () => void;
  /** More may wait for the client than is allowed. */
  readonly moreWaits: () => void;
  /** The server is not read while the store is asked what comes before it. */
  readonly waitForStore: (waiting: boolean) => void;
  /** The time of the event that is being handled; ms. */
  readonly now: number;
  readonly wakeTimesChanged: () => void;
  /** What is done now is done in the turn of another session: it goes out when that is over. */
  readonly inOthersTurn: (now: number) => void;
  /** The server takes nothing any more although its stream is still open. */
  readonly serverIsLost: () => void;
}

/**
 * A session from the moment a resource is bound: its stanzas go through the features, are written, counted for stream management and kept for a client
 * that may resume. Everything that leaves keeps its order, what is injected comes behind the stanza that caused it.
 *
 * It is this long because it is where the parts of a session meet: each of them reaches the others through it.
 */
export class BoundSession
  implements
    AcknowledgementOutput,
    BeginningSurroundings,
    FeatureSurroundings,
    InjectionOutput,
    MissedSurroundings
{
  /** The bare JID, prepared. */
  readonly account: string;
  readonly acknowledgement: Acknowledgement;
  readonly injections = new Injections(this);
  readonly features: SessionFeatures;
  readonly missed: MissedMessages;
  readonly #requests = new IqRequests();
  readonly #deadlines = new Deadlines();
  #passOver = 0;
  /** While something comes to the client before what the server sends. */
  #beginning: Beginning | undefined;

  constructor(
    readonly identity: SessionIdentity,
    readonly around: BoundSurroundings,
  ) {
    this.account = prepareJid(identity.bare) ?? identity.bare;
    this.acknowledgement = new Acknowledgement(this);
    this.features = new SessionFeatures(this);
    this.missed = new MissedMessages(this.account, this);
  }

  // How it begins.

  /** To be called before anything else of the server's comes: what there is for this resource from before is to come first. */
  bringBack(): void {
    this.#beginning ??= new Beginning(this);
    this.#beginning.bringBack();
    this.#hasBegun();
  }

  /** Begins with what the client has left with us; what the server sends meanwhile has to pass there. */
  arrive(plan: ArrivalPlan): void {
    this.#beginning ??= new Beginning(this);
    this.#beginning.arrive(plan);
    this.#hasBegun();
  }

  /** What the store has for the account of a session that has just begun. */
  backlogLoaded(entries: readonly StoreEntry[]): void {
    this.#beginning?.backlogLoaded(entries);
    this.#hasBegun();
  }

  /** The client has turned stream management on. */
  clientHasEnabled(): void {
    this.#beginning?.clientHasEnabled();
    this.#hasBegun();
  }

  /** The beginning may be over. */
  #hasBegun(): void {
    if (this.#beginning?.over === true) this.#beginning = undefined;
  }

  // Stanzas that come by.

  /** A stanza from the client. @param frame in the standard context of a stream and without flaw */
  fromClient(frame: Frame): void {
    const { acknowledgement, around } = this;
    if (frame.kind === StanzaKind.Iq && this.takeAnswer('client', frame)) {
      acknowledgement.up.consume();
      return;
    }
    if (this.#beginning !== undefined) {
      this.#beginning.fromClient(frame);
      this.#hasBegun();
    }
    const greets = this.missed.greets(frame);
    const outermost = this.injections.begin();
    const outcome = this.features.handle('to-server', frame, around.now);
    switch (outcome.kind) {
      case 'pass':
        this.#passUp(frame, frame.buffer, frame.start, frame.end);
        break;
      case 'changed':
        around.port.count('stanza_changed', outcome.reason);
        this.#passUp(frame, outcome.bytes, 0, outcome.bytes.length);
        break;
      default:
        if (outcome.kind === 'dropped') around.port.count('stanza_dropped', outcome.reason);
        acknowledgement.up.consume();
    }
    this.injections.end(outermost);
    if (greets) this.missed.greeting();
  }

  #passUp(frame: Frame, bytes: Buffer, start: number, end: number): void {
    if (end - start > this.around.serverLimits.stanzaBytes) {
      this.refuse(frame, 'modify', 'policy-violation', 'stanza-over-upstream-limit', OVER_LIMIT);
      return;
    }
    this.around.toServer.range(bytes, start, end);
    this.acknowledgement.up.pass();
    this.acknowledgement.stanzaSent('up');
  }

  /** A stanza from the server. @param frame in the standard context of a stream and without flaw */
  fromServer(frame: Frame): void {
    if (this.#passOver > 0) this.#passOver -= 1;
    else if (this.#beginning === undefined) this.passDown(frame);
    else {
      this.#beginning.fromServer(frame);
      this.#hasBegun();
    }
  }

  passDown(frame: Frame): void {
    const { acknowledgement, around } = this;
    // COMPAT: jabberd2 whose router has restarted returns every stanza to its sender, marked as failed, and never recovers.
    if (around.serverKind === 'jabberd2' && frame.attributeEquals('failed', '1')) {
      this.#returned(frame);
      return;
    }
    if (frame.kind === StanzaKind.Iq && this.takeAnswer('server', frame)) {
      acknowledgement.down.consume();
      return;
    }
    // COMPAT: ejabberd tells an account's sessions of the end of a resource that never was available.
    if (
      frame.kind === StanzaKind.Presence &&
      frame.attributeEquals('type', 'unavailable') &&
      around.domain.wasProbe(frame.from)
    ) {
      around.port.count('stanza_dropped', 'probe-presence-dropped');
      acknowledgement.down.consume();
      return;
    }
    if (this.missed.comesAgain(frame)) {
      around.port.count('stanza_dropped', 'delivered-before');
      acknowledgement.down.consume();
      return;
    }
    const outermost = this.injections.begin();
    const outcome = this.features.handle('to-client', frame, around.now);
    if (outcome.kind === 'dropped' || outcome.kind === 'handled') {
      if (outcome.kind === 'dropped') around.port.count('stanza_dropped', outcome.reason);
      acknowledgement.down.consume();
    } else if (around.clientIsGone) {
      this.#forNobody(frame);
      acknowledgement.down.consume();
    } else {
      if (outcome.kind === 'changed') around.port.count('stanza_changed', outcome.reason);
      const changed = this.features.amended(frame, outcome.kind === 'changed' ? outcome.bytes : undefined);
      const answer = around.clientIsHeld ? pong(frame) : undefined;
      if (answer === undefined) this.#giveClient(frame, changed);
      else {
        this.injections.send('server', Buffer.from(answer), 'held-ping-answered');
        acknowledgement.down.consume();
      }
    }
    this.injections.end(outermost);
  }

  /** @param changed what it has become; undefined: it goes as it came */
  #giveClient(frame: Frame, changed: Buffer | undefined): void {
    const { acknowledgement, around } = this;
    // While it is held the client has no connection, or has ended its stream on it.
    if (!around.clientIsHeld) {
      if (changed !== undefined) around.toClient.bytes(changed);
      else around.toClient.range(frame.buffer, frame.start, frame.end);
    }
    acknowledgement.down.pass();
    if (acknowledgement.waiting !== undefined) this.#keep(changed ?? Buffer.from(frame.bytes()), false);
    this.missed.note(frame);
    acknowledgement.stanzaSent('down');
  }

  /** A stanza from the server that could not be read with certainty: the client never sees it, and the counts go on. */
  droppedFromServer(): void {
    if (this.#passOver > 0) this.#passOver -= 1;
    else if (this.#beginning?.loses() !== true) this.consumed();
  }

  consumed(): void {
    this.acknowledgement.down.consume();
  }

  /** The next so many stanzas of the server's have come before: it resumes a stream. */
  passOver(count: number): void {
    this.#passOver = count;
  }

  /** A stanza that the client has left with us: it has no place in the client's count. */
  sendForClient(xml: string): void {
    const frame = parseStanza(Buffer.from(xml), this.domain.namespaces);
    if ('condition' in frame) return;
    const greets = this.missed.greets(frame);
    const outermost = this.injections.begin();
    const outcome = this.features.handle('to-server', frame, this.now);
    if (outcome.kind === 'pass') this.sendNow('server', frame.bytes(), 'session-start-sent');
    else if (outcome.kind === 'changed') this.sendNow('server', outcome.bytes, 'session-start-sent');
    this.injections.end(outermost);
    if (greets) this.missed.greeting();
  }

  // What is answered in the place of others.

  /** Answers a stanza of the client's in place of the server. */
  refuse(
    frame: Frame,
    type: Parameters<typeof refusal>[2],
    condition: Parameters<typeof refusal>[3],
    reason: Reason,
    text?: string,
  ): void {
    this.acknowledgement.up.consume();
    this.port.count('stanza_dropped', reason);
    const error = refusal(frame, this.identity.full, type, condition, text);
    if (error !== undefined) this.injections.send('client', Buffer.from(error), reason);
  }

  /** One of the client's own stanzas came back: it gets an error for it, and a reason to come again. */
  #returned(frame: Frame): void {
    this.consumed();
    this.port.count('stanza_dropped', 'undeliverable-returned');
    const error = refusal(frame, this.identity.full, 'wait', 'service-unavailable');
    if (error !== undefined) this.injections.send('client', Buffer.from(error), 'undeliverable-returned');
    this.around.serverIsLost();
  }

  /** A stanza for a resource that is not there any more (RFC 6121 §8.5.3.2), though its stream is. */
  #forNobody(frame: Frame): void {
    if (frame.kind === StanzaKind.Message) {
      if (frame.attributeEquals('type', 'error')) return;
      const isSafe = this.features.holdAcknowledgement();
      this.features.keepForAccount(this.account, Buffer.from(frame.bytes()), isSafe);
      return;
    }
    const error = resourceIsGone(frame);
    if (error !== undefined) this.injections.send('server', Buffer.from(error), 'held-iq-answered');
  }

  // What the proxy sends and asks itself.

  sendNow(leg: Leg, bytes: Buffer, reason: Reason, stored?: string): void {
    const { acknowledgement, around } = this;
    if (leg === 'client' && around.clientIsGone) return;
    around.port.count('stanza_injected', reason);
    if (leg === 'server' || !around.clientIsHeld) this.#outbox(leg).bytes(bytes);
    if (leg === 'client' && around.domain.hasOthers(this.account)) this.#noteBytes(bytes);
    const ledger = leg === 'client' ? acknowledgement.down : acknowledgement.up;
    ledger.inject();
    if (leg === 'client' && acknowledgement.waiting !== undefined) this.#keep(bytes, true, stored);
    acknowledgement.stanzaSent(leg === 'client' ? 'down' : 'up');
  }

  /** As `missed.note`, of what did not come from the server, such as a copy of what another session got. */
  #noteBytes(bytes: Buffer): void {
    const frame = parseStanza(bytes, this.domain.namespaces);
    if (!('condition' in frame)) this.missed.note(frame);
  }

  /** Keeps a stanza for a client that may resume until the client acknowledges it. @param bytes nobody else's */
  #keep(bytes: Buffer, isOurs: boolean, stored?: string): void {
    const { around } = this;
    const since = around.domain.backlogs.moment(around.now);
    this.acknowledgement.keep({ bytes, since, stored, isOurs }, !around.clientIsHeld);
    if (around.clientIsHeld && stored === undefined) this.features.waits(this.account, bytes);
    around.moreWaits();
  }

  request(request: IqRequest, done: (answer: IqAnswer) => void): void {
    const { port, now } = this;
    const xml = this.#requests.open(port.randomId(), request, this.identity, now, done);
    if (xml !== undefined) this.injections.send(request.leg, Buffer.from(xml), 'iq-request-sent');
    this.around.wakeTimesChanged();
  }

  takeAnswer(leg: Leg, frame: Frame): boolean {
    if (this.#requests.size === 0) return false;
    const taken = this.#requests.take(leg, frame, this.identity);
    if (taken === undefined) return false;
    const reason = taken === 'taken' ? 'iq-answer-taken' : 'iq-answer-not-from-addressee';
    this.port.count('iq_request', reason);
    this.around.wakeTimesChanged();
    return true;
  }

  /** Asks a peer for a sign of life (XEP-0198 `<r/>`, else XEP-0199). */
  probe(leg: Leg): void {
    if (this.acknowledgement.probe(leg)) return;
    if (leg === 'server') this.ping(() => {});
    else this.request({ leg, type: 'get', payload: PING }, () => {});
  }

  ping(done: () => void): void {
    this.request({ leg: 'server', type: 'get', to: this.identity.domain, payload: PING }, done);
  }

  // Its legs, its time and its end.

  legUp(leg: Leg): void {
    this.features.legUp(leg);
  }

  legDown(leg: Leg): void {
    if (leg === 'client') {
      this.features.settleReceipts();
      this.missed.clientIsGone();
    }
    this.#requests.lose(leg);
    this.features.legDown(leg);
    if (leg !== 'client' || this.acknowledgement.waiting === undefined) return;
    // What it may have had before the connection was lost, and has not said so.
    for (const { bytes, stored } of this.acknowledgement.waiting.waiting())
      if (stored === undefined) this.features.waits(this.account, bytes);
  }

  /** There is no client from now on: it is offline to all others, and nothing is counted for it. */
  withoutClient(): void {
    const { acknowledgement } = this;
    this.missed.wantsNoMore();
    acknowledgement.isSafe(acknowledgement.down.sent);
    this.legDown('client');
    this.sendForClient("<presence type='unavailable'/>");
  }

  /** The session is over. */
  close(): void {
    this.features.settleReceipts();
    const waiting = this.acknowledgement.waiting?.waiting() ?? [];
    this.missed.close(waiting.flatMap(({ stored }) => stored ?? []));
    this.features.close();
  }

  /** The earliest time at which a feature or a request wants to go on; ms. */
  get nextWake(): number {
    return Math.min(this.#deadlines.next, this.#requests.nextDeadline);
  }

  setDeadline(name: string, time: number): void {
    this.#deadlines.set(name, time);
    this.around.wakeTimesChanged();
  }

  wake(now: number): void {
    this.#requests.expire(now);
    for (const name of this.#deadlines.due(now)) {
      this.#beginning?.wake(name);
      this.#hasBegun();
      this.features.wake(name, now);
    }
  }

  // What acknowledgement reaches of it.

  #outbox(leg: Leg): Outbox {
    return leg === 'client' ? this.around.toClient : this.around.toServer;
  }

  nonza(leg: Leg, xml: string): void {
    this.#outbox(leg).text(xml);
  }

  allWritten(leg: Leg): boolean {
    this.#outbox(leg).flush();
    return this.port.unsent(leg) === 0;
  }

  whenWritten(leg: Leg): void {
    this.port.whenFlushed(leg);
  }

  storedSettled(copies: readonly string[]): void {
    this.features.settled(copies);
  }

  storeIsBehind(): boolean {
    return this.missed.forgetting;
  }

  received(): void {
    this.features.received();
  }

  safeUpTo(): number {
    return this.features.safeUpTo;
  }

  // What the messages that others have missed reach of it.

  get domain(): DomainRuntime {
    return this.around.domain;
  }

  get port(): SessionPort {
    return this.around.port;
  }

  get serverKind(): ServerKind {
    return this.features.serverKind;
  }

  get now(): number {
    return this.around.now;
  }

  get clientResumes(): boolean {
    return this.acknowledgement.waiting !== undefined;
  }

  get clientIsHeld(): boolean {
    return this.around.clientIsHeld;
  }

  get arrival(): Arrival | undefined {
    return this.#beginning?.arrival;
  }

  waitForStore(waiting: boolean): void {
    this.around.waitForStore(waiting);
  }

  put(bytes: Buffer, stored: string): void {
    this.sendNow('client', bytes, 'undelivered-message', stored);
  }

  storeIsThere(): void {
    this.acknowledgement.storeIsThere();
  }
}

const PING = `<ping xmlns='${NS.ping}'/>`;

const OVER_LIMIT = 'This is larger than the server behind accepts; send it in smaller parts or upload it.';
