import { expect } from 'vitest';
import { newAccount } from '../../integration/routes.js';
import { until } from '../../integration/waiting.js';
import { Dice } from '../continuity/rounds.js';
import { Speaker } from './speaker.js';
import { Subscriber } from './subscriber.js';
import type { World } from './world.js';

const SUBSCRIBERS = 3;
/** What is said so shortly before the last that was heard is may be behind that for who hears it; ms. */
const SOON = 1_000;
export const ROUNDS = Number(process.env.INTERSTANZA_ROUNDS ?? 40);

/** @param always the same every time, unless others are asked for */
export function seeds(always: readonly number[]): readonly number[] {
  const first = process.env.INTERSTANZA_SEED;
  if (first === undefined) return always;
  return Array.from({ length: Number(process.env.INTERSTANZA_SEEDS ?? 1) }, (_, n) => Number(first) + n);
}

/**
 * Plays so many rounds, and says whether each has had all that was said, once and in order.
 * @param how `subscribes`: clients that know MUC/Sub and are not in the room; `joins`: clients that do not, and are
 */
export async function play(
  world: World,
  seed: number,
  rounds: number,
  how: 'subscribes' | 'joins',
): Promise<void> {
  const dice = new Dice(seed);
  const began = Date.now();
  const story: string[] = [];
  const tell = (what: string) => story.push(`${((Date.now() - began) / 1_000).toFixed(3)} ${what}`);
  const room = `party-${seed}-${began % 100_000}@${world.server.muc}`;
  const speaker = new Speaker(await newAccount(world.server, 'speaker'), world, room);
  await speaker.enter();
  await speaker.configure();
  const everybody: Subscriber[] = [];
  for (let n = 0; n < SUBSCRIBERS; n++) {
    const name = `sub${n}`;
    const one = new Subscriber(name, await newAccount(world.server, name), world, room, tell, how);
    await one.logIn();
    everybody.push(one);
  }
  for (const one of everybody) await one.subscribe();
  const first = await speaker.say();
  for (const one of everybody) await until('all to hear', () => one.heard.includes(first));
  const forgotten: number[] = [];
  if (world.kind === 'ejabberd') {
    // It writes late: killed soon it would have neither the accounts nor the room.
    await world.server.restart();
    await speaker.enter();
    forgotten.push(Date.now());
  }
  const speak = async (most: number) => {
    for (let n = dice.below(most); n > 0; n--) tell(`says ${await speaker.say()}`);
  };
  for (let round = 0; round < rounds; round++) {
    await speak(4);
    const one = everybody[dice.below(SUBSCRIBERS)]!;
    const what = dice.below(20);
    tell(`${round} ${describeRound(what, one)}`);
    if (what < 2) {
      if (what === 1) for (const each of everybody) each.proxyDies();
      await world.restartProxy(what === 1, () => speak(3));
    } else if (what === 2) {
      // ejabberd keeps its rooms' archives: it is killed, too.
      if (world.kind === 'ejabberd' && dice.below(2) === 0) {
        tell('  by a kill');
        await world.server.kill();
      }
      await world.server.restart();
      forgotten.push(Date.now());
      const told = await speaker.enter();
      if (world.kind === 'jabberd2') expect(told, 'a real occupant').toEqual([]);
    } else if (!one.online) await (what % 2 === 0 ? one.resume() : one.logIn());
    else if (what < 9) await one.close();
    else if (what < 15) await one.cut(what < 12);
    else for (const each of everybody) if (each.online) await each.settle();
  }
  for (const one of everybody) if (!one.online) await one.resume();
  const last = await speaker.say();
  await until(
    'all to have heard the last',
    () => everybody.every(({ heard }) => heard.includes(last)),
    30_000,
  ).catch(() => {});
  for (const one of everybody) await one.settle();
  const archived = world.kind === 'ejabberd' ? await speaker.archived() : undefined;
  const verdicts = everybody.map(({ name, heard, doubtful, marks }) => {
    const twice = heard.filter((body, at) => heard.indexOf(body) < at && !doubtful.has(body));
    const once = heard.filter((body, at) => heard.indexOf(body) === at);
    const missing = speaker.said.filter((body) => !heard.includes(body));
    const lost = missing.filter((body) => {
      const at = speaker.at.get(body)!;
      const wasRestarted = forgotten.some((when) => when > at);
      if (archived !== undefined) return !wasRestarted || archived.has(body);
      const isForgotten = world.kind === 'jabberd2' && wasRestarted;
      const isHeard = everybody.some((o) => o.heard.includes(body) && !o.doubtful.has(body));
      const isMarked = marks.some(({ since, until }) => at > since - SOON && at < until);
      return !isForgotten || isHeard || !isMarked;
    });
    tell(`${name} lacks ${missing.length} that the room has forgotten`);
    return { name, twice, lost, order: once };
  });
  const wanted = everybody.map(({ name, heard }) => {
    const order = speaker.said.filter((body) => heard.includes(body));
    return { name, twice: [], lost: [], order };
  });
  if (process.env.INTERSTANZA_STORY) console.log(`seed ${seed}\n${story.join('\n')}`);
  speaker.leave();
  for (const one of everybody) await one.cut(true);
  expect(verdicts, `seed ${seed}\n${story.join('\n')}`).toEqual(wanted);
}

/** What a round is, for whoever has to find out. */
function describeRound(what: number, { name, online }: Subscriber): string {
  if (what === 0) return 'the proxy is stopped';
  if (what === 1) return 'the proxy is killed';
  if (what === 2) return 'the server is restarted';
  if (!online) return `${name} ${what % 2 === 0 ? 'resumes' : 'logs in'}`;
  if (what < 9) return `${name} logs out`;
  if (what < 15) return `${name} is cut off${what < 12 ? ', settled' : ''}`;
  return 'all settle';
}
