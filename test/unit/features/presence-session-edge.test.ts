import { describe, expect, it } from 'vitest';
import { presenceSession } from '../../../src/features/presence-session/presence-session.js';
import { NS } from '../../../src/xml/namespaces.js';
import { here, join } from '../knowledge/room-stanzas.js';
import { FakeDomain, play, type Scene } from './playbook.js';
import { ClientModel } from './presence-session-client.js';
import { ROOM as HALL, MemoryRoom } from './presence-session-room.js';
import { Clock, ProxiedSession, upstreamOf } from './presence-session-world.js';

const ROOM = 'orchard@chats.shakespeare.lit';
const FULL = 'juliet@capulet.lit/balcony';
const ASK = `<presence-session xmlns='${NS.presenceSession}'/>`;
const mark = (id: number) => `<presence-session xmlns='${NS.presenceSession}' session='s' id='${id}'/>`;
const marked = (stanza: string, id: number) => stanza.replace(/<\/(presence|message)>$/, `${mark(id)}</$1>`);
const toHer = (stanza: string) => stanza.replace('<presence', `<presence to='${FULL}'`);
const asking = (nick: string) => join(nick).replace('</presence>', `${ASK}</presence>`);
const resuming = (nick: string, id: number) =>
  `<presence to='${ROOM}/${nick}'><x xmlns='${NS.muc}'><history maxstanzas='200'/></x><presence-session xmlns='${NS.presenceSession}' type='resume' session='s' id='${id}'/></presence>`;
const INFO = `<query xmlns='${NS.discoInfo}' node='end'/>`;

/** A session of a legacy client in front of a room that knows the protocol. */
function legacy(scene: Scene = {}) {
  const conversation = play(presenceSession, scene);
  const features = new Set([NS.presenceSession]);
  conversation.disco({ from: ROOM, node: undefined, entity: 'muc-room', features });
  return conversation;
}

/** She enters, and nothing is kept of the room. */
const entersFirst = (scene: Scene) =>
  legacy(scene)
    .fromClient(join('Juliet'))
    .expectVerdict('handled presence-session-asked')
    .expectSent('server', asking('Juliet'));

/** She enters, and of the room there is what it was at this stanza. */
const comesBack = (scene: Scene, id: number) =>
  legacy(scene)
    .fromClient(join('Juliet'))
    .expectVerdict('changed presence-session-asked', resuming('Juliet', id));

/** She has been in the room with Romeo, and has had three stanzas. */
function been(): FakeDomain {
  const domain = new FakeDomain();
  entersFirst({ domain })
    .fromServer(marked(here('Romeo'), 1))
    .expectVerdict('changed presence-session-stripped', here('Romeo'))
    .fromServer(marked(here('Tybalt'), 2))
    .expectVerdict('changed presence-session-stripped', here('Tybalt'))
    .fromServer(marked(here('Juliet', '110'), 3))
    .expectVerdict('changed presence-session-stripped', here('Juliet', '110'))
    .close()
    .end();
  return domain;
}

describe('playing the client', () => {
  it('the first join asks, and nothing of the marks reaches the client', () => {
    been();
  });

  it('a later one resumes, and the client is told everything', () => {
    comesBack({ domain: been() }, 3)
      .fromServer(marked(here('Paris'), 4))
      .expectVerdict('handled presence-session-held')
      .fromServer(marked(here('Juliet', '110'), 5))
      .expectVerdict('handled presence-session-held')
      .expectSent('client', toHer(here('Romeo')))
      .expectSent('client', toHer(here('Tybalt')))
      .expectSent('client', toHer(here('Paris')))
      .expectSent('client', toHer(here('Juliet', '110')))
      .expectRequest(ROOM, INFO)
      .answerIq(ROOM, INFO)
      .end();
  });

  it('what an occupant puts in is not taken for the word of a room that leaves it there', () => {
    const domain = new FakeDomain();
    const evil = `<presence-session xmlns='${NS.presenceSession}' session='evil' id='9'/>`;
    const gap = `<presence-session xmlns='${NS.presenceSession}' type='truncated'/>`;
    const forged = here('Romeo').replace('<x', `${evil}<x`);
    const said = (more: string) =>
      `<message from='${ROOM}/Romeo' type='groupchat' id='m1'><body>hi</body>${more}</message>`;
    entersFirst({ domain })
      .fromServer(marked(here('Juliet', '110'), 1))
      .expectVerdict('changed presence-session-stripped', here('Juliet', '110'))
      .fromServer(marked(said(gap), 2))
      .expectVerdict('changed presence-session-stripped', said(''))
      .fromServer(said(gap))
      .expectVerdict('changed presence-session-stripped', said(''))
      .fromServer(marked(forged, 3))
      .expectVerdict('changed presence-session-stripped', here('Romeo'))
      .close()
      .end();
    comesBack({ domain }, 3).end();
  });

  it('a reset drops what is kept', () => {
    comesBack({ domain: been() }, 3)
      .fromServer(`<presence from='${ROOM}' type='unavailable'/>`)
      .expectVerdict('handled presence-session-held')
      .fromServer(marked(here('Paris'), 4))
      .expectVerdict('handled presence-session-held')
      .fromServer(marked(here('Juliet', '110'), 5))
      .expectVerdict('handled presence-session-held')
      .expectSent('client', toHer(here('Paris')))
      .expectSent('client', toHer(here('Juliet', '110')))
      .expectRequest(ROOM, INFO)
      .answerIq(ROOM, INFO)
      .end();
  });

  it('a reset drops what was said too: the room tells all that it has', () => {
    const domain = new FakeDomain();
    const said = `<message from='${ROOM}/Romeo' type='groupchat' id='m1'><body>before</body></message>`;
    entersFirst({ domain })
      .fromServer(marked(here('Juliet', '110'), 1))
      .expectVerdict('changed presence-session-stripped', here('Juliet', '110'))
      .fromServer(marked(said, 2))
      .expectVerdict('changed presence-session-stripped', said)
      .close()
      .end();
    comesBack({ domain }, 2)
      .fromServer(`<presence from='${ROOM}' type='unavailable'/>`)
      .expectVerdict('handled presence-session-held')
      .fromServer(marked(here('Juliet', '110'), 3))
      .expectVerdict('handled presence-session-held')
      .expectSent('client', toHer(here('Juliet', '110')))
      .expectRequest(ROOM, INFO)
      .answerIq(ROOM, INFO)
      .end();
  });

  it.each(['groupchat', 'normal'])(
    'a gap in what was said (§4.3) is no business of the client, and nothing of before it is told: type %s',
    (type) => {
      const domain = new FakeDomain();
      const said = (id: string) =>
        `<message from='${ROOM}/Romeo' type='groupchat' id='${id}'><body>${id}</body><delay xmlns='${NS.delay}' stamp='2026-11-20T12:00:00Z'/></message>`;
      const toHear = (id: string) => said(id).replace('<message', `<message to='${FULL}'`);
      entersFirst({ domain })
        .fromServer(marked(here('Juliet', '110'), 1))
        .expectVerdict('changed presence-session-stripped', here('Juliet', '110'))
        .fromServer(marked(said('m1'), 2))
        .expectVerdict('changed presence-session-stripped', said('m1'))
        .close()
        .end();
      comesBack({ domain }, 2)
        .fromServer(marked(here('Juliet', '110'), 3))
        .expectVerdict('handled presence-session-held')
        .expectSent('client', toHer(here('Juliet', '110')))
        .expectRequest(ROOM, INFO)
        .fromServer(
          `<message from='${ROOM}' type='${type}'><presence-session xmlns='${NS.presenceSession}' type='truncated'/></message>`,
        )
        .expectVerdict('handled presence-session-held')
        .fromServer(marked(said('m3'), 4))
        .expectVerdict('handled presence-session-held')
        .answerIq(ROOM, INFO)
        .expectSent('client', toHear('m3'))
        .end();
    },
  );

  it('what an occupant wants to pass for a mark in a private message is taken out', () => {
    const whispered = (content: string) =>
      `<message from='${ROOM}/Romeo' type='chat'><body>psst</body>${content}</message>`;
    comesBack({ domain: been() }, 3)
      .fromServer(whispered(`<presence-session xmlns='${NS.presenceSession}' type='truncated'/>`))
      .expectVerdict('changed presence-session-stripped', whispered(''))
      .end();
  });

  it('a join while in the room means "send me everything"', () => {
    const domain = been();
    comesBack({ domain }, 3)
      .fromServer(marked(here('Juliet', '110'), 4))
      .expectVerdict('handled presence-session-held')
      .expectSent('client', toHer(here('Romeo')))
      .expectSent('client', toHer(here('Tybalt')))
      .expectSent('client', toHer(here('Juliet', '110')))
      .expectRequest(ROOM, INFO)
      .answerIq(ROOM, INFO)
      .fromClient(join('Juliet'))
      .expectVerdict('changed presence-session-asked', resuming('Juliet', 4))
      .fromServer(marked(here('Juliet', '110'), 5))
      .expectVerdict('handled presence-session-held')
      .expectSent('client', toHer(here('Romeo')))
      .expectSent('client', toHer(here('Tybalt')))
      .expectSent('client', toHer(here('Juliet', '110')))
      .expectRequest(ROOM, INFO)
      .answerIq(ROOM, INFO)
      .end();
  });

  describe('what was shown to a moderator', () => {
    const moderator = (stanza: string) => stanza.replace("role='participant'", "role='moderator'");
    const real = (nick: string) =>
      here(nick).replace(
        "role='participant'",
        `role='participant' jid='${nick.toLowerCase()}@montague.lit/x'`,
      );
    /** She has been in the room as a moderator, with Romeo. */
    function moderated(): FakeDomain {
      const domain = new FakeDomain();
      entersFirst({ domain })
        .fromServer(marked(real('Romeo'), 1))
        .expectVerdict('changed presence-session-stripped', real('Romeo'))
        .fromServer(marked(moderator(here('Juliet', '110')), 2))
        .expectVerdict('changed presence-session-stripped', moderator(here('Juliet', '110')))
        .close()
        .end();
      return domain;
    }
    /** @param self how the room confirms her next join, of which it says no more: Romeo has not changed */
    function told(self: string, romeo: string, domain = moderated()): FakeDomain {
      comesBack({ domain }, 2)
        .fromServer(marked(self, 2))
        .expectVerdict('handled presence-session-held')
        .expectSent('client', romeo)
        .expectSent('client', toHer(self))
        .expectRequest(ROOM, INFO)
        .answerIq(ROOM, INFO)
        .close()
        .end();
      return domain;
    }

    it('is told to her as long as she is one', () => {
      told(moderator(here('Juliet', '110')), toHer(real('Romeo')));
    });

    it('is not told, and not kept, when she is none any more', () => {
      const domain = told(here('Juliet', '110'), toHer(here('Romeo')));
      told(here('Juliet', '110'), toHer(here('Romeo')), domain);
    });

    it('is told all the same where everybody is shown real addresses (100)', () => {
      told(here('Juliet', '110', '100'), toHer(real('Romeo')));
    });

    it('is not mixed up with what a room tells that begins anew', () => {
      comesBack({ domain: moderated() }, 2)
        .fromServer(`<presence from='${ROOM}' type='unavailable'/>`)
        .expectVerdict('handled presence-session-held')
        .fromServer(marked(real('Romeo'), 3))
        .expectVerdict('handled presence-session-held')
        .fromServer(marked(here('Juliet', '110'), 4))
        .expectVerdict('handled presence-session-held')
        .expectSent('client', toHer(real('Romeo')))
        .expectSent('client', toHer(here('Juliet', '110')))
        .expectRequest(ROOM, INFO)
        .answerIq(ROOM, INFO)
        .end();
    });

    it('is not kept when she ceases to be one while she is in the room: the next join is a first one', () => {
      const domain = moderated();
      comesBack({ domain }, 2)
        .fromServer(marked(moderator(here('Juliet', '110')), 3))
        .expectVerdict('handled presence-session-held')
        .expectSent('client', toHer(real('Romeo')))
        .expectSent('client', toHer(moderator(here('Juliet', '110'))))
        .expectRequest(ROOM, INFO)
        .answerIq(ROOM, INFO)
        .fromServer(marked(here('Juliet', '110'), 4))
        .expectVerdict('changed presence-session-stripped', here('Juliet', '110'))
        .close()
        .end();
      entersFirst({ domain }).end();
    });
  });

  it('what is more than may be kept is not kept in parts: the next join is a first one', () => {
    const domain = new FakeDomain();
    const settings = { bytesPerAccount: 450 };
    entersFirst({ domain, settings })
      .fromServer(marked(here('Romeo'), 1))
      .expectVerdict('changed presence-session-stripped', here('Romeo'))
      .fromServer(marked(here('Tybalt'), 2))
      .expectVerdict('changed presence-session-stripped', here('Tybalt'))
      .fromServer(marked(here('Paris'), 3))
      .expectVerdict('changed presence-session-stripped', here('Paris'))
      .fromServer(marked(here('Juliet', '110'), 4))
      .expectVerdict('changed presence-session-stripped', here('Juliet', '110'))
      .close()
      .end();
    entersFirst({ domain }).end();
  });

  it('a session that another process goes on with sees no marks either, and can be come back to', () => {
    const domain = been();
    const before = comesBack({ domain }, 3)
      .fromServer(marked(here('Juliet', '110'), 4))
      .expectVerdict('handled presence-session-held')
      .expectSent('client', toHer(here('Romeo')))
      .expectSent('client', toHer(here('Tybalt')))
      .expectSent('client', toHer(here('Juliet', '110')))
      .expectRequest(ROOM, INFO)
      .answerIq(ROOM, INFO);
    const snapshot = before.snapshots();
    before.end();
    legacy({ domain, snapshot })
      .fromServer(marked(here('Paris'), 5))
      .expectVerdict('changed presence-session-stripped', here('Paris'))
      .close()
      .end();
    // From where it was kept: the room says what has come since.
    comesBack({ domain }, 4).end();
  });

  it('a room that marks nothing any more is passed on as it is', () => {
    comesBack({ domain: been() }, 3)
      .fromServer(here('Paris'))
      .expectVerdict('handled presence-session-held')
      .fromServer(here('Juliet', '110'))
      .expectVerdict('handled presence-session-held')
      .expectSent('client', toHer(here('Paris')))
      .expectSent('client', toHer(here('Juliet', '110')))
      .fromServer(here('Nurse'))
      .end();
  });

  it('what the client sends behind its join keeps its place', () => {
    const message = `<message to='${ROOM}' type='groupchat'><body>hi</body></message>`;
    const conversation = legacy();
    conversation
      .fromClient(join('Juliet'))
      .expectVerdict('handled presence-session-asked')
      .expectSent('server', asking('Juliet'))
      .fromClient(message)
      .end();
  });

  it.each([
    ['off', { playClient: 'off' }],
    ['not announced', {}],
  ])('nothing is asked where it is %s', (what, settings) => {
    const conversation = what === 'off' ? legacy({ settings }) : play(presenceSession, { settings });
    conversation.fromClient(join('Juliet')).fromServer(here('Juliet', '110')).end();
  });

  it('speculative: it asks before anything is known (§3)', () => {
    play(presenceSession, { settings: { playClient: 'speculative' } })
      .fromClient(join('Juliet'))
      .expectVerdict('handled presence-session-asked')
      .expectSent('server', asking('Juliet'))
      .fromServer(here('Juliet', '110'))
      .end();
  });
});

describe('a client that comes back', () => {
  it('what it sends right behind its join keeps its place, although the view has to be read first', () => {
    const clock = new Clock();
    const room = new MemoryRoom({}, clock.wall);
    room.enters('Romeo');
    const domain = new FakeDomain();
    const asked: string[] = [];
    const enter = (resource: string, wish: string, ...more: string[]) => {
      const full = `juliet@capulet.lit/${resource}`;
      const upstream = upstreamOf(room, HALL, full);
      const session = new ProxiedSession(full, domain, clock, (xml, deliver) => {
        asked.push(xml);
        upstream(xml, deliver);
      });
      session.send(`<presence to='${HALL}/Juliet'><x xmlns='${NS.muc}'/>${wish}</presence>`, ...more);
      const client = new ClientModel();
      for (const xml of session.wire) client.read(xml);
      session.close();
      room.dropSession(full);
      return client;
    };
    const { last } = enter('1', ASK);
    clock.now += 120_000;
    asked.length = 0;
    const wish = `<presence-session xmlns='${NS.presenceSession}' type='resume' session='${last!.session}' id='${last!.id}'/>`;
    const message = `<message to='${HALL}' type='groupchat'><body>I am back</body></message>`;
    const client = enter('2', wish, message, message);
    expect(asked.map((xml) => /^<(\w+)/.exec(xml)?.[1])).toEqual(
      expect.arrayContaining(['presence', 'message', 'message']),
    );
    const kinds = asked.map((xml) => /^<(\w+)/.exec(xml)?.[1]).filter((name) => name !== 'iq');
    expect(kinds).toEqual(['presence', 'message', 'message']);
    expect(client.messages).toEqual(['m1', 'm2']);
    expect(client.breaches).toEqual([]);
  });
});

describe('legacy client – edge – core – legacy room', () => {
  it('only what has changed crosses the link between the two', () => {
    const clock = new Clock();
    const room = new MemoryRoom({}, clock.wall);
    for (let n = 0; n < 200; n++) room.enters(`Guest ${n}`, '<show>away</show>');
    room.says('Guest 1', 'before');
    const domains = [new FakeDomain(), new FakeDomain()] as const;
    const visit = (resource: string) => {
      const full = `juliet@capulet.lit/${resource}`;
      const edge: { session?: ProxiedSession } = {};
      const deliver = (xml: string) => edge.session?.deliver(xml);
      const core = new ProxiedSession(full, domains[0], clock, upstreamOf(room, HALL, full), {}, {}, deliver);
      edge.session = new ProxiedSession(full, domains[1], clock, (xml) => core.send(xml));
      edge.session.disco(HALL, [NS.presenceSession]);
      edge.session.send(`<presence to='${HALL}/Juliet'><x xmlns='${NS.muc}'/></presence>`);
      for (let n = 0; n < 4; n++) {
        core.settle();
        edge.session.settle();
      }
      const client = new ClientModel(false);
      for (const xml of edge.session.wire) client.read(xml);
      const bytes = { thin: core.bytesDown, client: edge.session.bytesDown };
      edge.session.close();
      core.close();
      room.dropSession(full);
      return { client, bytes };
    };
    const first = visit('1');
    room.changes('Guest 7', '<show>dnd</show>');
    room.says('Guest 2', 'meanwhile');
    const second = visit('2');
    expect(first.bytes.thin).toBeGreaterThan(200 * 150);
    expect(second.bytes.thin).toBeLessThan(2_000);
    expect(second.client.occupants.size).toBe(201);
    expect(second.client.occupants.get('Guest 7')).toContain('dnd');
    expect(second.client.messages).toEqual(['m1', 'm2']);
    expect(second.client.breaches).toEqual([]);
    expect(second.bytes.client).toBeGreaterThan(200 * 150);
  });
});
