import { bare, prepareJid } from '../../jid.js';
import { RosterReader } from '../../knowledge/roster/roster-reader.js';
import type { FeatureContext } from '../../session/feature.js';

/** Addresses that are remembered of those the client has written to. */
const MOST_WRITTEN = 32;
/** A longer one is no JID (RFC 7622 §3.1). */
const LONGEST = 3_071;
/** The roster is not asked for more often; ms. */
const PAUSE = 10_000;
/** Senders about whom it is being asked. */
const MOST_ASKED = 32;

/**
 * Who knows this session's full JID, because its own client has let him: it has written to him, or he is subscribed to its presence. What somebody sends
 * says nothing about it: anybody can send presence.
 */
export class Acquaintances {
  /** Bare, as written. */
  readonly #written: string[] = [];
  readonly #roster: RosterReader;
  #clientAsked: boolean;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** How many wait for the answer. */
  #asking = 0;

  /** @param clientAsked what `clientAsked` was in the process before */
  constructor(
    private readonly context: FeatureContext,
    clientAsked: boolean,
  ) {
    this.#roster = new RosterReader(context);
    this.#clientAsked = clientAsked;
  }

  /** The client has asked for its roster, and gets the changes of it: that the proxy asks too makes no difference to it (RFC 6121 §2.1.6). */
  get clientAsked(): boolean {
    return this.#clientAsked;
  }

  clientAsks(): void {
    this.#clientAsked = true;
  }

  /** The client writes to somebody. */
  writesTo(address: string): void {
    if (address.length > LONGEST) return;
    const account = bare(address);
    if (this.#written.includes(account)) return;
    this.#written.push(account);
    if (this.#written.length > MOST_WRITTEN) this.#written.shift();
  }

  /**
   * @param sender a bare JID, as written
   * @param done told if he knows this session, at once or when the roster has been read; else never
   */
  ifKnown(sender: string, done: () => void): void {
    const prepared = prepareJid(sender);
    if (prepared === undefined) return;
    if (this.#written.some((each) => each === sender || prepareJid(each) === prepared)) {
      done();
      return;
    }
    const { now } = this.context;
    if (!this.#clientAsked || this.#asking >= MOST_ASKED) return;
    if (this.#asking === 0) {
      if (now - this.#askedAt < PAUSE) return;
      this.#askedAt = now;
    }
    this.#asking += 1;
    this.#roster.read((roster) => {
      this.#asking -= 1;
      if (roster?.get(prepared)?.sees === true) done();
    });
  }
}
