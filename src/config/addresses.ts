import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import { DIRECT_TLS_PORT, PARALLEL_CONNECTS, STARTTLS_PORT } from './defaults.js';
import type { CertificateCheck, ListenerConfig, UpstreamConfig, WebConfig } from './model.js';
import { didYouMean, shown } from './problem.js';

/** An address that cannot be understood; the message is a clause that follows the place where it stands. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
}

const LISTENER_PARAMETERS = ['tls', 'accept-proxy'];
const WEB_PARAMETERS = [...LISTENER_PARAMETERS, 'forwarded', 'origin', 'public'];
const WEBSOCKET_PARAMETERS = [...WEB_PARAMETERS, 'deflate'];
const UPSTREAM_PARAMETERS = ['tls', 'verify', 'proxy'];

interface Scheme {
  /** TLS comes first. */
  readonly direct: boolean;
  readonly port: number;
  readonly transport?: WebConfig['transport'];
}

const SCHEMES: ReadonlyMap<string, Scheme> = new Map([
  ['xmpp:', { direct: false, port: STARTTLS_PORT }],
  ['xmpps:', { direct: true, port: DIRECT_TLS_PORT }],
]);

const WEB_SCHEMES: ReadonlyMap<string, Scheme> = new Map([
  ['ws:', { direct: false, port: 80, transport: 'websocket' }],
  ['wss:', { direct: true, port: 443, transport: 'websocket' }],
  ['http:', { direct: false, port: 80, transport: 'bosh' }],
  ['https:', { direct: true, port: 443, transport: 'bosh' }],
]);

interface Address {
  readonly direct: boolean;
  readonly host: string;
  readonly port: number;
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * `xmpp://host:port?tls=off|optional|required&accept-proxy=CIDR,…` or `xmpps://host:port?accept-proxy=…`; for web clients
 * `ws://`, `wss://`, `http://` or `https://host:port/path?tls=off|required&accept-proxy=…&forwarded=CIDR,…&origin=ORIGIN,…&public=HOST:PORT`,
 * and for WebSocket `deflate=on|off`.
 * @throws AddressError
 */
export function parseListener(url: string): ListenerConfig {
  const scheme = WEB_SCHEMES.get(url.slice(0, url.indexOf(':') + 1).toLowerCase());
  if (scheme?.transport !== undefined) return parseWebListener(url, scheme, scheme.transport);
  const { direct, host, port, parameters } = parseAddress(url, LISTENER_PARAMETERS, WEB_SCHEMES);
  const tls = parameters.get('tls');
  if (direct && tls !== undefined)
    throw new AddressError(`${shown(url)} is TLS from the first byte: it takes no tls=`);
  return {
    url,
    host,
    port,
    tls: direct ? 'direct' : oneOf(url, 'tls', tls ?? 'required', ['off', 'optional', 'required']),
    acceptProxyFrom: parseNetworks(url, 'accept-proxy', parameters.get('accept-proxy')),
  };
}

function parseWebListener(url: string, scheme: Scheme, transport: WebConfig['transport']): ListenerConfig {
  const parsed = parseUrl(url);
  const { hostname, pathname } = parsed;
  if (parsed.username !== '' || parsed.password !== '' || parsed.hash !== '')
    throw new AddressError(`${shown(url)} may only have host, port, path and parameters`);
  const known = transport === 'websocket' ? WEBSOCKET_PARAMETERS : WEB_PARAMETERS;
  const parameters = readParameters(url, parsed, known);
  const tls = parameters.get('tls');
  if (scheme.direct && tls !== undefined)
    throw new AddressError(`${shown(url)} is TLS from the first byte: it takes no tls=`);
  const forwardedFrom = parseNetworks(url, 'forwarded', parameters.get('forwarded'));
  const chosen = scheme.direct ? 'direct' : oneOf(url, 'tls', tls ?? 'off', ['off', 'required']);
  if (chosen === 'required' && forwardedFrom.length === 0) {
    throw new AddressError(
      `${shown(url)} says tls=required, which needs forwarded=CIDR: only a front end can say that there was TLS`,
    );
  }
  const publicHost = parameters.get('public');
  if (publicHost !== undefined) parsePublicHost(url, publicHost);
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return {
    url,
    host: bare,
    port: parsed.port === '' ? scheme.port : Number(parsed.port),
    tls: chosen,
    acceptProxyFrom: parseNetworks(url, 'accept-proxy', parameters.get('accept-proxy')),
    web: {
      transport,
      path: pathname,
      forwardedFrom,
      origins: parseOrigins(parameters.get('origin')?.split(',') ?? []),
      publicHost,
      deflate: oneOf(url, 'deflate', parameters.get('deflate') ?? 'off', ['off', 'on']) === 'on',
    },
  };
}

/**
 * Web origins as browsers send them: scheme, host, and port where it is not the scheme's own.
 * @throws AddressError
 */
export function parseOrigins(list: readonly string[]): readonly string[] {
  return list.map((text) => {
    const written = text.trim();
    let origin: string;
    try {
      origin = new URL(written).origin;
    } catch {
      origin = 'null';
    }
    if (origin === 'null' || !/^https?:\/\/[^/]+\/?$/i.test(written))
      throw new AddressError(`${shown(written)} is no web origin like https://chat.example.org`);
    return origin;
  });
}

function parsePublicHost(url: string, host: string): void {
  let parsed: URL | undefined;
  try {
    parsed = new URL(`https://${host}`);
  } catch {}
  if (parsed?.pathname !== '/' || parsed.username !== '' || /[/?#@]/.test(host))
    throw new AddressError(`${shown(url)} has public=${host}, which is no HOST or HOST:PORT`);
}

/**
 * `xmpp://host:port?tls=off|starttls&verify=full|pin:SHA256|off&proxy=v1|v2` or `xmpps://host:port?verify=…&proxy=…`.
 * Without parameters a server on loopback is spoken to in the clear and any certificate is taken there; elsewhere
 * TLS is used and the certificate must be good.
 * @throws AddressError
 */
export function parseUpstream(url: string): UpstreamConfig {
  const { direct, host, port, parameters } = parseAddress(url, UPSTREAM_PARAMETERS);
  if (port === 0) throw new AddressError(`${shown(url)} has port 0, where no server can be`);
  const tls = parameters.get('tls');
  if (direct && tls !== undefined)
    throw new AddressError(`${shown(url)} is TLS from the first byte: it takes no tls=`);
  const local = isLoopback(host);
  const chosen = direct
    ? 'direct'
    : oneOf(url, 'tls', tls ?? (local ? 'off' : 'starttls'), ['off', 'starttls']);
  const verify = parameters.get('verify');
  if (chosen === 'off' && verify !== undefined) {
    throw new AddressError(`${shown(url)} has verify= but no TLS, which it would be for`);
  }
  const proxy = parameters.get('proxy');
  return {
    url,
    host,
    port,
    tls: chosen,
    verify: parseVerify(url, verify ?? (local ? 'off' : 'full')),
    sendProxy: proxy === undefined ? 'off' : oneOf(url, 'proxy', proxy, ['v1', 'v2']),
    parallelConnects: PARALLEL_CONNECTS,
    limits: {},
  };
}

/**
 * `HOST:PORT` of the admin server; `[::1]:PORT` for IPv6.
 * @throws AddressError
 */
export function parseHostPort(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535 || (match?.[1] !== undefined && !isIPv6(host))) {
    throw new AddressError(`${shown(text)} is not HOST:PORT, as in 127.0.0.1:9180`);
  }
  return { host, port };
}

/** Whether nobody but this machine can be on the way to a host. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 0) return host === 'localhost' || host.endsWith('.localhost');
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(host, isIPv4(host) ? 'ipv4' : 'ipv6');
}

function parseUrl(url: string): URL {
  try {
    return new URL(url);
  } catch {
    throw new AddressError(`${shown(url)} is not an address like xmpp://host:port`);
  }
}

/** @param others schemes that could have stood here */
function parseAddress(
  url: string,
  known: readonly string[],
  others: ReadonlyMap<string, Scheme> = new Map(),
): Address {
  const parsed = parseUrl(url);
  const { protocol, hostname } = parsed;
  const scheme = SCHEMES.get(protocol);
  if (scheme === undefined) {
    const schemes = [...SCHEMES.keys(), ...others.keys()].map((name) => `${name}//`);
    throw new AddressError(`${shown(url)} begins with none of ${schemes.join(', ')}`);
  }
  if (hostname === '') throw new AddressError(`${shown(url)} names no host`);
  if (
    parsed.username !== '' ||
    parsed.password !== '' ||
    parsed.hash !== '' ||
    !/^\/?$/.test(parsed.pathname)
  ) {
    throw new AddressError(`${shown(url)} may only have host, port and parameters`);
  }
  const parameters = readParameters(url, parsed, known);
  const { direct } = scheme;
  const port = parsed.port === '' ? scheme.port : Number(parsed.port);
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostOf(url, hostname);
  return { direct, host: bare, port, parameters };
}

/** A host as it is looked up; URLs of schemes that nobody else knows have it as it was written, in percent-encoding. */
function hostOf(url: string, written: string): string {
  let host = '';
  try {
    host = domainToASCII(decodeURIComponent(written));
  } catch {
    // No UTF-8.
  }
  if (host === '') throw new AddressError(`${shown(url)} has a host that is neither a name nor an address`);
  return host;
}

/** Parameters that are a list may be there more than once. */
const LISTS: readonly string[] = ['origin', 'forwarded', 'accept-proxy'];

function readParameters(url: string, parsed: URL, known: readonly string[]): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of parsed.searchParams) {
    if (!known.includes(name)) {
      throw new AddressError(`${shown(url)} has the unknown parameter "${name}"${didYouMean(name, known)}`);
    }
    const former = parameters.get(name);
    if (former !== undefined && !LISTS.includes(name))
      throw new AddressError(`${shown(url)} says ${name}= twice`);
    parameters.set(name, former === undefined ? value : `${former},${value}`);
  }
  return parameters;
}

function oneOf<T extends string>(url: string, name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined) {
    throw new AddressError(
      `${shown(url)} says ${name}=${value}, which can be ${allowed.join(', ')}${didYouMean(value, allowed)}`,
    );
  }
  return found;
}

function parseVerify(url: string, value: string): CertificateCheck {
  if (value === 'full' || value === 'off') return { kind: value };
  if (!value.startsWith('pin:')) {
    throw new AddressError(`${shown(url)} says verify=${value}, which can be full, off or pin:SHA256`);
  }
  const sha256 = value.slice(4).replaceAll(':', '').toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new AddressError(`${shown(url)} has a pin that is not the 64 hex digits of a SHA-256`);
  }
  return { kind: 'pin', sha256 };
}

function parseNetworks(url: string, name: string, list: string | undefined): readonly string[] {
  if (list === undefined) return [];
  return list.split(',').map((network) => {
    const [address = '', bits, ...rest] = network.trim().split('/');
    const family = isIP(address);
    const most = family === 4 ? 32 : 128;
    const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (family === 0 || rest.length > 0 || length < 0 || length > most) {
      throw new AddressError(`${shown(url)} has ${name}=${network}, which is no network like 10.0.0.0/8`);
    }
    return `${address}/${length}`;
  });
}
