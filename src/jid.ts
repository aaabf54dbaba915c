import { Buffer } from 'node:buffer';
import type { AddressShape, SessionIdentity } from './session/feature.js';

/**
 * Addresses (RFC 7622). Everything here is linear in the length of the address.
 *
 * *Prepared* means: brought into the one spelling by which addresses are compared (RFC 7622 §3.2–3.4). It is approximated where
 * the full PRECIS tables would be needed, and errs on one side only: two addresses that RFC 7622 keeps apart never become
 * equal, but two spellings that only a server's older stringprep takes for the same (`ß` and `ss`) stay different.
 *
 * - local part: NFKC, then lower case. PRECIS maps widths and refuses what NFKC would change beyond that.
 * - domain: the same, ideographic full stops as dots, one trailing dot removed. A-labels (`xn--…`) stay as they are written.
 * - resource: non-ASCII spaces become spaces, then NFC. Case and compatibility characters stay.
 */
export interface Jid {
  readonly local: string | undefined;
  readonly domain: string;
  readonly resource: string | undefined;
}

/** Bytes of UTF-8 a part may have (RFC 7622 §3.2–3.4). */
const PART_BYTES = 1023;
/** More characters than this are more bytes than three parts may have, however they are prepared. */
const LONGEST = 3 * PART_BYTES + 2;

const SLASH = 0x2f;
const AT = 0x40;
const DOT = 0x2e;

/** What one scan of an address finds: where the parts are, and whether preparing would change or refuse anything. */
interface Split {
  /** Index of the `@` before any `/`; -1: no local part. */
  at: number;
  /** Index of the first `/`; the length of the address if there is none. */
  slash: number;
  /** All of it is ASCII that is its own prepared form. */
  plain: boolean;
  /** The part before the `/` is. */
  plainFront: boolean;
}

const LOCAL = 1;
const DOMAIN = 2;
const RESOURCE = 4;
const ASCII_CLASSES = asciiClasses();

/** For each ASCII character in which parts of a prepared address it may stand. */
function asciiClasses(): Uint8Array {
  return Uint8Array.from({ length: 128 }, (_, code) => {
    if (code < 0x20 || code === 0x7f) return 0;
    const c = String.fromCharCode(code);
    if (c >= 'A' && c <= 'Z') return RESOURCE;
    const inLocal = !' "&\'/:<>@'.includes(c);
    // Beyond host names: `_` is in use, `[`, `]` and `:` are for IPv6 literals.
    const inDomain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || '-._:[]'.includes(c);
    return RESOURCE | (inLocal ? LOCAL : 0) | (inDomain ? DOMAIN : 0);
  });
}

function split(address: string): Split {
  let at = -1;
  let slash = address.length;
  let plain = true;
  // Until an `@` shows it to be a local part, the front may be either.
  let inFront = LOCAL | DOMAIN;
  for (let i = 0; i < slash; i++) {
    const c = address.charCodeAt(i);
    if (c === SLASH) {
      slash = i;
    } else if (c === AT && at === -1) {
      at = i;
      plain &&= (inFront & LOCAL) !== 0;
      inFront = DOMAIN;
    } else {
      inFront &= c < 0x80 ? ASCII_CLASSES[c]! : 0;
      // An empty label: wrong in a domain, allowed in a local part; the slow path knows which it is.
      if (c === DOT && (i === at + 1 || address.charCodeAt(i - 1) === DOT)) plain = false;
    }
  }
  plain &&= (inFront & DOMAIN) !== 0 && address.charCodeAt(slash - 1) !== DOT;
  const plainFront = plain;
  for (let i = slash + 1; plain && i < address.length; i++) {
    const c = address.charCodeAt(i);
    plain = c < 0x80 && (ASCII_CLASSES[c]! & RESOURCE) !== 0;
  }
  return { at, slash, plain, plainFront };
}

function hasRoom(part: string): boolean {
  return part.length > 0 && (part.length * 3 <= PART_BYTES || Buffer.byteLength(part) <= PART_BYTES);
}

function isWellSplit(address: string, { at, slash }: Split): boolean {
  return (
    at !== 0 &&
    slash - at > 1 &&
    slash !== address.length - 1 &&
    at <= PART_BYTES &&
    slash - at - 1 <= PART_BYTES &&
    address.length - slash - 1 <= PART_BYTES
  );
}

const FORBIDDEN_LOCAL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  /[\u0000-\u0020\u007f-\u00a0"&'/:<>@]/u;
const FORBIDDEN_DOMAIN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  /[\u0000-,/;-@\\^`{-\u00a0]|^\.|\.\./u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const FORBIDDEN_RESOURCE = /[\u0000-\u001f\u007f-\u009f]/u;

function mapCase(text: string): string {
  return text.normalize('NFKC').toLowerCase().normalize('NFKC');
}

function prepareLocal(text: string): string | undefined {
  const local = mapCase(text);
  return hasRoom(local) && !FORBIDDEN_LOCAL.test(local) ? local : undefined;
}

function prepareDomain(text: string): string | undefined {
  const dotted = mapCase(text).replace(/\u3002/gu, '.');
  const domain = dotted.endsWith('.') ? dotted.slice(0, -1) : dotted;
  // With its trailing dot: what has two of them has an empty label, and must not lose them one at a time.
  return hasRoom(domain) && !FORBIDDEN_DOMAIN.test(dotted) ? domain : undefined;
}

function prepareResource(text: string): string | undefined {
  const resource = text.replace(/\p{Zs}/gu, ' ').normalize('NFC');
  return hasRoom(resource) && !FORBIDDEN_RESOURCE.test(resource) ? resource : undefined;
}

/**
 * The prepared parts of an address.
 *
 * @returns undefined if it is no JID: a part is empty, too long or has a character that it must not have
 */
export function parseJid(address: string): Jid | undefined {
  if (address.length > LONGEST) return undefined;
  const parts = split(address);
  const { at, slash, plain, plainFront } = parts;
  const local = at === -1 ? undefined : address.slice(0, at);
  const domain = address.slice(at + 1, slash);
  const resource = slash === address.length ? undefined : address.slice(slash + 1);
  if (plainFront && !isWellSplit(address, parts)) return undefined;
  if (plain) return { local, domain, resource };

  const prepared = {
    local: local === undefined || plainFront ? local : prepareLocal(local),
    domain: plainFront ? domain : prepareDomain(domain),
    resource: resource === undefined ? undefined : prepareResource(resource),
  };
  if (prepared.domain === undefined) return undefined;
  if (local !== undefined && prepared.local === undefined) return undefined;
  if (resource !== undefined && prepared.resource === undefined) return undefined;
  return { ...prepared, domain: prepared.domain };
}

/** The address in one string. */
export function formatJid({ local, domain, resource }: Jid): string {
  const bare = local === undefined ? domain : `${local}@${domain}`;
  return resource === undefined ? bare : `${bare}/${resource}`;
}

/** The prepared form of an address: the string itself where it is that already. @returns undefined if it is no JID */
export function prepareJid(address: string): string | undefined {
  if (address.length > LONGEST) return undefined;
  const parts = split(address);
  if (parts.plain) return isWellSplit(address, parts) ? address : undefined;
  const jid = parseJid(address);
  return jid === undefined ? undefined : formatJid(jid);
}

/** The address without its resource, otherwise as written. */
export function bare(address: string): string {
  const slash = address.indexOf('/');
  return slash === -1 ? address : address.slice(0, slash);
}

/** The resource as written; undefined if there is none. */
export function resource(address: string): string | undefined {
  const slash = address.indexOf('/');
  return slash === -1 ? undefined : address.slice(slash + 1);
}

/** The domain as written. */
export function domain(address: string): string {
  const front = bare(address);
  return front.slice(front.indexOf('@') + 1);
}

/** Whether two addresses are the same JID. What is no JID is the same as nothing, not even as itself. */
export function isSameJid(a: string, b: string): boolean {
  const prepared = prepareJid(a);
  return prepared !== undefined && (a === b || prepared === prepareJid(b));
}

/**
 * How addresses lie to a session, as a function of its own to spare the hot path what is the same each time. An absent address is the
 * account's (RFC 6120 §8.1.1.1).
 *
 * @returns a function that gives the shape of an address; undefined for what is no JID: no watch that asks for shapes matches it
 */
export function addressShapes(
  identity: Pick<SessionIdentity, 'bare'>,
): (address: string | undefined) => AddressShape | undefined {
  const written = identity.bare;
  const own = prepareJid(written) ?? written;

  return (address) => {
    if (address === undefined || address === written) return 'account';
    if (address.length > LONGEST) return undefined;
    const parts = split(address);
    const { at, slash } = parts;
    if (parts.plain) {
      if (!isWellSplit(address, parts)) return undefined;
      const isOwn = slash === own.length && address.startsWith(own);
      if (slash !== address.length) return isOwn ? 'own-full' : 'full';
      if (isOwn) return 'account';
      return at === -1 ? 'domain' : 'bare';
    }
    const jid = parseJid(address);
    if (jid === undefined) return undefined;
    const isOwn = formatJid({ ...jid, resource: undefined }) === own;
    if (jid.resource !== undefined) return isOwn ? 'own-full' : 'full';
    if (isOwn) return 'account';
    return jid.local === undefined ? 'domain' : 'bare';
  };
}
