import type { Element } from 'ltx';
import { parseJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, serializeElement } from '../../xml/serialize.js';
import { parseTime, writeTime } from '../../xml/times.js';

/** Which part of the archive a client lacks; where it cannot be read, none of the three, and the client is told that it may lack something. */
export interface ArchiveRequest {
  /** The last id that it knows (XEP-0313 §3.1). */
  readonly after: string | undefined;
  /** Instead: from this time on (XEP-0082), in UTC. */
  readonly since: string | undefined;
  /** Instead: the last so many seconds. */
  readonly seconds: number | undefined;
  /** What the results are to be marked with. */
  readonly queryId: string | undefined;
}

/** What a client leaves with the proxy to be done at the start of its session; see docs/session-start.md. */
export interface StartRequest {
  readonly archive: ArchiveRequest | undefined;
  /** Initial presence, serialised. */
  readonly presence: string | undefined;
  /** Presences that enter rooms, serialised, in the order in which they were asked for. */
  readonly rooms: readonly string[];
}

/** More rooms in one request are left out: the request is made by a stranger. */
const MOST_ROOMS = 50;
const LONGEST_ID = 256;
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
const TEN_YEARS = 315_360_000;

/** Reads the element inside `<bind/>`. What is not understood in it is left out, as an inline request always is (XEP-0386 §4.2). */
export function readStartRequest(element: Element): StartRequest {
  const rooms = element.getChildren('room', NS.sessionStart).slice(0, MOST_ROOMS);
  return {
    archive: readArchive(element.getChild('archive', NS.sessionStart)),
    presence: readPresence(element.getChild('presence', NS.client)),
    rooms: rooms.flatMap((room) => entering(room) ?? []),
  };
}

function readArchive(element: Element | undefined): ArchiveRequest | undefined {
  if (element === undefined) return undefined;
  const { after, since, seconds, queryid } = element.attrs as Record<string, string | undefined>;
  const isId = (value: string | undefined) =>
    value !== undefined && value !== '' && value.length <= LONGEST_ID;
  const queryId = isId(queryid) ? queryid : undefined;
  const nothing = { after: undefined, since: undefined, seconds: undefined, queryId };
  if (isId(after)) return { ...nothing, after };
  const time = since !== undefined && DATE_TIME.test(since) ? parseTime(since) : Number.NaN;
  // COMPAT: ejabberd reads no other time zone, and Prosody has nothing from a time that it cannot read.
  if (!Number.isNaN(time)) return { ...nothing, since: writeTime(time) };
  const span = Number(seconds ?? Number.NaN);
  return span > 0 && span <= TEN_YEARS ? { ...nothing, seconds: span } : nothing;
}

/** RFC 6121 §4.2.1: initial presence has neither a type nor an addressee. */
function readPresence(element: Element | undefined): string | undefined {
  if (element === undefined || element.attrs.type !== undefined || element.attrs.to !== undefined)
    return undefined;
  const { from: _, ...attrs } = element.attrs as Record<string, string>;
  element.attrs = attrs;
  return standalone(element);
}

/** XEP-0045 §7.2. @returns undefined when the room or the nickname is no address */
function entering(room: Element): string | undefined {
  const { jid, nick } = room.attrs as Record<string, string | undefined>;
  if (jid === undefined || nick === undefined) return undefined;
  const occupant = parseJid(`${jid}/${nick}`);
  if (occupant?.local === undefined || occupant.resource === undefined) return undefined;
  const within = room.getChildElements().filter((child) => child.getNS() === NS.muc);
  const details = within.map(standalone).join('');
  return `<presence to='${escapeAttribute(`${jid}/${nick}`)}'><x xmlns='${NS.muc}'>${details}</x></presence>`;
}

/** An element that means the same outside of what it stands in. */
function standalone(element: Element): string {
  const declared = element as Element & { getXmlns(): Record<string, string> };
  for (const [uri, prefix] of Object.entries(declared.getXmlns()))
    if (prefix !== '' && element.attrs[`xmlns:${prefix}`] === undefined)
      element.attrs[`xmlns:${prefix}`] = uri;
  element.attrs.xmlns = element.getNS();
  return serializeElement(element);
}
