import { describe, expect, test } from 'vitest';
import { Playbook } from './playbook.js';
import { BIND_RESULT, ENABLE, FEATURES, isOver, resumable, SM, SM_FEATURE } from './resumable.js';

const direct = (n: number, resource = 'r') =>
  `<message from='b@example.net/x' to='a@example.org/${resource}' id='d${n}' type='chat'><body>${n}</body></message>`;
const delayed = (n: number, resource = 'r') =>
  direct(n, resource).replace(
    '</message>',
    "<delay xmlns='urn:xmpp:delay' from='example\\.org' stamp='[^']*'/></message>",
  );
const SESSION = "<iq type='set' id='s1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
const SESSION_RESULT = "<iq type='result' id='s1'/>";
const NEXT_ID = 'another';

/** A session to whose resource two messages were sent; its client never came back. */
function missed(): Playbook {
  const held = resumable().lost('client').sendsOnly().server(direct(1)).server(direct(2));
  held.passes(301).stored().takeSent('server');
  return isOver(held);
}

/** The resource is bound anew; with `early` the server has sent something right behind that. */
function binds(former: Playbook, early = '', features = FEATURES): Playbook {
  const play = new Playbook({ with: former, hold: { seconds: 300 }, ids: [NEXT_ID] }).at(former.now);
  const wanted = "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
  play.authenticated(features).client(wanted).toServer(wanted);
  const result = `<iq type='result' id='b1'>${BIND_RESULT}</iq>`;
  return play
    .server(result + early)
    .toClient(result)
    .commands('load backlog');
}

const ENABLED = `<enabled xmlns='${SM}' id='${NEXT_ID}' resume='true' max='300'/>`;

describe('what was sent to a resource and missed comes to it before what the server sends it directly', () => {
  test('as soon as the client can acknowledge it', () => {
    const next = binds(missed(), direct(3)).loaded();
    next.server(direct(4));
    next
      .client(ENABLE)
      .toClient(new RegExp(`^${ENABLED}${delayed(1)}${delayed(2)}${direct(3)}${direct(4)}$`));
    // It stays in the store until then.
    expect(next.inStore.size).toBe(2);
    next.client(`<a xmlns='${SM}' h='4'/>`).commands('store delivered --').stored();
    expect(next.inStore.size).toBe(0);
    next.server(direct(5)).toClient(direct(5)).done();
  });

  test('the client is quicker than the store', () => {
    const next = binds(missed(), direct(3)).client(ENABLE).toClient(ENABLED);
    next
      .loaded()
      .toClient(new RegExp(`^${delayed(1)}${delayed(2)}${direct(3)}$`))
      .done();
  });

  test('the client is quicker with its presence too: the server is read when both questions are answered', () => {
    const next = binds(missed()).client(`${ENABLE}<presence/>`).toClient(ENABLED).toServer('<presence/>');
    next.commands('load undelivered');
    next.session.onLoaded('backlog', [], next.now);
    next.done();
    next.session.onLoaded('undelivered', [], next.now);
    next.commands('resume server').done();
  });

  test('on a server with stream management too: all that has waited comes before what it counts', () => {
    const next = binds(missed(), direct(3), FEATURES + SM_FEATURE).loaded();
    next.client(ENABLE).toServer(`<enable xmlns='${SM}' resume='true'/>`);
    next.toClient(new RegExp(`^${ENABLED}${delayed(1)}${delayed(2)}${direct(3)}$`));
    next.server(`<enabled xmlns='${SM}' id='server-id' resume='true'/>${direct(4)}`).toClient(direct(4));
    next
      .client(`<a xmlns='${SM}' h='4'/>`)
      .commands('store delivered --')
      .toServer(`<a xmlns='${SM}' h='1'/>`);
    next.done();
  });

  test('while that waits, answers do not', () => {
    const next = binds(missed()).loaded().client(SESSION).toServer(SESSION);
    next.server(direct(3)).server(SESSION_RESULT).toClient(SESSION_RESULT);
    next
      .client(ENABLE)
      .toClient(new RegExp(`^${ENABLED}${delayed(1)}${delayed(2)}${direct(3)}$`))
      .done();
  });

  test('a client without stream management has it with its presence', () => {
    const next = binds(missed(), direct(3)).loaded();
    next.client('<presence/>').toServer('<presence/>').commands('store delivered --', 'load undelivered');
    next.toClient(new RegExp(`^${delayed(1)}${delayed(2)}${direct(3)}$`));
    next.loaded().stored().done();
    expect(next.inStore.size).toBe(0);
  });

  test('also when it wants nothing that is for the account: this was not', () => {
    const presence = '<presence><priority>-1</priority></presence>';
    const next = binds(missed(), direct(3)).loaded().client(presence).toServer(presence);
    next
      .toClient(new RegExp(`^${delayed(1)}${delayed(2)}${direct(3)}$`))
      .commands('store delivered --')
      .done();
  });

  test('a client that begins with something else gets what the server has at once, and the rest with its presence', () => {
    const roster = "<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>";
    const next = binds(missed(), direct(3)).loaded().client(roster).toServer(roster).toClient(direct(3));
    next.client('<presence/>').toServer('<presence/>').commands('load undelivered').loaded();
    next
      .toClient(new RegExp(`^${delayed(1)}${delayed(2)}$`))
      .commands('store delivered --')
      .done();
  });

  test('and so does one that says nothing', () => {
    const next = binds(missed(), direct(3)).loaded().passes(4).passes(2).toClient(direct(3));
    expect(next.inStore.size).toBe(2);
    next.done();
  });

  test('no more waits than is good', () => {
    const next = binds(missed()).loaded();
    for (let n = 1; n <= 1_000; n++) next.server(direct(3));
    next.server(direct(4));
    expect(next.takeSent('client')).toBe(direct(3).repeat(1_000) + direct(4));
    next.done();
  });

  test('what another device has missed of it was a copy: this one had it', () => {
    const tablet = resumable({ jid: 'a@example.org/tablet' }).lost('client').sendsOnly().server(direct(1));
    isOver(tablet.passes(301).stored()).takeSent('server');
    binds(tablet, direct(3)).loaded().toClient(direct(3)).done();
    expect(tablet.inStore.size).toBe(1);
  });

  test('another resource is not kept waiting', () => {
    const former = missed();
    const other = new Playbook({ with: former, hold: { seconds: 300 } }).at(former.now);
    other.bound({ features: FEATURES, jid: 'a@example.org/other' }).server(direct(9, 'other'));
    other.toClient(direct(9, 'other')).done();
  });

  test('nor is this one, when another session has had it', () => {
    const former = missed();
    const other = new Playbook({ with: former, hold: { seconds: 300 } }).at(former.now);
    other
      .bound({ features: FEATURES, jid: 'a@example.org/other' })
      .client('<presence/>')
      .toServer('<presence/>');
    other.sendsOnly().loaded().stored().sendsOnly().takeSent('client');
    binds(former, direct(3)).loaded().toClient(direct(3)).done();
    // By now it is known that there is nothing.
    const third = new Playbook({ with: former, hold: { seconds: 300 } }).at(former.now);
    third.bound({ features: FEATURES }).server(direct(4)).toClient(direct(4)).done();
  });

  test('nothing is known of what a process before this one has put away: it is looked for', () => {
    const former = missed();
    const next = new Playbook({ store: former, hold: { seconds: 300 } });
    next.session.settings.domains.get('example.org')!.backlogs.mayHaveFormer = true;
    const wanted = "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    next.authenticated(FEATURES).client(wanted).toServer(wanted);
    next.server(`<iq type='result' id='b1'>${BIND_RESULT}</iq>`).sendsOnly().takeSent('client');
    next.loaded().client(ENABLE);
    expect(next.takeSent('client')).toMatch(new RegExp(`${delayed(1)}${delayed(2)}$`));
    next.done();
  });
});

describe('what several sessions have missed is put together in the order in which it came', () => {
  test('whichever session it came to', () => {
    const phone = resumable({ jid: 'a@example.org/phone' });
    const tablet = resumable({ jid: 'a@example.org/tablet', with: phone });
    const came: number[] = [];
    for (const [n, device] of [phone, tablet, tablet, tablet, phone].entries()) {
      const message = `<message from='b@example.net/x' to='a@example.org' id='d${n}' type='chat'><body>${n}</body></message>`;
      device.server(message).toClient(message);
      came.push(n);
    }
    for (const device of [tablet, phone]) {
      device.client('</stream:stream>').stored().sendsOnly().takeSent('server');
      isOver(device).takeSent('client');
    }
    const next = resumable({ with: phone })
      .client('<presence/>')
      .toServer('<presence/>')
      .sendsOnly()
      .loaded();
    const ids = [...next.takeSent('client').matchAll(/ id='d(\d)'/g)].map(([, id]) => Number(id));
    expect(ids).toEqual(came);
  });
});
