import type { AccountSession } from '../../knowledge/account/account.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import type { FeatureContext } from '../../session/feature.js';
import type { ProbeSession } from '../capabilities-probe/capabilities-probe.js';
import type { Book } from './book.js';
import type { Settings } from './settings.js';

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
