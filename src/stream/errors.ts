import { NS } from '../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../xml/serialize.js';

/** Stream error conditions (RFC 6120 §4.9.3) that the proxy itself raises. */
export type StreamErrorCondition =
  | 'bad-format'
  | 'bad-namespace-prefix'
  | 'conflict'
  | 'connection-timeout'
  | 'host-unknown'
  | 'improper-addressing'
  | 'internal-server-error'
  | 'invalid-from'
  | 'invalid-namespace'
  | 'invalid-xml'
  | 'not-authorized'
  | 'not-well-formed'
  | 'policy-violation'
  | 'remote-connection-failed'
  | 'resource-constraint'
  | 'restricted-xml'
  | 'system-shutdown'
  | 'undefined-condition'
  | 'unsupported-encoding'
  | 'unsupported-feature'
  | 'unsupported-stanza-type'
  | 'unsupported-version';

/**
 * A stream error and the end of the stream.
 * @param detail an application-specific condition (RFC 6120 §4.9.4), serialised with its namespace
 */
export function streamError(condition: StreamErrorCondition, text?: string, detail = ''): string {
  const explained =
    text === undefined ? '' : `<text xmlns='${NS.streamErrors}' xml:lang='en'>${escapeText(text)}</text>`;
  return `<stream:error><${condition} xmlns='${NS.streamErrors}'/>${explained}${detail}</stream:error></stream:stream>`;
}

/** Stanza error conditions (RFC 6120 §8.3.3) that the proxy itself answers with. */
export type StanzaErrorCondition =
  | 'bad-request'
  | 'conflict'
  | 'internal-server-error'
  | 'jid-malformed'
  | 'not-acceptable'
  | 'policy-violation'
  | 'service-unavailable'
  | 'undefined-condition';

/** The parts of a stanza that its error answer repeats. */
export interface Answered {
  readonly name: 'message' | 'presence' | 'iq';
  readonly id: string | undefined;
  /** Who the error comes from: the addressee of the stanza. */
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** An error stanza in answer to one (RFC 6120 §8.3). */
export function stanzaError(
  answered: Answered,
  type: 'cancel' | 'modify' | 'wait',
  condition: StanzaErrorCondition,
  text?: string,
): string {
  const attribute = (name: string, value: string | undefined) =>
    value === undefined ? '' : ` ${name}='${escapeAttribute(value)}'`;
  const explained =
    text === undefined ? '' : `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>${escapeText(text)}</text>`;
  return (
    `<${answered.name} type='error'${attribute('id', answered.id)}${attribute('from', answered.from)}` +
    `${attribute('to', answered.to)}><error type='${type}'><${condition} xmlns='${NS.stanzaErrors}'/>${explained}</error></${answered.name}>`
  );
}
