import { Buffer } from 'node:buffer';
import type { StoreEntry } from '../store/store.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import type { BoundSurroundings } from './bound.js';
import type { IqAnswer, IqRequest, SessionIdentity } from './feature.js';
import type { Injections } from './injections.js';
import type { MissedMessages } from './missed-messages.js';
import type { Leg } from './port.js';
import { ResourceBacklog } from './resource-backlog.js';
import type { SessionFeatures } from './session-features.js';
import { Arrival, type ArrivalPlan } from './start/arrival.js';

/** What the beginning of a session needs of it. */
export interface BeginningSurroundings {
  readonly identity: SessionIdentity;
  /** Its bare JID, prepared. */
  readonly account: string;
  readonly around: BoundSurroundings;
  readonly missed: MissedMessages;
  readonly injections: Injections;
  readonly features: SessionFeatures;
  /** A stanza from the server goes its ordinary way. */
  passDown(frame: Frame): void;
  /** One has been used up, and counts at its place. */
  consumed(): void;
  /** Sends what the client has left with us, in its name. */
  sendForClient(xml: string): void;
  request(request: IqRequest, done: (answer: IqAnswer) => void): void;
  takeAnswer(leg: Leg, frame: Frame): boolean;
  setDeadline(name: string, time: number): void;
}

/** Names of the deadlines of the two. */
const BACKLOG = 'backlog';
const ARRIVAL = 'arrival';

/**
 * What stands between the server and a client whose session has just begun: what waited for this very resource, and what the client has left to be done
 * at the start. What the server sends meanwhile passes here. Most sessions never have one.
 */
export class Beginning {
  #backlog: ResourceBacklog | undefined;
  #arrival: Arrival | undefined;

  constructor(private readonly session: BeginningSurroundings) {}

  /** There is nothing left to be done. */
  get over(): boolean {
    return this.#backlog?.over !== false && this.#arrival?.over !== false;
  }

  get arrival(): Arrival | undefined {
    return this.#arrival;
  }

  /** To be called before anything else of the server's comes: what there is for this resource from before is to come first. */
  bringBack(): void {
    const { identity, account, around, missed } = this.session;
    this.#backlog = ResourceBacklog.of(identity, account, {
      port: around.port,
      domain: around.domain,
      waitForStore: (waiting) => (waiting ? around.waitForStore(true) : missed.goOn()),
      deliver: (entries) => missed.deliverFirst(entries),
      pass: (frame) => this.#arrives(frame),
      wakeAt: (time) => this.session.setDeadline(BACKLOG, time),
      get now() {
        return around.now;
      },
    });
  }

  /** What the store has for the account. */
  backlogLoaded(entries: readonly StoreEntry[]): void {
    this.#backlog?.loaded(entries);
  }

  /** The client has turned stream management on. */
  clientHasEnabled(): void {
    this.#backlog?.enabled();
  }

  /** Begins with what the client has left with us. */
  arrive(plan: ArrivalPlan): void {
    const { session } = this;
    const { around, injections } = session;
    this.#arrival = new Arrival(plan, {
      identity: session.identity,
      now: () => around.now,
      randomId: () => around.port.randomId(),
      ask: (payload, done) => session.request({ leg: 'server', type: 'set', payload }, done),
      answers: (frame) => frame.kind === StanzaKind.Iq && session.takeAnswer('server', frame),
      give: (xml, reason) => injections.send('client', Buffer.from(xml), reason),
      isHidden: (message) => session.features.hidesArchived(message),
      send: (xml) => session.sendForClient(xml),
      pass: (frame) => (frame === undefined ? session.consumed() : session.passDown(frame)),
      duplicate: () => around.port.count('stanza_dropped', 'archive-duplicate-dropped'),
      settled: () => session.missed.archiveIsRead(),
      wakeAt: (time) => session.setDeadline(ARRIVAL, time),
    });
    this.#arrival.begin();
  }

  /** A stanza from the client. */
  fromClient(frame: Frame): void {
    this.#backlog?.fromClient(frame);
  }

  /** A stanza from the server: it waits, is used up, or goes its ordinary way. */
  fromServer(frame: Frame): void {
    if (this.#backlog?.takes(frame) !== true) this.#arrives(frame);
  }

  /** A stanza of the server's could not be read. @returns false when its place is to be counted at once */
  loses(): boolean {
    return this.#arrival?.loses() === true;
  }

  /** A deadline of the session has come. */
  wake(name: string): void {
    if (name === BACKLOG) this.#backlog?.wake();
    if (name === ARRIVAL) this.#arrival?.wake();
  }

  #arrives(frame: Frame): void {
    if (this.#arrival?.takes(frame) !== true) this.session.passDown(frame);
  }
}
