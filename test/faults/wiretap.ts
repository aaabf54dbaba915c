import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import type { Element } from 'ltx';
import { NS, RawStream } from '../integration/clients/raw-stream.js';
import { numberOf } from './correspondent.js';

/**
 * The piece of network in front of a server, in the clear, that is listened to: what has been handed to the server, and
 * what the server has been told to forget (XEP-0198 §4). Both by account, so that they can be compared with what
 * the clients know.
 */
export class Wiretap {
  /** Numbers that went to the server in the name of an account. */
  readonly handed = new Map<string, Set<number>>();
  /** Numbers that came from the server for an account and were acknowledged to it. */
  readonly acknowledged = new Map<string, Set<number>>();
  readonly #server: Server;
  readonly #lines = new Set<Socket>();

  private constructor(readonly target: { host: string; port: number }) {
    this.#server = createServer({ noDelay: true }, (near) => this.#accept(near));
  }

  static async before(target: { host: string; port: number }): Promise<Wiretap> {
    const tap = new Wiretap(target);
    tap.#server.listen(0, '127.0.0.1');
    await once(tap.#server, 'listening');
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#lines) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    const far = connect({ ...this.target, noDelay: true });
    const [up, down] = [new PassThrough(), new PassThrough()];
    new Line(this, RawStream.over(up), RawStream.over(down));
    for (const [from, to, ear] of [
      [near, far, up],
      [far, near, down],
    ] as const) {
      this.#lines.add(from);
      from.pipe(to);
      from.on('data', (chunk: Buffer) => ear.write(chunk));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#lines.delete(from);
        if (!from.readableEnded) to.destroy();
      });
    }
  }
}

/** One connection: whose it is, and what the server waits to have acknowledged over it. */
class Line {
  #account = '';
  #counted: (number | undefined)[] | undefined;

  constructor(
    readonly tap: Wiretap,
    readonly said: RawStream,
    readonly heard: RawStream,
  ) {
    said.onElement = (element) => this.#toServer(element);
    heard.onElement = (element) => this.#fromServer(element);
  }

  #toServer(element: Element): void {
    const number = numberOf(element);
    if (number !== undefined) add(this.tap.handed, this.#account, number);
    if (!element.is('a', NS.sm)) return;
    for (const each of this.#counted?.slice(0, Number(element.attrs.h)) ?? [])
      if (each !== undefined) add(this.tap.acknowledged, this.#account, each);
  }

  #fromServer(element: Element): void {
    if (element.is('success', NS.sasl)) for (const stream of [this.said, this.heard]) stream.expectHeader();
    const jid = element.getChild('bind', NS.bind)?.getChildText('jid');
    if (jid) this.#account = jid.split('/')[0] ?? '';
    if (element.is('enabled', NS.sm)) this.#counted = [];
    else if (element.attrs.xmlns === NS.client) this.#counted?.push(numberOf(element));
  }
}

function add(numbers: Map<string, Set<number>>, account: string, number: number): void {
  const known = numbers.get(account) ?? new Set();
  numbers.set(account, known.add(number));
}
