import { mucsub } from '../../../../src/features/mucsub/mucsub.js';
import type { FeatureSession, ServerKind } from '../../../../src/session/feature.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { FakeDomain, type Playbook, play, type Scene } from '../playbook.js';

export const SERVER = 'capulet.lit';
export const ACCOUNT = 'juliet@capulet.lit';
export const FULL = `${ACCOUNT}/balcony`;
export const MUC = 'chats.capulet.lit';
export const ROOM = `party@${MUC}`;
export const NODE = 'urn:xmpp:mucsub:nodes:';

export const query = (namespace: string, inner = '') => `<query xmlns='${namespace}'>${inner}</query>`;
const features = (...names: string[]) => names.map((name) => `<feature var='${name}'/>`).join('');
const CONFERENCE = `<identity category='conference' type='text'/>`;

export type Stage = Playbook<FeatureSession>;

/** A session for which nothing is known of the server yet. */
export function unknowing(scene: Scene): Stage {
  return play<FeatureSession>(mucsub, scene);
}

/** It becomes known that the server has a MUC service with these features. */
export function learns(book: Stage, service: readonly string[] = [NS.mam2]): Stage {
  return book
    .wake(0)
    .expectRequest(SERVER, query(NS.discoInfo))
    .expectRequest(ACCOUNT, query(NS.discoInfo))
    .answerIq(SERVER, query(NS.discoInfo, "<identity category='server' type='im'/>"))
    .expectRequest(SERVER, query(NS.discoItems))
    .answerIq(ACCOUNT, query(NS.discoInfo))
    .answerIq(SERVER, query(NS.discoItems, `<item jid='${MUC}'/>`))
    .expectRequest(MUC, query(NS.discoInfo))
    .answerIq(MUC, query(NS.discoInfo, CONFERENCE + features(NS.muc, ...service)))
    .wake(0);
}

/** A session for which it is known that the server has a MUC service with these features; by default its rooms have archives. */
export function stage(scene: Scene & { service?: readonly string[] } = {}): Stage {
  return learns(unknowing(scene), scene.service);
}

/** A session of another account, for which the same is known already. */
export function lateStage(domain: FakeDomain, jid: string, settings: Scene['settings'] = ALLOWED): Stage {
  const bare = jid.split('/')[0] ?? jid;
  return play<FeatureSession>(mucsub, { domain, jid, settings })
    .wake(0)
    .expectRequest(bare, query(NS.discoInfo))
    .answerIq(bare, query(NS.discoInfo));
}

/** Another session of an account, for which all is known. */
export function secondStage(domain: FakeDomain, jid: string, serverKind: ServerKind = 'unknown'): Stage {
  return play<FeatureSession>(mucsub, { domain, jid, serverKind, settings: ALLOWED }).wake(0);
}

export const ALLOWED = { allowSubscription: true };

export const domain = () => new FakeDomain(SERVER);

/** An available client. */
export function available(book: Stage): Stage {
  return book.fromClient('<presence/>');
}

export const events = (...names: string[]) => names.map((name) => `<event node='${NODE}${name}'/>`).join('');
export const subscribe = (nick: string, names: readonly string[], rest = '') =>
  `<iq type='set' id='s1' to='${ROOM}'><subscribe xmlns='${NS.mucsub}' nick='${nick}'${rest}>${events(...names)}</subscribe></iq>`;

export const asks = (nick: string, history = "<history maxstanzas='0'/>") =>
  `<presence to='${ROOM}/${nick}'><x xmlns='${NS.muc}'>${history}</x></presence>`;
export const says = (nick: string, item: string, codes: readonly string[] = [], type = '') =>
  `<presence from='${ROOM}/${nick}' to='${FULL}'${type === '' ? '' : ` type='${type}'`}><x xmlns='${NS.mucUser}'>` +
  `<item ${item}/>${codes.map((code) => `<status code='${code}'/>`).join('')}</x></presence>`;
export const self = (nick: string, ...more: string[]) =>
  says(nick, "role='participant' affiliation='none'", ['110', ...more]);
export const SUBJECT = `<message type='groupchat' from='${ROOM}' to='${FULL}'><subject/></message>`;
export const SWALLOWED = 'handled mucsub-ghost';

export const result = (inner = '') => `<iq type='result' id='s1' from='${ROOM}' to='${FULL}'>${inner}</iq>`;
export const refused = (type: string, condition: string, text: string) =>
  `<iq type='error' id='s1' from='${ROOM}' to='${FULL}'><error type='${type}'><${condition} xmlns='${NS.stanzaErrors}'/>` +
  `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>${text}</text></error></iq>`;

/** Subscribes, and the room lets the ghost in. */
export function subscribed(book: Stage, nick = 'sammy', names: readonly string[] = ['messages']): Stage {
  return book
    .fromClient(subscribe(nick, names))
    .expectVerdict('handled mucsub-answered')
    .expectSent('server', asks(nick))
    .fromServer(self(nick))
    .expectVerdict(SWALLOWED)
    .expectSent(
      'client',
      result(`<subscribe xmlns='${NS.mucsub}' nick='${nick}'>${events(...names)}</subscribe>`),
    )
    .expectTold(ACCOUNT, JSON.stringify({ op: 'subscribed', room: ROOM }))
    .fromServer(SUBJECT)
    .expectVerdict(SWALLOWED);
}

export const said = (nick: string, body: string, id: string, rest = '') =>
  `<message type='groupchat' from='${ROOM}/${nick}' to='${FULL}' id='${id}'><body>${body}</body>${rest}</message>`;

export const STANZA_ID = (id: string) => `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${id}'/>`;
export const ARCHIVED = (id: string) => `<archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='${id}'/>`;
/** A message of a room with an archive, as it stands in an event. */
export const inner = (nick: string, body: string, id: string, archive: string) =>
  `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/${nick}' to='${ACCOUNT}' id='${id}'><body>${body}</body>` +
  `${STANZA_ID(archive)}${ARCHIVED(archive)}</message>`;

/** A room's archive is asked what was said behind a message. */
export const missedSince = (last: string, name = 'id-1') =>
  `<query xmlns='${NS.mam2}' queryid='${name}'>` +
  `<set xmlns='${NS.resultSets}'><max>100</max><after>${last}</after></set></query>`;
/** One of its answers, and the event that it becomes. */
export const archived = (nick: string, body: string, id: string, archive: string, to = FULL) =>
  `<message from='${ROOM}' to='${to}'><result xmlns='${NS.mam2}' queryid='id-1' id='${archive}'><forwarded xmlns='${NS.forward0}'>` +
  `<delay xmlns='${NS.delay}' stamp='2026-11-20T12:20:00Z'/><message xmlns='${NS.client}' type='groupchat' from='${ROOM}/${nick}' id='${id}'>` +
  `<body>${body}</body>${STANZA_ID(archive)}</message></forwarded></result></message>`;
export const late = (nick: string, body: string, id: string, archive: string) =>
  event(
    'messages',
    archive,
    inner(nick, body, id, archive),
    `<delay xmlns='${NS.delay}' from='${ROOM}' stamp='2026-11-20T12:20:00Z'/>`,
  );

/** The event that something becomes. @param inner as it stands in it */
export const event = (name: string, item: string, inner: string, rest = '') =>
  `<message from='${ROOM}' to='${ACCOUNT}' id='${item}'><event xmlns='${NS.pubsubEvent}'><items node='${NODE}${name}'>` +
  `<item id='${item}'>${inner}</item></items></event>${rest}</message>`;

/** A room's archive has nothing more. */
export const FIN = `<fin xmlns='${NS.mam2}' complete='true'/>`;
/** One of an account's sessions may take over from another. */
export const CLAIM = JSON.stringify({ op: 'claim' });

/** The same store for another process. */
export function nextProcess(before: FakeDomain): FakeDomain {
  const next = domain();
  for (const [key, value] of before.store) next.store.set(key, value);
  return next;
}
