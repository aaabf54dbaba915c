import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FEATURES } from '../../../src/features/index.js';
import type { Direction, Feature, FeatureContext, IqAnswer } from '../../../src/session/feature.js';
import { Pipeline, PipelineSession, watchedNamespaces } from '../../../src/session/pipeline.js';
import { Frame } from '../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';
import { parseElement } from '../../../src/xml/tree.js';
import { FakeDomain, WALL_CLOCK } from './playbook.js';

const DOMAIN = 'capulet.lit';
const NAMESPACES = new NamespaceTable([...Object.values(NS), ...watchedNamespaces(FEATURES)]);
const AS_THEY_ARE = new Pipeline(FEATURES, NAMESPACES);
/** Everybody is always asked. What others need has to stay what it is: knowledge, which is always asked anyway. */
const ALWAYS_ASKED = new Pipeline(FEATURES.map(alwaysAsked), NAMESPACES);

function alwaysAsked(feature: Feature): Feature {
  if (feature.watches.every(({ when }) => when === undefined)) return feature;
  return { ...feature, watches: feature.watches.map(({ when: _, ...watch }) => watch) };
}

test('some watches are for an interest', () => {
  expect(FEATURES.filter((feature) => alwaysAsked(feature) !== feature).length).toBeGreaterThanOrEqual(3);
});

/** Where something is done only on request. */
const SETTINGS: Readonly<Record<string, unknown>> = {
  'presence-session': { playClient: 'speculative' },
  mucsub: { allowSubscription: true },
};

const ROOMS = ['balcony@rooms.capulet.lit', 'hall@chat.montague.lit'] as const;
const PEOPLE = ['romeo@montague.lit/orchard', 'nurse@capulet.lit/kitchen'] as const;
const OWN = ['juliet@capulet.lit/chamber', 'juliet@capulet.lit/garden'] as const;

const error = (condition: string): string =>
  `<error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;
const muc = (inside: string): string => `<x xmlns='${NS.mucUser}'>${inside}</x>`;
const item = "<item affiliation='none' role='participant'/>";

const room = fc.constantFrom(...ROOMS);
const nick = fc.constantFrom('juliet', 'romeo', 'nurse');
const person = fc.constantFrom(...PEOPLE);
const id = fc.constantFrom('1', '2');

const fromClient = fc.oneof(
  fc.constant('<presence/>'),
  fc.constant("<presence type='unavailable'/>"),
  fc.tuple(room, nick).map(([r, n]) => `<presence to='${r}/${n}'><x xmlns='${NS.muc}'/></presence>`),
  fc
    .tuple(room, nick)
    .map(
      ([r, n]) =>
        `<presence to='${r}/${n}'><x xmlns='${NS.muc}'/><presence-session xmlns='${NS.presenceSession}'/></presence>`,
    ),
  fc.tuple(room, nick).map(([r, n]) => `<presence to='${r}/${n}' type='unavailable'/>`),
  room.map((r) => `<message to='${r}' type='groupchat' id='m'><body>hi</body></message>`),
  fc.tuple(room, nick).map(([r, n]) => `<message to='${r}/${n}' type='chat'><body>psst</body></message>`),
  person.map((p) => `<message to='${p}' type='chat' id='c'><body>hello</body></message>`),
  room.map((r) => `<message to='${r}'>${muc("<invite to='nurse@capulet.lit'/>")}</message>`),
  fc
    .tuple(room, id)
    .map(
      ([r, i]) =>
        `<iq type='set' to='${r}' id='${i}'><subscribe xmlns='${NS.mucsub}' nick='juliet'><event node='urn:xmpp:mucsub:nodes:messages'/><event node='urn:xmpp:mucsub:nodes:presence'/></subscribe></iq>`,
    ),
  fc
    .tuple(room, id)
    .map(([r, i]) => `<iq type='set' to='${r}' id='${i}'><unsubscribe xmlns='${NS.mucsub}'/></iq>`),
  fc
    .tuple(room, nick, id)
    .map(([r, n, i]) => `<iq type='get' to='${r}/${n}' id='${i}'><ping xmlns='${NS.ping}'/></iq>`),
  fc
    .tuple(room, id)
    .map(([r, i]) => `<iq type='get' to='${r}' id='${i}'><query xmlns='${NS.mucOwner}'/></iq>`),
);

const fromServer = fc.oneof(
  fc.tuple(room, nick).map(([r, n]) => `<presence from='${r}/${n}'>${muc(item)}</presence>`),
  fc
    .tuple(room, nick)
    .map(([r, n]) => `<presence from='${r}/${n}'>${muc(`${item}<status code='110'/>`)}</presence>`),
  fc
    .tuple(
      room,
      nick,
      fc.constantFrom('', "<status code='110'/>", "<status code='110'/><status code='307'/>"),
    )
    .map(([r, n, s]) => `<presence from='${r}/${n}' type='unavailable'>${muc(item + s)}</presence>`),
  fc
    .tuple(room, nick, fc.constantFrom('conflict', 'remote-server-not-found', 'forbidden'))
    .map(([r, n, c]) => `<presence from='${r}/${n}' type='error'>${error(c)}</presence>`),
  fc
    .tuple(room, nick, id)
    .map(
      ([r, n, i]) => `<message from='${r}/${n}' type='groupchat' id='${i}'><body>said ${i}</body></message>`,
    ),
  room.map((r) => `<message from='${r}' type='groupchat'><subject>love</subject></message>`),
  room.map(
    (r) =>
      `<message from='${r}/romeo' type='groupchat'><body>x</body><presence-session xmlns='${NS.presenceSession}'/></message>`,
  ),
  person.map((p) => `<message from='${p}' type='chat'><body>hello</body></message>`),
  person.map((p) => `<presence from='${p}'/>`),
  fc
    .tuple(fc.oneof(person, room), fc.constantFrom('remote-server-not-found', 'service-unavailable'))
    .map(([p, c]) => `<message from='${p}' type='error'><body>x</body>${error(c)}</message>`),
  fc
    .tuple(room, id)
    .map(([r, i]) => `<iq from='${r}' type='result' id='${i}'><query xmlns='${NS.mucOwner}'/></iq>`),
  fc
    .tuple(room, nick)
    .map(([r, n]) => `<iq from='${r}/${n}' type='get' id='v'><query xmlns='jabber:iq:version'/></iq>`),
  fc
    .tuple(person, id)
    .map(([p, i]) => `<iq from='${p}' type='error' id='${i}'>${error('remote-server-timeout')}</iq>`),
);

const session = fc.nat(1);
type Step =
  | readonly ['to-server' | 'to-client', number, string]
  | readonly ['wait', number]
  | readonly ['answer', string]
  | readonly ['restart', number];

/** What chance would hardly do: that one thing follows the other. */
const stories = fc.tuple(session, room, id).chain(([n, r, i]) => {
  const up = (xml: string): Step => ['to-server', n, xml];
  const down = (xml: string): Step => ['to-client', n, xml];
  const now: Step = ['wait', 300];
  const within = `<presence from='${r}/juliet'>${muc(`${item}<status code='110'/>`)}</presence>`;
  const subject = `<message from='${r}' type='groupchat'><subject>love</subject></message>`;
  const subscribe = `<iq type='set' to='${r}' id='s'><subscribe xmlns='${NS.mucsub}' nick='juliet'><event node='urn:xmpp:mucsub:nodes:messages'/></subscribe></iq>`;
  const join = `<presence to='${r}/juliet'><x xmlns='${NS.muc}'/></presence>`;
  const resume = join.replace(
    '</presence>',
    `<presence-session xmlns='${NS.presenceSession}' type='resume' session='session-1' id='1'/></presence>`,
  );
  const form = `<iq from='${r}' type='result' id='${i}'><query xmlns='${NS.mucOwner}'><x xmlns='jabber:x:data' type='form'/></query></iq>`;
  const down1 = `<message from='${PEOPLE[0]}' type='error'><body>x</body>${error('remote-server-not-found')}</message>`;
  return fc.constantFrom<readonly Step[]>(
    [up('<presence/>'), up(subscribe), now, ['answer', 'result'], now, down(within), down(subject), now],
    [up(join), down(within), down(subject), now],
    [up(`<iq type='get' to='${r}' id='${i}'><query xmlns='${NS.mucOwner}'/></iq>`), down(form)],
    [
      up(join),
      down(within),
      down(subject),
      down(down1.replace(PEOPLE[0], r)),
      now,
      ['answer', 'remote-server-not-found'],
      now,
    ],
    [
      up(resume),
      up(`<message to='${r}' type='groupchat'><body>early</body></message>`),
      up(`<presence to='${r}/juliet' type='unavailable'/>`),
      now,
    ],
    [up(join), up(`<message to='${r}' type='groupchat'><body>early</body></message>`), now],
  );
});
const chance = fc
  .oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constant('to-server' as const), session, fromClient) },
    { weight: 5, arbitrary: fc.tuple(fc.constant('to-client' as const), session, fromServer) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('wait' as const), fc.constantFrom(0, 300, 6_000, 40_000)) },
    {
      weight: 2,
      arbitrary: fc.tuple(
        fc.constant('answer' as const),
        fc.constantFrom('result', 'item-not-found', 'timeout'),
      ),
    },
    { weight: 1, arbitrary: fc.tuple(fc.constant('restart' as const), session) },
  )
  .map((step): readonly Step[] => [step]);
const steps = fc
  .array(fc.oneof({ weight: 5, arbitrary: chance }, { weight: 1, arbitrary: stories }), { maxLength: 40 })
  .map((all) => all.flat());

function payloadFor(to: string, asked: string): string {
  if (asked.includes(NS.discoItems))
    return `<query xmlns='${NS.discoItems}'><item jid='rooms.${DOMAIN}'/></query>`;
  if (!asked.includes(NS.discoInfo)) return '';
  const isRooms = to === `rooms.${DOMAIN}`;
  const identity = isRooms ? "<identity category='conference' type='text'/>" : '';
  const features = isRooms ? [NS.muc] : [NS.discoInfo, NS.discoItems];
  return `<query xmlns='${NS.discoInfo}'>${identity}${features.map((each) => `<feature var='${each}'/>`).join('')}</query>`;
}

/** Two sessions of one account, and all that comes out of them, with one pipeline or the other. */
class World {
  readonly told: string[] = [];
  now = 1_000_000;
  readonly #domain = new FakeDomain(DOMAIN);
  readonly #identities = OWN.map((full) => {
    const [bare = '', resource = ''] = full.split('/');
    const identity = { full, bare, local: 'juliet', domain: DOMAIN, resource };
    this.#domain.enter(identity);
    return identity;
  });
  readonly #wakeups = new Map<string, { session: number; feature: Feature; token: string; time: number }>();
  #later: (() => void)[] = [];
  readonly #requests: { to: string; payload: string; done: (answer: IqAnswer) => void }[] = [];
  readonly #sessions: PipelineSession[];
  #ids = 0;

  constructor(private readonly pipeline: Pipeline) {
    this.#sessions = this.#identities.map((_, n) => this.#open(n));
    this.#settle();
    // What the probe asks first is answered as a server with rooms does.
    this.wait(0);
    for (let i = 0; i < 20 && this.#requests.length > 0; i++) this.answer('result');
    this.wait(0);
  }

  pass(direction: Direction, n: number, xml: string): void {
    const frame = parseStanza(Buffer.from(xml), NAMESPACES);
    if (!(frame instanceof Frame)) throw new Error(frame.reason);
    const outcome = this.#sessions[n]!.handle(direction, frame, this.now);
    const what = outcome.kind === 'pass' ? 'pass' : `${outcome.kind} ${outcome.reason}`;
    this.told.push(`${n} ${xml}: ${what} ${outcome.kind === 'changed' ? outcome.bytes.toString() : ''}`);
  }

  wait(ms: number): void {
    this.now += ms;
    this.#settle();
    for (let i = 0; i < 20; i++) {
      const due = [...this.#wakeups].filter(([, { time }]) => time <= this.now);
      for (const [name, { session: n, feature, token }] of due) {
        this.#wakeups.delete(name);
        this.#instance(n, feature)?.onWakeup?.(token, this.now);
        this.#settle();
      }
      if (due.length === 0) break;
    }
  }

  answer(how: string): void {
    const request = this.#requests.shift();
    if (request === undefined) return;
    const payload = payloadFor(request.to, request.payload);
    const iq = parseElement(Buffer.from(`<iq xmlns='${NS.client}' type='result'>${payload}</iq>`));
    if (how === 'timeout') request.done({ kind: 'timeout' });
    else if (how === 'result') request.done({ kind: 'result', iq });
    else request.done({ kind: 'error', condition: how, iq });
    this.#settle();
  }

  restart(n: number): void {
    const snapshots = this.#sessions[n]!.snapshots();
    for (const instance of this.#sessions[n]!.instances) instance.onClose?.(this.now);
    this.#settle();
    this.#sessions[n] = this.#open(n, snapshots);
    this.#settle();
  }

  #open(n: number, snapshots: Readonly<Record<string, string>> = {}): PipelineSession {
    return new PipelineSession(
      this.pipeline,
      this.#identities[n]!,
      (feature, around) => this.#contextFor(n, feature, around),
      snapshots,
    );
  }

  #instance(n: number, feature: Feature) {
    return this.#sessions[n]?.instances[this.pipeline.features.indexOf(feature)];
  }

  #settle(): void {
    while (this.#later.length > 0) for (const each of this.#later.splice(0)) each();
  }

  #contextFor(n: number, feature: Feature, around: PipelineSession): FeatureContext {
    const world = this;
    const identity = this.#identities[n]!;
    const say = (what: string) => this.told.push(`${n} ${feature.name} ${what}`);
    const show = (direction: Direction, xml: string | Buffer) => {
      const frame = parseStanza(Buffer.from(xml), NAMESPACES);
      if (frame instanceof Frame) around.show(direction, frame, this.now);
      say(`${direction} ${xml.toString()}`);
    };
    return {
      identity,
      serverKind: 'prosody',
      upstream: 'capulet.lit',
      enabledAtStart: new Set(),
      domain: this.#domain,
      namespaces: NAMESPACES,
      get now() {
        return world.now;
      },
      send: (leg, xml) => say(`sends ${leg} ${xml.toString()}`),
      sendStored: (xml) => say(`sends stored ${xml.toString()}`),
      sendInOthersTurn: (xml) => say(`sends client ${xml.toString()}`),
      sendAsClient: (xml) => show('to-server', xml),
      sendAsServer: (xml) => show('to-client', xml),
      sendAhead: (xml) => say(`ahead ${xml.toString()}`),
      endKept: () => say('ends kept'),
      keepForAccount: (bare, xml) => say(`keeps ${bare} ${xml.toString()}`),
      waits: (bare, xml) => say(`waits ${bare} ${xml.toString()}`),
      request: ({ to = 'account', payload }, done) => {
        say(`asks ${to} ${payload}`);
        this.#requests.push({ to, payload, done });
      },
      wakeAt: (token, time) =>
        this.#wakeups.set(`${n} ${feature.name} ${token}`, { session: n, feature, token, time }),
      randomId: () => `id${++this.#ids}`,
      count: (reason) => say(`counts ${reason}`),
      settings: <T>() => feature.settings?.parse(SETTINGS[feature.name] ?? {}) as T,
      store: {
        write: (changes, done) => {
          this.#domain.write(changes);
          this.#later.push(() => done?.(true));
        },
        load: (prefix, done) => this.#later.push(() => done(this.#domain.list(prefix))),
      },
      tell: (bare, message) => {
        say(`tells ${bare} ${message}`);
        if (bare !== identity.bare) return;
        for (const other of this.#identities.keys())
          if (other !== n)
            this.#later.push(() => this.#instance(other, feature)?.onTold?.(message, identity.full));
      },
      wallClock: () => WALL_CLOCK + this.now,
      know: (key) => around.know(feature, key),
      whenReceived: () => {},
      holdAcknowledgement: () => () => {},
      attend: (interest, on) => around.attend(interest, on),
    };
  }
}

test('property: sessions in which features are asked only for their interests do what those do in which they always are', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const play = (pipeline: Pipeline): readonly string[] => {
        const world = new World(pipeline);
        for (const step of all) {
          if (step[0] === 'wait') world.wait(step[1]);
          else if (step[0] === 'answer') world.answer(step[1]);
          else if (step[0] === 'restart') world.restart(step[1]);
          else world.pass(step[0], step[1], step[2]);
        }
        world.wait(120_000);
        return world.told;
      };
      expect(play(AS_THEY_ARE)).toEqual(play(ALWAYS_ASKED));
    }),
    { numRuns: 200 },
  );
}, 60_000);
