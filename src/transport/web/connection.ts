import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TlsFacts } from '../../session/port.js';
import type { Refusal } from '../admission.js';
import type { Reception } from '../arrival.js';
import { Sleeper } from '../clock.js';
import type { ProxiedEndpoints } from '../proxy-protocol.js';

/** From a connection's beginning, or the first byte of a request, to the request's last byte; ms. */
const REQUEST_MS = 15_000;
/** How long a connection is kept on which nothing is open; ms. A client of BOSH comes back at once. */
const IDLE_MS = 60_000;
/** For an answer to be taken by a slow reader; ms. */
const TAKING_MS = 120_000;
/** For the last answer to be taken; ms. */
const LAST_WORDS_MS = 5_000;
/** Requests of one connection that are not answered: one that is held, and what is sent behind it before that is answered. */
const MOST_OPEN = 4;

/** A socket knows its connection by a property, so that its listeners are plain functions. */
interface HttpSocket extends Socket {
  web?: WebConnection | undefined;
}

/**
 * One connection that speaks HTTP. It has its place with admission like any other until it is known whose it is, and may be
 * slow only where the protocol waits: a request that has begun has to end.
 */
export class WebConnection extends Sleeper {
  /** Whose place with admission it has; undefined: it has none any more. */
  #admitted: string | undefined;
  #open = 0;
  /** A request has begun, and not ended. */
  #isArriving = false;
  /** The answer that was written last, until it has been taken. */
  #taking: ServerResponse | undefined;
  #draining = false;

  constructor(
    readonly socket: Socket,
    address: string,
    readonly proxied: ProxiedEndpoints | undefined,
    readonly tls: TlsFacts | undefined,
    private readonly reception: Reception,
    private readonly forget: (socket: Socket) => void,
  ) {
    super();
    this.#admitted = address;
    (socket as HttpSocket).web = this;
    socket.on('error', ignore);
    socket.on('close', onClose);
    this.#deadline(REQUEST_MS);
  }

  /** A request has come, as far as its headers. @returns false when there are too many */
  begins(request: IncomingMessage, response: ServerResponse): boolean {
    this.#open += 1;
    if (this.#open > MOST_OPEN) return false;
    this.#deadline(REQUEST_MS);
    this.#isArriving = true;
    request.once('end', () => {
      this.#isArriving = false;
      this.#waits();
    });
    // Who asks and does not read makes nothing pile up for long. Of several answers one is written at a time.
    response.on('prefinish', () => {
      this.#taking = response;
      this.#waits();
    });
    response.on('close', () => {
      this.#open -= 1;
      if (this.#taking === response) this.#taking = undefined;
      if (this.#open > 0) {
        this.#waits();
        return;
      }
      if (this.#draining) this.socket.end();
      this.#deadline(this.#draining ? LAST_WORDS_MS : IDLE_MS);
    });
    return true;
  }

  /** It belongs to a client that is known. */
  trusted(): void {
    if (this.#admitted === undefined) return;
    this.reception.admission.leave(this.#admitted);
    this.#admitted = undefined;
  }

  /**
   * It is a session's from now on.
   * @param address whose place with admission the session takes
   * @returns why it may not, when it has to be another one than the connection has
   */
  giveUpTo(address: string): Refusal | undefined {
    this.#deadline(Number.POSITIVE_INFINITY);
    const { admission } = this.reception;
    if (this.#admitted === address) {
      this.#admitted = undefined;
      return undefined;
    }
    this.trusted();
    return admission.enter(address);
  }

  /** Its socket listens to somebody else from now on: nothing of what it was remains with it. */
  detach(): void {
    const { socket } = this;
    (socket as HttpSocket).web = undefined;
    socket.removeListener('error', ignore);
    socket.removeListener('close', onClose);
  }

  /** What has been written is the last, and then it is closed. */
  lastWords(): void {
    this.#deadline(LAST_WORDS_MS);
  }

  /** It ends with its next answer, or soon: a client of BOSH may be about to ask for its last. */
  drain(): void {
    this.#draining = true;
    if (this.#open === 0) this.#deadline(LAST_WORDS_MS);
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** The socket is gone. */
  closed(): void {
    this.forget(this.socket);
    this.trusted();
    this.#deadline(Number.POSITIVE_INFINITY);
  }

  override wake(): void {
    if (this.#open > 0 || this.#admitted !== undefined) this.reception.turnedAway('request-timeout');
    this.destroy();
  }

  /** What is all there may be answered when there is an answer, but that has to be taken; a request that has begun has its own time. */
  #waits(): void {
    if (this.#isArriving) return;
    this.#deadline(this.#taking !== undefined ? TAKING_MS : Number.POSITIVE_INFINITY);
  }

  #deadline(milliseconds: number): void {
    const { clock } = this.reception;
    clock.wakeAt(this, clock.now + milliseconds);
  }
}

function ignore(): void {}

function onClose(this: HttpSocket): void {
  this.web?.closed();
}
