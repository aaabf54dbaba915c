import { Buffer } from 'node:buffer';
import { escapeText } from '../../../xml/serialize.js';
import { type BodyAttributes, writeBody } from './body.js';

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

/** Where BOSH is spoken instead (XEP-0124 §17.2). */
export function seeOther(uri: string): Buffer {
  const attributes: BodyAttributes = [
    ['type', 'terminate'],
    ['condition', 'see-other-uri'],
  ];
  return writeBody(attributes, [Buffer.from(`<uri>${escapeText(uri)}</uri>`)]);
}

/** The client may send the request again (XEP-0124 §17.3). */
export const RECOVERABLE: Buffer = writeBody([['type', 'error']]);
