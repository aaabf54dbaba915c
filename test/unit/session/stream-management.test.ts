import { describe, test } from 'vitest';
import { BIND, Playbook } from './playbook.js';

const R = "<r xmlns='urn:xmpp:sm:3'/>";
const a = (h: number) => `<a xmlns='urn:xmpp:sm:3' h='${h}'/>`;
const message = (n: number) => `<message to='b@example.org' id='m${n}'><body>${n}</body></message>`;

describe('XEP-0198 §4: what the client is told, it can rely on', () => {
  test('<r/> is answered at once with what is true then, and again when the server has acknowledged', () => {
    new Playbook()
      .bound({ sm: true })
      .clientHasSm()
      .client(message(1) + message(2) + R)
      .toServer(message(1) + message(2) + R)
      .toClient(a(0))
      .server(a(1))
      .toClient(a(1))
      .toServer(R)
      .server(a(2))
      .toClient(a(2))
      .done();
  });

  test('what the server had acknowledged before is confirmed at once, without a question', () => {
    new Playbook()
      .bound({ sm: true })
      .clientHasSm()
      .client(message(1) + R)
      .toServer(message(1) + R)
      .toClient(a(0))
      .server(a(1))
      .toClient(a(1))
      .client(R)
      .toClient(a(1))
      .done();
  });

  test('one question to the server at a time, however often the client asks', () => {
    new Playbook()
      .bound({ sm: true })
      .clientHasSm()
      .client(message(1) + R + message(2) + R)
      .toServer(message(1) + R + message(2))
      .toClient(a(0) + a(0))
      .server(a(1))
      .toClient(a(1))
      .toServer(R)
      .server(a(2))
      .toClient(a(2))
      .done();
  });

  test('nothing is confirmed before the server has said whether it enables stream management', () => {
    new Playbook()
      .authenticated(`${BIND}<sm xmlns='urn:xmpp:sm:3'/>`)
      .client(`<iq type='set' id='b1'>${BIND}</iq>`)
      .toServer(/bind/)
      .server(
        "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/r</jid></bind></iq>",
      )
      .toClient(/jid/)
      .toServer("<enable xmlns='urn:xmpp:sm:3'/>")
      .clientHasSm()
      .client(message(1) + R)
      .toServer(message(1))
      .toClient(a(0))
      .server("<enabled xmlns='urn:xmpp:sm:3'/>")
      .toServer(R)
      .server(a(1))
      .toClient(a(1))
      .done();
  });

  test('a server that refuses counts as one that has none: what is written is handed over', () => {
    new Playbook()
      .authenticated(`${BIND}<sm xmlns='urn:xmpp:sm:3'/>`)
      .client(`<iq type='set' id='b1'>${BIND}</iq>`)
      .toServer(/bind/)
      .server(
        "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/r</jid></bind></iq>",
      )
      .toClient(/jid/)
      .toServer("<enable xmlns='urn:xmpp:sm:3'/>")
      .clientHasSm()
      .client(message(1) + R)
      .toServer(message(1))
      .toClient(a(0))
      .server("<failed xmlns='urn:xmpp:sm:3'/>")
      .toClient(a(1))
      .done();
  });

  test('a server without it: what the kernel has taken is confirmed, what still waits is not', () => {
    const play = new Playbook()
      .bound()
      .clientHasSm()
      .client(message(1) + R)
      .toServer(message(1))
      .toClient(a(1));
    play.kept.server = 500;
    play
      .client(message(2) + R)
      .toServer(message(2))
      .toClient(a(1))
      .commands('whenFlushed server')
      .flushed('server')
      .toClient(a(2))
      .done();
  });

  test('a server without it: what was written while the kernel was busy is confirmed in the end', () => {
    const play = new Playbook().bound().clientHasSm();
    play.kept.server = 500;
    play
      .client(message(1) + R)
      .toServer(message(1))
      .toClient(a(0))
      .commands('whenFlushed server')
      .client(message(2) + R)
      .toServer(message(2))
      .toClient(a(0))
      .flushed('server')
      .toClient(a(2))
      .done();
  });

  test('stanzas sent before <enable/> do not count', () => {
    new Playbook()
      .bound({ sm: true })
      .client(message(1))
      .toServer(message(1))
      .clientHasSm()
      .client(message(2) + R)
      .toServer(message(2) + R)
      .toClient(a(0))
      .server(a(2))
      .toClient(a(1))
      .done();
  });
});

describe('XEP-0198 §4: what the server is told, the client has', () => {
  test('a client without stream management: what is written to it is handed over', () => {
    new Playbook()
      .bound({ sm: true })
      .server(message(1) + R)
      .toClient(message(1))
      .toServer(a(1))
      .done();
  });

  test('a client without it that reads slowly: what still waits is not confirmed', () => {
    const play = new Playbook().bound({ sm: true });
    play.kept.client = 100;
    play
      .server(message(1) + R)
      .toClient(message(1))
      .toServer(a(0))
      .commands('whenFlushed client')
      .flushed('client')
      .toServer(a(1))
      .done();
  });

  test('a client with it: the server hears what the client has acknowledged, as soon as it has', () => {
    new Playbook()
      .bound({ sm: true })
      .clientHasSm()
      .server(message(1) + message(2) + R)
      .toClient(message(1) + message(2) + R)
      .toServer(a(0))
      .client(a(2))
      .toServer(a(2))
      .done();
  });

  test('a count that is too high ends the client’s stream with the counts in the error', () => {
    new Playbook()
      .bound({ sm: true })
      .clientHasSm()
      .server(message(1))
      .toClient(message(1))
      .client(a(2))
      .toClient(
        /<undefined-condition [^>]*\/><handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'\/><\/stream:error><\/stream:stream>$/,
      )
      .commands('end client')
      .toServer('</stream:stream>')
      .done();
  });

  test('the last word before the end of the stream says what has reached the client', () => {
    new Playbook()
      .bound({ sm: true })
      .server(message(1) + message(2))
      .toClient(message(1) + message(2))
      .client('</stream:stream>')
      .toServer(`${a(2)}</stream:stream>`)
      .server('</stream:stream>')
      .toClient('</stream:stream>')
      .commands('end server', 'end client')
      .finishes('client-closed')
      .done();
  });

  test('what a client with stream management has not acknowledged stays unacknowledged when it is gone', () => {
    new Playbook()
      .bound({ sm: true })
      .clientHasSm()
      .server(message(1) + message(2) + R)
      .toClient(message(1) + message(2) + R)
      .toServer(a(0))
      .client(a(1))
      .toServer(a(1))
      .toClient(R)
      .lost('client')
      .commands('destroy client')
      .toServer('</stream:stream>')
      .done();
  });
});

describe('XEP-0198 §3: enabling', () => {
  test('before a resource is bound: unexpected-request, and the stream goes on', () => {
    new Playbook()
      .authenticated()
      .client("<enable xmlns='urn:xmpp:sm:3'/>")
      .toClient(/^<failed xmlns='urn:xmpp:sm:3'><unexpected-request /)
      .done();
  });

  test('twice: unexpected-request', () => {
    new Playbook()
      .bound()
      .clientHasSm()
      .client("<enable xmlns='urn:xmpp:sm:3'/>")
      .toClient(/^<failed xmlns='urn:xmpp:sm:3'><unexpected-request /)
      .done();
  });

  test('version 2 is spoken to those who ask for it', () => {
    new Playbook()
      .bound()
      .client("<enable xmlns='urn:xmpp:sm:2'/>")
      .toClient("<enabled xmlns='urn:xmpp:sm:2'/>")
      .client("<r xmlns='urn:xmpp:sm:2'/>")
      .toClient("<a xmlns='urn:xmpp:sm:2' h='0'/>")
      .done();
  });

  test('<resume/> of what is not held: item-not-found', () => {
    new Playbook()
      .authenticated()
      .client("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>")
      .toClient(/^<failed xmlns='urn:xmpp:sm:3'><item-not-found /)
      .done();
  });

  test('nonzas of stream management never reach the other side', () => {
    new Playbook()
      .bound({ sm: true })
      .client(`${R + a(0)}<r xmlns='http://www.xmpp.org/extensions/xep-0198.html#ns' c='1'/>`)
      .server(`${R}<a xmlns='http://www.xmpp.org/extensions/xep-0198.html#ns' b='1'/>`)
      .toServer(a(0))
      .done();
  });
});

test('a server that asks behind every stanza is answered at once, and then not more often than four times a second', () => {
  const said = (n: number) => `<message from='b@example.org' id='m${n}'><body>${n}</body></message>`;
  const play = new Playbook().bound({ sm: true });
  play
    .server(said(1) + R)
    .toClient(said(1))
    .toServer(a(1));
  play.server(said(2) + R + said(3) + R).toClient(said(2) + said(3));
  play.passes(1).toServer(a(3));
  play
    .server(said(4) + R)
    .toClient(said(4))
    .passes(1)
    .toServer(a(4))
    .done();
});
