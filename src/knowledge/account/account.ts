import { Buffer } from 'node:buffer';
import { isSameJid, prepareJid } from '../../jid.js';
import {
  type FeatureContext,
  type FeatureSession,
  type Knowledge,
  KnowledgeKey,
  PASS,
  type PassingStanza,
  type SessionIdentity,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';

/** What a session's client last told everybody about itself. */
export type Availability =
  /** No initial presence yet, or unavailable again: what is addressed to the account is not for it. */
  | { readonly available: false; readonly since: number }
  | { readonly available: true; readonly since: number; readonly priority: number };

const WATCHES: readonly Watch[] = [
  { direction: 'to-server', stanza: 'presence', types: ['', 'unavailable'], address: ['account'] },
];

const UNAVAILABLE: Availability = { available: false, since: 0 };

/** The availability of all sessions of a domain, by who they are. */
class Availabilities {
  readonly #bySession = new WeakMap<SessionIdentity, Availability>();

  of(session: SessionIdentity): Availability {
    return this.#bySession.get(session) ?? UNAVAILABLE;
  }

  set(session: SessionIdentity, availability: Availability): void {
    this.#bySession.set(session, availability);
  }
}

const availabilitiesKey = new KnowledgeKey<Availabilities>('availabilities', () => new Availabilities());

/** What the next process has to know; nothing while the client is unavailable. */
interface Snapshot {
  /** The presence as it came, byte by byte. */
  readonly broadcast: string;
  readonly priority: number;
}

/** The account's sessions at this proxy, each as its client last broadcast itself. Sessions that do not come by here are not known. */
export class AccountSession implements FeatureSession {
  readonly #context: FeatureContext;
  readonly #all: Availabilities;
  #broadcast: string | undefined;

  constructor(context: FeatureContext, snapshot?: string) {
    this.#context = context;
    this.#all = context.domain.shared(availabilitiesKey);
    if (snapshot === undefined) return;
    const { broadcast, priority } = JSON.parse(snapshot) as Snapshot;
    this.#broadcast = broadcast;
    this.#all.set(context.identity, { available: true, since: context.now, priority });
  }

  snapshot(): string | undefined {
    const { availability } = this;
    if (this.#broadcast === undefined || !availability.available) return undefined;
    const snapshot: Snapshot = { broadcast: this.#broadcast, priority: availability.priority };
    return JSON.stringify(snapshot);
  }

  onStanza(stanza: PassingStanza): Verdict {
    const { frame, now } = stanza;
    // `to` one's own bare JID is directed presence to oneself, no broadcast.
    if (frame.to !== undefined) return PASS;
    const own = this.#context.identity;
    if (frame.type === 'unavailable') {
      this.#broadcast = undefined;
      this.#all.set(own, { available: false, since: now });
      return PASS;
    }
    const before = this.availability;
    const since = before.available ? before.since : now;
    this.#broadcast = frame.bytes().toString('latin1');
    this.#all.set(own, { available: true, since, priority: priorityIn(stanza) });
    return PASS;
  }

  /**
   * Whether a device is here and gets nothing of what is for its account: it is unavailable, or its priority is negative (RFC 6121 §8.5.2).
   * @param account of anybody, prepared
   * @param full one of its devices, as written
   */
  isPassedOver(account: string, full: string): boolean {
    const session = this.#context.domain
      .sessionsOf(account)
      .find((candidate) => candidate.full === full || isSameJid(candidate.full, full));
    if (session === undefined) return false;
    const availability = this.#all.of(session);
    return !availability.available || availability.priority < 0;
  }

  /** How this session's client last broadcast itself. */
  get availability(): Availability {
    return this.#all.of(this.#context.identity);
  }

  /** The presence it last broadcast, as it came; undefined while unavailable. */
  get broadcast(): Buffer | undefined {
    return this.#broadcast === undefined ? undefined : Buffer.from(this.#broadcast, 'latin1');
  }

  /** All sessions of the account, this one included. */
  sessions(): { readonly identity: SessionIdentity; readonly availability: Availability }[] {
    const { identity, domain } = this.#context;
    const sessions = domain.sessionsOf(prepareJid(identity.bare) ?? identity.bare);
    return sessions.map((session) => ({ identity: session, availability: this.#all.of(session) }));
  }
}

/** RFC 6121 §4.7.2.3: −128 to 127, 0 if there is none; what is out of range or no number counts as none. */
function priorityIn(stanza: PassingStanza): number {
  if (stanza.frame.findChild('priority', NS.client) === -1) return 0;
  const text = stanza.tree().getChildText('priority', NS.client)?.trim() ?? '';
  const priority = /^[+-]?\d{1,3}$/u.test(text) ? Number(text) : 0;
  return priority >= -128 && priority <= 127 ? priority : 0;
}

export const accountKey = new KnowledgeKey<AccountSession>('account');

export const account: Knowledge<AccountSession> = {
  name: 'account',
  key: accountKey,
  watches: WATCHES,
  open: (context, snapshot) => new AccountSession(context, snapshot),
};
