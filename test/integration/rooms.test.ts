import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { type RawClient, stanzaError, uniqueId } from './clients/raw.js';
import { describeRoutes, newSession, type Route } from './routes.js';

const MUC = 'http://jabber.org/protocol/muc';
const MUC_USER = `${MUC}#user`;

const statusCodes = (presence: Element) =>
  (presence.getChild('x', MUC_USER)?.getChildren('status') ?? []).map((status) => status.attrs.code);
const from = (jid: string, type?: string) => (stanza: Element) =>
  stanza.attrs.from === jid && stanza.attrs.type === type;

async function join(client: RawClient, room: string, nick: string, history = "<history maxstanzas='20'/>") {
  client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'>${history}</x></presence>`);
  return client.presence(
    (presence) => presence.attrs.from === `${room}/${nick}` && statusCodes(presence).includes('110'),
    `own presence in ${room}`,
  );
}

/** A new room, made and configured by `owner`, who is in it afterwards. */
async function newRoom(route: Route, owner: RawClient, nick: string): Promise<string> {
  const room = `room-${uniqueId()}@${route.server.muc}`;
  await join(owner, room, nick);
  const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
  expect((await owner.iq('set', form, `to='${room}'`)).attrs.type).toBe('result');
  return room;
}

describeRoutes('rooms', (route) => {
  const { server } = route;

  test('joining: who is there, oneself, and the others are told', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    await join(bob, room, 'Bob');
    await bob.presence(from(`${room}/Alice`), 'the presence of Alice');
    const told = await alice.presence(from(`${room}/Bob`), 'the presence of Bob');
    expect(told.getChild('x', MUC_USER)?.getChild('item')?.attrs.role).toBe('participant');
  });

  test('what is said reaches everybody, in order, and the speaker too', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    await join(bob, room, 'Bob');
    const said = Array.from({ length: 10 }, (_, n) => `sentence ${n} — ünïcödé`);
    for (const body of said)
      bob.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`);
    for (const client of [alice, bob]) {
      const heard: (string | null)[] = [];
      while (heard.length < said.length) {
        const message = await client.message(
          (each) =>
            each.attrs.from === `${room}/Bob` && each.attrs.type === 'groupchat' && !!each.getChild('body'),
        );
        heard.push(message.getChildText('body'));
      }
      expect(heard).toEqual(said);
    }
  });

  test('the subject is set, told, and told again to who comes later', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    alice.send(`<message to='${room}' type='groupchat'><subject>Tea &amp; cakes</subject></message>`);
    const hasSubject = (message: Element) => message.getChildText('subject') === 'Tea & cakes';
    await alice.message(hasSubject, 'the new subject');
    await join(bob, room, 'Bob');
    await bob.message(hasSubject, 'the subject on joining');
  });

  test('history is told to who comes later', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    alice.send(`<message to='${room}' type='groupchat'><body>before your time</body></message>`);
    await alice.body('before your time');
    await join(bob, room, 'Bob');
    const old = await bob.body('before your time');
    expect(old.getChild('delay', 'urn:xmpp:delay')).toBeDefined();
  });

  test('a change of nick', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    await join(bob, room, 'Bob');
    await alice.presence(from(`${room}/Bob`), 'the presence of Bob');
    bob.send(`<presence to='${room}/Robert'/>`);
    for (const client of [alice, bob]) {
      const left = await client.presence(from(`${room}/Bob`, 'unavailable'), 'the old nick leaving');
      expect(statusCodes(left)).toContain('303');
      expect(left.getChild('x', MUC_USER)?.getChild('item')?.attrs.nick).toBe('Robert');
      await client.presence(from(`${room}/Robert`), 'the new nick');
    }
  });

  test('a nick that is taken is a conflict', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    bob.send(`<presence to='${room}/Alice'><x xmlns='${MUC}'/></presence>`);
    expect(stanzaError(await bob.presence(from(`${room}/Alice`, 'error')))).toBe('conflict');
  });

  test('leaving', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    await join(bob, room, 'Bob');
    bob.send(`<presence to='${room}/Bob' type='unavailable'><status>done</status></presence>`);
    const own = await bob.presence(from(`${room}/Bob`, 'unavailable'), 'own leaving');
    expect(statusCodes(own)).toContain('110');
    const told = await alice.presence(from(`${room}/Bob`, 'unavailable'), 'the leaving of Bob');
    expect(told.getChildText('status')).toBe('done');
  });

  test('a cut connection leaves the room', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    await join(bob, room, 'Bob');
    await alice.presence(from(`${room}/Bob`), 'the presence of Bob');
    bob.stream.cut();
    await alice.presence(from(`${room}/Bob`, 'unavailable'), 'the leaving of Bob');
  });

  test('a private message to an occupant', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    await join(bob, room, 'Bob');
    bob.send(`<message to='${room}/Alice' type='chat'><body>just you</body></message>`);
    const whispered = await alice.body('just you');
    expect(whispered.attrs).toMatchObject({ from: `${room}/Bob`, type: 'chat' });
  });

  test('being kicked', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const room = await newRoom(route, alice, 'Alice');
    await join(bob, room, 'Bob');
    const kick = `<query xmlns='${MUC}#admin'><item nick='Bob' role='none'><reason>noise</reason></item></query>`;
    expect((await alice.iq('set', kick, `to='${room}'`)).attrs.type).toBe('result');
    const kicked = await bob.presence(from(`${room}/Bob`, 'unavailable'), 'being kicked');
    expect(statusCodes(kicked)).toContain('307');
    bob.send(`<message to='${room}' type='groupchat'><body>still here?</body></message>`);
    const refused = await bob.message((message) => message.attrs.type === 'error');
    expect(['not-acceptable', 'forbidden', 'not-allowed']).toContain(stanzaError(refused));
  });

  test('a room and its service can be discovered', async () => {
    const alice = await newSession(route, 'alice');
    const room = await newRoom(route, alice, 'Alice');
    for (const to of [server.muc, room]) {
      const answer = await alice.iq(
        'get',
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        `to='${to}'`,
      );
      const features =
        answer
          .getChild('query')
          ?.getChildren('feature')
          .map((feature) => feature.attrs.var) ?? [];
      expect(features).toContain(MUC);
    }
  });
});
