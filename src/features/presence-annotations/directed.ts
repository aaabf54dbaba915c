import { bare, prepareJid } from '../../jid.js';
import { type Frame, StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';

/** Addresses that one session has sent presence of their own, and bytes of that. Beyond it the oldest are forgotten: they are told less. */
const MOST_TARGETS = 100;
const MOST_BYTES = 64 * 1024;
/** Addresses that presence was cancelled for, one by one. Beyond it nobody counts as having any. */
const MOST_CANCELLED = 1_000;

/**
 * Who has got a presence of this client's by name (RFC 6121 §4.6), or has had it taken back. Rooms are not among them: what they are sent is
 * for their occupants.
 */
export class DirectedPresence {
  /** By prepared address: the last presence, one byte a character. Made when needed, as all of this: most sessions never do. */
  #sent: Map<string, string> | undefined;
  #bytes = 0;
  #cancelled: Set<string> | 'too many' | undefined;

  /** A presence of the client's with an address. */
  sent(frame: Frame): void {
    const to = prepareJid(frame.to ?? '');
    if (to === undefined || frame.kind !== StanzaKind.Presence) return;
    const { type } = frame;
    if (type === 'unavailable') {
      this.#forget(to);
      this.#cancel(to);
    } else if (type === undefined && frame.findChild('x', NS.muc) < 0) {
      this.#forget(to);
      if (this.#cancelled !== 'too many') this.#cancelled?.delete(to);
      const bytes = frame.bytes().toString('latin1');
      if (bytes.length > MOST_BYTES / 2) return;
      this.#sent ??= new Map();
      this.#sent.set(to, bytes);
      this.#bytes += bytes.length;
      while (this.#sent.size > MOST_TARGETS || this.#bytes > MOST_BYTES) {
        const [oldest] = this.#sent.keys();
        if (oldest === undefined) break;
        this.#forget(oldest);
      }
    }
  }

  /** The client tells everybody of itself, those too that it had taken its presence back from (RFC 6121 §4.4.2). */
  broadcast(): void {
    this.#cancelled = undefined;
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

  /** What this address has been sent by name, or its bare JID; undefined: nothing. @param jid prepared */
  sentTo(jid: string): string | undefined {
    return this.#sent?.get(jid) ?? this.#sent?.get(bare(jid));
  }

  /** Whether it has been taken back from this address. @param jid prepared */
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

  #forget(to: string): void {
    const bytes = this.#sent?.get(to);
    if (bytes === undefined) return;
    this.#sent?.delete(to);
    this.#bytes -= bytes.length;
  }
}
