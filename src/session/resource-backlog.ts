import { prepareJid } from '../jid.js';
import type { StoreEntry } from '../store/store.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { parseStanza } from '../xml/tokenizer.js';
import type { Backlogs } from './backlogs.js';
import type { DomainRuntime } from './domain.js';
import type { SessionIdentity } from './feature.js';
import type { SessionPort } from './port.js';
import { readUndelivered, undeliveredPrefix } from './undelivered.js';

/** What this needs of the session around it. */
export interface BacklogSurroundings {
  readonly port: SessionPort;
  readonly domain: DomainRuntime;
  /** The server is not read while the store is asked. */
  waitForStore(waiting: boolean): void;
  /** Gives the client what the store has for it. */
  deliver(entries: readonly StoreEntry[]): void;
  /** A stanza of the server's goes on. */
  pass(frame: Frame): void;
  wakeAt(time: number): void;
  readonly now: number;
}

/** A client that may resume says so at once; one that says nothing for so long is not waited for; ms. */
const PATIENCE = 5_000;
const MOST_WAITING = 1_000;
const MOST_BYTES = 1024 * 1024;

/**
 * What was sent to this very resource in a session before and waits in the store. A server may send to the resource as soon as it is bound, so
 * what is older comes before that: as soon as the client has turned stream management on, and can acknowledge it, or with its first
 * presence. Until then messages of the server's wait. All of it is over before the server counts what it sends.
 */
export class ResourceBacklog {
  /** `waiting`: there is something, and messages of the server's wait behind it. */
  #state: 'looking' | 'waiting' | 'over' = 'looking';
  #entries: readonly StoreEntry[] = [];
  #waiting: Frame[] = [];
  #bytes = 0;
  /** The client has shown, while the store was asked, what it is to be given. */
  #ready: 'everything' | 'nothing' | undefined;

  private constructor(
    private readonly full: string,
    private readonly resource: string,
    private readonly around: BacklogSurroundings,
  ) {}

  /**
   * @param identity of the session, `account` its bare JID, prepared
   * @returns undefined when there is nothing for this resource
   */
  static of(
    { full: written, resource }: SessionIdentity,
    account: string,
    around: BacklogSurroundings,
  ): ResourceBacklog | undefined {
    const { domain, port } = around;
    const full = prepareJid(written) ?? written;
    if (!domain.backlogs.mayHave(full)) return undefined;
    around.waitForStore(true);
    port.load(undeliveredPrefix(domain.name, account), 'backlog');
    return new ResourceBacklog(full, resource, around);
  }

  get over(): boolean {
    return this.#state === 'over';
  }

  /** What the store has for the account. */
  loaded(entries: readonly StoreEntry[]): void {
    if (this.#state !== 'looking') return;
    this.around.waitForStore(false);
    this.#entries = entries.filter((entry) => this.#isForThis(entry));
    if (this.#entries.length === 0) {
      this.#backlogs.unmark(this.full);
      this.#end(false);
    } else if (this.#ready !== undefined) this.#end(this.#ready === 'everything');
    else {
      this.#state = 'waiting';
      this.around.wakeAt(this.around.now + PATIENCE);
    }
  }

  /** A stanza from the server. @returns false when it goes on at once */
  takes(frame: Frame): boolean {
    if (this.#state === 'over' || (this.#state === 'waiting' && frame.kind !== StanzaKind.Message))
      return false;
    this.#waiting.push(frame.detach());
    this.#bytes += frame.end - frame.start;
    if (this.#state === 'waiting' && (this.#waiting.length > MOST_WAITING || this.#bytes > MOST_BYTES))
      this.#end(false);
    return true;
  }

  /** The client has turned stream management on. */
  enabled(): void {
    this.#isReady(true);
  }

  /** A stanza from the client: one that does without stream management gets what there is with its presence. */
  fromClient(frame: Frame): void {
    // Clients ask for a session between binding and anything that matters (RFC 3921 §3).
    if (frame.kind === StanzaKind.Iq && frame.findChild('session', NS.session) >= 0) return;
    const { type, to } = frame;
    this.#isReady(frame.kind === StanzaKind.Presence && type === undefined && to === undefined);
  }

  /** The client has been silent for long enough. */
  wake(): void {
    if (this.#state === 'waiting') this.#end(false);
  }

  get #backlogs(): Backlogs {
    return this.around.domain.backlogs;
  }

  #isReady(everything: boolean): void {
    if (this.#state === 'waiting') this.#end(everything);
    else this.#ready ??= everything ? 'everything' : 'nothing';
  }

  #end(given: boolean): void {
    this.#state = 'over';
    this.around.wakeAt(Number.POSITIVE_INFINITY);
    if (given) this.around.deliver(this.#entries);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const frame of waiting) this.around.pass(frame);
  }

  #isForThis(entry: StoreEntry): boolean {
    const { domain, port } = this.around;
    const message = readUndelivered(entry, port.wallClock());
    // What another device has missed may be a copy of what this one had.
    if (message === undefined || (message.resource ?? this.resource) !== this.resource) return false;
    const frame = parseStanza(Buffer.from(message.xml), domain.namespaces);
    return !('condition' in frame) && frame.to !== undefined && prepareJid(frame.to) === this.full;
  }
}
