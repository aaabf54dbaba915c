import fc from 'fast-check';
import { expect, it } from 'vitest';
import { NS } from '../../../src/xml/namespaces.js';
import { parseElement } from '../../../src/xml/tree.js';
import { FakeDomain } from './playbook.js';
import { ClientModel } from './presence-session-client.js';
import { MemoryRoom, ROOM, type RoomTraits } from './presence-session-room.js';
import { Clock, contentOf, ProxiedSession, upstreamOf } from './presence-session-world.js';

const OTHERS = ['Romeo', 'Tybalt', 'Paris', 'Rosaline', 'Nurse'];
const CONTENTS = [
  '',
  '<show>away</show>',
  "<c xmlns='http://jabber.org/protocol/caps' ver='1'/>",
  '<status>hm &amp; ho</status>',
];
const FORGED = `<presence-session xmlns='${NS.presenceSession}' session='forged' id='1'/>`;

/** What happens to room, proxy and client. */
type Event =
  | { readonly kind: 'enters' | 'changes'; readonly who: number; readonly content: number }
  | { readonly kind: 'leaves' | 'kicked' | 'banned' | 'says' | 'subject'; readonly who: number }
  | { readonly kind: 'renames'; readonly who: number; readonly to: number }
  | { readonly kind: 'sets'; readonly who: number; readonly moderator: boolean; readonly member: boolean }
  | { readonly kind: 'reads'; readonly stanzas: number }
  | { readonly kind: 'cut'; readonly lost: number; readonly how: 'closed' | 'killed' | 'restarted' }
  | { readonly kind: 'resume'; readonly nick: number }
  | {
      /** A join that is cut off: the proxy gets so many stanzas of the answer, and the client reads so many of what it is given. */
      readonly kind: 'interrupted';
      readonly arrive: number;
      readonly read: number;
      readonly said: number;
      readonly later: boolean;
      readonly how: 'closed' | 'killed';
    }
  | { readonly kind: 'join' | 'leave' | 'self-kicked' | 'recreate' | 'talk' | 'wait' | 'self-moderator' };

const who = fc.nat(OTHERS.length - 1);
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constantFrom('enters', 'changes'), who, content: fc.nat(CONTENTS.length - 1) }),
  fc.record({ kind: fc.constantFrom('leaves', 'kicked', 'banned', 'subject'), who }),
  fc.record({ kind: fc.constant('says'), who }),
  fc.record({ kind: fc.constant('renames'), who, to: who }),
  fc.record({ kind: fc.constant('sets'), who, moderator: fc.boolean(), member: fc.boolean() }),
  fc.record({ kind: fc.constant('reads'), stanzas: fc.nat(20) }),
  fc.record({
    kind: fc.constant('cut'),
    lost: fc.nat(12),
    how: fc.constantFrom('closed', 'killed', 'restarted'),
  }),
  fc.record({ kind: fc.constant('resume'), nick: fc.nat(1) }),
  fc.record({
    kind: fc.constant('interrupted'),
    arrive: fc.nat(30),
    read: fc.nat(30),
    said: fc.nat(3),
    later: fc.boolean(),
    how: fc.constantFrom('closed', 'killed'),
  }),
  fc.record({
    kind: fc.constantFrom('join', 'leave', 'self-kicked', 'recreate', 'talk', 'wait', 'self-moderator'),
  }),
) as fc.Arbitrary<Event>;

const traits: fc.Arbitrary<RoomTraits> = fc.record({
  history: fc.constantFrom(0, 2, 20),
  archive: fc.boolean(),
  semiAnonymous: fc.boolean(),
  tellsAgain: fc.boolean(),
  closingSubject: fc.boolean(),
});

/** A client that comes and goes through one proxy after the other, and its room. */
class Play {
  readonly clock = new Clock();
  readonly room: MemoryRoom;
  readonly client = new ClientModel();
  domain = new FakeDomain();
  #session: ProxiedSession | undefined;
  #count = 0;
  #full = '';
  /** Messages from here on the client has to have. */
  since: number | undefined;
  #resetsSeen = 0;
  #truncatedSeen = 0;

  constructor(roomTraits: RoomTraits) {
    this.room = new MemoryRoom(roomTraits, this.clock.wall);
    this.room.enters('Romeo');
    this.room.enters('Nurse', CONTENTS[1]);
  }

  happens(event: Event): void {
    this.clock.now += 1_500;
    const { room } = this;
    const name = 'who' in event ? OTHERS[event.who]! : '';
    switch (event.kind) {
      case 'enters':
        room.enters(name, CONTENTS[event.content]);
        break;
      case 'changes':
        room.changes(name, CONTENTS[event.content]! + FORGED);
        break;
      case 'leaves':
        room.leaves(name);
        break;
      case 'kicked':
        room.leaves(name, ['307']);
        break;
      case 'banned':
        room.bans(name);
        break;
      case 'says':
        room.says(name, 'what he says', FORGED);
        break;
      case 'subject':
        room.setsSubject(name, `the subject of ${name}`);
        break;
      case 'renames':
        room.renames(name, OTHERS[event.to]!);
        break;
      case 'sets':
        room.sets(name, event.moderator ? 'moderator' : 'participant', event.member ? 'member' : 'none');
        break;
      case 'reads':
        this.#settle();
        this.#read(event.stanzas);
        break;
      case 'cut':
        this.#cut(event.lost, event.how);
        break;
      case 'resume':
        this.#enter(event.nick === 0 ? 'Juliet' : 'Jule', true);
        break;
      case 'interrupted':
        this.#interrupted(event);
        break;
      case 'join':
        this.#enter('Juliet', false);
        break;
      case 'leave':
        this.#read(Number.POSITIVE_INFINITY);
        if (this.client.isIn)
          this.#send(`<presence to='${ROOM}/${room.nickOf(this.#full) ?? 'Juliet'}' type='unavailable'/>`);
        break;
      case 'self-kicked':
        room.leaves(room.nickOf(this.#full) ?? '', ['307']);
        break;
      case 'self-moderator': {
        const nick = room.nickOf(this.#full);
        if (nick !== undefined) {
          const isOne = room.occupants.get(nick)?.role === 'moderator';
          room.sets(nick, isOne ? 'participant' : 'moderator', isOne ? 'none' : 'admin');
        }
        break;
      }
      case 'recreate':
        room.recreate();
        room.enters('Romeo');
        break;
      case 'talk':
        this.#read(Number.POSITIVE_INFINITY);
        if (this.client.isIn)
          this.#send(`<message to='${ROOM}' type='groupchat'><body>mine</body></message>`);
        break;
      case 'wait':
        this.clock.now += 70_000;
        this.#session?.wake();
        break;
    }
    room.pardons();
  }

  /** In the end the client comes back, if it is away, and all is as it has to be. */
  ends(): void {
    this.#enter('Juliet', true);
  }

  check(): void {
    const { room, client } = this;
    expect(client.breaches).toEqual([]);
    if (!client.isIn) return;
    const shown = [...room.occupants.values()].map((occupant) => {
      const xml = `<presence xmlns='${NS.client}'>${room.shown(occupant, this.#full)}</presence>`;
      return [occupant.nick, withoutForged(xml)] as const;
    });
    expect(Object.fromEntries(client.occupants)).toEqual(Object.fromEntries(shown));
    this.#checkMessages();
  }

  /** Each message once and in order; and all of them since the first join, or since the client was told of a gap or to begin anew. */
  #checkMessages(): void {
    const { room, client } = this;
    if (
      client.resets > this.#resetsSeen ||
      client.truncated > this.#truncatedSeen ||
      this.since === undefined
    ) {
      this.#resetsSeen = client.resets;
      this.#truncatedSeen = client.truncated;
      client.messages = [];
      this.since = room.said.length;
      return;
    }
    const has = client.messages;
    expect(has).toEqual(room.said.slice(this.since).map(({ id }) => id));
  }

  #enter(wanted: string, resume: boolean): void {
    if (this.#session === undefined) this.#connect();
    const { client } = this;
    this.#read(Number.POSITIVE_INFINITY);
    const inside = this.room.nickOf(this.#full);
    const isInside = inside !== undefined;
    const nick = inside ?? wanted;
    if (isInside && !resume && this.room.traits.tellsAgain === false) return;
    const last = resume ? client.last : undefined;
    if (last === undefined) {
      // Everything is asked for: the client forgets what it knew.
      client.occupants.clear();
      client.messages = [];
      this.since = undefined;
    }
    const attributes = last === undefined ? '' : ` session='${last.session}' id='${last.id}' type='resume'`;
    client.joins();
    client.cut();
    this.#send(
      `<presence to='${ROOM}/${nick}'><x xmlns='${NS.muc}'>${resume ? '' : "<history maxstanzas='0'/>"}</x><presence-session xmlns='${NS.presenceSession}'${attributes}/></presence>`,
    );
    this.#read(Number.POSITIVE_INFINITY);
    if (client.isIn) {
      expect(client.order.join(' ')).toMatch(/^(presence )*self( truncated)?( history)*( subject)?( live)*$/);
    }
    this.check();
  }

  /** She comes back, and proxy and connection are gone before she has had it all. */
  #interrupted({ arrive, read, said, later, how }: Extract<Event, { kind: 'interrupted' }>): void {
    const { room, client } = this;
    this.#cut(0, how);
    let left = arrive;
    this.#connect({}, () => left-- > 0);
    const { last } = client;
    if (last === undefined) {
      client.occupants.clear();
      client.messages = [];
      this.since = undefined;
    }
    const attributes = last === undefined ? '' : ` session='${last.session}' id='${last.id}' type='resume'`;
    client.joins();
    // Where nobody hears that the room is another one, what was said in the one before cannot be missed.
    if (room.isNew) this.since = undefined;
    this.#send(
      `<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/><presence-session xmlns='${NS.presenceSession}'${attributes}/></presence>`,
    );
    for (let n = 0; n < said; n++) room.says('Nurse', 'what she says meanwhile');
    this.#settle();
    if (later) {
      // Long enough for what was told to be written down.
      this.clock.now += 1_500;
      this.#session?.wake();
    }
    this.#read(read);
    this.#cut(Number.POSITIVE_INFINITY, how);
  }

  #connect(snapshots: Record<string, string> = {}, arrives: () => boolean = () => true): void {
    this.#full = `juliet@capulet.lit/${++this.#count}`;
    const room = upstreamOf(this.room, ROOM, this.#full);
    const upstream = (xml: string, deliver: (xml: string) => void) =>
      room(xml, (answer) => {
        if (arrives()) deliver(answer);
      });
    this.#session = new ProxiedSession(this.#full, this.domain, this.clock, upstream, {}, snapshots);
  }

  #send(xml: string): void {
    this.#session?.send(xml);
  }

  #settle(): void {
    this.#session?.settle();
  }

  #read(most: number): void {
    this.#settle();
    const wire = this.#session?.wire ?? [];
    for (let n = 0; n < most && wire.length > 0; n++) this.client.read(wire.shift()!);
  }

  #cut(lost: number, how: 'closed' | 'killed' | 'restarted'): void {
    const session = this.#session;
    if (session === undefined) return;
    session.settle();
    this.#read(Math.max(0, session.wire.length - lost));
    if (how === 'restarted') session.snapshots();
    if (how === 'closed') {
      session.clientGone();
      session.close();
    } else {
      session.kill();
      // Nothing but the store is left of the process.
      const { domain } = this;
      this.domain = new FakeDomain();
      for (const [key, value] of domain.store) this.domain.store.set(key, value);
    }
    this.client.cut();
    this.room.dropSession(this.#full);
    this.#session = undefined;
  }
}

function withoutForged(xml: string): string {
  return contentOf(parseElement(Buffer.from(xml)));
}

it('after every resume the client knows who is in the room, and has all messages or knows of a gap', () => {
  fc.assert(
    fc.property(traits, fc.array(event, { minLength: 5, maxLength: 60 }), (roomTraits, events) => {
      const play = new Play(roomTraits);
      play.happens({ kind: 'join' });
      for (const each of events) play.happens(each);
      play.ends();
    }),
    { numRuns: Number(process.env.RUNS ?? 300) },
  );
});
