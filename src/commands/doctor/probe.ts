import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { domainToASCII } from 'node:url';
import type { Element } from 'ltx';
import { isLoopback } from '../../config/addresses.js';
import type { UpstreamConfig } from '../../config/model.js';
import {
  mechanismsOf,
  type StreamView,
  type TlsView,
  type UpstreamView,
  type ViewEnd,
} from '../../stream/assessment.js';
import { fingerprint } from '../../transport/certificate-files.js';
import { buildProxyHeader } from '../../transport/proxy-protocol.js';
import { checkXmppIdentity } from '../../transport/server-identity.js';
import { XMPP_CLIENT_ALPN_LIST } from '../../transport/server-tls.js';
import { NS } from '../../xml/namespaces.js';
import { InitiatingStream, StreamProblem } from '../initiating-stream.js';
import { type Credentials, SignInRefused, signIn } from '../sign-in.js';

/** How long each step may take. */
const STEP_MS = 8_000;

const DAY_MS = 24 * 60 * 60 * 1000;

/** What has been seen so far; what is left undefined was not reached. */
interface Sight {
  beforeTls?: StreamView;
  tls?: TlsView;
  behindTls?: StreamView;
  behindAuth?: StreamView;
  end?: { kind: ViewEnd; detail: string };
}

/** COMPAT: jabberd2 answers a fresh stream now and then with what an earlier connection has left behind. */
const ATTEMPTS = 3;

/**
 * Looks at a server as the proxy will connect to it: same address, same TLS, same PROXY header. Never throws for what a server does.
 * @param credentials to look behind authentication; not used over a connection that the proxy itself would not accept
 */
export async function probeUpstream(
  upstream: UpstreamConfig,
  domain: string,
  credentials?: Credentials,
): Promise<UpstreamView> {
  for (let attempt = 1; ; attempt += 1) {
    const view = await probeOnce(upstream, domain, credentials);
    if (view.end?.detail !== 'internal-server-error' || attempt === ATTEMPTS) return view;
  }
}

async function probeOnce(
  upstream: UpstreamConfig,
  domain: string,
  credentials: Credentials | undefined,
): Promise<UpstreamView> {
  const sight: Sight = {};
  let stream: InitiatingStream | undefined;
  try {
    stream = await InitiatingStream.connect(upstream.host, upstream.port, STEP_MS);
    await look(stream, upstream, domain, credentials, sight);
    await stream.close();
  } catch (error) {
    if (error instanceof StreamProblem) sight.end = { kind: error.trouble, detail: error.detail };
    else if (error instanceof SignInRefused) sight.end = { kind: 'sign-in-refused', detail: error.message };
    else throw error;
  } finally {
    stream?.cut();
  }
  const { beforeTls, tls, behindTls, behindAuth, end } = sight;
  return { domain, beforeTls, tls, behindTls, behindAuth, end };
}

async function look(
  stream: InitiatingStream,
  upstream: UpstreamConfig,
  domain: string,
  credentials: Credentials | undefined,
  sight: Sight,
): Promise<void> {
  if (upstream.sendProxy !== 'off')
    stream.sendAside(buildProxyHeader(upstream.sendProxy, ownEndpoints(stream)));
  if (upstream.tls === 'direct') {
    sight.tls = await secure(stream, upstream, domain);
    sight.behindTls = await open(stream, domain);
  } else {
    sight.beforeTls = await open(stream, domain);
    if (upstream.tls === 'starttls') {
      if (sight.beforeTls.features?.getChild('starttls', NS.tls) === undefined) return;
      stream.send(`<starttls xmlns='${NS.tls}'/>`);
      const answer = await stream.expect('<proceed/>', (element) => element.getNS() === NS.tls);
      if (answer.getName() !== 'proceed') {
        sight.end = { kind: 'starttls-refused', detail: answer.getName() };
        return;
      }
      sight.tls = await secure(stream, upstream, domain);
      sight.behindTls = await open(stream, domain);
    }
  }
  if (credentials === undefined || !isAcceptable(sight.tls, upstream)) return;
  const { features } = sight.behindTls ?? sight.beforeTls ?? {};
  const isPrivate = sight.tls !== undefined || isLoopback(upstream.host);
  await signIn(stream, mechanismsOf(features), credentials, isPrivate);
  sight.behindAuth = await open(stream, domain);
}

/** Opens a stream and waits for its features, which only a server of XMPP 1.0 sends. */
async function open(stream: InitiatingStream, domain: string): Promise<StreamView> {
  const header = await stream.open({ to: domain });
  if (header.version === undefined && header.from !== undefined) return { header, features: undefined };
  const isFeatures = (element: Element) => element.getNS() === NS.stream && element.getName() === 'features';
  return { header, features: await stream.expect('stream features', isFeatures) };
}

/** The handshake is gone through whatever the certificate: what is wrong with it is what the operator wants to know. */
async function secure(stream: InitiatingStream, upstream: UpstreamConfig, domain: string): Promise<TlsView> {
  const name = domainToASCII(domain) || domain;
  const options: ConnectionOptions = {
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    checkServerIdentity: (_host, certificate) => checkXmppIdentity(domain, certificate),
    ...(isIP(name) === 0 && { servername: name }),
    ...(upstream.tls === 'direct' && { ALPNProtocols: XMPP_CLIENT_ALPN_LIST }),
    ...(upstream.caFile !== undefined && { ca: readFileSync(upstream.caFile) }),
  };
  return view(await stream.startTls(options));
}

function view(socket: TLSSocket): TlsView {
  const certificate = socket.getPeerX509Certificate();
  const fault: unknown = socket.authorized ? undefined : socket.authorizationError;
  return {
    protocol: socket.getProtocol() ?? 'unknown',
    certificateSha256: certificate === undefined ? undefined : fingerprint(certificate),
    certificateFault: fault === undefined || fault === null ? undefined : codeOf(fault),
    daysLeft:
      certificate === undefined
        ? undefined
        : Math.floor((Date.parse(certificate.validTo) - Date.now()) / DAY_MS),
  };
}

function codeOf(fault: unknown): string {
  if (fault instanceof Error) return 'code' in fault ? String(fault.code) : fault.message;
  return String(fault);
}

/** Whether the proxy itself would go on over this connection: nothing secret is said on another. */
function isAcceptable(tls: TlsView | undefined, upstream: UpstreamConfig): boolean {
  const { verify } = upstream;
  if (tls === undefined) return upstream.tls === 'off';
  if (verify.kind === 'full') return tls.certificateFault === undefined;
  return verify.kind === 'off' || verify.sha256 === tls.certificateSha256;
}

/** In front of the server it is this process that connects. */
function ownEndpoints({ socket }: InitiatingStream) {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return {
    sourceAddress: localAddress,
    sourcePort: localPort,
    targetAddress: remoteAddress,
    targetPort: remotePort,
  };
}
