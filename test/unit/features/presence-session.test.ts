import { describe, expect, it } from 'vitest';
import { presenceSession } from '../../../src/features/presence-session/presence-session.js';
import { MOST_VIEWS } from '../../../src/features/presence-session/stored-views.js';
import { NS } from '../../../src/xml/namespaces.js';
import { error, gone, here, ROOM } from '../knowledge/room-stanzas.js';
import { FakeDomain, type Playbook, play, type Scene, WALL_CLOCK } from './playbook.js';

const FULL = 'juliet@capulet.lit/balcony';
const mark = (session: string, id: number | string) =>
  `<presence-session xmlns='${NS.presenceSession}' session='${session}' id='${id}'/>`;
const within = (stanza: string, more: string) => stanza.replace(/<\/(presence|message)>$/, `${more}</$1>`);
/** As the client gets what the room has sent. */
const marked = (stanza: string, session: string, id: number | string) => within(stanza, mark(session, id));
const said = (nick: string, id: string, body: string, more = '') =>
  `<message from='${ROOM}/${nick}' type='groupchat' id='${id}'><body>${body}</body>${more}</message>`;
const subject = (text: string) =>
  `<message from='${ROOM}' type='groupchat'><subject>${text}</subject></message>`;
/** So many seconds after the first moment of the plays. */
const delay = (seconds: number) =>
  `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='${new Date(WALL_CLOCK + 1_000_000 + seconds * 1_000).toISOString()}'/>`;
const join = (more = '', history = '', to = `${ROOM}/Juliet`) =>
  `<presence to='${to}'><x xmlns='${NS.muc}'>${history}</x>${more}</presence>`;
const ASK = `<presence-session xmlns='${NS.presenceSession}'/>`;
const resume = (session: string, id: number | string) =>
  `<presence-session xmlns='${NS.presenceSession}' type='resume' session='${session}' id='${id}'/>`;
/** What of its history the room is asked for: from the last message that was shown on, with a margin, or so many. */
const ALL_SINCE = `<history since='${new Date(WALL_CLOCK + 1_000_000 - 120_000).toISOString()}'/>`;
const SO_MANY = `<history maxstanzas='200'/>`;
const asked = (history = SO_MANY) => join('', history);
const TRUNCATED = `<message from='${ROOM}' to='${FULL}' type='groupchat'><presence-session xmlns='${NS.presenceSession}' type='truncated'/></message>`;
const RESET = `<presence from='${ROOM}' to='${FULL}' type='unavailable'/>`;
const INFO = `<query xmlns='${NS.discoInfo}'/>`;
const info = (...features: string[]) =>
  `<query xmlns='${NS.discoInfo}'>${features.map((name) => `<feature var='${name}'/>`).join('')}</query>`;
const goneFor = (nick: string, session: string, id: number) =>
  `<presence from='${ROOM}/${nick}' to='${FULL}' type='unavailable'><x xmlns='${NS.mucUser}'><item affiliation='none' role='none'/></x>${mark(session, id)}</presence>`;

type Play = Playbook<ReturnType<typeof presenceSession.open>>;

/** What passes a session that is annotated: the room's stanza comes, the client gets it with a mark. */
function annotates(conversation: Play, session: string, from: number, ...stanzas: string[]): Play {
  stanzas.forEach((stanza, index) => {
    conversation
      .fromServer(stanza)
      .expectVerdict('changed presence-session-annotated', marked(stanza, session, index + from));
  });
  return conversation;
}

/** Juliet has been in the room with Romeo and Tybalt as session id-1id-2, has heard something as stanza 4, and is away. */
function been(scene: Scene = {}, others: readonly string[] = ['Romeo', 'Tybalt']): FakeDomain {
  const domain = new FakeDomain();
  const conversation = play(presenceSession, { ...scene, domain })
    .fromClient(join(ASK))
    .expectVerdict('changed presence-session-asked', join());
  annotates(
    conversation,
    'id-1id-2',
    1,
    ...others.map((nick) => here(nick)),
    here('Juliet', '110'),
    said('Romeo', 'm1', 'heard'),
    subject('Tea'),
  );
  conversation.legDown('client').close().end();
  return domain;
}

/** Comes back and is held: the view is read, and then the room asked. @param wanted of the room's history */
function comesBack(
  domain: FakeDomain,
  id: number | string,
  scene: Scene = {},
  history = '',
  wanted = ALL_SINCE,
): Play {
  return play(presenceSession, { ...scene, domain, now: 1_060_000 })
    .fromClient(join(resume('id-1id-2', id), history))
    .expectVerdict('handled presence-session-asked')
    .expectSent('server', asked(wanted))
    .expectRequest(ROOM, INFO);
}

/** The same where it is not known what the client has. */
const comesFromNowhere = (domain: FakeDomain, id: number | string) => comesBack(domain, id, {}, '', '');

function holds(conversation: Play, ...stanzas: string[]): Play {
  for (const stanza of stanzas)
    conversation.fromServer(stanza).expectVerdict('handled presence-session-held');
  return conversation;
}

describe('§3 discovery', () => {
  it('a room and its service say that they know it, and others do not', () => {
    const conversation = play(presenceSession);
    const answer = { node: undefined, features: new Set<string>() };
    for (const entity of ['muc-room', 'muc-service'] as const) {
      expect(conversation.disco({ ...answer, from: ROOM, entity })?.add).toContain(NS.presenceSession);
    }
    expect(conversation.disco({ ...answer, from: 'capulet.lit', entity: 'server' })).toBeUndefined();
    expect(conversation.disco({ ...answer, node: 'x', from: ROOM, entity: 'muc-room' })).toBeUndefined();
    conversation.end();
  });

  it('where the room knows it itself everything passes untouched', () => {
    const conversation = play(presenceSession);
    conversation.disco({
      from: ROOM,
      node: undefined,
      entity: 'muc-room',
      features: new Set([NS.presenceSession]),
    });
    conversation
      .fromClient(join(ASK))
      .fromServer(marked(here('Juliet', '110'), 'theirs', 7))
      .end();
  });
});

describe('§4.1 initial join', () => {
  it('the element is taken out of the join, and all that the room sends is marked, the subject too', () => {
    been();
  });

  it("another session of the same account, which has not asked, sees nobody's marks", () => {
    const domain = new FakeDomain();
    const one = play(presenceSession, { domain })
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    const other = play(presenceSession, { domain, jid: 'juliet@capulet.lit/garden' }).fromClient(join());
    annotates(one, 'id-1id-2', 1, here('Juliet', '110'));
    other
      .fromServer(here('Juliet', '110'))
      .fromServer(said('Romeo', 'm1', 'hi'))
      .end();
    annotates(one, 'id-1id-2', 2, said('Romeo', 'm1', 'hi'));
    one.end();
  });

  it('who has not asked sees no difference', () => {
    play(presenceSession)
      .fromClient(join())
      .fromServer(here('Romeo'))
      .fromServer(here('Juliet', '110'))
      .fromServer(said('Romeo', 'm1', 'hi'))
      .end();
  });

  it('what an occupant puts in is taken out, all of it, whether one has asked or not', () => {
    const forged = within(within(here('Romeo'), mark('forged', 1)), mark('forged', 2));
    const spoken = said('Romeo', 'm1', 'hi', mark('forged', 3));
    play(presenceSession)
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join())
      .fromServer(forged)
      .expectVerdict('changed presence-session-annotated', marked(here('Romeo'), 'id-1id-2', 1))
      .fromServer(spoken)
      .expectVerdict('changed presence-session-annotated', marked(said('Romeo', 'm1', 'hi'), 'id-1id-2', 2))
      .end();
    play(presenceSession)
      .fromClient(join())
      .fromServer(here('Juliet', '110'))
      .fromServer(forged)
      .expectVerdict('changed presence-session-stripped', here('Romeo'))
      .end();
  });

  it('only for as long as the session is in the room', () => {
    const conversation = play(presenceSession)
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(conversation, 'id-1id-2', 1, here('Juliet', '110'), gone('Juliet', '110'));
    conversation.fromServer(said('Romeo', 'm1', 'late')).end();
  });

  it('a join without the element ends it', () => {
    const conversation = play(presenceSession)
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(conversation, 'id-1id-2', 1, here('Juliet', '110'));
    conversation.fromClient(join()).fromServer(here('Romeo')).fromServer(here('Juliet', '110')).end();
  });

  it('private messages are not marked', () => {
    const conversation = play(presenceSession)
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(conversation, 'id-1id-2', 1, here('Juliet', '110'));
    conversation.fromServer(`<message from='${ROOM}/Romeo' type='chat'><body>psst</body></message>`).end();
  });
});

describe('§4.2 fast rejoin', () => {
  it('nothing has changed: the own presence and the subject, and nothing else', () => {
    const conversation = comesBack(been(), 4);
    holds(
      conversation,
      here('Romeo'),
      here('Tybalt'),
      here('Juliet', '110'),
      said('Romeo', 'm1', 'heard', delay(0)),
      subject('Tea'),
    );
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 2))
      .fromServer(here('Paris'))
      .expectVerdict('changed presence-session-annotated', marked(here('Paris'), 'id-1id-1', 3))
      .end();
  });

  it('those who left, then those who came or changed, then oneself with the codes', () => {
    const conversation = comesBack(been({}, ['Romeo', 'Tybalt', 'Nurse', 'Peter']), 6);
    const away = here('Romeo').replace('<x', '<show>away</show><x');
    holds(
      conversation,
      away,
      here('Nurse'),
      here('Peter'),
      here('Paris'),
      here('Juliet', '110', '100'),
      said('Romeo', 'm1', 'heard', delay(0)),
      subject('Tea'),
    );
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', goneFor('Tybalt', 'id-1id-1', 1))
      .expectSent('client', marked(away, 'id-1id-1', 2))
      .expectSent('client', marked(here('Paris'), 'id-1id-1', 3))
      .expectSent('client', marked(here('Juliet', '110', '100'), 'id-1id-1', 4))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 5))
      .end();
  });

  it.each([
    ['role', "role='visitor'"],
    ['affiliation', "affiliation='member'"],
  ])('a change of %s is a change', (what, now) => {
    const conversation = comesBack(been(), 4);
    const changed = here('Romeo').replace(new RegExp(`${what}='\\w+'`), now);
    holds(conversation, changed, here('Tybalt'), here('Juliet', '110'));
    holds(conversation, said('Romeo', 'm1', 'heard', delay(0)));
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', marked(changed, 'id-1id-1', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .end();
  });

  it('a client that a feature brings back into a room which had lost it is told the difference, and annotated on', () => {
    const conversation = play(presenceSession)
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(conversation, 'id-1id-2', 1, here('Romeo'), here('Tybalt'), here('Juliet', '110'));
    conversation
      .fromClient(`<presence to='${ROOM}/Juliet'><show>away</show></presence>`)
      .fromServer(
        `<presence from='${ROOM}/Juliet' to='${FULL}' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>`,
      )
      .fromOuterFeature(join('', `<history seconds='60'/>`))
      .expectVerdict('changed presence-session-asked', asked())
      .expectRequest(ROOM, INFO);
    holds(conversation, here('Romeo'), here('Juliet', '110'), subject('Tea'));
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', goneFor('Tybalt', 'id-1id-3', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-3', 2))
      .expectSent('client', TRUNCATED)
      .expectSent('client', marked(subject('Tea'), 'id-1id-3', 3));
    annotates(conversation, 'id-1id-3', 4, here('Paris'));
    conversation.end();
  });

  it('one that had not asked in that room gets what the room says', () => {
    play(presenceSession)
      .fromClient(join())
      .fromServer(here('Juliet', '110'))
      .fromClient(`<presence to='${ROOM}/Juliet'/>`)
      .fromServer(
        `<presence from='${ROOM}/Juliet' to='${FULL}' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>`,
      )
      .fromOuterFeature(join())
      .fromServer(here('Romeo'))
      .end();
  });

  it('the order of attributes and elements, and the id of a presence, are no change', () => {
    const conversation = comesBack(been(), 4);
    const same = `<presence id='x' from='${ROOM}/Romeo'><x xmlns="${NS.mucUser}"><item  role="participant" affiliation='none'></item></x></presence>`;
    holds(conversation, same, here('Tybalt'), here('Juliet', '110'));
    holds(conversation, said('Romeo', 'm1', 'heard', delay(0)));
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .end();
  });

  it('the difference is from the stanza that the client names, although more was sent', () => {
    // Tybalt's presence, stanza 2, got lost, and all behind it.
    const conversation = comesBack(been(), 1, {}, '', SO_MANY);
    holds(conversation, here('Romeo'), here('Tybalt'), here('Juliet', '110'));
    holds(conversation, said('Romeo', 'm1', 'heard', delay(0)), subject('Tea'));
    conversation
      .answerIq(ROOM, info(NS.mam2))
      .expectRequest(ROOM, ARCHIVE_QUERY)
      .answerIq(ROOM, { error: 'service-unavailable' })
      .expectSent('client', marked(here('Tybalt'), 'id-1id-1', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .expectSent('client', TRUNCATED)
      .expectSent('client', marked(said('Romeo', 'm1', 'heard', delay(0)), 'id-1id-1', 3))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 4))
      .end();
  });

  it('what is lost of the answer to a resume is in the answer to the next one', () => {
    const domain = been();
    const first = comesBack(domain, 4);
    holds(first, here('Romeo'), here('Juliet', '110'), said('Romeo', 'm1', 'heard', delay(0)));
    first
      .answerIq(ROOM, info())
      .expectSent('client', goneFor('Tybalt', 'id-1id-1', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .close()
      .end();
    // Nothing of it has come: the former session is named once more.
    const second = comesBack(domain, 4);
    holds(second, here('Romeo'), here('Juliet', '110'), said('Romeo', 'm1', 'heard', delay(0)));
    second
      .answerIq(ROOM, info())
      .expectSent('client', goneFor('Tybalt', 'id-1id-1', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .end();
  });

  it('in the room still: the difference comes at once and without the room', () => {
    const conversation = play(presenceSession)
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(
      conversation,
      'id-1id-2',
      1,
      here('Romeo'),
      here('Tybalt'),
      here('Juliet', '110'),
      subject('Tea'),
    );
    annotates(conversation, 'id-1id-2', 5, here('Paris'), gone('Tybalt'), said('Paris', 'm2', 'hi'));
    conversation
      .fromClient(join(resume('id-1id-2', 4)))
      .expectVerdict('handled presence-session-asked')
      .expectSent('server', `<presence to='${ROOM}/Juliet'/>`)
      .expectSent('client', goneFor('Tybalt', 'id-1id-3', 1))
      .expectSent('client', marked(here('Paris'), 'id-1id-3', 2))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-3', 3))
      .expectSent('client', marked(said('Paris', 'm2', 'hi', delay(0)), 'id-1id-3', 4))
      .expectSent('client', marked(subject('Tea'), 'id-1id-3', 5))
      .end();
  });
});

/** In a play of `comesBack`, whose first two ids are for the view and the question to the archive. */
const ARCHIVE_QUERY = `<query xmlns='${NS.mam2}' queryid='id-2'><x xmlns='${NS.dataForms}' type='submit'><field var='FORM_TYPE' type='hidden'><value>${NS.mam2}</value></field><field var='start'><value>${new Date(WALL_CLOCK + 1_000_000 - 10_000).toISOString()}</value></field></x><set xmlns='${NS.resultSets}'><max>200</max><before/></set></query>`;

describe('§4.2 a clean join instead', () => {
  const everything = (conversation: Play, ...codes: string[]) => {
    holds(conversation, here('Romeo'), here('Tybalt'), here('Juliet', '110', ...codes), subject('Tea'));
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', RESET)
      .expectSent('client', marked(here('Romeo'), 'id-1id-1', 1))
      .expectSent('client', marked(here('Tybalt'), 'id-1id-1', 2))
      .expectSent('client', marked(here('Juliet', '110', ...codes), 'id-1id-1', 3))
      .expectSent('client', TRUNCATED)
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 4))
      .end();
  };

  it('the stanza is not known, because more was sent than was written down', () => {
    everything(comesFromNowhere(been(), 'zz'));
  });

  it('the view is too old', () => {
    const domain = been({ settings: { age: 60 } });
    everything(
      play(presenceSession, { domain, now: 1_070_000 })
        .fromClient(join(resume('id-1id-2', 4)))
        .expectVerdict('handled presence-session-asked')
        .expectSent('server', join())
        .expectRequest(ROOM, INFO),
    );
  });

  it("another account's view serves nobody else", () => {
    const domain = been({ jid: 'nurse@capulet.lit/hall' });
    everything(comesFromNowhere(domain, 4));
  });

  it('the room was made anew', () => {
    everything(comesBack(been(), 4), '201');
  });

  it('the view is of another room', () => {
    const domain = been();
    const other = 'hall@chats.shakespeare.lit';
    const elsewhere = (stanza: string) => stanza.replaceAll(ROOM, other);
    const conversation = play(presenceSession, { domain })
      .fromClient(elsewhere(join(resume('id-1id-2', 4))))
      .expectVerdict('handled presence-session-asked')
      .expectSent('server', elsewhere(join()))
      .expectRequest(other, INFO);
    holds(conversation, elsewhere(here('Juliet', '110')));
    conversation
      .answerIq(other, info())
      .expectSent('client', elsewhere(RESET))
      .expectSent('client', elsewhere(marked(here('Juliet', '110'), 'id-1id-1', 1)))
      .expectSent('client', elsewhere(TRUNCATED))
      .end();
  });

  it('the difference is more than the whole', () => {
    const conversation = comesBack(been({}, ['Romeo', 'Tybalt', 'Paris']), 5);
    holds(conversation, here('Nurse'), here('Juliet', '110'), said('Romeo', 'm1', 'heard', delay(0)));
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', RESET)
      .expectSent('client', marked(here('Nurse'), 'id-1id-1', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .end();
  });

  it('the difference is more bytes than the whole, though fewer stanzas', () => {
    // Who has left has a nick that is longer than everybody's presence together.
    const long = 'Sir John'.repeat(120);
    const conversation = comesBack(been({}, ['Romeo', long, 'Tybalt']), 5);
    holds(conversation, here('Romeo'), here('Tybalt'), here('Juliet', '110'));
    holds(conversation, said('Romeo', 'm1', 'heard', delay(0)));
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', RESET)
      .expectSent('client', marked(here('Romeo'), 'id-1id-1', 1))
      .expectSent('client', marked(here('Tybalt'), 'id-1id-1', 2))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 3))
      .end();
  });

  it('the room was destroyed: what is made anew in its place is another one', () => {
    const domain = new FakeDomain();
    const before = play(presenceSession, { domain })
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    const destroyed = gone('Juliet').replace('</x>', `<destroy/></x>`);
    annotates(before, 'id-1id-2', 1, here('Romeo'), here('Tybalt'), here('Juliet', '110'), destroyed);
    before.close().end();
    expect([...domain.store.keys()].filter((key) => key.includes('view'))).toEqual([]);
    everything(comesFromNowhere(domain, 3));
  });

  it('a view learnt as a moderator is not kept past the role', () => {
    const moderator = (stanza: string) => stanza.replace("role='participant'", "role='moderator'");
    const domain = new FakeDomain();
    const before = play(presenceSession, { domain })
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(before, 'id-1id-2', 1, here('Romeo'), here('Tybalt'), moderator(here('Juliet', '110')));
    annotates(before, 'id-1id-2', 4, here('Nurse'), gone('Nurse'));
    before.close().end();
    everything(comesBack(domain, 3, {}, '', SO_MANY));
  });

  it('the role is lost while in the room: what was shown before is void', () => {
    const moderator = (stanza: string) => stanza.replace("role='participant'", "role='moderator'");
    const domain = new FakeDomain();
    const before = play(presenceSession, { domain })
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(before, 'id-1id-2', 1, here('Romeo'), moderator(here('Juliet', '110')), here('Juliet', '110'));
    before.close().end();
    everything(comesFromNowhere(domain, 2));
  });
});

describe('§4.3 only what was not seen', () => {
  /** The room's answer with a history. */
  const back = (conversation: Play, ...history: string[]) =>
    holds(conversation, here('Romeo'), here('Tybalt'), here('Juliet', '110'), ...history, subject('Tea'));
  const heard = said('Romeo', 'm1', 'heard', delay(0));
  const missed = [2, 3, 4].map((n) => said('Romeo', `m${n}`, `missed ${n}`, delay(n * 10)));

  it('what was missed, in full, and nothing of before', () => {
    const conversation = back(comesBack(been(), 4), said('Romeo', 'm0', 'old', delay(-9)), heard, ...missed);
    conversation.answerIq(ROOM, info()).expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1));
    missed.forEach(
      (message, n) => void conversation.expectSent('client', marked(message, 'id-1id-1', n + 2)),
    );
    conversation.expectSent('client', marked(subject('Tea'), 'id-1id-1', 5)).end();
  });

  it.each([
    ['maxstanzas', "maxstanzas='2'", [3, 4]],
    ['seconds', "seconds='35'", [3, 4]],
    ['since', `since='${new Date(WALL_CLOCK + 1_035_000).toISOString()}'`, [4]],
    ['maxchars', `maxchars='${missed[2]!.length + 5}'`, [4]],
    ['maxchars 0', "maxchars='0'", []],
  ])('%s, and the client is told that it is not all', (_, limit, left) => {
    const conversation = back(comesBack(been(), 4, {}, `<history ${limit}/>`), heard, ...missed);
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', TRUNCATED);
    left.forEach((n, index) => {
      conversation.expectSent('client', marked(missed[n - 2]!, 'id-1id-1', index + 2));
    });
    conversation.expectSent('client', marked(subject('Tea'), 'id-1id-1', left.length + 2)).end();
  });

  it('the history begins behind what was seen, and there is no archive: it is said that something may be missing', () => {
    const conversation = back(comesBack(been(), 4), ...missed);
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', TRUNCATED);
    missed.forEach(
      (message, n) => void conversation.expectSent('client', marked(message, 'id-1id-1', n + 2)),
    );
    conversation.expectSent('client', marked(subject('Tea'), 'id-1id-1', 5)).end();
  });

  it('the archive has what the history has not, and each message comes once', () => {
    const result = (n: number, message: string, seconds: number) =>
      `<message from='${ROOM}' to='${FULL}'><result xmlns='${NS.mam2}' queryid='id-2' id='s${n}'><forwarded xmlns='${NS.forward0}'>${delay(seconds)}<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/Romeo' id='m${n}'><body>${message}</body></message></forwarded></result></message>`;
    const archived = (n: number, body: string, seconds: number) =>
      `<message to='${FULL}' from='${ROOM}/Romeo' type='groupchat' id='m${n}'><body>${body}</body>${delay(seconds)}<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='s${n}'/></message>`;
    const conversation = back(comesBack(been(), 4), missed[2]!);
    conversation
      .answerIq(ROOM, info(NS.mam2))
      .expectRequest(ROOM, ARCHIVE_QUERY)
      .fromServer(result(1, 'heard', 0))
      .expectVerdict('handled presence-session-held')
      .fromServer(result(2, 'missed 2', 20))
      .expectVerdict('handled presence-session-held')
      .fromServer(result(3, 'missed 3', 30))
      .expectVerdict('handled presence-session-held')
      .fromServer(result(4, 'missed 4', 40))
      .expectVerdict('handled presence-session-held')
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', marked(archived(2, 'missed 2', 20), 'id-1id-1', 2))
      .expectSent('client', marked(archived(3, 'missed 3', 30), 'id-1id-1', 3))
      .expectSent('client', marked(archived(4, 'missed 4', 40), 'id-1id-1', 4))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 5))
      .end();
  });

  it("somebody else's answers are no archive of the room", () => {
    const conversation = comesBack(been(), 4);
    const forged = `<message from='hall@chats.shakespeare.lit' to='${FULL}'><result xmlns='${NS.mam2}' queryid='id-2' id='s1'><forwarded xmlns='${NS.forward0}'>${delay(1)}<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/Romeo'><body>x</body></message></forwarded></result></message>`;
    back(conversation);
    conversation
      .answerIq(ROOM, info(NS.mam2))
      .expectRequest(ROOM, ARCHIVE_QUERY)
      .fromServer(forged)
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 2))
      .end();
  });

  it('what is said while the answer is held comes last', () => {
    const conversation = back(comesBack(been(), 4), heard);
    holds(conversation, said('Tybalt', 'm9', 'now'));
    conversation
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 2))
      .expectSent('client', marked(said('Tybalt', 'm9', 'now'), 'id-1id-1', 3))
      .end();
  });
});

describe('§4.3 each message once', () => {
  const back = (conversation: Play, ...history: string[]) =>
    holds(conversation, here('Romeo'), here('Tybalt'), here('Juliet', '110'), ...history, subject('Tea'));
  const stanzaId = (id: string) => `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${id}'/>`;
  const result = (id: string, message: string, stamp: string) =>
    `<message from='${ROOM}' to='${FULL}'><result xmlns='${NS.mam2}' queryid='id-2' id='${id}'><forwarded xmlns='${NS.forward0}'>${stamp}${message}</forwarded></result></message>`;
  const archived = (id: string, body: string) =>
    `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/Romeo' id='${id}'><body>${body}</body></message>`;
  const told = (id: string, body: string, stamp: string, archiveId: string) =>
    `<message to='${FULL}' from='${ROOM}/Romeo' type='groupchat' id='${id}'><body>${body}</body>${stamp}${stanzaId(archiveId)}</message>`;
  const asksArchive = (conversation: Play, ...results: string[]) => {
    conversation.answerIq(ROOM, info(NS.mam2)).expectRequest(ROOM, ARCHIVE_QUERY);
    for (const each of results) conversation.fromServer(each).expectVerdict('handled presence-session-held');
    return conversation
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1));
  };

  it('by stanza-id, although the rest differs', () => {
    // The room has stamped it once for its history and once, later, for its archive.
    const conversation = back(
      comesBack(been(), 4),
      said('Romeo', 'm2', 'missed', stanzaId('s2') + delay(20)),
    );
    asksArchive(conversation, result('s2', archived('m2', 'missed'), delay(29)))
      .expectSent('client', marked(told('m2', 'missed', delay(29), 's2'), 'id-1id-1', 2))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 3))
      .end();
  });

  it('else by sender, id, stamp and body: what was said twice is told twice', () => {
    const twice = [20, 40].map((seconds) => said('Romeo', 'm2', 'again', delay(seconds)));
    const conversation = back(comesBack(been(), 4), twice[1]!);
    asksArchive(
      conversation,
      result('s2', archived('m2', 'again'), delay(20)),
      result('s3', archived('m2', 'again'), delay(40)),
    )
      .expectSent('client', marked(told('m2', 'again', delay(20), 's2'), 'id-1id-1', 2))
      .expectSent('client', marked(told('m2', 'again', delay(40), 's3'), 'id-1id-1', 3))
      .expectSent('client', marked(subject('Tea'), 'id-1id-1', 4))
      .end();
  });
});

describe('§4.3 an answer that is cut off', () => {
  it('what was missed is still missed by who has had no more than the presences', () => {
    const domain = been();
    const missed = said('Romeo', 'm2', 'missed', delay(30));
    const heard = said('Romeo', 'm1', 'heard', delay(0));
    const first = comesBack(domain, 4);
    holds(first, here('Romeo'), here('Tybalt'), here('Juliet', '110'), heard, missed);
    first
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', marked(missed, 'id-1id-1', 2))
      .close()
      .end();
    const second = play(presenceSession, { domain, now: 1_130_000 })
      .fromClient(join(resume('id-1id-1', 1)))
      .expectVerdict('handled presence-session-asked')
      .expectSent('server', asked(ALL_SINCE))
      .expectRequest(ROOM, INFO);
    holds(second, here('Romeo'), here('Tybalt'), here('Juliet', '110'), heard, missed);
    second
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', marked(missed, 'id-1id-1', 2))
      .end();
  });

  it('"truncated" is told again to who has not had it', () => {
    const domain = been();
    const missed = said('Romeo', 'm2', 'missed', delay(30));
    const heard = said('Romeo', 'm1', 'heard', delay(0));
    const nothing = "<history maxstanzas='0'/>";
    const first = comesBack(domain, 4, {}, nothing);
    holds(first, here('Romeo'), here('Tybalt'), here('Juliet', '110'), heard, missed);
    first
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', TRUNCATED)
      .close()
      .end();
    const second = play(presenceSession, { domain, now: 1_130_000 })
      .fromClient(join(resume('id-1id-1', 1), nothing))
      .expectVerdict('handled presence-session-asked')
      .expectSent('server', asked(ALL_SINCE))
      .expectRequest(ROOM, INFO);
    holds(second, here('Romeo'), here('Tybalt'), here('Juliet', '110'), heard, missed);
    second
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .expectSent('client', TRUNCATED)
      .end();
  });

  it('a process that is killed while a join is held: the same stanza is named again, and nothing is lost', () => {
    const domain = been();
    const missed = said('Romeo', 'm2', 'missed', delay(30));
    const heard = said('Romeo', 'm1', 'heard', delay(0));
    const first = comesBack(domain, 4);
    holds(first, here('Romeo'), here('Juliet', '110'), heard, missed, said('Romeo', 'm3', 'live'));
    // Nothing of what was held is written, and nothing of before is gone.
    const killed = new FakeDomain();
    for (const [key, value] of domain.store) killed.store.set(key, value);
    first.answerIq(ROOM, 'timeout').end();
    const second = comesBack(killed, 4);
    const live = said('Romeo', 'm3', 'live', delay(60));
    holds(second, here('Romeo'), here('Juliet', '110'), heard, missed, live);
    second
      .answerIq(ROOM, info())
      .expectSent('client', goneFor('Tybalt', 'id-1id-1', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .expectSent('client', marked(missed, 'id-1id-1', 3))
      .expectSent('client', marked(live, 'id-1id-1', 4))
      .end();
  });
});

describe('what does not go as it should', () => {
  it('a room that refuses is passed on as it is', () => {
    const refusal = error(`${ROOM}/Juliet`, 'conflict');
    comesBack(been(), 4).fromServer(refusal).answerIq(ROOM, { error: 'forbidden' }).end();
  });

  it('a room that never confirms: what has come is passed on as a full join, and the rest as it comes', () => {
    const conversation = comesBack(been(), 4, { settings: { answerTime: 10 } });
    holds(conversation, here('Romeo'));
    conversation.answerIq(ROOM, info());
    conversation
      .wake(10_000)
      .expectRequest('capulet.lit', INFO)
      .expectRequest('juliet@capulet.lit', INFO)
      .expectSent('client', RESET)
      .expectSent('client', marked(here('Romeo'), 'id-1id-1', 1))
      .answerIq('capulet.lit', 'timeout')
      .answerIq('juliet@capulet.lit', 'timeout')
      .fromServer(here('Juliet', '110'))
      .expectVerdict('changed presence-session-annotated', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .expectSent('client', TRUNCATED)
      .end();
  });

  it('a room that does not answer the last question is through when it has been quiet', () => {
    const conversation = comesBack(been(), 4);
    holds(conversation, here('Romeo'), here('Tybalt'), here('Juliet', '110'));
    holds(conversation, said('Romeo', 'm1', 'heard', delay(0)));
    conversation
      .answerIq(ROOM, 'timeout')
      .wake(5_000)
      .expectRequest('capulet.lit', INFO)
      .expectRequest('juliet@capulet.lit', INFO)
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 1))
      .answerIq('capulet.lit', 'timeout')
      .answerIq('juliet@capulet.lit', 'timeout')
      .end();
  });

  it('more than may be held is passed on', () => {
    const conversation = comesBack(been(), 4, { settings: { heldBytes: 65_536 } });
    const long = here('Romeo').replace('<x', `<status>${'a'.repeat(70_000)}</status><x`);
    conversation
      .fromServer(long)
      .expectVerdict('handled presence-session-held')
      .expectSent('client', RESET)
      .expectSent('client', marked(long, 'id-1id-1', 1))
      .answerIq(ROOM, info())
      .end();
  });

  it('a session that another process goes on with is marked on, and can be come back to', () => {
    const domain = new FakeDomain();
    const before = play(presenceSession, { domain })
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(before, 'id-1id-2', 1, here('Romeo'), here('Tybalt'), here('Juliet', '110'));
    annotates(before, 'id-1id-2', 4, said('Romeo', 'm1', 'heard'));
    const snapshot = before.snapshots();
    before.end();
    const after = play(presenceSession, { domain, snapshot });
    annotates(after, 'id-1id-2', 5, gone('Tybalt'), here('Paris'));
    after.close().end();
    const back = comesBack(domain, 5);
    holds(back, here('Romeo'), here('Paris'), here('Juliet', '110'), said('Romeo', 'm1', 'heard', delay(0)));
    back
      .answerIq(ROOM, info())
      .expectSent('client', marked(here('Paris'), 'id-1id-1', 1))
      .expectSent('client', marked(here('Juliet', '110'), 'id-1id-1', 2))
      .end();
  });

  it('an account keeps no more than its budget, and the oldest goes first', () => {
    const domain = been();
    const size = [...domain.store].find(([key]) => key.includes('view-body'))![1].length;
    const conversation = play(presenceSession, {
      domain,
      now: 2_000_000,
      settings: { bytesPerAccount: size + 50 },
    })
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(conversation, 'id-1id-2', 1, here('Juliet', '110'), gone('Juliet', '110'));
    conversation.end();
    const sessions = [...domain.store.keys()].filter((key) => key.includes('view-body'));
    expect(sessions).toHaveLength(1);
  });
});

describe('who enters and leaves all the time', () => {
  it('has so many views and no more, however small they are', () => {
    const domain = been();
    const { store } = domain;
    const kept = [...store];
    for (let n = 0; n < MOST_VIEWS + 100; n += 1)
      for (const [key, value] of kept) store.set(`${key}${n}`, value);
    const conversation = play(presenceSession, { domain, now: 2_000_000 })
      .fromClient(join(ASK))
      .expectVerdict('changed presence-session-asked', join());
    annotates(conversation, 'id-1id-2', 1, here('Juliet', '110'), gone('Juliet', '110'));
    conversation.end();
    for (const part of ['view-head', 'view-body'])
      expect([...store.keys()].filter((key) => key.includes(part))).toHaveLength(MOST_VIEWS);
  });
});

describe('XEP-0436', () => {
  const version = (ver: string) => `<version xmlns='${NS.presenceVersioning}' ver='${ver}'/>`;
  const versioned = (stanza: string, ver: string) => stanza.replace(/(<x [^>]*>)/, `$1${version(ver)}`);
  const enter = (ver: string) =>
    `<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/><x xmlns='${NS.mucUser}'>${version(ver)}</x></presence>`;

  const been436 = () => {
    const domain = new FakeDomain();
    const conversation = play(presenceSession, { domain })
      .fromClient(enter(''))
      .expectVerdict('changed presence-session-asked', join());
    const all = [here('Romeo'), here('Tybalt'), here('Juliet', '110')];
    all.forEach((stanza, index) => {
      conversation
        .fromServer(stanza)
        .expectVerdict('changed presence-session-annotated', versioned(stanza, `id-1id-2.${index + 1}`));
    });
    const message = said('Romeo', 'm1', 'hi');
    conversation.fromServer(message).expectVerdict('changed presence-session-annotated', message);
    conversation.close().end();
    return domain;
  };

  it('every presence has a version, and only what has changed comes again', () => {
    const conversation = play(presenceSession, { domain: been436() })
      .fromClient(enter('id-1id-2.3'))
      .expectVerdict('changed presence-session-asked', join())
      .expectRequest(ROOM, INFO);
    const old = said('Romeo', 'm1', 'hi', delay(0));
    holds(conversation, here('Romeo'), here('Paris'), here('Juliet', '110'), old, subject('Tea'));
    conversation
      .answerIq(ROOM, info())
      .expectSent(
        'client',
        `<presence from='${ROOM}/Tybalt' to='${FULL}' type='unavailable'><x xmlns='${NS.mucUser}'>${version('id-1id-1.1')}<item affiliation='none' role='none'/></x></presence>`,
      )
      .expectSent('client', versioned(here('Paris'), 'id-1id-1.2'))
      .expectSent('client', versioned(here('Juliet', '110'), 'id-1id-1.3'))
      .expectSent('client', old)
      .expectSent('client', subject('Tea'))
      .end();
  });

  it('a version that is not known is answered with a reset token and everything', () => {
    const conversation = play(presenceSession, { domain: been436() })
      .fromClient(enter('ver16'))
      .expectVerdict('changed presence-session-asked', join())
      .expectRequest(ROOM, INFO);
    holds(conversation, here('Romeo'), here('Juliet', '110'));
    conversation
      .answerIq(ROOM, info())
      .expectSent(
        'client',
        `<presence from='${ROOM}' to='${FULL}'><x xmlns='${NS.mucUser}'><reset xmlns='${NS.presenceVersioning}' ver='id-1id-2.0'/></x></presence>`,
      )
      .expectSent('client', versioned(here('Romeo'), 'id-1id-2.1'))
      .expectSent('client', versioned(here('Juliet', '110'), 'id-1id-2.2'))
      .end();
  });

  it('a room says that it knows it', () => {
    const conversation = play(presenceSession);
    const answer = { from: ROOM, node: undefined, features: new Set<string>(), entity: 'muc-room' } as const;
    expect(conversation.disco(answer)?.add).toContain(NS.presenceVersioning);
    conversation.end();
  });
});
