import type { Buffer } from 'node:buffer';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip, gzipSync } from 'node:zlib';
import { acceptedCodings, type Codings } from './codings.js';
import type { TerminalCondition } from './conditions.js';

const compress = promisify(gzip);

/** Below this an answer does not get smaller by it; above that it is not done while others wait. */
const WORTH_COMPRESSING = 512;
const COMPRESSED_AT_ONCE = 16_384;

const XML = 'text/xml; charset=utf-8';
/** What a client may want its answers to be called (XEP-0124 §7.1): a media type (RFC 9110 §8.3.1), but with no charset that it is not in. */
const TOKEN = "[!#$%&'*+.^`|~\\w-]{1,80}";
const PARAMETER = `[ \\t]*;[ \\t]*(?!charset=)${TOKEN}=(?:${TOKEN}|"[ !#-\\[\\]-~]{0,80}")`;
const UTF_8 = '[ \\t]*;[ \\t]*charset=(?:utf-8|"utf-8")';
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:${UTF_8}|${PARAMETER}){0,4}$`, 'i');

/** HTTP's own codes, for clients older than their successors (XEP-0124 §17.1). */
const CODES: { readonly [condition in TerminalCondition]?: number } = {
  'bad-request': 400,
  'policy-violation': 403,
  'item-not-found': 404,
};

/** What one request is answered by; once. */
export class Reply {
  #sent = false;
  readonly #codings: Codings;

  /** @param headers that every answer has to this origin */
  constructor(
    request: IncomingMessage,
    private readonly response: ServerResponse,
    private readonly headers: OutgoingHttpHeaders,
    public contentType: string = XML,
  ) {
    this.#codings = acceptedCodings(request.headers['accept-encoding']);
  }

  /**
   * @param condition for which there is a code that the client goes by
   * @returns what is resolved when it has gone out, where that is not at once
   */
  send(body: Buffer, condition?: TerminalCondition): Promise<void> | undefined {
    if (this.#sent) return;
    this.#sent = true;
    const code = (condition === undefined ? undefined : CODES[condition]) ?? 200;
    const { gzip: gzips, identity } = this.#codings;
    if (!gzips || (identity && body.length < WORTH_COMPRESSING)) this.#write(code, body, false);
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
      ...(this.#codings.gzip && { Vary: [this.headers.Vary ?? [], 'Accept-Encoding'].flat().join(', ') }),
      ...(compressed && { 'Content-Encoding': 'gzip' }),
    });
    response.end(body);
  }
}

/** The media type a client asks for, where it is one. */
export function wantedType(content: string | undefined): string | undefined {
  return content !== undefined && MEDIA_TYPE.test(content) ? content : undefined;
}
