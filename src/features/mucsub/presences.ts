import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { RoomSignals } from '../../knowledge/rooms/signals.js';
import { PASS, type Verdict } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText, serializeElement } from '../../xml/serialize.js';
import { parseTime, writeTime } from '../../xml/times.js';
import type { Ghost } from './ghost.js';

/** More of what was missed than this a room is not asked for. */
const MOST_HISTORY = 500;

/**
 * A request to enter a room (XEP-0045 §7.2).
 * @param since asks for what was said from then on, ms since 1970; undefined: nothing
 */
export function enterRoom(occupant: string, password: string | undefined, since: number | undefined): string {
  const secret = password === undefined ? '' : `<password>${escapeText(password)}</password>`;
  const history =
    since === undefined
      ? "<history maxstanzas='0'/>"
      : `<history maxstanzas='${MOST_HISTORY}' since='${writeTime(since)}'/>`;
  return `<presence to='${escapeAttribute(occupant)}'><x xmlns='${NS.muc}'>${secret}${history}</x></presence>`;
}

export function leaveRoom(occupant: string): string {
  return `<presence to='${escapeAttribute(occupant)}' type='unavailable'/>`;
}

/** What a room says to somebody who leaves (XEP-0045 §7.14). */
export function ownLeaving(occupant: string, to: string, affiliation: string): string {
  return leaving(occupant, to, affiliation, "<status code='110'/>");
}

/** What it says to the others. */
export function othersLeaving(occupant: string, to: string, affiliation: string): string {
  return leaving(occupant, to, affiliation, '');
}

function leaving(occupant: string, to: string, affiliation: string, status: string): string {
  const item = `<item affiliation='${escapeAttribute(affiliation)}' role='none'/>`;
  return (
    `<presence type='unavailable' from='${escapeAttribute(occupant)}' to='${escapeAttribute(to)}'>` +
    `<x xmlns='${NS.mucUser}'>${item}${status}</x></presence>`
  );
}

/** @returns ms since 1970; undefined when it is no time (XEP-0082) */
export function timeOf(stamp: string | undefined): number | undefined {
  if (stamp === undefined) return undefined;
  const time = parseTime(stamp);
  return Number.isNaN(time) ? undefined : time;
}

/** What an occupant's presence is known by, whoever gets it: not all are shown his JID. */
export function keyOfPresence(presence: Element): string {
  const x = presence.getChildren('x', NS.mucUser).at(-1);
  const item = x?.getChild('item')?.attrs ?? {};
  const codes = x?.getChildren('status').map(({ attrs }) => String(attrs.code)) ?? [];
  const { from, type } = presence.attrs;
  const rest = presence.getChildElements().filter((child) => child.getNS() !== NS.mucUser);
  return [from, type, item.affiliation, item.role, item.nick, ...codes, ...rest].join(' ');
}

/** The same of somebody who is not in the room. @param item of the room's message about it (XEP-0045 §9.1, example 195) */
export function keyOfAffiliation({ attrs }: Element): string {
  return `${attrs.jid} ${attrs.affiliation}`;
}

/** A presence as it stands in an event. Real JIDs are for those whom the room shows them to everybody: a subscriber has no role. */
export function presenceInside(presence: Element, account: string, nonAnonymous: boolean): Buffer {
  presence.attrs.to = account;
  presence.attrs.xmlns = NS.client;
  if (!nonAnonymous)
    for (const x of presence.getChildren('x', NS.mucUser))
      for (const item of x.getChildren('item')) delete item.attrs.jid;
  return Buffer.from(serializeElement(presence));
}

/** Of what a room is like it tells who enters, and not who is in it already, which the client does not know that it is (XEP-0045 §7.2.4, §7.2.12). */
export function asOnEntering(
  ghost: Pick<Ghost, 'nonAnonymous' | 'isLogged'>,
  codes: RoomSignals['codes'],
  presence: Element,
): Verdict {
  const lacking = [ghost.nonAnonymous && '100', ghost.isLogged && '170'].filter(
    (code) => code !== false && !codes.has(code),
  );
  const x = presence.getChildren('x', NS.mucUser).at(-1);
  if (lacking.length === 0 || x === undefined) return PASS;
  for (const code of lacking) x.c('status', { code });
  return { action: 'replace', bytes: Buffer.from(serializeElement(presence)), reason: 'mucsub-joining' };
}
