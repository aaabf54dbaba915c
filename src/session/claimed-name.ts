import { Buffer } from 'node:buffer';

const LONGEST = 2_048;
/** Characters of base64 that are decoded together. */
const GROUP = 4;
const NUL = '\u0000';

/**
 * Who a client says it is when it begins to authenticate: the name alone, as it stands in the first message of SCRAM (RFC 5802 §7, `n=`) or
 * between the two NULs of PLAIN (RFC 4616 §2), of which nothing behind the name is decoded. It becomes the truth when the server accepts it;
 * until then it is good for nothing.
 *
 * A message that another parser could read in another way has no name here: else somebody could say one name to the server and another one
 * to us.
 *
 * @param initial the initial response in base64
 * @returns undefined for other mechanisms, without an initial response, and for what is not exactly such a message
 */
export function claimedName(mechanism: string | undefined, initial: string): string | undefined {
  if (mechanism === undefined || initial.length > LONGEST || !isCanonical(initial)) return undefined;
  if (mechanism === 'PLAIN') return nameInPlain(initial);
  return mechanism.startsWith('SCRAM-') ? nameInScram(Buffer.from(initial, 'base64').toString()) : undefined;
}

/** Base64 as RFC 4648 §4 has it, without a character more. */
function isCanonical(text: string): boolean {
  return text.length > 0 && text.length % GROUP === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
}

function nameInPlain(initial: string): string | undefined {
  let message = '';
  for (let at = 0; at < initial.length; at += GROUP) {
    message += Buffer.from(initial.slice(at, at + GROUP), 'base64').toString('latin1');
    const start = message.indexOf(NUL) + 1;
    const end = start === 0 ? -1 : message.indexOf(NUL, start);
    if (end > start) return Buffer.from(message.slice(start, end), 'latin1').toString();
    if (end === start) return undefined;
  }
  return undefined;
}

function nameInScram(message: string): string | undefined {
  // Nothing may stand between the name and the nonce: Prosody would take a second `n=` for the name.
  const name = /^(?:n|y|p=[^,]+),(?:a=[^,]+)?,n=([^,]+),r=/.exec(message)?.[1];
  if (name === undefined || /=(?!2C|3D)/.test(name)) return undefined;
  return name.replaceAll('=2C', ',').replaceAll('=3D', '=');
}
