import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Leg, LegLoss, TlsFacts } from '../session/port.js';
import type { StreamErrorCondition } from '../stream/errors.js';
import { isWhitespace } from '../xml/characters.js';
import { READ_AREA, takeReceived } from '../xml/scanner/scanner.js';

/** What a leg tells the driver it belongs to. Never called from inside one of the leg's own methods but `settle`. */
export interface LegOwner {
  legData(leg: TransportLeg, chunk: Buffer): void;
  legEnded(leg: TransportLeg): void;
  /** `detail` is the system's or OpenSSL's own code, for the log; '' when there is none. */
  legLost(leg: TransportLeg, cause: LegLoss, detail: string): void;
  legDrained(leg: TransportLeg): void;
  legSecured(leg: TransportLeg, facts: TlsFacts): void;
  /** Something that `settle` waits for may have come about. */
  legMoved(leg: TransportLeg): void;
  /** The peer broke the framing of its transport: what it sent cannot be said as bytes of a stream. */
  legMisframed(leg: TransportLeg, condition: StreamErrorCondition, text: string): void;
  /** The peer has announced that it will be silent for a while, or is back (XEP-0124 §10). */
  legPaused(leg: TransportLeg, paused: boolean): void;
}

/**
 * One leg of a session as its driver sees it: bytes of one XML stream (RFC 6120) in both directions, whatever carries them.
 * What a command asks for takes effect with `settle`.
 */
export interface TransportLeg {
  readonly name: Leg;
  readonly dead: boolean;
  /** Whether this side has asked for its end: what is queued is still to be sent. */
  readonly ending: boolean;
  /** Where the peer's addresses can be read; undefined where there is no one connection to ask. */
  readonly socket: Socket | undefined;
  moveTo(owner: LegOwner): void;
  write(bytes: Buffer): boolean;
  unsent(): number;
  whenFlushed(): void;
  startTls(wrapping: TlsWrapping): void;
  /** @param own the condition of the stream error that has been written, when it is this side's own */
  end(own?: StreamErrorCondition): void;
  pauseReading(): void;
  resumeReading(): void;
  destroy(): void;
  settle(): void;
  takeFlushed(): boolean;
  /** The peer has proved who it is: what it may send at once is what those may who are known. */
  trust(): void;
}

/** Wraps a leg's socket in TLS; the leg listens for `secured` by itself. */
export interface TlsWrapping {
  wrap(socket: Socket): TLSSocket;
  /** Event after which the handshake has succeeded and the peer's certificate, where one is asked for, is accepted. */
  readonly securedEvent: 'secure' | 'secureConnect';
  /** Looks at the finished handshake; undefined: the peer is not acceptable. */
  facts(socket: TLSSocket): TlsFacts | undefined;
}

/** A socket knows its leg by a property, so that its listeners are plain functions: six closures less for each of 2n sockets. */
interface LegSocket extends Socket {
  leg?: SocketLeg | undefined;
}

/**
 * How plain sockets read (option `onread`): all into one area, from which each chunk is copied before the next read on any socket can
 * happen. It saves an ArrayBuffer and a pass through Readable per read, and the area is where the scanner looks for its input. What
 * comes before the socket has a leg is lost.
 */
export const READING = {
  buffer: READ_AREA,
  callback: onRead,
};

const NOTHING = Buffer.alloc(0);

const open = 0;
/** TLS is wanted, plaintext of ours is still on its way. */
const upgradeWanted = 1;
const handshaking = 2;

/**
 * One socket of a session: batches what one event writes, counts what waits, and changes to TLS in place. It lives until it is
 * lost (reported once) or destroyed (not reported).
 */
export class SocketLeg implements TransportLeg {
  #socket: LegSocket;
  #owner: LegOwner;
  /** The last buffer written in this event: kept back so that one buffer goes out as one write and several as one writev. */
  #held: Buffer | undefined = undefined;
  #corked = false;
  #dead = false;
  #phase: 0 | 1 | 2 = open;
  #wrapping: TlsWrapping | undefined = undefined;
  #cause: LegLoss | undefined = undefined;
  #detail = '';
  #peerEnded = false;
  #endWanted = false;
  #drainWanted = false;
  /** A write that will report is on its way. */
  #reportDue = false;
  /** Something for `settle` to do besides the held buffer. */
  #unsettled = false;
  /** Bytes ever given to `write`, and the marks that `whenFlushed` has set in that count; -1: none. */
  #total = 0;
  #flushMark = -1;
  #laterFlushMark = -1;
  readonly #limit: number;
  readonly #onWritten: () => void;

  /**
   * @param limit bytes that may wait before `write` says so; not less than the socket's own high-water mark, which is 16 KiB on Node 20 and
   * 64 KiB from 22 on
   */
  constructor(
    readonly name: Leg,
    socket: Socket,
    owner: LegOwner,
    limit: number,
  ) {
    this.#socket = socket;
    this.#owner = owner;
    this.#limit = Math.max(limit, socket.writableHighWaterMark);
    // One function for all writes: Node merges completions that share their callback.
    this.#onWritten = () => {
      this.#reportDue = false;
      if (this.#unsettled && !this.#dead) this.#owner.legMoved(this);
    };
    this.#listen(socket);
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** Whether this side has asked for its end: what is queued is still to be sent. */
  get ending(): boolean {
    return this.#endWanted;
  }

  get peerEnded(): boolean {
    return this.#peerEnded;
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** The leg belongs to another session from now on. */
  moveTo(owner: LegOwner): void {
    this.#owner = owner;
  }

  /** Bytes of a stream are limited by those who read them. */
  trust(): void {}

  /** Queues; the bytes leave with `settle`. See `SessionPort.write` for the result. */
  write(bytes: Buffer): boolean {
    if (this.#dead || this.#endWanted || bytes.length === 0) return true;
    if (this.#held !== undefined) {
      if (!this.#corked) {
        this.#corked = true;
        this.#socket.cork();
      }
      this.#give(this.#held);
    }
    this.#held = bytes;
    this.#total += bytes.length;
    if (this.#socket.writableLength + bytes.length <= this.#limit) return true;
    // The limit is not below the socket's own, which thus owes a 'drain'.
    this.#drainWanted = true;
    return false;
  }

  unsent(): number {
    if (this.#dead) return 0;
    return this.#socket.writableLength + (this.#held === undefined ? 0 : this.#held.length);
  }

  whenFlushed(): void {
    if (this.#dead) return;
    if (this.#flushMark < 0) this.#flushMark = this.#total;
    else this.#laterFlushMark = this.#total;
    this.#unsettled = true;
  }

  startTls(wrapping: TlsWrapping): void {
    if (this.#dead || this.#phase !== open) return;
    this.#phase = upgradeWanted;
    this.#wrapping = wrapping;
    this.#unsettled = true;
    // From here on the peer's bytes are TLS: what the kernel has goes to the handshake, never to the session.
    this.#socket.pause();
  }

  end(): void {
    if (this.#dead || this.#endWanted) return;
    this.#endWanted = true;
    this.#unsettled = true;
  }

  pauseReading(): void {
    if (!this.#dead) this.#socket.pause();
  }

  resumeReading(): void {
    if (!this.#dead && this.#phase !== upgradeWanted) this.#socket.resume();
  }

  /**
   * Closes both directions at once. Nothing is reported afterwards. Under TLS only the outer socket may be destroyed, here as
   * everywhere: Node 20 crashes when the inner one is destroyed in the same turn.
   */
  destroy(): void {
    if (this.#dead) return;
    this.#die();
    this.#socket.destroy();
  }

  /** Carries out what the commands of one event have asked for. May report a loss, thus never from inside a session's call. */
  settle(): void {
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      this.#give(held);
      if (this.#corked) {
        this.#corked = false;
        this.#socket.uncork();
      }
    }
    if (this.#unsettled) this.#settleRest();
  }

  /** With a callback only where its news is waited for: without one Node finishes a write on the spot, with one in a tick of its own. */
  #give(bytes: Buffer): void {
    if (!this.#unsettled) {
      this.#socket.write(bytes);
      return;
    }
    this.#reportDue = true;
    this.#socket.write(bytes, this.#onWritten);
  }

  /** Whether bytes that `whenFlushed` waits for have all been taken by the kernel; true once per mark. */
  takeFlushed(): boolean {
    if (this.#flushMark < 0 || this.#dead || this.#total - this.unsent() < this.#flushMark) return false;
    this.#flushMark = this.#laterFlushMark;
    this.#laterFlushMark = -1;
    return true;
  }

  /** Called by the socket listeners, as are those below. */
  receive(chunk: Buffer): void {
    if (!this.#dead) this.#owner.legData(this, chunk);
  }

  #settleRest(): void {
    if (this.#dead) return;
    if (this.#phase === upgradeWanted && this.#socket.writableLength === 0) this.#upgrade();
    const waiting = this.#phase === upgradeWanted || this.#flushMark >= 0;
    // What is on its way was written when nobody waited for it: an empty write behind it reports.
    if (waiting && !this.#reportDue && this.#socket.writableLength > 0 && !this.#socket.writableEnded)
      this.#give(NOTHING);
    if (this.#endWanted && !this.#socket.writableEnded && this.#phase !== upgradeWanted) this.#socket.end();
    this.#unsettled = waiting;
  }

  /** RFC 6120 §5.4.3.3: nothing may stand between the answer to `<starttls/>` and the handshake. */
  #upgrade(): void {
    const wrapping = this.#wrapping;
    if (wrapping === undefined) return;
    const plain = this.#socket;
    this.#unlisten(plain);
    // Bytes that Node has read but not delivered were sent before the peer could know that TLS starts: an injection, and
    // Node would hand them to the handshake. COMPAT: a line feed behind `<starttls/>` (go-xmpp) is none.
    const early: unknown = plain.readableLength > 0 ? plain.read() : null;
    if (early instanceof Buffer && !isWhitespace(early, 0, early.length)) {
      this.#lose('starttls-leftover');
      return;
    }
    this.#phase = handshaking;
    let secure: TLSSocket;
    try {
      secure = wrapping.wrap(plain);
    } catch (error) {
      this.#detail = error instanceof Error ? error.message : String(error);
      this.#lose('tls-failed');
      return;
    }
    this.#socket = secure;
    this.#listen(secure);
    secure.on(wrapping.securedEvent, onSecured);
    // A TLS socket made by hand reports errors after the handshake by this event only.
    secure.on('_tlsError', onError);
  }

  #lose(cause: LegLoss): void {
    if (this.#dead) return;
    this.#die();
    this.#socket.destroy();
    this.#owner.legLost(this, cause, this.#detail);
  }

  #die(): void {
    this.#dead = true;
    this.#held = undefined;
    this.#unsettled = false;
    this.#unlisten(this.#socket);
  }

  #listen(socket: LegSocket): void {
    socket.leg = this;
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('drain', onDrain);
    socket.on('error', onError);
    socket.on('close', onClose);
  }

  /** The error listener stays: an error of a socket that nobody wants any more is not the process's end. */
  #unlisten(socket: LegSocket): void {
    socket.leg = undefined;
    socket.removeListener('data', onData);
    socket.removeListener('end', onEnd);
    socket.removeListener('drain', onDrain);
    socket.removeListener('close', onClose);
  }

  /** Called by the socket listeners below. */
  socketEnded(): void {
    if (this.#phase === handshaking) this.#lose('tls-failed');
    else {
      this.#peerEnded = true;
      this.#owner.legEnded(this);
    }
  }

  socketDrained(): void {
    if (!this.#drainWanted) return;
    this.#drainWanted = false;
    this.#owner.legDrained(this);
  }

  socketFailed(code: string): void {
    const inTls = this.#phase === handshaking || code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS');
    if (this.#cause === undefined) {
      this.#cause = inTls ? 'tls-failed' : 'reset';
      this.#detail = code;
    }
    this.#socket.destroy();
  }

  socketClosed(): void {
    this.#lose(this.#cause ?? (this.#phase === handshaking ? 'tls-failed' : 'ended'));
  }

  socketSecured(): void {
    const wrapping = this.#wrapping;
    if (this.#phase !== handshaking || wrapping === undefined) return;
    const facts = this.#socket instanceof TLSSocket ? wrapping.facts(this.#socket) : undefined;
    if (facts === undefined) {
      this.#detail = 'certificate-rejected';
      this.#lose('tls-failed');
      return;
    }
    this.#phase = open;
    this.#wrapping = undefined;
    this.#owner.legSecured(this, facts);
  }
}

/** Node calls this as a method of the socket. */
function onRead(this: unknown, length: number): boolean {
  (this as LegSocket).leg?.receive(takeReceived(length));
  return true;
}

function onData(this: LegSocket, chunk: Buffer): void {
  this.leg?.receive(chunk);
}

function onEnd(this: LegSocket): void {
  this.leg?.socketEnded();
}

function onDrain(this: LegSocket): void {
  this.leg?.socketDrained();
}

function onError(this: LegSocket, error: NodeJS.ErrnoException): void {
  this.leg?.socketFailed(error.code ?? '');
}

function onClose(this: LegSocket): void {
  this.leg?.socketClosed();
}

function onSecured(this: LegSocket): void {
  this.leg?.socketSecured();
}
