import { describe, expect, test } from 'vitest';
import { type Feature, type FeatureContext, PASS } from '../../../src/session/feature.js';
import { Playbook } from './playbook.js';
import { delayed, FEATURES, message, resumable, SM } from './resumable.js';

/** A feature that needs the server leg for a minute when the client has gone. */
class Needy {
  context!: FeatureContext;
  readonly seen: string[] = [];
  readonly feature: Feature = {
    name: 'needy',
    watches: [
      { direction: 'to-server', stanza: 'presence' },
      { direction: 'to-client', stanza: 'message', types: ['groupchat'] },
    ],
    open: (context) => {
      this.context = context;
      return {
        onStanza: ({ direction, frame }) => {
          this.seen.push(`${direction} ${frame.type ?? 'available'}`);
          return direction === 'to-client' ? { action: 'handled', reason: 'test-dropped' } : PASS;
        },
        needsServer: (now) => now + 60_000,
      };
    },
  };
}

const GROUPCHAT = "<message type='groupchat' from='room@muc.example.org/nick'><body>x</body></message>";
const GOODBYE = "<presence type='unavailable'/>";

/** The client has ended its stream in order. */
function alone(needy: Needy): Playbook {
  const play = new Playbook({ features: [needy.feature] }).bound();
  play.client('</stream:stream>').toClient('</stream:stream>').toServer(GOODBYE);
  play.takeSent('client');
  return play.sendsOnly();
}

test('a server leg that a feature needs stays when the client has gone, and the server hears that it is unavailable', () => {
  const needy = new Needy();
  alone(needy).server(GROUPCHAT).sendsOnly();
  expect(needy.seen).toEqual(['to-server unavailable', 'to-client groupchat']);
});

test('the same when the client is lost', () => {
  const needy = new Needy();
  new Playbook({ features: [needy.feature] }).bound().lost('client').toServer(GOODBYE).sendsOnly();
  expect(needy.seen).toEqual(['to-server unavailable']);
});

test('who asks the resource that has gone is told that it is not there', () => {
  alone(new Needy())
    .server("<iq type='get' id='v' from='bob@example.org/x'><query xmlns='jabber:iq:version'/></iq>")
    .toServer(/^<iq type='error' id='v' to='bob@example\.org\/x'>.*service-unavailable/)
    .sendsOnly();
});

test('a message for it is kept for the account, and what features send it goes nowhere', () => {
  const needy = new Needy();
  const play = alone(needy);
  play.server("<message type='chat' id='m' from='bob@example.org/x'><body>hello</body></message>");
  play.commands('store feature 1 +').stored();
  needy.context.send('client', GROUPCHAT, 'test-injected');
  play.server(GROUPCHAT).sendsOnly();
});

test('what has been written to a client without stream management features know before they say what they need', () => {
  const received: string[] = [];
  let known: string[] | undefined;
  const feature: Feature = {
    name: 'needy',
    watches: [{ direction: 'to-client', stanza: 'message' }],
    open: (context) => ({
      onStanza: () => {
        context.whenReceived('hello', false);
        return PASS;
      },
      onReceived: (tokens) => received.push(...tokens),
      needsServer: (now) => {
        known ??= [...received];
        return now + 60_000;
      },
    }),
  };
  const hello = message(1);
  const play = new Playbook({ features: [feature] }).bound().server(hello).toClient(hello);
  play.client('</stream:stream>').toClient('</stream:stream>').toServer(GOODBYE).commands('end client');
  expect(known).toEqual(['hello']);
});

test('to the server it is acknowledged when it is in the store, and not before', () => {
  const play = new Playbook({ features: [new Needy().feature] }).bound({ sm: true });
  play.client('</stream:stream>').sendsOnly().takeSent('client');
  play.takeSent('server');
  const asks = `<r xmlns='${SM}'/>`;
  play.server(message(1)).server(asks).toServer(`<a xmlns='${SM}' h='0'/>`);
  play.commands('store feature 1 +').stored().toServer(`<a xmlns='${SM}' h='1'/>`);
  // What is nothing to keep keeps nothing back.
  play.server("<message type='error' from='bob@example.org/x'/>").server(asks);
  play.toServer(`<a xmlns='${SM}' h='2'/>`).done();
  const failing = new Playbook({ features: [new Needy().feature] }).bound({ sm: true });
  failing.client('</stream:stream>').sendsOnly().takeSent('client');
  failing.takeSent('server');
  failing.server(message(1)).server(asks).toServer(`<a xmlns='${SM}' h='0'/>`).stored(false).sendsOnly();
  failing.server(asks).toServer(`<a xmlns='${SM}' h='0'/>`).done();
});

test('it ends when its time is over, and when the feature needs it no longer', () => {
  alone(new Needy()).passes(61).toServer('</stream:stream>');
  const needy = new Needy();
  const play = alone(needy);
  needy.context.endKept();
  play.server(GROUPCHAT).toServer('</stream:stream>');
});

test('it ends when what it keeps is in the store, and not before: whoever wants that is told by it', () => {
  for (const ok of [true, false]) {
    const needy = new Needy();
    const play = alone(needy);
    needy.context.keepForAccount('a@example.org', message(1));
    needy.context.endKept();
    play.server(GROUPCHAT).commands('store feature 1 +').sendsOnly().stored(ok).toServer('</stream:stream>');
  }
});

test('what a feature keeps is for a client too that has come before it was kept', () => {
  const needy = new Needy();
  const kept = resumable({ features: [needy.feature] });
  kept.client('</stream:stream>').toClient('</stream:stream>').toServer(GOODBYE).takeSent('client');
  kept.sendsOnly();
  const { context } = needy;
  const next = new Playbook({ with: kept, hold: { seconds: 300 } }).at(kept.now);
  next.bound({ features: FEATURES, jid: 'a@example.org/s' }).client('<presence/>').toServer('<presence/>');
  next.commands('load undelivered').loaded().sendsOnly();
  kept.passes(1).server(GROUPCHAT).sendsOnly();
  context.keepForAccount('a@example.org', message(1));
  kept.server(GROUPCHAT).commands('store feature 1 +').stored();
  next
    .commands('load undelivered')
    .loaded()
    .toClient(new RegExp(`^${delayed(1)}$`))
    .commands('store delivered -')
    .done();
});

test('it ends when the proxy is stopped', () => {
  alone(new Needy()).shutdown().toServer('</stream:stream>');
});

test('without such a feature the stream ends with the client', () => {
  new Playbook().bound().client('</stream:stream>').toServer('</stream:stream>');
});

describe('what the client has not acknowledged', () => {
  /** A client that may resume has been sent a message and has not acknowledged it. */
  const unacknowledged = (serverSm: boolean) => {
    const play = resumable({ serverSm, features: [new Needy().feature] });
    return play.server(message(1)).toClient(message(1));
  };
  /** It is for the account's next session. */
  const isThere = (former: Playbook, ...messages: number[]) => {
    const next = new Playbook({ with: former, hold: { seconds: 300 } }).at(former.now);
    next.bound({ features: FEATURES, jid: 'a@example.org/s' }).client('<presence/>').toServer('<presence/>');
    next.commands('load undelivered').loaded();
    next.toClient(new RegExp(`^${messages.map(delayed).join('')}$`));
    next.commands(`store delivered ${'-'.repeat(messages.length)}`).done();
  };
  const safe = (serverSm: boolean, h: number) => (serverSm ? `<a xmlns='${SM}' h='${h}'/>` : '');

  test.each([true, false])(
    'is kept when it ends its stream, before the server hears of it (%s)',
    (serverSm) => {
      const kept = unacknowledged(serverSm).client('</stream:stream>').toClient('</stream:stream>');
      kept.commands('store hold +', 'end client').sendsOnly();
      kept
        .stored()
        .toServer(safe(serverSm, 1) + GOODBYE)
        .done();
      isThere(kept, 1);
    },
  );

  test.each([true, false])('is kept when it has disappeared and does not come back (%s)', (serverSm) => {
    const kept = unacknowledged(serverSm).lost('client');
    if (!serverSm) kept.commands('destroy client', 'store secured +').stored();
    kept.sendsOnly().passes(301).commands('store hold +').sendsOnly();
    kept
      .stored()
      .toServer(safe(serverSm, 1) + GOODBYE)
      .done();
    isThere(kept, 1);
  });

  test('what comes while that is being stored is kept too', () => {
    const kept = unacknowledged(true).client('</stream:stream>').toClient('</stream:stream>');
    kept.commands('store hold +', 'end client');
    kept.server(message(2)).stored().toServer(safe(true, 1)).commands('store hold +');
    kept
      .stored()
      .toServer(safe(true, 2) + GOODBYE)
      .done();
    isThere(kept, 1, 2);
  });
});

test('one that stays ends when its account binds the same resource again', () => {
  const needy = new Needy();
  const kept = resumable({ features: [needy.feature] });
  kept.client('</stream:stream>').toClient('</stream:stream>').toServer(GOODBYE);
  kept.takeSent('client');
  kept.sendsOnly();
  const next = new Playbook({ with: kept, hold: { seconds: 300 } }).at(kept.now).authenticated(FEATURES);
  const wanted =
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>";
  next.client(wanted).commands('pause client');
  kept.toServer('</stream:stream>').server('</stream:stream>').commands('end server').sendsOnly();
  next.toServer(wanted).commands('resume client').done();
});
