import { describe, expect, test } from 'vitest';
import type { Feature } from '../../../src/session/feature.js';
import { Playbook } from './playbook.js';
import {
  BIND_RESULT,
  delayed,
  FEATURES,
  ID,
  isOver,
  message,
  resumable,
  SM,
  SM_FEATURE,
} from './resumable.js';

/** The account's next session, which wants messages. */
function next(former: Playbook, jid = 'a@example.org/r'): Playbook {
  const play = new Playbook({ with: former, hold: { seconds: 300 } }).at(former.now);
  play.bound({ features: FEATURES, jid }).client('<presence/>').toServer('<presence/>');
  return play.commands('load undelivered').loaded();
}

const gets = (play: Playbook, ...messages: number[]) =>
  play
    .toClient(new RegExp(`^${messages.map(delayed).join('')}$`))
    .commands(`store delivered ${'-'.repeat(messages.length)}`)
    .done();

describe('a client that may resume ends its stream', () => {
  test('what it has not acknowledged is kept for the next session, and only then the server’s stream ends', () => {
    const ended = resumable().server(message(1)).toClient(message(1)).client('</stream:stream>');
    ended.commands('store hold +').stored().toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`);
    ended.server('</stream:stream>').toClient('</stream:stream>').commands('end server', 'end client');
    ended.finishes('client-closed').done();
    gets(next(ended), 1);
  });

  test('what the server sends before it knows is kept too: a server without stream management thinks it delivered', () => {
    const ended = resumable({ serverSm: false }).client('</stream:stream>').toServer('</stream:stream>');
    ended.server(message(1)).server(`${message(2)}</stream:stream>`);
    ended.toClient('</stream:stream>').commands('end server', 'store hold ++', 'end client');
    ended.stored().finishes('client-closed').done();
    const after = next(ended);
    after
      .toClient(new RegExp(`^${delayed(1)}${delayed(2)}$`))
      .commands('store delivered --')
      .done();
  });

  test('it is older than what the server keeps from the end on, however late it is read here', () => {
    const ended = resumable().at(1_000).client('</stream:stream>').toServer('</stream:stream>').at(4_000);
    ended
      .server(`${message(1)}</stream:stream>`)
      .stored()
      .sendsOnly()
      .takeSent('client');
    next(ended)
      .toClient(/<body>1<\/body><delay [^>]* stamp='2026-11-20T12:00:01\.000Z'\/>/)
      .commands('store delivered -')
      .done();
  });

  test('it is younger than what has been put away before', () => {
    const ended = resumable()
      .server(`${message(1)}${message(2)}`)
      .sendsOnly();
    ended.client('</stream:stream>').commands('store hold ++').stored().sendsOnly();
    ended
      .server(`${message(3)}</stream:stream>`)
      .stored()
      .sendsOnly();
    for (const leg of ['client', 'server'] as const) ended.takeSent(leg);
    gets(next(ended), 1, 2, 3);
  });

  test('and is kept when the server never ends its own stream', () => {
    const ended = resumable({ serverSm: false }).client('</stream:stream>').toServer('</stream:stream>');
    ended.server(message(1)).passes(6);
    ended.commands('destroy server', 'destroy client', 'store hold +').stored().done();
    gets(next(ended), 1);
  });

  test('a server with stream management may deliver it too: whichever comes second is dropped', () => {
    const ended = resumable().client('</stream:stream>').toServer('</stream:stream>');
    ended
      .server(`${message(1)}</stream:stream>`)
      .toClient('</stream:stream>')
      .stored()
      .sendsOnly()
      .done();
    const after = next(ended)
      .toClient(new RegExp(`^${delayed(1)}$`))
      .commands('store delivered -');
    after.server(message(1)).counts('stanza_dropped delivered-before', 1).done();
  });

  test('nothing is answered for it behind the end of our stream', () => {
    const ended = resumable({ serverSm: false }).client('</stream:stream>').toServer('</stream:stream>');
    ended.server("<iq type='get' id='p1' from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>").done();
  });
});

test('a client that may not go on leaves what it has not acknowledged to the next session', () => {
  const ended = resumable({ serverSm: false }).server(message(1)).toClient(message(1));
  ended.client('<message><body></message>').toClient(/^<stream:error><not-well-formed /);
  ended.commands('end client', 'store hold +').stored().toServer('</stream:stream>');
  ended.server('</stream:stream>').commands('end server').done();
  gets(next(ended), 1);
});

test('the proxy is stopped: what a server without stream management sends before it knows is kept', () => {
  const stopped = resumable({ serverSm: false }).shutdown();
  stopped
    .toClient(/^<stream:error><system-shutdown /)
    .toServer('</stream:stream>')
    .commands('end client');
  stopped
    .server(`${message(1)}</stream:stream>`)
    .commands('end server', 'store hold +')
    .stored()
    .done();
  gets(next(stopped), 1);
});

test('the server is lost, and what waits is nothing to keep: the client is told why all the same', () => {
  const lost = resumable({ serverSm: false }).server("<presence from='b@example.net/x'/>");
  lost.toClient("<presence from='b@example.net/x'/>").lost('server').commands('destroy server');
  lost
    .toClient(`<r xmlns='${SM}'/>`)
    .passes(3)
    .toClient(/^<stream:error><system-shutdown /);
  lost.commands('end client').done();
});

test('what a device was sent and has not acknowledged is no reason not to give it to that device', () => {
  const other = resumable({ jid: 'a@example.org/tablet' }).lost('client').commands('destroy client');
  const held = resumable({ with: other }).server(message(1)).toClient(message(1));
  held.lost('client').commands('destroy client').passes(301).commands('store hold +').stored();
  isOver(held.toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`));
  gets(next(held), 1);
  other.done();
});

describe('COMPAT Prosody: a copy for a session that was not resumed is kept for the account, which has had it', () => {
  const STAMP = "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-11-20T12:00:01Z'/>";

  /** A message comes to phone and tablet; the tablet ends its session. @returns its next one */
  function tabletAgain(tablet: Playbook, handled: string): Playbook {
    tablet.server(message(1)).toClient(message(1)).client(handled).sendsOnly().takeSent('server');
    tablet.client('</stream:stream>').sendsOnly().takeSent('server');
    tablet.server('</stream:stream>').sendsOnly().takeSent('client');
    const again = new Playbook({ with: tablet, hold: { seconds: 300 } }).at(tablet.now + 1_000);
    return again.bound({ features: FEATURES, jid: 'a@example.org/tablet' });
  }

  test('to the device that has had it, it does not come again', () => {
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet' });
    const again = tabletAgain(tablet, `<a xmlns='${SM}' h='1'/>`);
    again.server(message(1).replace('</message>', `${STAMP}</message>`));
    again.counts('stanza_dropped delivered-before', 1).done();
  });

  test('but it does where the client could not say that it had it', () => {
    const phone = resumable();
    const tablet = new Playbook({ with: phone, hold: { seconds: 300 } });
    tablet.bound({ features: FEATURES + SM_FEATURE, jid: 'a@example.org/tablet' });
    const again = tabletAgain(tablet, '<presence/>');
    again
      .sendsOnly()
      .server(message(1).replace('</message>', `${STAMP}</message>`))
      .toClient(/id='m1'/);
    again.done();
  });

  const kept = (xml: string, delay = STAMP) => xml.replace(/<\/message>$/, `${delay}</message>`);
  const copyFor = (device: string, n: number) => {
    const copied = message(n).replace('<message ', "<message xmlns='jabber:client' ");
    return `<message from='a@example.org' to='a@example.org/${device}' type='chat'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>${copied}</forwarded></received></message>`;
  };

  test('nor does it however long the other session was waited for: the copy says when it came', () => {
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet' });
    const again = tabletAgain(tablet, `<a xmlns='${SM}' h='1'/>`);
    const came = STAMP.replace("from='example.org'", "from='a@example.org'");
    again.server(kept(message(1), came + STAMP.replace('12:00:01', '12:05:01')));
    again.counts('stanza_dropped delivered-before', 1).done();
  });

  test('a message that was kept, and the copy of it that another session had been sent, are one', () => {
    const again = new Playbook({ hold: { seconds: 300 } }).bound({ features: FEATURES });
    again.server(kept(message(1)) + kept(copyFor('tablet', 1)) + kept(message(2)) + kept(message(1)));
    again.toClient(kept(message(1)) + kept(message(2)) + kept(message(1)));
    again.counts('stanza_dropped delivered-before', 1);
    // Of what was said twice there are two copies.
    again
      .server(kept(copyFor('tablet', 1)))
      .counts('stanza_dropped delivered-before', 2)
      .done();
    // A copy of what this session was not given is all that there is.
    again
      .server(kept(copyFor('tablet', 3)))
      .toClient(kept(copyFor('tablet', 3)))
      .done();
    // And what comes live is another one.
    again
      .server(message(4) + kept(copyFor('tablet', 2)))
      .toClient(message(4) + kept(copyFor('tablet', 2)))
      .done();
  });

  test('the copy and what this one has out of the store are one too', () => {
    const former = resumable().server(message(1)).toClient(message(1)).lost('client').sendsOnly();
    former.passes(301).stored().takeSent('server');
    const again = next(isOver(former));
    gets(again, 1);
    again
      .server(kept(copyFor('tablet', 1)))
      .counts('stanza_dropped delivered-before', 1)
      .done();
  });

  test('the copy for a device that has left it with us is not taken for what that is to have', () => {
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet', ids: ['tablet-id'] });
    tablet.server(copyFor('tablet', 1)).toClient(copyFor('tablet', 1)).lost('server').sendsOnly();
    tablet.passes(301).sendsOnly().stored().done();
    phone.sendsOnly().server(kept(copyFor('tablet', 1)));
    phone.toClient(kept(copyFor('tablet', 1))).commands();
    expect(phone.inStore.size).toBe(1);
    phone.done();
  });

  test('nor is what is said again later taken for it', () => {
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet' });
    const again = tabletAgain(tablet, `<a xmlns='${SM}' h='1'/>`);
    const later = STAMP.replace('12:00:01', '12:05:01');
    again.server(message(1).replace('</message>', `${later}</message>`)).toClient(/id='m1'/);
    again.done();
  });
});

test('a session without a server leg and with nothing to wait for makes room at once', () => {
  const wanted = `<iq type='set' id='b2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>`;
  const held = resumable().lost('server').commands('destroy server', 'destroy client');
  const again = new Playbook({ with: held, hold: { seconds: 300 } }).authenticated(FEATURES);
  again.client(wanted).toServer(wanted);
  held.finishes('hold-replaced').done();
  const result = `<iq type='result' id='b2'>${BIND_RESULT}</iq>`;
  again.server(result).toClient(result).done();
  expect(again.session.bound?.identity.full).toBe('a@example.org/r');
});

test('as long as what the client has had out of the store is still in it, nothing behind is acknowledged', () => {
  const former = resumable().server(message(1)).toClient(message(1));
  isOver(former.client('</stream:stream>').stored()).takeSent('server');
  former.takeSent('client');
  const play = resumable({ with: former }).client('<presence/>').toServer('<presence/>').loaded();
  play.toClient(new RegExp(`^${delayed(1)}$`)).sendsOnly();
  play.client(`<a xmlns='${SM}' h='1'/><message id='u1'/><r xmlns='${SM}'/>`);
  play.commands('store delivered -').toServer(`<message id='u1'/><r xmlns='${SM}'/>`);
  // Killed now, the proxy would give it to the next session too; who has read h='2' would not expect that.
  play.toClient(`<a xmlns='${SM}' h='0'/>`).server(`<a xmlns='${SM}' h='2'/>`);
  play.stored().toClient(`<a xmlns='${SM}' h='2'/>`).done();
});

test('ejabberd may have kept what is older than what we have: both come in the order of their times', () => {
  const features = `${FEATURES}<c xmlns='http://jabber.org/protocol/caps' node='http://www.process-one.net/en/ejabberd/' ver='x'/>`;
  const kept = (id: string, stamp: string) =>
    `<message from='b@example.net/x' id='${id}'><delay xmlns='urn:xmpp:delay' from='example.org' stamp='${stamp}'/></message>`;
  const [older, between] = [kept('o', '2026-11-20T12:00:30.5Z'), kept('b', '2026-11-20T12:02:30Z')];
  const begin = () => {
    const former = resumable().passes(100).server(message(1)).toClient(message(1)).passes(100);
    former
      .server(message(2))
      .toClient(message(2))
      .client('</stream:stream>')
      .commands('store hold ++')
      .stored();
    isOver(former).takeSent('server');
    former.takeSent('client');
    const play = new Playbook({ with: former, hold: { seconds: 300 } }).at(former.now);
    play.bound({ features }).client('<presence/>').toServer('<presence/>').loaded().sendsOnly();
    return play;
  };
  const play = begin();
  const [, ping] = /^<iq type='get' id='([^']*)' to='example.org'>/.exec(play.takeSent('server'))!;
  play.server(older).toClient(older);
  play
    .server(between)
    .toClient(new RegExp(`^${delayed(1)}${between}$`))
    .sendsOnly();
  play.server(`<iq type='result' id='${ping}' from='example.org'/>`).toClient(new RegExp(`^${delayed(2)}$`));
  play.commands('store delivered -').done();
  // What comes now is younger than everything.
  const other = begin();
  other.takeSent('server');
  other.server("<message id='now'/>").toClient(new RegExp(`^${delayed(1)}${delayed(2)}<message id='now'/>$`));
  other.sendsOnly().done();
});

describe('a server comes out by itself with what it was not acknowledged', () => {
  const kept = message(1).replace(
    '</message>',
    "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-11-20T12:00:01Z'/></message>",
  );

  /** The server leg is lost, the client binds anew: what waited is in the store, and the server has it too. */
  const lost = () => {
    const held = resumable().server(message(1)).toClient(message(1)).lost('server');
    held.sendsOnly().passes(301).commands('store hold +').stored().done();
    return held;
  };

  test('on another session of the account, before: it is no use in the store any more', () => {
    const held = lost();
    const tablet = new Playbook({ with: held, hold: { seconds: 300 } }).at(held.now);
    tablet.bound({ features: FEATURES, jid: 'a@example.org/tablet' });
    tablet.server(kept).toClient(kept).commands('store delivered -').stored().done();
    expect(tablet.inStore.size).toBe(0);
    next(held).done();
  });

  test('on another session of the account, behind: it is dropped', () => {
    const held = lost();
    const tablet = new Playbook({ with: held, hold: { seconds: 300 } }).at(held.now);
    tablet.bound({ features: FEATURES, jid: 'a@example.org/tablet' });
    gets(next(held), 1);
    tablet.server(kept).counts('stanza_dropped delivered-before', 1).done();
  });

  test('what was sent to several devices comes late to another: it is that one’s own, and each has it', () => {
    const held = lost();
    const tablet = new Playbook({ with: held, hold: { seconds: 300 } }).at(held.now);
    tablet.bound({ features: FEATURES, jid: 'a@example.org/tablet' });
    tablet.server(message(1)).toClient(message(1)).done();
    expect(tablet.inStore.size).toBe(1);
    gets(next(held), 1);
    tablet.server(message(1)).toClient(message(1)).done();
  });

  test('two devices have missed it: the one that is back has it once, and the other still gets it', () => {
    const phone = resumable();
    const tablet = resumable({ with: phone, jid: 'a@example.org/tablet', ids: ['tablet-id'] });
    for (const device of [phone, tablet]) {
      device.server(message(1)).toClient(message(1)).lost('server').sendsOnly();
      device.passes(301).sendsOnly().stored().done();
    }
    const back = new Playbook({ with: phone, hold: { seconds: 300 } }).at(tablet.now);
    back.bound({ features: FEATURES, jid: 'a@example.org/tablet' }).client('<presence/>').loaded();
    back.sendsOnly().takeSent('server');
    back.toClient(new RegExp(`^${delayed(1)}$`)).server(kept);
    back.counts('stanza_dropped delivered-before', 1).stored().done();
    gets(next(phone), 1);
  });

  test('a copy for another device (XEP-0280) that comes late is not the message once more: that stays for its own device', () => {
    const phone = resumable();
    const tablet = new Playbook({ with: phone, hold: { seconds: 300 } });
    tablet.bound({ features: FEATURES, jid: 'a@example.org/tablet' });
    phone.client('</stream:stream>').toServer('</stream:stream>');
    phone
      .server(`${message(1)}</stream:stream>`)
      .stored()
      .sendsOnly()
      .takeSent('client');
    const copied = message(1).replace('<message ', "<message xmlns='jabber:client' ");
    const copy = `<message from='a@example.org'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>${copied}</forwarded></received></message>`;
    tablet.server(copy).toClient(copy).done();
    next(phone, 'a@example.org/tablet').done();
    gets(next(phone), 1);
  });
});

describe('what was put away is acknowledged to the server, which may never read that', () => {
  const held = () => resumable().server(message(1)).toClient(message(1)).lost('client').sendsOnly();
  const acknowledged = () => {
    const play = held().passes(301).commands('store hold +').stored();
    return play.toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`);
  };
  const comesOnce = (play: Playbook) => {
    gets(play, 1);
    play.server(message(1)).counts('stanza_dropped delivered-before', 1).done();
  };

  test('the leg breaks before the server has ended its stream', () => {
    const broken = acknowledged().lost('server').sendsOnly();
    comesOnce(next(broken));
  });

  test('the same, and the server’s copy comes first: it is no use in the store any more', () => {
    const broken = acknowledged().lost('server').sendsOnly();
    const after = new Playbook({ with: broken, hold: { seconds: 300 } }).at(broken.now);
    after.bound({ features: FEATURES }).server(message(1)).toClient(message(1));
    after.commands('store delivered -').stored();
    after.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded().done();
  });

  test('the leg breaks while it is being stored', () => {
    const broken = held().passes(301).commands('store hold +').lost('server').stored().sendsOnly();
    broken.takeSent('server');
    comesOnce(next(broken));
  });

  test('the proxy is killed before the server has ended its stream', () => {
    const killed = acknowledged();
    const after = new Playbook({ store: killed, hold: { seconds: 300 } }).bound({ features: FEATURES });
    after.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    comesOnce(after);
    killed.done();
  });

  test('the server has ended its stream behind ours: what looks like the message is another one', () => {
    const ended = isOver(acknowledged());
    const after = next(ended);
    gets(after, 1);
    after.server(message(1)).toClient(message(1)).done();
  });

  test('its own copy, dropped because ours was first, is not acknowledged before ours: it may come once more', () => {
    const first = resumable().server(message(1)).toClient(message(1)).lost('server').sendsOnly();
    first.passes(301).commands('store hold +').stored().done();
    const second = resumable({ with: first, ids: ['second'] }).at(first.now);
    second.client('<presence/>').toServer('<presence/>').loaded().sendsOnly();
    second.toClient(new RegExp(`^${delayed(1)}$`)).server(message(1));
    second.counts('stanza_dropped delivered-before', 1).lost('server').sendsOnly();
    second.passes(301).sendsOnly().done();
    // COMPAT: ejabberd gives it to the resource as soon as that is bound anew.
    const third = new Playbook({ with: first, hold: { seconds: 300 } }).at(second.now);
    third.bound({ features: FEATURES }).server(message(1)).toClient(message(1));
    third.commands('store delivered -').stored();
    third.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded().done();
  });
});

describe('what waits for the client when the proxy is stopped is the server’s to send again', () => {
  const afterRestart = (former: Playbook, h: number) =>
    new Playbook({ store: former, hold: { seconds: 300 } })
      .authenticated(FEATURES + SM_FEATURE)
      .client(`<resume xmlns='${SM}' previd='${ID}' h='${h}'/>`)
      .sendsOnly();

  test('what it was never sent too, even if it has handled all that it was sent', () => {
    const before = resumable().server(message(1)).toClient(message(1)).lost('client').server(message(2));
    before.shutdown().stored().sendsOnly().done();
    const next = afterRestart(before, 1).loaded();
    next.toServer(`<resume xmlns='${SM}' previd='server-id' h='1'/>`).sendsOnly();
    next
      .server(`<resumed xmlns='${SM}' previd='server-id' h='0'/>${message(2)}`)
      .toClient(`<resumed xmlns='${SM}' previd='${ID}' h='0'/>${message(2)}`)
      .commands('resume client')
      .client(`<a xmlns='${SM}' h='2'/>`)
      .toServer(`<a xmlns='${SM}' h='2'/>`)
      .done();
  });

  test('but what had come out of the store comes out of it again, less what the client has handled, and before it', () => {
    const former = resumable()
      .server(message(1) + message(2))
      .toClient(message(1) + message(2));
    isOver(former.client('</stream:stream>').stored()).takeSent('server');
    former.takeSent('client');
    const before = resumable({ with: former }).client('<presence/>').toServer('<presence/>').loaded();
    before.toClient(new RegExp(`^${delayed(1)}${delayed(2)}$`));
    before.server(message(3)).toClient(message(3)).shutdown().stored().sendsOnly().done();
    const next = afterRestart(before, 1).loaded().loaded();
    next.toServer(`<resume xmlns='${SM}' previd='server-id' h='0'/>`).sendsOnly();
    next
      .server(`<resumed xmlns='${SM}' previd='server-id' h='1'/>${message(3)}`)
      .toClient(new RegExp(`^<resumed xmlns='${SM}' previd='${ID}' h='1'/>${delayed(2)}${message(3)}$`));
    next.sendsOnly().client(`<a xmlns='${SM}' h='3'/>`).toServer(`<a xmlns='${SM}' h='1'/>`);
    next.stored().stored().stored().sendsOnly().done();
    expect(next.inStore.size).toBe(0);
  });

  test('but what was made here, which the server does not have, comes out of the store', () => {
    const made = (n: number) => message(n).replace("id='m", "id='made");
    const copies: Feature = {
      name: 'copies',
      watches: [{ direction: 'to-client', stanza: 'message' }],
      open: (context) => ({
        onStanza: ({ frame }) => {
          context.send('client', made(Number(frame.id?.slice(1))), 'mucsub-event');
          return { action: 'handled', reason: 'test-dropped' };
        },
      }),
    };
    const before = resumable({ features: [copies] })
      .server(message(1) + message(2))
      .toClient(made(1) + made(2))
      .lost('client')
      .server(message(3));
    before.shutdown().stored().takeSent('server');
    before.sendsOnly().done();
    const next = afterRestart(before, 1).loaded().loaded();
    next.takeSent('server');
    next.server(`<resumed xmlns='${SM}' previd='server-id' h='0'/>`);
    const again = (n: number) => delayed(n).replace("id='m", "id='made");
    next.toClient(new RegExp(`^<resumed xmlns='${SM}' previd='${ID}' h='0'/>${again(2)}${again(3)}$`));
    next.client(`<a xmlns='${SM}' h='3'/>`).takeSent('server');
    next.stored().stored().stored().sendsOnly().done();
    expect(next.inStore.size).toBe(0);
  });
});
