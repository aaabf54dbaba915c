import { domain as domainOf, prepareJid } from '../../jid.js';
import type { DiscoAmendment, DiscoAnswer } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { lacksArchive, noteNative, type Services } from './services.js';
import type { Surroundings } from './surroundings.js';

const ADDED: DiscoAmendment = { add: [NS.mucsub] };
const ADDED_WITH_ARCHIVE: DiscoAmendment = { add: [NS.mucsub, NS.mam2] };

/** What services that lack MUC/Sub, and their rooms that allow it, are said to have; a service that has it is noted. */
export function amendment(
  around: Surroundings,
  services: Services,
  answer: DiscoAnswer,
): DiscoAmendment | undefined {
  const { book, settings, account, context } = around;
  if (answer.node !== undefined) return undefined;
  const service = domainOf(answer.from);
  if (answer.entity === 'muc-service') {
    if (answer.features.has(NS.mucsub)) noteNative(context.domain, service);
    return services.playsProbably(service) ? ADDED : undefined;
  }
  if (answer.entity !== 'muc-room' || !services.playsProbably(service)) return undefined;
  const room = prepareJid(answer.from) ?? '';
  if (!book.isAllowed(room, settings.allowSubscription)) return undefined;
  const isArchive = lacksArchive(around, room) && book.subscription(room, account) !== undefined;
  return isArchive ? ADDED_WITH_ARCHIVE : ADDED;
}
