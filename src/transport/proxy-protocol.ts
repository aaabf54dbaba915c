import { isIPv4, isIPv6 } from 'node:net';

/** The connection as the first proxy saw it; addresses without brackets. */
export interface ProxiedEndpoints {
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly targetAddress: string;
  readonly targetPort: number;
}

/**
 * What the first bytes of a connection say. `length` is how many of them the header takes; `endpoints` is undefined for `LOCAL` and
 * `UNKNOWN`, where the receiver uses the connection's own addresses (PROXY protocol, §2.1 and §2.2).
 */
export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'header'; readonly length: number; readonly endpoints: ProxiedEndpoints | undefined };

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V1_SIGNATURE = Buffer.from('PROXY ', 'latin1');
const V2_PREFIX = 16;

/** The longest v1 line with its CRLF (PROXY protocol, §2.1). */
const V1_LONGEST = 107;

/** Addresses take at most 36 bytes and the TLVs in use some hundreds; the format would allow 64 KiB. */
const V2_LONGEST = 2_048;

/** No header is longer: a receiver need not keep more bytes than this while it waits for one. */
export const LONGEST_PROXY_HEADER = V2_PREFIX + V2_LONGEST;

const TCP4 = 0x11;
const TCP6 = 0x21;
const INCOMPLETE: ProxyHeader = { kind: 'incomplete' };

/** Reads a PROXY protocol header, v1 or v2, from the start of a connection. TLVs are skipped. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, V2_SIGNATURE)) return bytes.length < V2_PREFIX ? INCOMPLETE : parseV2(bytes);
  if (startsLike(bytes, V1_SIGNATURE)) return parseV1(bytes);
  return invalid('no PROXY header');
}

/** Whether the bytes begin with the signature, or end before they could differ from it. */
function startsLike(bytes: Buffer, signature: Buffer): boolean {
  const common = Math.min(bytes.length, signature.length);
  return bytes.compare(signature, 0, common, 0, common) === 0;
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_LONGEST).indexOf('\r\n', 0, 'latin1');
  if (end < 0) return bytes.length < V1_LONGEST ? INCOMPLETE : invalid('line too long');
  const length = end + 2;
  const [, protocol, sourceAddress, targetAddress, sourcePort, targetPort, ...rest] = bytes
    .toString('latin1', 0, end)
    .split(' ');
  // "the receiver must ignore anything presented before the CRLF" after UNKNOWN.
  if (protocol === 'UNKNOWN') return { kind: 'header', length, endpoints: undefined };
  const isAddress = protocol === 'TCP4' ? isIPv4 : protocol === 'TCP6' ? isIPv6 : undefined;
  if (isAddress === undefined) return invalid('unknown protocol');
  if (rest.length > 0 || sourceAddress === undefined || targetAddress === undefined) {
    return invalid('wrong number of fields');
  }
  if (!isAddress(sourceAddress) || !isAddress(targetAddress)) return invalid('bad address');
  const source = parsePort(sourcePort);
  const target = parsePort(targetPort);
  if (source === undefined || target === undefined) return invalid('bad port');
  return {
    kind: 'header',
    length,
    endpoints: { sourceAddress, sourcePort: source, targetAddress, targetPort: target },
  };
}

function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0|[1-9]\d{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

function parseV2(bytes: Buffer): ProxyHeader {
  const versionAndCommand = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const rest = bytes.readUInt16BE(14);
  if (versionAndCommand >> 4 !== 2) return invalid('unknown version');
  const command = versionAndCommand & 0x0f;
  if (command > 1) return invalid('unknown command');
  if (rest > V2_LONGEST) return invalid('header too long');
  const length = V2_PREFIX + rest;
  if (bytes.length < length) return INCOMPLETE;
  if (command === 0) return { kind: 'header', length, endpoints: undefined };
  if (family === TCP4) {
    if (rest < 12) return invalid('addresses cut short');
    return { kind: 'header', length, endpoints: readV2Addresses(bytes, 4, ipv4Text) };
  }
  if (family === TCP6) {
    if (rest < 36) return invalid('addresses cut short');
    return { kind: 'header', length, endpoints: readV2Addresses(bytes, 16, ipv6Text) };
  }
  // UNSPEC, UDP and Unix sockets carry no address that could be used here (§2.2: treat as LOCAL).
  return { kind: 'header', length, endpoints: undefined };
}

function readV2Addresses(bytes: Buffer, size: number, text: (bytes: Buffer) => string): ProxiedEndpoints {
  const ports = V2_PREFIX + 2 * size;
  return {
    sourceAddress: text(bytes.subarray(V2_PREFIX, V2_PREFIX + size)),
    targetAddress: text(bytes.subarray(V2_PREFIX + size, ports)),
    sourcePort: bytes.readUInt16BE(ports),
    targetPort: bytes.readUInt16BE(ports + 2),
  };
}

function ipv4Text(bytes: Buffer): string {
  return bytes.join('.');
}

/** Canonical text (RFC 5952), as the URL parser writes it. */
function ipv6Text(bytes: Buffer): string {
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

function invalid(reason: string): ProxyHeader {
  return { kind: 'invalid', reason };
}

/**
 * The header to send to a server ahead of everything else. Without endpoints it says that the addresses are not known, which
 * ejabberd refuses: so only for connections that nobody's client made.
 */
export function buildProxyHeader(version: 'v1' | 'v2', endpoints: ProxiedEndpoints | undefined): Buffer {
  const plain = endpoints === undefined ? undefined : unifyFamilies(endpoints);
  return version === 'v1' ? buildV1(plain) : buildV2(plain);
}

function buildV1(endpoints: ProxiedEndpoints | undefined): Buffer {
  if (endpoints === undefined) return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
  const { sourceAddress, targetAddress, sourcePort, targetPort } = endpoints;
  const family = isIPv4(sourceAddress) ? 'TCP4' : 'TCP6';
  return Buffer.from(
    `PROXY ${family} ${sourceAddress} ${targetAddress} ${sourcePort} ${targetPort}\r\n`,
    'latin1',
  );
}

function buildV2(endpoints: ProxiedEndpoints | undefined): Buffer {
  if (endpoints === undefined) return Buffer.concat([V2_SIGNATURE, Buffer.from([0x20, 0, 0, 0])]);
  const { sourceAddress, targetAddress, sourcePort, targetPort } = endpoints;
  const v4 = isIPv4(sourceAddress);
  const size = v4 ? 4 : 16;
  const header = Buffer.alloc(V2_PREFIX + 2 * size + 4);
  V2_SIGNATURE.copy(header);
  header[12] = 0x21;
  header[13] = v4 ? TCP4 : TCP6;
  header.writeUInt16BE(2 * size + 4, 14);
  writeAddress(header, V2_PREFIX, sourceAddress);
  writeAddress(header, V2_PREFIX + size, targetAddress);
  header.writeUInt16BE(sourcePort, V2_PREFIX + 2 * size);
  header.writeUInt16BE(targetPort, V2_PREFIX + 2 * size + 2);
  return header;
}

function writeAddress(into: Buffer, at: number, address: string): void {
  if (isIPv4(address)) {
    address.split('.').forEach((part, index) => {
      into.writeUInt8(Number(part), at + index);
    });
    return;
  }
  // The URL parser expands nothing but always writes the last 32 bits in hex.
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [front = '', back = ''] = text.split('::');
  const head = front === '' ? [] : front.split(':');
  const tail = back === '' ? [] : back.split(':');
  head.forEach((group, index) => {
    into.writeUInt16BE(Number.parseInt(group, 16), at + 2 * index);
  });
  tail.forEach((group, index) => {
    into.writeUInt16BE(Number.parseInt(group, 16), at + 16 - 2 * (tail.length - index));
  });
}

/** Both addresses in one family, as the header demands; a dual-stack socket reports IPv4 peers as ::ffff:a.b.c.d. */
function unifyFamilies(endpoints: ProxiedEndpoints): ProxiedEndpoints {
  const sourceAddress = plainAddress(endpoints.sourceAddress);
  const targetAddress = plainAddress(endpoints.targetAddress);
  if (isIPv4(sourceAddress) === isIPv4(targetAddress)) return { ...endpoints, sourceAddress, targetAddress };
  return { ...endpoints, sourceAddress: mapped(sourceAddress), targetAddress: mapped(targetAddress) };
}

function mapped(address: string): string {
  return isIPv4(address) ? `::ffff:${address}` : address;
}

/** An address without zone, and an IPv4 address that is mapped into IPv6 as plain IPv4. */
export function plainAddress(address: string): string {
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  const tail = bare.slice(bare.lastIndexOf(':') + 1);
  return bare.toLowerCase().startsWith('::ffff:') && isIPv4(tail) ? tail : bare;
}
