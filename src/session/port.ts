import type { UpstreamConfig } from '../config/model.js';
import type { StoreChange, StoreEntry } from '../store/store.js';
import type { StreamErrorCondition } from '../stream/errors.js';

/** One of the two streams of a session. */
export type Leg = 'client' | 'server';

/** What the driver knows of a leg's TLS layer once it is up. */
export interface TlsFacts {
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly protocol: string;
  /** SHA-256 of the certificate (DER) that this leg presents: ours towards the client, the server's own towards it; hex. */
  readonly certificateSha256: string | undefined;
  /** What tls-server-end-point binds to (RFC 5929 §4), hex; known of the leg towards the client, where the certificate allows it. */
  readonly endPoint?: string | undefined;
}

/** Why a connection to a server could not be made. */
export type ConnectFailure =
  | 'refused'
  | 'timeout'
  | 'unresolvable'
  | 'tls-failed'
  | 'certificate-rejected'
  | 'unreachable';

/** Why a leg's transport ended without a proper end of the stream. */
export type LegLoss = 'reset' | 'ended' | 'tls-failed' | 'starttls-leftover';

/** Facts about an upstream connection that has just been made (direct TLS: handshake done). */
export interface UpstreamFacts {
  readonly upstream: UpstreamConfig;
  /** Present when the connection started in TLS. */
  readonly tls: TlsFacts | undefined;
}

/**
 * The commands a session gives to whoever drives it: the only way in which it reaches the world. The driver answers with calls
 * of the session's event methods, never from inside a command.
 */
export interface SessionPort {
  /**
   * Queues bytes for a leg. The buffer is not written to afterwards by either side.
   * @returns false when more than the leg's queue limit is waiting: `onDrained(leg)` follows once it is empty.
   */
  write(leg: Leg, bytes: Buffer): boolean;
  /** Bytes that are queued for a leg and not yet taken by the kernel. */
  unsent(leg: Leg): number;
  /** Asks for one `onFlushed(leg)` when all that was written up to now has been taken by the kernel. */
  whenFlushed(leg: Leg): void;
  /** Starts TLS on a leg behind all that has been written; `onSecured` or `onLost` follows. */
  startTls(leg: Leg): void;
  /** Opens the server leg for a domain (a key of the configuration); `onConnected` or `onConnectFailed` follows. */
  connect(domain: string): void;
  /**
   * Sends what is queued, then ends the sending direction. The peer may go on sending until it ends its own.
   * @param own the stream error that has been written, when it is this side's own and not the server's: some transports have words for it
   */
  end(leg: Leg, own?: StreamErrorCondition): void;
  /** Gives the leg up at once: nothing is delivered and nothing is reported afterwards. */
  destroy(leg: Leg): void;
  pauseReading(leg: Leg): void;
  resumeReading(leg: Leg): void;
  /** One wake-up per session: replaces the former; ms on the clock of the event methods; Infinity cancels. */
  wakeAt(time: number): void;
  /** An id of at least 128 bits from a cryptographic source, safe in an XML attribute. */
  randomId(): string;
  /** Milliseconds since 1970, for time stamps that others read. */
  wallClock(): number;
  /**
   * Gives a leg of this session to another one's port: from now on its events go there. This session's own leg counts as destroyed, and so
   * does the one that the other had.
   */
  handOver(leg: Leg, to: SessionPort): void;
  /** Writes to the store; `onStored` follows with the same token when it is on disk, or has failed. */
  store(changes: readonly StoreChange[], token: string): void;
  /** Reads what the store has under a prefix; `onLoaded` follows with the same token. */
  load(prefix: string, token: string): void;
  /** From now on `onPublished` tells what is published under a topic, until the session has finished. */
  subscribe(topic: string): void;
  /** Tells all sessions that have subscribed to a topic, this one included. */
  publish(topic: string, message: string): void;
  /** Counts an event under a reason from a closed set. */
  count(metric: SessionMetric, reason: string): void;
  /** For diagnosis above the wire: never carries bodies, authentication payloads or ids that grant anything. */
  log(
    level: 'debug' | 'info' | 'warn',
    event: string,
    fields?: Readonly<Record<string, string | number | boolean>>,
  ): void;
  /** The client is no longer a stranger: it has bound a resource. */
  authenticated(): void;
  /** The session is over and both legs are gone or given up; called once. */
  finished(summary: SessionSummary): void;
}

export type SessionMetric =
  | 'stanza_dropped'
  | 'stanza_changed'
  | 'stanza_injected'
  | 'stanza_repaired'
  | 'stream_error'
  | 'iq_request'
  | 'hold'
  | 'feature_decision';

/** What the log line at a session's end says. */
export interface SessionSummary {
  /** Full JID, when a resource was bound. */
  readonly jid: string | undefined;
  readonly domain: string | undefined;
  /** Why it ended, from a closed set. */
  readonly reason: string;
  readonly stanzasFromClient: number;
  readonly stanzasFromServer: number;
  readonly bytesFromClient: number;
  readonly bytesFromServer: number;
}

/** What a driver tells a session. `now` is in milliseconds on one monotonic clock for all calls. */
export interface SessionEvents {
  /** Bytes from a peer; the buffer belongs to the session from now on. */
  onData(leg: Leg, chunk: Buffer, now: number): void;
  /** The peer has ended its sending direction (FIN or TLS close_notify); writing may still work. */
  onEnd(leg: Leg, now: number): void;
  /** The leg is gone in both directions. */
  onLost(leg: Leg, cause: LegLoss, now: number): void;
  onDrained(leg: Leg, now: number): void;
  onFlushed(leg: Leg, now: number): void;
  onSecured(leg: Leg, facts: TlsFacts, now: number): void;
  onConnected(facts: UpstreamFacts, now: number): void;
  onConnectFailed(failure: ConnectFailure, now: number): void;
  /** @param ok false: nothing of it has been written */
  onStored(token: string, ok: boolean, now: number): void;
  onLoaded(token: string, entries: readonly StoreEntry[], now: number): void;
  /** Later than the call of `publish`, in the order of the calls. */
  onPublished(message: string, now: number): void;
  onWake(now: number): void;
  /** What the client sent breaks the framing of its transport, and cannot be said as bytes of a stream. */
  onMisframed(condition: StreamErrorCondition, text: string, now: number): void;
  /** The client has said that it will be silent for a while, or is heard of again: it is away, but not lost. */
  onPaused(paused: boolean, now: number): void;
  /** The proxy is going down: the client is told `system-shutdown` and both streams are closed. */
  onShutdown(now: number): void;
  /** One of the calls above has thrown and the session is given up: others are not to find it any more. Does not throw. */
  onFault(): void;
}
