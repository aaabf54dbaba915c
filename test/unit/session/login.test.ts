import { describe, test } from 'vitest';
import { BIND, HEADER, MECHANISMS, Playbook, SERVER_HEADER, SM3 } from './playbook.js';

const STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

describe('RFC 6120 §4.2: a stream is opened', () => {
  test('the server leg opens when the header arrives, and the client sees the server’s own features', () => {
    new Playbook()
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(SERVER_HEADER)
      .server(`<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .toClient(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='example.org' id='s1' version='1.0' xml:lang='en'>" +
          "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
      )
      .done();
  });

  test('a client logs in and binds a resource', () => {
    new Playbook().bound().done();
  });

  test('§4.9.3.6 host-unknown: a domain that is not configured', () => {
    new Playbook()
      .client(HEADER.replace('example.org', 'elsewhere.example'))
      .toClient(/^<\?xml.*from='elsewhere.example'.*<host-unknown .*<\/stream:stream>$/)
      .commands('end client')
      .finishes('host-unknown')
      .done();
  });

  test('§4.4: a header that is the end of its stream too is answered, and so is the end; nothing is read behind it', () => {
    new Playbook()
      .client(`${HEADER.replace(/>$/, '/>')}<iq id='1'/>`)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .toClient(/<\/stream:features>$/)
      .toServer('</stream:stream>')
      .commands('resume client')
      .server('</stream:stream>')
      .toClient('</stream:stream>')
      .commands('end server', 'end client')
      .done();
  });

  test('the domain is compared in prepared form and said to the server as configured', () => {
    new Playbook()
      .client(HEADER.replace('example.org', 'EXAMPLE.org'))
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .done();
  });
});

describe('RFC 6120 §5: STARTTLS towards the client', () => {
  test('where TLS is required it is the only feature, and the server is connected meanwhile', () => {
    new Playbook({ listener: { tls: 'required' } })
      .client(HEADER)
      .commands('connect example.org')
      .toClient(
        /<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required\/><\/starttls><\/stream:features>$/,
      )
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .client(STARTTLS)
      .toClient(PROCEED)
      .commands('startTls client')
      .secured('client')
      .client(HEADER)
      .toClient(/id='s1'.*<mechanisms/)
      .done();
  });

  test('§5.4.3.3: plaintext behind <starttls/> ends the stream', () => {
    new Playbook({ listener: { tls: 'required' } })
      .client(HEADER)
      .toClient(/<starttls/)
      .client(`${STARTTLS}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>`)
      .toClient(/<policy-violation/)
      .commands('connect example.org', 'end client', 'destroy server')
      .counts('stream_error starttls-leftover', 1)
      .done();
  });

  test.each(['off', 'direct'] as const)('§5.4.2.2: not offered (%s), it fails', (tls) => {
    const facts = { protocol: 'TLSv1.3', certificateSha256: undefined };
    new Playbook({ listener: { tls }, ...(tls === 'direct' && { directTls: facts }) })
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(/stream:stream/)
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .toClient(/mechanisms/)
      .commands('resume client')
      .client(STARTTLS)
      .toClient("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
  });

  test('go-xmpp: a line feed behind <starttls/> is no injection', () => {
    new Playbook({ listener: { tls: 'required' } })
      .client(HEADER)
      .commands('connect example.org')
      .toClient(/<starttls/)
      .client(`${STARTTLS}\n`)
      .toClient(PROCEED)
      .commands('startTls client')
      .secured('client')
      .client(HEADER)
      .commands('pause client')
      .done();
  });

  test('§6.5.4 encryption-required: authentication in the clear is refused where TLS is required', () => {
    new Playbook({ listener: { tls: 'required' } })
      .client(HEADER)
      .commands('connect example.org')
      .toClient(/<starttls/)
      .client("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
      .toClient("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><encryption-required/></failure>")
      .done();
  });
});

describe('RFC 6120 §7: a client that does not wait for its resource', () => {
  const ASK = `<iq type='set' id='b1'>${BIND}</iq>`;
  const JID = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/r</jid></bind>";
  const RESULT = `<iq type='result' id='b1'>${JID}</iq>`;

  test('what comes behind the request, in the same bytes or later, is for the session and waits for it', () => {
    new Playbook()
      .authenticated(BIND + SM3)
      .client(`${ASK}<enable xmlns='urn:xmpp:sm:3'/><message id='1'/>`)
      .toServer(ASK)
      .client("<message id='2'/>")
      .commands('pause client')
      .server(RESULT)
      .toClient(`${RESULT}<enabled xmlns='urn:xmpp:sm:3'/>`)
      .toServer("<enable xmlns='urn:xmpp:sm:3'/><message id='1'/><message id='2'/>")
      .commands('resume client')
      .client("<r xmlns='urn:xmpp:sm:3'/>")
      .toClient("<a xmlns='urn:xmpp:sm:3' h='0'/>")
      .server("<enabled xmlns='urn:xmpp:sm:3'/>")
      .toServer("<r xmlns='urn:xmpp:sm:3'/>")
      .server("<a xmlns='urn:xmpp:sm:3' h='2'/>")
      .toClient("<a xmlns='urn:xmpp:sm:3' h='2'/>")
      .done();
  });

  test('Prosody binds without an id too', () => {
    const ask = ASK.replace(" id='b1'", '');
    const result = RESULT.replace(" id='b1'", '');
    new Playbook()
      .authenticated()
      .client(`${ask}<presence/>`)
      .toServer(ask)
      .server(`<message/>${result}`)
      .toClient(`<message/>${result}`)
      .toServer('<presence/>')
      .commands('load undelivered')
      .done();
  });

  test('the request is refused: the next one may be another', () => {
    const refused = "<iq type='error' id='b1'/>";
    const other = ASK.replace('b1', 'b2');
    new Playbook()
      .authenticated()
      .client(ASK + other)
      .toServer(ASK)
      .server(refused)
      .toClient(refused)
      .toServer(other)
      .server(RESULT.replace('b1', 'b2'))
      .toClient(RESULT.replace('b1', 'b2'))
      .done();
  });
});

describe('XEP-0198 is ended on both legs', () => {
  test('the proxy uses it towards a server that has it, before anything else is sent', () => {
    new Playbook()
      .authenticated(BIND + SM3)
      .client(`<iq type='set' id='b1'>${BIND}</iq>`)
      .toServer(`<iq type='set' id='b1'>${BIND}</iq>`)
      .server(
        "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/r</jid></bind></iq>",
      )
      .toClient(/a@example.org\/r/)
      .toServer("<enable xmlns='urn:xmpp:sm:3'/>")
      .done();
  });
});
