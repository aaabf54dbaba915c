import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { Frame } from '../../xml/frame.js';
import { type NamespaceTable, NS } from '../../xml/namespaces.js';
import { equalsAscii } from '../../xml/values.js';
import { type Hash64, keyedHash } from './keyed-hash.js';

/** Affiliations and roles (XEP-0045 §5) by their number in `flags`: affiliation in the low three bits, role in the next two. */
export const AFFILIATIONS = ['none', 'member', 'admin', 'owner', 'outcast'] as const;
export const ROLES = ['none', 'visitor', 'participant', 'moderator'] as const;

const LT = 0x3c;
const GT = 0x3e;
const SLASH = 0x2f;
const BANG = 0x21;
const EQUALS = 0x3d;
const SPACE = 0x20;
const APOSTROPHE = 0x27;
/** What a piece of an element is, in the key by which it is hashed; beside it how many elements are over. */
const NAME = 0x10000;
const ATTRIBUTE = 0x20000;
const TEXT = 0x30000;
const CDATA = 0x40000;

const PRIME_1 = 0x01000193;
const PRIME_2 = 0x9e3779b1;

/**
 * 64 bits that stand for what a stanza says, for telling whether it says the same as another one. Neither the order of attributes nor that of
 * the first-level elements counts, nor quotes and white space in tags: COMPAT Prosody and ejabberd write one presence in different ways.
 * Different spellings of one text may differ, which costs a stanza and nothing else. Beside it 64 bits for how it is spelled, which are
 * made in a third of the time: who is spelled as before says the same as before.
 *
 * Keyed, so that nobody who does not know the key can make a presence that passes for another.
 */
export class Digest {
  /** The digest of what was read last. */
  lo = 0;
  hi = 0;
  /** Of its spelling. */
  spelledLo = 0;
  spelledHi = 0;
  /** There was something in it that is no state of the occupant, such as a mark. */
  hasMore = false;
  /** Affiliation and role that the room gave in it; 0 if it said nothing. */
  flags = 0;
  /** The key, for whoever hashes something else of the same view. */
  readonly key0: number;
  readonly key1: number;

  constructor(key: string) {
    let seed1 = 0x811c9dc5;
    let seed2 = 0x2545f491;
    for (let i = 0; i < key.length; i++) {
      seed1 = Math.imul(seed1 ^ key.charCodeAt(i), PRIME_1);
      seed2 = Math.imul(((seed2 << 5) | (seed2 >>> 27)) ^ key.charCodeAt(i), PRIME_2);
    }
    this.key0 = seed1 | 0;
    this.key1 = seed2 | 0;
  }

  /** Reads how a presence is spelled: the bytes of what `presence` reads, as they stand. */
  spelling(frame: Frame): this {
    const words = wordsOf(frame.buffer);
    const noState = noStateOf(frame);
    const { childCount } = frame;
    PIECE.lo = this.key0;
    PIECE.hi = this.key1;
    this.hasMore = false;
    let from = -1;
    for (let i = 0; i <= childCount; i++) {
      if (i < childCount && !noState.has(frame, i)) {
        if (from < 0) from = frame.childStart(i);
        continue;
      }
      if (i < childCount) this.hasMore = true;
      if (from >= 0) {
        keyedHash(words, from, frame.childEnd(i - 1), PIECE.lo, PIECE.hi, PIECE);
        from = -1;
      }
    }
    this.spelledLo = PIECE.lo;
    this.spelledHi = PIECE.hi;
    return this;
  }

  /** Reads a presence without its addresses and id, and without what is no state of the occupant. */
  presence(frame: Frame): this {
    const { buffer } = frame;
    const words = wordsOf(buffer);
    const noState = noStateOf(frame);
    let lo = 0;
    let hi = 0;
    this.flags = 0;
    // COMPAT mu-conference reflects what an occupant put into its presence; what the room says stands behind it.
    const said = lastChild(frame, 'x', NS.mucUser);
    for (let i = 0; i < frame.childCount; i++) {
      if (noState.has(frame, i)) continue;
      this.#element(buffer, words, frame.childStart(i), frame.childEnd(i), i === said);
      lo = (lo + CHAIN.lo) | 0;
      hi = (hi + CHAIN.hi) | 0;
    }
    this.lo = lo;
    this.hi = hi;
    return this;
  }

  /** Reads any text. */
  text(text: string): this {
    const bytes = Buffer.from(text);
    keyedHash(wordsOf(bytes), 0, bytes.length, this.key0, this.key1, PIECE);
    this.lo = PIECE.lo;
    this.hi = PIECE.hi;
    return this;
  }

  /** One element, well-formed as the tokenizer has let it through: no comments, processing instructions or stray `<`. */
  #element(bytes: Buffer, words: DataView, start: number, end: number, isRooms: boolean): void {
    CHAIN.lo = this.key0;
    CHAIN.hi = this.key1;
    let at = start;
    // Elements that are over since the last piece.
    let closed = 0;
    while (at < end) {
      const from = at;
      if (bytes[at] !== LT) {
        while (bytes[at] !== LT) at++;
        take(words, from, at, TEXT + closed);
        closed = 0;
        continue;
      }
      const next = bytes[at + 1]!;
      if (next === SLASH) {
        closed++;
        at = bytes.indexOf(GT, at) + 1;
      } else if (next === BANG) {
        const close = bytes.indexOf(']]>', at + 9);
        take(words, at + 9, close, CDATA + closed);
        closed = 0;
        at = close + 3;
      } else {
        at = this.#tag(bytes, words, at, closed, isRooms);
        closed = bytes[at - 2] === SLASH ? 1 : 0;
      }
    }
  }

  /** A start tag. @param closed elements that were over before it @returns where it is over */
  #tag(bytes: Buffer, words: DataView, start: number, closed: number, isRooms: boolean): number {
    let at = start + 1;
    for (let b = bytes[at]!; b > SPACE && b !== GT && b !== SLASH; ) b = bytes[++at]!;
    take(words, start + 1, at, NAME + closed);
    for (;;) {
      let b = bytes[at]!;
      while (b <= SPACE) b = bytes[++at]!;
      if (b === GT || b === SLASH) break;
      const name = at;
      while (b > SPACE && b !== EQUALS) b = bytes[++at]!;
      const nameEnd = at;
      while (b <= SPACE || b === EQUALS) b = bytes[++at]!;
      const value = ++at;
      while (bytes[at] !== b) at++;
      if (b === APOSTROPHE && value === nameEnd + 2) {
        keyedHash(words, name, at, this.key0 ^ ATTRIBUTE, this.key1, PIECE);
      } else {
        const usual = Buffer.from(`${bytes.toString('latin1', name, nameEnd)}='`, 'latin1');
        const whole = Buffer.concat([usual, bytes.subarray(value, at)]);
        keyedHash(wordsOf(whole), 0, whole.length, this.key0 ^ ATTRIBUTE, this.key1, PIECE);
      }
      if (isRooms) this.#note(bytes, name, nameEnd, value, at);
      at++;
      // Sums, because attributes have no order.
      CHAIN.lo = (CHAIN.lo + PIECE.lo) | 0;
      CHAIN.hi = (CHAIN.hi + PIECE.hi) | 0;
    }
    return bytes[at] === SLASH ? at + 2 : at + 1;
  }

  #note(bytes: Buffer, name: number, nameEnd: number, value: number, valueEnd: number): void {
    const length = nameEnd - name;
    if (length === 11 && equalsAscii(bytes, name, nameEnd, 'affiliation')) {
      this.flags = (this.flags & ~7) | affiliation(bytes.toString('latin1', value, valueEnd));
    } else if (length === 4 && equalsAscii(bytes, name, nameEnd, 'role')) {
      this.flags = (this.flags & 7) | (role(bytes.toString('latin1', value, valueEnd)) << 3);
    }
  }
}

/** What may stand in a presence and is not what its occupant is. */
const NO_STATE = [NS.presenceSession, NS.presenceVersioning, NS.delay, NS.delayLegacy] as const;

/** The same by the numbers of a table of namespaces. */
class NoState {
  readonly #session: number;
  readonly #version: number;
  readonly #delay: number;
  readonly #legacyDelay: number;
  readonly #areAllKnown: boolean;

  constructor(readonly of: NamespaceTable | undefined) {
    const [session = 0, version = 0, delay = 0, legacyDelay = 0] = NO_STATE.map((name) => of?.id(name));
    this.#session = session;
    this.#version = version;
    this.#delay = delay;
    this.#legacyDelay = legacyDelay;
    this.#areAllKnown = ![session, version, delay, legacyDelay].includes(0);
  }

  has(frame: Frame, child: number): boolean {
    const id = frame.childNamespaceId(child);
    if (id !== 0) {
      return id === this.#session || id === this.#version || id === this.#delay || id === this.#legacyDelay;
    }
    // Not in the table, as one of these may be.
    return !this.#areAllKnown && NO_STATE.some((namespace) => frame.childNamespace(child) === namespace);
  }
}

let noState = new NoState(undefined);

function noStateOf({ namespaces }: Frame): NoState {
  if (noState.of !== namespaces) noState = new NoState(namespaces);
  return noState;
}

/** The element that is being read, up to where; and what was hashed beside it. */
const CHAIN: Hash64 = { lo: 0, hi: 0 };
const PIECE: Hash64 = { lo: 0, hi: 0 };

/** Takes a piece of the bytes into the element that is being read. */
function take(words: DataView, start: number, end: number, kind: number): void {
  keyedHash(words, start, end, CHAIN.lo ^ kind, CHAIN.hi, CHAIN);
}

function wordsOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function affiliation(name: string): number {
  return Math.max(0, AFFILIATIONS.indexOf(name as (typeof AFFILIATIONS)[number]));
}

function role(name: string): number {
  return Math.max(0, ROLES.indexOf(name as (typeof ROLES)[number]));
}

/** Whether an occupant with these flags is a moderator, who is shown the others' real addresses in a semi-anonymous room. */
export function isModerator(flags: number): boolean {
  return ROLES[(flags >> 3) & 3] === 'moderator';
}

/** Whether the room says to who enters that everybody is shown real addresses (XEP-0045 §7.2.4). */
export function showsAddresses(presence: Element): boolean {
  return presence
    .getChildren('x', NS.mucUser)
    .some((x) => x.getChildren('status').some(({ attrs }) => attrs.code === '100'));
}

export function affiliationOf(flags: number): string {
  return AFFILIATIONS[flags & 7] ?? 'none';
}

/** The last child with this name and namespace; -1 if there is none. */
export function lastChild(frame: Frame, name: string, namespace: string): number {
  for (let i = frame.childCount - 1; i >= 0; i--) if (frame.childIs(i, name, namespace)) return i;
  return -1;
}
