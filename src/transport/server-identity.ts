import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { domainToASCII, domainToUnicode } from 'node:url';
import { parseJid } from '../jid.js';

/**
 * How Node names the two kinds of otherName that RFC 6120 §13.7.1.2.1 knows: id-on-dnsSRV (SRV-ID) and id-on-xmppAddr. A value that is more
 * than a plain name stands in quotes behind `othername:`, with its commas escaped, so that it is neither of these.
 */
const SRV_ID = 'othername:SRVName:';
const XMPP_ADDR = 'othername:XmppAddr:';

/** The service that clients look for (RFC 6120 §3.2.1); a certificate for `_xmpp-server` alone is none for it. */
const SERVICE = '_xmpp-client.';

/**
 * Whether a certificate is that of an XMPP server for clients of a domain (RFC 6120 §13.7.1.2.1): by a dNSName, an SRV-ID, or an
 * id-on-xmppAddr, and by its common name only when it has none of these (RFC 6125 §6.4.4).
 * @returns undefined when it is, else the error that Node has for it
 */
export function checkXmppIdentity(domain: string, certificate: PeerCertificate): Error | undefined {
  const name = domainToASCII(domain) || domain;
  const entries = (certificate.subjectaltname ?? '').split(', ');
  const services = textsBehind(SRV_ID, entries);
  const addresses = textsBehind(XMPP_ADDR, entries);
  if (services.length === 0 && addresses.length === 0) return checkServerIdentity(name, certificate);
  if (addresses.some((address) => isDomain(address, name))) return undefined;
  // What stands behind the service is compared like a dNSName, wildcard included: by Node.
  const ofClients = services.filter((service) => service.slice(0, SERVICE.length).toLowerCase() === SERVICE);
  const dnsNames = ofClients.map((service) => `DNS:${service.slice(SERVICE.length)}`);
  return checkServerIdentity(name, {
    ...certificate,
    subject: { ...certificate.subject, CN: '' },
    subjectaltname: [...entries, ...dnsNames].join(', '),
  });
}

function textsBehind(kind: string, entries: readonly string[]): string[] {
  return entries.filter((entry) => entry.startsWith(kind)).map((entry) => entry.slice(kind.length));
}

/** An address of a person is not that of their server. */
function isDomain(address: string, name: string): boolean {
  const jid = parseJid(address);
  if (jid === undefined || jid.local !== undefined || jid.resource !== undefined) return false;
  return jid.domain === name || jid.domain === domainToUnicode(name);
}
