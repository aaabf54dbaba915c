import { type Client, client, xml } from '@xmpp/client';
import type { Element } from 'ltx';
import { until, within } from '../waiting.js';
import type { LibraryClient, LibraryLogin } from './library.js';

const NS_ACK = 'urn:xmpp:sm:3';
const NS_MUC = 'http://jabber.org/protocol/muc';
/** A second by default, which would be most of what a test takes. */
const RECONNECT_MS = 50;

/** Logs in with @xmpp/client as an application would. */
export async function startXmppJs(login: LibraryLogin): Promise<LibraryClient> {
  const entity = client({
    service: `${login.tls === 'direct' ? 'xmpps' : 'xmpp'}://${login.host}:${login.port}`,
    domain: login.domain,
    username: login.name,
    password: login.password,
    resource: login.resource,
  });
  // COMPAT: @xmpp/client 0.14 writes an empty string when it resumes inside of <success/> and has nothing to send again. On a TLS socket that reads what
  // has come meanwhile at once, in the middle of the chunk that is being parsed: a stanza behind <resumed/> is lost, and its counts are wrong.
  const { sendMany } = entity;
  entity.sendMany = async (elements) => {
    if (elements.length > 0) await sendMany.call(entity, elements);
  };
  if (login.resume) entity.reconnect.delay = RECONNECT_MS;
  else entity.reconnect.stop();
  const session = new XmppJs(entity, login.resume ?? false);
  const trusting = trustEverybody();
  try {
    session.jid = (await within('login with @xmpp/client', 15_000, entity.start())).toString();
  } finally {
    // One that connects again by itself must find that as it was.
    if (login.resume) session.onStop = trusting;
    else trusting();
  }
  await entity.send(xml('presence'));
  return session;
}

/**
 * The library has no option for a certificate of one's own; it is asked to accept any.
 * @returns ends this
 */
function trustEverybody(): () => void {
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  return () => {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  };
}

class XmppJs implements LibraryClient {
  jid = '';
  readonly errors: string[] = [];
  readonly sessions = { bound: 0, resumed: 0 };
  onStop: () => void = () => {};
  #inbox: Element[] = [];
  /** What the application wants to say when it can, as the library takes nothing while it is not online. */
  #unsaid: Promise<void> = Promise.resolve();
  readonly #entity: Client;

  constructor(
    entity: Client,
    readonly resumes: boolean,
  ) {
    this.#entity = entity;
    entity.on('stanza', (stanza: Element) => this.#inbox.push(stanza));
    entity.on('online', () => {
      this.sessions.bound += 1;
    });
    entity.streamManagement.on('resumed', () => {
      this.sessions.resumed += 1;
    });
    // COMPAT: @xmpp/client 0.14 begins to wait for the answer to its header when the header is written. One that is there by then it misses, and two
    // seconds later it says so; it has long gone on.
    entity.on('error', (error: Error) => {
      if (error.name !== 'TimeoutError' || entity.status !== 'online') this.errors.push(String(error));
    });
  }

  get sm(): boolean {
    return this.#entity.streamManagement.enabled;
  }

  async message(to: string, body: string, type: 'chat' | 'groupchat' = 'chat'): Promise<void> {
    const said = this.#unsaid.then(() => this.#say(to, body, type));
    this.#unsaid = said;
    await said;
  }

  /** Until the library has taken it: what it has refused it does not send again by itself. */
  async #say(to: string, body: string, type: string): Promise<void> {
    for (;;) {
      await until('@xmpp/client to be online', () => this.#entity.status === 'online');
      try {
        return await this.#entity.send(xml('message', { to, type }, xml('body', {}, body)));
      } catch (error) {
        if (!this.resumes) throw error;
        // It hears later that its connection is gone than whoever wants to write to it.
        await until('the connection to be gone', () => this.#entity.status !== 'online');
      }
    }
  }

  get heard(): string[] {
    return this.#inbox.flatMap((stanza) => (stanza.is('message') ? (stanza.getChildText('body') ?? []) : []));
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
    this.#entity.reconnect.stop();
    try {
      await within('@xmpp/client to stop', 10_000, this.#entity.stop());
    } finally {
      this.onStop();
    }
  }

  #take(what: string, predicate: (stanza: Element) => boolean): Promise<Element> {
    return until(what, () => {
      const at = this.#inbox.findIndex(predicate);
      return at < 0 ? undefined : this.#inbox.splice(at, 1)[0];
    });
  }
}
