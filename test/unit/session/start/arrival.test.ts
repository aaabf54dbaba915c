import { describe, expect, test } from 'vitest';
import type { Playbook, Setting } from '../playbook.js';
import {
  asked,
  authenticated,
  BIND2,
  bound,
  FEATURES,
  HELD,
  MAM,
  offered,
  SERVER_SM,
  SM,
  START,
  USER_AGENT,
} from './scenes.js';

const ACCOUNT = 'a@example.org';
const NO_ARCHIVE =
  "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
const ROOMS =
  "<room jid='one@muc.example.org' nick='me'><history xmlns='http://jabber.org/protocol/muc' maxstanzas='5'/></room><room jid='two@muc.example.org' nick='me'/>";
const ROOMS_SENT =
  "<presence to='one@muc.example.org/me'><x xmlns='http://jabber.org/protocol/muc'><history xmlns='http://jabber.org/protocol/muc' maxstanzas='5'/></x></presence>" +
  "<presence to='two@muc.example.org/me'><x xmlns='http://jabber.org/protocol/muc'></x></presence>";

/** A message as the server delivers it live, with the id that its archive has given it. */
const live = (id: string, more = '') =>
  `<message from='b@example.net/x' id='m${id}' type='chat'><body>${id}</body><stanza-id xmlns='urn:xmpp:sid:0' by='${ACCOUNT}' id='${id}'/>${more}</message>`;
const stamp = (id: string) => `2026-11-20T10:00:${id.padStart(2, '0')}Z`;
const kept = (id: string, at = stamp(id)) =>
  live(id, `<delay xmlns='urn:xmpp:delay' from='example.org' stamp='${at}'/>`);
const copy = (id: string) =>
  `<message from='${ACCOUNT}'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>${live(id).replace('<message', "<message xmlns='jabber:client'")}</forwarded></received></message>`;

interface Query {
  iq: string;
  query: string;
  xml: string;
}

/** The archive's answer: these messages, and the end of the page. */
const page = ({ iq, query }: Query, ids: readonly string[], complete: boolean) =>
  ids
    .map(
      (id) =>
        `<message from='${ACCOUNT}' to='${ACCOUNT}/r'><result xmlns='${MAM}' queryid='${query}' id='${id}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='${stamp(id)}'/>${live(id).replace('<message', "<message xmlns='jabber:client'")}</forwarded></result></message>`,
    )
    .join('') +
  `<iq type='result' id='${iq}'><fin xmlns='${MAM}'${complete ? " complete='true'" : ''}><set xmlns='http://jabber.org/protocol/rsm'>${ids.length > 0 ? `<last>${ids.at(-1)}</last>` : ''}</set></fin></iq>`;

/** What the client has been given, in short: `archive 1`, `live 2`, `synced 2`. */
function given(play: Playbook): string[] {
  const sent = play.takeSent('client');
  return [
    ...sent.matchAll(/<message .*?<\/message>(?:<\/forwarded>.*?<\/message>)?|<a [^>]*>|<r [^>]*>/g),
  ].map(([xml]) => {
    const [, id] = /<body>(.*?)<\/body>/.exec(xml) ?? [];
    if (xml.includes('<result ')) return `archive ${id}`;
    if (xml.includes('<synced '))
      return xml
        .replace(/.*<synced xmlns='[^']*'(?: last='([^']*)')?( gap='true')?\/>.*/, 'synced $1$2')
        .trim();
    return id === undefined ? xml : `${xml.includes('carbons') ? 'copy' : 'live'} ${id}`;
  });
}

/** Up to <success/>, with what the client leaves with us. */
function arrives(
  inline: string,
  { archive = true, unread = false, sm = false, setting = {} as Setting } = {},
): Playbook {
  const play = offered({ ...HELD, ...setting });
  const enable = sm ? `<enable xmlns='${SM}' resume='true'/>` : '';
  authenticated(
    play,
    `${USER_AGENT}<bind xmlns='${BIND2}'>${enable}<session-start xmlns='${START}'>${inline}</session-start></bind>`,
    sm ? SERVER_SM : FEATURES,
  );
  play.server(bound(asked(play)[0]!.id));
  const asks = asked(play);
  for (const { id, xml } of asks) {
    const about = xml.includes('<metadata');
    if (about && !archive) play.server(`<iq type='error' id='${id}'>${NO_ARCHIVE}</iq>`);
    else
      play.server(
        `<iq type='result' id='${id}'>${about ? `<metadata xmlns='${MAM}'><end id='9' timestamp='${stamp('9')}'/></metadata>` : ''}</iq>`,
      );
  }
  if (!archive)
    for (const { id } of asked(play)) play.server(`<iq type='error' id='${id}'>${NO_ARCHIVE}</iq>`);
  const success = play.takeSent('client');
  expect(success).toContain(
    `<session-start xmlns='${START}' archive='${archive}'/></bound>`.replace('</bound>', ''),
  );
  if (!archive || unread)
    expect(success.replace(/.*<\/stream:features>/, '')).toMatch(/^<message .*gap='true'/);
  return play.sendsOnly();
}

/** The query to the archive that has just been sent. */
function query(play: Playbook): Query {
  const sent = play.takeSent('server');
  const [xml, iq, id] = /<iq type='set' id='([^']*)'><query [^>]*queryid='([^']*)'>.*?<\/iq>/.exec(sent)!;
  return { iq: iq!, query: id!, xml: sent.replace(xml, '<QUERY/>') + xml };
}

describe('XMPP 2.0 session setup: the order is archive, live, presence, rooms', () => {
  test('the archive is read to its end, page by page; then presence, and once more for what came before it; then rooms', () => {
    const play = arrives(
      `<archive after='1' queryid='mine'/><presence xmlns='jabber:client'><show>away</show></presence>${ROOMS}`,
    );
    const first = query(play);
    expect(first.xml).toContain('<max>100</max><after>1</after>');
    play.server(page(first, ['2', '3'], false));
    const second = query(play);
    expect(second.xml).toContain('<after>3</after>');
    expect(second.query).not.toBe(first.query);
    play.server(page(second, ['4'], true));
    const last = query(play);
    expect(last.xml).toMatch(/^<presence xmlns='jabber:client'><show>away<\/show><\/presence><QUERY\/>/);
    expect(last.xml).toContain('<after>4</after>');
    play
      .commands()
      .server(page(last, ['5'], true))
      .commands('load undelivered');
    expect(play.takeSent('client').match(/queryid='[^']*'/g)).toEqual(Array(4).fill("queryid='mine'"));
    play.toServer(ROOMS_SENT).done();
  });

  test('the client sees where it stands, and live stanzas behind that', () => {
    const play = arrives("<archive after='1'/><presence xmlns='jabber:client'/>");
    const first = query(play);
    play
      .server(live('3'))
      .server(page(first, ['2', '3'], true))
      .server(live('4'));
    const last = query(play);
    play
      .server(live('5'))
      .server(page(last, ['4'], true))
      .server(live('6'));
    expect(given(play)).toEqual(['archive 2', 'archive 3', 'archive 4', 'synced 4', 'live 5', 'live 6']);
    play.sendsOnly().done();
  });

  test('copies are on before the archive is asked, whether the client asked for them or not', () => {
    const play = offered(HELD);
    authenticated(
      play,
      `<bind xmlns='${BIND2}'><session-start xmlns='${START}'><archive after='1'/></session-start></bind>`,
    );
    play.server(bound(asked(play)[0]!.id));
    const [carbons, metadata] = asked(play);
    expect(carbons!.xml).toContain('urn:xmpp:carbons:2');
    play.server(`<iq type='result' id='${metadata!.id}'><metadata xmlns='${MAM}'/></iq>`).done();
    play.server(`<iq type='result' id='${carbons!.id}'/>`).sendsOnly().takeSent('client');
    query(play);
  });

  test('without presence in the request: when the client becomes available, the archive is asked once more', () => {
    const play = arrives("<archive after='1'/>");
    play.server(page(query(play), ['2'], true));
    expect(given(play)).toEqual(['archive 2', 'synced 2']);
    play.client('<presence/>');
    const tail = query(play);
    expect(tail.xml).toMatch(/^<presence\/><QUERY\/>.*<after>2<\/after>/);
    play
      .server(live('4'))
      .server(page(tail, ['3', '4'], true))
      .server(kept('3'));
    expect(given(play)).toEqual(['archive 3', 'archive 4', 'synced 4']);
    play.commands('load undelivered').done();
  });

  test('a span of time instead of an id', () => {
    const play = arrives("<archive seconds='3600'/>");
    expect(query(play).xml).toContain("<field var='start'><value>2026-11-20T11:00:01.000Z</value></field>");
    const since = arrives("<archive since='2026-11-01T00:00:00Z'/>");
    expect(query(since).xml).toContain('<value>2026-11-01T00:00:00.000Z</value>');
  });
});

describe('12.17 duplicates, XEP-0313 §8.1: nothing comes twice', () => {
  const upTo = (ids: readonly string[]) => {
    const play = arrives("<archive after='1'/><presence xmlns='jabber:client'/>");
    play.server(page(query(play), ids, true));
    play.server(page(query(play), [], true)).sendsOnly();
    given(play);
    return play;
  };

  test('offline messages that the archive had, by the archive’s id', () => {
    const play = upTo(['2', '3']).server(kept('2') + kept('3') + live('4'));
    expect(given(play)).toEqual(['live 4']);
    play.counts('stanza_dropped archive-duplicate-dropped', 2).done();
  });

  test('offline messages from before what the client knew already', () => {
    const play = upTo(['12', '13']).server(kept('11'));
    expect(given(play)).toEqual([]);
    play.server(kept('14'));
    expect(given(play)).toEqual(['live 14']);
    play.done();
  });

  test('without an archive’s id: by sender and the sender’s id', () => {
    const without = (id: string) => live(id).replace(/<stanza-id .*?\/>/, '');
    const play = upTo(['2']).server(without('2') + without('3'));
    expect(given(play)).toEqual(['live 3']);
    play.server(without('2').replace('b@example.net', 'c@example.net'));
    expect(given(play)).toEqual(['live 2']);
    play.done();
  });

  test('without either: by sender and origin-id (XEP-0359 §4)', () => {
    const named = (id: string, origin: string) =>
      live(id, `<origin-id xmlns='urn:xmpp:sid:0' id='${origin}'/>`).replace(/<stanza-id .*?\/>/, '');
    const play = arrives("<archive after='1'/><presence xmlns='jabber:client'/>");
    const archived = page(query(play), ['2'], true).replace(
      /<stanza-id .*?\/>/,
      "<origin-id xmlns='urn:xmpp:sid:0' id='o2'/>",
    );
    play.server(archived);
    play.server(page(query(play), [], true)).sendsOnly();
    given(play);
    // Servers that give a message another id on its way leave this one.
    play.server(named('9', 'o2') + named('3', 'o3'));
    expect(given(play)).toEqual(['live 3']);
    play.server(named('9', 'o2').replace('b@example.net', 'c@example.net'));
    expect(given(play)).toEqual(['live 9']);
    play.done();
  });

  test('COMPAT Prosody: a copy, and the same message kept for later', () => {
    const play = upTo(['2']).server(copy('2') + copy('3') + kept('3'));
    expect(given(play)).toEqual(['copy 3']);
    play.done();
  });

  test('COMPAT ejabberd: an archive that has a message twice', () => {
    const play = arrives("<archive after='1'/>");
    play.server(page(query(play), ['2', '2', '3'], true));
    expect(given(play)).toEqual(['archive 2', 'archive 3', 'synced 3']);
    play.done();
  });

  test('12.9 trust: somebody who plays the archive is not believed', () => {
    const play = arrives("<archive after='1'/>");
    const open = query(play);
    play.server(
      page(open, ['2'], false)
        .replace(`from='${ACCOUNT}'`, "from='mallory@example.net'")
        .replace(/<iq .*/, ''),
    );
    play.server(page(open, ['3'], true));
    expect(given(play)).toEqual(['archive 3', 'synced 3', 'archive 2']);
    play.done();
  });

  test('after a while nothing is remembered any more', () => {
    const play = upTo(['2']).passes(61).server(kept('2'));
    expect(given(play)).toEqual(['live 2']);
    play.done();
  });
});

describe('a gap is told', () => {
  test('a server without an archive: offline messages alone', () => {
    const play = arrives(`<archive after='1'/><presence xmlns='jabber:client'/>${ROOMS}`, { archive: false });
    play.toServer(`<presence xmlns='jabber:client'/>${ROOMS_SENT}`).server(kept('1'));
    expect(given(play)).toEqual(['live 1']);
    play.sendsOnly().done();
  });

  test('a request that says no place in it: nothing is asked, and the rest goes on', () => {
    const play = arrives(`<archive since='2026-99-01T00:00:00Z'/><presence xmlns='jabber:client'/>${ROOMS}`, {
      unread: true,
    });
    play.toServer(`<presence xmlns='jabber:client'/>${ROOMS_SENT}`).server(kept('1'));
    expect(given(play)).toEqual(['live 1']);
    play.sendsOnly().done();
  });

  test('an archive that does not know the id (XEP-0059 §2.2)', () => {
    const play = arrives("<archive after='gone'/><presence xmlns='jabber:client'/>");
    const { iq } = query(play);
    play.server(
      `<iq type='error' id='${iq}'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`,
    );
    expect(given(play)).toEqual(["synced  gap='true'"]);
    play.toServer("<presence xmlns='jabber:client'/>").sendsOnly().done();
  });

  test('an archive that takes too long: what has waited flows', () => {
    const play = arrives("<archive after='1'/>");
    const open = query(play);
    play.server(live('5')).passes(31);
    expect(given(play)).toEqual(["synced  gap='true'", 'live 5']);
    // What is late is not the client's any more.
    play.server(page(open, ['2'], true));
    expect(given(play)).toEqual([]);
    play.takeSent('server');
  });

  test('more waits than may', () => {
    const play = arrives("<archive after='1'/>");
    query(play);
    for (let n = 0; n <= 1_000; n += 1) play.server(live(String(n)));
    const all = given(play);
    expect(all[0]).toBe("synced  gap='true'");
    expect(all.length).toBe(1_002);
    play.done();
  });

  test('the server leg breaks in the middle', () => {
    const play = arrives("<archive after='1'/>");
    query(play);
    play.server(live('5')).lost('server');
    const all = play.takeSent('client');
    expect(all).toMatch(/gap='true'.*<body>5<\/body>.*system-shutdown/s);
    play.sendsOnly().takeSent('server');
  });
});

describe('XEP-0198: counts stay exact while the archive is read', () => {
  test('what waits is not acknowledged to the server, nor is what came behind it', () => {
    const play = arrives("<archive after='1'/>", { sm: true });
    const open = query(play);
    play.server(`<enabled xmlns='${SM}' id='s' resume='true'/>`);
    play.server(live('5')).server(page(open, ['2'], false));
    const next = query(play);
    play.server(`<r xmlns='${SM}'/>`);
    play.toServer(`<a xmlns='${SM}' h='0'/>`);
    expect(given(play)).toEqual(['archive 2']);
    play.server(page(next, ['3', '4'], true));
    // Five stanzas of ours: three results, the mark, and the live one; six of the server's.
    expect(given(play)).toEqual(['archive 3', 'archive 4', 'synced 4', 'live 5']);
    const asks = `<r xmlns='${SM}'/>`;
    play.client(`<a xmlns='${SM}' h='4'/>`).server(asks).toServer(`<a xmlns='${SM}' h='0'/>`).toClient(asks);
    play.client(`<a xmlns='${SM}' h='5'/>`).toServer(`<a xmlns='${SM}' h='6'/>`).done();
  });

  test('what the proxy sends for the client is in no count of the client’s', () => {
    const play = arrives("<presence xmlns='jabber:client'/>", { sm: true });
    play
      .toServer(/<presence xmlns='jabber:client'\/>$/)
      .server(`<enabled xmlns='${SM}' id='s' resume='true'/>`);
    play.client("<message id='u1'/>").toServer("<message id='u1'/>").server(`<a xmlns='${SM}' h='2'/>`);
    play.client(`<r xmlns='${SM}'/>`).toClient(`<a xmlns='${SM}' h='1'/>`).sendsOnly().done();
  });
});
