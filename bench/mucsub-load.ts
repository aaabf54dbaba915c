import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { LOOPBACK } from './streams.js';

/*
 * The load of the fan-out measurement, as a process of its own: one room, subscribers who are not in it, one who speaks. It is told by
 * messages of its parent what to do, and counts what arrives without parsing it.
 */

interface Prepare {
  readonly do: 'prepare';
  readonly port: number;
  readonly domain: string;
  readonly muc: string;
  readonly room: string;
  readonly subscribers: number;
}

interface Speak {
  readonly do: 'speak';
  readonly messages: number;
  /** Messages of which the speaker may not have had the copy yet. */
  readonly window: number;
}

export type FanoutRequest = Prepare | Speak | { readonly do: 'leave' };
export type FanoutAnswer =
  | { readonly done: 'prepare' }
  | { readonly done: 'speak'; readonly events: number }
  | { readonly done: 'leave' };

const MARKER = Buffer.from('marked-event');
const PADDING = 'x'.repeat(48);
/** Log-ins under way at one time. */
const AT_ONCE = 10;
const WAITING_TIME = 120_000;

/** A session that is only looked at for what is waited for, and counts markers. */
class Client {
  count = 0;
  onCount: (() => void) | undefined;
  #text = '';
  #tail = Buffer.alloc(0);
  #isCounting = false;
  #heard: (() => void) | undefined;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on('data', (data: Buffer) => (this.#isCounting ? this.#counts(data) : this.#reads(data)));
    socket.on('error', () => {});
  }

  static async logIn(port: number, domain: string, name: string): Promise<Client> {
    const socket = connect({ host: LOOPBACK, port });
    await once(socket, 'connect');
    const client = new Client(socket);
    const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}' version='1.0'>`;
    await client.asks(header, '</stream:features>');
    const account = `<username>${name}</username><password>secret</password>`;
    await client.asks(
      `<iq type='set' id='r'><query xmlns='jabber:iq:register'>${account}</query></iq>`,
      /id=['"]r['"][\s\S]*(<\/iq>|\/>)/,
    );
    const secret = Buffer.from(`\0${name}\0secret`).toString('base64');
    await client.asks(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${secret}</auth>`,
      '<success',
    );
    await client.asks(header, '</stream:features>');
    await client.asks(
      "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>load</resource></bind></iq>",
      '</bind>',
    );
    return client;
  }

  send(xml: string): void {
    this.socket.write(xml);
  }

  async asks(xml: string, answer: string | RegExp): Promise<string> {
    this.#text = '';
    this.send(xml);
    const timer = setTimeout(() => this.socket.destroy(), WAITING_TIME);
    const isThere = () =>
      typeof answer === 'string' ? this.#text.includes(answer) : answer.test(this.#text);
    while (!isThere()) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
        this.socket.once('close', resolve);
      });
      if (this.socket.destroyed) throw new Error(`no answer to ${xml}: ${this.#text}`);
    }
    clearTimeout(timer);
    return this.#text;
  }

  #reads(data: Buffer): void {
    this.#text += data.toString();
    this.#heard?.();
  }

  counts(): void {
    this.#isCounting = true;
    this.#tail = Buffer.alloc(0);
    this.count = 0;
  }

  #counts(data: Buffer): void {
    const bytes = this.#tail.length === 0 ? data : Buffer.concat([this.#tail, data]);
    let at = bytes.indexOf(MARKER);
    let end = 0;
    while (at >= 0) {
      this.count += 1;
      end = at + MARKER.length;
      at = bytes.indexOf(MARKER, end);
    }
    this.#tail = Buffer.from(bytes.subarray(Math.max(end, bytes.length - MARKER.length + 1)));
    this.onCount?.();
  }

  leave(): void {
    this.socket.end('</stream:stream>');
  }
}

/** In all: no two messages have the same id. */
let said = 0;
let speaker: Client | undefined;
let room = '';
let subscribers: Client[] = [];

async function prepare(request: Prepare): Promise<void> {
  const { port, domain } = request;
  room = `${request.room}@${request.muc}`;
  speaker = await Client.logIn(port, domain, `${request.room}-speaker`);
  await speaker.asks('<presence/>', '<presence');
  await speaker.asks(
    `<presence to='${room}/speaker'><x xmlns='http://jabber.org/protocol/muc'/></presence>`,
    '<subject',
  );
  const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
  const form =
    field('FORM_TYPE', 'http://jabber.org/protocol/muc#roomconfig') +
    field('muc#roomconfig_persistentroom', '1') +
    field('allow_subscription', '1') +
    field('muc#roomconfig_maxusers', '5000') +
    field('mam', '0') +
    field('muc#roomconfig_enablearchiving', '0');
  const owned = await configure(speaker, form);
  // A server refuses what it does not know.
  if (!owned) await configure(speaker, field('allow_subscription', '1'));
  const names = Array.from({ length: request.subscribers }, (_, n) => n);
  subscribers = [];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let n = names.pop(); n !== undefined; n = names.pop()) {
        const client = await Client.logIn(port, domain, `${request.room}-${n}`);
        await client.asks('<presence/>', '<presence');
        const answer = await client.asks(
          `<iq type='set' id='s' to='${room}'><subscribe xmlns='urn:xmpp:mucsub:0' nick='n${n}'>` +
            "<event node='urn:xmpp:mucsub:nodes:messages'/></subscribe></iq>",
          /id=['"]s['"][\s\S]*<\/iq>/,
        );
        if (answer.includes('<error')) throw new Error(`not subscribed: ${answer}`);
        subscribers.push(client);
      }
    }),
  );
}

async function configure(client: Client, fields: string): Promise<boolean> {
  const answer = await client.asks(
    `<iq type='set' id='c' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'>` +
      `<x xmlns='jabber:x:data' type='submit'>${fields}</x></query></iq>`,
    /id=['"]c['"][\s\S]*(<\/iq>|\/>)/,
  );
  return !answer.includes('<error');
}

async function speak({ messages, window }: Speak): Promise<number> {
  const from = speaker!;
  for (const client of [from, ...subscribers]) client.counts();
  const expected = messages * subscribers.length;
  let sent = 0;
  const total = () => subscribers.reduce((sum, { count }) => sum + count, 0);
  const more = () => {
    let xml = '';
    while (sent < messages && sent - from.count < window) {
      xml += `<message to='${room}' type='groupchat' id='f-${said}'><body>${MARKER} ${PADDING}</body></message>`;
      sent += 1;
      said += 1;
    }
    if (xml !== '') from.send(xml);
  };
  from.onCount = more;
  more();
  const deadline = Date.now() + WAITING_TIME;
  while (total() < expected && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  // What comes twice may come last.
  for (let before = -1; before !== total(); await new Promise((resolve) => setTimeout(resolve, 100)))
    before = total();
  from.onCount = undefined;
  return total();
}

process.on('message', async (request: FanoutRequest) => {
  const answer = (said: FanoutAnswer) => process.send?.(said);
  if (request.do === 'prepare') {
    await prepare(request);
    answer({ done: 'prepare' });
  } else if (request.do === 'speak') {
    answer({ done: 'speak', events: await speak(request) });
  } else {
    for (const client of [speaker, ...subscribers]) client?.leave();
    answer({ done: 'leave' });
  }
});
