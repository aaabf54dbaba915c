import { Buffer } from 'node:buffer';
import type { IncomingMessage } from 'node:http';

/** Which of the paths of this port a request is for. */
export function pathOf(request: IncomingMessage): string {
  const { url = '/' } = request;
  // RFC 9112 §3.2.2: all of the URL may be there.
  const path = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '');
  const query = path.indexOf('?');
  return (query < 0 ? path : path.slice(0, query)) || '/';
}

/** A request as it came, as far as its head goes, but for the protocols that it offers to go over to. */
export function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  let head = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    const value = rawHeaders[at + 1]!;
    if (name === 'upgrade' || name === 'http2-settings') continue;
    if (name !== 'connection') head += `${rawHeaders[at]}: ${value}\r\n`;
    else if (/\bclose\b/i.test(value)) head += 'Connection: close\r\n';
  }
  return Buffer.from(`${head}\r\n`, 'latin1');
}
