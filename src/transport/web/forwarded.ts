import type { IncomingHttpHeaders } from 'node:http';
import { type BlockList, isIP, isIPv4 } from 'node:net';
import { contains } from '../listener.js';

/** What a front end says about the client of a request. */
export interface Forwarded {
  /** Of the client; undefined: the front end does not say. */
  readonly address: string | undefined;
  /** Whether there was TLS all the way to the front end; undefined: it does not say. */
  readonly secure: boolean | undefined;
  /** Host and port that the client asked for. */
  readonly host: string | undefined;
}

const NOTHING: Forwarded = { address: undefined, secure: undefined, host: undefined };

/** No chain of front ends is longer. */
const MOST_HOPS = 32;

/**
 * Reads what a front end that is trusted has put into the headers of a request (RFC 7239, or the X-Forwarded-… that came before it). Of
 * a chain of addresses the last one that is not itself trusted is the client's: what stands before it, the client may have written.
 * @returns undefined when it cannot be told what to believe: both forms are there, of which a front end writes one and passes the other on
 */
export function readForwarded(headers: IncomingHttpHeaders, trusted: BlockList): Forwarded | undefined {
  const { forwarded } = headers;
  const addresses = headers['x-forwarded-for'];
  const protocol = headers['x-forwarded-proto'];
  const host = headers['x-forwarded-host'];
  const older = addresses !== undefined || protocol !== undefined;
  if (forwarded !== undefined) return older ? undefined : readStandard(forwarded, trusted);
  if (!older) return NOTHING;
  return {
    address: lastUntrusted(split(addresses, ','), trusted),
    secure: allSecure(split(protocol, ',')),
    host: split(host, ',').at(-1),
  };
}

/** RFC 7239 §4: one element for each front end, the nearest being the last. */
function readStandard(header: string, trusted: BlockList): Forwarded {
  const addresses: string[] = [];
  const protocols: string[] = [];
  let host: string | undefined;
  for (const element of split(header, ',')) {
    for (const pair of element.split(';')) {
      const at = pair.indexOf('=');
      const name = pair.slice(0, Math.max(at, 0)).trim().toLowerCase();
      const value = pair
        .slice(at + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1');
      if (name === 'for') addresses.push(value);
      else if (name === 'proto') protocols.push(value);
      else if (name === 'host') host = value;
    }
  }
  return { address: lastUntrusted(addresses, trusted), secure: allSecure(protocols), host };
}

function split(value: string | readonly string[] | undefined, separator: string): readonly string[] {
  if (value === undefined) return [];
  const text = typeof value === 'string' ? value : value.join(separator);
  return text
    .split(separator)
    .slice(-MOST_HOPS)
    .map((part) => part.trim());
}

function lastUntrusted(addresses: readonly string[], trusted: BlockList): string | undefined {
  let found: string | undefined;
  for (const written of [...addresses].reverse()) {
    const address = plain(written);
    // `unknown` or a made-up name (RFC 7239 §6.2, §6.3): whoever wrote it is the last that is known.
    if (isIP(address) === 0) break;
    found = address;
    if (!contains(trusted, address)) break;
  }
  return found;
}

/** Without the port that some add (RFC 7239 §6). */
function plain(written: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(written);
  if (bracketed?.[1] !== undefined) return bracketed[1];
  const [address = ''] = written.split(':');
  return isIPv4(address) ? address : written;
}

function allSecure(protocols: readonly string[]): boolean | undefined {
  if (protocols.length === 0) return undefined;
  return protocols.every((protocol) => /^(https|wss)$/i.test(protocol));
}
