import { Buffer } from 'node:buffer';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { BlockList, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { LimitsConfig, ListenerConfig, WebConfig } from '../../config/model.js';
import type { TlsFacts } from '../../session/port.js';
import type { NamespaceTable } from '../../xml/namespaces.js';
import { type ArrivalFailure, FRONT_END, type Reception } from '../arrival.js';
import type { LegOwner, TransportLeg } from '../leg.js';
import { contains, networksOf } from '../listener.js';
import type { ProxiedEndpoints } from '../proxy-protocol.js';
import { seeOther } from './bosh/conditions.js';
import { BoshEndpoint } from './bosh/endpoint.js';
import { Reply } from './bosh/reply.js';
import { WebConnection } from './connection.js';
import { StreamCutters } from './elements.js';
import { type Forwarded, readForwarded } from './forwarded.js';
import { FrameReaders } from './frame-reader.js';
import {
  answerHandshake,
  type HandshakeAnswer,
  type HandshakeRefusal,
  offersWebSocket,
} from './handshake.js';
import { HOST_META, HOST_META_JSON, hostMeta } from './host-meta.js';
import { MessageReader } from './message.js';
import {
  BAD_FORWARDING,
  BOSH_HERE,
  corsHeaders,
  HEADERS_TOO_LARGE,
  INSECURE,
  META_PREFLIGHT,
  METHOD_NOT_ALLOWED,
  NO_REQUEST,
  NOT_FOUND,
  OPEN_HEADERS,
  ORIGIN_REFUSED,
  OVER_TLS_ONLY,
  PREFLIGHT,
  READ_ONLY,
  refuse,
  SAFE_HEADERS,
  UPGRADE_REQUIRED,
} from './plain-answers.js';
import { headWithoutUpgrade, pathOf } from './request-head.js';
import { WebSocketLeg, type WebSocketSurroundings } from './websocket-leg.js';

/** What web clients are taken in by. */
export interface WebReception extends Reception {
  readonly limits: LimitsConfig;
  readonly namespaces: NamespaceTable;
  readonly draining: boolean;
  /** The same for a client whose leg is not one socket. */
  welcomeLeg(
    client: (owner: LegOwner) => TransportLeg,
    listener: ListenerConfig,
    address: string,
    proxied: ProxiedEndpoints | undefined,
    tls: TlsFacts | undefined,
  ): void;
}

/** TLS that somebody else has ended: nothing can be bound to it. */
const FORWARDED_TLS: TlsFacts = { protocol: 'forwarded', certificateSha256: undefined };

/** One way in on this port. */
interface Place {
  readonly listener: ListenerConfig;
  readonly web: WebConfig;
  readonly trusted: BlockList | undefined;
}

/** Who sent a request, as far as that can be known. */
export interface Requester {
  readonly place: Place;
  readonly connection: WebConnection;
  /** Whose place with admission it takes. */
  readonly address: string;
  readonly proxied: ProxiedEndpoints | undefined;
  /** Present when the client sent it over TLS. */
  readonly tls: TlsFacts | undefined;
  /** Host and port that the client asked for. */
  readonly host: string | undefined;
}

/** The HTTP server of one port: WebSocket, BOSH and host-meta for all listeners that share it. */
export class WebServer implements Reception {
  readonly #places: readonly Place[];
  readonly #reception: WebReception;
  /** Never listens: connections come to it when PROXY header and TLS are done. */
  readonly #http: Server;
  readonly #connections = new Map<Duplex, WebConnection>();
  readonly #boshEndpoint: BoshEndpoint;

  constructor(listeners: readonly ListenerConfig[], reception: WebReception) {
    this.#reception = reception;
    this.#boshEndpoint = new BoshEndpoint(reception);
    this.#places = listeners.flatMap((listener) => {
      const { web } = listener;
      return web === undefined ? [] : [{ listener, web, trusted: networksOf(web.forwardedFrom) }];
    });
    // What is too slow is found by `WebConnection`.
    this.#http = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    this.#http.on('request', (request, response) => this.#requested(request, response));
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#http.on('clientError', (error: NodeJS.ErrnoException, socket) =>
      this.#unreadable(socket, error.code === 'HPE_HEADER_OVERFLOW' ? HEADERS_TOO_LARGE : NO_REQUEST),
    );
  }

  get clock() {
    return this.#reception.clock;
  }

  get admission() {
    return this.#reception.admission;
  }

  get serverTls() {
    return this.#reception.serverTls;
  }

  turnedAway(failure: ArrivalFailure): void {
    this.#reception.turnedAway(failure);
  }

  welcome(
    socket: Socket,
    _listener: ListenerConfig,
    address: string,
    proxied: ProxiedEndpoints | undefined,
    tls: TlsFacts | undefined,
  ): void {
    if (this.#reception.draining) {
      this.admission.leave(address);
      socket.destroy();
      return;
    }
    const connection = new WebConnection(socket, address, proxied, tls, this.#reception, this.#forget);
    this.#connections.set(socket, connection);
    this.#http.emit('connection', socket);
  }

  readonly #forget = (socket: Socket): void => {
    this.#connections.delete(socket);
  };

  /** Connections end with the next answer. */
  drain(): void {
    for (const connection of this.#connections.values()) connection.drain();
  }

  /** Resolves when all clients that come for their answers have had the last one. */
  told(): Promise<void> {
    return this.#boshEndpoint.told();
  }

  close(): void {
    this.#boshEndpoint.close();
    for (const connection of this.#connections.values()) connection.destroy();
  }

  #requested(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined || !connection.begins(request, response)) {
      request.socket.destroy();
      return;
    }
    const place = this.#placeOf(request, 'bosh');
    const path = pathOf(request);
    if (place !== undefined) this.#bosh(request, response, connection, place);
    else if (path === HOST_META) this.#hostMeta(request, response, connection, 'xrd');
    else if (path === HOST_META_JSON) this.#hostMeta(request, response, connection, 'jrd');
    else if (this.#placeOf(request, 'websocket') !== undefined) refuse(response, UPGRADE_REQUIRED);
    else refuse(response, NOT_FOUND);
  }

  /** XEP-0156: for pages of all origins, and over TLS only. */
  #hostMeta(
    request: IncomingMessage,
    response: ServerResponse,
    connection: WebConnection,
    form: 'xrd' | 'jrd',
  ): void {
    // What a front end says is believed where one of the listeners believes it: they are all told about.
    const place = this.#places.find((one) => trusts(one, connection)) ?? this.#places[0];
    const requester = place === undefined ? undefined : this.#requester(request, connection, place);
    if (requester === undefined) refuse(response, BAD_FORWARDING);
    else if (request.method === 'OPTIONS') response.writeHead(204, META_PREFLIGHT).end();
    else if (request.method !== 'GET' && request.method !== 'HEAD') refuse(response, READ_ONLY);
    else if (requester.tls === undefined) refuse(response, OVER_TLS_ONLY);
    else {
      const meta = hostMeta(
        this.#places.map(({ web }) => web),
        requester.host,
        form,
      );
      if (meta === undefined) refuse(response, NOT_FOUND);
      else {
        response.writeHead(200, {
          'Access-Control-Allow-Origin': '*',
          'Content-Type': meta.type,
          'Content-Length': Buffer.byteLength(meta.text),
          // What it says may depend on the name that was asked for.
          Vary: 'Host, X-Forwarded-Host, Forwarded',
        });
        response.end(meta.text);
      }
    }
  }

  #bosh(request: IncomingMessage, response: ServerResponse, connection: WebConnection, place: Place): void {
    const { origin } = request.headers;
    const requester = this.#requester(request, connection, place);
    const headers =
      place.web.origins.length === 0 ? OPEN_HEADERS : { ...SAFE_HEADERS, ...corsHeaders(origin) };
    if (!allows(place.web, origin)) {
      refuse(response, ORIGIN_REFUSED);
      this.turnedAway('origin-refused');
    } else if (requester === undefined) refuse(response, BAD_FORWARDING, headers);
    else if (request.method === 'OPTIONS') {
      response.writeHead(204, { ...headers, ...PREFLIGHT }).end();
    } else if (place.listener.tls === 'required' && requester.tls === undefined) {
      const { publicHost, path } = place.web;
      if (request.method !== 'POST' || publicHost === undefined) refuse(response, INSECURE, headers);
      else new Reply(request, response, headers).send(seeOther(`https://${publicHost}${path}`));
      this.turnedAway('insecure');
    } else if (request.method === 'POST') this.#boshEndpoint.take(request, response, requester, headers);
    else if (request.method === 'GET' || request.method === 'HEAD') refuse(response, BOSH_HERE, headers);
    else refuse(response, METHOD_NOT_ALLOWED, headers);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    if (!offersWebSocket(request.headers.upgrade)) {
      // RFC 9110 §7.8: what else is offered beside the request is passed over. COMPAT: Java's client offers `h2c` in every request without TLS.
      socket.unshift(Buffer.concat([headWithoutUpgrade(request), head]));
      this.#http.emit('connection', socket);
      return;
    }
    const place = this.#placeOf(request, 'websocket');
    const answer = place === undefined ? NOT_FOUND : answerHandshake(request, place.web.deflate);
    const requester = place === undefined ? undefined : this.#requester(request, connection, place);
    if (place === undefined || requester === undefined || 'status' in answer) {
      this.#turnDown(connection, 'status' in answer ? answer : BAD_FORWARDING, 'request-invalid');
    } else if (!allows(place.web, request.headers.origin)) {
      this.#turnDown(connection, ORIGIN_REFUSED, 'origin-refused');
    } else if (place.listener.tls === 'required' && requester.tls === undefined) {
      this.#turnDown(connection, INSECURE, 'insecure');
    } else {
      this.#openWebSocket(requester, answer, head);
    }
  }

  #openWebSocket(requester: Requester, { lines, deflate }: HandshakeAnswer, head: Buffer): void {
    const { connection, address, place, proxied, tls } = requester;
    const { socket } = connection;
    const refusal = connection.giveUpTo(address);
    this.#connections.delete(socket);
    if (refusal !== undefined) {
      // Under TLS there is no reset.
      socket.destroy();
      this.turnedAway(refusal);
      return;
    }
    socket.setTimeout(0);
    if (head.length > 0) socket.unshift(head);
    socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
    const client = (owner: LegOwner) => {
      const leg = new WebSocketLeg(socket, owner, this.#surroundings(), deflate);
      connection.detach();
      return leg;
    };
    this.#reception.welcomeLeg(client, place.listener, address, proxied, tls);
  }

  #shared: (WebSocketSurroundings & { readonly limits: LimitsConfig }) | undefined;

  #surroundings(): WebSocketSurroundings {
    const { limits, namespaces } = this.#reception;
    if (this.#shared?.limits !== limits) {
      this.#shared = {
        limits,
        cutters: new StreamCutters(namespaces),
        readers: new FrameReaders(),
        messages: new MessageReader(namespaces, limits.afterAuth),
        strangerBytes: limits.beforeAuth.stanzaBytes,
        knownBytes: limits.afterAuth.stanzaBytes,
        queueBytes: limits.queueBytes,
      };
    }
    return this.#shared;
  }

  #placeOf(request: IncomingMessage, transport: WebConfig['transport']): Place | undefined {
    const path = pathOf(request);
    return this.#places.find(({ web }) => web.transport === transport && web.path === path);
  }

  /** @returns undefined when what a front end says cannot be believed either way */
  #requester(request: IncomingMessage, connection: WebConnection, place: Place): Requester | undefined {
    const { tls } = connection;
    const { trusted } = place;
    let said: Forwarded | undefined;
    if (trusted !== undefined && trusts(place, connection)) {
      said = readForwarded(request.headers, trusted);
      if (said === undefined) return undefined;
    }
    const address = said?.address ?? nearestOf(connection);
    return {
      place,
      connection,
      address,
      proxied: said?.address === undefined ? connection.proxied : endpointsOf(connection, address),
      tls: tls ?? (said?.secure === true ? FORWARDED_TLS : undefined),
      host: said?.host ?? request.headers.host,
    };
  }

  #turnDown(connection: WebConnection, refusal: HandshakeRefusal, failure: ArrivalFailure): void {
    const { socket } = connection;
    const { status, text, headers } = refusal;
    const head = {
      Connection: 'close',
      ...headers,
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': Buffer.byteLength(text),
    };
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}`);
    lines.unshift(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`);
    socket.end(`${lines.join('\r\n')}\r\n\r\n${text}`);
    connection.lastWords();
    this.turnedAway(failure);
  }

  /** What comes is no HTTP. */
  #unreadable(socket: Duplex, refusal: HandshakeRefusal): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || !socket.writable) {
      socket.destroy();
      return;
    }
    this.#turnDown(connection, refusal, 'request-invalid');
  }
}

/** Whether pages of an origin may connect. Who sends none is no browser, and could send any. */
export function allows(web: WebConfig, origin: string | undefined): boolean {
  return origin === undefined || web.origins.length === 0 || web.origins.includes(origin.toLowerCase());
}

/** Who has made a connection, as far as that is known without HTTP. */
function nearestOf({ proxied, socket }: WebConnection): string {
  return proxied?.sourceAddress ?? socket.remoteAddress ?? FRONT_END;
}

/** Whether who has made a connection is a front end that is believed. */
function trusts({ trusted }: Place, connection: WebConnection): boolean {
  return trusted !== undefined && contains(trusted, nearestOf(connection));
}

function endpointsOf(connection: WebConnection, address: string): ProxiedEndpoints {
  const { socket, proxied } = connection;
  return {
    sourceAddress: address,
    sourcePort: 0,
    targetAddress: proxied?.targetAddress ?? socket.localAddress ?? FRONT_END,
    targetPort: proxied?.targetPort ?? socket.localPort ?? 0,
  };
}
