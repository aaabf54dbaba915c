import { Buffer } from 'node:buffer';
import type { KnowledgeKey, SessionIdentity } from '../src/session/feature.js';
import type { StoreChange, StoreEntry } from '../src/store/store.js';
import { NS } from '../src/xml/namespaces.js';
import { MemoryRoom, ROOM } from '../test/unit/features/presence-session-room.js';
import {
  Clock,
  ProxiedSession,
  type StoredDomain,
  upstreamOf,
} from '../test/unit/features/presence-session-world.js';

/** Bytes from the room to the client, of a first join and of one after some have changed. */
export interface Rejoin {
  readonly occupants: number;
  readonly percent: number;
  readonly changed: number;
  /** As a room without the protocol tells everything. */
  readonly full: number;
  readonly again: number;
  /** Of the presences of those who have changed, as the room sends them. */
  readonly changedBytes: number;
}

/** What a domain's sessions share, in memory. */
class Domain implements StoredDomain {
  readonly name = 'capulet.lit';
  readonly #shared = new Map<KnowledgeKey<unknown>, unknown>();
  readonly #store = new Map<string, Buffer>();

  shared<T>(key: KnowledgeKey<T>): T {
    if (!this.#shared.has(key)) this.#shared.set(key, key.create!());
    return this.#shared.get(key) as T;
  }

  sessionsOf(): readonly SessionIdentity[] {
    return [];
  }

  list(prefix: string): StoreEntry[] {
    return [...this.#store].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => ({ key, value }));
  }

  write(changes: readonly StoreChange[]): void {
    for (const { key, value } of changes) {
      if (value === undefined) this.#store.delete(key);
      else this.#store.set(key, value);
    }
  }
}

const HEX = '0123456789abcdef'.repeat(3);
const digits = (n: number, length: number): string =>
  Array.from({ length }, (_, at) => HEX[(n * 7 + at * 5 + (n >> (at % 8))) % 16]).join('');

/** An occupant whose presence has what clients put into it today, and some 510 bytes. */
export function STRANGERS(n: number) {
  const nick = `Guest ${n}`;
  const content =
    `<c xmlns='${NS.caps}' hash='sha-1' node='https://client.example' ver='${digits(n % 9, 27)}='/>` +
    `<x xmlns='vcard-temp:x:update'><photo>${digits(n, 40)}</photo></x>` +
    `<occupant-id xmlns='${NS.occupantId}' id='${digits(n * 3, 32)}'/>`;
  return { nick, content, jid: `guest-${n}@montague.example/phone.${digits(n, 8)}` };
}

/**
 * One client that enters a room, loses its connection, and enters again when some have changed.
 * @param isLegacy the client does not speak XEP-0311; measured is the link between an edge and a core
 */
export function rejoin(occupants: number, percent: number, isLegacy: boolean): Rejoin {
  const clock = new Clock();
  const room = new MemoryRoom({}, clock.wall);
  for (let n = 0; n < occupants; n++) room.enters(STRANGERS(n).nick, STRANGERS(n).content);
  room.says('Guest 1', 'The last thing that she has heard.');
  const domains = [new Domain(), new Domain()] as const;
  let last = '';
  const visit = (resource: string, asks: string): number => {
    const full = `juliet@capulet.lit/${resource}`;
    const edge: { session?: ProxiedSession } = {};
    const settings = { bytesPerAccount: 64 * 1024 * 1024, heldBytes: 64 * 1024 * 1024 };
    const deliver = isLegacy ? (xml: string) => edge.session?.deliver(xml) : undefined;
    const upstream = upstreamOf(room, ROOM, full);
    const core = new ProxiedSession(full, domains[0], clock, upstream, settings, {}, deliver);
    if (isLegacy) {
      edge.session = new ProxiedSession(full, domains[1], clock, (xml) => core.send(xml), settings);
      edge.session.disco(ROOM, [NS.presenceSession]);
    }
    const client = edge.session ?? core;
    client.send(`<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/>${isLegacy ? '' : asks}</presence>`);
    for (let n = 0; n < 4; n++) {
      core.settle();
      client.settle();
    }
    last = client.wire.filter((xml) => xml.includes(NS.presenceSession)).at(-1) ?? '';
    edge.session?.close();
    core.close();
    room.dropSession(full);
    return core.bytesDown;
  };
  visit('balcony', `<presence-session xmlns='${NS.presenceSession}'/>`);
  const [, session, id] = /session='([^']*)' id='([^']*)'/.exec(last) ?? [];
  const changed = Math.round((occupants * percent) / 100);
  let changedBytes = 0;
  for (let n = 0; n < changed; n++) {
    const { nick, content } = STRANGERS(n);
    room.changes(nick, `<show>away</show>${content}`);
    const { occupants: all } = room;
    const shown = room.shown(all.get(nick)!, 'juliet@capulet.lit/balcony');
    const xml = `<presence from='${ROOM}/${nick}' to='juliet@capulet.lit/balcony'>${shown}</presence>`;
    changedBytes += Buffer.byteLength(xml);
  }
  clock.now += 60_000;
  const again = visit(
    'balcony',
    `<presence-session xmlns='${NS.presenceSession}' type='resume' session='${session}' id='${id}'/>`,
  );
  return { occupants, percent, changed, full: fullJoin(room), again, changedBytes };
}

/** What the room itself sends to somebody who enters. */
function fullJoin(room: MemoryRoom): number {
  let bytes = 0;
  const full = 'juliet@capulet.lit/balcony';
  const domain = new Domain();
  const session = new ProxiedSession(full, domain, new Clock(), upstreamOf(room, ROOM, full), {
    playRoom: false,
    playClient: 'off',
  });
  session.send(`<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/></presence>`);
  bytes = session.bytesDown;
  room.dropSession(full);
  return bytes;
}
