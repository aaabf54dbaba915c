import type { XmlLimits } from '../xml/limits.js';

/** How a listener deals with TLS: `direct` from the first byte, the others by STARTTLS (RFC 6120 §5). */
export type ListenerTls = 'off' | 'optional' | 'required' | 'direct';

/** How the leg towards a server is secured. */
export type UpstreamTls = 'off' | 'starttls' | 'direct';

/** What makes a server's certificate acceptable; a pin is the SHA-256 of the certificate (DER) in hex. */
export type CertificateCheck = { kind: 'full' } | { kind: 'off' } | { kind: 'pin'; sha256: string };

export interface ListenerConfig {
  /** The URL as the operator wrote it, for messages. */
  readonly url: string;
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly tls: ListenerTls;
  /** Networks in CIDR form from which a PROXY header is required and believed; empty: none is read. */
  readonly acceptProxyFrom: readonly string[];
  /** Absent: a stream on TCP (RFC 6120 §3). */
  readonly web?: WebConfig;
}

/** Whether any listener shows a certificate of ours. Web clients that need TLS without our having it have it from a front end. */
export function presentsCertificates({ listeners }: Pick<Config, 'listeners'>): boolean {
  return listeners.some(({ tls, web }) => tls !== 'off' && (web === undefined || tls === 'direct'));
}

/** What listeners for web clients have in common that share a port. One that the system chooses is shared by those that can. */
export function sharedPort({ host, port, tls }: Pick<ListenerConfig, 'host' | 'port' | 'tls'>): string {
  return port === 0 && tls === 'direct' ? `${host} 0 tls` : `${host} ${port}`;
}

/** What a listener for web clients has besides. Listeners with the same host and port share one HTTP server. */
export interface WebConfig {
  /** RFC 7395, or XEP-0124. */
  readonly transport: 'websocket' | 'bosh';
  /** Begins with a slash. */
  readonly path: string;
  /** Networks in CIDR form whose X-Forwarded-… and Forwarded headers are believed. */
  readonly forwardedFrom: readonly string[];
  /** Web origins (RFC 6454) whose pages may connect; empty: all. Programs that send no Origin are not asked for one. */
  readonly origins: readonly string[];
  /** `HOST` or `HOST:PORT` under which clients find this listener, for host-meta (XEP-0156); undefined: what the request was sent to. */
  readonly publicHost: string | undefined;
  /** Whether WebSocket messages are compressed for clients that offer it (RFC 7692). */
  readonly deflate: boolean;
}

export interface UpstreamConfig {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly tls: UpstreamTls;
  readonly verify: CertificateCheck;
  readonly sendProxy: 'off' | 'v1' | 'v2';
  /** PEM file of the authorities to believe instead of the public ones, for `verify` full. */
  readonly caFile?: string;
  /** Connections to this server that may be on their way to being accepted at one time; ejabberd's backlog is 5. */
  readonly parallelConnects: number;
  /** Limits the operator knows better than what the server's features reveal; in bytes and levels. */
  readonly limits: Partial<UpstreamLimits>;
}

/** What may leave for one server, with all that the proxy adds. */
export interface UpstreamLimits {
  readonly stanzaBytes: number;
  readonly depth: number;
}

export interface KeepaliveConfig {
  /** Seconds without any byte from the peer after which a single space is sent; 0: never (RFC 6120 §4.6.1). */
  readonly whitespace: number;
  /** Seconds without any byte from the peer after which it is pinged (XEP-0199, or `<r/>` with stream management); 0: never. */
  readonly ping: number;
  /** Seconds an answer to the ping may take before the leg counts as dead. */
  readonly timeout: number;
}

/** What becomes of a session whose client's connection breaks. */
export interface HoldConfig {
  /** How long it waits for its client, in seconds; 0: resumption is not offered. */
  readonly seconds: number;
  /** The most stanzas and bytes that may wait for the client; beyond them the hold ends as if its time were over. */
  readonly stanzas: number;
  readonly bytes: number;
}

export interface DomainConfig {
  /** Lower case, as it is said to the server in the stream header's `to`. */
  readonly name: string;
  /** Tried in order. */
  readonly upstreams: readonly UpstreamConfig[];
  /** PEM files; absent: a self-signed certificate is made in the data folder. */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string };
  readonly hold: HoldConfig;
  /** Per feature: off, or its own settings. Absent: the feature's default. */
  readonly features: Readonly<Record<string, boolean | Readonly<Record<string, unknown>>>>;
}

export interface LimitsConfig {
  readonly beforeAuth: XmlLimits;
  readonly afterAuth: XmlLimits;
  readonly fromServer: XmlLimits;
  /** Seconds from accept to a bound resource. */
  readonly unauthenticatedTime: number;
  /** Bytes that may wait for a slow reader before its source is paused. */
  readonly queueBytes: number;
  /** Connections that have not authenticated, all listeners together. */
  readonly unauthenticatedConnections: number;
  /** The same from one address (IPv6: one /64). Loopback is exempt: there it is a front end, not a client. */
  readonly unauthenticatedPerAddress: number;
}

export interface Config {
  readonly dataDir: string;
  readonly admin?: { readonly host: string; readonly port: number };
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly listeners: readonly ListenerConfig[];
  readonly domains: ReadonlyMap<string, DomainConfig>;
  readonly limits: LimitsConfig;
  readonly keepalive: { readonly client: KeepaliveConfig; readonly server: KeepaliveConfig };
}
