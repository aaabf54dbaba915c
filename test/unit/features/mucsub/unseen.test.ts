import { describe, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  asks,
  available,
  domain,
  events,
  FULL,
  lateStage,
  query,
  ROOM,
  refused,
  result,
  type Stage,
  SUBJECT,
  SWALLOWED,
  says,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const OLGA = 'olga@capulet.lit/desk';

/** Juliet has subscribed; Olga asks the room who is there. */
function scene() {
  const shared = domain();
  const juliet = subscribed(available(stage({ settings: ALLOWED, domain: shared })));
  return { juliet, olga: lateStage(shared, OLGA) };
}

const answer = (payload: string, to = OLGA) =>
  `<iq type='result' id='q' from='${ROOM}' to='${to}'>${payload}</iq>`;
const shows = (book: Stage, payload: string) =>
  book.expectVerdict('changed mucsub-hidden', answer(payload).replace('<iq ', `<iq xmlns='${NS.client}' `));
const item = (nick: string) => `<item jid='${ROOM}/${nick}' name='${nick}'/>`;
const byRole = (nick: string, jid: string) =>
  `<item affiliation='none' role='participant' nick='${nick}' jid='${jid}'/>`;
const info = (count: number | string) =>
  query(
    NS.discoInfo,
    `<identity category='conference' type='text'/><x xmlns='${NS.dataForms}' type='result'>` +
      `<field var='muc#roominfo_occupants'><value>${count}</value></field></x>`,
  );
const JOINS = `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'><history maxstanzas='0'/></x></presence>`;

describe('who has only subscribed is no occupant', () => {
  it('in what discovery lists', () => {
    const { juliet, olga } = scene();
    olga.fromServer(answer(query(NS.discoItems, item('sammy') + item('bobby'))));
    shows(olga, query(NS.discoItems, item('bobby'))).end();
    juliet.end();
  });

  it('nor under a nick that the server writes as resourceprep has it', () => {
    const shared = domain();
    const [asked, written, another] = ['o\ufb03ce\u00adr', 'officer', 'of\ufb01cers'];
    const juliet = available(stage({ settings: ALLOWED, domain: shared }))
      .fromClient(subscribe(asked, ['messages']))
      .expectVerdict('handled mucsub-answered')
      .expectSent('server', asks(asked));
    const shown = (nick: string) => says(nick, "role='participant' affiliation='none'").replace(FULL, OLGA);
    // The room has let it in, and has told the others first.
    const olga = lateStage(shared, OLGA)
      .fromServer(shown(written))
      .expectVerdict('handled mucsub-hidden')
      .fromServer(shown(another));
    const subscribed = JSON.stringify({ op: 'subscribed', room: ROOM });
    juliet
      .fromServer(self(written))
      .expectVerdict(SWALLOWED)
      .expectSent(
        'client',
        result(`<subscribe xmlns='${NS.mucsub}' nick='${asked}'>${events('messages')}</subscribe>`),
      )
      .expectTold(ACCOUNT, subscribed)
      .fromServer(SUBJECT)
      .expectVerdict(SWALLOWED)
      // Nor is it asked to take the nick that it has.
      .told(subscribed, 'juliet@capulet.lit/tower')
      .end();
    olga.fromServer(answer(query(NS.discoItems, item(written) + item(another))));
    shows(olga, query(NS.discoItems, item(another))).end();
  });

  it('in how many there are', () => {
    const { juliet, olga } = scene();
    shows(olga.fromServer(answer(info(3))), info(2));
    // A room that counts nobody, or does not say.
    shows(olga.fromServer(answer(info(0))), info(0));
    olga
      .fromServer(answer(info('many')))
      .fromServer(answer(query(NS.discoInfo)))
      .end();
    juliet.end();
  });

  it('in the lists that moderators have by role; of a list by affiliation everybody is', () => {
    const { juliet, olga } = scene();
    const bob = byRole('bobby', 'bob@capulet.lit/x');
    olga.fromServer(answer(query(NS.mucAdmin, byRole('sammy', FULL) + bob)));
    shows(olga, query(NS.mucAdmin, bob));
    olga.fromServer(answer(query(NS.mucAdmin, byRole('sammy', 'juliet@capulet.lit')))).end();
    juliet.end();
  });

  const sets = (items: string) => `<iq type='set' id='s1' to='${ROOM}'>${query(NS.mucAdmin, items)}</iq>`;

  it('and gets no role; it is put out like anybody', () => {
    const { juliet, olga } = scene();
    for (const role of ['moderator', 'participant', 'visitor'])
      olga
        .fromClient(sets(`<item nick='bobby' role='none'/><item nick='sammy' role='${role}'/>`))
        .expectVerdict('handled mucsub-refused')
        .expectSent(
          'client',
          refused('cancel', 'not-allowed', 'Changing role/affiliation is not allowed').replace(FULL, OLGA),
        );
    olga
      .fromClient(sets("<item nick='sammy' role='none'/>"))
      .fromClient(sets("<item nick='bobby' role='moderator'/>"))
      .fromClient(sets("<item jid='juliet@capulet.lit' affiliation='member'/>"))
      .end();
    juliet.end();
  });

  it('and is one who has joined', () => {
    const { juliet, olga } = scene();
    juliet
      .fromClient(`<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'/></presence>`)
      .expectVerdict('changed mucsub-joining', JOINS)
      .fromServer(self('sammy'))
      .end();
    olga
      .fromServer(answer(info(3)))
      .fromServer(answer(query(NS.discoItems, item('sammy') + item('bobby'))))
      .fromServer(answer(query(NS.mucAdmin, byRole('sammy', FULL))))
      .fromClient(sets("<item nick='sammy' role='moderator'/>"))
      .end();
  });

  it('nothing of a room is changed that nobody has subscribed to', () => {
    const { juliet, olga } = scene();
    const other = (xml: string) => xml.replaceAll(ROOM, ROOM.replace('party', 'other'));
    olga
      .fromServer(other(answer(info(3))))
      .fromServer(other(answer(query(NS.discoItems, item('sammy')))))
      .end();
    juliet.end();
  });
});
