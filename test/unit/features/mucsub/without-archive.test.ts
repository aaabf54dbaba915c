import { describe, expect, it } from 'vitest';
import { mucsub } from '../../../../src/features/mucsub/mucsub.js';
import type { FeatureSession } from '../../../../src/session/feature.js';
import { storeKey } from '../../../../src/store/store.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { type FakeDomain, play } from '../playbook.js';
import {
  ACCOUNT,
  ALLOWED,
  ARCHIVED,
  asks,
  available,
  CLAIM,
  domain,
  event,
  events,
  FULL,
  lateStage,
  nextProcess,
  query,
  ROOM,
  STANZA_ID,
  type Stage,
  SWALLOWED,
  secondStage,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const UPTIME = query(NS.lastActivity);
const ROMEO = 'romeo@capulet.lit/orchard';

const scene = (shared: FakeDomain) =>
  ({ settings: ALLOWED, service: [], serverKind: 'jabberd2', domain: shared }) as const;
/** Juliet's session, whose ghost is in the room. */
const juliet = (shared: FakeDomain) => subscribed(available(stage(scene(shared))));
/** What the room says to Juliet, as it says it; `stamp`: as history. mu-conference has no fractions there. */
const speaks = (body: string, stamp?: string, id?: string) =>
  `<message type='groupchat' from='${ROOM}/olga' to='${FULL}'${id === undefined ? '' : ` id='${id}'`}><body>${body}</body>` +
  `${stamp === undefined ? '' : `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='${stamp}'>${ROOM}</delay>`}</message>`;
const toRomeo = (xml: string) => xml.replaceAll(FULL, ROMEO).replaceAll(ACCOUNT, ROMEO.split('/')[0]!);
/** The room's service has been there for so many seconds. */
const uptime = (seconds: number) => `<query xmlns='${NS.lastActivity}' seconds='${seconds}'/>`;

/** The event that a message becomes. @param said when, as the room writes it; @param at as the log does */
const told = (body: string, id: string, said?: string, at = said?.replace('Z', '.000Z')) =>
  event(
    'messages',
    id,
    speaks(body, said)
      .replace('<message', `<message xmlns='${NS.client}'`)
      .replace(FULL, ACCOUNT)
      .replace('</message>', `${STANZA_ID(id)}${ARCHIVED(id)}</message>`),
    at === undefined ? '' : `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='${at}'/>`,
  );
const gap = (id: string, since: string, until: string) =>
  event('system', id, `<gap xmlns='${NS.mucsubGap}' since='${since}' until='${until}'/>`);
const toldLive = (book: Stage, body: string, id: string) =>
  book.fromServer(speaks(body)).expectVerdict('changed mucsub-event', told(body, id));

/** The client is there again, and the room has let the ghost in: it tells its history now. */
function back(book: Stage, since: string): Stage {
  return available(book)
    .expectSent('server', asks('sammy', `<history maxstanzas='500' since='${since}'/>`))
    .fromServer(self('sammy'))
    .expectVerdict(SWALLOWED)
    .expectRequest(ROOM, UPTIME);
}

/** A room that has no archive and may forget what was said, mu-conference's; our log has what anybody has heard. */
describe('who comes back to a room that has no archive', () => {
  it('is told out of our log what others have heard, though the room has forgotten it', () => {
    const shared = domain();
    const first = toldLive(juliet(shared), 'one', 'id-1');
    const other = romeoHears(shared);
    first.close().expectTold(ACCOUNT, CLAIM).end();
    other
      .fromServer(toRomeo(speaks('two')))
      .expectVerdict('changed mucsub-event', toRomeo(told('two', 'id-1')));
    const again = back(secondStage(shared, FULL, 'jabberd2'), '2026-11-20T12:16:35.000Z');
    again
      .answerIq(ROOM, uptime(0))
      .expectSent('client', told('two', 'id-1', undefined, '2026-11-20T12:16:40.000Z'))
      .end();
    other.end();
  });

  it('is told nothing twice, however much was said shortly before the process was killed, and of two that are the same the second', () => {
    const shared = domain();
    const before = juliet(shared);
    for (let n = 1; n <= 50; n++) toldLive(before, `number ${n % 40}`, `id-${n}`);
    before.close().expectTold(ACCOUNT, CLAIM).end();
    const book = back(stage({ ...scene(nextProcess(shared)), now: 1_002_000 }), '2026-11-20T12:16:35.000Z');
    const at = '2026-11-20T12:16:40Z';
    for (let n = 11; n <= 50; n++) book.fromServer(speaks(`number ${n % 40}`, at)).expectVerdict(SWALLOWED);
    book.fromServer(speaks('number 10', at)).expectVerdict(SWALLOWED);
    book
      .answerIq(ROOM, uptime(60))
      .expectSent('client', told('number 10', 'id-1', at))
      .end();
  });

  it('finds a mark before what is said in a room that has forgotten what was heard last', () => {
    const shared = domain();
    toldLive(juliet(shared), 'one', 'id-1').close().expectTold(ACCOUNT, CLAIM).end();
    const book = back(stage({ ...scene(nextProcess(shared)), now: 1_060_000 }), '2026-11-20T12:16:35.000Z');
    const at = '2026-11-20T12:17:30Z';
    book.fromServer(speaks('three', at)).expectVerdict(SWALLOWED).answerIq(ROOM, uptime(20));
    book.expectSent('client', gap('id-1', '2026-11-20T12:16:40.000Z', '2026-11-20T12:17:40.000Z'));
    book.expectSent('client', told('three', 'id-2', at)).end();
  });

  it('finds one where the room remembers less than it has said since', () => {
    const shared = domain();
    toldLive(juliet(shared), 'one', 'id-1').close().expectTold(ACCOUNT, CLAIM).end();
    const book = back(stage({ ...scene(nextProcess(shared)), now: 1_060_000 }), '2026-11-20T12:16:35.000Z');
    const at = '2026-11-20T12:17:30Z';
    book.fromServer(speaks('three', at)).expectVerdict(SWALLOWED).answerIq(ROOM, uptime(600));
    book.expectSent('client', gap('id-1', '2026-11-20T12:16:40.000Z', '2026-11-20T12:17:40.000Z'));
    book.expectSent('client', told('three', 'id-2', at)).end();
  });

  it.each([
    ['has been there all the time', uptime(600)],
    ['does not say, but tells what was heard last', { error: 'feature-not-implemented' }],
  ])('finds none where the room %s', (_, answer) => {
    const shared = domain();
    toldLive(juliet(shared), 'one', 'id-1').close().expectTold(ACCOUNT, CLAIM).end();
    const book = back(stage({ ...scene(nextProcess(shared)), now: 1_060_000 }), '2026-11-20T12:16:35.000Z');
    if (typeof answer !== 'string')
      book.fromServer(speaks('one', '2026-11-20T12:16:40Z')).expectVerdict(SWALLOWED);
    book.answerIq(ROOM, answer).end();
  });

  it('nor where somebody else has heard the room meanwhile', () => {
    const shared = domain();
    const first = toldLive(juliet(shared), 'one', 'id-1');
    const other = romeoHears(shared);
    first.close().expectTold(ACCOUNT, CLAIM).end();
    back(secondStage(shared, FULL, 'jabberd2'), '2026-11-20T12:16:35.000Z')
      .answerIq(ROOM, uptime(0))
      .end();
    other.end();
  });

  it('leaves nothing in the log without the mark when the session is over before it is known whether there must be one', () => {
    const shared = domain();
    toldLive(juliet(shared), 'one', 'id-1').close().expectTold(ACCOUNT, CLAIM).end();
    const next = nextProcess(shared);
    const book = back(stage({ ...scene(next), now: 1_060_000 }), '2026-11-20T12:16:35.000Z');
    book.fromServer(speaks('three', '2026-11-20T12:17:30Z')).expectVerdict(SWALLOWED);
    book.answerIq(ROOM, 'leg-lost').close().expectTold(ACCOUNT, CLAIM).end();
    expect(next.list(storeKey('mucsub', next.name, 'log', ROOM, ''))).toHaveLength(1);
  });

  it('has what comes behind something that it has not acknowledged in the same order the next time', () => {
    const shared = domain();
    const first = toldLive(juliet(shared), 'one', 'id-1');
    const other = romeoHears(shared);
    first.close().expectTold(ACCOUNT, CLAIM).end();
    other
      .fromServer(toRomeo(speaks('two')))
      .expectVerdict('changed mucsub-event', toRomeo(told('two', 'id-1')));
    const late = '2026-11-20T12:16:40.000Z';
    const again = back(
      play<FeatureSession>(mucsub, { ...scene(shared), jid: FULL, clientAcknowledges: true }).wake(0),
      '2026-11-20T12:16:35.000Z',
    );
    again.answerIq(ROOM, uptime(600)).expectSent('client', told('two', 'id-1', undefined, late));
    again.fromServer(speaks('three')).expectVerdict(SWALLOWED).expectSent('client', told('three', 'id-1'));
    again.close().expectTold(ACCOUNT, CLAIM).end();
    available(secondStage(shared, FULL, 'jabberd2'))
      .expectSent('server', asks('sammy', "<history maxstanzas='500' since='2026-11-20T12:16:35.000Z'/>"))
      .expectSent('client', told('two', 'id-1', undefined, late))
      .expectSent('client', told('three', 'id-1', undefined, late))
      .end();
    other.end();
  });
});

/** Somebody else has subscribed, and is in the room. */
function romeoHears(shared: FakeDomain): Stage {
  return lateStage(shared, ROMEO)
    .fromClient('<presence/>')
    .fromClient(subscribe('romeo', ['messages']))
    .expectVerdict('handled mucsub-answered')
    .expectSent('server', asks('romeo'))
    .fromServer(toRomeo(self('romeo')))
    .expectVerdict(SWALLOWED)
    .expectSent(
      'client',
      `<iq type='result' id='s1' from='${ROOM}' to='${ROMEO}'><subscribe xmlns='${NS.mucsub}' nick='romeo'>${events('messages')}</subscribe></iq>`,
    )
    .expectTold(ROMEO.split('/')[0]!, JSON.stringify({ op: 'subscribed', room: ROOM }));
}
