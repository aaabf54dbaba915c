import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { frameToElement } from '../../xml/tree.js';
import { keysOf } from '../sightings.js';
import type { ArchiveResult } from './archive.js';

/** Up to a second: servers round to it. */
const TO_THE_SECOND = 'YYYY-MM-DDThh:mm:ss'.length;

/**
 * What a client has been given out of the archive, so that the same does not come to it a second time live, as a carbon copy, or as an
 * offline message (XEP-0313 §8.1). The archive's id decides where there is one, else the ids that the sender gave.
 */
export class KnownMessages {
  readonly #keys = new Set<string>();
  readonly #account: string;
  /** Whatever the archive had before this time, the client has. */
  #before = '';

  /** @param account the user's bare JID */
  constructor(account: string) {
    this.#account = prepareJid(account) ?? account;
  }

  note({ id, message }: ArchiveResult): void {
    if (id !== '') this.#keys.add(`archive ${id}`);
    for (const key of message === undefined ? [] : this.#sentKeys(message)) this.#keys.add(key);
  }

  /** The client had everything up to an id, and has been given all that came behind it. @param end when the newest of it was archived */
  isComplete(end: string): void {
    this.#before = end.endsWith('Z') ? end.slice(0, TO_THE_SECOND) : '';
  }

  /** @param keys as `messageKeys` makes them */
  hasAny(keys: readonly string[]): boolean {
    return keys.some((key) => this.#keys.has(key));
  }

  has(frame: Frame): boolean {
    const message = this.#uncopied(frameToElement(frame));
    const archived = keysOf(message, this.#account).filter((key) => key.startsWith('archive '));
    // COMPAT: Prosody 0.12 leaves ids that the sender has made up where they are; its own is the last.
    const own = archived.at(-1);
    if (own === undefined) return this.hasAny(this.#sentKeys(message));
    return this.#keys.has(own) || this.#isEarlier(message);
  }

  /** An offline message that was archived before what the client has been given. */
  #isEarlier(message: Element): boolean {
    const stamp = String(message.getChild('delay', NS.delay)?.attrs.stamp ?? '');
    return this.#before !== '' && stamp.endsWith('Z') && stamp.slice(0, TO_THE_SECOND) < this.#before;
  }

  #sentKeys(message: Element): string[] {
    const keys = keysOf(message, this.#account).filter((key) => key.startsWith('sent '));
    const { from, id } = message.attrs as Record<string, string | undefined>;
    const origin = message.getChild('origin-id', NS.sid)?.attrs.id as string | undefined;
    const sender = prepareJid(from ?? this.#account) ?? '';
    // Without an id of either kind the same words, said twice, would be one message.
    if (id === undefined && origin === undefined) return [];
    if (origin !== undefined) keys.push(`origin ${sender} ${origin}`);
    return id === undefined ? keys.slice(-1) : keys;
  }

  /** What is inside of a copy (XEP-0280 §7, §8), which is one only if it comes from the account itself (§11). */
  #uncopied(message: Element): Element {
    const copy = message.getChild('received', NS.carbons2) ?? message.getChild('sent', NS.carbons2);
    if (copy === undefined || prepareJid(String(message.attrs.from ?? this.#account)) !== this.#account)
      return message;
    return copy.getChild('forwarded', NS.forward0)?.getChild('message') ?? message;
  }
}
