import type { Element } from 'ltx';
import { expect } from 'vitest';
import { type RawClient, uniqueId } from './clients/raw.js';
import type { Route } from './routes.js';

export const MUCSUB = 'urn:xmpp:mucsub:0';
export const NODES = 'urn:xmpp:mucsub:nodes:';
export const MUC = 'http://jabber.org/protocol/muc';
const EVENT = 'http://jabber.org/protocol/pubsub#event';
export const DATA = 'jabber:x:data';

export const statusCodes = (presence: Element) =>
  (presence.getChild('x', `${MUC}#user`)?.getChildren('status') ?? []).map(({ attrs }) => attrs.code);
export const isGroupchat = (stanza: Element) => stanza.is('message') && stanza.attrs.type === 'groupchat';

export async function join(client: RawClient, room: string, nick: string): Promise<void> {
  client.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'/></presence>`);
  await client.presence(
    (presence) => presence.attrs.from === `${room}/${nick}` && statusCodes(presence).includes('110'),
    `own presence in ${room}`,
  );
  await client.message(
    (message) => message.attrs.from === room && !!message.getChild('subject'),
    'the subject',
  );
}

export async function leave(client: RawClient, room: string, nick: string): Promise<void> {
  client.send(`<presence to='${room}/${nick}' type='unavailable'/>`);
  await client.presence(
    ({ attrs }) => attrs.from === `${room}/${nick}` && attrs.type === 'unavailable',
    'own leaving',
  );
}

export async function configure(
  owner: RawClient,
  room: string,
  options: Record<string, string>,
): Promise<Element> {
  const fields = Object.entries(options).map(
    ([name, value]) => `<field var='${name}'><value>${value}</value></field>`,
  );
  const form = `<field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field>${fields.join('')}`;
  return owner.iq(
    'set',
    `<query xmlns='${MUC}#owner'><x xmlns='${DATA}' type='submit'>${form}</x></query>`,
    `to='${room}'`,
  );
}

/** A new room in which subscriptions are allowed, with `owner` in it as olga. */
export async function newRoom(
  route: Route,
  owner: RawClient,
  options: Record<string, string> = {},
): Promise<string> {
  const room = `sub-${uniqueId()}@${route.server.muc}`;
  await join(owner, room, 'olga');
  const answer = await configure(owner, room, {
    'muc#roomconfig_persistentroom': '1',
    'muc#roomconfig_enablearchiving': '1',
    allow_subscription: '1',
    ...options,
  });
  expect(answer.attrs.type).toBe('result');
  return room;
}

export function subscribe(
  client: RawClient,
  room: string,
  nick: string,
  nodes = ['messages'],
  rest = '',
): Promise<Element> {
  const events = nodes.map((node) => `<event node='${NODES}${node}'/>`).join('');
  return client.iq(
    'set',
    `<subscribe xmlns='${MUCSUB}' nick='${nick}' ${rest}>${events}</subscribe>`,
    `to='${room}'`,
  );
}

export function say(client: RawClient, room: string, body: string): void {
  client.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`);
}

export function itemOf(message: Element, node: string): Element | undefined {
  const items = message.getChild('event', EVENT)?.getChild('items');
  return items?.attrs.node === NODES + node ? items.getChild('item') : undefined;
}

/** The next event of a node, as what is in it. */
export async function event(
  client: RawClient,
  room: string,
  node: string,
  has: (inner: Element) => boolean = () => true,
) {
  const wrapper = await client.message((message) => {
    const inner = itemOf(message, node)?.getChildElements()[0];
    return message.attrs.from === room && inner !== undefined && has(inner);
  }, `an event of ${node}`);
  const item = itemOf(wrapper, node)!;
  return { wrapper, item, inner: item.getChildElements()[0]! };
}

export const withBody = (body: string) => (inner: Element) => inner.getChildText('body') === body;

export async function listed(client: RawClient, to: string): Promise<[string, string, string[]][]> {
  const answer = await client.iq('get', `<subscriptions xmlns='${MUCSUB}'/>`, `to='${to}'`);
  return (answer.getChild('subscriptions', MUCSUB)?.getChildren('subscription') ?? []).map((each) => [
    String(each.attrs.jid),
    String(each.attrs.nick),
    each.getChildren('event').map(({ attrs }) => String(attrs.node).slice(NODES.length)),
  ]);
}

export const features = async (client: RawClient, to: string) =>
  (await client.iq('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, `to='${to}'`))
    .getChild('query')
    ?.getChildren('feature')
    .map(({ attrs }) => attrs.var) ?? [];

function administers(client: RawClient, room: string, item: string): Promise<Element> {
  return client.iq('set', `<query xmlns='${MUC}#admin'>${item}</query>`, `to='${room}'`);
}

export function affiliation(client: RawClient, room: string, jid: string, what: string): Promise<Element> {
  return administers(client, room, `<item jid='${jid}' affiliation='${what}'/>`);
}

export function role(
  client: RawClient,
  room: string,
  nick: string,
  what: string,
  why = '',
): Promise<Element> {
  return administers(client, room, `<item nick='${nick}' role='${what}'><reason>${why}</reason></item>`);
}

/** All events that come before a message of another kind, which is sent behind whatever may cause them. */
export async function eventsBefore(client: RawClient, from: RawClient): Promise<Element[]> {
  const mark = uniqueId();
  from.send(`<message type='chat' to='${client.bareJid}'><body>${mark}</body></message>`);
  const found: Element[] = [];
  for (;;) {
    const message = await client.message(
      (each) => each.getChild('event', EVENT) !== undefined || each.getChildText('body') === mark,
      'an event, or the mark',
    );
    if (message.getChildText('body') === mark) return found;
    found.push(message);
  }
}
