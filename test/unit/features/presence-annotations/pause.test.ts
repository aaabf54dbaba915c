import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { disco, featureList } from '../../knowledge/disco.js';
import { FreePlay } from './free-play.js';
import {
  annotation,
  askedFor,
  aware,
  type Book,
  CAPS,
  legacy,
  newDomain,
  PSA,
  ROSTER_QUERY,
  roster,
} from './scenes.js';

const BENVOLIO = 'benvolio@montague.lit/lane';
const OWN = 'benvolio@montague.lit';
const ORCHARD = 'juliet@capulet.lit/orchard';
const PAUSED = annotation('montague.lit', 'connection-paused');
const BACK = annotation('montague.lit');
const HELLO = '<presence><status>here</status></presence>';
const to = (jid: string, content: string) =>
  `<presence to='${jid}'><status>here</status>${content}</presence>`;

/** Benvolio, available; contacts elsewhere that have announced capabilities. */
function benvolio(...contacts: readonly string[]): Book {
  const book = legacy({ jid: BENVOLIO }).fromClient(HELLO);
  for (const contact of contacts) book.fromServer(`<presence from='${contact}'>${CAPS}</presence>`);
  return book;
}

const goesAway = (book: Book, ...items: readonly (readonly [string, string])[]) =>
  book
    .legDown('client')
    .wake(500)
    .expectTold(OWN, 'paused')
    .expectRequest('account', ROSTER_QUERY)
    .answerIq('account', roster(...items));

describe('contacts elsewhere', () => {
  it('who are subscribed and understand it are sent the last presence, annotated, and again when it is over', () => {
    const book = goesAway(benvolio(ORCHARD), ['juliet@capulet.lit', 'both']);
    askedFor(book, ORCHARD, PSA)
      .wake(0)
      .expectSent('server', to(ORCHARD, PAUSED))
      .legUp('client')
      .expectTold(OWN, 'resumed')
      .expectSent('server', to(ORCHARD, BACK))
      .end();
  });

  it('XEP-0310 §4.2: a client that pauses its BOSH session is away like one whose connection broke, until it is back', () => {
    const book = benvolio(ORCHARD)
      .pauses(true)
      .wake(500)
      .expectTold(OWN, 'paused')
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster(['juliet@capulet.lit', 'both']));
    askedFor(book, ORCHARD, PSA)
      .wake(0)
      .expectSent('server', to(ORCHARD, PAUSED))
      // It has not come back in time, and does so later: it was away all the while.
      .legDown('client')
      .wake(60_000)
      .legUp('client')
      .expectTold(OWN, 'resumed')
      .expectSent('server', to(ORCHARD, BACK))
      .pauses(true)
      .pauses(false)
      .wake(60_000)
      .end();
  });

  it('who do not understand it are sent nothing', () => {
    const book = goesAway(benvolio(ORCHARD), ['juliet@capulet.lit', 'both']);
    askedFor(book, ORCHARD, 'urn:xmpp:ping').wake(60_000).end();
  });

  it.each(['to', 'none'])('whose subscription is %s are neither asked nor sent anything', (subscription) => {
    goesAway(benvolio(ORCHARD), ['juliet@capulet.lit', subscription]).wake(60_000).end();
  });

  it('who are in no roster are not either', () => {
    goesAway(benvolio(ORCHARD)).wake(60_000).end();
  });

  it('who have been sent presence by name are sent that one', () => {
    const book = benvolio(ORCHARD).fromClient(
      `<presence to='${ORCHARD}' id='d1'><show>dnd</show></presence>`,
    );
    askedFor(goesAway(book), ORCHARD, PSA)
      .wake(0)
      .expectSent('server', `<presence to='${ORCHARD}'><show>dnd</show>${PAUSED}</presence>`)
      .end();
  });

  it('for whom it was cancelled are sent nothing, subscribed or not, until they are told again', () => {
    const cancel = (book: Book, jid: string) => book.fromClient(`<presence to='${jid}' type='unavailable'/>`);
    for (const jid of [ORCHARD, 'juliet@capulet.lit'])
      goesAway(cancel(benvolio(ORCHARD), jid), ['juliet@capulet.lit', 'both'])
        .wake(60_000)
        .end();
    const again = cancel(benvolio(ORCHARD), ORCHARD).fromClient(HELLO);
    askedFor(goesAway(again, ['juliet@capulet.lit', 'both']), ORCHARD, PSA)
      .wake(0)
      .expectSent('server', to(ORCHARD, PAUSED))
      .end();
  });

  it('who have gone meanwhile are not told that it is back', () => {
    const book = goesAway(benvolio(ORCHARD), ['juliet@capulet.lit', 'both']);
    askedFor(book, ORCHARD, PSA)
      .wake(0)
      .expectSent('server', to(ORCHARD, PAUSED))
      .fromServer(`<presence from='${ORCHARD}' type='unavailable'/>`)
      .legUp('client')
      .expectTold(OWN, 'resumed')
      .end();
  });

  it('are sent five a second, so that the server does not have to slow the session down', () => {
    const contacts = Array.from({ length: 12 }, (_, n) => `c${n}@capulet.lit/r`);
    const play = new FreePlay(BENVOLIO, ({ payload }) =>
      payload.includes('jabber:iq:roster')
        ? roster(...contacts.map((jid) => [jid.slice(0, jid.indexOf('/')), 'both'] as const))
        : disco(featureList(PSA)),
    );
    play.client(HELLO);
    for (const contact of contacts) play.server(`<presence from='${contact}'>${CAPS}</presence>`);
    play.legDown();
    const counts = Array.from({ length: 6 }, () => {
      const before = play.sent.length;
      play.wait(1_000);
      return play.sent.length - before;
    });
    expect(Math.max(...counts)).toBeLessThanOrEqual(5);
    expect(play.sent.length).toBe(12);
  });
});

describe('nobody is told', () => {
  it('of a break that is over in half a second', () => {
    benvolio(ORCHARD).legDown('client').wake(400).legUp('client').wake(60_000).end();
  });

  it('of a client that is not available', () => {
    legacy({ jid: BENVOLIO }).legDown('client').wake(60_000).end();
    benvolio(ORCHARD).fromClient(`<presence type='unavailable'/>`).legDown('client').wake(60_000).end();
  });

  it('while nobody asks for annotations: the server is not even asked for the roster', () => {
    benvolio('juliet@montague.lit/x').legDown('client').wake(60_000).legUp('client').wake(60_000).end();
  });

  it('anything, by a session that has never had the presence', () => {
    const domain = newDomain();
    aware({ domain })
      .fromServer(`<presence from='mercutio@montague.lit/x'/>`)
      .told('paused', BENVOLIO)
      .wake(60_000)
      .end();
  });

  it('twice: what is told comes out of what the session itself was sent, whoever says so', () => {
    aware({ domain: newDomain() })
      .fromServer(`<presence from='${BENVOLIO}'/>`)
      .told('paused', BENVOLIO)
      .told('paused', BENVOLIO)
      .wake(1_000)
      .expectSent('client', `<presence from='${BENVOLIO}'>${PAUSED}</presence>`)
      .told('nonsense', BENVOLIO)
      .wake(1_000)
      .end();
  });
});

it('who gets the presence while it is paused is told at once', () => {
  const domain = newDomain();
  const late = aware({ domain });
  legacy({ domain, jid: BENVOLIO })
    .fromClient(HELLO)
    .legDown('client')
    .wake(500)
    .expectTold(OWN, 'paused')
    .expectRequest('account', ROSTER_QUERY)
    .answerIq('account', roster())
    .end();
  late
    .fromServer(`<presence from='${BENVOLIO}'><status>here</status></presence>`)
    .wake(500)
    .expectSent('client', `<presence from='${BENVOLIO}'><status>here</status>${PAUSED}</presence>`)
    .end();
});

it('a session that was away when its process ended tells those who know that it is back', () => {
  const book = goesAway(benvolio(ORCHARD), ['juliet@capulet.lit', 'both'], ['romeo@montague.lit', 'from']);
  book.expectTold('romeo@montague.lit', 'paused');
  askedFor(book, ORCHARD, PSA).wake(0).expectSent('server', to(ORCHARD, PAUSED));
  const snapshot = book.snapshots();
  book.end();
  legacy({ jid: BENVOLIO, snapshot })
    .fromServer(`<presence from='${ORCHARD}'>${CAPS}</presence>`)
    .legUp('client')
    .expectTold(OWN, 'resumed')
    .expectTold('romeo@montague.lit', 'resumed')
    .expectSent('server', to(ORCHARD, BACK))
    .end();
});

describe('rooms', () => {
  const ROOM = 'orchard@chats.montague.lit';
  const MUC = `<x xmlns='http://jabber.org/protocol/muc'/>`;
  const self = `<x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x>`;
  const enter = (book: Book, nick: string) =>
    book
      .fromClient(`<presence to='${ROOM}/${nick}'>${MUC}</presence>`)
      .fromServer(`<presence from='${ROOM}/${nick}'>${self}</presence>`);
  const there = (nick: string, content = '') => `<presence from='${ROOM}/${nick}'>${content}</presence>`;

  it('an occupant here who is paused is annotated by the service, for the other occupants here', () => {
    const domain = newDomain();
    const romeo = enter(aware({ domain }), 'Romeo').fromServer(there('Benvolio'));
    const outside = aware({ domain, jid: 'tybalt@montague.lit/x' });
    const paused = enter(legacy({ domain, jid: BENVOLIO }), 'Benvolio')
      .legDown('client')
      .wake(500);
    romeo
      .wake(500)
      .expectSent('client', there('Benvolio', annotation('chats.montague.lit', 'connection-paused')));
    paused.legUp('client').end();
    romeo
      .wake(500)
      .expectSent('client', there('Benvolio', annotation('chats.montague.lit')))
      .end();
    outside.wake(1_000).end();
  });

  it('not while another resource with the same nick is there', () => {
    const domain = newDomain();
    const romeo = enter(aware({ domain }), 'Romeo').fromServer(there('Benvolio'));
    const phone = enter(legacy({ domain, jid: BENVOLIO }), 'Benvolio');
    const desk = enter(legacy({ domain, jid: 'benvolio@montague.lit/desk' }), 'Benvolio');
    phone.legDown('client').wake(500).end();
    romeo.wake(500);
    desk.legDown('client').wake(500).end();
    romeo
      .wake(500)
      .expectSent('client', there('Benvolio', annotation('chats.montague.lit', 'connection-paused')))
      .end();
  });

  it('an occupant of an unreachable server is annotated where the room tells real JIDs', () => {
    const real = (jid: string) =>
      `<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant' jid='${jid}'/></x>`;
    const book = enter(aware(), 'Romeo')
      .fromServer(there('Juliet', real(ORCHARD)))
      .fromServer(there('Benvolio', real(BENVOLIO)))
      .fromServer(there('Veiled'))
      .wake(60_000)
      .expectRequest('capulet.lit', `<ping xmlns='urn:xmpp:ping'/>`)
      .answerIq('capulet.lit', { error: 'remote-server-timeout' })
      .wake(500)
      .expectSent(
        'client',
        there('Juliet', real(ORCHARD) + annotation('chats.montague.lit', 'server-unavailable')),
      );
    book
      .wake(2_000)
      .expectRequest('capulet.lit', `<ping xmlns='urn:xmpp:ping'/>`)
      .answerIq('capulet.lit', '')
      .wake(500)
      .expectSent('client', there('Juliet', real(ORCHARD) + annotation('chats.montague.lit')))
      .end();
  });
});

it('no presence reaches anyone who had not received it: whatever has happened before', () => {
  const jids = ['a@capulet.lit/r', 'b@capulet.lit/r', 'c@verona.lit/r', 'd@montague.lit/r'];
  const step = fc.record({
    who: fc.constantFrom(...jids),
    what: fc.constantFrom('directs', 'cancels', 'cancels bare', 'broadcasts', 'goes', 'arrives', 'leaves'),
  });
  const subscriptions = fc.tuple(...jids.map(() => fc.constantFrom('both', 'from', 'to', 'none')));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), subscriptions, (steps, subscribed) => {
      const bare = (jid: string) => jid.slice(0, jid.indexOf('/'));
      const sees = new Map(jids.map((jid, n) => [jid, ['both', 'from'].includes(subscribed[n]!)]));
      /** Who has the presence, by the rules of RFC 6121 §4. */
      const has = new Set<string>();
      const play = new FreePlay(BENVOLIO, (request) => {
        if (request.payload.includes('jabber:iq:roster'))
          return roster(...jids.map((jid, n) => [bare(jid), subscribed[n]!] as const));
        return disco(featureList(PSA));
      });
      for (const { who, what } of steps) {
        if (what === 'directs') {
          play.client(`<presence to='${who}'/>`);
          has.add(who);
        } else if (what === 'cancels') {
          play.client(`<presence to='${who}' type='unavailable'/>`);
          has.delete(who);
        } else if (what === 'cancels bare') {
          play.client(`<presence to='${bare(who)}' type='unavailable'/>`);
          has.delete(who);
        } else if (what === 'broadcasts') {
          play.client('<presence/>');
          for (const jid of jids) if (sees.get(jid)) has.add(jid);
        } else if (what === 'goes') {
          play.client(`<presence type='unavailable'/>`);
          has.clear();
        } else if (what === 'arrives') {
          play.server(`<presence from='${who}'>${CAPS}</presence>`);
        } else play.server(`<presence from='${who}' type='unavailable'/>`);
      }
      play.legDown();
      play.wait(5_000);
      for (const { leg, stanza } of play.sent) {
        expect(leg).toBe('server');
        expect(has).toContain(stanza.attrs.to);
      }
      // Sessions here show what they have been sent themselves; others are not told at all.
      for (const account of play.told) if (account !== OWN) expect(account).toBe('d@montague.lit');
      play.legUp();
      play.wait(5_000);
      for (const { stanza } of play.sent) expect(has).toContain(stanza.attrs.to);
    }),
    { numRuns: 300 },
  );
});

it('everybody elsewhere who has it and understands is told', () => {
  const play = new FreePlay(BENVOLIO, ({ payload }) =>
    payload.includes('jabber:iq:roster') ? roster(['juliet@capulet.lit', 'both']) : disco(featureList(PSA)),
  );
  play.client('<presence/>');
  play.server(`<presence from='${ORCHARD}'>${CAPS}</presence>`);
  play.legDown();
  play.wait(5_000);
  expect(play.sent.map(({ stanza }) => stanza.attrs.to)).toEqual([ORCHARD]);
});
