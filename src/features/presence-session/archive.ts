import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, serializeElement } from '../../xml/serialize.js';
import type { Digest } from './digest.js';
import { type RoomMessage, readMessage } from './history.js';

/** One result of a room's archive (XEP-0313 §4.2), to be read when it is known to have been asked for. */
export interface Archived {
  readonly queryId: string;
  /** The room that it comes from, prepared; a room's archive is the room's alone (XEP-0313 §9.2). */
  readonly room: string;
  /** The message as the room's history would give it. @returns undefined for what is none of its messages */
  read(digest: Digest, to: string): RoomMessage | undefined;
}

/** @param stanza a message with a `<result/>` */
export function readArchived(stanza: Element): Archived | undefined {
  const result = stanza.getChild('result', NS.mam2);
  const forwarded = result?.getChild('forwarded', NS.forward0);
  const message = forwarded?.getChild('message');
  const stamp = forwarded?.getChild('delay', NS.delay)?.attrs.stamp as string | undefined;
  const room = prepareJid(String(stanza.attrs.from ?? ''));
  if (result === undefined || room === undefined) return undefined;
  return {
    queryId: String(result.attrs.queryid ?? ''),
    room,
    read: (digest, to) => {
      const from = message?.attrs.from as string | undefined;
      if (message === undefined || from === undefined || stamp === undefined) return undefined;
      if (prepareJid(from.split('/')[0] ?? '') !== room || message.attrs.type !== 'groupchat')
        return undefined;
      // What marks the result in the archive marks the message in the room.
      const id = result.attrs.id as string | undefined;
      const given = message.getChildren('stanza-id', NS.sid).filter(({ attrs }) => attrs.by === room);
      const stanzaId =
        id === undefined || given.length > 0
          ? ''
          : `<stanza-id xmlns='${NS.sid}' by='${escapeAttribute(room)}' id='${escapeAttribute(id)}'/>`;
      for (const mark of message.getChildren('presence-session', NS.presenceSession)) message.remove(mark);
      message.attrs.to = to;
      // What it has inside the envelope it has in the stream.
      delete message.attrs.xmlns;
      message.c('delay', { xmlns: NS.delay, from: room, stamp });
      const xml = serializeElement(message);
      const close = xml.lastIndexOf('</');
      const whole = Buffer.from(xml.slice(0, close) + stanzaId + xml.slice(close));
      const read = readMessage(message, whole, digest, room);
      if (stanzaId === '' || id === undefined) return read.hasBody ? read : undefined;
      const { lo, hi } = digest.text(id);
      return read.hasBody ? { ...read, mark: { ...read.mark, stanzaIdLo: lo, stanzaIdHi: hi } } : undefined;
    },
  };
}
