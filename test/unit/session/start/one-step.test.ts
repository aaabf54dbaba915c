import { describe, expect, test } from 'vitest';
import { HEADER, MECHANISMS, Playbook, SERVER_HEADER } from '../playbook.js';
import {
  asked,
  authenticated,
  BIND2,
  bound,
  FEATURES,
  HELD,
  LEGACY_BIND,
  offered,
  overTls,
  SASL,
  SASL2,
  SM,
  START,
  USER_AGENT,
} from './scenes.js';

const BIND = `<bind xmlns='${BIND2}'/>`;
const METADATA = "<metadata xmlns='urn:xmpp:mam:2'/>";
const RESULT = (id: string, payload = '') => `<iq type='result' id='${id}'>${payload}</iq>`;
const REFUSED = (id: string) =>
  `<iq type='error' id='${id}'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`;

describe('XEP-0388 §2.1: SASL2 is offered on behalf of the server', () => {
  test('with the very mechanisms of the old list, and with what can be asked for along with it', () => {
    overTls({ hold: { seconds: 300 } })
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .toClient(
        new RegExp(
          `<authentication xmlns='${SASL2}'><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism><inline>` +
            `<bind xmlns='${BIND2}'><inline><feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:csi:0'/>` +
            `<feature var='${SM}'/><feature var='${START}'/></inline></bind><sm xmlns='${SM}'/>` +
            `<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication>`,
        ),
      )
      .done();
  });

  test('§5: not without TLS, and what asks for it all the same is refused', () => {
    new Playbook({ sessionStart: true })
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .toClient(/<stream:features><mechanisms [^>]*>.*<\/mechanisms><\/stream:features>$/)
      .client(`<authenticate xmlns='${SASL2}' mechanism='PLAIN'/>`)
      .toClient(`<failure xmlns='${SASL2}'><encryption-required xmlns='${SASL}'/></failure>`)
      .done();
  });

  test('not where it is switched off: what asks for it all the same has no such mechanism', () => {
    overTls({ sessionStart: false })
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .toClient(/<\/mechanisms><\/stream:features>$/)
      .client(`<authenticate xmlns='${SASL2}' mechanism='PLAIN'/>`)
      .toClient(`<failure xmlns='${SASL2}'><invalid-mechanism xmlns='${SASL}'/></failure>`)
      .done();
  });

  test('COMPAT jabberd2: what it cannot do is not offered', () => {
    const jabberd2 = SERVER_HEADER.replace(
      ' id=',
      " xmlns:ack='http://www.xmpp.org/extensions/xep-0198.html#ns' id=",
    );
    const play = overTls()
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER);
    play.server(`${jabberd2}<stream:features>${MECHANISMS}</stream:features>`).commands('resume client');
    const shown = play.takeSent('client');
    expect(shown).toContain(`<feature var='${SM}'/>`);
    expect(shown).not.toMatch(/carbons|csi/);
  });

  test('§2.4: a mechanism that was not shown', () => {
    offered()
      .client(`<authenticate xmlns='${SASL2}' mechanism='EXTERNAL'/>`)
      .toClient(`<failure xmlns='${SASL2}'><invalid-mechanism xmlns='${SASL}'/></failure>`)
      .done();
  });
});

describe('XEP-0388 §2.6: the exchange in the terms of either profile', () => {
  test('challenges, responses and additional data pass as they are', () => {
    const play = offered()
      .client(
        `<authenticate xmlns='${SASL2}' mechanism='SCRAM-SHA-1'><initial-response>Y2xpZW50</initial-response>${BIND}</authenticate>`,
      )
      .toServer(`<auth xmlns='${SASL}' mechanism='SCRAM-SHA-1'>Y2xpZW50</auth>`)
      .server(`<challenge xmlns='${SASL}'>c2VydmVy</challenge>`)
      .toClient(`<challenge xmlns='${SASL2}'>c2VydmVy</challenge>`)
      .client(`<response xmlns='${SASL2}'>cHJvb2Y=</response>`)
      .toServer(`<response xmlns='${SASL}'>cHJvb2Y=</response>`)
      .server(`<success xmlns='${SASL}'>dj1zaWc=</success>`)
      .commands('pause client')
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features>${LEGACY_BIND}</stream:features>`);
    const [bind] = asked(play);
    play.server(bound(bind!.id));
    for (const { id } of asked(play)) play.server(RESULT(id, METADATA));
    play
      .toClient(/<success [^>]*><additional-data>dj1zaWc=<\/additional-data>/)
      .commands('resume client')
      .done();
  });

  test('an initial response that is there and empty, and one that is not there', () => {
    offered()
      .client(`<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response/></authenticate>`)
      .toServer(`<auth xmlns='${SASL}' mechanism='PLAIN'>=</auth>`)
      .done();
    offered()
      .client(`<authenticate xmlns='${SASL2}' mechanism='PLAIN'/>`)
      .toServer(`<auth xmlns='${SASL}' mechanism='PLAIN'></auth>`)
      .done();
  });

  test('§2.7.2: failure says what the server says, and the client may try again', () => {
    offered()
      .client(
        `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>AGEAYg==</initial-response></authenticate>`,
      )
      .toServer(/<auth /)
      .server(`<failure xmlns='${SASL}'><not-authorized/><text>No.</text></failure>`)
      .toClient(`<failure xmlns='${SASL2}'><not-authorized xmlns='${SASL}'/><text>No.</text></failure>`)
      .client(`<auth xmlns='${SASL}' mechanism='PLAIN'>AGEAYw==</auth>`)
      .toServer(`<auth xmlns='${SASL}' mechanism='PLAIN'>AGEAYw==</auth>`)
      .done();
  });

  test('§4.6: the client aborts', () => {
    offered()
      .client(
        `<authenticate xmlns='${SASL2}' mechanism='SCRAM-SHA-1'><initial-response>Y2xpZW50</initial-response></authenticate>`,
      )
      .toServer(/<auth /)
      .client(`<abort xmlns='${SASL2}'><text>never mind</text></abort>`)
      .toServer(`<abort xmlns='${SASL}'/>`)
      .server(`<failure xmlns='${SASL}'><aborted/></failure>`)
      .toClient(`<failure xmlns='${SASL2}'><aborted xmlns='${SASL}'/></failure>`)
      .done();
  });

  test('§2.5: anything else meanwhile ends the stream', () => {
    offered()
      .client(
        `<authenticate xmlns='${SASL2}' mechanism='SCRAM-SHA-1'><initial-response>Y2xpZW50</initial-response></authenticate>`,
      )
      .toServer(/<auth /)
      .client('<message/>')
      .toClient(/<not-authorized /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
  });
});

describe('XEP-0386: one request binds', () => {
  const answers = (play: Playbook, jid = 'a@example.org/r') => {
    const [bind] = asked(play);
    play.server(bound(bind!.id, jid));
    return bind!.xml;
  };

  test('everything upstream is done before <success/>, and the stream goes on without a restart', () => {
    const play = authenticated(
      offered({ hold: { seconds: 300 } }),
      `${USER_AGENT}<bind xmlns='${BIND2}'><tag>Phone</tag><enable xmlns='urn:xmpp:carbons:2'/><enable xmlns='${SM}' resume='true'/><inactive xmlns='urn:xmpp:csi:0'/></bind>`,
      `${FEATURES}<sm xmlns='${SM}'/>`,
    );
    expect(answers(play, 'a@example.org/Phone/x')).toMatch(/<resource>Phone\/[A-Za-z0-9]{10}<\/resource>/);
    const [carbons, metadata] = asked(play);
    expect(carbons!.xml).toContain("<enable xmlns='urn:xmpp:carbons:2'/>");
    expect(metadata!.xml).toContain(METADATA);
    play
      .server("<message from='b@example.net' id='early'/>")
      .server(RESULT(carbons!.id))
      .server(
        RESULT(
          metadata!.id,
          "<metadata xmlns='urn:xmpp:mam:2'><start id='1' timestamp='2008-08-22T21:09:04Z'/><end id='9' timestamp='2020-04-20T14:34:21Z'/></metadata>",
        ),
      )
      .toClient(
        new RegExp(
          `^<success xmlns='${SASL2}'><authorization-identifier>a@example.org/Phone/x</authorization-identifier>` +
            `<bound xmlns='${BIND2}'><metadata xmlns='urn:xmpp:mam:2'><start id='1' timestamp='2008-08-22T21:09:04Z'/><end id='9' timestamp='2020-04-20T14:34:21Z'/></metadata>` +
            `<enabled xmlns='${SM}' id='[^']*' resume='true' max='300'/></bound></success>` +
            `<stream:features><csi xmlns='urn:xmpp:csi:0'/></stream:features><message from='b@example.net' id='early'/>$`,
        ),
      )
      .toServer(`<enable xmlns='${SM}' resume='true'/><inactive xmlns='urn:xmpp:csi:0'/>`)
      .commands('resume client')
      .client("<message to='b@example.net'/>")
      .toServer("<message to='b@example.net'/>")
      .done();
  });

  test('§4.2.1: one installation has one resource, which does not show which installation', () => {
    const resourceOf = (agent: string, tag = 'Phone') => {
      const play = authenticated(offered(), `${agent}<bind xmlns='${BIND2}'><tag>${tag}</tag></bind>`);
      const [, resource] = /<resource>(.*?)<\/resource>/.exec(play.takeSent('server'))!;
      return resource!;
    };
    const first = resourceOf(USER_AGENT);
    expect(resourceOf(USER_AGENT)).toBe(first);
    expect(resourceOf(USER_AGENT, 'Tablet')).not.toBe(first);
    expect(resourceOf("<user-agent id='00000000-0000-4000-8000-000000000000'/>")).not.toBe(first);
    expect(first).not.toMatch(/d4565fa7|4d72/);
    expect(resourceOf(USER_AGENT, 'x'.repeat(129))).not.toContain('/');
  });

  test('XEP-0388 §2.4: the id is a UUID, however it is written; anything else is none', () => {
    const resourceOf = (id: string) => {
      const play = authenticated(
        offered(),
        `<user-agent id='${id}'/><bind xmlns='${BIND2}'><tag>T</tag></bind>`,
      );
      return /<resource>(.*?)<\/resource>/.exec(play.takeSent('server'))![1]!;
    };
    const id = 'd4565fa7-4d72-4749-b3d3-740edbf87770';
    expect(resourceOf(id.toUpperCase())).toBe(resourceOf(id));
    // The first random id of each play is the same: this is what an identifier made of nothing else looks like.
    expect(resourceOf('my phone')).toBe(resourceOf('your phone'));
    expect(resourceOf('my phone')).not.toBe(resourceOf(id));
  });

  test('a server that gives another resource, or refuses the one asked for', () => {
    const play = authenticated(offered(), `${USER_AGENT}${BIND}`);
    const [wish] = asked(play);
    play.server(REFUSED(wish!.id));
    expect(answers(play, 'a@example.org/theirs')).not.toContain('<resource>');
    for (const { id } of asked(play)) play.server(RESULT(id, METADATA));
    play
      .toClient(/<authorization-identifier>a@example.org\/theirs</)
      .commands('resume client')
      .done();
  });

  test('a server that gives no resource at all', () => {
    const play = authenticated(offered(), BIND);
    play.server(REFUSED(asked(play)[0]!.id)).server(REFUSED(asked(play)[0]!.id));
    play
      .toClient(/<undefined-condition /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
  });

  test('COMPAT ejabberd 23.01: an archive that does not describe itself is asked for its first and last message', () => {
    const play = authenticated(offered(), BIND);
    answers(play);
    play.server(REFUSED(asked(play)[0]!.id));
    const pages = asked(play);
    const ids = ['first', 'last'];
    pages.forEach(({ id, xml }, index) => {
      const [, query] = /queryid='([^']*)'/.exec(xml)!;
      play
        .server(
          `<message from='a@example.org'><result xmlns='urn:xmpp:mam:2' queryid='${query}' id='${ids[index]}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-01-0${index + 1}T00:00:00Z'/><message/></forwarded></result></message>`,
        )
        .server(RESULT(id, "<fin xmlns='urn:xmpp:mam:2'/>"));
    });
    play
      .toClient(
        /<metadata xmlns='urn:xmpp:mam:2'><start id='first' timestamp='2026-01-01T00:00:00Z'\/><end id='last' timestamp='2026-01-02T00:00:00Z'\/><\/metadata><\/bound>/,
      )
      .commands('resume client')
      .done();
  });

  test('a server without an archive, and one that does not answer', () => {
    const without = authenticated(offered(), BIND);
    answers(without);
    without.server(REFUSED(asked(without)[0]!.id));
    for (const { id } of asked(without)) without.server(REFUSED(id));
    without
      .toClient(new RegExp(`<bound xmlns='${BIND2}'></bound></success>`))
      .commands('resume client')
      .done();
    const silent = authenticated(offered(), BIND);
    answers(silent);
    asked(silent);
    silent
      .passes(11)
      .toClient(new RegExp(`<bound xmlns='${BIND2}'></bound></success>`))
      .commands('resume client')
      .done();
  });

  test('the client is gone before it is done: nothing begins', () => {
    const play = authenticated(offered(HELD), BIND);
    answers(play);
    const [metadata] = asked(play);
    play.lost('client').commands('destroy client').toServer('</stream:stream>');
    play
      .server(RESULT(metadata!.id, METADATA))
      .passes(11)
      .commands('destroy server')
      .finishes('client-reset')
      .done();
    expect(play.session.bound).toBeUndefined();
  });

  test('without <bind/>: who it is, and then the old way, in the same stream', () => {
    const from = HEADER.replace(" to='", " from='a@example.org' to='");
    const toServer =
      "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' from='a@example.org' version='1.0'>";
    const play = overTls()
      .client(from)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(toServer);
    play
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}</stream:features>`)
      .commands('resume client')
      .takeSent('client');
    authenticated(play, '', FEATURES, toServer)
      .toClient(
        new RegExp(
          `^<success xmlns='${SASL2}'><authorization-identifier>a@example.org</authorization-identifier></success><stream:features>.*xmpp-bind`,
        ),
      )
      .commands('resume client')
      .client(`<iq type='set' id='b1'>${LEGACY_BIND}</iq>`)
      .toServer(`<iq type='set' id='b1'>${LEGACY_BIND}</iq>`)
      .server(bound('b1'))
      .toClient(bound('b1'))
      .done();
  });

  test('XEP-0388 §2.4: a stream that is from somebody else: who has authenticated is who the server says', () => {
    const play = offered({}, MECHANISMS, 'mallory@example.org');
    const header = HEADER.replace(" version='1.0'>", " from='mallory@example.org' version='1.0'>");
    authenticated(play, '', FEATURES, header);
    const [ask] = asked(play);
    play
      .server(bound(ask!.id))
      .toClient(/<authorization-identifier>a@example\.org<\/authorization-identifier>/);
    play.sendsOnly().done();
  });
});

describe('XEP-0388: a server that has SASL2 itself', () => {
  const OWN = `<authentication xmlns='${SASL2}'><mechanism>SCRAM-SHA-1</mechanism><mechanism>EXTERNAL</mechanism><inline><sm xmlns='${SM}'/><theirs xmlns='urn:example:theirs'/></inline></authentication>`;
  const AUTHENTICATE = `<authenticate xmlns='${SASL2}' mechanism='SCRAM-SHA-1'><initial-response>Y2xpZW50</initial-response>`;

  test('and the old profile: the old one is spoken to it, and nothing of its own offer is shown', () => {
    const play = overTls()
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER);
    play
      .server(`${SERVER_HEADER}<stream:features>${MECHANISMS}${OWN}</stream:features>`)
      .commands('resume client');
    const shown = play.takeSent('client');
    expect(shown.match(/<authentication /g)).toHaveLength(1);
    expect(shown).not.toContain('urn:example:theirs');
    play
      .client(`${AUTHENTICATE}</authenticate>`)
      .toServer(`<auth xmlns='${SASL}' mechanism='SCRAM-SHA-1'>Y2xpZW50</auth>`)
      .done();
  });

  test('alone: the exchange passes through, what was asked for along with it is done by the proxy, and there is no restart', () => {
    const play = offered({}, OWN)
      .client(`${AUTHENTICATE}${USER_AGENT}${BIND}</authenticate>`)
      .toServer(`${AUTHENTICATE}</authenticate>`)
      .server(`<challenge xmlns='${SASL2}'>c2VydmVy</challenge>`)
      .toClient(`<challenge xmlns='${SASL2}'>c2VydmVy</challenge>`)
      .client(`<response xmlns='${SASL2}'>cHJvb2Y=</response>`)
      .toServer(`<response xmlns='${SASL2}'>cHJvb2Y=</response>`)
      .server(
        `<success xmlns='${SASL2}'><additional-data>dj1zaWc=</additional-data><authorization-identifier>a@example.org</authorization-identifier></success><stream:features>${FEATURES}</stream:features>`,
      )
      .commands('pause client');
    const [bind] = asked(play);
    play.server(bound(bind!.id));
    for (const { id } of asked(play)) play.server(RESULT(id, METADATA));
    play
      .toClient(
        /^<success [^>]*><additional-data>dj1zaWc=<\/additional-data><authorization-identifier>a@example.org\/r<.*<bound /,
      )
      .commands('resume client')
      .done();
  });

  test('§2.7.2: its failure, with its condition and text', () => {
    offered({}, OWN)
      .client(`${AUTHENTICATE}</authenticate>`)
      .toServer(/^<authenticate /)
      .server(`<failure xmlns='${SASL2}'><not-authorized xmlns='${SASL}'/><text>No.</text></failure>`)
      .toClient(`<failure xmlns='${SASL2}'><not-authorized xmlns='${SASL}'/><text>No.</text></failure>`)
      .done();
  });

  test('§2.7.3: a task is refused on both sides', () => {
    offered({}, OWN)
      .client(`${AUTHENTICATE}</authenticate>`)
      .toServer(/^<authenticate /)
      .server(`<continue xmlns='${SASL2}'><tasks><task>TOTP</task></tasks></continue>`)
      .toServer(`<abort xmlns='${SASL2}'/>`)
      .toClient(/^<failure xmlns='urn:xmpp:sasl:2'><temporary-auth-failure [^>]*><text>.*<\/failure>$/)
      .server(`<failure xmlns='${SASL2}'><aborted xmlns='${SASL}'/></failure>`)
      .done();
  });
});
