import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { frameToElement } from '../../xml/tree.js';
import { keysOf } from '../sightings.js';
import type { ArchiveResult } from './archive.js';

/** Up to a second: servers round to it. */
const TO_THE_SECOND = 'YYYY-MM-DDThh:mm:ss'.length;

/** Of what comes out of the archive there is never as much. */
const MOST_KEYS = 20_000;

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

  /**
   * @returns false for what the client has been given before.
   * COMPAT: ejabberd 23.01 has a message twice under one id that came while a session was ending.
   */
  notes({ id, message }: ArchiveResult): boolean {
    const key = `archive ${id}`;
    if (id !== '' && this.#keys.has(key)) return false;
    this.#keys.add(key);
    for (const sent of message === undefined ? [] : this.#sentKeys(message)) this.#keys.add(sent);
    return true;
  }

  /**
   * Whether the client has it already; if not, it has now.
   * COMPAT: Prosody 0.12 sends copies to a session without presence, and has the same message wait for it as an offline message.
   */
  hasOrNotes(frame: Frame): boolean {
    const message = this.#uncopied(frameToElement(frame));
    const id = this.#archivedAs(message);
    if (id === undefined) return this.hasAny(this.#sentKeys(message));
    if (this.#keys.has(id) || this.#isEarlier(message)) return true;
    if (this.#keys.size < MOST_KEYS) this.#keys.add(id);
    return false;
  }

  /** COMPAT: Prosody 0.12 leaves ids that the sender has made up where they are; its own is the last. */
  #archivedAs(message: Element): string | undefined {
    return keysOf(message, this.#account)
      .filter((key) => key.startsWith('archive '))
      .at(-1);
  }

  /** The client had everything up to an id, and has been given all that came behind it. @param end when the newest of it was archived */
  isComplete(end: string): void {
    this.#before = end.endsWith('Z') ? end.slice(0, TO_THE_SECOND) : '';
  }

  /** @param keys as `messageKeys` makes them */
  hasAny(keys: readonly string[]): boolean {
    return keys.some((key) => this.#keys.has(key));
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
