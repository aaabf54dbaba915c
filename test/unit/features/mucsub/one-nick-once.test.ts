import { describe, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import {
  ACCOUNT,
  ALLOWED,
  available,
  domain,
  FULL,
  query,
  ROOM,
  SUBJECT,
  SWALLOWED,
  says,
  secondStage,
  self,
  stage,
  subscribed,
} from './stage.js';

const GARDEN = `${ACCOUNT}/garden`;
const scene = () => ({ settings: ALLOWED, service: [], serverKind: 'jabberd2', domain: domain() }) as const;
const speech = (id: string, type = 'groupchat') =>
  `<message type='${type}' to='${ROOM}' id='${id}'><body>hello</body></message>`;
const notice = (what: object) => JSON.stringify(what);

/** The ghost is with the first session; the second is there. */
function two() {
  const at = scene();
  // mu-conference sends no subject where there is none.
  const carrier = available(stage(at));
  subscribed(carrier);
  const other = available(secondStage(at.domain, GARDEN, 'jabberd2'));
  return { carrier, other };
}

describe('where an account can be in a room only once under one nick', () => {
  it('another resource speaks through the one that carries the ghost, and is told of a refusal', () => {
    const { carrier, other } = two();
    const say = notice({ op: 'say', room: ROOM, by: FULL, xml: speech('m1') });
    other.fromClient(speech('m1')).expectVerdict('handled mucsub-answered').expectTold(ACCOUNT, say);
    carrier.told(say, GARDEN).expectSent('server', speech('m1'));
    const error = (to: string) =>
      `<message type='error' id='m1' from='${ROOM}' to='${to}'><error type='auth'><forbidden xmlns='${NS.stanzaErrors}'/></error></message>`;
    const refused = notice({ op: 'refused', by: GARDEN, xml: error(GARDEN) });
    carrier.fromServer(error(FULL)).expectVerdict(SWALLOWED).expectTold(ACCOUNT, refused).end();
    other.told(refused, FULL).expectSent('client', error(GARDEN)).end();
  });

  it('12.11 same nick by a second session: another resource that joins waits until the ghost has left, and is a ghost itself afterwards', () => {
    const { carrier, other } = two();
    const join = (history: string) =>
      `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'>${history}</x></presence>`;
    const wish = notice({ op: 'yield', room: ROOM, by: FULL });
    other.fromClient(join('')).expectVerdict('handled mucsub-joining').expectTold(ACCOUNT, wish);
    const done = notice({ op: 'yielded', room: ROOM, to: GARDEN });
    carrier
      .told(wish, GARDEN)
      .expectSent('server', `<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .expectTold(ACCOUNT, done)
      .end();
    const to = (xml: string) => xml.replaceAll(FULL, GARDEN);
    other
      .told(done, FULL)
      .expectSent('server', join("<history maxstanzas='0'/>"))
      .fromServer(to(self('sammy')))
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', to(SUBJECT))
      .fromClient(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .expectVerdict('handled mucsub-left')
      .expectSent('client', to(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable')))
      .end();
  });
});

describe('where who enters a room again is told only of himself', () => {
  it('the ghost leaves before its client joins, which is told who is there', () => {
    const book = available(stage(scene()));
    subscribed(book);
    const join = (history: string) =>
      `<presence to='${ROOM}/sammy'><x xmlns='${NS.muc}'>${history}</x></presence>`;
    book
      .fromClient(join(''))
      .expectVerdict('changed mucsub-joining', join("<history maxstanzas='0'/>"))
      .expectAhead(`<presence to='${ROOM}/sammy' type='unavailable'/>`)
      .fromServer(says('sammy', "affiliation='none' role='none'", ['110'], 'unavailable'))
      .expectVerdict(SWALLOWED)
      .fromServer(says('olga', "affiliation='owner' role='moderator'"))
      .fromServer(self('sammy'))
      .expectRequest(ROOM, query(NS.discoInfo))
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', SUBJECT)
      .end();
  });
});

describe('12.12 join completion: a room that ends what it sends to who enters with a subject only when it has one', () => {
  const enters = () =>
    stage(scene())
      .fromClient(`<presence to='${ROOM}/olga'><x xmlns='${NS.muc}'/></presence>`)
      .fromServer(self('olga'))
      .expectRequest(ROOM, query(NS.discoInfo));

  it('has an empty one behind its history', () => {
    enters()
      .fromServer(`<message type='groupchat' from='${ROOM}/bob' to='${FULL}'><body>before</body></message>`)
      .answerIq(ROOM, query(NS.discoInfo))
      .expectSent('client', SUBJECT)
      .end();
  });

  it('has its own where it sends one', () => {
    enters().fromServer(SUBJECT).answerIq(ROOM, query(NS.discoInfo)).end();
  });
});
