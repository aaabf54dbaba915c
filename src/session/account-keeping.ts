import type { Buffer } from 'node:buffer';
import { MADE_HERE } from '../xml/limits.js';
import { parseStanza } from '../xml/tokenizer.js';
import type { DomainRuntime } from './domain.js';
import type { FeatureQuestions } from './feature-questions.js';
import type { SessionPort } from './port.js';
import { messageKeys } from './sightings.js';
import { undeliveredChange } from './undelivered.js';

/** What the keeping of messages needs of the session in which it is done. */
export interface KeepingSurroundings {
  readonly port: SessionPort;
  readonly domain: DomainRuntime;
  readonly now: number;
  readonly questions: FeatureQuestions;
  /** A stanza waits for a client that is not there. @param account prepared */
  waits(account: string, bytes: Buffer): void;
}

/** Messages that one session keeps for accounts without a client. */
export class AccountKeeping {
  /** On their way into the store. */
  #open = 0;
  #whenStored: (() => void) | undefined;

  constructor(private readonly session: KeepingSurroundings) {}

  /**
   * @param account prepared
   * @param done it is in the store, or nothing to keep; not called when it could not be written
   * @param since who has begun to want messages by then takes it at once; by default those that begin from now on
   */
  keep(account: string, bytes: Buffer, done?: () => void, since = this.session.now): void {
    const { port, domain, now } = this.session;
    const frame = parseStanza(bytes, domain.namespaces, { limits: MADE_HERE });
    if ('condition' in frame) throw new Error(`a feature keeps what is no stanza: ${frame.reason}`);
    const { backlogs } = domain;
    const change = undeliveredChange(frame, {
      domain: domain.name,
      account,
      session: port.randomId(),
      ordinal: 0,
      at: backlogs.wallTime(backlogs.moment(now), port.wallClock(), now),
      keys: messageKeys(frame, account),
      doubtful: false,
      resource: undefined,
      seenBy: [],
    });
    if (change === undefined) {
      done?.();
      return;
    }
    backlogs.mark(frame.to);
    this.session.waits(account, bytes);
    this.#open += 1;
    const stored = (ok: boolean): void => {
      this.#open -= 1;
      if (ok) backlogs.missed(account, since);
      if (ok) done?.();
      if (this.#open === 0) this.#whenStored?.();
    };
    port.store([change], this.session.questions.write(stored));
  }

  /** Does something when all that is being kept is in the store, and at once while nothing is. */
  whenStored(what: () => void): void {
    if (this.#open > 0) this.#whenStored = what;
    else what();
  }
}
