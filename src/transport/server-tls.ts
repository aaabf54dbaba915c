import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { TlsFacts } from '../session/port.js';
import { fingerprint } from './certificate-files.js';
import type { CertificateStore } from './certificates.js';
import { endPointBinding } from './end-point-binding.js';
import type { TlsWrapping } from './leg.js';

/** The protocol name of direct TLS towards clients (XEP-0368 §4). */
const XMPP_CLIENT_ALPN = 'xmpp-client';
/** What browsers are to speak inside of TLS, who would rather speak HTTP/2. */
const HTTP_ALPN = 'http/1.1';

export const XMPP_CLIENT_ALPN_LIST = alpnList(XMPP_CLIENT_ALPN);
const HTTP_ALPN_LIST = alpnList(HTTP_ALPN);

type SniAnswer = (error: Error | null, context?: SecureContext) => void;

/** TLS towards clients, where the proxy is the TLS server. */
export class ServerTls {
  readonly #certificates: CertificateStore;
  readonly #selectByName: (name: string, answer: SniAnswer) => void;

  constructor(certificates: CertificateStore) {
    this.#certificates = certificates;
    // A name that we do not serve gets the default certificate: the stream header will say `host-unknown` properly.
    this.#selectByName = (name, answer) => answer(null, certificates.contextFor(name));
  }

  /**
   * @param direct TLS from the first byte: a client that offers ALPN must offer `xmpp-client`; one that offers none is let in
   * @param domain whose certificate is shown to a client that names none (SNI); '' for the default
   */
  wrapping(direct: boolean, domain: string): TlsWrapping {
    return {
      securedEvent: 'secure',
      wrap: (socket) => this.wrap(socket, direct, domain),
      facts: factsTowardsClient,
    };
  }

  wrap(socket: Socket, direct: boolean, domain: string, web = false): TLSSocket {
    const secureContext = this.#certificates.contextFor(domain) ?? this.#certificates.defaultContext();
    if (secureContext === undefined) throw new Error('TLS is offered but there is no certificate');
    const SNICallback = this.#selectByName;
    return direct
      ? new TLSSocket(socket, {
          isServer: true,
          secureContext,
          SNICallback,
          ALPNProtocols: web ? HTTP_ALPN_LIST : XMPP_CLIENT_ALPN_LIST,
        })
      : new TLSSocket(socket, { isServer: true, secureContext, SNICallback });
  }
}

/**
 * A protocol name on the wire (RFC 7301 §3.1). Of a `DataView` Node makes each connection a copy of just these bytes; of a list of names
 * it makes one in a slab of 8 KiB, and the connection keeps the slab.
 */
function alpnList(name: string): DataView {
  const { buffer } = Uint8Array.of(name.length, ...Buffer.from(name, 'latin1'));
  return new DataView(buffer);
}

/** What a finished handshake with a client came to. */
export function factsTowardsClient(socket: TLSSocket): TlsFacts {
  const own = socket.getX509Certificate();
  return {
    protocol: socket.getProtocol() ?? 'unknown',
    certificateSha256: own === undefined ? undefined : fingerprint(own),
    endPoint: own === undefined ? undefined : endPointBinding(own.raw),
  };
}
