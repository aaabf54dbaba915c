import type { Frame } from '../../xml/frame.js';
import { Likeness, likenessHash } from '../../xml/likeness.js';
import { NS } from '../../xml/namespaces.js';
import type { Known, LoggedKind } from './event-log.js';
import { archiveId } from './events.js';
import type { EventName } from './nodes.js';
import type { Template } from './template.js';
import { keyHash } from './whereabouts.js';

/** Messages that are kept for those who are still to hear them, and bytes of memory that they may take. */
const MOST = 512;
const MOST_BYTES = 2 * 1024 * 1024;
/** What one takes beside its bytes. */
const OVERHEAD = 1_000;
/** Characters of a body that tell apart messages for which the room gives no id. */
const KEY_LENGTH = 200;

const CHAT_STATES: readonly string[] = ['active', 'composing', 'paused', 'inactive', 'gone'];

/** A groupchat message of a room's, as far as it is the same for all who hear it. */
export class Heard implements Known {
  readonly kind: LoggedKind;
  readonly isSubject: boolean;
  readonly isDelayed: boolean;
  /** Nobody is to have it later: its sender has said so (XEP-0334 §3), or it says only that somebody is writing (XEP-0085 §5.7). */
  readonly isFleeting: boolean;
  /** It has something of the room's own to say (XEP-0045 §10.2.1). */
  readonly isOfMuc: boolean;
  /** In the room's archive. */
  readonly archiveId: string | undefined;
  readonly key: string;
  readonly hash: number;
  #template: { readonly event: EventName; readonly id: string; readonly template: Template } | undefined;

  /**
   * @param ofRoom from the room itself, not from an occupant
   * @param isOurs the room has no archive: ids that are said to be of one are nobody's
   */
  constructor(
    frame: Frame,
    readonly room: string,
    readonly ofRoom: boolean,
    readonly isOurs: boolean,
  ) {
    this.isSubject = isSubject(frame);
    this.isDelayed = frame.findChild('delay', NS.delay) >= 0;
    this.isFleeting = isFleeting(frame);
    this.isOfMuc = frame.findChild('x', NS.mucUser) >= 0;
    this.kind = kindOf(frame, ofRoom);
    this.archiveId = isOurs ? undefined : archiveId(frame, room);
    this.key = this.archiveId ?? keyOf(frame);
    this.hash = keyHash(this.key);
  }

  get isUnique(): boolean {
    return this.archiveId !== undefined;
  }

  /** The event that it becomes. @param make asked for when no one has been made of that id */
  event(event: EventName, id: string, make: () => Template): Template {
    const known = this.#template;
    if (known?.id === id && known.event === event) return known.template;
    const template = make();
    this.#template = { event, id, template };
    return template;
  }
}

/**
 * What ghosts have heard last. A room sends each message to each of them, the same but for the address: what there is to know of it is read once, and what it
 * becomes is made once.
 */
export class HeardMessages {
  /** By the hash of their copies, oldest first. */
  readonly #messages = new Map<number, { readonly likeness: Likeness; readonly heard: Heard }>();
  #bytes = 0;

  /** What is known of a stanza already. */
  find(frame: Frame): Heard | undefined {
    const hash = this.#messages.size === 0 ? undefined : likenessHash(frame);
    const known = hash === undefined ? undefined : this.#messages.get(hash);
    return known?.likeness.isOf(frame) === true ? known.heard : undefined;
  }

  /** Of a groupchat message of which `find` knows nothing of use. @returns what others will find */
  note(frame: Frame, heard: Heard): Heard {
    const hash = likenessHash(frame);
    if (hash !== undefined) this.#keep(hash, new Likeness(frame), heard);
    return heard;
  }

  #keep(hash: number, likeness: Likeness, heard: Heard): void {
    this.#forget(hash);
    this.#messages.set(hash, { likeness, heard });
    this.#bytes += cost(likeness);
    while (this.#messages.size > MOST || this.#bytes > MOST_BYTES)
      this.#forget(this.#messages.keys().next().value!);
  }

  #forget(hash: number): void {
    const known = this.#messages.get(hash);
    if (known === undefined) return;
    this.#messages.delete(hash);
    this.#bytes -= cost(known.likeness);
  }
}

/** With the event that is made of it. */
function cost({ bytes }: Likeness): number {
  return 2 * bytes + OVERHEAD;
}

/** @param ofRoom from the room itself, not from an occupant */
export function kindOf(frame: Frame, ofRoom: boolean): LoggedKind {
  if (isSubject(frame)) return 'subject';
  if (!ofRoom) return 'messages';
  return frame.findChild('x', NS.mucUser) >= 0 ? 'config' : 'announcement';
}

/** XEP-0045 §7.2.15: with a body or a thread it is a message that has a subject. */
export function isSubject(frame: Frame): boolean {
  const has = (name: string) => frame.findChild(name, NS.client) >= 0;
  return has('subject') && !has('body') && !has('thread');
}

function isFleeting(frame: Frame): boolean {
  if (frame.findChild('no-store', NS.hints) >= 0) return true;
  if (frame.findChild('body', NS.client) >= 0 || frame.findChild('subject', NS.client) >= 0) return false;
  return CHAT_STATES.some((state) => frame.findChild(state, NS.chatStates) >= 0);
}

/** What a message without an id of the room's is known by. */
export function keyOf(frame: Frame): string {
  const body = frame.findChild('body', NS.client);
  const text =
    body < 0
      ? ''
      : frame.buffer.toString('latin1', frame.childStart(body), frame.childEnd(body)).slice(0, KEY_LENGTH);
  return `${frame.from} ${frame.id} ${text}`;
}
