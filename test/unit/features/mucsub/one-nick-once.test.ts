import { describe, expect, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  asks,
  available,
  domain,
  FULL,
  MUC,
  query,
  ROOM,
  refused,
  type Stage,
  SUBJECT,
  SWALLOWED,
  says,
  secondStage,
  self,
  stage,
  subscribed,
} from './stage.js';

const GARDEN = `${ACCOUNT}/garden`;
const scene = () => ({ settings: ALLOWED, service: [], serverKind: 'jabberd2', domain: domain() }) as const;
const speech = (id: string, type = 'groupchat') =>
  `<message type='${type}' to='${ROOM}' id='${id}'><body>hello</body></message>`;
const notice = (what: object) => JSON.stringify(what);

/** The ghost is with the first session; the second is there. */
function two() {
  const at = scene();
  // mu-conference sends no subject where there is none.
  const carrier = available(stage(at));
  subscribed(carrier);
  const other = available(secondStage(at.domain, GARDEN, 'jabberd2'));
  return { carrier, other };
}

describe('where an account can be in a room only once under one nick', () => {
  it('another resource speaks through the one that carries the ghost, and is told of a refusal', () => {
    const { carrier, other } = two();
    const say = notice({ op: 'say', room: ROOM, by: FULL, xml: speech('m1') });
    other.fromClient(speech('m1')).expectVerdict('handled mucsub-answered').expectTold(ACCOUNT, say);
    carrier.told(say, GARDEN).expectSent('server', speech('m1'));
    const error = (to: string) =>
      `<message type='error' id='m1' from='${ROOM}' to='${to}'><error type='auth'><forbidden xmlns='${NS.stanzaErrors}'/></error></message>`;
    const refused = notice({ op: 'refused', by: GARDEN, xml: error(GARDEN) });
    carrier.fromServer(error(FULL)).expectVerdict(SWALLOWED).expectTold(ACCOUNT, refused).end();
    other.told(refused, FULL).expectSent('client', error(GARDEN)).end();
  });

  it('12.11 same nick by a second session: another resource that joins waits until the ghost has left, and is a ghost itself afterwards', () => {
    const { carrier, other } = two();
    const join = (history: string) =>
      `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'>${history}</x></presence>`;
    const wish = notice({ op: 'yield', room: ROOM, by: FULL });
    other.fromClient(join('')).expectVerdict('handled mucsub-joining').expectTold(ACCOUNT, wish);
    const done = notice({ op: 'yielded', room: ROOM, to: GARDEN });
    carrier
      .told(wish, GARDEN)
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, done)
      .end();
    const to = (xml: string) => xml.replaceAll(FULL, GARDEN);
    other
      .told(done, FULL)
      .expectSent('server', join("<history maxstanzas='0'/>"))
      .fromServer(to(self('sammy')))
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', to(SUBJECT))
      .fromClient(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectVerdict('handled mucsub-left')
      .expectSent('client', to(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable')))
      .end();
  });
});

describe('where no presence reaches a session that is unavailable', () => {
  const GOES = "<presence type='unavailable'/>";
  const privacy = (inner: string) => query(NS.privacy, inner);
  const LIST = privacy(
    `<list name='interstanza-unseen'><item type='jid' value='${MUC}' action='allow' order='1'><presence-out/></item>` +
      "<item action='deny' order='2'><presence-out/></item></list>",
  );
  const ACTIVE = privacy("<active name='interstanza-unseen'/>");
  const SINCE = "<history maxstanzas='500' since='2026-11-20T12:16:40.000Z'/>";
  /** The last client is gone, and the server leg is to stay. */
  function alone() {
    const at = scene();
    const book = available(stage(at));
    subscribed(book);
    expect(book.goes()).toBe(true);
    return { shared: at.domain, book: book.fromClient(GOES).expectRequest('account', privacy('')) };
  }
  /** Its ghost is in the room, and is told all that was said. */
  const unseen = (book: Stage) =>
    entersUnseen(book).answerIq(ROOM, `<query xmlns='${NS.lastActivity}' seconds='600'/>`);
  const entersUnseen = (book: Stage) =>
    book
      .answerIq('account', privacy(''))
      .expectRequest('account', LIST)
      .answerIq('account', privacy(''))
      .expectRequest('account', ACTIVE)
      .answerIq('account', privacy(''))
      .expectSent('server', '<presence><priority>-128</priority></presence>')
      .expectSent('server', asks('sammy', SINCE))
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectRequest(ROOM, query(NS.lastActivity));

  it('one without its client is available to rooms alone, and its ghosts enter then', () => {
    const { book } = alone();
    unseen(book).end();
  });

  it.each([
    ['the account has a list of its own for all its sessions', privacy("<default name='friends'/>")],
    ['the server has no such lists', { error: 'service-unavailable' }],
  ])('it does not stay where %s', (_, answer) => {
    const { book } = alone();
    book.answerIq('account', answer).expectEndOfKept().end();
  });

  it('nor where the list is refused: nobody is to see it', () => {
    const { book } = alone();
    book.answerIq('account', privacy('')).expectRequest('account', LIST);
    book.answerIq('account', { error: 'not-acceptable' }).expectEndOfKept().end();
  });

  const WISH = notice({ op: 'yield', room: ROOM, by: FULL });
  const DONE = notice({ op: 'yielded', room: ROOM, to: GARDEN });
  const leaves = (book: Stage) =>
    book
      .told(WISH, GARDEN)
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, DONE)
      .expectEndOfKept()
      .end();
  const toGarden = (xml: string) => xml.replaceAll(FULL, GARDEN);

  it('it leaves the room for a session with a client, whose ghost enters when it is out', () => {
    const { shared, book } = alone();
    unseen(book);
    const other = available(secondStage(shared, GARDEN, 'jabberd2')).expectTold(ACCOUNT, WISH);
    leaves(book);
    other.told(DONE, FULL).expectSent('server', asks('sammy', SINCE)).end();
  });

  it('one that finds that another session has taken all up does not stay', () => {
    const { shared, book } = alone();
    const other = available(secondStage(shared, GARDEN, 'jabberd2')).expectSent(
      'server',
      asks('sammy', SINCE),
    );
    book
      .answerIq('account', privacy(''))
      .expectRequest('account', LIST)
      .answerIq('account', privacy(''))
      .expectRequest('account', ACTIVE)
      .answerIq('account', privacy(''))
      .expectSent('server', '<presence><priority>-128</priority></presence>')
      .expectEndOfKept()
      .end();
    other.end();
  });

  it('and for one whose client joins at once', () => {
    const { shared, book } = alone();
    unseen(book);
    const join = (history: string) =>
      `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'>${history}</x></presence>`;
    const other = available(secondStage(shared, GARDEN, 'jabberd2')).expectTold(ACCOUNT, WISH);
    other.fromClient(join('')).expectVerdict('handled mucsub-joining');
    leaves(book);
    other
      .told(DONE, FULL)
      .expectSent('server', join("<history maxstanzas='0'/>"))
      .fromServer(toGarden(self('sammy')))
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', toGarden(SUBJECT))
      .end();
  });

  it('a session that says nothing is waited for five seconds', () => {
    const { shared, book } = alone();
    unseen(book).end();
    available(secondStage(shared, GARDEN, 'jabberd2'))
      .expectTold(ACCOUNT, WISH)
      .wake(5_000)
      .expectSent('server', asks('sammy'))
      .end();
  });
});

describe('where who enters a room again is told only of himself', () => {
  it('the ghost leaves before its client joins, which is told who is there', () => {
    const book = available(stage(scene()));
    subscribed(book);
    const join = (history: string) =>
      `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'>${history}</x></presence>`;
    book
      .fromClient(join(''))
      .expectVerdict('changed mucsub-joining', join("<history maxstanzas='0'/>"))
      .expectAhead(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .fromServer(says('olga', "affiliation='owner' role='moderator'"))
      .fromServer(self('sammy'))
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', SUBJECT)
      .end();
  });
});

it('who joins without saying how is told no history either, and what he says of himself afterwards stays as it is', () => {
  const book = available(stage(scene()));
  subscribed(book)
    .fromClient(`<presence to='${ROOM}/sammy'><show>away</show></presence>`)
    .expectVerdict(
      'changed mucsub-joining',
      `<presence to='${ROOM}/sammy'><show>away</show><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`,
    )
    .expectAhead(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
    .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
    .expectVerdict(SWALLOWED)
    .fromServer(self('sammy'))
    .expectRequest(ROOM, query(NS.discoInfo))
    .answerIq(ROOM, query(NS.discoInfo))
    .expectSent('client', SUBJECT)
    .fromClient(`<presence to='${ROOM}/sammy'/>`)
    .end();
});

describe('where who is not in a room is refused in another way', () => {
  const refuses = (condition: string, type: string, code: string, text = 'You are not in this room') =>
    `<message type='error' id='m1' from='${ROOM}' to='${FULL}'><error type='${type}' code='${code}'><${condition} xmlns='${NS.stanzaErrors}'/>` +
    `<text xmlns='${NS.stanzaErrors}'>${text}</text></error></message>`;

  it('he is told that it is not acceptable, as XEP-0045 has it', () => {
    stage(scene())
      .fromServer(refuses('not-allowed', 'cancel', '405'))
      .expectVerdict(
        'changed mucsub-refused',
        refuses('not-acceptable', 'modify', '406').replace('<message', `<message xmlns='${NS.client}'`),
      )
      .end();
  });

  it('what else a room refuses stays as it is, and so does what another server’s does', () => {
    stage(scene())
      .fromServer(refuses('not-allowed', 'cancel', '405', 'No'))
      .end();
    stage({ settings: ALLOWED, serverKind: 'prosody' })
      .fromServer(refuses('not-allowed', 'cancel', '405'))
      .end();
  });

  it('a subscriber who may not give roles is told so as ejabberd has it; an admin asks the room', () => {
    const kick = `<iq type='set' id='k' to='${ROOM}'>${query(NS.mucAdmin, "<item nick='bob' role='none'/>")}</iq>`;
    const book = available(stage(scene()));
    subscribed(book).fromClient(kick).expectVerdict('handled mucsub-refused');
    book.expectSent(
      'client',
      refused('cancel', 'not-allowed', 'Changing role/affiliation is not allowed').replace(
        "id='s1'",
        "id='k'",
      ),
    );
    book
      .fromServer(says('sammy', "role='moderator' affiliation='admin'", ['110']))
      .expectVerdict(SWALLOWED)
      .fromClient(kick)
      .end();
  });
});

describe('12.12 join completion: a room that ends what it sends to who enters with a subject only when it has one', () => {
  const enters = () =>
    stage(scene())
      .fromClient(`<presence to='${ROOM}/olga'><x xmlns='${NS.muc}'/></presence>`)
      .fromServer(self('olga'))
      .expectRequest(ROOM, query(NS.discoInfo));

  it('has an empty one behind its history', () => {
    enters()
      .fromServer(`<message type='groupchat' from='${ROOM}/bob' to='${FULL}'><body>before</body></message>`)
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', SUBJECT)
      .end();
  });

  it.each([
    [
      'a subscriber',
      true,
      `<message type='groupchat' from='${ROOM}' to='${FULL}'><body>party</body></message>`,
      false,
    ],
    [
      'anybody else',
      false,
      `<message type='groupchat' from='${ROOM}' to='${FULL}'><body>party</body></message>`,
      true,
    ],
    [
      'a subscriber',
      true,
      `<message type='groupchat' from='${ROOM}/bob' to='${FULL}'><body>party</body></message>`,
      true,
    ],
  ])(
    '%s who joins (%s) is told what somebody has said, and not the name of the room each time',
    (_, subscribes, xml, isShown) => {
      const book = available(stage(scene()));
      const join = `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`;
      if (subscribes)
        subscribed(book)
          .fromClient(join)
          .expectVerdict('changed mucsub-joining', join.replace('/></', "><history maxstanzas='0'/></x></"))
          .expectAhead(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
          .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
          .expectVerdict(SWALLOWED);
      else book.fromClient(join);
      book.fromServer(self('sammy')).expectRequest(ROOM, query(NS.discoInfo)).fromServer(xml);
      if (!isShown) book.expectVerdict(SWALLOWED);
      book.answerIq(ROOM, query(NS.discoInfo)).expectSent('client', SUBJECT);
      // Afterwards it is the room's word.
      book.fromServer(xml).end();
    },
  );

  it('has its own where it sends one', () => {
    enters().fromServer(SUBJECT).answerIq(ROOM, query(NS.discoInfo)).end();
  });
});
