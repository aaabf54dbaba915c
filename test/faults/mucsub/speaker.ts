import { type Account, RawClient } from '../../integration/clients/raw.js';
import { until } from '../../integration/waiting.js';
import type { World } from './world.js';

const DISCO = 'http://jabber.org/protocol/disco#info';
const MAM = 'urn:xmpp:mam:2';
const MUC = 'http://jabber.org/protocol/muc';

/** Speaks in the room, straight to the server, and knows what the room has said. */
export class Speaker {
  readonly said: string[] = [];
  /** When; ms since 1970. */
  readonly at = new Map<string, number>();
  #client: RawClient | undefined;
  #count = 0;

  constructor(
    readonly account: Account,
    readonly world: World,
    readonly room: string,
  ) {}

  /** @returns what the room tells it of what was said before */
  async enter(): Promise<string[]> {
    const { host, port, domain } = this.world.server;
    let trouble: unknown;
    await until(
      'the speaker to be in the room',
      async () => {
        try {
          this.#client?.stream.cut();
          this.#client = await RawClient.login({ host, port, domain }, this.account);
          // jabberd2 lets no presence through to a session that is not available.
          this.#client.send('<presence/>');
          this.#client.send(`<presence to='${this.room}/speaker'><x xmlns='${MUC}'/></presence>`);
          await this.#client.expect(
            'to be in the room',
            ({ name, attrs }) =>
              name === 'presence' && attrs.from === `${this.room}/speaker` && attrs.type === undefined,
          );
          return true;
        } catch (error) {
          trouble = error;
          return false;
        }
      },
      30_000,
    ).catch((error) => {
      throw new Error(`${error}: ${trouble}`);
    });
    const client = this.#client!;
    await client.iq('get', `<query xmlns='${DISCO}'/>`, `to='${this.room}'`);
    const told = client.stream.inbox.splice(0).map((element) => element.getChildText('body') ?? '');
    return told.filter((body) => /^message \d+$/.test(body));
  }

  async configure(): Promise<void> {
    const field = (name: string) => `<field var='${name}'><value>1</value></field>`;
    await this.#client!.iq(
      'set',
      `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field>` +
        `${field('muc#roomconfig_persistentroom')}${field('muc#roomconfig_enablearchiving')}</x></query>`,
      `to='${this.room}'`,
    );
  }

  async say(): Promise<string> {
    const body = `message ${++this.#count}`;
    this.at.set(body, Date.now());
    this.#client!.send(
      `<message to='${this.room}' type='groupchat' id='s${this.#count}'><body>${body}</body></message>`,
    );
    await this.#client!.body(body);
    this.said.push(body);
    return body;
  }

  /** What the room's archive has of it (XEP-0313). */
  async archived(): Promise<ReadonlySet<string>> {
    const client = this.#client!;
    const found = new Set<string>();
    for (let after = '', complete = false; !complete; ) {
      const page = `<set xmlns='http://jabber.org/protocol/rsm'><max>100</max>${after}</set>`;
      const answer = await client.iq('set', `<query xmlns='${MAM}'>${page}</query>`, `to='${this.room}'`);
      for (const element of client.stream.inbox.splice(0)) {
        const forwarded = element.getChild('result', MAM)?.getChild('forwarded');
        found.add(forwarded?.getChild('message')?.getChildText('body') ?? '');
      }
      const fin = answer.getChild('fin', MAM);
      complete = fin?.attrs.complete === 'true';
      after = `<after>${fin?.getChild('set')?.getChildText('last')}</after>`;
    }
    return found;
  }

  leave(): void {
    this.#client?.stream.cut();
  }
}
