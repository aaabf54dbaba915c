import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Registry } from 'prom-client';

/** A scrape or a probe is one small request: anything slower or larger is not one. */
const REQUEST_MS = 5_000;
const HEADER_BYTES = 4_096;
const CONNECTIONS = 64;

/** What the probes are told; `ready` is false while the listeners are not up yet and while the process drains. */
export interface Health {
  ready(): boolean;
}

/** The HTTP server for monitoring: `/metrics`, `/healthz`, `/readyz`. It has no password: it belongs on loopback. */
export class AdminServer {
  readonly #server: Server;
  readonly #registry: Registry;
  readonly #health: Health;

  constructor(registry: Registry, health: Health) {
    this.#registry = registry;
    this.#health = health;
    this.#server = createServer(
      {
        maxHeaderSize: HEADER_BYTES,
        requestTimeout: REQUEST_MS,
        headersTimeout: REQUEST_MS,
        keepAliveTimeout: REQUEST_MS,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = CONNECTIONS;
  }

  /** @throws the system's error when the port cannot be opened; port 0 lets the system choose */
  open(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.removeListener('error', reject);
        this.#server.on('error', () => undefined);
        resolve();
      });
    });
  }

  /** `http://host:port` as it is bound. */
  get url(): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || address === null) return '';
    return `http://${isIPv6(address.address) ? `[${address.address}]` : address.address}:${address.port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      reply(response, 405, 'method not allowed\n');
      return;
    }
    switch (request.url?.split('?')[0]) {
      case '/healthz':
        reply(response, 200, 'ok\n');
        return;
      case '/readyz':
        if (this.#health.ready()) reply(response, 200, 'ready\n');
        else reply(response, 503, 'not ready\n');
        return;
      case '/metrics':
        try {
          reply(response, 200, await this.#registry.metrics(), this.#registry.contentType);
        } catch {
          reply(response, 500, 'metrics could not be collected\n');
        }
        return;
      default:
        reply(response, 404, 'not found\n');
    }
  }
}

function reply(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}
