import { describe, expect, it } from 'vitest';
import { mucsub } from '../../../../src/features/mucsub/mucsub.js';
import type { FeatureSession } from '../../../../src/session/feature.js';
import { storeKey } from '../../../../src/store/store.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { type FakeDomain, play } from '../playbook.js';
import {
  ACCOUNT,
  ALLOWED,
  asks,
  available,
  CLAIM,
  domain,
  event,
  events,
  FULL,
  inner,
  lateStage,
  MUC,
  missedSince,
  query,
  ROOM,
  result,
  type Stage,
  SUBJECT,
  SWALLOWED,
  said,
  says,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const OBSERVED = { ...ALLOWED, observer: { account: 'observer', passwordEnv: 'SECRET' } };
const OBSERVER = 'observer@capulet.lit';
const NICK = 'interstanza';
const LEAVES = `<presence to='${ROOM}/sammy' type='unavailable'/>`;
const LISTS = ['owner', 'admin', 'member', 'outcast'];
const list = (affiliation: string) => query(NS.mucAdmin, `<item affiliation='${affiliation}'/>`);
const item = (jid: string, affiliation: string) => `<item jid='${jid}' affiliation='${affiliation}'/>`;
const info = (...features: string[]) =>
  query(NS.discoInfo, features.map((name) => `<feature var='${name}'/>`).join(''));
const OPEN = info('muc_open', 'muc_semianonymous');
const changed = (...codes: string[]) =>
  `<message type='groupchat' from='${ROOM}'><x xmlns='${NS.mucUser}'>${codes.map((code) => `<status code='${code}'/>`).join('')}</x></message>`;
/** Somebody who is not in the room has become something else in it. */
const announced = (jid: string, affiliation: string) =>
  `<message from='${ROOM}'><x xmlns='${NS.mucUser}'>${item(jid, affiliation)}</x></message>`;
const hello = (body: string, id: string) =>
  event(
    'messages',
    id,
    `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/olga' to='${ACCOUNT}' id='m'><body>${body}</body></message>`,
  );

/** The same in a room without an archive. */
const logs = (body: string, id: string) =>
  hello(body, id).replace(
    '</body>',
    `</body><stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${id}'/><archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='${id}'/>`,
  );

/** The observer's session; it asks for the room that juliet has subscribed to. */
function observing(shared: FakeDomain): Stage {
  return play<FeatureSession>(mucsub, {
    domain: shared,
    jid: `${OBSERVER}/interstanza-observer`,
    settings: OBSERVED,
  })
    .wake(0)
    .expectRequest(OBSERVER, query(NS.discoInfo))
    .expectSent('server', asks(NICK))
    .answerIq(OBSERVER, query(NS.discoInfo));
}

/** The room lets it in as an owner and says who may hear it. */
function letIn(observer: Stage, lists: Readonly<Record<string, string>> = {}, room = OPEN): Stage {
  observer.fromServer(says(NICK, "role='moderator' affiliation='owner'", ['110'])).expectVerdict(SWALLOWED);
  for (const each of LISTS) observer.expectRequest(ROOM, list(each));
  observer.expectRequest(ROOM, query(NS.discoInfo));
  for (const each of LISTS) observer.answerIq(ROOM, query(NS.mucAdmin, lists[each] ?? ''));
  return observer.answerIq(ROOM, room).fromServer(SUBJECT).expectVerdict(SWALLOWED);
}

/** A subscriber whose ghost has left because the observer hears for it. */
function handedOver(names: readonly string[] = ['messages'], room = OPEN, clientAcknowledges = false) {
  const shared = domain();
  const scene = { domain: shared, settings: OBSERVED, clientAcknowledges };
  const subscriber = subscribed(available(stage(scene)), 'sammy', names);
  const observer = letIn(observing(shared), {}, room);
  subscriber.wake(2_000).wake(4_000).expectSent('server', LEAVES);
  return { subscriber, observer, shared };
}

const closes = (observer: Stage) =>
  observer
    .close()
    .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
    .end();

describe('an observer', () => {
  it('is in a room once, and what it hears each subscriber gets; the ghost has left', () => {
    const { subscriber, observer } = handedOver();
    observer.fromServer(said('olga', 'hello', 'm')).expectVerdict(SWALLOWED);
    subscriber.expectSent('client', hello('hello', 'id-1'));
    subscriber.end();
    closes(observer);
  });

  it('what both hear while one takes over from the other comes once', () => {
    const shared = domain();
    const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED })));
    const observer = letIn(observing(shared));
    subscriber.wake(2_000);
    observer.fromServer(said('olga', 'one', 'm')).expectVerdict(SWALLOWED);
    subscriber.expectSent('client', hello('one', 'id-1'));
    subscriber
      .fromServer(said('olga', 'one', 'm'))
      .expectVerdict(SWALLOWED)
      .end();
    closes(observer);
  });

  it('what a ghost has heard comes once, also where it reaches the observer when the ghost has left', () => {
    const shared = domain();
    const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED })));
    const observer = letIn(observing(shared));
    subscriber
      .wake(2_000)
      .fromServer(said('olga', 'one', 'm'))
      .expectVerdict('changed mucsub-event', hello('one', 'id-1'))
      .wake(4_000)
      .expectSent('server', LEAVES);
    observer.now = subscriber.now;
    observer.fromServer(said('olga', 'one', 'm')).expectVerdict(SWALLOWED);
    // Said again later it is something else.
    observer
      .wake(20_000)
      .fromServer(said('olga', 'one', 'm'))
      .expectVerdict(SWALLOWED);
    subscriber.expectSent('client', hello('one', 'id-3')).end();
    closes(observer);
  });

  describe('of what occupants do', () => {
    const there = "role='participant' affiliation='none'";
    const joins = says('bob', there);
    const leaves = says('bob', "role='none' affiliation='none'", [], 'unavailable');
    const promoted = says('bob', "role='moderator' affiliation='admin'");
    const eventOf = (name: string, id: string, presence: string) =>
      event(
        name,
        id,
        presence.replace('<presence ', `<presence xmlns='${NS.client}' `).replace(FULL, ACCOUNT),
      );
    /** The observer has just begun to hear for the subscriber, whose ghost is still there. */
    function both(names: readonly string[]) {
      const shared = domain();
      const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED })), 'sammy', names);
      const observer = letIn(observing(shared));
      subscriber.wake(2_000);
      observer.now = subscriber.now;
      const hears = (book: Stage, ...presences: string[]) => {
        for (const presence of presences) book.fromServer(presence).expectVerdict(SWALLOWED);
        return book;
      };
      return { subscriber, observer, hears, shared };
    }

    it('what both hear while one takes over from the other comes once, whoever hears it first, and again when they do it again', () => {
      const { subscriber, observer, hears } = both(['presence']);
      hears(observer, joins, leaves, joins);
      for (const [presence, id] of [
        [joins, 'id-2'],
        [leaves, 'id-5'],
        [joins, 'id-8'],
      ] as const)
        subscriber.expectSent('client', eventOf('presence', id, presence));
      hears(subscriber, joins, leaves, joins);
      hears(subscriber, leaves).expectSent('client', eventOf('presence', 'id-1', leaves));
      hears(observer, leaves);
      hears(observer, joins);
      subscriber.expectSent('client', eventOf('presence', 'id-14', joins));
      // The ghost has left: what it has not told is told by the other.
      subscriber.wake(4_000).expectSent('server', LEAVES);
      hears(observer, leaves);
      subscriber.expectSent('client', eventOf('presence', 'id-17', leaves));
      hears(observer, joins);
      subscriber.expectSent('client', eventOf('presence', 'id-20', joins)).end();
      closes(observer);
    });

    it('what somebody has become is kept once for who is away', () => {
      const { subscriber, observer, hears, shared } = both(['affiliations']);
      hears(observer, joins);
      hears(subscriber, joins).fromClient('<presence><priority>-1</priority></presence>');
      hears(observer, promoted);
      hears(subscriber, promoted);
      expect(shared.list(storeKey('mucsub', shared.name, 'log', ROOM, ''))).toHaveLength(1);
      subscriber.end();
      closes(observer);
    });

    it('who has only subscribed is nobody who comes or goes, but a subscriber who was in the room has left it', () => {
      const { subscriber, observer, shared } = handedOver(['presence']);
      const nurse = lateStage(shared, 'nurse@capulet.lit/kitchen', OBSERVED)
        .fromClient('<presence/>')
        .fromClient(subscribe('nurse', ['presence']))
        .expectVerdict('handled mucsub-answered')
        .expectSent('server', asks('nurse'));
      const ghost = says('nurse', there);
      observer.fromServer(ghost).expectVerdict(SWALLOWED);
      const own = (xml: string) => xml.replaceAll(FULL, 'nurse@capulet.lit/kitchen');
      nurse
        .fromServer(own(self('nurse')))
        .expectVerdict(SWALLOWED)
        .expectSent(
          'client',
          own(result(`<subscribe xmlns='${NS.mucsub}' nick='nurse'>${events('presence')}</subscribe>`)),
        )
        .expectTold('nurse@capulet.lit', JSON.stringify({ op: 'subscribed', room: ROOM }))
        .fromClient(`<presence to='${ROOM}/nurse'><x xmlns='${NS.muc}'/></presence>`)
        .expectVerdict('changed mucsub-joining', asks('nurse'));
      observer.fromServer(ghost).expectVerdict(SWALLOWED);
      subscriber.expectSent('client', eventOf('presence', 'id-2', ghost));
      const gone = JSON.stringify({ op: 'gone', room: ROOM, nick: 'nurse', affiliation: 'none' });
      nurse
        .fromServer(own(self('nurse')))
        .fromServer(own(SUBJECT))
        .fromClient(`<presence to='${ROOM}/nurse' type='unavailable'/>`)
        .expectVerdict('handled mucsub-left')
        .expectSent('client', own(says('nurse', "affiliation='none' role='none'", ['110'], 'unavailable')))
        .expectTold(ACCOUNT, gone)
        .expectTold(OBSERVER, gone);
      subscriber.told(gone, 'nurse@capulet.lit/kitchen');
      observer.told(gone, 'nurse@capulet.lit/kitchen');
      subscriber.expectSent(
        'client',
        eventOf('presence', 'id-5', says('nurse', "affiliation='none' role='none'", [], 'unavailable')),
      );
      observer
        .fromServer(says('nurse', "role='none' affiliation='none'", [], 'unavailable'))
        .expectVerdict(SWALLOWED);
      nurse.end();
      subscriber.end();
      closes(observer);
    });
  });

  it('a room without an archive has it once in its log, whoever hears it first', () => {
    const shared = domain();
    const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED, service: [] })));
    const observer = letIn(observing(shared));
    subscriber.wake(2_000);
    const logged = () =>
      shared
        .list(storeKey('mucsub', shared.name, 'log', ROOM, ''))
        .map(({ value }) => JSON.parse(String(value)).id);
    observer.fromServer(said('olga', 'one', 'm')).expectVerdict(SWALLOWED);
    subscriber.expectSent('client', logs('one', 'id-1'));
    subscriber
      .fromServer(said('olga', 'one', 'm'))
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'two', 'm'))
      .expectVerdict('changed mucsub-event', logs('two', 'id-1'));
    observer.fromServer(said('olga', 'two', 'm')).expectVerdict(SWALLOWED);
    expect(logged()).toEqual(['id-1', 'id-1']);
    subscriber.end();
    closes(observer);
  });

  it('an account that nobody is there of gets it later, but not that somebody was writing', () => {
    const { subscriber, observer } = handedOver();
    subscriber.fromClient("<presence type='unavailable'/>");
    const writing = said('olga', '', 'w').replace('<body></body>', `<composing xmlns='${NS.chatStates}'/>`);
    observer.fromServer(writing).expectVerdict(SWALLOWED);
    observer.fromServer(said('olga', 'hello', 'm')).expectVerdict(SWALLOWED);
    expect(subscriber.announced()).toHaveLength(1);
    subscriber
      .fromClient('<presence/>')
      .expectSent(
        'client',
        hello('hello', 'id-3').replace(
          '</event>',
          `</event><delay xmlns='${NS.delay}' from='${ROOM}' stamp='2026-11-20T12:16:40.000Z'/>`,
        ),
      );
    subscriber.end();
    closes(observer);
  });

  it('what comes behind something out of the store that the client has not acknowledged does so the next time too', () => {
    const { subscriber, observer, shared } = handedOver(['messages'], OPEN, true);
    subscriber.fromClient("<presence type='unavailable'/>");
    observer.fromServer(said('olga', 'one', 'm')).expectVerdict(SWALLOWED);
    const late = (body: string, id: string) =>
      hello(body, id).replace(
        '</event>',
        `</event><delay xmlns='${NS.delay}' from='${ROOM}' stamp='2026-11-20T12:16:40.000Z'/>`,
      );
    subscriber.fromClient('<presence/>').expectSent('client', late('one', 'id-1'));
    observer.fromServer(said('olga', 'two', 'm')).expectVerdict(SWALLOWED);
    observer.expectTold(ACCOUNT, CLAIM).end();
    subscriber.told(CLAIM, OBSERVER).expectSent('client', late('two', 'id-3'));
    subscriber.close().expectTold(ACCOUNT, CLAIM).end();
    available(play<FeatureSession>(mucsub, { domain: shared, settings: OBSERVED }).wake(0))
      .expectSent('client', late('one', 'id-1'))
      .expectSent('client', late('two', 'id-3'))
      .end();
  });

  it('what a client has not acknowledged of what it was given is asked for when the process was killed', () => {
    const { subscriber, observer, shared } = handedOver();
    const id = (name: string) => `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${name}'/>`;
    const asked = (last: string) => {
      const next = domain();
      for (const [key, value] of shared.store) next.store.set(key, value);
      available(stage({ settings: ALLOWED, domain: next, now: 2_000_000 }))
        .expectSent('server', asks('sammy'))
        .fromServer(self('sammy'))
        .expectVerdict(SWALLOWED)
        .expectRequest(ROOM, missedSince(last))
        .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
        .end();
    };
    const hears = (n: number) => {
      observer.fromServer(said('olga', `body ${n}`, `m${n}`, id(`a${n}`))).expectVerdict(SWALLOWED);
      subscriber.expectSent(
        'client',
        event('messages', `a${n}`, inner('olga', `body ${n}`, `m${n}`, `a${n}`)),
      );
    };
    hears(1);
    subscriber.acknowledges();
    hears(2);
    observer.wake(10_000);
    asked('a1');
    subscriber.acknowledges().wake(100);
    asked('a2');
    subscriber.end();
    closes(observer);
  });

  it('leaves a room of which it is no owner, and the ghosts stay', () => {
    const shared = domain();
    const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED })));
    const observer = observing(shared)
      .fromServer(says(NICK, "role='participant' affiliation='member'", ['110']))
      .expectVerdict(SWALLOWED)
      .expectSent('server', `<presence to='${ROOM}/${NICK}' type='unavailable'/>`);
    subscriber.wake(20_000).end();
    // It is tried again later.
    observer.wake(299_000).wake(10_000).expectSent('server', asks(NICK)).end();
  });

  it('takes another nick where its own is somebody else’s', () => {
    const shared = domain();
    subscribed(available(stage({ domain: shared, settings: OBSERVED }))).end();
    observing(shared)
      .fromServer(
        `<presence type='error' from='${ROOM}/${NICK}'><error type='cancel'><conflict xmlns='${NS.stanzaErrors}'/></error></presence>`,
      )
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks(`${NICK}-id-1`))
      .end();
  });

  it('when it is lost, the sessions of all it has heard for are told', () => {
    const { subscriber, observer } = handedOver();
    closes(observer);
    subscriber
      .fromServer(says('sammy', "role='none' affiliation='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy'))
      .told(JSON.stringify({ op: 'claim' }), `${OBSERVER}/interstanza-observer`)
      .end();
  });

  it('a room that is no more is the end of its subscriptions', () => {
    const { subscriber, observer, shared } = handedOver(['messages', 'config']);
    const gone = `<x xmlns='${NS.mucUser}'><item role='none' affiliation='none'/><destroy/></x>`;
    observer
      .fromServer(`<presence type='unavailable' from='${ROOM}/${NICK}'>${gone}</presence>`)
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
      .end();
    subscriber.expectSent(
      'client',
      event(
        'config',
        'id-1',
        `<presence xmlns='${NS.client}' type='unavailable' from='${ROOM}/sammy' to='${ACCOUNT}'>${gone}</presence>`,
      ),
    );
    subscriber.end();
    expect(shared.list('mucsub')).toEqual([]);
  });
});

describe('nobody hears by it what the room would not let him hear', () => {
  it('an outcast is not subscribed any more', () => {
    for (const jid of [ACCOUNT, 'capulet.lit']) {
      const { subscriber, observer } = handedOver();
      observer
        .fromServer(announced(jid, 'outcast'))
        .expectVerdict(SWALLOWED)
        .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
        .fromServer(said('olga', 'secret', 'm'))
        .expectVerdict(SWALLOWED)
        .end();
      subscriber.end();
    }
  });

  it('who is an outcast already, and who is no member of a members-only room, keeps its ghost', () => {
    for (const [lists, room, mayHear] of [
      [{ outcast: item(ACCOUNT, 'outcast') }, OPEN, false],
      [{ outcast: item('capulet.lit', 'outcast') }, OPEN, false],
      [{}, info('muc_membersonly'), false],
      [{ outcast: item('nurse@capulet.lit', 'outcast') }, OPEN, true],
      [{ member: item(ACCOUNT, 'member') }, info('muc_membersonly'), true],
    ] as const) {
      const shared = domain();
      const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED })));
      const observer = letIn(observing(shared), lists, room);
      subscriber.wake(2_000).wake(4_000);
      if (mayHear) subscriber.expectSent('server', LEAVES);
      else observer.fromServer(said('olga', 'secret', 'm')).expectVerdict(SWALLOWED);
      subscriber.end();
      observer.end();
    }
  });

  it('what is said once the room has changed waits until it is known who may hear it', () => {
    const { subscriber, observer } = handedOver();
    observer
      .fromServer(changed('104'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, query(NS.discoInfo))
      .fromServer(said('olga', 'for members', 'm'))
      .expectVerdict(SWALLOWED)
      .answerIq(ROOM, info('muc_membersonly'))
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    subscriber.end();
  });

  it('and then comes to those who may', () => {
    const { subscriber, observer } = handedOver();
    observer
      .fromServer(changed('104'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, query(NS.discoInfo))
      .fromServer(said('olga', 'still open', 'm'))
      .expectVerdict(SWALLOWED)
      .answerIq(ROOM, OPEN);
    subscriber.expectSent('client', hello('still open', 'id-3')).end();
    closes(observer);
  });

  it('a member that is one no more hears nothing in a members-only room', () => {
    const shared = domain();
    const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED })));
    const observer = letIn(observing(shared), { member: item(ACCOUNT, 'member') }, info('muc_membersonly'));
    subscriber.wake(2_000).wake(4_000).expectSent('server', LEAVES).end();
    observer
      .fromServer(announced(ACCOUNT, 'none'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .fromServer(said('olga', 'secret', 'm'))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('a room that does not answer who may hear it has ghosts', () => {
    const shared = domain();
    const subscriber = subscribed(available(stage({ domain: shared, settings: OBSERVED })));
    const observer = observing(shared)
      .fromServer(says(NICK, "role='moderator' affiliation='owner'", ['110']))
      .expectVerdict(SWALLOWED);
    for (const each of LISTS) observer.expectRequest(ROOM, list(each));
    observer.expectRequest(ROOM, query(NS.discoInfo));
    observer
      .answerIq(ROOM, { error: 'forbidden' })
      .expectSent('server', `<presence to='${ROOM}/${NICK}' type='unavailable'/>`);
    for (let i = 0; i < 4; i++) observer.answerIq(ROOM, 'timeout');
    subscriber.wake(20_000).end();
    observer.end();
  });

  it('who becomes something else without being there is an event where the room shows real JIDs to all', () => {
    for (const [room, names, isEvent] of [
      [info('muc_open', 'muc_nonanonymous'), ['messages', 'affiliations'], true],
      [info('muc_open', 'muc_nonanonymous'), ['messages'], false],
      [OPEN, ['messages', 'affiliations'], false],
    ] as const) {
      const { subscriber, observer } = handedOver(names, room);
      observer.fromServer(announced('bob@capulet.lit', 'member')).expectVerdict(SWALLOWED);
      const inside = announced('bob@capulet.lit', 'member').replace(
        '<message',
        `<message xmlns='${NS.client}' to='${ACCOUNT}'`,
      );
      if (isEvent) subscriber.expectSent('client', event('affiliations', 'id-2', inside));
      subscriber.end();
      closes(observer);
    }
  });

  it('of a room that is being configured it waits until it is known whether all may see it', () => {
    for (const [room, isEvent] of [
      [info('muc_open', 'muc_nonanonymous'), true],
      [OPEN, false],
    ] as const) {
      const { subscriber, observer } = handedOver(['affiliations'], info('muc_open', 'muc_nonanonymous'));
      observer
        .fromServer(changed('104'))
        .expectVerdict(SWALLOWED)
        .expectRequest(ROOM, query(NS.discoInfo))
        .fromServer(announced('bob@capulet.lit', 'member'))
        .expectVerdict(SWALLOWED)
        .answerIq(ROOM, room);
      const inside = announced('bob@capulet.lit', 'member').replace(
        '<message',
        `<message xmlns='${NS.client}' to='${ACCOUNT}'`,
      );
      if (isEvent) subscriber.expectSent('client', event('affiliations', 'id-4', inside));
      subscriber.end();
      closes(observer);
    }
  });

  it('real JIDs are taken out where the room keeps them for moderators', () => {
    const jid = "jid='olga@capulet.lit/hall'";
    const presence = (inner: string) =>
      `<presence from='${ROOM}/olga' to='x'><x xmlns='${NS.mucUser}'><item ${inner}role='none' affiliation='none'/></x></presence>`;
    for (const [room, shown] of [
      [OPEN, ''],
      [info('muc_open', 'muc_nonanonymous'), `${jid} `],
    ] as const) {
      const { subscriber, observer } = handedOver(['messages', 'participants'], room);
      observer.fromServer(presence(`${jid} `)).expectVerdict(SWALLOWED);
      subscriber.expectSent(
        'client',
        event(
          'participants',
          'id-3',
          presence(shown).replace("to='x'", `to='${ACCOUNT}' xmlns='${NS.client}'`),
        ),
      );
      const revealing = (inner: string) => `<x xmlns='${NS.mucUser}'><item ${inner}affiliation='none'/></x>`;
      observer.fromServer(said('olga', 'hello', 'm', revealing(`${jid} `))).expectVerdict(SWALLOWED);
      subscriber.expectSent(
        'client',
        hello('hello', 'id-4').replace('</message></item>', `${revealing(shown)}</message></item>`),
      );
      subscriber.end();
      closes(observer);
    }
  });
});

it('another session of its account is like any other', () => {
  const book = play<FeatureSession>(mucsub, {
    domain: domain(),
    jid: `${OBSERVER}/home`,
    settings: OBSERVED,
  });
  book
    .wake(0)
    .expectRequest('capulet.lit', query(NS.discoInfo))
    .expectRequest(OBSERVER, query(NS.discoInfo))
    .fromClient(`<iq type='get' id='l' to='${MUC}'><subscriptions xmlns='${NS.mucsub}'/></iq>`)
    .expectVerdict('handled mucsub-answered')
    .answerIq('capulet.lit', query(NS.discoInfo, "<identity category='server' type='im'/>"))
    .expectRequest('capulet.lit', query(NS.discoItems))
    .answerIq('capulet.lit', query(NS.discoItems))
    .answerIq(OBSERVER, query(NS.discoInfo))
    .expectSent('server', `<iq type='get' id='l' to='${MUC}'><subscriptions xmlns='${NS.mucsub}'/></iq>`)
    .end();
});
