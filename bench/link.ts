import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { LOOPBACK } from './streams.js';

/** A long way between a client and whom it connects to: each byte arrives later, in either direction. */
export class Link {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly target: number,
    private readonly delayMs: number,
  ) {
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => this.#accept(near));
  }

  /** @param target a port on loopback  @param roundTripMs how long it takes to get there and back */
  static async to(target: number, roundTripMs: number): Promise<Link> {
    const link = new Link(target, roundTripMs / 2);
    link.#server.listen({ host: LOOPBACK, port: 0 });
    await once(link.#server, 'listening');
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    const far = connect({ host: LOOPBACK, port: this.target, noDelay: true, allowHalfOpen: true });
    this.#carry(near, far);
    this.#carry(far, near);
  }

  // Timers of one length go off in the order in which they were set, so nothing is overtaken.
  #carry(from: Socket, to: Socket): void {
    const later = (what: () => void): void => {
      setTimeout(what, this.delayMs);
    };
    this.#sockets.add(from);
    from.on('data', (chunk) => later(() => to.destroyed || to.write(chunk)));
    from.on('end', () => later(() => to.end()));
    from.on('error', () => later(() => to.destroy()));
    from.on('close', () => this.#sockets.delete(from));
  }
}
