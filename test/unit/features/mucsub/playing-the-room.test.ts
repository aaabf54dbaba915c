import { describe, expect, it } from 'vitest';
import { bookOf } from '../../../../src/features/mucsub/book.js';
import { storeKey } from '../../../../src/store/store.js';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  ARCHIVED,
  archived,
  asks,
  available,
  domain,
  event,
  events,
  FULL,
  inner,
  late,
  lateStage,
  MUC,
  missedSince,
  query,
  ROOM,
  refused,
  result,
  STANZA_ID,
  SUBJECT,
  SWALLOWED,
  said,
  says,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const DELAYED = `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='2026-11-20T12:16:40.000Z'/>`;
/** An event of a room without an archive: the id is the proxy's. */
const oursEvent = (body: string, id: string) => event('messages', 'id-1', inner('olga', body, id, 'id-1'));

describe('discovering support', () => {
  it('a service and a room that allows it have the feature, and one that does not allow it has not', () => {
    const of = (settings: Record<string, unknown>, entity: 'muc-service' | 'muc-room', from: string) => {
      const book = stage({ settings });
      const amendment = book.disco({ from, node: undefined, entity, features: new Set([NS.muc]) });
      book.end();
      return amendment;
    };
    expect(of({}, 'muc-service', MUC)).toEqual({ add: [NS.mucsub] });
    expect(of(ALLOWED, 'muc-room', ROOM)).toEqual({ add: [NS.mucsub] });
    expect(of({}, 'muc-room', ROOM)).toBeUndefined();
  });

  it('nothing is played for a service that has it itself, nor for one of another server', () => {
    const book = stage({ service: [NS.mucsub], settings: ALLOWED });
    expect(
      book.disco({ from: ROOM, node: undefined, entity: 'muc-room', features: new Set() }),
    ).toBeUndefined();
    book
      .fromClient(subscribe('sammy', ['messages']))
      .fromClient(subscribe('sammy', ['messages']).replace(MUC, 'rooms.montague.lit'))
      .end();
  });
});

describe('the room option', () => {
  const form = (inside: string, type = 'form') =>
    query(NS.mucOwner, `<x xmlns='${NS.dataForms}' type='${type}'>${inside}</x>`);
  const name = "<field var='muc#roomconfig_roomname' type='text-single'><value>Party</value></field>";
  const option = (value: string) =>
    `<field type='boolean' var='allow_subscription' label='Allow subscription'><value>${value}</value></field>`;
  const submitted = (field: string, value: string) => `<field var='${field}'><value>${value}</value></field>`;

  it('is shown in the form, taken out of the submission, and holds once the room has accepted the rest', () => {
    const book = stage();
    book
      .fromClient(`<iq type='get' id='f1' to='${ROOM}'>${query(NS.mucOwner)}</iq>`)
      .fromServer(`<iq type='result' id='f1' from='${ROOM}' to='${FULL}'>${form(name)}</iq>`)
      .expectVerdict(
        'changed mucsub-form',
        `<iq xmlns='${NS.client}' type='result' id='f1' from='${ROOM}' to='${FULL}'>${form(name + option('0'))}</iq>`,
      )
      .fromClient(
        `<iq type='set' id='f2' to='${ROOM}'>${form(name + submitted('allow_subscription', '1'), 'submit')}</iq>`,
      )
      .expectVerdict(
        'changed mucsub-form',
        `<iq xmlns='${NS.client}' type='set' id='f2' to='${ROOM}'>${form(name, 'submit')}</iq>`,
      );
    const isAllowed = () =>
      book.disco({ from: ROOM, node: undefined, entity: 'muc-room', features: new Set() }) !== undefined;
    expect(isAllowed()).toBe(false);
    book.fromServer(`<iq type='result' id='f2' from='${ROOM}' to='${FULL}'/>`);
    expect(isAllowed()).toBe(true);
    book.end();
  });

  it('does not hold when the room refuses the form', () => {
    const book = stage();
    book
      .fromClient(
        `<iq type='set' id='f2' to='${ROOM}'>${form(submitted('muc#roomconfig_allow_subscription', '1'), 'submit')}</iq>`,
      )
      .expectVerdict(
        'changed mucsub-form',
        `<iq xmlns='${NS.client}' type='set' id='f2' to='${ROOM}'>${form('', 'submit')}</iq>`,
      )
      .fromServer(
        `<iq type='error' id='f2' from='${ROOM}' to='${FULL}'><error type='auth'><forbidden xmlns='${NS.stanzaErrors}'/></error></iq>`,
      );
    expect(
      book.disco({ from: ROOM, node: undefined, entity: 'muc-room', features: new Set() }),
    ).toBeUndefined();
    book.end();
  });
});

describe('subscribing', () => {
  it('enters as a ghost without history; the client sees the answer and nothing else', () => {
    subscribed(stage({ settings: ALLOWED }), 'sammy', ['subject', 'messages']).end();
  });

  it('the nick is registered with a room that has that, for who is something in it already', () => {
    const REGISTER = 'http://jabber.org/protocol/muc#register';
    const registers = query(NS.discoInfo, `<feature var='${NS.register}'/>`);
    const form = (nick: string) =>
      query(
        NS.register,
        `<x xmlns='${NS.dataForms}' type='submit'><field var='FORM_TYPE'><value>${REGISTER}</value></field>` +
          `<field var='muc#register_roomnick'><value>${nick}</value></field></x>`,
      );
    const subscribes = (affiliation: string) =>
      stage({ settings: ALLOWED })
        .fromClient(subscribe('sam &amp; co', ['messages']))
        .expectVerdict('handled mucsub-answered')
        .expectSent('server', asks('sam &amp; co'))
        .fromServer(says('sam &amp; co', `role='participant' affiliation='${affiliation}'`, ['110']))
        .expectVerdict(SWALLOWED)
        .expectSent(
          'client',
          result(`<subscribe xmlns='${NS.mucsub}' nick='sam &amp; co'>${events('messages')}</subscribe>`),
        )
        .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }));
    subscribes('member')
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, registers)
      .expectRequest(ROOM, form('sam &amp; co'))
      .answerIq(ROOM, { error: 'conflict' })
      .end();
    subscribes('member').expectRequest(ROOM, query(NS.discoInfo)).answerIq(ROOM, query(NS.discoInfo)).end();
    // It would become a member by that.
    subscribes('none').end();
  });

  it('no nick, an empty one, and one that is no resource are refused', () => {
    stage({ settings: ALLOWED })
      .fromClient(subscribe('', ['messages']).replace(" nick=''", ''))
      .expectVerdict('handled mucsub-answered')
      .expectSent(
        'client',
        refused(
          'modify',
          'bad-request',
          `Missing attribute 'nick' in tag &lt;subscribe/&gt; qualified by namespace '${NS.mucsub}'`,
        )
          .replace('&lt;', '<')
          .replace('&gt;', '>')
          .replace('<subscribe/>', '&lt;subscribe/&gt;'),
      )
      .fromClient(subscribe('', ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('client', refused('modify', 'jid-malformed', "Nickname can't be empty"))
      .fromClient(subscribe('x'.repeat(1_024), ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('client', refused('modify', 'jid-malformed', 'This nickname cannot be used in a room'))
      .end();
  });

  it.each([
    ['conflict', 'cancel', 'That nickname is already in use by another occupant'],
    ['not-authorized', 'auth', 'A password is required to enter this room'],
    ['registration-required', 'auth', 'Membership is required to enter this room'],
    ['forbidden', 'auth', 'You have been banned from this room'],
  ])('what the room refuses the ghost with is refused to the subscriber: %s', (condition, type, text) => {
    stage({ settings: ALLOWED })
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('sammy'))
      .fromServer(
        `<presence type='error' from='${ROOM}/sammy' to='${FULL}'><error type='cancel'><${condition} xmlns='${NS.stanzaErrors}'/></error></presence>`,
      )
      .expectVerdict(SWALLOWED)
      .expectSent('client', refused(type, condition, text))
      .end();
  });

  it('where the room exists and does not allow it, not-allowed; where there is none, one is made', () => {
    const info = query(NS.discoInfo, "<identity category='conference' type='text'/>");
    stage()
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, info)
      .expectSent('client', refused('cancel', 'not-allowed', 'Subscriptions are not allowed'))
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, { error: 'item-not-found' })
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy', '201'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, query(NS.mucOwner, `<x xmlns='${NS.dataForms}' type='submit'/>`))
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('messages')}</subscribe>`),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .answerIq(ROOM, '')
      .end();
  });

  it('unknown nodes are left out, "presences" is another name of presence', () => {
    stage({ settings: ALLOWED })
      .fromClient(subscribe('sammy', ['nope', 'presences', 'messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('presence', 'messages')}</subscribe>`),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .end();
  });

  it('a subscriptions request of type set is an error', () => {
    stage({ settings: ALLOWED })
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'><subscriptions xmlns='${NS.mucsub}'/></iq>`)
      .expectVerdict('handled mucsub-answered')
      .expectSent(
        'client',
        refused('modify', 'bad-request', "Value 'set' of 'type' attribute is not allowed"),
      )
      .end();
  });

  it('is there in the next session, which finds it in the store', () => {
    const shared = domain();
    subscribed(available(stage({ settings: ALLOWED, domain: shared }))).end();
    const next = domain();
    for (const [key, value] of shared.store) next.store.set(key, value);
    available(stage({ settings: ALLOWED, domain: next }))
      .expectSent('server', asks('sammy'))
      .end();
  });
});

describe('events', () => {
  it('a message becomes an event with the id of the archive, in the place of the message', () => {
    subscribed(available(stage({ settings: ALLOWED })))
      .fromServer(said('olga', 'Hello', 'm1', STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'Hello', 'm1', 'a1')))
      .end();
  });

  it('exactly the nodes that were subscribed to', () => {
    subscribed(available(stage({ settings: ALLOWED })), 'sammy', ['subject'])
      .fromServer(said('olga', 'Hello', 'm1', STANZA_ID('a1')))
      .expectVerdict(SWALLOWED)
      .fromServer(
        `<message type='groupchat' from='${ROOM}/olga' to='${FULL}' id='m2'><subject>Fish</subject>${STANZA_ID('a2')}</message>`,
      )
      .expectVerdict(
        'changed mucsub-event',
        event(
          'subject',
          'a2',
          `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/olga' to='${ACCOUNT}' id='m2'><subject>Fish</subject>` +
            `${STANZA_ID('a2')}${ARCHIVED('a2')}</message>`,
        ),
      )
      .end();
  });

  it('who was there before is no news; who joins, is made a member, or is kicked is', () => {
    const of = (type: string, item: string, codes = '') =>
      `<presence xmlns='${NS.client}' from='${ROOM}/bobby' to='${ACCOUNT}'${type}><x xmlns='${NS.mucUser}'><item ${item}/>${codes}</x></presence>`;
    const participant = "role='participant' affiliation='none'";
    const book = available(stage({ settings: ALLOWED }));
    book
      .fromClient(subscribe('sammy', ['presence', 'affiliations']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('sammy'))
      .fromServer(says('olga', "role='moderator' affiliation='owner'"))
      .expectVerdict(SWALLOWED)
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(
          `<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('presence', 'affiliations')}</subscribe>`,
        ),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .fromServer(says('bobby', `${participant} jid='bob@capulet.lit/x'`))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-1', of('', participant)))
      .fromServer(says('bobby', "role='participant' affiliation='member'"))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('affiliations', 'id-2', of('', "role='participant' affiliation='member'")))
      .fromServer(says('bobby', "role='none' affiliation='member'", ['307'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        event(
          'affiliations',
          'id-3',
          of(" type='unavailable'", "role='none' affiliation='member'", "<status code='307'/>"),
        ),
      )
      .end();
  });

  it('a client of negative priority gets none; they are kept for later', () => {
    const book = stage({ settings: ALLOWED });
    book.fromClient('<presence><priority>-1</priority></presence>');
    subscribed(book)
      .fromServer(said('olga', 'Hello', 'm1', STANZA_ID('a1')))
      .expectVerdict(SWALLOWED)
      .fromClient('<presence><priority>1</priority></presence>')
      .expectSent('client', event('messages', 'a1', inner('olga', 'Hello', 'm1', 'a1'), DELAYED))
      .end();
  });

  it('a private message is for the account and stays as it is', () => {
    const pm = (to: string) =>
      `<message type='chat' from='${ROOM}/olga' to='${to}' id='p1'><body>psst</body><x xmlns='${NS.mucUser}'/></message>`;
    subscribed(available(stage({ settings: ALLOWED })))
      .fromServer(pm(FULL))
      .expectVerdict('changed mucsub-event', pm(ACCOUNT))
      .end();
  });

  it('a private message that does not say that it is one does to the account', () => {
    const pm = (to: string, x = '') =>
      `<message type='chat' from='${ROOM}/olga' to='${to}' id='p1'><body>psst</body>${x}</message>`;
    subscribed(available(stage({ settings: ALLOWED })))
      .fromServer(pm(FULL))
      .expectVerdict('changed mucsub-event', pm(ACCOUNT, `<x xmlns='${NS.mucUser}'/>`))
      .end();
  });

  it('the hint with which it has left a realm of XMPP 2.0 does not keep it from being stored, the sender’s own does', () => {
    const hint = `<no-store xmlns='${NS.hints}'/>`;
    const mark = `<xmpp-2 xmlns='${NS.xmpp2}' to='${ROOM}/sammy'/>`;
    const pm = (to: string, hints: string) =>
      `<message type='chat' from='${ROOM}/olga' to='${to}' id='p1'><body>psst</body>${hints}<x xmlns='${NS.mucUser}'/></message>`;
    const own = `${hint}<no-copy xmlns='${NS.hints}'/>${mark}`;
    const book = stage({ settings: ALLOWED });
    book.fromClient('<presence><priority>-1</priority></presence>');
    subscribed(book)
      .fromServer(pm(FULL, hint + mark))
      .expectVerdict(SWALLOWED)
      .expectKept(ACCOUNT, pm(ACCOUNT, mark))
      .fromServer(pm(FULL, own))
      .expectVerdict(SWALLOWED)
      .expectKept(ACCOUNT, pm(ACCOUNT, own))
      .end();
  });
});

describe('joining and leaving', () => {
  const join = (history = '') =>
    `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'>${history}</x></presence>`;

  it('without history; groupchat as it is until the client leaves, and it leaves without the server knowing', () => {
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(join("<history maxstanzas='20'/>"))
      .expectVerdict('changed mucsub-joining', join("<history maxstanzas='0'/>"))
      // Before the room has confirmed it, the client is only a subscriber.
      .fromServer(said('olga', 'still', 'm1', STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'still', 'm1', 'a1')))
      .fromServer(says('olga', "role='moderator' affiliation='owner'"))
      .fromServer(self('sammy'))
      .fromServer(SUBJECT)
      .fromServer(said('olga', 'plain', 'm2', STANZA_ID('a2')))
      .fromClient(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectVerdict('handled mucsub-left')
      .expectSent('client', says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .fromServer(said('olga', 'again', 'm3', STANZA_ID('a3')))
      .expectVerdict('changed mucsub-event', event('messages', 'a3', inner('olga', 'again', 'm3', 'a3')))
      .end();
  });

  it('what the room has warned the ghost of it warns the client of', () => {
    const asked = available(stage({ settings: ALLOWED }))
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy', '100', '170'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('messages')}</subscribe>`),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED);
    const said = (...codes: string[]) =>
      self('sammy', ...codes).replace('<presence ', `<presence xmlns='${NS.client}' `);
    asked
      .fromClient(join())
      .expectVerdict('changed mucsub-joining', join("<history maxstanzas='0'/>"))
      .fromServer(self('sammy', '170'))
      .expectVerdict('changed mucsub-joining', said('170', '100'))
      .fromServer(SUBJECT)
      .end();
  });

  it.each([
    ['without', ''],
    ['with another', '<password>other</password>'],
  ])(
    '%s the password that the ghost needed: it leaves first, so that the room asks for it',
    (_, password) => {
      const asksWith = (inside: string) => asks('sammy', `${inside}<history maxstanzas='0'/>`);
      const refusal = `<presence type='error' from='${ROOM}/sammy' to='${FULL}'><error type='auth'><not-authorized xmlns='${NS.stanzaErrors}'/></error></presence>`;
      available(stage({ settings: ALLOWED }))
        .fromClient(subscribe('sammy', ['messages'], " password='sesame'"))
        .expectVerdict('handled mucsub-answered')
        .expectSent('server', asksWith('<password>sesame</password>'))
        .fromServer(self('sammy'))
        .expectVerdict(SWALLOWED)
        .expectSent(
          'client',
          result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('messages')}</subscribe>`),
        )
        .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
        .fromClient(join(password))
        .expectVerdict('changed mucsub-joining', asksWith(password))
        .expectAhead(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
        .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
        .expectVerdict(SWALLOWED)
        // Refused, it is a subscriber as before.
        .fromServer(refusal)
        .expectSent('server', asksWith('<password>sesame</password>'))
        .end();
    },
  );

  it('with it the ghost stays where it is', () => {
    const password = '<password>sesame</password>';
    available(stage({ settings: ALLOWED }))
      .fromClient(subscribe('sammy', ['messages'], " password='sesame'"))
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('sammy', `${password}<history maxstanzas='0'/>`))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('messages')}</subscribe>`),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .fromClient(join(password))
      .expectVerdict('changed mucsub-joining', asks('sammy', `${password}<history maxstanzas='0'/>`))
      .end();
  });

  it('under another nick the ghost leaves first, unseen', () => {
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(join().replace('sammy', 'samuel'))
      .expectVerdict('changed mucsub-joining', join("<history maxstanzas='0'/>").replace('sammy', 'samuel'))
      .expectAhead(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .fromServer(self('samuel'))
      .end();
  });

  it('a subscriber who has not joined asks no occupant anything; who has joined does, and so does anybody else', () => {
    const asks = (to: string) => `<iq type='get' id='s1' to='${to}'>${query('jabber:iq:version')}</iq>`;
    const text = 'Only occupants are allowed to send queries to the conference';
    const none = refused('modify', 'not-acceptable', text).replace(`from='${ROOM}'`, `from='${ROOM}/olga'`);
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(asks(`${ROOM}/olga`))
      .expectVerdict('handled mucsub-refused')
      .expectSent('client', none)
      .fromClient(asks(`another@${MUC}/olga`))
      .fromClient(asks('olga@capulet.lit/desk'))
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict(
        'changed mucsub-joining',
        `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`,
      )
      .fromServer(self('sammy'))
      .fromClient(asks(`${ROOM}/olga`))
      .end();
  });

  it('the client is told by a self-ping that it is not in the room, and its ghost answers nobody', () => {
    const error = (from: string, to: string, type: string, condition: string, text: string) =>
      `<iq type='error' id='q' from='${from}' to='${to}'><error type='${type}'><${condition} xmlns='${NS.stanzaErrors}'/>` +
      `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>${text}</text></error></iq>`;
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(`<iq type='get' id='q' to='${ROOM}/sammy'><ping xmlns='${NS.ping}'/></iq>`)
      .expectVerdict('handled mucsub-refused')
      .expectSent(
        'client',
        error(
          `${ROOM}/sammy`,
          FULL,
          'modify',
          'not-acceptable',
          'Only occupants are allowed to send queries to the conference',
        ),
      )
      .fromServer(`<iq type='get' id='q' from='${ROOM}/olga' to='${FULL}'>${query('jabber:iq:version')}</iq>`)
      .expectVerdict('handled mucsub-refused')
      .expectSent(
        'server',
        error(FULL, `${ROOM}/olga`, 'cancel', 'item-not-found', 'Recipient is not in the conference room'),
      )
      .end();
  });
});

describe('how a subscription ends', () => {
  const left = (...codes: string[]) =>
    says('sammy', "affiliation='none' role='none'", ['110', ...codes], 'unavailable');

  it('a kicked ghost enters again, a banned one is subscribed no more', () => {
    const own = (book: ReturnType<typeof stage>) =>
      book
        .fromClient(`<iq type='get' id='l' to='${MUC}'><subscriptions xmlns='${NS.mucsub}'/></iq>`)
        .expectVerdict('handled mucsub-answered');
    const list = (inside: string) =>
      `<iq type='result' id='l' from='${MUC}' to='${FULL}'><subscriptions xmlns='${NS.mucsub}'>${inside}</subscriptions></iq>`;
    const book = subscribed(available(stage({ settings: ALLOWED, service: [], now: 1_000 })))
      .fromServer(left('307'))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy', "<history maxstanzas='500' since='2026-11-20T12:00:01.000Z'/>"))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED);
    own(book)
      .expectSent(
        'client',
        list(`<subscription jid='${ROOM}' nick='sammy'>${events('messages')}</subscription>`),
      )
      .fromServer(left('301'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }));
    own(book).expectSent('client', list('')).end();
  });

  it('unsubscribing takes the ghost out, and what the room still sends is swallowed', () => {
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'><unsubscribe xmlns='${NS.mucsub}'/></iq>`)
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
      .expectSent('client', result())
      .fromServer(said('olga', 'Hello', 'm1', STANZA_ID('a1')))
      .expectVerdict(SWALLOWED)
      .fromServer(left())
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'Hello', 'm1', STANZA_ID('a1')))
      .end();
  });
});

describe('in quick succession', () => {
  it('subscribing again while the ghost is still leaving brings it back', () => {
    subscribed(available(stage({ settings: ALLOWED })))
      .fromServer(said('olga', 'Hello', 'm1', STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'Hello', 'm1', 'a1')))
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'><unsubscribe xmlns='${NS.mucsub}'/></iq>`)
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
      .expectSent('client', result())
      .fromClient(subscribe('sammy', ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events('messages')}</subscribe>`),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy'))
      .end();
  });
});

describe('for those who never subscribe', () => {
  it('nothing that passes is changed or kept back', () => {
    stage()
      .fromClient('<presence/>')
      .fromClient(
        `<presence to='${ROOM}/juliet'><x xmlns='${NS.muc}'><history maxstanzas='20'/></x></presence>`,
      )
      .fromServer(says('olga', "role='moderator' affiliation='owner'"))
      .fromServer(self('juliet'))
      .fromServer(SUBJECT)
      .fromServer(said('olga', 'Hello', 'm1', STANZA_ID('a1')))
      .fromClient(`<message type='groupchat' to='${ROOM}'><body>hi</body></message>`)
      .fromClient(`<message type='chat' to='${ROOM}/olga'><body>hi</body></message>`)
      .fromClient(`<presence to='${ROOM}/juliet' type='unavailable'/>`)
      .fromServer(says('juliet', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .end();
  });
});

describe('after a restart', () => {
  it('a server leg that is gone on with keeps its ghosts from the client, and they are subscriptions again', () => {
    const shared = domain();
    const before = subscribed(available(stage({ settings: ALLOWED, service: [], domain: shared })));
    const snapshot = before.snapshots();
    before
      .close()
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    const next = domain();
    for (const [key, value] of shared.store) next.store.set(key, value);
    stage({ settings: ALLOWED, service: [], domain: next, snapshot })
      .fromServer(says('olga', "role='moderator' affiliation='owner'"))
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'Hello', 'm1'))
      .expectVerdict('changed mucsub-event', oursEvent('Hello', 'm1'))
      .end();
  });

  it('the archive is asked for what was missed, and what comes meanwhile is put behind it', () => {
    const shared = domain();
    const scene = { settings: ALLOWED, service: [NS.mam2] };
    subscribed(available(stage({ ...scene, domain: shared })))
      .fromServer(said('olga', 'first', 'm1', STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'first', 'm1', 'a1')))
      .close()
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    const next = domain();
    for (const [key, value] of shared.store) next.store.set(key, value);
    available(stage({ ...scene, domain: next, now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a1'))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      // It is in the archive and comes live as well: it is told once.
      .fromServer(said('olga', 'third', 'm3', STANZA_ID('a3')))
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'fourth', 'm4', STANZA_ID('a4')))
      .expectVerdict(SWALLOWED)
      .fromServer(archived('olga', 'second', 'm2', 'a2'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', late('olga', 'second', 'm2', 'a2'))
      .fromServer(archived('olga', 'third', 'm3', 'a3'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', late('olga', 'third', 'm3', 'a3'))
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      .expectSent('client', event('messages', 'a4', inner('olga', 'fourth', 'm4', 'a4')))
      .end();
  });

  it('an archive that has forgotten the last message is asked by time', () => {
    const shared = domain();
    const scene = { settings: ALLOWED, service: [NS.mam2] };
    subscribed(available(stage({ ...scene, domain: shared })))
      .fromServer(said('olga', 'first', 'm1', STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'first', 'm1', 'a1')))
      .close()
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    const next = domain();
    for (const [key, value] of shared.store) next.store.set(key, value);
    const question = (form: string, after: string) =>
      `<query xmlns='${NS.mam2}' queryid='id-1'>${form}` +
      `<set xmlns='${NS.resultSets}'><max>100</max>${after}</set></query>`;
    const since =
      `<x xmlns='${NS.dataForms}' type='submit'><field var='FORM_TYPE' type='hidden'><value>${NS.mam2}</value></field>` +
      `<field var='start'><value>2026-11-20T12:16:35.000Z</value></field></x>`;
    available(stage({ ...scene, domain: next, now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, question('', '<after>a1</after>'))
      .answerIq(ROOM, { error: 'item-not-found' })
      .expectRequest(ROOM, question(since, ''))
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      .end();
  });

  it('where the archive cannot be read, a mark stands for what was missed', () => {
    const shared = domain();
    const scene = { settings: ALLOWED, service: [NS.mam2] };
    subscribed(available(stage({ ...scene, domain: shared })))
      .close()
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    const next = domain();
    for (const [key, value] of shared.store) next.store.set(key, value);
    const book = available(stage({ ...scene, domain: next, now: 2_000_000 }))
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(
        ROOM,
        `<query xmlns='${NS.mam2}' queryid='id-1'><x xmlns='${NS.dataForms}' type='submit'>` +
          `<field var='FORM_TYPE' type='hidden'><value>${NS.mam2}</value></field>` +
          `<field var='start'><value>2026-11-20T12:16:40.000Z</value></field></x>` +
          `<set xmlns='${NS.resultSets}'><max>100</max></set></query>`,
      )
      .answerIq(ROOM, { error: 'forbidden' });
    const since = '2026-11-20T12:16:40.000Z';
    const until = '2026-11-20T12:33:20.000Z';
    book
      .expectSent(
        'client',
        event('system', 'id-2', `<gap xmlns='${NS.mucsubGap}' since='${since}' until='${until}'/>`),
      )
      .end();
  });
});

describe('when the last client has gone', () => {
  it('12.10 hidden sessions: the server leg stays for the ghosts, which enter again without it; what comes is kept for the account', () => {
    const shared = domain();
    const book = subscribed(available(stage({ settings: ALLOWED, domain: shared, service: [] })));
    const until = book.session.needsServer?.(book.now);
    expect(until).toBe(book.now + 7 * 86_400_000);
    book
      .fromClient("<presence type='unavailable'/>")
      .expectSent('server', asks('sammy', "<history maxstanzas='500' since='2026-11-20T12:16:40.000Z'/>"))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'Hello', 'm1'))
      .expectVerdict(SWALLOWED)
      .see(() => expect(shared.list(storeKey('mucsub', shared.name, 'log', ''))).toHaveLength(1))
      .see(() => bookOf(shared).whereabouts(ROOM, ACCOUNT).sources.add(`${ACCOUNT}/garden`))
      .told(JSON.stringify({ op: 'replaced', room: ROOM }), `${ACCOUNT}/garden`)
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectEndOfKept()
      .end();
  });

  it('what the room says of its being taken out does not have it enter once more, which would bring a subject that nobody has said', () => {
    subscribed(available(stage({ settings: ALLOWED })), 'sammy', ['subject', 'messages'])
      .fromServer(said('olga', 'first', 'm1', STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'first', 'm1', 'a1')))
      .fromClient("<presence type='unavailable'/>")
      .expectSent('server', asks('sammy'))
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, missedSince('a1'))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      // Put out later, it enters again.
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110', '307'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy'))
      .end();
  });

  it('it does not stay for who has subscribed to nothing', () => {
    const book = available(stage({ settings: ALLOWED }));
    expect(book.session.needsServer?.(book.now)).toBeUndefined();
    book.end();
  });

  it('no more is stored than is allowed; the rest is asked for when a client is there', () => {
    const shared = domain();
    subscribed(stage({ settings: { ...ALLOWED, storeBytes: 1 }, domain: shared }))
      .fromServer(said('olga', 'one', 'm1', STANZA_ID('a1')))
      .expectVerdict(SWALLOWED)
      .fromServer(said('olga', 'two', 'm2', STANZA_ID('a2')))
      .expectVerdict(SWALLOWED)
      .see(() => expect(shared.list(storeKey('mucsub', shared.name, 'log', ''))).toHaveLength(1))
      .end();
  });
});

describe('other people', () => {
  const told = (nick: string) => JSON.stringify({ op: 'gone', room: ROOM, nick, affiliation: 'none' });

  it('have no events of a ghost that comes, nor when the subscription ends, but of a subscriber who joins and leaves', () => {
    const shared = domain();
    const romeo = 'romeo@capulet.lit';
    const of = (xml: string) => xml.replaceAll(FULL, `${romeo}/orchard`);
    const [there, away] = [
      "role='participant' affiliation='none'",
      "role='none' affiliation='none'",
    ] as const;
    const juliet = subscribed(available(stage({ settings: ALLOWED, domain: shared })), 'sammy', ['presence']);
    const insideOf = (presence: string) =>
      presence
        .replace('<presence ', `<presence xmlns='${NS.client}' `)
        .replace(`to='${FULL}'`, `to='${ACCOUNT}'`);
    const ghost = available(lateStage(shared, `${romeo}/orchard`))
      .fromClient(subscribe('rom', ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('rom'));
    juliet.fromServer(says('rom', there)).expectVerdict(SWALLOWED);
    ghost
      .fromServer(of(self('rom')))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        of(result(`<subscribe xmlns='${NS.mucsub}' nick='rom'>${events('messages')}</subscribe>`)),
      )
      .expectTold(romeo, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .fromServer(of(SUBJECT))
      .expectVerdict(SWALLOWED)
      .fromClient(asks('rom'))
      .expectVerdict('changed mucsub-joining', asks('rom'))
      .fromServer(of(self('rom')))
      .fromServer(of(SUBJECT));
    juliet
      .fromServer(says('rom', there))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-1', insideOf(says('rom', there))));
    const left = of(says('rom', "affiliation='none' role='none'", ['110'], 'unavailable'));
    ghost
      .fromClient(`<presence to='${ROOM}/rom' type='unavailable'/>`)
      .expectVerdict('handled mucsub-left')
      .expectSent('client', left)
      .expectTold(ACCOUNT, told('rom'));
    juliet.told(told('rom'), `${romeo}/orchard`);
    const gone = says('rom', "affiliation='none' role='none'", [], 'unavailable');
    juliet.expectSent('client', event('presence', 'id-2', insideOf(gone)));
    ghost
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'><unsubscribe xmlns='${NS.mucsub}'/></iq>`)
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', `<presence to='${ROOM}/rom' type='unavailable'/>`)
      .expectTold(romeo, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'rom' }))
      .expectSent('client', of(result()))
      .end();
    juliet
      .fromServer(says('rom', away, [], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('do not see a ghost come and go, but a subscriber who joins and leaves', () => {
    const shared = domain();
    const romeo = 'romeo@capulet.lit/orchard';
    const sub = subscribed(available(stage({ settings: ALLOWED, domain: shared, jid: FULL })));
    const to = (xml: string) => xml.replaceAll(FULL, romeo);
    // The domain's features are known by now: nobody asks again.
    const other = lateStage(shared, romeo);
    other
      .fromClient(`<presence to='${ROOM}/romeo'><x xmlns='${NS.muc}'/></presence>`)
      .fromServer(to(says('sammy', "role='participant' affiliation='none'")))
      .expectVerdict('handled mucsub-hidden')
      .fromServer(to(self('romeo')));
    sub
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict(
        'changed mucsub-joining',
        `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`,
      )
      .fromServer(self('sammy'))
      .fromServer(SUBJECT);
    other.fromServer(to(says('sammy', "role='participant' affiliation='none'")));
    sub
      .fromClient(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectVerdict('handled mucsub-left')
      .expectSent('client', says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectTold('romeo@capulet.lit', told('sammy'))
      .end();
    other
      .told(told('sammy'), FULL)
      .expectSent('client', to(says('sammy', "affiliation='none' role='none'", [], 'unavailable')))
      .end();
  });
});
