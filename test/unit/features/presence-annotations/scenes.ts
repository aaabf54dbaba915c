import {
  type AnnotationsSession,
  presenceAnnotations,
} from '../../../../src/features/presence-annotations/presence-annotations.js';
import { disco, featureList } from '../../knowledge/disco.js';
import { FakeDomain, type Playbook, play, type Scene } from '../playbook.js';

export type Book = Playbook<AnnotationsSession>;

export const PSA = 'urn:xmpp:psa';
export const LANE = 'romeo@montague.lit/lane';
export const ORCHARD = 'juliet@capulet.lit/orchard';
/** Announces something that cannot be verified, so that each entity is asked itself. */
export const CAPS = `<c xmlns='http://jabber.org/protocol/caps' node='urn:example:client' ver='1'/>`;
const NODE = 'urn:example:client#1';
const QUERY = `<query xmlns='http://jabber.org/protocol/disco#info' node='${NODE}'/>`;
export const PING = `<ping xmlns='urn:xmpp:ping'/>`;
export const ROSTER_QUERY = `<query xmlns='jabber:iq:roster'/>`;

/** Without texts, so that listings stand alone. */
const PLAIN = { serverUnavailable: false, connectionPaused: false };

export const newDomain = () => new FakeDomain('montague.lit');

/** A session of a client that knows nothing of annotations. */
export function legacy(scene: Scene = {}): Book {
  return play(presenceAnnotations, { jid: LANE, domain: newDomain(), settings: PLAIN, ...scene }).wake(0);
}

/** A session of a client that has `urn:xmpp:psa` in its capabilities. */
export function aware(scene: Scene = {}, features: readonly string[] = [PSA]): Book {
  return legacy(scene)
    .fromClient(`<presence>${CAPS}</presence>`)
    .expectRequest('client', QUERY)
    .answerIq('client', disco(featureList(...features), NODE));
}

/** Of a contact: it has announced capabilities, and is asked about them. */
export const askedFor = (book: Book, jid: string, ...features: readonly string[]): Book =>
  book.expectRequest(jid, QUERY).answerIq(jid, disco(featureList(...features), NODE));

export const roster = (...items: readonly (readonly [jid: string, subscription: string])[]) =>
  `<query xmlns='jabber:iq:roster'>${items.map(([jid, subscription]) => `<item jid='${jid}' subscription='${subscription}'/>`).join('')}</query>`;

export const annotation = (from: string, state = '', description = '') => {
  const content = `${state === '' ? '' : `<${state}/>`}${description}`;
  return `<state-annotation xmlns='${PSA}' from='${from}'>${content}</state-annotation>`;
};

export const returned = (stanza: string, from: string, condition: string) =>
  `<${stanza} from='${from}' to='${LANE}' type='error'><error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></${stanza}>`;

/** The own server cannot reach a domain: somebody hears of it, the session asks, and is refused. */
export function linkFails(book: Book, domain = 'capulet.lit'): Book {
  return book
    .fromServer(returned('message', `somebody@${domain}`, 'remote-server-not-found'))
    .wake(0)
    .expectRequest(domain, PING)
    .answerIq(domain, { error: 'remote-server-not-found' })
    .wake(500);
}

/** It can again: the next question is answered. */
export function linkReturns(book: Book, domain = 'capulet.lit', after = 1_500): Book {
  return book.wake(after).expectRequest(domain, PING).answerIq(domain, '').wake(500);
}
