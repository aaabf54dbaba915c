import { bare, prepareJid } from '../../jid.js';
import { LateSet } from '../../session/late.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import type { Surroundings } from './surroundings.js';
import { ENTERS } from './watches.js';

/** Rooms that a session may be entering at one time. */
const MOST = 32;
/** How long a room may take to say about itself what comes behind its history; ms. */
const ANSWER_TIME = 15_000;

/**
 * COMPAT: mu-conference closes what it sends to somebody who has entered with a subject only when the room has one (XEP-0045 §7.2.15 wants it always), so
 * that a client cannot know when it is in. What the room says about itself comes behind its history: by then the subject must have been there.
 */
export class JoinCompletion {
  readonly #open = new LateSet<string>();

  constructor(private readonly around: Surroundings) {}

  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** The client is in a room. */
  joined(room: string): void {
    const { context } = this.around;
    if (context.serverKind !== 'jabberd2' || this.#open.size >= MOST) return;
    this.#open.add(room);
    context.attend(ENTERS, true);
    const payload = `<query xmlns='${NS.discoInfo}'/>`;
    context.request({ leg: 'server', type: 'get', to: room, payload, timeoutMs: ANSWER_TIME }, () => {
      const isOpen = this.#open.delete(room);
      if (this.#open.size === 0) context.attend(ENTERS, false);
      if (!isOpen || this.around.rooms.isRoom(room) !== 'joined') return;
      const to = escapeAttribute(context.identity.full);
      context.sendAsServer(
        `<message type='groupchat' from='${escapeAttribute(room)}' to='${to}'><subject/></message>`,
        'mucsub-room-complete',
      );
    });
  }

  /**
   * Something that a room says.
   * @returns whether it is nothing that anybody has said: the name of the room, and who has set its subject, which a subscriber would be told each time he joins
   */
  message(frame: Frame): boolean {
    const from = frame.from ?? '';
    const room = prepareJid(bare(from));
    if (room === undefined || !this.#open.has(room)) return false;
    const hasBody = frame.findChild('body', NS.client) >= 0;
    if (!hasBody && frame.findChild('subject', NS.client) >= 0) this.#open.delete(room);
    const { book, account } = this.around;
    const isOfRoom = hasBody && !from.includes('/') && frame.attributeEquals('type', 'groupchat');
    const isWord = frame.findChild('x', NS.mucUser) >= 0 || frame.findChild('delay', NS.delay) >= 0;
    return isOfRoom && !isWord && book.subscription(room, account) !== undefined;
  }
}
