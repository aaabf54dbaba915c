import { describe, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  available,
  domain,
  FULL,
  lateStage,
  query,
  ROOM,
  refused,
  result,
  type Stage,
  SUBJECT,
  SWALLOWED,
  says,
  secondStage,
  stage,
  subscribed,
} from './stage.js';

const LIST = `<iq type='get' id='s1' to='${ROOM}'><subscriptions xmlns='${NS.mucsub}'/></iq>`;
const EMPTY = result(`<subscriptions xmlns='${NS.mucsub}'/>`);
const MODERATORS = query(NS.mucAdmin, "<item role='moderator'/>");
const ABSENT = { error: 'feature-not-implemented' };
const LOOK = 'look-id-1';
const enters = `<presence to='${ROOM}/${LOOK}'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`;
const leaves = `<presence to='${ROOM}/${LOOK}' type='unavailable'/>`;
const standing = (nick: string, affiliation: string, role: string, type = '') =>
  says(nick, `role='${role}' affiliation='${affiliation}'`, ['110'], type);
const NAME = `<message type='groupchat' from='${ROOM}' to='${FULL}'><body>party</body></message>`;
const FORBIDDEN = refused('auth', 'forbidden', 'Moderator privileges required');

const scene = () => ({ settings: ALLOWED, service: [], serverKind: 'jabberd2', domain: domain() }) as const;
/** The room does not say who moderates it. */
const asks = (book: Stage) =>
  book
    .fromClient(LIST)
    .expectVerdict('handled mucsub-answered')
    .expectRequest(ROOM, MODERATORS)
    .answerIq(ROOM, ABSENT);
const entered = () => asks(available(stage(scene()))).expectSent('server', enters);

describe('a room that tells its moderators to nobody who is not in it', () => {
  it.each([
    ['owner', 'moderator'],
    ['admin', 'participant'],
    ['none', 'moderator'],
  ])('is entered for a moment: who is %s and %s there moderates it', (affiliation, role) => {
    const book = entered()
      .fromServer(says('olga', "role='participant' affiliation='none'"))
      .expectVerdict(SWALLOWED)
      .fromServer(standing(LOOK, affiliation, role))
      .expectVerdict(SWALLOWED)
      .expectSent('client', EMPTY)
      .fromServer(NAME)
      .expectVerdict(SWALLOWED);
    // It is in still when it is asked more.
    asks(book).expectSent('client', EMPTY);
    book.wake(5_000).expectSent('server', leaves);
    book.fromServer(standing(LOOK, affiliation, 'none', 'unavailable')).expectVerdict(SWALLOWED);
    book.fromServer(says('olga', "role='participant' affiliation='none'")).end();
  });

  it('who is neither does not, and is out again at once', () => {
    const book = entered()
      .fromServer(standing(LOOK, 'member', 'participant'))
      .expectVerdict(SWALLOWED);
    book.expectSent('server', leaves).expectSent('client', FORBIDDEN);
    book
      .fromServer(standing(LOOK, 'member', 'none', 'unavailable'))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('nor who is not let in', () => {
    entered()
      .fromServer(
        `<presence type='error' from='${ROOM}/${LOOK}' to='${FULL}'><error type='auth'><forbidden xmlns='${NS.stanzaErrors}'/></error></presence>`,
      )
      .expectVerdict(SWALLOWED)
      .expectSent('client', FORBIDDEN)
      .end();
  });

  it('nor whom it does not answer, and what it says later is not shown either', () => {
    const book = entered().wake(10_000).expectSent('client', FORBIDDEN).expectSent('server', leaves);
    book.fromServer(standing(LOOK, 'owner', 'moderator')).expectVerdict(SWALLOWED);
    book.wake(10_000).end();
  });

  it('who is in it moderates it by his role, for as long as he has that', () => {
    const book = available(stage(scene()))
      .fromClient(`<presence to='${ROOM}/bob'><x xmlns='${NS.muc}'/></presence>`)
      .fromServer(standing('bob', 'none', 'moderator'))
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', SUBJECT);
    asks(book).expectSent('client', EMPTY);
    book.fromServer(says('bob', "role='participant' affiliation='none'"));
    asks(book).expectSent('client', FORBIDDEN).end();
  });

  it('subscribers who come by the proxy do not see who only looks', () => {
    const at = scene();
    const juliet = subscribed(available(stage(at)), 'sammy', ['presence']);
    const olga = lateStage(at.domain, 'olga@capulet.lit/desk');
    olga.end();
    const other = available(secondStage(at.domain, `${ACCOUNT}/garden`, 'jabberd2'));
    const to = (xml: string) => xml.replaceAll(FULL, `${ACCOUNT}/garden`);
    other
      .fromClient(LIST)
      .expectVerdict('handled mucsub-answered')
      .expectRequest(ROOM, MODERATORS)
      .answerIq(ROOM, ABSENT)
      .expectSent('server', enters);
    juliet.fromServer(says(LOOK, "role='participant' affiliation='none'")).expectVerdict(SWALLOWED);
    other.fromServer(to(standing(LOOK, 'none', 'participant'))).expectVerdict(SWALLOWED);
    other.expectSent('server', leaves).expectRequest(ROOM, query(NS.discoInfo));
    other.answerIq(ROOM, query(NS.discoInfo));
    const list = `<subscriptions xmlns='${NS.mucsub}'><subscription nick='sammy'><event node='urn:xmpp:mucsub:nodes:presence'/></subscription></subscriptions>`;
    other.expectSent('client', to(result(list)));
    juliet.fromServer(says(LOOK, "role='none' affiliation='none'", [], 'unavailable'));
    juliet.expectVerdict(SWALLOWED).end();
    other
      .fromServer(to(standing(LOOK, 'none', 'none', 'unavailable')))
      .expectVerdict(SWALLOWED)
      .end();
  });
});
