import { Buffer } from 'node:buffer';

const LONGEST = 2_048;
const NUL = 0;

/**
 * Who a client says it is when it begins to authenticate: the name alone, as it stands in the first message of SCRAM (RFC 5802 §7, `n=`) or
 * between the two NULs of PLAIN (RFC 4616 §2). What is behind the name is not looked at. It becomes the truth when the server
 * accepts it; until then it is good for nothing.
 *
 * @param initial the initial response in base64
 * @returns undefined for other mechanisms, without an initial response, and for what cannot be read
 */
export function claimedName(mechanism: string | undefined, initial: string): string | undefined {
  if (mechanism === undefined || initial.length === 0 || initial.length > LONGEST) return undefined;
  const message = Buffer.from(initial, 'base64');
  try {
    if (mechanism === 'PLAIN') return nameInPlain(message);
    return mechanism.startsWith('SCRAM-') ? nameInScram(message.toString('utf8')) : undefined;
  } finally {
    message.fill(0);
  }
}

function nameInPlain(message: Buffer): string | undefined {
  const start = message.indexOf(NUL) + 1;
  const end = start === 0 ? -1 : message.indexOf(NUL, start);
  return end <= start ? undefined : message.toString('utf8', start, end);
}

function nameInScram(message: string): string | undefined {
  const name = /^[^,]*,(?:a=[^,]*)?,(?:m=[^,]*,)?n=([^,]+),/.exec(message)?.[1];
  return name?.replaceAll('=2C', ',').replaceAll('=3D', '=');
}
