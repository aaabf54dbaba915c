import { createHash } from 'node:crypto';
import type { Element } from 'ltx';
import { prepareJid, resource } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';

/** What a message of a room is known by, on whatever way it comes. */
export interface Mark {
  /** In the room's archive (XEP-0359 §3.1); undefined when the room gives none. */
  readonly id: string | undefined;
  /** Stands for sender, id and text as the sender gave them. */
  readonly content: string;
  /** When it was said, or came when it does not say; ms since 1970. */
  readonly at: number;
}

/** By so many ms the times of one message may differ that come from different clocks or are rounded. */
const TIMES_DIFFER = 10_000;
const HASH_CHARACTERS = 16;

/** @param room whose message it is, prepared @param at see `Mark` */
export function markOf(message: Element, room: string, at: number, archiveId?: string): Mark {
  const given = message.getChildren('stanza-id', NS.sid).filter(({ attrs }) => isBy(attrs.by, room));
  const id = archiveId ?? (given.at(-1)?.attrs.id as string | undefined);
  const { from, id: ownId } = message.attrs as Record<string, string | undefined>;
  const said = `${message.getChildText('body') ?? ''}\n${message.getChildText('subject') ?? ''}`;
  const content = createHash('sha256')
    .update(`${resource(from ?? '') ?? ''}\n${ownId ?? ''}\n${said}`)
    .digest('base64url')
    .slice(0, HASH_CHARACTERS);
  return { id: id === '' ? undefined : id, content, at };
}

function isBy(by: unknown, room: string): boolean {
  return typeof by === 'string' && (by === room || prepareJid(by) === room);
}

/** Whether two marks are of one message. Without an archive's word it is told by what was said and when. */
export function isSame(a: Mark, b: Mark): boolean {
  if (a.id !== undefined && b.id !== undefined) return a.id === b.id;
  return a.content === b.content && Math.abs(a.at - b.at) <= TIMES_DIFFER;
}

/** Where in a list the message is, and of several that look alike the one nearest in time; -1: nowhere. */
export function findIn(
  marks: readonly Mark[],
  wanted: Mark,
  isFree: (at: number) => boolean = () => true,
): number {
  let best = -1;
  for (let i = 0; i < marks.length; i++) {
    const mark = marks[i]!;
    if (!isSame(mark, wanted) || !isFree(i)) continue;
    if (mark.id !== undefined && mark.id === wanted.id) return i;
    if (best === -1 || Math.abs(mark.at - wanted.at) < Math.abs(marks[best]!.at - wanted.at)) best = i;
  }
  return best;
}

/**
 * Where in a room's history, oldest first, the last message is that a client has had; -1 if none of the last ones is in it.
 * @param trail the last messages it has had, oldest first
 */
export function anchorIn(history: readonly Mark[], trail: readonly Mark[]): number {
  for (let i = trail.length - 1; i >= 0; i--) {
    const at = findIn(history, trail[i]!);
    if (at !== -1) return at;
  }
  return -1;
}
