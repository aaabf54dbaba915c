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

describe('contacts who have been sent presence by name', () => {
  const direct = (jid: string) => `<presence to='${jid}'><show>dnd</show></presence>`;
  const takeBack = (jid: string) => `<presence to='${jid}' type='unavailable'/>`;
  const named = (content: string) => `<presence to='${ORCHARD}'><show>dnd</show>${content}</presence>`;
  const JULIET = 'juliet@capulet.lit';

  it.each([
    [ORCHARD, JULIET],
    [JULIET, ORCHARD],
  ])(
    'RFC 6121 §4.6.3: %s, and then gone for %s, do not have it again by a broadcast',
    (sentTo, takenFrom) => {
      const book = benvolio(ORCHARD)
        .fromClient(direct(sentTo))
        .fromClient(takeBack(takenFrom))
        .fromClient(HELLO);
      goesAway(book, [JULIET, 'to']).wake(60_000).end();
    },
  );

  it('and the broadcast one later are sent that, if they are subscribed', () => {
    const book = benvolio(ORCHARD).fromClient(direct(ORCHARD)).fromClient(HELLO);
    askedFor(goesAway(book, [JULIET, 'from']), ORCHARD, PSA)
      .wake(0)
      .expectSent('server', to(ORCHARD, PAUSED))
      .end();
  });

  it('are sent that one, not what was broadcast, when the process has ended meanwhile', () => {
    const book = benvolio(ORCHARD).fromClient(direct(ORCHARD));
    askedFor(goesAway(book), ORCHARD, PSA).wake(0).expectSent('server', named(PAUSED));
    const snapshot = book.snapshots();
    book.end();
    legacy({ jid: BENVOLIO, snapshot })
      .fromServer(`<presence from='${ORCHARD}'>${CAPS}</presence>`)
      .legUp('client')
      .expectTold(OWN, 'resumed')
      .expectSent('server', named(BACK))
      .end();
  });

  it('or have had it taken back before the process ended, are sent nothing by the next', () => {
    const book = benvolio(ORCHARD).fromClient(takeBack(ORCHARD));
    const snapshot = book.snapshots();
    book.end();
    const next = legacy({ jid: BENVOLIO, snapshot }).fromServer(
      `<presence from='${ORCHARD}'>${CAPS}</presence>`,
    );
    goesAway(next, [JULIET, 'both']).wake(60_000).end();
  });
});

it('RFC 6121 §3.2.2: whose subscription has ended during the pause is not told that it is over', () => {
  const book = goesAway(benvolio(ORCHARD), ['juliet@capulet.lit', 'both']);
  askedFor(book, ORCHARD, PSA)
    .wake(0)
    .expectSent('server', to(ORCHARD, PAUSED))
    .fromServer(`<iq type='set' id='push'>${roster(['juliet@capulet.lit', 'to'])}</iq>`)
    .expectVerdict('handled roster-push-answered')
    .expectSent('server', `<iq type='result' id='push'/>`)
    .legUp('client')
    .expectTold(OWN, 'resumed')
    .wake(60_000)
    .end();
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

it('a client that pauses its session by BOSH (XEP-0124 §10) is away until it is heard of again', () => {
  const book = benvolio(ORCHARD)
    .pauses(true)
    .wake(500)
    .expectTold(OWN, 'paused')
    .expectRequest('account', ROSTER_QUERY)
    .answerIq('account', roster(['juliet@capulet.lit', 'both']));
  askedFor(book, ORCHARD, PSA)
    .wake(0)
    .expectSent('server', to(ORCHARD, PAUSED))
    .pauses(false)
    .expectTold(OWN, 'resumed')
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
  const jids = [
    ...['a@capulet.lit/r', 'b@capulet.lit/r', 'b@capulet.lit/q', 'c@verona.lit/r', 'd@montague.lit/r'],
    ...['e@verona.lit/r', 'f@verona.lit/r', 'g@verona.lit/r'],
  ];
  const bare = (jid: string) => jid.slice(0, jid.indexOf('/'));
  const accounts = [...new Set(jids.map(bare))];
  const step = fc.record({
    who: fc.constantFrom(...jids),
    what: fc.constantFrom(
      ...(['directs', 'directs bare', 'cancels', 'cancels bare', 'broadcasts', 'goes'] as const),
      ...(['unsubscribed', 'arrives', 'everybody arrives', 'leaves'] as const),
      ...(['breaks', 'returns', 'waits', 'restarts'] as const),
    ),
  });
  const subscriptions = fc.tuple(...accounts.map(() => fc.constantFrom('both', 'from', 'to', 'none')));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), subscriptions, (steps, subscribed) => {
      const subscription = new Map(accounts.map((jid, n) => [jid, subscribed[n]!]));
      const sees = (jid: string) => ['both', 'from'].includes(subscription.get(bare(jid))!);
      const resources = (account: string) => jids.filter((jid) => bare(jid) === account);
      /** Who has which presence, by the rules of RFC 6121 §3 and §4. */
      const has = new Map<string, string>();
      let isHere = true;
      let looked = 0;
      const play = new FreePlay(BENVOLIO, (request) => {
        if (request.payload.includes('jabber:iq:roster')) return roster(...subscription);
        return disco(featureList(PSA));
      });
      const look = () => {
        for (const { leg, stanza } of play.sent.slice(looked)) {
          if (stanza.name === 'iq') continue;
          expect(leg).toBe('server');
          expect({ to: stanza.attrs.to, has: stanza.getChildText('status') }).toEqual({
            to: stanza.attrs.to,
            has: has.get(stanza.attrs.to),
          });
        }
        looked = play.sent.length;
      };
      const arrives = (jid: string) => play.server(`<presence from='${jid}'>${CAPS}</presence>`);
      const run = (who: string, what: (typeof steps)[number]['what'], number: string) => {
        const status = `<status>${number}</status>`;
        if (what === 'arrives') arrives(who);
        else if (what === 'everybody arrives') for (const jid of jids) arrives(jid);
        else if (what === 'leaves') play.server(`<presence from='${who}' type='unavailable'/>`);
        else if (what === 'waits') play.wait(500);
        else if (what === 'restarts') play.restart();
        else if (what === 'unsubscribed') {
          if (sees(who)) for (const jid of resources(bare(who))) has.delete(jid);
          subscription.set(bare(who), 'none');
          play.server(`<iq type='set' id='push'>${roster([bare(who), 'none'])}</iq>`);
        } else if (what === 'returns') {
          if (!isHere) play.legUp();
          isHere = true;
        } else if (!isHere) return;
        else if (what === 'breaks') {
          play.legDown();
          play.wait(1_500);
          isHere = false;
        } else if (what === 'directs') {
          play.client(`<presence to='${who}'>${status}</presence>`);
          has.set(who, number);
        } else if (what === 'directs bare') {
          play.client(`<presence to='${bare(who)}'>${status}</presence>`);
          for (const jid of resources(bare(who))) has.set(jid, number);
        } else if (what === 'cancels') {
          play.client(`<presence to='${who}' type='unavailable'/>`);
          has.delete(who);
        } else if (what === 'cancels bare') {
          play.client(`<presence to='${bare(who)}' type='unavailable'/>`);
          for (const jid of resources(bare(who))) has.delete(jid);
        } else if (what === 'broadcasts') {
          play.client(`<presence>${status}</presence>`);
          for (const jid of jids) if (sees(jid)) has.set(jid, number);
        } else {
          play.client(`<presence type='unavailable'/>`);
          has.clear();
        }
      };
      const end = (['breaks', 'waits', 'returns', 'waits', 'waits'] as const).map((what) => ({
        who: '',
        what,
      }));
      for (const [n, { who, what }] of [...steps, ...end].entries()) {
        run(who, what, String(n));
        look();
      }
      // Sessions here show what they have been sent themselves; others are not told at all.
      for (const account of play.told) if (account !== OWN) expect(account).toBe('d@montague.lit');
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
