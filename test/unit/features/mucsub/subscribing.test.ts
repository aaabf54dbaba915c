import { describe, expect, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  asks,
  available,
  domain,
  event,
  events,
  FULL,
  inner,
  lateStage,
  MUC,
  query,
  ROOM,
  refused,
  result,
  STANZA_ID,
  type Stage,
  SUBJECT,
  SWALLOWED,
  said,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const ANSWERED = 'handled mucsub-answered';
const told = (op: string) => JSON.stringify({ op, room: ROOM });
const answered = (nick: string, ...names: string[]) =>
  result(`<subscribe xmlns='${NS.mucsub}' nick='${nick}'>${events(...names)}</subscribe>`);
const entry = (jid: string, nick: string, ...names: string[]) =>
  `<subscription jid='${jid}' nick='${nick}'>${events(...names)}</subscription>`;
/** What the account has subscribed to, as its service says it. */
const lists = (book: Stage, ...entries: string[]) =>
  book
    .fromClient(`<iq type='get' id='s1' to='${MUC}'><subscriptions xmlns='${NS.mucsub}'/></iq>`)
    .expectVerdict(ANSWERED)
    .expectSent(
      'client',
      result(`<subscriptions xmlns='${NS.mucsub}'>${entries.join('')}</subscriptions>`).replace(
        `from='${ROOM}'`,
        `from='${MUC}'`,
      ),
    );
/** The room lets the ghost in; the client is answered. */
const enters = (book: Stage, nick: string, names: readonly string[], asked = nick) =>
  book
    .expectVerdict(ANSWERED)
    .expectSent('server', asks(asked))
    .fromServer(self(nick))
    .expectVerdict(SWALLOWED)
    .expectSent('client', answered(nick, ...names))
    .expectTold(ACCOUNT, told('subscribed'));

describe('which nodes are subscribed to', () => {
  it.each([
    ['unknown ones are in no list', ['urn:example:nope', 'messages', 'nope'], ['messages']],
    ['"presences" beside presence is nothing more', ['presences', 'presence'], ['presence']],
    ['none at all is a subscription too', [], []],
  ])('%s', (_, asked, names) => {
    const book = available(stage({ settings: ALLOWED })).fromClient(subscribe('sammy', asked));
    lists(enters(book, 'sammy', names), entry(ROOM, 'sammy', ...names)).end();
  });

  it('one in another namespace is none', () => {
    const foreign = subscribe('sammy', ['subject', 'messages']).replace(
      '<event ',
      "<event xmlns='urn:example:x' ",
    );
    const book = available(stage({ settings: ALLOWED })).fromClient(foreign);
    lists(enters(book, 'sammy', ['messages']), entry(ROOM, 'sammy', 'messages')).end();
  });

  it('one named twice is one event', () => {
    const book = available(stage({ settings: ALLOWED })).fromClient(
      subscribe('sammy', ['messages', 'messages']),
    );
    enters(book, 'sammy', ['messages', 'messages'])
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'once', 'm1', STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'once', 'm1', 'a1')))
      .end();
  });

  it('a new set takes the place of the old one', () => {
    const book = subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(subscribe('sammy', ['subject']))
      .expectVerdict(ANSWERED)
      .expectSent('client', answered('sammy', 'subject'))
      .expectTold(ACCOUNT, told('subscribed'))
      .fromServer(said('olga', 'gone', 'm1', STANZA_ID('a1')))
      .expectVerdict(SWALLOWED);
    lists(book, entry(ROOM, 'sammy', 'subject')).end();
  });
});

describe('what a subscription is of', () => {
  it('the room, however its name is written', () => {
    const shouted = ROOM.replace('party', 'PARTY');
    const book = available(stage({ settings: ALLOWED }))
      .fromClient(subscribe('sammy', ['messages']).replace(ROOM, shouted))
      .expectVerdict(ANSWERED)
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', answered('sammy', 'messages').replace(ROOM, shouted))
      .expectTold(ACCOUNT, told('subscribed'));
    lists(book, entry(ROOM, 'sammy', 'messages')).end();
  });

  it('as many rooms as were subscribed to, each with its own nick and nodes', () => {
    let book = available(stage({ settings: ALLOWED }));
    const rooms = Array.from({ length: 12 }, (_, n) => `room${n}@${MUC}`);
    for (const [n, room] of rooms.entries()) {
      const of = (xml: string) => xml.replaceAll(ROOM, room);
      book = book
        .fromClient(of(subscribe(`sam${n}`, n % 2 === 0 ? ['messages'] : ['config', 'subject'])))
        .expectVerdict(ANSWERED)
        .expectSent('server', of(asks(`sam${n}`)))
        .fromServer(of(self(`sam${n}`)))
        .expectVerdict(SWALLOWED)
        .expectSent(
          'client',
          of(answered(`sam${n}`, ...(n % 2 === 0 ? ['messages'] : ['config', 'subject']))),
        )
        .expectTold(ACCOUNT, of(told('subscribed')));
    }
    lists(
      book,
      ...rooms.map((room, n) =>
        entry(room, `sam${n}`, ...(n % 2 === 0 ? ['messages'] : ['config', 'subject'])),
      ),
    ).end();
  });

  it('an occupant subscribes under the nick that it has: nobody has to enter', () => {
    const book = available(stage({ settings: ALLOWED }))
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .fromServer(self('sammy'))
      .fromServer(SUBJECT)
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict(ANSWERED)
      .expectSent('client', answered('sammy', 'messages'))
      .expectTold(ACCOUNT, told('subscribed'))
      // In the room there are no events.
      .fromServer(said('olga', 'plain', 'm1', STANZA_ID('a1')));
    lists(book, entry(ROOM, 'sammy', 'messages')).end();
  });

  it('a room that was made by subscribing allows it to others', () => {
    const shared = domain();
    available(stage({ domain: shared }))
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, { error: 'item-not-found' })
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy', '201'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, query(NS.mucOwner, `<x xmlns='${NS.dataForms}' type='submit'/>`))
      .expectSent('client', answered('sammy', 'messages'))
      .expectTold(ACCOUNT, told('subscribed'))
      .answerIq(ROOM, '')
      .end();
    const romeo = lateStage(shared, 'romeo@capulet.lit/field', {});
    expect(romeo.disco({ from: ROOM, node: undefined, entity: 'muc-room', features: new Set() })).toEqual({
      add: [NS.mucsub],
    });
    romeo
      .fromClient(subscribe('rom', ['messages']))
      .expectVerdict(ANSWERED)
      .expectSent('server', asks('rom'))
      .end();
  });
});

describe('a change that is refused leaves the subscription as it was', () => {
  it.each([
    ['an empty nick', '', 'modify', 'jid-malformed', "Nickname can't be empty"],
    [
      'the nick of another subscriber',
      'rom',
      'cancel',
      'conflict',
      'That nickname is already in use by another occupant',
    ],
  ])('%s', (_, nick, type, condition, text) => {
    const shared = domain();
    const book = subscribed(available(stage({ settings: ALLOWED, domain: shared })));
    const romeo = 'romeo@capulet.lit/field';
    lateStage(shared, romeo)
      .fromClient(subscribe('rom', ['subject']))
      .expectVerdict(ANSWERED)
      .expectSent('server', asks('rom'))
      .fromServer(self('rom').replaceAll(FULL, romeo))
      .expectVerdict(SWALLOWED)
      .expectSent('client', answered('rom', 'subject').replaceAll(FULL, romeo))
      .expectTold('romeo@capulet.lit', told('subscribed'))
      .end();
    book
      .fromClient(subscribe(nick, ['subject']))
      .expectVerdict(ANSWERED)
      .expectSent('client', refused(type, condition, text));
    lists(book, entry(ROOM, 'sammy', 'messages')).end();
  });
});

describe('a room that does not say that it is configured otherwise', () => {
  const form = (type: string, title: string, logs = '0') =>
    query(
      NS.mucOwner,
      `<x xmlns='${NS.dataForms}' type='${type}'><field var='FORM_TYPE'><value>${NS.mucOwner}</value></field>` +
        `<field var='title'><value>${title}</value></field><field var='logs'><value>${logs}</value></field></x>`,
    );
  const configured = event(
    'config',
    'id-1',
    `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}' to='${ACCOUNT}'><x xmlns='${NS.mucUser}'><status code='104'/></x></message>`,
  );
  /** An owner who may have been shown the form submits it, and the room accepts it. */
  const submits = (shown: string | undefined, submitted: string, answer = 'result') => {
    const book = subscribed(
      available(stage({ settings: ALLOWED, serverKind: 'jabberd2', service: [] })),
      'sammy',
      ['config'],
    );
    const shows = (title: string) =>
      book
        .fromClient(`<iq type='get' id='f1' to='${ROOM}'>${query(NS.mucOwner)}</iq>`)
        .fromServer(`<iq type='result' id='f1' from='${ROOM}' to='${FULL}'>${title}</iq>`);
    if (shown !== undefined)
      shows(form('form', shown)).expectVerdict(
        'changed mucsub-form',
        `<iq xmlns='${NS.client}' type='result' id='f1' from='${ROOM}' to='${FULL}'>${form(
          'form',
          shown,
        ).replace(
          '</x>',
          "<field type='boolean' var='allow_subscription' label='Allow subscription'><value>1</value></field></x>",
        )}</iq>`,
      );
    return book
      .fromClient(`<iq type='set' id='f2' to='${ROOM}'>${submitted}</iq>`)
      .fromServer(`<iq type='${answer}' id='f2' from='${ROOM}' to='${FULL}'/>`);
  };

  it.each([
    ['what its form has shown has been changed', 'Party', form('submit', 'Feast')],
    ['nobody knows what it was', undefined, form('submit', 'Feast')],
  ])('is an event of config where %s', (_, shown, submitted) => {
    submits(shown, submitted).expectSent('client', configured).end();
  });

  it.each([
    ['all is as it was', 'Party', form('submit', 'Party', 'false'), 'result'],
    [
      'all is left as it is',
      undefined,
      query(NS.mucOwner, `<x xmlns='${NS.dataForms}' type='submit'/>`),
      'result',
    ],
    ['the room refuses it', 'Party', form('submit', 'Feast'), 'error'],
  ])('is none where %s', (_, shown, submitted, answer) => {
    submits(shown, submitted, answer).end();
  });
});

describe('the option, switched off', () => {
  it.each([
    ['with an empty nick', '', ''],
    ['by a moderator, for somebody else', 'rom', " jid='romeo@capulet.lit'"],
  ])('nobody subscribes, %s either', (_, nick, rest) => {
    available(stage())
      .fromClient(subscribe(nick, ['messages'], rest))
      .expectVerdict(ANSWERED)
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', refused('cancel', 'not-allowed', 'Subscriptions are not allowed'))
      .end();
  });

  it('ends all subscriptions, and switched on again brings none back', () => {
    const shared = domain();
    const sub = subscribed(available(stage({ settings: ALLOWED, domain: shared })));
    const owner = lateStage(shared, 'olga@capulet.lit/desk');
    const submits = (value: string) =>
      owner
        .fromClient(
          `<iq type='set' id='f1' to='${ROOM}'>${query(
            NS.mucOwner,
            `<x xmlns='${NS.dataForms}' type='submit'><field var='allow_subscription'><value>${value}</value></field></x>`,
          )}</iq>`,
        )
        .expectVerdict(
          'changed mucsub-form',
          `<iq xmlns='${NS.client}' type='set' id='f1' to='${ROOM}'>${query(NS.mucOwner, `<x xmlns='${NS.dataForms}' type='submit'/>`)}</iq>`,
        )
        .fromServer(`<iq type='result' id='f1' from='${ROOM}' to='olga@capulet.lit/desk'/>`);
    const ended = JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' });
    submits('0').expectTold(ACCOUNT, ended);
    sub
      .told(ended, 'olga@capulet.lit/desk')
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`);
    lists(sub.fromServer(said('olga', 'x', 'm1', STANZA_ID('a1'))).expectVerdict(SWALLOWED));
    submits('1').end();
    lists(sub).end();
  });

  it('is the last event of config, of which the room itself says nothing', () => {
    const shared = domain();
    const off = `<x xmlns='${NS.dataForms}' type='submit'><field var='allow_subscription'><value>0</value></field></x>`;
    const switchesOff = (book: Stage, full: string) =>
      book
        .fromClient(`<iq type='set' id='f1' to='${ROOM}'>${query(NS.mucOwner, off)}</iq>`)
        .expectVerdict(
          'changed mucsub-form',
          `<iq xmlns='${NS.client}' type='set' id='f1' to='${ROOM}'>${query(NS.mucOwner, `<x xmlns='${NS.dataForms}' type='submit'/>`)}</iq>`,
        )
        .fromServer(`<iq type='result' id='f1' from='${ROOM}' to='${full}'/>`);
    const inside = `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}' to='${ACCOUNT}'><x xmlns='${NS.mucUser}'><status code='104'/></x></message>`;
    const ended = JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' });
    const leaves = `<presence to='${ROOM}/sammy' type='unavailable'/>`;
    // To somebody else's session, to nobody's, and to the owner's own.
    const sub = subscribed(available(stage({ settings: ALLOWED, domain: shared })), 'sammy', ['config']);
    const owner = switchesOff(lateStage(shared, 'olga@capulet.lit/desk'), 'olga@capulet.lit/desk');
    const notice = JSON.stringify({ op: 'configured', room: ROOM, xml: event('config', 'id-1', inside) });
    owner.expectTold(ACCOUNT, notice).expectTold(ACCOUNT, ended).end();
    sub
      .told(notice, 'olga@capulet.lit/desk')
      .expectSent('client', event('config', 'id-1', inside))
      .told(ended, 'olga@capulet.lit/desk')
      .expectSent('server', leaves)
      .end();

    const away = domain();
    subscribed(available(stage({ settings: ALLOWED, domain: away })), 'sammy', ['config'])
      .close()
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    switchesOff(lateStage(away, 'olga@capulet.lit/desk'), 'olga@capulet.lit/desk')
      .expectKept(ACCOUNT, event('config', 'id-1', inside))
      .expectTold(ACCOUNT, ended)
      .end();

    const own = subscribed(available(stage({ settings: ALLOWED })), 'sammy', ['config']);
    switchesOff(own, FULL)
      .expectSent('client', event('config', 'id-1', inside))
      .expectTold(ACCOUNT, ended)
      .expectSent('server', leaves)
      .end();
  });

  it.each([
    ['no value', ''],
    ['an empty one', '<value/>'],
    ['one that is no boolean', '<value>yes</value>'],
  ])('a form that has %s for it is refused as a whole', (_, value) => {
    const form = `<x xmlns='${NS.dataForms}' type='submit'><field var='allow_subscription'>${value}</field><field var='x'><value>1</value></field></x>`;
    const book = subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'>${query(NS.mucOwner, form)}</iq>`)
      .expectVerdict('handled mucsub-refused')
      .expectSent(
        'client',
        refused('modify', 'bad-request', "Value of 'allow_subscription' should be boolean"),
      );
    lists(book, entry(ROOM, 'sammy', 'messages')).end();
  });

  it('nothing has changed when it is cancelled, or not in what is submitted', () => {
    const book = subscribed(available(stage({ settings: ALLOWED })));
    const option = "<field var='allow_subscription'><value>0</value></field>";
    const iq = (form: string) => `<iq type='set' id='f1' to='${ROOM}'>${query(NS.mucOwner, form)}</iq>`;
    const RESULT = `<iq type='result' id='f1' from='${ROOM}' to='${FULL}'/>`;
    book
      .fromClient(iq(`<x xmlns='${NS.dataForms}' type='cancel'>${option}</x>`))
      .expectVerdict(
        'changed mucsub-form',
        iq(`<x xmlns='${NS.dataForms}' type='cancel'/>`).replace('<iq ', `<iq xmlns='${NS.client}' `),
      )
      .fromServer(RESULT)
      .fromClient(iq(`<x xmlns='${NS.dataForms}' type='submit'><field var='x'><value>1</value></field></x>`))
      .fromServer(RESULT);
    lists(book, entry(ROOM, 'sammy', 'messages')).end();
  });
});

describe('somebody who is subscribed by a moderator', () => {
  it('has events at once, and is told nothing else', () => {
    const shared = domain();
    const romeo = 'romeo@capulet.lit/field';
    const of = (xml: string) => xml.replaceAll(FULL, romeo).replaceAll(ACCOUNT, 'romeo@capulet.lit');
    const juliet = stage({ settings: ALLOWED, domain: shared });
    const target = available(lateStage(shared, romeo));
    let moderator = juliet
      .fromClient(subscribe('rom', ['messages'], ` jid='romeo@capulet.lit'`))
      .expectVerdict(ANSWERED);
    const items = query(NS.mucAdmin);
    const who = (what: string) => query(NS.mucAdmin, `<item ${what}/>`);
    moderator = moderator
      .expectRequest(ROOM, who("role='moderator'"))
      .answerIq(ROOM, items)
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectRequest(ROOM, who("affiliation='outcast'"))
      .answerIq(ROOM, items);
    for (const role of ['moderator', 'participant', 'visitor'])
      moderator = moderator.expectRequest(ROOM, who(`role='${role}'`)).answerIq(ROOM, items);
    moderator
      .expectTold('romeo@capulet.lit', told('subscribed'))
      .expectSent('client', answered('rom', 'messages'))
      .end();
    target
      .told(told('subscribed'), FULL)
      .expectSent('server', asks('rom'))
      .fromServer(of(self('rom')))
      .expectVerdict(SWALLOWED)
      .fromServer(of(SUBJECT))
      .expectVerdict(SWALLOWED)
      .fromServer(of(said('olga', 'welcome', 'm1', STANZA_ID('a1'))))
      .expectVerdict(
        'changed mucsub-event',
        of(event('messages', 'a1', inner('olga', 'welcome', 'm1', 'a1'))),
      )
      .end();
  });
});
