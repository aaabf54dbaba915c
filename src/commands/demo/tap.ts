import { connect, createServer, type Server, type Socket } from 'node:net';
import { FROM_SERVER } from '../../xml/limits.js';
import { NamespaceTable, NS } from '../../xml/namespaces.js';
import { Tokenizer } from '../../xml/tokenizer.js';
import { frameToElement } from '../../xml/tree.js';
import type { Passage, Traffic } from './traffic.js';

const NAMESPACES = new NamespaceTable(Object.values(NS));

/**
 * A listening post between proxy and server: passes bytes on as they are and notes what it reads. So what the demo shows of the
 * server's leg is what went over it, not what it should have been. The leg is in the clear because both ends are on this machine.
 */
export class Tap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Whose session the next connection is, in the order in which clients connect. */
  readonly #expected: string[] = [];

  private constructor(
    serverPort: number,
    private readonly traffic: Traffic,
  ) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#relay(socket, serverPort),
    );
  }

  static async open(serverPort: number, traffic: Traffic): Promise<Tap> {
    const tap = new Tap(serverPort, traffic);
    await new Promise<void>((resolve, reject) => {
      tap.#server.once('error', reject);
      tap.#server.listen(0, '127.0.0.1', resolve);
    });
    return tap;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** The next connection will be that of a client of this name. */
  expect(who: string): void {
    this.#expected.push(who);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(proxy: Socket, serverPort: number): void {
    const who = this.#expected.shift() ?? 'client';
    const server = connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.#pass(proxy, server, this.#reader(who, 'to-server'));
    this.#pass(server, proxy, this.#reader(who, 'to-client'));
  }

  #pass(from: Socket, to: Socket, read: (chunk: Buffer) => void): void {
    this.#sockets.add(from);
    from.on('data', (chunk: Buffer) => {
      read(chunk);
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.end();
    });
  }

  /** Reads one direction; behind SASL the stream begins anew, which shows in a declaration or a header. */
  #reader(who: string, direction: Passage['direction']): (chunk: Buffer) => void {
    const note = (kind: Passage['kind'], xml: string, element?: Passage['element']) =>
      this.traffic.record({ who, leg: 'server', direction, kind, xml, element });
    const tokenizer = new Tokenizer(
      {
        onHeader: ({ to }) => note('header', to === undefined ? '' : `<stream:stream to='${to}'>`),
        onStanza: (frame) => {
          if (frame.flaw === 'none') note('element', frame.toString(), frameToElement(frame));
        },
        onClose: () => note('end', '</stream:stream>'),
      },
      { limits: FROM_SERVER, origin: 'server', namespaces: NAMESPACES },
    );
    return (chunk) => {
      if (startsStream(chunk)) tokenizer.restart();
      tokenizer.push(chunk);
    };
  }
}

/** Both proxy and server begin a stream in a write of its own (RFC 6120 §4.3.3: nothing goes ahead of it). */
function startsStream(chunk: Buffer): boolean {
  const start = chunk.toString('latin1', 0, 16);
  return start.startsWith('<?xml') || start.startsWith('<stream:stream');
}
