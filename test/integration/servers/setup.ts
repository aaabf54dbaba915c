import type { TestProject } from 'vitest/node';
import { beginNotes } from '../confidential.js';
import { type Address, RunningProxy } from '../proxy.js';
import { ejabberdMissing, startEjabberd } from './ejabberd.js';
import { jabberd2Missing, startJabberd2 } from './jabberd2.js';
import { prosodyMissing, startProsody } from './prosody.js';
import type { RealServer, ServerHandle, ServerKind } from './server.js';

/** What the test files are told about the run: plain data only. */
export interface Provided {
  servers: Partial<Record<ServerKind, RealServer>>;
  /** The listeners of a proxy in front of each: cleartext with STARTTLS, and direct TLS. */
  proxies: Partial<Record<ServerKind, { plain: Address; tls: Address; admin: string; pid: number }>>;
  /** Why something is not there. */
  missing: { servers: Partial<Record<ServerKind, string>>; proxy?: string };
}

declare module 'vitest' {
  interface ProvidedContext {
    interstanza: Provided;
  }
}

const STARTERS = {
  prosody: { missing: prosodyMissing, start: startProsody },
  ejabberd: { missing: ejabberdMissing, start: startEjabberd },
  jabberd2: { missing: jabberd2Missing, start: startJabberd2 },
} as const;

/** In continuous integration a test that cannot run is a failure, not a skip. */
const strict = Boolean(process.env.CI || process.env.INTERSTANZA_REQUIRE_SERVERS);

/** One of each server, and a proxy in front of each, for the whole run. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const provided: Provided = { servers: {}, proxies: {}, missing: { servers: {} } };
  const handles: ServerHandle[] = [];
  const proxies: RunningProxy[] = [];
  const throwNotesAway = beginNotes();
  const teardown = async () => {
    const gone = await Promise.allSettled(proxies.map((proxy) => proxy.dispose()));
    await Promise.all(handles.map((handle) => handle.dispose()));
    throwNotesAway();
    for (const outcome of gone) if (outcome.status === 'rejected') throw outcome.reason;
  };
  const withoutProxy = RunningProxy.missing();
  if (withoutProxy) complain(withoutProxy);
  if (withoutProxy) provided.missing.proxy = withoutProxy;

  const bringUp = async (kind: ServerKind) => {
    const lacking = STARTERS[kind].missing();
    if (lacking) {
      const reason = `${lacking} is not installed: run scripts/install-servers.sh`;
      complain(reason);
      provided.missing.servers[kind] = reason;
      return;
    }
    const handle = await STARTERS[kind].start();
    handles.push(handle);
    const { domain, muc, host, port, tlsPort, fingerprint, has } = handle;
    provided.servers[kind] = {
      kind,
      domain,
      muc,
      host,
      port,
      ...(tlsPort ? { tlsPort } : {}),
      ...(fingerprint ? { fingerprint } : {}),
      has,
    };
    if (withoutProxy) return;
    const proxy = await RunningProxy.inFrontOf(handle);
    proxies.push(proxy);
    provided.proxies[kind] = {
      plain: proxy.address(0),
      tls: proxy.address(1),
      admin: proxy.admin,
      pid: proxy.pid,
    };
  };
  const outcomes = await Promise.allSettled((Object.keys(STARTERS) as ServerKind[]).map(bringUp));
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure) {
    await teardown();
    throw failure.reason;
  }
  project.provide('interstanza', provided);
  return teardown;
}

function complain(reason: string): void {
  if (strict) throw new Error(reason);
  console.warn(`\nintegration tests skipped in part: ${reason}\n`);
}
