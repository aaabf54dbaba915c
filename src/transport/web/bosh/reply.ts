import type { Buffer } from 'node:buffer';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip, gzipSync } from 'node:zlib';
import type { TerminalCondition } from './conditions.js';

const compress = promisify(gzip);

/** Below this an answer does not get smaller by it; above that it is not done while others wait. */
const WORTH_COMPRESSING = 512;
const COMPRESSED_AT_ONCE = 16_384;

const XML = 'text/xml; charset=utf-8';
/** What a client may want its answers to be called (XEP-0124 §7.1). */
const MEDIA_TYPE = /^[a-z]{1,20}\/[a-z0-9.+-]{1,60}(?:; ?charset=utf-8)?$/i;

/** HTTP's own codes, for clients older than their successors (XEP-0124 §17.1). */
const CODES: { readonly [condition in TerminalCondition]?: number } = {
  'bad-request': 400,
  'policy-violation': 403,
  'item-not-found': 404,
};

/** What one request is answered by; once. */
export class Reply {
  #sent = false;
  readonly #gzips: boolean;

  /** @param headers that every answer has to this origin */
  constructor(
    request: IncomingMessage,
    private readonly response: ServerResponse,
    private readonly headers: OutgoingHttpHeaders,
    public contentType: string = XML,
  ) {
    this.#gzips = takesGzip(request.headers['accept-encoding']);
  }

  /**
   * @param condition for which there is a code that the client goes by
   * @returns what is resolved when it has gone out, where that is not at once
   */
  send(body: Buffer, condition?: TerminalCondition): Promise<void> | undefined {
    if (this.#sent) return;
    this.#sent = true;
    const code = (condition === undefined ? undefined : CODES[condition]) ?? 200;
    if (!this.#gzips || body.length < WORTH_COMPRESSING) this.#write(code, body, false);
    else if (body.length <= COMPRESSED_AT_ONCE) this.#write(code, gzipSync(body), true);
    else {
      return compress(body).then(
        (compressed) => this.#write(code, compressed, true),
        () => this.#write(code, body, false),
      );
    }
  }

  #write(code: number, body: Buffer, compressed: boolean): void {
    const { response } = this;
    if (response.destroyed) return;
    response.writeHead(code, {
      ...this.headers,
      'Content-Type': this.contentType,
      'Content-Length': body.length,
      ...(this.#gzips && { Vary: [this.headers.Vary ?? [], 'Accept-Encoding'].flat().join(', ') }),
      ...(compressed && { 'Content-Encoding': 'gzip' }),
    });
    response.end(body);
  }
}

/** The media type a client asks for, where it is one. */
export function wantedType(content: string | undefined): string | undefined {
  return content !== undefined && MEDIA_TYPE.test(content) ? content : undefined;
}

/** RFC 9110 §12.5.3, as far as it matters: named, and not with a weight of nothing. */
function takesGzip(accepted: string | string[] | undefined): boolean {
  if (accepted === undefined) return false;
  return String(accepted)
    .toLowerCase()
    .split(',')
    .some((part) => /^\s*(gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*$).*)?$/.test(part));
}
