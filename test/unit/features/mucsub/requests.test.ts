import { describe, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import { FakeDomain } from '../playbook.js';
import {
  ACCOUNT,
  ALLOWED,
  asks,
  available,
  domain,
  events,
  FULL,
  lateStage,
  MUC,
  query,
  ROOM,
  refused,
  result,
  type Stage,
  SWALLOWED,
  secondStage,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const ANSWERED = 'handled mucsub-answered';
const ROMEO = 'romeo@capulet.lit';
const wrongType = (type: string) => `Value '${type}' of 'type' attribute is not allowed`;
const iq = (type: string, to: string, payload: string) =>
  `<iq type='${type}' id='s1' to='${to}'>${payload}</iq>`;
const SUBSCRIBE = `<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('messages')}</subscribe>`;
const UNSUBSCRIBE = `<unsubscribe xmlns='${NS.mucsub}'/>`;
const LIST = `<subscriptions xmlns='${NS.mucsub}'/>`;
const list = (...entries: string[]) =>
  `<subscriptions xmlns='${NS.mucsub}'>${entries.join('')}</subscriptions>`;
const entry = (jid: string, nick: string, ...names: string[]) =>
  `<subscription jid='${jid}' nick='${nick}'>${events(...names)}</subscription>`;
const ofService = (answer: string) => answer.replace(`from='${ROOM}'`, `from='${MUC}'`);
const told = (op: string) => JSON.stringify({ op, room: ROOM });

/** What a room is asked in the name of the one who asks, and says. */
const members = (what: string) => query(NS.mucAdmin, `<item ${what}/>`);
const items = (...each: string[]) => query(NS.mucAdmin, each.map((item) => `<item ${item}/>`).join(''));
const info = (...names: string[]) =>
  query(
    NS.discoInfo,
    `<identity category='conference' type='text'/>${names.map((name) => `<feature var='${name}'/>`).join('')}`,
  );

describe('requests that are wrong are refused in ejabberd’s words', () => {
  it.each([
    ['to subscribe to a service', iq('set', MUC, SUBSCRIBE), 'cancel', 'not-allowed', wrongType('set')],
    ['to unsubscribe from a service', iq('set', MUC, UNSUBSCRIBE), 'cancel', 'not-allowed', wrongType('set')],
    ['to subscribe, as a question', iq('get', ROOM, SUBSCRIBE), 'modify', 'bad-request', wrongType('get')],
    [
      'to subscribe to a service, as a question',
      iq('get', MUC, SUBSCRIBE),
      'cancel',
      'service-unavailable',
      'The feature requested is not supported by the conference',
    ],
    [
      'an element that a service does not know',
      iq('set', MUC, `<join xmlns='${NS.mucsub}'/>`),
      'modify',
      'bad-request',
      'The service does not know this element',
    ],
    [
      'an event that does not say which',
      iq('set', ROOM, `<subscribe xmlns='${NS.mucsub}' nick='sammy'><event/></subscribe>`),
      'modify',
      'bad-request',
      `Missing attribute 'node' in tag &lt;event/&gt; qualified by namespace '${NS.mucsub}'`,
    ],
    [
      'an element that nobody knows',
      iq('set', ROOM, `<join xmlns='${NS.mucsub}'/>`),
      'cancel',
      'service-unavailable',
      'The feature requested is not supported by the conference',
    ],
    [
      'two elements',
      iq('set', ROOM, SUBSCRIBE + UNSUBSCRIBE),
      'modify',
      'bad-request',
      'Only one element is expected in this request',
    ],
  ])('%s', (_, request, type, condition, text) => {
    const answer = refused(type, condition, text);
    stage({ settings: ALLOWED })
      .fromClient(request)
      .expectVerdict(ANSWERED)
      .expectSent('client', request.includes(`to='${MUC}'`) ? ofService(answer) : answer)
      .end();
  });

  it('somebody else’s address that is none', () => {
    const text = `Bad value of attribute 'jid' in tag &lt;subscribe/&gt; qualified by namespace '${NS.mucsub}'`;
    stage({ settings: ALLOWED })
      .fromClient(subscribe('sammy', ['messages'], " jid='@'"))
      .expectVerdict(ANSWERED)
      .expectSent('client', refused('modify', 'bad-request', text))
      .end();
  });
});

describe('subscribing', () => {
  it('all nodes that there are, in the order asked and as often', () => {
    const names = [
      'presence',
      'messages',
      'affiliations',
      'subject',
      'config',
      'subscribers',
      'participants',
      'system',
    ];
    stage({ settings: ALLOWED })
      .fromClient(subscribe('sammy', [...names, 'messages']))
      .expectVerdict(ANSWERED)
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events(...names, 'messages')}</subscribe>`),
      )
      .expectTold(ACCOUNT, told('subscribed'))
      // Its own subscribing is an event too; nobody of the account wants any yet.
      .expectKept(
        ACCOUNT,
        `<message from='${ROOM}' to='${ACCOUNT}'><event xmlns='${NS.pubsubEvent}'><items node='urn:xmpp:mucsub:nodes:subscribers'>` +
          `<item id='id-1'><subscribe xmlns='${NS.mucsub}' nick='sammy'/></item></items></event></message>`,
      )
      .end();
  });

  it('a password gets the ghost in, and is not asked for again', () => {
    const asksWith = (nick: string) => asks(nick, "<password>sesame</password><history maxstanzas='0'/>");
    stage({ settings: ALLOWED })
      .fromClient(subscribe('sammy', ['messages'], " password='sesame'"))
      .expectVerdict(ANSWERED)
      .expectSent('server', asksWith('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', result(SUBSCRIBE))
      .expectTold(ACCOUNT, told('subscribed'))
      .fromClient(subscribe('sammy', ['subject']))
      .expectVerdict(ANSWERED)
      .expectSent('client', result(SUBSCRIBE.replace('messages', 'subject')))
      .expectTold(ACCOUNT, told('subscribed'))
      .end();
  });

  it('the address of a room is the same in capitals', () => {
    const shouted = ROOM.replace('party', 'PARTY');
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(iq('set', shouted, UNSUBSCRIBE))
      .expectVerdict(ANSWERED)
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
      .expectSent('client', result().replace(ROOM, shouted))
      .end();
  });

  it('another nick is asked of the room; what it refuses leaves the subscription as it was, and the former nick is free', () => {
    const conflict = `<presence type='error' from='${ROOM}/olga' to='${FULL}'><error type='cancel'><conflict xmlns='${NS.stanzaErrors}'/></error></presence>`;
    const shared = domain();
    subscribed(available(stage({ settings: ALLOWED, domain: shared })))
      .fromClient(subscribe('olga', ['subject']))
      .expectVerdict(ANSWERED)
      .expectSent('server', `<presence to='${ROOM}/olga'/>`)
      .fromServer(conflict)
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        refused('cancel', 'conflict', 'That nickname is already in use by another occupant'),
      )
      .fromClient(iq('get', MUC, LIST))
      .expectVerdict(ANSWERED)
      .expectSent('client', ofService(result(list(entry(ROOM, 'sammy', 'messages')))))
      .fromClient(subscribe('sam', ['subject']))
      .expectVerdict(ANSWERED)
      .expectSent('server', `<presence to='${ROOM}/sam'/>`)
      .fromServer(self('sam'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', result(SUBSCRIBE.replace('messages', 'subject').replace('sammy', 'sam')))
      .expectTold(ACCOUNT, told('subscribed'))
      .fromClient(iq('get', MUC, LIST))
      .expectVerdict(ANSWERED)
      .expectSent('client', ofService(result(list(entry(ROOM, 'sam', 'subject')))))
      .end();
    const romeo = lateStage(shared, `${ROMEO}/field`);
    romeo.fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`).end();
  });

  it('a subscriber’s nick is nobody else’s, neither to join nor to subscribe with', () => {
    const shared = domain();
    subscribed(available(stage({ settings: ALLOWED, domain: shared }))).end();
    const address = (xml: string) => xml.replaceAll(FULL, `${ROMEO}/field`);
    lateStage(shared, `${ROMEO}/field`)
      .fromClient(`<presence id='p1' to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict('handled mucsub-refused')
      .expectSent(
        'client',
        address(refused('cancel', 'conflict', 'That nickname is already in use by another occupant'))
          .replace('<iq ', '<presence ')
          .replace('</iq>', '</presence>')
          .replace("id='s1'", "id='p1'")
          .replace(`from='${ROOM}'`, `from='${ROOM}/sammy'`),
      )
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict(ANSWERED)
      .expectSent(
        'client',
        address(refused('cancel', 'conflict', 'That nickname is already in use by another occupant')),
      )
      .end();
  });

  it('one subscription for an account, whichever resource changes it', () => {
    const shared = domain();
    subscribed(available(stage({ settings: ALLOWED, domain: shared }))).end();
    const address = (xml: string) => xml.replaceAll(FULL, `${ACCOUNT}/desk`);
    const desk = secondStage(shared, `${ACCOUNT}/desk`);
    desk
      .fromClient(subscribe('sammy', ['subject']))
      .expectVerdict(ANSWERED)
      .expectSent('client', address(result(SUBSCRIBE.replace('messages', 'subject'))))
      .expectTold(ACCOUNT, told('subscribed'))
      .fromClient(iq('get', MUC, LIST))
      .expectVerdict(ANSWERED)
      .expectSent('client', address(ofService(result(list(entry(ROOM, 'sammy', 'subject'))))))
      .end();
  });

  it('no more than an account may have', () => {
    const other = `other@${MUC}`;
    const text = 'There are too many subscriptions of this account';
    subscribed(available(stage({ settings: { ...ALLOWED, subscriptionsPerAccount: 1 } })))
      .fromClient(subscribe('sammy', ['messages']).replace(ROOM, other))
      .expectVerdict(ANSWERED)
      .expectSent('client', refused('cancel', 'resource-constraint', text).replace(ROOM, other))
      .end();
  });
});

describe('unsubscribing from what was not subscribed to', () => {
  it.each([
    ['a room that is there', info(), result()],
    [
      'one that is not',
      { error: 'item-not-found' },
      refused('cancel', 'item-not-found', 'Conference room does not exist'),
    ],
  ])('%s', (_, said, answer) => {
    stage({ settings: ALLOWED })
      .fromClient(iq('set', ROOM, UNSUBSCRIBE))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, said)
      .expectSent('client', answer)
      .end();
  });
});

describe('lists', () => {
  const roomList = (book: Stage) =>
    book
      .fromClient(iq('get', ROOM, LIST))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, members("role='moderator'"));

  it('an account that has subscribed to nothing has an empty one', () => {
    stage({ settings: ALLOWED })
      .fromClient(iq('get', MUC, LIST))
      .expectVerdict(ANSWERED)
      .expectSent('client', ofService(result(list())))
      .end();
  });

  it('of a room: who moderates it sees accounts, and an empty one', () => {
    roomList(stage({ settings: ALLOWED }))
      .answerIq(ROOM, items())
      .expectSent('client', result(list()))
      .end();
    roomList(subscribed(available(stage({ settings: ALLOWED }))))
      .answerIq(ROOM, items("role='moderator' nick='olga'"))
      .expectSent('client', result(list(entry(ACCOUNT, 'sammy', 'messages'))))
      .end();
  });

  it.each([
    [
      'everybody does where the room shows real JIDs to all',
      ['muc_nonanonymous'],
      entry(ACCOUNT, 'sammy', 'messages'),
    ],
    [
      'nobody else does elsewhere',
      ['muc_semianonymous'],
      entry(ACCOUNT, 'sammy', 'messages').replace(` jid='${ACCOUNT}'`, ''),
    ],
  ])('of a room, a subscriber: %s', (_, features, seen) => {
    roomList(subscribed(available(stage({ settings: ALLOWED }))))
      .answerIq(ROOM, { error: 'forbidden' })
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, info(...features))
      .expectSent('client', result(list(seen)))
      .end();
  });

  it.each([
    ['an outsider', 'forbidden', refused('auth', 'forbidden', 'Moderator privileges required')],
    [
      'anybody, of a room that is not there',
      'item-not-found',
      refused('cancel', 'item-not-found', 'Conference room does not exist'),
    ],
    [
      'the same where mu-conference says so',
      'bad-request',
      refused('cancel', 'item-not-found', 'Conference room does not exist'),
    ],
  ])('of a room, %s: refused', (_, error, answer) => {
    roomList(stage({ settings: ALLOWED }))
      .answerIq(ROOM, { error })
      .expectSent('client', answer)
      .end();
  });
});

describe('a moderator, for somebody else', () => {
  const other = ` jid='${ROMEO}/field'`;
  const begun = (book: Stage, rest = other) =>
    book
      .fromClient(subscribe('rom', ['messages'], rest))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, members("role='moderator'"));
  const moderates = (book: Stage, rest = other) =>
    begun(book, rest)
      .answerIq(ROOM, items("role='moderator' nick='olga'"))
      .expectRequest(ROOM, query(NS.discoInfo));
  const mayBe = (book: Stage, ...features: string[]) =>
    moderates(book)
      .answerIq(ROOM, info(...features))
      .expectRequest(ROOM, members("affiliation='outcast'"));
  const subscribedAs = result(SUBSCRIBE.replace('sammy', 'rom'));
  const free = (book: Stage) =>
    book
      .expectRequest(ROOM, members("role='moderator'"))
      .answerIq(ROOM, items())
      .expectRequest(ROOM, members("role='participant'"))
      .answerIq(ROOM, items("nick='bob' jid='bob@capulet.lit/x' role='participant'"))
      .expectRequest(ROOM, members("role='visitor'"))
      .answerIq(ROOM, items());

  it('subscribes, by bare JID; that account is not asked, but it is its subscription', () => {
    const shared = new FakeDomain('capulet.lit');
    const book = mayBe(stage({ settings: ALLOWED, domain: shared })).answerIq(ROOM, items());
    free(book).expectTold(ROMEO, told('subscribed')).expectSent('client', subscribedAs).end();
    const address = (xml: string) => xml.replaceAll(FULL, `${ROMEO}/field`);
    lateStage(shared, `${ROMEO}/field`)
      .fromClient(iq('get', MUC, LIST))
      .expectVerdict(ANSWERED)
      .expectSent('client', address(ofService(result(list(entry(ROOM, 'rom', 'messages'))))))
      .end();
  });

  it('and who has subscribed to that is told of it, and of the end', () => {
    const shared = new FakeDomain('capulet.lit');
    const moderator = stage({ settings: ALLOWED, domain: shared });
    const olga = 'olga@capulet.lit/desk';
    const of = (xml: string) => xml.replaceAll(FULL, olga).replaceAll(ACCOUNT, 'olga@capulet.lit');
    const own = `<subscribe xmlns='${NS.mucsub}' nick='olga'/>`;
    available(lateStage(shared, olga))
      .fromClient(subscribe('olga', ['subscribers']))
      .expectVerdict(ANSWERED)
      .expectSent('server', asks('olga'))
      .fromServer(of(self('olga')))
      .expectVerdict(SWALLOWED)
      .expectSent('client', of(result(own.replace('/>', `>${events('subscribers')}</subscribe>`))))
      .expectTold('olga@capulet.lit', told('subscribed'))
      .expectSent(
        'client',
        `<message from='${ROOM}' to='olga@capulet.lit'><event xmlns='${NS.pubsubEvent}'><items node='urn:xmpp:mucsub:nodes:subscribers'>` +
          `<item id='id-1'>${own}</item></items></event></message>`,
      )
      .end();
    const notice = (change: string) =>
      JSON.stringify({ op: 'subscriber', room: ROOM, change, nick: 'rom', account: ROMEO });
    free(mayBe(moderator).answerIq(ROOM, items()))
      .expectTold(ROMEO, told('subscribed'))
      .expectSent('client', subscribedAs)
      .expectTold('olga@capulet.lit', notice('subscribe'))
      .fromClient(iq('set', ROOM, UNSUBSCRIBE.replace('/>', `${other}/>`)))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, members("role='moderator'"))
      .answerIq(ROOM, items())
      .expectTold(ROMEO, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'rom' }))
      .expectSent('client', result())
      .expectTold('olga@capulet.lit', notice('unsubscribe'))
      .end();
  });

  it('replaces what that account had subscribed to', () => {
    const shared = new FakeDomain('capulet.lit');
    free(mayBe(stage({ settings: ALLOWED, domain: shared })).answerIq(ROOM, items()))
      .expectTold(ROMEO, told('subscribed'))
      .expectSent('client', subscribedAs)
      .fromClient(subscribe('rom', ['subject'], other))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, members("role='moderator'"))
      .answerIq(ROOM, items())
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, info())
      .expectRequest(ROOM, members("affiliation='outcast'"))
      .answerIq(ROOM, items())
      .expectRequest(ROOM, members("role='moderator'"))
      .answerIq(ROOM, items())
      .expectRequest(ROOM, members("role='participant'"))
      .answerIq(ROOM, items())
      .expectRequest(ROOM, members("role='visitor'"))
      .answerIq(ROOM, items())
      .expectTold(ROMEO, told('subscribed'))
      .expectSent('client', subscribedAs.replace('messages', 'subject'))
      .end();
  });

  it('and nobody else does, for whomever', () => {
    for (const jid of [ROMEO, ACCOUNT, FULL])
      begun(stage({ settings: ALLOWED }), ` jid='${jid}'`)
        .answerIq(ROOM, { error: 'forbidden' })
        .expectSent('client', refused('auth', 'forbidden', 'Moderator privileges required'))
        .fromClient(iq('set', ROOM, UNSUBSCRIBE.replace('/>', ` jid='${jid}'/>`)))
        .expectVerdict(ANSWERED)
        .expectRequest(ROOM, members("role='moderator'"))
        .answerIq(ROOM, { error: 'forbidden' })
        .expectSent('client', refused('auth', 'forbidden', 'Moderator privileges required'))
        .end();
  });

  it('subscribes itself that way too', () => {
    begun(available(stage({ settings: ALLOWED })), ` jid='${ACCOUNT}'`)
      .answerIq(ROOM, items("role='moderator' nick='olga'"))
      .expectSent('server', asks('rom'))
      .fromServer(self('rom'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', subscribedAs)
      .expectTold(ACCOUNT, told('subscribed'))
      .end();
  });

  it('not an account that is banned', () => {
    mayBe(stage({ settings: ALLOWED }))
      .answerIq(ROOM, items(`jid='${ROMEO}' affiliation='outcast'`))
      .expectSent('client', refused('auth', 'forbidden', 'You have been banned from this room'))
      .end();
  });

  it('not one that is no member of a members-only room', () => {
    let book = mayBe(stage({ settings: ALLOWED }), 'muc_membersonly').answerIq(ROOM, items());
    for (const affiliation of ['member', 'admin', 'owner'])
      book = book.expectRequest(ROOM, members(`affiliation='${affiliation}'`)).answerIq(ROOM, items());
    book
      .expectSent(
        'client',
        refused('auth', 'registration-required', 'Membership is required to enter this room'),
      )
      .end();
  });

  it('not without the password', () => {
    moderates(stage({ settings: ALLOWED }))
      .answerIq(ROOM, info('muc_passwordprotected'))
      .expectSent('client', refused('auth', 'not-authorized', 'A password is required to enter this room'))
      .end();
  });

  it.each([
    ['with another password than an owner sees', 'sesame', 'other'],
    ['and with the same', 'sesame', 'sesame'],
    ['and with any where the moderator is no owner', undefined, 'other'],
  ])('%s', (_, secret, password) => {
    const form = query(
      NS.mucOwner,
      `<x xmlns='${NS.dataForms}' type='form'><field var='muc#roomconfig_roomsecret'><value>${secret}</value></field></x>`,
    );
    const book = moderates(stage({ settings: ALLOWED }), `${other} password='${password}'`)
      .answerIq(ROOM, info('muc_passwordprotected'))
      .expectRequest(ROOM, query(NS.mucOwner))
      .answerIq(ROOM, secret === undefined ? { error: 'forbidden' } : form);
    if (secret !== undefined && secret !== password) {
      book
        .expectSent('client', refused('auth', 'not-authorized', 'A password is required to enter this room'))
        .end();
      return;
    }
    book.expectRequest(ROOM, members("affiliation='outcast'")).answerIq(ROOM, items());
    free(book).expectTold(ROMEO, told('subscribed')).expectSent('client', subscribedAs).end();
  });

  it('not under an occupant’s nick', () => {
    mayBe(stage({ settings: ALLOWED }))
      .answerIq(ROOM, items())
      .expectRequest(ROOM, members("role='moderator'"))
      .answerIq(ROOM, items("nick='rom' jid='bob@capulet.lit/x' role='moderator'"))
      .expectSent(
        'client',
        refused('cancel', 'conflict', 'That nickname is already in use by another occupant'),
      )
      .end();
  });

  it('unsubscribes; it makes no difference whether there was a subscription', () => {
    const unsubscribe = UNSUBSCRIBE.replace('/>', `${other}/>`);
    const shared = new FakeDomain('capulet.lit');
    free(mayBe(stage({ settings: ALLOWED, domain: shared })).answerIq(ROOM, items()))
      .expectTold(ROMEO, told('subscribed'))
      .expectSent('client', subscribedAs)
      .fromClient(iq('set', ROOM, unsubscribe))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, members("role='moderator'"))
      .answerIq(ROOM, items())
      .expectTold(ROMEO, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'rom' }))
      .expectSent('client', result())
      .fromClient(iq('set', ROOM, unsubscribe))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, members("role='moderator'"))
      .answerIq(ROOM, items())
      .expectSent('client', result())
      .end();
  });
});
