import type { Element } from 'ltx';
import { isSameJid } from '../jid.js';
import type { Frame } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { escapeAttribute } from '../xml/serialize.js';
import { frameToElement } from '../xml/tree.js';
import type { IqAnswer, IqRequest, SessionIdentity } from './feature.js';
import { LateMap } from './late.js';
import type { Leg } from './port.js';

/** Requests of the proxy's own that may be open at one time in a session; further ones are answered `refused`. */
export const OPEN_REQUESTS = 64;

/** How long an answer may take unless the request says otherwise; in ms. */
export const DEFAULT_TIMEOUT = 30_000;

interface OpenRequest {
  readonly leg: Leg;
  readonly type: 'get' | 'set';
  /** Who may answer; undefined: the account itself, on the server leg. */
  readonly to: string | undefined;
  readonly deadline: number;
  readonly done: (answer: IqAnswer) => void;
}

/**
 * Requests that the proxy itself has sent to a peer. An answer is taken by id, sender and type together: ids alone can be guessed or
 * repeated by a third party (CVE-2024-46957).
 */
export class IqRequests {
  readonly #open = new LateMap<string, OpenRequest>();
  readonly #refused: ((answer: IqAnswer) => void)[] = [];
  #next = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#open.size;
  }

  /** The earliest time at which a request gives up. */
  get nextDeadline(): number {
    return this.#next;
  }

  /**
   * Takes a request into the books.
   * @param id unguessable
   * @returns the stanza to send, or undefined when too many are open: `done` hears of it at the next `expire`
   */
  open(
    id: string,
    request: IqRequest,
    identity: SessionIdentity,
    now: number,
    done: (answer: IqAnswer) => void,
  ): string | undefined {
    if (this.#open.size >= OPEN_REQUESTS) {
      this.#refused.push(done);
      this.#next = now;
      return undefined;
    }
    const deadline = now + (request.timeoutMs ?? DEFAULT_TIMEOUT);
    this.#open.set(id, { leg: request.leg, type: request.type, to: request.to, deadline, done });
    if (deadline < this.#next) this.#next = deadline;
    let attributes = ` type='${request.type}' id='${id}'`;
    if (request.leg === 'client') {
      attributes += ` from='${escapeAttribute(request.to ?? identity.domain)}' to='${escapeAttribute(identity.full)}'`;
    } else if (request.to !== undefined) {
      attributes += ` to='${escapeAttribute(request.to)}'`;
    }
    return `<iq${attributes}>${request.payload}</iq>`;
  }

  /**
   * Looks whether an iq from a leg answers one of the requests.
   * @returns `taken` (the callback has run), `not-from-addressee` (the id is ours, the sender is not the one asked), or undefined
   */
  take(leg: Leg, frame: Frame, identity: SessionIdentity): 'taken' | 'not-from-addressee' | undefined {
    if (this.#open.size === 0) return undefined;
    const id = frame.id;
    if (id === undefined) return undefined;
    const request = this.#open.get(id);
    if (request === undefined || request.leg !== leg) return undefined;
    const isError = frame.attributeEquals('type', 'error');
    // COMPAT: mu-conference sends a ping to one's own occupant back as it is, `get` and all; that is its answer.
    const reflected =
      frame.attributeEquals('type', 'get') && request.type === 'get' && request.to?.includes('/') === true;
    if (!isError && !reflected && !frame.attributeEquals('type', 'result')) return undefined;
    if (!answersFor(request, leg === 'server' ? frame.from : frame.to, identity)) return 'not-from-addressee';
    this.#remove(id);
    const iq = frameToElement(frame);
    request.done(isError ? { kind: 'error', condition: conditionOf(iq), iq } : { kind: 'result', iq });
    return 'taken';
  }

  /** Ends what has waited too long. */
  expire(now: number): void {
    if (now < this.#next) return;
    for (const done of this.#refused.splice(0)) done({ kind: 'refused' });
    this.#next = this.#earliest();
    for (const [id, request] of [...this.#open]) {
      if (request.deadline > now) continue;
      this.#remove(id);
      request.done({ kind: 'timeout' });
    }
  }

  /** Ends all requests towards a leg that is gone. */
  lose(leg: Leg): void {
    for (const [id, request] of [...this.#open]) {
      if (request.leg !== leg) continue;
      this.#remove(id);
      request.done({ kind: 'leg-lost' });
    }
  }

  #remove(id: string): void {
    this.#open.delete(id);
    this.#next = this.#earliest();
  }

  /** Those that were refused have nothing to wait for. */
  #earliest(): number {
    let next = this.#refused.length > 0 ? 0 : Number.POSITIVE_INFINITY;
    for (const request of this.#open.values()) if (request.deadline < next) next = request.deadline;
    return next;
  }
}

/** RFC 6120 §8.1.2.1: no `from` means the account itself; servers also leave it out when they answer for their domain. */
function answersFor(request: OpenRequest, sender: string | undefined, identity: SessionIdentity): boolean {
  if (request.leg === 'client') {
    return sender === undefined || isSameJid(sender, request.to ?? identity.domain);
  }
  if (request.to === undefined) {
    return sender === undefined || isSameJid(sender, identity.bare) || isSameJid(sender, identity.full);
  }
  if (sender !== undefined) return isSameJid(sender, request.to);
  return isSameJid(request.to, identity.bare) || isSameJid(request.to, identity.domain);
}

function conditionOf(iq: Element): string {
  const error = iq.getChildElements().find((child) => child.getName() === 'error');
  const condition = error
    ?.getChildElements()
    .find((child) => child.getNS() === NS.stanzaErrors && child.getName() !== 'text');
  return condition?.getName() ?? 'undefined-condition';
}
