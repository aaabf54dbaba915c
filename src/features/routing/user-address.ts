import { parseJid } from '../../jid.js';
import type { PresenceSession } from '../../knowledge/presence/presence.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import type { SessionIdentity } from '../../session/feature.js';
import type { ProbeSession } from '../capabilities-probe/capabilities-probe.js';

/** What is known of who an address is. */
export interface AddressKnowledge {
  readonly identity: SessionIdentity;
  readonly rooms: RoomsSession;
  readonly presence: PresenceSession;
  readonly services: Pick<ProbeSession, 'mucServices'>;
  /** Prepared domains that the operator says are users'. */
  readonly userDomains: ReadonlySet<string>;
}

/** The prepared parts of a full JID that could be a device's. */
export interface DeviceAddress {
  readonly local: string;
  readonly domain: string;
  /** `local@domain` */
  readonly bare: string;
}

/** @returns undefined for what is no full JID with a local part */
export function readDeviceAddress(to: string): DeviceAddress | undefined {
  const jid = parseJid(to);
  if (jid?.local === undefined || jid.resource === undefined) return undefined;
  const { local, domain } = jid;
  return { local, domain, bare: `${local}@${domain}` };
}

/**
 * Whether a full JID is certain to be a device of somebody else, so that its bare JID stands for the same reader. In doubt it is not.
 *
 * - never: what is or was or may be a room for this session, and anything on a MUC service of the server's: a private message would be published
 * - the own domain, and those the operator names
 * - elsewhere: who has sent presence from there that is not a room's; only subscriptions and people do
 */
export function isSomebodysDevice({ local, domain, bare }: DeviceAddress, known: AddressKnowledge): boolean {
  const { identity, rooms, presence, services, userDomains } = known;
  if (services.mucServices().has(domain)) return false;
  if (rooms.stateOf(bare) !== 'unknown') return false;
  if (domain === identity.domain || userDomains.has(domain)) {
    // One's own other device was meant, or there would be no reason to write to it.
    return local !== identity.local || domain !== identity.domain;
  }
  return presence.fullJidsOf(bare).length > 0;
}
