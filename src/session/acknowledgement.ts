import { fromWireCount, Ledger, parseWireCount, wireCount } from '../stream/ledger.js';
import type { Leg } from './port.js';

/** What the translation of acknowledgements needs of a session. */
export interface AcknowledgementOutput {
  /** Puts a nonza behind what has been sent to a leg so far. */
  nonza(leg: Leg, xml: string): void;
  /** True when all that was sent to a leg has been taken by the kernel. */
  allWritten(leg: Leg): boolean;
  /** Asks for a call of `written(leg)` when all that was sent up to now has been taken by the kernel. */
  whenWritten(leg: Leg): void;
}

/** Every so many stanzas of one direction an acknowledgement is asked for unasked, so that no account grows without an end. */
const ASK_EVERY = 256;

/**
 * Stream management of both legs and its translation (XEP-0198). Each leg counts for itself; to one side only that is confirmed which
 * the other side has confirmed or, where it has no stream management, what has been written to it. `up` is the direction client → server.
 */
export class Acknowledgement {
  readonly up = new Ledger();
  readonly down = new Ledger();

  /** Namespace of the client's stream management; undefined while it has not enabled it. */
  #clientSm: string | undefined;
  #clientUpBase = 0;
  #clientDownBase = 0;
  #clientAsked = false;
  /** The client wants to hear of everything up to this ordinal. */
  #owedToClient = 0;
  #toldClient = 0;

  #serverSm: string | undefined;
  #serverState: 'none' | 'pending' | 'on' = 'none';
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

  /** Turns stream management on towards the server, without resumption. Nothing that is sent before counts. */
  enableServer(namespace: string): void {
    this.#serverSm = namespace;
    this.#serverState = 'pending';
    this.#serverUpBase = this.up.sent;
    this.up.acknowledge(this.up.sent);
    this.output.nonza('server', `<enable xmlns='${namespace}'/>`);
  }

  /** `<enabled/>` from the server: it counts what it sends from here on (XEP-0198 §4). */
  serverHasEnabled(): void {
    if (this.#serverState !== 'pending') return;
    this.#serverState = 'on';
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
  enableClient(namespace: string): boolean {
    if (this.#clientSm !== undefined) return false;
    this.#settleDown();
    this.#clientSm = namespace;
    this.#clientUpBase = this.up.received;
    this.#toldClient = this.up.received;
    this.#clientDownBase = this.down.sent;
    this.down.acknowledge(this.down.sent);
    this.output.nonza('client', `<enabled xmlns='${namespace}'/>`);
    return true;
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
   * `<a/>` from the client.
   * @returns undefined, or what is wrong with it: the counts as they belong into the error (XEP-0198 §4)
   */
  clientAnswers(
    h: string | undefined,
  ): { readonly h: string; readonly sent: number } | 'malformed' | undefined {
    if (this.#clientSm === undefined) return undefined;
    const wire = parseWireCount(h);
    if (wire === undefined) return 'malformed';
    this.#clientAsked = false;
    const count = fromWireCount(wire, this.down.acknowledged - this.#clientDownBase) + this.#clientDownBase;
    if (!this.down.acknowledge(count)) {
      return { h: String(wire), sent: wireCount(this.down.sent - this.#clientDownBase) };
    }
    if (this.#serverState === 'on' && this.#owedToServer > this.#toldServer) {
      if (this.down.settled > this.#toldServer) this.#tellServer();
      this.#askClient();
    }
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
      if (this.#serverState !== 'on' || this.#owedToServer <= this.#toldServer) return;
      if (this.down.settled < this.#owedToServer) this.#settleDown();
      if (this.down.settled > this.#toldServer) this.#tellServer();
    }
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

  #oweClient(): void {
    if (this.#clientSm === undefined || this.#owedToClient <= this.#toldClient) return;
    if (this.up.settled > this.#toldClient) this.#tellClient();
    this.#askServer();
  }

  #tellClient(): void {
    const settled = Math.max(this.up.settled, this.#clientUpBase);
    this.#toldClient = settled;
    this.output.nonza(
      'client',
      `<a xmlns='${this.#clientSm}' h='${wireCount(settled - this.#clientUpBase)}'/>`,
    );
  }

  #tellServer(): void {
    const settled = Math.max(this.down.settled, this.#serverDownBase);
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
