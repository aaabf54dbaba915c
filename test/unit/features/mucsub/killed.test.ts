import { describe, expect, it } from 'vitest';
import { storeKey } from '../../../../src/store/store.js';
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
  missedSince,
  nextProcess,
  ROOM,
  STANZA_ID,
  type Stage,
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

const OUT = says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable');
const REPLACED = JSON.stringify({ op: 'replaced', room: ROOM });
const GOES = "<presence type='unavailable'/>";
const DESK = `${ACCOUNT}/desk`;
const LEAVES = `<presence to='${ROOM}/sammy' type='unavailable'/>`;
const atDesk = (xml: string) => xml.replace(FULL, DESK);
const speaks = (n: number) => said('olga', `body ${n}`, `m${n}`, STANZA_ID(`a${n}`));
const heard = (n: number, rest = '') =>
  event('messages', `a${n}`, inner('olga', `body ${n}`, `m${n}`, `a${n}`), rest);
/** Out of the store. */
const stored = (n: number, second = '40') =>
  heard(n, `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='2026-11-20T12:16:${second}.000Z'/>`);
const inArchive = (n: number, to = FULL) => archived('olga', `body ${n}`, `m${n}`, `a${n}`, to);

const outOfArchive = (n: number) => late('olga', `body ${n}`, `m${n}`, `a${n}`);

const affiliationOf = (id: string, rest = '') =>
  event(
    'affiliations',
    id,
    says('olga', "role='moderator' affiliation='owner'")
      .replace('<presence', `<presence xmlns='${NS.client}'`)
      .replace(FULL, ACCOUNT),
    rest,
  );

/** The client of the account comes back then, and the room is asked for what it has missed. */
function comesBack(shared: FakeDomain, clientAcknowledges = false): Stage {
  const settings = ALLOWED;
  return available(stage({ settings, domain: nextProcess(shared), now: 2_000_000, clientAcknowledges }));
}
const entered = (book: Stage, first: (book: Stage) => Stage = (same) => same) =>
  first(book.expectSent('server', asks('sammy')))
    .fromServer(self('sammy'))
    .expectVerdict(SWALLOWED);
const asked = (shared: FakeDomain, since: string, first?: (book: Stage) => Stage) =>
  entered(comesBack(shared), first).expectRequest(ROOM, missedSince(since)).answerIq(ROOM, FIN);

/** A client that has had the first message and has said so. */
function one(shared: FakeDomain): Stage {
  return subscribed(available(stage({ settings: ALLOWED, domain: shared })))
    .fromServer(speaks(1))
    .expectVerdict('changed mucsub-event', heard(1))
    .acknowledges();
}

/** Another session of the account in the same process. */
const here = (shared: FakeDomain, jid: string) =>
  unknowing({ settings: ALLOWED, domain: shared, jid, clientAcknowledges: true }).wake(0);
/** The ghost is let in, and nothing was said before. */
const nothingMissed = (book: Stage, since: string) =>
  book
    .fromServer(self('sammy'))
    .expectVerdict(SWALLOWED)
    .expectRequest(ROOM, missedSince(since))
    .answerIq(ROOM, FIN)
    .fromServer(SUBJECT)
    .expectVerdict(SWALLOWED);

/** Its client has gone, and the server leg stays. */
function kept(book: Stage): Stage {
  expect(book.goes()).toBe(true);
  return book.fromClient(GOES).expectSent('server', asks('sammy'));
}

describe('when the process is killed', () => {
  it('right after somebody has subscribed, the room is asked for what was said since, and for nothing before', () => {
    const shared = domain();
    subscribed(available(stage({ settings: ALLOWED, domain: shared }))).end();
    entered(comesBack(shared))
      .expectRequest(
        ROOM,
        `<query xmlns='${NS.mam2}' queryid='id-1'><x xmlns='${NS.dataForms}' type='submit'><field var='FORM_TYPE' type='hidden'><value>${NS.mam2}</value></field>` +
          `<field var='start'><value>2026-11-20T12:16:40.000Z</value></field></x><set xmlns='${NS.resultSets}'><max>100</max></set></query>`,
      )
      .answerIq(ROOM, FIN)
      .end();
  });

  it('what a client had not acknowledged when it was gone for good is in the store, and not asked for again', () => {
    const shared = domain();
    const book = one(shared).fromServer(speaks(2)).expectVerdict('changed mucsub-event', heard(2));
    expect(book.goes()).toBe(true);
    book.putsAway();
    // Before anything else happens.
    asked(shared, 'a2').end();
    book.end();
  });

  it('what a client has acknowledged out of the store is not asked for again', () => {
    const shared = domain();
    nothingMissed(kept(one(shared)), 'a1')
      .fromServer(speaks(2))
      .expectVerdict(SWALLOWED)
      .end();
    const next = nextProcess(shared);
    available(stage({ settings: ALLOWED, domain: next, now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .expectSent('client', stored(2))
      .end();
    asked(next, 'a2').end();
  });

  it('what the client has said when it came back to a session of a process before is noted', () => {
    const shared = domain();
    const before = one(shared)
      .fromServer(speaks(2))
      .expectVerdict('changed mucsub-event', heard(2))
      .fromServer(speaks(3))
      .expectVerdict('changed mucsub-event', heard(3));
    const snapshot = before.snapshots();
    before.close().expectTold(ACCOUNT, CLAIM).end();
    const { expected } = JSON.parse(snapshot.mucsub!) as { expected: Record<string, unknown> };
    const tokens = Object.keys(expected);
    for (const [said, since] of [
      [tokens.slice(0, 1), 'a2'],
      [tokens, 'a3'],
    ] as const) {
      const next = nextProcess(shared);
      const after = unknowing({ settings: ALLOWED, domain: next, snapshot, now: 2_000_000 });
      after.session.onReceived?.(said, after.now);
      after
        .wake(0)
        .expectRequest('capulet.lit', `<query xmlns='${NS.discoInfo}'/>`)
        .expectRequest(ACCOUNT, `<query xmlns='${NS.discoInfo}'/>`);
      after.wake(0);
      // Before anything is known of the server.
      asked(next, since).end();
      after.wake(10_000).answerIq('capulet.lit', 'timeout').answerIq(ACCOUNT, 'timeout').end();
      asked(next, since).end();
    }
  });

  it('what is told out of the store once more is not all that has been heard', () => {
    const shared = domain();
    const phone = nothingMissed(kept(one(shared)), 'a1');
    phone.fromServer(speaks(2)).expectVerdict(SWALLOWED).close().expectTold(ACCOUNT, CLAIM).end();
    const again = () => available(here(shared, FULL)).expectSent('server', asks('sammy'));
    const next = again().expectSent('client', stored(2)).fromServer(self('sammy')).expectVerdict(SWALLOWED);
    // The client does not say what it has of that.
    next
      .wake(10_000)
      .expectRequest(ROOM, missedSince('a2'))
      .answerIq(ROOM, FIN)
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED);
    next
      .wake(1_000)
      .fromServer(speaks(3))
      .expectVerdict(SWALLOWED)
      .expectSent('client', heard(3))
      .close()
      .expectTold(ACCOUNT, CLAIM)
      .end();
    const both = (book: Stage) => book.expectSent('client', stored(2)).expectSent('client', stored(3, '51'));
    both(again()).end();
    asked(shared, 'a3', both).end();
  });

  it('the room’s archive is asked when the client has acknowledged what was in the store: else that would come behind it the next time', () => {
    const shared = domain();
    const phone = nothingMissed(kept(one(shared)), 'a1');
    phone.fromServer(speaks(2)).expectVerdict(SWALLOWED).close().expectTold(ACCOUNT, CLAIM).end();
    const next = available(here(shared, FULL))
      .expectSent('server', asks('sammy'))
      .expectSent('client', stored(2));
    next.fromServer(self('sammy')).expectVerdict(SWALLOWED).fromServer(SUBJECT).expectVerdict(SWALLOWED);
    // The archive will have it.
    next.fromServer(speaks(4)).expectVerdict(SWALLOWED);
    next.acknowledges().expectRequest(ROOM, missedSince('a2'));
    for (const n of [3, 4])
      next.fromServer(inArchive(n)).expectVerdict(SWALLOWED).expectSent('client', outOfArchive(n));
    next.answerIq(ROOM, FIN).end();
  });

  it.each([
    ['a message', speaks(3), heard(3), stored(3)],
    [
      'what somebody has become',
      says('olga', "role='moderator' affiliation='owner'"),
      affiliationOf('id-1'),
      affiliationOf('id-1', `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='2026-11-20T12:16:40.000Z'/>`),
    ],
  ])(
    '%s that comes behind something out of the store that the client has not acknowledged does so the next time too',
    (_, xml, live, again) => {
      const shared = domain();
      const scene = { settings: ALLOWED, domain: shared, clientAcknowledges: true };
      const book = subscribed(available(stage(scene)), 'sammy', ['messages', 'affiliations'])
        .fromServer(says('olga', "role='participant' affiliation='none'"))
        .expectVerdict(SWALLOWED)
        .fromClient('<presence><priority>-1</priority></presence>')
        .fromServer(speaks(2))
        .expectVerdict(SWALLOWED)
        .fromClient('<presence/>')
        .expectSent('client', stored(2));
      book.fromServer(xml).expectVerdict(SWALLOWED).expectSent('client', live);
      book.close().expectTold(ACCOUNT, CLAIM).end();
      available(here(shared, FULL))
        .expectSent('server', asks('sammy'))
        .expectSent('client', stored(2))
        .expectSent('client', again)
        .end();
    },
  );

  it('what comes again with the id that it has in the archive is no news', () => {
    const shared = domain();
    one(shared).fromServer(speaks(1)).expectVerdict(SWALLOWED).end();
  });

  it('nor is what waits for a client whose connection is lost, where that is put away as it comes', () => {
    const shared = domain();
    const settings = ALLOWED;
    const book = subscribed(available(stage({ settings, domain: shared, serverKind: 'jabberd2' })))
      .fromServer(speaks(1))
      .expectVerdict('changed mucsub-event', heard(1))
      .legDown('client')
      .putsAway();
    asked(shared, 'a1').end();
    book.fromServer(speaks(2)).expectVerdict('changed mucsub-event', heard(2)).putsAway();
    asked(shared, 'a2').end();
    // It is back, and has to say what it has.
    book.legUp('client').fromServer(speaks(3)).expectVerdict('changed mucsub-event', heard(3)).wake(100);
    asked(shared, 'a2').end();
    book.acknowledges().acknowledges().wake(100);
    asked(shared, 'a3').end();
    book.end();
  });
});

describe('a client that goes while what it has missed is being asked for', () => {
  it('what the room says until the ghost is in again is not all that there is', () => {
    const shared = domain();
    one(shared).close().expectTold(ACCOUNT, CLAIM).end();
    const book = entered(comesBack(shared)).expectRequest(ROOM, missedSince('a1'));
    // Of its first entering only the subject is missing.
    expect(book.goes()).toBe(true);
    book
      .fromClient(GOES)
      .expectSent('server', asks('sammy'))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .fromServer(speaks(3))
      .expectVerdict(SWALLOWED)
      .answerIq(ROOM, FIN)
      .fromServer(says('sammy', "role='none' affiliation='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a1', 'id-2'))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .answerIq(ROOM, FIN)
      .end();
  });

  it('nor is it let in by the answer to who is gone', () => {
    const shared = domain();
    one(shared).close().expectTold(ACCOUNT, CLAIM).end();
    const book = comesBack(shared).expectSent('server', asks('sammy'));
    expect(book.goes()).toBe(true);
    book
      .fromClient(GOES)
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .fromServer(says('sammy', "role='none' affiliation='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a1'))
      .answerIq(ROOM, FIN)
      .end();
  });
});

describe('a client that comes while the server leg that has stayed brings what was missed', () => {
  it('asks for it itself when nothing of it is in the log, where others have what was said behind it', () => {
    const shared = domain();
    const phone = kept(one(shared)).fromServer(self('sammy')).expectVerdict(SWALLOWED);
    phone.expectRequest(ROOM, missedSince('a1')).fromServer(SUBJECT).expectVerdict(SWALLOWED);
    const desk = available(secondStage(shared, DESK));
    // Push services are told of it, but it is not stored.
    phone.announced();
    phone.fromServer(inArchive(2)).expectVerdict(SWALLOWED).fromServer(speaks(3)).expectVerdict(SWALLOWED);
    phone.fromServer(inArchive(3)).expectVerdict(SWALLOWED);
    phone.answerIq(ROOM, FIN).expectTold(ACCOUNT, CLAIM);
    expect(phone.announced()).toHaveLength(2);
    expect(shared.list(storeKey('mucsub', shared.name, 'log', ''))).toEqual([]);
    desk
      .told(CLAIM, FULL)
      .expectSent('server', asks('sammy'))
      .fromServer(atDesk(self('sammy')));
    desk.expectVerdict(SWALLOWED).expectRequest(ROOM, missedSince('a1')).expectTold(ACCOUNT, REPLACED);
    desk.fromServer(atDesk(SUBJECT)).expectVerdict(SWALLOWED);
    // Both hear this, and it comes behind what was missed.
    phone.fromServer(speaks(4)).expectVerdict(SWALLOWED).told(REPLACED, DESK);
    phone.expectSent('server', LEAVES).fromServer(OUT).expectVerdict(SWALLOWED).expectEndOfKept().end();
    desk.fromServer(atDesk(speaks(4))).expectVerdict(SWALLOWED);
    for (const n of [2, 3])
      desk.fromServer(inArchive(n, DESK)).expectVerdict(SWALLOWED).expectSent('client', outOfArchive(n));
    desk.answerIq(ROOM, FIN).expectSent('client', heard(4)).end();
  });

  it('asks for what the one that it takes over from is put out before it has read', () => {
    const shared = domain();
    const phone = nothingMissed(kept(one(shared)), 'a1');
    const desk = available(secondStage(shared, DESK)).expectSent('server', asks('sammy'));
    desk.fromServer(atDesk(self('sammy'))).expectVerdict(SWALLOWED);
    desk.expectRequest(ROOM, missedSince('a1')).expectTold(ACCOUNT, REPLACED);
    // Said before this one was in.
    phone.told(REPLACED, DESK).expectSent('server', LEAVES);
    phone.fromServer(speaks(2)).expectVerdict(SWALLOWED);
    phone.fromServer(OUT).expectVerdict(SWALLOWED).expectEndOfKept().end();
    desk.fromServer(inArchive(2, DESK)).expectVerdict(SWALLOWED).expectSent('client', outOfArchive(2));
    desk.answerIq(ROOM, FIN).end();
  });

  it('is told once who comes, whichever of the two the room tells first', () => {
    const shared = domain();
    const first = available(stage({ settings: ALLOWED, domain: shared }));
    const phone = subscribed(first, 'sammy', ['messages', 'presence']).fromServer(speaks(1));
    phone.expectVerdict('changed mucsub-event', heard(1)).acknowledges();
    nothingMissed(kept(phone), 'a1');
    const desk = available(secondStage(shared, DESK)).expectSent('server', asks('sammy'));
    desk.fromServer(atDesk(self('sammy'))).expectVerdict(SWALLOWED);
    desk.expectRequest(ROOM, missedSince('a1')).expectTold(ACCOUNT, REPLACED).answerIq(ROOM, FIN);
    const comes = (nick: string) => says(nick, "role='participant' affiliation='none'");
    const came = (nick: string, id: string) =>
      event('presence', id, comes(nick).replace(`to='${FULL}'`, `to='${ACCOUNT}' xmlns='${NS.client}'`));
    const others = (xml: string) => JSON.stringify({ op: 'event', room: ROOM, xml });
    phone
      .fromServer(comes('bob'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, others(came('bob', 'id-2')));
    desk.fromServer(atDesk(comes('bob'))).expectVerdict(SWALLOWED);
    desk
      .fromServer(atDesk(comes('carl')))
      .expectVerdict(SWALLOWED)
      .expectSent('client', came('carl', 'id-2'));
    phone.fromServer(comes('carl')).expectVerdict(SWALLOWED);
    phone.end();
    desk.end();
  });

  const whisper = (n: number) =>
    `<message type='chat' from='${ROOM}/olga' to='${FULL}' id='p${n}'><body>psst ${n}</body><x xmlns='${NS.mucUser}'/></message>`;
  const forAccount = (n: number) => whisper(n).replace(FULL, ACCOUNT);

  it('loses nothing that was said to it alone: what was on its way is still read until the room has put the other out', () => {
    const shared = domain();
    const phone = nothingMissed(kept(one(shared)), 'a1');
    const desk = available(secondStage(shared, DESK)).expectSent('server', asks('sammy'));
    phone.fromServer(whisper(1)).expectVerdict(SWALLOWED).expectKept(ACCOUNT, forAccount(1));
    desk.fromServer(atDesk(self('sammy'))).expectVerdict(SWALLOWED);
    desk.expectRequest(ROOM, missedSince('a1')).expectTold(ACCOUNT, REPLACED);
    phone.told(REPLACED, DESK).expectSent('server', LEAVES);
    phone.fromServer(whisper(2)).expectVerdict(SWALLOWED).expectKept(ACCOUNT, forAccount(2));
    phone.fromServer(OUT).expectVerdict(SWALLOWED).expectEndOfKept().end();
    desk.answerIq(ROOM, FIN).end();
  });

  it('has it once when the room has told both', () => {
    const shared = domain();
    const phone = nothingMissed(kept(one(shared)), 'a1');
    const desk = available(secondStage(shared, DESK)).expectSent('server', asks('sammy'));
    desk.fromServer(atDesk(self('sammy'))).expectVerdict(SWALLOWED);
    desk.expectRequest(ROOM, missedSince('a1')).expectTold(ACCOUNT, REPLACED).answerIq(ROOM, FIN);
    phone.fromServer(whisper(1)).expectVerdict(SWALLOWED).expectKept(ACCOUNT, forAccount(1));
    desk.fromServer(atDesk(whisper(1))).expectVerdict(SWALLOWED);
    desk.fromServer(atDesk(whisper(2))).expectVerdict('changed mucsub-event', forAccount(2));
    phone.told(REPLACED, DESK).expectSent('server', LEAVES);
    phone.fromServer(whisper(2)).expectVerdict(SWALLOWED);
    phone.fromServer(OUT).expectVerdict(SWALLOWED).expectEndOfKept().end();
    desk.end();
  });

  it('does not keep the former leg for a room that does not say that it is out', () => {
    const shared = domain();
    const phone = nothingMissed(kept(one(shared)), 'a1');
    const desk = available(secondStage(shared, DESK)).expectSent('server', asks('sammy'));
    desk.fromServer(atDesk(self('sammy'))).expectVerdict(SWALLOWED);
    desk.expectRequest(ROOM, missedSince('a1')).expectTold(ACCOUNT, REPLACED).answerIq(ROOM, FIN).end();
    phone.told(REPLACED, DESK).expectSent('server', LEAVES).wake(10_000).expectEndOfKept().end();
  });

  it('nor is it in the log where it is not known what the server has', () => {
    const shared = domain();
    one(shared).close().expectTold(ACCOUNT, CLAIM).end();
    const next = nextProcess(shared);
    const book = unknowing({ settings: ALLOWED, domain: next, now: 2_000_000 })
      .fromClient('<presence/>')
      .wake(0)
      .expectRequest('capulet.lit', `<query xmlns='${NS.discoInfo}'/>`)
      .expectRequest(ACCOUNT, `<query xmlns='${NS.discoInfo}'/>`)
      .wake(10_000);
    entered(book)
      .expectRequest(ROOM, missedSince('a1'))
      .fromClient('<presence><priority>-1</priority></presence>');
    book.fromServer(inArchive(2)).expectVerdict(SWALLOWED).answerIq(ROOM, FIN);
    expect(next.list(storeKey('mucsub', next.name, 'log', ''))).toEqual([]);
    // It is asked for again as soon as the client wants it.
    book.fromClient('<presence/>').wake(10_000).expectRequest(ROOM, missedSince('a1', 'id-2'));
    book.answerIq(ROOM, FIN).answerIq('capulet.lit', 'timeout').answerIq(ACCOUNT, 'timeout').end();
  });

  it('what is being asked for when it goes again is asked for when it is back', () => {
    const shared = domain();
    const phone = kept(one(shared)).fromServer(self('sammy')).expectVerdict(SWALLOWED);
    phone.expectRequest(ROOM, missedSince('a1')).fromServer(SUBJECT).expectVerdict(SWALLOWED);
    phone.fromServer(inArchive(2)).expectVerdict(SWALLOWED).answerIq(ROOM, FIN);
    const desk = available(secondStage(shared, DESK)).expectSent('server', asks('sammy'));
    desk.fromServer(atDesk(self('sammy'))).expectVerdict(SWALLOWED);
    desk.expectRequest(ROOM, missedSince('a1')).expectTold(ACCOUNT, REPLACED).answerIq(ROOM, 'leg-lost');
    desk.close().expectTold(ACCOUNT, CLAIM).end();
    phone.fromServer(speaks(3)).expectVerdict(SWALLOWED).end();
    asked(shared, 'a1').end();
  });

  it('has it though the room tells it as history', () => {
    const shared = domain();
    const service: string[] = [];
    const phone = subscribed(available(stage({ settings: ALLOWED, domain: shared, service })));
    expect(phone.goes()).toBe(true);
    phone
      .fromClient(GOES)
      .expectSent('server', asks('sammy', "<history maxstanzas='500' since='2026-11-20T12:16:40.000Z'/>"));
    phone.fromServer(self('sammy')).expectVerdict(SWALLOWED);
    const desk = available(secondStage(shared, DESK));
    phone.fromServer(SUBJECT).expectVerdict(SWALLOWED).expectTold(ACCOUNT, CLAIM).end();
    desk.told(CLAIM, FULL).expectSent('server', asks('sammy')).end();
  });
});
