import type { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { StreamErrorCondition } from '../../../stream/errors.js';
import type { Frame } from '../../../xml/frame.js';
import type { StreamHeader } from '../../../xml/header.js';
import { NS } from '../../../xml/namespaces.js';
import { type Clock, Sleeper } from '../../clock.js';
import type { LegOwner, TransportLeg } from '../../leg.js';
import { StreamCutter, type StreamCutters, type StreamParts } from '../elements.js';
import type { BoshSettings } from './agreement.js';
import type { BoshRequest } from './body.js';
import type { TerminalCondition } from './conditions.js';
import { BoshExchange, type ExchangePort } from './exchange.js';
import type { Reply } from './reply.js';

/** What all BOSH legs of a process share. */
export interface BoshSurroundings {
  readonly clock: Clock;
  readonly cutters: StreamCutters;
  readonly settings: BoshSettings;
  /** Bytes that may wait for a client that does not ask. */
  readonly queueBytes: number;
  /** The process is going down: what a client is told that is given up. */
  readonly draining: boolean;
}

/**
 * Stream errors of this side that BOSH has words of its own for (XEP-0124 §17.2): they are said by these alone. All others, and whatever error the
 * server has sent, come as `remote-stream-error` with the element (XEP-0206 §2).
 */
const OWN_WORDS: { readonly [condition in StreamErrorCondition]?: TerminalCondition } = {
  'host-unknown': 'host-unknown',
  'improper-addressing': 'improper-addressing',
  'remote-connection-failed': 'remote-connection-failed',
  // The server has gone, or the session there; `ownWord` knows when it is this process that goes.
  'system-shutdown': 'remote-connection-failed',
};

/** A client that speaks BOSH (XEP-0124), as a leg that carries a stream of bytes. What requests and answers mean is the exchange's. */
export class BoshLeg extends Sleeper implements TransportLeg, StreamParts, ExchangePort<Reply> {
  readonly name = 'client';
  readonly socket: Socket | undefined = undefined;
  /** Its client has proved who it is. */
  trusted = false;
  /** What the client wants its answers to be called. */
  contentType: string | undefined;
  readonly #exchange: BoshExchange<Reply>;
  readonly #cutter: StreamCutter;
  #owner: LegOwner;
  #dead = false;
  #ending = false;
  /** Its end, of which a client is to hear that was known by then. */
  #waitsForClient = false;
  #drainWanted = false;
  #unblockWanted = false;
  /** The stream's error, which goes out with the end of the stream and not before. */
  #error: readonly Buffer[] | undefined;
  /** An answer is still being compressed: those to later requests go out behind it (XEP-0124 §14.2). */
  #sending: Promise<void> | undefined;
  /** Bytes ever given to `write` as they were queued, and the marks that `whenFlushed` has set in that count; -1: none. */
  #total = 0;
  #flushMark = -1;
  #laterFlushMark = -1;

  /** @param forget called when nothing is to come to this session any more */
  constructor(
    readonly sid: string,
    /** Whether its requests come over TLS, as the first has. */
    readonly secure: boolean,
    private readonly around: BoshSurroundings,
    private readonly forget: (sid: string) => void,
    request: BoshRequest,
    reply: Reply,
    owner: LegOwner,
  ) {
    super();
    this.#owner = owner;
    this.#cutter = new StreamCutter(this, around.cutters);
    this.#exchange = new BoshExchange(this, around.settings, request, sid, reply, around.clock.now);
  }

  // HTTP.

  begin(request: BoshRequest): void {
    this.#exchange.begin(request, this.around.clock.now);
    this.#moved();
  }

  request(request: BoshRequest, reply: Reply): void {
    this.#exchange.request(request, reply, this.around.clock.now);
    this.#moved();
  }

  /** Its client has sent what is no request. */
  violated(condition: TerminalCondition, reply: Reply): void {
    this.#exchange.violated(condition, reply);
    this.#moved();
  }

  gone(reply: Reply): void {
    this.#exchange.gone(reply, this.around.clock.now);
  }

  get legacy(): boolean {
    return this.#exchange.legacy;
  }

  override wake(now: number): void {
    this.#exchange.wake(now);
    this.#moved();
  }

  #moved(): void {
    if (!this.#dead) this.#owner.legMoved(this);
  }

  // The exchange.

  deliver(bytes: Buffer): void {
    if (!this.#dead) this.#owner.legData(this, bytes);
  }

  answer(reply: Reply, body: Buffer, condition: TerminalCondition | undefined): void {
    reply.contentType = this.contentType ?? reply.contentType;
    const code = this.legacy ? condition : undefined;
    const sent =
      this.#sending === undefined ? reply.send(body, code) : this.#sending.then(() => reply.send(body, code));
    if (sent === undefined) return;
    const sending = sent.then(() => {
      if (this.#sending === sending) this.#sending = undefined;
    });
    this.#sending = sending;
  }

  paused(paused: boolean): void {
    this.#owner.legPaused(this, paused);
  }

  over(how: 'ended' | 'lost'): void {
    if (this.#dead) return;
    this.#die();
    this.#owner.legLost(this, how === 'ended' ? 'ended' : 'reset', `bosh-${how}`);
  }

  wakeAt(time: number): void {
    this.around.clock.wakeAt(this, time);
  }

  #die(): void {
    this.#dead = true;
    this.forget(this.sid);
    this.around.clock.wakeAt(this, Number.POSITIVE_INFINITY);
  }

  // What the session writes.

  write(bytes: Buffer): boolean {
    if (this.#dead || this.#ending || bytes.length === 0) return true;
    const before = this.#exchange.queued;
    this.#cutter.push(bytes);
    this.#total += this.#exchange.queued - before;
    if (this.#exchange.queued <= this.around.queueBytes) return true;
    this.#drainWanted = true;
    return false;
  }

  header(header: StreamHeader): void {
    this.#exchange.header(header);
  }

  element(pieces: readonly Buffer[], frame: Frame): void {
    if (frame.is('error', NS.stream)) this.#error = pieces;
    else this.#exchange.write(pieces, frame.is('features', NS.stream));
  }

  /** A held request is sign of life enough (XEP-0124 §5). */
  whitespace(): void {}

  /** `end` follows, which knows whose error there is. */
  streamEnd(): void {}

  // The driver.

  get dead(): boolean {
    return this.#dead;
  }

  get ending(): boolean {
    return this.#ending;
  }

  moveTo(owner: LegOwner): void {
    this.#owner = owner;
  }

  trust(): void {
    this.trusted = true;
  }

  unsent(): number {
    return this.#exchange.queued;
  }

  whenFlushed(): void {
    if (this.#dead) return;
    if (this.#flushMark < 0) this.#flushMark = this.#total;
    else this.#laterFlushMark = this.#total;
  }

  takeFlushed(): boolean {
    if (this.#flushMark < 0 || this.#dead || this.#total - this.unsent() < this.#flushMark) return false;
    this.#flushMark = this.#laterFlushMark;
    this.#laterFlushMark = -1;
    return true;
  }

  /** XEP-0206 §2: TLS is HTTP's business, and not offered on such a listener. */
  startTls(): void {
    throw new Error('there is no STARTTLS over BOSH');
  }

  /** The last words go out with the next request there is, or has been. */
  end(own?: StreamErrorCondition): void {
    if (this.#dead || this.#ending) return;
    this.#ending = true;
    this.#waitsForClient = this.trusted;
    const word = this.#ownWord(own);
    if (word !== undefined) this.#exchange.end(word);
    else if (this.#error === undefined) this.#exchange.end(undefined);
    else {
      this.#exchange.write(this.#error, true);
      this.#exchange.end('remote-stream-error');
    }
  }

  #ownWord(own: StreamErrorCondition | undefined): TerminalCondition | undefined {
    if (own === 'system-shutdown' && this.around.draining) return 'system-shutdown';
    return own === undefined ? undefined : OWN_WORDS[own];
  }

  pauseReading(): void {
    this.#unblockWanted = false;
    this.#exchange.block(true, this.around.clock.now);
  }

  /** In `settle`: what has waited is news to the session, and not to be told from inside a command. */
  resumeReading(): void {
    this.#unblockWanted = true;
  }

  destroy(): void {
    if (this.#dead) return;
    // Who polls or has announced a pause comes for the last words later than any socket takes to send them. Strangers are not
    // waited for: there could be any number of them.
    if (this.#waitsForClient && this.#exchange.isToBeTold) {
      this.#owner = NOBODY;
      return;
    }
    this.#die();
    this.#exchange.destroy(this.around.draining ? 'system-shutdown' : 'remote-connection-failed');
  }

  settle(): void {
    if (this.#dead) return;
    const { now } = this.around.clock;
    if (this.#unblockWanted) {
      this.#unblockWanted = false;
      this.#exchange.block(false, now);
    }
    this.#exchange.flush(now);
    if (!this.#drainWanted || this.#exchange.queued > 0 || this.#dead) return;
    this.#drainWanted = false;
    this.#owner.legDrained(this);
  }
}

/** What a client still says to a session that is over is for nobody. */
const NOBODY: LegOwner = {
  legData() {},
  legEnded() {},
  legLost() {},
  legDrained() {},
  legSecured() {},
  legMoved() {},
  legMisframed() {},
  legPaused() {},
};
