import { describe, expect, it } from 'vitest';
import type { RoomChange } from '../../../src/knowledge/rooms/room.js';
import { type RoomsSession, rooms, roomsUpTo } from '../../../src/knowledge/rooms/rooms.js';
import type { Knowledge } from '../../../src/session/feature.js';
import { type Playbook, play, type Scene } from '../features/playbook.js';
import { destroyed, error, gone, here, join, leave, ping, pong, ROOM } from './room-stanzas.js';

/** A playbook that also looks at the changes told; `told` has to name them all. */
class RoomPlay {
  readonly #changes: RoomChange[] = [];
  readonly #book: Playbook<RoomsSession>;

  constructor(knowledge: Knowledge<RoomsSession> = rooms, scene?: Scene) {
    this.#book = play(knowledge, scene);
    this.#book.session.onChange((change) => this.#changes.push(change));
  }

  client(xml: string): this {
    this.#book.fromClient(xml);
    return this;
  }

  server(xml: string): this {
    this.#book.fromServer(xml);
    return this;
  }

  /** What became different since last time, without the room's address where it is the usual one. */
  told(...changes: readonly (Omit<RoomChange, 'room'> & Record<string, unknown>)[]): this {
    expect(this.#changes.splice(0)).toEqual(changes.map((change) => ({ room: ROOM, ...change })));
    return this;
  }

  is(state: string, nick?: string): this {
    expect([this.#book.session.isRoom(ROOM), this.#book.session.nickIn(ROOM)]).toEqual([state, nick]);
    return this;
  }

  get book(): Playbook<RoomsSession> {
    return this.#book;
  }

  end(): void {
    this.told();
    this.#book.end();
  }
}

const JOINING = { kind: 'joining', nick: 'Juliet', again: false } as const;
const JOINED = { kind: 'joined', nick: 'Juliet', again: false, created: false } as const;
const inRoom = () =>
  new RoomPlay()
    .client(join('Juliet'))
    .server(here('Romeo'))
    .server(here('Juliet', '110'))
    .told(JOINING, JOINED)
    .is('joined', 'Juliet');

describe('entering', () => {
  it('12.12 join completion: is over when the room says that one is there', () => {
    new RoomPlay()
      .is('unknown')
      .client(join('Juliet'))
      .is('joining')
      .server(here('Romeo'))
      .is('joining')
      .server(here('Juliet', '110'))
      .told(JOINING, JOINED)
      .is('joined', 'Juliet')
      .end();
  });

  it('tells that the room is new', () => {
    new RoomPlay()
      .client(join('Juliet'))
      .server(here('Juliet', '110', '201'))
      .told(JOINING, { ...JOINED, created: true })
      .end();
  });

  it('takes the nick that the room assigns (210)', () => {
    new RoomPlay()
      .client(join('Juliet'))
      .server(here('Juliet2', '110', '210'))
      .told(JOINING, { ...JOINED, nick: 'Juliet2' })
      .is('joined', 'Juliet2')
      .end();
  });

  it.each(['conflict', 'forbidden', 'registration-required', 'not-authorized', 'service-unavailable'])(
    'fails with %s, also when it comes from the bare JID of the room',
    (condition) => {
      for (const from of [`${ROOM}/Juliet`, ROOM]) {
        new RoomPlay()
          .client(join('Juliet'))
          .server(error(from, condition))
          .told(JOINING, { kind: 'join-failed', nick: 'Juliet', condition })
          .is('was')
          .end();
      }
    },
  );

  it('is not failed by an error about another nick', () => {
    new RoomPlay()
      .client(join('Juliet'))
      .server(error(`${ROOM}/Romeo`, 'conflict'))
      .told(JOINING)
      .is('joining')
      .end();
  });

  it('can be tried again with another nick before the first answer', () => {
    new RoomPlay()
      .client(join('Juliet'))
      .client(join('Jule'))
      .server(error(`${ROOM}/Juliet`, 'conflict'))
      .server(here('Jule', '110'))
      .told(
        JOINING,
        { ...JOINING, nick: 'Jule' },
        { kind: 'join-failed', nick: 'Juliet', condition: 'conflict' },
        { ...JOINED, nick: 'Jule' },
      )
      .end();
  });

  it('may be given up', () => {
    new RoomPlay()
      .client(join('Juliet'))
      .client(leave('Juliet'))
      .told(JOINING, { kind: 'join-failed', nick: 'Juliet' })
      .is('was')
      .end();
  });

  it('works without <x/>: an available presence may be a groupchat 1.0 join', () => {
    new RoomPlay()
      .client(`<presence to='${ROOM}/Juliet'/>`)
      .is('joining')
      .told()
      .server(here('Juliet', '110'))
      .told(JOINED)
      .is('joined', 'Juliet')
      .end();
  });

  it('while being in means: tell me everything again', () => {
    inRoom()
      .client(join('Juliet'))
      .server(here('Romeo'))
      .server(here('Juliet', '110'))
      .told({ ...JOINING, again: true }, { ...JOINED, again: true })
      .end();
  });

  it('compares addresses as they are prepared', () => {
    new RoomPlay()
      .client(join('Juliet').replace(ROOM, ROOM.toUpperCase()))
      .server(here('Juliet', '110'))
      .told(JOINING, JOINED)
      .is('joined', 'Juliet')
      .end();
  });
});

describe('what is not one’s own', () => {
  it('changes nothing: others coming, going, being kicked and banned', () => {
    inRoom()
      .server(here('Romeo'))
      .server(gone('Romeo'))
      .server(gone('Tybalt', '307'))
      .server(gone('Tybalt', '301'))
      .server(gone('Paris', '303'))
      .server(error(`${ROOM}/Romeo`, 'service-unavailable'))
      .is('joined', 'Juliet')
      .end();
  });

  it('does not come from the bare room JID, which ejabberd uses for its capabilities and ahead of an end', () => {
    inRoom()
      .server(
        `<presence from='${ROOM}'><c xmlns='http://jabber.org/protocol/caps' node='n' ver='v'/></presence>`,
      )
      .server(`<presence from='${ROOM}' type='unavailable'/>`)
      .is('joined', 'Juliet')
      .end();
  });

  it('cannot be played by a contact to whom no presence was sent', () => {
    new RoomPlay()
      .server(
        `<presence from='tybalt@capulet.lit/x'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>`,
      )
      .is('unknown')
      .end();
  });

  it('cannot be said by an occupant: what the room adds stands last (mu-conference reflects the rest)', () => {
    inRoom()
      .server(
        `<presence from='${ROOM}/Tybalt' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/><destroy/></x><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>`,
      )
      .is('joined', 'Juliet')
      .end();
  });

  it('is not known from the child of another namespace', () => {
    inRoom()
      .server(
        `<presence from='${ROOM}/Juliet' type='unavailable'><x xmlns='other'><status code='307'/></x></presence>`,
      )
      .is('joined', 'Juliet')
      .end();
  });
});

describe('a nick change', () => {
  it('is told with the presence of the new nick', () => {
    inRoom()
      .client(`<presence to='${ROOM}/Jule'/>`)
      .server(gone('Juliet', '303', '110'))
      .is('joined', 'Juliet')
      .server(here('Jule', '110'))
      .told({ kind: 'nick-changed', from: 'Juliet', to: 'Jule' })
      .is('joined', 'Jule')
      .end();
  });

  it('comes without notice on ejabberd when the nick was shared with another session', () => {
    inRoom()
      .client(`<presence to='${ROOM}/Jule'/>`)
      .server(here('Jule', '110'))
      .told({ kind: 'nick-changed', from: 'Juliet', to: 'Jule' })
      .end();
  });

  it('may be refused', () => {
    inRoom()
      .client(`<presence to='${ROOM}/Romeo'/>`)
      .server(error(`${ROOM}/Romeo`, 'conflict'))
      .told({ kind: 'nick-refused', nick: 'Romeo', condition: 'conflict' })
      .is('joined', 'Juliet')
      .end();
  });
});

describe('the end of being in a room', () => {
  const out = (cause: string) => ({ kind: 'left', nick: 'Juliet', cause }) as const;

  it('is leaving', () => {
    inRoom()
      .client(leave('Juliet'))
      .is('joined', 'Juliet')
      .server(gone('Juliet', '110'))
      .told(out('left'))
      .is('was')
      .end();
  });

  it.each([
    ['kicked', ['307', '110']],
    ['kicked', ['307']],
    ['banned', ['301', '110']],
    ['affiliation-changed', ['321', '110']],
    ['members-only', ['322', '110']],
    ['service-shutdown', ['332', '110']],
    ['undeliverable', ['333', '307', '110']],
    ['unexplained', ['110']],
    ['unexplained', []],
  ])('is being %s when the room says %j', (cause, codes) => {
    inRoom()
      .server(gone('Juliet', ...codes))
      .told(out(cause))
      .is('was')
      .end();
  });

  it.each([
    ['with 110 (Prosody)', '110'],
    ['without 110 (ejabberd, mu-conference)', ''],
  ])('is the destruction of the room, %s', (_, code) => {
    inRoom()
      .server(destroyed('Juliet', 'Too loud', code, 'garden@chats.shakespeare.lit'))
      .told({ ...out('destroyed'), alternative: 'garden@chats.shakespeare.lit' })
      .is('was')
      .end();
  });

  it('12.14 is a shutdown when mu-conference says that it destroys all rooms', () => {
    inRoom()
      .server(destroyed('Juliet', 'The conference component is shutting down', ''))
      .told(out('service-shutdown'))
      .end();
  });

  it('is going unavailable for everybody; nobody tells the session', () => {
    inRoom()
      .client(`<presence type='unavailable' to='romeo@montague.lit'/>`)
      .is('joined', 'Juliet')
      .client(`<presence type='unavailable'/>`)
      .told(out('went-unavailable'))
      .is('was')
      .server(here('Juliet', '110'))
      .is('was')
      .end();
  });

  it('and a new beginning may overlap', () => {
    inRoom()
      .client(leave('Juliet'))
      .client(join('Juliet'))
      .told(JOINING)
      .server(gone('Juliet', '110'))
      .told(out('left'))
      .is('joining')
      .server(here('Juliet', '110'))
      .told(JOINED)
      .end();
  });

  it('shows in the answer to a presence update', () => {
    inRoom()
      .client(`<presence to='${ROOM}/Juliet'><show>away</show></presence>`)
      .server(error(`${ROOM}/Juliet`, 'item-not-found'))
      .told(out('not-an-occupant'))
      .is('was')
      .end();
  });

  it('shows in the answer to a second join, but not when the room cannot be reached', () => {
    const again = { ...JOINING, again: true };
    inRoom()
      .client(join('Juliet'))
      .server(error(`${ROOM}/Juliet`, 'conflict'))
      .told(again, out('not-an-occupant'), { kind: 'join-failed', nick: 'Juliet', condition: 'conflict' })
      .is('was')
      .end();
    inRoom()
      .client(join('Juliet'))
      .server(error(`${ROOM}/Juliet`, 'remote-server-timeout'))
      .told(again, { kind: 'join-failed', nick: 'Juliet', condition: 'remote-server-timeout' })
      .is('joined', 'Juliet')
      .end();
  });
});

describe('a self-ping of the client’s (XEP-0410 §3.2)', () => {
  it.each(['not-acceptable', 'not-allowed', 'bad-request'])('answered with %s means out', (condition) => {
    inRoom()
      .client(ping('Juliet', 'p1'))
      .server(pong('Juliet', 'p1', condition))
      .told({ kind: 'left', nick: 'Juliet', cause: 'not-an-occupant' })
      .is('was')
      .end();
  });

  it.each([undefined, 'service-unavailable', 'feature-not-implemented'])(
    'answered with %s means in',
    (condition) => {
      inRoom()
        .client(ping('Juliet', 'p1'))
        .server(pong('Juliet', 'p1', condition))
        .told({ kind: 'confirmed', nick: 'Juliet' })
        .is('joined', 'Juliet')
        .end();
    },
  );

  it.each(['item-not-found', 'remote-server-not-found', 'remote-server-timeout', 'internal-server-error'])(
    'answered with %s shows nothing',
    (condition) => {
      inRoom()
        .client(ping('Juliet', 'p1'))
        .server(pong('Juliet', 'p1', condition))
        .is('joined', 'Juliet')
        .end();
    },
  );

  it('12.13 comes back as it is on mu-conference; that alone shows nothing', () => {
    inRoom()
      .client(ping('Juliet', 'p1'))
      .server(`<iq type='get' id='p1' from='${ROOM}/Juliet'><ping xmlns='urn:xmpp:ping'/></iq>`)
      .client(`<iq type='result' id='p1' to='${ROOM}/Juliet'/>`)
      .told()
      .server(pong('Juliet', 'p1'))
      .told({ kind: 'confirmed', nick: 'Juliet' })
      .end();
  });

  it('counts only by id and sender, and for what it was sent to', () => {
    inRoom()
      .client(ping('Romeo', 'p0'))
      .server(pong('Romeo', 'p0', 'not-acceptable'))
      .client(ping('Juliet', 'p1'))
      .server(pong('Juliet', 'p2', 'not-acceptable'))
      .server(pong('Romeo', 'p1', 'not-acceptable'))
      .server(here('Jule', '110'))
      .server(pong('Juliet', 'p1', 'not-acceptable'))
      .told({ kind: 'nick-changed', from: 'Juliet', to: 'Jule' })
      .is('joined', 'Jule')
      .end();
  });
});

describe('a self-ping of the proxy’s', () => {
  it('takes in what it shows', () => {
    const stage = inRoom();
    const verdicts: string[] = [];
    stage.book
      .see((session) => session.selfPing('other@chats.shakespeare.lit', (verdict) => verdicts.push(verdict)))
      .see(() => expect(verdicts).toEqual(['out']));
    for (const answer of ['timeout', { error: 'item-not-found' }, '', { error: 'not-acceptable' }] as const) {
      stage.book.session.selfPing(ROOM, (verdict) => verdicts.push(verdict));
      stage.book
        .expectRequest(`${ROOM}/Juliet`, `<ping xmlns='urn:xmpp:ping'/>`)
        .answerIq(`${ROOM}/Juliet`, answer);
    }
    expect(verdicts).toEqual(['out', 'unclear', 'unclear', 'in', 'out']);
    stage
      .told({ kind: 'confirmed', nick: 'Juliet' }, { kind: 'left', nick: 'Juliet', cause: 'not-an-occupant' })
      .end();
  });
});

describe('too many addresses', () => {
  it('are forgotten on the side of caution', () => {
    const stage = new RoomPlay(roomsUpTo(2))
      .client(join('Juliet'))
      .server(here('Juliet', '110'))
      .told(JOINING, JOINED)
      .client(`<presence to='a@x.lit/r'/>`)
      .client(`<presence to='b@y.lit/r'/>`)
      .client(`<presence to='c@z.lit/r'/>`)
      .is('joined', 'Juliet');
    stage.book
      .see((session) => {
        expect(session.isRoom('c@z.lit')).toBe('joining');
        expect(session.isRoom('a@x.lit')).toBe('was');
        expect(session.isRoom('never-heard-of@y.lit')).toBe('was');
        expect(session.isRoom('never-heard-of@z.lit')).toBe('unknown');
      })
      .fromClient(`<presence to='c@z.lit/r'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
      .fromServer(here('r', '110').replace(ROOM, 'c@z.lit'))
      .fromClient(`<presence to='d@z.lit/r'/>`);
    stage
      .is('was')
      .told(
        { kind: 'joining', room: 'c@z.lit', nick: 'r', again: false },
        { kind: 'joined', room: 'c@z.lit', nick: 'r', again: false, created: false },
        { kind: 'left', nick: 'Juliet', cause: 'forgotten' },
      );
    for (let n = 0; n < 100; n++) stage.client(`<presence to='r@domain${n}.lit/r'/>`);
    stage.book.see((session) => expect(session.isRoom('anybody@anywhere.lit')).toBe('was'));
    stage.end();
  });
});

describe('when the process is stopped and the next one goes on with the session', () => {
  const goneOnWith = (before: RoomPlay) => {
    const snapshot = before.book.snapshots();
    before.end();
    return new RoomPlay(rooms, { snapshot });
  };

  it('is in the rooms it was in', () => {
    goneOnWith(inRoom()).is('joined', 'Juliet').end();
  });

  it('gets in where the room has not answered before', () => {
    const before = new RoomPlay().client(join('Juliet')).told(JOINING);
    goneOnWith(before).is('joining').server(here('Juliet', '110')).told(JOINED).is('joined', 'Juliet').end();
  });

  it('has another nick where it had asked for one', () => {
    const before = inRoom().client(`<presence to='${ROOM}/Jule'/>`);
    goneOnWith(before)
      .is('joined', 'Juliet')
      .server(gone('Juliet', '110', '303'))
      .server(here('Jule', '110'))
      .told({ kind: 'nick-changed', from: 'Juliet', to: 'Jule' })
      .end();
  });

  it('is not brought back into a room by the answer to a join that it has made void', () => {
    const before = new RoomPlay()
      .client(join('Juliet'))
      .client(leave('Juliet'))
      .told(JOINING, { kind: 'join-failed', nick: 'Juliet' });
    goneOnWith(before).is('was').server(here('Juliet', '110')).is('was').end();
  });
});
