import type { Element } from 'ltx';
import { prepareJid } from '../jid.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { frameToElement } from '../xml/tree.js';

/** Messages of one account that are remembered at a time. */
const MOST = 1_000;

/**
 * Which of an account's sessions have been sent which message, while one of them is held: so that what the held one missed does not come
 * a second time to a device that has seen it.
 */
export class Sightings {
  readonly #seen = new Map<string, Set<string>>();

  note(keys: readonly string[], resource: string): void {
    for (const key of keys) {
      const resources = this.#seen.get(key);
      if (resources !== undefined) {
        resources.add(resource);
        continue;
      }
      if (this.#seen.size >= MOST) {
        const { value: oldest } = this.#seen.keys().next();
        if (oldest !== undefined) this.#seen.delete(oldest);
      }
      this.#seen.set(key, new Set([resource]));
    }
  }

  /** Resources that have been sent a message with one of these keys. */
  of(keys: readonly string[]): readonly string[] {
    const all = new Set<string>();
    for (const key of keys) for (const resource of this.#seen.get(key) ?? []) all.add(resource);
    return [...all];
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
  keys.push(`sent ${prepareJid(String(from ?? account))} ${id ?? ''} ${message.getChildText('body') ?? ''}`);
  return keys;
}
