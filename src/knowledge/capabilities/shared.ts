import { LRUCache } from 'lru-cache';
import type { Element } from 'ltx';
import { type AnnouncedHash, AnnouncementReader } from './announcement.js';
import { digest, featuresIn, hashInput, verificationString } from './verification.js';

/** Bytes of memory for verified answers; about 1,500 versions of clients. */
export const VERIFIED_BYTES = 4 * 1024 * 1024;

/** Beyond this an answer is not taken in at all: no client has as many features. */
const MOST_FEATURES = 1_000;
const MOST_FEATURE_BYTES = 64 * 1024;

/** Answers by the hash that they have been found to have: true for whoever announces it, whoever it was that answered. */
export class VerifiedCapabilities {
  readonly #answers: LRUCache<string, ReadonlySet<string>>;

  constructor(maxBytes: number = VERIFIED_BYTES) {
    this.#answers = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (features, key) => 300 + key.length + memoryOf(features),
    });
  }

  /** The answer behind one of the hashes. */
  find(hashes: readonly AnnouncedHash[]): ReadonlySet<string> | undefined {
    for (const hash of hashes) {
      const answer = this.#answers.get(hash.key);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /**
   * Takes in an answer under those of the hashes that it really has.
   * @returns its features, to be believed of the entity that gave it; undefined if it is no answer or too large
   */
  learn(iq: Element, query: Element, hashes: readonly AnnouncedHash[]): ReadonlySet<string> | undefined {
    const features = featuresIn(query);
    if (features.size > MOST_FEATURES || memoryOf(features) > MOST_FEATURE_BYTES) return undefined;
    for (const hash of hashes) {
      if (!this.#answers.has(hash.key) && isOf(hash, iq, query)) this.#answers.set(hash.key, features);
    }
    return this.find(hashes.filter((hash) => isOf(hash, iq, query))) ?? features;
  }
}

function memoryOf(features: ReadonlySet<string>): number {
  let bytes = 0;
  for (const feature of features) bytes += 60 + feature.length * 2;
  return bytes;
}

function isOf(hash: AnnouncedHash, iq: Element, query: Element): boolean {
  if (hash.method === 'caps') {
    const input = verificationString(query);
    return input !== undefined && digest(hash.algorithm, input) === hash.value;
  }
  // COMPAT Prosody and ejabberd put an `xml:lang` on what they relay, which the sender did not hash.
  const languages = new Set([String(iq.attrs['xml:lang'] ?? ''), '']);
  for (const language of languages) {
    const input = hashInput(query, language);
    if (input !== undefined && digest(hash.algorithm, input) === hash.value) return true;
  }
  return false;
}

/** A session that waits for what another one has asked. */
export interface Waiting {
  /** The other has its answer, or has given up. Only notes it: what follows happens in the waiting session's own turn. */
  settled(now: number): void;
}

interface Question {
  readonly deadline: number;
  readonly waiting: Set<Waiting>;
}

/** What the sessions of a domain share: of many that want to know a hash, one asks. */
export class SharedCapabilities {
  readonly announcements = new AnnouncementReader();
  readonly #questions = new Map<string, Question>();

  /**
   * Claims the question for an announcement's hashes.
   * @returns undefined if it may be asked now; else when, at the latest, to look again: `waiting` hears of it before
   */
  claim(
    hashes: readonly AnnouncedHash[],
    waiting: Waiting,
    now: number,
    deadline: number,
  ): number | undefined {
    for (const { key } of hashes) {
      const question = this.#questions.get(key);
      if (question === undefined || question.deadline <= now) continue;
      question.waiting.add(waiting);
      return question.deadline;
    }
    for (const { key } of hashes) this.#questions.set(key, { deadline, waiting: new Set() });
    return undefined;
  }

  /** The question is settled, one way or the other. */
  settle(hashes: readonly AnnouncedHash[], now: number): void {
    for (const { key } of hashes) {
      const question = this.#questions.get(key);
      this.#questions.delete(key);
      for (const waiting of question?.waiting ?? []) waiting.settled(now);
    }
  }
}
