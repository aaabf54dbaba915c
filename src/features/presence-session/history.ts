import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
import { parseTime } from '../../xml/times.js';
import type { Digest } from './digest.js';
import type { MessageMark, MessageTrail } from './message-trail.js';

/** A message of a room, as much as has to be known of it. */
export interface RoomMessage {
  /** Without any mark of the protocol. */
  readonly xml: Buffer;
  readonly mark: MessageMark;
  /** When it was said, ms since 1970; NaN when it does not say, as one that is said now. */
  readonly stamp: number;
  readonly hasBody: boolean;
  /** A subject and nothing else (XEP-0045 §7.2.15). */
  readonly isSubject: boolean;
}

/** @param room prepared or as written: whoever gave the message its id */
export function readMessage(message: Element, xml: Buffer, digest: Digest, room: string): RoomMessage {
  const given = message.getChildren('stanza-id', NS.sid).filter(({ attrs }) => attrs.by === room);
  const stanzaId = given.at(-1)?.attrs.id as string | undefined;
  const body = message.getChildText('body');
  const from = String(message.attrs.from ?? '');
  const content = digest.text(
    `${from.slice(from.indexOf('/') + 1)}\n${message.attrs.id ?? ''}\n${body ?? ''}`,
  );
  const { lo: contentLo, hi: contentHi } = content;
  const named = stanzaId === undefined ? undefined : digest.text(stanzaId);
  return {
    xml,
    mark: { contentLo, contentHi, stanzaIdLo: named?.lo ?? 0, stanzaIdHi: named?.hi ?? 0 },
    stamp: readStamp(message),
    hasBody: body !== null,
    isSubject: body === null && message.getChild('subject') !== undefined,
  };
}

/** When a message says that it was sent (XEP-0203, else XEP-0091). */
export function readStamp(message: Element): number {
  const { stamp } = (message.getChild('delay', NS.delay)?.attrs ?? {}) as { stamp?: string };
  if (stamp !== undefined) return parseTime(stamp);
  const old = message.getChild('x', NS.delayLegacy)?.attrs.stamp as string | undefined;
  const parts = /^(\d{4})(\d\d)(\d\d)(T\d\d:\d\d:\d\d)$/.exec(old ?? '');
  return parts === null ? Number.NaN : parseTime(`${parts[1]}-${parts[2]}-${parts[3]}${parts[4]}Z`);
}

/**
 * COMPAT Prosody and mu-conference stamp history in whole seconds, and ejabberd stamps a message once for its history and once for its archive: by so
 * many ms the stamps of one message may differ.
 */
const STAMPS_DIFFER = 2_000;

/** The room's history completed from its archive: by time, each message once. */
export function merged(archive: readonly RoomMessage[], history: readonly RoomMessage[]): RoomMessage[] {
  const ids = new Set<string>();
  const contents = new Map<string, number[]>();
  const idOf = ({ mark }: RoomMessage): string | undefined =>
    mark.stanzaIdLo === 0 && mark.stanzaIdHi === 0 ? undefined : `${mark.stanzaIdHi}.${mark.stanzaIdLo}`;
  const contentOf = ({ mark }: RoomMessage): string => `${mark.contentHi}.${mark.contentLo}`;
  for (const message of archive) {
    const id = idOf(message);
    if (id !== undefined) ids.add(id);
    const content = contentOf(message);
    const stamps = contents.get(content);
    if (stamps === undefined) contents.set(content, [message.stamp]);
    else stamps.push(message.stamp);
  }
  const more = history.filter((message) => {
    const id = idOf(message);
    if (id !== undefined && ids.has(id)) return false;
    const stamps = contents.get(contentOf(message)) ?? [];
    const same = stamps.findIndex((stamp) => Math.abs(stamp - message.stamp) < STAMPS_DIFFER);
    if (same === -1) return true;
    stamps.splice(same, 1);
    return false;
  });
  return [...archive, ...more].sort((a, b) => a.stamp - b.stamp);
}

/** What a client has missed, and whether that is certainly all of it. */
export interface Missed {
  readonly messages: readonly RoomMessage[];
  readonly complete: boolean;
}

/** Whose clock is ahead of whose is not known: by so many ms a room's stamp may lie before the time at which its message was shown. */
const CLOCKS_DIFFER = 1_000;

/**
 * The part of a history that lies behind what was shown up to stanza `id`.
 * @param history oldest first, without gaps up to now
 * @param since from when on something may have been missed, ms since 1970; undefined: that is not known
 * @param reachesBack the history is known to begin before `since`
 */
export function missedAfter(
  history: readonly RoomMessage[],
  trail: MessageTrail,
  id: number,
  since: number | undefined,
  reachesBack: boolean,
): Missed {
  const anchor = trail.anchorIn(
    history.map(({ mark }) => mark),
    id,
  );
  if (anchor >= 0) return { messages: history.slice(anchor + 1), complete: true };
  if (since === undefined) return { messages: history, complete: false };
  const floor = since - CLOCKS_DIFFER;
  const messages = history.filter(({ stamp }) => !(stamp < floor));
  // With nothing of what was shown in it, it may begin too late, unless it has what is older still.
  return { messages, complete: reachesBack || messages.length < history.length };
}
