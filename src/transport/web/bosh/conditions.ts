import type { Buffer } from 'node:buffer';
import { writeBody } from './body.js';

/** Why a session over BOSH is terminated (XEP-0124 §17.2). */
export type TerminalCondition =
  | 'bad-request'
  | 'host-unknown'
  | 'improper-addressing'
  | 'internal-server-error'
  | 'item-not-found'
  | 'other-request'
  | 'policy-violation'
  | 'remote-connection-failed'
  | 'remote-stream-error'
  | 'system-shutdown';

/** A `<body/>` that says that a session is over, or never was. */
export function terminal(condition: TerminalCondition): Buffer {
  return writeBody([
    ['type', 'terminate'],
    ['condition', condition],
  ]);
}

/** The client may send the request again (XEP-0124 §17.3). */
export const RECOVERABLE: Buffer = writeBody([['type', 'error']]);
