import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { OUTLIVED_PREFIXES, outlived } from '../../../../src/session/suspended.js';
import { type Playbook, WALL_CLOCK } from '../playbook.js';
import {
  asked,
  authenticated,
  bound,
  HELD,
  MANAGED_BIND,
  offered,
  SASL,
  SASL2,
  SERVER_SM,
  SM,
  started,
  USER_AGENT,
} from './scenes.js';

const FAST = 'urn:xmpp:fast:0';
const WANTED = `<request-token xmlns='${FAST}' mechanism='HT-SHA-256-NONE'/>`;
const OTHER_AGENT = "<user-agent id='00000000-0000-4000-8000-000000000000'/>";
const hmac = (token: string, role: string, binding = '') =>
  createHmac('sha256', token).update(role).update(Buffer.from(binding, 'hex')).digest();
const refusal = (condition: string) => `<failure xmlns='${SASL2}'><${condition} xmlns='${SASL}'/></failure>`;

interface Shown {
  name?: string;
  agent?: string;
  fast?: string;
  mechanism?: string;
  h?: number;
  from?: string;
  /** Default: that of the session. */
  previd?: string;
}

/** A session with a token, its client gone. */
function held(): { play: Playbook; token: string; previd: string } {
  const play = offered(HELD);
  const { token, previd } = started(play, WANTED);
  expect(token).not.toBe('');
  play.stored().lost('client').commands('destroy client');
  return { play, token, previd };
}

/** So that no two of them make the same tokens. */
let connections = 0;

/** A new connection on which the token is shown. */
function shows(former: { play: Playbook; previd: string }, token: string, shown: Shown = {}): Playbook {
  const { name = 'a', agent = USER_AGENT, fast = '', mechanism = 'HT-SHA-256-NONE', h = 0, from } = shown;
  connections += 1;
  const ids = Array.from({ length: 8 }, (_, at) => `${connections}-${at}`);
  const play = offered({ ...HELD, ids, with: former.play }, undefined, from).at(former.play.now);
  const proof = hmac(token, 'Initiator');
  const message = Buffer.concat([Buffer.from(`${name}\0`), proof]).toString('base64');
  return play.client(
    `<authenticate xmlns='${SASL2}' mechanism='${mechanism}'><initial-response>${message}</initial-response>` +
      `<fast xmlns='${FAST}'${fast}/>${agent}<resume xmlns='${SM}' previd='${shown.previd ?? former.previd}' h='${h}'/>${MANAGED_BIND}</authenticate>`,
  );
}

function refused(play: Playbook, condition: string): void {
  play.commands('load token', 'pause client', 'resume client').toClient(refusal(condition)).done();
}

describe('XEP-0484 §3.2: a token is given', () => {
  test('with <success/>, to an installation that can resume; what is stored is neither the token nor what it shows, nor the id of the session', () => {
    const play = offered(HELD);
    const { success, token, previd } = started(play, WANTED);
    expect(success).toMatch(
      /<token xmlns='urn:xmpp:fast:0' expiry='2026-11-27T12:00:01.000Z' token='[^']+'\/><\/success><stream:features>/,
    );
    play.stored();
    const [stored] = [...play.inStore.values()].map(String);
    expect(stored).not.toContain(token);
    expect(stored).not.toContain(previd);
    for (const encoding of ['hex', 'base64'] as const)
      expect(stored).not.toContain(hmac(token, 'Initiator').toString(encoding));
    play.done();
  });

  test('not without the id of an installation, and not without resumption', () => {
    const play = offered(HELD);
    authenticated(play, MANAGED_BIND + WANTED, SERVER_SM);
    play.server(bound(asked(play)[0]!.id));
    play.server(`<iq type='error' id='${asked(play)[0]!.id}'/>`);
    for (const { id } of asked(play)) play.server(`<iq type='error' id='${id}'/>`);
    expect(play.takeSent('client')).not.toContain('<token');
    play.sendsOnly().takeSent('server');
  });
});

describe('XEP-0484 §3.4: a token resumes', () => {
  test('without SASL upstream; there is a new one before the client is let in', () => {
    const former = held();
    former.play.server("<message id='m1'/>");
    const back = shows(former, former.token);
    back
      .commands('load token', 'pause client')
      .loaded()
      .commands('store token +')
      .stored()
      .commands('handOver client')
      .toServer('</stream:stream>')
      .done();
    const answer = hmac(former.token, 'Responder').toString('base64');
    const sent = former.play.takeSent('client');
    expect(sent).toContain(`<success xmlns='${SASL2}'><additional-data>${answer}</additional-data>`);
    expect(sent).toMatch(
      /<authorization-identifier>a@example.org\/r<.*<resumed [^>]*\/><token [^>]*\/><\/success><message id='m1'>/,
    );
    former.play.commands('resume client').done();
    const [, next] = /<token [^>]*?token='([^']*)'/.exec(sent)!;
    expect(next).not.toBe(former.token);
  });

  /** The token is good, the client resumes, and breaks off again. @returns the next token */
  function resumes(former: { play: Playbook; previd: string }, token: string, shown: Shown = {}): string {
    shows(former, token, shown).sendsOnly().loaded().stored().sendsOnly().takeSent('server');
    const [, next = ''] =
      /<resumed .*<token [^>]*?token='([^']*)'/.exec(former.play.takeSent('client')) ?? [];
    expect(next).not.toBe('');
    former.play.lost('client').sendsOnly();
    return next;
  }

  test('§3.5: the old one stays good until the new one is used, which the client may never have got', () => {
    const former = held();
    const lost = resumes(former, former.token);
    const second = resumes(former, former.token);
    // A token that was given and not used is good for nothing as soon as there is a later one.
    refused(shows(former, lost).loaded(), 'not-authorized');
    resumes(former, second);
    refused(shows(former, former.token).loaded(), 'not-authorized');
  });

  test('a client that keeps its first token resumes by it again and again, for as long as that is good', () => {
    const former = held();
    for (let i = 1; i <= 5; i++) resumes(former, former.token);
    former.play.at(former.play.now + 8 * 24 * 3_600_000);
    const late = shows(former, former.token).loaded();
    expect(late.takeSent('client')).toBe(refusal('credentials-expired'));
    late.sendsOnly().takeSent('server');
  });

  test('§5.2: each of the two has its own count', () => {
    const former = held();
    const next = resumes(former, former.token, { fast: " count='7'" });
    refused(shows(former, former.token, { fast: " count='7'" }).loaded(), 'not-authorized');
    resumes(former, former.token, { fast: " count='8'" });
    refused(shows(former, former.token, { fast: " count='8'" }).loaded(), 'not-authorized');
    expect(next).not.toBe('');
  });

  test('of two at the same time one is refused', () => {
    const former = held();
    const first = shows(former, former.token);
    shows(former, former.token).toClient(refusal('not-authorized')).done();
    first.loaded().stored().sendsOnly().takeSent('server');
    former.play.sendsOnly().takeSent('client');
  });

  test('§3.6 invalidate: none follows', () => {
    const former = held();
    const back = shows(former, former.token, { fast: " invalidate='true'" }).loaded();
    back.commands('load token', 'pause client', 'store token -').stored().sendsOnly().takeSent('server');
    expect(former.play.takeSent('client')).toMatch(/<resumed [^>]*\/><\/success>/);
    expect(back.inStore.size).toBe(0);
    former.play.sendsOnly();
  });

  test('the store fails: nobody is let in whose next token would be forgotten', () => {
    const former = held();
    const back = shows(former, former.token).loaded().stored(false);
    back
      .commands('load token', 'pause client', 'store token +', 'resume client')
      .toClient(refusal('temporary-auth-failure'))
      .done();
  });

  test('a client that comes back before its token is on disk', () => {
    const play = offered(HELD);
    const { token, previd } = started(play, WANTED);
    play.lost('client').commands('destroy client');
    const back = shows({ play, previd }, token).loaded();
    back.commands('load token', 'pause client', 'store token +').stored().sendsOnly().takeSent('server');
    expect(play.takeSent('client')).toContain('<resumed ');
    play.sendsOnly();
  });

  test('the client is gone before the store has answered: the next one is not kept out', () => {
    const former = held();
    shows(former, former.token).lost('client').sendsOnly().lost('server').sendsOnly().takeSent('server');
    expect(former.play.session.domain.tokens.inUse.size).toBe(0);
  });
});

describe('XEP-0484 §5: a token that is not good', () => {
  const wrong: readonly (readonly [string, Shown])[] = [
    ['of another account', { name: 'mallory' }],
    ['of another installation', { agent: OTHER_AGENT }],
    ['for another session', { previd: 'another' }],
    ['with a count that is none', { fast: " count='-1'" }],
    ['with a count that has been used', { fast: " count='0'" }],
  ];
  for (const [what, shown] of wrong)
    test(what, () => {
      const former = held();
      refused(shows(former, former.token, shown).loaded(), 'not-authorized');
      expect(former.play.inStore.size).toBe(1);
    });

  test('a wrong one', () => {
    const former = held();
    refused(shows(former, `${former.token}x`).loaded(), 'not-authorized');
  });

  test('XEP-0388 §2.4: on a stream that is from somebody else', () => {
    const former = held();
    shows(former, former.token, { from: 'b@example.org' }).toClient(refusal('not-authorized')).done();
    shows(former, former.token, { from: 'a@example.org' }).sendsOnly();
  });

  test('after its time', () => {
    const former = held();
    const late = shows(former, former.token);
    late.at(late.now + 8 * 24 * 3_600_000).loaded();
    late
      .commands('load token', 'pause client', 'store token-removed -', 'resume client')
      .toClient(refusal('credentials-expired'))
      .done();
  });

  test('one whose time is over is cleared out of the store', () => {
    const { play } = held();
    const entries = [...play.inStore].map(([key, value]) => ({ key, value }));
    const now = WALL_CLOCK + play.now;
    expect(OUTLIVED_PREFIXES.some((prefix) => entries[0]!.key.startsWith(prefix))).toBe(true);
    expect(outlived(entries, now)).toEqual([]);
    expect(outlived(entries, now + 8 * 24 * 3_600_000)).toEqual([entries[0]!.key]);
  });

  test('it opens no session: when the one it is for is over, the client has to log in', () => {
    const former = held();
    former.play.passes(301).sendsOnly().takeSent('server');
    const back = shows(former, former.token).loaded();
    back
      .commands('load token', 'pause client', 'store token-removed -', 'resume client')
      .toClient(refusal('credentials-expired'))
      .stored()
      .client(`<auth xmlns='${SASL}' mechanism='PLAIN'>AGEAYg==</auth>`)
      .toServer(`<auth xmlns='${SASL}' mechanism='PLAIN'>AGEAYg==</auth>`)
      .done();
  });

  test('the session’s own server leg is lost: only the server can say who may resume its stream', () => {
    const former = held();
    former.play.lost('server').commands('destroy server');
    const back = shows(former, former.token).loaded();
    back
      .commands('load token', 'pause client', 'resume client')
      .toClient(refusal('credentials-expired'))
      .done();
  });
});

describe('RFC 5929 §4: a token that is bound to the certificate', () => {
  const ENDP = 'HT-SHA-256-ENDP';
  const over = (endPoint: string) => ({
    ...HELD,
    directTls: { protocol: 'TLSv1.3', certificateSha256: undefined, endPoint },
  });
  const bound = (former: Playbook, previd: string, proof: Buffer, endPoint = 'aa', mechanism = ENDP) =>
    offered({ ...over(endPoint), with: former })
      .client(
        `<authenticate xmlns='${SASL2}' mechanism='${mechanism}'><initial-response>${Buffer.concat([Buffer.from('a\0'), proof]).toString('base64')}</initial-response>` +
          `<fast xmlns='${FAST}'/>${USER_AGENT}<resume xmlns='${SM}' previd='${previd}' h='0'/></authenticate>`,
      )
      .loaded();
  const held = () => {
    const play = offered(over('aa'));
    const { token, previd } = started(play, `<request-token xmlns='${FAST}' mechanism='${ENDP}'/>`);
    play.stored().lost('client').commands('destroy client');
    return { play, token, previd };
  };

  test('is offered where the certificate can be bound to, and resumes', () => {
    const { play, token, previd } = held();
    const back = bound(play, previd, hmac(token, 'Initiator', 'aa'));
    back.commands('load token', 'pause client', 'store token +').stored();
    expect(play.takeSent('client')).toContain(hmac(token, 'Responder', 'aa').toString('base64'));
    play.sendsOnly();
    back.sendsOnly().takeSent('server');
  });

  test('a client that sees another certificate is refused, and so is one that leaves the binding out', () => {
    const { play, token, previd } = held();
    for (const [binding, mechanism] of [
      ['bb', ENDP],
      ['', ENDP],
      ['', 'HT-SHA-256-NONE'],
      ['aa', 'HT-SHA-256-NONE'],
    ] as const)
      bound(play, previd, hmac(token, 'Initiator', binding), 'aa', mechanism)
        .commands('load token', 'pause client', 'resume client')
        .toClient(refusal('not-authorized'))
        .done();
  });
});
