import type { Element } from 'ltx';
import { bare, parseJid, prepareJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, serializeElement } from '../../xml/serialize.js';
import { writeTime } from '../../xml/times.js';
import { stampOf } from './times.js';

const NODES = 'urn:xmpp:mucsub:nodes:';
const MESSAGES = `${NODES}messages`;
const SUBJECT = `${NODES}subject`;

/** What a MUC/Sub event comes to. */
export interface RoomEvent {
  /** The groupchat message in it; undefined when it is none, or not to be believed. */
  readonly message: Element | undefined;
  readonly isBelieved: boolean;
  /** Since when the event has waited, ms since 1970; NaN when it comes at once. */
  readonly stamp: number;
}

/**
 * Reads the events in a stanza.
 * @param stanza with an `<event/>`
 * @param room its sender, prepared
 * @returns nothing when it is no event of MUC/Sub
 */
export function readEvents(stanza: Element, room: string): RoomEvent[] {
  const stamp = stampOf(stanza);
  return stanza.getChildren('event', NS.pubsubEvent).flatMap((event) =>
    event.getChildren('items').flatMap((items) => {
      const node = String(items.attrs.node ?? '');
      if (!node.startsWith(NODES)) return [];
      const isMessage = node === MESSAGES || node === SUBJECT;
      return items.getChildren('item').map((item) => {
        const inner = item.getChildElements()[0];
        const isBelieved = !isMessage || (inner !== undefined && isSaidIn(inner, room));
        return { message: isMessage && isBelieved ? inner : undefined, isBelieved, stamp };
      });
    }),
  );
}

/** The room vouches for what an occupant of its own has said, or for itself. */
function isSaidIn(inner: Element, room: string): boolean {
  if (inner.getName() !== 'message' || inner.getNS() !== NS.client) return false;
  const { from, type } = inner.attrs as Record<string, string | undefined>;
  if (type !== 'groupchat' || from === undefined || parseJid(from) === undefined) return false;
  return prepareJid(bare(from)) === room;
}

/** Whether a message is of use to somebody who was not there: not what only says that somebody is writing. */
export function isOfUse(message: Element): boolean {
  if (message.getChild('no-store', NS.hints) !== undefined) return false;
  return message
    .getChildElements()
    .some(
      (child) =>
        child.getNS() !== NS.chatStates && child.getNS() !== NS.sid && child.getName() !== 'archived',
    );
}

/**
 * A message of a room out of an envelope, as the room's history would give it but for the address: that is set when it is given to somebody.
 * @param stamp ms since 1970
 * @param archiveId in the room's archive, to be said where the message does not say it
 */
export function asGroupchat(inner: Element, room: string, stamp: number, archiveId?: string): string {
  for (let around = inner.parent; around !== null && around !== undefined; around = around.parent) {
    // What it has inside the envelope it has on its own.
    for (const [name, uri] of Object.entries(around.attrs as Record<string, string>))
      if (name.startsWith('xmlns:') && inner.attrs[name] === undefined) inner.attrs[name] = uri;
  }
  delete inner.attrs.xmlns;
  delete inner.attrs.to;
  for (const delay of inner.getChildren('delay', NS.delay))
    if (prepareJid(String(delay.attrs.from ?? '')) === room) inner.remove(delay);
  const xml = serializeElement(inner);
  const at = escapeAttribute(room);
  const hasId = inner.getChildren('stanza-id', NS.sid).some(({ attrs }) => attrs.by === room);
  const id =
    archiveId === undefined || hasId
      ? ''
      : `<stanza-id xmlns='${NS.sid}' by='${at}' id='${escapeAttribute(archiveId)}'/>`;
  const delay = `<delay xmlns='${NS.delay}' from='${at}' stamp='${writeTime(stamp)}'/>`;
  if (xml.endsWith('/>')) return `${xml.slice(0, -2)}>${id}${delay}</${inner.name}>`;
  const close = xml.lastIndexOf('</');
  return `${xml.slice(0, close)}${id}${delay}${xml.slice(close)}`;
}
