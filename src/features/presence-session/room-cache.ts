import { Buffer } from 'node:buffer';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import { parseElement } from '../../xml/tree.js';
import type { RoomMessage } from './history.js';

const FORMAT = 1;
const HEADER = 12;
/** Messages that are kept of a room. */
const MESSAGES = 100;

/** A message that may be told again. */
export type KeptMessage = Pick<RoomMessage, 'xml' | 'stamp'>;

interface Head {
  readonly format: number;
  readonly session: string;
  readonly id: string;
  readonly moderator: boolean;
  readonly stamps: readonly number[];
  readonly nicks: readonly string[];
}

/**
 * What is known of a room by playing its client: full stanzas without any mark, and the stanza at which they were true. Whatever is
 * put in has to be followed by its place, so that both are always of one moment.
 */
export class RoomCache {
  readonly occupants = new Map<string, Buffer>();
  messages: KeptMessage[] = [];
  /** Of the last stanza; undefined: there is nothing to resume from. */
  at: { readonly session: string; readonly id: string } | undefined;
  /** The session is, or was, a moderator there. */
  moderator = false;
  bytes = 0;

  presence(nick: string, xml: Buffer): void {
    this.gone(nick);
    this.occupants.set(nick, xml);
    this.bytes += xml.length;
  }

  gone(nick: string): void {
    const known = this.occupants.get(nick);
    if (known === undefined) return;
    this.bytes -= known.length;
    this.occupants.delete(nick);
  }

  /** Takes real addresses out of what is kept of the occupants (XEP-0045 §7.2.3), as the room would not show them to who is no moderator. */
  hideAddresses(): void {
    for (const [nick, xml] of this.occupants) {
      const hidden = withoutAddresses(xml);
      this.bytes += hidden.length - xml.length;
      this.occupants.set(nick, hidden);
    }
  }

  said(message: KeptMessage): void {
    this.messages.push(message);
    this.bytes += message.xml.length;
    while (this.messages.length > MESSAGES) this.bytes -= this.messages.shift()!.xml.length;
  }

  forgetMessages(): void {
    for (const { xml } of this.messages) this.bytes -= xml.length;
    this.messages = [];
  }

  forgetOccupants(): void {
    for (const nick of [...this.occupants.keys()]) this.gone(nick);
  }

  encode(expires: number): Buffer {
    const stanzas = [...this.occupants.values(), ...this.messages.map(({ xml }) => xml)];
    const head: Head = {
      format: FORMAT,
      session: this.at?.session ?? '',
      id: this.at?.id ?? '',
      moderator: this.moderator,
      stamps: this.messages.map(({ stamp }) => stamp),
      nicks: [...this.occupants.keys()],
    };
    const headBytes = Buffer.from(JSON.stringify(head));
    const front = Buffer.alloc(HEADER);
    front.writeDoubleBE(expires, 0);
    front.writeUInt32BE(headBytes.length, 8);
    const parts: Buffer[] = [front, headBytes];
    for (const stanza of stanzas) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(stanza.length);
      parts.push(length, stanza);
    }
    return Buffer.concat(parts as Uint8Array[]);
  }

  /** @returns undefined for what this version has not written */
  static decode(value: Buffer): RoomCache | undefined {
    try {
      let at = HEADER + value.readUInt32BE(8);
      const head = JSON.parse(value.toString('utf8', HEADER, at)) as Head;
      if (head.format !== FORMAT || head.session === '') return undefined;
      const cache = new RoomCache();
      const next = (): Buffer => {
        const end = at + 4 + value.readUInt32BE(at);
        if (end > value.length) throw new RangeError('it is cut off');
        const stanza = Buffer.from(value.subarray(at + 4, end));
        at = end;
        return stanza;
      };
      for (const nick of head.nicks) cache.presence(nick, next());
      for (const stamp of head.stamps) cache.said({ xml: next(), stamp });
      cache.at = { session: head.session, id: head.id };
      cache.moderator = head.moderator;
      return cache;
    } catch {
      return undefined;
    }
  }
}

const ADDRESS = Buffer.from('jid');

function withoutAddresses(presence: Buffer): Buffer {
  if (!presence.includes(ADDRESS)) return presence;
  const tree = parseElement(presence);
  for (const x of tree.getChildren('x', NS.mucUser)) {
    for (const item of x.getChildren('item')) delete item.attrs.jid;
  }
  return Buffer.from(serializeElement(tree));
}
