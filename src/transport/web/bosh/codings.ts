/** How an answer may be encoded. */
export interface Codings {
  readonly gzip: boolean;
  /** As it is. */
  readonly identity: boolean;
}

const PART = /^\s*([!#$%&'*+.^`|~\w-]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?$/i;
const PLAIN: Codings = { gzip: false, identity: true };

let known: readonly [accepted: string, codings: Codings] = ['', PLAIN];

/**
 * What a client takes (RFC 9110 §12.5.3): what it names weighs as it says, and all else as `*`; to be sent as it is, it need not be named.
 * @param accepted the header `Accept-Encoding`
 */
export function acceptedCodings(accepted: string | string[] | undefined): Codings {
  if (accepted === undefined) return PLAIN;
  const text = String(accepted);
  // The same few, over and over.
  if (known[0] !== text) known = [text, codingsOf(text)];
  return known[1];
}

function codingsOf(accepted: string): Codings {
  const weights = new Map<string, number>();
  for (const part of accepted.split(',')) {
    const [, coding, weight] = PART.exec(part) ?? [];
    if (coding !== undefined) weights.set(coding.toLowerCase(), Number(weight ?? 1));
  }
  const others = weights.get('*');
  // RFC 9110 §8.4.1.3: `x-gzip` is the same.
  const gzip = weights.get('gzip') ?? weights.get('x-gzip') ?? others ?? 0;
  const identity = weights.get('identity') ?? (others === 0 ? 0 : undefined);
  return { gzip: gzip > 0 && gzip >= (identity ?? 0), identity: identity !== 0 };
}
