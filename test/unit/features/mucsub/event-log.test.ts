import { describe, expect, it } from 'vitest';
import { storeKey } from '../../../../src/store/store.js';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  asks,
  available,
  domain,
  event,
  FULL,
  lateStage,
  missedSince,
  ROOM,
  type Stage,
  SUBJECT,
  SWALLOWED,
  said,
  says,
  secondStage,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const AWAY = '<presence><priority>-1</priority></presence>';
const BACK = '<presence><priority>0</priority></presence>';
const STANZA_ID = (id: string) => `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${id}'/>`;
const stamp = (ms: number) =>
  `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='2026-11-20T12:16:4${ms / 1_000}.000Z'/>`;
const stored = (body: string, id: string, to = ACCOUNT, ms = 0) =>
  event(
    'messages',
    id,
    `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/olga' to='${to}' id='m-${id}'><body>${body}</body>` +
      `${STANZA_ID(id)}<archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='${id}'/></message>`,
    stamp(ms),
  ).replace(`to='${ACCOUNT}'`, `to='${to}'`);
const speaks = (body: string, id: string) => said('olga', body, `m-${id}`, STANZA_ID(id));

/** The events that the store has of the room. */
const logged = (shared: ReturnType<typeof domain>) =>
  shared
    .list(storeKey('mucsub', shared.name, 'log', ROOM, ''))
    .map(({ value }) => JSON.parse(value.toString()).id);
const cursors = (shared: ReturnType<typeof domain>) =>
  shared.list(storeKey('mucsub', shared.name, 'book', 'cursor', ROOM, '')).length;

function hears(book: Stage, ...ids: string[]): Stage {
  for (const id of ids) book.fromServer(speaks(`body ${id}`, id)).expectVerdict(SWALLOWED);
  return book;
}

const romeo = 'romeo@capulet.lit';
/** What is said to Juliet, said to Romeo. */
const to = (xml: string) => xml.replaceAll(FULL, `${romeo}/orchard`).replaceAll(ACCOUNT, romeo);

function romeoSubscribes(book: Stage): Stage {
  return book
    .fromClient(subscribe('romeo', ['messages']))
    .expectVerdict('handled mucsub-answered')
    .expectSent('server', asks('romeo'))
    .fromServer(to(self('romeo')))
    .expectVerdict(SWALLOWED)
    .expectSent(
      'client',
      `<iq type='result' id='s1' from='${ROOM}' to='${romeo}/orchard'><subscribe xmlns='${NS.mucsub}' nick='romeo'><event node='urn:xmpp:mucsub:nodes:messages'/></subscribe></iq>`,
    )
    .expectTold(romeo, JSON.stringify({ op: 'subscribed', room: ROOM }))
    .fromServer(to(SUBJECT))
    .expectVerdict(SWALLOWED);
}

describe('events for who is away', () => {
  it('are in the store once for the room, whoever gets them, and each subscriber has a cursor', () => {
    const shared = domain();
    const sub = subscribed(available(stage({ settings: ALLOWED, domain: shared, jid: FULL })));
    const other = lateStage(shared, `${romeo}/orchard`);
    romeoSubscribes(other.fromClient('<presence/>')).fromClient(AWAY);
    sub.fromClient(AWAY);
    hears(sub, 'a1', 'a2');
    for (const id of ['a1', 'a2']) other.fromServer(to(speaks(`body ${id}`, id))).expectVerdict(SWALLOWED);
    expect([logged(shared), cursors(shared)]).toEqual([['a1', 'a2'], 2]);
    sub
      .fromClient(BACK)
      .expectSent('client', stored('body a1', 'a1'))
      .expectSent('client', stored('body a2', 'a2'))
      .end();
    expect([logged(shared), cursors(shared)]).toEqual([['a1', 'a2'], 1]);
    other
      .fromClient(BACK)
      .expectSent('client', stored('body a1', 'a1', romeo))
      .expectSent('client', stored('body a2', 'a2', romeo))
      .end();
    expect([logged(shared), cursors(shared)]).toEqual([[], 0]);
  });

  it.each([
    ['what its sender has said is not to be stored', `<body>x</body><no-store xmlns='${NS.hints}'/>`],
    ['that somebody is writing', "<composing xmlns='http://jabber.org/protocol/chatstates'/>"],
  ])('are for nobody later: %s', (_, inside) => {
    for (const service of [[NS.mam2], []]) {
      const shared = domain();
      subscribed(stage({ settings: ALLOWED, domain: shared, service }))
        .fromServer(
          `<message type='groupchat' from='${ROOM}/olga' to='${FULL}' id='m1'>${inside}${STANZA_ID('a1')}</message>`,
        )
        .expectVerdict(SWALLOWED)
        .fromClient(BACK)
        .end();
      expect(cursors(shared)).toBe(0);
    }
  });

  it('wait for an account of which no client has them, which push services can be told', () => {
    subscribed(stage({ settings: ALLOWED, showsWaiting: true }))
      .fromServer(speaks('body a1', 'a1'))
      .expectVerdict(SWALLOWED)
      .expectWaiting(ACCOUNT, stored('body a1', 'a1').replace(stamp(0), ''))
      .end();
  });

  it('stay until the client has acknowledged them, and are there for the next one if it has not', () => {
    const shared = domain();
    const book = subscribed(stage({ settings: ALLOWED, domain: shared, clientAcknowledges: true }));
    hears(book, 'a1', 'a2', 'a3')
      .fromClient(BACK)
      .expectSent('client', stored('body a1', 'a1'))
      .expectSent('client', stored('body a2', 'a2'))
      .expectSent('client', stored('body a3', 'a3'));
    book.acknowledges(1);
    expect(logged(shared)).toEqual(['a2', 'a3']);
    book
      .close()
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    const next = domain();
    for (const [key, value] of shared.store) next.store.set(key, value);
    available(stage({ settings: ALLOWED, domain: next }))
      .expectSent('server', asks('sammy'))
      .expectSent('client', stored('body a2', 'a2'))
      .expectSent('client', stored('body a3', 'a3'))
      .end();
    expect([logged(next), cursors(next)]).toEqual([[], 0]);
  });

  it('come before what the room says while they are read', () => {
    const shared = domain();
    const carrier = subscribed(stage({ settings: ALLOWED, domain: shared, jid: FULL }));
    hears(carrier, 'a1');
    const other = secondStage(shared, `${ACCOUNT}/garden`).fromClient('<presence/>');
    // The store has not answered the other session yet.
    hears(carrier, 'a2');
    other.expectSent('client', stored('body a1', 'a1')).expectSent('client', stored('body a2', 'a2')).end();
    carrier.end();
    expect(logged(shared)).toEqual([]);
  });

  it('beyond the limit of a room without an archive the oldest go, and a mark says so', () => {
    const shared = domain();
    const settings = { ...ALLOWED, storeBytes: 1_200 };
    const book = subscribed(stage({ settings, domain: shared, service: [] }));
    for (const n of [1, 2, 3, 4])
      book.fromServer(said('olga', `body ${n}`, `m${n}`)).expectVerdict(SWALLOWED);
    expect(logged(shared)).toEqual(['id-3', 'id-4']);
    const at = '2026-11-20T12:16:40.000Z';
    const ours = (n: number) =>
      event(
        'messages',
        `id-${n}`,
        `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/olga' to='${ACCOUNT}' id='m${n}'><body>body ${n}</body>` +
          `${STANZA_ID(`id-${n}`)}<archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='id-${n}'/></message>`,
        stamp(0),
      );
    book
      .fromClient(BACK)
      .expectSent(
        'client',
        event('system', 'id-5', `<gap xmlns='${NS.mucsubGap}' since='${at}' until='${at}'/>`),
      )
      .expectSent('client', ours(3))
      .expectSent('client', ours(4))
      .end();
    expect(cursors(shared)).toBe(0);
  });

  it('too old ones go as well, with a mark', () => {
    const shared = domain();
    const book = subscribed(stage({ settings: { ...ALLOWED, storeSeconds: 2 }, domain: shared }));
    hears(book, 'a1').wake(3_000);
    hears(book, 'a2');
    expect(logged(shared)).toEqual(['a2']);
    const at = '2026-11-20T12:16:40.000Z';
    book
      .fromClient(BACK)
      .expectSent(
        'client',
        event('system', 'id-1', `<gap xmlns='${NS.mucsubGap}' since='${at}' until='${at}'/>`),
      )
      .expectSent('client', stored('body a2', 'a2', ACCOUNT, 3_000))
      .end();
  });

  it('are for nobody whose ghost was out of the room when they were said', () => {
    const shared = domain();
    const sub = subscribed(stage({ settings: ALLOWED, domain: shared, jid: FULL }));
    const other = lateStage(shared, `${romeo}/orchard`);
    romeoSubscribes(other);
    hears(sub, 'a1', 'a2');
    other.fromServer(to(speaks('body a1', 'a1'))).expectVerdict(SWALLOWED);
    // It has lost its membership before a2 was said.
    other
      .fromServer(to(says('romeo', "affiliation='none' role='none'", ['110', '322'], 'unavailable')))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('romeo'))
      .fromServer(
        `<presence type='error' from='${ROOM}/romeo' to='${romeo}/orchard'><error type='auth'><registration-required xmlns='${NS.stanzaErrors}'/></error></presence>`,
      )
      .expectVerdict(SWALLOWED);
    hears(sub, 'a3');
    other
      .fromClient(BACK)
      .expectSent('server', asks('romeo'))
      .expectSent('client', stored('body a1', 'a1', romeo))
      .end();
    sub.end();
  });

  it('what a process before has heard is not told again out of the archive of the room', () => {
    const shared = domain();
    hears(subscribed(stage({ settings: ALLOWED, domain: shared })), 'a1', 'a2').end();
    // Killed: nothing was noted of how far the room had been heard.
    const next = domain();
    for (const [key, value] of shared.store) next.store.set(key, value);
    available(stage({ settings: ALLOWED, domain: next }))
      .expectSent('server', asks('sammy'))
      .expectSent('client', stored('body a1', 'a1'))
      .expectSent('client', stored('body a2', 'a2'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a2'))
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      .end();
  });
});
