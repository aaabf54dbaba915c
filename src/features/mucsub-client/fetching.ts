import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';

/** Questions of the client's to archives that are remembered; of those before it is taken that they have been answered. */
const MOST_ASKED = 200;
const MOST_ROOMS = 200;
/** Of what the client calls a question, so many characters tell it apart. */
const ID_CHARACTERS = 200;
/** Messages of one room's archive, as far as they are remembered. */
const MOST_FETCHED = 1_000;

/** What the client reads out of the archives of rooms itself (XEP-0313). */
export class Fetching {
  /** By room and `queryid`. */
  readonly #asked: Set<string>;
  readonly #fetched = new Map<string, Set<string>>();

  /** @param asked see `asked`, of the process before */
  constructor(asked: readonly string[] = []) {
    this.#asked = new Set(asked);
  }

  /** What the client has asked in this session, for the next process. */
  get asked(): readonly string[] {
    return [...this.#asked];
  }

  /** The client asks a room. @param iq with a `<query/>` */
  asks(room: string, iq: Element): void {
    const key = questionOf(room, iq.getChild('query', NS.mam2));
    this.#asked.delete(key);
    this.#asked.add(key);
    for (const oldest of this.#asked) {
      if (this.#asked.size <= MOST_ASKED) break;
      this.#asked.delete(oldest);
    }
  }

  /**
   * A message out of a room's archive is on its way to the client.
   * @param message with a `<result/>`
   * @returns whether the client has asked for it in this session
   */
  takes(room: string, message: Element): boolean {
    const result = message.getChild('result', NS.mam2);
    if (!this.#asked.has(questionOf(room, result))) return false;
    let ids = this.#fetched.get(room);
    if (ids === undefined) {
      if (this.#fetched.size >= MOST_ROOMS) return true;
      ids = new Set();
      this.#fetched.set(room, ids);
    }
    const { id } = (result?.attrs ?? {}) as { id?: string };
    if (id !== undefined && ids.size < MOST_FETCHED) ids.add(id);
    return true;
  }

  /** Whether the client has had a message of a room's archive in this session. @param id in that archive */
  has(room: string, id: string): boolean {
    return this.#fetched.get(room)?.has(id) === true;
  }
}

/** @param element a `<query/>` or a `<result/>` */
function questionOf(room: string, element: Element | undefined): string {
  const { queryid } = (element?.attrs ?? {}) as { queryid?: string };
  return `${room} ${queryid?.slice(0, ID_CHARACTERS) ?? ''}`;
}
