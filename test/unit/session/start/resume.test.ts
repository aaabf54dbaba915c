import { describe, expect, test } from 'vitest';
import {
  asked,
  authenticated,
  bound,
  HELD,
  MANAGED_BIND,
  offered,
  SASL2,
  SERVER_SM,
  SM,
  started,
  USER_AGENT,
} from './scenes.js';

describe('XEP-0198 §9.2: <resume/> inside <authenticate/>', () => {
  test('<resumed/> comes inside <success/>, with the full JID, without features, and <bind/> is ignored', () => {
    const held = offered(HELD);
    const { previd } = started(held);
    held.lost('client').commands('destroy client').server("<message id='m1'/>");
    const back = offered({ ...HELD, with: held });
    authenticated(back, `<resume xmlns='${SM}' previd='${previd}' h='0'/>${MANAGED_BIND}`, SERVER_SM);
    const [probe] = asked(back);
    expect(probe!.xml).not.toContain('<resource>');
    back.server(bound(probe!.id, 'a@example.org/probe'));
    back.commands('handOver client').toServer('</stream:stream>').done();
    held
      .toClient(
        new RegExp(
          `^<success xmlns='${SASL2}'><authorization-identifier>a@example.org/r</authorization-identifier>` +
            `<resumed xmlns='${SM}' previd='${previd}' h='0'/></success><message id='m1'>.*</message>$`,
        ),
      )
      .commands('resume client')
      .client("<message id='u1'/>")
      .toServer("<message id='u1'/>")
      .done();
  });

  test('the server’s leg is lost: its stream is resumed on the new one', () => {
    const held = offered(HELD);
    const { previd } = started(held);
    held.lost('server').commands('destroy server', 'destroy client');
    const back = offered({ ...HELD, with: held });
    authenticated(back, `<resume xmlns='${SM}' previd='${previd}' h='0'/>${MANAGED_BIND}`, SERVER_SM)
      .toServer(`<resume xmlns='${SM}' previd='server-id' h='0'/>`)
      .server(`<resumed xmlns='${SM}' previd='server-id' h='0'/>`)
      .commands('handOver server', 'handOver client')
      .done();
    held
      .toClient(/^<success [^>]*>.*<resumed [^>]*\/><\/success>$/)
      .commands('resume client')
      .done();
  });

  test('the same device starts anew instead: its held session ends before the resource is asked for', () => {
    const held = offered(HELD);
    const { resource } = started(held, '', (wanted) => `a@example.org/${wanted}`);
    held
      .lost('client')
      .commands('destroy client')
      .server("<message id='m1' type='chat'><body>x</body></message>");
    const anew = authenticated(offered({ ...HELD, with: held }), USER_AGENT + MANAGED_BIND, SERVER_SM);
    expect(asked(anew)).toEqual([]);
    held.commands('store hold +').stored().toServer(`<a xmlns='${SM}' h='1'/></stream:stream>`);
    held.server('</stream:stream>').commands('end server').finishes('hold-replaced').done();
    expect(asked(anew).map(({ xml }) => xml)).toEqual([
      expect.stringContaining(`<resource>${resource}</resource>`),
    ]);
    anew.done();
  });

  test('what cannot be resumed: the same request binds, and says both', () => {
    const play = offered(HELD);
    authenticated(play, `<resume xmlns='${SM}' previd='unknown' h='0'/>${MANAGED_BIND}`, SERVER_SM)
      .commands('load resume')
      .loaded();
    const [bind] = asked(play);
    play.server(bound(bind!.id));
    play.server(`<iq type='result' id='${asked(play)[0]!.id}'><metadata xmlns='urn:xmpp:mam:2'/></iq>`);
    play
      .toClient(
        /<bound .*<enabled .*<\/bound><failed xmlns='urn:xmpp:sm:3'><item-not-found [^>]*><\/failed><\/success><stream:features>/,
      )
      .toServer(`<enable xmlns='${SM}' resume='true'/>`)
      .commands('resume client')
      .done();
  });

  test('somebody else’s session: the leg that had to be bound to learn that is what the client gets', () => {
    const held = offered(HELD);
    const { previd } = started(held);
    const other = offered({ ...HELD, with: held });
    authenticated(other, `<resume xmlns='${SM}' previd='${previd}' h='0'/>${MANAGED_BIND}`, SERVER_SM);
    other.server(bound(asked(other)[0]!.id, 'mallory@example.org/probe'));
    other.server(`<iq type='result' id='${asked(other)[0]!.id}'><metadata xmlns='urn:xmpp:mam:2'/></iq>`);
    other
      .toClient(/<authorization-identifier>mallory@example.org\/probe<.*<failed [^>]*><item-not-found /)
      .toServer(/<enable /)
      .commands('resume client')
      .done();
    held.done();
  });
});
