import { setImmediate } from 'node:timers/promises';
import { until } from '../../integration/waiting.js';
import type { SmClient } from './sm-client.js';
import type { World } from './world.js';

/**
 * How a server is brought to do by itself what it is known not to do better. Some of it is a race in the
 * server, so that it takes more than one attempt.
 */
export type Demonstration = (people: People, world: World) => Promise<void>;

export const ATTEMPTS = 300;

interface People {
  romeo: SmClient;
  /** Juliet's devices: the one that messages to her account come to, and the other. */
  first: SmClient;
  second: SmClient;
}

function people(world: World): People {
  const [romeo, , first, second] = world.devices;
  if (!romeo || !first || !second) throw new Error('somebody is missing');
  return { romeo, first, second };
}

/** One attempt, from everybody there to everybody there. */
export async function attempt(world: World, demonstration: Demonstration): Promise<void> {
  await demonstration(people(world), world);
  await world.gather(async (device) => device.rebind());
}

/** A session breaks, something is sent to it, and the device comes back without resuming it. */
export const comesBackOtherwise: Demonstration = async ({ romeo, first }, world) => {
  first.cut();
  world.say(romeo, 'to a resource', first, 3);
  await until('the server to have it', () => romeo.settled, 5_000, 2);
  await first.rebind();
};

/** The same, and by the time that an error would be due its sender has gone. */
export const senderGoesMeanwhile: Demonstration = async ({ romeo, first }, world) => {
  first.cut();
  world.say(romeo, 'to a resource', first, 3);
  await until('the server to have it', () => romeo.settled, 5_000, 2);
  await romeo.close();
  await first.rebind();
};

/** A device comes back without resuming, while somebody writes to it. */
export const isWrittenToMeanwhile: Demonstration = async ({ romeo, second }, world) => {
  second.cut();
  world.say(romeo, 'to a resource', second, 3);
  await until('the server to have it', () => romeo.settled, 5_000, 2);
  await returnsSpokenTo(romeo, second, world);
};

/** Nobody of an account is there, one device is written to, and comes back while that goes on. */
export const isWrittenToWhenItReturns: Demonstration = async ({ romeo, first, second }, world) => {
  for (const device of [first, second]) await device.close();
  world.say(romeo, 'to a resource', second, 3);
  await romeo.ping();
  await returnsSpokenTo(romeo, second, world);
};

async function returnsSpokenTo(romeo: SmClient, device: SmClient, world: World): Promise<void> {
  let back = false;
  const coming = device.rebind().then(() => {
    back = true;
  });
  while (!back) {
    world.say(romeo, 'to a resource', device, 1);
    await setImmediate();
  }
  await coming;
}

/** The server has written to a connection that nobody reads, and that breaks. */
export const breaksUnread: Demonstration = async ({ romeo, first }, world) => {
  first.pause();
  world.say(romeo, 'to a resource', first, 5);
  await romeo.ping();
  first.cut();
};

/** A session is written to and ends its stream in order. */
export const endsWhileWrittenTo: Demonstration = async ({ romeo, first }, world) => {
  world.say(romeo, 'to a resource', first, 8);
  await world.some(1);
  await first.close();
};

/** What a connection carries breaks with it. */
export const breaksBehindIt: Demonstration = async ({ romeo, first }, world) => {
  world.say(romeo, 'to a resource', first, 8);
  world.cutServerLeg(romeo);
};

/** Somebody speaks in a room while a device of another account breaks off. */
export const breaksWhileTheRoomSpeaks: Demonstration = async ({ romeo, first, second }, world) => {
  world.say(romeo, 'in the room', first, 4);
  await world.some(1);
  world.say(romeo, 'in the room', first, 4);
  second.cut();
};
