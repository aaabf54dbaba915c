import {
  type AddressInfo,
  BlockList,
  createServer,
  isIPv6,
  type Server,
  Socket,
  type SocketConstructorOpts,
} from 'node:net';
import type { ListenerConfig } from '../config/model.js';
import { type Reception, receive } from './arrival.js';
import { READING } from './leg.js';
import { plainAddress } from './proxy-protocol.js';

/** After a restart all clients come back at once. */
const BACKLOG = 1_024;

/** A listener that could not be opened; the message is a sentence for the operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

const SCHEMES = {
  websocket: { plain: 'ws', direct: 'wss' },
  bosh: { plain: 'http', direct: 'https' },
} as const;

/** One address that clients connect to. */
export class Listener {
  readonly #server: Server;
  readonly #config: ListenerConfig;

  /** @param config of several that share the port, any one: they agree in what is done before the first byte of a client is read */
  constructor(config: ListenerConfig, reception: Reception) {
    this.#config = config;
    const proxies = networksOf(config.acceptProxyFrom);
    // Where TLS, HTTP or a PROXY header comes first, or may come, the bytes are not only a session's.
    const plain = config.tls === 'off' && proxies === undefined && config.web === undefined;
    const options = { allowHalfOpen: true, noDelay: true, pauseOnConnect: plain };
    this.#server = createServer(options, (accepted) => {
      const socket = plain ? reopened(accepted) : accepted;
      receive(socket, config, proxies !== undefined && contains(proxies, socket.remoteAddress), reception);
    });
  }

  /**
   * Opens the port.
   * @throws ListenError
   */
  async open(): Promise<void> {
    const { host, port, url } = this.#config;
    try {
      try {
        await this.#listen(host, port);
      } catch (error) {
        // "All addresses" of a machine without IPv6.
        if (host !== '::' || !isNoIpv6(error)) throw error;
        await this.#listen('0.0.0.0', port);
      }
    } catch (error) {
      const why = error instanceof Error ? whyNot(error, port) : String(error);
      throw new ListenError(`cannot listen on ${url}: ${why}`);
    }
  }

  #listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
        this.#server.removeListener('error', reject);
        // Running out of file descriptors, say: those who are here stay.
        this.#server.on('error', () => undefined);
        resolve();
      });
    });
  }

  /** The URL with the address and port that are really bound. @param config of the one that is asked for, where several share the port */
  urlOf(config: ListenerConfig = this.#config): string {
    const address = this.#server.address();
    const host = isAddressInfo(address) ? address.address : this.#config.host;
    const port = isAddressInfo(address) ? address.port : this.#config.port;
    const { tls, web } = config;
    const authority = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
    if (web === undefined) return `${tls === 'direct' ? 'xmpps' : 'xmpp'}://${authority}`;
    return `${SCHEMES[web.transport][tls === 'direct' ? 'direct' : 'plain']}://${authority}${web.path}`;
  }

  /** No new connections; those that are up stay. */
  close(): void {
    this.#server.close();
  }
}

/**
 * The same connection in a socket that reads as `READING` says. A server gives its sockets no such option; to make another socket of
 * a socket's handle is what Node's own modules do.
 */
function reopened(accepted: Socket): Socket {
  const holder = accepted as unknown as { _handle: unknown };
  const handle = holder._handle;
  holder._handle = null;
  // Without its handle it only takes itself off the server's count.
  accepted.destroy();
  return new Socket({ handle, allowHalfOpen: true, onread: READING } as SocketConstructorOpts);
}

function isAddressInfo(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === 'object' && address !== null;
}

function isNoIpv6(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAFNOSUPPORT';
}

/** The sentence's end for a failed bind. Also used for the admin port. */
export function whyNot(error: NodeJS.ErrnoException, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} is in use by another program`;
    case 'EACCES':
      return `port ${port} needs a privilege that this user does not have (ports below 1024 usually do)`;
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name cannot be resolved';
    default:
      return error.message;
  }
}

/** @param networks in CIDR form, already validated. @returns undefined for none */
export function networksOf(networks: readonly string[]): BlockList | undefined {
  if (networks.length === 0) return undefined;
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/');
    list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4');
  }
  return list;
}

/** Whether an address, as a socket has it or as plain text, is in one of the networks. */
export function contains(networks: BlockList, address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = plainAddress(address);
  return networks.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}
