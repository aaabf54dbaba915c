import { Buffer } from 'node:buffer';
import { NS } from '../src/xml/namespaces.js';
import { MemoryRoom, ROOM } from '../test/unit/features/presence-session-room.js';
import { Clock } from '../test/unit/features/presence-session-world.js';
import { Connection } from './connection.js';
import { type Path, type Placement, startProxy } from './processes.js';
import { type Listening, startRoomServer, startThinLink, type ThinLink } from './room-server.js';

/** Bytes of a room's stanzas towards the client, of a full join and of one after some have changed; on a socket. */
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

/** Large rooms are kept and held whole. */
const FEATURES = {
  routing: false,
  'presence-session': { bytesPerAccount: 64 * 1024 * 1024, heldBytes: 64 * 1024 * 1024 },
};
const ACCOUNT = 'juliet';
const INFO = `<query xmlns='${NS.discoInfo}'/>`;
const STANZAS = /<(presence|message|iq) .*?<\/\1>|<(presence|message|iq) [^>]*\/>/gs;
/** The questions by which the bench knows that an answer is complete. */
const OURS = /^<iq [^>]*id=['"](before|behind)-/;
const END_MS = 60_000;

/** Bytes of what has passed a link from the room: presences, messages, and the answers to what a proxy asks for a join. */
function bytesOf(text: string): number {
  let bytes = 0;
  for (const [stanza] of text.matchAll(STANZAS)) {
    const isRooms = stanza.startsWith('<iq ') ? !OURS.test(stanza) && stanza.includes(`'${ROOM}'`) : true;
    if (isRooms) bytes += stanza.length;
  }
  return bytes;
}

/**
 * Rooms on sockets: a server with one room, a proxy as it is delivered in front of it, and for a client that does not speak XEP-0311 another proxy in
 * front of that; the thin link is between the two.
 */
class Stage {
  readonly clock = new Clock();
  readonly room: MemoryRoom;
  #thin: ThinLink | undefined;
  #path: Path | undefined;
  #server: Listening | undefined;
  #proxies: Path[] = [];
  #last: string | undefined;
  #visits = 0;

  private constructor(occupants: number) {
    this.room = new MemoryRoom({}, this.clock.wall);
    for (let n = 0; n < occupants; n++) this.room.enters(STRANGERS(n).nick, STRANGERS(n).content);
    this.room.says('Guest 1', 'The last thing that she has heard.');
  }

  static async set(place: Placement, occupants: number, isLegacy: boolean): Promise<Stage> {
    const stage = new Stage(occupants);
    stage.#server = await startRoomServer(stage.room);
    const core = await startProxy(place, stage.#server.port, undefined, FEATURES);
    stage.#proxies = [core];
    stage.#path = core;
    if (!isLegacy) return stage;
    stage.#thin = await startThinLink(core.port);
    stage.#path = await startProxy(place, stage.#thin.port, undefined, FEATURES);
    stage.#proxies.push(stage.#path);
    return stage;
  }

  /** She comes back from where she was, or for the first time, and is gone again. @returns bytes on the link that is measured */
  async visit(asks: boolean): Promise<number> {
    const client = await Connection.open(this.#path!.port, 'off', ACCOUNT);
    let text = '';
    client.onChunk = (chunk) => {
      text += chunk.toString('latin1');
    };
    const answered = async (id: string): Promise<void> => {
      client.send(Buffer.from(`<iq type='get' id='${id}' to='${ROOM}'>${INFO}</iq>`));
      const end = performance.now() + END_MS;
      while (!new RegExp(`<iq [^>]*id=['"]${id}['"]`).test(text.slice(-20_000))) {
        if (performance.now() > end || client.gone) throw new Error(`no answer to ${id}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    // Who is there can be told by asking the room; by its answer an edge sees that the core knows the protocol.
    await answered(`before-${++this.#visits}`);
    text = '';
    this.#thin?.passed();
    const [, session = '', id = ''] = /session='([^']*)' id='([^']*)'/.exec(this.#last ?? '') ?? [];
    const resume = session === '' ? '' : ` type='resume' session='${session}' id='${id}'`;
    const wish = asks ? `<presence-session xmlns='${NS.presenceSession}'${resume}/>` : '';
    client.send(Buffer.from(`<presence to='${ROOM}/Juliet'><x xmlns='${NS.muc}'/>${wish}</presence>`));
    await answered(`behind-${this.#visits}`);
    const thin = this.#thin?.passed() ?? '';
    this.#last = [...text.matchAll(/session='[^']*' id='[^']*'/g)].at(-1)?.[0];
    client.close();
    while (this.room.occupants.has('Juliet')) await new Promise((resolve) => setTimeout(resolve, 5));
    return bytesOf(this.#thin === undefined ? text : thin);
  }

  async clear(): Promise<void> {
    for (const { child } of this.#proxies) await child.stop();
    this.#thin?.close();
    this.#server?.close();
  }
}

/**
 * One client that enters a room, loses its connection, and enters again when some have changed.
 * @param isLegacy the client does not speak XEP-0311; measured is the link between an edge and a core
 */
export async function rejoins(
  place: Placement,
  occupants: number,
  percents: readonly number[],
  isLegacy: boolean,
  progress: (percent: number) => void,
): Promise<Rejoin[]> {
  const stage = await Stage.set(place, occupants, isLegacy);
  const plain = await Stage.set(place, occupants, false);
  const found: Rejoin[] = [];
  try {
    await stage.visit(!isLegacy);
    for (const [round, percent] of percents.entries()) {
      const changed = Math.round((occupants * percent) / 100);
      let changedBytes = 0;
      for (let n = 0; n < changed; n++) {
        const { nick, content } = STRANGERS(n);
        for (const { room } of [stage, plain]) {
          room.changes(nick, `<show>${round % 2 === 0 ? 'away' : 'dnd'}</show>${content}`);
        }
        const full = `${ACCOUNT}@bench.example/bench`;
        const shown = stage.room.shown(stage.room.occupants.get(nick)!, full);
        changedBytes += Buffer.byteLength(
          `<presence from='${ROOM}/${nick}' to='${full}'>${shown}</presence>`,
        );
      }
      stage.clock.now += 60_000;
      progress(percent);
      const again = await stage.visit(!isLegacy);
      const full = await plain.visit(false);
      found.push({ occupants, percent, changed, full, again, changedBytes });
    }
  } finally {
    await stage.clear();
    await plain.clear();
  }
  return found;
}
