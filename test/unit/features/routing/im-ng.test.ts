import { describe, expect, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import { FakeDomain } from '../playbook.js';
import { ENABLE, online, PRIVATE, session, TWO } from './scenes.js';

const JULIET = 'juliet@capulet.lit';
const BALCONY = `${JULIET}/balcony`;
const PHONE = `${JULIET}/phone`;
const from = "from='romeo@capulet.lit/orchard'";
const HI = '<body>hi</body>';
const WISH = `<enable xmlns='${NS.imNg}'/>`;
const ALONE = `<im-ng xmlns='${NS.imNg}'/>`;

const answer = (id: string, type = 'result', content = '') =>
  `<iq type='${type}' id='${id}' from='${JULIET}' to='${BALCONY}'>${content}</iq>`;
const CONFLICT = `<error type='cancel'><conflict xmlns='${NS.stanzaErrors}'/></error>`;

const optedIn = (server: 'copies' | 'no copies', domain = new FakeDomain()) =>
  online(server, { domain })
    .fromClient(`<iq type='set' id='n1'>${WISH}</iq>`)
    .expectVerdict('handled im-ng-answered')
    .expectSent('client', answer('n1'));

const carbon = (kind: 'received' | 'sent', message: string) =>
  `<message from='${JULIET}' to='${BALCONY}'><${kind} xmlns='${NS.carbons2}'>` +
  `<forwarded xmlns='${NS.forward0}'>${message}</forwarded></${kind}></message>`;

describe('XEP-0409', () => {
  it('§3.1: the server announces it', () => {
    const about = { from: 'capulet.lit', node: undefined, features: new Set<string>() };
    session('copies')
      .see((routing) => {
        expect(routing.onDisco({ ...about, entity: 'server' })).toEqual({ add: [NS.imNg] });
        expect(routing.onDisco({ ...about, entity: 'server', node: 'x' })).toBeUndefined();
        expect(routing.onDisco({ ...about, entity: 'account' })).toBeUndefined();
      })
      .end();
    session('copies', { settings: { imNg: false } })
      .see((routing) => expect(routing.onDisco({ ...about, entity: 'server' })).toBeUndefined())
      .fromClient(`<iq type='set' id='n1'>${WISH}</iq>`)
      .end();
  });

  it('§3.3: who has opted in gets what the others get and what they send, as plain messages and once', () => {
    const sent = `<message xmlns='jabber:client' from='${PHONE}' to='romeo@capulet.lit' id='s1'>${HI}${TWO}</message>`;
    const received = `<message xmlns='jabber:client' ${from} to='${PHONE}' id='m1'>${HI}${TWO}</message>`;
    const key = `${PHONE}\ns1\nhi`;
    optedIn('copies')
      .fromServer(carbon('received', received))
      .expectVerdict('changed carbon-unwrapped', received)
      .fromServer(carbon('sent', sent))
      .expectVerdict('changed carbon-unwrapped', sent)
      .told(JSON.stringify({ kind: 'reflection', key, xml: sent }), PHONE)
      .end();
  });

  it('§3.3: where the server makes no copies, who sends tells those who have opted in', () => {
    const domain = new FakeDomain();
    const balcony = optedIn('no copies', domain);
    const phone = online('no copies', { domain, jid: PHONE });
    const xml = `<message from='${PHONE}' to='romeo@capulet.lit' type='chat' id='s1'>${HI}</message>`;
    const notice = JSON.stringify({ kind: 'reflection', key: `${PHONE}\ns1\nhi`, xml });
    phone
      .fromClient(`<message to='romeo@capulet.lit' type='chat' id='s1'>${HI}</message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='romeo@capulet.lit' type='chat' id='s1'>${HI}${TWO}</message>`,
      )
      .expectTold(JULIET, notice)
      // Who has not opted in is not told what his other devices send.
      .told(notice, BALCONY)
      .fromClient(`<message to='romeo@capulet.lit' type='chat'>${HI}${PRIVATE}</message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='romeo@capulet.lit' type='chat'>${HI}${PRIVATE}${TWO}</message>`,
      )
      .end();
    balcony.told(notice, PHONE).expectSent('client', xml).close().end();
    // And nobody any more when none of them is there.
    const desk = online('no copies', { domain, jid: `${JULIET}/desk` });
    desk
      .fromClient(`<message to='romeo@capulet.lit' type='chat'>${HI}</message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='romeo@capulet.lit' type='chat'>${HI}${TWO}</message>`,
      )
      .end();
  });

  it('§3.3: <im-ng/> is for one resource alone', () => {
    const gone = `${JULIET}/gone`;
    online('copies')
      .fromServer(`<message ${from} to='${gone}' type='chat'>${HI}${ALONE}</message>`)
      .expectVerdict('dropped gone-resource-dropped')
      .end();
  });

  it('§4: an error to one resource is for all that have opted in, unless it is for that one alone', () => {
    const domain = new FakeDomain();
    const balcony = optedIn('copies', domain);
    const error = (content: string) =>
      `<message type='error' ${from} to='${PHONE}' id='e1'>${content}${TWO}</message>`;
    online('copies', { domain, jid: PHONE })
      .fromServer(error(''))
      .expectTold(
        JULIET,
        JSON.stringify({ kind: 'reflection', key: 'romeo@capulet.lit/orchard\ne1\n', xml: error('') }),
      )
      .fromServer(error(ALONE))
      .end();
    balcony
      .told(
        JSON.stringify({ kind: 'reflection', key: 'romeo@capulet.lit/orchard\ne1\n', xml: error('') }),
        PHONE,
      )
      .expectSent('client', error(''))
      .end();
  });

  it('§4: not together with carbons', () => {
    optedIn('copies')
      .fromClient(`<iq type='set' id='c1'>${ENABLE}</iq>`)
      .expectVerdict('handled im-ng-answered')
      .expectSent('client', answer('c1', 'error', CONFLICT))
      .end();
    online('copies')
      .fromClient(`<iq type='set' id='c1'>${ENABLE}</iq>`)
      .expectVerdict('handled carbons-wish-noted')
      .expectSent('client', answer('c1'))
      .fromClient(`<iq type='set' id='n1'>${WISH}</iq>`)
      .expectVerdict('handled im-ng-answered')
      .expectSent('client', answer('n1', 'error', CONFLICT))
      .end();
  });
});
