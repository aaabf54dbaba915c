import { describe, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import type { FakeDomain } from '../playbook.js';
import {
  ACCOUNT,
  ALLOWED,
  archived,
  asks,
  available,
  CLAIM,
  domain,
  event,
  FIN,
  FULL,
  inner,
  late,
  learns,
  MUC,
  missedSince,
  nextProcess,
  query,
  ROOM,
  SERVER,
  STANZA_ID,
  SUBJECT,
  SWALLOWED,
  said,
  says,
  secondStage,
  self,
  stage,
  subscribed,
  unknowing,
} from './stage.js';

/** A session with a ghost that has heard one message. */
function heardOne(shared: FakeDomain) {
  return subscribed(available(stage({ settings: ALLOWED, domain: shared })))
    .fromServer(said('olga', 'first', 'm1', STANZA_ID('a1')))
    .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'first', 'm1', 'a1')));
}

describe('a server leg that is gone on with by the next process', () => {
  it('has what the room sends wait until it is known what the account has heard, and asks for nothing: the server sends it all', () => {
    const shared = domain();
    const before = heardOne(shared);
    const snapshot = before.snapshots();
    before.close().expectTold(ACCOUNT, CLAIM).end();
    const after = unknowing({ settings: ALLOWED, domain: nextProcess(shared), snapshot, now: 2_000_000 })
      .fromServer(said('olga', 'second', 'm2', STANZA_ID('a2')))
      .expectVerdict(SWALLOWED);
    learns(after)
      .expectSent('client', event('messages', 'a2', inner('olga', 'second', 'm2', 'a2')))
      .fromServer(said('olga', 'third', 'm3', STANZA_ID('a3')))
      .expectVerdict('changed mucsub-event', event('messages', 'a3', inner('olga', 'third', 'm3', 'a3')))
      .end();
  });

  it('asks the archive again where it was being asked, behind what it has told', () => {
    const shared = domain();
    heardOne(shared).close().expectTold(ACCOUNT, CLAIM).end();
    const next = nextProcess(shared);
    const asking = available(stage({ settings: ALLOWED, domain: next, now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a1'))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .fromServer(archived('olga', 'second', 'm2', 'a2'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', late('olga', 'second', 'm2', 'a2'))
      .fromServer(said('olga', 'fourth', 'm4', STANZA_ID('a4')))
      .expectVerdict(SWALLOWED);
    const snapshot = asking.snapshots();
    asking.answerIq(ROOM, 'leg-lost').close().expectTold(ACCOUNT, CLAIM).end();
    learns(unknowing({ settings: ALLOWED, domain: nextProcess(next), snapshot, now: 3_000_000 }))
      .expectRequest(ROOM, missedSince('a2'))
      .fromServer(archived('olga', 'third', 'm3', 'a3'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', late('olga', 'third', 'm3', 'a3'))
      .answerIq(ROOM, FIN)
      .end();
  });

  it('and where there is no archive it is told as soon as that is known', () => {
    const shared = domain();
    const before = subscribed(available(stage({ settings: ALLOWED, domain: shared, service: [] })));
    const snapshot = before.snapshots();
    before.close().expectTold(ACCOUNT, CLAIM).end();
    const after = unknowing({ settings: ALLOWED, domain: nextProcess(shared), snapshot })
      .fromServer(said('olga', 'Hello', 'm1'))
      .expectVerdict(SWALLOWED)
      .fromServer(`<message type='chat' from='${ROOM}/olga' to='${FULL}' id='p1'><body>psst</body></message>`)
      .expectVerdict(SWALLOWED);
    learns(after, [])
      .expectSent('client', event('messages', 'id-1', inner('olga', 'Hello', 'm1', 'id-1')))
      .expectSent(
        'client',
        `<message type='chat' from='${ROOM}/olga' to='${ACCOUNT}' id='p1'><body>psst</body><x xmlns='${NS.mucUser}'/></message>`,
      )
      .end();
  });

  it('has a mark for what is more than may wait until then, where there is no archive', () => {
    const shared = domain();
    const before = subscribed(available(stage({ settings: ALLOWED, domain: shared, service: [] })));
    const snapshot = before.snapshots();
    before.close().expectTold(ACCOUNT, CLAIM).end();
    const after = unknowing({ settings: ALLOWED, domain: nextProcess(shared), snapshot });
    for (let n = 1; n <= 1_001; n++)
      after.fromServer(said('olga', `body ${n}`, `m${n}`)).expectVerdict(SWALLOWED);
    learns(after, []);
    for (let n = 1; n <= 1_000; n++)
      after.expectSent(
        'client',
        event('messages', `id-${n}`, inner('olga', `body ${n}`, `m${n}`, `id-${n}`)),
      );
    const [since, until] = ['2026-11-20T12:16:40.000Z', '2026-11-20T12:16:40.000Z'];
    const gap = `<gap xmlns='${NS.mucsubGap}' since='${since}' until='${until}'/>`;
    after.expectSent('client', event('system', 'id-1001', gap)).end();
  });

  it('is still what the account hears the room by when the process is stopped again before that is known', () => {
    const shared = domain();
    const before = heardOne(shared);
    const first = before.snapshots();
    before.close().expectTold(ACCOUNT, CLAIM).end();
    const second = said('olga', 'second', 'm2', STANZA_ID('a2'));
    const stopped = unknowing({ settings: ALLOWED, domain: nextProcess(shared), snapshot: first })
      .fromServer(second)
      .expectVerdict(SWALLOWED);
    const snapshot = stopped.snapshots();
    stopped.close().end();
    // It was not acknowledged.
    const next = unknowing({ settings: ALLOWED, domain: nextProcess(shared), snapshot })
      .fromServer(second)
      .expectVerdict(SWALLOWED);
    learns(next)
      .expectSent('client', event('messages', 'a2', inner('olga', 'second', 'm2', 'a2')))
      .end();
  });

  it('has the ghost enter unseen that was entering when the process was stopped', () => {
    const shared = domain();
    heardOne(shared).close().expectTold(ACCOUNT, CLAIM).end();
    const next = nextProcess(shared);
    const entering = available(stage({ settings: ALLOWED, domain: next })).expectSent(
      'server',
      asks('sammy'),
    );
    const snapshot = entering.snapshots();
    entering.close().expectTold(ACCOUNT, CLAIM).end();
    const after = unknowing({ settings: ALLOWED, domain: nextProcess(next), snapshot, now: 2_000_000 })
      .fromServer(says('olga', "role='moderator' affiliation='owner'"))
      .expectVerdict(SWALLOWED)
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED);
    learns(after).expectRequest(ROOM, missedSince('a1')).answerIq(ROOM, FIN).end();
  });

  it('has what its client saw in the room before it is known, which is not missed when it leaves', () => {
    const shared = domain();
    const before = heardOne(shared)
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict('changed mucsub-joining', asks('sammy'))
      .fromServer(self('sammy'))
      .fromServer(SUBJECT);
    const snapshot = before.snapshots();
    before.close().expectTold(ACCOUNT, CLAIM).end();
    const next = nextProcess(shared);
    const after = unknowing({ settings: ALLOWED, domain: next, snapshot }).fromServer(
      said('olga', 'second', 'm2', STANZA_ID('a2')),
    );
    learns(after).close().expectTold(ACCOUNT, CLAIM).end();
    available(stage({ settings: ALLOWED, domain: nextProcess(next), now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a2'))
      .answerIq(ROOM, FIN)
      .end();
  });
});

describe('how far a client has acknowledged what it got of a room', () => {
  const asked = (shared: FakeDomain, since: string) =>
    available(stage({ settings: ALLOWED, domain: nextProcess(shared), now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince(since))
      .answerIq(ROOM, FIN);

  it('is in the store as soon as it has said so, for when the process is killed; what it has not comes again', () => {
    const shared = domain();
    const before = heardOne(shared)
      .acknowledges()
      .fromServer(said('olga', 'second', 'm2', STANZA_ID('a2')))
      .expectVerdict('changed mucsub-event', event('messages', 'a2', inner('olga', 'second', 'm2', 'a2')));
    asked(shared, 'a1').end();
    before.acknowledges().wake(100);
    asked(shared, 'a2').end();
    before.end();
  });

  it('does not go by what is nothing for it while something before that is on its way', () => {
    const shared = domain();
    const before = heardOne(shared)
      .acknowledges()
      .fromServer(said('olga', 'second', 'm2', STANZA_ID('a2')))
      .expectVerdict('changed mucsub-event', event('messages', 'a2', inner('olga', 'second', 'm2', 'a2')))
      .fromServer(
        `<message type='groupchat' from='${ROOM}/olga' to='${FULL}'><subject>Fish</subject>${STANZA_ID('a3')}</message>`,
      )
      .expectVerdict(SWALLOWED)
      .wake(10_000);
    asked(shared, 'a1').end();
    before.acknowledges();
    asked(shared, 'a3').end();
    before.end();
  });

  it('is all of it when the session is over, since what it has not is in the store', () => {
    const shared = domain();
    heardOne(shared).close().expectTold(ACCOUNT, CLAIM).end();
    asked(shared, 'a1').end();
  });

  it('is all that it has said when the next process may go on with the session, and it does not come back to that', () => {
    const shared = domain();
    const before = heardOne(shared)
      .acknowledges()
      .fromServer(said('olga', 'second', 'm2', STANZA_ID('a2')))
      .expectVerdict('changed mucsub-event', event('messages', 'a2', inner('olga', 'second', 'm2', 'a2')));
    before.snapshots();
    before.close().expectTold(ACCOUNT, CLAIM).end();
    asked(shared, 'a1').end();
  });

  it('in the room too', () => {
    const shared = domain();
    const before = heardOne(shared)
      .acknowledges()
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict('changed mucsub-joining', asks('sammy'))
      .fromServer(self('sammy'))
      .fromServer(SUBJECT)
      .acknowledges()
      .fromServer(said('olga', 'second', 'm2', STANZA_ID('a2')))
      .wake(10_000);
    asked(shared, 'a1').end();
    before.acknowledges();
    asked(shared, 'a2').end();
    before.end();
  });
});

describe('a server that does not say what it has', () => {
  it('is asked for what was missed where its rooms have given ids of an archive before', () => {
    const shared = domain();
    heardOne(shared).close().expectTold(ACCOUNT, CLAIM).end();
    unknowing({ settings: ALLOWED, domain: nextProcess(shared), now: 2_000_000 })
      .fromClient('<presence/>')
      .wake(0)
      .expectRequest(SERVER, query(NS.discoInfo))
      .expectRequest(ACCOUNT, query(NS.discoInfo))
      .wake(10_000)
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a1'))
      .answerIq(ROOM, FIN)
      .answerIq(SERVER, 'timeout')
      .answerIq(ACCOUNT, 'timeout')
      .end();
  });
});

describe('a room that is no more when the process begins', () => {
  it('is not in the list of subscriptions, even if that is asked for at once', () => {
    const shared = domain();
    heardOne(shared).close().expectTold(ACCOUNT, CLAIM).end();
    const book = unknowing({ settings: ALLOWED, domain: nextProcess(shared), now: 2_000_000 })
      .fromClient('<presence/>')
      .fromClient(`<iq type='get' id='l1' to='${MUC}'><subscriptions xmlns='${NS.mucsub}'/></iq>`)
      .expectVerdict('handled mucsub-answered');
    learns(book)
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy', '201'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectSent(
        'client',
        `<iq type='result' id='l1' from='${MUC}' to='${FULL}'><subscriptions xmlns='${NS.mucsub}'/></iq>`,
      )
      .end();
  });
});

describe('a connection to the server that is lost while the archive is being asked', () => {
  it('is asked the same again when the server has taken its stream up again', () => {
    const shared = domain();
    heardOne(shared).close().expectTold(ACCOUNT, CLAIM).end();
    available(stage({ settings: ALLOWED, domain: nextProcess(shared), now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a1'))
      .legDown('server')
      .answerIq(ROOM, 'leg-lost')
      .legUp('server')
      .expectRequest(ROOM, missedSince('a1'))
      .answerIq(ROOM, FIN)
      .end();
  });
});

describe('a session that takes a ghost of its own over as what the account hears the room by', () => {
  it('asks for what the session before has not told', () => {
    const shared = domain();
    const phone = heardOne(shared);
    const desk = `${ACCOUNT}/desk`;
    const here = secondStage(shared, desk).fromClient('<presence/>');
    // It speaks, and so has a ghost that brings nothing.
    here
      .fromClient(`<message to='${ROOM}' type='groupchat' id='g1'><body>hi</body></message>`)
      .expectAhead(asks('sammy'))
      .fromServer(self('sammy').replace(FULL, desk))
      .expectVerdict(SWALLOWED)
      .fromServer(SUBJECT.replace(FULL, desk))
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'second', 'm2', STANZA_ID('a2')).replace(FULL, desk))
      .expectVerdict(SWALLOWED);
    // The connection of the other one breaks before it has heard the same.
    phone.close().expectTold(ACCOUNT, CLAIM).end();
    here
      .told(CLAIM, FULL)
      .expectRequest(ROOM, missedSince('a1'))
      .fromServer(archived('olga', 'second', 'm2', 'a2', desk))
      .expectVerdict(SWALLOWED)
      .expectSent('client', late('olga', 'second', 'm2', 'a2'))
      .answerIq(ROOM, FIN)
      .end();
  });
});
