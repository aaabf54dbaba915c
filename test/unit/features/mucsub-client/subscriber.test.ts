import { describe, expect, test, vi } from 'vitest';
import { FEATURES } from '../../../../src/features/index.js';
import { mucsubClient } from '../../../../src/features/mucsub-client/mucsub-client.js';
import { RoomPatterns } from '../../../../src/features/mucsub-client/patterns.js';
import type { FeatureContext } from '../../../../src/session/feature.js';
import { storeKey } from '../../../../src/store/store.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { ACCOUNT, type Device, MUC, ROOM, World } from './world.js';

const OURS = { nick: 'Juliet', nodes: ['urn:xmpp:mucsub:nodes:messages'] };
const bodies = (world: World) => world.server.messages.map(({ body }) => body);
const raw = (device: Device) => device.all.filter((stanza) => String(stanza).includes('pubsub#event'));

/** The server sends something to a device. */
function delivered(world: World, device: Device, xml: string): void {
  world.server.sessions.get(device.full)?.(xml);
  device.reads();
}

function says(world: World, ...all: string[]): void {
  for (const body of all) {
    world.clock.now += 1_000;
    world.server.says(body);
  }
}

/** It has been in the room and is away. */
function away(world: World, resource = 'phone'): Device {
  const device = world.device(resource).joins().reads();
  says(world, 'live');
  return device.closes();
}

/** What the store has for clients that have not had it. */
const kept = (world: World) =>
  [...world.domain.store].flatMap(([key, value]) =>
    key.includes('kept') ? (/<body>(.*)<\/body>/.exec(value.toString())?.[1] ?? '') : [],
  );

const event = (inner: string, from = ROOM) =>
  `<message from='${from}' to='${ACCOUNT}' id='w'><event xmlns='${NS.pubsubEvent}'>` +
  `<items node='urn:xmpp:mucsub:nodes:messages'><item id='w'>${inner}</item></items></event></message>`;
const inner = (from: string, body: string) =>
  `<message xmlns='jabber:client' type='groupchat' from='${from}' to='${ACCOUNT}'><body>${body}</body></message>`;

describe('joining', () => {
  test('the account is subscribed to the messages of a room that allows it, under the nick of the join', () => {
    const world = new World();
    world.device('phone').joins().reads();
    expect(world.server.subscribers.get(ACCOUNT)).toEqual(OURS);
  });

  test('a room that does not allow it, or is in no pattern, is not subscribed to', () => {
    const closed = new World();
    closed.server.allowed = false;
    closed.device('phone').joins().reads();
    const other = new World();
    other
      .device('phone', { rooms: ['another@chats.capulet.lit'] })
      .joins()
      .reads();
    for (const { server } of [closed, other]) {
      expect(server.subscribers.size).toBe(0);
      expect(server.requests.filter((request) => request.startsWith('subscribe'))).toEqual([]);
    }
  });

  test('by default nothing is asked and nothing is done', () => {
    const world = new World();
    const phone = world.device('phone', {}).joins().reads();
    says(world, 'one');
    phone.reads();
    expect(world.server.requests).toEqual([]);
    expect(phone.shown).toEqual(['one']);
    expect(world.domain.store.size).toBe(0);
  });

  test('where no rooms are named the store is looked into once, and sessions do nothing from then on', () => {
    const world = new World();
    const lookedUp = vi.spyOn(world.domain, 'list');
    world.device('phone', {}).connects();
    world.device('laptop', {}).joins().reads();
    expect(lookedUp).toHaveBeenCalledTimes(1);
    const context = { domain: world.domain, settings: () => ({ rooms: [] }) };
    expect(mucsubClient.open(context as unknown as FeatureContext)).toEqual({});
  });

  test('another nick is subscribed under', () => {
    const world = new World();
    const phone = world.device('phone').joins().reads();
    phone.session?.send(`<presence to='${ROOM}/Jule'/>`);
    phone.reads();
    expect(world.server.subscribers.get(ACCOUNT)).toEqual({ ...OURS, nick: 'Jule' });
  });

  test('unless another client of the account is in the room under the old one', () => {
    const world = new World();
    const phone = world.device('phone').joins().reads();
    world.device('laptop').joins('', 'Jule').reads();
    expect(world.server.subscribers.get(ACCOUNT)).toEqual(OURS);
    world.clock.now += 60_000;
    phone.leaves().reads();
    world.device('tablet').joins('', 'Giulietta').reads();
    expect(world.server.subscribers.get(ACCOUNT)).toEqual({ ...OURS, nick: 'Giulietta' });
  });

  test('the password of the join is that of the subscription', () => {
    for (const password of ['cauldron & <burn>', undefined]) {
      const world = new World();
      const written = password === undefined ? '' : '<password>cauldron &amp; &lt;burn></password>';
      world.device('phone').joins(written).reads();
      expect(world.server.passwords).toEqual([password]);
    }
  });

  test('while it is in the room everything is plain groupchat', () => {
    const world = new World();
    const phone = world.device('phone').joins().reads();
    says(world, 'one', 'two');
    phone.reads();
    expect(phone.shown).toEqual(['one', 'two']);
    expect(phone.all.some((stanza) => stanza.name === 'message' && stanza.getChild('delay'))).toBe(false);
  });
});

describe('coming back', () => {
  test('what is said while it is away is history when it is back, once and in order', () => {
    const world = new World();
    says(world, 'before');
    const phone = away(world);
    says(world, ...Array.from({ length: 30 }, (_, i) => `missed ${i}`));
    phone.joins().reads();
    says(world, 'again live');
    phone.reads();
    expect(phone.shown).toEqual(bodies(world));
    expect(raw(phone)).toEqual([]);
  });

  test('it stands where history stands: behind the own presence, before the subject, with the time it was said', () => {
    const world = new World();
    const phone = away(world);
    says(world, 'missed');
    const from = phone.all.length;
    phone.joins().reads();
    const [self, message, subject] = phone.all.slice(from);
    expect([self?.name, message?.getChildText('body'), subject?.getChild('subject') !== undefined]).toEqual([
      'presence',
      'missed',
      true,
    ]);
    const at = world.server.messages.at(-1)!.at;
    expect(message?.getChild('delay', NS.delay)?.attrs).toMatchObject({
      from: ROOM,
      stamp: new Date(at).toISOString(),
    });
    expect(message?.attrs).toMatchObject({ type: 'groupchat', from: `${ROOM}/Romeo`, to: phone.full });
  });

  test('what only the events have had is history as well, with the time it was said', () => {
    const world = new World({ history: 0, archive: false });
    const phone = away(world);
    says(world, 'missed');
    const from = phone.all.length;
    const laptop = world.device('laptop').joins().reads();
    laptop.leaves().reads();
    says(world, 'missed too');
    laptop.reads();
    phone.joins().reads();
    const told = phone.all.slice(from).filter((stanza) => stanza.getChild('body') !== undefined);
    expect(told.map((message) => message.getChildText('body'))).toEqual(['missed', 'missed too']);
    for (const [n, { at }] of world.server.messages.slice(1).entries()) {
      const { type, to } = told[n]!.attrs as Record<string, string>;
      expect({ type, to }).toEqual({ type: 'groupchat', to: phone.full });
      expect(told[n]!.getChildren('delay', NS.delay).map(({ attrs }) => attrs)).toEqual([
        expect.objectContaining({ from: ROOM, stamp: new Date(at).toISOString() }),
      ]);
    }
  });

  test('who leaves the room and stays online is told what was said since', () => {
    const world = new World();
    const phone = world.device('phone').joins().reads().leaves().reads();
    says(world, 'missed');
    expect(phone.reads().shown).toEqual([]);
    phone.joins().reads();
    expect(phone.shown).toEqual(['missed']);
    expect(raw(phone)).toEqual([]);
  });

  test('the client’s own limits for history hold', () => {
    const world = new World();
    const phone = away(world);
    says(world, ...Array.from({ length: 30 }, (_, i) => `missed ${i}`));
    phone.joins("<history maxstanzas='2'/>").reads();
    expect(phone.shown).toEqual(['live', 'missed 28', 'missed 29']);
    phone.closes().joins().reads();
    expect(phone.shown).toEqual(['live', 'missed 28', 'missed 29']);
  });

  test('who wants no history gets none, and who asks by XEP-0311 is not interfered with', () => {
    const world = new World();
    const phone = away(world);
    says(world, 'missed');
    phone.joins("<history maxstanzas='0'/>").reads();
    expect(phone.shown).toEqual(['live']);
    phone.closes();
    says(world, 'missed too');
    phone
      .connects()
      .session?.send(
        `<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/><presence-session xmlns='${NS.presenceSession}'/></presence>`,
      );
    // As the room gives it.
    expect(phone.reads().shown.slice(1)).toEqual(['live', 'missed', 'missed too']);
  });

  test('what it has read out of the room’s archive itself is not told again', () => {
    const world = new World();
    const phone = away(world);
    says(world, 'missed', 'missed too');
    phone.connects();
    phone.session?.send(
      `<iq type='set' id='m' to='${ROOM}'><query xmlns='${NS.mam2}'><set xmlns='${NS.resultSets}'><max>2</max></set></query></iq>`,
    );
    phone.reads().joins().reads();
    expect(phone.shown).toEqual(['live', 'missed too']);
  });

  test('the archive is asked when neither history nor events reach back', () => {
    const world = new World({ history: 2 });
    const phone = away(world);
    const laptop = world.device('laptop').joins('', 'Jule').reads();
    says(world, ...Array.from({ length: 150 }, (_, i) => `missed ${i}`));
    laptop.reads();
    phone.joins().reads();
    expect(phone.shown).toEqual(bodies(world));
  });

  test('two alike are two', () => {
    for (const ids of [true, false]) {
      const world = new World({ ids });
      const phone = away(world);
      says(world, 'yes', 'yes', 'no', 'yes');
      phone.joins().reads();
      expect(phone.shown).toEqual(['live', 'yes', 'yes', 'no', 'yes']);
    }
  });

  test('what the client has not acknowledged it is told again, by the next process too', () => {
    const world = new World();
    const phone = away(world);
    says(world, 'missed', 'missed too');
    // Its own presence and one message.
    phone.joins().reads(2);
    phone.drops();
    world.nextProcess();
    phone.joins().reads();
    expect(phone.shown).toEqual(['live', 'missed', 'missed too']);
  });

  test('what the client says to have when it comes back to the next process it is not told again', () => {
    const world = new World();
    const phone = away(world);
    says(world, 'one', 'two');
    phone.joins();
    const { session } = phone;
    const [snapshots, awaited] = [session!.snapshots(), session!.awaited];
    expect(awaited.length).toBeGreaterThan(1);
    phone.reads();
    const shown = phone.shown.slice();
    expect(shown).toEqual(['live', 'one', 'two']);
    world.nextProcess();
    phone.restarted(snapshots, [], awaited).reads();
    says(world, 'three');
    phone.closes();
    says(world, 'four');
    phone.joins().reads();
    expect(phone.shown).toEqual([...shown, 'three', 'four']);
  });

  test('a leaving that the server says again to the next process takes nothing of what was missed', () => {
    const world = new World({ history: 0, archive: false, ids: false });
    const phone = world.device('phone').joins();
    says(world, 'live');
    phone.session!.settle();
    phone.leaves();
    says(world, 'missed');
    phone.session!.settle();
    // Nothing of all this has been read when the process is stopped.
    phone.joins();
    const { session } = phone;
    const [unread, snapshots] = [session!.unreadOfServer, session!.snapshots()];
    world.nextProcess();
    phone.restarted(snapshots, unread).reads();
    expect(phone.shown).toEqual(['live', 'missed']);
  });

  test('a resource that is new is told what is kept without the gap that a kill has left in it, where the room has an archive', () => {
    const world = new World({ history: 0, ids: false });
    const phone = world.device('phone').joins();
    phone.session!.clientGone();
    says(world, 'kept');
    phone.session!.settle();
    phone.session!.clientBack();
    says(world, 'in the archive alone');
    phone.session!.settle();
    phone.session!.kill();
    world.server.ends(phone.full);
    world.nextProcess();
    const laptop = world.device('laptop').joins();
    expect(laptop.reads().shown).toEqual(['kept', 'in the archive alone']);
  });

  test('a client whose resource the server has made up is the one before', () => {
    const world = new World({ archive: false });
    const first = world.device('16834957207145329701').joins().reads();
    says(world, 'live');
    first.closes();
    says(world, 'missed');
    const second = world.device('98234957207145329123').joins().reads();
    expect([...first.shown, ...second.shown]).toEqual(['live', 'missed']);
  });

  test('a resource that is new gets the room’s history', () => {
    const world = new World();
    away(world);
    says(world, 'missed');
    expect(world.device('laptop').joins().reads().shown).toEqual(['live', 'missed']);
  });
});

describe('away', () => {
  test('no event is shown: not to other resources, nor as a copy, nor out of the account’s archive', () => {
    const world = new World();
    const phone = world.device('phone').joins().reads().closes();
    const laptop = world.device('laptop').connects();
    says(world, 'missed');
    const copied = (kind: string, xml: string) =>
      `<message from='${ACCOUNT}' to='${laptop.full}'><${kind}><forwarded xmlns='${NS.forward0}'>${xml.replace('<message', `<message xmlns='jabber:client'`)}</forwarded></${kind.split(' ')[0]}></message>`;
    delivered(
      world,
      laptop,
      copied(`received xmlns='${NS.carbons2}'`, event(inner(`${ROOM}/Romeo`, 'copied'))),
    );
    delivered(
      world,
      laptop,
      copied(`result xmlns='${NS.mam2}' id='7'`, event(inner(`${ROOM}/Romeo`, 'archived'))),
    );
    delivered(
      world,
      laptop,
      `${event("<presence xmlns='jabber:client'/>").replace('nodes:messages', 'nodes:presence')}`,
    );
    laptop.reads();
    // The proxy itself may read the archive for the client.
    const archived = (from: string) =>
      copied(`result xmlns='${NS.mam2}' id='7'`, event(inner(`${ROOM}/Romeo`, 'archived'), from));
    expect(
      [ROOM, 'news@pubsub.capulet.lit'].map((from) => laptop.session?.hidesArchived(archived(from))),
    ).toEqual([true, false]);
    expect(laptop.all.filter(({ name }) => name === 'message')).toEqual([]);
    expect(phone.joins().reads().shown).toContain('missed');
  });

  test('events that come before the store has been read wait for it', () => {
    const world = new World({ archive: false, history: 0 });
    const phone = away(world);
    says(world, 'missed');
    world.nextProcess();
    phone.joins().reads();
    expect(phone.shown).toEqual(['live', 'missed']);
    expect(raw(phone)).toEqual([]);
  });

  test('events are kept within limits: the oldest go', () => {
    const world = new World({ archive: false, history: 0 });
    const settings = { rooms: [ROOM], storeBytes: 3_000 };
    const phone = world.device('phone', settings).joins().reads().closes();
    says(world, ...Array.from({ length: 40 }, (_, i) => `missed ${i}`));
    const laptop = world.device('laptop', settings).connects();
    const bytes = [...world.domain.store].reduce((sum, [, value]) => sum + value.length, 0);
    expect(bytes).toBeLessThan(4_000);
    laptop.closes();
    phone.joins().reads();
    expect(phone.shown.length).toBeGreaterThan(2);
    expect(phone.shown).toEqual(bodies(world).slice(-phone.shown.length));
  });

  test('what is too old is not told, and not kept', () => {
    const world = new World({ archive: false, history: 0 });
    const settings = { rooms: [ROOM], keepSeconds: 60 };
    const phone = world.device('phone', settings).joins().reads().closes();
    says(world, 'old');
    world.clock.now += 100_000;
    says(world, 'young');
    const laptop = world.device('laptop', settings).connects();
    expect(kept(world)).toEqual(['young']);
    laptop.closes();
    world.nextProcess();
    phone.joins().reads();
    expect(phone.shown).toEqual(['young']);
  });
});

test('that somebody is writing is kept for nobody', () => {
  const world = new World({ archive: false, history: 0 });
  const phone = away(world);
  phone.connects();
  const states = `<composing xmlns='${NS.chatStates}'/>`;
  for (const content of [
    states,
    `${states}<body>missed</body>`,
    `<body>not to be kept</body><no-store xmlns='${NS.hints}'/>`,
  ])
    delivered(world, phone, event(inner(`${ROOM}/Romeo`, '').replace('<body></body>', content)));
  expect(kept(world)).toEqual(['missed']);
  expect(phone.all.filter((stanza) => String(stanza).includes('composing'))).toEqual([]);
});

describe('what is said while a client comes back', () => {
  test('is no history, however little the client wants of that, also where the archive has it by then', () => {
    const world = new World({ archive: true, history: 2 });
    const phone = world.device('phone').joins().reads();
    says(world, 'live');
    phone.reads().leaves().reads();
    for (const body of ['missed 1', 'missed 2', 'missed 3']) {
      says(world, body);
      phone.reads();
    }
    const receive = world.server.receive.bind(world.server);
    let isSaid = false;
    world.server.receive = (full, xml) => {
      if (!isSaid && xml.includes(NS.mam2)) {
        isSaid = true;
        says(world, 'said meanwhile');
      }
      receive(full, xml);
    };
    phone.joins("<history maxchars='9'/>").reads();
    expect(isSaid).toBe(true);
    expect(phone.shown).toEqual(['live', 'said meanwhile']);
    phone.leaves().reads().joins().reads();
    expect(phone.shown).toEqual(['live', 'said meanwhile']);
  });
});

describe('believing', () => {
  test('an event is believed only when it comes from the room, and what is in it from an occupant or the room', () => {
    const world = new World({ archive: false, history: 0 });
    const phone = away(world);
    phone.connects();
    const before = phone.all.length;
    for (const xml of [
      event(inner(`secret@${MUC}/Romeo`, 'of another room')),
      event(inner('tybalt@capulet.lit/x', 'of a user')),
      event(inner(`${ROOM}/Romeo`, 'no groupchat').replace("type='groupchat'", "type='chat'")),
    ])
      delivered(world, phone, xml);
    expect(phone.all.slice(before)).toEqual([]);
    // What comes from somebody else is his, and passes.
    delivered(world, phone, event(inner(`${ROOM}/Romeo`, 'forged'), 'mallory@capulet.lit'));
    delivered(world, phone, event(inner(`${ROOM}/Romeo`, 'forged'), `${ROOM}/Mallory`));
    expect(raw(phone).length).toBe(2);
    phone.joins().reads();
    expect(kept(world)).toEqual([]);
    expect(phone.all.some((stanza) => stanza.getChildText('body') === 'no groupchat')).toBe(false);
    delivered(world, phone, event(inner(ROOM, 'of the room itself')));
    expect(phone.shown).toEqual(['live', 'of the room itself']);
  });
});

describe('a client that knows MUC/Sub', () => {
  const nodes = ['urn:xmpp:mucsub:nodes:messages', 'urn:xmpp:mucsub:nodes:presence'];
  const subscribe = `<iq type='set' id='s' to='${ROOM}'><subscribe xmlns='${NS.mucsub}' nick='Own'>${nodes.map((node) => `<event node='${node}'/>`).join('')}</subscribe></iq>`;

  test('keeps its subscription and gets its events, whether it subscribes before or after us', () => {
    for (const isFirst of [true, false]) {
      const world = new World();
      const phone = world.device('phone');
      if (!isFirst) phone.joins().reads().leaves().reads();
      phone.connects().session?.send(subscribe);
      phone.reads().joins('', 'Own').reads().leaves('Own').reads();
      says(world, 'as an event');
      phone.reads();
      expect(raw(phone).length).toBe(1);
      expect(world.server.subscribers.get(ACCOUNT)).toEqual({ nick: 'Own', nodes });
      phone.closes();
      world.nextProcess();
      const without = world.device('phone', { rooms: [] }).connects();
      expect(without.closes()).toBeDefined();
      expect(world.server.subscribers.get(ACCOUNT)).toEqual({ nick: 'Own', nodes });
    }
  });

  test('is left alone when it asks for its subscriptions or names the feature', () => {
    const asks = `<iq type='get' id='s' to='${MUC}'><subscriptions xmlns='${NS.mucsub}'/></iq>`;
    const names = `<iq type='result' id='d' to='capulet.lit'><query xmlns='${NS.discoInfo}'><feature var='${NS.mucsub}'/></query></iq>`;
    for (const xml of [asks, names]) {
      const world = new World();
      const phone = world.device('phone').connects();
      phone.session?.send(xml);
      phone.joins().reads();
      expect(world.server.subscribers.size).toBe(0);
    }
  });

  test('a subscription that somebody else has made is neither changed nor ended, and its events pass', () => {
    const world = new World();
    world.server.subscribers.set(ACCOUNT, { nick: 'Elsewhere', nodes });
    const phone = world.device('phone').joins().reads().leaves().reads();
    says(world, 'as an event');
    expect(raw(phone.reads()).length).toBe(1);
    expect(world.server.subscribers.get(ACCOUNT)).toEqual({ nick: 'Elsewhere', nodes });
  });
});

describe('the end of a subscription', () => {
  test('a room that is in no pattern any more is unsubscribed from when a session begins', () => {
    const world = new World();
    away(world);
    says(world, 'missed');
    world.nextProcess();
    const phone = world.device('phone', { rooms: [] }).connects();
    expect(world.server.subscribers.size).toBe(0);
    expect(raw(phone)).toEqual([]);
    // That there may be other accounts' to end.
    expect([...world.domain.store.keys()]).toEqual([
      storeKey('mucsub-client', 'capulet.lit', '', 'subscribed'),
    ]);
  });

  test('nor is it kept for a room to which nobody has been back for long', () => {
    const world = new World();
    const phone = away(world);
    world.clock.now += 31 * 86_400_000;
    phone.connects();
    expect(world.server.subscribers.size).toBe(0);
  });

  test('a ban ends it, a kick does not', () => {
    for (const [code, isKept] of [
      ['301', false],
      ['307', true],
    ] as const) {
      const world = new World();
      const phone = world.device('phone').joins().reads();
      world.server.occupants.delete(phone.full);
      delivered(
        world,
        phone,
        `<presence type='unavailable' from='${ROOM}/Juliet' to='${phone.full}'><x xmlns='${NS.mucUser}'><item role='none' affiliation='none'/><status code='110'/><status code='${code}'/></x></presence>`,
      );
      says(world, 'missed');
      phone.reads();
      // Of an event that is not ours nothing is known.
      expect(raw(phone).length).toBe(isKept ? 0 : 1);
    }
  });

  test('a room that does not say what it can do, for the connection is lost, has not ended it', () => {
    const world = new World({ history: 0, archive: false });
    const phone = away(world);
    world.nextProcess();
    world.server.isMute = true;
    phone.joins().reads();
    phone.session!.serverGone();
    phone.closes();
    world.server.isMute = false;
    says(world, 'missed');
    phone.joins().reads();
    expect(phone.shown).toEqual(['live', 'missed']);
  });

  test('a subscription that the room has ended is made again with the next join', () => {
    const world = new World();
    const phone = away(world);
    world.server.subscribers.clear();
    world.clock.now += 60_000;
    phone.joins().reads();
    expect(world.server.subscribers.get(ACCOUNT)).toEqual(OURS);
  });
});

test('a join is looked at before what asks by XEP-0311 is taken out of it', () => {
  const names = FEATURES.map(({ name }) => name);
  expect(names.indexOf('mucsub-client')).toBeLessThan(names.indexOf('presence-session'));
});

test('patterns of rooms', () => {
  const patterns = new RoomPatterns(['Tea@Chats.capulet.lit', '*@open.capulet.lit', 'dev-*@chats.*.lit']);
  const all = {
    'tea@chats.capulet.lit': true,
    'x@open.capulet.lit': true,
    'dev-1@chats.capulet.lit': true,
    'dev-1@chats.lit': false,
    'x@chats.capulet.lit': false,
    'tea@chats.capulet.lit.evil.example': false,
  };
  for (const [room, isMeant] of Object.entries(all))
    expect([room, patterns.has(room)]).toEqual([room, isMeant]);
  expect(new RoomPatterns([]).has(ROOM)).toBe(false);
});
