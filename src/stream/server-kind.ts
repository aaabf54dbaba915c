import type { Element } from 'ltx';
import type { UpstreamLimits } from '../config/model.js';
import type { ServerKind } from '../session/feature.js';
import type { StreamHeader } from '../xml/header.js';
import { NS } from '../xml/namespaces.js';

const AFFINIX_ADDRESS = 'http://affinix.com/jabber/address';
const JABBERD2_ACK = 'http://www.xmpp.org/extensions/xep-0198.html#ns';

/** What a server's header and features reveal of it; `known` is what an earlier look on the same stream has found. */
export function recogniseServer(
  known: ServerKind,
  header: StreamHeader | undefined,
  features: Element,
): ServerKind {
  if (known !== 'unknown') return known;
  if (header?.declarations.get('ack') === JABBERD2_ACK) return 'jabberd2';
  if (features.getChild('address', AFFINIX_ADDRESS) !== undefined) return 'jabberd2';
  // XEP-0115 §6.3: the node says which software this is.
  const node = String(features.getChild('c', NS.caps)?.attrs.node ?? '');
  if (/^https?:\/\/prosody\.im\b/.test(node)) return 'prosody';
  if (/^https?:\/\/www\.process-one\.net\/en\/ejabberd\b/.test(node)) return 'ejabberd';
  return 'unknown';
}

/** RFC 6120 §13.12: no server may take less. */
const SMALLEST_LIMIT = 10_000;

const LIMITS: { readonly [kind in ServerKind]: UpstreamLimits } = {
  prosody: { stanzaBytes: 262_144, depth: 1_000 },
  // COMPAT: ejabberd 23.01 goes down as a whole at about 3,500 nested elements.
  ejabberd: { stanzaBytes: 262_144, depth: 1_000 },
  // COMPAT: jabberd2 2.7.0 never reads again behind a stanza of more than 65,535 bytes.
  jabberd2: { stanzaBytes: 65_535, depth: 1_000 },
  unknown: { stanzaBytes: 262_144, depth: 1_000 },
};

/**
 * What may be sent to a server, counted with all that the proxy adds.
 * @param configured what the operator says of it, which goes first
 */
export function upstreamLimits(kind: ServerKind, configured: Partial<UpstreamLimits>): UpstreamLimits {
  return { ...LIMITS[kind], ...configured };
}

/** What a server says of itself (XEP-0478); undefined when it says nothing that can be read. */
export function announcedLimits(features: Element): Partial<UpstreamLimits> | undefined {
  const text = features.getChild('limits', NS.streamLimits)?.getChildText('max-bytes');
  const bytes = typeof text === 'string' && /^\d{1,12}$/.test(text.trim()) ? Number(text) : 0;
  return bytes >= SMALLEST_LIMIT ? { stanzaBytes: bytes } : undefined;
}
