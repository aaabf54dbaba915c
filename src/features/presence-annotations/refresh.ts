import type { RosterReader } from '../../knowledge/roster/roster-reader.js';
import type { FeatureContext } from '../../session/feature.js';
import { LateSet } from '../../session/late.js';
import { escapeAttribute } from '../../xml/serialize.js';

/** Probes that one session sends at a time, and how long it then waits; ms. Servers limit what a connection may send. */
const AT_ONCE = 5;
const BETWEEN = 1_000;
/** Contacts that may wait to be asked about. */
const MOST_WAITING = 5_000;

const REFRESH = 'refresh';

/**
 * Asks for the presence of contacts whose server is back (XEP-0310 §4.1, RFC 6121 §4.3). Only contacts whose presence the user is subscribed to:
 * of others the answer would be that the user may not know.
 */
export class Refresh {
  #waiting = new LateSet<string>();
  /** Of those, the ones that may be asked about. */
  #allowed: string[] = [];
  #isDue = false;

  constructor(
    private readonly context: FeatureContext,
    private readonly roster: RosterReader,
  ) {}

  /** @param bareJid of a contact, prepared */
  wants(bareJid: string): void {
    if (this.#waiting.size + this.#allowed.length < MOST_WAITING) this.#waiting.add(bareJid);
    this.#schedule(this.context.now);
  }

  /** @returns whether the wake-up was for this */
  wake(token: string, now: number): boolean {
    if (token !== REFRESH) return false;
    if (this.#waiting.size === 0) {
      this.#isDue = false;
      this.#send(now);
      return true;
    }
    this.roster.read((roster) => {
      this.#isDue = false;
      for (const jid of this.#waiting) if (roster?.get(jid)?.isSeen === true) this.#allowed.push(jid);
      this.#waiting.clear();
      this.#send(this.context.now);
    });
    return true;
  }

  #send(now: number): void {
    for (const jid of this.#allowed.splice(0, AT_ONCE)) {
      const probe = `<presence type='probe' to='${escapeAttribute(jid)}'/>`;
      this.context.send('server', probe, 'presence-refreshed');
    }
    if (this.#allowed.length > 0) this.#schedule(now + BETWEEN);
  }

  #schedule(time: number): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.context.wakeAt(REFRESH, time);
  }
}
