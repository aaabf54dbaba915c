import { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { type NamespaceTable, NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { Splice } from '../../xml/splice.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { lastChild } from './digest.js';

/** What a client asks for in its join: XEP-0311, or XEP-0436 with its version in the `x` element. */
export type Dialect = 'session' | 'version';

/** A client's wish to be told of a room in one of the dialects. */
export interface Wish {
  readonly dialect: Dialect;
  /** Where it left off; undefined at a first join. What makes no sense is told apart later: it is no known session. */
  readonly resume: { readonly session: string; readonly id: number } | undefined;
}

/** The number in a compact form. */
export function writeId(id: number): string {
  return id.toString(36);
}

/** @returns NaN for what has not been written by `writeId` */
export function readId(text: string): number {
  return /^[0-9a-z]{1,7}$/.test(text) ? Number.parseInt(text, 36) : Number.NaN;
}

/** Takes every mark of the two protocols out. What is left of them can only be what the proxy says itself. */
export function strip(frame: Frame, splice: Splice): boolean {
  let found = false;
  for (let i = 0; i < frame.childCount; i++) {
    const namespace = frame.childNamespace(i);
    if (namespace !== NS.presenceSession && namespace !== NS.presenceVersioning) continue;
    splice.removeChild(i);
    found = true;
  }
  return found;
}

/** Whether a stanza has anything that `strip` would take out. */
export function isMarked(frame: Frame): boolean {
  return (
    frame.findChild(undefined, NS.presenceSession) >= 0 ||
    frame.findChild(undefined, NS.presenceVersioning) >= 0
  );
}

/** XEP-0311 §4: `<presence-session/>` with the number of the stanza. */
export function sessionMark(session: string, id: number): string {
  return `<presence-session xmlns='${NS.presenceSession}' session='${escapeAttribute(session)}' id='${writeId(id)}'/>`;
}

/** XEP-0436: one version for what the two attributes say. */
function versionMark(session: string, id: number): string {
  return `<version xmlns='${NS.presenceVersioning}' ver='${escapeAttribute(session)}.${writeId(id)}'/>`;
}

/** Marks a presence as the stanza `id` of a session, in place of all marks that it has. */
export function markPresence(
  frame: Frame,
  splice: Splice,
  dialect: Dialect,
  session: string,
  id: number,
): void {
  strip(frame, splice);
  if (dialect === 'session') {
    splice.appendChild(sessionMark(session, id));
    return;
  }
  // Inside the room's own element, which is written anew.
  const x = lastChild(frame, 'x', NS.mucUser);
  const mark = versionMark(session, id);
  if (x < 0) {
    splice.appendChild(`<x xmlns='${NS.mucUser}'>${mark}</x>`);
    return;
  }
  const bytes = frame.buffer.subarray(frame.childStart(x), frame.childEnd(x));
  splice.removeChild(x).appendChild(withFirstChild(bytes, mark));
}

/** The same for a presence without marks that is not on its way. */
export function markedPresence(
  presence: Buffer,
  namespaces: NamespaceTable,
  dialect: Dialect,
  session: string,
  id: number,
): Buffer {
  if (dialect === 'session') return withLastChild(presence, sessionMark(session, id));
  const frame = parseStanza(presence, namespaces);
  if ('condition' in frame) throw new Error(`a presence was kept that is none: ${frame.reason}`);
  const splice = new Splice(frame);
  markPresence(frame, splice, dialect, session, id);
  return splice.toBuffer();
}

/** Marks a message; XEP-0436 has nothing to say about those. */
export function markMessage(
  frame: Frame,
  splice: Splice,
  dialect: Dialect,
  session: string,
  id: number,
): void {
  strip(frame, splice);
  if (dialect === 'session') splice.appendChild(sessionMark(session, id));
}

/** What tells a client to forget the room: a clean join follows (XEP-0311 §4.2, XEP-0436 "reset token"). */
export function resetPresence(dialect: Dialect, room: string, to: string, session: string): string {
  const addresses = `from='${escapeAttribute(room)}' to='${escapeAttribute(to)}'`;
  if (dialect === 'session') return `<presence ${addresses} type='unavailable'/>`;
  const reset = `<reset xmlns='${NS.presenceVersioning}' ver='${escapeAttribute(session)}.0'/>`;
  return `<presence ${addresses}><x xmlns='${NS.mucUser}'>${reset}</x></presence>`;
}

/** What tells of an occupant who is gone. */
export function gonePresence(
  dialect: Dialect,
  occupant: string,
  to: string,
  affiliation: string,
  session: string,
  id: number,
): string {
  const mark = dialect === 'session' ? sessionMark(session, id) : '';
  const version = dialect === 'version' ? versionMark(session, id) : '';
  return (
    `<presence from='${escapeAttribute(occupant)}' to='${escapeAttribute(to)}' type='unavailable'>` +
    `<x xmlns='${NS.mucUser}'>${version}<item affiliation='${affiliation}' role='none'/></x>${mark}</presence>`
  );
}

/** XEP-0311 §4.3: not all that was said meanwhile follows. */
export function truncatedMessage(room: string, to: string): string {
  return (
    `<message from='${escapeAttribute(room)}' to='${escapeAttribute(to)}' type='groupchat'>` +
    `<presence-session xmlns='${NS.presenceSession}' type='truncated'/></message>`
  );
}

const SLASH = 0x2f;
const GT = 0x3e;
const QUOTES: ReadonlySet<number> = new Set([0x22, 0x27]);

/** An element with another one put in front of its content. */
export function withFirstChild(element: Buffer, child: string): Buffer {
  let at = 0;
  for (let quote = 0; element[at] !== GT || quote !== 0; at++) {
    const b = element[at]!;
    if (quote === 0 && QUOTES.has(b)) quote = b;
    else if (b === quote) quote = 0;
  }
  if (element[at - 1] !== SLASH) {
    return Buffer.concat([element.subarray(0, at + 1), Buffer.from(child), element.subarray(at + 1)]);
  }
  let nameEnd = 1;
  while (element[nameEnd]! > 0x20 && element[nameEnd] !== SLASH) nameEnd++;
  const close = Buffer.concat([Buffer.from('</'), element.subarray(1, nameEnd), Buffer.from('>')]);
  return Buffer.concat([element.subarray(0, at - 1), Buffer.from('>'), Buffer.from(child), close]);
}

/** A whole stanza with one more child behind the others. */
export function withLastChild(stanza: Buffer, child: string): Buffer {
  if (stanza[stanza.length - 2] === SLASH) return withFirstChild(stanza, child);
  const close = stanza.lastIndexOf('</');
  return Buffer.concat([stanza.subarray(0, close), Buffer.from(child), stanza.subarray(close)]);
}
