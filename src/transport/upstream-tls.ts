import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { domainToASCII } from 'node:url';
import type { UpstreamConfig } from '../config/model.js';
import type { TlsFacts } from '../session/port.js';
import { fingerprint } from './certificate-files.js';
import type { TlsWrapping } from './leg.js';
import { checkXmppIdentity } from './server-identity.js';
import { XMPP_CLIENT_ALPN_LIST } from './server-tls.js';

/** TLS towards servers, where the proxy is the TLS client. */
export class UpstreamTlsDialer {
  /** By the file of accepted authorities; '' for those Node brings along. */
  readonly #contexts = new Map<string, SecureContext>();

  wrapping(upstream: UpstreamConfig, domain: string): TlsWrapping {
    return {
      securedEvent: 'secureConnect',
      wrap: (socket) => this.wrap(socket, upstream, domain),
      facts: (socket) => factsTowardsServer(socket, upstream),
    };
  }

  /** Who the server is, is judged by the XMPP domain, never by the host it was found at (RFC 6120 §13.7.2). */
  wrap(socket: Socket, upstream: UpstreamConfig, domain: string): TLSSocket {
    const name = domainToASCII(domain) || domain;
    return connect({
      socket,
      secureContext: this.#contextFor(upstream.caFile ?? ''),
      rejectUnauthorized: upstream.verify.kind === 'full',
      checkServerIdentity: (_host, certificate) => checkXmppIdentity(domain, certificate),
      // RFC 6066 §3 allows no address as a server name.
      ...(isIP(name) === 0 && { servername: name }),
      ...(upstream.tls === 'direct' && { ALPNProtocols: XMPP_CLIENT_ALPN_LIST }),
    });
  }

  /** Reads the files of authorities anew for connections to come. */
  forgetAuthorities(): void {
    this.#contexts.clear();
  }

  #contextFor(caFile: string): SecureContext {
    let context = this.#contexts.get(caFile);
    if (context === undefined) {
      context = createSecureContext({
        minVersion: 'TLSv1.2',
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
        ...(caFile !== '' && { ca: readFileSync(caFile) }),
      });
      this.#contexts.set(caFile, context);
    }
    return context;
  }
}

/** What a finished handshake with a server came to; undefined when its certificate is not the pinned one. */
export function factsTowardsServer(socket: TLSSocket, upstream: UpstreamConfig): TlsFacts | undefined {
  const theirs = socket.getPeerX509Certificate();
  const certificateSha256 = theirs === undefined ? undefined : fingerprint(theirs);
  if (upstream.verify.kind === 'pin' && certificateSha256 !== upstream.verify.sha256) return undefined;
  return { protocol: socket.getProtocol() ?? 'unknown', certificateSha256 };
}
