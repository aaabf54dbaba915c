import type { Config } from '../config/model.js';
import { Deadlines } from './deadlines.js';
import { Keepalive } from './keepalive.js';
import type { Session } from './session.js';

export type DeadlineName =
  | 'authentication'
  | 'features'
  | 'start'
  | 'keepalive'
  | 'close'
  | 'hold'
  | 'settling'
  | 'answer'
  | 'kept';

/** How long the other side may take to end its stream once ours has ended; ms (RFC 6120 §4.4). */
const CLOSE_TIME = 5_000;

/** How long a server may take from our header, or from SASL's success, to its features; ms. Connecting has a limit of its own. */
const FEATURES_TIME = 15_000;

/** What a session waits for no longer than so long, and that its peers are there at all. */
export class SessionDeadlines {
  readonly #deadlines = new Deadlines();
  readonly #keepalive: Keepalive;

  constructor(
    private readonly session: Session,
    keepalive: Config['keepalive'],
  ) {
    this.#keepalive = new Keepalive(keepalive);
  }

  /** The earliest; ms. */
  get next(): number {
    return this.#deadlines.next;
  }

  /** @param time Infinity: not at all */
  set(name: DeadlineName, time: number): void {
    this.#deadlines.set(name, time);
  }

  clear(): void {
    this.#deadlines.clear();
  }

  /** From now on both legs are looked at when they are silent. */
  keepAlive(): void {
    this.#deadlines.set('keepalive', this.#keepalive.next(this.session.now));
  }

  /** Both sides have a while to end their streams. */
  close(): void {
    this.#deadlines.set('close', this.session.now + CLOSE_TIME);
  }

  /** The server is to say what it offers. */
  expectFeatures(): void {
    this.#deadlines.set('features', this.session.now + FEATURES_TIME);
  }

  wake(now: number): void {
    for (const name of this.#deadlines.due(now)) this.#reached(name);
  }

  #reached(deadline: string): void {
    switch (deadline) {
      case 'authentication':
        if (!this.session.server.saysNothing())
          this.session.client.fail('connection-timeout', 'Log in sooner after connecting.');
        break;
      case 'features':
        this.session.server.saysNothing();
        break;
      case 'start':
        this.session.client.start?.timeUp();
        break;
      case 'keepalive':
        this.#lookAtLegs();
        break;
      case 'hold':
        this.session.hold?.end('hold-expired');
        break;
      case 'answer':
        this.session.hold?.notAnswered();
        break;
      case 'kept':
        this.session.keep.end();
        break;
      case 'settling':
        this.session.hold?.comingBack.notSettled();
        break;
      case 'close':
        // Whoever has not ended by now does not get to.
        this.session.server.destroy();
        this.session.client.destroy();
        this.session.hold?.serverClosed();
        break;
    }
  }

  #lookAtLegs(): void {
    for (const side of [this.session.client, this.session.server]) {
      if (side.gone || side.ended || !this.#lives) continue;
      switch (this.#keepalive.due(side.leg, side.lastReceived, this.session.now)) {
        case 'space':
          side.outbox.text(' ');
          break;
        case 'ping':
          this.session.bound?.probe(side.leg);
          break;
        case 'dead':
          if (side === this.session.client && this.session.hold === undefined)
            this.session.client.fail('connection-timeout', 'No answer to a ping.');
          else side.lost('reset');
          break;
      }
    }
    if (this.#lives) this.keepAlive();
  }

  get #lives(): boolean {
    return (
      this.session.client.state === 'bound' ||
      this.session.client.state === 'held' ||
      this.session.keep.active
    );
  }
}
