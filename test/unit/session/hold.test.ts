import { describe, expect, test } from 'vitest';
import { claimedName } from '../../../src/session/claimed-name.js';
import { HEADER, Playbook, SERVER_HEADER } from './playbook.js';
import {
  BIND_RESULT,
  boundAs,
  comesBack,
  delayed,
  ENABLE,
  FEATURES,
  ID,
  isOver,
  message,
  PROBE,
  resumable,
  SM,
  SM_FEATURE,
} from './resumable.js';

const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';

describe('XEP-0198 §5: resumption is offered whatever the server has', () => {
  test('on a server with it, the server is asked to hold too', () => {
    resumable().done();
  });

  test('on a server without it', () => {
    resumable({ serverSm: false }).done();
  });

  test('for as long as the client asks, but no longer than is configured', () => {
    for (const [asked, given] of [
      [60, 60],
      [9_999, 300],
      [0, 300],
    ]) {
      new Playbook({ hold: { seconds: 300 }, ids: [ID] })
        .bound()
        .client(`<enable xmlns='${SM}' resume='true' max='${asked}'/>`)
        .toClient(`<enabled xmlns='${SM}' id='${ID}' resume='true' max='${given}'/>`)
        .done();
    }
  });

  test('to a client that does not ask, nothing; and the server is not to hold what nobody comes back to', () => {
    new Playbook({ hold: { seconds: 300 } })
      .bound({ features: FEATURES + SM_FEATURE })
      .client(`<enable xmlns='${SM}'/>`)
      .toClient(`<enabled xmlns='${SM}'/>`)
      .toServer(`<enable xmlns='${SM}'/>`)
      .done();
    new Playbook({ hold: { seconds: 300 } })
      .bound({ features: FEATURES + SM_FEATURE })
      .client('<presence/>')
      .toServer(`<enable xmlns='${SM}'/><presence/>`)
      .commands('load undelivered')
      .done();
  });
});

describe('a session whose client connection breaks is held', () => {
  test('the server notices nothing, and is answered what cannot wait', () => {
    resumable()
      .lost('client')
      .commands('destroy client')
      .counts('hold held', 1)
      .server("<iq type='get' id='p1' from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
      .toServer("<iq type='result' id='p1' to='example.org'/>")
      .server(message(1))
      .server(`<r xmlns='${SM}'/>`)
      .toServer(`<a xmlns='${SM}' h='1'/>`)
      .done();
  });

  test('the client comes back, proves who it is, and gets what it missed once and in order', () => {
    const held = resumable()
      .server(message(1))
      .toClient(message(1))
      .lost('client')
      .commands('destroy client');
    held.server(message(2)).server(message(3));
    const back = comesBack(held, 1).toServer(PROBE);
    back.server(boundAs('a@example.org/probe')).commands('handOver client').toServer('</stream:stream>');
    held
      .toClient(new RegExp(`^<resumed xmlns='${SM}' previd='${ID}' h='0'/>${delayed(2)}${delayed(3)}$`))
      .commands('resume client')
      .counts('hold resumed', 1);
    // ejabberd says so of the resource that was bound to learn who it is; the client has never heard of it.
    held
      .server("<presence type='unavailable' from='a@example.org/probe'/>")
      .counts('stanza_dropped probe-presence-dropped', 1);
    // What it sends behind <resume/> is read, and counting goes on where it was.
    held.toServer(`<a xmlns='${SM}' h='1'/>`);
    held.client(`<message to='b@example.net' id='up'/>`).toServer(`<message to='b@example.net' id='up'/>`);
    held.client(`<a xmlns='${SM}' h='3'/>`).toServer(`<a xmlns='${SM}' h='4'/>`);
    back.server('</stream:stream>').commands('end server').finishes('resumed').done();
    held.done();
  });

  test('what came behind <resume/> in the same bytes is read in the resumed session', () => {
    const held = resumable().lost('client').commands('destroy client');
    const back = new Playbook({ with: held, hold: { seconds: 300 } })
      .authenticated(FEATURES + SM_FEATURE)
      .client(`<resume xmlns='${SM}' previd='${ID}' h='0'/><message id='behind'/>`)
      .commands('pause client')
      .toServer(PROBE);
    back.server(boundAs('a@example.org/probe')).commands('handOver client').toServer('</stream:stream>');
    held
      .toClient(`<resumed xmlns='${SM}' previd='${ID}' h='0'/>`)
      .toServer("<message id='behind'/>")
      .commands('resume client')
      .done();
    back.done();
  });

  test('somebody else with the id: as unknown as one that never was, and he gets his own session', () => {
    const held = resumable().lost('client').commands('destroy client');
    const thief = comesBack(held).toServer(PROBE);
    thief
      .server(boundAs('mallory@example.org/x'))
      .toClient(
        `<failed xmlns='${SM}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`,
      )
      .commands('resume client')
      .client(
        "<iq type='set' id='b9'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>phone</resource></bind></iq>",
      )
      .toClient(
        "<iq type='result' id='b9'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>mallory@example.org/x</jid></bind></iq>",
      )
      .done();
    held.done();
  });

  test('an id that nobody has: item-not-found, and binding goes on', () => {
    const held = resumable();
    new Playbook({ with: held, hold: { seconds: 300 } })
      .authenticated()
      .client(`<resume xmlns='${SM}' previd='unknown' h='0'/>`)
      .commands('load resume', 'pause client')
      .loaded()
      .commands('resume client')
      .toClient(
        `<failed xmlns='${SM}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`,
      )
      .done();
    held.done();
  });

  test.each<[string, (play: Playbook) => Playbook]>([
    [
      'whose time is over',
      (play) => play.lost('client').passes(301).toServer('</stream:stream>').server('</stream:stream>'),
    ],
    [
      'that its client has ended',
      (play) => play.client('</stream:stream>').toServer('</stream:stream>').server('</stream:stream>'),
    ],
  ])(
    'the id of a session %s: item-not-found, and how much was handled; to somebody else that is unknown',
    (_, ends) => {
      const held = resumable().client("<message id='u1'/>").toServer("<message id='u1'/>");
      held.server(`<a xmlns='${SM}' h='1'/>`);
      ends(held).sendsOnly().takeSent('client');
      const back = new Playbook({ with: held, hold: { seconds: 300 } }).at(held.now).authenticated(FEATURES);
      back.client(`<resume xmlns='${SM}' previd='${ID}' h='0'/>`).loaded();
      back
        .sendsOnly()
        .toClient(
          `<failed xmlns='${SM}' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`,
        )
        .done();
      const stranger = new Playbook({ with: held, hold: { seconds: 300 } }).at(held.now).negotiated();
      stranger.client(`<auth xmlns='${SASL}' mechanism='PLAIN'>AG0AYg==</auth>`);
      stranger.server(`<success xmlns='${SASL}'/>`).client(HEADER);
      stranger.server(`${SERVER_HEADER}<stream:features>${FEATURES}</stream:features>`).takeSent('client');
      stranger.client(`<resume xmlns='${SM}' previd='${ID}' h='0'/>`).loaded();
      stranger.sendsOnly().takeSent('server');
      stranger.toClient(/^<failed xmlns='urn:xmpp:sm:3'><item-not-found /).done();
    },
  );

  test('each connection of a session takes over from the one before, by the same id: there is never more than one', () => {
    const held = resumable().lost('client').commands('destroy client');
    for (const _ of [1, 2]) {
      const back = comesBack(held).toServer(PROBE);
      back.server(boundAs('a@example.org/probe')).toServer('</stream:stream>').sendsOnly().done();
      held.takeSent('client');
    }
    expect([...held.session.domain.holds.keys()]).toEqual([ID]);
    held.sendsOnly().server(message(1)).toClient(message(1)).done();
  });

  test('the old connection still looks alive: it is told and the new one takes over', () => {
    const held = resumable();
    const back = comesBack(held).toServer(PROBE);
    back.server(boundAs('a@example.org/probe')).commands('handOver client').toServer('</stream:stream>');
    held
      .commands('end client', 'resume client')
      .toClient(/^<stream:error><conflict .*<\/stream:stream><resumed /)
      .done();
    back.done();
  });

  test('a client that says it has handled more than it was sent: the error says both counts', () => {
    const held = resumable()
      .server(message(1))
      .toClient(message(1))
      .lost('client')
      .commands('destroy client');
    const back = comesBack(held, 7).toServer(PROBE);
    back
      .server(boundAs('a@example.org/probe'))
      .toClient(
        /<undefined-condition .*<handled-count-too-high xmlns='urn:xmpp:sm:3' h='7' send-count='1'\/>/,
      )
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
    held.done();
  });

  test('what the client sent and the server has not confirmed is asked for first: nothing is sent twice', () => {
    const held = resumable().client("<message id='u1'/>").toServer("<message id='u1'/>");
    held.lost('client').commands('destroy client');
    const back = comesBack(held).toServer(PROBE);
    back.server(boundAs('a@example.org/probe'));
    held.toServer(`<r xmlns='${SM}'/>`).server(`<a xmlns='${SM}' h='1'/>`);
    back.commands('handOver client').toServer('</stream:stream>').done();
    held.toClient(`<resumed xmlns='${SM}' previd='${ID}' h='1'/>`).commands('resume client').done();
  });
});

describe('a client that is there and does not acknowledge', () => {
  const behind = () => {
    const play = resumable({ hold: { stanzas: 2 } });
    return play
      .server(message(1) + message(2) + message(3))
      .toClient(`${message(1)}${message(2)}${message(3)}<r xmlns='${SM}'/>`)
      .commands('pause server');
  };

  test('its server waits with it until it does', () => {
    const acknowledged = behind().client(`<a xmlns='${SM}' h='2'/>`).commands('resume server');
    acknowledged.toServer(`<a xmlns='${SM}' h='2'/>`).done();
  });

  test('or is lost: the server is read until it has ended its stream', () => {
    const play = behind().lost('client').commands('destroy client', 'resume server', 'store hold +++');
    play
      .stored()
      .toServer(`<a xmlns='${SM}' h='3'/></stream:stream>`)
      .server(`${message(4)}</stream:stream>`)
      .commands('end server', 'store hold +')
      .done();
  });

  test('nor is it waited for any more when it ends its stream', () => {
    const play = behind().client('</stream:stream>').commands('resume server', 'store hold +++');
    play.stored().toServer(`<a xmlns='${SM}' h='3'/></stream:stream>`).done();
  });

  test('in the end it counts as gone, and so much is not held', () => {
    behind()
      .passes(61)
      .commands('resume server', 'destroy client', 'store hold +++')
      .stored()
      .toServer(`<a xmlns='${SM}' h='3'/></stream:stream>`)
      .done();
  });
});

describe('what cannot be come back to', () => {
  test('the newcomer breaks off while it waits: the session is held on, and the next one gets it', () => {
    const held = resumable().client("<message id='u1'/>").toServer("<message id='u1'/>");
    held.lost('client').commands('destroy client');
    const first = comesBack(held).toServer(PROBE).server(boundAs('a@example.org/probe'));
    held.toServer(`<r xmlns='${SM}'/>`);
    first.lost('client').sendsOnly().toServer('</stream:stream>').done();
    held.server(`<a xmlns='${SM}' h='1'/>`).counts('hold resumed', 0);
    const second = comesBack(held).toServer(PROBE).server(boundAs('a@example.org/probe'));
    second.commands('handOver client').toServer('</stream:stream>').done();
    held.toClient(`<resumed xmlns='${SM}' previd='${ID}' h='1'/>`).commands('resume client').done();
  });

  test('the newcomer seems to wait still, and the client has come on another connection: that one gets it', () => {
    const held = resumable().client("<message id='u1'/>").toServer("<message id='u1'/>");
    held.lost('client').commands('destroy client');
    const first = comesBack(held).toServer(PROBE).server(boundAs('a@example.org/probe'));
    held.toServer(`<r xmlns='${SM}'/>`);
    const second = comesBack(held).toServer(PROBE).server(boundAs('a@example.org/probe2'));
    first
      .toClient(/^<stream:error><conflict .*<\/stream:stream>$/)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
    held.server(`<a xmlns='${SM}' h='1'/>`);
    second.commands('handOver client').toServer('</stream:stream>').done();
    held.toClient(`<resumed xmlns='${SM}' previd='${ID}' h='1'/>`).commands('resume client').done();
  });

  test('of very many held sessions of one account the oldest ends', () => {
    const first = resumable().lost('client').commands('destroy client');
    for (let i = 1; i <= 10; i++) {
      const jid = `a@example.org/r${i}`;
      const next = new Playbook({ with: first, hold: { seconds: 300 }, ids: [`id-${i}`] }).bound({
        features: FEATURES,
        jid,
      });
      next
        .client(ENABLE)
        .toClient(/<enabled /)
        .lost('client')
        .commands('destroy client')
        .done();
    }
    first.counts('hold hold-crowded', 1).toServer('</stream:stream>').done();
  });
});

describe('the hold ends', () => {
  test('messages are put into the store, the server is told, and its stream is ended in order', () => {
    const held = resumable().lost('client').commands('destroy client');
    held
      .server(message(1))
      .server("<presence from='b@example.net/x'/>")
      .server("<iq type='get' id='q1' from='b@example.net/x'><query xmlns='jabber:iq:version'/></iq>")
      .server("<message from='room@muc/nick' type='groupchat' id='g'><body>room</body></message>")
      .passes(301)
      .commands('store hold +')
      .toServer(/^<iq type='error' id='q1' to='b@example.net\/x'>.*service-unavailable.*<\/iq>$/)
      .stored()
      .toServer(`<a xmlns='${SM}' h='4'/></stream:stream>`)
      .server('</stream:stream>')
      .commands('end server')
      .finishes('hold-expired')
      .done();
  });

  test('what comes while that is being stored is stored too', () => {
    resumable()
      .lost('client')
      .commands('destroy client')
      .server(message(1))
      .passes(301)
      .commands('store hold +')
      .server(message(2))
      .stored()
      .toServer(`<a xmlns='${SM}' h='1'/>`)
      .commands('store hold +')
      .stored()
      .toServer(`<a xmlns='${SM}' h='2'/></stream:stream>`)
      .done();
  });

  test('the store fails: nothing is acknowledged, so that the server deals with it', () => {
    resumable()
      .lost('client')
      .commands('destroy client')
      .server(message(1))
      .passes(301)
      .commands('store hold +')
      .stored(false)
      .toServer('</stream:stream>')
      .done();
  });

  test('the account’s next session gets what was missed once, with the time it came', () => {
    const held = resumable().lost('client').commands('destroy client').server(message(1)).server(message(2));
    held.passes(301).commands('store hold ++').stored().toServer(`<a xmlns='${SM}' h='2'/></stream:stream>`);
    isOver(held);
    const next = new Playbook({ with: held, hold: { seconds: 300 } }).bound({ features: FEATURES });
    next
      .client('<presence/>')
      .toServer('<presence/>')
      .commands('load undelivered')
      .loaded()
      .toClient(new RegExp(`^${delayed(1)}${delayed(2)}$`))
      .commands('store delivered --')
      .stored()
      .done();
    expect(next.inStore.size).toBe(0);
    held.done();
  });

  test('with stream management it stays in the store until the client has acknowledged it', () => {
    const held = resumable().lost('client').commands('destroy client').server(message(1)).server(message(2));
    held.passes(301).commands('store hold ++').stored().toServer(`<a xmlns='${SM}' h='2'/></stream:stream>`);
    isOver(held);
    const next = resumable({ with: held })
      .client('<presence/>')
      .toServer('<presence/>')
      .commands('load undelivered');
    next.loaded().toClient(new RegExp(`^${delayed(1)}${delayed(2)}$`));
    next.client(`<a xmlns='${SM}' h='1'/>`).commands('store delivered -').stored();
    expect(next.inStore.size).toBe(1);
    // Broken before the second was acknowledged: it stays where it is, and comes to the session after that.
    isOver(next.lost('client').commands('destroy client').passes(301).toServer('</stream:stream>'));
    const third = new Playbook({ with: held, hold: { seconds: 300 } }).bound({ features: FEATURES });
    third.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    third
      .toClient(new RegExp(`^${delayed(2)}$`))
      .commands('store delivered -')
      .stored()
      .done();
    held.done();
  });

  test('it is free again for a session that began meanwhile', () => {
    const held = resumable().lost('client').commands('destroy client').server(message(1));
    held.passes(301).commands('store hold +').stored().toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`);
    isOver(held);
    const second = resumable({ with: held }).client('<presence/>').toServer('<presence/>');
    second
      .commands('load undelivered')
      .loaded()
      .toClient(new RegExp(`^${delayed(1)}$`));
    second.lost('client').commands('destroy client').passes(1);
    const third = new Playbook({ with: held, hold: { seconds: 300 } })
      .at(second.now)
      .bound({ features: FEATURES, jid: 'a@example.org/third' });
    third.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    second.passes(301).toServer('</stream:stream>');
    third.commands('pause server');
    isOver(second);
    third.commands('load undelivered').loaded();
    third
      .toClient(new RegExp(`^${delayed(1)}$`))
      .commands('store delivered -')
      .done();
  });

  test('a device that has had it meanwhile does not get it again', () => {
    const held = resumable().lost('client').commands('destroy client');
    const other = new Playbook({ with: held, hold: { seconds: 300 } }).bound({
      features: FEATURES,
      jid: 'a@example.org/tablet',
    });
    other.server(message(1)).toClient(message(1));
    held.server(message(1)).passes(301).commands('store hold +').stored();
    isOver(held.toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`));
    const again = new Playbook({ with: held, hold: { seconds: 300 } }).bound({
      features: FEATURES,
      jid: 'a@example.org/tablet',
    });
    again.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded().done();
    const phone = new Playbook({ with: held, hold: { seconds: 300 } }).bound({
      features: FEATURES,
      jid: 'a@example.org/phone',
    });
    phone.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    phone
      .toClient(new RegExp(`^${delayed(1)}$`))
      .commands('store delivered -')
      .done();
    other.done();
  });

  test('what two devices have missed comes once, and what was sent twice comes twice', () => {
    const phone = resumable();
    const tablet = new Playbook({ with: phone, hold: { seconds: 300 }, ids: ['other-id'] });
    tablet.bound({ features: FEATURES + SM_FEATURE, jid: 'a@example.org/tablet' }).client(ENABLE);
    tablet.takeSent('server');
    for (const device of [phone, tablet]) {
      device.sendsOnly().takeSent('client');
      device.lost('client').server(message(1) + message(2) + message(1));
    }
    for (const device of [phone, tablet]) {
      device.passes(301).sendsOnly().stored();
      device.takeSent('server');
      isOver(device);
    }
    const next = new Playbook({ with: phone, hold: { seconds: 300 } }).at(phone.now);
    next
      .bound({ features: FEATURES, jid: 'a@example.org/new' })
      .client('<presence/>')
      .toServer('<presence/>');
    next.commands('load undelivered').loaded().sendsOnly();
    next.toClient(new RegExp(`^${delayed(1)}${delayed(2)}${delayed(1)}$`)).done();
  });

  /** Phone and tablet are sent the same; then the phone breaks off and does not come back. */
  function phoneMisses(words: string, ofTablet: (tablet: Playbook) => void): Playbook {
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet' });
    for (const device of [tablet, phone]) device.server(words).toClient(words);
    ofTablet(tablet);
    phone.lost('client').passes(301).sendsOnly().stored().takeSent('server');
    isOver(phone);
    expect(phone.inStore.size).toBe(1);
    return phone;
  }

  function tabletAgain(phone: Playbook): Playbook {
    const again = new Playbook({ with: phone, hold: { seconds: 300 } }).at(phone.now);
    again.bound({ features: FEATURES, jid: 'a@example.org/tablet' }).client('<presence/>');
    return again.toServer('<presence/>').commands('load undelivered').loaded();
  }

  test('nor one that had it before the other was gone, and has acknowledged it', () => {
    const phone = phoneMisses(message(1), (tablet) =>
      tablet.client(`<a xmlns='${SM}' h='1'/>`).toServer(`<a xmlns='${SM}' h='1'/>`),
    );
    tabletAgain(phone).done();
  });

  test('or has not yet', () => {
    const phone = phoneMisses(message(1), () => {});
    tabletAgain(phone).done();
  });

  test('or as a copy of its own', () => {
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet' });
    const forwarded = `<forwarded xmlns='urn:xmpp:forward:0'>${message(1).replace('<message', "<message xmlns='jabber:client'")}</forwarded>`;
    tablet.server(
      `<message from='a@example.org'><received xmlns='urn:xmpp:carbons:2'>${forwarded}</received></message>`,
    );
    tablet.takeSent('client');
    phone.server(message(1)).toClient(message(1)).lost('client').passes(301).sendsOnly().stored();
    phone.takeSent('server');
    isOver(phone);
    tabletAgain(phone).done();
  });

  test('the same words without an id, said again much later, are another message', () => {
    const words = "<message from='b@example.net/x' type='chat'><body>ok</body></message>";
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet' });
    tablet.server(words).toClient(words).done();
    phone.at(60_000).server(words).toClient(words);
    phone.lost('client').passes(301).sendsOnly().stored().takeSent('server');
    isOver(phone);
    tabletAgain(phone)
      .toClient(/<body>ok<\/body><delay /)
      .commands('store delivered -')
      .done();
  });

  test('two devices were sent it and neither has acknowledged it: each gets it when it is back', () => {
    const phone = resumable();
    const tablet = new Playbook({ with: phone, hold: { seconds: 300 }, ids: ['other-id'] });
    tablet.bound({ features: FEATURES + SM_FEATURE, jid: 'a@example.org/tablet' }).client(ENABLE);
    tablet.takeSent('server');
    for (const device of [phone, tablet]) {
      device.takeSent('client');
      device.server(message(1)).toClient(message(1)).lost('client');
    }
    for (const device of [phone, tablet]) {
      device.passes(301).sendsOnly().stored().takeSent('server');
      isOver(device);
    }
    for (const resource of ['tablet', 'r']) {
      const next = new Playbook({ with: phone, hold: { seconds: 300 } }).at(phone.now);
      next.bound({ features: FEATURES, jid: `a@example.org/${resource}` }).client('<presence/>');
      next.toServer('<presence/>').commands('load undelivered').loaded().sendsOnly();
      next.toClient(new RegExp(`^${delayed(1)}$`)).done();
    }
  });

  test('a session that began while the other was held gets what is stored only now', () => {
    const held = resumable().lost('client').commands('destroy client');
    const next = new Playbook({ with: held, hold: { seconds: 300 } }).bound({
      features: FEATURES,
      jid: 'a@example.org/new',
    });
    next.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    held.server(message(1)).passes(301).commands('store hold +');
    // What the server gives from now on is later than what is being put away.
    next.commands('pause server');
    held.stored();
    next.commands();
    isOver(held.toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`));
    next.commands('load undelivered').loaded();
    next
      .toClient(new RegExp(`^${delayed(1)}$`))
      .commands('store delivered -')
      .done();
  });

  test('too much waits: superseded presences go first, then the hold ends early', () => {
    const held = resumable({ hold: { stanzas: 3 } })
      .lost('client')
      .commands('destroy client');
    const presence = (show: string) => `<presence from='b@example.net/x'><show>${show}</show></presence>`;
    held
      .server(presence('away') + message(1) + presence('dnd') + presence('xa'))
      .counts('hold presence-superseded', 2);
    held.server(message(2)).server(message(3)).commands('store hold +++').counts('hold hold-full', 1);
    held.stored().toServer(`<a xmlns='${SM}' h='6'/></stream:stream>`).done();
  });
});

test('too many bytes wait: the hold ends early, and the messages are in the store', () => {
  const held = resumable({ hold: { bytes: 2 * message(1).length } }).lost('client');
  held.server(message(1)).server(message(2)).commands('destroy client').counts('hold hold-full', 0);
  held.server(message(3)).commands('store hold +++').counts('hold hold-full', 1).stored();
  held.toServer(`<a xmlns='${SM}' h='3'/></stream:stream>`).done();
  expect(held.inStore.size).toBe(3);
});

test('the hold ends: iqs are answered with an error, answers are not', () => {
  const held = resumable().lost('client').commands('destroy client');
  for (const type of ['get', 'set', 'result', 'error'])
    held.server(
      `<iq type='${type}' id='${type}' from='b@example.net/x'><query xmlns='jabber:iq:version'/></iq>`,
    );
  held
    .passes(301)
    .toServer(
      /^(<iq type='error' id='[gs]et' to='b@example.net\/x'>.*?service-unavailable.*?<\/iq>){2}<a [^>]* h='4'\/><\/stream:stream>$/,
    );
  held.server('</stream:stream>').commands('end server').done();
});

describe('the client binds the resource anew', () => {
  const WANTED =
    "<iq type='set' id='b2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>";

  test('the held session ends first, in order, and what was missed comes behind the first presence', () => {
    const held = resumable().lost('client').commands('destroy client').server(message(1));
    const again = new Playbook({ with: held, hold: { seconds: 300 } }).authenticated(FEATURES);
    again.client(WANTED).commands('pause client');
    held.commands('store hold +').stored().toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`);
    held.server('</stream:stream>').commands('end server').finishes('hold-replaced').done();
    const result = `<iq type='result' id='b2'>${BIND_RESULT}</iq>`;
    again.toServer(WANTED).commands('resume client').server(result).toClient(result);
    again.client('<presence/>').toServer('<presence/>').commands('load undelivered');
    again
      .loaded()
      .toClient(new RegExp(`^${delayed(1)}$`))
      .commands('store delivered -')
      .done();
  });

  test('one that is just ending is waited for too', () => {
    const held = resumable().lost('client').commands('destroy client').server(message(1));
    held.passes(301).commands('store hold +');
    const again = new Playbook({ with: held, hold: { seconds: 300 } }).authenticated(FEATURES);
    again.client(WANTED).commands('pause client');
    held.stored().toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`).server('</stream:stream>');
    held.commands('end server').done();
    again.toServer(WANTED).commands('resume client').done();
  });

  test('so does one whose connection still looks alive', () => {
    const held = resumable();
    const again = new Playbook({ with: held, hold: { seconds: 300 } }).authenticated(FEATURES);
    again.client(WANTED).commands('pause client');
    held
      .toClient(/^<stream:error><conflict /)
      .toServer('</stream:stream>')
      .commands('end client');
    held.server('</stream:stream>').commands('end server').done();
    again.toServer(WANTED).commands('resume client').done();
  });

  /** A tablet that wants messages, while a phone that has missed one is held; the phone's resource is then bound anew. */
  const boundAnew = () => {
    const phone = resumable().lost('client').sendsOnly();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet', ids: ['tablet-id'] });
    tablet.client('<presence/>').toServer('<presence/>').loaded().sendsOnly();
    phone.server(message(1));
    const again = new Playbook({ with: phone, hold: { seconds: 300 }, ids: ['again'] });
    again.authenticated(FEATURES).client(WANTED).sendsOnly();
    phone.sendsOnly().stored();
    isOver(phone.toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`)).done();
    const result = `<iq type='result' id='b2'>${BIND_RESULT}</iq>`;
    again.toServer(WANTED).server(result).toClient(result).sendsOnly();
    // It would come behind what the tablet has had meanwhile.
    tablet.storeSettles().toClient('').sendsOnly();
    return { tablet, again };
  };

  test('what was missed is for the session that takes its place, and not for one that began meanwhile', () => {
    const { tablet, again } = boundAnew();
    again.client('<presence/>').toServer('<presence/>').loaded();
    again
      .toClient(new RegExp(`^${delayed(1)}$`))
      .stored()
      .sendsOnly();
    tablet.storeSettles().toClient('').sendsOnly();
    expect(tablet.inStore.size).toBe(0);
  });

  test('but one that wants nothing leaves it to that', () => {
    const { tablet, again } = boundAnew();
    const none = '<presence><priority>-1</priority></presence>';
    again.client(none).toServer(none).done();
    tablet
      .storeSettles()
      .toClient(new RegExp(`^${delayed(1)}$`))
      .sendsOnly();
  });

  test('and one that never comes does so for half a minute', () => {
    const { tablet } = boundAnew();
    const other = new Playbook({ with: tablet, hold: { seconds: 300 } }).at(tablet.now + 31_000);
    other.bound({ features: FEATURES, jid: 'a@example.org/other' }).client('<presence/>').loaded();
    other.toServer('<presence/>').sendsOnly();
    other.toClient(new RegExp(`^${delayed(1)}$`));
  });

  test('two held sessions never answer for one resource', () => {
    const ping = (id: string) =>
      `<iq type='get' id='${id}' from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>`;
    const former = resumable().lost('client').commands('destroy client');
    former.server(ping('p1')).toServer("<iq type='result' id='p1' to='example.org'/>");
    const again = new Playbook({ with: former, hold: { seconds: 300 }, ids: ['second'] }).authenticated(
      FEATURES,
    );
    again.client(WANTED).commands('pause client');
    // Before the server is asked for the resource, the one that had it has ended.
    former.toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`).server(`${ping('p2')}</stream:stream>`);
    former.commands('end server').finishes('hold-replaced').done();
    again.toServer(WANTED).commands('resume client').server(`<iq type='result' id='b2'>${BIND_RESULT}</iq>`);
    again.takeSent('client');
    again
      .client(ENABLE)
      .toClient(/<enabled /)
      .lost('client')
      .commands('destroy client');
    again.server(ping('p3')).toServer("<iq type='result' id='p3' to='example.org'/>");
    expect(again.session.domain.holds.size).toBe(1);
    again.done();
  });

  test('that of somebody else stays, however his resource is called', () => {
    const held = resumable({ jid: 'b@example.org/r' }).lost('client').commands('destroy client');
    new Playbook({ with: held, hold: { seconds: 300 } })
      .authenticated(FEATURES)
      .client(WANTED)
      .toServer(WANTED)
      .done();
    held.done();
  });
});

describe('RFC 5802 §7, RFC 4616 §2: the name in a first message', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64');

  test.each([
    ['SCRAM-SHA-1', 'n,,n=juliet,r=abc', 'juliet'],
    ['SCRAM-SHA-256-PLUS', 'p=tls-server-end-point,,n=juliet,r=abc', 'juliet'],
    ['SCRAM-SHA-1', 'y,a=nurse,n=ju=2Cli=3Det,r=abc', 'ju,li=et'],
    ['PLAIN', '\0juliet\0secret', 'juliet'],
    ['PLAIN', 'nurse\0juliet\0secret', 'juliet'],
    ['PLAIN', 'juliet', undefined],
    ['PLAIN', '\0\0secret', undefined],
    ['SCRAM-SHA-1', 'n,,r=abc', undefined],
    ['EXTERNAL', 'juliet', undefined],
    // What another parser could read in another way.
    ['SCRAM-SHA-1', 'n,,n=victim,n=mallory,r=abc', undefined],
    ['SCRAM-SHA-1', 'n,,m=x,n=victim,r=abc', undefined],
    ['SCRAM-SHA-1', 'n,,n=a=41b,r=abc', undefined],
    ['PLAIN', '\0é\0secret', 'é'],
  ])('%s %j', (mechanism, message, name) => {
    expect(claimedName(mechanism, base64(message))).toBe(name);
  });

  test.each([
    ['padding in the middle', `${base64('n,,n=mallory,r=')}=${base64('n,,n=victim,r=a')}`],
    ['a character that is none', ` ${base64('n,,n=victim,r=abc')}`],
    ['a length that is none', base64('n,,n=victim,r=abcde').replace(/=+$/, '')],
  ])('base64 with %s has no name', (_, initial) => {
    expect(claimedName('SCRAM-SHA-1', initial)).toBeUndefined();
  });
});

describe('the server ends the stream of a session that is held', () => {
  const CONFLICT =
    "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";

  /** The same resource has been bound by the client that was waited for. */
  const replaced = () => {
    const held = resumable().lost('client').commands('destroy client').server(message(1));
    const next = new Playbook({ with: held, hold: { seconds: 300 } }).bound({ features: FEATURES });
    held.server(CONFLICT).toServer('</stream:stream>').commands('end server', 'store hold +');
    next.client('<presence/>').toServer('<presence/>').commands('pause server');
    return { held, next };
  };

  test('what was for its client comes to the one that took its place', () => {
    const { held, next } = replaced();
    held.stored().finishes('server-error').done();
    next.commands('load undelivered').loaded();
    next
      .toClient(new RegExp(`^${delayed(1)}$`))
      .commands('store delivered -')
      .done();
  });

  test('once, when the server delivers it too: before', () => {
    const { held, next } = replaced();
    next.server(message(1)).toClient(message(1)).commands('store delivered -');
    held.stored().sendsOnly().done();
    next.stored().commands('load undelivered').loaded().done();
    expect(next.inStore.size).toBe(0);
  });

  test('and behind; but what merely looks like it comes through', () => {
    const { held, next } = replaced();
    held.stored().sendsOnly().done();
    next.commands('load undelivered').loaded();
    next.toClient(new RegExp(`^${delayed(1)}$`)).commands('store delivered -');
    next.server(message(1)).counts('stanza_dropped delivered-before', 1);
    next.server(message(1)).toClient(message(1)).done();
  });
});

describe('the server leg breaks', () => {
  test('on a server that can resume: the client is cut and resumes on a leg that resumes the server’s stream', () => {
    const held = resumable()
      .client("<message id='u1'/>")
      .toServer("<message id='u1'/>")
      .client("<message id='u2'/>")
      .toServer("<message id='u2'/>")
      .server(message(1) + message(2))
      .toClient(message(1) + message(2))
      .client(`<a xmlns='${SM}' h='1'/>`)
      .toServer(`<a xmlns='${SM}' h='1'/>`);
    held.lost('server').commands('destroy server', 'destroy client');
    const back = comesBack(held, 2).toServer(`<resume xmlns='${SM}' previd='server-id' h='1'/>`);
    // The server had handled the first of the client's two, and sends again what we had not confirmed.
    back
      .server(`<resumed xmlns='${SM}' previd='server-id' h='1'/>${message(2)}${message(3)}`)
      .commands('handOver server', 'handOver client');
    held
      .toClient(`<resumed xmlns='${SM}' previd='${ID}' h='1'/>${message(3)}`)
      .commands('resume client')
      .toServer(`<a xmlns='${SM}' h='2'/>`)
      .client("<message id='u2'/>")
      .toServer("<message id='u2'/>")
      .server(`<r xmlns='${SM}'/>`)
      .toServer(`<a xmlns='${SM}' h='2'/>`)
      .toClient(`<r xmlns='${SM}'/>`)
      .client(`<a xmlns='${SM}' h='3'/>`)
      .toServer(`<a xmlns='${SM}' h='3'/>`)
      .done();
    back.finishes('resumed').done();
  });

  test('the server has forgotten: the client is told how much was handled and binds anew', () => {
    const held = resumable().lost('server').commands('destroy server', 'destroy client');
    const back = comesBack(held).toServer(`<resume xmlns='${SM}' previd='server-id' h='0'/>`);
    back
      .server(`<failed xmlns='${SM}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`)
      .toClient(
        `<failed xmlns='${SM}' h='0'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`,
      )
      .commands('resume client')
      .done();
    held.finishes('hold-server-lost').done();
  });

  const LEG = `<resume xmlns='${SM}' previd='server-id' h='0'/>`;
  const AGREED = `<resumed xmlns='${SM}' previd='server-id' h='0'/>`;
  const REATTACHED = `<resumed xmlns='${SM}' previd='${ID}' h='0'/>`;

  test('the newcomer breaks off while the server is asked: what it resumes is held, and the next one gets it', () => {
    const held = resumable().lost('server').commands('destroy server', 'destroy client');
    const first = comesBack(held).toServer(LEG).lost('client').commands('destroy client');
    // Ended there, the stream would be over; asked for on another leg as well, ejabberd may give it to neither.
    first
      .server(AGREED + message(1))
      .commands('handOver server')
      .finishes('client-reset')
      .done();
    const second = comesBack(held).toServer(PROBE).server(boundAs('a@example.org/probe'));
    second.commands('handOver client').toServer('</stream:stream>').done();
    held
      .toClient(new RegExp(`^${REATTACHED}${delayed(1)}$`))
      .commands('resume client')
      .done();
  });

  test('and the server says no: that is the end of both', () => {
    const held = resumable().lost('server').commands('destroy server', 'destroy client');
    const first = comesBack(held).toServer(LEG).lost('client').commands('destroy client');
    first
      .server(`<failed xmlns='${SM}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`)
      .toServer('</stream:stream>')
      .done();
    held.finishes('hold-server-lost').done();
  });

  test('and the server says nothing: the leg is given up, and the next one asks', () => {
    const held = resumable().lost('server').commands('destroy server', 'destroy client');
    const first = comesBack(held).toServer(LEG).lost('client').commands('destroy client');
    const second = comesBack(held);
    first.passes(6).commands('destroy server').finishes('client-reset').done();
    second.toServer(LEG).server(AGREED).commands('handOver server', 'handOver client').done();
    held.toClient(REATTACHED).commands('resume client').done();
  });

  test('the client asks on two connections before the server has answered: it is asked once, and the last one has it', () => {
    const held = resumable().lost('server').commands('destroy server', 'destroy client');
    const first = comesBack(held).toServer(LEG);
    const second = comesBack(held);
    first.server(AGREED).commands('handOver server', 'handOver client').done();
    held.toClient(REATTACHED).commands('resume client');
    // Who it is has to be proved by each.
    second.toServer(PROBE).server(boundAs('a@example.org/probe'));
    second.commands('handOver client').toServer('</stream:stream>').done();
    held
      .toClient(new RegExp(`^<stream:error><conflict .*</stream:stream>${REATTACHED}$`))
      .commands('end client', 'resume client')
      .done();
  });

  test('the session ends while the server is asked: the client is told', () => {
    const held = resumable().lost('server').commands('destroy server', 'destroy client');
    const back = comesBack(held).toServer(LEG);
    held.passes(301).finishes('hold-expired').done();
    back
      .server(AGREED)
      .toClient(/<system-shutdown /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
  });

  test('on a server that cannot: the client is told', () => {
    resumable({ serverSm: false })
      .lost('server')
      .toClient(/<system-shutdown /)
      .commands('destroy server', 'end client')
      .done();
  });

  test('but first it is asked what it has, and the rest is kept', () => {
    const play = resumable({ serverSm: false })
      .server(message(1) + message(2))
      .toClient(message(1) + message(2));
    play.lost('server').commands('destroy server').toClient(`<r xmlns='${SM}'/>`);
    // Nobody takes this any more: it is not acknowledged.
    play.client("<message id='lost'/>");
    play
      .client(`<a xmlns='${SM}' h='1'/>`)
      .passes(2.1)
      .commands('end client', 'store hold +')
      .toClient(/^<stream:error><system-shutdown /)
      .stored()
      .finishes('hold-server-lost')
      .done();
    const next = new Playbook({ with: play, hold: { seconds: 300 } }).bound({ features: FEATURES });
    next.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    next
      .toClient(new RegExp(`^${delayed(2)}$`))
      .commands('store delivered -')
      .done();
  });

  test('and told at once when it has all', () => {
    const play = resumable({ serverSm: false }).server(message(1)).toClient(message(1));
    play.lost('server').commands('destroy server').toClient(`<r xmlns='${SM}'/>`);
    play
      .client(`<a xmlns='${SM}' h='1'/>`)
      .toClient(/^<stream:error><system-shutdown /)
      .commands('end client')
      .done();
  });

  test('it breaks off instead of answering', () => {
    const play = resumable({ serverSm: false }).server(message(1)).toClient(message(1));
    play.shutdown().toClient(`<r xmlns='${SM}'/>`);
    play
      .lost('client')
      .commands('destroy client', 'store hold +')
      .stored()
      .toServer('</stream:stream>')
      .done();
  });

  test('while the session is held on such a server: what was for the client is kept', () => {
    resumable({ serverSm: false })
      .lost('client')
      .commands('destroy client')
      .server(message(1))
      .commands('store secured +')
      .stored()
      .lost('server')
      .commands('destroy server', 'store hold +')
      .stored()
      .finishes('hold-server-lost')
      .done();
  });
});

describe('a session that is held on a server without stream management: the server has forgotten what it has sent', () => {
  /** One message was sent to the client and not acknowledged, one came behind that. */
  const held = () => {
    const play = resumable({ serverSm: false }).server(message(1)).toClient(message(1)).lost('client');
    play.commands('destroy client', 'store secured +').stored();
    return play.server(message(2)).commands('store secured +').stored();
  };

  test('kill -9: the next process gives it to the account’s next session', () => {
    const killed = held();
    const next = new Playbook({ store: killed, hold: { seconds: 300 } }).bound({ features: FEATURES });
    next.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    next
      .toClient(new RegExp(`^${delayed(1)}${delayed(2)}$`))
      .commands('store delivered --')
      .done();
    killed.done();
  });

  test('the client comes back: it has it from us, nobody else has it from the store, and it is taken out of there', () => {
    const play = held();
    const other = new Playbook({ with: play, hold: { seconds: 300 } });
    other.bound({ features: FEATURES, jid: 'a@example.org/other' }).client('<presence/>');
    other.toServer('<presence/>').commands('load undelivered').loaded().done();
    const back = comesBack(play, 1);
    back.toServer(PROBE).server(boundAs('a@example.org/r-2'));
    play.commands('store delivered -').stored().sendsOnly();
    back.sendsOnly().toServer('</stream:stream>');
    expect(play.takeSent('client')).toMatch(new RegExp(`^<resumed [^>]*/>${delayed(2)}$`));
    play.client(`<a xmlns='${SM}' h='2'/>`).commands('store delivered -').stored().done();
    expect(play.inStore.size).toBe(0);
  });

  test('it does not come back: once, and not to a device that has had it meanwhile', () => {
    const play = held();
    const tablet = new Playbook({ with: play, hold: { seconds: 300 } }).at(play.now);
    tablet.bound({ features: FEATURES, jid: 'a@example.org/tablet' }).server(message(2)).toClient(message(2));
    isOver(play.passes(301).commands('store hold ++').stored().toServer('</stream:stream>'));
    expect(play.inStore.size).toBe(2);
    const again = new Playbook({ with: play, hold: { seconds: 300 } }).at(play.now);
    again
      .bound({ features: FEATURES, jid: 'a@example.org/tablet' })
      .client('<presence/>')
      .toServer('<presence/>');
    again
      .commands('load undelivered')
      .loaded()
      .toClient(new RegExp(`^${delayed(1)}$`));
    again.commands('store delivered -').stored();
    tablet.sendsOnly().takeSent('client');
    expect(again.inStore.size).toBe(1);
  });
});

describe('the proxy is stopped and another one is started', () => {
  /** The store is all that the two have in common. */
  const afterRestart = (former: Playbook, h: number) =>
    new Playbook({ store: former, hold: { seconds: 300 } })
      .authenticated(FEATURES + SM_FEATURE)
      .client(`<resume xmlns='${SM}' previd='${ID}' h='${h}'/>`)
      .sendsOnly();

  const suspended = () =>
    resumable()
      .client("<message id='u1'/><message id='u2'/>")
      .toServer("<message id='u1'/><message id='u2'/>")
      .server(message(1) + message(2) + message(3))
      .toClient(message(1) + message(2) + message(3))
      .client(`<a xmlns='${SM}' h='1'/>`)
      .toServer(`<a xmlns='${SM}' h='1'/>`)
      .shutdown()
      .commands('store suspend +')
      // What comes now is in nobody's account: both sides will send it again.
      .server(message(4))
      .client("<message id='u3'/>")
      .stored()
      .commands('destroy client', 'destroy server')
      .finishes('suspended');

  test('the session is resumed on the server, and what nobody had confirmed is sent again by whom it belongs to', () => {
    const before = suspended();
    before.done();
    // The client had handled two, which the proxy had not heard of: the server is told.
    const next = afterRestart(before, 2)
      .loaded()
      .commands('store suspended-taken -')
      .toServer(`<resume xmlns='${SM}' previd='server-id' h='2'/>`)
      .stored();
    next
      .server(`<resumed xmlns='${SM}' previd='server-id' h='1'/>${message(3)}${message(4)}`)
      .toClient(`<resumed xmlns='${SM}' previd='${ID}' h='1'/>${message(3)}${message(4)}`)
      .commands('resume client')
      .client("<message id='u2'/><message id='u3'/>")
      .toServer("<message id='u2'/><message id='u3'/>")
      .client(`<a xmlns='${SM}' h='4'/>`)
      .toServer(`<a xmlns='${SM}' h='4'/>`)
      .client(`<r xmlns='${SM}'/>`)
      .toClient(`<a xmlns='${SM}' h='1'/>`)
      .toServer(`<r xmlns='${SM}'/>`)
      .server(`<a xmlns='${SM}' h='3'/>`)
      .toClient(`<a xmlns='${SM}' h='3'/>`)
      .counts('hold restored', 1);
    expect(next.inStore.size).toBe(0);
    // And it can break and be resumed again.
    next.lost('client').commands('destroy client').counts('hold held', 1).done();
  });

  test('the server has forgotten it: item-not-found with what had been handled, and binding goes on', () => {
    const before = suspended();
    before.done();
    afterRestart(before, 2)
      .loaded()
      .commands('store suspended-taken -')
      .toServer(`<resume xmlns='${SM}' previd='server-id' h='2'/>`)
      .server(`<failed xmlns='${SM}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`)
      .toClient(
        `<failed xmlns='${SM}' h='0'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`,
      )
      .commands('resume client')
      .done();
  });

  test('the client breaks off while the server is asked: it can come back once more', () => {
    const before = suspended();
    before.done();
    const first = afterRestart(before, 2).loaded().commands('store suspended-taken -').stored();
    first
      .toServer(`<resume xmlns='${SM}' previd='server-id' h='2'/>`)
      .lost('client')
      // Its stream would end what the server has resumed on it.
      .commands('destroy client', 'store suspended-kept +', 'destroy server')
      .stored()
      .done();
    afterRestart(before, 2)
      .loaded()
      .commands('store suspended-taken -')
      .toServer(`<resume xmlns='${SM}' previd='server-id' h='2'/>`)
      .server(`<resumed xmlns='${SM}' previd='server-id' h='2'/>`)
      .toClient(`<resumed xmlns='${SM}' previd='${ID}' h='2'/>`)
      .commands('resume client')
      .done();
  });

  test('too late: the server is not even asked', () => {
    const before = suspended();
    before.done();
    afterRestart(before, 2)
      .at(700_000)
      .loaded()
      .sendsOnly()
      .toClient(/^<failed /)
      .done();
  });

  test('the id is not in the store', () => {
    const before = suspended();
    before.done();
    for (const [key, value] of before.inStore) expect(`${key} ${value}`).not.toContain(ID);
  });

  test('nor is it there with what a session leaves behind', () => {
    const held = resumable().server(message(1)).toClient(message(1)).lost('client');
    held.passes(301).sendsOnly().stored().takeSent('server');
    expect(held.inStore.size).toBe(1);
    for (const [key, value] of held.inStore) expect(`${key} ${value}`).not.toContain(ID);
  });

  test('a server that does not keep its half: the client is told, and what was held is put away', () => {
    resumable({ serverSm: false })
      .shutdown()
      .toClient(/<system-shutdown /)
      .toServer('</stream:stream>')
      .commands('end client')
      .done();
    resumable({ serverSm: false })
      .lost('client')
      .commands('destroy client')
      .server(message(1))
      .commands('store secured +')
      .stored()
      .shutdown()
      .commands('store hold +')
      .stored()
      .toServer('</stream:stream>')
      .done();
  });
});

describe('a client that ends its stream', () => {
  test('is not waited for', () => {
    const ended = resumable().client('</stream:stream>').toServer('</stream:stream>');
    new Playbook({ with: ended, hold: { seconds: 300 } })
      .client(HEADER)
      .commands('connect example.org', 'pause client')
      .connected()
      .toServer(HEADER)
      .server(`${SERVER_HEADER}<stream:features/>`)
      .sendsOnly()
      .takeSent('client');
    expect(ended.session.domain.holds.size).toBe(0);
  });
});
