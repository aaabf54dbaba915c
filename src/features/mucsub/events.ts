import { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { Splice } from '../../xml/splice.js';
import { type EventName, nodeOf } from './nodes.js';

const ARCHIVED = 'urn:xmpp:mam:tmp';
const TAIL = Buffer.from('</item></items></event></message>');
const ID = /\sid=(?:'([^'&]*)'|"([^"&]*)")/u;

/** What is needed to wrap something that a room says into an event. */
export interface Wrapping {
  readonly room: string;
  /** Bare JID of the subscriber. */
  readonly account: string;
  readonly event: EventName;
  readonly id: string;
  /** Of ejabberd's `subscribers` events there is none. */
  readonly wrapperId?: boolean;
  /** When it was said, where that was not now (XEP-0203). */
  readonly stamp?: string | undefined;
}

/** The event around something, as ejabberd writes it: one item in one `items`, and the id of the item on the message too. */
export function wrap(wrapping: Wrapping, inner: Buffer): Buffer {
  return Buffer.concat([Buffer.from(headOf(wrapping)), inner, tailOf(wrapping)]);
}

/** The same around an edited stanza. */
export function wrapSplice(wrapping: Wrapping, inner: Splice): Buffer {
  return inner.toBufferWithin(headOf(wrapping), tailOf(wrapping));
}

function headOf({ room, account, event, id, wrapperId = true }: Wrapping): string {
  const item = escapeAttribute(id);
  return (
    `<message from='${escapeAttribute(room)}' to='${escapeAttribute(account)}'${wrapperId ? ` id='${item}'` : ''}>` +
    `<event xmlns='${NS.pubsubEvent}'><items node='${nodeOf(event)}'><item id='${item}'>`
  );
}

function tailOf({ room, stamp }: Wrapping): Buffer {
  if (stamp === undefined) return TAIL;
  const delay = `<delay xmlns='${NS.delay}' from='${escapeAttribute(room)}' stamp='${escapeAttribute(stamp)}'/>`;
  return Buffer.from(`</item></items></event>${delay}</message>`);
}

/** An address as it stands in an attribute. */
export function addressBytes(address: string): Buffer {
  return Buffer.from(escapeAttribute(address));
}

/** Something was said that cannot be had any more: ours, and the same whatever was subscribed to. */
export function gap(room: string, account: string, id: string, since: string, until: string): Buffer {
  return wrap({ room, account, event: 'system', id }, Buffer.from(gapElement(since, until)));
}

/** What stands in that. */
export function gapElement(since: string, until: string): string {
  return `<gap xmlns='${NS.mucsubGap}' since='${since}' until='${until}'/>`;
}

/** Under which id the room has a message in its archive (XEP-0359 §3.1); undefined: it does not say. */
export function archiveId(frame: Frame, room: string): string | undefined {
  for (let i = frame.childCount - 1; i >= 0; i--) {
    if (!frame.childIs(i, 'stanza-id', NS.sid)) continue;
    const tag = frame.buffer.toString('utf8', frame.childStart(i), frame.childEnd(i));
    if (!tag.includes(`'${room}'`) && !tag.includes(`"${room}"`)) continue;
    const found = ID.exec(tag);
    const id = found?.[1] ?? found?.[2];
    if (id !== undefined && id !== '') return id;
  }
  return undefined;
}

/**
 * A stanza of the room's as it stands inside an event: for the account rather than a session of it, in its namespace.
 * @param id in the room's archive, which is said in ejabberd's older way too
 * @param isOurs the room has no archive, and this is the id in ours: what occupants have claimed is taken out
 */
export function innerStanza(
  frame: Frame,
  account: string,
  room: string,
  id: string | undefined,
  isOurs = false,
): Splice {
  const splice = new Splice(frame).setAttribute('to', account);
  if (frame.attribute('xmlns') === undefined) splice.setAttribute('xmlns', NS.client);
  if (isOurs)
    for (let i = 0; i < frame.childCount; i++)
      if (frame.childIs(i, 'stanza-id', NS.sid)) splice.removeChild(i);
  if (id === undefined) return splice;
  const by = `by='${escapeAttribute(room)}' id='${escapeAttribute(id)}'`;
  if (isOurs) splice.appendChild(`<stanza-id xmlns='${NS.sid}' ${by}/>`);
  return splice.appendChild(`<archived xmlns='${ARCHIVED}' ${by}/>`);
}

/** The event of a room's being configured otherwise, as rooms say that (XEP-0045 §10.2.1). @param id unguessable */
export function configured(room: string, account: string, id: string): Buffer {
  const addresses = `from='${escapeAttribute(room)}' to='${escapeAttribute(account)}'`;
  const message = `<message xmlns='${NS.client}' type='groupchat' ${addresses}><x xmlns='${NS.mucUser}'><status code='104'/></x></message>`;
  return wrap({ room, account, event: 'config', id }, Buffer.from(message));
}

/** Somebody has subscribed or ended it; without a JID where the one who reads this may not see it. */
export function subscriberChange(
  kind: 'subscribe' | 'unsubscribe',
  nick: string,
  account: string | undefined,
): Buffer {
  const jid = account === undefined ? '' : ` jid='${escapeAttribute(account)}'`;
  return Buffer.from(`<${kind} xmlns='${NS.mucsub}'${jid} nick='${escapeAttribute(nick)}'/>`);
}
