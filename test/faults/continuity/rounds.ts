import type { Kind } from './ledger.js';
import type { SmClient } from './sm-client.js';
import type { World } from './world.js';

/** A random source that can be repeated (mulberry32). */
export class Dice {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  roll(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(end: number): number {
    return Math.floor(this.roll() * end);
  }

  one<T>(list: readonly T[]): T | undefined {
    return list[this.below(list.length)];
  }
}

interface Step {
  weight: number;
  /** Where it can happen at all. */
  only?: 'proxy';
  /** Does it, and says what; or nothing, where there was nobody to do it to. */
  take(world: World, dice: Dice): Promise<string | undefined> | string | undefined;
}

const burst = (kind: Kind, atMost: number): Step['take'] => {
  return (world, dice) => {
    const from = dice.one(world.online);
    const others = world.devices.filter((device) => device.device.owner !== from?.device.owner);
    const [to, count] = [dice.one(others), 1 + dice.below(atMost)];
    if (!from || !to) return;
    world.say(from, kind, to, count);
    return `${from.name} says ${count} ${kind} ${kind === 'in the room' ? '' : to.name}`;
  };
};

const done = (world: World, what: string, device: SmClient): string => {
  world.ledger.touched(device.name);
  return `${device.name} ${what}`;
};

/** A client that comes back as it can: most resume, some have forgotten their session. */
async function comeBack(world: World, dice: Dice, device: SmClient): Promise<string> {
  if (dice.roll() < 0.3) {
    world.ledger.touched(device.name);
    await device.rebind();
    return `${device.name} rebound`;
  }
  const how = (await device.resume()) === 'resumed' ? 'resumed' : 'rebound';
  return done(world, how, device);
}

/** A round is one of these. They are quick: what they wait for is a login at most. */
const STEPS: Record<string, Step> = {
  'say to a resource': { weight: 22, take: burst('to a resource', 8) },
  'say to the account': { weight: 14, take: burst('to the account', 6) },
  'say in the room': { weight: 12, take: burst('in the room', 4) },
  cut: {
    weight: 10,
    take(world, dice) {
      const device = dice.one(world.online);
      device?.cut();
      return device && done(world, 'cut', device);
    },
  },
  'come back': {
    weight: 14,
    async take(world, dice) {
      const device = dice.one(world.away);
      return device && comeBack(world, dice, device);
    },
  },
  pause: {
    weight: 5,
    take(world, dice) {
      const device = dice.one(world.online);
      device?.pause();
      return device && done(world, 'paused', device);
    },
  },
  unpause: {
    weight: 5,
    take(world, dice) {
      const device = dice.one(world.devices.filter(({ paused }) => paused));
      device?.unpause();
      return device && `${device.name} reads again`;
    },
  },
  'change the network': {
    weight: 4,
    async take(world, dice) {
      const device = dice.one(world.online);
      if (!device) return;
      // The old connection is still there, and nobody reads it any more.
      const how = (await device.resume()) === 'resumed' ? 'resumed' : 'rebound';
      return `${done(world, how, device)}, over a new connection`;
    },
  },
  rebind: {
    weight: 4,
    async take(world, dice) {
      const device = dice.one(world.devices);
      if (!device) return;
      const told = done(world, 'rebound', device);
      await device.rebind();
      return told;
    },
  },
  'take another resource': {
    weight: 1,
    async take(world, dice) {
      const device = dice.one(world.devices.filter((each) => each.device.priority < 0));
      if (!device) return;
      const told = done(world, 'moved', device);
      await device.rebind(`two-${dice.below(1_000_000)}`);
      return told;
    },
  },
  close: {
    weight: 2,
    async take(world, dice) {
      const device = dice.one(world.online);
      if (!device) return;
      const told = done(world, 'closed', device);
      await device.close();
      return told;
    },
  },
  outlast: {
    weight: 0.3,
    async take(world, dice) {
      const device = dice.one(world.online);
      if (!device) return;
      const told = done(world, 'given up', device);
      await world.outlast(device);
      return told;
    },
  },
  'cut the server leg': {
    weight: 4,
    take(world, dice) {
      const device = dice.one(world.devices);
      if (!device || world.cutServerLeg(device) === 0) return;
      return done(world, 'server leg cut', device);
    },
  },
  'stop the proxy': { weight: 0.8, only: 'proxy', take: (world) => restart(world, 'stop', 'proxy stopped') },
  'kill the proxy': { weight: 0.8, only: 'proxy', take: (world) => restart(world, 'kill', 'proxy killed') },
};

async function restart(world: World, how: 'stop' | 'kill', what: string): Promise<string> {
  for (const device of world.devices) world.ledger.touched(device.name);
  await world.restartProxy(how);
  return what;
}

/** Rounds until all come together again; not the same number each time. */
const EPOCH = { least: 8, more: 24 };

/** For the last of what is missing, in milliseconds. */
const LAST_GRACE = 2_000;

/** As many rounds as asked, and then everybody together for the last time, behind `patience` milliseconds. */
export async function playRounds(world: World, dice: Dice, rounds: number, patience: number): Promise<void> {
  const steps = Object.values(STEPS).filter(({ only }) => only === undefined || only === world.via);
  const total = steps.reduce((sum, { weight }) => sum + weight, 0);
  const pick = (): Step | undefined => {
    let at = dice.roll() * total;
    return steps.find(({ weight }) => {
      at -= weight;
      return at < 0;
    });
  };
  const back = (device: SmClient) => comeBack(world, dice, device);
  let untilTogether = EPOCH.least + dice.below(EPOCH.more);
  for (let round = 1; round <= rounds; ) {
    world.ledger.round = round;
    const told = await pick()?.take(world, dice);
    if (told === undefined) continue;
    world.story.push(`${round} (${Date.now() % 10_000_000} ms): ${told}`);
    round += 1;
    // Sometimes the next step comes at once, sometimes when a part of what is on its way has arrived.
    if (dice.roll() < 0.5) await world.some(1 + dice.below(10));
    untilTogether -= 1;
    if (untilTogether > 0) continue;
    await world.gather(back);
    world.story.push(`all together: epoch ${world.ledger.epoch} begins`);
    untilTogether = EPOCH.least + dice.below(EPOCH.more);
  }
  await world.gather(back);
  // What waits for a session that is not there any more goes to the next one as soon as it is given up.
  await world.settle(patience);
  for (const device of world.devices) await device.rebind();
  await world.gather(back, LAST_GRACE);
}
