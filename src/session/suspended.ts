import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { keyParts, type StoreChange, type StoreEntry, storeKey } from '../store/store.js';
import type { AcknowledgementState } from './acknowledgement.js';
import type { ReceiptsState } from './receipts.js';
import { readTokenRecord } from './start/token.js';
import { readUndelivered } from './undelivered.js';

/** A session whose proxy has been stopped: what is needed to go on with it on a server that has kept its half. */
export interface SuspendedSession {
  readonly format: 1;
  readonly account: string;
  readonly full: string;
  /** Seconds for which it is held once its client's connection breaks. */
  readonly max: number;
  /** ms since 1970; the server does not keep its half any longer. */
  readonly expires: number;
  readonly counts: AcknowledgementState;
  /** What features have to know again, by name; absent in what former versions wrote. */
  readonly features?: Readonly<Record<string, string>>;
  /** Acknowledgements of the client's that features wait for; absent when there are none. */
  readonly receipts?: ReceiptsState;
}

/** What stands for a resumption id in the store: whoever reads that cannot resume anything. */
export function digestOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url');
}

/** Where a suspended session is. */
export function suspendedKey(domain: string, id: string): string {
  return storeKey('suspended', domain, digestOf(id));
}

export function suspend(domain: string, id: string, session: SuspendedSession): StoreChange {
  return { key: suspendedKey(domain, id), value: Buffer.from(JSON.stringify(session)) };
}

/** @returns undefined when there is no such session, or not any more */
export function readSuspended(
  entries: readonly StoreEntry[],
  key: string,
  now: number,
): SuspendedSession | undefined {
  const entry = entries.find((candidate) => candidate.key === key);
  if (entry === undefined) return undefined;
  try {
    const session = JSON.parse(entry.value.toString()) as SuspendedSession;
    return session.format === 1 && session.expires > now ? session : undefined;
  } catch {
    return undefined;
  }
}

/** Keys of what is in the store and of no use any more: sessions that no server has kept, tokens after their time, messages that nobody came for. */
export function outlived(entries: readonly StoreEntry[], now: number): readonly string[] {
  return entries.flatMap((entry) => {
    const [kind] = keyParts(entry.key);
    if (kind === 'suspended') return readSuspended([entry], entry.key, now) === undefined ? [entry.key] : [];
    if (kind === 'token') return (readTokenRecord(entry.value)?.expires ?? 0) < now ? [entry.key] : [];
    return kind === 'undelivered' && readUndelivered(entry, now) === undefined ? [entry.key] : [];
  });
}

/** Where to look for them. */
export const OUTLIVED_PREFIXES: readonly string[] = ['suspended', 'token', 'undelivered'].map((kind) =>
  storeKey(kind, ''),
);
