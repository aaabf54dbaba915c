import type { ClientInput } from '../stream/client-stream.js';
import type { ServerInput } from '../stream/server-stream.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';

/** Namespaces in which a client may only send what the tables know: the content namespaces and the streams namespace itself. */
const CONTENT_NAMESPACES: readonly string[] = [
  '',
  NS.client,
  NS.stream,
  'jabber:server',
  'jabber:component:accept',
  'jabber:component:connect',
];

/** What an element from a client is to the table of its stream. `bound`: a resource has been bound. */
export function classifyClient(frame: Frame, bound: boolean): ClientInput {
  switch (frame.kind) {
    case StanzaKind.Message:
      return 'message';
    case StanzaKind.Presence:
      return 'presence';
    case StanzaKind.Iq:
      return classifyIq(frame, bound);
    default:
      return classifyNonza(frame);
  }
}

function classifyIq(frame: Frame, bound: boolean): ClientInput {
  if (!frame.attributeEquals('type', 'set')) return 'iq';
  for (let i = 0; i < frame.childCount; i++) {
    const namespace = frame.childNamespace(i);
    if (namespace === NS.bind) return frame.childName(i) === 'unbind' ? 'unbind' : 'bind';
    if (!bound && namespace === NS.iqAuth) return 'legacy-auth';
  }
  return 'iq';
}

function classifyNonza(frame: Frame): ClientInput {
  const namespace = frame.namespace();
  switch (namespace) {
    case NS.sm3:
    case NS.sm2:
      switch (frame.localName()) {
        case 'r':
          return 'sm-request';
        case 'a':
          return 'sm-answer';
        case 'enable':
          return 'sm-enable';
        case 'resume':
          return 'sm-resume';
        default:
          return 'forbidden';
      }
    case NS.smLegacy:
      return 'sm-legacy';
    case NS.sasl:
      return 'sasl';
    case NS.sasl2:
      return classifySasl2(frame.localName());
    case NS.tls:
      return frame.localName() === 'starttls' ? 'starttls' : 'forbidden';
    case NS.compress:
      return 'compress';
    case NS.stream:
      return frame.localName() === 'error' ? 'stream-error' : 'forbidden';
    default:
      return CONTENT_NAMESPACES.includes(namespace) ? 'forbidden' : 'other';
  }
}

/** XEP-0388 §2.4–§2.7; of tasks we never ask for any. */
function classifySasl2(name: string): ClientInput {
  if (name === 'authenticate') return 'sasl2-authenticate';
  return name === 'response' || name === 'abort' ? 'sasl2' : 'forbidden';
}

/** What an element from a server is to the table of its stream. */
export function classifyServer(frame: Frame): ServerInput {
  if (frame.kind !== StanzaKind.Other) return 'stanza';
  const name = frame.localName();
  switch (frame.namespace()) {
    case NS.sm3:
    case NS.sm2:
      if (name === 'r') return 'sm-request';
      if (name === 'a') return 'sm-answer';
      if (name === 'enabled') return 'sm-enabled';
      if (name === 'resumed') return 'sm-resumed';
      return name === 'failed' ? 'sm-failed' : 'other';
    case NS.smLegacy:
      return 'sm-legacy';
    case NS.sasl:
    case NS.sasl2:
      return name === 'success' ? 'sasl-success' : 'sasl';
    case NS.tls:
      return name === 'proceed' ? 'tls-proceed' : 'tls-failure';
    case NS.stream:
      return name === 'error' ? 'stream-error' : 'features';
    default:
      return 'other';
  }
}
