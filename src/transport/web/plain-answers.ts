import { Buffer } from 'node:buffer';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { type HandshakeRefusal, UPGRADE } from './handshake.js';

// What HTTP itself answers with.

/** A page that is shown an answer as a document must not run what is in it. */
export const SAFE_HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; sandbox",
  'X-Content-Type-Options': 'nosniff',
} as const;

/** Where pages of all origins may connect. */
export const OPEN_HEADERS: OutgoingHttpHeaders = { ...SAFE_HEADERS, 'Access-Control-Allow-Origin': '*' };

export const PREFLIGHT = {
  'Access-Control-Allow-Methods': 'POST, OPTIONS',
  'Access-Control-Allow-Headers': 'Content-Type',
  'Access-Control-Max-Age': '7200',
} as const;

/** XEP-0156 §4: pages of all origins may read it. */
export const META_PREFLIGHT = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, HEAD, OPTIONS',
  'Access-Control-Allow-Headers': 'Accept, Content-Type',
  'Access-Control-Max-Age': '7200',
} as const;

export const BOSH_HERE: HandshakeRefusal = { status: 200, text: 'BOSH (XEP-0124) is spoken here, by POST.' };
export const METHOD_NOT_ALLOWED: HandshakeRefusal = {
  status: 405,
  text: 'BOSH is spoken by POST.',
  headers: { Allow: 'GET, HEAD, OPTIONS, POST' },
};
export const READ_ONLY: HandshakeRefusal = {
  status: 405,
  text: 'This is to be read, by GET.',
  headers: { Allow: 'GET, HEAD, OPTIONS' },
};
export const OVER_TLS_ONLY: HandshakeRefusal = {
  status: 404,
  text: 'This is told over https only (XEP-0156).',
};
export const NO_REQUEST: HandshakeRefusal = { status: 400, text: 'This is no HTTP request.' };
export const HEADERS_TOO_LARGE: HandshakeRefusal = { status: 431, text: 'The headers are too large.' };
export const UPGRADE_REQUIRED: HandshakeRefusal = {
  status: 426,
  text: 'XMPP over WebSocket (RFC 7395) is spoken here.',
  headers: UPGRADE,
};
export const NOT_FOUND: HandshakeRefusal = { status: 404, text: 'There is nothing here.' };
export const ORIGIN_REFUSED: HandshakeRefusal = {
  status: 403,
  text: 'Pages of this origin may not connect here.',
};
export const INSECURE: HandshakeRefusal = { status: 403, text: 'Clients need TLS here.' };
export const BAD_FORWARDING: HandshakeRefusal = {
  status: 400,
  text: 'There are both Forwarded and X-Forwarded headers, of which one must be the client’s own.',
};

/** What lets a page of another origin see the answer; nothing of it depends on who the browser says it is. */
export function corsHeaders(origin: string | undefined): OutgoingHttpHeaders {
  return origin === undefined ? {} : { 'Access-Control-Allow-Origin': origin, Vary: 'Origin' };
}

/** @param shared headers of every answer from there */
export function refuse(
  response: ServerResponse,
  { status, text, headers }: HandshakeRefusal,
  shared?: OutgoingHttpHeaders,
): void {
  response.writeHead(status, {
    ...shared,
    ...headers,
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}
