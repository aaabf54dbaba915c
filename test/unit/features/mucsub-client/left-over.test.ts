import { describe, expect, test } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import { ACCOUNT, type Device, ROOM, World } from './world.js';

/*
 * What the session before has left behind. COMPAT: ejabberd sends it to the next session of the resource: what was on its way, answers to what was asked.
 */

const bodies = (world: World) => world.server.messages.map(({ body }) => body);

function says(world: World, ...all: string[]): void {
  for (const body of all) {
    world.clock.now += 1_000;
    world.server.says(body);
  }
}

/** The server sends something to a device. */
function delivered(world: World, device: Device, ...all: string[]): void {
  for (const xml of all) world.server.sessions.get(device.full)?.(xml);
  device.reads();
}

/** It has been in the room and is away. */
function away(world: World): Device {
  const device = world.device('phone').joins().reads();
  says(world, 'live');
  return device.closes();
}

const stamp = (at: number) => new Date(at).toISOString();

/** Out of the room's archive, as an answer to a question of that name. */
function archived({ server }: World, body: string, question: string): string {
  const { id, nick, at } = server.messages.find((each) => each.body === body)!;
  return (
    `<message from='${ROOM}' to='${ACCOUNT}/phone'><result xmlns='${NS.mam2}' queryid='${question}' id='${id}'><forwarded xmlns='${NS.forward0}'>` +
    `<message xmlns='jabber:client' type='groupchat' from='${ROOM}/${nick}'><body>${body}</body></message><delay xmlns='${NS.delay}' stamp='${stamp(at)}'/></forwarded></result>` +
    `<delay xmlns='${NS.delay}' from='capulet.lit' stamp='${stamp(at)}'>Offline storage</delay></message>`
  );
}

/** The room has said something that the archive alone has. */
const NOTHING_TOLD = { history: 0, archive: false };

describe('groupchat that the session before has not acknowledged', () => {
  /** It was in the room when its proxy was killed, and had not been told these. */
  function killed(world: World, ...all: string[]): Device {
    const phone = world.device('phone').joins().reads();
    says(world, 'live');
    phone.reads();
    phone.session!.kill();
    world.server.loses(phone.full, []);
    says(world, ...all);
    phone.session = undefined;
    world.nextProcess();
    return phone;
  }

  test('is not shown to the next one before it is in the room, and told when it joins: once and in order', () => {
    for (const traits of [
      {},
      { history: 1 },
      { history: 0 },
      NOTHING_TOLD,
      { ...NOTHING_TOLD, ids: false },
    ]) {
      const world = new World(traits);
      const phone = killed(world, 'one', 'two').connects();
      expect(phone.shown).toEqual(['live']);
      says(world, 'three');
      phone.joins();
      says(world, 'four');
      expect(phone.reads().shown).toEqual(bodies(world));
      phone.closes();
      says(world, 'five');
      expect(phone.joins().reads().shown).toEqual(bodies(world));
    }
  });

  test('nor when it comes behind the join, as long as the room has not let it in', () => {
    for (const traits of [{}, NOTHING_TOLD]) {
      const world = new World(traits);
      const phone = killed(world, 'one', 'two');
      phone.session = undefined;
      const late: string[] = [];
      const { server } = world;
      server.begins(phone.full, (xml) => late.push(xml));
      server.isSlow = true;
      phone.joins();
      for (const xml of late) server.sessions.get(phone.full)?.(xml);
      expect(phone.reads().shown).toEqual(['live']);
      server.tells();
      expect(phone.reads().shown).toEqual(bodies(world));
    }
  });

  test('is told again to no other client of the account', () => {
    const world = new World(NOTHING_TOLD);
    const laptop = world.device('laptop').joins('', 'Jule').reads();
    const phone = killed(world, 'one', 'two');
    expect(laptop.reads().shown).toEqual(bodies(world));
    laptop.drops();
    phone.connects();
    expect(laptop.joins('', 'Jule').reads().shown).toEqual(bodies(world));
    expect(phone.joins().reads().shown).toEqual(bodies(world));
  });

  test('is not told again where the client had it', () => {
    const world = new World(NOTHING_TOLD);
    const phone = world.device('phone').joins();
    says(world, 'one', 'two');
    phone.session!.settle();
    const unacknowledged = phone.session!.unreadOfServer;
    phone.reads();
    phone.session!.kill();
    world.server.loses(phone.full, unacknowledged);
    phone.session = undefined;
    world.nextProcess();
    phone.joins();
    says(world, 'three');
    expect(phone.reads().shown).toEqual(bodies(world));
  });

  test('is not shown again when it comes to a client in the room that has been told it', () => {
    const world = new World();
    const phone = away(world);
    says(world, 'missed');
    phone.joins().reads();
    const { id } = world.server.messages.at(-1)!;
    const resent = (body: string, archiveId: string) =>
      `<message type='groupchat' from='${ROOM}/Romeo' to='${phone.full}'><stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${archiveId}'/><body>${body}</body>` +
      `<delay xmlns='${NS.delay}' from='capulet.lit' stamp='${stamp(world.clock.wall())}'>Resent</delay></message>`;
    delivered(world, phone, resent('missed', id), resent('new', '999'));
    expect(phone.shown).toEqual(['live', 'missed', 'new']);
  });

  test('passes as it is where the proxy has not subscribed the account', () => {
    const world = new World();
    world.server.allowed = false;
    const phone = killed(world, 'one').connects();
    expect(phone.shown).toEqual(['live', 'one']);
  });
});

describe('answers of a room’s archive that the client has not asked for', () => {
  const asks = `<iq type='set' id='m' to='${ROOM}'><query xmlns='${NS.mam2}' queryid='mine'><set xmlns='${NS.resultSets}'><max>1</max></set></query></iq>`;

  test('it does not see, and is told what is in them when it joins', () => {
    const world = new World();
    const phone = away(world);
    says(world, 'missed', 'missed too');
    phone.connects();
    delivered(world, phone, archived(world, 'missed', 'former'), archived(world, 'missed too', 'former'));
    expect(phone.all.filter((stanza) => String(stanza).includes('missed'))).toEqual([]);
    expect(phone.joins().reads().shown).toEqual(bodies(world));
  });

  test('it sees what it has asked for, also when the next process goes on with its session', () => {
    const world = new World();
    const phone = away(world).connects();
    phone.session?.send(asks);
    phone.reads();
    const before = phone.session!.snapshots();
    world.nextProcess();
    phone.restarted(before, []);
    delivered(world, phone, archived(world, 'live', 'mine'), archived(world, 'live', 'former'));
    const answers = phone.all.flatMap((stanza) => stanza.getChild('result', NS.mam2) ?? []);
    expect(answers.map(({ attrs }) => attrs.queryid)).toEqual(['mine', 'mine']);
  });
});
