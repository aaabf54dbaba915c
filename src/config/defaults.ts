import { AFTER_AUTH, BEFORE_AUTH, FROM_SERVER } from '../xml/limits.js';
import type { Config, HoldConfig, KeepaliveConfig, LimitsConfig } from './model.js';

/** Ports of XMPP clients: STARTTLS (RFC 6120 §14.7) and direct TLS (XEP-0368). */
export const STARTTLS_PORT = 5222;
export const DIRECT_TLS_PORT = 5223;

/** One below the listen backlog that ejabberd ships with. */
export const PARALLEL_CONNECTS = 4;

export const LIMITS: LimitsConfig = {
  beforeAuth: BEFORE_AUTH,
  afterAuth: AFTER_AUTH,
  fromServer: FROM_SERVER,
  unauthenticatedTime: 30,
  // The largest stanza of a client, once.
  queueBytes: 256 * 1024,
  unauthenticatedConnections: 4_096,
  // A company's or a carrier's clients behind one address come back together.
  unauthenticatedPerAddress: 256,
};

/** As long as a train is in a tunnel, or a phone changes networks and gets round to it; the largest that ejabberd holds a session for. */
export const HOLD: HoldConfig = { seconds: 300, stanzas: 5_000, bytes: 4 * 1024 * 1024 };

/**
 * The server's own keepalives end at the proxy, so the proxy sends them: a space makes the kernel find out that a peer is gone.
 * Pings are for operators who want to know sooner.
 */
const KEEPALIVE: KeepaliveConfig = { whitespace: 300, ping: 0, timeout: 60 };

export const DEFAULTS = {
  dataDir: './data',
  logLevel: 'info',
  listen: `xmpp://[::]:${STARTTLS_PORT}`,
  limits: LIMITS,
  keepalive: { client: KEEPALIVE, server: KEEPALIVE },
} as const satisfies Pick<Config, 'dataDir' | 'logLevel' | 'limits' | 'keepalive'> & { listen: string };
