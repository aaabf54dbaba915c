import { createHash } from 'node:crypto';
import type { Element } from 'ltx';
import { prepareJid } from '../jid.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { frameToElement } from '../xml/tree.js';

/** Keys that are remembered: of one account, of which messages have one or two, and in all. */
const MOST_OF_ACCOUNT = 1_000;
const MOST = 100_000;

/** So far apart a message reaches the devices of an account; ms. */
export const SAME_TIME = 30_000;

/** Devices that are remembered of one message. */
const MOST_DEVICES = 16;

const ON_ITS_WAY: readonly string[] = [NS.delay, NS.sid, NS.hints];

/** Of a key longer than this only a hash is kept. */
const LONGEST_KEY = 256;

export interface Sighting {
  readonly resource: string;
  /** ms on the sessions' clock. */
  readonly at: number;
  /** The client acknowledges what it has, and what it does not acknowledge is kept for it. */
  readonly isSafe: boolean;
}

/**
 * Which of an account's sessions have been sent which message, so that what one of them has missed does not come a second time to a device
 * that has seen it. It may forget: what is not known here comes again.
 */
export class Sightings {
  /** By account and key; what was noted last is last. */
  readonly #accounts = new Map<string, Map<string, Sighting[]>>();
  #size = 0;

  note(account: string, keys: readonly string[], sighting: Sighting): void {
    const seen = this.#accounts.get(account) ?? new Map<string, Sighting[]>();
    this.#accounts.delete(account);
    this.#accounts.set(account, seen);
    this.#size -= seen.size;
    for (const key of keys.map(short)) {
      const others = seen.get(key)?.filter(({ resource }) => resource !== sighting.resource) ?? [];
      seen.delete(key);
      seen.set(key, [...others.slice(1 - MOST_DEVICES), sighting]);
    }
    for (const key of seen.keys()) {
      if (seen.size <= MOST_OF_ACCOUNT) break;
      seen.delete(key);
    }
    this.#size += seen.size;
    for (const longest of this.#accounts.keys()) {
      if (this.#size <= MOST) break;
      this.#forget(longest);
    }
  }

  /**
   * Of a message with one of these keys; a device may be in it twice.
   *
   * @param at when it came; ms on the same clock. Not every sender gives each message an id of its own
   */
  of(account: string, keys: readonly string[], at: number): readonly Sighting[] {
    const seen = this.#accounts.get(account);
    if (seen === undefined) return [];
    return keys.flatMap((key) =>
      (seen.get(short(key)) ?? []).filter(
        (sighting) => isArchived(key) || Math.abs(sighting.at - at) < SAME_TIME,
      ),
    );
  }

  /** Whether anything is known of the account. */
  has(account: string): boolean {
    return this.#accounts.has(account);
  }

  #forget(account: string): void {
    this.#size -= this.#accounts.get(account)?.size ?? 0;
    this.#accounts.delete(account);
  }
}

/**
 * What a message is known by on every way on which it can reach a client: the ids the account's own server gave it (XEP-0359 §5), and its
 * sender with the id and the text that the sender gave it. Of a carbon copy (XEP-0280) that is what is inside.
 *
 * @param account the user's bare JID
 */
export function messageKeys(frame: Frame, account: string): readonly string[] {
  if (frame.kind !== StanzaKind.Message) return [];
  const message = frameToElement(frame);
  const own = prepareJid(account) ?? account;
  const carbon = message.getChild('received', NS.carbons2) ?? message.getChild('sent', NS.carbons2);
  const from = String(message.attrs.from ?? account);
  // XEP-0280 §11: a copy is one only if it comes from the user's own account.
  const inner =
    carbon !== undefined && prepareJid(from) === own
      ? carbon.getChild('forwarded', NS.forward0)?.getChild('message')
      : undefined;
  return keysOf(inner ?? message, own);
}

/** A key that the server made, and gave to one message only. */
function isArchived(key: string): boolean {
  return key.startsWith('archive ');
}

/** The same of a message as a tree, which is no copy of another. @param account prepared */
export function keysOf(message: Element, account: string): string[] {
  const keys: string[] = [];
  for (const given of message.getChildren('stanza-id', NS.sid)) {
    const { by, id } = given.attrs;
    if (typeof by === 'string' && typeof id === 'string' && prepareJid(by) === account)
      keys.push(`archive ${id}`);
  }
  const { from, id } = message.attrs;
  // With the text, because there are clients that give all their messages one id.
  const text = message.getChildText('body') ?? (id === undefined ? contentOf(message) : '');
  keys.push(`sent ${prepareJid(String(from ?? account))} ${id ?? ''} ${text}`);
  return keys;
}

/** What tells apart messages that have neither an id nor a text, but for what is put to them on their way. */
function contentOf(message: Element): string {
  return message
    .getChildElements()
    .filter((child) => !ON_ITS_WAY.includes(child.getNS() ?? ''))
    .join('');
}

function short(key: string): string {
  return key.length <= LONGEST_KEY ? key : createHash('sha256').update(key).digest('base64url');
}
