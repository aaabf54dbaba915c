import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Counts } from '../../../../src/features/routing/counts.js';
import { routing } from '../../../../src/features/routing/routing.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { FakeDomain, play } from '../playbook.js';
import { ENABLE, NO_COPY, ONE, online, PRIVATE, session, TWO, twoTo } from './scenes.js';

const JULIET = 'juliet@capulet.lit';
const BALCONY = `${JULIET}/balcony`;
const DESK = `${JULIET}/desk`;
const from = "from='romeo@capulet.lit/orchard'";
const HI = '<body>hi</body>';
const RECEIPT = `<received xmlns='${NS.receipts}' id='m0'/>`;
const STATE = `<composing xmlns='${NS.chatStates}'/>`;
const DISABLE = `<disable xmlns='${NS.carbons2}'/>`;

const carbon = (kind: 'received' | 'sent', message: string, sender = JULIET) =>
  `<message from='${sender}' to='${BALCONY}' type='chat'><${kind} xmlns='${NS.carbons2}'>` +
  `<forwarded xmlns='${NS.forward0}'>${message}</forwarded></${kind}></message>`;
const message = (to: string, content: string, type = 'chat') =>
  `<message xmlns='jabber:client' ${from} to='${to}' type='${type}' id='m1'>${content}</message>`;
const copyNotice = (key: string, xml: string, priority = 5) =>
  JSON.stringify({ kind: 'copy', key, xml, priority });

describe('copies by the server', () => {
  it('carbons are turned on for every session', () => {
    play(routing, { serverKind: 'ejabberd' }).expectRequest('account', ENABLE).answerIq('account', '').end();
    // What was told along with binding is known.
    play(routing, { serverKind: 'ejabberd', enabledAtStart: [NS.carbons2] }).end();
  });

  it('a client without carbons gets what is inside', () => {
    online('copies')
      .fromServer(carbon('received', message(JULIET, HI)))
      .expectVerdict('changed carbon-unwrapped', message(JULIET, HI + ONE))
      .fromServer(carbon('received', message(JULIET, HI + TWO)))
      .expectVerdict('changed carbon-unwrapped', message(JULIET, HI + TWO))
      .end();
  });

  it('also what has been said to another of its user’s devices, if it is conversation', () => {
    online('copies')
      .fromServer(carbon('received', message(DESK, HI)))
      .expectVerdict('changed carbon-unwrapped', message(DESK, HI + ONE))
      .fromServer(carbon('received', message(DESK, STATE)))
      .expectVerdict('dropped carbon-not-wanted')
      .fromServer(carbon('received', message(DESK, '<body>?OTR:AA</body>')))
      .expectVerdict('dropped carbon-not-wanted')
      .fromServer(carbon('received', message(DESK, HI + twoTo(DESK))))
      .expectVerdict('dropped carbon-not-wanted')
      .end();
  });

  it('not what its user has sent', () => {
    online('copies')
      .fromServer(carbon('sent', message('romeo@capulet.lit', HI)))
      .expectVerdict('dropped carbon-not-wanted')
      .end();
  });

  it('nothing while it wants no messages', () => {
    session('copies')
      .fromServer(carbon('received', message(JULIET, HI)))
      .expectVerdict('dropped carbon-not-wanted')
      .end();
    online('copies', { priority: -1 })
      .fromServer(carbon('received', message(JULIET, HI)))
      .expectVerdict('dropped carbon-not-wanted')
      .end();
  });

  it('12.9 trust: a carbon is believed only from the user’s own bare JID', () => {
    for (const sender of ['romeo@capulet.lit', BALCONY, 'capulet.lit'])
      online('copies')
        .fromServer(carbon('received', message(JULIET, HI), sender))
        .expectVerdict(
          'changed forged-carbon-removed',
          `<message from='${sender}' to='${BALCONY}' type='chat'>${ONE}</message>`,
        )
        .end();
  });

  it('declarations around the message inside go with it', () => {
    online('copies')
      .fromServer(
        `<message from='${JULIET}' xmlns:p='urn:p'><c:received xmlns:c='${NS.carbons2}'><f:forwarded xmlns:f='${NS.forward0}'>` +
          `<message ${from} to='${JULIET}'>${HI}<p:x/></message></f:forwarded></c:received></message>`,
      )
      .expectVerdict(
        'changed carbon-unwrapped',
        `<message xmlns='jabber:client' ${from} to='${JULIET}'>${HI}<x xmlns='urn:p'/>${ONE}</message>`,
      )
      .end();
  });
});

describe('a client that wants carbons itself', () => {
  const result = (id: string) => `<iq type='result' id='${id}' from='${JULIET}' to='${BALCONY}'/>`;

  it('gets copies in their form, of what is sent too, and the server is not asked again', () => {
    online('copies')
      .fromClient(`<iq type='set' id='c1'>${ENABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .expectSent('client', result('c1'))
      .fromServer(carbon('received', message(JULIET, HI)))
      .fromServer(carbon('sent', message('romeo@capulet.lit', HI)))
      .fromClient(`<iq type='set' id='c2' to='${JULIET}'>${DISABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .expectSent('client', result('c2'))
      .fromServer(carbon('received', message(JULIET, HI)))
      .expectVerdict('changed carbon-unwrapped', message(JULIET, HI + ONE))
      .end();
  });

  it('may have asked for them along with binding', () => {
    play(routing, { serverKind: 'prosody', enabledAtStart: [NS.carbons2] })
      .fromServer(carbon('sent', message('romeo@capulet.lit', HI)))
      .end();
  });

  it('is answered when the server has answered', () => {
    play(routing, { serverKind: 'prosody' })
      .expectRequest('account', ENABLE)
      .fromClient(`<iq type='set' id='c1'>${ENABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .answerIq('account', '')
      .expectSent('client', result('c1'))
      .end();
  });

  it('is made them by the proxy where the server has none, whatever that is', () => {
    play(routing)
      .expectRequest('account', ENABLE)
      .fromClient(`<iq type='set' id='c1'>${ENABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .answerIq('account', { error: 'feature-not-implemented' })
      .expectSent('client', result('c1'))
      .fromClient(`<iq type='set' id='c2'>${ENABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .expectSent('client', result('c2'))
      .end();
  });

  it('the server is not asked and knows nothing of it: its wish goes up where no answer comes', () => {
    const wish = `<iq type='set' id='c1'>${ENABLE}</iq>`;
    play(routing)
      .expectRequest('account', ENABLE)
      .fromClient(wish)
      .expectVerdict('handled carbons-wish-noted')
      .answerIq('account', 'timeout')
      .expectSent('server', wish)
      .end();
  });

  it('still does after a restart of the proxy', () => {
    const before = online('copies')
      .fromClient(`<iq type='set' id='c1'>${ENABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .expectSent('client', result('c1'));
    const snapshot = before.snapshots();
    before.end();
    play(routing, { serverKind: 'prosody', snapshot: { routing: snapshot.routing ?? '' } })
      .fromServer(carbon('sent', message('romeo@capulet.lit', HI)))
      .end();
  });
});

describe('carbons by the proxy, where the server has none', () => {
  const wanted = (scene: Parameters<typeof online>[1] = {}) => {
    const { jid = BALCONY } = scene;
    return online('no copies', scene)
      .fromClient(`<iq type='set' id='c1'>${ENABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .expectSent('client', `<iq type='result' id='c1' from='${JULIET}' to='${jid}'/>`);
  };
  const says = (content: string, to = 'romeo@capulet.lit') =>
    `<message to='${to}' type='chat' id='s1'>${content}</message>`;
  const said = (content: string, to = 'romeo@capulet.lit') =>
    `<message from='${DESK}' to='${to}' type='chat' id='s1'>${content}</message>`;
  const sentNotice = (content: string) =>
    JSON.stringify({ kind: 'reflection', key: `${DESK}\ns1\nhi`, xml: said(content), sent: true });
  const inner = (xml: string) => xml.replace('<message', "<message xmlns='jabber:client'");

  it('are announced there and nowhere else', () => {
    const about = { from: 'capulet.lit', node: undefined, features: new Set<string>() };
    const announced = (server: 'copies' | 'no copies', settings = {}) => {
      let added: readonly string[] = [];
      session(server, { settings })
        .see((routing) => {
          added = routing.onDisco({ ...about, entity: 'server' })?.add ?? [];
        })
        .end();
      return added.includes(NS.carbons2);
    };
    expect(announced('no copies')).toBe(true);
    expect(announced('copies')).toBe(false);
    expect(announced('no copies', { copies: false })).toBe(false);
  });

  it('§6: what another resource receives comes in their form, whatever the priority', () => {
    const received = `<message ${from} to='${JULIET}' type='chat' id='m1'>${HI}${TWO}</message>`;
    for (const priority of [0, -1]) {
      wanted({ priority })
        .told(copyNotice('romeo@capulet.lit/orchard\nm1\nhi', received), DESK)
        .expectSent('client', carbon('received', inner(received)))
        .end();
    }
  });

  it('§7: what another resource sends, too', () => {
    const domain = new FakeDomain();
    const balcony = wanted({ domain });
    online('no copies', { domain, jid: DESK })
      .fromClient(says(HI))
      .expectVerdict('changed left-realm', says(HI + TWO))
      .expectTold(JULIET, sentNotice(HI))
      // Who has not asked is not told what his other devices send.
      .told(sentNotice(HI), BALCONY)
      .end();
    balcony
      .told(sentNotice(HI), DESK)
      .expectSent('client', carbon('sent', inner(said(HI))))
      .end();
  });

  it('§7: what was re-addressed, as it went out', () => {
    const domain = new FakeDomain();
    const balcony = wanted({ domain });
    online('no copies', { domain, jid: DESK })
      .fromClient(says(HI, 'nurse@capulet.lit/hall'))
      .expectVerdict('changed readdressed', says(HI + TWO, 'nurse@capulet.lit'))
      .expectTold(JULIET, sentNotice(HI).replaceAll('romeo@', 'nurse@'))
      .end();
    balcony.end();
  });

  it('not what is for the moment, for one resource, or for the account itself', () => {
    const domain = new FakeDomain();
    const balcony = wanted({ domain });
    const desk = online('no copies', { domain, jid: DESK });
    for (const content of [STATE, HI + PRIVATE, HI + NO_COPY, '<body>?OTR:AAMC</body>'])
      desk.fromClient(says(content)).expectVerdict('changed left-realm', says(content + TWO));
    desk
      .fromClient(says(HI, JULIET))
      .expectVerdict('changed left-realm', says(HI + TWO, JULIET))
      .end();
    balcony.end();
  });

  it('until it wants them no more, or is gone', () => {
    const domain = new FakeDomain();
    const balcony = wanted({ domain });
    const phone = wanted({ domain, jid: `${JULIET}/phone` });
    balcony
      .fromClient(`<iq type='set' id='c2'>${DISABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .expectSent('client', `<iq type='result' id='c2' from='${JULIET}' to='${BALCONY}'/>`)
      .told(sentNotice(HI), DESK)
      .end();
    phone.close().end();
    online('no copies', { domain, jid: DESK })
      .fromClient(says(HI))
      .expectVerdict('changed left-realm', says(HI + TWO))
      .end();
  });

  it('still after a restart of the proxy', () => {
    const before = wanted();
    const snapshot = before.snapshots();
    before.end();
    const domain = new FakeDomain();
    const after = play(routing, {
      ...{ serverKind: 'jabberd2', domain, snapshot: { routing: snapshot.routing ?? '' } },
    });
    online('no copies', { domain, jid: DESK })
      .fromClient(says(HI))
      .expectVerdict('changed left-realm', says(HI + TWO))
      .expectTold(JULIET, sentNotice(HI))
      .end();
    after
      .told(sentNotice(HI), DESK)
      .expectSent('client', carbon('sent', inner(said(HI))))
      .end();
  });
});

describe('copies by the proxy', () => {
  const key = 'romeo@capulet.lit/orchard\nm1\nhi';
  const received = `<message ${from} to='${BALCONY}' type='chat' id='m1'>${HI}${TWO}</message>`;
  const forAll = `<message ${from} to='${JULIET}' type='chat' id='m1'>${HI}${TWO}</message>`;

  it('where the server makes none, who gets a message for the account tells the others', () => {
    online('no copies', { priority: 5 })
      .fromServer(received)
      .expectTold(JULIET, copyNotice(key, forAll))
      .end();
  });

  it('where it makes some, of what it may not copy', () => {
    online('copies', { priority: 5 })
      .fromServer(forAll)
      .fromServer(`<message ${from} to='${JULIET}' type='chat' id='m1'>${RECEIPT}${TWO}</message>`)
      .expectTold(
        JULIET,
        copyNotice(
          'romeo@capulet.lit/orchard\nm1\n',
          `<message ${from} to='${JULIET}' type='chat' id='m1'>${RECEIPT}${TWO}</message>`,
        ),
      )
      .end();
  });

  it('not of what is for one resource, nor headlines, nor what comes from a room', () => {
    const room = 'room@chats.capulet.lit';
    online('no copies')
      .fromServer(`<message ${from} to='${BALCONY}' type='chat'>${HI}${twoTo(BALCONY)}</message>`)
      .fromServer(`<message ${from} to='${BALCONY}' type='headline'>${HI}${TWO}</message>`)
      .fromServer(`<message ${from} to='${BALCONY}' type='chat'>${HI}${PRIVATE}${NO_COPY}</message>`)
      .expectVerdict(
        'changed entered-realm',
        `<message ${from} to='${BALCONY}' type='chat'>${HI}${PRIVATE}${NO_COPY}${ONE}</message>`,
      )
      .fromClient(`<presence to='${room}/j'><x xmlns='${NS.muc}'/></presence>`)
      .fromServer(`<message from='${room}/romeo' to='${BALCONY}' type='chat'>${HI}</message>`)
      .expectVerdict(
        'changed entered-realm',
        `<message from='${room}/romeo' to='${BALCONY}' type='chat'>${HI}${ONE}</message>`,
      )
      .end();
  });

  it('each resource gets it once, whichever way it comes', () => {
    online('no copies')
      .told(copyNotice(key, forAll), DESK)
      .expectSent('client', forAll)
      .told(copyNotice(key, forAll), `${JULIET}/phone`)
      .fromServer(received)
      .expectVerdict('dropped duplicate-copy-dropped')
      .expectTold(JULIET, copyNotice(key, forAll, 0))
      .end();
  });

  it('and twice when it is said twice', () => {
    online('no copies')
      .told(copyNotice(key, forAll), DESK)
      .expectSent('client', forAll)
      .told(copyNotice(key, forAll), DESK)
      .expectSent('client', forAll)
      .told(copyNotice(key, forAll), `${JULIET}/phone`)
      .told(copyNotice(key, forAll), `${JULIET}/phone`)
      .end();
  });

  it('what the server should bring itself is waited for, so that no copy overtakes it', () => {
    online('no copies', { priority: 5 })
      .told(copyNotice(key, forAll), DESK)
      .fromServer(received)
      .expectTold(JULIET, copyNotice(key, forAll))
      .see((routing) => routing.onWakeup())
      .told(copyNotice('other', forAll), DESK)
      .see((routing) => routing.onWakeup())
      .expectSent('client', forAll)
      .end();
  });

  it('not for a resource that wants none', () => {
    session('no copies').told(copyNotice(key, forAll), DESK).end();
    online('no copies', { priority: -1 }).told(copyNotice(key, forAll), DESK).end();
  });

  it('a client with carbons gets them in their form, and not again from the server', () => {
    const receipt = `<message ${from} to='${JULIET}' type='chat' id='m1'>${RECEIPT}${TWO}</message>`;
    const inner = receipt.replace('<message', "<message xmlns='jabber:client'");
    play(routing, { serverKind: 'ejabberd', enabledAtStart: [NS.carbons2] })
      .fromClient('<presence/>')
      .told(copyNotice('romeo@capulet.lit/orchard\nm1\n', receipt), DESK)
      .expectSent('client', carbon('received', inner))
      .fromServer(carbon('received', inner))
      .expectVerdict('dropped duplicate-copy-dropped')
      .end();
  });

  it('what another version says is not understood', () => {
    online('no copies').told('what?', DESK).told('{}', DESK).told('{"kind":"new"}', DESK).end();
  });
});

describe('telling copies from repetitions', () => {
  it('property: taken as often as the source that brings it most often, whatever the order', () => {
    const arrivals = fc.array(
      fc.record({ key: fc.constantFrom('x', 'y'), source: fc.constantFrom('a', 'b', 'c') }),
    );
    fc.assert(
      fc.property(arrivals, (list) => {
        const counts = new Counts(10);
        const taken = new Map<string, number>();
        for (const { key, source } of list)
          if (counts.isNew(key, source, 0)) taken.set(key, (taken.get(key) ?? 0) + 1);
        for (const key of ['x', 'y']) {
          const times = ['a', 'b', 'c'].map(
            (source) => list.filter((each) => each.key === key && each.source === source).length,
          );
          expect(taken.get(key) ?? 0).toBe(Math.max(...times));
        }
      }),
    );
  });

  it('after half a minute the same words are another message', () => {
    const counts = new Counts(10);
    expect(counts.isNew('x', 'a', 0)).toBe(true);
    expect(counts.isNew('x', 'b', 30_000)).toBe(false);
    expect(counts.isNew('x', 'b', 30_001)).toBe(true);
  });

  it('remembers no more than it is allowed', () => {
    const counts = new Counts(2);
    for (const key of ['x', 'y', 'z']) counts.isNew(key, 'a', 0);
    expect(counts.isNew('y', 'b', 0)).toBe(false);
    expect(counts.isNew('x', 'b', 0)).toBe(true);
  });
});
