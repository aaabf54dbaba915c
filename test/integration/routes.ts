import { afterEach, describe, inject } from 'vitest';
import { type Account, type Endpoint, type LoginOptions, RawClient, uniqueId } from './clients/raw.js';
import { type RealServer, SERVER_KINDS, type ServerKind } from './servers/server.js';
import type {} from './servers/setup.js';

/**
 * One way to reach one server: straight, or through the proxy. A scenario does not
 * know which it runs over, so that what it asserts is that neither side notices.
 */
export interface Route {
  name: string;
  via: 'direct' | 'proxy';
  server: RealServer;
  plain: Endpoint;
  tls: Endpoint;
  /** The administration URL and process of the proxy, when there is one. */
  proxy?: { admin: string; pid: number };
}

/** By default every one. */
export interface RouteChoice {
  via: readonly ('direct' | 'proxy')[];
  kinds: readonly ServerKind[];
}

export const THROUGH_THE_PROXY: Partial<RouteChoice> = { via: ['proxy'] };

/** Runs `scenarios` over every server, directly and through the proxy. */
export function describeRoutes(
  title: string,
  scenarios: (route: Route) => void,
  only: Partial<RouteChoice> = {},
) {
  const { servers, proxies, missing } = inject('interstanza');
  for (const kind of only.kinds ?? SERVER_KINDS) {
    for (const via of only.via ?? ['direct', 'proxy']) {
      const name = via === 'direct' ? kind : `${kind} through the proxy`;
      const server = servers[kind];
      const proxy = proxies[kind];
      const reason = missing.servers[kind] ?? (via === 'proxy' ? missing.proxy : undefined);
      if (reason || !server || (via === 'proxy' && !proxy)) {
        describe.skip(`${title}: ${name} (${reason ?? 'not running'})`, () => scenarios(unreachable(kind)));
        continue;
      }
      const endpoint = (port: number) => ({ host: '127.0.0.1', port, domain: server.domain });
      const route: Route =
        via === 'proxy' && proxy
          ? {
              ...{ name, via, server, proxy: { admin: proxy.admin, pid: proxy.pid } },
              plain: endpoint(proxy.plain.port),
              tls: endpoint(proxy.tls.port),
            }
          : { name, via, server, plain: endpoint(server.port), tls: endpoint(server.tlsPort ?? 0) };
      describe(`${title}: ${name}`, patience(kind), () => {
        afterEach(cutAll);
        scenarios(route);
      });
    }
  }
}

/**
 * jabberd2 treats a fresh stream now and then to what was meant for an earlier
 * connection on the same file descriptor: an internal-server-error, "conflict" to
 * the registration of a name that nobody ever had, or the end of that connection's session,
 * so that what is bound is not any more.
 */
const LEFTOVER = /internal-server-error|registration refused.*<conflict|stanza sent before session start/;

/** Nothing but those leftovers is tried again. */
function patience(kind: ServerKind) {
  return kind === 'jabberd2' ? { retry: { count: 3, condition: LEFTOVER } } : {};
}

/** Something to read names from while skipped tests are collected. */
function unreachable(kind: ServerKind): Route {
  const domain = `${kind}.example`;
  const endpoint = { host: '127.0.0.1', port: 0, domain };
  const has = { mam: kind !== 'jabberd2', carbons: kind !== 'jabberd2', sm: kind !== 'jabberd2' };
  const server = { kind, domain, muc: `conference.${domain}`, host: '127.0.0.1', port: 0, has };
  return { name: kind, via: 'direct', server, plain: endpoint, tls: endpoint };
}

const opened = new Set<RawClient>();

function cutAll(): void {
  for (const client of opened) client.stream.cut();
  opened.clear();
}

/** Has the connection cut when the test is over. */
export function cutAfterwards(client: RawClient): RawClient {
  opened.add(client);
  return client;
}

/** A new account, registered in band at the server itself. */
export async function newAccount(server: RealServer, hint = 'user'): Promise<Account> {
  for (let attempt = 1; ; attempt += 1) {
    // Another one each time: whether the one before has come into being is not to be known from such an answer.
    const name = `${hint}-${uniqueId()}`;
    const jid = `${name}@${server.domain}`;
    const account = { name, password: `pass-${uniqueId()}`, domain: server.domain, jid };
    const client = await RawClient.connect({ host: server.host, port: server.port, domain: server.domain });
    try {
      await client.openStream();
      const answer = await client.register(account);
      if (answer.attrs.type === 'result') return account;
      throw new Error(`registration refused: ${answer}`);
    } catch (error) {
      if (attempt === 5 || !LEFTOVER.test(String(error))) throw error;
    } finally {
      client.stream.cut();
    }
  }
}

/** Connects over the route; the connection is cut when the test is over. */
export async function newConnection(route: Route): Promise<RawClient> {
  return cutAfterwards(await RawClient.connect(route.plain));
}

/** A session of `account` over the route. */
export async function logIn(route: Route, account: Account, options: LoginOptions = {}): Promise<RawClient> {
  const endpoint = options.tls === 'direct' ? route.tls : route.plain;
  return cutAfterwards(await RawClient.login(endpoint, account, options));
}

/** A session of a new account, available, with its own presence echo out of the way. */
export async function newSession(route: Route, hint: string, options: LoginOptions = {}): Promise<RawClient> {
  const client = await logIn(route, await newAccount(route.server, hint), options);
  await client.becomeAvailable();
  return client;
}

export function bare(jid: string): string {
  return jid.split('/')[0] ?? jid;
}
