/** How links are judged; ms. The rule in words stands in docs/presence-annotations.md. */
export interface LinkRules {
  /** Undefined: nothing is asked of other servers, and errors alone have to do. */
  readonly probes: { readonly every: number; readonly timeout: number } | undefined;
}

/** What somebody who asks for it may take for an answer. */
export interface Probe {
  readonly number: number;
  readonly timeout: number;
}

/** How long the answer to a probe may take that is sent because of an error. */
export const CONFIRMATION_TIME = 1_000;
/** A suspicion that proved wrong: so long no error is a reason for another. */
const SUSPICION_REST = 2_000;
/** Without probes: two errors within this time, and nothing in between. */
const SECOND_ERROR_WITHIN = 60_000;
const FIRST_RETRY = 2_000;
const LAST_RETRY = 60_000;
/** A link that went down so often within this time flaps. */
export const FLAPPING_DOWNS = 3;
export const FLAPPING_WITHIN = 5 * 60_000;
/** So long a link that flaps has to work before it is told to be up. */
export const STABLE_AFTER = 30_000;
const CHECK_WHILE_RETURNING = 10_000;

/**
 * What is known of the link to one other server, and what is told of it: both `up` at first. Pure; everything that it is told carries the time.
 *
 * - `up`: nothing speaks against it
 * - `suspected`: an error or a silence does; the next probe decides
 * - `down`
 * - `returning`: it works again, but it flaps: told to be up when it has worked for a while
 */
export class Link {
  #phase: 'up' | 'suspected' | 'down' | 'returning' = 'up';
  /** When it is to be asked next; Infinity: a probe is on its way, or there is no need. */
  #nextProbe: number;
  #probes = 0;
  /** The probe whose silence counts. */
  #current = 0;
  #confirming = false;
  #retries = 0;
  #errorAt = Number.NEGATIVE_INFINITY;
  #noSuspicionBefore = Number.NEGATIVE_INFINITY;
  #downs: number[] = [];
  #stableAt = Number.POSITIVE_INFINITY;
  /** A stanza, not an answer to a probe, has shown that it is back. */
  #cameBackByStanza = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly rules: LinkRules,
    now: number,
  ) {
    this.#nextProbe = now + (rules.probes?.every ?? Number.POSITIVE_INFINITY);
  }

  /** What is told. */
  get isDown(): boolean {
    return this.#phase === 'down' || this.#phase === 'returning';
  }

  get isSuspected(): boolean {
    return this.#phase === 'suspected';
  }

  /** A stanza from there would change what is known. */
  get isTroubled(): boolean {
    return this.#phase === 'down' || this.#phase === 'suspected' || this.#errorAt > Number.NEGATIVE_INFINITY;
  }

  /**
   * When it is to be asked next.
   * @param watched somebody wants to know of it even while nothing speaks against it
   */
  nextProbe(watched: boolean): number {
    if (this.rules.probes === undefined) return Number.POSITIVE_INFINITY;
    return this.#phase === 'up' && !watched ? Number.POSITIVE_INFINITY : this.#nextProbe;
  }

  /** When time alone changes what is told. */
  get nextChange(): number {
    return this.#phase === 'returning' ? this.#stableAt : Number.POSITIVE_INFINITY;
  }

  /** Something has come from there that only a server that is reached can send. */
  alive(now: number, by: 'stanza' | 'probe'): void {
    const { every = Number.POSITIVE_INFINITY } = this.rules.probes ?? {};
    this.#errorAt = Number.NEGATIVE_INFINITY;
    this.#retries = 0;
    this.#current = 0;
    this.#confirming = false;
    if (by === 'probe') this.#cameBackByStanza = Number.NEGATIVE_INFINITY;
    if (this.#phase === 'suspected') this.#noSuspicionBefore = now + SUSPICION_REST;
    if (this.#phase === 'down') {
      if (by === 'stanza') this.#cameBackByStanza = now;
      this.#downs = this.#downs.filter((time) => now - time < FLAPPING_WITHIN);
      if (this.#downs.length >= FLAPPING_DOWNS) {
        this.#phase = 'returning';
        this.#stableAt = now + STABLE_AFTER;
      }
    }
    if (this.#phase === 'returning') {
      this.#nextProbe = now + Math.min(every, CHECK_WHILE_RETURNING);
      this.tick(now);
      return;
    }
    this.#phase = 'up';
    this.#nextProbe = now + every;
  }

  /**
   * A stanza of somebody's was returned.
   * @param certain false: the addressee itself may have said so
   * @param refusalsLast how long the own server goes on refusing after a failure although the link works; ms
   */
  error(now: number, certain: boolean, refusalsLast: number): void {
    if (this.#phase !== 'up' || now < this.#noSuspicionBefore || this.#isOldRefusal(now, refusalsLast))
      return;
    if (this.rules.probes !== undefined) {
      this.#phase = 'suspected';
      this.#confirming = true;
      this.#nextProbe = now;
      return;
    }
    if (!certain) return;
    if (now - this.#errorAt <= SECOND_ERROR_WITHIN) this.#goDown(now);
    else this.#errorAt = now;
  }

  /** A probe is being sent. */
  probing(): Probe {
    this.#nextProbe = Number.POSITIVE_INFINITY;
    this.#probes += 1;
    this.#current = this.#probes;
    const { timeout = 0 } = this.rules.probes ?? {};
    return { number: this.#current, timeout: this.#confirming ? CONFIRMATION_TIME : timeout };
  }

  /** The probe could not be sent, or who sent it is gone: another has to. */
  notProbed(probe: Probe, now: number): void {
    if (probe.number === this.#current) this.#nextProbe = now;
  }

  /** The own server has returned a probe. */
  refused(now: number, refusalsLast: number): void {
    if (this.#phase === 'down') this.#retryLater(now);
    else if (this.#isOldRefusal(now, refusalsLast)) {
      const { every = Number.POSITIVE_INFINITY } = this.rules.probes ?? {};
      if (this.#phase === 'suspected') this.#phase = 'up';
      this.#nextProbe = now + every;
    } else this.#goDown(now);
  }

  /** Nothing has come of a probe in its time. */
  silent(probe: Probe, now: number): void {
    if (probe.number !== this.#current) return;
    if (this.#phase === 'down') this.#retryLater(now);
    else if (this.#phase === 'up') {
      this.#phase = 'suspected';
      this.#confirming = false;
      this.#nextProbe = now;
    } else this.#goDown(now);
  }

  /** What came of a probe says nothing: the own server was too busy. */
  undecided(probe: Probe, now: number): void {
    if (probe.number !== this.#current) return;
    const { every = Number.POSITIVE_INFINITY } = this.rules.probes ?? {};
    if (this.#phase === 'down') this.#retryLater(now);
    else this.#nextProbe = now + (this.#phase === 'up' ? every : FIRST_RETRY);
  }

  /** Time has passed. */
  tick(now: number): void {
    if (this.#phase !== 'returning' || now < this.#stableAt) return;
    this.#phase = 'up';
    this.#downs = [];
    this.#stableAt = Number.POSITIVE_INFINITY;
  }

  #isOldRefusal(now: number, refusalsLast: number): boolean {
    return now - this.#cameBackByStanza < refusalsLast;
  }

  #goDown(now: number): void {
    this.#phase = 'down';
    this.#errorAt = Number.NEGATIVE_INFINITY;
    this.#stableAt = Number.POSITIVE_INFINITY;
    this.#confirming = false;
    this.#downs.push(now);
    if (this.#downs.length > FLAPPING_DOWNS) this.#downs.shift();
    this.#retries = 0;
    this.#retryLater(now);
  }

  #retryLater(now: number): void {
    this.#nextProbe = now + Math.min(FIRST_RETRY * 2 ** this.#retries, LAST_RETRY);
    this.#retries += 1;
  }
}
