import { BlockList, isIPv6 } from 'node:net';
import { plainAddress } from './proxy-protocol.js';

/** Why a connection was turned away at the door. */
export type Refusal = 'too-many-unauthenticated' | 'too-many-from-address';

export interface AdmissionLimits {
  readonly unauthenticatedConnections: number;
  readonly unauthenticatedPerAddress: number;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Counts connections of nobody knows whom: what they may cost together, and what one source may cost, is bounded. */
export class Admission {
  limits: AdmissionLimits;
  #strangers = 0;
  readonly #byAddress = new Map<string, number>();

  constructor(limits: AdmissionLimits) {
    this.limits = limits;
  }

  /** Connections that have not authenticated. */
  get strangers(): number {
    return this.#strangers;
  }

  /** @returns undefined when the connection may stay: then `leave` is due once, with the same address. */
  enter(address: string): Refusal | undefined {
    if (this.#strangers >= this.limits.unauthenticatedConnections) return 'too-many-unauthenticated';
    const source = sourceOf(address);
    if (source !== undefined) {
      const count = this.#byAddress.get(source) ?? 0;
      if (count >= this.limits.unauthenticatedPerAddress) return 'too-many-from-address';
      this.#byAddress.set(source, count + 1);
    }
    this.#strangers += 1;
    return undefined;
  }

  /** The connection has authenticated or is gone. */
  leave(address: string): void {
    this.#strangers -= 1;
    const source = sourceOf(address);
    if (source === undefined) return;
    const count = this.#byAddress.get(source) ?? 0;
    if (count <= 1) this.#byAddress.delete(source);
    else this.#byAddress.set(source, count - 1);
  }
}

/** What one party commands: an IPv4 address or an IPv6 /64. Undefined for loopback, which is a front end and not a client. */
function sourceOf(address: string): string | undefined {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return LOOPBACK.check(plain, 'ipv4') ? undefined : plain;
  if (LOOPBACK.check(plain, 'ipv6')) return undefined;
  const [front = ''] = new URL(`http://[${plain}]/`).hostname.slice(1, -1).split('::');
  const groups = front.split(':');
  return [...groups, '0', '0', '0', '0'].slice(0, 4).join(':');
}
