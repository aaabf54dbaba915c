/**
 * The stream towards the client as a table (RFC 6120 §4.2, §5–§7; XEP-0198 §3–§4): which element may come in which state, what the
 * session does about it, and what state follows. A pair that is not in the table ends the stream with the condition given for the
 * state.
 */

import type { StreamErrorCondition } from './errors.js';

export type ClientState =
  /** A stream header is due: at the start, after TLS, after SASL. */
  | 'opening'
  /** The header has come; the server's answer to it is awaited and the client is not read meanwhile. */
  | 'waiting'
  /** Features have been sent; TLS is still to come before anything else. */
  | 'insecure'
  /** `<proceed/>` has been sent; the handshake is under way. */
  | 'securing'
  /** Features have been sent; the client has not authenticated. */
  | 'authenticating'
  /** `<authenticate/>` has come, and SASL goes on in its terms (XEP-0388 §2.5). */
  | 'exchanging'
  /** Authenticated within the stream: what was asked for along with it is being done, and what the client sends meanwhile waits. */
  | 'starting'
  /** Authenticated; a resource is to be bound. */
  | 'binding'
  /** A resource has been asked for: what the client has sent behind that is for the session, and waits for it. */
  | 'bind-requested'
  /** Authenticated, and asking to resume a session: what it sends meanwhile waits. */
  | 'resuming'
  | 'bound'
  /** The connection is lost and the session goes on without it. */
  | 'held'
  /** The client has ended its stream; what the server still sends goes to it. */
  | 'closing'
  | 'closed';

export type ClientInput =
  | 'header'
  | 'close'
  | 'starttls'
  | 'sasl'
  | 'sasl2-authenticate'
  | 'sasl2'
  | 'compress'
  | 'bind'
  | 'unbind'
  | 'legacy-auth'
  | 'iq'
  | 'message'
  | 'presence'
  | 'sm-enable'
  | 'sm-resume'
  | 'sm-request'
  | 'sm-answer'
  | 'sm-legacy'
  | 'stream-error'
  | 'other'
  | 'forbidden';

export type ClientAction =
  | 'open'
  | 'start-tls'
  | 'forward'
  | 'forward-sasl'
  | 'start-session'
  | 'continue-exchange'
  | 'forward-bind'
  | 'forward-legacy-auth'
  | 'stanza'
  | 'refuse-bind'
  | 'refuse-compression'
  | 'refuse-sasl-in-clear'
  | 'refuse-sasl2-in-clear'
  | 'refuse-sm-early'
  | 'enable-sm'
  | 'resume'
  | 'refuse-resume'
  | 'answer-sm-request'
  | 'take-sm-answer'
  | 'ignore'
  | 'forward-error'
  | 'close'
  | 'close-both';

export interface ClientRule {
  readonly action: ClientAction;
  readonly next?: ClientState;
}

type Row = { readonly [input in ClientInput]?: ClientRule };

const NOTHING: Row = {};

/** SM nonzas before a resource is bound are answered, not passed (XEP-0198 §3: unexpected-request). */
const EARLY_SM: Row = {
  'sm-enable': { action: 'refuse-sm-early' },
  'sm-resume': { action: 'refuse-sm-early' },
  'sm-request': { action: 'ignore' },
  'sm-answer': { action: 'ignore' },
  'sm-legacy': { action: 'ignore' },
};

export const CLIENT_STREAM: { readonly [state in ClientState]: Row } = {
  opening: {
    header: { action: 'open', next: 'waiting' },
    close: { action: 'close-both', next: 'closed' },
  },
  waiting: NOTHING,
  insecure: {
    starttls: { action: 'start-tls', next: 'securing' },
    // RFC 6120 §6.5.4: a mechanism that needs a secure stream is refused as SASL says it, without ending the stream.
    sasl: { action: 'refuse-sasl-in-clear' },
    'sasl2-authenticate': { action: 'refuse-sasl2-in-clear' },
    compress: { action: 'refuse-compression' },
    close: { action: 'close-both', next: 'closed' },
    'stream-error': { action: 'close-both', next: 'closed' },
  },
  securing: NOTHING,
  authenticating: {
    ...EARLY_SM,
    starttls: { action: 'start-tls', next: 'securing' },
    sasl: { action: 'forward-sasl' },
    'sasl2-authenticate': { action: 'start-session', next: 'exchanging' },
    compress: { action: 'refuse-compression' },
    'legacy-auth': { action: 'forward-legacy-auth' },
    // In-band registration comes as an iq; whether other stanzas are answered before authentication is the server's own rule.
    bind: { action: 'forward' },
    iq: { action: 'forward' },
    message: { action: 'forward' },
    presence: { action: 'forward' },
    other: { action: 'forward' },
    close: { action: 'close', next: 'closing' },
    'stream-error': { action: 'forward-error', next: 'closing' },
  },
  binding: {
    ...EARLY_SM,
    'sm-resume': { action: 'resume', next: 'resuming' },
    bind: { action: 'forward-bind' },
    iq: { action: 'forward' },
    message: { action: 'forward' },
    presence: { action: 'forward' },
    other: { action: 'forward' },
    compress: { action: 'refuse-compression' },
    close: { action: 'close', next: 'closing' },
    'stream-error': { action: 'forward-error', next: 'closing' },
  },
  bound: {
    iq: { action: 'stanza' },
    message: { action: 'stanza' },
    presence: { action: 'stanza' },
    'legacy-auth': { action: 'stanza' },
    // COMPAT: jabberd2 would bind a second resource to the stream, or take one away; one stream is one session here.
    bind: { action: 'refuse-bind' },
    unbind: { action: 'refuse-bind' },
    'sm-enable': { action: 'enable-sm' },
    'sm-resume': { action: 'refuse-resume' },
    'sm-request': { action: 'answer-sm-request' },
    'sm-answer': { action: 'take-sm-answer' },
    'sm-legacy': { action: 'ignore' },
    compress: { action: 'refuse-compression' },
    other: { action: 'forward' },
    close: { action: 'close', next: 'closing' },
    'stream-error': { action: 'forward-error', next: 'closing' },
  },
  // XEP-0388 §2.5: anything else ends the stream.
  exchanging: {
    sasl2: { action: 'continue-exchange' },
    close: { action: 'close', next: 'closing' },
    'stream-error': { action: 'forward-error', next: 'closing' },
  },
  starting: NOTHING,
  'bind-requested': NOTHING,
  resuming: NOTHING,
  held: NOTHING,
  closing: NOTHING,
  closed: NOTHING,
};

/** What a client hears that sends something its stream's state does not allow. */
export function violation(state: ClientState, input: ClientInput): StreamErrorCondition {
  if (input === 'forbidden') return 'unsupported-stanza-type';
  if (input === 'header') return 'invalid-xml';
  if (state === 'insecure') return 'policy-violation';
  if (state === 'authenticating' || state === 'exchanging' || state === 'opening') return 'not-authorized';
  // XEP-0388 §4.8: once is enough.
  if (input === 'starttls' || input.startsWith('sasl')) return 'policy-violation';
  return 'bad-format';
}
