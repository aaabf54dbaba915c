import type { Buffer } from 'node:buffer';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { bindRequest, CLIENT_HEADER, DOMAIN, ENABLE, LOOPBACK, plainAuth, STARTTLS } from './streams.js';

export type ClientTls = 'off' | 'starttls' | 'direct';

/** One client that has logged in by script. From then on it takes bytes as they come. */
export class Connection {
  /** Told the number of bytes of each chunk. */
  onBytes: (length: number) => void = () => {};
  /** Told each chunk. */
  onChunk: (chunk: Buffer) => void = () => {};
  /** Told when the connection has gone, for whatever reason. */
  onGone: () => void = () => {};
  gone = false;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.onBytes(chunk.length);
      this.onChunk(chunk);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.gone = true;
      this.onGone();
    });
  }

  /** @param resumable asks for the right to resume the session */
  static async open(port: number, tls: ClientTls, account: string, resumable = false): Promise<Connection> {
    let socket: Socket = connectTcp({ host: LOOPBACK, port, noDelay: true });
    await event(socket, 'connect');
    if (tls === 'starttls') {
      await exchange(socket, CLIENT_HEADER, '</stream:features>');
      await exchange(socket, STARTTLS, '<proceed');
    }
    if (tls !== 'off') {
      socket = connectTls({
        socket,
        servername: DOMAIN,
        rejectUnauthorized: false,
        ALPNProtocols: ['xmpp-client'],
      });
      await event(socket, 'secureConnect');
    }
    await exchange(socket, CLIENT_HEADER, '</stream:features>');
    await exchange(socket, plainAuth(account), '<success');
    await exchange(socket, CLIENT_HEADER, '</stream:features>');
    await exchange(socket, bindRequest(account), '</iq>');
    if (resumable) await exchange(socket, ENABLE, '<enabled ');
    return new Connection(socket);
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** Resolves when all that was sent has been handed to the kernel, or there is nobody any more who would take it. */
  sent(): Promise<void> {
    if (this.gone || this.socket.writableLength === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.socket.once('close', resolve);
      this.socket.write('', () => resolve());
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

const LOGIN_MS = 20_000;

/** Sends and waits for what ends the answer. */
function exchange(socket: Socket, request: string, answerEnd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const timer = setTimeout(
      () => finish(new Error(`no ${answerEnd} to ${request}, but: ${answer}`)),
      LOGIN_MS,
    );
    const onData = (chunk: Buffer): void => {
      answer += chunk.toString('latin1');
      if (answer.includes(answerEnd)) finish(undefined);
    };
    const onClose = (): void => finish(new Error(`closed instead of ${answerEnd}: ${answer}`));
    const finish = (error: Error | undefined): void => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.on('data', onData);
    socket.on('close', onClose);
    socket.write(request);
  });
}

function event(socket: Socket, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once(name, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}
