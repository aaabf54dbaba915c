import type { TlsFacts } from '../session/port.js';

/** XEP-0440 name of the one binding type that survives two TLS legs: it depends on the certificate alone (RFC 5929 §4). */
export const END_POINT = 'tls-server-end-point';

export interface BindingOffer {
  readonly mechanisms: readonly string[];
  /** Binding types the server lists (XEP-0440); undefined when it lists none. */
  readonly bindings: readonly string[] | undefined;
}

export interface BindingVerdict {
  readonly mechanisms: readonly string[];
  /** What to list to the client; undefined: no list. */
  readonly bindings: readonly string[] | undefined;
  /**
   * `none-offered`: there was nothing to decide. `same-certificate`: binding works through the proxy. `hidden`: the -PLUS mechanisms
   * were taken out; a client that knows binding says so with the gs2 flag `y`, which a server that offers binding has to refuse
   * (RFC 5802 §6).
   */
  readonly reason: 'none-offered' | 'same-certificate' | 'hidden';
}

/**
 * Which SASL mechanisms of the server a client may be shown, with the two TLS layers that are between them.
 * @param client facts of the client leg's TLS, undefined when it has none; `server` likewise
 */
export function decideChannelBinding(
  offer: BindingOffer,
  client: TlsFacts | undefined,
  server: TlsFacts | undefined,
): BindingVerdict {
  // EXTERNAL would be judged by the certificate of the proxy's own leg, never by the client's (XEP-0178).
  const possible = offer.mechanisms.filter((name) => name !== 'EXTERNAL');
  if (!possible.some((name) => name.endsWith('-PLUS'))) {
    return { mechanisms: possible, bindings: undefined, reason: 'none-offered' };
  }
  const sameCertificate =
    client?.certificateSha256 !== undefined && client.certificateSha256 === server?.certificateSha256;
  if (sameCertificate && offer.bindings?.includes(END_POINT) === true) {
    return { mechanisms: possible, bindings: [END_POINT], reason: 'same-certificate' };
  }
  return {
    mechanisms: possible.filter((name) => !name.endsWith('-PLUS')),
    bindings: undefined,
    reason: 'hidden',
  };
}
