import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';
import type { Subscription } from './book.js';
import { nodeOf } from './nodes.js';

/** Whom an answer goes to. */
export interface Asked {
  readonly name: 'iq' | 'presence' | 'message';
  readonly id: string | undefined;
  /** The address that was asked, as written. */
  readonly from: string;
  readonly to: string;
}

export interface Refusal {
  readonly type: 'auth' | 'cancel' | 'modify' | 'wait';
  readonly condition: string;
  readonly text: string;
}

const missing = (attribute: string, name: string) =>
  `Missing attribute '${attribute}' in tag <${name}/> qualified by namespace '${NS.mucsub}'`;

/** Refusals in ejabberd's words. */
export const REFUSED = {
  noNick: refusal('modify', 'bad-request', missing('nick', 'subscribe')),
  noNode: refusal('modify', 'bad-request', missing('node', 'event')),
  emptyNick: refusal('modify', 'jid-malformed', "Nickname can't be empty"),
  badNick: refusal('modify', 'jid-malformed', 'This nickname cannot be used in a room'),
  nickTaken: refusal('cancel', 'conflict', 'That nickname is already in use by another occupant'),
  password: refusal('auth', 'not-authorized', 'A password is required to enter this room'),
  membersOnly: refusal('auth', 'registration-required', 'Membership is required to enter this room'),
  banned: refusal('auth', 'forbidden', 'You have been banned from this room'),
  noSubscriptions: refusal('cancel', 'not-allowed', 'Subscriptions are not allowed'),
  noRoom: refusal('cancel', 'item-not-found', 'Conference room does not exist'),
  notModerator: refusal('auth', 'forbidden', 'Moderator privileges required'),
  unknown: refusal(
    'cancel',
    'service-unavailable',
    'The feature requested is not supported by the conference',
  ),
  unknownToService: refusal('modify', 'bad-request', 'The service does not know this element'),
  several: refusal('modify', 'bad-request', 'Only one element is expected in this request'),
  tooMany: refusal('cancel', 'resource-constraint', 'There are too many subscriptions of this account'),
  notStored: refusal('wait', 'internal-server-error', 'The subscription could not be stored'),
  noAnswer: refusal('wait', 'remote-server-timeout', 'The room does not answer'),
  notAcceptable: refusal(
    'modify',
    'not-acceptable',
    'It is not allowed to send private messages to the conference',
  ),
  nobodyOfThatNick: refusal('cancel', 'item-not-found', 'Recipient is not in the conference room'),
  noRole: refusal('cancel', 'not-allowed', 'Changing role/affiliation is not allowed'),
  noArchive: refusal('auth', 'forbidden', 'Only members may query archives of this room'),
  badOption: refusal('modify', 'bad-request', "Value of 'allow_subscription' should be boolean"),
  badQuery: refusal('modify', 'bad-request', 'This query cannot be understood'),
  noIndex: refusal('cancel', 'feature-not-implemented', 'Unsupported <index/> element'),
  noSuchId: refusal('cancel', 'item-not-found', 'There is no message with this id in the archive'),
  notIn: refusal('modify', 'not-acceptable', 'Only occupants are allowed to send queries to the conference'),
} as const;

export function wrongType(type: string, where: 'room' | 'service'): Refusal {
  const text = `Value '${type}' of 'type' attribute is not allowed`;
  if (where === 'room') return refusal('modify', 'bad-request', text);
  return type === 'get' ? REFUSED.unknown : refusal('cancel', 'not-allowed', text);
}

export function wrongJid(name: string): Refusal {
  return refusal(
    'modify',
    'bad-request',
    `Bad value of attribute 'jid' in tag <${name}/> qualified by namespace '${NS.mucsub}'`,
  );
}

/** What a room's refusal to let somebody in says about subscribing. */
export function refusalOf(condition: string): Refusal {
  switch (condition) {
    case 'conflict':
      return REFUSED.nickTaken;
    case 'not-authorized':
      return REFUSED.password;
    case 'registration-required':
      return REFUSED.membersOnly;
    case 'forbidden':
      return REFUSED.banned;
    case 'jid-malformed':
      return REFUSED.badNick;
    case 'remote-server-timeout':
      return REFUSED.noAnswer;
    default:
      return refusal('cancel', condition, 'The room does not let this account in');
  }
}

export function errorAnswer(asked: Asked, { type, condition, text }: Refusal): string {
  return (
    `<${asked.name} type='error'${addresses(asked)}><error type='${type}'>` +
    `<${condition} xmlns='${NS.stanzaErrors}'/>` +
    `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>${escapeText(text)}</text></error></${asked.name}>`
  );
}

/** @param payload nothing, or one serialised element */
export function resultAnswer(asked: Asked, payload = ''): string {
  return payload === ''
    ? `<iq type='result'${addresses(asked)}/>`
    : `<iq type='result'${addresses(asked)}>${payload}</iq>`;
}

export function subscribed({ nick, events }: Subscription): string {
  return `<subscribe xmlns='${NS.mucsub}' nick='${escapeAttribute(nick)}'>${eventList(events)}</subscribe>`;
}

/** @param jid what stands for each: the room in an account's list, the account in a room's, or nothing where it is not to be seen */
export function subscriptionList(
  subscriptions: readonly Subscription[],
  jid: 'room' | 'account' | undefined,
): string {
  const entries = subscriptions.map((subscription) => {
    const address = jid === undefined ? '' : ` jid='${escapeAttribute(subscription[jid])}'`;
    const nick = ` nick='${escapeAttribute(subscription.nick)}'`;
    return `<subscription${address}${nick}>${eventList(subscription.events)}</subscription>`;
  });
  return `<subscriptions xmlns='${NS.mucsub}'>${entries.join('')}</subscriptions>`;
}

function eventList(events: Subscription['events']): string {
  return events.map((event) => `<event node='${nodeOf(event)}'/>`).join('');
}

function addresses({ id, from, to }: Asked): string {
  const name = id === undefined ? '' : ` id='${escapeAttribute(id)}'`;
  return `${name} from='${escapeAttribute(from)}' to='${escapeAttribute(to)}'`;
}

function refusal(type: Refusal['type'], condition: string, text: string): Refusal {
  return { type, condition, text };
}
