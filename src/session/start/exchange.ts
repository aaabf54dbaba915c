/**
 * The one SASL profile in the terms of the other (XEP-0388 §2.6, RFC 6120 §6.4): the client speaks the new one, the server the old one. What
 * authenticates is base64 text that is handed on as it is.
 */

import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';
import { frameToElement } from '../../xml/tree.js';

/** RFC 6120 §6.5 */
export type SaslCondition =
  | 'aborted'
  | 'credentials-expired'
  | 'encryption-required'
  | 'invalid-mechanism'
  | 'malformed-request'
  | 'not-authorized'
  | 'temporary-auth-failure';

/** `<auth/>`: here, and only here, `=` stands for an initial response that is there and empty (RFC 6120 §6.4.2). */
export function authOf(mechanism: string, initialResponse: string | undefined): string {
  const response = initialResponse === '' ? '=' : escapeText(initialResponse ?? '');
  return `<auth xmlns='${NS.sasl}' mechanism='${escapeAttribute(mechanism)}'>${response}</auth>`;
}

/** `<response/>` or `<abort/>` of the client's, for the server. */
export function towardsServer(frame: Frame): string {
  if (frame.localName() === 'abort') return `<abort xmlns='${NS.sasl}'/>`;
  return `<response xmlns='${NS.sasl}'>${escapeText(payloadOf(frame))}</response>`;
}

/** `<challenge/>` of the server's, for the client. */
export function challengeOf(frame: Frame): string {
  const payload = payloadOf(frame);
  return `<challenge xmlns='${NS.sasl2}'>${payload === '=' ? '' : escapeText(payload)}</challenge>`;
}

/** What came with `<success/>`: an element for the client's, '' when there was nothing. */
export function additionalData(payload: string | undefined): string {
  if (payload === undefined || payload === '') return '';
  return `<additional-data>${payload === '=' ? '' : escapeText(payload)}</additional-data>`;
}

/** `<failure/>` of the server's, for the client: with the server's own condition and text. */
export function failureOf(frame: Frame): string {
  const element = frameToElement(frame);
  const children = element.getChildElements().filter((child) => child.getNS() === NS.sasl);
  const condition = children.find((child) => child.getName() !== 'text')?.getName() ?? 'not-authorized';
  const text = children.find((child) => child.getName() === 'text')?.getText();
  return failure(condition, text);
}

/** XEP-0388 §2.7.2 */
export function failure(condition: SaslCondition | (string & {}), text?: string): string {
  const explained = text === undefined || text === '' ? '' : `<text>${escapeText(text)}</text>`;
  return `<failure xmlns='${NS.sasl2}'><${condition} xmlns='${NS.sasl}'/>${explained}</failure>`;
}

/** The base64 text of an element of either profile. */
export function payloadOf(frame: Frame): string {
  return frameToElement(frame).getText().replace(/\s+/g, '');
}
