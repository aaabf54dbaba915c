import { describe, expect, test } from 'vitest';
import { HEADER, Playbook, SERVER_HEADER } from './playbook.js';

describe('RFC 6120 §4.4: closing a stream', () => {
  test('the client ends its stream: the server’s last stanzas still reach it', () => {
    new Playbook()
      .bound()
      .client('</stream:stream>')
      .toServer('</stream:stream>')
      .ends('client')
      .server("<message id='last'/></stream:stream>")
      .toClient("<message id='last'/></stream:stream>")
      .commands('end server', 'end client')
      .finishes('client-closed')
      .done();
  });

  test('the server ends its stream: so does ours, on both legs', () => {
    new Playbook()
      .bound()
      .server('</stream:stream>')
      .toClient('</stream:stream>')
      .toServer('</stream:stream>')
      .commands('end server', 'end client')
      .finishes('server-closed')
      .done();
  });

  test('a stream error of the server’s reaches the client as it is', () => {
    const error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    new Playbook()
      .bound()
      .server(`${error}</stream:stream>`)
      .toClient(`${error}</stream:stream>`)
      .toServer('</stream:stream>')
      .commands('end server', 'end client')
      .finishes('server-error')
      .done();
  });

  test('the transport is told whose error it is: some have words of their own for ours', () => {
    const error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    const servers = new Playbook().bound().server(`${error}</stream:stream>`);
    servers
      .toClient(`${error}</stream:stream>`)
      .toServer('</stream:stream>')
      .commands('end server', 'end client');
    expect(servers.endedFor).toBe('nothing of our own');
    const header = HEADER.replace('example.org', 'elsewhere.example');
    const ours = new Playbook()
      .client(header)
      .toClient(/<host-unknown /)
      .commands('end client');
    expect(ours.endedFor).toBe('host-unknown');
    const gone = new Playbook()
      .bound()
      .lost('server')
      .toClient(/<system-shutdown /);
    gone.commands('destroy server', 'end client');
    expect(gone.endedFor).toBe('system-shutdown');
  });

  test('a stream error of the client’s reaches the server', () => {
    const error =
      "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    new Playbook()
      .bound()
      .client(error)
      .toServer(`${error}</stream:stream>`)
      .server('</stream:stream>')
      .toClient('</stream:stream>')
      .commands('end server', 'end client')
      .finishes('client-error')
      .done();
  });

  test('a client that is cut off: the server’s stream is ended in order', () => {
    new Playbook()
      .bound()
      .lost('client')
      .commands('destroy client')
      .toServer('</stream:stream>')
      .server('</stream:stream>')
      .commands('end server')
      .finishes('client-reset')
      .done();
  });

  test('a server that does not end its stream is given up after a while', () => {
    new Playbook()
      .bound()
      .client('</stream:stream>')
      .toServer('</stream:stream>')
      .passes(6)
      .commands('destroy server', 'destroy client')
      .finishes('client-closed')
      .done();
  });

  test('§4.9.3.20 system-shutdown: the server behind goes away', () => {
    new Playbook()
      .bound()
      .lost('server')
      .commands('destroy server', 'end client')
      .toClient(/^<stream:error><system-shutdown /)
      .finishes('server-reset')
      .done();
  });

  test('§4.9.3.16 remote-connection-failed: the server behind cannot be reached', () => {
    new Playbook()
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connectFails('refused')
      .toClient(/^<\?xml.*<stream:error><remote-connection-failed /)
      .commands('end client')
      .finishes('remote-connection-failed')
      .done();
  });

  test('the server behind goes away before its features: remote-connection-failed', () => {
    new Playbook()
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(SERVER_HEADER)
      .ends('server')
      .toClient(/<remote-connection-failed /)
      .commands('destroy server', 'end client')
      .done();
  });

  test('a client that has gone before the server says anything: that is no mistake of the server’s', () => {
    const play = new Playbook({ listener: { tls: 'required' } })
      .client(HEADER)
      .toClient(/<starttls/)
      .connected()
      .toServer(HEADER)
      .lost('client')
      .toServer('</stream:stream>')
      .server(`${SERVER_HEADER}<stream:features/></stream:stream>`)
      .commands('connect example.org', 'destroy client', 'end server')
      .finishes('client-reset');
    expect(play.counted.get('stream_error server-unexpected')).toBeUndefined();
    expect(play.logged).toEqual([]);
  });

  test('nor is that it accepts a client that has gone meanwhile', () => {
    const auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    const play = new Playbook().negotiated().client(auth).toServer(auth).lost('client');
    play.commands('destroy client').toServer('</stream:stream>');
    play.server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:stream>").commands('end server');
    play.finishes('client-reset');
    expect(play.logged).toEqual([]);
  });

  test('the proxy goes down: both sides are told', () => {
    new Playbook()
      .bound()
      .shutdown()
      .toClient(/^<stream:error><system-shutdown /)
      .toServer('</stream:stream>')
      .commands('end client')
      .server('</stream:stream>')
      .commands('end server')
      .finishes('system-shutdown')
      .done();
  });

  test('§4.9.3.4 connection-timeout: whoever does not log in is sent away', () => {
    new Playbook()
      .passes(31)
      .toClient(/<connection-timeout /)
      .commands('end client')
      .finishes('connection-timeout')
      .done();
  });
});

describe('a client that has asked for TLS and does not shake hands', () => {
  const asked = () =>
    new Playbook({ listener: { tls: 'required' } })
      .client(HEADER)
      .toClient(/<starttls/)
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features/>`)
      .client("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      .toClient(/<proceed/)
      .commands('connect example.org', 'startTls client');

  test('is cut off when its time is over, a moment later', () => {
    const play = asked()
      .passes(31)
      .toServer('</stream:stream>')
      .server('</stream:stream>')
      .commands('end server');
    play.passes(6).commands('destroy server', 'destroy client').finishes('connection-timeout').done();
  });

  test('hears why if it does so in that moment', () => {
    const play = asked()
      .passes(31)
      .toServer('</stream:stream>')
      .secured('client')
      .toClient(/<connection-timeout /);
    play.commands('end client').server('</stream:stream>').commands('end server').done();
  });
});

describe('a slow reader stops its own source and nobody else', () => {
  test('the client does not read: the server is not read, until the queue is empty', () => {
    const play = new Playbook().bound();
    play.full = 'client';
    play
      .server("<message id='m1'/>")
      .toClient("<message id='m1'/>")
      .commands('pause server')
      .client("<message id='m2'/>")
      .toServer("<message id='m2'/>")
      .drained('client')
      .commands('resume server')
      .done();
  });

  test('nor is it when the server asks behind a stanza what the client has', () => {
    const play = new Playbook().bound({ sm: true });
    play.full = 'client';
    play.kept.client = 100_000;
    play
      .server("<message id='m1'/><r xmlns='urn:xmpp:sm:3'/>")
      .toClient("<message id='m1'/>")
      .toServer("<a xmlns='urn:xmpp:sm:3' h='0'/>")
      .commands('whenFlushed client', 'pause server')
      .drained('client')
      .commands('resume server')
      .done();
  });

  test('the server does not read: the client is not read', () => {
    const play = new Playbook().bound();
    play.full = 'server';
    play
      .client("<message id='m1'/>")
      .toServer("<message id='m1'/>")
      .commands('pause client')
      .drained('server')
      .commands('resume client')
      .done();
  });

  test('one large stanza that passes does not end the leg of a slow reader', () => {
    const play = new Playbook().bound();
    const large = `<message><body>${'x'.repeat(3_000_000)}</body></message>`;
    play.full = 'client';
    play.kept.client = large.length;
    play
      .server(large)
      .toClient(large)
      .commands('pause server')
      .drained('client')
      .commands('resume server')
      .done();
  });

  test('a queue that grows far over its limit ends the leg', () => {
    const play = new Playbook().bound();
    play.full = 'client';
    play.kept.client = 20_000_000;
    play
      .server("<message id='m1'/>")
      .toClient("<message id='m1'/>")
      .commands('destroy client')
      .toServer('</stream:stream>')
      .counts('stream_error queue-overflow', 1)
      .done();
  });
});

describe('keepalives', () => {
  const keepalive = {
    client: { whitespace: 60, ping: 300, timeout: 30 },
    server: { whitespace: 0, ping: 0, timeout: 30 },
  };

  test('a space into the silence of a client, a ping into a longer one, the end when it is not answered', () => {
    const play = new Playbook({ config: { keepalive } }).bound();
    play.passes(61).toClient(' ');
    play.passes(30).toClient('');
    play.passes(61).toClient(' ');
    for (let i = 0; i < 4; i++) play.passes(35);
    play
      .toClient(/^ +$/)
      .passes(35)
      .toClient(/<ping xmlns='urn:xmpp:ping'\/>/);
    for (let i = 0; i < 2; i++) play.passes(16);
    play
      .toClient(/<connection-timeout /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
  });

  test('a server that does not answer is given up, and the client told', () => {
    const server = { whitespace: 0, ping: 100, timeout: 30 };
    const client = { whitespace: 0, ping: 0, timeout: 30 };
    const play = new Playbook({ config: { keepalive: { client, server } } }).bound();
    play
      .passes(120)
      .toServer("<iq type='get' id='id1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
      .server("<iq type='result' id='id1' from='example.org' to='a@example.org/r'/>")
      .passes(40)
      .sendsOnly();
    play.passes(80).toServer(/^<iq type='get' id='id2' to='example.org'><ping /);
    for (let i = 0; i < 2; i++) play.passes(20);
    play
      .toClient(/^<stream:error><system-shutdown .*<\/stream:stream>$/)
      .commands('destroy server', 'end client')
      .ends('client')
      .finishes('server-reset');
  });

  test('an answer to the ping is not passed on', () => {
    const play = new Playbook({
      config: { keepalive: { ...keepalive, client: { whitespace: 0, ping: 100, timeout: 30 } } },
    }).bound();
    play
      .passes(120)
      .toClient(
        "<iq type='get' id='id1' from='example.org' to='a@example.org/r'><ping xmlns='urn:xmpp:ping'/></iq>",
      )
      .client("<iq type='result' id='id1' to='example.org'/>")
      .toServer('')
      .passes(40)
      .toClient('')
      .done();
  });

  test('white space of the client’s is passed on to the server', () => {
    new Playbook().bound().client(' ').toServer(' ').server('\n').toClient('\n').done();
  });
});
