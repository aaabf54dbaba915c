import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { RawClient, uniqueId } from '../clients/raw.js';
import { newAccount } from '../routes.js';
import type { RealServer } from '../servers/server.js';

export const MUC = 'http://jabber.org/protocol/muc';
export const MUC_USER = `${MUC}#user`;
export const SESSION = 'urn:xmpp:presence-session:0';

export const codesOf = (presence: Element) =>
  presence
    .getChildren('x', MUC_USER)
    .flatMap((x) => x.getChildren('status'))
    .map(({ attrs }) => attrs.code);

/** What a client that keeps to XEP-0311 knows of a room. */
export class RoomModel {
  /** Affiliation, role and show, by nick. */
  occupants = new Map<string, string>();
  /** What was said, in the order in which it came. */
  bodies: string[] = [];
  /** Bytes and stanzas that came from the room. */
  bytes = 0;
  presences = 0;
  resets = 0;
  truncated = 0;
  unmarked = 0;
  last: { session: string; id: string } | undefined;
  /** All that it has read, so that what is lost can be taken back. */
  #read: Element[] = [];
  #visit = 0;

  constructor(
    readonly room: string,
    private readonly marks = true,
  ) {}

  /** Looks at everything that a client gets, beside what is waited for. */
  listenTo(client: RawClient): void {
    const { stream } = client;
    const counts = stream.onElement;
    this.#visit = this.#read.length;
    stream.onElement = (element) => {
      counts?.(element);
      this.#take(element);
    };
  }

  /** The last stanzas of this visit have never come. */
  loses(stanzas: number): void {
    const kept = this.#read.slice(0, Math.max(this.#visit, this.#read.length - stanzas));
    this.occupants = new Map();
    this.bodies = [];
    Object.assign(this, { bytes: 0, presences: 0, resets: 0, truncated: 0, unmarked: 0, last: undefined });
    this.#read = [];
    for (const stanza of kept) this.#take(stanza);
  }

  #take(stanza: Element): void {
    const from = String(stanza.attrs.from ?? '');
    if (from.split('/')[0] !== this.room || stanza.name === 'iq' || stanza.attrs.type === 'error') return;
    this.#read.push(stanza);
    this.bytes += Buffer.byteLength(stanza.toString());
    const nick = from.slice(this.room.length + 1);
    const mark = stanza.getChild('presence-session', SESSION);
    if (stanza.name === 'presence') this.presences += 1;
    if (mark?.attrs.type === 'truncated') {
      this.truncated += 1;
      return;
    }
    // COMPAT ejabberd says of its own room that it is unavailable when one leaves; the mark tells it from a reset.
    const isReset = nick === '' && stanza.attrs.type === 'unavailable' && (mark === undefined) === this.marks;
    if (isReset) {
      this.resets += 1;
      this.occupants.clear();
      // What it knows is nothing, and of no stanza.
      this.last = undefined;
      return;
    }
    if (mark?.attrs.id !== undefined) this.last = { session: mark.attrs.session, id: mark.attrs.id };
    else this.unmarked += 1;
    if (stanza.name === 'message') {
      const body = stanza.getChildText('body');
      if (nick !== '' && body !== null) this.bodies.push(body);
      return;
    }
    if (nick === '') return;
    if (stanza.attrs.type === 'unavailable') this.occupants.delete(nick);
    else {
      const item = stanza.getChildren('x', MUC_USER).at(-1)?.getChild('item');
      const { affiliation, role } = item?.attrs ?? {};
      this.occupants.set(nick, [affiliation, role, stanza.getChildText('show') ?? ''].join(' '));
    }
  }
}

export async function enter(
  client: RawClient,
  room: string,
  nick: string,
  more = '',
  history = '',
): Promise<Element> {
  client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'>${history}</x>${more}</presence>`);
  return client.presence(
    (presence) =>
      presence.attrs.from === `${room}/${nick}` &&
      presence.attrs.type === undefined &&
      codesOf(presence).includes('110'),
    `own presence in ${room}`,
    20_000,
  );
}

export const ASK = `<presence-session xmlns='${SESSION}'/>`;
export const resume = ({ session, id }: { session: string; id: string }) =>
  `<presence-session xmlns='${SESSION}' type='resume' session='${session}' id='${id}'/>`;

/** What a plain client that enters at the server itself is told. */
export async function truth(server: RealServer, room: string): Promise<RoomModel> {
  const witness = await RawClient.login(server, await newAccount(server, 'witness'));
  const model = new RoomModel(room, false);
  model.listenTo(witness);
  await witness.becomeAvailable();
  await enter(witness, room, 'Witness');
  await witness.settle();
  model.occupants.delete('Witness');
  await witness.close();
  return model;
}

/** A room with some of its people, who are at the server itself. */
export async function peopled(
  server: RealServer,
  count: number,
): Promise<{ room: string; people: RawClient[] }> {
  const room = `room-${uniqueId()}@${server.muc}`;
  const account = await newAccount(server, 'crowd');
  const people: RawClient[] = [];
  for (let n = 0; n < count; n += 1) {
    const one = await RawClient.login(server, account, { resource: `r${n}` });
    people.push(one);
    await one.becomeAvailable();
    await enter(one, room, `Person${n}`);
    if (n > 0) continue;
    const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
    await one.iq('set', form, `to='${room}'`);
  }
  return { room, people };
}

export const says = async (person: RawClient, room: string, body: string) => {
  person.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`);
  await person.body(body, 20_000);
};
export const shows = async (person: RawClient, room: string, nick: string, show: string) => {
  person.send(`<presence to='${room}/${nick}'><show>${show}</show></presence>`);
  await person.presence(
    (each) => each.attrs.from === `${room}/${nick}` && each.getChildText('show') === show,
    `${nick} to be ${show}`,
  );
};
