import { Buffer } from 'node:buffer';
import { bare, prepareJid } from '../../jid.js';
import { type Frame, StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';

/** Addresses that one session has sent presence of their own, and bytes of that. Beyond it the oldest are forgotten: they are told less. */
const MOST_TARGETS = 100;
const MOST_BYTES = 64 * 1024;
/** Addresses that presence was cancelled for, one by one. Beyond it nobody counts as having any. */
const MOST_CANCELLED = 1_000;

/** The last presence that an address has been sent by name. */
interface Sent {
  /** One byte a character. */
  readonly bytes: string;
  /** The client has broadcast its presence since: who is subscribed has that one. */
  isBeforeBroadcast: boolean;
  /** Of a bare JID: full ones that it was taken back from afterwards. */
  except?: Set<string>;
}

/** What the next process has to know: who it was sent to or taken back from would else be told too much. */
export interface DirectedSnapshot {
  readonly sent: readonly (readonly [
    jid: string,
    bytes: string,
    isBeforeBroadcast: boolean,
    except: readonly string[],
  ])[];
  readonly cancelled: readonly string[] | 'too many';
}

/**
 * Who has got a presence of this client's by name (RFC 6121 §4.6), or has had it taken back. Rooms are not among them: what they are sent is
 * for their occupants.
 */
export class DirectedPresence {
  /** By prepared address. Made when needed, as all of this: most sessions never do. */
  #sent: Map<string, Sent> | undefined;
  #bytes = 0;
  #cancelled: Set<string> | 'too many' | undefined;

  constructor(snapshot?: DirectedSnapshot) {
    if (snapshot === undefined) return;
    for (const [jid, bytes, isBeforeBroadcast, except] of snapshot.sent)
      this.#remember(jid, {
        bytes,
        isBeforeBroadcast,
        ...(except.length > 0 && { except: new Set(except) }),
      });
    const { cancelled } = snapshot;
    if (cancelled.length > 0) this.#cancelled = cancelled === 'too many' ? cancelled : new Set(cancelled);
  }

  /** @returns undefined when there is nothing to know */
  snapshot(): DirectedSnapshot | undefined {
    const sent = [...(this.#sent ?? [])].map(
      ([jid, { bytes, isBeforeBroadcast, except }]) =>
        [jid, bytes, isBeforeBroadcast, [...(except ?? [])]] as const,
    );
    const cancelled = this.#cancelled === 'too many' ? this.#cancelled : [...(this.#cancelled ?? [])];
    return sent.length === 0 && cancelled.length === 0 ? undefined : { sent, cancelled };
  }

  /** A presence of the client's with an address. */
  sent(frame: Frame): void {
    const to = prepareJid(frame.to ?? '');
    if (to === undefined || frame.kind !== StanzaKind.Presence) return;
    const { type } = frame;
    if (type === 'unavailable') this.takenBack(to);
    else if (type === undefined && frame.findChild('x', NS.muc) < 0) {
      // All resources of a bare one have this one now.
      if (bare(to) === to) this.forget(to);
      else this.#forget(to);
      if (this.#cancelled !== 'too many') this.#cancelled?.delete(to);
      const bytes = frame.bytes().toString('latin1');
      if (bytes.length > MOST_BYTES / 2) {
        // What they have is not known any more, and must not be mistaken for what they had before.
        this.takenBack(to);
        return;
      }
      this.#remember(to, { bytes, isBeforeBroadcast: false });
    }
  }

  /** An address has been told that the client is gone for it; a bare one: all of its resources (RFC 6121 §8.5.2.1.2). @param jid prepared */
  takenBack(jid: string): void {
    const account = bare(jid);
    if (account === jid) this.forget(jid);
    else {
      this.#forget(jid);
      const whole = this.#sent?.get(account);
      if (whole !== undefined) {
        whole.except ??= new Set();
        whole.except.add(jid);
        this.#bytes += jid.length;
        this.#shrink();
      }
    }
    this.#cancel(jid);
  }

  /** What an account and its resources were sent by name is theirs no longer. @param account prepared, bare */
  forget(account: string): void {
    this.#forget(account);
    for (const jid of this.targets) if (bare(jid) === account) this.#forget(jid);
  }

  /**
   * The client tells everybody who is subscribed of itself, those too that it had taken its presence back from (RFC 6121 §4.4.2). Who was
   * sent it by name only does not get this (§4.6.3).
   */
  broadcast(): void {
    this.#cancelled = undefined;
    for (const sent of this.#sent?.values() ?? []) sent.isBeforeBroadcast = true;
  }

  /** The client tells everybody that it is gone: nobody has its presence any more. */
  wentUnavailable(): void {
    this.#sent = undefined;
    this.#bytes = 0;
    this.#cancelled = undefined;
  }

  get targets(): string[] {
    return [...(this.#sent?.keys() ?? [])];
  }

  /** What this address, or its bare JID, has been sent by name and still has; undefined: nothing. @param jid prepared */
  sentTo(jid: string): { readonly bytes: Buffer; readonly isBeforeBroadcast: boolean } | undefined {
    const whole = this.#sent?.get(bare(jid));
    const sent = this.#sent?.get(jid) ?? (whole?.except?.has(jid) === true ? undefined : whole);
    if (sent === undefined) return undefined;
    return { bytes: Buffer.from(sent.bytes, 'latin1'), isBeforeBroadcast: sent.isBeforeBroadcast };
  }

  /** Whether what everybody was told has been taken back from this address. @param jid prepared */
  isCancelled(jid: string): boolean {
    if (this.#cancelled === undefined) return false;
    if (this.#cancelled === 'too many') return true;
    return this.#cancelled.has(jid) || this.#cancelled.has(bare(jid));
  }

  #cancel(to: string): void {
    if (this.#cancelled === 'too many') return;
    this.#cancelled ??= new Set();
    if (this.#cancelled.size >= MOST_CANCELLED) this.#cancelled = 'too many';
    else this.#cancelled.add(to);
  }

  #remember(to: string, sent: Sent): void {
    this.#sent ??= new Map();
    this.#sent.set(to, sent);
    this.#bytes += size(sent);
    this.#shrink();
  }

  #shrink(): void {
    while (this.#sent !== undefined && (this.#sent.size > MOST_TARGETS || this.#bytes > MOST_BYTES)) {
      const [oldest] = this.#sent.keys();
      if (oldest === undefined) break;
      this.#forget(oldest);
    }
  }

  #forget(to: string): void {
    const sent = this.#sent?.get(to);
    if (sent === undefined) return;
    this.#sent?.delete(to);
    this.#bytes -= size(sent);
  }
}

function size({ bytes, except }: Sent): number {
  let total = bytes.length;
  for (const jid of except ?? []) total += jid.length;
  return total;
}
