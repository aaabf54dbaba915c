import { describe, expect, it } from 'vitest';
import { bookOf } from '../../../../src/features/mucsub/book.js';
import { storeKey } from '../../../../src/store/store.js';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  ARCHIVED,
  asks,
  available,
  domain,
  event,
  FIN,
  FULL,
  inner,
  lateStage,
  MUC,
  missedSince,
  query,
  ROOM,
  refused,
  result,
  STANZA_ID,
  type Stage,
  SWALLOWED,
  said,
  says,
  self,
  stage,
  subscribed,
} from './stage.js';

const LIST = `<iq type='get' id='s1' to='${MUC}'><subscriptions xmlns='${NS.mucsub}'/></iq>`;
const answers = (...nicks: string[]) =>
  result(
    `<subscriptions xmlns='${NS.mucsub}'>${nicks.map((nick) => `<subscription jid='${ROOM}' nick='${nick}'><event node='urn:xmpp:mucsub:nodes:messages'/></subscription>`).join('')}</subscriptions>`,
  ).replace(`from='${ROOM}'`, `from='${MUC}'`);
const isSubscribed = (book: Stage) =>
  book.fromClient(LIST).expectVerdict('handled mucsub-answered').expectSent('client', answers('sammy'));
const isNotSubscribed = (book: Stage) =>
  book.fromClient(LIST).expectVerdict('handled mucsub-answered').expectSent('client', answers());
const ENDED = JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' });
const out = (...codes: string[]) =>
  says('sammy', "role='none' affiliation='none'", [...codes, '110'], 'unavailable');
const refuses = (condition: string) =>
  `<presence type='error' from='${ROOM}/sammy' to='${FULL}'><error type='cancel'><${condition} xmlns='${NS.stanzaErrors}'/></error></presence>`;
/** A subscriber that has heard one message. */
const heard = (names = ['messages']) =>
  subscribed(available(stage({ settings: ALLOWED })), 'sammy', names)
    .fromServer(said('olga', 'first', 'm1', STANZA_ID('a1')))
    .expectVerdict('changed mucsub-event', event('messages', 'a1', inner('olga', 'first', 'm1', 'a1')));
/** The ghost is let in again, and asks what was said meanwhile. */
const back = (book: Stage, name = 'id-1') =>
  book
    .expectSent('server', asks('sammy'))
    .fromServer(self('sammy'))
    .expectVerdict(SWALLOWED)
    .expectRequest(ROOM, missedSince('a1', name))
    .answerIq(ROOM, FIN);

describe('a ghost that the room puts out', () => {
  it.each([
    ['by a kick', ['307']],
    ['because something about the room has changed', ['321']],
    ['because the service stops', ['332']],
    ['without a word', []],
  ])('%s enters again at once, and asks what it has missed; the subscription stays', (_, codes) => {
    isSubscribed(
      back(
        heard()
          .fromServer(out(...codes))
          .expectVerdict(SWALLOWED),
      ),
    ).end();
  });

  it('again and again is let wait longer and longer', () => {
    const book = back(heard().fromServer(out('307')).expectVerdict(SWALLOWED));
    book.fromServer(out('307')).expectVerdict(SWALLOWED).wake(1_999);
    back(book.wake(1), 'id-2');
    book.fromServer(out('307')).expectVerdict(SWALLOWED).wake(29_999);
    back(book.wake(1), 'id-3').end();
  });

  it('by a ban has no subscription any more, and lifting the ban does not bring it back', () => {
    isNotSubscribed(
      heard().fromServer(out('301')).expectVerdict(SWALLOWED).expectTold(ACCOUNT, ENDED).wake(600_000),
    ).end();
  });

  it('and that is no member any more tries again every five minutes, and is let in when it is a member again', () => {
    const book = heard()
      .fromServer(out('322'))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy'))
      .fromServer(refuses('registration-required'))
      .expectVerdict(SWALLOWED)
      .wake(299_999);
    isSubscribed(book);
    back(book.wake(1)).end();
  });

  it('and that finds its nick taken tries again soon', () => {
    const book = heard()
      .fromServer(out('307'))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy'))
      .fromServer(refuses('conflict'))
      .expectVerdict(SWALLOWED)
      .wake(1_999);
    back(book.wake(1)).end();
  });

  it('and that the room does not answer tries again later', () => {
    const book = heard()
      .fromServer(out('307'))
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy'))
      .wake(30_000);
    back(book.wake(300_000)).end();
  });

  it('and is banned while it is out has no subscription any more when it is refused', () => {
    isNotSubscribed(
      heard()
        .fromServer(out('307'))
        .expectVerdict(SWALLOWED)
        .expectSent('server', asks('sammy'))
        .fromServer(refuses('forbidden'))
        .expectVerdict(SWALLOWED)
        .expectTold(ACCOUNT, ENDED),
    ).end();
  });
});

describe('a room that is destroyed', () => {
  const destroyed = says('sammy', "role='none' affiliation='none'", [], 'unavailable').replace(
    '</x>',
    '<destroy><reason>over</reason></destroy></x>',
  );
  const gone = `<presence xmlns='${NS.client}' type='unavailable' from='${ROOM}/sammy' to='${ACCOUNT}'><x xmlns='${NS.mucUser}'><item role='none' affiliation='none'/><destroy><reason>over</reason></destroy></x></presence>`;

  it('is the end of the subscription, of which those who have subscribed to the node config are told', () => {
    const book = subscribed(available(stage({ settings: ALLOWED })), 'sammy', ['config']).fromServer(
      destroyed,
    );
    isNotSubscribed(
      book
        .expectVerdict(SWALLOWED)
        .expectSent('client', event('config', 'id-1', gone))
        .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy', isGone: true })),
    ).end();
  });

  it('which has no status codes, whatever the room says', () => {
    const withCodes = destroyed.replace('<destroy', "<status code='110'/><status code='332'/><destroy");
    subscribed(available(stage({ settings: ALLOWED })), 'sammy', ['config'])
      .fromServer(withCodes)
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('config', 'id-1', gone))
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy', isGone: true }))
      .end();
  });

  it('and is told of by itself to who has heard of its end from another session first', () => {
    const isGone = JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy', isGone: true });
    const shared = domain();
    const book = subscribed(available(stage({ settings: ALLOWED, domain: shared })), 'sammy', ['config']);
    bookOf(shared).unsubscribe('capulet.lit', ROOM, ACCOUNT);
    book
      .told(isGone, 'romeo@capulet.lit/field')
      .fromServer(destroyed)
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('config', 'id-1', gone))
      .end();
  });

  it('and of nothing when it is only the service that stops', () => {
    const stops = destroyed.replace('over', 'The conference component is shutting down');
    const book = subscribed(available(stage({ settings: ALLOWED, serverKind: 'jabberd2', service: [] })))
      .fromServer(stops)
      .expectVerdict(SWALLOWED)
      .expectSent('server', asks('sammy', "<history maxstanzas='500' since='2026-11-20T12:16:40.000Z'/>"))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, query(NS.lastActivity))
      .answerIq(ROOM, `<query xmlns='${NS.lastActivity}' seconds='7'/>`);
    isSubscribed(book).end();
  });
});

describe('what a room says to a subscriber', () => {
  const groupchat = (from: string, id: string, inside: string, to = FULL) =>
    `<message type='groupchat' from='${from}' to='${to}' id='${id}'>${inside}</message>`;
  const within = (from: string, id: string, inside: string, archive: string) =>
    groupchat(from, id, `${inside}${STANZA_ID(archive)}${ARCHIVED(archive)}`, ACCOUNT).replace(
      '<message',
      `<message xmlns='${NS.client}'`,
    );
  const OLGA = `${ROOM}/olga`;
  const NOTICE = '<body>notice</body>';
  const CHANGED = `<x xmlns='${NS.mucUser}'><status code='104'/></x>`;

  it.each([
    [
      'whatever is in a message',
      ['messages'],
      'messages',
      OLGA,
      `<body>Tag</body><thread>t</thread><x xmlns='urn:example:x' a='1'><y>z</y></x>`,
    ],
    [
      'a subject with a body is a message',
      ['messages', 'subject'],
      'messages',
      OLGA,
      '<body>text</body><subject>Re</subject>',
    ],
    [
      'a subject with a thread is one too',
      ['messages', 'subject'],
      'messages',
      OLGA,
      '<subject>Re</subject><thread>t</thread>',
    ],
    ['a subject alone is one', ['messages', 'subject'], 'subject', OLGA, '<subject>Fish</subject>'],
    ['that it has been configured', ['config'], 'config', ROOM, CHANGED],
    ['what it says to everybody is a message', ['messages', 'system'], 'messages', ROOM, NOTICE],
    ['and for who gets none is of the system', ['system'], 'system', ROOM, NOTICE],
  ])('%s', (_, names, node, from, inside) => {
    subscribed(available(stage({ settings: ALLOWED })), 'sammy', names)
      .fromServer(groupchat(from, 'm1', inside + STANZA_ID('a1')))
      .expectVerdict('changed mucsub-event', event(node, 'a1', within(from, 'm1', inside, 'a1')))
      .end();
  });

  it.each([
    ['a message', ['subject'], OLGA, '<body>Hello</body>'],
    ['a subject', ['messages'], OLGA, '<subject>Fish</subject>'],
    ['that it has been configured', ['messages'], ROOM, CHANGED],
    ['what it says to everybody', ['subject'], ROOM, NOTICE],
  ])('is nothing to who has not subscribed to it: %s', (_, names, from, inside) => {
    subscribed(available(stage({ settings: ALLOWED })), 'sammy', names)
      .fromServer(groupchat(from, 'm1', inside + STANZA_ID('a1')))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('what it has said itself is an event too', () => {
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(`<message type='groupchat' to='${ROOM}' id='m1'><body>from outside</body></message>`)
      .fromServer(said('sammy', 'from outside', 'm1', STANZA_ID('a1')))
      .expectVerdict(
        'changed mucsub-event',
        event('messages', 'a1', inner('sammy', 'from outside', 'm1', 'a1')),
      )
      .end();
  });

  it('a private message to the room itself is refused', () => {
    subscribed(available(stage({ settings: ALLOWED })))
      .fromClient(`<message type='chat' to='${ROOM}' id='s1'><body>psst</body></message>`)
      .expectVerdict('handled mucsub-refused')
      .expectSent(
        'client',
        refused('modify', 'not-acceptable', 'It is not allowed to send private messages to the conference')
          .replace('<iq ', '<message ')
          .replace('</iq>', '</message>'),
      )
      .end();
  });

  it('an error for what its client has said ends nothing', () => {
    const error = `<message type='error' from='${ROOM}' to='${FULL}' id='m1'><error type='auth'><forbidden xmlns='${NS.stanzaErrors}'/></error></message>`;
    isSubscribed(heard().fromServer(error)).end();
  });

  it('unsubscribing while joined leaves the client in the room', () => {
    const book = heard()
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict('changed mucsub-joining', asks('sammy'))
      .fromServer(self('sammy'))
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'><unsubscribe xmlns='${NS.mucsub}'/></iq>`)
      .expectVerdict('handled mucsub-answered')
      .expectTold(ACCOUNT, ENDED)
      .expectSent('client', result());
    isNotSubscribed(book.fromServer(said('olga', 'plain', 'm2', STANZA_ID('a2')))).end();
  });
});

describe('the occupants of a room', () => {
  const participant = "role='participant' affiliation='none'";
  const at = (nick: string, item: string, codes: readonly string[] = [], type = '') =>
    says(nick, item, codes, type)
      .replace('<presence ', `<presence xmlns='${NS.client}' `)
      .replace(`to='${FULL}'`, `to='${ACCOUNT}'`);
  const bobby = (names: string[]) =>
    subscribed(available(stage({ settings: ALLOWED })), 'sammy', names)
      .fromServer(says('bobby', participant))
      .expectVerdict(SWALLOWED);

  it('who takes another nick leaves with one and comes with the other', () => {
    const left = ["role='participant' affiliation='none' nick='rob'", ['303'], 'unavailable'] as const;
    bobby(['presence'])
      .expectSent('client', event('presence', 'id-1', at('bobby', participant)))
      .fromServer(says('bobby', ...left))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-2', at('bobby', ...left)))
      .fromServer(says('rob', participant))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-3', at('rob', participant)))
      .end();
  });

  it('real JIDs are in events from when on the room shows them to all until it does not', () => {
    const configured = (code: string) =>
      `<message type='groupchat' from='${ROOM}' to='${FULL}'><x xmlns='${NS.mucUser}'><status code='${code}'/></x></message>`;
    const jid = " jid='olga@capulet.lit/hall'";
    const presence = (nick: string, rest = '') => says(nick, `${participant}${rest}`);
    const book = subscribed(available(stage({ settings: ALLOWED })), 'sammy', ['participants']);
    for (const [n, [code, isShown]] of (
      [
        ['', false],
        ['172', true],
        ['104', true],
        ['173', false],
        ['172', true],
        ['174', false],
      ] as const
    ).entries()) {
      if (code !== '') book.fromServer(configured(code)).expectVerdict(SWALLOWED);
      book
        .fromServer(presence(`olga${n}`, jid))
        .expectVerdict(SWALLOWED)
        .expectSent(
          'client',
          event('participants', `id-${n + 1}`, at(`olga${n}`, `${participant}${isShown ? jid : ''}`)),
        );
    }
    book.end();
  });

  it('who comes and goes while nobody is there is nothing for later, but whose role changes is', () => {
    const shared = domain();
    const visitor = "role='visitor' affiliation='none'";
    const book = subscribed(stage({ settings: ALLOWED, domain: shared }), 'sammy', [
      'presence',
      'participants',
      'affiliations',
    ])
      .fromServer(says('bobby', participant))
      .expectVerdict(SWALLOWED)
      .fromServer(says('bobby', visitor))
      .expectVerdict(SWALLOWED);
    const stored = () =>
      [...shared.store]
        .filter(([key]) => key.startsWith(storeKey('mucsub', shared.name, 'log', '')))
        .map(([, value]) => JSON.parse(value.toString()).kind);
    book.see(() => expect(stored()).toEqual(['affiliations'])).end();
  });

  it('and is no participant that comes or goes', () => {
    const left = ["role='participant' affiliation='none' nick='rob'", ['303'], 'unavailable'] as const;
    bobby(['participants'])
      .expectSent('client', event('participants', 'id-1', at('bobby', participant)))
      .fromServer(says('bobby', ...left))
      .expectVerdict(SWALLOWED)
      .fromServer(says('rob', participant))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('who changes their status is no participant that comes or goes', () => {
    const left = ["role='none' affiliation='none'", [], 'unavailable'] as const;
    bobby(['participants'])
      .expectSent('client', event('participants', 'id-1', at('bobby', participant)))
      .fromServer(says('bobby', participant).replace('<x ', '<show>away</show><x '))
      .expectVerdict(SWALLOWED)
      .fromServer(says('bobby', ...left))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('participants', 'id-2', at('bobby', ...left)))
      .end();
  });

  it('whose role changes is an affiliations event, and nobody is put out where that was not subscribed to', () => {
    const visitor = "role='visitor' affiliation='none'";
    bobby(['affiliations'])
      .fromServer(says('bobby', visitor))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('affiliations', 'id-1', at('bobby', visitor)))
      .end();
    bobby(['messages'])
      .fromServer(says('bobby', "role='none' affiliation='none'", ['307'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .end();
  });
});

describe('who else has subscribed', () => {
  const change = (kind: string, id: string, jid = '') =>
    `<message from='${ROOM}' to='${ACCOUNT}'><event xmlns='${NS.pubsubEvent}'><items node='urn:xmpp:mucsub:nodes:subscribers'>` +
    `<item id='${id}'><${kind} xmlns='${NS.mucsub}'${jid} nick='rom'/></item></items></event></message>`;
  const notice = (kind: string) =>
    JSON.stringify({ op: 'subscriber', room: ROOM, change: kind, nick: 'rom', account: 'romeo@capulet.lit' });

  it.each([
    ['with the account where the room shows it to all', ['100'], 'none', ` jid='romeo@capulet.lit'`],
    ['and for owners of the room', [], 'owner', ` jid='romeo@capulet.lit'`],
    ['without it for everybody else', [], 'none', ''],
  ])('is an event of its own, %s', (_, codes, affiliation, jid) => {
    const subscribes = `<iq type='set' id='s1' to='${ROOM}'><subscribe xmlns='${NS.mucsub}' nick='sammy'><event node='urn:xmpp:mucsub:nodes:subscribers'/></subscribe></iq>`;
    const own = (kind: string, id: string) =>
      change(kind, id, jid === '' ? '' : ` jid='${ACCOUNT}'`).replace("nick='rom'", "nick='sammy'");
    const book = available(stage({ settings: ALLOWED }))
      .fromClient(subscribes)
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('sammy'))
      .fromServer(self('sammy', ...codes).replace("affiliation='none'", `affiliation='${affiliation}'`))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(
          `<subscribe xmlns='${NS.mucsub}' nick='sammy'><event node='urn:xmpp:mucsub:nodes:subscribers'/></subscribe>`,
        ),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .expectSent('client', own('subscribe', 'id-1'));
    // Whoever is something in the room has the nick registered, where it has that.
    if (affiliation !== 'none')
      book.expectRequest(ROOM, query(NS.discoInfo)).answerIq(ROOM, query(NS.discoInfo));
    book
      .told(notice('subscribe'), 'romeo@capulet.lit/field')
      .expectSent('client', change('subscribe', 'id-2', jid))
      .told(notice('unsubscribe'), 'romeo@capulet.lit/field')
      .expectSent('client', change('unsubscribe', 'id-3', jid))
      // A ban is the end of the own one.
      .fromServer(out('301'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, ENDED)
      .expectSent('client', own('unsubscribe', 'id-4'))
      .end();
  });
});

describe('the server leg that is kept for ghosts', () => {
  const needs = (settings: Record<string, unknown>) => {
    const shared = domain();
    const until: (number | undefined)[] = [];
    const look = (book: Stage) => book.see((session) => until.push(session.needsServer?.(1_000_000)));
    look(subscribed(available(stage({ settings: { ...ALLOWED, ...settings }, domain: shared })))).end();
    return { until, look, shared };
  };

  it('is kept for the days that are configured, and not at all for none', ({ expect }) => {
    expect(needs({ keepSeconds: 86_400 }).until).toEqual([1_000_000 + 86_400_000]);
    expect(needs({ keepSeconds: 0 }).until).toEqual([undefined]);
  });

  it('is one of as many as are configured', ({ expect }) => {
    const { until, look, shared } = needs({ keepSessions: 1 });
    const romeo = lateStage(shared, 'romeo@capulet.lit/field', { ...ALLOWED, keepSessions: 1 }).fromClient(
      '<presence/>',
    );
    romeo
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'><subscribe xmlns='${NS.mucsub}' nick='rom'/></iq>`)
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('rom'))
      .fromServer(self('rom').replaceAll(FULL, 'romeo@capulet.lit/field'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='rom'/>`).replaceAll(FULL, 'romeo@capulet.lit/field'),
      )
      .expectTold('romeo@capulet.lit', JSON.stringify({ op: 'subscribed', room: ROOM }));
    look(romeo).end();
    expect(until[1]).toBeUndefined();
  });
});
