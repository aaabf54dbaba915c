import { LRUCache } from 'lru-cache';
import type { Element } from 'ltx';
import { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { frameToElement } from '../../xml/tree.js';
import { isSupportedHash } from './verification.js';

/** A hash that an entity says its service-discovery answer has. */
export interface AnnouncedHash {
  readonly method: 'caps' | 'caps2';
  readonly algorithm: string;
  readonly value: string;
  /** Method, algorithm and value: what an answer that has the hash is shared under. */
  readonly key: string;
}

/** What a presence says about its sender's capabilities (XEP-0115, XEP-0390). */
export interface Announcement {
  /** What to ask for; undefined: the entity as such. */
  readonly node: string | undefined;
  /** The hashes that can be verified, better ones first; empty: an answer counts for the entity alone. */
  readonly hashes: readonly AnnouncedHash[];
}

/** A hash set of more than this is not one that anybody means. */
const MOST_HASHES = 8;
/** Longer values are no hashes in base64: SHA-512 has 88 characters. */
const LONGEST_HASH = 128;
const LONGEST_NODE = 1024;

/** XEP-0300 §4.3 counts SHA-1 as broken; XEP-0115 knows no other that is in use. */
const CAPS2_ORDER = ['sha-256', 'sha3-256', 'sha-512', 'sha3-512', 'blake2b-512', 'sha-384', 'sha-224'];

/** Bytes of memory for announcements that many entities make in the same words: clients of one version do. */
const REMEMBERED_BYTES = 512 * 1024;
const LONGEST_REMEMBERED = 512;

/** Reads announcements, and gives all entities that say the same the same object. */
export class AnnouncementReader {
  readonly #remembered = new LRUCache<string, Announcement>({
    maxSize: REMEMBERED_BYTES,
    sizeCalculation: (_, bytes) => 600 + bytes.length,
  });

  /** @returns undefined if the presence announces nothing that can be asked for */
  read(presence: Frame): Announcement | undefined {
    const caps = presence.findChild('c', NS.caps);
    const caps2 = presence.findChild('c', NS.caps2);
    const plain = caps === -1 ? undefined : this.#readCaps(presence, caps);
    const hashSet = caps2 === -1 ? undefined : readCaps2(childElement(presence, caps2));
    if (hashSet === undefined) return plain;
    return plain === undefined
      ? hashSet
      : { node: hashSet.node, hashes: [...hashSet.hashes, ...plain.hashes] };
  }

  /** The element says all in its own attributes, so that its bytes mean the same wherever they stand. */
  #readCaps(presence: Frame, child: number): Announcement | undefined {
    const bytes = presence.buffer.subarray(presence.childStart(child), presence.childEnd(child));
    if (bytes.length > LONGEST_REMEMBERED) return readCaps(bytes, presence);
    const key = bytes.toString('latin1');
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const announcement = readCaps(bytes, presence);
    if (announcement !== undefined) this.#remembered.set(key, announcement);
    return announcement;
  }
}

function childElement(presence: Frame, child: number): Element {
  return frameToElement(presence).getChildElements()[child]!;
}

function readCaps(bytes: Buffer, presence: Frame): Announcement | undefined {
  const element = parseStanza(bytes, presence.namespaces, { context: presence.context, strict: false });
  if (!(element instanceof Frame)) return undefined;
  const node = element.attribute('node');
  const value = element.attribute('ver');
  const algorithm = element.attribute('hash');
  if (!node || !value || node.length > LONGEST_NODE || value.length > LONGEST_HASH) return undefined;
  // XEP-0115 §9.1: without `hash` it is the legacy format of 2003, whose `ver` proves nothing.
  const hash = algorithm === undefined ? undefined : announcedHash('caps', algorithm, value);
  return { node: `${node}#${value}`, hashes: hash === undefined ? [] : [hash] };
}

function readCaps2(c: Element): Announcement | undefined {
  const hashes = c
    .getChildren('hash', NS.hashes2)
    .slice(0, MOST_HASHES)
    .map((element) => announcedHash('caps2', String(element.attrs.algo ?? ''), element.getText().trim()))
    .filter((hash) => hash !== undefined && CAPS2_ORDER.includes(hash.algorithm)) as AnnouncedHash[];
  hashes.sort((a, b) => CAPS2_ORDER.indexOf(a.algorithm) - CAPS2_ORDER.indexOf(b.algorithm));
  const best = hashes[0];
  // XEP-0390 §4.3
  return best === undefined ? undefined : { node: `${NS.caps2}#${best.algorithm}.${best.value}`, hashes };
}

function announcedHash(
  method: AnnouncedHash['method'],
  algorithm: string,
  value: string,
): AnnouncedHash | undefined {
  if (!isSupportedHash(algorithm) || value === '' || value.length > LONGEST_HASH) return undefined;
  return { method, algorithm, value, key: `${method} ${algorithm} ${value}` };
}
