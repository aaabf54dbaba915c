import { describe, expect, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  available,
  domain,
  event,
  FULL,
  MUC,
  nextProcess,
  ROOM,
  type Stage,
  SWALLOWED,
  said,
  says,
  self,
  stage,
  subscribed,
} from './stage.js';

const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
const ask = (fields = '', set = '') =>
  `<iq type='set' id='q' to='${ROOM}'><query xmlns='${NS.mam2}' queryid='x'><x xmlns='${NS.dataForms}' type='submit'>${fields}</x>` +
  `<set xmlns='${NS.resultSets}'>${set}</set></query></iq>`;
const result = (n: number, nick = 'olga') =>
  `<message from='${ROOM}' to='${FULL}'><result xmlns='${NS.mam2}' queryid='x' id='id-${n}'><forwarded xmlns='${NS.forward0}'>` +
  `<delay xmlns='${NS.delay}' stamp='2026-11-20T12:16:4${n - 1}.000Z'/><message xmlns='${NS.client}' type='groupchat' from='${ROOM}/${nick}' id='m${n}'>` +
  `<body>body ${n}</body><stanza-id xmlns='${NS.sid}' by='${ROOM}' id='id-${n}'/><archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='id-${n}'/></message>` +
  '</forwarded></result></message>';
const fin = (complete: boolean, set: string) =>
  `<iq type='result' id='q' from='${ROOM}' to='${FULL}'><fin xmlns='${NS.mam2}'${complete ? " complete='true'" : ''}>` +
  `<set xmlns='${NS.resultSets}'>${set}</set></fin></iq>`;
const ends = (index: number, first: number, last: number, count: number) =>
  `<first index='${index}'>id-${first}</first><last>id-${last}</last><count>${count}</count>`;

/** Four messages, a second apart; the last is somebody else's. */
function told(book: Stage): Stage {
  for (const n of [1, 2, 3, 4]) {
    book
      .fromServer(said(n === 4 ? 'bob' : 'olga', `body ${n}`, `m${n}`))
      .expectVerdict(SWALLOWED)
      .wake(1_000);
  }
  return book;
}
const answers = (book: Stage, ...results: string[]) =>
  results.reduce(
    (each, xml) => each.expectSent('client', xml),
    book.expectVerdict('handled mucsub-answered'),
  );

describe('the archive of a room that has none', () => {
  const scene = { settings: ALLOWED, service: [] };

  it('is answered to subscribers out of the log, page by page in both directions', () => {
    const book = told(subscribed(stage(scene)));
    answers(book.fromClient(ask('', '<max>2</max>')), result(1), result(2), fin(false, ends(0, 1, 2, 4)));
    answers(
      book.fromClient(ask('', '<max>2</max><after>id-2</after>')),
      result(3),
      result(4, 'bob'),
      fin(true, ends(2, 3, 4, 4)),
    );
    answers(
      book.fromClient(ask('', '<max>1</max><before/>')),
      result(4, 'bob'),
      fin(false, ends(3, 4, 4, 4)),
    );
    answers(
      book.fromClient(ask('', '<max>3</max><before>id-3</before>')),
      result(1),
      result(2),
      fin(true, ends(0, 1, 2, 4)),
    );
    answers(book.fromClient(ask('', '<max>0</max>')), fin(false, '<count>4</count>'));
    book.end();
  });

  it('by time and by who has said it; what is not there is not found', () => {
    const book = told(subscribed(stage(scene)));
    answers(
      book.fromClient(ask(field('start', '2026-11-20T12:16:41Z') + field('end', '2026-11-20T12:16:42Z'))),
      result(2),
      result(3),
      fin(true, ends(0, 2, 3, 2)),
    );
    answers(
      book.fromClient(ask(field('with', `${ROOM}/bob`))),
      result(4, 'bob'),
      fin(true, ends(0, 4, 4, 1)),
    );
    const error = (type: string, condition: string, text: string) =>
      `<iq type='error' id='q' from='${ROOM}' to='${FULL}'><error type='${type}'><${condition} xmlns='${NS.stanzaErrors}'/>` +
      `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>${text}</text></error></iq>`;
    answers(
      book.fromClient(ask('', '<after>nowhere</after>')),
      error('cancel', 'item-not-found', 'There is no message with this id in the archive'),
    );
    answers(
      book.fromClient(ask(field('start', 'yesterday'))),
      error('modify', 'bad-request', 'This query cannot be understood'),
    );
    book.end();
  });

  it('the newest first, page by page', () => {
    const book = told(subscribed(stage(scene)));
    const flipped = (set: string) => ask('', set).replace('</query>', '<flip-page/></query>');
    const last = flipped('<max>2</max><before/>');
    answers(book.fromClient(last), result(4, 'bob'), result(3), fin(false, ends(2, 3, 4, 4)));
    book.end();
  });

  it.each([
    ['a field that nobody knows', field('withtext', 'fish'), '', 'modify', 'bad-request'],
    ['somebody who can be nobody', field('with', '@@'), '', 'modify', 'bad-request'],
    ['a time that is none', field('start', 'yesterday'), '', 'modify', 'bad-request'],
    ['less than nothing', '', '<max>-1</max>', 'modify', 'bad-request'],
    ['a page by its number', '', '<max>2</max><index>1</index>', 'cancel', 'feature-not-implemented'],
  ])('%s is refused', (_, fields, set, type, condition) => {
    const text =
      condition === 'bad-request' ? 'This query cannot be understood' : 'Unsupported &lt;index/&gt; element';
    subscribed(stage(scene))
      .fromClient(ask(fields, set))
      .expectVerdict('handled mucsub-answered')
      .expectSent(
        'client',
        `<iq type='error' id='q' from='${ROOM}' to='${FULL}'><error type='${type}'><${condition} xmlns='${NS.stanzaErrors}'/>` +
          `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>${text}</text></error></iq>`,
      )
      .end();
  });

  it('an id that an occupant has claimed is not in it', () => {
    const book = subscribed(stage(scene));
    const forged = `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='forged'/>`;
    book.fromServer(said('olga', 'body 1', 'm1', forged)).expectVerdict(SWALLOWED);
    answers(book.fromClient(ask()), result(1), fin(true, ends(0, 1, 1, 1)));
    book.end();
  });

  const FORBIDDEN =
    `<iq type='error' id='q' from='${ROOM}' to='${FULL}'><error type='auth'><forbidden xmlns='${NS.stanzaErrors}'/>` +
    `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>Only members may query archives of this room</text></error></iq>`;

  it('is not read by who has not subscribed; of a room that does not allow it the room is asked', () => {
    const away = `party@elsewhere.${MUC}`;
    const book = subscribed(available(stage(scene))).fromClient(ask().replace(ROOM, away));
    const other = ROOM.replace('party', 'other');
    book.fromClient(ask().replace(ROOM, other)).expectVerdict('handled mucsub-answered');
    book.expectSent('client', FORBIDDEN.replace(ROOM, other)).end();
  });

  it('who is banned does not read it', () => {
    const book = subscribed(available(stage(scene)));
    book
      .fromServer(says('sammy', "affiliation='outcast' role='none'", ['110', '301'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, JSON.stringify({ op: 'unsubscribed', room: ROOM, nick: 'sammy' }))
      .fromClient(ask())
      .expectVerdict('handled mucsub-answered')
      .expectSent('client', FORBIDDEN)
      .end();
  });

  it('who asks before his ghost is in is answered when it is', () => {
    const shared = domain();
    subscribed(available(stage({ ...scene, domain: shared })))
      .close()
      .expectTold(ACCOUNT, JSON.stringify({ op: 'claim' }))
      .end();
    const enters = `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='500' since='2026-11-20T12:16:40.000Z'/></x></presence>`;
    const book = available(stage({ ...scene, domain: nextProcess(shared) })).expectSent('server', enters);
    book.fromClient(ask()).expectVerdict('handled mucsub-answered');
    book
      .fromServer(self('sammy'))
      .expectVerdict(SWALLOWED)
      .expectSent('client', fin(true, '<count>0</count>'));
    book.end();
  });

  it('is not read by who has been put out', () => {
    subscribed(stage(scene))
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110', '322'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'server',
        `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='500' since='2026-11-20T12:16:40.000Z'/></x></presence>`,
      )
      .fromClient(ask())
      .expectVerdict('handled mucsub-answered')
      .fromServer(
        `<presence type='error' from='${ROOM}/sammy' to='${FULL}'><error type='auth'><registration-required xmlns='${NS.stanzaErrors}'/></error></presence>`,
      )
      .expectVerdict(SWALLOWED)
      .expectSent('client', FORBIDDEN)
      .end();
  });

  it('is in what is said of the room to subscribers, and a room with an archive answers itself', () => {
    const answer = { from: ROOM, node: undefined, entity: 'muc-room', features: new Set<string>() } as const;
    const without = stage(scene);
    expect(without.disco(answer)).toEqual({ add: [NS.mucsub] });
    expect(subscribed(without).disco(answer)).toEqual({ add: [NS.mucsub, NS.mam2] });
    without.end();
    const having = subscribed(stage({ settings: ALLOWED, domain: domain() }));
    expect(having.disco(answer)).toEqual({ add: [NS.mucsub] });
    having.fromClient(ask()).end();
  });
});

describe("the account's own archive", () => {
  const form = (inner: string) => `<x xmlns='${NS.dataForms}' type='submit'>${inner}</x>`;
  const own = (whom: string) =>
    `<iq type='set' id='q'><query xmlns='${NS.mam2}' queryid='mine'>${form(field('with', whom))}</query></iq>`;

  it('has the events of a room that was subscribed to, which are told out of the archive of the room', () => {
    const forwarded = (inside: string) =>
      `<forwarded xmlns='${NS.forward0}'><delay xmlns='${NS.delay}' stamp='2026-11-20T12:00:00Z'/>${inside}</forwarded>`;
    const id = `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='a1'/>`;
    const inner = (namespace: string, to: string, rest = '') =>
      `<message${namespace} type='groupchat' from='${ROOM}/olga' id='m1'${to}><body>hello</body>${id}${rest}</message>`;
    const archived = `<archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='a1'/>`;
    const wrapper = event('messages', 'a1', inner(` xmlns='${NS.client}'`, ` to='${ACCOUNT}'`, archived));
    subscribed(stage({ settings: ALLOWED }))
      .fromClient(own(ROOM))
      .expectVerdict('handled mucsub-answered')
      .expectRequest(ROOM, `<query xmlns='${NS.mam2}' queryid='id-1'>${form('')}</query>`)
      .fromServer(
        `<message from='${ROOM}' to='${FULL}'><result xmlns='${NS.mam2}' queryid='id-1' id='a1'>${forwarded(inner(` xmlns='${NS.client}'`, ''))}</result></message>`,
      )
      .expectVerdict('handled mucsub-answered')
      .expectSent(
        'client',
        `<message from='${ACCOUNT}' to='${FULL}'><result xmlns='${NS.mam2}' queryid='mine' id='a1'>` +
          `${forwarded(wrapper.replace('<message', `<message xmlns='${NS.client}'`))}</result></message>`,
      )
      .answerIq(ROOM, `<fin xmlns='${NS.mam2}' complete='true'/>`)
      .expectSent(
        'client',
        `<iq type='result' id='q' from='${ACCOUNT}' to='${FULL}'><fin xmlns='${NS.mam2}' complete='true'/></iq>`,
      )
      .end();
  });

  it('has those of a room that has none out of the log, as far as they were subscribed to', () => {
    const inside = (n: number) =>
      `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/${n === 4 ? 'bob' : 'olga'}' to='${ACCOUNT}' id='m${n}'><body>body ${n}</body>` +
      `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='id-${n}'/><archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='id-${n}'/></message>`;
    const archived = (n: number) =>
      `<message from='${ACCOUNT}' to='${FULL}'><result xmlns='${NS.mam2}' queryid='mine' id='id-${n}'><forwarded xmlns='${NS.forward0}'>` +
      `<delay xmlns='${NS.delay}' stamp='2026-11-20T12:16:4${n - 1}.000Z'/>` +
      `${event('messages', `id-${n}`, inside(n)).replace('<message', `<message xmlns='${NS.client}'`)}</forwarded></result></message>`;
    const ofAccount = (xml: string) => xml.replace(`from='${ROOM}'`, `from='${ACCOUNT}'`);
    const scene = { settings: ALLOWED, service: [] };
    const all = [1, 2, 3, 4].map(archived);
    answers(
      told(subscribed(stage(scene))).fromClient(own(ROOM)),
      ...all,
      ofAccount(fin(true, ends(0, 1, 4, 4))),
    ).end();
    answers(
      told(subscribed(stage(scene), 'sammy', ['subject'])).fromClient(own(ROOM)),
      ofAccount(fin(true, '<count>0</count>')),
    ).end();
  });

  it('is asked of the server for everything else', () => {
    subscribed(stage({ settings: ALLOWED }))
      .fromClient(own('romeo@montague.lit'))
      .fromClient(`<iq type='set' id='q'><query xmlns='${NS.mam2}'/></iq>`)
      .end();
  });
});
