import { prepareJid } from '../../jid.js';
import { account } from '../../knowledge/account/account.js';
import { rooms } from '../../knowledge/rooms/rooms.js';
import type { Feature, FeatureContext, FeatureSession } from '../../session/feature.js';
import { capabilitiesProbe } from '../capabilities-probe/capabilities-probe.js';
import { MucSubSession } from './mucsub-session.js';
import { OBSERVER_RESOURCE, ObserverSession } from './observer/observer.js';
import { SETTINGS } from './settings.js';
import { surroundingsOf } from './surroundings.js';
import { WATCHES } from './watches.js';

function open(context: FeatureContext, snapshot?: string): FeatureSession {
  const around = surroundingsOf(context);
  const { observer } = around.settings;
  const isObserver =
    observer !== undefined &&
    context.identity.resource.startsWith(OBSERVER_RESOURCE) &&
    around.account === prepareJid(`${observer.account}@${context.domain.name}`);
  if (isObserver) return new ObserverSession(context, around, observer.nick);
  return new MucSubSession(context, around, snapshot);
}

export const mucsub: Feature = {
  name: 'mucsub',
  watches: WATCHES,
  needs: [capabilitiesProbe, rooms, account],
  amendsDisco: true,
  settings: SETTINGS,
  open,
};
