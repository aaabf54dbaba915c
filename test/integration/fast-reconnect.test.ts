import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { type Account, RawClient, uniqueId } from './clients/raw.js';
import { RunningProxy } from './proxy.js';
import { describeRoutes, logIn, newAccount, newSession, type Route, THROUGH_THE_PROXY } from './routes.js';
import type { RealServer } from './servers/server.js';

const MUC = 'http://jabber.org/protocol/muc';
const MUC_USER = `${MUC}#user`;
const SESSION = 'urn:xmpp:presence-session:0';

const codesOf = (presence: Element) =>
  presence
    .getChildren('x', MUC_USER)
    .flatMap((x) => x.getChildren('status'))
    .map(({ attrs }) => attrs.code);

/** What a client that keeps to XEP-0311 knows of a room. */
class RoomModel {
  readonly occupants = new Map<string, string>();
  readonly bodies: string[] = [];
  /** Bytes and stanzas that came from the room. */
  bytes = 0;
  presences = 0;
  resets = 0;
  truncated = 0;
  unmarked = 0;
  last: { session: string; id: string } | undefined;

  constructor(
    readonly room: string,
    private readonly marks = true,
  ) {}

  /** Looks at everything that a client gets, beside what is waited for. */
  listenTo(client: RawClient): void {
    const { stream } = client;
    const counts = stream.onElement;
    stream.onElement = (element) => {
      counts?.(element);
      this.#take(element);
    };
  }

  #take(stanza: Element): void {
    const from = String(stanza.attrs.from ?? '');
    if (from.split('/')[0] !== this.room || stanza.name === 'iq' || stanza.attrs.type === 'error') return;
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
      this.occupants.set(
        nick,
        [item?.attrs.affiliation, item?.attrs.role, stanza.getChildText('show') ?? ''].join(' '),
      );
    }
  }
}

async function enter(
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

const ASK = `<presence-session xmlns='${SESSION}'/>`;
const resume = ({ session, id }: { session: string; id: string }) =>
  `<presence-session xmlns='${SESSION}' type='resume' session='${session}' id='${id}'/>`;

/** What a plain client that enters at the server itself is told. */
async function truth(server: RealServer, room: string): Promise<RoomModel> {
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
async function peopled(server: RealServer, count: number): Promise<{ room: string; people: RawClient[] }> {
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

const says = async (person: RawClient, room: string, body: string) => {
  person.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`);
  await person.body(body, 20_000);
};
const shows = async (person: RawClient, room: string, nick: string, show: string) => {
  person.send(`<presence to='${room}/${nick}'><show>${show}</show></presence>`);
  await person.presence(
    (each) => each.attrs.from === `${room}/${nick}` && each.getChildText('show') === show,
    `${nick} to be ${show}`,
  );
};

describeRoutes(
  'fast reconnect',
  (route) => {
    const { server } = route;

    async function visit(account: Account, model: RoomModel, via: Route = route): Promise<RawClient> {
      const client = await logIn(via, account);
      model.listenTo(client);
      await client.becomeAvailable();
      const { room, last } = model;
      await enter(
        client,
        room,
        'Juliet',
        last === undefined ? ASK : resume(last),
        "<history maxstanzas='20'/>",
      );
      await client.settle();
      return client;
    }

    test('a client that comes back is told what has changed, and nothing else', async () => {
      const { room, people } = await peopled(server, 12);
      const account = await newAccount(server, 'juliet');
      const model = new RoomModel(room);
      const client = await visit(account, model);
      await says(people[0]!, room, 'heard');
      await client.body('heard');
      await client.settle();
      expect(model.unmarked).toBe(0);
      client.stream.cut();
      const gone = (each: Element) =>
        each.attrs.from === `${room}/Juliet` && each.attrs.type === 'unavailable';
      await people[0]!.presence(gone, 'her leaving');
      await says(people[0]!, room, 'missed 1');
      await shows(people[1]!, room, 'Person1', 'away');
      await people[2]!.close();
      await people[0]!.presence(
        (each) => each.attrs.from === `${room}/Person2` && each.attrs.type === 'unavailable',
      );
      await says(people[0]!, room, 'missed 2');
      model.presences = 0;
      const back = await visit(account, model);
      expect(model.resets).toBe(0);
      // Person2, Person1 and herself; ejabberd and Prosody also say something of the room itself.
      expect(model.presences).toBeLessThanOrEqual(4);
      expect(model.bodies.filter((body) => body !== '')).toEqual(
        expect.arrayContaining(['heard', 'missed 1', 'missed 2']),
      );
      expect(model.bodies.filter((body) => body.startsWith('missed'))).toHaveLength(2);
      expect(model.bodies.filter((body) => body === 'heard')).toHaveLength(1);
      expect(model.truncated).toBe(0);
      expect(model.unmarked).toBe(0);
      const real = await truth(server, room);
      model.occupants.delete('Witness');
      expect(Object.fromEntries(model.occupants)).toEqual(Object.fromEntries(real.occupants));
      await back.close();
      for (const person of people) person.stream.cut();
    }, 60_000);

    test('the room and its service say that they know it', async () => {
      const { room, people } = await peopled(server, 1);
      const client = await newSession(route, 'juliet');
      for (const to of [room, server.muc]) {
        const info = await client.iq(
          'get',
          `<query xmlns='http://jabber.org/protocol/disco#info'/>`,
          `to='${to}'`,
        );
        const features = info
          .getChild('query')
          ?.getChildren('feature')
          .map(({ attrs }) => attrs.var);
        expect(features).toContain(SESSION);
      }
      for (const person of people) person.stream.cut();
    });

    test('a view outlives the proxy: it is stopped, and another one takes up where it was', async () => {
      const { room, people } = await peopled(server, 8);
      const account = await newAccount(server, 'juliet');
      const { mkdtempSync, rmSync } = await import('node:fs');
      const { tmpdir } = await import('node:os');
      const data = mkdtempSync(`${tmpdir()}/interstanza-fast-reconnect-`);
      try {
        const through = async (proxy: RunningProxy): Promise<Route> => {
          const { host, port } = proxy.address(0);
          return { ...route, plain: { host, port, domain: server.domain } };
        };
        const first = await RunningProxy.inFrontOf(server, { data });
        const model = new RoomModel(room);
        await visit(account, model, await through(first));
        await first.stop();
        await shows(people[1]!, room, 'Person1', 'dnd');
        const second = await RunningProxy.inFrontOf(server, { data });
        try {
          model.presences = 0;
          await visit(account, model, await through(second));
          expect(model.resets).toBe(0);
          expect(model.presences).toBeLessThanOrEqual(3);
          const real = await truth(server, room);
          model.occupants.delete('Witness');
          expect(Object.fromEntries(model.occupants)).toEqual(Object.fromEntries(real.occupants));
        } finally {
          await second.dispose();
        }
      } finally {
        rmSync(data, { recursive: true, force: true });
        for (const person of people) person.stream.cut();
      }
    }, 60_000);

    test('whatever happens meanwhile, who comes back knows who is there', async () => {
      const { room, people } = await peopled(server, 6);
      const account = await newAccount(server, 'juliet');
      const model = new RoomModel(room);
      let client = await visit(account, model);
      const nicks = people.map((_, n) => `Person${n}`);
      // The same every time: what is random is what servers make of it.
      let state = server.kind.length * 7_919;
      const random = (below: number) => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return (state >>> 8) % below;
      };
      const said: string[] = [];
      for (let round = 0; round < 4; round += 1) {
        const isAway = round % 2 === 0;
        if (isAway) client.stream.cut();
        for (let n = 0; n < 5; n += 1) {
          const at = 1 + random(people.length - 1);
          const person = people[at]!;
          switch (random(4)) {
            case 0:
              await shows(person, room, nicks[at]!, ['away', 'dnd', 'xa'][random(3)]!);
              break;
            case 1: {
              const to = `Other${round}-${n}`;
              person.send(`<presence to='${room}/${to}'/>`);
              await person.presence((each) => each.attrs.from === `${room}/${to}`, `the nick ${to}`);
              nicks[at] = to;
              break;
            }
            case 2:
              person.send(`<presence to='${room}/${nicks[at]}' type='unavailable'/>`);
              await person.presence(
                (each) => each.attrs.from === `${room}/${nicks[at]}` && each.attrs.type === 'unavailable',
              );
              await enter(person, room, nicks[at]!);
              break;
            default:
              said.push(`said ${round} ${n}`);
              await says(person, room, `said ${round} ${n}`);
          }
        }
        if (!isAway) {
          // The tail is lost: she names what she had before.
          const before = model.last!;
          await client.settle();
          client.stream.cut();
          expect(before.session).not.toBe('');
        }
        client = await visit(account, model);
        const real = await truth(server, room);
        model.occupants.delete('Witness');
        expect(Object.fromEntries(model.occupants)).toEqual(Object.fromEntries(real.occupants));
        for (const body of said) expect(model.bodies.filter((each) => each === body)).toHaveLength(1);
      }
      for (const person of people) person.stream.cut();
    }, 60_000);
  },
  THROUGH_THE_PROXY,
);
