import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Device, type Traits, World } from './world.js';

/** What happens to the room, the proxy and a device. */
type Event =
  | { readonly kind: 'says'; readonly count: number }
  | { readonly kind: 'talks' | 'joins' | 'leaves' | 'closes' | 'back' | 'expires'; readonly who: number }
  | { readonly kind: 'reads' | 'cut'; readonly who: number; readonly stanzas: number }
  | { readonly kind: 'restarted' | 'killed' | 'waits' | 'hesitates' | 'answers' };

const who = fc.nat(1);
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('says' as const), count: fc.integer({ min: 1, max: 6 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('talks', 'joins', 'joins', 'leaves', 'closes', 'back', 'expires'),
      who,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('reads', 'cut'), who, stanzas: fc.nat(12) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('restarted', 'killed', 'waits') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('hesitates', 'answers') }) },
) as fc.Arbitrary<Event>;

const traits: fc.Arbitrary<Traits> = fc.record({
  history: fc.constantFrom(0, 3, 20),
  archive: fc.boolean(),
  ids: fc.boolean(),
});

class Play {
  readonly world: World;
  readonly devices: readonly [Device, Device];
  /** Devices that have lost their connection and may come back. */
  readonly held = new Set<Device>();
  /** Devices whose session the server waits for. */
  readonly lost = new Set<Device>();
  #said = 0;

  constructor(private readonly room: Traits) {
    this.world = new World(room);
    this.devices = [this.world.device('phone'), this.world.device('laptop')];
    for (let i = 0; i < 5; i++) this.#says();
  }

  #says(): void {
    this.world.clock.now += 700;
    this.#said += 1;
    this.world.server.says(`message ${this.#said}`);
  }

  happens(event: Event): void {
    const { world, held } = this;
    world.clock.now += 1_500;
    const device = 'who' in event ? this.devices[event.who as 0 | 1] : undefined;
    switch (event.kind) {
      case 'says':
        for (let i = 0; i < event.count; i++) this.#says();
        break;
      case 'talks':
        if (device!.session !== undefined && device!.isIn && !held.has(device!)) {
          this.#said += 1;
          device!.session?.send(
            `<message type='groupchat' to='party@chats.capulet.lit'><body>message ${this.#said}</body></message>`,
          );
        }
        break;
      case 'joins':
        if (!held.has(device!) && (device!.session === undefined || !device!.isIn))
          device!.joins('', `Juliet${event.who}`);
        break;
      case 'leaves':
        if (device!.session !== undefined && !held.has(device!) && device!.isIn)
          device!.leaves(`Juliet${event.who}`);
        break;
      case 'closes':
        if (!held.has(device!)) device!.closes();
        break;
      case 'reads':
        if (!held.has(device!)) device!.reads(event.stanzas);
        break;
      case 'cut':
        if (device!.session === undefined || held.has(device!)) break;
        device!.reads(event.stanzas);
        device!.session.clientGone();
        held.add(device!);
        break;
      case 'back':
        if (!held.delete(device!)) break;
        device!.session?.clientBack();
        device!.reads();
        break;
      case 'expires':
        if (held.delete(device!)) device!.drops();
        break;
      case 'hesitates':
        // What has not been read when a session ends is only in the archive, and who has never been subscribed comes back to nothing.
        if (this.room.archive && world.server.subscribers.size > 0) world.domain.hesitates();
        break;
      case 'answers':
        world.domain.answers();
        break;
      case 'restarted':
        this.#restart();
        break;
      case 'killed':
        this.#kill();
        break;
      case 'waits':
        world.clock.now += 60_000;
        for (const each of this.lost) if (each.session === undefined) world.server.expires(each.full);
        this.lost.clear();
        for (const each of this.devices) each.session?.settle();
        break;
    }
    for (const each of this.devices) each.session?.settle();
    this.#check();
  }

  #restart(): void {
    const before = this.devices.map((device) => {
      device.session?.settle();
      const unread = device.session?.unreadOfServer ?? [];
      return { device, unread, snapshots: device.session?.snapshots() };
    });
    this.world.nextProcess();
    // There is a session again when its client is back.
    this.held.clear();
    for (const { device, unread, snapshots } of before)
      if (snapshots !== undefined) device.restarted(snapshots, unread);
  }

  #kill(): void {
    for (const device of this.devices) {
      // What was on its way is only in the archive, and with the server.
      if (!this.room.archive && !this.held.has(device)) device.reads();
      const { session } = device;
      session?.kill();
      if (session !== undefined && this.room.archive) {
        this.world.server.loses(device.full, session.unreadOfServer);
        this.lost.add(device);
      } else this.world.server.ends(device.full);
      device.session = undefined;
    }
    this.held.clear();
    this.world.nextProcess();
  }

  /** Each message once, in order, and none left out from the first on. */
  #check(): void {
    const bodies = this.world.server.messages.map(({ body }) => body);
    for (const { shown } of this.devices) {
      const start = bodies.indexOf(shown[0] ?? '');
      expect(shown).toEqual(bodies.slice(Math.max(0, start), Math.max(0, start) + shown.length));
    }
  }

  /** Everybody comes back, and has everything. */
  ends(): void {
    const { world, held } = this;
    world.domain.answers();
    for (const device of this.devices) {
      if (held.delete(device)) device.session?.clientBack();
      const isNew = device.shown.length === 0;
      if (device.session === undefined || !device.isIn)
        device.joins('', `Juliet${this.devices.indexOf(device)}`);
      device.reads();
      world.clock.now += 60_000;
      device.reads();
      if (isNew && device.shown.length === 0) continue;
      expect(device.shown.at(-1)).toBe(world.server.messages.at(-1)?.body);
    }
    this.#says();
    for (const device of this.devices) {
      expect(device.reads().shown.at(-1)).toBe(`message ${this.#said}`);
      const raw = device.all.filter((stanza) => String(stanza).includes('pubsub#event'));
      expect(raw).toEqual([]);
    }
    this.#check();
  }
}

test('whatever happens, a legacy client is shown what is said in the room from its join on, once and in order', () => {
  fc.assert(
    fc.property(traits, fc.array(event, { maxLength: 40 }), (room, events) => {
      const play = new Play(room);
      for (const each of events) play.happens(each);
      play.ends();
    }),
    { numRuns: Number(process.env.FC_RUNS ?? 300) },
  );
});
