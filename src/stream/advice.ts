import type { UpstreamConfig } from '../config/model.js';
import type { ServerKind } from '../session/feature.js';
import { NS } from '../xml/namespaces.js';
import type { StreamView, UpstreamView } from './assessment.js';
import { type BindingVerdict, END_POINT } from './channel-binding.js';

/** What an operator may be told to look after. The set is closed: scripts and tests go by these words. */
export const ADVICE_CODES = [
  'server-not-reached',
  'server-silent',
  'server-unreadable',
  'server-closes',
  'domain-not-served',
  'tls-failed',
  'starttls-not-offered',
  'starttls-required-but-off',
  'cert-not-valid',
  'cert-not-pinned',
  'cert-unchecked',
  'cert-expires',
  'plaintext-leg-off-loopback',
  'no-mechanism-left',
  'binding-refuses-y',
  'binding-cert-differs',
  'sign-in-refused',
  'proxy-header-unknown',
  'prosody-rate-limit',
  'ejabberd-shaper',
  'ejabberd-backlog',
  'ejabberd-one-address',
  'ejabberd-registration-timeout',
  'ejabberd-max-user-sessions',
  'jabberd2-stanza-limit',
  'jabberd2-limit-too-high',
  'jabberd2-churn',
  'no-stream-management',
] as const;

export type AdviceCode = (typeof ADVICE_CODES)[number];

export interface Advice {
  readonly code: AdviceCode;
  /** `problem`: some client will notice, or somebody may listen. `hint`: good to know before there is load. */
  readonly weight: 'problem' | 'hint';
  /** One sentence: what is so, and what to change. */
  readonly sentence: string;
}

export interface AdviceGrounds {
  readonly view: UpstreamView;
  readonly upstream: UpstreamConfig;
  readonly kind: ServerKind;
  /** The stream on which clients authenticate; undefined: it was not reached. */
  readonly open: StreamView | undefined;
  readonly binding: BindingVerdict['reason'];
  /** Those a client is shown; undefined: there was no list. */
  readonly mechanisms: readonly string[] | undefined;
}

/** Nobody but this machine is on the way to it; kept to names and numbers that cannot be anything else. */
const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost|.*\.localhost)$/;

/** Above it jabberd2 stops reading for good. */
const JABBERD2_STANZA = 65_535;

const SOON_DAYS = 21;

/**
 * What should be changed on or around a server, most pressing first.
 */
export function adviseOn(grounds: AdviceGrounds): readonly Advice[] {
  const advice = [
    ...connecting(grounds),
    ...securing(grounds),
    ...authenticating(grounds),
    ...running(grounds),
  ];
  return advice.sort((a, b) => Number(b.weight === 'problem') - Number(a.weight === 'problem'));
}

function problem(code: AdviceCode, sentence: string): Advice {
  return { code, weight: 'problem', sentence };
}

function hint(code: AdviceCode, sentence: string): Advice {
  return { code, weight: 'hint', sentence };
}

function* connecting({ view, upstream }: AdviceGrounds): Generator<Advice> {
  const { end, domain } = view;
  if (end === undefined) return;
  const { detail } = end;
  const where = `${upstream.host}:${upstream.port}`;
  switch (end.kind) {
    case 'refused':
      yield problem(
        'server-not-reached',
        `Nothing listens at ${where}: start the server, or correct the upstream.`,
      );
      break;
    case 'unresolvable':
      yield problem(
        'server-not-reached',
        `The name ${upstream.host} cannot be resolved: correct the upstream, or the DNS.`,
      );
      break;
    case 'unreachable':
      yield problem(
        'server-not-reached',
        `${where} cannot be reached (${detail}): look at the route and the firewall.`,
      );
      break;
    case 'silent':
      yield problem('server-silent', silence(upstream, where, detail));
      break;
    case 'closed':
      yield problem('server-closes', closing(upstream, where));
      break;
    case 'unreadable':
      yield problem(
        'server-unreadable',
        `What ${where} answers is no XMPP stream for clients (${detail}): correct the port.`,
      );
      break;
    case 'stream-error':
      if (detail === 'host-unknown') {
        yield problem(
          'domain-not-served',
          `The server does not serve ${domain}: add it there, or correct the domain here.`,
        );
      } else {
        yield problem('server-closes', `The server ends the stream with ${detail}: its log says why.`);
      }
      break;
    case 'tls-failed':
      yield problem(
        'tls-failed',
        `The TLS handshake with ${where} fails (${detail}): look at the server's protocols and certificate.`,
      );
      break;
    case 'starttls-refused':
      yield problem(
        'tls-failed',
        'The server offers STARTTLS and then refuses it: give it a certificate for the domain.',
      );
      break;
    case 'sign-in-refused':
      yield problem(
        'sign-in-refused',
        `Signing in was refused (${detail}), so nothing is known of what comes behind it.`,
      );
      break;
  }
}

function silence(upstream: UpstreamConfig, where: string, detail: string): string {
  const header = 'it may not expect the PROXY header (ejabberd: use_proxy_protocol, Prosody: mod_net_proxy)';
  const missing =
    'it may be waiting for a PROXY header (proxy=v2), or for TLS from the first byte (xmpps://)';
  return `${where} does not answer (waited for ${detail}): ${upstream.sendProxy === 'off' ? missing : header}.`;
}

function closing(upstream: UpstreamConfig, where: string): string {
  const cause =
    upstream.sendProxy === 'off'
      ? 'expect TLS from the first byte (xmpps://) or a PROXY header (proxy=v2)'
      : 'not expect the PROXY header that is sent (take proxy= away, or turn it on there)';
  return `${where} closes the connection before it says what it offers: it may ${cause}.`;
}

function* securing({ view, upstream }: AdviceGrounds): Generator<Advice> {
  const { beforeTls, tls } = view;
  const loopback = LOOPBACK.test(upstream.host);
  const starttls = beforeTls?.features?.getChild('starttls', NS.tls);
  if (upstream.tls === 'starttls' && beforeTls?.features !== undefined && starttls === undefined) {
    const instead = loopback ? 'or take tls=starttls away here' : 'or use its port for direct TLS (xmpps://)';
    yield problem(
      'starttls-not-offered',
      `The server offers no STARTTLS, so no client gets through: turn it on there, ${instead}.`,
    );
  }
  if (upstream.tls === 'off' && starttls?.getChild('required') !== undefined) {
    yield problem(
      'starttls-required-but-off',
      `The server requires TLS and the leg to it has none, so no client gets through: say tls=starttls here, or switch it off there for this address${
        loopback ? ' (Prosody: c2s_require_encryption = false, ejabberd: starttls_required: false)' : ''
      }.`,
    );
  }
  if (upstream.tls === 'off' && !loopback) {
    yield problem(
      'plaintext-leg-off-loopback',
      'Whoever is on the way to the server reads everything, passwords included: say tls=starttls, or use xmpps://.',
    );
  }
  if (tls === undefined) return;
  const { verify } = upstream;
  const { daysLeft } = tls;
  if (daysLeft !== undefined && daysLeft >= 0 && daysLeft <= SOON_DAYS) {
    yield hint(
      'cert-expires',
      `The server's certificate is good for ${daysLeft} more days: renew it in time.`,
    );
  }
  if (verify.kind === 'pin' && tls.certificateSha256 !== verify.sha256) {
    yield problem(
      'cert-not-pinned',
      `The server's certificate is not the pinned one, so no client gets through: pin ${tls.certificateSha256 ?? 'nothing'} if it is the right one.`,
    );
  }
  if (verify.kind === 'full' && tls.certificateFault !== undefined) {
    yield problem(
      'cert-not-valid',
      `The server's certificate is not accepted for ${view.domain} (${tls.certificateFault}), so no client gets through: renew it, name its authority with caFile, or pin it (verify=pin:${tls.certificateSha256 ?? 'SHA256'}).`,
    );
  }
  if (verify.kind === 'off' && !loopback) {
    yield problem(
      'cert-unchecked',
      `Nobody checks whether this is the server of ${view.domain}: say verify=full, or verify=pin:${tls.certificateSha256 ?? 'SHA256'}.`,
    );
  }
}

function* authenticating(grounds: AdviceGrounds): Generator<Advice> {
  const { view, kind, open, binding, mechanisms } = grounds;
  if (mechanisms !== undefined && mechanisms.length === 0) {
    yield problem(
      'no-mechanism-left',
      'None of the mechanisms that the server offers can work through a proxy: turn on SCRAM there.',
    );
  }
  if (binding !== 'hidden') return;
  const bindings = open?.features?.getChild('sasl-channel-binding', NS.saslChannelBinding);
  const listed = bindings?.getChildren('channel-binding').some((entry) => entry.attrs.type === END_POINT);
  if (listed === true) {
    yield hint(
      'binding-cert-differs',
      'Channel binding would work through the proxy if it presented the certificate of the server: give both the same.',
    );
  }
  // COMPAT: ejabberd 23.01 accepts the gs2 flag `y` although it offers -PLUS; later ones, which list the types (XEP-0440), refuse it.
  if (kind === 'ejabberd' && bindings === undefined) return;
  const why =
    'Clients that know channel binding will be refused, because the server offers it on its own leg and the proxy cannot:';
  if (view.tls?.protocol === 'TLSv1.2' && listed !== true) {
    const how = kind === 'prosody' ? ' (Prosody: ssl = { protocol = "tlsv1_3+" })' : '';
    yield problem(
      'binding-refuses-y',
      `${why} raise the leg from TLS 1.2 to TLS 1.3${how}, or have it in the clear on loopback.`,
    );
  } else {
    const same =
      listed === true ? 'present the same certificate on both legs' : 'switch the -PLUS mechanisms off there';
    yield problem('binding-refuses-y', `${why} ${same}, or have the leg in the clear on loopback.`);
  }
}

/** What the three servers do under load, by name: none of it shows in a probe. */
function* running(grounds: AdviceGrounds): Generator<Advice> {
  const { view, upstream, kind, open } = grounds;
  if (open?.features === undefined) return;
  const behind = view.behindAuth?.features;
  const withoutSm =
    behind !== undefined && [NS.sm2, NS.sm3].every((sm) => behind.getChild('sm', sm) === undefined);
  if (withoutSm || (behind === undefined && kind === 'jabberd2')) {
    yield hint(
      'no-stream-management',
      'The server has no stream management: a stanza counts as delivered to it once the kernel has taken it, and what it had not read when it dies is lost.',
    );
  }
  switch (kind) {
    case 'prosody':
      yield hint(
        'prosody-rate-limit',
        'Prosody reads 10 kB/s from a connection, with bursts of 2 s: raise limits = { c2s = { rate = "…" } } where clients send more than text.',
      );
      break;
    case 'ejabberd':
      yield* ejabberd(upstream, open);
      break;
    case 'jabberd2':
      yield* jabberd2(upstream);
      break;
    default:
  }
}

function* ejabberd(upstream: UpstreamConfig, open: StreamView): Generator<Advice> {
  if (upstream.parallelConnects > 4) {
    yield problem(
      'ejabberd-backlog',
      `ejabberd's listen backlog is 5 unless its config says otherwise, and ${upstream.parallelConnects} connections are made at a time: raise backlog on its listener, or lower parallelConnects to 4.`,
    );
  } else {
    yield hint(
      'ejabberd-backlog',
      `Only ${upstream.parallelConnects} connections are made at a time because ejabberd's listen backlog is 5: raise backlog there and parallelConnects here, and thousands of clients come back faster after a restart.`,
    );
  }
  if (upstream.sendProxy === 'off') {
    yield hint(
      'ejabberd-one-address',
      'To ejabberd all clients come from one address, so that mod_fail2ban locks all of them out for the mistakes of one: use proxy=v2 and use_proxy_protocol on a listener that nobody else can reach, or take the proxy off the ban.',
    );
    if (open.features?.getChild('register', NS.registerFeature) !== undefined) {
      yield hint(
        'ejabberd-registration-timeout',
        'One registration per address and 600 s is what ejabberd allows, and all come from one address: set registration_timeout, or use proxy=v2.',
      );
    }
  }
  yield hint(
    'ejabberd-max-user-sessions',
    'An eleventh session of a user ends the oldest (max_user_sessions), through the proxy as without it: raise it for users with many devices.',
  );
  yield hint(
    'ejabberd-shaper',
    'The shipped shaper reads 3,000 bytes/s from a connection behind a burst of 20 kB: raise c2s_shaper where clients send more than text.',
  );
}

function* jabberd2(upstream: UpstreamConfig): Generator<Advice> {
  if (upstream.sendProxy !== 'off') {
    yield problem('proxy-header-unknown', 'jabberd2 knows no PROXY header: take proxy= away.');
  }
  if ((upstream.limits.stanzaBytes ?? 0) > JABBERD2_STANZA) {
    yield problem(
      'jabberd2-limit-too-high',
      `jabberd2 never reads again behind a stanza of more than ${JABBERD2_STANZA} bytes: take limits.stanzaBytes away here.`,
    );
  } else {
    yield hint(
      'jabberd2-stanza-limit',
      `jabberd2 never reads again behind a stanza of more than ${JABBERD2_STANZA} bytes: larger ones are answered with policy-violation here, so point clients to file upload.`,
    );
  }
  yield hint(
    'jabberd2-churn',
    'When many clients reconnect, jabberd2 answers some fresh streams with internal-server-error: the proxy tries again by itself, and nothing has to be done.',
  );
}
