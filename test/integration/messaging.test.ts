import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { RawClient, stanzaError, uniqueId } from './clients/raw.js';
import { bare, cutAfterwards, describeRoutes, logIn, newAccount, newSession } from './routes.js';

describeRoutes('messaging', (route) => {
  const { server, via } = route;

  test('chat to a bare and to a full JID', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob', { resource: 'desk' });
    alice.send(`<message to='${bob.bareJid}' type='chat' id='m1'><body>to the bare JID</body></message>`);
    const first = await bob.body('to the bare JID');
    expect(first.attrs).toMatchObject({ from: alice.jid, id: 'm1', type: 'chat' });
    bob.send(`<message to='${alice.jid}' type='chat' id='m2'><body>to the full JID</body></message>`);
    const second = await alice.body('to the full JID');
    // Said to one of a user's devices, it goes to all: docs/routing.md. jabberd2 writes each one's address over it.
    const readdressed = via === 'proxy' && server.kind !== 'jabberd2';
    const to = readdressed ? alice.bareJid : alice.jid;
    expect(second.attrs).toMatchObject({ from: bob.jid, id: 'm2', type: 'chat', to });
  });

  test('12.7 custom child elements survive: text and extensions arrive as they were meant', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const body = 'a < b && c > "d" \'e\' — ünïcödé 🦄 \u{10FFFD} end';
    const escaped = body.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&#34;');
    alice.send(
      `<message to='${bob.jid}' type='chat'><body>${escaped}<![CDATA[ & <cdata/>]]></body>` +
        "<x xmlns='urn:example:mark' of='&lt;trade&gt;'><inner deep='1'>text</inner><inner xmlns='urn:example:other'/></x></message>",
    );
    const received = await bob.message((message) => message.getChild('body') !== undefined);
    expect(received.getChildText('body')).toBe(`${body} & <cdata/>`);
    const mark = received.getChild('x', 'urn:example:mark');
    expect(mark?.attrs.of).toBe('<trade>');
    expect(mark?.getChild('inner', 'urn:example:mark')?.getText()).toBe('text');
    expect(mark?.getChild('inner', 'urn:example:other')).toBeDefined();
  });

  const sizes = server.kind === 'jabberd2' ? [60_000] : [60_000, 200_000];
  test.each(sizes)('a stanza of %i bytes', async (size) => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const body = 'long text '.repeat(size / 10);
    alice.send(`<message to='${bob.jid}' type='chat'><body>${body}</body></message>`);
    const received = await bob.message((message) => message.getChild('body') !== undefined, 'it', 20_000);
    expect(received.getChildText('body')).toBe(body);
  });

  test('a stanza that comes one byte at a time', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const stanza = `<message to='${bob.jid}' type='chat'><body>é 🦄 &amp; so on</body></message>`;
    await alice.stream.writeInPieces(stanza, 1);
    await bob.body('é 🦄 & so on');
  });

  test('a whole login one byte at a time', async () => {
    const account = await newAccount(server, 'slow');
    const client = cutAfterwards(await RawClient.connect(route.plain));
    const write = client.stream.write.bind(client.stream);
    let last = Promise.resolve();
    client.stream.write = (bytes) => {
      last = last.then(() => client.stream.writeInPieces(bytes, 1));
    };
    await client.openStream();
    await client.authenticate(account);
    await client.bind('bytewise');
    await last;
    client.stream.write = write;
    await client.settle();
  });

  test('twenty stanzas in one write arrive in order', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    const stanza = (n: number) => `<message to='${bob.jid}' type='chat'><body>number ${n}</body></message>`;
    alice.send(Array.from({ length: 20 }, (_, n) => stanza(n)).join(''));
    const received: (string | null)[] = [];
    while (received.length < 20) {
      const message = await bob.message((each) => each.getChild('body') !== undefined);
      received.push(message.getChildText('body'));
    }
    expect(received).toEqual(Array.from({ length: 20 }, (_, n) => `number ${n}`));
  });

  // ejabberd by itself forwards such a prefix without its declaration and so breaks the other's stream.
  if (server.kind !== 'ejabberd' || via === 'proxy')
    test('a prefix declared on the stream header', async () => {
      const header = "xmlns:q='urn:example:q'";
      const alice = await newSession(route, 'alice', { header });
      const bob = await newSession(route, 'bob');
      alice.send(
        `<message to='${bob.jid}' type='chat'><body>prefixed</body><q:mark><q:in/></q:mark></message>`,
      );
      const received = await bob.body('prefixed');
      const mark = received.getChild('mark', 'urn:example:q');
      expect(mark?.getChild('in', 'urn:example:q')).toBeDefined();
      expect(bob.stream.faults).toEqual([]);
    });

  test('a stanza whose own name has a prefix', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    alice.send(
      `<c:message xmlns:c='jabber:client' to='${bob.jid}' type='chat'><c:body>prefixed all over</c:body></c:message>`,
    );
    await bob.body('prefixed all over');
    expect(bob.stream.faults).toEqual([]);
  });

  test('xml:lang of a stanza is kept, that of the header is inherited as the server does it', async () => {
    const alice = await newSession(route, 'alice', { header: "xml:lang='de'" });
    const bob = await newSession(route, 'bob');
    alice.send(`<message xml:lang='fr' to='${bob.jid}' type='chat'><body>own</body></message>`);
    expect((await bob.body('own')).attrs['xml:lang']).toBe('fr');
    alice.send(`<message to='${bob.jid}' type='chat'><body>inherited</body></message>`);
    const inherited = (await bob.body('inherited')).attrs['xml:lang'];
    expect(inherited).toBe(server.kind === 'jabberd2' ? undefined : 'de');
  });

  test('an iq to another client and its result or error', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    for (const type of ['result', 'error']) {
      const asked = alice.iq('get', "<query xmlns='urn:example:question'/>", `to='${bob.jid}'`);
      const question = await bob.expect(
        'the question',
        (each) => each.getChild('query', 'urn:example:question') !== undefined,
      );
      const error = "<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
      bob.send(
        `<iq type='${type}' id='${question.attrs.id}' to='${question.attrs.from}'>${type === 'error' ? error : ''}</iq>`,
      );
      const answer = await asked;
      expect(answer.attrs).toMatchObject({ type, from: bob.jid });
      if (type === 'error') expect(stanzaError(answer)).toBe('not-allowed');
    }
  });

  test('errors for an unknown request, resource and user', async () => {
    const alice = await newSession(route, 'alice');
    const unknown = await alice.iq('get', "<query xmlns='urn:example:nothing'/>", `to='${server.domain}'`);
    expect(['service-unavailable', 'feature-not-implemented']).toContain(stanzaError(unknown));
    const gone = await alice.iq('get', "<query xmlns='urn:example:nothing'/>", `to='${alice.bareJid}/gone'`);
    expect(stanzaError(gone)).toBe('service-unavailable');
    const nobody = `nobody-${uniqueId()}@${server.domain}`;
    alice.send(`<message to='${nobody}' type='chat' id='lost'><body>hello?</body></message>`);
    const bounce = await alice.message((message) => message.attrs.type === 'error');
    expect(bounce.attrs).toMatchObject({ from: nobody, id: 'lost' });
    expect(stanzaError(bounce)).toBe('service-unavailable');
  });

  test('a message to somebody offline is delivered when he comes', async () => {
    const alice = await newSession(route, 'alice');
    const account = await newAccount(server, 'bob');
    alice.send(`<message to='${account.jid}' type='chat'><body>while you were out</body></message>`);
    await alice.settle();
    const bob = await logIn(route, account);
    bob.send('<presence/>');
    const received = await bob.body('while you were out');
    expect(received.getChild('delay', 'urn:xmpp:delay')).toBeDefined();
  });
});

describeRoutes('roster and presence', (route) => {
  const { server } = route;
  const roster = "<query xmlns='jabber:iq:roster'/>";
  const isPush = (jid: string) => (element: Element) =>
    element.attrs.type === 'set' &&
    element.getChild('query', 'jabber:iq:roster')?.getChild('item')?.attrs.jid === jid;

  test('a roster is read, changed, and the change pushed to every session', async () => {
    const account = await newAccount(server, 'alice');
    const desk = await logIn(route, account, { resource: 'desk' });
    const phone = await logIn(route, account, { resource: 'phone' });
    for (const client of [desk, phone]) {
      const answer = await client.iq('get', roster);
      expect(answer.getChild('query', 'jabber:iq:roster')?.getChildren('item')).toEqual([]);
      await client.becomeAvailable();
    }
    const friend = `friend@${server.domain}`;
    const item = `<item jid='${friend}' name='A &amp; B'><group>Friends</group></item>`;
    const set = await desk.iq('set', `<query xmlns='jabber:iq:roster'>${item}</query>`);
    expect(set.attrs.type).toBe('result');
    for (const client of [desk, phone]) {
      const push = await client.expect('a roster push', isPush(friend));
      const pushed = push.getChild('query')?.getChild('item');
      expect(pushed?.attrs.name).toBe('A & B');
      expect(pushed?.getChildText('group')).toBe('Friends');
      client.send(`<iq type='result' id='${push.attrs.id}'/>`);
    }
    const again = await phone.iq('get', roster);
    expect(
      again
        .getChild('query')
        ?.getChildren('item')
        .map((each) => each.attrs.jid),
    ).toEqual([friend]);
    await desk.iq(
      'set',
      `<query xmlns='jabber:iq:roster'><item jid='${friend}' subscription='remove'/></query>`,
    );
    const removal = await phone.expect('the removal', isPush(friend));
    expect(removal.getChild('query')?.getChild('item')?.attrs.subscription).toBe('remove');
  });

  test('a subscription, broadcasts, and the end of a session', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob', { resource: 'desk' });
    await alice.iq('get', roster);
    await bob.iq('get', roster);
    alice.send(`<presence to='${bob.bareJid}' type='subscribe'/>`);
    const asked = await bob.presence((presence) => presence.attrs.type === 'subscribe');
    expect(bare(asked.attrs.from)).toBe(alice.bareJid);
    bob.send(`<presence to='${alice.bareJid}' type='subscribed'/>`);
    const granted = await alice.presence((presence) => presence.attrs.type === 'subscribed');
    expect(bare(granted.attrs.from)).toBe(bob.bareJid);
    await alice.presence((presence) => presence.attrs.from === bob.jid && !presence.attrs.type);
    bob.send('<presence><show>away</show><status>lunch</status><priority>3</priority></presence>');
    const away = await alice.presence((presence) => presence.getChildText('show') === 'away');
    expect(away.attrs.from).toBe(bob.jid);
    expect(away.getChildText('status')).toBe('lunch');
    expect(away.getChildText('priority')).toBe('3');
    bob.send("<presence type='unavailable'><status>bye</status></presence>");
    const gone = await alice.presence(
      (presence) => presence.attrs.from === bob.jid && presence.attrs.type === 'unavailable',
    );
    expect(gone.getChildText('status')).toBe('bye');
  });

  test('directed presence', async () => {
    const alice = await newSession(route, 'alice');
    const bob = await newSession(route, 'bob');
    bob.send(`<presence to='${alice.jid}'><status>only for you</status></presence>`);
    const directed = await alice.presence((presence) => presence.attrs.from === bob.jid);
    expect(directed.getChildText('status')).toBe('only for you');
    await bob.close();
    await alice.presence(
      (presence) => presence.attrs.from === bob.jid && presence.attrs.type === 'unavailable',
    );
  });
});
