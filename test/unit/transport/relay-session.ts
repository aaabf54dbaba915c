import type {
  ConnectFailure,
  Leg,
  LegLoss,
  SessionEvents,
  SessionPort,
  TlsFacts,
  UpstreamFacts,
} from '../../../src/session/port.js';

/** The least that can be called a session: connects at the first byte and passes everything on, with backpressure. */
export class RelaySession implements SessionEvents {
  readonly #port: SessionPort;
  readonly #domain: string;
  #connected = false;
  #early: Buffer[] = [];
  #clientEnded = false;
  readonly #gone = new Set<Leg>();
  readonly events: string[] = [];

  constructor(port: SessionPort, domain: string) {
    this.#port = port;
    this.#domain = domain;
  }

  onData(leg: Leg, chunk: Buffer): void {
    if (!this.#connected) {
      if (this.#early.length === 0) this.#port.connect(this.#domain);
      this.#early.push(chunk);
      return;
    }
    const other = leg === 'client' ? 'server' : 'client';
    if (!this.#port.write(other, chunk)) this.#port.pauseReading(leg);
  }

  onConnected(_facts: UpstreamFacts): void {
    this.#connected = true;
    for (const chunk of this.#early) this.#port.write('server', chunk);
    this.#early = [];
    if (this.#clientEnded) this.#port.end('server');
  }

  onDrained(leg: Leg): void {
    this.#port.resumeReading(leg === 'client' ? 'server' : 'client');
  }

  onEnd(leg: Leg): void {
    this.events.push(`end ${leg}`);
    if (leg === 'client' && !this.#connected) this.#clientEnded = true;
    else this.#port.end(leg === 'client' ? 'server' : 'client');
  }

  onLost(leg: Leg, cause: LegLoss): void {
    this.events.push(`lost ${leg} ${cause}`);
    this.#gone.add(leg);
    const other = leg === 'client' ? 'server' : 'client';
    if (!this.#gone.has(other)) this.#port.destroy(other);
    this.#finish(`${leg}-${cause}`);
  }

  onConnectFailed(failure: ConnectFailure): void {
    this.events.push(`failed ${failure}`);
    this.#port.destroy('client');
    this.#finish(failure);
  }

  onFlushed(leg: Leg): void {
    this.events.push(`flushed ${leg}`);
  }

  onSecured(leg: Leg, facts: TlsFacts): void {
    this.events.push(`secured ${leg} ${facts.protocol}`);
  }

  onStored(): void {}
  onFault(): void {}

  onLoaded(): void {}
  onPublished(): void {}

  onWake(): void {
    this.events.push('wake');
  }

  onMisframed(condition: string): void {
    this.events.push(`misframed ${condition}`);
  }

  onPaused(paused: boolean): void {
    this.events.push(paused ? 'paused' : 'back');
  }

  onShutdown(): void {
    this.#port.destroy('client');
    this.#port.destroy('server');
    this.#finish('shutdown');
  }

  #finish(reason: string): void {
    this.#port.finished({
      jid: undefined,
      domain: this.#domain,
      reason,
      stanzasFromClient: 0,
      stanzasFromServer: 0,
      bytesFromClient: 0,
      bytesFromServer: 0,
    });
  }
}
