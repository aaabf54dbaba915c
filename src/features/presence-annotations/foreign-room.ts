import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { parseElement } from '../../xml/tree.js';

/** What was said last in a room is remembered to know it again: so many stanzas, and so many bytes of them. */
const MOST_RECENT = 10;
const MOST_RECENT_BYTES = 16 * 1024;

/** A room on another server that the session is in, with what it takes to enter it again unnoticed. */
export class ForeignRoom {
  /** How it stands; `lost`: known to be out, and the way back is not open. */
  phase: 'in' | 'checking' | 'returning' | 'lost' = 'in';
  /** The link to its service has been down since it was last known to be in. */
  wasDown = false;
  /** When something was last heard of it; ms. */
  heardAt: number;
  password: string | undefined;
  /** The occupants as the client knows them, while it is out without knowing. */
  occupants: ReadonlyMap<string, Buffer> | undefined;
  /** Bytes of groupchat messages, the last one last, one byte a character. */
  #recent: string[] = [];
  #recentBytes = 0;
  #subject: string | undefined;

  constructor(
    readonly jid: string,
    public nick: string,
    now: number,
  ) {
    this.heardAt = now;
  }

  /** A groupchat message of the room's. */
  heard(message: Frame, now: number): void {
    this.heardAt = now;
    const size = message.end - message.start;
    if (size > MOST_RECENT_BYTES / 2) return;
    const bytes = message.bytes().toString('latin1');
    if (isSubject(message)) this.#subject = bytes;
    this.#recent.push(bytes);
    this.#recentBytes += size;
    while (this.#recent.length > MOST_RECENT || this.#recentBytes > MOST_RECENT_BYTES)
      this.#recentBytes -= this.#recent.shift()!.length;
  }

  /** What tells messages apart, of those heard last. */
  recentKeys(): Set<string> {
    return new Set(this.#recent.map((bytes) => messageKey(read(bytes))));
  }

  get subject(): string | undefined {
    return this.#subject === undefined ? undefined : subjectOf(read(this.#subject));
  }
}

/** RFC 6121 §5.2.4, XEP-0045 §7.2.15: a subject without a body. */
export function isSubject(message: Frame): boolean {
  return message.findChild('subject', NS.client) >= 0 && message.findChild('body', NS.client) < 0;
}

export function subjectOf(message: Element): string {
  return message.getChildText('subject', NS.client) ?? '';
}

/** The same for a message and for the room's repetition of it. */
export function messageKey(message: Element): string {
  const { from, id } = message.attrs as { from?: unknown; id?: unknown };
  const body = message.getChildText('body', NS.client) ?? '';
  return JSON.stringify([from, id, body.slice(0, 200)]);
}

/** Stanzas as they are kept have no declaration of their own namespace. */
function read(latin1: string): Element {
  return inClientNamespace(Buffer.from(latin1, 'latin1'));
}

/** The tree of a stanza in its stream's default namespace. @param bytes of a stanza that was read before */
export function inClientNamespace(bytes: Buffer): Element {
  const wrapped = Buffer.concat([
    Buffer.from(`<stream xmlns='${NS.client}' xmlns:stream='${NS.stream}'>`),
    bytes,
    Buffer.from('</stream>'),
  ]);
  return parseElement(wrapped).getChildElements()[0]!;
}
