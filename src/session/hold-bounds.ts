import { prepareJid } from '../jid.js';
import { StanzaKind } from '../xml/frame.js';
import { parseStanza } from '../xml/tokenizer.js';
import { CLIENT_BEHIND } from './leg.js';
import type { Session } from './session.js';
import type { Unacknowledged, WaitingStanza } from './unacknowledged.js';

/** How long a client may take to acknowledge when more is open than is allowed; ms. */
const ANSWER_TIME = 60_000;

/** How much may wait for a client that may resume, and what is done about more (`hold.stanzas`, `hold.bytes`). */
export class HoldBounds {
  /** So much waits for the client's acknowledgement that the server is not read. */
  #behind = false;

  constructor(private readonly session: Session) {}

  areExceeded(waiting: Unacknowledged): boolean {
    const { stanzas, bytes } = this.session.domain.config.hold;
    return waiting.size > stanzas || waiting.bytes > bytes;
  }

  /** Nobody reads it: presences go that say nothing any more. @returns whether that was enough */
  discardSuperseded(waiting: Unacknowledged): boolean {
    const left = waiting.discard(withoutSuperseded(waiting.waiting(), this.session));
    for (let i = 0; i < left; i++) this.session.port.count('hold', 'presence-superseded');
    return !this.areExceeded(waiting);
  }

  /** A client that reads and does not acknowledge: its server waits with it, and in the end it counts as gone. */
  waitForClient(): void {
    const { session } = this;
    if (this.#behind) return;
    this.#behind = true;
    session.port.count('hold', 'client-behind');
    session.server.stopReading(CLIENT_BEHIND);
    session.bound!.acknowledgement.probe('client');
    session.setDeadline('answer', session.now + ANSWER_TIME);
  }

  /** The client has acknowledged something. */
  acknowledged(): void {
    const { session } = this;
    const waiting = session.bound?.acknowledgement.waiting;
    if (!this.#behind || waiting === undefined || this.areExceeded(waiting)) return;
    this.#behind = false;
    session.setDeadline('answer', Number.POSITIVE_INFINITY);
    session.server.readAgain(CLIENT_BEHIND);
  }

  /** It has not in time, or is gone: the server is read again. @returns whether it was waited for */
  nobodyIsBehind(): boolean {
    if (!this.#behind) return false;
    this.#behind = false;
    this.session.server.readAgain(CLIENT_BEHIND);
    return true;
  }
}

/** Presences of which a later one from the same sender waits say nothing any more. */
function withoutSuperseded(
  waiting: readonly WaitingStanza[],
  session: Session,
): (stanza: WaitingStanza) => boolean {
  const latest = new Map<string, WaitingStanza>();
  const superseded = new Set<WaitingStanza>();
  for (const stanza of waiting) {
    const frame = parseStanza(stanza.bytes, session.namespaces);
    if ('condition' in frame || frame.kind !== StanzaKind.Presence) continue;
    const { type, from } = frame;
    if (from === undefined || (type !== undefined && type !== 'unavailable')) continue;
    const sender = prepareJid(from) ?? from;
    const former = latest.get(sender);
    if (former !== undefined) superseded.add(former);
    latest.set(sender, stanza);
  }
  return (stanza) => !superseded.has(stanza);
}
