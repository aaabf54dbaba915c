import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { within } from '../waiting.js';

/** A WebSocket byte by byte, for what no client would send. */
export class RawWebSocket {
  received: Buffer = Buffer.alloc(0);
  closed = false;

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
  }

  /** @param headers of the handshake that are to be there besides, or instead */
  static async open(
    port: number,
    path: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<RawWebSocket> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const raw = new RawWebSocket(socket);
    const all: Record<string, string> = {
      Host: `127.0.0.1:${port}`,
      Upgrade: 'websocket',
      Connection: 'Upgrade',
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Protocol': 'xmpp',
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    await raw.until('an answer', () => raw.received.includes('\r\n\r\n') || raw.closed);
    return raw;
  }

  /** The answer to the handshake. */
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.received.toString('latin1'))?.[1]);
  }

  /** All that came behind the handshake, frame heads included. */
  get text(): string {
    return this.received.subarray(this.received.indexOf('\r\n\r\n') + 4).toString();
  }

  frame(first: number, payload: string | Buffer = '', masked = true): void {
    this.socket.write(frame(first, payload, masked));
  }

  /** A text message in one frame. */
  say(text: string | Buffer): void {
    this.frame(0x81, text);
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    if (condition()) return;
    let look = () => {};
    const holds = new Promise<void>((resolve) => {
      look = () => {
        if (condition()) resolve();
      };
      this.socket.on('data', look);
      this.socket.on('close', look);
    });
    try {
      await within(what, 10_000, holds).catch((error: Error) => {
        throw new Error(`${error.message}: ${this.text.slice(-500)}`);
      });
    } finally {
      this.socket.off('data', look);
      this.socket.off('close', look);
    }
  }
}

export function frame(first: number, payload: string | Buffer = '', masked = true): Buffer {
  const body = Buffer.from(payload as string);
  const mask = randomBytes(4);
  const bit = masked ? 0x80 : 0;
  let head: Buffer;
  if (body.length < 126) head = Buffer.from([first, bit | body.length]);
  else if (body.length < 65_536) head = Buffer.from([first, bit | 126, body.length >> 8, body.length & 255]);
  else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = bit | 127;
    head.writeUInt32BE(body.length, 6);
  }
  if (!masked) return Buffer.concat([head, body]);
  for (let at = 0; at < body.length; at += 1) body[at] = body[at]! ^ mask[at % 4]!;
  return Buffer.concat([head, mask, body]);
}
