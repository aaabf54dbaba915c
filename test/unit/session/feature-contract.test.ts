import { expect, test } from 'vitest';
import { account, accountKey } from '../../../src/knowledge/account/account.js';
import { rooms, roomsKey } from '../../../src/knowledge/rooms/rooms.js';
import { type Feature, type FeatureContext, PASS } from '../../../src/session/feature.js';
import { storeKey } from '../../../src/store/store.js';
import { Playbook, SM3 } from './playbook.js';

/** A feature that does on demand what the contract allows: `<message to='proxy'><subject>…`. */
class Probe {
  context!: FeatureContext;
  readonly heard: string[] = [];
  readonly feature: Feature = {
    name: 'probe',
    watches: [{ direction: 'to-server', stanza: 'message', address: ['domain'] }],
    needs: [rooms, account],
    open: (context, snapshot) => {
      this.context = context;
      this.heard.push(`opened ${snapshot ?? 'anew'}`);
      return {
        onStanza: () => PASS,
        onTold: (message, from) => this.heard.push(`${from} says ${message}`),
        snapshot: () => 'where I was',
      };
    },
  };
}

test('what a feature tells an account is heard by its other sessions, not by its own', () => {
  const [one, two] = [new Probe(), new Probe()];
  const probes = [one, two];
  const feature: Feature = {
    ...one.feature,
    open: (context, snapshot) => probes.shift()!.feature.open(context, snapshot),
  };
  const first = new Playbook({ features: [feature] }).bound({ jid: 'a@example.org/one' });
  const second = new Playbook({ with: first }).bound({ jid: 'a@example.org/two' });
  one.context.tell('A@example.org', 'hello');
  expect(two.heard).toEqual(['opened anew']);
  first.passesOnTo(second);
  expect(two.heard).toEqual(['opened anew', 'a@example.org/one says hello']);
  expect(one.heard).toEqual(['opened anew']);
});

test('what a feature has put into the store it finds there, and is told when it is safe', () => {
  const probe = new Probe();
  const play = new Playbook({ features: [probe.feature] }).bound();
  const { store } = probe.context;
  store.write([{ key: storeKey('probe', 'x'), value: Buffer.from('1') }], (ok) => probe.heard.push(`${ok}`));
  play.commands('store feature 1 +').stored();
  store.write([{ key: storeKey('probe', 'y'), value: Buffer.from('2') }], (ok) => probe.heard.push(`${ok}`));
  play.commands('store feature 2 +').stored(false);
  store.load(storeKey('probe', ''), (entries) => {
    for (const { value } of entries) probe.heard.push(value.toString());
  });
  play.commands('load feature 3').loaded();
  expect(probe.heard).toEqual(['opened anew', 'true', 'false', '1']);
});

test('what is sent as the client, knowledge sees, and is counted as injected', () => {
  const probe = new Probe();
  const play = new Playbook({ features: [probe.feature] }).bound();
  const join =
    "<presence to='room@muc.example.org/nick'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
  probe.context.sendAsClient(join, 'test-injected');
  expect(probe.context.know(roomsKey).isRoom('room@muc.example.org')).toBe('joining');
  // It is written at the end of the event that has caused it.
  play.client(' ').toServer(`${join} `).counts('stanza_injected test-injected', 1);
});

test('what is sent as the client, the features nearer to the server see, and what they cause comes behind it', () => {
  const outer = new Probe();
  const seenAs: string[] = [];
  const watches = [{ direction: 'to-server', stanza: 'presence' }] as const;
  const inner: Feature = {
    name: 'inner',
    watches,
    open: (context) => ({
      onStanza: (stanza) => {
        seenAs.push(`${stanza.direction} ${stanza.isOurs}`);
        context.send('server', '<presence><show>away</show></presence>', 'test-injected');
        stanza.edit().appendChild("<seen xmlns='urn:test'/>");
        return { action: 'edit', reason: 'test-injected' };
      },
    }),
  };
  const sender: Feature = {
    ...outer.feature,
    watches,
    open: (context, snapshot) => ({
      ...outer.feature.open(context, snapshot),
      onStanza: () => {
        throw new Error('it is this one that sends it');
      },
    }),
  };
  const play = new Playbook({ features: [sender, inner] }).bound();
  const join =
    "<presence to='room@muc.example.org/nick'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
  outer.context.sendAsClient(join, 'test-injected');
  expect(seenAs).toEqual(['to-server true']);
  const seen = join.replace('</presence>', "<seen xmlns='urn:test'/></presence>");
  play
    .client(' ')
    .toServer(`${seen}<presence><show>away</show></presence> `)
    .counts('stanza_injected test-injected', 2);
});

test('a session that is gone on with after a restart knows its rooms, its presence, and what features have asked for', () => {
  const before = new Probe();
  const first = new Playbook({ features: [before.feature], hold: { seconds: 60 } }).authenticated(
    `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>${SM3}`,
  );
  first
    .client("<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    .toServer(/bind/);
  const result =
    "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/r</jid></bind></iq>";
  first.server(result).toClient(result);
  first
    .client("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    .toClient(/enabled/)
    .toServer("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    .server("<enabled xmlns='urn:xmpp:sm:3' resume='true' id='up1' max='600'/>");
  const hello = '<presence><priority>3</priority></presence>';
  const join =
    "<presence to='room@muc.example.org/nick'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
  const inside =
    "<presence from='room@muc.example.org/nick'><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant' affiliation='none'/><status code='110'/></x></presence>";
  first
    .client(hello)
    .toServer(/.*/)
    .sendsOnly()
    .loaded()
    .client(join)
    .toServer(/.*/)
    .server(inside)
    .toClient(/.*/);
  first.shutdown();
  first.takeSent('client');
  first.takeSent('server');
  first.sendsOnly().stored().sendsOnly();

  const after = new Probe();
  const second = new Playbook({
    features: [after.feature],
    hold: { seconds: 60 },
    store: first,
  }).authenticated(`<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>${SM3}`);
  second
    .client("<resume xmlns='urn:xmpp:sm:3' previd='id1' h='1'/>")
    .commands('load resume', 'pause client')
    .loaded()
    .sendsOnly()
    .toServer(/^<resume xmlns='urn:xmpp:sm:3' previd='up1' h='\d+'\/>$/)
    .server("<resumed xmlns='urn:xmpp:sm:3' previd='up1' h='2'/>")
    .toClient(/<resumed/);
  expect(after.heard).toEqual(['opened where I was']);
  expect(after.context.know(roomsKey).nickIn('room@muc.example.org')).toBe('nick');
  expect(after.context.know(accountKey).availability).toMatchObject({ available: true, priority: 3 });
  expect(after.context.know(accountKey).broadcast?.toString()).toBe(hello);
  second.sendsOnly();
});

test('what is sent ahead is in front of the stanza that is being handled, what is just sent behind it', () => {
  const feature: Feature = {
    name: 'guide',
    watches: [{ direction: 'to-server', stanza: 'message', types: ['groupchat'] }],
    open: (context) => ({
      onStanza: () => {
        context.send('server', '<presence/>', 'test-injected');
        context.sendAhead("<presence to='room@muc.example.org/nick'/>", 'test-injected');
        return PASS;
      },
    }),
  };
  const said = "<message type='groupchat' to='room@muc.example.org'><body>hi</body></message>";
  new Playbook({ features: [feature] })
    .bound()
    .client(said)
    .toServer(`<presence to='room@muc.example.org/nick'/>${said}<presence/>`);
});

test('another stanza in the place of one is what later features see, and keeps its place in the counts', () => {
  const seen: string[] = [];
  const other = "<message from='room@muc.example.org'><body>other</body></message>";
  const inner: Feature = {
    name: 'inner',
    watches: [{ direction: 'to-client', stanza: 'message', types: ['groupchat'] }],
    open: () => ({
      onStanza: () => ({ action: 'replace', bytes: Buffer.from(other), reason: 'test-injected' }),
    }),
  };
  const outer: Feature = {
    name: 'outer',
    watches: [{ direction: 'to-client', stanza: 'message' }],
    open: () => ({
      onStanza: ({ frame }) => {
        seen.push(frame.toString());
        return PASS;
      },
    }),
  };
  new Playbook({ features: [outer, inner] })
    .bound()
    .server("<message type='groupchat' from='room@muc.example.org/nick'><body>hi</body></message>")
    .toClient(other)
    .counts('stanza_changed test-injected', 1);
  expect(seen).toEqual([other]);
});

test('a stanza may have grown beyond what a server may send by what a feature has put around it', () => {
  const depth = 99;
  const said = `<message type='groupchat' from='room@muc.example.org/nick'>${'<a>'.repeat(depth)}${'</a>'.repeat(depth)}</message>`;
  const around = (bytes: Buffer) =>
    Buffer.from(`<message from='room@muc.example.org'><b>${bytes}</b></message>`);
  const inner: Feature = {
    name: 'inner',
    watches: [{ direction: 'to-client', stanza: 'message', types: ['groupchat'] }],
    open: () => ({
      onStanza: ({ frame }) => ({
        action: 'replace',
        bytes: around(Buffer.from(frame.bytes())),
        reason: 'test-injected',
      }),
    }),
  };
  const outer: Feature = {
    name: 'outer',
    watches: [{ direction: 'to-client', stanza: 'message' }],
    open: () => ({ onStanza: () => PASS }),
  };
  new Playbook({ features: [outer, inner] })
    .bound()
    .server(said)
    .toClient(around(Buffer.from(said)).toString());
});

test('what is sent as the server, knowledge takes for the word of the server', () => {
  const probe = new Probe();
  const play = new Playbook({ features: [probe.feature] }).bound();
  const room = 'room@muc.example.org';
  const x = (codes: string) =>
    `<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='none'/>${codes}</x>`;
  play.client(`<presence to='${room}/nick'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  play.toServer(/muc/);
  const inside = `<presence from='${room}/nick'>${x("<status code='110'/>")}</presence>`;
  play.server(inside).toClient(inside);
  expect(probe.context.know(roomsKey).isRoom(room)).toBe('joined');
  probe.context.sendAsServer(
    `<presence type='unavailable' from='${room}/nick'>${x("<status code='110'/>")}</presence>`,
    'test-injected',
  );
  expect(probe.context.know(roomsKey).isRoom(room)).toBe('was');
  play
    .client(' ')
    .toClient(/unavailable/)
    .toServer(' ');
});
