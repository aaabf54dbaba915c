import { describe, expect, it } from 'vitest';
import { Links, MOST_LINKS } from '../../../../src/features/presence-annotations/links.js';
import type { Settings } from '../../../../src/features/presence-annotations/settings.js';
import { sharedKey } from '../../../../src/features/presence-annotations/shared.js';
import { MOST_WATCHED } from '../../../../src/features/presence-annotations/viewer.js';
import { disco, featureList } from '../../knowledge/disco.js';
import { FreePlay } from './free-play.js';
import {
  annotation,
  aware,
  CAPS,
  LANE,
  legacy,
  linkFails,
  linkReturns,
  newDomain,
  ORCHARD,
  PING,
  PSA,
  ROSTER_QUERY,
  returned,
  roster,
} from './scenes.js';

const to = (from: string, content = '', type = '') =>
  `<presence from='${from}' to='${LANE}'${type}>${content}</presence>`;
const down = (from: string, content = '') =>
  to(from, content + annotation('montague.lit', 'server-unavailable'));
const back = (from: string, content = '') => to(from, content + annotation('montague.lit'));
const NO_REFRESH = { serverUnavailable: false, connectionPaused: false, refresh: false };

describe('a domain with several servers', () => {
  const FIRST = 'xmpp://first.montague.lit';
  const SECOND = 'xmpp://second.montague.lit';

  it('each asks by a session of its own, and only clients at the one that does not reach a domain are told', () => {
    const domain = newDomain();
    const romeo = aware({ domain, upstream: FIRST, settings: NO_REFRESH }).fromServer(to(ORCHARD));
    const benvolio = aware({
      ...{ domain, upstream: SECOND, settings: NO_REFRESH, jid: 'benvolio@montague.lit/lane' },
    }).fromServer(to(ORCHARD));
    linkFails(romeo).expectSent('client', down(ORCHARD));
    // At the other, the domain is asked at its time, and answers.
    benvolio.wake(60_000).expectRequest('capulet.lit', PING).answerIq('capulet.lit', '').wake(500).end();
    linkReturns(romeo).expectSent('client', back(ORCHARD)).end();
  });

  it('one asks for all that have the same', () => {
    const domain = newDomain();
    const romeo = aware({ domain, upstream: FIRST, settings: NO_REFRESH }).fromServer(to(ORCHARD));
    const benvolio = aware({
      ...{ domain, upstream: FIRST, settings: NO_REFRESH, jid: 'benvolio@montague.lit/lane' },
    }).fromServer(to(ORCHARD));
    linkFails(romeo).expectSent('client', down(ORCHARD)).end();
    benvolio.wake(500).expectSent('client', down(ORCHARD)).end();
  });

  it('what the one has recovered from does not make the other deaf', () => {
    const domain = newDomain();
    const romeo = aware({ domain, upstream: FIRST, settings: NO_REFRESH }).fromServer(to(ORCHARD));
    const benvolio = aware({
      ...{ domain, upstream: SECOND, settings: NO_REFRESH, jid: 'benvolio@montague.lit/lane' },
    }).fromServer(to(ORCHARD));
    linkFails(romeo).expectSent('client', down(ORCHARD));
    linkFails(benvolio).expectSent('client', down(ORCHARD));
    linkReturns(benvolio).expectSent('client', back(ORCHARD)).end();
    romeo
      .fromServer(`<message from='${ORCHARD}' to='${LANE}'><body>hi</body></message>`)
      .wake(500)
      .expectSent('client', back(ORCHARD))
      .end();
  });

  it('a session whose next server leg goes to another is told what that one reaches', () => {
    const book = aware({ upstream: FIRST, settings: NO_REFRESH }).fromServer(to(ORCHARD));
    linkFails(book).expectSent('client', down(ORCHARD));
    book.upstream = SECOND;
    book
      .legDown('server')
      .legUp('server')
      .wake(500)
      .expectSent('client', back(ORCHARD))
      .wake(60_000)
      .expectRequest('capulet.lit', PING)
      .answerIq('capulet.lit', { error: 'remote-server-timeout' })
      .wake(500)
      .expectSent('client', down(ORCHARD))
      .end();
  });
});

describe('who is told of a server that cannot be reached', () => {
  it('a client without urn:xmpp:psa in its capabilities is not', () => {
    aware({}, ['urn:xmpp:ping'])
      .fromServer(to(ORCHARD))
      .fromServer(returned('message', ORCHARD, 'remote-server-not-found'))
      .wake(600_000)
      .end();
  });

  it('a client that announces no capabilities is not, and nobody is asked anything', () => {
    legacy()
      .fromClient('<presence/>')
      .fromServer(to(ORCHARD))
      .fromServer(returned('message', ORCHARD, 'remote-server-not-found'))
      .wake(600_000)
      .end();
  });

  it('one with it is, for every full JID of the domain whose latest presence is available', () => {
    const book = aware({ settings: NO_REFRESH })
      .fromServer(to(ORCHARD, '<show>away</show>'))
      .fromServer(to('juliet@capulet.lit/balcony'))
      .fromServer(to('nurse@capulet.lit/chamber'))
      .fromServer(to('nurse@capulet.lit/chamber', '', " type='unavailable'"))
      .fromServer(to('tybalt@verona.lit/street'))
      .fromServer(to('benvolio@montague.lit/lane'))
      .fromServer(`<presence from='peter@capulet.lit' to='${LANE}' type='subscribe'/>`)
      .fromServer(returned('presence', 'sampson@capulet.lit/x', 'forbidden'));
    linkFails(book)
      .expectSent('client', down(ORCHARD, '<show>away</show>'))
      .expectSent('client', down('juliet@capulet.lit/balcony'));
    linkReturns(book)
      .expectSent('client', back(ORCHARD, '<show>away</show>'))
      .expectSent('client', back('juliet@capulet.lit/balcony'))
      .end();
  });

  it('one whose capabilities come later is told what there is to tell then', () => {
    const domain = newDomain();
    const first = aware({ domain, settings: NO_REFRESH }).fromServer(to(ORCHARD));
    const late = legacy({ domain, jid: 'romeo@montague.lit/late', settings: NO_REFRESH }).fromServer(
      `<presence from='${ORCHARD}'/>`,
    );
    linkFails(first).expectSent('client', down(ORCHARD)).end();
    late
      .fromClient(`<presence><c xmlns='http://jabber.org/protocol/caps' node='n' ver='v'/></presence>`)
      .expectRequest('client', `<query xmlns='http://jabber.org/protocol/disco#info' node='n#v'/>`)
      .answerIq(
        'client',
        `<query xmlns='http://jabber.org/protocol/disco#info' node='n#v'><feature var='urn:xmpp:psa'/></query>`,
      )
      .wake(250)
      .expectSent(
        'client',
        `<presence from='${ORCHARD}'>${annotation('montague.lit', 'server-unavailable')}</presence>`,
      )
      .end();
  });

  it('XEP-0390 counts as well', () => {
    const hash = 'u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=';
    legacy()
      .fromClient(
        `<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>${hash}</hash></c></presence>`,
      )
      .expectRequest(
        'client',
        `<query xmlns='http://jabber.org/protocol/disco#info' node='urn:xmpp:caps#sha-256.${hash}'/>`,
      )
      .answerIq(
        'client',
        `<query xmlns='http://jabber.org/protocol/disco#info'><feature var='urn:xmpp:psa'/></query>`,
      )
      .fromServer(to(ORCHARD))
      .wake(60_000)
      .expectRequest('capulet.lit', PING)
      .answerIq('capulet.lit', { error: 'remote-server-timeout' })
      .wake(250)
      .expectSent(
        'client',
        to(
          ORCHARD,
          annotation('montague.lit', 'server-unavailable', `<description xml:lang='en'>x</description>`),
        ).replace(/<description.*<\/description>/, ''),
      )
      .end();
  });

  it('a presence that arrives meanwhile clears it', () => {
    const book = aware({ settings: NO_REFRESH })
      .fromServer(to(ORCHARD))
      .fromServer(to('nurse@capulet.lit/a'));
    linkFails(book)
      .expectSent('client', down(ORCHARD))
      .expectSent('client', down('nurse@capulet.lit/a'))
      // It is a stanza from there, so that the link is up: only the nurse's has to be restored.
      .fromServer(to(ORCHARD, '<show>dnd</show>'))
      .wake(500)
      .expectSent('client', back('nurse@capulet.lit/a'))
      .end();
  });

  it('down and up again before anything was sent is nothing', () => {
    aware({ settings: NO_REFRESH })
      .fromServer(to(ORCHARD))
      .wake(1_000)
      .fromServer(returned('iq', 'capulet.lit', 'remote-server-timeout'))
      .wake(0)
      .expectRequest('capulet.lit', PING)
      .answerIq('capulet.lit', { error: 'remote-server-timeout' })
      .fromServer(`<message from='${ORCHARD}' to='${LANE}'><body>hi</body></message>`)
      .wake(1_000)
      .end();
  });

  it('nothing is sent to a client that is away; it is told what is true when it is back', () => {
    const book = aware({ settings: NO_REFRESH }).fromServer(to(ORCHARD)).wake(1_000);
    book
      .legDown('client')
      .wake(500)
      .expectTold('romeo@montague.lit', 'paused')
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster());
    linkFails(book);
    book
      .legUp('client')
      .expectTold('romeo@montague.lit', 'resumed')
      .wake(500)
      .expectSent('client', down(ORCHARD))
      .end();
  });

  it('is described in the language of the client, where there is a text', () => {
    const settings = {
      serverUnavailable: { en: '{domain} is away', de: '{domain} ist weg' },
      refresh: false,
    };
    const book = aware({ settings })
      .fromServer(`<presence from='${LANE}' to='${LANE}' xml:lang='de-AT'/>`)
      .fromServer(to(ORCHARD));
    const description = `<description xml:lang='de'>capulet.lit ist weg</description>`;
    linkFails(book)
      .expectSent('client', to(ORCHARD, annotation('montague.lit', 'server-unavailable', description)))
      .end();
  });
});

describe('asking for presence again', () => {
  it.each([
    ['to', true],
    ['both', true],
    ['from', false],
    ['none', false],
  ])('with a subscription of %s: %s', (subscription, allowed) => {
    const book = aware().fromServer(to(ORCHARD));
    linkFails(book).expectSent('client', down(ORCHARD));
    linkReturns(book)
      .expectSent('client', back(ORCHARD))
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster(['juliet@capulet.lit', subscription]));
    if (allowed) book.expectSent('server', `<presence type='probe' to='juliet@capulet.lit'/>`);
    book.end();
  });

  it('changes of a roster that only the proxy has asked for are answered by it', () => {
    const push = `<iq type='set' id='p1' to='${LANE}'>${roster(['juliet@capulet.lit', 'both'])}</iq>`;
    const book = aware().fromServer(to(ORCHARD)).fromServer(push);
    linkFails(book).expectSent('client', down(ORCHARD));
    linkReturns(book)
      .expectSent('client', back(ORCHARD))
      .expectRequest('account', ROSTER_QUERY)
      .answerIq('account', roster())
      .fromServer(push)
      .expectVerdict('handled roster-push-answered')
      .expectSent('server', `<iq type='result' id='p1'/>`)
      .fromServer(push.replace('<iq ', `<iq from='mallory@evil.lit' `))
      .fromClient(`<iq type='get' id='r1'>${ROSTER_QUERY}</iq>`)
      .fromServer(push)
      .end();
  });
});

describe('one prober for all', () => {
  it('asks in one session’s name, and in another’s when that is gone', () => {
    const domain = newDomain();
    const first = aware({ domain, settings: NO_REFRESH }).fromServer(to(ORCHARD));
    const second = aware({ domain, jid: 'romeo@montague.lit/two', settings: NO_REFRESH }).fromServer(
      `<presence from='${ORCHARD}'/>`,
    );
    first.wake(60_000).expectRequest('capulet.lit', PING).answerIq('capulet.lit', '');
    second.wake(60_000);
    first.close().end();
    second.wake(70_000).expectRequest('capulet.lit', PING).answerIq('capulet.lit', '').end();
  });

  it('goes on when the one that asks is lost with its question', () => {
    const domain = newDomain();
    const first = aware({ domain, settings: NO_REFRESH }).fromServer(to(ORCHARD));
    const second = aware({ domain, jid: 'romeo@montague.lit/two', settings: NO_REFRESH });
    first.wake(60_000).expectRequest('capulet.lit', PING);
    second.wake(60_000);
    first.answerIq('capulet.lit', 'leg-lost').legDown('server').end();
    second.wake(1_000).expectRequest('capulet.lit', PING).answerIq('capulet.lit', '').end();
  });

  it('asks nobody when it is switched off; then errors have to do', () => {
    const error = returned('message', ORCHARD, 'remote-server-not-found');
    aware({ settings: { ...NO_REFRESH, probes: false } })
      .fromServer(to(ORCHARD))
      .wake(600_000)
      .fromServer(error)
      .wake(1_000)
      .fromServer(error)
      .wake(1_000)
      .expectSent('client', down(ORCHARD))
      .fromServer(to(ORCHARD, '<show>away</show>'))
      .wake(600_000)
      .end();
  });

  it('takes an answer that refuses the ping for a sign of life', () => {
    aware()
      .fromServer(to(ORCHARD))
      .wake(60_000)
      .expectRequest('capulet.lit', PING)
      .answerIq('capulet.lit', { error: 'service-unavailable' })
      .wake(1_000)
      .end();
  });

  it('jabberd2 says service-unavailable of what it cannot reach: there service discovery decides', () => {
    const DISCO = `<query xmlns='http://jabber.org/protocol/disco#info'/>`;
    const book = aware({ serverKind: 'jabberd2', settings: NO_REFRESH })
      .fromServer(to(ORCHARD))
      .wake(60_000)
      .expectRequest('capulet.lit', PING)
      .answerIq('capulet.lit', { error: 'service-unavailable' })
      .expectRequest('capulet.lit', DISCO)
      .answerIq('capulet.lit', DISCO)
      .wake(1_000)
      .fromServer(returned('message', ORCHARD, 'service-unavailable'))
      .wake(0)
      .expectRequest('capulet.lit', PING)
      .answerIq('capulet.lit', { error: 'service-unavailable' })
      .expectRequest('capulet.lit', DISCO)
      .answerIq('capulet.lit', { error: 'service-unavailable' });
    book.wake(500).expectSent('client', down(ORCHARD)).end();
  });

  it('what somebody sends who is not reached is no sign of life when it has waited here', () => {
    const book = aware({ settings: NO_REFRESH }).fromServer(to(ORCHARD));
    const late = `<delay xmlns='urn:xmpp:delay' stamp='2026-11-20T00:00:00Z'/>`;
    linkFails(book)
      .expectSent('client', down(ORCHARD))
      .fromServer(`<message from='${ORCHARD}' to='${LANE}'><body>hi</body>${late}</message>`)
      .fromServer(to('juliet@capulet.lit', '', " type='subscribe'"))
      .fromServer(returned('message', ORCHARD, 'item-not-found'))
      .wake(1_000)
      .end();
  });

  it('comes to all of many in turn, suspicions first', () => {
    const links = new Links({ probes: { every: 1_000, timeout: 500 } });
    const watcher = { linkChanged: () => {} };
    for (let n = 0; n < 20; n++) links.watch(`d${n}.lit`, watcher, 'viewer', 0);
    const asked: string[] = [];
    links.error('d19.lit', 1_000, true, 'prosody');
    for (let now = 1_000; now < 6_000; now += 250) {
      for (const [domain, link] of links.due(now).probes) {
        link.probing();
        asked.push(domain);
        links.alive(domain, now, 'probe');
      }
    }
    expect(asked[0]).toBe('d19.lit');
    expect(new Set(asked).size).toBe(20);
  });

  it('keeps what it knows within bounds, and asks about few at a time', () => {
    const links = new Links({ probes: { every: 1_000, timeout: 500 } });
    const watcher = { linkChanged: () => {} };
    for (let n = 0; n < MOST_LINKS + 10; n++) links.watch(`d${n}.lit`, watcher, 'viewer', 0);
    expect(links.size).toBe(MOST_LINKS);
    expect(links.due(1_000).probes.length).toBeLessThanOrEqual(2);
    for (let n = 0; n < MOST_LINKS; n++) links.unwatch(`d${n}.lit`, watcher, 'viewer');
    expect(links.size).toBe(0);
  });
});

describe('pacing', () => {
  it('a storm is paced over all sessions, everybody is told once, and nobody is forgotten', () => {
    const domain = newDomain();
    let isDown = false;
    const sessions = Array.from({ length: 60 }, (_, n) => {
      const play = new FreePlay(
        `romeo-${n}@montague.lit/lane`,
        ({ to: asked, payload }) => {
          if (asked === 'capulet.lit') return isDown ? { error: 'remote-server-not-found' } : '';
          return payload.includes('jabber:iq:roster') ? roster() : disco(featureList(PSA));
        },
        domain,
      );
      play.client(`<presence>${CAPS}</presence>`);
      for (let contact = 0; contact < 50; contact++) play.server(to(`c${contact}@capulet.lit/r`));
      return play;
    });
    const tick = () => {
      const before = sessions.reduce((sum, { sent }) => sum + sent.length, 0);
      for (const play of sessions) play.wait(250);
      return sessions.reduce((sum, { sent }) => sum + sent.length, 0) - before;
    };
    for (let n = 0; n < 40; n++) tick();
    isDown = true;
    sessions[7]!.server(returned('message', 'x@capulet.lit', 'remote-server-not-found'));
    // 400 a second are 100 in a tick of the clock.
    for (let n = 0; n < 40; n++) expect(tick()).toBeLessThanOrEqual(100);
    isDown = false;
    for (let n = 0; n < 300; n++) expect(tick()).toBeLessThanOrEqual(100);
    for (const { sent } of sessions) {
      const shown = sent.filter(({ leg }) => leg === 'client').map(({ stanza }) => stanza);
      const downs = shown.filter((stanza) =>
        stanza.getChild('state-annotation')?.getChild('server-unavailable'),
      );
      expect(new Set(downs.map(({ attrs }) => attrs.from)).size).toBe(50);
      expect(downs.length).toBe(50);
      expect(shown.length).toBe(100);
    }
  });

  it('what is not shown any more is not looked at: who has many names makes nothing grow', () => {
    const domain = newDomain();
    const book = aware({ domain, settings: { ...NO_REFRESH, probes: false } });
    const links = domain
      .shared(sharedKey)
      .of({} as Settings, () => {})
      .linksOf('xmpp://127.0.0.1');
    for (let n = 0; n < 3 * MOST_WATCHED; n += 1) {
      const stranger = `x@d${n}.evil.lit/r`;
      book.fromServer(to(stranger)).fromServer(to(stranger, '', " type='unavailable'"));
      expect(links.size).toBeLessThanOrEqual(MOST_WATCHED);
      if (n % 500 === 0) book.wake(70_000);
    }
    const error = returned('message', 'somebody@capulet.lit', 'remote-server-not-found');
    book.wake(70_000).fromServer(to(ORCHARD)).fromServer(error).fromServer(error);
    book.wake(500).expectSent('client', down(ORCHARD)).end();
  });

  it('a session sends twenty in its turn, and the rest later, whatever it has', () => {
    const book = aware({ settings: { ...NO_REFRESH, perSecond: 100_000 } });
    const contacts = Array.from({ length: 45 }, (_, n) => `c${n}@capulet.lit/r`);
    for (const contact of contacts) book.fromServer(to(contact));
    book.wake(1_000);
    linkFailsOnly(book);
    for (const [turn, wait] of [
      [contacts.slice(0, 20), 0],
      [contacts.slice(20, 40), 250],
      [contacts.slice(40), 250],
    ] as const) {
      book.wake(wait);
      for (const contact of turn) book.expectSent('client', down(contact));
    }
    book.wake(1_000).end();
  });
});

function linkFailsOnly(book: ReturnType<typeof aware>): void {
  book
    .fromServer(returned('message', 'somebody@capulet.lit', 'remote-server-not-found'))
    .wake(0)
    .expectRequest('capulet.lit', PING)
    .answerIq('capulet.lit', { error: 'remote-server-not-found' });
}
