import { describe, it } from 'vitest';
import {
  annotation,
  aware,
  LANE,
  legacy,
  linkFails,
  linkReturns,
  newDomain,
  ORCHARD,
  ROSTER_QUERY,
  roster,
} from './scenes.js';

// Each listing of XEP-0310, in the words of the document.

const AVAILABLE = '<status>Available</status>';
const BENVOLIO = 'benvolio@montague.lit/lane';
const LEAPT = "<status>He ran this way, and leap'd this orchard wall</status>";
const ROOM = 'orchard@chats.shakespeare.lit';
const AY_ME = '<status>Ay me!</status>';
const to = (from: string, content: string) => `<presence from='${from}' to='${LANE}'>${content}</presence>`;

const DOWN = {
  serverUnavailable: { en: 'The {domain} server is no longer available' },
  connectionPaused: false,
};

describe('XEP-0310 §4.1, the remote server is unavailable', () => {
  it('listing 1: Romeo receives Juliet’s presence', () => {
    aware().fromServer(to(ORCHARD, AVAILABLE)).end();
  });

  it('listing 2: Romeo receives Juliet’s presence, annotated that the S2S is unavailable', () => {
    const description = `<description xml:lang='en'>The capulet.lit server is no longer available</description>`;
    const book = aware({ settings: DOWN }).fromServer(to(ORCHARD, AVAILABLE));
    linkFails(book)
      .expectSent(
        'client',
        to(ORCHARD, AVAILABLE + annotation('montague.lit', 'server-unavailable', description)),
      )
      .end();
  });

  it('listing 3: Romeo receives Juliet’s annotated presence, annotated that S2S is restored', () => {
    const book = aware().fromServer(to(ORCHARD, AVAILABLE));
    linkFails(book).expectSent(
      'client',
      to(ORCHARD, AVAILABLE + annotation('montague.lit', 'server-unavailable')),
    );
    linkReturns(book)
      .expectSent('client', to(ORCHARD, AVAILABLE + annotation('montague.lit')))
      // “It MAY subsequently attempt to refresh this presence by reprobing the remote entity.”
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster(['juliet@capulet.lit', 'both']))
      .expectSent('server', `<presence type='probe' to='juliet@capulet.lit'/>`)
      .end();
  });
});

describe('XEP-0310 §4.2, the local user is paused', () => {
  /** Romeo and Benvolio at the same proxy, in each other's rosters. */
  const scene = (
    settings: Record<string, unknown> = { serverUnavailable: false, connectionPaused: false },
  ) => {
    const domain = newDomain();
    const romeo = aware({ domain, settings });
    const benvolio = legacy({ domain, jid: BENVOLIO, settings });
    benvolio.fromClient(`<presence>${LEAPT}</presence>`);
    return { romeo, benvolio };
  };

  it('listing 4: Romeo receives Benvolio’s presence', () => {
    const { romeo, benvolio } = scene();
    romeo.fromServer(to(BENVOLIO, LEAPT)).end();
    benvolio.end();
  });

  it('listing 5: Romeo receives Benvolio’s presence annotated for the paused session', () => {
    const { romeo, benvolio } = scene({ connectionPaused: { en: 'This session has been paused' } });
    romeo.fromServer(to(BENVOLIO, LEAPT));
    benvolio
      .legDown('client')
      .wake(500)
      .expectTold('benvolio@montague.lit', 'paused')
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster(['romeo@montague.lit', 'both']))
      .expectTold('romeo@montague.lit', 'paused')
      .end();
    const description = `<description xml:lang='en'>This session has been paused</description>`;
    romeo
      .told('paused', BENVOLIO)
      .wake(250)
      .expectSent(
        'client',
        to(BENVOLIO, LEAPT + annotation('montague.lit', 'connection-paused', description)),
      )
      .end();
  });

  it('listing 6: Romeo receives Benvolio’s presence annotated for the resumed session', () => {
    const { romeo, benvolio } = scene();
    romeo.fromServer(to(BENVOLIO, LEAPT));
    benvolio
      .legDown('client')
      .wake(500)
      .expectTold('benvolio@montague.lit', 'paused')
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster(['romeo@montague.lit', 'from']))
      .expectTold('romeo@montague.lit', 'paused');
    romeo
      .told('paused', BENVOLIO)
      .wake(250)
      .expectSent('client', to(BENVOLIO, LEAPT + annotation('montague.lit', 'connection-paused')));
    benvolio
      .legUp('client')
      .expectTold('benvolio@montague.lit', 'resumed')
      .expectTold('romeo@montague.lit', 'resumed')
      .end();
    romeo
      .told('resumed', BENVOLIO)
      .wake(250)
      .expectSent('client', to(BENVOLIO, LEAPT + annotation('montague.lit')))
      .end();
  });

  it('listing 7: Romeo receives Benvolio’s synthesized unavailable presence for the terminated session', () => {
    const { romeo, benvolio } = scene();
    romeo.fromServer(to(BENVOLIO, LEAPT));
    benvolio
      .legDown('client')
      .wake(500)
      .expectTold('benvolio@montague.lit', 'paused')
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster(['romeo@montague.lit', 'from']))
      .expectTold('romeo@montague.lit', 'paused');
    romeo
      .told('paused', BENVOLIO)
      .wake(250)
      .expectSent('client', to(BENVOLIO, LEAPT + annotation('montague.lit', 'connection-paused')));
    // The server's own word, and nothing beside it.
    benvolio.close().end();
    romeo.fromServer(`<presence from='${BENVOLIO}' to='${LANE}' type='unavailable'/>`).wake(10_000).end();
  });
});

describe('XEP-0310 §4.3, a MUC loses contact with an occupant', () => {
  const inRoom = () =>
    aware()
      .fromClient(`<presence to='${ROOM}/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
      .fromServer(to(`${ROOM}/Juliet`, AY_ME))
      .fromServer(
        to(`${ROOM}/Romeo`, `<x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x>`),
      );
  const self = `<x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x>`;

  it('listing 8: Romeo receives a presence update from Juliet in the MUC room', () => {
    inRoom().end();
  });

  it('listing 9: Romeo receives an annotated presence from the MUC room that Juliet’s server is unavailable', () => {
    const gone = annotation('chats.shakespeare.lit', 'server-unavailable');
    linkFails(inRoom(), 'chats.shakespeare.lit')
      .expectSent('client', to(`${ROOM}/Juliet`, AY_ME + gone))
      .expectSent('client', to(`${ROOM}/Romeo`, self + gone))
      .end();
  });

  it('listing 10: Romeo receives an annotated presence from the MUC room that Juliet’s server is again available', () => {
    const gone = annotation('chats.shakespeare.lit', 'server-unavailable');
    const back = annotation('chats.shakespeare.lit');
    const book = linkFails(inRoom(), 'chats.shakespeare.lit')
      .expectSent('client', to(`${ROOM}/Juliet`, AY_ME + gone))
      .expectSent('client', to(`${ROOM}/Romeo`, self + gone));
    linkReturns(book, 'chats.shakespeare.lit')
      .expectSent('client', to(`${ROOM}/Juliet`, AY_ME + back))
      .expectSent('client', to(`${ROOM}/Romeo`, self + back))
      // §5: is it still in?
      .expectRequest(`${ROOM}/Romeo`, `<ping xmlns='urn:xmpp:ping'/>`)
      .answerIq(`${ROOM}/Romeo`, '')
      .end();
  });
});
