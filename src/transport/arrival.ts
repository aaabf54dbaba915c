import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ListenerConfig } from '../config/model.js';
import type { TlsFacts } from '../session/port.js';
import type { Admission, Refusal } from './admission.js';
import { type Clock, Sleeper } from './clock.js';
import { LONGEST_PROXY_HEADER, type ProxiedEndpoints, parseProxyHeader } from './proxy-protocol.js';
import { factsTowardsClient, type ServerTls } from './server-tls.js';

/** A proxy in front sends its header at once, with the first segment. */
const PROXY_HEADER_MS = 5_000;
const HANDSHAKE_MS = 10_000;

/** Counts as nobody's address: a trusted proxy brings many clients. */
export const FRONT_END = '127.0.0.1';

/** Why a connection never became a session; metric label. */
export type ArrivalFailure =
  | Refusal
  | 'proxy-header-invalid'
  | 'proxy-header-timeout'
  | 'tls-failed'
  | 'tls-timeout'
  | 'request-invalid'
  | 'request-timeout'
  | 'origin-refused'
  | 'insecure'
  | 'gone';

/** Where connections go once it is known who makes them and TLS, where it comes first, is up. */
export interface Reception {
  readonly clock: Clock;
  readonly admission: Admission;
  readonly serverTls: ServerTls;
  /** @param address whose place with `admission` the new session takes over */
  welcome(
    socket: Socket,
    listener: ListenerConfig,
    address: string,
    proxied: ProxiedEndpoints | undefined,
    tls: TlsFacts | undefined,
  ): void;
  turnedAway(failure: ArrivalFailure): void;
}

/**
 * Takes in a connection that has just been accepted.
 * @param fromProxy the peer is one of the networks that must send a PROXY header
 */
export function receive(
  socket: Socket,
  listener: ListenerConfig,
  fromProxy: boolean,
  reception: Reception,
): void {
  const peer = socket.remoteAddress;
  if (peer === undefined) {
    socket.destroy();
    reception.turnedAway('gone');
    return;
  }
  const address = fromProxy ? FRONT_END : peer;
  const refusal = reception.admission.enter(address);
  if (refusal !== undefined) {
    // No bytes for somebody of whom there are too many.
    socket.resetAndDestroy();
    reception.turnedAway(refusal);
    return;
  }
  if (!fromProxy && listener.tls !== 'direct') {
    reception.welcome(socket, listener, address, undefined, undefined);
    return;
  }
  const arrival = new Arrival(socket, listener, address, reception);
  if (fromProxy) arrival.awaitProxyHeader();
  else arrival.startTls();
}

/** A connection between accept and session; holds up nobody but itself. */
class Arrival extends Sleeper {
  #socket: Socket;
  #address: string;
  #proxied: ProxiedEndpoints | undefined;
  #bytes: Buffer = Buffer.alloc(0);
  #waitingFor: 'proxy-header' | 'tls' | 'nothing' = 'nothing';

  constructor(
    socket: Socket,
    readonly listener: ListenerConfig,
    address: string,
    readonly reception: Reception,
  ) {
    super();
    this.#socket = socket;
    this.#address = address;
    socket.on('error', this.#onGone);
    socket.on('close', this.#onGone);
    socket.on('end', this.#onGone);
  }

  awaitProxyHeader(): void {
    this.#waitingFor = 'proxy-header';
    this.#deadline(PROXY_HEADER_MS);
    this.#socket.on('data', this.#onData);
  }

  startTls(): void {
    const { serverTls } = this.reception;
    this.#waitingFor = 'tls';
    this.#deadline(HANDSHAKE_MS);
    this.#unlisten();
    const secure = serverTls.wrap(this.#socket, true, '', this.listener.web !== undefined);
    this.#socket = secure;
    secure.on('error', this.#onGone);
    // Failures of a handshake on a TLS socket made by hand come by this event as well.
    secure.on('_tlsError', this.#onGone);
    secure.on('close', this.#onGone);
    secure.on('end', this.#onGone);
    secure.once('secure', () => this.#secured(secure));
  }

  override wake(): void {
    this.#fail(this.#waitingFor === 'tls' ? 'tls-timeout' : 'proxy-header-timeout');
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const header = parseProxyHeader(this.#bytes.subarray(0, LONGEST_PROXY_HEADER));
    if (header.kind === 'incomplete') return;
    if (header.kind === 'invalid') {
      this.#fail('proxy-header-invalid');
      return;
    }
    const { admission } = this.reception;
    if (header.endpoints !== undefined) {
      admission.leave(this.#address);
      this.#address = header.endpoints.sourceAddress;
      const refusal = admission.enter(this.#address);
      if (refusal !== undefined) {
        this.#fail(refusal, false);
        return;
      }
      this.#proxied = header.endpoints;
    }
    const socket = this.#socket;
    socket.removeListener('data', this.#onData);
    socket.pause();
    const rest = this.#bytes.subarray(header.length);
    if (rest.length > 0) socket.unshift(rest);
    if (this.listener.tls === 'direct') this.startTls();
    else {
      this.#welcome(undefined);
      // What was paused by hand is not resumed by a new listener.
      socket.resume();
    }
  };

  readonly #onGone = (): void => {
    this.#fail(this.#waitingFor === 'tls' ? 'tls-failed' : 'gone');
  };

  #secured(socket: TLSSocket): void {
    if (this.#waitingFor === 'tls') this.#welcome(factsTowardsClient(socket));
  }

  #welcome(tls: TlsFacts | undefined): void {
    this.#waitingFor = 'nothing';
    this.#deadline(Number.POSITIVE_INFINITY);
    this.#unlisten();
    this.#socket.removeListener('error', this.#onGone);
    this.#socket.removeListener('_tlsError', this.#onGone);
    this.reception.welcome(this.#socket, this.listener, this.#address, this.#proxied, tls);
  }

  /** @param admitted whether it still has its place with admission */
  #fail(failure: ArrivalFailure, admitted = true): void {
    if (this.#waitingFor === 'nothing') return;
    this.#waitingFor = 'nothing';
    this.#deadline(Number.POSITIVE_INFINITY);
    if (admitted) this.reception.admission.leave(this.#address);
    this.#unlisten();
    this.#socket.destroy();
    this.reception.turnedAway(failure);
  }

  #deadline(milliseconds: number): void {
    const { clock } = this.reception;
    clock.wakeAt(this, clock.now + milliseconds);
  }

  /** All but the error listeners: a socket that fails later must not end the process. */
  #unlisten(): void {
    this.#socket.removeListener('data', this.#onData);
    this.#socket.removeListener('close', this.#onGone);
    this.#socket.removeListener('end', this.#onGone);
  }
}
