import type { Element } from 'ltx';
import { type Account, type Endpoint, RawClient } from '../integration/clients/raw.js';
import { NS } from '../integration/clients/raw-stream.js';

const WINDOW = 25;
const NS_NUMBER = 'urn:example:number';

/**
 * Somebody who sends numbered messages with stream management on, as long as it takes:
 * when the connection breaks he comes back and sends again what was not acknowledged,
 * as XEP-0198 has clients do without resumption.
 */
export class Correspondent {
  /** Numbers that were acknowledged to this sender. */
  readonly acknowledged = new Set<number>();
  /** Numbers that came from the partner: live, or late from the server's offline store. */
  readonly received = new Set<number>();
  connections = 0;

  #next = 0;
  #last = 0;
  #unacknowledged: number[] = [];
  /** What each counted stanza of this connection was: a number, or something else. */
  #inFlight: (number | undefined)[] = [];
  #session: RawClient | undefined;
  #stopped = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(
    readonly endpoint: Endpoint,
    readonly account: Account,
    readonly partner: string,
  ) {}

  get idle(): boolean {
    return this.#next >= this.#last && this.#unacknowledged.length === 0 && this.#inFlight.length === 0;
  }

  get connected(): boolean {
    return this.#session !== undefined && !this.#session.stream.closed;
  }

  /** Logs in, and keeps the connection up from now on. */
  connect(): void {
    this.#loop = this.#stayConnected();
  }

  /** Lets the numbers below `last` be sent. */
  sendUpTo(last: number): void {
    this.#last = last;
    this.#fill();
  }

  /** Stops reading: from now on what comes piles up on the way. */
  turnAway(): void {
    this.#session?.stream.pause();
  }

  /** Loses the connection with all that has piled up, as when the network fails. */
  dropOut(): void {
    this.#session?.stream.cut();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#session?.stream.cut();
    await this.#loop;
  }

  async #stayConnected(): Promise<void> {
    while (!this.#stopped) {
      try {
        const session = await RawClient.login(this.endpoint, this.account, { resource: 'here', sm: true });
        if (this.#stopped) return session.stream.cut();
        this.connections += 1;
        this.#begin(session);
        await session.stream.when('the connection to break', () => session.stream.closed, 120_000);
      } catch {
        // The proxy is down just now, or went down during login.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  #begin(session: RawClient): void {
    this.#session = session;
    const again = [...this.#unacknowledged];
    this.#inFlight = [];
    session.onAcknowledged = (handled) => this.#acknowledge(session, handled);
    collectNumbers(session, this.received);
    this.#send('<presence/>', undefined);
    for (const number of again) this.#sendNumber(number);
    this.#fill();
    session.send(`<r xmlns='${NS.sm}'/>`);
  }

  #fill(): void {
    if (!this.connected) return;
    while (this.#next < this.#last && this.#inFlight.length < WINDOW) {
      this.#unacknowledged.push(this.#next);
      this.#sendNumber(this.#next);
      this.#next += 1;
      if (this.#next % 5 === 0 || this.#next === this.#last) this.#session?.send(`<r xmlns='${NS.sm}'/>`);
    }
  }

  #sendNumber(number: number): void {
    const mark = `<number xmlns='${NS_NUMBER}'>${number}</number>`;
    this.#send(
      `<message to='${this.partner}' type='chat'><body>number ${number}</body>${mark}</message>`,
      number,
    );
  }

  #send(stanza: string, number: number | undefined): void {
    this.#inFlight.push(number);
    this.#session?.send(stanza);
  }

  #acknowledge(session: RawClient, handled: number): void {
    if (session !== this.#session) return;
    const before = (session.sm?.sent ?? 0) - this.#inFlight.length;
    for (let n = before; n < handled; n += 1) {
      const number = this.#inFlight.shift();
      if (number === undefined) continue;
      this.acknowledged.add(number);
      this.#unacknowledged = this.#unacknowledged.filter((other) => other !== number);
    }
    this.#fill();
  }
}

/** The number that a message says; undefined for all else, bounces too. */
export function numberOf(element: Element): number | undefined {
  if (!element.is('message') || element.attrs.type !== 'chat') return undefined;
  const text = element.getChildText('number', NS_NUMBER);
  return text ? Number(text) : undefined;
}

/** The numbers that come to a session from now on. Bounces of one's own are not deliveries. */
export function collectNumbers(session: RawClient, numbers = new Set<number>()): Set<number> {
  const before = session.stream.onElement;
  const look = (element: Element) => {
    const number = numberOf(element);
    if (number !== undefined) numbers.add(number);
  };
  for (const element of session.stream.inbox) look(element);
  session.stream.onElement = (element) => {
    before?.(element);
    look(element);
  };
  return numbers;
}
