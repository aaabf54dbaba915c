import { describe, expect, it } from 'vitest';
import { annotation, aware, CAPS, LANE, legacy, ORCHARD } from './scenes.js';

const to = (content: string, from = ORCHARD, type = '') =>
  `<presence from='${from}' to='${LANE}'${type}>${content}</presence>`;
const STATUS = '<status>Available</status>';
const gone = (author: string) => annotation(author, 'server-unavailable');

describe('an annotation is believed', () => {
  it.each(['montague.lit', 'capulet.lit', 'CAPULET.lit'])('from %s', (author) => {
    aware()
      .fromServer(to(STATUS + gone(author)))
      .end();
  });

  it('from the MUC service of an occupant', () => {
    aware()
      .fromServer(to(STATUS + gone('chats.shakespeare.lit'), 'orchard@chats.shakespeare.lit/Juliet'))
      .end();
  });

  it.each([
    'verona.lit',
    'juliet@capulet.lit',
    'juliet@capulet.lit/orchard',
    'evil.capulet.lit',
    'romeo@montague.lit',
    '',
  ])('not from "%s": it is taken out', (author) => {
    aware()
      .fromServer(to(STATUS + gone(author)))
      .expectVerdict('changed annotation-not-believed', to(STATUS))
      .end();
  });

  it('not without an author, nor in a presence without a sender that can be told', () => {
    const nameless = `<state-annotation xmlns='urn:xmpp:psa'><server-unavailable/></state-annotation>`;
    aware()
      .fromServer(to(STATUS + nameless))
      .expectVerdict('changed annotation-not-believed', to(STATUS))
      .fromServer(to(STATUS + gone('capulet.lit'), '@@'))
      .expectVerdict('changed annotation-not-believed', to(STATUS, '@@'))
      .end();
  });

  it('each for itself: all of the others are taken out', () => {
    aware()
      .fromServer(to(gone('a.lit') + STATUS + gone('capulet.lit') + gone('b.lit') + gone('a.lit')))
      .expectVerdict('changed annotation-not-believed', to(STATUS + gone('capulet.lit')))
      .end();
  });

  it('only in a presence that is available', () => {
    aware()
      .fromServer(to(gone('capulet.lit'), ORCHARD, " type='unavailable'"))
      .expectVerdict('changed annotation-removed', to('', ORCHARD, " type='unavailable'"))
      .fromServer(to(gone('capulet.lit'), 'juliet@capulet.lit', " type='subscribe'"))
      .expectVerdict('changed annotation-removed', to('', 'juliet@capulet.lit', " type='subscribe'"))
      .end();
  });
});

it('a client’s own presence can’t carry one out', () => {
  legacy()
    .fromClient(`<presence>${gone('montague.lit')}${STATUS}${gone('x')}</presence>`)
    .expectVerdict('changed annotation-of-client-removed', `<presence>${STATUS}</presence>`)
    .fromClient(`<presence to='${ORCHARD}'>${gone('montague.lit')}</presence>`)
    .expectVerdict('changed annotation-of-client-removed', `<presence to='${ORCHARD}'/>`)
    .end();
});

describe('a client that knows nothing of annotations', () => {
  it('is shown xa for a server that cannot be reached, with the description, and the original again', () => {
    const described = annotation(
      'capulet.lit',
      'server-unavailable',
      '<description>No way there</description>',
    );
    legacy()
      .fromServer(to(`<show>chat</show>${STATUS}<priority>3</priority>${described}`))
      .expectVerdict(
        'changed annotation-shown',
        to('<priority>3</priority><show>xa</show><status>No way there</status>'),
      )
      .fromServer(to(`<show>chat</show>${STATUS}<priority>3</priority>${annotation('capulet.lit')}`))
      .expectVerdict('changed annotation-removed', to(`<show>chat</show>${STATUS}<priority>3</priority>`))
      .end();
  });

  it('is shown away for a paused connection, with its own text where there is none', () => {
    legacy({ settings: { connectionPaused: { en: 'interrupted' } } })
      .fromServer(to(STATUS + annotation('capulet.lit', 'connection-paused')))
      .expectVerdict(
        'changed annotation-shown',
        to(`<show>away</show><status xml:lang='en'>interrupted</status>`),
      )
      .end();
  });

  it('is told the languages of the description; one that is xa stays so; without any text the status stays', () => {
    const two = `<description xml:lang='en'>gone</description><description xml:lang='de'>weg</description>`;
    legacy()
      .fromServer(to(`<show>xa</show>${STATUS}${annotation('capulet.lit', 'connection-paused', two)}`))
      .expectVerdict(
        'changed annotation-shown',
        to(`<show>xa</show><status xml:lang='en'>gone</status><status xml:lang='de'>weg</status>`),
      )
      .fromServer(to(`${STATUS}${annotation('capulet.lit', 'server-unavailable')}`))
      .expectVerdict('changed annotation-shown', to(`${STATUS}<show>xa</show>`))
      .end();
  });

  it('is shown none of that when it is switched off, and no annotation either', () => {
    legacy({ settings: { show: false } })
      .fromServer(to(STATUS + gone('capulet.lit')))
      .expectVerdict('changed annotation-removed', to(STATUS))
      .end();
  });

  it('is not shown what is not believed', () => {
    legacy()
      .fromServer(to(STATUS + gone('verona.lit')))
      .expectVerdict('changed annotation-not-believed', to(STATUS))
      .end();
  });

  it('sends its own presence as it likes', () => {
    legacy()
      .fromServer(to(STATUS + annotation('capulet.lit', 'connection-paused')))
      .expectVerdict('changed annotation-shown', to(`${STATUS}<show>away</show>`))
      .fromClient(`<presence><show>dnd</show></presence>`)
      .end();
  });
});

it('a presence that somebody else has annotated is not annotated again, nor restored here', () => {
  aware()
    .fromServer(to(STATUS + gone('montague.lit')))
    .wake(1_000)
    .legDown('client')
    .legUp('client')
    .wake(1_000)
    .end();
});

it('a session that is gone on with by another process knows what its client asked for', () => {
  const before = aware();
  const snapshot = before.snapshots();
  before.end();
  expect(snapshot['presence-annotations']).toBe('{"viewer":true}');
  legacy({ snapshot: { 'presence-annotations': snapshot['presence-annotations']! } })
    .fromServer(to(STATUS + gone('capulet.lit')))
    .end();
  const nothing = legacy();
  expect(nothing.snapshots()['presence-annotations']).toBeUndefined();
  nothing
    .fromClient(`<presence to='x@y'>${CAPS}</presence>`)
    .expectRequest(
      'client',
      `<query xmlns='http://jabber.org/protocol/disco#info' node='urn:example:client#1'/>`,
    )
    .answerIq('client', 'timeout')
    .end();
});
