import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';

/** Affiliations and roles (XEP-0045 §5) by their number in `flags`: affiliation in the low three bits, role in the next two. */
export const AFFILIATIONS = ['none', 'member', 'admin', 'owner', 'outcast'] as const;
export const ROLES = ['none', 'visitor', 'participant', 'moderator'] as const;

const LT = 0x3c;
const GT = 0x3e;
const SLASH = 0x2f;
const BANG = 0x21;
const EQUALS = 0x3d;
const SPACE = 0x20;
const CLOSED = 0x100;
const TEXT = 0x101;

const PRIME_1 = 0x01000193;
const PRIME_2 = 0x9e3779b1;

/**
 * 64 bits that stand for what a stanza says, for telling whether it says the same as another one. Neither the order of attributes nor that of
 * the first-level elements counts, nor quotes and white space in tags: COMPAT Prosody and ejabberd write one presence in different ways.
 * Different spellings of one text may differ, which costs a stanza and nothing else.
 *
 * Keyed, so that nobody who does not know the key can make a presence that passes for another.
 */
export class Digest {
  /** The digest of what was read last. */
  lo = 0;
  hi = 0;
  /** Affiliation and role that the room gave in it; 0 if it said nothing. */
  flags = 0;
  readonly #seed1: number;
  readonly #seed2: number;
  #h1 = 0;
  #h2 = 0;
  /** While what the room itself says is read. */
  #reading = false;

  constructor(key: string) {
    let seed1 = 0x811c9dc5;
    let seed2 = 0x2545f491;
    for (let i = 0; i < key.length; i++) {
      seed1 = Math.imul(seed1 ^ key.charCodeAt(i), PRIME_1);
      seed2 = Math.imul(((seed2 << 5) | (seed2 >>> 27)) ^ key.charCodeAt(i), PRIME_2);
    }
    this.#seed1 = seed1;
    this.#seed2 = seed2;
  }

  /** Reads a presence without its addresses and id, and without what is no state of the occupant. */
  presence(frame: Frame): this {
    const { buffer } = frame;
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    let lo = this.#seed1;
    let hi = this.#seed2;
    this.flags = 0;
    // COMPAT mu-conference reflects what an occupant put into its presence; what the room says stands behind it.
    const said = lastChild(frame, 'x', NS.mucUser);
    for (let i = 0; i < frame.childCount; i++) {
      const namespace = frame.childNamespace(i);
      if (NO_STATE.has(namespace)) continue;
      this.#reading = i === said;
      this.#element(buffer, view, frame.childStart(i), frame.childEnd(i));
      lo = (lo + mix(this.#h1)) | 0;
      hi = (hi + mix(this.#h2 ^ this.#h1)) | 0;
    }
    this.lo = mix(lo) >>> 0;
    this.hi = mix(hi) >>> 0;
    return this;
  }

  /** Reads any text. */
  text(text: string): this {
    let h1 = this.#seed1;
    let h2 = this.#seed2;
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i);
      h1 = Math.imul(h1 ^ c, PRIME_1);
      h2 = Math.imul(((h2 << 5) | (h2 >>> 27)) ^ c, PRIME_2);
    }
    this.lo = mix(h1) >>> 0;
    this.hi = mix(h2) >>> 0;
    return this;
  }

  #byte(b: number): void {
    this.#h1 = Math.imul(this.#h1 ^ b, PRIME_1);
    const h2 = this.#h2;
    this.#h2 = Math.imul(((h2 << 5) | (h2 >>> 27)) ^ b, PRIME_2);
  }

  /** One element, well-formed as the tokenizer has let it through: no comments, processing instructions or stray `<`. */
  #element(bytes: Buffer, view: DataView, start: number, end: number): void {
    this.#h1 = this.#seed1;
    this.#h2 = this.#seed2;
    let at = start;
    let wasText = false;
    while (at < end) {
      const b = bytes[at]!;
      if (b !== LT) {
        if (!wasText) this.#byte(TEXT);
        wasText = true;
        this.#byte(b);
        at++;
        continue;
      }
      const next = bytes[at + 1]!;
      if (next === BANG) {
        if (!wasText) this.#byte(TEXT);
        wasText = true;
        const close = bytes.indexOf(']]>', at + 9);
        for (let i = at + 9; i < close; i++) this.#byte(bytes[i]!);
        at = close + 3;
        continue;
      }
      wasText = false;
      if (next === SLASH) {
        this.#byte(CLOSED);
        at = bytes.indexOf(GT, at) + 1;
      } else at = this.#tag(bytes, view, at);
    }
  }

  /** A start tag. @returns where it is over */
  #tag(bytes: Buffer, view: DataView, start: number): number {
    let at = start;
    // The name, with its `<`.
    for (let b = bytes[at]!; b > SPACE && b !== GT && b !== SLASH; b = bytes[++at]!) this.#byte(b);
    let sum1 = 0;
    let sum2 = 0;
    for (;;) {
      let b = bytes[at]!;
      while (b <= SPACE) b = bytes[++at]!;
      if (b === GT || b === SLASH) break;
      let h1 = this.#seed1;
      let h2 = this.#seed2;
      const name = at;
      for (; b > SPACE && b !== EQUALS; b = bytes[++at]!) {
        h1 = Math.imul(h1 ^ b, PRIME_1);
        h2 = Math.imul(((h2 << 5) | (h2 >>> 27)) ^ b, PRIME_2);
      }
      const nameEnd = at;
      while (b <= SPACE || b === EQUALS) b = bytes[++at]!;
      const quote = b;
      const value = ++at;
      at = bytes.indexOf(quote, value);
      h1 = Math.imul(h1 ^ EQUALS ^ ((at - value) << 8), PRIME_1);
      let i = value;
      for (; i + 4 <= at; i += 4) {
        // Four at a time: an attribute's value is where most of a presence's bytes are.
        const word = view.getInt32(i);
        h1 = Math.imul(h1 ^ word, PRIME_1);
        h1 ^= h1 >>> 15;
        h2 = Math.imul(((h2 << 5) | (h2 >>> 27)) ^ word, PRIME_2);
      }
      for (; i < at; i++) {
        b = view.getUint8(i);
        h1 = Math.imul(h1 ^ b, PRIME_1);
        h2 = Math.imul(((h2 << 5) | (h2 >>> 27)) ^ b, PRIME_2);
      }
      if (this.#reading) this.#note(bytes, name, nameEnd, value, at);
      at++;
      sum1 = (sum1 + mix(h1)) | 0;
      sum2 = (sum2 + mix(Math.imul(h2, PRIME_1) ^ h1)) | 0;
    }
    this.#h1 = Math.imul(this.#h1 ^ sum1, PRIME_1);
    this.#h2 = Math.imul(this.#h2 ^ sum2, PRIME_2);
    if (bytes[at] === SLASH) {
      this.#byte(CLOSED);
      at++;
    }
    return at + 1;
  }

  #note(bytes: Buffer, name: number, nameEnd: number, value: number, valueEnd: number): void {
    const length = nameEnd - name;
    if (length === 11 && bytes[name] === 0x61 && bytes.toString('latin1', name, nameEnd) === 'affiliation') {
      this.flags = (this.flags & ~7) | affiliation(bytes.toString('latin1', value, valueEnd));
    } else if (length === 4 && bytes[name] === 0x72 && bytes.toString('latin1', name, nameEnd) === 'role') {
      this.flags = (this.flags & 7) | (role(bytes.toString('latin1', value, valueEnd)) << 3);
    }
  }
}

/** What may stand in a presence and is not what its occupant is. */
const NO_STATE: ReadonlySet<string> = new Set([
  NS.presenceSession,
  NS.presenceVersioning,
  NS.delay,
  NS.delayLegacy,
]);

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

export function affiliationOf(flags: number): string {
  return AFFILIATIONS[flags & 7] ?? 'none';
}

/** The last child with this name and namespace; -1 if there is none. */
export function lastChild(frame: Frame, name: string, namespace: string): number {
  for (let i = frame.childCount - 1; i >= 0; i--) if (frame.childIs(i, name, namespace)) return i;
  return -1;
}

function mix(h: number): number {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
