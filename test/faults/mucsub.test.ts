import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeRoutes, newAccount } from '../integration/routes.js';
import { until } from '../integration/waiting.js';
import { Dice } from './continuity/rounds.js';
import { Speaker } from './mucsub/speaker.js';
import { Subscriber } from './mucsub/subscriber.js';
import { World } from './mucsub/world.js';

/*
 * One speaks in a room to which others have subscribed, while they come and go with one device and another, lose their connections in the midst of what
 * comes, take their sessions up again or do not, and while the proxy is stopped and killed and the server restarted, all at random. In the end each has had all
 * that the room has said, once and in order. It may have come again only where nobody can know that it had come: the client had not been able to say so.
 * What it has said so shortly before the proxy was killed may come again too.
 *
 * On Prosody, whose rooms have archives, and on jabberd2, whose have none: mu-conference forgets what was said when it is stopped. There a subscriber may lack
 * what had been said before that and no subscriber's session had heard, and has a mark in its place. A real occupant that enters then is told nothing.
 *
 * To repeat a run, or for others: INTERSTANZA_SEED=… INTERSTANZA_SEEDS=… INTERSTANZA_ROUNDS=… npx vitest run test/faults/mucsub. INTERSTANZA_STORY=1 tells
 * every round.
 */
const ROUNDS = Number(process.env.INTERSTANZA_ROUNDS ?? 40);
const SUBSCRIBERS = 3;
/** What is said so shortly before the last that was heard is may be behind that for who hears it; ms. */
const SOON = 1_000;
const ALWAYS = { prosody: [1, 2, 3, 4], jabberd2: [3, 10] };

/** The same every time, unless others are asked for. */
function seeds(kind: keyof typeof ALWAYS): readonly number[] {
  const first = process.env.INTERSTANZA_SEED;
  if (first === undefined) return ALWAYS[kind];
  return Array.from({ length: Number(process.env.INTERSTANZA_SEEDS ?? 1) }, (_, n) => Number(first) + n);
}

describeRoutes(
  'MUC/Sub under fire',
  ({ server }) => {
    const kind = server.kind as keyof typeof ALWAYS;
    const world = new World(kind);
    beforeAll(() => world.start());
    afterAll(() => world.dispose());

    test.each(seeds(kind))(
      `${ROUNDS} rounds: nothing lost, nothing twice, nothing out of order (seed %i)`,
      {
        timeout: 60_000 + ROUNDS * 3_000,
      },
      async (seed) => {
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
          const one = new Subscriber(name, await newAccount(world.server, name), world, room, tell);
          await one.logIn();
          everybody.push(one);
        }
        for (const one of everybody) await one.subscribe();
        const first = await speaker.say();
        for (const one of everybody) await until('all to hear', () => one.heard.includes(first));
        const forgotten: number[] = [];
        const speak = async (most: number) => {
          for (let n = dice.below(most); n > 0; n--) tell(`says ${await speaker.say()}`);
        };
        for (let round = 0; round < ROUNDS; round++) {
          await speak(4);
          const one = everybody[dice.below(SUBSCRIBERS)]!;
          const what = dice.below(20);
          tell(`${round} ${describeRound(what, one)}`);
          if (what < 2) {
            if (what === 1) for (const each of everybody) each.proxyDies();
            await world.restartProxy(what === 1, () => speak(3));
          } else if (what === 2) {
            await world.server.restart();
            forgotten.push(Date.now());
            const told = await speaker.enter();
            if (kind === 'jabberd2') expect(told, 'a real occupant').toEqual([]);
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
        const verdicts = everybody.map(({ name, heard, doubtful, marks }) => {
          const twice = heard.filter((body, at) => heard.indexOf(body) < at && !doubtful.has(body));
          const once = heard.filter((body, at) => heard.indexOf(body) === at);
          const missing = speaker.said.filter((body) => !heard.includes(body));
          const lost = missing.filter((body) => {
            const at = speaker.at.get(body)!;
            const isForgotten = kind === 'jabberd2' && forgotten.some((when) => when > at);
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
      },
    );
  },
  { via: ['proxy'], kinds: ['prosody', 'jabberd2'] },
);

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
