import type { Element } from 'ltx';
import { afterEach, describe, expect, test } from 'vitest';
import type { LibraryClient } from './clients/library.js';
import { RawClient, stanzaError, uniqueId } from './clients/raw.js';
import { slixmppMissing, startSlixmpp } from './clients/slixmpp.js';
import { startXmppJs } from './clients/xmppjs.js';
import { describeRoutes, logIn, newAccount, newSession, type Route, THROUGH_THE_PROXY } from './routes.js';

const lacking = slixmppMissing();
if (lacking && (process.env.CI || process.env.INTERSTANZA_REQUIRE_SERVERS)) throw new Error(lacking);

const IM_NG = 'urn:xmpp:im-ng:0';
const CARBONS = 'urn:xmpp:carbons:2';
const MUC = 'http://jabber.org/protocol/muc';

const running: LibraryClient[] = [];
afterEach(async () => {
  await Promise.allSettled(running.splice(0).map((client) => client.stop()));
});

/** Two devices with a client library each that knows nothing of copies, and one without a library. */
async function devicesOf(route: Route, hint: string) {
  const account = await newAccount(route.server, hint);
  const { host, port } = route.plain;
  const login = { host, port, ...account, tls: 'starttls' as const };
  const desk = await startXmppJs({ ...login, resource: 'desk' });
  running.push(desk);
  const phone = await startSlixmpp({ ...login, resource: 'phone' });
  running.push(phone);
  const tablet = await logIn(route, account, { resource: 'tablet' });
  await tablet.becomeAvailable();
  return { account, desk, phone, tablet };
}

const bodies = (client: RawClient) =>
  client.stream.inbox.flatMap((each) => (each.is('message') ? (each.getChildText('body') ?? []) : []));

describeRoutes(
  'devices',
  (route) => {
    const { server } = route;

    test.skipIf(lacking)(
      'three devices each, with libraries that know nothing of it: all see all that is said to them, once',
      async () => {
        const juliet = await devicesOf(route, 'juliet');
        const romeo = await devicesOf(route, 'romeo');
        const said = { juliet: [] as string[], romeo: [] as string[] };
        for (let n = 0; n < 6; n++) {
          const speaker = n % 2 === 0 ? 'desk' : 'phone';
          // Locked on a resource, as old clients are, and not always on the same.
          const lockedOn = n % 3 === 0 ? 'phone' : 'desk';
          await juliet[speaker].message(romeo[lockedOn].jid, `to romeo ${n}`);
          said.romeo.push(`to romeo ${n}`);
          await romeo[speaker].message(juliet[lockedOn].jid, `to juliet ${n}`);
          said.juliet.push(`to juliet ${n}`);
        }
        for (const [name, devices] of Object.entries({ juliet, romeo })) {
          const expected = name === 'juliet' ? said.juliet : said.romeo;
          for (const body of expected) {
            const other = name === 'juliet' ? romeo : juliet;
            expect((await devices.desk.received(body)).from).toMatch(`${other.account.jid}/`);
            await devices.phone.received(body);
            await devices.tablet.body(body);
          }
          await devices.tablet.settle();
          // Nothing a second time, and nothing of what they themselves have said.
          expect([devices.desk.heard, devices.phone.heard, bodies(devices.tablet)]).toEqual([[], [], []]);
          expect([...devices.desk.errors, ...devices.phone.errors]).toEqual([]);
        }
      },
    );

    test('who has opted in to XEP-0409 also sees what the other devices say', async () => {
      const account = await newAccount(server, 'juliet');
      const desk = await logIn(route, account, { resource: 'desk' });
      const phone = await logIn(route, account, { resource: 'phone' });
      for (const device of [desk, phone]) await device.becomeAvailable();
      const romeo = await newSession(route, 'romeo');
      const info = await desk.iq(
        'get',
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        `to='${server.domain}'`,
      );
      const features = info
        .getChild('query')
        ?.getChildren('feature')
        .map(({ attrs }) => attrs.var);
      expect(features).toContain(IM_NG);
      expect((await phone.iq('set', `<enable xmlns='${IM_NG}'/>`)).attrs.type).toBe('result');
      expect(features).toContain(CARBONS);
      expect(stanzaError(await phone.iq('set', `<enable xmlns='${CARBONS}'/>`))).toBe('conflict');
      desk.send(
        `<message to='${romeo.jid}' type='chat' id='${uniqueId()}'><body>from the desk</body></message>`,
      );
      expect((await phone.body('from the desk')).attrs.from).toBe(desk.jid);
      romeo.send(`<message to='${desk.jid}' type='chat' id='${uniqueId()}'><body>back</body></message>`);
      await phone.body('back');
      await desk.body('back');
      await phone.settle();
      await desk.settle();
      expect([bodies(phone), bodies(desk)]).toEqual([[], []]);
    });

    test('an error for what was re-addressed comes from the address that the client had written to', async () => {
      const alice = await newSession(route, 'alice');
      const nobody = `nobody-${uniqueId()}@${server.domain}/somewhere`;
      alice.send(`<message to='${nobody}' type='chat' id='lost'><body>hello?</body></message>`);
      const bounce = await alice.message(({ attrs }) => attrs.type === 'error');
      expect(bounce.attrs).toMatchObject({ from: nobody, id: 'lost' });
    });

    test('a private message to somebody in a room, in one breath with joining and leaving it, is never published', async () => {
      const alice = await newSession(route, 'alice');
      const room = `room-${uniqueId()}@${server.muc}`;
      const enter = (nick: string) => `<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`;
      const isOwn = (nick: string) => (each: Element) =>
        each.attrs.from === `${room}/${nick}` && each.toString().includes('110');
      alice.send(enter('Alice'));
      await alice.presence(isOwn('Alice'), 'her own presence');
      const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
      await alice.iq('set', form, `to='${room}'`);

      const whisper = (body: string, type = "type='chat'") =>
        `<message to='${room}/Alice' ${type} id='${uniqueId()}'><body>whispered ${body}</body></message>`;
      // Fresh: nothing is known of the room, and perhaps nothing yet of the server's services.
      const bob = await newSession(route, 'bob');
      bob.send(enter('Bob') + whisper('while joining') + whisper('without a type', ''));
      await bob.presence(isOwn('Bob'), 'his own presence');
      const leave = `<presence to='${room}/Bob' type='unavailable'/>`;
      bob.send(whisper('inside') + leave + whisper('while leaving') + enter('Bob') + whisper('back'));
      await bob.presence((each) => each.attrs.type === 'unavailable' && each.attrs.from === `${room}/Bob`);
      await bob.presence(isOwn('Bob'), 'his own presence again');
      bob.send(`<presence type='unavailable'/>${whisper('while going')}`);
      const carol = await newSession(route, 'carol');
      carol.send(whisper('from outside') + enter('Carol'));
      await carol.presence(isOwn('Carol'), 'her presence');
      for (const each of [bob, carol]) await each.settle();

      // Behind all of it on its way through the room.
      carol.send(`<message to='${room}' type='groupchat'><body>the end</body></message>`);
      for (const each of [alice, carol])
        await each.message((message) => message.getChildText('body') === 'the end', 'the end', 10_000);
      for (const [body, by] of [
        ['inside', 'Bob'],
        ['back', 'Bob'],
      ] as const) {
        const heard = await alice.body(`whispered ${body}`);
        expect(heard.attrs).toMatchObject({ from: `${room}/${by}`, type: 'chat' });
      }
      const published = [alice, bob, carol].flatMap((each) =>
        each.stream.inbox.filter(
          (message) => message.attrs.type === 'groupchat' && message.toString().includes('whispered'),
        ),
      );
      expect(published.map(String)).toEqual([]);
    });

    test('a sender who does not come by the proxy is answered once, if a device of the account has written to him, and a stranger not at all', async () => {
      const account = await newAccount(server, 'juliet');
      const devices = [
        await logIn(route, account, { resource: 'desk' }),
        await logIn(route, account, { resource: 'phone' }),
      ];
      for (const device of devices) await device.becomeAvailable();
      const straight: Route = {
        ...route,
        plain: { host: server.host, port: server.port, domain: server.domain },
      };
      const known = await newSession(straight, 'known');
      const stranger = await newSession(straight, 'stranger');
      for (const device of devices) {
        device.send(`<message to='${known.jid}' type='chat'><body>from ${device.jid}</body></message>`);
        await known.body(`from ${device.jid}`);
      }
      const gone = `${account.jid}/gone`;
      const said = `<body>just that one</body><xmpp-2 xmlns='urn:xmpp:xmpp-2:0' to='${gone}'/>`;
      for (const writer of [known, stranger])
        writer.send(`<message to='${gone}' type='chat' id='m1'>${said}</message>`);
      const isError = ({ attrs }: Element) => attrs.type === 'error' && attrs.id === 'm1';
      const error = await known.message(isError, 'the error');
      expect(stanzaError(error)).toBe('service-unavailable');
      // The server says who answers: it is one that he knows.
      expect(devices.map(({ jid }) => jid)).toContain(error.attrs.from);
      for (const device of devices) {
        // Behind everything that could still come of it.
        stranger.send(`<message to='${device.jid}' type='chat'><body>the end of it</body></message>`);
        await device.body('the end of it');
        await device.settle();
        expect(bodies(device).filter((body) => body === 'just that one')).toEqual([]);
      }
      for (const writer of [known, stranger]) await writer.settle();
      expect([known, stranger].flatMap(({ stream }) => stream.inbox.filter(isError)).map(String)).toEqual([]);
    });

    test('nobody online: what is for one resource is delivered to no other, sooner or later', async () => {
      const alice = await newSession(route, 'alice');
      const account = await newAccount(server, 'bob');
      const gone = `${account.jid}/gone`;
      const otr = '<body>?OTR:AAMC</body>';
      alice.send(`<message to='${gone}' type='chat' id='m1'>${otr}</message>`);
      alice.send(`<message to='${account.jid}' type='chat' id='m2'><body>for all</body></message>`);
      await alice.settle();
      // ejabberd returns what it may not store, the others store it nevertheless.
      const isError = ({ attrs }: Element) => attrs.type === 'error' && attrs.id === 'm1';
      const atOnce = alice.stream.inbox.some(isError);
      expect(atOnce).toBe(server.kind === 'ejabberd');
      const bob = await logIn(route, account, { resource: 'here' });
      await bob.becomeAvailable();
      await bob.body('for all');
      const error = await alice.message(isError, 'the error');
      expect(stanzaError(error)).toBe('service-unavailable');
      await bob.settle();
      await alice.settle();
      expect(bodies(bob)).toEqual([]);
      expect(alice.stream.inbox.filter(isError)).toEqual([]);
    });

    if (server.has.mam)
      test('what is for one resource is in no archive', async () => {
        const MAM = 'urn:xmpp:mam:2';
        const alice = await newSession(route, 'alice');
        const bob = await newSession(route, 'bob');
        alice.send(`<message to='${bob.jid}' type='chat'><body>?OTR:AAMC</body></message>`);
        await bob.body('?OTR:AAMC');
        alice.send(`<message to='${bob.jid}' type='chat'><body>for all</body></message>`);
        await bob.body('for all');
        await bob.iq('set', `<query xmlns='${MAM}' queryid='q'/>`);
        const archived = bob.stream.inbox.flatMap((each) => {
          const message = each
            .getChild('result', MAM)
            ?.getChild('forwarded', 'urn:xmpp:forward:0')
            ?.getChild('message');
          return message?.getChildText('body') ?? [];
        });
        expect(archived).toEqual(['for all']);
      });
  },
  THROUGH_THE_PROXY,
);

describe('a device that is held', () => {
  describeRoutes(
    'held',
    (route) => {
      test('gets what the others get when it comes back, once', async () => {
        const account = await newAccount(route.server, 'juliet');
        const desk = await logIn(route, account, { resource: 'desk' });
        await desk.becomeAvailable('<presence><priority>5</priority></presence>');
        const phone = await logIn(route, account, { resource: 'phone' });
        phone.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        const enabled = await phone.expect('enabled', (each) => each.is('enabled'));
        await phone.becomeAvailable();
        const handled = phone.stream.inbox.length;
        expect(handled).toBeGreaterThanOrEqual(0);
        const romeo = await newSession(route, 'romeo');
        phone.stream.cut();
        romeo.send(
          `<message to='${account.jid}' type='chat' id='m1'><body>while you were out</body></message>`,
        );
        await desk.body('while you were out');
        await desk.settle();
        const again = await RawClient.connect(route.plain);
        await again.secureAndOpen();
        await again.authenticate(account);
        again.send(`<resume xmlns='urn:xmpp:sm:3' previd='${enabled.attrs.id}' h='0'/>`);
        await again.expect('resumed', (each) => each.is('resumed'));
        await again.body('while you were out');
        await again.settle();
        expect(bodies(again)).toEqual([]);
        again.stream.cut();
      });
    },
    THROUGH_THE_PROXY,
  );
});
