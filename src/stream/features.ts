import type { Element } from 'ltx';
import type { ListenerTls } from '../config/model.js';
import type { TlsFacts } from '../session/port.js';
import type { SaslProfile } from '../session/start/exchange.js';
import { offerSessionStart, type StartOffer } from '../session/start/offer.js';
import { NS } from '../xml/namespaces.js';
import { serializeElement } from '../xml/serialize.js';
import { type BindingVerdict, decideChannelBinding } from './channel-binding.js';

export interface FeaturesContext {
  /** How the listener deals with TLS. */
  readonly listenerTls: ListenerTls;
  readonly clientTls: TlsFacts | undefined;
  readonly serverTls: TlsFacts | undefined;
  /** SASL has succeeded on this stream. */
  readonly authenticated: boolean;
  /** Bytes of a stanza that the proxy takes from this client at present. */
  readonly stanzaBytes: number;
  /** Features may change what the server says of itself. */
  readonly amended?: boolean;
  /** What the client can have along with SASL2; undefined: SASL2 is not offered. */
  readonly start?: StartOffer | undefined;
  /** What the client has had along with it is not shown again. */
  readonly started?: { readonly bound: boolean; readonly managed: boolean } | undefined;
}

export interface RewrittenFeatures {
  readonly xml: string;
  readonly binding: BindingVerdict['reason'];
  /** The mechanisms the client is shown. */
  readonly mechanisms: readonly string[];
  /** In which profile the server takes them (XEP-0388). */
  readonly profile: SaslProfile;
  /** Stream management the server has: its newest namespace, or undefined. */
  readonly serverSm: string | undefined;
}

/** Features that may not reach the client, each for a reason of its own. */
const REMOVED: readonly (readonly [name: string | undefined, namespace: string])[] = [
  // STARTTLS is ours on the client leg and done on the server leg.
  ['starttls', NS.tls],
  // A compressed stream could not be read, and is a way to exhaust either end (XEP-0138 §security).
  ['compression', NS.compressFeature],
  // Stream management ends here; ours is added below.
  ['sm', NS.sm2],
  ['sm', NS.sm3],
  // jabberd2's ancient form of it, and its offer to take a bound resource away.
  [undefined, NS.smLegacy],
  ['unbind', NS.bind],
  // SASL2 carries binding, resumption and inline requests that have to be translated, not passed.
  [undefined, NS.sasl2],
  // Listed anew when binding works through the proxy.
  [undefined, NS.saslChannelBinding],
];

/**
 * The server's stream features as the client is shown them (RFC 6120 §4.3.2): the server's own, less what the proxy ends on its legs, with
 * STARTTLS and stream management of the proxy's own.
 * @param features is changed: each answer to a header needs a tree of its own
 */
export function rewriteFeatures(features: Element, context: FeaturesContext): RewrittenFeatures {
  const serverSm = [NS.sm3, NS.sm2].find((namespace) => features.getChild('sm', namespace) !== undefined);
  const bindings = offeredBindings(features);
  // A server that has both is taken at its old word, which needs nothing of the new one; one that has only the new one is spoken to in it.
  const modern =
    features.getChild('mechanisms', NS.sasl) === undefined
      ? features.getChild('authentication', NS.sasl2)
      : undefined;
  for (const child of features.getChildElements()) {
    const removed = REMOVED.some(
      ([name, namespace]) => child.getNS() === namespace && (name === undefined || child.getName() === name),
    );
    if (removed) features.remove(child);
  }
  // The hash is of what the server says itself (XEP-0115 §6.3, XEP-0390 §5): who knows it would not ask, and not hear of what has been added.
  if (context.amended === true)
    for (const child of features.getChildElements())
      if (child.getName() === 'c' && (child.getNS() === NS.caps || child.getNS() === NS.caps2))
        features.remove(child);
  let binding: BindingVerdict = { mechanisms: [], bindings: undefined, reason: 'none-offered' };
  if (modern !== undefined) {
    const mechanisms = modern.getChildren('mechanism').map((child) => child.getText().trim());
    binding = decideChannelBinding({ mechanisms, bindings }, context.clientTls, context.serverTls);
    listBindings(features, binding);
  }
  const list = features.getChild('mechanisms', NS.sasl);
  if (list !== undefined) {
    const mechanisms = list.getChildren('mechanism').map((child) => child.getText().trim());
    binding = decideChannelBinding({ mechanisms, bindings }, context.clientTls, context.serverTls);
    for (const child of list.getChildren('mechanism')) {
      if (!binding.mechanisms.includes(child.getText().trim())) list.remove(child);
    }
    listBindings(features, binding);
  }
  // XEP-0478: the smaller of what the two of us take.
  const announced = features.getChild('limits', NS.streamLimits)?.getChild('max-bytes');
  if (announced !== undefined && !(Number(announced.getText()) <= context.stanzaBytes)) {
    announced.children = [String(context.stanzaBytes)];
  }
  if (context.clientTls === undefined && context.listenerTls === 'optional' && !context.authenticated) {
    features.c('starttls', { xmlns: NS.tls });
  }
  if (context.start !== undefined && !context.authenticated)
    offerSessionStart(features, binding.mechanisms, context.start);
  if (context.started?.bound === true) {
    for (const name of [NS.bind, NS.session])
      for (const child of features.getChildElements()) if (child.getNS() === name) features.remove(child);
  }
  if (context.authenticated && context.started?.managed !== true) {
    features.c('sm', { xmlns: NS.sm2 });
    features.c('sm', { xmlns: NS.sm3 });
  }
  // Our own header declares the one; what used the other is gone.
  if (features.attrs['xmlns:stream'] === NS.stream) delete features.attrs['xmlns:stream'];
  if (features.attrs['xmlns:ack'] === NS.smLegacy) delete features.attrs['xmlns:ack'];
  return {
    xml: serializeElement(features),
    binding: binding.reason,
    mechanisms: binding.mechanisms,
    profile: modern === undefined ? NS.sasl : NS.sasl2,
    serverSm,
  };
}

/** Features of a stream on which TLS has to come first (RFC 6120 §5.3.1: the only feature, and required). */
export const TLS_FIRST = `<stream:features><starttls xmlns='${NS.tls}'><required/></starttls></stream:features>`;

function listBindings(features: Element, { bindings }: BindingVerdict): void {
  if (bindings === undefined) return;
  const types = features.c('sasl-channel-binding', { xmlns: NS.saslChannelBinding });
  for (const type of bindings) types.c('channel-binding', { type });
}

function offeredBindings(features: Element): string[] | undefined {
  const list = features.getChild('sasl-channel-binding', NS.saslChannelBinding);
  return list?.getChildren('channel-binding').map((entry) => String(entry.attrs.type ?? ''));
}
