import { push } from '../../../../src/features/push/push.js';
import type { FeatureSession } from '../../../../src/session/feature.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { type Playbook, play, type Scene } from '../playbook.js';

export const SERVER = 'capulet.lit';
export const ACCOUNT = 'juliet@capulet.lit';
export const FULL = `${ACCOUNT}/balcony`;
export const SERVICE = 'push.example';

export type Stage = Playbook<FeatureSession>;

const info = (...features: string[]) =>
  `<query xmlns='${NS.discoInfo}'>${features.map((name) => `<feature var='${name}'/>`).join('')}</query>`;
const ITEMS = `<query xmlns='${NS.discoItems}'/>`;

/** A session of a server of which it is known what it has. */
export function stage(
  scene: Scene & { server?: readonly string[]; account?: readonly string[] } = {},
): Stage {
  const { server = [], account = [] } = scene;
  return play<FeatureSession>(push, scene)
    .wake(0)
    .expectRequest(SERVER, info())
    .expectRequest(ACCOUNT, info())
    .answerIq(SERVER, info(...server))
    .expectRequest(SERVER, ITEMS)
    .answerIq(ACCOUNT, info(...account))
    .answerIq(SERVER, ITEMS);
}

/** Another session of an account of which the same is known. */
export function laterStage(scene: Scene): Stage {
  return play<FeatureSession>(push, scene).wake(0);
}

export const iq = (payload: string, id = 'p1') => `<iq type='set' id='${id}'>${payload}</iq>`;
export const enable = (node = 'n1', inner = '', jid = SERVICE) =>
  iq(`<enable xmlns='${NS.push}' jid='${jid}' node='${node}'>${inner}</enable>`);
export const disable = (node?: string, jid = SERVICE) =>
  iq(`<disable xmlns='${NS.push}' jid='${jid}'${node === undefined ? '' : ` node='${node}'`}/>`);
export const HANDLED = 'handled push-answered';
export const RESULT = `<iq type='result' id='p1' to='${FULL}'/>`;

export const options = (...fields: string[]) =>
  `<x xmlns='${NS.dataForms}' type='submit'><field var='FORM_TYPE'><value>${NS.pubsub}#publish-options</value></field>${fields.join('')}</x>`;
export const SECRET = `<field var='secret'><value>eruio234</value></field>`;

/** Enables a node of the push service. */
export function enabled(book: Stage, node = 'n1', inner = ''): Stage {
  return book.fromClient(enable(node, inner)).expectVerdict(HANDLED).expectSent('client', RESULT);
}

export const chat = (body: string, from = 'romeo@montague.lit/orchard') =>
  `<message type='chat' from='${from}' to='${FULL}'><body>${body}</body></message>`;

/** A MUC/Sub event. */
export const event = (body: string, from = 'party@chats.capulet.lit/romeo') =>
  `<message from='party@chats.capulet.lit' to='${ACCOUNT}'><event xmlns='${NS.pubsubEvent}'><items node='urn:xmpp:mucsub:nodes:messages'>` +
  `<item id='1'><message xmlns='${NS.client}' type='groupchat' from='${from}'><body>${body}</body></message></item></items></event></message>`;

/** What is published. */
export function published(count: number, node = 'n1', along = '', more = ''): string {
  const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
  const form =
    `<x xmlns='${NS.dataForms}' type='form'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field>` +
    `${field('message-count', String(count))}${more}</x>`;
  return (
    `<pubsub xmlns='${NS.pubsub}'><publish node='${node}'><item><notification xmlns='${NS.push}'>${form}</notification></item></publish>` +
    `${along}</pubsub>`
  );
}
