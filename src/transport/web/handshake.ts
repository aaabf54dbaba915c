import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { agreeOnDeflate, type Deflate } from './deflate.js';

/** RFC 6455 §1.3. */
const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** RFC 7395 §3.1. */
const SUBPROTOCOL = 'xmpp';

/** Why a handshake is refused, as an HTTP answer. */
export interface HandshakeRefusal {
  readonly status: number;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** RFC 9110 §15.5.22: what has to be gone over to is said. */
export const UPGRADE = { Upgrade: 'websocket', Connection: 'close, Upgrade' } as const;

/** How a handshake is answered. */
export interface HandshakeAnswer {
  /** Line by line. */
  readonly lines: readonly string[];
  /** Present when messages may be compressed. */
  readonly deflate: Deflate | undefined;
}

/** Whether a header `Upgrade` names WebSocket, alone or among others (RFC 6455 §4.2.1). */
export function offersWebSocket(upgrade: string | undefined): boolean {
  return upgrade?.split(',').some((protocol) => protocol.trim().toLowerCase() === 'websocket') === true;
}

/**
 * Looks at the request that opens a WebSocket (RFC 6455 §4.2.1).
 * @param request one that offers WebSocket
 * @param deflates whether an offer to compress is taken
 * @returns the answer, or why there is none
 */
export function answerHandshake(
  request: IncomingMessage,
  deflates: boolean,
): HandshakeAnswer | HandshakeRefusal {
  const { headers, method, httpVersion } = request;
  const key = headers['sec-websocket-key'];
  if (method !== 'GET' || httpVersion !== '1.1')
    return { status: 405, text: 'WebSocket begins with GET, in HTTP/1.1.', headers: { Allow: 'GET' } };
  if (key === undefined || !/^[+/0-9A-Za-z]{22}==$/.test(key))
    return { status: 400, text: 'The Sec-WebSocket-Key is none.' };
  if (headers['sec-websocket-version'] !== '13') {
    const headers = { ...UPGRADE, 'Sec-WebSocket-Version': '13' };
    return { status: 426, text: 'Version 13 is spoken here.', headers };
  }
  const protocols = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim().toLowerCase());
  if (protocols?.includes(SUBPROTOCOL) !== true)
    return { status: 400, text: 'The subprotocol here is xmpp (RFC 7395).' };
  let deflate: Deflate | undefined;
  try {
    if (deflates) deflate = agreeOnDeflate(headers['sec-websocket-extensions']);
  } catch {
    return { status: 400, text: 'The Sec-WebSocket-Extensions cannot be read.' };
  }
  const accept = createHash('sha1')
    .update(key + MAGIC)
    .digest('base64');
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  ];
  if (deflate !== undefined) lines.push(`Sec-WebSocket-Extensions: ${deflate.header}`);
  return { lines, deflate };
}
