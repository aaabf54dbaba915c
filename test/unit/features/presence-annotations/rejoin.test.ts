import { describe, it } from 'vitest';
import { aware, type Book, LANE, legacy, linkFails, newDomain, PING, returned } from './scenes.js';

const ROOM = 'orchard@chats.shakespeare.lit';
const SERVICE = 'chats.shakespeare.lit';
const X = 'http://jabber.org/protocol/muc#user';
const MUC = 'http://jabber.org/protocol/muc';
const item = (codes = '') => `<x xmlns='${X}'><item affiliation='none' role='participant'/>${codes}</x>`;
const SELF = item(`<status code='110'/>`);
const there = (nick: string, content = item()) =>
  `<presence from='${ROOM}/${nick}' to='${LANE}'>${content}</presence>`;
const says = (nick: string, id: string, body: string, more = '') =>
  `<message from='${ROOM}/${nick}' to='${LANE}' type='groupchat' id='${id}'><body>${body}</body>${more}</message>`;
const subject = (text: string) =>
  `<message from='${ROOM}' to='${LANE}' type='groupchat'><subject>${text}</subject></message>`;
const DELAY = `<delay xmlns='urn:xmpp:delay' stamp='2026-11-20T12:00:00Z'/>`;
const gone = (nick: string, codes = '') =>
  `<presence from='${ROOM}/${nick}' to='${LANE}' type='unavailable'><x xmlns='${X}'><item affiliation='none' role='none'/>${codes}</x></presence>`;
const entering = (seconds: number, more = '', hello = '<show>away</show>') =>
  `<presence to='${ROOM}/Romeo'>${hello}<x xmlns='${MUC}'>${more}<history seconds='${seconds}'/></x></presence>`;

const enter = (book: Book, password = '') =>
  book
    .fromClient('<presence><show>away</show></presence>')
    .fromClient(`<presence to='${ROOM}/Romeo'><x xmlns='${MUC}'>${password}</x></presence>`)
    .fromServer(there('Juliet'))
    .fromServer(there('Nurse'))
    .fromServer(there('Romeo', SELF))
    .fromServer(subject('Balconies'))
    .fromServer(says('Juliet', 'm1', 'Ay me!'));

/** A client that knows nothing of annotations; another's session makes the proxy ask. */
function outage(password = '', before: (book: Book) => void = () => {}): { book: Book; watcher: Book } {
  const domain = newDomain();
  const watcher = aware({
    domain,
    jid: 'watcher@montague.lit/x',
    settings: { serverUnavailable: false, refresh: false },
  });
  const legacyBook = legacy({ domain });
  before(legacyBook);
  const book = enter(legacyBook, password);
  watcher.fromServer(`<presence from='someone@${SERVICE}/x'/>`);
  watcher.wake(1_000);
  book.wake(1_000);
  linkFails(watcher, SERVICE).expectSent(
    'client',
    `<presence from='someone@${SERVICE}/x'><state-annotation xmlns='urn:xmpp:psa' from='montague.lit'><server-unavailable/></state-annotation></presence>`,
  );
  book.wake(2_500);
  watcher
    .wake(2_000)
    .expectRequest(SERVICE, PING)
    .answerIq(SERVICE, '')
    .wake(500)
    .expectSent(
      'client',
      `<presence from='someone@${SERVICE}/x'><state-annotation xmlns='urn:xmpp:psa' from='montague.lit'/></presence>`,
    )
    .end();
  book.wake(500).expectRequest(`${ROOM}/Romeo`, PING);
  return { book, watcher };
}

const back = (
  password = '',
  answer: string | { readonly error: string } = { error: 'not-acceptable' },
  more = '',
  before?: (book: Book) => void,
) => outage(password, before).book.answerIq(`${ROOM}/Romeo`, answer).expectSent('server', entering(5, more));

describe('XEP-0310 §5: the service of a room is reachable again', () => {
  it('a session that is still in stays in', () => {
    outage().book.answerIq(`${ROOM}/Romeo`, '').wake(60_000).end();
  });

  it.each(['not-acceptable', 'item-not-found'])(
    'one that is not (%s) is brought back in, and sees the difference alone',
    (condition) => {
      back('', { error: condition })
        .fromServer(there('Juliet'))
        .expectVerdict('dropped room-presence-known')
        .fromServer(there('Benvolio'))
        .fromServer(there('Romeo', SELF))
        .expectVerdict('dropped room-presence-known')
        .expectSent('client', gone('Nurse'))
        .fromServer(says('Juliet', 'm1', 'Ay me!', DELAY))
        .expectVerdict('dropped room-history-known')
        .fromServer(says('Juliet', 'm2', 'wherefore art thou', DELAY))
        .fromServer(subject('Balconies'))
        .expectVerdict('dropped room-history-known')
        // From here on everything is as ever.
        .fromServer(there('Juliet'))
        .fromServer(says('Juliet', 'm1', 'Ay me!', DELAY))
        .fromServer(subject('Balconies'))
        .end();
    },
  );

  it('a presence that says something else, and another subject, are news', () => {
    back()
      .fromServer(there('Juliet', `<show>dnd</show>${item()}`))
      .fromServer(
        there(
          'Nurse',
          item().replace("affiliation='none' role='participant'", "role='participant' affiliation='none'"),
        ),
      )
      .expectVerdict('dropped room-presence-known')
      .fromServer(there('Romeo', item(`<status code='100'/><status code='110'/>`)))
      .expectVerdict('dropped room-presence-known')
      .fromServer(subject('Gardens'))
      .end();
  });

  it('the password of the room is said again', () => {
    back('<password>rosebud</password>', { error: 'not-acceptable' }, '<password>rosebud</password>').end();
  });

  it('also when many other rooms have one: those of the own server, and those that have not let it in', () => {
    const knocks = (book: Book) => {
      for (let n = 0; n < 150; n += 1) {
        for (const room of [`r${n}@conference.montague.lit`, `r${n}@${SERVICE}`])
          book.fromClient(
            `<presence to='${room}/Romeo'><x xmlns='${MUC}'><password>x</password></x></presence>`,
          );
      }
    };
    const password = '<password>rosebud</password>';
    back(password, { error: 'not-acceptable' }, password, knocks).end();
  });

  it('where it is not let in, the client is told that it is out', () => {
    back()
      .fromServer(returned('presence', `${ROOM}/Romeo`, 'conflict'))
      .expectVerdict('dropped room-presence-known')
      .expectSent('client', gone('Romeo', `<status code='110'/><status code='333'/>`))
      .wake(60_000)
      .end();
  });

  it('what the client does by itself is its own affair', () => {
    back()
      .fromClient(`<presence to='${ROOM}/Romeo'><x xmlns='${MUC}'/></presence>`)
      .fromServer(there('Juliet'))
      .fromServer(there('Romeo', SELF))
      .end();
  });

  it('a client that is told of annotations comes back by itself', () => {
    const annotated = (nick: string, content: string, state: string) =>
      there(
        nick,
        `${content}<state-annotation xmlns='urn:xmpp:psa' from='${SERVICE}'>${state}</state-annotation>`,
      );
    const book = linkFails(enter(aware()), SERVICE);
    for (const [nick, content] of [
      ['Juliet', item()],
      ['Nurse', item()],
      ['Romeo', SELF],
    ] as const)
      book.expectSent('client', annotated(nick, content, '<server-unavailable/>'));
    book.wake(1_500).expectRequest(SERVICE, PING).answerIq(SERVICE, '').wake(500);
    for (const [nick, content] of [
      ['Juliet', item()],
      ['Nurse', item()],
      ['Romeo', SELF],
    ] as const)
      book.expectSent('client', annotated(nick, content, ''));
    book
      .expectRequest(`${ROOM}/Romeo`, PING)
      .answerIq(`${ROOM}/Romeo`, { error: 'not-acceptable' })
      .wake(30_000)
      .end();
  });

  it('nobody is brought back in when that is switched off', () => {
    const book = enter(legacy({ settings: { rejoin: false, probes: false } }));
    const error = returned('message', ROOM, 'remote-server-not-found');
    book
      .fromServer(error)
      .fromServer(error)
      .wake(1_000)
      .fromServer(says('Juliet', 'm2', 'back'))
      .wake(250)
      .expectRequest(`${ROOM}/Romeo`, PING)
      .answerIq(`${ROOM}/Romeo`, { error: 'not-acceptable' })
      .wake(60_000)
      .end();
  });

  it('the service gone again on the way back: it is tried when that is back', () => {
    const book = enter(legacy({ settings: { probes: false } }));
    const error = returned('message', ROOM, 'remote-server-not-found');
    book
      .fromServer(error)
      .fromServer(error)
      .wake(1_000)
      .fromServer(says('Juliet', 'm2', 'back'));
    book
      .wake(250)
      .expectRequest(`${ROOM}/Romeo`, PING)
      .answerIq(`${ROOM}/Romeo`, { error: 'not-acceptable' })
      .expectSent('server', entering(2))
      .fromServer(returned('presence', `${ROOM}/Romeo`, 'remote-server-timeout'))
      .expectVerdict('dropped room-presence-known')
      .fromServer(error)
      .fromServer(error)
      .wake(10_000)
      .fromServer(`<iq type='result' id='x' from='${SERVICE}' to='${LANE}'/>`)
      .wake(250)
      .expectSent('server', entering(12))
      .fromServer(there('Juliet'))
      .expectVerdict('dropped room-presence-known')
      .fromServer(there('Romeo', SELF))
      .expectVerdict('dropped room-presence-known')
      .expectSent('client', gone('Nurse'))
      .end();
  });
});
