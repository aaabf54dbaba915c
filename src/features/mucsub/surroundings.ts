import { prepareJid } from '../../jid.js';
import { type AccountSession, accountKey } from '../../knowledge/account/account.js';
import { type RoomsSession, roomsKey } from '../../knowledge/rooms/rooms.js';
import type { FeatureContext } from '../../session/feature.js';
import { capabilitiesProbeKey, type ProbeSession } from '../capabilities-probe/capabilities-probe.js';
import { type Book, bookOf } from './book.js';
import { SETTINGS, type Settings } from './settings.js';

/** What the parts of this feature's session have in common. */
export interface Surroundings {
  readonly context: FeatureContext;
  readonly book: Book;
  readonly settings: Settings;
  /** Bare JID of the session's account, prepared. */
  readonly account: string;
  readonly rooms: RoomsSession;
  readonly availability: AccountSession;
  readonly probe: ProbeSession;
}

export function surroundingsOf(context: FeatureContext): Surroundings {
  const { identity } = context;
  return {
    context,
    book: bookOf(context.domain),
    settings: context.settings<Settings>(SETTINGS),
    account: prepareJid(identity.bare) ?? identity.bare,
    rooms: context.know(roomsKey),
    availability: context.know(accountKey),
    probe: context.know(capabilitiesProbeKey),
  };
}
