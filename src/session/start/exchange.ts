/**
 * The one SASL profile in the terms of the other (XEP-0388 §2.6, RFC 6120 §6.4): the client speaks the new one, the server mostly the old
 * one. What authenticates is base64 text that is handed on as it is.
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

/** What the server speaks. */
export type SaslProfile = typeof NS.sasl | typeof NS.sasl2;

/**
 * What begins the exchange with the server; of what the client asked for along with it nothing, for that is ours.
 * In the old profile, and only here, `=` stands for an initial response that is there and empty (RFC 6120 §6.4.2).
 */
export function authOf(mechanism: string, initialResponse: string | undefined, profile: SaslProfile): string {
  if (profile === NS.sasl2) {
    const initial =
      initialResponse === undefined
        ? ''
        : `<initial-response>${escapeText(initialResponse)}</initial-response>`;
    return `<authenticate xmlns='${NS.sasl2}' mechanism='${escapeAttribute(mechanism)}'>${initial}</authenticate>`;
  }
  const response = initialResponse === '' ? '=' : escapeText(initialResponse ?? '');
  return `<auth xmlns='${NS.sasl}' mechanism='${escapeAttribute(mechanism)}'>${response}</auth>`;
}

/** `<response/>` or `<abort/>` of the client's, for the server. */
export function towardsServer(frame: Frame, profile: SaslProfile): string {
  if (frame.localName() === 'abort') return abort(profile);
  return `<response xmlns='${profile}'>${escapeText(payloadOf(frame))}</response>`;
}

export function abort(profile: SaslProfile): string {
  return `<abort xmlns='${profile}'/>`;
}

/** `<challenge/>` of the server's, for the client. */
export function challengeOf(frame: Frame): string {
  const payload = payloadOf(frame);
  return `<challenge xmlns='${NS.sasl2}'>${payload === '=' ? '' : escapeText(payload)}</challenge>`;
}

/** The same of the old profile's text, where `=` stands for what is there and empty. */
export function additionalData(payload: string | undefined): string {
  if (payload === undefined || payload === '') return '';
  return `<additional-data>${payload === '=' ? '' : escapeText(payload)}</additional-data>`;
}

/** `<failure/>` of the server's, for the client: with the server's own condition and text. */
export function failureOf(frame: Frame): string {
  const element = frameToElement(frame);
  const children = element
    .getChildElements()
    .filter((child) => child.getNS() === NS.sasl || child.getNS() === element.getNS());
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

/** What came with `<success/>`, for the client: an element, or '' when there was nothing. */
export function additionalDataOf(frame: Frame): string {
  if (frame.namespace() === NS.sasl) return additionalData(payloadOf(frame));
  const data = frameToElement(frame).getChild('additional-data', NS.sasl2);
  return data === undefined
    ? ''
    : `<additional-data>${escapeText(data.getText().replace(/\s+/g, ''))}</additional-data>`;
}
