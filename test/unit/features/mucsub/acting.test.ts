import { describe, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  ARCHIVED,
  asks,
  available,
  domain,
  event,
  events,
  FULL,
  inner,
  lateStage,
  query,
  ROOM,
  result,
  STANZA_ID,
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

const GARDEN = `${ACCOUNT}/garden`;
const subscriber = (names = ['messages']) =>
  subscribed(available(stage({ settings: ALLOWED })), 'sammy', names);
const message = (type: string, to: string, inside: string) =>
  `<message type='${type}' to='${to}' id='m1'>${inside}</message>`;
const hears = (book: Stage, body: string, archive: string) =>
  book
    .fromServer(said('olga', body, archive, STANZA_ID(archive)))
    .expectVerdict('changed mucsub-event', event('messages', archive, inner('olga', body, archive, archive)));

describe('a subscriber acts in a room without having joined', () => {
  const INVITE = `<x xmlns='${NS.mucUser}'><invite to='carl@capulet.lit'/></x>`;

  it.each([
    ['says something', message('groupchat', ROOM, '<body>hello</body>')],
    ['changes the subject', message('groupchat', ROOM, '<subject>Mine</subject>')],
    ['says something to an occupant', message('chat', `${ROOM}/olga`, '<body>psst</body>')],
    ['invites somebody', `<message to='${ROOM}'>${INVITE}</message>`],
    ['asks for the configuration', `<iq type='get' id='f' to='${ROOM}'>${query(NS.mucOwner)}</iq>`],
    [
      'puts somebody out',
      `<iq type='set' id='k' to='${ROOM}'>${query(NS.mucAdmin, "<item nick='bobby' role='none'/>")}</iq>`,
    ],
  ])('%s: the room hears it as it is, from the ghost', (_, stanza) => {
    subscriber().fromClient(stanza).end();
  });

  it.each([
    ['a message', 'groupchat', ROOM],
    ['a private message', 'chat', `${ROOM}/olga`],
  ])('%s of a client that no ghost is in the room for has one enter first', (_, type, to) => {
    const shared = domain();
    subscribed(available(stage({ settings: ALLOWED, domain: shared }))).end();
    available(secondStage(shared, GARDEN))
      .fromClient(message(type, to, '<body>hello</body>'))
      .expectAhead(asks('sammy'))
      .end();
  });

  it('its own words come back as an event only where it has subscribed to messages', () => {
    subscriber(['subject'])
      .fromClient(message('groupchat', ROOM, '<body>one way</body>'))
      .fromServer(said('sammy', 'one way', 'm1', STANZA_ID('a1')))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('its own subject is an event of that node', () => {
    const subject = (to: string, rest: string) =>
      `<message type='groupchat' from='${ROOM}/sammy' to='${to}' id='m1'><subject>Mine</subject>${rest}</message>`;
    subscriber(['subject'])
      .fromClient(message('groupchat', ROOM, '<subject>Mine</subject>'))
      .fromServer(subject(FULL, STANZA_ID('a1')))
      .expectVerdict(
        'changed mucsub-event',
        event(
          'subject',
          'a1',
          subject(ACCOUNT, STANZA_ID('a1') + ARCHIVED('a1')).replace(
            '<message',
            `<message xmlns='${NS.client}'`,
          ),
        ),
      )
      .end();
  });

  it.each([
    ['nobody of that nick', `${ROOM}/nobody`, 'item-not-found'],
    ['no voice', ROOM, 'forbidden'],
    ['no right to invite', ROOM, 'not-allowed'],
  ])('what the room refuses it is refused to the client: %s', (_, from, condition) => {
    subscriber()
      .fromServer(
        `<message type='error' from='${from}' to='${FULL}' id='m1'><error type='cancel'><${condition} xmlns='${NS.stanzaErrors}'/></error></message>`,
      )
      .end();
  });

  const ERROR = `<error type='cancel'><service-unavailable xmlns='${NS.stanzaErrors}'/></error>`;

  it.each([
    ['an error for an event', message('error', ROOM, ERROR)],
    ['an error for a private message', message('error', `${ROOM}/olga`, ERROR)],
    ['an error for a presence', `<presence type='error' to='${ROOM}/olga'>${ERROR}</presence>`],
    ['that it leaves', `<presence type='unavailable' to='${ROOM}/sammy'/>`],
    ['the same to the room itself', `<presence type='unavailable' to='${ROOM}'/>`],
  ])('%s does not reach the room, which would put the ghost out', (_, stanza) => {
    hears(subscriber().fromClient(stanza).expectVerdict(SWALLOWED), 'still', 'a2').end();
  });

  it('and does from a client that is in the room', () => {
    subscriber()
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict(
        'changed mucsub-joining',
        `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`,
      )
      .fromServer(self('sammy'))
      .fromClient(message('error', ROOM, ERROR))
      .fromClient(`<presence type='error' to='${ROOM}/olga'>${ERROR}</presence>`)
      .end();
  });

  it('when it has unsubscribed it is an outsider again: what it says is the room’s to refuse', () => {
    subscriber()
      .fromClient(`<iq type='set' id='s1' to='${ROOM}'><unsubscribe xmlns='${NS.mucsub}'/></iq>`)
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
      .expectSent('client', result())
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .fromClient(message('groupchat', ROOM, '<body>let me</body>'))
      .fromServer(
        `<message type='error' from='${ROOM}' to='${FULL}' id='m1'><error type='modify'><not-acceptable xmlns='${NS.stanzaErrors}'/></error></message>`,
      )
      .end();
  });
});

describe('what a room says of its members to those in it', () => {
  const CARL = `<x xmlns='${NS.mucUser}'><item affiliation='member' jid='carl@capulet.lit' role='none'/></x>`;

  it('is an event of affiliations where the room shows real JIDs to all', () => {
    const member = (to: string) => `<message from='${ROOM}' to='${to}'>${CARL}</message>`;
    const inside = member(ACCOUNT).replace('<message', `<message xmlns='${NS.client}'`);
    const open = (...names: string[]) =>
      available(stage({ settings: ALLOWED }))
        .fromClient(subscribe('sammy', names))
        .expectVerdict('handled mucsub-answered')
        .expectSent('server', asks('sammy'))
        .fromServer(self('sammy', '100'))
        .expectVerdict(SWALLOWED)
        .expectSent(
          'client',
          result(`<subscribe xmlns='${NS.mucsub}' nick='sammy'>${events(...names)}</subscribe>`),
        )
        .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
        .fromServer(member(FULL))
        .expectVerdict(SWALLOWED);
    open('affiliations')
      .expectSent('client', event('affiliations', 'id-1', inside))
      .end();
    open('messages', 'presence').end();
  });

  it('is nothing for a subscriber elsewhere', () => {
    subscriber(['affiliations', 'messages', 'presence'])
      .fromServer(`<message from='${ROOM}' to='${FULL}'>${CARL}</message>`)
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('an invitation is the client’s, whatever its account has subscribed to', () => {
    subscriber()
      .fromServer(
        `<message from='${ROOM}' to='${FULL}'><x xmlns='${NS.mucUser}'><invite from='olga@capulet.lit'/></x></message>`,
      )
      .end();
  });
});

describe('presences of others', () => {
  const participant = "role='participant' affiliation='none'";
  const at = (nick: string, item: string, type = '') =>
    says(nick, item, [], type)
      .replace('<presence ', `<presence xmlns='${NS.client}' `)
      .replace(`to='${FULL}'`, `to='${ACCOUNT}'`);

  it('who leaves is an event, and who is put out none of presence', () => {
    const none = "role='none' affiliation='none'";
    subscriber(['presence'])
      .fromServer(says('bobby', participant))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-1', at('bobby', participant)))
      .fromServer(says('bobby', none, [], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-2', at('bobby', none, 'unavailable')))
      .fromServer(says('bobby', participant))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-3', at('bobby', participant)))
      .fromServer(says('bobby', none, ['307'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('its own coming and going is none to a subscriber', () => {
    const join = `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`;
    subscriber(['presence', 'participants'])
      .fromClient(join)
      .expectVerdict('changed mucsub-joining', join)
      .fromServer(self('sammy'))
      .fromClient(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectVerdict('handled mucsub-left')
      .expectSent('client', says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .end();
  });

  it('an owner who has only subscribed sees no real JIDs where the room keeps them from others', () => {
    const book = available(stage({ settings: ALLOWED }))
      .fromClient(
        `<iq type='set' id='s1' to='${ROOM}'><subscribe xmlns='${NS.mucsub}' nick='sammy'><event node='urn:xmpp:mucsub:nodes:presence'/></subscribe></iq>`,
      )
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks('sammy'))
      .fromServer(says('sammy', "role='moderator' affiliation='owner'", ['110']))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(
          `<subscribe xmlns='${NS.mucsub}' nick='sammy'><event node='urn:xmpp:mucsub:nodes:presence'/></subscribe>`,
        ),
      )
      .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED);
    book
      .fromServer(says('bobby', `${participant} jid='bob@capulet.lit/x'`))
      .expectVerdict(SWALLOWED)
      .expectSent('client', event('presence', 'id-1', at('bobby', participant)))
      .end();
  });
});

describe('several clients of one account', () => {
  const two = () => {
    const shared = domain();
    const one = subscribed(available(stage({ settings: ALLOWED, domain: shared })));
    return { shared, one, other: available(secondStage(shared, GARDEN)) };
  };
  const EVENT = (archive: string) => event('messages', archive, inner('olga', 'Hello', archive, archive));
  const hello = (archive: string) => said('olga', 'Hello', archive, STANZA_ID(archive));
  const notice = (archive: string, place: number) =>
    JSON.stringify({ op: 'event', room: ROOM, xml: EVENT(archive), place });

  it('others are told that the account has left the room when the last of them has', () => {
    const { shared, one, other } = two();
    const enter = `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`;
    const leave = `<presence to='${ROOM}/sammy' type='unavailable'/>`;
    const left = says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable');
    const of = (xml: string) => xml.replaceAll(FULL, GARDEN);
    one.fromClient(enter).expectVerdict('changed mucsub-joining', enter).fromServer(self('sammy'));
    other
      .fromClient(enter)
      .expectVerdict('changed mucsub-joining', enter)
      .fromServer(of(self('sammy')));
    const olga = lateStage(shared, 'olga@capulet.lit/desk')
      .fromClient(`<presence to='${ROOM}/olga'><x xmlns='${NS.muc}'/></presence>`)
      .fromServer(self('olga').replaceAll(FULL, 'olga@capulet.lit/desk'));
    one.fromClient(leave).expectVerdict('handled mucsub-left').expectSent('client', left).end();
    other
      .fromClient(leave)
      .expectTold(
        'olga@capulet.lit',
        JSON.stringify({ op: 'gone', room: ROOM, nick: 'sammy', affiliation: 'none' }),
      )
      .end();
    olga.end();
  });

  it('get none while one of them is in the room, though the ghost is another one’s', () => {
    const { one, other } = two();
    const of = (xml: string) => xml.replaceAll(FULL, GARDEN);
    const enter = `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`;
    const leave = `<presence to='${ROOM}/sammy' type='unavailable'/>`;
    other
      .fromClient(enter)
      .expectVerdict('changed mucsub-joining', enter)
      .fromServer(of(self('sammy')));
    one.fromServer(hello('a1')).expectVerdict(SWALLOWED);
    other.fromServer(of(hello('a1')));
    other.fromClient(leave).end();
    one
      .fromServer(hello('a2'))
      .expectVerdict('changed mucsub-event', EVENT('a2'))
      .expectTold(ACCOUNT, notice('a2', 2))
      .end();
  });

  it('all get an event, the same one', () => {
    const { one, other } = two();
    one
      .fromServer(hello('a1'))
      .expectVerdict('changed mucsub-event', EVENT('a1'))
      .expectTold(ACCOUNT, notice('a1', 1))
      .end();
    other.told(notice('a1', 1), FULL).expectSent('client', EVENT('a1')).end();
  });
});
