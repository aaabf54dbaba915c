import { fromWireCount, Ledger, type LedgerState, parseWireCount, wireCount } from '../stream/ledger.js';
import type { Leg } from './port.js';
import { Unacknowledged, type WaitingStanza, type WaitingState } from './unacknowledged.js';

/** What the translation of acknowledgements needs of a session. */
export interface AcknowledgementOutput {
  /** Puts a nonza behind what has been sent to a leg so far. */
  nonza(leg: Leg, xml: string): void;
  /** True when all that was sent to a leg has been taken by the kernel. */
  allWritten(leg: Leg): boolean;
  /** Asks for a call of `written(leg)` when all that was sent up to now has been taken by the kernel. */
  whenWritten(leg: Leg): void;
  /** The client has acknowledged stanzas of which there is a copy in the store. */
  storedSettled(keys: readonly string[]): void;
  /** Some of those are not out of the store yet: if we were killed now the client would get them again. */
  storeIsBehind(): boolean;
  /** The client may have acknowledged more than it had. */
  received(): void;
  /** Up to here of what the server has sent nothing is being put away that could still be lost; Infinity: nothing at all. */
  safeUpTo(): number;
}

/** What a session can be resumed by (XEP-0198 §5). */
export interface Resumption {
  readonly id: string;
  /** Seconds for which it is held. */
  readonly max: number;
}

/** Where both legs stand, as plain data; of a session that both sides may resume. */
export interface AcknowledgementState {
  readonly clientSm: string;
  readonly clientUpBase: number;
  readonly clientDownBase: number;
  readonly waiting: WaitingState;
  readonly serverSm: string;
  readonly serverUpBase: number;
  readonly serverDownBase: number;
  readonly serverResumption: Resumption;
  readonly up: LedgerState;
  readonly down: LedgerState;
}

/** Every so many stanzas of one direction an acknowledgement is asked for unasked, so that no account grows without an end. */
const ASK_EVERY = 256;

/**
 * Stream management of both legs and its translation (XEP-0198). Each leg counts for itself; to one side only that is confirmed which
 * the other side has confirmed or, where it has no stream management, what has been written to it. `up` is the direction client → server.
 *
 * Both legs in one file, because each step of the one is answered by the other: what may be said to the client is what the server has said.
 */
export class Acknowledgement {
  up = new Ledger();
  down = new Ledger();

  /** Namespace of the client's stream management; undefined while it has not enabled it. */
  #clientSm: string | undefined;
  /** Of a client that may resume: what it has not acknowledged. */
  #waiting: Unacknowledged | undefined;
  #clientUpBase = 0;
  #clientDownBase = 0;
  #clientAsked = false;
  /** The client wants to hear of everything up to this ordinal. */
  #owedToClient = 0;
  #toldClient = 0;

  #serverSm: string | undefined;
  #serverState: 'none' | 'pending' | 'on' = 'none';
  /** By which the server takes its stream up again. */
  #serverResumption: Resumption | undefined;
  #serverUpBase = 0;
  #serverDownBase = 0;
  #serverAsked = false;
  #owedToServer = 0;
  #toldServer = 0;

  /** What had been sent when the kernel was asked to report; undefined while no report is due. */
  #writtenUp: number | undefined;
  #writtenDown: number | undefined;

  constructor(private readonly output: AcknowledgementOutput) {}

  get clientEnabled(): boolean {
    return this.#clientSm !== undefined;
  }

  get serverEnabled(): boolean {
    return this.#serverState === 'on';
  }

  /** What a client that may resume has not acknowledged; undefined for every other client. */
  get waiting(): Unacknowledged | undefined {
    return this.#waiting;
  }

  /** The server has been asked to turn it on. */
  get serverWanted(): boolean {
    return this.#serverSm !== undefined;
  }

  get serverResumption(): Resumption | undefined {
    return this.#serverResumption;
  }

  get clientNamespace(): string | undefined {
    return this.#clientSm;
  }

  /** Turns stream management on towards the server. Nothing that is sent before counts. */
  enableServer(namespace: string, resume = false): void {
    this.#serverSm = namespace;
    this.#serverState = 'pending';
    this.#serverUpBase = this.up.sent;
    this.up.acknowledge(this.up.sent);
    this.output.nonza('server', `<enable xmlns='${namespace}'${resume ? " resume='true'" : ''}/>`);
  }

  /** `<enabled/>` from the server: it counts what it sends from here on (XEP-0198 §4). */
  serverHasEnabled(resumption?: Resumption): void {
    if (this.#serverState !== 'pending') return;
    this.#serverState = 'on';
    this.#serverResumption = resumption;
    this.#serverDownBase = this.down.received;
    this.#toldServer = this.down.received;
    this.#askServer();
  }

  serverHasRefused(): void {
    if (this.#serverState !== 'pending') return;
    this.#serverState = 'none';
    this.#settleUp();
    this.#oweClient();
  }

  /** `<enable/>` from a bound client. @returns false when it had been enabled before */
  enableClient(namespace: string, resumption?: Resumption): boolean {
    if (this.#clientSm !== undefined) return false;
    this.#settleDown();
    this.#clientSm = namespace;
    this.#clientUpBase = this.up.received;
    this.#toldClient = this.up.received;
    this.#clientDownBase = this.down.sent;
    this.down.acknowledge(this.down.sent);
    if (resumption !== undefined) this.#waiting = new Unacknowledged();
    const resume =
      resumption === undefined ? '' : ` id='${resumption.id}' resume='true' max='${resumption.max}'`;
    this.output.nonza('client', `<enabled xmlns='${namespace}'${resume}/>`);
    return true;
  }

  /** Keeps a stanza that has just been counted as sent to the client, until the client acknowledges it. */
  keep(stanza: Omit<WaitingStanza, 'ordinal'>, connected: boolean): void {
    this.#waiting?.add({ ordinal: this.down.sent, ...stanza }, connected);
  }

  /** What the client has not acknowledged, up to an ordinal, is in the store or nobody's loss: to the server it is settled. */
  isSafe(ordinal: number): void {
    this.#waiting?.letGo(ordinal);
    this.down.acknowledge(ordinal);
    if (this.#serverState === 'on' && this.down.settled > this.#toldServer) this.#tellServer();
  }

  /** Whether nothing of the client's is on its way to the server; if something is, the server is asked. */
  upIsSettled(): boolean {
    this.#settleUp();
    if (this.up.settled >= this.up.received) return true;
    if (this.#serverState === 'on' && !this.#serverAsked) this.#request('server');
    return false;
  }

  /** Where both legs stand; undefined when one of them cannot be resumed. */
  get state(): AcknowledgementState | undefined {
    if (this.#clientSm === undefined || this.#waiting === undefined) return undefined;
    if (this.#serverSm === undefined || this.#serverResumption === undefined) return undefined;
    return {
      clientSm: this.#clientSm,
      clientUpBase: this.#clientUpBase,
      clientDownBase: this.#clientDownBase,
      waiting: this.#waiting.state,
      serverSm: this.#serverSm,
      serverUpBase: this.#serverUpBase,
      serverDownBase: this.#serverDownBase,
      serverResumption: this.#serverResumption,
      up: this.up.state,
      down: this.down.state,
    };
  }

  /** Goes on where a session stood whose stanzas are gone: what is not settled both sides will send again. */
  restore(state: AcknowledgementState): void {
    this.#clientSm = state.clientSm;
    this.#clientUpBase = state.clientUpBase;
    this.#clientDownBase = state.clientDownBase;
    this.#waiting = Unacknowledged.restore(state.waiting);
    this.#serverSm = state.serverSm;
    // Nothing is to be told to the server before it has taken its stream up again.
    this.#serverState = 'pending';
    this.#serverUpBase = state.serverUpBase;
    this.#serverDownBase = state.serverDownBase;
    this.#serverResumption = state.serverResumption;
    this.up = Ledger.restore(state.up);
    this.down = Ledger.restore(state.down);
  }

  /** The client has said what it has handled; the rest of what it was sent before is the server's to send again. */
  sentIsGone(): void {
    this.down.rewind();
    this.#waiting?.letGo(Number.POSITIVE_INFINITY);
    this.#owedToServer = 0;
    this.#toldServer = Math.max(this.down.settled, this.#serverDownBase);
  }

  /** On the new connection: `<resumed/>`, and what is to be sent behind it. */
  resumeClient(namespace: string, id: string): readonly WaitingStanza[] {
    this.#clientSm = namespace;
    this.#clientAsked = false;
    const settled = Math.max(this.up.settled, this.#clientUpBase);
    this.#toldClient = settled;
    this.#owedToClient = settled;
    const h = wireCount(settled - this.#clientUpBase);
    this.output.nonza('client', `<resumed xmlns='${namespace}' previd='${id}' h='${h}'/>`);
    return this.#waiting?.resend() ?? [];
  }

  /** How many of the client's stanzas are settled, as it counts them. */
  get clientHandled(): number {
    return wireCount(Math.max(this.up.settled, this.#clientUpBase) - this.#clientUpBase);
  }

  /** What a request to the server to take the stream up again has to say of us. */
  get serverHandled(): number {
    return wireCount(Math.max(this.down.settled, this.#serverDownBase) - this.#serverDownBase);
  }

  /**
   * The server has taken its stream up again. What it says not to have handled, the client will send again; what it sends again
   * and we have is to be passed over.
   * @returns how many stanzas of the server's are to be passed over; undefined when its count cannot be true
   */
  serverResumes(h: string | undefined): number | undefined {
    const wire = parseWireCount(h);
    if (wire === undefined) return undefined;
    const count = fromWireCount(wire, this.up.acknowledged - this.#serverUpBase) + this.#serverUpBase;
    if (!this.up.acknowledge(count)) return undefined;
    this.up.rewind();
    this.#serverState = 'on';
    this.#serverAsked = false;
    const settled = Math.max(this.down.settled, this.#serverDownBase);
    this.#toldServer = settled;
    this.#owedToServer = settled;
    return this.down.received - settled;
  }

  /** `<r/>` from the client: answered with what is true now; what is still open is told as soon as it is known. */
  clientAsks(): void {
    if (this.#clientSm === undefined) return;
    this.#settleUp();
    this.#tellClient();
    this.#owedToClient = this.up.received;
    this.#askServer();
  }

  /** `<r/>` from the server. */
  serverAsks(): void {
    if (this.#serverState !== 'on') return;
    this.#settleDown();
    this.#tellServer();
    this.#owedToServer = this.down.received;
    this.#askClient();
  }

  /**
   * `<a/>` from the client, or the `h` of its `<resume/>`.
   * @returns undefined, or what is wrong with it: the counts as they belong into the error (XEP-0198 §4)
   */
  clientAnswers(
    h: string | undefined,
  ): { readonly h: string; readonly sent: number } | 'malformed' | undefined {
    if (this.#clientSm === undefined) return undefined;
    const wire = parseWireCount(h);
    if (wire === undefined) return 'malformed';
    this.#clientAsked = false;
    if (!this.#settle(wire)) {
      const sent = this.#waiting?.sentOnWire ?? wireCount(this.down.sent - this.#clientDownBase);
      return { h: String(wire), sent };
    }
    this.output.received();
    if (this.#serverState !== 'on') return undefined;
    // Unasked too: if its connection broke, the server would take what the client has for lost.
    if (this.down.settled > this.#toldServer) this.#tellServer();
    if (this.#owedToServer > this.#toldServer) this.#askClient();
    return undefined;
  }

  /** `<a/>` from the server. @returns false when its count cannot be true; nothing has changed then */
  serverAnswers(h: string | undefined): boolean {
    if (this.#serverState !== 'on') return true;
    const wire = parseWireCount(h);
    if (wire === undefined) return false;
    this.#serverAsked = false;
    const count = fromWireCount(wire, this.up.acknowledged - this.#serverUpBase) + this.#serverUpBase;
    if (!this.up.acknowledge(count)) return false;
    this.#oweClient();
    return true;
  }

  /** All that had been sent to the leg when `whenWritten` was called has been taken by the kernel. */
  written(leg: Leg): void {
    if (leg === 'server') {
      const mark = this.#writtenUp;
      this.#writtenUp = undefined;
      if (this.#serverState !== 'none' || mark === undefined) return;
      this.up.acknowledge(mark);
      // More may have been written since.
      if (this.up.settled < this.#owedToClient) this.#settleUp();
      this.#oweClient();
    } else {
      const mark = this.#writtenDown;
      this.#writtenDown = undefined;
      if (this.#clientSm !== undefined || mark === undefined) return;
      this.down.acknowledge(mark);
      this.output.received();
      if (this.#serverState !== 'on' || this.#owedToServer <= this.#toldServer) return;
      if (this.down.settled < this.#owedToServer) this.#settleDown();
      if (this.down.settled > this.#toldServer) this.#tellServer();
    }
  }

  /** More of what has been put away is safe. */
  saferThanBefore(): void {
    if (this.#serverState !== 'on' || this.#owedToServer <= this.#toldServer) return;
    if (Math.min(this.down.settled, this.output.safeUpTo()) > this.#toldServer) this.#tellServer();
  }

  /** Somebody waits for the client to have what it has been sent. @param asks it is to be asked, where it can be */
  wantsReceipt(asks: boolean): void {
    if (this.#clientSm === undefined) this.#settleDown();
    else if (asks && !this.#clientAsked && this.down.acknowledged < this.down.sent) this.#request('client');
  }

  /** To be called after each stanza of a direction: keeps the accounts short when nobody asks. */
  stanzaSent(direction: 'up' | 'down'): void {
    if (direction === 'up') {
      if (this.up.sent % ASK_EVERY !== 0) return;
      if (this.#serverState === 'on') this.#request('server');
      else this.#settleUp();
    } else if (this.down.sent % ASK_EVERY === 0) {
      if (this.#clientSm !== undefined) this.#request('client');
      else this.#settleDown();
    }
  }

  /** The last word to a server whose stream is about to be closed: what has reached the client (XEP-0198 §4). */
  lastWordToServer(): void {
    if (this.#serverState !== 'on') return;
    this.#settleDown();
    if (this.down.settled > this.#toldServer) this.#tellServer();
  }

  /** Asks the peer of a leg for a sign of life, when it has stream management. @returns false when it has not */
  probe(leg: Leg): boolean {
    if (leg === 'client' ? this.#clientSm === undefined : this.#serverState !== 'on') return false;
    this.#request(leg);
    return true;
  }

  /** @returns false when the client has not been sent that many */
  #settle(wire: number): boolean {
    const waiting = this.#waiting;
    if (waiting === undefined) {
      const base = this.#clientDownBase;
      return this.down.acknowledge(fromWireCount(wire, this.down.acknowledged - base) + base);
    }
    const settled = waiting.acknowledge(wire);
    if (settled === undefined) return false;
    const { oldest } = waiting;
    this.down.acknowledge(oldest === undefined ? this.down.sent : oldest - 1);
    const stored = settled.flatMap((stanza) => stanza.stored ?? []);
    if (stored.length > 0) this.output.storedSettled(stored);
    return true;
  }

  #oweClient(): void {
    if (this.#clientSm === undefined || this.#owedToClient <= this.#toldClient) return;
    if (this.up.settled > this.#toldClient && !this.output.storeIsBehind()) this.#tellClient();
    this.#askServer();
  }

  /** Whoever has read an acknowledgement takes it that we have read his before it, and acted on it for good. */
  #tellClient(): void {
    if (!this.output.storeIsBehind()) this.#toldClient = Math.max(this.up.settled, this.#clientUpBase);
    const h = wireCount(this.#toldClient - this.#clientUpBase);
    this.output.nonza('client', `<a xmlns='${this.#clientSm}' h='${h}'/>`);
  }

  /** The store has caught up. */
  storeIsThere(): void {
    this.#oweClient();
  }

  #tellServer(): void {
    const safe = Math.min(this.down.settled, this.output.safeUpTo());
    const settled = Math.max(safe, this.#toldServer, this.#serverDownBase);
    this.#toldServer = settled;
    this.output.nonza(
      'server',
      `<a xmlns='${this.#serverSm}' h='${wireCount(settled - this.#serverDownBase)}'/>`,
    );
  }

  /** Asks the server when the client waits for more than is known; one question at a time. */
  #askServer(): void {
    if (this.#serverState !== 'on' || this.#serverAsked || this.#owedToClient <= this.#toldClient) return;
    if (this.up.settled < this.#owedToClient) this.#request('server');
  }

  #askClient(): void {
    if (this.#clientSm === undefined || this.#clientAsked || this.#owedToServer <= this.#toldServer) return;
    if (this.down.settled < this.#owedToServer) this.#request('client');
  }

  #request(leg: Leg): void {
    if (leg === 'server') {
      this.#serverAsked = true;
      this.output.nonza('server', `<r xmlns='${this.#serverSm}'/>`);
    } else {
      this.#clientAsked = true;
      this.output.nonza('client', `<r xmlns='${this.#clientSm}'/>`);
    }
  }

  /** Without stream management on the server, what the kernel has taken is handed over. */
  #settleUp(): void {
    if (this.#serverState !== 'none') return;
    if (this.output.allWritten('server')) {
      this.up.acknowledge(this.up.sent);
    } else if (this.#writtenUp === undefined) {
      this.#writtenUp = this.up.sent;
      this.output.whenWritten('server');
    }
  }

  #settleDown(): void {
    if (this.#clientSm !== undefined) return;
    if (this.output.allWritten('client')) {
      this.down.acknowledge(this.down.sent);
    } else if (this.#writtenDown === undefined) {
      this.#writtenDown = this.down.sent;
      this.output.whenWritten('client');
    }
  }
}
