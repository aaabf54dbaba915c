import { type Client, client, xml } from '@xmpp/client';
import type { Element } from 'ltx';
import { until, within } from '../waiting.js';
import type { LibraryClient, LibraryLogin } from './library.js';

const NS_ACK = 'urn:xmpp:sm:3';
const NS_MUC = 'http://jabber.org/protocol/muc';

/** Logs in with @xmpp/client as an application would, reconnection switched off. */
export async function startXmppJs(login: LibraryLogin): Promise<LibraryClient> {
  const entity = client({
    service: `${login.tls === 'direct' ? 'xmpps' : 'xmpp'}://${login.host}:${login.port}`,
    domain: login.domain,
    username: login.name,
    password: login.password,
    resource: login.resource,
  });
  entity.reconnect.stop();
  const session = new XmppJs(entity);
  // The library has no option for a certificate of one's own; it is asked to accept any.
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  try {
    session.jid = (await within('login with @xmpp/client', 15_000, entity.start())).toString();
  } finally {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  }
  await entity.send(xml('presence'));
  return session;
}

class XmppJs implements LibraryClient {
  jid = '';
  readonly errors: string[] = [];
  #inbox: Element[] = [];
  readonly #entity: Client;

  constructor(entity: Client) {
    this.#entity = entity;
    entity.on('stanza', (stanza: Element) => this.#inbox.push(stanza));
    entity.on('error', (error: Error) => this.errors.push(String(error)));
  }

  get sm(): boolean {
    return this.#entity.streamManagement.enabled;
  }

  async message(to: string, body: string, type: 'chat' | 'groupchat' = 'chat'): Promise<void> {
    await this.#entity.send(xml('message', { to, type }, xml('body', {}, body)));
  }

  async received(body: string): Promise<{ from: string; type: string }> {
    const stanza = await this.#take(
      `message "${body.slice(0, 40)}"`,
      (each) => each.getChildText('body') === body,
    );
    return { from: stanza.attrs.from, type: stanza.attrs.type };
  }

  async roster(): Promise<string[]> {
    const query = await this.#entity.iqCaller.get(xml('query', { xmlns: 'jabber:iq:roster' }));
    return (query?.getChildren('item') ?? []).map((item) => item.attrs.jid);
  }

  async addContact(jid: string): Promise<void> {
    await this.#entity.iqCaller.set(xml('query', { xmlns: 'jabber:iq:roster' }, xml('item', { jid })));
  }

  async join(room: string, nick: string): Promise<void> {
    await this.#entity.send(xml('presence', { to: `${room}/${nick}` }, xml('x', { xmlns: NS_MUC })));
    await this.#take('own presence in the room', (stanza) => {
      const statuses = stanza.getChild('x', `${NS_MUC}#user`)?.getChildren('status') ?? [];
      return stanza.is('presence') && statuses.some((status) => status.attrs.code === '110');
    });
  }

  async ping(jid: string): Promise<void> {
    await this.#entity.iqCaller.get(xml('ping', { xmlns: 'urn:xmpp:ping' }), jid);
  }

  async unacknowledged(): Promise<number> {
    await this.#entity.send(xml('r', { xmlns: NS_ACK }));
    const queue = () => this.#entity.streamManagement.outbound_q.length;
    await until('acknowledgements', () => queue() === 0).catch(() => {});
    return queue();
  }

  async stop(): Promise<void> {
    await within('@xmpp/client to stop', 10_000, this.#entity.stop());
  }

  #take(what: string, predicate: (stanza: Element) => boolean): Promise<Element> {
    return until(what, () => {
      const at = this.#inbox.findIndex(predicate);
      return at < 0 ? undefined : this.#inbox.splice(at, 1)[0];
    });
  }
}
