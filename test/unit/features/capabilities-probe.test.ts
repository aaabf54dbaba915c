import { describe, expect, it } from 'vitest';
import {
  capabilitiesProbe,
  type ProbeSession,
} from '../../../src/features/capabilities-probe/capabilities-probe.js';
import { FRESH_FOR } from '../../../src/features/capabilities-probe/subject.js';
import { NS } from '../../../src/xml/namespaces.js';
import { FakeDomain, type Playbook, play } from './playbook.js';

const INFO = `<query xmlns='${NS.discoInfo}'/>`;
const ITEMS = `<query xmlns='${NS.discoItems}'/>`;
const SERVER = 'capulet.lit';
const ACCOUNT = 'juliet@capulet.lit';
const MUC = 'chats.capulet.lit';

const info = (identity: string, ...features: string[]) =>
  `<query xmlns='${NS.discoInfo}'>${identity}${features.map((feature) => `<feature var='${feature}'/>`).join('')}</query>`;
const items = (...jids: string[]) =>
  `<query xmlns='${NS.discoItems}'>${jids.map((jid) => `<item jid='${jid}'/>`).join('')}</query>`;
const IM = `<identity category='server' type='im'/>`;
const CONFERENCE = `<identity category='conference' type='text'/>`;

/** Plays the whole probe of a small server. */
const probed = (book: Playbook<ProbeSession>) =>
  book
    .wake(0)
    .expectRequest(SERVER, INFO)
    .expectRequest(ACCOUNT, INFO)
    .answerIq(SERVER, info(IM, 'urn:xmpp:carbons:2', 'urn:xmpp:ping'))
    .expectRequest(SERVER, ITEMS)
    .answerIq(ACCOUNT, info(`<identity category='account' type='registered'/>`, 'urn:xmpp:mam:2'))
    .answerIq(SERVER, items(MUC))
    .expectRequest(MUC, INFO)
    .answerIq(MUC, info(CONFERENCE, NS.muc, 'urn:xmpp:occupant-id:0'));

describe('the probe', () => {
  it('finds out what server, account and MUC service support', () => {
    let told = 0;
    const book = play(capabilitiesProbe);
    book.session.whenKnown(() => told++);
    book.see((probe) => {
      expect([probe.server(), probe.account(), probe.mucServices().size]).toEqual([undefined, undefined, 0]);
    });
    probed(book)
      .see((probe) => {
        expect([...probe.server()!]).toEqual(['urn:xmpp:carbons:2', 'urn:xmpp:ping']);
        expect([...probe.account()!]).toEqual(['urn:xmpp:mam:2']);
        expect([...probe.mucServices().keys()]).toEqual([MUC]);
        expect(probe.mucServices().get(MUC)?.has('urn:xmpp:occupant-id:0')).toBe(true);
        expect(told).toBe(1);
        probe.whenKnown(() => told++);
        expect(told).toBe(2);
      })
      .end();
  });

  it('leaves aside what is no MUC service, and everything that is no service at all', () => {
    play(capabilitiesProbe)
      .wake(0)
      .expectRequest(SERVER, INFO)
      .expectRequest(ACCOUNT, INFO)
      .answerIq(ACCOUNT, info(''))
      .answerIq(SERVER, info(IM))
      .expectRequest(SERVER, ITEMS)
      .answerIq(
        SERVER,
        items(
          'pubsub.capulet.lit',
          'admin@capulet.lit',
          'capulet.lit/x',
          'IRC.capulet.lit',
          'irc.capulet.lit',
          '@',
        ),
      )
      .expectRequest('pubsub.capulet.lit', INFO)
      .expectRequest('irc.capulet.lit', INFO)
      .answerIq('pubsub.capulet.lit', info(`<identity category='pubsub' type='service'/>`, NS.muc))
      .answerIq('irc.capulet.lit', info(`<identity category='conference' type='irc'/>`))
      .see((probe) => expect(probe.mucServices().size).toBe(0))
      .end();
  });

  it('asks a few services at a time, and a silent one does not hold up the rest', () => {
    const services = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}.capulet.lit`);
    const book = play(capabilitiesProbe)
      .wake(0)
      .expectRequest(SERVER, INFO)
      .expectRequest(ACCOUNT, INFO)
      .answerIq(ACCOUNT, info(''))
      .answerIq(SERVER, info(IM))
      .expectRequest(SERVER, ITEMS)
      .answerIq(SERVER, items(...services));
    for (const service of services.slice(0, 4)) book.expectRequest(service, INFO);
    book
      .answerIq('a.capulet.lit', 'timeout')
      .expectRequest('e.capulet.lit', INFO)
      .answerIq('b.capulet.lit', info(CONFERENCE, NS.muc))
      .expectRequest('f.capulet.lit', INFO);
    for (const service of ['c', 'd', 'e'])
      book.answerIq(`${service}.capulet.lit`, { error: 'service-unavailable' });
    book
      .see((probe) => expect(probe.server()).toBeUndefined())
      .answerIq('f.capulet.lit', info(CONFERENCE, NS.muc))
      .see((probe) => expect([...probe.mucServices().keys()]).toEqual(['b.capulet.lit', 'f.capulet.lit']))
      .end();
  });
});

describe('a service that does not answer', () => {
  const ask = () =>
    play(capabilitiesProbe)
      .wake(0)
      .expectRequest(SERVER, INFO)
      .expectRequest(ACCOUNT, INFO)
      .answerIq(ACCOUNT, info(''))
      .answerIq(SERVER, info(IM))
      .expectRequest(SERVER, ITEMS)
      .answerIq(SERVER, items(MUC))
      .expectRequest(MUC, INFO);

  it('is asked again soon, and later and later; what is known meanwhile is told', () => {
    const book = ask();
    for (const seconds of [2, 4, 8]) {
      book
        .answerIq(MUC, 'timeout')
        .see((probe) => expect([probe.server()?.size, probe.mucServices().size]).toEqual([0, 0]))
        .wake(seconds * 1_000 - 1)
        .wake(1)
        .expectRequest(SERVER, INFO)
        .answerIq(SERVER, info(IM))
        .expectRequest(SERVER, ITEMS)
        .answerIq(SERVER, items(MUC))
        .expectRequest(MUC, INFO);
    }
    book
      .answerIq(MUC, info(CONFERENCE, NS.muc))
      .see((probe) => expect(probe.mucServices().size).toBe(1))
      .wake(FRESH_FOR - 1)
      .end();
  });

  it('nor is one that says to try again taken for none', () => {
    ask()
      .answerIq(MUC, { error: 'service-unavailable', type: 'wait' })
      .wake(2_000)
      .expectRequest(SERVER, INFO)
      .answerIq(SERVER, 'leg-lost')
      .end();
  });
});

describe('quirks of servers', () => {
  it('jabberd2: 501 for the account, items that are not known, service discovery under a wrong name', () => {
    play(capabilitiesProbe, { serverKind: 'jabberd2' })
      .wake(0)
      .expectRequest(SERVER, INFO)
      .expectRequest(ACCOUNT, INFO)
      .answerIq(ACCOUNT, { error: 'feature-not-implemented' })
      .answerIq(SERVER, info(IM, 'http://jabber.org/protocol/disco'))
      .expectRequest(SERVER, ITEMS)
      .answerIq(SERVER, { error: 'feature-not-implemented' })
      .see((probe) => {
        expect(probe.account()).toEqual(new Set());
        expect(probe.server()?.has(NS.discoInfo)).toBe(true);
      })
      .end();
  });

  it('an answer without a query says nothing', () => {
    play(capabilitiesProbe)
      .wake(0)
      .expectRequest(SERVER, INFO)
      .expectRequest(ACCOUNT, INFO)
      .answerIq(ACCOUNT, '')
      .answerIq(SERVER, '')
      .expectRequest(SERVER, ITEMS)
      .answerIq(SERVER, '')
      .see((probe) => expect([probe.account(), probe.server()]).toEqual([new Set(), new Set()]))
      .end();
  });
});

describe('many sessions', () => {
  it('ask once, and others find it known', () => {
    const domain = new FakeDomain();
    probed(play(capabilitiesProbe, { domain })).end();
    play(capabilitiesProbe, { domain, jid: 'juliet@capulet.lit/chamber' })
      .wake(0)
      .see((probe) => expect(probe.server()?.size).toBe(2))
      .end();
    play(capabilitiesProbe, { domain, jid: 'nurse@capulet.lit/kitchen' })
      .wake(0)
      .expectRequest('nurse@capulet.lit', INFO)
      .answerIq('nurse@capulet.lit', info('', 'urn:xmpp:mam:2'))
      .see((probe) => expect(probe.account()?.has('urn:xmpp:mam:2')).toBe(true))
      .end();
  });

  it('wait for the one that asks', () => {
    const domain = new FakeDomain();
    const first = play(capabilitiesProbe, { domain }).wake(0);
    first.expectRequest(SERVER, INFO).expectRequest(ACCOUNT, INFO);
    let told = 0;
    const second = play(capabilitiesProbe, { domain, jid: 'juliet@capulet.lit/chamber' }).wake(0);
    second.session.whenKnown(() => told++);
    first
      .answerIq(ACCOUNT, info(''))
      .answerIq(SERVER, info(IM))
      .expectRequest(SERVER, ITEMS)
      .answerIq(SERVER, items());
    // In its own turn: nothing runs in a session because another one has been told something.
    expect(told).toBe(0);
    second.wake(0);
    expect(told).toBe(1);
    first.end();
    second.end();
  });

  it.each([
    ['told so', 0],
    ['ended in order', 0],
    ['never heard of again', 120_000],
  ])('go on when the one that asks is gone, %s', (how, silence) => {
    const domain = new FakeDomain();
    const first = play(capabilitiesProbe, { domain }).wake(0);
    first.expectRequest(SERVER, INFO).expectRequest(ACCOUNT, INFO);
    const second = play(capabilitiesProbe, { domain, jid: 'juliet@capulet.lit/chamber' }).wake(0);
    const lose = () => first.answerIq(SERVER, 'leg-lost').answerIq(ACCOUNT, 'leg-lost').end();
    if (how === 'ended in order') first.close();
    else if (silence === 0) lose();
    second
      .wake(silence)
      .expectRequest(SERVER, INFO)
      .expectRequest(ACCOUNT, INFO)
      .answerIq(ACCOUNT, info(''))
      .answerIq(SERVER, info(IM, 'x'))
      .expectRequest(SERVER, ITEMS)
      .answerIq(SERVER, items())
      .see((probe) => expect(probe.server()?.has('x')).toBe(true));
    if (silence > 0) lose();
    if (how === 'ended in order') lose();
    second.see((probe) => expect(probe.server()?.has('x')).toBe(true)).end();
  });
});

describe('time', () => {
  it('makes it ask again, with what was known still there', () => {
    const domain = new FakeDomain();
    const first = probed(play(capabilitiesProbe, { domain }));
    first.wake(FRESH_FOR).end();
    const later = { domain, jid: 'juliet@capulet.lit/chamber', now: 1_000_000 + FRESH_FOR };
    play(capabilitiesProbe, later)
      .wake(0)
      .expectRequest(SERVER, INFO)
      .expectRequest(ACCOUNT, INFO)
      .see((probe) => expect(probe.server()?.size).toBe(2))
      .answerIq(ACCOUNT, info(''))
      .answerIq(SERVER, info(IM))
      .expectRequest(SERVER, ITEMS)
      .answerIq(SERVER, items(MUC))
      .expectRequest(MUC, INFO)
      .answerIq(MUC, 'timeout')
      .see((probe) => {
        expect(probe.server()?.size).toBe(0);
        expect(probe.mucServices().has(MUC)).toBe(true);
      })
      .end();
  });

  it('between attempts that fail grows', () => {
    const book = play(capabilitiesProbe).wake(0).expectRequest(SERVER, INFO).expectRequest(ACCOUNT, INFO);
    for (const seconds of [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_800, 1_800]) {
      const pause = seconds * 1_000;
      book
        .answerIq(SERVER, 'timeout')
        .answerIq(ACCOUNT, { error: 'internal-server-error' })
        .wake(pause - 1)
        .wake(1)
        .expectRequest(SERVER, INFO)
        .expectRequest(ACCOUNT, INFO);
    }
    book
      .answerIq(SERVER, { error: 'remote-server-timeout' })
      .answerIq(ACCOUNT, 'timeout')
      .see((probe) => expect([probe.server(), probe.account()]).toEqual([undefined, undefined]))
      .end();
  });
});

it('leaves all that passes by alone', () => {
  probed(play(capabilitiesProbe))
    .fromClient(`<iq type='get' id='1' to='capulet.lit'>${INFO}</iq>`)
    .fromServer(`<iq type='result' id='1' from='capulet.lit'>${info(IM)}</iq>`)
    .end();
});
