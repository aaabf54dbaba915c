import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Endpoint, RawClient, uniqueId } from '../../integration/clients/raw.js';
import { RunningProxy } from '../../integration/proxy.js';
import { newAccount } from '../../integration/routes.js';
import { freePort } from '../../integration/servers/ports.js';
import type { RealServer } from '../../integration/servers/server.js';
import { until, within } from '../../integration/waiting.js';
import { type Kind, Ledger } from './ledger.js';
import { Relay } from './relay.js';
import { SmClient } from './sm-client.js';

/** Whether what is to a resource is for the account, as it is by default, or left to the server. */
const ROUTING = process.env.INTERSTANZA_ROUTING !== 'off';
const MUC = 'http://jabber.org/protocol/muc';
const SETTLING_MS = 30_000;
/** Beyond the time that a session is held: servers look at their clocks now and then only. */
const LATE_MS = 10_000;
/** How long a message may take that is on no one's account late: an end of an epoch does not wait longer. */
const GRACE_MS = 400;

/**
 * Who talks to whom, and how it is addressed. Romeo and Juliet have two devices each, all four are in one
 * room, each device under its own nickname (jabberd2's rooms refuse one nickname to two sessions).
 *
 * - *To a resource*: each device writes to both of the other's, to the full JID that the device has at
 *   the moment. Carbons are off, so that it comes out once.
 * - *To the account*: each device writes to the bare JID of the other. Of each person's devices only the
 *   first has a priority that is not negative; so it is the only one that the server can give this to,
 *   and what nobody but the second could receive waits until the first is back. With two such devices
 *   servers deliver to both, which is right and could not be told from a duplicate.
 *   For the same reason only the second device ever takes another resource: while the old session of a
 *   first one is kept, the new one would be a second that may receive.
 * - *In the room*: everybody hears everybody, oneself included. Who joins anew asks for as much history
 *   as has been said since the last time that all were there.
 */
export class World {
  readonly ledger = new Ledger();
  readonly devices: SmClient[] = [];
  /** What has been done, for whoever has to understand a failure. */
  readonly story: string[] = [];
  proxy: RunningProxy | undefined;
  arrivals = 0;

  #relay!: Relay;
  #front: Endpoint;
  #data: string | undefined;
  #maker!: RawClient;
  /** Nicknames that have left the room, as its maker saw it. */
  readonly #left = new Set<string>();
  #numbers = new Map<string, number>();
  #writtenOff = new Set<string>();
  #saidInRoom = 0;
  #resentBefore = 0;
  #wake: (() => void) | undefined;

  private constructor(
    readonly server: RealServer,
    readonly via: 'direct' | 'proxy',
    /** How long a session is held, at the server as in the proxy. */
    readonly holdSeconds: number,
  ) {
    this.#front = { host: '127.0.0.1', port: 0, domain: server.domain };
  }

  static async create(server: RealServer, via: 'direct' | 'proxy', holdSeconds: number): Promise<World> {
    const world = new World(server, via, holdSeconds);
    try {
      await world.#build();
    } catch (error) {
      await world.dispose();
      throw error;
    }
    return world;
  }

  async #build(): Promise<void> {
    this.#relay = await Relay.before(this.server);
    this.ledger.serverSentBefore = (earlier, later) => this.#relay.sentBefore(earlier, later);
    this.ledger.serverKeeps = (id, audience) => {
      const [owner, resource = ''] = audience.split('.');
      const account = this.devices.find((device) => device.device.owner === owner)?.device.account.jid;
      return this.#relay.keeps(id, `${account}/${resource}`);
    };
    this.#front.port = this.via === 'proxy' ? await freePort() : this.#relay.port;
    if (this.via === 'proxy') {
      this.#data = mkdtempSync(join(tmpdir(), 'interstanza-data-'));
      writeFileSync(join(this.#data, 'hold.yaml'), this.#configuration());
      await this.#startProxy();
    }
    const room = await this.#makeRoom();
    for (const owner of ['romeo', 'juliet']) {
      const account = await newAccount(this.server, owner);
      for (const [resource, priority] of [
        ['one', 1],
        ['two', -1],
      ] as const) {
        const device = { name: `${owner}.${resource}`, owner, account, resource, priority, room };
        const client = new SmClient(device, this.#front, this.ledger, this.via, this.holdSeconds);
        // Each copy that a sender repeats stands in the history too; and so do words of the room itself.
        client.historyWanted = () => this.#saidInRoom + this.ledger.resent - this.#resentBefore + 5;
        this.devices.push(client);
      }
    }
    this.ledger.onArrival = () => {
      this.arrivals += 1;
      this.#wake?.();
    };
    for (const device of this.devices) await device.rebind();
  }

  /** Its maker stays in it, straight at the server, so that it is there as long as the test. */
  async #makeRoom(): Promise<string> {
    const room = `continuity-${uniqueId()}@${this.server.muc}`;
    const { host, port, domain } = this.server;
    this.#maker = await RawClient.login({ host, port, domain }, await newAccount(this.server, 'maker'));
    // jabberd2 shows a room only to those who are available.
    await this.#maker.becomeAvailable('<presence><priority>-1</priority></presence>');
    this.#maker.send(`<presence to='${room}/maker'><x xmlns='${MUC}'/></presence>`);
    await this.#maker.presence((each) => each.attrs.from === `${room}/maker`, 'own presence in the room');
    const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
    await this.#maker.iq('set', form, `to='${room}'`);
    const { stream } = this.#maker;
    stream.onElement = (element) => {
      stream.inbox.length = 0; // it only listens
      const left = element.is('presence') && element.attrs.type === 'unavailable';
      if (left) this.#left.add(element.attrs.from);
    };
    return room;
  }

  get online(): SmClient[] {
    return this.devices.filter((device) => device.online);
  }

  get away(): SmClient[] {
    return this.devices.filter((device) => !device.online);
  }

  /** Writes `count` more messages of one sequence. */
  say(from: SmClient, kind: Kind, to: SmClient, count: number): void {
    const { name, device } = from;
    const { owner, resource } = to.device;
    const target = {
      'to a resource': `${owner}.${resource}`,
      'to the account': owner,
      'in the room': 'room',
    };
    const sequence = `${name}~${target[kind]}`;
    const everywhere = ROUTING && this.via === 'proxy';
    for (let n = 0; n < count; n += 1) {
      const number = (this.#numbers.get(sequence) ?? 0) + 1;
      this.#numbers.set(sequence, number);
      const id = `${sequence}~${number}`;
      const inRoom = kind === 'in the room';
      this.ledger.write({
        ...{ id, sequence, number, kind, from: name },
        ...(kind === 'to a resource' && !everywhere ? { to: to.name } : {}),
        everywhere: everywhere && !inRoom,
        audiences: inRoom ? this.devices.map((each) => each.name) : [to.device.owner],
      });
      if (inRoom) this.#saidInRoom += 1;
      const address = { 'to a resource': to.jid, 'to the account': to.device.account.jid };
      from.say(
        id,
        inRoom ? device.room : address[kind as keyof typeof address],
        inRoom ? 'groupchat' : 'chat',
      );
    }
    from.ask();
  }

  /** Until `count` more messages have come out anywhere; not for long, because their readers may be away. */
  async some(count: number): Promise<void> {
    const enough = this.arrivals + count;
    const come = new Promise<void>((resolve) => {
      this.#wake = () => this.arrivals >= enough && resolve();
      this.#wake();
    });
    await within('a few more messages', 40, come).catch(() => {});
    this.#wake = undefined;
  }

  cutServerLeg(device: SmClient): number {
    const cut = this.#relay.cut(device.jid);
    if (cut > 0) device.legLost();
    return cut;
  }

  /** Cuts a device off until its session is given up, which the others in the room are told. */
  async outlast(device: SmClient): Promise<void> {
    this.#left.delete(device.nickname);
    device.cut();
    await until(
      `the session of ${device.name} to be given up`,
      () => this.#left.has(device.nickname),
      this.holdSeconds * 1_000 + LATE_MS,
    );
  }

  /** Ends the proxy, in an orderly way or not, and starts it again on the same port with the same data. */
  async restartProxy(how: 'stop' | 'kill'): Promise<void> {
    for (const device of this.devices) device.proxyLost();
    await this.proxy?.[how]();
    await this.#startProxy();
  }

  async #startProxy(): Promise<void> {
    this.proxy = await RunningProxy.start({
      domain: this.server.domain,
      upstream: this.#upstream,
      listen: [`xmpp://127.0.0.1:${this.#front.port}?tls=off`],
      ...(this.#data ? { data: this.#data, args: ['--config', join(this.#data, 'hold.yaml')] } : {}),
      logLevel: 'warn',
    });
  }

  get #upstream(): string {
    return `xmpp://127.0.0.1:${this.#relay.port}`;
  }

  #configuration(): string {
    const hold = `hold: { seconds: ${this.holdSeconds} }`;
    const features = `features: { routing: ${ROUTING} }`;
    return `domains:\n  ${this.server.domain}: { upstreams: ["${this.#upstream}"], ${hold}, ${features} }\n`;
  }

  /**
   * Ends an epoch: everybody is there and everything is acknowledged. What is still missing then is
   * waited for, `patience` long, and what is missing even so is not waited for again.
   */
  async gather(back: (device: SmClient) => Promise<unknown>, patience = GRACE_MS): Promise<void> {
    const deadline = Date.now() + SETTLING_MS;
    const everybodySettled = () => this.devices.every((device) => device.settled);
    for (const device of this.devices) if (device.paused) device.unpause();
    while (!everybodySettled()) {
      if (Date.now() > deadline) throw new Error(`not everybody settled:\n${this.describe()}`);
      for (const device of this.devices) {
        if (!device.online) await back(device);
        device.ask();
      }
      // Somebody may fall out of it meanwhile, when an older session is closed late.
      const changed = () => everybodySettled() || this.away.length > 0;
      await until('everybody to be settled', changed, 3_000, 2).catch(() => {});
    }
    // A client without stream management has nothing but this to know that what it wrote is through.
    await Promise.all(this.devices.map((device) => device.ping().catch(() => {})));
    const missing = () =>
      this.ledger.missing().filter(({ id, audience }) => !this.#writtenOff.has(`${id} ${audience}`));
    await until('what is missing', () => missing().length === 0, patience, 2).catch(() => {});
    for (const { id, audience } of missing()) this.#writtenOff.add(`${id} ${audience}`);
    const offence = this.devices.find((device) => device.offence)?.offence;
    if (offence) throw new Error(offence);
    this.#saidInRoom = 0;
    this.#resentBefore = this.ledger.resent;
    this.ledger.epoch += 1;
  }

  /** Gives everything that is missing another chance, `patience` long: time for what is held to end. */
  async settle(patience: number): Promise<void> {
    this.#writtenOff.clear();
    await until('what is missing', () => this.ledger.missing().length === 0, patience).catch(() => {});
  }

  describe(): string {
    return [...this.story.slice(-40), ...this.devices.map((device) => device.state)].join('\n');
  }

  async dispose(): Promise<void> {
    for (const device of this.devices) device.cut();
    this.#maker?.stream.cut();
    await this.proxy?.dispose();
    await this.#relay?.close();
    if (this.#data) rmSync(this.#data, { recursive: true, force: true });
  }
}
