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
