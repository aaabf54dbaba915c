import { describe, expect, test, vi } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import { ACCOUNT, type Device, ProxiedSession, ROOM, type Traits, World } from './world.js';

/* Sessions that end, or whose process is stopped, while the client is on its way back to a room. */

const bodies = (world: World) => world.server.messages.map(({ body }) => body);

function says(world: World, ...all: string[]): void {
  for (const body of all) {
    world.clock.now += 1_000;
    world.server.says(body);
  }
}

/** It has been in the room, and has missed these. */
function missed(world: World, ...all: string[]): Device {
  const phone = world.device('phone').joins().reads();
  says(world, 'live');
  phone.closes();
  says(world, ...all);
  return phone;
}

/** The process is stopped, and the next one goes on with the session. */
function stopped(world: World, phone: Device): void {
  const { unreadOfServer } = phone.session!;
  const snapshots = phone.session!.snapshots();
  world.nextProcess();
  phone.restarted(snapshots, unreadOfServer);
}

const NO_ARCHIVE = { history: 0, archive: false };
const TRAITS: readonly Partial<Traits>[] = [{}, { history: 1 }, NO_ARCHIVE, { ...NO_ARCHIVE, ids: false }];

describe('as long as the store has not been read', () => {
  test.each(TRAITS)(
    'nothing is shown, and what comes counts for the server as not delivered: %j',
    (traits) => {
      const world = new World(traits);
      const phone = missed(world, 'one', 'two');
      world.nextProcess();
      world.domain.hesitates();
      phone.joins();
      says(world, 'three');
      expect(phone.reads().shown).toEqual(['live']);
      expect(phone.session?.takes).toBeGreaterThan(0);
      world.domain.answers();
      expect(phone.reads().shown).toEqual(bodies(world));
      expect(phone.session?.takes).toBe(0);
    },
  );

  test.each(TRAITS)(
    'nothing is lost when the process is stopped, twice too, and nothing comes twice: %j',
    (traits) => {
      const world = new World(traits);
      const phone = missed(world, 'one', 'two');
      world.nextProcess();
      world.domain.hesitates();
      phone.joins();
      says(world, 'three');
      stopped(world, phone.reads());
      world.domain.hesitates();
      says(world, 'four');
      stopped(world, phone.reads());
      says(world, 'five');
      expect(phone.reads().shown).toEqual(bodies(world));
      phone.closes();
      expect(phone.joins().reads().shown).toEqual(bodies(world));
    },
  );

  test.each(TRAITS)(
    'nothing is shown when it has left by then, nor told twice when it is back: %j',
    (traits) => {
      const world = new World(traits);
      const phone = missed(world, 'one', 'two');
      world.nextProcess();
      world.domain.hesitates();
      phone.joins();
      says(world, 'three');
      phone.leaves().reads();
      phone.joins().reads();
      world.domain.answers();
      expect(phone.reads().shown).toEqual(bodies(world));
      phone.leaves().reads();
      world.nextProcess();
      phone.closes();
      world.domain.hesitates();
      phone.joins();
      phone.leaves().reads();
      const before = phone.shown.length;
      world.domain.answers();
      expect(phone.reads().shown).toHaveLength(before);
    },
  );

  test('it is read at once, not with the next tick of the clock', () => {
    const { domain, clock, server } = new World();
    const asks = vi.spyOn(domain, 'whenRead');
    new ProxiedSession(`${ACCOUNT}/phone`, domain, clock, server, { rooms: [ROOM] });
    expect(asks).toHaveBeenCalledTimes(1);
  });
});

describe('a process that is stopped while a client is on its way back', () => {
  test.each(TRAITS)('has the next one let it in and tell it: %j', (traits) => {
    const world = new World(traits);
    const phone = missed(world, 'one', 'two').connects();
    world.server.loses(phone.full, []);
    phone.session!.send(`<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/></presence>`);
    const snapshots = phone.session!.snapshots();
    world.nextProcess();
    phone.restarted(snapshots, []);
    world.server.receive(phone.full, `<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/></presence>`);
    says(world, 'three');
    expect(phone.reads().shown).toEqual(bodies(world));
  });

  test.each(TRAITS)('has the next one go on where the room was: %j', (traits) => {
    for (const told of [0, 1, 2]) {
      const world = new World(traits);
      const phone = missed(world, 'one', 'two');
      world.server.isSlow = true;
      phone.joins();
      world.server.tells(told);
      says(world, 'three');
      stopped(world, phone.reads());
      says(world, 'four');
      world.server.tells();
      expect(phone.reads().shown).toEqual(bodies(world));
    }
  });
});

describe('a session that is gone on with', () => {
  /** As the server sends it when its stream is taken up again. */
  const resent = (xml: string, world: World) =>
    xml.replace(
      /<\/message>$/,
      `<delay xmlns='${NS.delay}' from='capulet.lit' stamp='${new Date(world.clock.wall()).toISOString()}'>Resent</delay></message>`,
    );

  test('is told all by the room when the server sends again what it had told, the subject too', () => {
    const world = new World();
    const phone = missed(world, 'one', 'two');
    world.nextProcess();
    world.server.isSlow = true;
    phone.joins().reads();
    const { session } = phone;
    const snapshots = session!.snapshots();
    world.nextProcess();
    const sent: string[] = [];
    world.server.sessions.set(phone.full, (xml) => sent.push(resent(xml, world)));
    world.server.tells();
    phone.restarted(snapshots, sent);
    expect(phone.reads().shown).toEqual(bodies(world));
  });

  test('notes what the client had when it came back, though it is stopped again before it has read the store', () => {
    const world = new World();
    const phone = missed(world, 'one', 'two').joins();
    const { session } = phone;
    const [snapshots, awaited] = [session!.snapshots(), session!.awaited];
    phone.reads();
    world.nextProcess();
    world.domain.hesitates();
    phone.restarted(snapshots, [], awaited);
    stopped(world, phone);
    phone.reads().closes();
    says(world, 'three');
    expect(phone.joins().reads().shown).toEqual(bodies(world));
  });
});

describe('what was missed before a join', () => {
  test.each(TRAITS)('is not taken for told when the session ends before: %j', (traits) => {
    const world = new World(traits);
    const phone = missed(world, 'one', 'two');
    world.server.isSlow = true;
    phone.joins();
    says(world, 'three');
    phone.closes();
    world.server.isSlow = false;
    expect(phone.joins().reads().shown).toEqual(bodies(world));
  });

  test.each(TRAITS)('nor when the client is put out of the room before: %j', (traits) => {
    const world = new World(traits);
    const phone = missed(world, 'one', 'two');
    world.server.isSlow = true;
    phone.joins();
    says(world, 'three');
    phone.leaves().reads();
    world.server.isSlow = false;
    expect(phone.joins().reads().shown).toEqual(bodies(world));
  });

  test('is told in the order in which it was said, also where it comes behind what was said later, and also in part', () => {
    const world = new World(NO_ARCHIVE);
    const phone = missed(world);
    const early = new Date(world.clock.wall() + 500).toISOString();
    world.server.isSlow = true;
    phone.joins();
    says(world, 'two', 'three');
    phone.closes();
    world.server.isSlow = false;
    phone.connects();
    const event =
      `<message from='${ROOM}' to='${ACCOUNT}'><event xmlns='${NS.pubsubEvent}'><items node='urn:xmpp:mucsub:nodes:messages'><item>` +
      `<message xmlns='jabber:client' type='groupchat' from='${ROOM}/Romeo'><stanza-id xmlns='${NS.sid}' by='${ROOM}' id='1'/><body>one</body></message>` +
      `</item></items></event><delay xmlns='${NS.delay}' from='capulet.lit' stamp='${early}'>Offline storage</delay></message>`;
    world.server.sessions.get(phone.full)?.(event);
    // Its own presence and two messages.
    phone.joins().reads(3).drops();
    expect(phone.shown).toEqual(['live', 'one', 'two']);
    expect(phone.joins().reads().shown).toEqual(['live', 'one', 'two', 'three']);
    phone.closes();
    says(world, 'four');
    expect(phone.joins().reads().shown).toEqual(['live', 'one', 'two', 'three', 'four']);
  });

  test('has its place where it was said, however late it was given up to tell it', () => {
    const world = new World(NO_ARCHIVE);
    const phone = missed(world);
    const laptop = world.device('laptop').joins('', 'Jule').reads();
    world.server.isSlow = true;
    phone.joins();
    says(world, 'one');
    phone.reads();
    laptop.reads();
    world.server.ends(phone.full);
    // The account is in no room any more.
    laptop.leaves('Jule').reads();
    says(world, 'two');
    laptop.reads();
    phone.session!.close();
    phone.session = undefined;
    world.server.isSlow = false;
    expect(phone.joins().reads().shown).toEqual(['live', 'one', 'two']);
  });

  test('is told without the room when that takes too long, and not again when it comes to it', () => {
    for (const told of [0, 1]) {
      const world = new World();
      const phone = missed(world, 'one', 'two');
      world.server.isSlow = true;
      phone.joins();
      world.server.tells(told);
      phone.reads();
      world.clock.now += 60_000;
      expect(phone.reads().shown).toEqual(bodies(world));
      world.server.tells();
      says(world, 'three');
      expect(phone.reads().shown).toEqual(bodies(world));
    }
  });

  test('is told by the room when only that has it, however late', () => {
    const world = new World({ archive: false });
    world.server.allowed = false;
    const phone = world.device('phone').joins().reads();
    world.server.allowed = true;
    phone.closes();
    says(world, 'one', 'two');
    world.server.isSlow = true;
    phone.joins().reads();
    world.clock.now += 60_000;
    phone.reads();
    world.server.tells();
    expect(phone.reads().shown).toEqual(bodies(world));
  });
});
