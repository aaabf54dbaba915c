/**
 * The stream towards the server as a table: the proxy is the initiating entity (RFC 6120 §4.2). A pair that is not in the table is
 * the server's mistake; it is counted and ends the session.
 */

export type ServerState =
  /** There is no server leg. */
  | 'absent'
  | 'connecting'
  /** Our header has been sent; the server's is due. */
  | 'opening'
  /** The server's header has come; its features are due. */
  | 'negotiating'
  /** `<starttls/>` has been sent. */
  | 'starttls'
  /** `<proceed/>` has come; the handshake is under way. */
  | 'securing'
  /** Features are known and the client may speak. */
  | 'open'
  /** We have ended our stream; the server's end is awaited. */
  | 'closing'
  | 'closed';

export type ServerInput =
  | 'header'
  | 'close'
  | 'features'
  | 'stream-error'
  | 'tls-proceed'
  | 'tls-failure'
  | 'sasl-success'
  | 'sasl'
  | 'stanza'
  | 'sm-enabled'
  | 'sm-resumed'
  | 'sm-failed'
  | 'sm-request'
  | 'sm-answer'
  | 'sm-legacy'
  | 'other';

export type ServerAction =
  | 'take-header'
  | 'take-features'
  | 'start-tls'
  | 'fail-tls'
  | 'authenticated'
  | 'forward'
  | 'forward-sasl'
  | 'stanza'
  | 'sm-enabled'
  | 'sm-resumed'
  | 'sm-failed'
  | 'answer-sm-request'
  | 'take-sm-answer'
  | 'ignore'
  | 'forward-error'
  | 'close'
  | 'finish';

export interface ServerRule {
  readonly action: ServerAction;
  readonly next?: ServerState;
}

type Row = { readonly [input in ServerInput]?: ServerRule };

const NOTHING: Row = {};

const ENDS: Row = {
  'stream-error': { action: 'forward-error' },
  close: { action: 'close' },
};

export const SERVER_STREAM: { readonly [state in ServerState]: Row } = {
  absent: NOTHING,
  connecting: NOTHING,
  opening: { header: { action: 'take-header', next: 'negotiating' } },
  negotiating: { ...ENDS, features: { action: 'take-features' } },
  starttls: {
    ...ENDS,
    'tls-proceed': { action: 'start-tls', next: 'securing' },
    'tls-failure': { action: 'fail-tls' },
  },
  securing: NOTHING,
  open: {
    ...ENDS,
    stanza: { action: 'stanza' },
    sasl: { action: 'forward-sasl' },
    'sasl-success': { action: 'authenticated' },
    'sm-enabled': { action: 'sm-enabled' },
    'sm-resumed': { action: 'sm-resumed' },
    'sm-failed': { action: 'sm-failed' },
    'sm-request': { action: 'answer-sm-request' },
    'sm-answer': { action: 'take-sm-answer' },
    'sm-legacy': { action: 'ignore' },
    other: { action: 'forward' },
    // A server that offers something new in mid-stream would do so behind a restart only (RFC 6120 §4.3.3).
    features: { action: 'ignore' },
  },
  // What was under way when we closed still belongs to the client if it is there to read it.
  closing: {
    // The client may have gone before the server has said anything.
    header: { action: 'ignore' },
    stanza: { action: 'stanza' },
    'stream-error': { action: 'forward-error' },
    'sm-request': { action: 'ignore' },
    'sm-answer': { action: 'take-sm-answer' },
    'sm-enabled': { action: 'ignore' },
    'sm-resumed': { action: 'ignore' },
    'sm-failed': { action: 'ignore' },
    'sm-legacy': { action: 'ignore' },
    features: { action: 'ignore' },
    sasl: { action: 'ignore' },
    'sasl-success': { action: 'ignore' },
    other: { action: 'ignore' },
    close: { action: 'finish', next: 'closed' },
  },
  closed: NOTHING,
};
