import { Buffer } from 'node:buffer';
import { type StoreChange, type StoreEntry, storeKey } from '../store/store.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';

/** A message that no client has acknowledged and that waits in the store for the account's next session. */
export interface Undelivered {
  readonly xml: string;
  /** When it came; ms since 1970. */
  readonly at: number;
  /** What it is known by; see `messageKeys`. */
  readonly keys: readonly string[];
  /** Resources that have it already. */
  readonly seenBy: readonly string[];
  /** The server may deliver it too, unless it is known to have read that it need not; see `Doubts`. */
  readonly doubtful: boolean;
  /** The resource whose client has missed it; absent where there was none, and in what former versions wrote. */
  readonly resource?: string;
}

export interface Missed {
  readonly domain: string;
  readonly account: string;
  /** Of the session that was held. */
  readonly session: string;
  readonly ordinal: number;
  readonly at: number;
  readonly keys: readonly string[];
  readonly doubtful: boolean;
  readonly resource: string | undefined;
  readonly seenBy: readonly string[];
}

/** After so long nobody is told any more; ms. */
const LONGEST = 90 * 24 * 3_600_000;
/** Enough for microseconds. Former versions wrote milliseconds, which come before them. */
const DIGITS = 16;

/** Where all accounts' undelivered messages are. */
export const UNDELIVERED = storeKey('undelivered', '');

/** Where an account's undelivered messages are. */
export function undeliveredPrefix(domain: string, account: string): string {
  return storeKey('undelivered', domain, account, '');
}

/**
 * What puts a message away, to be delivered later.
 * @returns undefined for what is not kept for anybody: presences, iqs, errors, groupchat (the room has it), and what is only of
 *   use at once (XEP-0160 §3, XEP-0334 §4.2)
 */
export function undeliveredChange(frame: Frame, missed: Missed): StoreChange | undefined {
  if (!isKept(frame)) return undefined;
  const { at, keys, doubtful, seenBy, resource } = missed;
  const value: Undelivered = {
    xml: frame.toString(),
    at,
    keys,
    seenBy,
    doubtful,
    ...(resource && { resource }),
  };
  const time = String(Math.floor(missed.at * 1_000)).padStart(DIGITS, '0');
  const place = String(missed.ordinal).padStart(DIGITS, '0');
  return {
    key: storeKey('undelivered', missed.domain, missed.account, time, place, missed.session),
    value: Buffer.from(JSON.stringify(value)),
  };
}

/** @returns undefined for an entry that is not one, or too old */
export function readUndelivered(entry: StoreEntry, now: number): Undelivered | undefined {
  try {
    const value = JSON.parse(entry.value.toString()) as Undelivered;
    return typeof value.xml === 'string' && now - value.at < LONGEST ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a message waits for its account's next session when nobody has had it. */
export function isKept(frame: Frame): boolean {
  if (frame.kind !== StanzaKind.Message) return false;
  const type = frame.type ?? 'normal';
  if (type !== 'chat' && type !== 'normal') return false;
  if (frame.findChild('no-store', NS.hints) >= 0) return false;
  let children = 0;
  for (let i = 0; i < frame.childCount; i++) {
    const namespace = frame.childNamespace(i);
    if (namespace === NS.chatStates || namespace === NS.delay || namespace === NS.sid) continue;
    // Answers to a query to the archive: who asks again is answered again.
    if (namespace === NS.mam2) return false;
    children += 1;
  }
  return children > 0;
}
