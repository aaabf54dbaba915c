import { existsSync } from 'node:fs';
import { join } from 'node:path';

export type ServerKind = 'prosody' | 'ejabberd' | 'jabberd2';
export const SERVER_KINDS: readonly ServerKind[] = ['prosody', 'ejabberd', 'jabberd2'];

/** A server as a client sees it; plain data, so that it can be handed to the test files. */
export interface RealServer {
  kind: ServerKind;
  domain: string;
  /** The domain of its chat rooms. */
  muc: string;
  host: string;
  /** Cleartext, with STARTTLS offered unless it was switched off. */
  port: number;
  /** TLS from the first byte. */
  tlsPort?: number;
  /** Wants a PROXY header before anything else. */
  proxyPort?: number;
  /** SHA-256 of its certificate, in hexadecimal. */
  fingerprint?: string;
  has: { mam: boolean; carbons: boolean; sm: boolean };
}

export interface ServerOptions {
  domain?: string;
  /** STARTTLS on the client port; default `optional`. */
  starttls?: 'off' | 'optional' | 'required';
  /** A second client port with direct TLS; default on. */
  directTls?: boolean;
  /** Registration in band; default on. */
  registration?: boolean;
  /** Message archive, where the server has one; default on. */
  mam?: boolean;
  /** How long a session waits to be resumed, in seconds, where the server has stream management. */
  hibernation?: number;
  /** How many messages a room remembers for those who join; by default as many as the server likes. */
  roomHistory?: number;
  /** Connections that may wait to be accepted (ejabberd); by default more than any test opens. */
  backlog?: number;
  /** Another client port, which wants a PROXY header first (ejabberd). */
  proxyHeader?: boolean;
  /** Bytes per second that each connection may send (Prosody); none by default. */
  rateLimit?: string;
  /** Bare JID of an account that is an owner of all rooms (Prosody). */
  roomAdmin?: string;
  /** It talks to other servers (Prosody): its own address on loopback, and those of all by their domains. */
  federation?: { address: string; hosts: Readonly<Record<string, string>> };
}

export interface ServerHandle extends RealServer {
  /** Where its configuration, data and logs are. */
  readonly directory: string;
  /** An orderly end. The data stays for a restart. */
  stop(): Promise<void>;
  /** SIGKILL to every process of it. */
  kill(): Promise<void>;
  /** Stops it if it runs, and starts it on the same ports with the same data. */
  restart(): Promise<void>;
  /** Stops it in its tracks, with all connections open, or lets it go on (Prosody). */
  freeze?(frozen: boolean): void;
  /** Kills it and removes its directory. */
  dispose(): Promise<void>;
  /** What it wrote to its logs. */
  log(): string;
}

const PLACES = ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin', '/sbin', '/bin'];

/** The path of a program; daemons are often in folders that are not in an ordinary user's PATH. */
export function findProgram(name: string): string | undefined {
  const places = [...(process.env.PATH ?? '').split(':').filter(Boolean), ...PLACES];
  return places.map((place) => join(place, name)).find((path) => existsSync(path));
}

export function requireProgram(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`${name} is not installed: run scripts/install-servers.sh`);
  return path;
}
