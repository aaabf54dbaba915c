import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Element } from 'ltx';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Account, type Endpoint, RawClient } from '../integration/clients/raw.js';
import { NS } from '../integration/clients/raw-stream.js';
import { RunningProxy } from '../integration/proxy.js';
import { describeRoutes, newAccount } from '../integration/routes.js';
import { freePort } from '../integration/servers/ports.js';
import { startProsody } from '../integration/servers/prosody.js';
import type { ServerHandle } from '../integration/servers/server.js';
import { until } from '../integration/waiting.js';
import { Dice } from './continuity/rounds.js';

/*
 * One speaks in a room to which others have subscribed, while they come and go with one device and another, lose their connections in the midst of what
 * comes, take their sessions up again or do not, and while the proxy is stopped and killed and the server restarted, all at random. In the end each has had all
 * that the room has said, once and in order. It may have come again only where nobody can know that it had come: the client had not been able to say so.
 * What it has said so shortly before the proxy was killed may come again too.
 *
 * On Prosody, whose rooms have archives. mu-conference has none and forgets what was said when it is stopped; of its history the messages of the last
 * seconds are told apart by two dozen marks, which are fewer than are said here.
 *
 * To repeat a run, or for others: INTERSTANZA_SEED=… INTERSTANZA_SEEDS=… INTERSTANZA_ROUNDS=… npx vitest run test/faults/mucsub. INTERSTANZA_STORY=1 tells
 * every round.
 */
const SEEDS = seeds();
const ROUNDS = Number(process.env.INTERSTANZA_ROUNDS ?? 40);
/** What was acknowledged so long before the proxy is killed has been noted; ms. */
const NOTED_AFTER = 1_000;
const SUBSCRIBERS = 3;
const DOMAIN = 'faults.example';
const MUC = 'http://jabber.org/protocol/muc';
const EVENT = 'http://jabber.org/protocol/pubsub#event';

/** The same every time, unless others are asked for. */
function seeds(): readonly number[] {
  const first = process.env.INTERSTANZA_SEED;
  if (first === undefined) return [1, 2, 3, 4];
  return Array.from({ length: Number(process.env.INTERSTANZA_SEEDS ?? 1) }, (_, n) => Number(first) + n);
}

/** The proxy and the server behind it, both at places that stay. */
class World {
  endpoint!: Endpoint;
  server!: ServerHandle;
  #proxy: RunningProxy | undefined;
  readonly #data = mkdtempSync(join(tmpdir(), 'interstanza-data-'));

  readonly #config = join(this.#data, 'allowed.yaml');

  async start(): Promise<void> {
    const options = { directTls: false, domain: DOMAIN, hibernation: 20 };
    this.server = await startProsody(options);
    const { host, port } = this.server;
    const features = 'features: { mucsub: { allowSubscription: true } }';
    writeFileSync(
      this.#config,
      `domains:\n  ${DOMAIN}:\n    upstreams: [xmpp://${host}:${port}]\n    ${features}\n`,
    );
    this.endpoint = { host: '127.0.0.1', port: await freePort(), domain: this.server.domain };
    await this.startProxy();
  }

  async startProxy(): Promise<void> {
    const listen = [`xmpp://127.0.0.1:${this.endpoint.port}?tls=off`];
    const logLevel = process.env.INTERSTANZA_STORY === undefined ? 'warn' : 'debug';
    const args = ['--config', this.#config];
    this.#proxy = await RunningProxy.inFrontOf(this.server, { listen, data: this.#data, logLevel, args });
  }

  /** @param meanwhile while there is none */
  async restartProxy(kill: boolean, meanwhile: () => Promise<void>): Promise<void> {
    if (kill) await this.#proxy?.kill();
    else await this.#proxy?.stop();
    await meanwhile();
    await this.startProxy();
  }

  async dispose(): Promise<void> {
    await this.#proxy?.dispose();
    await this.server.dispose();
    rmSync(this.#data, { recursive: true, force: true });
  }
}

/** A subscriber's client. It acknowledges each event as soon as it has it, and knows what that may have been too late for. */
class Subscriber {
  readonly heard: string[] = [];
  /** What it has had and can not be sure to have acknowledged. */
  readonly doubtful = new Set<string>();
  #client: RawClient | undefined;
  #resumption = '';
  #received = 0;
  #resource = 'device';
  /** When it was known to have acknowledged it, in the order in which it came. */
  #recent: { body: string; acknowledged: number }[] = [];
  #trouble: unknown;

  constructor(
    readonly name: string,
    readonly account: Account,
    readonly world: World,
    readonly room: string,
    readonly tell: (what: string) => void,
  ) {}

  get online(): boolean {
    return this.#client !== undefined && !this.#client.stream.closed && !this.#client.stream.ended;
  }

  /** Gets all that comes from now on, and what has come. */
  #listen(client: RawClient): void {
    const { stream } = client;
    const count = stream.onElement;
    const take = (element: Element) => this.#take(client, element);
    stream.onElement = (element) => {
      count?.(element);
      take(element);
    };
    for (const element of stream.inbox.splice(0)) take(element);
  }

  #take(client: RawClient, element: Element): void {
    if (client !== this.#client || !element.is('message')) return;
    this.#received = client.sm?.received ?? 0;
    const item = element.getChild('event', EVENT)?.getChild('items')?.getChild('item');
    if (item === undefined || element.attrs.from !== this.room) return;
    const body = item.getChildElements()[0]?.getChildText('body');
    if (typeof body === 'string') {
      this.heard.push(body);
      this.#recent.push({ body, acknowledged: Number.POSITIVE_INFINITY });
      const delay = element.getChild('delay', 'urn:xmpp:delay');
      this.tell(
        `  ${this.name} hears ${body}${delay === undefined ? '' : `, delayed ${delay.attrs.stamp} by ${delay.attrs.from}`}`,
      );
    } else this.heard.push(`?? ${item}`);
    client.stream.write(`<a xmlns='${NS.sm}' h='${this.#received}'/>`);
  }

  /** What it has had by now it has acknowledged, when this is done. */
  async settle(): Promise<void> {
    const before = this.#recent.length;
    await this.#client?.settle().then(
      () => {
        for (const each of this.#recent.slice(0, before))
          each.acknowledged = Math.min(each.acknowledged, Date.now());
      },
      () => {},
    );
  }

  /** What it has not acknowledged for certain may come again. @param noted of the rest only this has been noted: what was acknowledged by then; ms */
  #doubt(noted = Number.MAX_SAFE_INTEGER): void {
    for (const { body, acknowledged } of this.#recent) if (acknowledged > noted) this.doubtful.add(body);
    this.#recent = this.#recent.filter(
      ({ acknowledged }) => acknowledged <= noted && acknowledged > Date.now() - NOTED_AFTER,
    );
  }

  /** The proxy is about to be killed. */
  proxyDies(): void {
    this.#doubt(Date.now() - NOTED_AFTER);
  }

  /** A new session. */
  async logIn(): Promise<void> {
    this.#doubt();
    await until(
      `${this.name} to log in`,
      async () => {
        try {
          const client = await RawClient.login(this.world.endpoint, this.account, {
            resource: this.#resource,
          });
          const enabled = await client.enableSm("resume='true'");
          this.#resumption = String(enabled.attrs.id ?? '');
          this.#client = client;
          this.#received = 0;
          this.#listen(client);
          client.send('<presence/>');
          return true;
        } catch (error) {
          this.#trouble = error;
          return false;
        }
      },
      30_000,
    ).catch((error) => {
      throw new Error(`${error}: ${this.#trouble}`);
    });
    this.tell(`  ${this.name} has logged in as ${this.#resource}`);
  }

  /** Takes the session up again; a new one where that cannot be. */
  async resume(): Promise<void> {
    const h = this.#received;
    try {
      const client = await RawClient.connect(this.world.endpoint);
      await client.openStream();
      await client.authenticate(this.account);
      client.send(`<resume xmlns='${NS.sm}' previd='${this.#resumption}' h='${h}'/>`);
      const answer = await client.expect(
        'an answer',
        (each) => each.is('resumed', NS.sm) || each.is('failed', NS.sm),
      );
      if (answer.is('failed')) {
        client.stream.cut();
        throw new Error('not resumed');
      }
      client.sm = { received: h, sent: 0, acknowledged: 0, answersRequests: true };
      for (const each of this.#recent) each.acknowledged = Math.min(each.acknowledged, Date.now());
      this.#client = client;
      this.tell(`  ${this.name} has resumed`);
      // What came right behind the answer has not been counted.
      for (const element of client.stream.inbox)
        if (/^(message|presence|iq)$/.test(element.name)) client.sm.received += 1;
      this.#listen(client);
    } catch {
      await this.logIn();
    }
  }

  async subscribe(): Promise<void> {
    const answer = await this.#client!.iq(
      'set',
      `<subscribe xmlns='urn:xmpp:mucsub:0' nick='${this.name}'><event node='urn:xmpp:mucsub:nodes:messages'/></subscribe>`,
      `to='${this.room}'`,
    );
    expect(answer.attrs.type, String(answer)).toBe('result');
  }

  /** Logs out; what it has had by then it has acknowledged. The next time it is at another device. */
  async close(): Promise<void> {
    await this.settle();
    await this.#client?.close().catch(() => this.#client?.stream.cut());
    this.#doubt();
    this.#client = undefined;
    this.#resource = this.#resource === 'device' ? 'desk' : 'device';
  }

  /** @param settled what has come so far it has acknowledged */
  async cut(settled: boolean): Promise<void> {
    if (settled) await this.settle();
    this.#client?.stream.cut();
  }
}

/** Speaks in the room, straight to the server, and knows what the room has said. */
class Speaker {
  readonly said: string[] = [];
  #client: RawClient | undefined;
  #count = 0;

  constructor(
    readonly account: Account,
    readonly world: World,
    readonly room: string,
  ) {}

  async enter(): Promise<void> {
    const { host, port, domain } = this.world.server;
    let trouble: unknown;
    await until(
      'the speaker to be in the room',
      async () => {
        try {
          this.#client?.stream.cut();
          this.#client = await RawClient.login({ host, port, domain }, this.account);
          this.#client.send(
            `<presence to='${this.room}/speaker'><x xmlns='${MUC}'><history maxstanzas='0'/></x></presence>`,
          );
          await this.#client.expect(
            'to be in the room',
            ({ name, attrs }) =>
              name === 'presence' && attrs.from === `${this.room}/speaker` && attrs.type === undefined,
          );
          return true;
        } catch (error) {
          trouble = error;
          return false;
        }
      },
      30_000,
    ).catch((error) => {
      throw new Error(`${error}: ${trouble}`);
    });
  }

  async configure(): Promise<void> {
    const field = (name: string) => `<field var='${name}'><value>1</value></field>`;
    await this.#client!.iq(
      'set',
      `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field>` +
        `${field('muc#roomconfig_persistentroom')}${field('muc#roomconfig_enablearchiving')}</x></query>`,
      `to='${this.room}'`,
    );
  }

  async say(): Promise<string> {
    const body = `message ${++this.#count}`;
    this.#client!.send(
      `<message to='${this.room}' type='groupchat' id='s${this.#count}'><body>${body}</body></message>`,
    );
    await this.#client!.body(body);
    this.said.push(body);
    return body;
  }

  leave(): void {
    this.#client?.stream.cut();
  }
}

describeRoutes(
  'MUC/Sub under fire',
  () => {
    const world = new World();
    beforeAll(() => world.start());
    afterAll(() => world.dispose());

    test.each(SEEDS)(
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
            await speaker.enter();
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
        const verdicts = everybody.map(({ name, heard, doubtful }) => {
          const twice = heard.filter((body, at) => heard.indexOf(body) < at && !doubtful.has(body));
          const once = heard.filter((body, at) => heard.indexOf(body) === at);
          const lost = speaker.said.filter((body) => !heard.includes(body));
          return { name, twice, lost, order: once };
        });
        const wanted = everybody.map(({ name }) => ({ name, twice: [], lost: [], order: speaker.said }));
        if (process.env.INTERSTANZA_STORY) console.log(`seed ${seed}\n${story.join('\n')}`);
        speaker.leave();
        for (const one of everybody) await one.cut(true);
        expect(verdicts, `seed ${seed}\n${story.join('\n')}`).toEqual(wanted);
      },
    );
  },
  { via: ['proxy'], kinds: ['prosody'] },
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
