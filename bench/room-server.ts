import { Buffer } from 'node:buffer';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { parseElement } from '../src/xml/tree.js';
import { type MemoryRoom, ROOM } from '../test/unit/features/presence-session-room.js';
import {
  bindFeatures,
  bindResult,
  LOOPBACK,
  SASL_FEATURES,
  SASL_SUCCESS,
  SERVER_HEADER,
  unavailable,
} from './streams.js';

/** Where something listens. */
export interface Listening {
  readonly port: number;
  close(): void;
}

function listening(server: Server, sockets: ReadonlySet<Socket>): Promise<Listening> {
  return new Promise((resolve) => {
    server.listen({ host: LOOPBACK, port: 0 }, () => {
      const address = server.address();
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
      const close = (): void => {
        server.close();
        for (const socket of sockets) socket.destroy();
      };
      resolve({ port, close });
    });
  });
}

/** A server behind which there is one room, which knows nothing of XEP-0311. Logs everybody in by script. */
export function startRoomServer(room: MemoryRoom): Promise<Listening> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    const stream = new RoomStream(socket, room);
    socket.setEncoding('utf8').on('data', (text: string) => stream.receive(text));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      stream.over();
    });
  });
  return listening(server, sockets);
}

const ELEMENT =
  /^\s*(?:<\?xml[^>]*>)?\s*(?:(<stream:stream [^>]*>)|(<\/stream:stream>)|<(message|presence|iq|auth)\b(?:[^>]*\/>|.*?<\/\3>))/s;

class RoomStream {
  #text = '';
  #account: string | undefined;
  #full: string | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly room: MemoryRoom,
  ) {}

  receive(text: string): void {
    this.#text += text;
    for (let found = ELEMENT.exec(this.#text); found !== null; found = ELEMENT.exec(this.#text)) {
      this.#text = this.#text.slice(found[0].length);
      if (found[1] !== undefined) {
        const features = this.#account === undefined ? SASL_FEATURES : bindFeatures(false);
        this.socket.write(SERVER_HEADER + features);
      } else if (found[2] !== undefined) this.socket.end('</stream:stream>');
      else this.#element(found[0]);
    }
  }

  over(): void {
    if (this.#full !== undefined) this.room.dropSession(this.#full);
  }

  #element(xml: string): void {
    const element = parseElement(Buffer.from(xml.replace(/^\s*(<\?xml[^>]*>)?\s*/, '')));
    const id = String(element.attrs.id ?? '');
    if (element.name === 'auth') {
      this.#account = Buffer.from(element.getText(), 'base64').toString().split('\0')[1] ?? '';
      this.socket.write(SASL_SUCCESS);
    } else if (this.#full === undefined) {
      const answer = bindResult(id, this.#account ?? '');
      this.#full = /<jid>([^<]*)/.exec(answer)?.[1];
      this.socket.write(answer);
    } else if (String(element.attrs.to ?? '').split('/')[0] === ROOM) {
      // As one piece: a room's answer is not sent stanza by stanza.
      const answer: string[] = [];
      let isNow = true;
      this.room.receive(this.#full, element, (stanza) => {
        if (isNow) answer.push(stanza);
        else this.socket.write(stanza);
      });
      isNow = false;
      this.socket.write(answer.join(''));
    } else if (element.name === 'iq' && ['get', 'set'].includes(element.attrs.type)) {
      this.socket.write(unavailable(id, element.attrs.to));
    }
  }
}

/** A link between two, with the text that passes towards the client. */
export interface ThinLink extends Listening {
  /** What has passed since it was asked last, a character a byte. */
  passed(): string;
}

/** @param port of what is nearer to the server */
export async function startThinLink(port: number): Promise<ThinLink> {
  const sockets = new Set<Socket>();
  let chunks: Buffer[] = [];
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: LOOPBACK, port, noDelay: true });
    far.on('data', (chunk: Buffer) => chunks.push(chunk));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on('error', () => from.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const link = await listening(server, sockets);
  const passed = (): string => {
    const text = Buffer.concat(chunks).toString('latin1');
    chunks = [];
    return text;
  };
  return { ...link, passed };
}
