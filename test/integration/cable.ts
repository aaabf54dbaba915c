import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Hears what goes over one connection; it changes nothing. */
export interface Listener {
  fromNear(chunk: Buffer): void;
  fromFar(chunk: Buffer): void;
}

/** The piece of network between one client and the server or proxy. It carries bytes, TLS or not, and can be cut without a word. */
export class Cable {
  /** How often a client has connected. */
  connections = 0;
  readonly #server: Server;
  readonly #lines = new Set<{ near: Socket; far: Socket }>();
  #swallowing = false;

  private constructor(
    readonly target: { host: string; port: number },
    readonly listen: (() => Listener) | undefined,
  ) {
    this.#server = createServer({ noDelay: true }, (near) => this.#accept(near));
  }

  /** @param listen called for each connection */
  static async to(target: { host: string; port: number }, listen?: () => Listener): Promise<Cable> {
    const cable = new Cable(target, listen);
    cable.#server.listen(0, '127.0.0.1');
    await once(cable.#server, 'listening');
    return cable;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Both ends see a reset; what is on its way is lost. */
  cut(): void {
    for (const { near, far } of this.#lines) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    this.#lines.clear();
    this.#swallowing = false;
  }

  /** From now until the next cut what the client sends gets nowhere. */
  swallow(): void {
    this.#swallowing = true;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    this.connections += 1;
    const far = connect({ ...this.target, noDelay: true });
    const line = { near, far };
    const listener = this.listen?.();
    this.#lines.add(line);
    near.on('data', (chunk: Buffer) => {
      listener?.fromNear(chunk);
      if (!this.#swallowing) far.write(chunk);
    });
    far.on('data', (chunk: Buffer) => {
      listener?.fromFar(chunk);
      near.write(chunk);
    });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('end', () => to.end());
      from.on('error', () => to.resetAndDestroy());
      from.on('close', () => {
        if (to.closed) this.#lines.delete(line);
      });
    }
  }
}
