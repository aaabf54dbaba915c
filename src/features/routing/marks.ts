import { Fragment } from '../../xml/fragment.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import type { Splice } from '../../xml/splice.js';
import { parseElement } from '../../xml/tree.js';
import { NO_ARCHIVE, NO_COPY, ONE, PRIVATE, TWO } from './kinds.js';
import type { RoutingSettings } from './settings.js';

const TWO_MARK = new Fragment(`<xmpp-2 xmlns='${NS.xmpp2}'/>`);
/** ` to='a@b'` would not have room in it. */
const LONGEST_PLAIN = TWO_MARK.bytes.length + '></xmpp-2>'.length - '/>'.length;
const ONE_MARK = new Fragment(`<xmpp-1 xmlns='${NS.xmpp2}'/>`);
const PRIVATE_MODIFIER = `<private xmlns='${NS.carbons2}'/>`;
const NO_COPY_MODIFIER = `<no-copy xmlns='${NS.hints}'/>`;
/** What of a message decides about what is put behind it. */
const THERE = TWO | PRIVATE | NO_COPY | NO_ARCHIVE;

/** What is put behind the messages of one session that leave the realm. Nothing comes twice, and what is there stays. */
export class LeavingChildren {
  /** What was put behind the last message that stayed addressed to a full JID: what is said to one device is said to it again. */
  #last: Fragment | undefined;
  #lastFull = '';
  #lastThere = 0;

  constructor(private readonly settings: RoutingSettings) {}

  /** What is put behind a message for an account, or one that was re-addressed; undefined: nothing. */
  plain(flags: number): Fragment | undefined {
    return !this.settings.marks || (flags & TWO) !== 0 ? undefined : TWO_MARK;
  }

  /**
   * What is put behind a message that stays addressed to a full JID; undefined: nothing.
   * @param full the mark says it again, because ejabberd and jabberd2 write another address over it when that resource is gone
   */
  alone(flags: number, full: string): Fragment | undefined {
    const there = flags & THERE;
    if (this.#last === undefined || full !== this.#lastFull || there !== this.#lastThere) {
      const children = this.#made(flags, full);
      if (children === '') return undefined;
      this.#last = new Fragment(children);
      this.#lastFull = full;
      this.#lastThere = there;
    }
    return this.#last;
  }

  #made(flags: number, full: string): string {
    const { settings } = this;
    let children = '';
    if (settings.modifiers) {
      if ((flags & PRIVATE) === 0) children += PRIVATE_MODIFIER;
      if ((flags & NO_COPY) === 0) children += NO_COPY_MODIFIER;
      if ((flags & NO_ARCHIVE) === 0 && settings.archiveHint !== 'none')
        children += `<${settings.archiveHint} xmlns='${NS.hints}'/>`;
    }
    if (settings.marks && (flags & TWO) === 0) children += markTo(full);
    return children;
  }
}

/** The address that a message was sent to, by its mark; undefined where the mark does not say. */
export function markedAddress(frame: Frame): string | undefined {
  const mark = frame.findChild('xmpp-2', NS.xmpp2);
  if (mark < 0) return undefined;
  const start = frame.childStart(mark);
  const end = frame.childEnd(mark);
  // As long as it is without an address, with an end tag or without: what servers give back.
  if (end - start <= LONGEST_PLAIN) return undefined;
  const bytes = frame.buffer.subarray(start, end);
  // A prefix of the mark's may be declared outside of it.
  const text = bytes.toString();
  if (/^<[^\s/>]*:/u.test(text)) return undefined;
  const to: unknown = parseElement(bytes).attrs.to;
  return typeof to === 'string' ? to : undefined;
}

/** Has the mark say that the message is for this resource alone. */
export function sayAlone(stanza: { readonly frame: Frame; edit(): Splice }, full: string): void {
  const { frame } = stanza;
  for (let i = 0; i < frame.childCount; i++)
    if (frame.childIs(i, 'xmpp-2', NS.xmpp2)) stanza.edit().removeChild(i);
  stanza.edit().appendChild(markTo(full));
}

function markTo(full: string): string {
  return `<xmpp-2 xmlns='${NS.xmpp2}' to='${escapeAttribute(full)}'/>`;
}

/**
 * Edits what enters the realm.
 * @returns whether there was anything to do
 */
export function editEntering(
  frame: Frame,
  flags: number,
  settings: RoutingSettings,
  stanza: { edit(): Splice },
): boolean {
  const isTwo = (flags & TWO) !== 0;
  if ((flags & (TWO | ONE)) === 0) {
    // As nearly everything that comes from servers of today.
    if (settings.marks) stanza.edit().appendChild(ONE_MARK);
    return settings.marks;
  }
  let edited = false;
  const drop = (isUnwanted: (i: number) => boolean) => {
    for (let i = 0; i < frame.childCount; i++) {
      if (!isUnwanted(i)) continue;
      stanza.edit().removeChild(i);
      edited = true;
    }
  };
  if (isTwo && settings.strip && (flags & (PRIVATE | NO_COPY)) !== 0)
    drop((i) => frame.childIs(i, 'private', NS.carbons2) || frame.childIs(i, 'no-copy', NS.hints));
  if (!settings.marks) return edited;
  // Whoever put it there is not to be believed: it is ours to say.
  if ((flags & ONE) !== 0) drop((i) => frame.childIs(i, 'xmpp-1', NS.xmpp2));
  if (isTwo) return edited;
  stanza.edit().appendChild(ONE_MARK);
  return true;
}
