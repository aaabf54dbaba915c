import { describe, expect, test } from 'vitest';
import { BIND, HEADER, MECHANISMS, Playbook, SERVER_HEADER } from './playbook.js';
import { authenticated, offered } from './start/scenes.js';

const FEATURES = `<stream:features>${MECHANISMS}</stream:features>`;
const STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const TOLD =
  /<stream:error><remote-connection-failed .*The server behind does not answer\..*<\/stream:stream>$/;

function failed(state: string, how = 'silent', domain = 'example.org'): string {
  return `warn upstream failed before a session domain=${domain} upstream=xmpp://127.0.0.1:5222 state=${state} how=${how}`;
}

/** A client that waits for the server's answer to its first header. */
function waiting(): Playbook {
  return new Playbook()
    .client(HEADER)
    .commands('connect example.org', 'pause client')
    .connected()
    .toServer(HEADER);
}

describe('§4.9.3.16 remote-connection-failed: a server that is connected and says nothing more', () => {
  test('not even a header', () => {
    const play = waiting().passes(14).toClient('').passes(2).toClient(TOLD);
    play.commands('destroy server', 'end client').finishes('remote-connection-failed').done();
    expect(play.logged).toEqual([failed('opening')]);
  });

  test('a header and no features', () => {
    const play = waiting().server(SERVER_HEADER).passes(16).toClient(TOLD);
    play.commands('destroy server', 'end client').done();
    expect(play.logged).toEqual([failed('negotiating')]);
  });

  test('no answer to <starttls/>, and no end of the handshake', () => {
    for (const state of ['starttls', 'securing']) {
      const play = new Playbook({ upstream: { tls: 'starttls' } })
        .client(HEADER)
        .connected()
        .toServer(HEADER);
      play.server(`${SERVER_HEADER}<stream:features>${STARTTLS}</stream:features>`).toServer(STARTTLS);
      if (state === 'securing') play.server(PROCEED);
      play.passes(16).toClient(TOLD).sendsOnly().done();
      expect(play.logged).toEqual([failed(state)]);
    }
  });

  test('nothing behind <success/>', () => {
    const play = new Playbook().negotiated();
    const auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    const success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    play.client(auth).toServer(auth).server(success).toClient(success).client(HEADER).toServer(HEADER);
    play.passes(16).toClient(TOLD).sendsOnly().done();
    expect(play.logged).toEqual([failed('opening')]);
  });

  test('no answer to the request for a resource: it is not the client that has been slow', () => {
    const play = new Playbook().authenticated();
    play.client(`<iq type='set' id='b1'>${BIND}</iq>`).toServer(/^<iq/);
    play.passes(29).toClient('').passes(2).toClient(TOLD);
    play.commands('destroy server', 'end client').done();
    expect(play.logged).toEqual([failed('open')]);
  });

  test('nor to ours, for a session that is to start in one step', () => {
    const play = authenticated(offered(), "<bind xmlns='urn:xmpp:bind:0'/>");
    play.toServer(/^<iq/).passes(29).toClient('').passes(2).toClient(TOLD).sendsOnly();
    play.done();
    expect(play.logged).toEqual([failed('open')]);
  });

  test('a client that is still to ask for TLS is told at once, one in a handshake behind it', () => {
    const insecure = () =>
      new Playbook({ listener: { tls: 'required' } })
        .client(HEADER)
        .commands('connect example.org')
        .toClient(/<starttls/)
        .connected()
        .toServer(HEADER);
    insecure().passes(16).toClient(TOLD).commands('destroy server', 'end client').done();
    const play = insecure().client(STARTTLS).toClient(PROCEED).commands('startTls client').passes(16);
    play
      .toClient('')
      .commands('destroy server')
      .secured('client')
      .toClient(TOLD)
      .commands('end client')
      .done();
  });

  test('a short time to log in ends while the server is still being connected: nor is that the client’s fault', () => {
    const { limits } = new Playbook().session.settings.config;
    const play = new Playbook({ config: { limits: { ...limits, unauthenticatedTime: 5 } } });
    play.client(HEADER).commands('connect example.org', 'pause client').passes(6).toClient(TOLD);
    play.commands('destroy server', 'end client').done();
  });

  test('one that has said what it offers may be silent as long as the client is', () => {
    const play = new Playbook({ listener: { tls: 'optional' } }).client(HEADER).connected().toServer(HEADER);
    play
      .server(SERVER_HEADER + FEATURES)
      .toClient(/mechanisms/)
      .passes(16)
      .toClient('')
      .sendsOnly();
    play
      .passes(16)
      .toClient(/<connection-timeout /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
    expect(play.logged).toEqual([]);
  });

  test('nor is a session touched that has begun', () => {
    const play = new Playbook().bound().passes(16).passes(16);
    play.server("<message id='m'/>").toClient("<message id='m'/>").done();
  });
});

describe('the log names a server that ends before it has said what it offers', () => {
  test('without a word', () => {
    const play = waiting()
      .ends('server')
      .toClient(/<remote-connection-failed /)
      .sendsOnly();
    expect(play.logged).toEqual([failed('opening', 'ended')]);
  });

  test('with an error, which the client is told as it is', () => {
    const error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    const play = waiting().server(`${SERVER_HEADER}${error}</stream:stream>`).toServer('</stream:stream>');
    play.toClient(new RegExp(`${error}</stream:stream>$`)).sendsOnly();
    expect(play.logged).toEqual([failed('negotiating', 'host-unknown')]);
  });

  test('and not one that ends a session', () => {
    const play = new Playbook()
      .bound()
      .lost('server')
      .toClient(/<system-shutdown /)
      .sendsOnly();
    expect(play.logged).toEqual([]);
  });
});
