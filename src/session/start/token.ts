import { Buffer } from 'node:buffer';
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { prepareJid } from '../../jid.js';
import { storeKey } from '../../store/store.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { writeTime } from '../../xml/times.js';
import type { TokenUse } from './authenticate.js';

const UNBOUND = 'HT-SHA-256-NONE';
/** Bound to the certificate (tls-server-end-point). */
const BOUND = 'HT-SHA-256-ENDP';

/**
 * Mechanisms that take a token of ours (draft-schmaus-kitten-sasl-ht).
 * @param endPoint what binds to our certificate, if it is one that can be bound to
 */
export function tokenMechanisms(endPoint: string | undefined): readonly string[] {
  return endPoint === undefined ? [UNBOUND] : [BOUND, UNBOUND];
}

/** How long a token is good for unless it is used; ms. It is worth nothing without a session that waits here, so longer would help nobody. */
export const TOKEN_LIFE = 7 * 24 * 3_600_000;

/**
 * What is kept of a token. HT sends a keyed hash of the token and not the token, so that it is this which is stored as a hash: who reads
 * the store can neither make the one nor the other.
 */
export interface TokenRecord extends Token {
  /** The one that was used last: the client may never have got this one, and it stays good until this one is used (XEP-0484 §3.5). */
  readonly former?: Token;
}

/** One of the two that an installation may have. */
export interface Token {
  readonly mechanism: string;
  /** SHA-256 of what the client has to send; hex. */
  readonly proof: string;
  /** What the client is sent, by which it knows us; base64. */
  readonly answer: string;
  /** Prepared. */
  readonly account: string;
  /** Of the session that it resumes: `digestOf` its resumption id. */
  readonly hold: string;
  /** ms since 1970. */
  readonly expires: number;
  /** The highest count with which it has been used. */
  readonly count: number;
}

/** Where the token of an account's installation is kept: each has one. */
export function tokenKey(domain: string, account: string, userAgent: string): string {
  return storeKey('token', domain, account, userAgent);
}

/**
 * @param token the secret itself, which only the client keeps
 * @param endPoint what a bound token is bound to: behind another certificate it is good for nothing
 */
export function tokenRecord(
  token: string,
  about: Pick<TokenRecord, 'mechanism' | 'account' | 'hold' | 'expires'>,
  endPoint: string | undefined,
): TokenRecord {
  const binding = Buffer.from(about.mechanism === BOUND ? (endPoint ?? '') : '', 'hex');
  return {
    ...about,
    proof: createHash('sha256')
      .update(keyed(token, 'Initiator', binding))
      .digest('hex'),
    answer: keyed(token, 'Responder', binding).toString('base64'),
    count: 0,
  };
}

/** `<token/>` for `<success/>` (XEP-0484 §3.3). */
export function tokenElement(token: string, expires: number): string {
  return `<token xmlns='${NS.fast}' expiry='${writeTime(expires)}' token='${escapeAttribute(token)}'/>`;
}

/** The client's message: who it is and its proof. */
export interface TokenMessage {
  /** Prepared. */
  readonly account: string;
  readonly proof: Buffer;
}

/** @returns undefined for what is no message of this mechanism */
export function readTokenMessage(base64: string | undefined, domain: string): TokenMessage | undefined {
  const message = Buffer.from(base64 ?? '', 'base64');
  const end = message.indexOf(0);
  if (end < 1) return undefined;
  const name = message.toString('utf8', 0, end);
  const account = prepareJid(name.includes('@') ? name : `${name}@${domain}`);
  const proof = message.subarray(end + 1);
  const ours = account?.endsWith(`@${domain}`) === true && !account.includes('/');
  return ours && proof.length === 32 ? { account, proof } : undefined;
}

/** @returns undefined for what is no record */
export function readTokenRecord(value: Buffer | undefined): TokenRecord | undefined {
  if (value === undefined) return undefined;
  try {
    const record = JSON.parse(value.toString()) as TokenRecord;
    const tokens = record.former === undefined ? [record] : [record, record.former];
    return tokens.every(({ proof }) => typeof proof === 'string' && proof.length === 64) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Which of an installation's tokens a client has shown. All are looked at, whichever it is. */
export function tokenShown(record: TokenRecord, message: TokenMessage): Token | undefined {
  const { former, ...newest } = record;
  let found: Token | undefined;
  for (const token of [former, newest]) if (token !== undefined && proves(message, token)) found = token;
  return found;
}

function proves(message: TokenMessage, token: Token): boolean {
  const shown = createHash('sha256').update(message.proof).digest();
  return timingSafeEqual(shown, Buffer.from(token.proof, 'hex'));
}

/**
 * Whether a client that shows this may be let in (XEP-0484 §3.4, §5.2).
 * @param token the one it has shown
 * @param now ms since 1970
 */
export function judgeToken(
  token: Token,
  message: TokenMessage,
  mechanism: string,
  use: TokenUse,
  now: number,
): 'good' | 'not-authorized' | 'credentials-expired' {
  if (token.mechanism !== mechanism || token.account !== message.account) return 'not-authorized';
  // A count that is not higher than one that was used is somebody else's copy of a request.
  if (use.count !== undefined && !(use.count > token.count)) return 'not-authorized';
  return now < token.expires ? 'good' : 'credentials-expired';
}

/** HT: HMAC with the token as the key; `NONE` has no channel binding data. */
function keyed(token: string, role: 'Initiator' | 'Responder', binding: Buffer): Buffer {
  return createHmac('sha256', token).update(role).update(binding).digest();
}
