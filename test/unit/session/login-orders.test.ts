import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Config, ListenerTls } from '../../../src/config/model.js';
import { FEATURES } from '../../../src/features/index.js';
import { createDomains, type DomainRuntime } from '../../../src/session/domain.js';
import type { Leg, SessionPort, SessionSummary } from '../../../src/session/port.js';
import { Session } from '../../../src/session/session.js';
import { BIND, HEADER, MECHANISMS, Playbook, SERVER_HEADER, SM3 } from './playbook.js';

const STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
const SUCCESS = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const ASK = `<iq type='set' id='b1'>${BIND}</iq>`;
const RESULT = `<iq type='result' id='b1'>${BIND.replace('/>', '><jid>a@example.org/r</jid></bind>')}</iq>`;
const SAID = "<message to='a@example.org' id='said'><body>x</body></message>";
const END = '</stream:stream>';
const FACTS = { protocol: 'TLSv1.3', certificateSha256: undefined };

interface Scene {
  readonly listener: ListenerTls;
  readonly upstream: 'off' | 'starttls' | 'direct';
  /** The server has stream management. */
  readonly sm: boolean;
  /** The client does not wait for its resource. */
  readonly hurries: boolean;
  /** Bytes come for a leg that is not read: a transport may have them already. */
  readonly overruns: boolean;
  /** What happens next, and how many bytes of it. */
  readonly choices: readonly number[];
  /** What else happens, and when. */
  readonly mishap?: { readonly what: Mishap; readonly turn: number };
}

const MISHAPS = [
  'client lost',
  'client ends',
  'client silent',
  'client shakes no hands',
  'client reads nothing',
  'server lost',
  'server ends',
  'server silent',
  'server shakes no hands',
  'server reads nothing',
  'cannot be connected',
  'shutdown',
] as const;
type Mishap = (typeof MISHAPS)[number];

const scene: fc.Arbitrary<Scene> = fc.record({
  listener: fc.constantFrom<ListenerTls>('off', 'optional', 'required', 'direct'),
  upstream: fc.constantFrom('off', 'starttls', 'direct'),
  sm: fc.boolean(),
  hurries: fc.boolean(),
  overruns: fc.boolean(),
  choices: fc.array(fc.nat(9_999), { minLength: 1, maxLength: 60 }),
});

const disturbed = fc
  .tuple(scene, fc.record({ what: fc.constantFrom(...MISHAPS), turn: fc.nat(120) }))
  .map(([plain, mishap]): Scene => ({ ...plain, mishap }));

/** One end: says what is next when it has heard what it waits for. */
class Peer {
  heard = '';
  /** Said and not delivered yet. */
  queue = Buffer.alloc(0);
  secures = false;
  #at = 0;

  constructor(private readonly script: readonly (readonly [waitsFor: RegExp | undefined, says: string])[]) {
    this.goOn();
  }

  get isThrough(): boolean {
    return this.#at === this.script.length;
  }

  say(text: string): void {
    this.queue = Buffer.concat([this.queue, Buffer.from(text)]);
  }

  hears(text: string): void {
    this.heard += text;
    this.goOn();
  }

  goOn(): void {
    for (let step = this.script[this.#at]; step !== undefined; step = this.script[this.#at]) {
      const [waitsFor, says] = step;
      if (waitsFor !== undefined) {
        const found = waitsFor.exec(this.heard);
        if (found === null) return;
        this.heard = this.heard.slice(found.index + found[0].length);
      }
      this.say(says);
      this.#at += 1;
    }
  }
}

/** Two ends, the session between them, and chance as what happens next. */
class Stage implements SessionPort {
  readonly session: Session;
  readonly #client: Peer;
  readonly #server: Peer;
  readonly #paused = new Set<Leg>();
  readonly #over = new Set<Leg>();
  /** What is written there is not read any more. */
  readonly #full = new Set<Leg>();
  /** Nothing comes from there any more, not even a handshake or an end. */
  readonly #silent = new Set<Leg>();
  /** Events that are due, in any order. */
  readonly #due: (() => void)[] = [];
  readonly #flushed = new Map<Leg, boolean>();
  #next = 0;
  #id = 0;
  #now = 1_000;
  #connected = false;
  #connects = true;
  #wakesAt = Number.POSITIVE_INFINITY;
  summary: SessionSummary | undefined;
  echoed = 0;

  get domain(): DomainRuntime {
    return this.session.settings.domains.get('example.org')!;
  }

  constructor(private readonly scene: Scene) {
    const { upstream, session } = new Playbook();
    const { config: any } = session.settings;
    const upstreams = [{ ...upstream, tls: scene.upstream }];
    const hold = { seconds: 60, stanzas: 100, bytes: 100_000 };
    const domain = { ...any.domains.get('example.org')!, upstreams, hold };
    const looksAfter = { whitespace: 0, ping: 60, timeout: 30 };
    const keepalive = { client: looksAfter, server: looksAfter };
    const config: Config = { ...any, keepalive, domains: new Map([['example.org', domain]]) };
    const listener = { url: '', host: '', port: 0, tls: scene.listener, acceptProxyFrom: [] };
    this.session = new Session(this, {
      ...{ config, listener, peer: '127.0.0.1', now: this.#now },
      directTls: scene.listener === 'direct' ? FACTS : undefined,
      domains: createDomains(config, FEATURES),
    });
    this.#client = new Peer(this.#clientScript());
    this.#server = new Peer(this.#serverScript());
  }

  #clientScript(): [RegExp | undefined, string][] {
    const { listener, hurries, choices } = this.scene;
    const asksForTls = listener === 'required' || (listener === 'optional' && choices.length % 2 === 0);
    const script: [RegExp | undefined, string][] = [[undefined, HEADER]];
    // What follows TLS is said when the handshake is over.
    if (asksForTls) script.push([/<starttls.*<\/stream:features>/, STARTTLS], [/<handshake\/>/, HEADER]);
    const behind = `<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>${SAID}`;
    script.push([/<mechanisms.*<\/stream:features>/, AUTH], [/<success[^>]*>/, HEADER]);
    if (hurries) script.push([/<bind.*<\/stream:features>/, ASK + behind], [/<iq[^>]*id='b1'.*?<\/iq>/, '']);
    else script.push([/<bind.*<\/stream:features>/, ASK], [/<iq[^>]*id='b1'.*?<\/iq>/, behind]);
    script.push([/<enabled[^>]*>/, ''], [/id='said'/, END], [/<\/stream:stream>$/, '']);
    return script;
  }

  #serverScript(): [RegExp, string][] {
    const features = (what: string): string => `${SERVER_HEADER}<stream:features>${what}</stream:features>`;
    const script: [RegExp, string][] = [];
    if (this.scene.upstream === 'starttls')
      script.push([/<stream:stream[^>]*>/, features(STARTTLS)], [/<starttls[^>]*>/, PROCEED]);
    script.push([/<stream:stream[^>]*>/, features(MECHANISMS)], [/<auth.*<\/auth>/, SUCCESS]);
    script.push([/<stream:stream[^>]*>/, features(this.scene.sm ? BIND + SM3 : BIND)]);
    script.push([/<iq type='set' id='b1'>.*?<\/iq>/, RESULT]);
    return script;
  }

  /** From the binding on it answers what comes, in whatever order. */
  #serve(): void {
    const server = this.#server;
    if (!server.isThrough) return;
    const said =
      /<enable [^>]*>|<iq type='get' id='([^']*)'|<iq type='set' id='([^']*)'|id='said'|<\/stream:stream>/;
    for (let found = said.exec(server.heard); found !== null; found = said.exec(server.heard)) {
      server.heard = server.heard.slice(found.index + found[0].length);
      const id = found[1] ?? found[2];
      if (found[0] === END) server.say(END);
      else if (id !== undefined) server.say(`<iq type='error' id='${id}' from='example.org'/>`);
      else if (found[0].startsWith('<enable')) server.say("<enabled xmlns='urn:xmpp:sm:3'/>");
      else {
        this.echoed += 1;
        server.say("<message from='a@example.org/s' to='a@example.org/r' id='said'><body>x</body></message>");
      }
    }
  }

  #peer(leg: Leg): Peer {
    return leg === 'client' ? this.#client : this.#server;
  }

  /** Until nothing happens any more. */
  play(): this {
    for (let turns = 0; turns < 5_000; turns++) {
      if (turns === this.scene.mishap?.turn) this.#disturb(this.scene.mishap.what);
      const possible: (() => void)[] = [...this.#due];
      for (const leg of ['client', 'server'] as const)
        if (this.#deliverable(leg)) possible.push(() => this.#deliver(leg));
      if (possible.length === 0 && turns >= (this.scene.mishap?.turn ?? 0)) return this;
      if (possible.length === 0) continue;
      const chosen = possible[this.#choice() % possible.length]!;
      const due = this.#due.indexOf(chosen);
      if (due >= 0) this.#due.splice(due, 1);
      chosen();
      this.#serve();
    }
    throw new Error('it does not come to rest');
  }

  /** Lets time pass until it is woken no more. */
  waits(): this {
    for (let wakes = 0; this.#wakesAt < Number.POSITIVE_INFINITY; wakes++) {
      if (wakes > 100) throw new Error('it does not come to its end');
      this.#now = Math.max(this.#now, this.#wakesAt);
      this.#wakesAt = Number.POSITIVE_INFINITY;
      this.session.onWake(this.#now);
      this.play();
    }
    return this;
  }

  #disturb(what: Mishap): void {
    if (this.summary !== undefined) return;
    if (what === 'shutdown') this.session.onShutdown(this.#now);
    else if (what === 'cannot be connected') this.#connects = false;
    else if (what === 'client silent') this.#silent.add('client');
    else if (what === 'server silent') this.#silent.add('server');
    else if (what.endsWith('reads nothing')) this.#full.add(what.startsWith('client') ? 'client' : 'server');
    else if (!what.endsWith('no hands')) {
      const leg = what.startsWith('client') ? 'client' : 'server';
      if (this.#over.has(leg) || (leg === 'server' && !this.#connected)) return;
      if (what.endsWith('lost')) this.#over.add(leg);
      else this.#peer(leg).queue = Buffer.alloc(0);
      this.session.onLost(leg, what.endsWith('lost') ? 'reset' : 'ended', this.#now);
    }
  }

  #deliverable(leg: Leg): boolean {
    if (this.#silent.has(leg)) return false;
    if (this.#over.has(leg) || (leg === 'server' && !this.#connected)) return false;
    return this.#peer(leg).queue.length > 0 && (this.scene.overruns || !this.#paused.has(leg));
  }

  #deliver(leg: Leg): void {
    const peer = this.#peer(leg);
    const most = [1, 3, 40, 10_000][this.#choice() % 4]!;
    const chunk = Buffer.from(peer.queue.subarray(0, 1 + (this.#choice() % most)));
    peer.queue = peer.queue.subarray(chunk.length);
    this.session.onData(leg, chunk, this.#now);
  }

  #choice(): number {
    const { choices } = this.scene;
    this.#next += 1;
    return choices[this.#next % choices.length]! + this.#next;
  }

  #later(event: () => void): void {
    this.#due.push(event);
  }

  // Commands.

  write(leg: Leg, bytes: Buffer): boolean {
    if (this.#full.has(leg)) return false;
    if (!this.#over.has(leg)) this.#later(() => this.#arrives(leg));
    this.#written[leg].push(bytes);
    return true;
  }

  readonly #written: Record<Leg, Buffer[]> = { client: [], server: [] };

  /** In the order in which it was written, whichever event brings it. */
  #arrives(leg: Leg): void {
    const bytes = this.#written[leg].shift();
    if (bytes !== undefined) this.#peer(leg).hears(bytes.toString());
  }

  unsent(): number {
    return 0;
  }

  whenFlushed(leg: Leg): void {
    if (this.#flushed.get(leg) === true || this.#full.has(leg)) return;
    this.#flushed.set(leg, true);
    this.#later(() => {
      this.#flushed.set(leg, false);
      this.session.onFlushed(leg, this.#now);
    });
  }

  startTls(leg: Leg): void {
    expect(this.#peer(leg).queue.length, `${leg}: nothing stands behind <starttls/> or <proceed/>`).toBe(0);
    this.#later(() => {
      if (this.#silent.has(leg) || this.scene.mishap?.what === `${leg} shakes no hands`) return;
      this.session.onSecured(leg, FACTS, this.#now);
      this.#later(() => this.#peer(leg).hears('<handshake/>'));
    });
  }

  connect(): void {
    this.#later(() => {
      if (!this.#connects) {
        this.session.onConnectFailed('refused', this.#now);
        return;
      }
      this.#connected = true;
      const { value } = this.session.settings.config.domains.values().next();
      const tls = this.scene.upstream === 'direct' ? FACTS : undefined;
      this.session.onConnected({ upstream: value!.upstreams[0]!, tls }, this.#now);
    });
  }

  end(leg: Leg): void {
    this.#later(() => {
      if (this.#silent.has(leg)) return;
      this.#over.add(leg);
      this.session.onLost(leg, 'ended', this.#now);
    });
  }

  destroy(leg: Leg): void {
    this.#over.add(leg);
  }

  pauseReading(leg: Leg): void {
    this.#paused.add(leg);
  }

  resumeReading(leg: Leg): void {
    this.#paused.delete(leg);
  }

  wakeAt(time: number): void {
    if (this.summary === undefined) this.#wakesAt = time;
  }

  randomId(): string {
    this.#id += 1;
    return `id${this.#id}`;
  }

  wallClock(): number {
    return 1_795_176_000_000 + this.#now;
  }

  handOver(): void {
    throw new Error('nobody comes back here');
  }

  store(_changes: unknown, token: string): void {
    this.#later(() => this.session.onStored(token, true, this.#now));
  }

  load(_prefix: string, token: string): void {
    this.#later(() => this.session.onLoaded(token, [], this.#now));
  }

  subscribe(): void {}
  publish(): void {}
  count(): void {}
  log(): void {}
  authenticated(): void {}

  finished(summary: SessionSummary): void {
    this.summary = summary;
    this.#wakesAt = Number.POSITIVE_INFINITY;
  }
}

describe('a login comes to its end in whatever order its events come', () => {
  test('property: bytes in any pieces, connections, handshakes and the store at any time, with all features', () => {
    fc.assert(
      fc.property(scene, (drawn) => {
        const stage = new Stage(drawn).play();
        expect(stage.echoed).toBe(1);
        expect(stage.summary?.reason).toBe('client-closed');
      }),
      { numRuns: 300 },
    );
  });

  test('property: and whatever happens to it on the way, it is over in the end', () => {
    fc.assert(
      fc.property(disturbed, (drawn) => {
        const stage = new Stage(drawn).play().waits();
        expect(stage.summary).toBeDefined();
        expect(stage.domain.sessionsOf('a@example.org')).toEqual([]);
        expect(stage.domain.holds.size).toBe(0);
      }),
      { numRuns: 600 },
    );
  });
});
