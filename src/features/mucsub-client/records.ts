import { Buffer } from 'node:buffer';
import { keyParts, type StoreEntry } from '../../store/store.js';
import type { Mark } from './marks.js';

export const FEATURE_NAME = 'mucsub-client';

/** What the store has of an account, by these words in its keys. */
export const ROOM = 'room';
export const SEEN = 'seen';
export const KEPT = 'kept';
export const SPEAKS = 'speaks';
/** In the place of an account, which is never empty: what is about the domain, and never outlived. */
export const NOBODY = '';

/** After so long a client that knew MUC/Sub is not counted on any more; ms. */
const SPEAKS_FOR = 90 * 86_400_000;

/** A message that is kept, as the store has it. */
export interface KeptRecord {
  readonly seq: number;
  readonly mark: Mark;
  readonly only: string | undefined;
  readonly xml: string;
}

/** @returns undefined when a sign that a client knows MUC/Sub is too old to count */
export function fresh(at: unknown, now: number): number | undefined {
  return typeof at === 'number' && now - at < SPEAKS_FOR ? at : undefined;
}

/** A message out of the store, with its text. */
export function readKept(value: Buffer): KeptRecord | undefined {
  const { seq, at, id, content, only, xml } = readRecord(value) ?? {};
  if (typeof seq !== 'number' || typeof at !== 'number' || typeof xml !== 'string') return undefined;
  if (typeof content !== 'string') return undefined;
  const mark = { id: typeof id === 'string' ? id : undefined, content, at };
  return { seq, mark, only: typeof only === 'string' ? only : undefined, xml };
}

export function readTrail(trail: unknown): Mark[] {
  if (!Array.isArray(trail)) return [];
  return trail.flatMap((each: unknown) => {
    if (!Array.isArray(each)) return [];
    const [id, content, at] = each as unknown[];
    if (typeof content !== 'string' || typeof at !== 'number') return [];
    return { id: typeof id === 'string' && id !== '' ? id : undefined, content, at };
  });
}

export function readRecord(value: Buffer): Record<string, unknown> | undefined {
  try {
    const record: unknown = JSON.parse(value.toString());
    return typeof record === 'object' && record !== null ? (record as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** The longest that may be configured: nobody comes back to what is as old; ms. */
const LONGEST_KEPT = 90 * 86_400_000;
const LONGEST = 400 * 86_400_000;

/** Whether an entry of the store is of no use any more. What has a shorter life by the configuration goes when its account comes by. */
export function isOutlived({ key, value }: StoreEntry, now: number): boolean {
  const parts = keyParts(key);
  if (parts[2] === NOBODY) return false;
  const record = readRecord(value);
  if (record === undefined) return true;
  const times = [record.at, record.joinedAt, record.speaks].filter((time) => typeof time === 'number');
  const longest = parts[3] === KEPT ? LONGEST_KEPT : LONGEST;
  return times.every((time) => now - time > longest);
}
