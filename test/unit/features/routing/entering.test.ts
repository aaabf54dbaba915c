import { describe, it } from 'vitest';
import { routing } from '../../../../src/features/routing/routing.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { FakeDomain, play } from '../playbook.js';
import { ENABLE, NO_COPY, NO_STORE, ONE, online, PRIVATE, TWO, twoTo } from './scenes.js';

const JULIET = 'juliet@capulet.lit';
const BALCONY = `${JULIET}/balcony`;
const GONE = `${JULIET}/gone`;
const from = "from='romeo@capulet.lit/orchard'";
const HI = '<body>hi</body>';
const STATE = `<composing xmlns='${NS.chatStates}'/>`;

describe('entering the realm', () => {
  it('what has no mark is marked as of 1.0', () => {
    online('copies')
      .fromServer(`<message ${from} to='${JULIET}' type='chat'>${HI}</message>`)
      .expectVerdict(
        'changed entered-realm',
        `<message ${from} to='${JULIET}' type='chat'>${HI}${ONE}</message>`,
      )
      .fromServer(`<message from='room@chats/x' to='${BALCONY}' type='groupchat'>${HI}</message>`)
      .expectVerdict(
        'changed entered-realm',
        `<message from='room@chats/x' to='${BALCONY}' type='groupchat'>${HI}${ONE}</message>`,
      )
      .end();
  });

  it('what another proxy has marked comes out of it the same', () => {
    const marked = `<message ${from} to='${JULIET}' type='chat'>${HI}${ONE}</message>`;
    online('copies').fromServer(marked).expectVerdict('changed entered-realm', marked).end();
  });

  it('12.8 <private/>: what is marked as of 2.0 is relieved of modifiers, and the mark stays', () => {
    online('copies')
      .fromServer(
        `<message ${from} to='${BALCONY}'>${PRIVATE}${HI}${NO_COPY}${NO_STORE}${twoTo(BALCONY)}</message>`,
      )
      .expectVerdict(
        'changed entered-realm',
        `<message ${from} to='${BALCONY}'>${HI}${NO_STORE}${twoTo(BALCONY)}</message>`,
      )
      .fromServer(`<message ${from} to='${JULIET}'>${HI}${TWO}</message>`)
      .end();
  });

  it('jabberd2 hides that it was for the account: that its sender wants no copies is said in the mark, for another proxy', () => {
    online('no copies')
      .fromServer(`<message ${from} to='${BALCONY}'>${HI}${PRIVATE}${NO_COPY}${TWO}</message>`)
      .expectVerdict(
        'changed entered-realm',
        `<message ${from} to='${BALCONY}'>${HI}${twoTo(BALCONY)}</message>`,
      )
      // Which takes it for what it is.
      .fromServer(`<message ${from} to='${BALCONY}'>${HI}${twoTo(BALCONY)}</message>`)
      .end();
  });

  it('what has modifiers without the mark keeps them', () => {
    online('copies')
      .fromServer(`<message ${from} to='${BALCONY}'>${HI}${PRIVATE}</message>`)
      .expectVerdict(
        'changed entered-realm',
        `<message ${from} to='${BALCONY}'>${HI}${PRIVATE}${ONE}</message>`,
      )
      .end();
  });

  it('answers of the own archive enter nothing', () => {
    online('copies')
      .fromServer(`<message from='${JULIET}' to='${BALCONY}'><result xmlns='${NS.mam2}' id='1'/></message>`)
      .end();
  });
});

describe('forged tags', () => {
  it('<xmpp-1/> of a sender’s is taken out: it is the proxy’s to say', () => {
    online('copies')
      .fromServer(`<message ${from} to='${JULIET}'>${ONE}${HI}</message>`)
      .expectVerdict('changed entered-realm', `<message ${from} to='${JULIET}'>${HI}${ONE}</message>`)
      .fromServer(`<message ${from} to='${JULIET}'>${ONE}${HI}${TWO}${ONE}</message>`)
      .expectVerdict('changed entered-realm', `<message ${from} to='${JULIET}'>${HI}${TWO}</message>`)
      .end();
  });

  it('<xmpp-2/> narrows where a message gets, and never lets it go further than its sender could send it anyway', () => {
    online('copies')
      // Of another account: it says nothing here.
      .fromServer(
        `<message ${from} to='${BALCONY}' type='chat'>${HI}${twoTo('nurse@capulet.lit/x')}</message>`,
      )
      // To the account, which its sender could have addressed.
      .fromServer(`<message ${from} to='${BALCONY}' type='chat'>${HI}${twoTo(JULIET)}</message>`)
      // A resource that is not this one: nobody gets it.
      .fromServer(`<message ${from} to='${BALCONY}' type='chat'>${HI}${twoTo(GONE)}</message>`)
      .expectVerdict('dropped gone-resource-dropped')
      .end();
  });

  it('a mark with a prefix or without an address that can be read says what its presence says', () => {
    online('copies')
      .fromServer(
        `<message ${from} to='${BALCONY}'>${HI}<p:xmpp-2 xmlns:p='${NS.xmpp2}' to='${GONE}'/></message>`,
      )
      .fromServer(`<message ${from} to='${BALCONY}'>${HI}<xmpp-2 xmlns='${NS.xmpp2}' to=''/></message>`)
      .end();
  });
});

describe('a resource that is gone', () => {
  const romeo = 'romeo@capulet.lit';
  const orchard = `${romeo}/orchard`;
  const notice = (id: string) => JSON.stringify({ kind: 'error', to: orchard, from: GONE, id });

  /** Somebody who comes by the same proxies writes. */
  function withRomeo(): FakeDomain {
    const domain = new FakeDomain();
    domain.enter({
      ...{ full: orchard, bare: romeo, local: 'romeo', domain: 'capulet.lit', resource: 'orchard' },
    });
    return domain;
  }

  it('the sender gets exactly one error, however many resources the server tries; nobody gets the message', () => {
    const domain = withRomeo();
    const message = `<message ${from} to='${GONE}' type='chat' id='m1'>${HI}${twoTo(GONE)}</message>`;
    const desk = online('copies', { domain });
    const phone = online('copies', { domain, jid: `${JULIET}/phone` });
    desk.fromServer(message).expectVerdict('dropped gone-resource-dropped').expectTold(romeo, notice('m1'));
    phone.fromServer(message).expectVerdict('dropped gone-resource-dropped');
    // He tries again.
    phone.fromServer(message).expectVerdict('dropped gone-resource-dropped').expectTold(romeo, notice('m1'));
    desk.fromServer(message).expectVerdict('dropped gone-resource-dropped').end();
    phone.end();
  });

  it('who has written to a device of his own is told too, when it comes back to himself', () => {
    online('no copies')
      .fromServer(
        `<message from='${BALCONY}' to='${BALCONY}' type='chat' id='m1'>${HI}${twoTo(GONE)}</message>`,
      )
      .expectVerdict('dropped gone-resource-dropped')
      .expectSent(
        'client',
        `<message type='error' id='m1' from='${GONE}' to='${BALCONY}'><error type='cancel'><service-unavailable xmlns='${NS.stanzaErrors}'/></error></message>`,
      )
      .end();
  });

  it('ejabberd and jabberd2 write another address over it: the mark still says where it was sent', () => {
    for (const serverKind of ['ejabberd', 'jabberd2'] as const)
      online(serverKind === 'jabberd2' ? 'no copies' : 'copies', { domain: withRomeo(), serverKind })
        .fromServer(`<message ${from} to='${BALCONY}' type='chat' id='m1'>${HI}${twoTo(GONE)}</message>`)
        .expectVerdict('dropped gone-resource-dropped')
        .expectTold(romeo, notice('m1'))
        .end();
  });

  it('the sender’s own session says it, from the address that was written to', () => {
    online('copies', { jid: orchard })
      .told(notice('m1'), BALCONY)
      .expectSent(
        'client',
        `<message type='error' id='m1' from='${GONE}' to='${orchard}'><error type='cancel'><service-unavailable xmlns='${NS.stanzaErrors}'/></error></message>`,
      )
      .end();
    online('copies', { jid: `${romeo}/other` })
      .told(notice('m1'), BALCONY)
      .end();
  });

  it('from a server of 1.0: what is private or for the moment is dropped, conversation is for all', () => {
    online('copies')
      .fromServer(`<message ${from} to='${GONE}' type='chat'>${HI}${NO_COPY}</message>`)
      .expectVerdict('dropped gone-resource-dropped')
      .fromServer(`<message ${from} to='${GONE}' type='chat'>${STATE}</message>`)
      .expectVerdict('dropped gone-resource-dropped')
      .fromServer(`<message ${from} to='${GONE}' type='chat'>${HI}</message>`)
      .expectVerdict(
        'changed entered-realm',
        `<message ${from} to='${GONE}' type='chat'>${HI}${ONE}</message>`,
      )
      .end();
  });

  describe('and a sender who does not come by the proxy', () => {
    const paris = 'paris@montague.lit';
    const message = (id: string, to = GONE) =>
      `<message from='${paris}/x' to='${to}' type='chat' id='${id}'>${HI}${twoTo(to)}</message>`;
    const refusal = (id: string) =>
      `<message type='error' id='${id}' to='${paris}/x'><error type='cancel'><service-unavailable xmlns='${NS.stanzaErrors}'/></error></message>`;
    const ASKS = `<iq type='get' id='r1'><query xmlns='${NS.roster}'/></iq>`;
    const roster = (subscription: string) =>
      `<query xmlns='${NS.roster}'><item jid='${paris}' subscription='${subscription}'/></query>`;
    const QUERY = `<query xmlns='${NS.roster}'/>`;

    it('a stranger is told nothing, since the server would tell him who answers; presence of his, which anybody can send, changes nothing', () => {
      online('copies')
        .fromServer(message('m1'))
        .expectVerdict('dropped gone-resource-dropped')
        .fromServer(`<presence from='${paris}/x'/>`)
        .fromServer(message('m2'))
        .expectVerdict('dropped gone-resource-dropped')
        .end();
    });

    it('hears the same of a resource that was there a minute ago, of one that never was, and of one that is here but not this one', () => {
      const domain = new FakeDomain();
      const phone = online('copies', { domain, jid: GONE });
      const desk = online('copies', { domain });
      for (const to of [GONE, `${JULIET}/never`])
        desk.fromServer(message('m1', to)).expectVerdict('dropped gone-resource-dropped');
      phone.close().end();
      desk.fromServer(message('m2')).expectVerdict('dropped gone-resource-dropped').end();
    });

    it('whom the client has written to has its address already, and is answered from there', () => {
      online('copies')
        .fromClient(`<message to='Paris@montague.lit' type='chat'>${HI}${TWO}</message>`)
        .fromServer(message('m1'))
        .expectVerdict('dropped gone-resource-dropped')
        .expectSent('server', refusal('m1'))
        .end();
    });

    it('who is subscribed to its presence too, by the roster, if the client has asked for it itself', () => {
      for (const subscription of ['both', 'from'])
        online('copies')
          .fromClient(ASKS)
          .fromServer(message('m1'))
          .expectVerdict('dropped gone-resource-dropped')
          .expectRequest('account', QUERY)
          .answerIq('account', roster(subscription))
          .expectSent('server', refusal('m1'))
          .end();
      for (const subscription of ['to', 'none'])
        online('copies')
          .fromClient(ASKS)
          .fromServer(message('m1'))
          .expectVerdict('dropped gone-resource-dropped')
          .expectRequest('account', QUERY)
          .answerIq('account', roster(subscription))
          .end();
    });

    it('a flood of such messages asks the server for the roster once in a while', () => {
      const play = online('copies').fromClient(ASKS).fromServer(message('m1'));
      play.expectVerdict('dropped gone-resource-dropped').expectRequest('account', QUERY);
      for (const id of ['m2', 'm3'])
        play.fromServer(message(id)).expectVerdict('dropped gone-resource-dropped');
      play.answerIq('account', roster('from'));
      for (const id of ['m1', 'm2', 'm3']) play.expectSent('server', refusal(id));
      play.fromServer(message('m4')).expectVerdict('dropped gone-resource-dropped').end();
    });

    it('exactly one of the sessions answers: the first that he knows', () => {
      const domain = new FakeDomain();
      const desk = online('copies', { domain });
      const phone = online('copies', { domain, jid: `${JULIET}/phone` });
      const tablet = online('copies', { domain, jid: `${JULIET}/tablet` });
      for (const each of [phone, tablet]) each.fromClient(`<message to='${paris}'>${HI}${TWO}</message>`);
      desk.fromServer(message('m1')).expectVerdict('dropped gone-resource-dropped').end();
      phone
        .fromServer(message('m1'))
        .expectVerdict('dropped gone-resource-dropped')
        .expectSent('server', refusal('m1'))
        .end();
      tablet.fromServer(message('m1')).expectVerdict('dropped gone-resource-dropped').end();
    });

    it('an operator to whom the error matters more has it said to strangers too', () => {
      online('copies', { settings: { answerStrangers: true } })
        .fromServer(message('m1'))
        .expectVerdict('dropped gone-resource-dropped')
        .expectSent('server', refusal('m1'))
        .end();
    });
  });

  it('headlines and errors are dropped without a word', () => {
    online('no copies', { domain: withRomeo() })
      .fromServer(`<message ${from} to='${BALCONY}' type='headline'>${HI}${twoTo(GONE)}</message>`)
      .expectVerdict('dropped gone-resource-dropped')
      .fromServer(`<message ${from} to='${BALCONY}' type='error'>${HI}${twoTo(GONE)}</message>`)
      .expectVerdict('dropped gone-resource-dropped')
      .end();
  });
});

describe('everything is a matter of settings', () => {
  const OFF = {
    ...{ marks: false, readdress: false, modifiers: false, archiveHint: 'none', strip: false },
    ...{ copies: false, gone: false, imNg: false },
  };

  it('with every rule off nothing is touched, and nothing is asked of the server', () => {
    const carbon = (message: string) =>
      `<message from='${JULIET}'><received xmlns='${NS.carbons2}'><forwarded xmlns='${NS.forward0}'>${message}</forwarded></received></message>`;
    play(routing, { settings: OFF })
      .fromClient('<presence/>')
      .fromClient(`<message to='romeo@capulet.lit/orchard' type='chat'>${HI}</message>`)
      .fromClient(`<message to='romeo@capulet.lit' type='chat'>${HI}</message>`)
      .fromClient(`<iq type='set' id='1'>${ENABLE}</iq>`)
      .fromClient(`<iq type='set' id='2'><enable xmlns='${NS.imNg}'/></iq>`)
      .fromServer(`<message ${from} to='${GONE}' type='chat'>${HI}${TWO}${PRIVATE}</message>`)
      .fromServer(`<message ${from} to='${JULIET}' type='chat'>${HI}</message>`)
      .fromServer(carbon(`<message xmlns='jabber:client' ${from} to='${JULIET}'>${HI}</message>`))
      .fromServer(`<message ${from}><sent xmlns='${NS.carbons2}'/></message>`)
      .end();
  });

  it('each rule on its own', () => {
    const IBB = `<data xmlns='${NS.inBandBytes}' sid='s' seq='0'>AA==</data>`;
    const orchard = 'romeo@capulet.lit/orchard';
    play(routing, { settings: { ...OFF, marks: true } })
      .fromClient(`<message to='${orchard}'>${HI}</message>`)
      .expectVerdict('changed left-realm', `<message to='${orchard}'>${HI}${twoTo(orchard)}</message>`)
      .end();
    play(routing, { settings: { ...OFF, readdress: true } })
      .fromClient(`<message to='${orchard}'>${HI}</message>`)
      .expectVerdict('changed readdressed', `<message to='romeo@capulet.lit'>${HI}</message>`)
      .end();
    play(routing, { settings: { ...OFF, modifiers: true } })
      .fromClient(`<message to='${orchard}'>${IBB}</message>`)
      .expectVerdict('changed left-realm', `<message to='${orchard}'>${IBB}${PRIVATE}${NO_COPY}</message>`)
      .end();
    play(routing, { settings: { ...OFF, strip: true } })
      .fromServer(`<message ${from} to='${BALCONY}'>${HI}${PRIVATE}${TWO}</message>`)
      .expectVerdict('changed entered-realm', `<message ${from} to='${BALCONY}'>${HI}${TWO}</message>`)
      .end();
    play(routing, { serverKind: 'prosody', settings: { ...OFF, copies: true } })
      .expectRequest('account', ENABLE)
      .answerIq('account', '')
      .fromClient('<presence/>')
      .fromServer(
        `<message from='${JULIET}'><received xmlns='${NS.carbons2}'><forwarded xmlns='${NS.forward0}'><message xmlns='jabber:client' ${from} to='${JULIET}'>${HI}</message></forwarded></received></message>`,
      )
      .expectVerdict(
        'changed carbon-unwrapped',
        `<message xmlns='jabber:client' ${from} to='${JULIET}'>${HI}</message>`,
      )
      .end();
    play(routing, { settings: { ...OFF, imNg: true } })
      .fromClient(`<iq type='set' id='1'><enable xmlns='${NS.imNg}'/></iq>`)
      .expectVerdict('handled im-ng-answered')
      .expectSent('client', `<iq type='result' id='1' from='${JULIET}' to='${BALCONY}'/>`)
      .end();
    play(routing, { settings: { ...OFF, gone: true } })
      .fromServer(`<message ${from} to='${GONE}'>${HI}${twoTo(GONE)}</message>`)
      .expectVerdict('dropped gone-resource-dropped')
      .end();
  });
});
