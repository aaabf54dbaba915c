import type { WebConfig } from '../../config/model.js';
import { escapeAttribute } from '../../xml/serialize.js';

/** Where the ways to connect are looked up (RFC 6415 §2, XEP-0156 §3). */
export const HOST_META = '/.well-known/host-meta';
export const HOST_META_JSON = '/.well-known/host-meta.json';

const RELATIONS = {
  websocket: { rel: 'urn:xmpp:alt-connections:websocket', scheme: 'wss' },
  bosh: { rel: 'urn:xmpp:alt-connections:xbosh', scheme: 'https' },
} as const;

interface Link {
  readonly rel: string;
  readonly href: string;
}

/** A host name or address, with or without a port: what may be put into a URL that somebody else has named. */
const AUTHORITY = /^(?:[a-z0-9](?:[a-z0-9.-]{0,253})|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i;

/**
 * How web clients connect, as XRD or JRD (XEP-0156 §3). All of it is over TLS, by its rule 1: it is for who has asked over TLS.
 * @param ways of this port
 * @param host under which the request was sent here
 * @returns undefined when there is none that could be named
 */
export function hostMeta(
  ways: readonly WebConfig[],
  host: string | undefined,
  form: 'xrd' | 'jrd',
): { readonly type: string; readonly text: string } | undefined {
  const links = ways.flatMap((web): Link[] => {
    const authority = web.publicHost ?? host;
    if (authority === undefined || !AUTHORITY.test(authority)) return [];
    const { rel, scheme } = RELATIONS[web.transport];
    return [{ rel, href: `${scheme}://${authority}${web.path}` }];
  });
  if (links.length === 0) return undefined;
  if (form === 'jrd') return { type: 'application/json', text: `${JSON.stringify({ links })}\n` };
  const elements = links.map(({ rel, href }) => `  <Link rel='${rel}' href='${escapeAttribute(href)}'/>\n`);
  const text = `<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n${elements.join('')}</XRD>\n`;
  return { type: 'application/xrd+xml; charset=utf-8', text };
}
