import { describe, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import { FakeDomain } from '../playbook.js';
import { alone, NO_COPY, NO_STORE, online, PRIVATE, session, TWO, twoTo } from './scenes.js';

const ROMEO = 'romeo@capulet.lit';
const ORCHARD = `${ROMEO}/orchard`;
const REMOTE = 'benvolio@montague.lit/street';
const IBB = `<data xmlns='${NS.inBandBytes}' sid='s' seq='0'>AA==</data>`;

describe('leaving the realm', () => {
  it('every message is marked', () => {
    session('copies')
      .fromClient(`<message to='${ROMEO}' type='chat'><body>hi</body></message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='${ROMEO}' type='chat'><body>hi</body>${TWO}</message>`,
      )
      .fromClient(`<message to='room@chats.capulet.lit' type='groupchat'><body>hi</body></message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='room@chats.capulet.lit' type='groupchat'><body>hi</body>${TWO}</message>`,
      )
      .fromClient('<message/>')
      .expectVerdict('changed left-realm', `<message>${TWO}</message>`)
      .end();
  });

  it('what stays addressed to a full JID is kept from being copied and archived', () => {
    session('copies')
      .fromClient(`<message to='${ORCHARD}'>${IBB}</message>`)
      .expectVerdict('changed left-realm', `<message to='${ORCHARD}'>${IBB}${alone(ORCHARD)}</message>`)
      .end();
  });

  it('nothing comes twice, and what the client had put there itself stays', () => {
    const own = `<no-permanent-store xmlns='${NS.hints}'/>`;
    session('copies')
      .fromClient(`<message to='${ORCHARD}'>${PRIVATE}${own}${IBB}</message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='${ORCHARD}'>${PRIVATE}${own}${IBB}${NO_COPY}${twoTo(ORCHARD)}</message>`,
      )
      .fromClient(`<message to='${ORCHARD}'>${PRIVATE}${NO_COPY}${NO_STORE}${TWO}</message>`)
      .fromClient(`<message to='${ROMEO}'>${TWO}</message>`)
      .end();
  });

  it('the hint about archives is a matter of settings', () => {
    session('copies', { settings: { archiveHint: 'no-permanent-store' } })
      .fromClient(`<message to='${ORCHARD}'>${IBB}</message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='${ORCHARD}'>${IBB}${PRIVATE}${NO_COPY}<no-permanent-store xmlns='${NS.hints}'/>${twoTo(ORCHARD)}</message>`,
      )
      .end();
  });
});

describe('no resource locking', () => {
  it('what is said to one device of somebody goes to all of them', () => {
    for (const type of ["type='chat'", "type='normal'", '', "type='other'"])
      session('copies')
        .fromClient(`<message to='${ORCHARD}' ${type}><body>hi</body></message>`)
        .expectVerdict(
          'changed readdressed',
          `<message to='${ROMEO}' ${type}><body>hi</body>${TWO}</message>`,
        )
        .end();
  });

  it.each([
    ['a groupchat message', "type='groupchat'", ''],
    ['a headline', "type='headline'", ''],
    ['an error', "type='error'", ''],
    ['with <private/>', '', PRIVATE],
    ['with <no-copy/>', '', NO_COPY],
    ['for one resource by XEP-0409', '', `<im-ng xmlns='${NS.imNg}'/>`],
  ])('%s stays', (_, type, child) => {
    const rest = alone(ORCHARD).replace(child === '' ? 'nothing' : child, '');
    session('copies')
      .fromClient(`<message to='${ORCHARD}' ${type}><body>hi</body>${child}</message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='${ORCHARD}' ${type}><body>hi</body>${child}${rest}</message>`,
      )
      .end();
  });

  it('what a node of the realm has marked stays', () => {
    session('copies')
      .fromClient(`<message to='${ORCHARD}'><body>hi</body>${TWO}</message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='${ORCHARD}'><body>hi</body>${TWO}${PRIVATE}${NO_COPY}${NO_STORE}</message>`,
      )
      .end();
  });

  it('what is for another device of one’s own stays', () => {
    const phone = 'juliet@capulet.lit/phone';
    session('copies')
      .fromClient(`<message to='${phone}'><body>hi</body></message>`)
      .expectVerdict('changed left-realm', `<message to='${phone}'><body>hi</body>${alone(phone)}</message>`)
      .end();
  });

  it('elsewhere an address is a user’s when it has sent presence that is not a room’s', () => {
    const bare = 'benvolio@montague.lit';
    const hi = '<body>hi</body>';
    online('copies')
      .fromClient(`<message to='${REMOTE}'>${hi}</message>`)
      .expectVerdict('changed left-realm', `<message to='${REMOTE}'>${hi}${alone(REMOTE)}</message>`)
      .fromServer(`<presence from='${REMOTE}'/>`)
      .fromClient(`<message to='${REMOTE}'>${hi}</message>`)
      .expectVerdict('changed readdressed', `<message to='${bare}'>${hi}${TWO}</message>`)
      .fromServer(`<presence from='${REMOTE}' type='unavailable'/>`)
      .fromClient(`<message to='${REMOTE}'>${hi}</message>`)
      .expectVerdict('changed left-realm', `<message to='${REMOTE}'>${hi}${alone(REMOTE)}</message>`)
      .end();
  });

  it('or when the operator says so of its domain', () => {
    session('copies', { settings: { userDomains: ['Montague.lit'] } })
      .fromClient(`<message to='${REMOTE}'><body>hi</body></message>`)
      .expectVerdict(
        'changed readdressed',
        `<message to='benvolio@montague.lit'><body>hi</body>${TWO}</message>`,
      )
      .end();
  });

  it('a device that gets nothing of what is for its account keeps its address, and the others their copy', () => {
    const domain = new FakeDomain();
    const romeo = session('copies', { domain, jid: ORCHARD });
    const juliet = session('copies', { domain });
    const message = (to: string) => `<message to='${to}'><body>hi</body></message>`;
    const stays = `<message to='${ORCHARD}'><body>hi</body>${TWO}</message>`;
    juliet.fromClient(message(ORCHARD)).expectVerdict('changed left-realm', stays);
    romeo.fromClient('<presence><priority>-1</priority></presence>');
    juliet.fromClient(message(ORCHARD)).expectVerdict('changed left-realm', stays);
    // As another proxy has left it.
    juliet.fromClient(stays);
    romeo.fromClient('<presence/>');
    juliet
      .fromClient(message(ORCHARD))
      .expectVerdict('changed readdressed', `<message to='${ROMEO}'><body>hi</body>${TWO}</message>`)
      .end();
    romeo.end();
  });

  it('where there are no copies the others have it alone', () => {
    const domain = new FakeDomain();
    const romeo = session('no copies', { domain, jid: ORCHARD });
    session('no copies', { domain })
      .fromClient(`<message to='${ORCHARD}'><body>hi</body></message>`)
      .expectVerdict('changed readdressed', `<message to='${ROMEO}'><body>hi</body>${TWO}</message>`)
      .end();
    romeo.end();
  });

  it('an address without local part is nobody’s device', () => {
    session('copies')
      .fromClient(`<message to='capulet.lit/echo'><body>hi</body></message>`)
      .expectVerdict(
        'changed left-realm',
        `<message to='capulet.lit/echo'><body>hi</body>${alone('capulet.lit/echo')}</message>`,
      )
      .end();
  });
});

describe('the client’s own record', () => {
  const error = (from: string, id = 'm1') =>
    `<message type='error' from='${from}' id='${id}'><error type='cancel'><service-unavailable xmlns='${NS.stanzaErrors}'/></error>`;

  it('an error comes from the address that the client had written to', () => {
    session('copies')
      .fromClient(`<message to='Romeo@capulet.lit/orchard' id='m1'><body>hi</body></message>`)
      .expectVerdict(
        'changed readdressed',
        `<message to='Romeo@capulet.lit' id='m1'><body>hi</body>${TWO}</message>`,
      )
      .fromServer(`${error(ROMEO)}${TWO}</message>`)
      .expectVerdict(
        'changed error-address-restored',
        `${error('Romeo@capulet.lit/orchard')}${TWO}</message>`,
      )
      .end();
  });

  it.each(['', 'a&amp;b', 'ö🦄', 'x'.repeat(64), 'x'.repeat(65), 'x'.repeat(256)])(
    'whatever the id looks like: %s',
    (id) => {
      session('copies')
        .fromClient(`<message to='${ORCHARD}' id='${id}'><body>hi</body></message>`)
        .expectVerdict(
          'changed readdressed',
          `<message to='${ROMEO}' id='${id}'><body>hi</body>${TWO}</message>`,
        )
        .fromServer(`${error(ROMEO, id)}${TWO}</message>`)
        .expectVerdict('changed error-address-restored', `${error(ORCHARD, id)}${TWO}</message>`)
        .end();
    },
  );

  it('of the last messages only, the newest first: an id may be used again', () => {
    const play = session('copies');
    const write = (resource: string, id: string) =>
      play
        .fromClient(`<message to='${ROMEO}/${resource}' id='${id}'><body>hi</body></message>`)
        .expectVerdict(
          'changed readdressed',
          `<message to='${ROMEO}' id='${id}'><body>hi</body>${TWO}</message>`,
        );
    write('old', 'again');
    write('gone', 'first');
    for (let n = 0; n < 30; n += 1) write('orchard', `m${n}`);
    write('new', 'again');
    play
      .fromServer(`${error(ROMEO, 'again')}${TWO}</message>`)
      .expectVerdict('changed error-address-restored', `${error(`${ROMEO}/new`, 'again')}${TWO}</message>`)
      .fromServer(`${error(ROMEO, 'first')}${TWO}</message>`)
      .expectVerdict('changed error-address-restored', `${error(`${ROMEO}/gone`, 'first')}${TWO}</message>`);
    write('orchard', 'one more');
    play.fromServer(`${error(ROMEO, 'first')}${TWO}</message>`).end();
  });

  it('any other error stays as it is', () => {
    session('copies')
      .fromClient(`<message to='${ORCHARD}' id='m1'><body>hi</body></message>`)
      .expectVerdict('changed readdressed', `<message to='${ROMEO}' id='m1'><body>hi</body>${TWO}</message>`)
      .fromServer(`${error(ROMEO, 'm2')}${TWO}</message>`)
      .fromServer(`${error('tybalt@capulet.lit')}${TWO}</message>`)
      .fromServer(`${error(ORCHARD)}${TWO}</message>`)
      .end();
  });

  it('ids, receipts and corrections are passed on untouched', () => {
    const about = [
      `<received xmlns='${NS.receipts}' id='m7'/>`,
      `<displayed xmlns='${NS.chatMarkers}' id='m7'/>`,
      `<body>hj</body><replace xmlns='${NS.correction}' id='m7'/>`,
    ];
    for (const child of about)
      session('copies')
        .fromClient(`<message to='${ORCHARD}' id='m8' type='chat'>${child}</message>`)
        .expectVerdict(
          'changed readdressed',
          `<message to='${ROMEO}' id='m8' type='chat'>${child}${TWO}</message>`,
        )
        .end();
  });
});
