import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { UpstreamConfig, UpstreamLimits } from '../config/model.js';
import type { ServerKind } from '../session/feature.js';
import type { TlsFacts } from '../session/port.js';
import type { StreamHeader } from '../xml/header.js';
import { AFTER_AUTH, BEFORE_AUTH } from '../xml/limits.js';
import { NS } from '../xml/namespaces.js';
import { serializeElement } from '../xml/serialize.js';
import { parseElement } from '../xml/tree.js';
import { type Advice, adviseOn } from './advice.js';
import type { BindingVerdict } from './channel-binding.js';
import { rewriteFeatures } from './features.js';
import { announcedLimits, recogniseServer, upstreamLimits } from './server-kind.js';

/** What a server shows on one stream. */
export interface StreamView {
  readonly header: StreamHeader;
  /** A tree that stands on its own; undefined: none came, as with servers older than XMPP 1.0. */
  readonly features: Element | undefined;
}

/** What a handshake with a server showed. */
export interface TlsView extends TlsFacts {
  /** Why the certificate would not be accepted for the domain, in OpenSSL's or Node's word; undefined: it would be. */
  readonly certificateFault: string | undefined;
  /** Whole days for which the certificate is still valid, negative when it is not; undefined: there was none to be read. */
  readonly daysLeft: number | undefined;
}

/** Why looking at a server went no further; from a closed set. */
export type ViewEnd =
  | 'refused'
  | 'unresolvable'
  | 'unreachable'
  | 'silent'
  | 'closed'
  | 'unreadable'
  | 'stream-error'
  | 'tls-failed'
  | 'starttls-refused'
  | 'sign-in-refused';

/** All that a server showed to somebody who connected as the proxy would. */
export interface UpstreamView {
  readonly domain: string;
  /** Absent with TLS from the first byte. */
  readonly beforeTls: StreamView | undefined;
  readonly tls: TlsView | undefined;
  readonly behindTls: StreamView | undefined;
  /** Only when somebody signed in. */
  readonly behindAuth: StreamView | undefined;
  readonly end: { readonly kind: ViewEnd; readonly detail: string } | undefined;
}

/** What becomes of one thing that the server offers. */
export interface Treatment {
  readonly stage: 'before authentication' | 'behind authentication';
  /** As it is shown: `sm:3`, `mechanism SCRAM-SHA-1-PLUS`. */
  readonly offer: string;
  readonly action: 'passed' | 'changed' | 'hidden' | 'ended' | 'added';
  readonly reason: string;
}

export interface Assessment {
  readonly domain: string;
  readonly upstream: string;
  readonly kind: ServerKind;
  /** `guessed`: Prosody and ejabberd say who they are behind authentication only; before it there is the form of their stream ids. */
  readonly certainty: 'announced' | 'guessed' | 'unknown';
  /** What `kind` rests on, as a clause; undefined when it is unknown. */
  readonly grounds: string | undefined;
  /** `TLSv1.3`, or undefined for a leg in the clear. */
  readonly protocol: string | undefined;
  readonly treatments: readonly Treatment[];
  readonly binding: BindingVerdict['reason'];
  readonly limits: UpstreamLimits;
  readonly advice: readonly Advice[];
}

const PASSED = 'passed on as it is';

/** Why a feature does not reach the client, by namespace; `ended` where the proxy does that job itself, once per leg. */
const TAKEN_OUT: ReadonlyMap<string, readonly ['hidden' | 'ended', string]> = new Map([
  [NS.tls, ['ended', 'each leg has TLS of its own']],
  [NS.compressFeature, ['hidden', 'a compressed stream could not be read']],
  [NS.sm2, ['ended', 'each leg counts for itself; clients are offered it by the proxy']],
  [NS.sm3, ['ended', 'each leg counts for itself; clients are offered it by the proxy']],
  [NS.smLegacy, ['hidden', 'this old form confirms nothing; clients are offered the present one']],
  [NS.bind, ['hidden', 'one stream is one session']],
  [NS.sasl2, ['hidden', 'it binds and resumes in one step, which would have to be translated']],
  [NS.saslChannelBinding, ['hidden', 'what the server binds to is its own leg']],
]);

const SHORT: ReadonlyMap<string, string> = new Map([
  [NS.sm2, 'sm:2'],
  [NS.sm3, 'sm:3'],
  [NS.smLegacy, 'sm (before XEP-0198)'],
  [NS.sasl2, 'sasl2'],
  [NS.caps, 'capabilities'],
  [NS.registerFeature, 'registration'],
  [NS.iqAuthFeature, 'iq-auth'],
  [NS.rosterVersion, 'roster versions'],
  ['urn:xmpp:features:pre-approval', 'pre-approval'],
]);

/**
 * What the proxy makes of a server: who it is, what becomes of each of its features, and what its operator should change.
 * @param clientCertificateSha256 of the certificate that the proxy presents to clients, when that is known
 */
export function assessUpstream(
  view: UpstreamView,
  upstream: UpstreamConfig,
  clientCertificateSha256?: string,
): Assessment {
  const client: TlsFacts = { protocol: 'TLSv1.3', certificateSha256: clientCertificateSha256 };
  const { kind, certainty, grounds } = recognise(view);
  const treatments: Treatment[] = [];
  let binding: BindingVerdict['reason'] = 'none-offered';
  let mechanisms: readonly string[] | undefined;
  // Towards a client there is one list, that of the stream on which it may authenticate.
  const open = upstream.tls === 'off' ? view.beforeTls : view.behindTls;
  if (upstream.tls === 'starttls' && view.behindTls !== undefined) {
    const reason = 'the proxy uses it on this leg; clients have that of the listener';
    treatments.push({ stage: 'before authentication', offer: 'starttls', action: 'ended', reason });
  }
  if (open?.features !== undefined) {
    const treated = treat(open.features, client, view.tls, false);
    treatments.push(...treated.treatments);
    ({ binding, mechanisms } = treated);
  }
  if (view.behindAuth?.features !== undefined) {
    treatments.push(...treat(view.behindAuth.features, client, view.tls, true).treatments);
  }
  return {
    domain: view.domain,
    upstream: upstream.url,
    kind,
    certainty,
    grounds,
    protocol: view.tls?.protocol,
    treatments,
    binding,
    limits: upstreamLimits(kind, { ...announcedIn(view), ...upstream.limits }),
    advice: adviseOn({ view, upstream, kind, open, binding, mechanisms }),
  };
}

/** The names of SASL mechanisms in features, in the order of the server. */
export function mechanismsOf(features: Element | undefined): string[] {
  const list = features?.getChild('mechanisms', NS.sasl);
  return (list?.getChildren('mechanism') ?? []).map((mechanism) => mechanism.getText().trim());
}

/** One line of words for features, as an operator knows them: `starttls(required)`, `mechanisms PLAIN SCRAM-SHA-1`. */
export function describeFeatures(features: Element | undefined): string[] {
  return (features?.getChildElements() ?? []).map((feature) => {
    if (feature.getNS() === NS.sasl) return `mechanisms ${mechanismsOf(features).join(' ')}`;
    const mark = ['required', 'optional'].find((name) => feature.getChild(name) !== undefined);
    return mark === undefined ? nameOf(feature) : `${nameOf(feature)}(${mark})`;
  });
}

function nameOf(feature: Element): string {
  return SHORT.get(feature.getNS() ?? '') ?? feature.getName();
}

/** What the server says it takes (XEP-0478), on the last stream on which it says so. */
function announcedIn(view: UpstreamView): Partial<UpstreamLimits> {
  const streams = [view.behindAuth, view.behindTls, view.beforeTls].flatMap(
    (stream) => stream?.features ?? [],
  );
  for (const features of streams) {
    const announced = announcedLimits(features);
    if (announced !== undefined) return announced;
  }
  return {};
}

/** A guess and not a question: unauthenticated, none of the three servers answers one, and two of them end the stream for it. */
function recognise(view: UpstreamView): Pick<Assessment, 'kind' | 'certainty' | 'grounds'> {
  let kind: ServerKind = 'unknown';
  const streams = [view.beforeTls, view.behindTls, view.behindAuth].filter((stream) => stream !== undefined);
  for (const { header, features } of streams) {
    if (features !== undefined) kind = recogniseServer(kind, header, features);
  }
  if (kind !== 'unknown') {
    const grounds =
      kind === 'jabberd2'
        ? 'it offers on its streams what no other server does'
        : 'its capabilities say so (XEP-0115)';
    return { kind, certainty: 'announced', grounds };
  }
  const id = streams[0]?.header.id ?? '';
  if (/^\d{12,20}$/.test(id)) {
    return {
      kind: 'ejabberd',
      certainty: 'guessed',
      grounds: "its stream id is a number, as ejabberd's are",
    };
  }
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) {
    return {
      kind: 'prosody',
      certainty: 'guessed',
      grounds: "its stream id is a random UUID, as Prosody's are",
    };
  }
  return { kind, certainty: 'unknown', grounds: undefined };
}

/** What the session would do to these features: by doing it. */
function treat(features: Element, client: TlsFacts, server: TlsFacts | undefined, authenticated: boolean) {
  const stage = authenticated ? 'behind authentication' : 'before authentication';
  const shown = parseElement(Buffer.from(serializeElement(features)));
  const { binding, mechanisms } = rewriteFeatures(shown, {
    listenerTls: 'required',
    clientTls: client,
    serverTls: server,
    authenticated,
    stanzaBytes: (authenticated ? AFTER_AUTH : BEFORE_AUTH).stanzaBytes,
  });
  const keyOf = (feature: Element) => `${feature.getName()} ${feature.getNS()}`;
  const offered = new Set(features.getChildElements().map(keyOf));
  const left = new Set(shown.getChildElements().map(keyOf));
  const treatments: Treatment[] = [];
  for (const feature of features.getChildElements()) {
    const offer = nameOf(feature);
    const namespace = feature.getNS() ?? '';
    if (namespace === NS.sasl) {
      for (const name of mechanismsOf(features)) treatments.push(treatMechanism(name, mechanisms, binding));
    } else if (namespace === NS.streamLimits) {
      treatments.push({
        stage,
        offer,
        action: 'changed',
        reason: 'the smaller of its limit and the one here',
      });
    } else if (!isProxysOwn(namespace) && left.has(keyOf(feature))) {
      treatments.push({ stage, offer, action: 'passed', reason: PASSED });
    } else {
      const [action, reason] = TAKEN_OUT.get(namespace) ?? ['hidden', 'not passed on'];
      treatments.push({ stage, offer, action, reason });
    }
  }
  for (const feature of shown.getChildElements()) {
    if (offered.has(keyOf(feature))) continue;
    treatments.push({
      stage,
      offer: nameOf(feature),
      action: 'added',
      reason: 'the proxy has it, whatever the server has',
    });
  }
  return { treatments, binding, mechanisms };
}

/** The client is shown an element of this name, but it is the proxy's own. */
function isProxysOwn(namespace: string): boolean {
  return namespace === NS.sm2 || namespace === NS.sm3;
}

function treatMechanism(
  name: string,
  shown: readonly string[],
  binding: BindingVerdict['reason'],
): Treatment {
  const stage = 'before authentication';
  const offer = `mechanism ${name}`;
  if (shown.includes(name)) {
    const bound = name.endsWith('-PLUS') && binding === 'same-certificate';
    const reason = bound ? 'with tls-server-end-point: both legs present the same certificate' : PASSED;
    return { stage, offer, action: 'passed', reason };
  }
  const reason =
    name === 'EXTERNAL'
      ? "the server would judge the proxy's certificate, not the client's"
      : 'it binds to the TLS of one leg, and there are two';
  return { stage, offer, action: 'hidden', reason };
}
