import type { Element } from 'ltx';
import type { z } from 'zod';
import type { StoreChange, StoreEntry } from '../store/store.js';
import type { Frame } from '../xml/frame.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import type { Splice } from '../xml/splice.js';
import type { Interest } from './interests.js';
import type { Reason } from './reasons.js';

export type Direction = 'to-server' | 'to-client';

/**
 * The shape of the address at the far end of a stanza: `to` on its way to the server, `from` on its way to the client.
 * `account` is the session's own bare JID or an absent address, `own-full` a resource of the own account, `domain` any JID
 * without local part and resource, `bare` and `full` any other.
 */
export type AddressShape = 'account' | 'own-full' | 'domain' | 'bare' | 'full';

/** One pattern of stanzas; every field that is given must match. */
export interface Watch {
  readonly direction: Direction;
  readonly stanza: 'message' | 'presence' | 'iq';
  /** Values of the `type` attribute; `''` stands for none. */
  readonly types?: readonly string[];
  /** A first-level child by namespace and, when given, local name. */
  readonly child?: { readonly namespace: string; readonly name?: string };
  readonly address?: readonly AddressShape[];
  /**
   * Nothing but these interests makes the feature do anything about such stanzas: it is asked only while one of them is on, which costs the stanza nothing. They
   * are off at first, and are to be switched on before the first stanza that matters. Absent: it is always asked.
   */
  readonly when?: readonly Interest[];
}

/** What becomes of a stanza. `handled` means that the feature has answered or stored it: it counts at its place in the order. */
export type Verdict =
  | { readonly action: 'pass' }
  | { readonly action: 'edit'; readonly reason: Reason }
  /**
   * Another stanza in its place, as one complete element; it keeps the place of the first in the order and in the counts. `isFinal`: it is the
   * feature's own word, like one that is sent, and no other feature sees it.
   */
  | {
      readonly action: 'replace';
      readonly bytes: Buffer;
      readonly reason: Reason;
      readonly isFinal?: boolean;
    }
  | { readonly action: 'drop'; readonly reason: Reason }
  | { readonly action: 'handled'; readonly reason: Reason };

export const PASS: Verdict = { action: 'pass' };

/** A watched stanza on its way; valid during the handler only. */
export interface PassingStanza {
  readonly direction: Direction;
  readonly frame: Frame;
  readonly now: number;
  /** A feature sends it in the client's name (`sendAsClient`): the client knows nothing of it. */
  readonly isOurs: boolean;
  /** Edits on the bytes; return an `edit` verdict for them to count. Later features see the edited stanza. */
  edit(): Splice;
  /** A tree of the stanza; costs a parse. */
  tree(): Element;
}

/** What an iq that the proxy itself has sent came to. The element is the whole iq. */
export type IqAnswer =
  | { readonly kind: 'result'; readonly iq: Element }
  | { readonly kind: 'error'; readonly condition: string; readonly iq: Element }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'leg-lost' }
  /** Too many are open already. */
  | { readonly kind: 'refused' };

export interface IqRequest {
  readonly leg: 'client' | 'server';
  readonly type: 'get' | 'set';
  /** Absent: the account itself (RFC 6120 §8.1.1.1). */
  readonly to?: string;
  /** One serialised element with its namespace. */
  readonly payload: string;
  readonly timeoutMs?: number;
}

/** The account and resource of a session; JIDs as the server wrote them in the bind result. */
export interface SessionIdentity {
  readonly full: string;
  readonly bare: string;
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
}

export type ServerKind = 'prosody' | 'ejabberd' | 'jabberd2' | 'unknown';

/** A service-discovery answer (XEP-0030 disco#info result) on its way to the client. */
export interface DiscoAnswer {
  readonly from: string;
  readonly node: string | undefined;
  /** What the answering entity is to this session. */
  readonly entity: 'server' | 'account' | 'muc-service' | 'muc-room' | 'other';
  readonly features: ReadonlySet<string>;
}

export interface DiscoAmendment {
  readonly add?: readonly string[];
  readonly hide?: readonly string[];
}

/** Everything a feature may do for one session. The calls take effect in order, behind the stanza that is being handled. */
export interface FeatureContext {
  readonly identity: SessionIdentity;
  readonly serverKind: ServerKind;
  /** Which of the domain's servers the leg goes to or went to last, as its URL is written. It can be another one when the leg is up again. */
  readonly upstream: string;
  /** Namespaces of what the client had switched on along with binding (XEP-0386 §4.2). */
  readonly enabledAtStart: ReadonlySet<string>;
  /** Shared by all sessions of this process with the same domain. */
  readonly domain: DomainContext;
  readonly now: number;
  /** What to read stanzas with that do not come by: `parseStanza`. */
  readonly namespaces: NamespaceTable;
  /** Injects one complete element (message, presence or iq) towards a leg; it is counted by stream management. */
  send(leg: 'client' | 'server', xml: string | Buffer, reason: Reason): void;
  /**
   * The same towards the server, as if the client had sent it: knowledge sees it too, and so do the features that are nearer to the server. For a
   * stanza that puts the client itself into a state, such as entering a room again for it.
   */
  sendAsClient(xml: string | Buffer, reason: Reason): void;
  /**
   * The opposite: towards the client, and knowledge takes it for the server's word, and so do the features that are nearer to the client. For what a room
   * played by the proxy says.
   */
  sendAsServer(xml: string | Buffer, reason: Reason): void;
  /**
   * The same as `send` towards the client, for calls in the turn of another session of the domain: it goes out when that turn is over.
   * @param now of that turn
   */
  sendInOthersTurn(xml: string | Buffer, reason: Reason, now: number): void;
  /** Injects towards the server, ahead of the client's stanza that is being handled. */
  sendAhead(xml: string | Buffer, reason: Reason): void;
  /**
   * `onReceived` of this feature is told the token when the client has acknowledged all that it has been sent up to here, the stanza that is being
   * handled included (XEP-0198); of a client without stream management, when it is written. Never, when the session ends before. At most 5,000 may be
   * open in a session, what is beyond is never told.
   * @param asks the client is to be asked soon, and not only when it will be anyway
   */
  whenReceived(token: string, asks?: boolean): void;
  /**
   * To the server the stanza that is being handled, and what follows it, does not count as delivered (XEP-0198) before the returned function has been
   * called: for what is taken from the server and is not on disk yet.
   */
  holdAcknowledgement(): () => void;
  /** The feature needs the server leg no longer that is kept for it without a client; nothing while there is a client. */
  endKept(): void;
  /**
   * Keeps a message for an account's next session that wants messages (RFC 6121 §8.5.2), which gets it with a delay and once; it stays in the
   * store until that session's client has acknowledged it.
   * @param bare of any account of the domain
   * @param xml one complete message, of type normal or chat
   */
  keepForAccount(bare: string, xml: string | Buffer): void;
  /**
   * Says that a message waits for an account of which no client has got it, where it is kept by other means than `keepForAccount`, which
   * says so itself: `onWaiting` follows at once, in this session's features.
   */
  waits(bare: string, xml: string | Buffer): void;
  /**
   * Injects one complete element towards the client, of which the feature itself has a copy in the store: as `send` with `whenReceived(token)` behind
   * it, but that nothing else is kept of it when the session ends before, and no `onWaiting` is called for it.
   */
  sendStored(xml: string | Buffer, reason: Reason, token: string): void;
  /** Sends an iq of the proxy's own and hands the answer to `done` once, never from inside this call. */
  request(iq: IqRequest, done: (answer: IqAnswer) => void): void;
  /** `onWakeup(token)` of this feature is called at or soon after `time`; the same token again replaces it. */
  wakeAt(token: string, time: number): void;
  /** Unguessable, 128 bits or more. */
  randomId(): string;
  count(reason: Reason): void;
  /** Settings of this feature for the domain. @param schema the one that the feature has in `settings` */
  settings<T>(schema: z.ZodType<T>): T;
  /** What outlives the process. Keys begin with the feature's name: `storeKey(name, …)`. */
  readonly store: FeatureStore;
  /**
   * Calls `onTold` of this feature in all other sessions of an account, wherever they are: later, in order, and never nested in this
   * one's turn. @param bare of any account, this session's own included
   */
  tell(bare: string, message: string): void;
  /** Milliseconds since 1970, for time stamps that others read. */
  wallClock(): number;
  /** State of a knowledge module for this session; the feature must have named it in `needs`. */
  know<T>(key: KnowledgeKey<T>): T;
  /**
   * Switches an interest of this session on or off, from the next watch on, also for the stanza that is being handled. One that all sessions of
   * the domain have is `domain.shared(commonInterestsKey)`'s.
   */
  attend(interest: Interest, on: boolean): void;
}

/** The store, as a feature uses it. Callbacks are never called from inside the call, and not any more when the session is over. */
export interface FeatureStore {
  /** All of the changes or none. @param done told whether they are on disk */
  write(changes: readonly StoreChange[], done?: (ok: boolean) => void): void;
  /** @param done gets what is there under a prefix, in the order of the keys; nothing when it cannot be read */
  load(prefix: string, done: (entries: readonly StoreEntry[]) => void): void;
}

/** State that all sessions of a domain share: what is known of the server behind it, and who is here. */
export interface DomainContext {
  readonly name: string;
  /** State of a feature or knowledge module for the domain; made by its `shared` on first use. */
  shared<T>(key: KnowledgeKey<T>): T;
  /** Sessions of an account at this proxy (bare JID, prepared), this one included. */
  sessionsOf(bare: string): readonly SessionIdentity[];
}

/** Names a piece of state and carries its type. Compared by identity. */
export class KnowledgeKey<T> {
  declare readonly type: T;
  /** @param create makes the state when it is shared by a domain */
  constructor(
    readonly name: string,
    readonly create?: () => T,
  ) {}
}

/** What a feature or knowledge module does for one bound session. Calls are synchronous and never nested. */
export interface FeatureSession {
  /** `watch` is the index into `watches` of the first pattern that matched. */
  onStanza?(stanza: PassingStanza, watch: number): Verdict;
  onLegDown?(leg: 'client' | 'server', now: number): void;
  onLegUp?(leg: 'client' | 'server', now: number): void;
  /**
   * The client says that it will be silent for a while (`true`), as a BOSH client does that pauses its session, or is heard of again
   * (`false`). Its leg is not down: what is sent to it waits for it.
   */
  onPause?(paused: boolean, now: number): void;
  onWakeup?(token: string, now: number): void;
  /**
   * The client has what `whenReceived` or `sendStored` named by these tokens, in the order of the places. A session that is gone on with by another
   * process hears of what the client had by then at once, before anything else, and of what it had not never.
   */
  onReceived?(tokens: readonly string[], now: number): void;
  /**
   * Asked of what the proxy itself has read for the client out of its account's archive (XEP-0313): such messages pass no watch.
   * @param message the whole stanza, with the envelope
   * @returns whether the client is not to see it
   */
  hidesArchived?(message: Element): boolean;
  /** Another session has said something by `tell`. @param from its full JID */
  onTold?(message: string, from: string): void;
  /**
   * The process is being stopped and the session will be gone on with by the next one: what this needs to know then, which `open` is given. Small;
   * undefined: nothing.
   */
  snapshot?(): string | undefined;
  /**
   * What the client has been sent and has not acknowledged is being put into the store: what is written to the store in this call is written along
   * with it, or neither is.
   */
  onPutAway?(now: number): void;
  /**
   * The client is gone for good. What is sent to it from now on goes nowhere, and the server is told that it is unavailable.
   * @returns until when the server leg should stay without it, for this feature's sake; undefined: it need not
   */
  needsServer?(now: number): number | undefined;
  /**
   * A message waits that no client has: for this session's own, whose connection is lost and which may come back, or kept for the account's next
   * session. To be noted only: what is to follow happens later.
   * @param account bare JID, prepared
   */
  onWaiting?(account: string, message: Buffer): void;
  /** The session is over; nothing can be sent any more, but the store can still be written to. */
  onClose?(now: number): void;
  onDisco?(answer: DiscoAnswer): DiscoAmendment | undefined;
}

/**
 * A protocol that the proxy plays one half of, or knowledge that several of them share. Pure: no sockets, timers, clock or
 * random source; what it wants done it asks of its context.
 */
export interface Feature<S extends FeatureSession = FeatureSession> {
  readonly name: string;
  readonly watches: readonly Watch[];
  /** Knowledge modules whose state it reads. They see every stanza before it. */
  readonly needs?: readonly Knowledge<FeatureSession>[];
  /** Its sessions have `onDisco`; without it no discovery answer is looked into for them. */
  readonly amendsDisco?: boolean;
  /** What may stand under its name in a domain's configuration, a strict object with defaults; without it there are no settings. */
  readonly settings?: z.ZodType;
  /** What does in a domain that has it switched off what is left to be done: takes back what it has done outside of the proxy. Absent: nothing. */
  readonly whenOff?: Feature;
  /** Whether an entry of the store under this feature's name is of no use any more. @param now ms since 1970 */
  readonly isOutlived?: (entry: StoreEntry, now: number) => boolean;
  /**
   * Called when a resource has been bound, or when a session of a process before is gone on with.
   * @param snapshot what `snapshot` gave then
   */
  open(context: FeatureContext, snapshot?: string): S;
}

/** A module whose per-session state others read. It only watches: its verdict is always `pass`. */
export interface Knowledge<S extends FeatureSession> extends Feature<S> {
  readonly key: KnowledgeKey<S>;
}
