import { describe, test } from 'vitest';
import { BIND, HEADER, MECHANISMS, Playbook, SERVER_HEADER } from './playbook.js';

const TLS12 = { protocol: 'TLSv1.2', certificateSha256: 'aa' };
const STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PLUS = '<mechanism>SCRAM-SHA-1-PLUS</mechanism>';
const END_POINT =
  "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-server-end-point'/><channel-binding type='tls-exporter'/></sasl-channel-binding>";

function features(play: Playbook, xml: string): Playbook {
  return play.server(`${SERVER_HEADER}<stream:features>${xml}</stream:features>`).commands('resume client');
}

function opened(play: Playbook, tls?: typeof TLS12): Playbook {
  return play.client(HEADER).commands('connect example.org', 'pause client').connected(tls).toServer(HEADER);
}

describe('features that end at the proxy', () => {
  test('compression, the server’s STARTTLS and stream management, SASL2 and EXTERNAL are taken out', () => {
    const play = opened(new Playbook());
    features(
      play,
      `${STARTTLS}<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>` +
        "<authentication xmlns='urn:xmpp:sasl:2'/><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism><mechanism>PLAIN</mechanism></mechanisms>" +
        "<register xmlns='http://jabber.org/features/iq-register'/>",
    )
      .toClient(
        /<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN<\/mechanism><\/mechanisms><register xmlns='http:\/\/jabber.org\/features\/iq-register'\/><\/stream:features>$/,
      )
      .done();
  });

  test('a mechanism that was taken out is not accepted', () => {
    new Playbook()
      .negotiated()
      .client("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
      .toClient("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-mechanism/></failure>")
      .done();
  });

  test('jabberd2: <ack:ack/> of its header and <unbind/> are taken out', () => {
    const header = SERVER_HEADER.replace(
      " id='s1'",
      " xmlns:ack='http://www.xmpp.org/extensions/xep-0198.html#ns' id='s1'",
    );
    new Playbook()
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${header}<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .toClient(/mechanisms/)
      .client("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
      .toServer(/auth/)
      .server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
      .toClient(/success/)
      .client(HEADER)
      .toServer(HEADER)
      .commands('pause client')
      .server(
        `${header}<stream:features xmlns:stream='http://etherx.jabber.org/streams'><ack:ack/><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind><unbind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>`,
      )
      .commands('resume client')
      .toClient(
        /<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required\/><\/bind><sm xmlns='urn:xmpp:sm:2'\/><sm xmlns='urn:xmpp:sm:3'\/><\/stream:features>$/,
      )
      .done();
  });

  test('12.4 one resource per stream: a second bind and unbind are refused', () => {
    new Playbook()
      .bound()
      .client(`<iq type='set' id='b2'>${BIND}</iq>`)
      .toClient(/^<iq type='error' id='b2' to='a@example.org\/r'><error type='cancel'><service-unavailable /)
      .client("<iq type='set' id='b3'><unbind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
      .toClient(/^<iq type='error' id='b3'/)
      .counts('stanza_dropped second-bind-refused', 1)
      .counts('stanza_dropped unbind-refused', 1)
      .done();
  });

  test('XEP-0138: a client that asks for compression all the same is refused', () => {
    new Playbook()
      .negotiated()
      .client("<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>")
      .toClient("<failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>")
      .done();
  });
});

describe('channel binding (RFC 5802 §6, RFC 5929, XEP-0440)', () => {
  const direct = { listener: { tls: 'direct' as const } };
  const facts = (certificateSha256: string) => ({ protocol: 'TLSv1.3', certificateSha256 });

  test('-PLUS is hidden when the certificates differ', () => {
    const play = opened(new Playbook({ ...direct, directTls: facts('bb') }), TLS12);
    features(play, MECHANISMS.replace('<mechanism>PLAIN', `${PLUS}<mechanism>PLAIN`) + END_POINT)
      .toClient(
        /<mechanism>SCRAM-SHA-1<\/mechanism><mechanism>PLAIN<\/mechanism><\/mechanisms><\/stream:features>$/,
      )
      .done();
  });

  test('-PLUS is offered with tls-server-end-point alone when both legs present the same certificate', () => {
    const play = opened(new Playbook({ ...direct, directTls: facts('aa') }), TLS12);
    features(play, MECHANISMS.replace('<mechanism>PLAIN', `${PLUS}<mechanism>PLAIN`) + END_POINT)
      .toClient(
        /SCRAM-SHA-1-PLUS<\/mechanism>.*<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-server-end-point'\/><\/sasl-channel-binding><\/stream:features>$/,
      )
      .done();
  });

  test('-PLUS is hidden when the server does not say that it takes tls-server-end-point', () => {
    const play = opened(new Playbook({ ...direct, directTls: facts('aa') }), TLS12);
    features(play, MECHANISMS.replace('<mechanism>PLAIN', `${PLUS}<mechanism>PLAIN`))
      .toClient(
        /<mechanism>SCRAM-SHA-1<\/mechanism><mechanism>PLAIN<\/mechanism><\/mechanisms><\/stream:features>$/,
      )
      .done();
  });
});

describe('STARTTLS towards the server (RFC 6120 §5)', () => {
  const upstream = { tls: 'starttls' as const };

  test('the stream is opened again behind the handshake', () => {
    opened(new Playbook({ upstream }))
      .server(`${SERVER_HEADER}<stream:features>${STARTTLS}${MECHANISMS}</stream:features>`)
      .toServer(STARTTLS)
      .server("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      .commands('startTls server')
      .secured('server')
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .toClient(/SCRAM-SHA-1/)
      .done();
  });

  test('a server that does not offer it is not spoken to in the clear', () => {
    opened(new Playbook({ upstream }))
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .toClient(/<remote-connection-failed /)
      .commands('destroy server', 'end client')
      .done();
  });

  test('plaintext behind <proceed/> is not read as if it had come over TLS', () => {
    opened(new Playbook({ upstream }))
      .server(`${SERVER_HEADER}<stream:features>${STARTTLS}</stream:features>`)
      .toServer(STARTTLS)
      .server(
        `<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`,
      )
      .toClient(/<remote-connection-failed /)
      .commands('destroy server', 'end client')
      .done();
  });
});

describe('12.1 what a server relays is repaired or dropped, and the client’s stream lives on', () => {
  test('ejabberd: a child with a prefix that was never declared is removed, the rest arrives', () => {
    new Playbook()
      .bound()
      .server("<message from='b@example.org/x' id='1'><body>hi</body><q:foo/></message><message id='2'/>")
      .toClient(/^<message from='b@example.org\/x' id='1'><body>hi<\/body><\/message><message id='2'\/>$/)
      .counts('stanza_repaired flawed-stanza-repaired', 1)
      .done();
  });

  test('an iq whose payload cannot be resolved is dropped, and stream management still counts right', () => {
    new Playbook()
      .bound({ sm: true })
      .server(
        "<iq type='result' id='1' from='b@example.org/x'><q:query/></iq><message id='2'/><r xmlns='urn:xmpp:sm:3'/>",
      )
      .toClient("<message id='2'/>")
      .toServer("<a xmlns='urn:xmpp:sm:3' h='2'/>")
      .counts('stanza_dropped flawed-stanza-dropped', 1)
      .done();
  });

  test('jabberd2: <c:message/> arrives as <message/>', () => {
    new Playbook()
      .bound()
      .server(
        "<c:message xmlns:c='jabber:client' from='b@example.org' id='1'><c:body>hi</c:body></c:message>",
      )
      .toClient(/^<message [^>]*><body>hi<\/body><\/message>$/)
      .done();
  });
});

describe('12.2 limit before the server does', () => {
  test('jabberd2: what is over 65,535 bytes is answered with an error and never sent', () => {
    const header = SERVER_HEADER.replace(
      " id='s1'",
      " xmlns:ack='http://www.xmpp.org/extensions/xep-0198.html#ns' id='s1'",
    );
    const play = new Playbook()
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${header}<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .toClient(/mechanisms/)
      .client("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
      .toServer(/auth/)
      .server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
      .toClient(/success/)
      .client(HEADER)
      .toServer(HEADER)
      .commands('pause client')
      .server(`${header}<stream:features>${BIND}</stream:features>`)
      .commands('resume client')
      .toClient(/bind/)
      .client(`<iq type='set' id='b1'>${BIND}</iq>`)
      .toServer(/bind/)
      .server(
        "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/r</jid></bind></iq>",
      )
      .toClient(/jid/);
    const fits = `<message to='b@example.org' id='1'><body>${'x'.repeat(65_535 - 58)}</body></message>`;
    const over = fits.replace('<body>', '<body>x').replace("id='1'", "id='2'");
    play
      .client(fits)
      .toServer(fits)
      .client(over)
      .toClient(
        /^<message type='error' id='2' from='b@example.org' to='a@example.org\/r'><error type='modify'><policy-violation /,
      )
      .counts('stanza_dropped stanza-over-upstream-limit', 1)
      .done();
  });

  test('a stanza over the client’s own limit ends the stream while it is still arriving', () => {
    const play = new Playbook().bound();
    play.client(`<message to='b@example.org'><body>${'x'.repeat(262_144)}`);
    play
      .toClient(/<policy-violation /)
      .toServer('</stream:stream>')
      .commands('end client')
      .counts('stream_error stanza-too-big', 1)
      .done();
  });

  test('before authentication the limit is 10,000 bytes', () => {
    const play = new Playbook().negotiated();
    play
      .client(`<iq type='set' id='1'><query xmlns='jabber:iq:register'><username>${'x'.repeat(10_000)}`)
      .toClient(/<policy-violation /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
  });
});

describe('XEP-0478: limits that are announced', () => {
  const limits = (bytes: number) =>
    `<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>${bytes}</max-bytes></limits>`;

  test('the client is shown the smaller of the server’s limit and ours', () => {
    new Playbook()
      .negotiated()
      .client("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
      .toServer(/auth/)
      .server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
      .toClient(/success/)
      .client(HEADER)
      .toServer(HEADER)
      .commands('pause client')
      .server(`${SERVER_HEADER}<stream:features>${BIND}${limits(1_000_000)}</stream:features>`)
      .commands('resume client')
      .toClient(/<max-bytes>262144<\/max-bytes>/)
      .done();
  });

  test('what the server announces is kept to', () => {
    const over = `<message to='b@example.org' id='1'><body>${'x'.repeat(20_000)}</body></message>`;
    new Playbook()
      .bound({ features: BIND + limits(20_000) })
      .client(over)
      .toClient(/<policy-violation /)
      .done();
  });
});

describe('jabberd2 under churn and without its router', () => {
  const leftover =
    "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:error><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
  const SHOWN = `${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`;

  test('12.18 a fresh stream that is answered with internal-server-error is tried again, unseen by the client', () => {
    const play = opened(new Playbook())
      .server(leftover)
      .commands('destroy server', 'connect example.org')
      .connected()
      .toServer(HEADER);
    features(play, MECHANISMS)
      .toClient(/mechanisms/)
      .done();
  });

  test('12.18 the same while the client shakes hands', () => {
    const play = features(opened(new Playbook({ listener: { tls: 'optional' } })), MECHANISMS)
      .toClient(/starttls/)
      .client("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      .toClient(/proceed/)
      .commands('startTls client')
      .server(leftover.replace(/^<[^>]+>/, ''))
      .commands('destroy server', 'connect example.org')
      .secured('client')
      .client(HEADER)
      .commands('pause client')
      .connected()
      .toServer(HEADER);
    features(play, MECHANISMS)
      .toClient(/mechanisms/)
      .done();
  });

  test('12.18 a server that ends its stream while the client shakes hands: the client is told behind that', () => {
    features(opened(new Playbook({ listener: { tls: 'optional' } })), MECHANISMS)
      .toClient(/starttls/)
      .client("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      .toClient(/proceed/)
      .commands('startTls client')
      .server('</stream:stream>')
      .toServer('</stream:stream>')
      .commands('end server')
      .toClient('')
      .secured('client')
      .toClient(/<stream:error><remote-connection-failed .*<\/stream:stream>$/)
      .commands('end client')
      .done();
  });

  test('12.18 the same when the client has seen the features, and when it has begun to authenticate', () => {
    const auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    const broken = leftover.replace(/^<[^>]+>/, '');
    const again = (play: Playbook) =>
      play.server(broken).commands('destroy server', 'connect example.org').connected().toServer(HEADER);
    const play = features(opened(new Playbook()), MECHANISMS).toClient(/mechanisms/);
    again(play).server(SHOWN).toClient('').client(auth).toServer(auth);
    again(play).server(SHOWN).toServer(auth).toClient('');
    play
      .server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
      .toClient("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
      .done();
  });

  test('12.18 what the client opens SASL with while the server is connected again waits; anything else is not guessed at', () => {
    const auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    const begun = () =>
      features(opened(new Playbook()), MECHANISMS)
        .toClient(/mechanisms/)
        .server(leftover.replace(/^<[^>]+>/, ''))
        .commands('destroy server', 'connect example.org');
    begun().client(auth).toServer('').connected().toServer(HEADER).server(SHOWN).toServer(auth).done();
    begun()
      .client("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>")
      .toClient(/<internal-server-error .*<\/stream:stream>$/)
      .commands('end client', 'destroy server')
      .done();
  });

  test('12.18 once the server has answered a step of SASL, or was asked anything else, it cannot be asked again', () => {
    const auth =
      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1hLHI9Yg==</auth>";
    const iq = "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>";
    const begun = () => features(opened(new Playbook()), MECHANISMS).toClient(/mechanisms/);
    const ends = (play: Playbook) =>
      play
        .server(leftover.replace(/^<[^>]+>/, ''))
        .toClient(/<internal-server-error .*<\/stream:stream>$/)
        .toServer('</stream:stream>')
        .commands('end server', 'end client')
        .done();
    const challenge = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1i</challenge>";
    ends(begun().client(auth).toServer(auth).server(challenge).toClient(challenge));
    ends(begun().client(iq).toServer(iq));
    ends(begun().client(iq).toServer(iq).client(auth).toServer(auth));
  });

  test('12.18 after three times the client hears of it', () => {
    const play = opened(new Playbook());
    for (let i = 0; i < 3; i++) {
      play.server(leftover).commands('destroy server', 'connect example.org').connected().toServer(HEADER);
    }
    play
      .server(leftover)
      .toClient(/<internal-server-error .*<\/stream:stream>$/)
      .toServer('</stream:stream>')
      .commands('end server', 'end client')
      .done();
  });

  test('12.20 a stanza that comes back failed is answered with an error, and the client is told to come again', () => {
    const header = SERVER_HEADER.replace(
      " id='s1'",
      " xmlns:ack='http://www.xmpp.org/extensions/xep-0198.html#ns' id='s1'",
    );
    new Playbook()
      .bound({ header })
      .client("<iq type='get' id='q1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
      .toServer(/ping/)
      .server("<iq type='get' failed='1' id='q1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
      .toClient(
        /^<iq type='error' id='q1' from='example.org' to='a@example.org\/r'><error type='wait'><service-unavailable .*<stream:error><system-shutdown /,
      )
      .toServer('</stream:stream>')
      .commands('end client')
      .counts('stanza_dropped undeliverable-returned', 1)
      .done();
  });
});

describe('logging in the old ways', () => {
  test('XEP-0077: in-band registration before authentication is the server’s business', () => {
    const iq = "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>";
    new Playbook()
      .negotiated()
      .client(iq)
      .toServer(iq)
      .server("<iq type='result' id='r1'/>")
      .toClient("<iq type='result' id='r1'/>")
      .done();
  });

  test('XEP-0078: jabber:iq:auth binds the resource it names', () => {
    const iq =
      "<iq type='set' id='a1'><query xmlns='jabber:iq:auth'><username>a</username><password>b</password><resource>r</resource></query></iq>";
    new Playbook()
      .negotiated()
      .client(iq)
      .toServer(iq)
      .server("<iq type='result' id='a1'/>")
      .toClient("<iq type='result' id='a1'/>")
      .client("<message to='b@example.org'/>")
      .toServer("<message to='b@example.org'/>")
      .client(`<iq type='set' id='b2'>${BIND}</iq>`)
      .toClient(/^<iq type='error' id='b2'/)
      .done();
  });

  test('a refusal by jabber:iq:auth binds nothing', () => {
    const iq =
      "<iq type='set' id='a1'><query xmlns='jabber:iq:auth'><username>a</username><password>b</password><resource>r</resource></query></iq>";
    new Playbook()
      .negotiated()
      .client(iq)
      .toServer(iq)
      .server("<iq type='error' id='a1'/>")
      .toClient("<iq type='error' id='a1'/>")
      .client("<enable xmlns='urn:xmpp:sm:3'/>")
      .toClient(/unexpected-request/)
      .done();
  });
});

describe('the tables: what may come when', () => {
  test('a client that does not wait for the features is answered in order', () => {
    const auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    const play = new Playbook()
      .client(HEADER + auth)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER);
    features(play, MECHANISMS)
      .toClient(/mechanisms/)
      .toServer(auth)
      .done();
  });

  test('§4.9.3.24 unsupported-stanza-type: jabber:client elements that are no stanzas', () => {
    for (const forbidden of ['<MESSAGE/>', "<message xmlns='jabber:server'/>", "<message xmlns=''/>"]) {
      new Playbook()
        .bound()
        .client(forbidden)
        .toClient(/<unsupported-stanza-type /)
        .toServer('</stream:stream>')
        .commands('end client')
        .done();
    }
  });

  test('nonzas the proxy does not know pass as they are', () => {
    const csi = "<inactive xmlns='urn:xmpp:csi:0'/>";
    new Playbook().bound().client(csi).toServer(csi).done();
  });

  test('a header inside the stream ends it', () => {
    new Playbook()
      .bound()
      .client(HEADER.slice("<?xml version='1.0'?>".length))
      .toClient(/<bad-format /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
  });

  test('another domain behind TLS: the server leg is made anew', () => {
    new Playbook({ listener: { tls: 'required' } })
      .client(HEADER)
      .commands('connect example.org')
      .toClient(/starttls/)
      .client(STARTTLS)
      .toClient(/proceed/)
      .commands('startTls client')
      .secured('client')
      .client(HEADER.replace('example.org', 'example.net'))
      .commands('destroy server', 'connect example.net', 'pause client')
      .done();
  });
});
