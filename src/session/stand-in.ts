import { stanzaError } from '../stream/errors.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { escapeAttribute } from '../xml/serialize.js';

/** What the proxy answers in the place of the one a stanza was for. */

/**
 * The error for a stanza of the client's that does not reach whom it is for.
 * @param frame the stanza, as the client has sent it
 * @param full the client's
 * @returns undefined for what is never answered
 */
export function refusal(
  frame: Frame,
  full: string,
  type: Parameters<typeof stanzaError>[1],
  condition: Parameters<typeof stanzaError>[2],
  text?: string,
): string | undefined {
  const name = nameOf(frame);
  // RFC 6120 §8.3.1: an error is never answered with an error, and a result not at all.
  if (name === undefined || frame.attributeEquals('type', 'error') || frame.attributeEquals('type', 'result'))
    return undefined;
  return stanzaError({ name, id: frame.id, from: frame.to, to: full }, type, condition, text);
}

/**
 * The answer to what cannot wait for a client that may come back: a ping (XEP-0199 §4).
 * @returns undefined for everything that can
 */
export function pong(frame: Frame): string | undefined {
  if (frame.kind !== StanzaKind.Iq || frame.findChild('ping', NS.ping) < 0) return undefined;
  if (!frame.attributeEquals('type', 'get')) return undefined;
  const id = frame.id === undefined ? '' : ` id='${escapeAttribute(frame.id)}'`;
  const to = frame.from === undefined ? '' : ` to='${escapeAttribute(frame.from)}'`;
  return `<iq type='result'${id}${to}/>`;
}

/**
 * The answer to a request for a resource that is not there any more, though its stream is (RFC 6121 §8.5.3.2.3).
 * @returns undefined for what is no request
 */
export function resourceIsGone(frame: Frame): string | undefined {
  const isRequest = frame.attributeEquals('type', 'get') || frame.attributeEquals('type', 'set');
  if (frame.kind !== StanzaKind.Iq || !isRequest) return undefined;
  const answered = { name: 'iq', id: frame.id, from: undefined, to: frame.from } as const;
  return stanzaError(answered, 'cancel', 'service-unavailable');
}

function nameOf(frame: Frame): 'message' | 'presence' | 'iq' | undefined {
  switch (frame.kind) {
    case StanzaKind.Message:
      return 'message';
    case StanzaKind.Presence:
      return 'presence';
    case StanzaKind.Iq:
      return 'iq';
    default:
      return undefined;
  }
}
