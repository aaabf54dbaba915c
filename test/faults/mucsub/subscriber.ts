import type { Element } from 'ltx';
import { expect } from 'vitest';
import { type Account, RawClient } from '../../integration/clients/raw.js';
import { NS } from '../../integration/clients/raw-stream.js';
import { until } from '../../integration/waiting.js';
import type { World } from './world.js';

/** What was acknowledged so long before the proxy is killed has been noted; ms. */
const NOTED_AFTER = 1_000;
const MUC = 'http://jabber.org/protocol/muc';
const GAP = 'urn:interstanza:mucsub-gap:0';
const EVENT = 'http://jabber.org/protocol/pubsub#event';

export interface Mark {
  readonly since: number;
  readonly until: number;
}

/** A subscriber's client. It acknowledges each event as soon as it has it, and knows what that may have been too late for. */
export class Subscriber {
  readonly heard: string[] = [];
  /** Between when something may have been said that it will never have; ms since 1970. */
  readonly marks: Mark[] = [];
  /** What it has had and can not be sure to have acknowledged. */
  readonly doubtful = new Set<string>();
  #client: RawClient | undefined;
  /** The room has let this session in. */
  #isIn = false;
  #resumption = '';
  #received = 0;
  #resource = 'device';
  /** When it was known to have acknowledged it, in the order in which it came. */
  #recent: { body: string; acknowledged: number }[] = [];
  #trouble: unknown;

  constructor(
    readonly name: string,
    readonly account: Account,
    readonly world: World,
    readonly room: string,
    readonly tell: (what: string) => void,
    readonly how: 'subscribes' | 'joins',
  ) {}

  get online(): boolean {
    return this.#client !== undefined && !this.#client.stream.closed && !this.#client.stream.ended;
  }

  /** Gets all that comes from now on, and what has come. */
  #listen(client: RawClient): void {
    const { stream } = client;
    const count = stream.onElement;
    const take = (element: Element) => this.#take(client, element);
    stream.onElement = (element) => {
      count?.(element);
      take(element);
    };
    for (const element of stream.inbox.splice(0)) take(element);
  }

  #take(client: RawClient, element: Element): void {
    if (client !== this.#client) return;
    this.#received = client.sm?.received ?? 0;
    if (element.is('presence') && element.attrs.from === `${this.room}/${this.name}`)
      this.#takeOwnPresence(client, element.attrs.type);
    if (!element.is('message')) return;
    if (this.how === 'joins') this.#takeGroupchat(element);
    else this.#takeEvent(element);
    client.stream.write(`<a xmlns='${NS.sm}' h='${this.#received}'/>`);
  }

  #takeOwnPresence(client: RawClient, type: string | undefined): void {
    // COMPAT: ejabberd takes a new session out of its rooms when the one before of the same resource ends after it has joined: it joins again.
    if (type === 'unavailable' && this.#isIn) this.#join(client);
    this.#isIn = type === undefined;
  }

  #join(client: RawClient): void {
    client.send(`<presence to='${this.room}/${this.name}'><x xmlns='${MUC}'/></presence>`);
  }

  #takeGroupchat(element: Element): void {
    const isSaid = element.attrs.type === 'groupchat' && element.getChild('body') !== undefined;
    if (!isSaid) {
      if (element.getChild('event', EVENT) !== undefined) this.heard.push(`?? ${element}`);
    } else if (!this.#isIn) this.heard.push(`?? before it is in the room: ${element}`);
    else if (element.attrs.from === `${this.room}/speaker`)
      this.#hears(element.getChildText('body')!, element);
  }

  #takeEvent(element: Element): void {
    const item = element.getChild('event', EVENT)?.getChild('items')?.getChild('item');
    if (item === undefined || element.attrs.from !== this.room) return;
    const gap = item.getChild('gap', GAP);
    if (gap !== undefined) {
      const [since, until] = [Date.parse(gap.attrs.since), Date.parse(gap.attrs.until)];
      this.marks.push({ since, until });
      this.tell(`  ${this.name} is told that something may be missing since ${gap.attrs.since}`);
    }
    const body = item.getChildElements()[0]?.getChildText('body');
    if (typeof body === 'string') this.#hears(body, element);
    else if (gap === undefined) this.heard.push(`?? ${item}`);
  }

  #hears(body: string, element: Element): void {
    this.heard.push(body);
    this.#recent.push({ body, acknowledged: Number.POSITIVE_INFINITY });
    const delay = element.getChild('delay', 'urn:xmpp:delay');
    const late = delay === undefined ? '' : `, delayed ${delay.attrs.stamp} by ${delay.attrs.from}`;
    this.tell(`  ${this.name} hears ${body}${late}`);
  }

  /** What it has had by now it has acknowledged, when this is done. */
  async settle(): Promise<void> {
    const before = this.#recent.length;
    await this.#client?.settle().then(
      () => {
        for (const each of this.#recent.slice(0, before))
          each.acknowledged = Math.min(each.acknowledged, Date.now());
      },
      () => {},
    );
  }

  /** What it has not acknowledged for certain may come again. @param noted of the rest only this has been noted: what was acknowledged by then; ms */
  #doubt(noted = Number.MAX_SAFE_INTEGER): void {
    for (const { body, acknowledged } of this.#recent) if (acknowledged > noted) this.doubtful.add(body);
    this.#recent = this.#recent.filter(
      ({ acknowledged }) => acknowledged <= noted && acknowledged > Date.now() - NOTED_AFTER,
    );
  }

  /** The proxy is about to be killed. */
  proxyDies(): void {
    this.#doubt(Date.now() - NOTED_AFTER);
  }

  /** A new session. */
  async logIn(): Promise<void> {
    this.#doubt();
    await until(
      `${this.name} to log in`,
      async () => {
        try {
          const client = await RawClient.login(this.world.endpoint, this.account, {
            resource: this.#resource,
          });
          const enabled = await client.enableSm("resume='true'");
          this.#resumption = String(enabled.attrs.id ?? '');
          this.#client = client;
          this.#isIn = false;
          this.#received = 0;
          this.#listen(client);
          client.send('<presence/>');
          if (this.how === 'joins') this.#join(client);
          return true;
        } catch (error) {
          this.#trouble = error;
          return false;
        }
      },
      30_000,
    ).catch((error) => {
      throw new Error(`${error}: ${this.#trouble}`);
    });
    this.tell(`  ${this.name} has logged in as ${this.#resource}`);
  }

  /** Takes the session up again; a new one where that cannot be. */
  async resume(): Promise<void> {
    const h = this.#received;
    try {
      const client = await RawClient.connect(this.world.endpoint);
      await client.openStream();
      await client.authenticate(this.account);
      client.send(`<resume xmlns='${NS.sm}' previd='${this.#resumption}' h='${h}'/>`);
      const answer = await client.expect(
        'an answer',
        (each) => each.is('resumed', NS.sm) || each.is('failed', NS.sm),
      );
      if (answer.is('failed')) {
        client.stream.cut();
        throw new Error('not resumed');
      }
      client.sm = { received: h, sent: 0, acknowledged: 0, answersRequests: true };
      for (const each of this.#recent) each.acknowledged = Math.min(each.acknowledged, Date.now());
      this.#client = client;
      this.tell(`  ${this.name} has resumed`);
      // What came right behind the answer has not been counted.
      for (const element of client.stream.inbox)
        if (/^(message|presence|iq)$/.test(element.name)) client.sm.received += 1;
      this.#listen(client);
      // What has not been handled is to be sent again (XEP-0198 §5): its first two stanzas are its presence and its join.
      const handled = Number(answer.attrs.h);
      if (handled < 1) client.send('<presence/>');
      if (handled < 2 && this.how === 'joins') this.#join(client);
    } catch {
      await this.logIn();
    }
  }

  /** The account has subscribed, or been subscribed. */
  async subscribe(): Promise<void> {
    if (this.how === 'joins') {
      const { host, port, domain } = this.world.server;
      const asks = await RawClient.login({ host, port, domain }, this.account, { resource: 'asks' });
      const list = "<subscriptions xmlns='urn:xmpp:mucsub:0'/>";
      const isSubscribed = async () =>
        String(await asks.iq('get', list, `to='${this.world.server.muc}'`)).includes(this.room);
      await until(`${this.name} to be subscribed`, isSubscribed);
      asks.stream.cut();
      return;
    }
    const answer = await this.#client!.iq(
      'set',
      `<subscribe xmlns='urn:xmpp:mucsub:0' nick='${this.name}'><event node='urn:xmpp:mucsub:nodes:messages'/></subscribe>`,
      `to='${this.room}'`,
    );
    expect(answer.attrs.type, String(answer)).toBe('result');
  }

  /** Logs out; what it has had by then it has acknowledged. The next time it is at another device. */
  async close(): Promise<void> {
    await this.settle();
    await this.#client?.close().catch(() => this.#client?.stream.cut());
    this.#doubt();
    this.#client = undefined;
    // What a client in the room has had is its own: another one is told what the room remembers.
    if (this.how === 'subscribes') this.#resource = this.#resource === 'device' ? 'desk' : 'device';
  }

  /** @param settled what has come so far it has acknowledged */
  async cut(settled: boolean): Promise<void> {
    if (settled) await this.settle();
    this.#client?.stream.cut();
  }
}
